/*
 * explain.c
 *	  explain(): why a detector has flagged a row, or why not.
 *
 * What it says of a row that is in the result table was written down, if it was an anomaly.  For
 * all else, and for rows that were never stored, history is gone through once more up to that
 * row, in order of time, by the detector itself.  Where that gives a stored row another score
 * than it has (its rows came in another order, or were changed since), only what is stored
 * counts.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type_d.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"

#include "base/compat.h"
#include "catalog/image.h"
#include "catalog/query.h"
#include "engine/rehearsal.h"
#include "face/labels.h"
#include "face/parameter.h"
#include "face/relation.h"
#include "face/trial.h"

/* Arguments. */
enum
{
	DETECTOR,
	ID,
	EVENT_TIME = ID,
	KEYS
};

#define MOST_ROWS	1000		/* of one time and key that are explained */

/* Columns of a detector's result table behind its keys: see definition.h. */
enum
{
	VALUE,
	FEATURES,
	SCORE,
	P_VALUE,
	THRESHOLD,
	IS_ANOMALY,
	EXPLANATION = 10
};

/* A row of the result table; jsonb in the caller's memory. */
typedef struct Stored
{
	int64		id;
	TimestampTz time;
	bool		has_time;
	Jsonb	   *keys;			/* NULL: there are none */
	Jsonb	   *row;			/* what both have: event_time, key, value, features, p_value */
	Jsonb	   *judged;			/* score, threshold, margin, is_anomaly, reasons */
	Jsonb	   *explanation;	/* as it was written down, or what the columns tell */
	bool		is_written;		/* the former */
	double		score;
	bool		has_score;
	bool		is_anomaly;
} Stored;

/* A look for rows in history. */
typedef struct Look
{
	SpRehearsal *rehearsal;
	MemoryContext context;		/* of what is found */
	TimestampTz time;
	Jsonb	   *keys;			/* some of them; NULL: whatever they are */
	const Stored *stored;		/* NULL: any row will do */
	int			first;			/* the column "value" */
	SpImage		image;
	List	   *found;			/* of Jsonb * */
} Look;

PG_FUNCTION_INFO_V1(sp_explain_row);
PG_FUNCTION_INFO_V1(sp_explain_time);

static Jsonb *
concat(Jsonb *a, Jsonb *b)
{
	return DatumGetJsonbP(DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(a), JsonbPGetDatum(b)));
}

/* ---- History. ---- */

/* The columns that a report begins with. */
static TupleDesc
describe_row(void)
{
	TupleDesc	desc = CreateTemplateTupleDesc(5);

	TupleDescInitEntry(desc, 1, "event_time", TIMESTAMPTZOID, -1, 0);
	TupleDescInitEntry(desc, 2, "key", JSONBOID, -1, 0);
	TupleDescInitEntry(desc, 3, "value", FLOAT8OID, -1, 0);
	TupleDescInitEntry(desc, 4, "features", FLOAT8ARRAYOID, -1, 0);
	TupleDescInitEntry(desc, 5, "p_value", FLOAT8OID, -1, 0);
	return desc;
}

/* What was said of a row, as jsonb. */
static Jsonb *
make_report(Look *look, const SpSaid *said, Jsonb *keys)
{
	const Datum *columns = said->values + look->first;
	const bool *missing = said->nulls + look->first;
	Datum		values[] = {TimestampTzGetDatum(said->time), JsonbPGetDatum(keys),
	columns[VALUE], columns[FEATURES], columns[P_VALUE]};
	bool		nulls[] = {false, keys == NULL, missing[VALUE], missing[FEATURES],
	missing[P_VALUE]};
	Datum		row = sp_image_make(&look->image, values, nulls);

	return concat(DatumGetJsonbP(row), DatumGetJsonbP(columns[EXPLANATION]));
}

/* Is it said of the stored row? */
static bool
is_stored(const Look *look, const SpSaid *said)
{
	const Datum *columns = said->values + look->first;
	double		score = DatumGetFloat8(columns[SCORE]);

	return look->found == NIL && look->stored->has_score && !said->nulls[look->first + SCORE] &&
		score == look->stored->score && said->is_anomaly == look->stored->is_anomaly;
}

/* SpRehearsalTake */
static void
take_row(void *arg, const SpSaid *said)
{
	Look	   *look = arg;
	SpLabel		wanted = {.keys = look->keys};
	MemoryContext old;
	Jsonb	   *keys;

	if (said->time != look->time || (look->stored != NULL && !is_stored(look, said)))
		return;
	old = MemoryContextSwitchTo(look->context);
	keys = sp_rehearsal_keys(look->rehearsal, said);
	if (sp_label_is_of(&wanted, keys))
	{
		if (list_length(look->found) == MOST_ROWS)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("more than %d events are at %s", MOST_ROWS,
							timestamptz_to_str(look->time)),
					 errhint("Give parameter \"keys\".")));
		look->found = lappend(look->found, make_report(look, said, keys));
	}
	MemoryContextSwitchTo(old);
}

/* Look for rows of a time, and maybe keys. */
static void
look_up(Look *look, const SpTrial *trial)
{
	TimestampTz before = look->time < DT_NOEND - 1 ? look->time + 1 : DT_NOEND;

	look->context = CurrentMemoryContext;
	look->first = 2 + trial->detector->nkeys;
	sp_image_open(&look->image, describe_row());
	look->rehearsal = sp_rehearsal_open(trial->definitions, list_make1(trial->detector),
										look->time);
	sp_rehearsal_run(look->rehearsal, before, take_row, look);
	sp_rehearsal_close(look->rehearsal);
}

/* ---- The result table. ---- */

/* "jsonb_build_object('k', l.k)" of the detector's keys. */
static char *
format_keys(const SpTrial *trial)
{
	StringInfoData list;

	if (trial->detector->nkeys == 0)
		return "NULL::jsonb";
	initStringInfo(&list);
	for (int k = 0; k < trial->detector->nkeys; k++)
	{
		char	   *name = get_attname(trial->object.relid, 3 + k, false);

		appendStringInfo(&list, "%s%s, l.%s", k > 0 ? ", " : "", quote_literal_cstr(name),
						 quote_identifier(name));
	}
	return psprintf("jsonb_build_object(%s)", list.data);
}

/* Why a row isn't flagged, as far as its columns tell. */
static char *
format_reason(const SpTrial *trial)
{
	return psprintf("CASE WHEN l.score IS NULL THEN 'it has no score' "
					"WHEN l.score <= l.threshold THEN format('score %%s is %%s below the threshold %%s', "
					"round(l.score::numeric, 3), round((l.threshold - l.score)::numeric, 3), "
					"round(l.threshold::numeric, 3)) "
					"ELSE 'its deviation from what is expected is less than min_effect %g' END",
					trial->detector->min_effect);
}

/*
 * The row of an id: id, instant, keys, row, judged, explanation, is it written down, score,
 * is_anomaly.
 */
static char *
write_query(const SpTrial *trial)
{
	const char *instant = trial->stream->time_type == TIMESTAMPTZOID ? "l.event_time" :
		psprintf("timezone(%s, l.event_time::timestamp)",
				 quote_literal_cstr(trial->stream->time_zone));
	const char *keys = format_keys(trial);
	const char *known = !trial->detector->has_value ? "jsonb_build_object('method', %s)" :
		"jsonb_build_object('method', %s, 'expected', jsonb_build_object('value', "
		"jsonb_build_object('value', l.expected, 'lower', l.lower_bound, 'upper', l.upper_bound)), "
		"'nearest_normal', jsonb_build_object('value', CASE WHEN l.lower_bound IS NOT NULL "
		"OR l.upper_bound IS NOT NULL THEN least(greatest(l.value, l.lower_bound), l.upper_bound) END))";

	return psprintf("SELECT l.id, %s, %s, jsonb_build_object('event_time', %s, 'key', %s, "
					"'value', l.value, 'features', l.features, 'p_value', l.p_value), "
					"jsonb_build_object('score', l.score, 'threshold', l.threshold, "
					"'margin', l.score - l.threshold, 'is_anomaly', l.is_anomaly, 'reasons', "
					"CASE WHEN l.is_anomaly THEN to_jsonb(l.alerts) ELSE jsonb_build_array(%s) END), "
					"coalesce(l.explanation, %s), l.explanation IS NOT NULL, l.score, l.is_anomaly "
					"FROM ONLY %s l WHERE l.id = $1", instant, keys, instant, keys,
					format_reason(trial),
					psprintf(known, quote_literal_cstr(trial->detector->method)),
					sp_relation_quote(trial->object.relid));
}

/* A column of the row that was found, in the memory that is current. */
static Jsonb *
get_jsonb(int column)
{
	bool		isnull;
	Datum		value = sp_query_value(0, column, &isnull);

	return isnull ? NULL : DatumGetJsonbPCopy(value);
}

static void
take_stored(Stored *stored)
{
	bool		isnull;
	bool		no_time;

	stored->id = DatumGetInt64(sp_query_value(0, 1, &isnull));
	stored->time = DatumGetTimestampTz(sp_query_value(0, 2, &no_time));
	stored->has_time = !no_time;
	stored->keys = get_jsonb(3);
	stored->row = get_jsonb(4);
	stored->judged = get_jsonb(5);
	stored->explanation = get_jsonb(6);
	stored->is_written = DatumGetBool(sp_query_value(0, 7, &isnull));
	stored->score = DatumGetFloat8(sp_query_value(0, 8, &isnull));
	stored->has_score = !isnull;
	stored->is_anomaly = DatumGetBool(sp_query_value(0, 9, &isnull)) && !isnull;
}

/*
 * Read the row, with the owner's rights, for so do the functions of the keys' types run; that the
 * caller may read it has been looked at.
 */
static void
read_stored(const SpTrial *trial, int64 id, Stored *stored)
{
	MemoryContext context = CurrentMemoryContext;
	char	   *query = write_query(trial);
	Oid			type = INT8OID;
	Datum		arg = Int64GetDatum(id);
	SpQueryScope scope;
	MemoryContext old;

	sp_query_open(&scope, InvalidOid);
	SetUserIdAndSecContext(trial->detector->o.owner,
						   scope.security | SECURITY_RESTRICTED_OPERATION);
	sp_query_run(&scope, query, SPI_OK_SELECT, 1, &type, &arg, NULL);
	if (SPI_processed == 0)
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("detector \"%s\" has no row with id " INT64_FORMAT, trial->object.name, id)));
	old = MemoryContextSwitchTo(context);
	take_stored(stored);
	MemoryContextSwitchTo(old);
	sp_query_close(&scope);
}

/* {"id": 7, "recomputed": true} */
static Jsonb *
make_tail(const Stored *stored, bool recomputed)
{
	char	   *text = psprintf("{\"id\": " INT64_FORMAT ", \"recomputed\": %s}", stored->id,
								recomputed ? "true" : "false");

	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text)));
}

/* ---- The functions. ---- */

Datum
sp_explain_row(PG_FUNCTION_ARGS)
{
	SpTrial		trial;
	Stored		stored;
	Look		look = {.stored = &stored};
	Jsonb	   *report;

	sp_trial_open(fcinfo, DETECTOR, &trial);
	sp_parameter_require(fcinfo, ID, "id");
	read_stored(&trial, PG_GETARG_INT64(ID), &stored);
	if (stored.has_time && sp_trial_obstacle(&trial) == NULL)
	{
		look.time = stored.time;
		look.keys = stored.keys;
		look_up(&look, &trial);
	}
	report = concat(stored.row, stored.explanation);
	if (look.found == NIL)
		report = concat(report, stored.judged);
	else
		report = concat(linitial(look.found), stored.is_written ? report : stored.row);
	PG_RETURN_JSONB_P(concat(report, make_tail(&stored, look.found != NIL)));
}

/* Are these keys of the detector? */
static Jsonb *
read_keys(FunctionCallInfo fcinfo, const SpTrial *trial)
{
	Jsonb	   *keys = PG_ARGISNULL(KEYS) ? NULL : PG_GETARG_JSONB_P(KEYS);
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	name;

	if (keys == NULL)
		return NULL;
	if (!JB_ROOT_IS_OBJECT(keys))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("parameter \"keys\" must be a JSON object: %s",
						sp_parameter_value(fcinfo, KEYS)),
				 errhint("For example, keys => '{\"sensor\": 1}'.")));
	it = JsonbIteratorInit(&keys->root);
	while ((token = JsonbIteratorNext(&it, &name, true)) != WJB_DONE)
	{
		AttrNumber	column;
		char	   *key;

		if (token != WJB_KEY)
			continue;
		key = pnstrdup(name.val.string.val, name.val.string.len);
		column = get_attnum(trial->object.relid, key);
		if (column < 3 || column >= 3 + trial->detector->nkeys)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("detector \"%s\" has no key \"%s\"", trial->object.name,
							sp_parameter_clip(key))));
	}
	return keys;
}

Datum
sp_explain_time(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	SpTrial		trial;
	Look		look = {0};
	ListCell   *cell;

	sp_trial_open(fcinfo, DETECTOR, &trial);
	sp_trial_check_history(&trial);
	sp_parameter_require(fcinfo, EVENT_TIME, "event_time");
	look.time = PG_GETARG_TIMESTAMPTZ(EVENT_TIME);
	look.keys = read_keys(fcinfo, &trial);
	look_up(&look, &trial);
	if (look.found == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("detector \"%s\" scores no event at %s%s%s", trial.object.name,
						timestamptz_to_str(look.time), look.keys != NULL ? " with keys " : "",
						look.keys != NULL ? sp_parameter_value(fcinfo, KEYS) : ""),
				 errhint("Events that its filter leaves out, and those without numbers to score, "
						 "have no score.")));
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	foreach(cell, look.found)
	{
		Datum		value = JsonbPGetDatum(lfirst(cell));
		bool		isnull = false;

		tuplestore_putvalues(result->setResult, result->setDesc, &value, &isnull);
	}
	return (Datum) 0;
}
