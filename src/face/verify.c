/*
 * verify.c
 *	  verify(): the rows in which a window's result table differs from its twin.
 *
 * Compared are closed windows: those the result table calls final, and those that end no
 * later than one of these.  Running totals are compared as they are.
 *
 * Keys may be null and of any type with an order, so the two sides are not joined by them
 * but by their rank among the keys of both.
 */
#include "postgres.h"

#include <math.h>

#include "access/relation.h"
#include "catalog/pg_class_d.h"
#include "catalog/pg_type_d.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/tuplestore.h"
#include "utils/typcache.h"

#include "base/compat.h"
#include "catalog/object.h"
#include "catalog/query.h"
#include "face/lifecycle.h"
#include "face/parameter.h"
#include "face/relation.h"
#include "face/twin.h"

/* Sums of the same floats in another order differ by less. */
#define TOLERANCE 1e-9

typedef struct Columns
{
	int			first_key;		/* 1, or 3 behind window_start and window_end */
	int			nkeys;
	int			naggregates;
	TupleDesc	desc;			/* of the result table */
} Columns;

PG_FUNCTION_INFO_V1(sp_verify);
PG_FUNCTION_INFO_V1(sp_nearly_equal);

Datum
sp_nearly_equal(PG_FUNCTION_ARGS)
{
	double		a = PG_ARGISNULL(0) ? 0 : PG_GETARG_FLOAT8(0);
	double		b = PG_ARGISNULL(1) ? 0 : PG_GETARG_FLOAT8(1);

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_BOOL(PG_ARGISNULL(0) && PG_ARGISNULL(1));
	if (!isfinite(a) || !isfinite(b))
		PG_RETURN_BOOL(a == b || (isnan(a) && isnan(b)));
	/* Halves, lest the difference overflows. */
	PG_RETURN_BOOL(fabs(a / 2 - b / 2) <=
				   TOLERANCE / 2 * Max(1.0, Max(fabs(a), fabs(b))));
}

/* The window can't be used, or was dropped this very moment. */
static void
refuse_broken(const SpDefinitions *definitions, const SpObject *object)
{
	const char *problem = sp_definition_problem(definitions, object->id);

	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("window \"%s\" can't be verified: %s", object->name,
					problem != NULL ? problem : "it was dropped"),
			 errhint("Mend it and call streamproc.resume(), or create it again with "
					 "replace => true.")));
}

/* The argument, a window that the caller may read, locked against being dropped. */
static void
lock_window(FunctionCallInfo fcinfo, SpObject *object)
{
	sp_parameter_require(fcinfo, 0, "name");
	if (!sp_object_find(PG_GETARG_OID(0), object) || object->kind != SP_WINDOW)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a window", sp_parameter_value(fcinfo, 0)),
				 errhint("SELECT name FROM streamproc.status WHERE kind = 'window' lists them.")));
	sp_relation_check_readable(object->relid);
	LockRelationOid(object->relid, AccessShareLock);
	if (!sp_object_find(PG_GETARG_OID(0), object))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("window \"%s\" was dropped meanwhile", object->name)));
}

/* The definition of a window that can be verified. */
static const SpWindowDef *
get_window(FunctionCallInfo fcinfo, SpObject *object, const SpStreamDef **stream)
{
	SpDefinitions *definitions;
	const char *obstacle;
	ListCell   *cell;

	lock_window(fcinfo, object);
	*stream = sp_lifecycle_stream(object);
	obstacle = sp_twin_obstacle(*stream);
	if (obstacle != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("window \"%s\" has no plain-SQL twin to be compared with", object->name),
				 errdetail("%s", obstacle)));
	if (!OidIsValid(object->twin) || get_rel_name(object->twin) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("the plain-SQL twin of window \"%s\" was dropped", object->name),
				 errhint("Create the window again with replace => true.")));
	definitions = sp_definition_load();
	foreach(cell, definitions->windows)
	{
		SpWindowDef *window = lfirst(cell);

		if (window->o.id == object->id)
			return window;
	}
	refuse_broken(definitions, object);
	return NULL;
}

/* A column of the relation by its number. */
static const char *
column_name(Oid relid, int attnum)
{
	return quote_identifier(get_attname(relid, attnum, false));
}

static Oid
column_type(const Columns *columns, int i)
{
	return TupleDescAttr(columns->desc, columns->first_key - 1 + i)->atttypid;
}

/* ", column AS c1, ...": keys and aggregates by number. */
static void
append_columns(StringInfo sql, const Columns *columns, Oid relid)
{
	for (int i = 0; i < columns->nkeys + columns->naggregates; i++)
		appendStringInfo(sql, ", %s AS c%d", column_name(relid, columns->first_key + i), i);
}

/* One side: SELECT is_expected, is_final, window_start, window_end, c0... FROM relation */
static void
append_side(StringInfo sql, const Columns *columns, Oid relid, bool expected)
{
	bool		tumbling = columns->first_key > 1;
	int			final = columns->first_key + columns->nkeys + columns->naggregates;

	appendStringInfo(sql, "SELECT %s AS is_expected, %s AS is_final, %s AS window_start, "
					 "%s AS window_end",
					 expected ? "true" : "false",
					 expected ? "false" : column_name(relid, final),
					 tumbling ? column_name(relid, 1) : "NULL::pg_catalog.timestamptz",
					 tumbling ? column_name(relid, 2) : "NULL::pg_catalog.timestamptz");
	append_columns(sql, columns, relid);
	appendStringInfo(sql, " FROM %s", sp_relation_quote(relid));
}

/* "(SELECT to_jsonb(x.*) FROM (SELECT side.c0 AS name, ...) x)", columns from .. to - 1. */
static void
append_json(StringInfo sql, const Columns *columns, const char *side, int from, int to)
{
	appendStringInfoString(sql, "(SELECT pg_catalog.to_jsonb(x.*) FROM (SELECT ");
	for (int i = from; i < to; i++)
		appendStringInfo(sql, "%s%s.c%d AS %s", i > from ? ", " : "", side, i,
						 quote_identifier(NameStr(TupleDescAttr(columns->desc, columns->first_key -
																1 + i)->attname)));
	appendStringInfoString(sql, ") x)");
}

/* Are the aggregates of e and a equal? */
static void
append_comparison(StringInfo sql, const Columns *columns)
{
	int			from = columns->nkeys;
	int			to = columns->nkeys + columns->naggregates;

	appendStringInfoString(sql, "(true");
	for (int i = from; i < to; i++)
	{
		Oid			type = column_type(columns, i);

		/* record_eq looks for the type's own equality, not through the search_path. */
		if (type == FLOAT4OID || type == FLOAT8OID)
			appendStringInfo(sql, " AND streamproc.nearly_equal(e.c%d, a.c%d)", i, i);
		else if (OidIsValid(lookup_type_cache(type, TYPECACHE_EQ_OPR)->eq_opr))
			appendStringInfo(sql, " AND pg_catalog.record_eq(ROW(e.c%d), ROW(a.c%d))", i, i);
		else
			appendStringInfo(sql, " AND pg_catalog.record_eq(ROW(e.c%d::pg_catalog.text), "
							 "ROW(a.c%d::pg_catalog.text))", i, i);
	}
	appendStringInfoChar(sql, ')');
}

/* window_start as timestamptz: a time without zone is the stream's. */
static const char *
format_start(const SpStreamDef *stream, bool tumbling)
{
	const char *start = "coalesce(e.window_start, a.window_start)";

	if (!tumbling || stream->time_type == TIMESTAMPTZOID)
		return psprintf("%s::pg_catalog.timestamptz", start);
	return psprintf("pg_catalog.timezone(%s, %s::pg_catalog.timestamp)",
					quote_literal_cstr(stream->time_zone), start);
}

/*
 * Of rows that have the same dedup_key and the same time the first one to be committed
 * counts, which no column tells: are there any that are not alike?
 */
static void
append_unlike_duplicates(StringInfo sql, const SpStreamDef *stream)
{
	appendStringInfo(sql, "WHEN (SELECT EXISTS (SELECT FROM %s%s s GROUP BY s.%s",
					 get_rel_relkind(stream->o.relid) == RELKIND_PARTITIONED_TABLE ? "" : "ONLY ",
					 sp_relation_quote(stream->o.relid),
					 column_name(stream->o.relid, stream->time_attnum));
	for (int i = 0; i < stream->ndedup; i++)
		appendStringInfo(sql, ", s.%s", column_name(stream->o.relid, stream->dedup_attnum[i]));
	appendStringInfoString(sql, " HAVING pg_catalog.count(DISTINCT s.*::pg_catalog.text) "
						   "OPERATOR(pg_catalog.>) 1)) THEN 'of rows with the same dedup_key and "
						   "event time the first to be committed counts, and these differ' ");
}

/* Differences that the definition itself accounts for. */
static const char *
format_explanation(const SpWindowDef *window, const SpStreamDef *stream)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "CASE ");
	if (!window->backfill)
		appendStringInfoString(&sql, "WHEN e.g IS NOT NULL THEN 'rows older than the window are not "
							   "in it: backfill => false' ");
	if (!stream->late_dead_letter)
		appendStringInfoString(&sql, "WHEN e.g IS NOT NULL THEN 'late rows were dropped: "
							   "late => ''drop''' ");
	if (stream->ndedup > 0)
		append_unlike_duplicates(&sql, stream);
	appendStringInfoString(&sql, "WHEN s.n OPERATOR(pg_catalog.>) 0 THEN 'rows of the source were "
						   "updated or deleted, which is ignored: on_update => ''ignore''' "
						   "ELSE NULL END");
	return sql.data;
}

/*
 * u: the rows of both sides, of which equal keys have the same g.  c: the last window that
 * is closed, and the oldest that is kept.  s: how often the source was changed other than
 * by INSERT.
 */
static void
append_with(StringInfo sql, const SpObject *object, const Columns *columns)
{
	appendStringInfoString(sql, "WITH u AS MATERIALIZED (SELECT pg_catalog.dense_rank() OVER "
						   "(ORDER BY window_start");
	for (int i = 0; i < columns->nkeys; i++)
		appendStringInfo(sql, ", c%d", i);
	appendStringInfoString(sql, ") AS g, * FROM (");
	append_side(sql, columns, object->twin, true);
	appendStringInfoString(sql, " UNION ALL ");
	append_side(sql, columns, object->relid, false);
	appendStringInfoString(sql, ") u), "
						   "c AS MATERIALIZED (SELECT pg_catalog.max(window_end) AS closed, "
						   "pg_catalog.min(window_start) AS oldest "
						   "FROM u WHERE NOT is_expected AND is_final), "
						   "s AS MATERIALIZED (SELECT p.updates OPERATOR(pg_catalog.+) p.deletes "
						   "OPERATOR(pg_catalog.+) p.truncates AS n FROM streamproc.stream t "
						   "JOIN streamproc.object_progress p USING (id) "
						   "WHERE t.relation OPERATOR(pg_catalog.=) $1 "
						   "UNION ALL SELECT 0 LIMIT 1) ");
}

/* "CASE WHEN side.g IS NOT NULL THEN its aggregates END" */
static void
append_values(StringInfo sql, const Columns *columns, const char *side)
{
	appendStringInfo(sql, ", CASE WHEN %s.g IS NOT NULL THEN ", side);
	append_json(sql, columns, side, columns->nkeys, columns->nkeys + columns->naggregates);
	appendStringInfoString(sql, " END");
}

/* e: what is expected; a: what is there. */
static char *
write_query(const SpWindowDef *window, const SpObject *object, const SpStreamDef *stream,
			const Columns *columns)
{
	bool		tumbling = columns->first_key > 1;
	StringInfoData sql;

	initStringInfo(&sql);
	append_with(&sql, object, columns);
	appendStringInfo(&sql, "SELECT CASE WHEN a.g IS NULL THEN 'missing' WHEN e.g IS NULL "
					 "THEN 'unexpected' ELSE 'different' END, %s, CASE WHEN e.g IS NULL THEN ",
					 format_start(stream, tumbling));
	append_json(&sql, columns, "a", 0, columns->nkeys);
	appendStringInfoString(&sql, " ELSE ");
	append_json(&sql, columns, "e", 0, columns->nkeys);
	appendStringInfoString(&sql, " END");
	append_values(&sql, columns, "e");
	append_values(&sql, columns, "a");
	appendStringInfo(&sql, ", %s FROM (SELECT * FROM u WHERE is_expected) e FULL JOIN "
					 "(SELECT * FROM u WHERE NOT is_expected) a "
					 "ON a.g OPERATOR(pg_catalog.=) e.g, c, s "
					 "WHERE (e.g IS NULL OR a.g IS NULL OR NOT ",
					 format_explanation(window, stream));
	append_comparison(&sql, columns);
	appendStringInfoChar(&sql, ')');
	if (tumbling)
		appendStringInfoString(&sql, " AND (a.is_final OR coalesce(e.window_end, a.window_end) "
							   "OPERATOR(pg_catalog.<=) c.closed)");
	if (window->retention_us > 0)
		appendStringInfoString(&sql, " AND coalesce(e.window_start, a.window_start) "
							   "OPERATOR(pg_catalog.>=) c.oldest");
	appendStringInfoString(&sql, " ORDER BY coalesce(e.g, a.g)");
	return sql.data;
}

/* The settings under which the expressions were written. */
static void
apply_settings(List *settings)
{
	ListCell   *cell;

	foreach(cell, settings)
	{
		char	   *setting = pstrdup(lfirst(cell));
		char	   *value = strchr(setting, '=');

		if (value == NULL)
			continue;
		*value++ = '\0';
		(void) set_config_option(setting, value, PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
	}
}

/*
 * The comparison evaluates the owner's expressions, so it has the owner's rights and
 * settings, whoever asks; therefore our own part of it leaves nothing to the search_path.
 */
Datum
sp_verify(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	SpObject	object;
	const SpStreamDef *stream;
	const SpWindowDef *window = get_window(fcinfo, &object, &stream);
	Oid			type = REGCLASSOID;
	Datum		source = ObjectIdGetDatum(object.source);
	Columns		columns;
	Relation	relation;
	SpQueryScope scope;
	char	   *query;

	InitMaterializedSRF(fcinfo, 0);
	relation = relation_open(object.relid, AccessShareLock);
	columns.desc = RelationGetDescr(relation);
	columns.nkeys = window->nkeys;
	columns.naggregates = window->naggs;
	columns.first_key = window->window_kind == SP_WINDOW_GLOBAL ? 1 : 3;

	sp_relation_check_readable(object.twin);
	if (check_enable_rls(object.relid, InvalidOid, true) == RLS_ENABLED)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("row security of table \"%s\" applies to you", object.name),
				 errdetail("All rows of a window are compared.")));
	query = write_query(window, &object, stream, &columns);

	sp_query_open(&scope, InvalidOid);
	SetUserIdAndSecContext(window->o.owner, scope.security | SECURITY_RESTRICTED_OPERATION);
	apply_settings(window->o.settings);
	sp_query_run(&scope, query, SPI_OK_SELECT, 1, &type, &source, NULL);
	for (uint64 row = 0; row < SPI_processed; row++)
		tuplestore_puttuple(result->setResult, SPI_tuptable->vals[row]);
	sp_query_close(&scope);
	relation_close(relation, NoLock);
	return (Datum) 0;
}
