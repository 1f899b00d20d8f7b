/*
 * labels.c
 *	  Reads labels: from a relation or a query of the caller's, or from the result table.
 *
 * The caller's text is run with the caller's rights, as if it had been typed.  Keys are compared
 * as jsonb, so that no function of their types runs for somebody who didn't ask for it.
 */
#include "face/labels.h"

#include "access/relation.h"
#include "catalog/pg_type_d.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "parser/parse_coerce.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "base/compat.h"
#include "catalog/query.h"
#include "face/parameter.h"
#include "face/relation.h"

#define AT_ONCE		1000
#define MOST		10000000

/* Labels as they are read. */
typedef struct Reading
{
	const SpTrial *trial;
	SpLabels   *labels;
	MemoryContext context;
	int			allocated;
} Reading;

/* ---- One label. ---- */

/* Does it concern the time that is judged? */
static bool
overlaps(const SpTrial *trial, const SpLabel *label)
{
	return label->end >= trial->from && label->start < trial->before;
}

static char *
format_instant(TimestampTz time)
{
	return pstrdup(timestamptz_to_str(time));
}

/* Take a row of start, end, keys and is_false. */
static void
add_label(Reading *r, HeapTuple tuple, TupleDesc desc)
{
	SpLabels   *labels = r->labels;
	SpLabel		label = {0};
	bool		isnull[4];
	Datum		keys;

	label.start = DatumGetTimestampTz(SPI_getbinval(tuple, desc, 1, &isnull[0]));
	label.end = DatumGetTimestampTz(SPI_getbinval(tuple, desc, 2, &isnull[1]));
	keys = SPI_getbinval(tuple, desc, 3, &isnull[2]);
	label.is_false = DatumGetBool(SPI_getbinval(tuple, desc, 4, &isnull[3]));
	if (isnull[0] || isnull[1] || label.end < label.start)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a label's time is %s", isnull[0] || isnull[1] ? "null" :
						psprintf("from %s to %s", format_instant(label.start),
								 format_instant(label.end))),
				 errhint("Each label must have a start, and an end that is not before it.")));
	if (!overlaps(r->trial, &label))
		return;
	if (labels->n == MOST)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("there are more than %d labels", MOST)));
	if (labels->n == r->allocated)
	{
		r->allocated = Max(64, r->allocated * 2);
		labels->array = labels->array == NULL ?
			MemoryContextAlloc(r->context, sizeof(SpLabel) * r->allocated) :
			repalloc_huge(labels->array, sizeof(SpLabel) * r->allocated);
	}
	if (!isnull[2])
	{
		MemoryContext old = MemoryContextSwitchTo(r->context);

		label.keys = DatumGetJsonbPCopy(keys);
		labels->keyed = true;
		MemoryContextSwitchTo(old);
	}
	labels->array[labels->n++] = label;
}

/* ---- Queries. ---- */

static void
refuse_source(const char *source)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("parameter \"labels\" must be the name of a relation, or one query: \"%s\"",
					sp_parameter_clip(pstrdup(source)))));
}

/* A cursor over a query that is made of source, which only reads. */
static Portal
open_cursor(const char *sql, const char *source)
{
	SPIPlanPtr	plan = SPI_prepare(sql, 0, NULL);

	if (plan == NULL || !SPI_is_cursor_plan(plan))
		refuse_source(source);
	return SPI_cursor_open(NULL, plan, NULL, NULL, true);
}

/* All labels of a query. */
static void
read_labels(Reading *r, const char *sql)
{
	Portal		portal = open_cursor(sql, sql);

	for (;;)
	{
		CHECK_FOR_INTERRUPTS();
		SPI_cursor_fetch(portal, true, AT_ONCE);
		if (SPI_processed == 0)
			break;
		for (uint64 row = 0; row < SPI_processed; row++)
			add_label(r, SPI_tuptable->vals[row], SPI_tuptable->tupdesc);
		SPI_freetuptable(SPI_tuptable);
	}
	SPI_cursor_close(portal);
}

/* Is the text a name, maybe with a schema, rather than a query? */
static bool
is_name(const char *text)
{
	bool		quoted = false;

	for (; *text != '\0'; text++)
	{
		if (*text == '"')
			quoted = !quoted;
		else if (!quoted && strchr(" \t\r\n(;", *text) != NULL)
			return false;
	}
	return true;
}

/* A FROM item of what the caller has given. */
static char *
make_item(const char *source)
{
	return psprintf(is_name(source) ? "%s l" : "(%s\n) l", source);
}

/* The number of the column in the descriptor, or 0. */
static int
find_column(TupleDesc desc, const char *name)
{
	for (int i = 1; i <= desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i - 1);

		if (!attribute->attisdropped && strcmp(NameStr(attribute->attname), name) == 0)
			return i;
	}
	return 0;
}

/* ---- What the caller has given. ---- */

/* "l.column" as an instant. */
static char *
format_time(const SpTrial *trial, TupleDesc desc, const char *column)
{
	Oid			type = getBaseType(SPI_gettypeid(desc, find_column(desc, column)));

	if (type != TIMESTAMPTZOID && type != TIMESTAMPOID && type != DATEOID)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of the labels must be a timestamp, not %s", column,
						format_type_be(type))));
	if (type == TIMESTAMPTZOID || trial->stream->time_type == TIMESTAMPTZOID)
		return psprintf("l.%s::pg_catalog.timestamptz", column);
	return psprintf("pg_catalog.timezone(%s, l.%s::pg_catalog.timestamp)",
					quote_literal_cstr(trial->stream->time_zone), column);
}

/* Can values of a label's column be equal to those of the key? */
static void
check_key_type(const char *name, Oid type, Oid key_type)
{
	char		category;
	char		key_category;
	bool		is_preferred;

	get_type_category_preferred(getBaseType(type), &category, &is_preferred);
	get_type_category_preferred(getBaseType(key_type), &key_category, &is_preferred);
	if (category != key_category)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of the labels is %s, and the detector's key is %s", name,
						format_type_be(type), format_type_be(key_type)),
				 errhint("Cast it to the key's type.")));
}

/* An object of those of the detector's keys that the labels have. */
static char *
format_keys(const SpTrial *trial, TupleDesc desc)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int k = 0; k < trial->detector->nkeys; k++)
	{
		char	   *name = get_attname(trial->object.relid, 3 + k, false);
		int			column = find_column(desc, name);

		if (column == 0)
			continue;
		check_key_type(name, SPI_gettypeid(desc, column),
					   get_atttype(trial->object.relid, 3 + k));
		appendStringInfo(&list, "%s%s, pg_catalog.to_jsonb(l.%s)", list.len > 0 ? ", " : "",
						 quote_literal_cstr(name), quote_identifier(name));
	}
	return list.len == 0 ? "NULL::pg_catalog.jsonb" :
		psprintf("pg_catalog.jsonb_build_object(%s)", list.data);
}

/* The names of all columns. */
static char *
list_columns(TupleDesc desc)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; i < desc->natts; i++)
		appendStringInfo(&list, "%s\"%s\"", i > 0 ? ", " : "",
						 NameStr(TupleDescAttr(desc, i)->attname));
	return list.data;
}

/* The query that makes labels of the caller's rows. */
static char *
write_query(const SpTrial *trial, const char *item, TupleDesc desc)
{
	char	   *start;
	char	   *end;

	if (find_column(desc, "start_time") > 0 && find_column(desc, "end_time") > 0)
	{
		start = format_time(trial, desc, "start_time");
		end = format_time(trial, desc, "end_time");
	}
	else if (find_column(desc, "event_time") > 0)
		start = end = format_time(trial, desc, "event_time");
	else
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("the labels have neither columns \"start_time\" and \"end_time\", nor "
						"\"event_time\""),
				 errdetail("Their columns are %s.", list_columns(desc))));
	return psprintf("SELECT %s, %s, %s, false FROM %s ORDER BY 1, 2", start, end,
					format_keys(trial, desc), item);
}

static void
read_given(Reading *r, const char *source)
{
	char	   *item = make_item(source);
	Portal		portal;
	TupleDesc	desc;

	if (strspn(source, " \t\r\n") == strlen(source))
		refuse_source(source);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	portal = open_cursor(psprintf("SELECT l.* FROM %s", item), source);
	desc = CreateTupleDescCopy(portal->tupDesc);
	SPI_cursor_close(portal);
	read_labels(r, write_query(r->trial, item, desc));
	SPI_finish();
	r->labels->complete = true;
}

/* ---- What users have set. ---- */

/*
 * Rows of the result table that users have called an anomaly, or no anomaly.  Runs with the
 * owner's rights, for so do the functions of the keys' types.
 */
static void
read_feedback(Reading *r)
{
	const SpTrial *trial = r->trial;
	const char *zone = trial->stream->time_type == TIMESTAMPTZOID ? "l.event_time" :
		psprintf("pg_catalog.timezone(%s, l.event_time::pg_catalog.timestamp)",
				 quote_literal_cstr(trial->stream->time_zone));
	SpQueryScope scope;
	Relation	table = relation_open(trial->object.relid, AccessShareLock);

	sp_query_open(&scope, InvalidOid);
	SetUserIdAndSecContext(trial->detector->o.owner,
						   scope.security | SECURITY_RESTRICTED_OPERATION);
	read_labels(r, psprintf("SELECT %s, %s, %s, l.label OPERATOR(pg_catalog.=) 'false positive' "
							"FROM ONLY %s l WHERE l.label IN ('anomaly', 'true positive', "
							"'false positive') ORDER BY 1, 2", zone, zone,
							format_keys(trial, RelationGetDescr(table)),
							sp_relation_quote(trial->object.relid)));
	sp_query_close(&scope);
	relation_close(table, NoLock);
}

SpLabels *
sp_labels_load(const SpTrial *trial, const char *source)
{
	SpLabels   *labels = palloc0(sizeof(SpLabels));
	Reading		r = {trial, labels, CurrentMemoryContext, 0};
	TimestampTz latest = DT_NOBEGIN;

	if (source != NULL)
		read_given(&r, source);
	else
		read_feedback(&r);
	if (source == NULL && labels->n == 0)
		return NULL;
	for (int i = 0; i < labels->n; i++)
		labels->array[i].latest = latest = Max(latest, labels->array[i].end);
	return labels;
}

/* ---- Looking at them. ---- */

int
sp_labels_until(const SpLabels *labels, TimestampTz time)
{
	int			low = 0;
	int			high = labels->n;

	while (low < high)
	{
		int			middle = low + (high - low) / 2;

		if (labels->array[middle].start <= time)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Are two values of jsonb the same? */
static bool
is_same_value(JsonbValue *a, JsonbValue *b)
{
	return compareJsonbContainers(&JsonbValueToJsonb(a)->root, &JsonbValueToJsonb(b)->root) == 0;
}

bool
sp_label_is_of(const SpLabel *label, Jsonb *keys)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	name = {0};
	JsonbValue	value;

	if (label->keys == NULL)
		return true;
	it = JsonbIteratorInit(&label->keys->root);
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		JsonbValue *theirs;

		if (token == WJB_KEY)
			name = value;
		if (token != WJB_VALUE)
			continue;
		theirs = keys != NULL ? findJsonbValueFromContainer(&keys->root, JB_FOBJECT, &name) : NULL;
		if (theirs == NULL || !is_same_value(theirs, &value))
			return false;
	}
	return true;
}
