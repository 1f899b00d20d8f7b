/*
 * model_score.c
 *	  score(model, features) and explain(model, features).
 *
 * Models are large, and mostly the same for all rows or for many: those met last are kept as long
 * as the query, and found again by where they are stored, else by their fingerprint, so that
 * for a row nothing of a model is read but what its score needs.
 */
#include "face/model.h"

#include "access/detoast.h"
#include "base/compat.h"
#include "catalog/pg_type_d.h"
#include "common/shortest_dec.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"

#include "engine/batch_work.h"
#include "face/features.h"

#define MAX_KEPT		32		/* models */
#define MAX_KEPT_BYTES	(64 * 1024 * 1024)	/* of them together, if there are several */

/* A model that was met. */
typedef struct Kept
{
	bool		is_stored;		/* apart from its row: then by stored, else by the head */
	struct varatt_external stored;
	SpModel		head;
	Size		size;
	SpModelValue *value;
	SpModelView view;
	double	   *x;				/* [d], then room for 3 * d */
} Kept;

/* What lasts as long as the query. */
typedef struct Cache
{
	MemoryContext context;
	int			n;
	int			last;			/* met */
	int			next;			/* whose place the next one takes */
	Size		bytes;
	Kept		kept[MAX_KEPT];
} Cache;

PG_FUNCTION_INFO_V1(sp_model_score_array);
PG_FUNCTION_INFO_V1(sp_model_score_columns);
PG_FUNCTION_INFO_V1(sp_model_explain_array);

/* ---- models ---- */

/* What a datum is found again by. */
static void
identify(struct varlena *datum, Kept *key)
{
	memset(key, 0, sizeof(Kept));
	if (VARATT_IS_EXTERNAL_ONDISK(datum))
	{
		key->is_stored = true;
		VARATT_EXTERNAL_GET_POINTER(key->stored, datum);
		return;
	}
	key->value = (SpModelValue *) PG_DETOAST_DATUM(PointerGetDatum(datum));
	key->size = sp_model_value_size(key->value);
	if (key->size >= sizeof(SpModel))
		key->head = key->value->model;
}

static inline bool
is_same(const Kept *a, const Kept *b)
{
	if (a->is_stored != b->is_stored)
		return false;
	if (a->is_stored)
		return memcmp(&a->stored, &b->stored, sizeof(a->stored)) == 0;
	return a->size == b->size && memcmp(&a->head, &b->head, sizeof(SpModel)) == 0;
}

static void
forget(Cache *cache, Kept *kept)
{
	cache->bytes -= kept->size;
	pfree(kept->value);
	pfree(kept->x);
	memset(kept, 0, sizeof(Kept));
}

/* A place for one more of that size. */
static Kept *
make_place(Cache *cache, Size size)
{
	while (cache->n > 0 && (cache->n == MAX_KEPT || cache->bytes + size > MAX_KEPT_BYTES))
	{
		cache->next = cache->next >= cache->n ? 0 : cache->next;
		forget(cache, &cache->kept[cache->next]);
		cache->n--;
		if (cache->next < cache->n)
			cache->kept[cache->next] = cache->kept[cache->n];
		cache->next++;
	}
	return &cache->kept[cache->n];
}

/* Copy a model, and look it through. */
static Kept *
keep(Cache *cache, struct varlena *datum, const Kept *key)
{
	MemoryContext old = MemoryContextSwitchTo(cache->context);
	SpModelValue *value = (SpModelValue *) PG_DETOAST_DATUM_COPY(PointerGetDatum(datum));
	SpModelView view;
	Kept	   *kept;

	sp_model_value_open(value, &view);
	kept = make_place(cache, sp_model_value_size(value));
	*kept = *key;
	kept->value = value;
	kept->size = sp_model_value_size(value);
	kept->view = view;
	kept->x = palloc(sizeof(double) * 4 * view.d);
	cache->bytes += kept->size;
	cache->last = cache->n++;
	MemoryContextSwitchTo(old);
	return kept;
}

static Cache *
get_cache(FmgrInfo *flinfo)
{
	if (flinfo->fn_extra == NULL)
	{
		Cache	   *cache = MemoryContextAllocZero(flinfo->fn_mcxt, sizeof(Cache));

		cache->context = flinfo->fn_mcxt;
		flinfo->fn_extra = cache;
	}
	return flinfo->fn_extra;
}

/* The model of a row, kept. */
static Kept *
find_model(FunctionCallInfo fcinfo, struct varlena *datum)
{
	Cache	   *cache = get_cache(fcinfo->flinfo);
	Kept	   *found = NULL;
	Kept		key;

	identify(datum, &key);
	if (cache->n > 0 && is_same(&cache->kept[cache->last], &key))
		found = &cache->kept[cache->last];
	for (int i = 0; i < cache->n && found == NULL; i++)
	{
		if (!is_same(&cache->kept[i], &key))
			continue;
		cache->last = i;
		found = &cache->kept[i];
	}
	if (found == NULL)
		found = keep(cache, datum, &key);
	if (!key.is_stored && (Pointer) key.value != (Pointer) datum)
		pfree(key.value);
	return found;
}

/* ---- features ---- */

/* The model has been trained on another number of them. */
static void
check_count(const Kept *kept, int n)
{
	if (n != kept->view.d)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("a row has %d features, and the model of method \"%s\" has %d", n,
						kept->view.kernel->name, kept->view.d)));
}

/* The features of a row, behind those that stand apart; false: they have no score. */
static bool
read_array(Kept *kept, Datum value, int apart)
{
	SpFeatures	features;
	bool		usable;

	sp_features_open(&features, value);
	check_count(kept, features.n + apart);
	usable = !features.has_nulls;
	if (usable)
		memcpy(kept->x + apart, features.data, sizeof(double) * features.n);
	sp_features_close(&features, value);
	return usable && sp_batch_work_accept(kept->x, kept->view.d);
}

static double
score_row(Kept *kept)
{
	return sp_model_score(&kept->view, kept->x, kept->x + kept->view.d);
}

/* model, float8[] */
Datum
sp_model_score_array(PG_FUNCTION_ARGS)
{
	Kept	   *kept = find_model(fcinfo, (struct varlena *) PG_GETARG_POINTER(0));

	if (!read_array(kept, PG_GETARG_DATUM(1), 0))
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8(score_row(kept));
}

/* model, float8, VARIADIC float8[]; or without others */
Datum
sp_model_score_columns(PG_FUNCTION_ARGS)
{
	Kept	   *kept = find_model(fcinfo, (struct varlena *) PG_GETARG_POINTER(0));
	bool		usable;

	kept->x[0] = PG_GETARG_FLOAT8(1);
	if (PG_NARGS() > 2)
		usable = read_array(kept, PG_GETARG_DATUM(2), 1);
	else
	{
		check_count(kept, 1);
		usable = sp_batch_work_accept(kept->x, 1);
	}
	if (!usable)
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8(score_row(kept));
}

/* ---- contributions ---- */

/* The names of features, or NULL: their numbers are. */
static char **
read_names(Datum value, int d)
{
	Datum	   *elements;
	bool	   *nulls;
	int			n;
	char	  **names;

	deconstruct_array(DatumGetArrayTypeP(value), TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls,
					  &n);
	if (n != d)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("there are %d names for %d features", n, d)));
	names = palloc(sizeof(char *) * n);
	for (int i = 0; i < n; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("the name of feature %d is NULL", i + 1)));
		names[i] = TextDatumGetCString(elements[i]);
		for (int j = 0; j < i; j++)
		{
			if (strcmp(names[i], names[j]) == 0)
				ereport(ERROR,
						(errcode(ERRCODE_DUPLICATE_OBJECT),
						 errmsg("name \"%s\" is used twice", names[i]),
						 errhint("Each feature's contribution has the feature's name.")));
		}
	}
	return names;
}

/* Append "name": number, with all its digits, whatever the settings are. */
static void
append_number(StringInfo buf, const char *name, double x)
{
	char		digits[DOUBLE_SHORTEST_DECIMAL_LEN];

	double_to_shortest_decimal_buf(x, digits);
	escape_json(buf, name);
	appendStringInfo(buf, ": %s", digits);
}

/* model, float8[], names text[] */
Datum
sp_model_explain_array(PG_FUNCTION_ARGS)
{
	Kept	   *kept;
	char	  **names = NULL;
	double	   *parts;
	StringInfoData buf;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_NULL();
	kept = find_model(fcinfo, (struct varlena *) PG_GETARG_POINTER(0));
	if (!PG_ARGISNULL(2))
		names = read_names(PG_GETARG_DATUM(2), kept->view.d);
	if (!read_array(kept, PG_GETARG_DATUM(1), 0))
		PG_RETURN_NULL();
	initStringInfo(&buf);
	appendStringInfo(&buf, "{\"method\": \"%s\", ", kept->view.kernel->name);
	append_number(&buf, "score", score_row(kept));
	appendStringInfoString(&buf, ", \"contributions\": {");
	parts = palloc(sizeof(double) * kept->view.d);
	sp_model_explain(&kept->view, kept->x, parts, kept->x + kept->view.d);
	for (int j = 0; j < kept->view.d; j++)
	{
		appendStringInfoString(&buf, j > 0 ? ", " : "");
		append_number(&buf, names != NULL ? names[j] : psprintf("%d", j + 1), parts[j]);
	}
	appendStringInfoString(&buf, "}}");
	PG_RETURN_DATUM(DirectFunctionCall1(jsonb_in, CStringGetDatum(buf.data)));
}
