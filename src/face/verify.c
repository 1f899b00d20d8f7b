/*
 * verify.c
 *	  verify(): the rows in which a window's result table differs from its twin.
 *
 * Compared are closed windows: those the result table calls final, and those that end no
 * later than one of these.  Running totals are compared as they are.
 *
 * Keys may be null and of any type with an order, so the two sides are not joined by them
 * but by their rank among the keys of both.
 *
 * Rows of a sliding window have no key: they are multisets of what is equal in time, keys
 * and what they carry.  The twin gives all of these the same answer, so that any pairs will
 * do; the window told each what was known when it came.  A difference is explained where a
 * row of the same key came into its window later, or may have come later, for the group_filter
 * has left it out, and nobody knows when.  So the twin is read without its condition, to know
 * of those rows.  A window that counts its rows tells how many have come later, at most as
 * many as may have, and where none has nothing else is another.
 */
#include "postgres.h"

#include <math.h>

#include "access/relation.h"
#include "catalog/pg_class_d.h"
#include "catalog/pg_type_d.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteHandler.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/ruleutils.h"
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
	int			ncarry;
	int			naggregates;
	TupleDesc	desc;			/* of the result table */
} Columns;

/* What is verified, and what may account for differences. */
typedef struct Subject
{
	SpObject	object;
	const SpWindowDef *window;
	const SpStreamDef *stream;
	bool		complete;		/* it and what it reads have the rows older than they are */
	bool		reads_window;	/* one of which the twin reads the twin */
	char	   *answers;		/* of a sliding one: the twin's query without its condition, but
								 * with a column "satisfies"; NULL: it has none */
	int			count;			/* of a sliding one: which column is count(*); -1: there is none */
	const SpWindowDef *sliding; /* whose result table the twin reads; NULL: the stream's table */
	StringInfoData ids;			/* its own, and those of the windows whose twins its twin reads */
} Subject;

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

/* An error unless there is a twin to compare the window with. */
static void
check_twin(const Subject *subject)
{
	if (!OidIsValid(subject->object.twin))
	{
		const char *obstacle = sp_twin_obstacle(subject->stream);

		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("window \"%s\" has no plain-SQL twin to be compared with",
						subject->object.name),
				 obstacle != NULL ? errdetail("%s", obstacle) : 0));
	}
	if (get_rel_name(subject->object.twin) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("the plain-SQL twin of window \"%s\" was dropped", subject->object.name),
				 errhint("Create the window again with replace => true.")));
}

/* The window with that result table, or NULL. */
static const SpWindowDef *
find_window(const SpDefinitions *definitions, Oid relid)
{
	ListCell   *cell;

	foreach(cell, definitions->windows)
	{
		SpWindowDef *window = lfirst(cell);

		if (window->o.relid == relid)
			return window;
	}
	return NULL;
}

/* The window that is asked for, which can be verified. */
static void
open_subject(FunctionCallInfo fcinfo, Subject *subject)
{
	SpDefinitions *definitions;
	const SpWindowDef *source;

	lock_window(fcinfo, &subject->object);
	subject->stream = sp_lifecycle_stream(&subject->object);
	check_twin(subject);
	definitions = sp_definition_load();
	subject->window = find_window(definitions, subject->object.relid);
	if (subject->window == NULL)
		refuse_broken(definitions, &subject->object);
	subject->complete = subject->window->backfill;
	initStringInfo(&subject->ids);
	appendStringInfo(&subject->ids, "%d", subject->object.id);
	source = find_window(definitions, subject->window->o.source);
	subject->reads_window = source != NULL && source->window_kind != SP_WINDOW_SLIDING;
	while (source != NULL && source->window_kind != SP_WINDOW_SLIDING)
	{
		subject->complete &= source->backfill;
		appendStringInfo(&subject->ids, ", %d", source->o.id);
		source = find_window(definitions, source->o.source);
	}
	subject->sliding = source;
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

/* The number of its aggregates' first column; and of all columns that are compared. */
static int
first_aggregate(const Columns *columns)
{
	return columns->nkeys + columns->ncarry;
}

static int
count_columns(const Columns *columns)
{
	return columns->nkeys + columns->ncarry + columns->naggregates;
}

static bool
has_windows(const Columns *columns)
{
	return columns->first_key > 1;
}

/* Is a row missing on the twin's side, or left out by its condition? */
static const char *
is_not_expected(const Subject *subject)
{
	return subject->answers != NULL ? "e.satisfies IS NOT TRUE" : "e.g IS NULL";
}

/* What the twin's column is computed by, in its query or the one that its condition is over. */
static Node *
find_expression(const Query *query, int column)
{
	TargetEntry *target = get_tle_by_resno(query->targetList, column);
	Var		   *var = (Var *) (target != NULL ? target->expr : NULL);
	RangeTblEntry *rte;

	if (var == NULL || !IsA(var, Var))
		return (Node *) var;
	rte = rt_fetch(var->varno, query->rtable);
	target = rte->rtekind == RTE_SUBQUERY ?
		get_tle_by_resno(rte->subquery->targetList, var->varattno) : NULL;
	return target != NULL ? (Node *) target->expr : NULL;
}

/* The number of the column that counts the rows of a window; -1: there is none. */
static int
find_count(const Query *query, const Columns *columns)
{
	for (int i = first_aggregate(columns); i < count_columns(columns); i++)
	{
		WindowFunc *function = (WindowFunc *) find_expression(query, columns->first_key + i);

		if (function != NULL && IsA(function, WindowFunc) &&
			function->winfnoid == F_COUNT_ && function->aggfilter == NULL)
			return i;
	}
	return -1;
}

/* The query without its condition, which becomes a column. */
static char *
write_answers(Query *query)
{
	Expr	   *condition = (Expr *) query->jointree->quals;
	BooleanTest *satisfies = makeNode(BooleanTest);

	satisfies->arg = condition;
	satisfies->booltesttype = IS_TRUE;
	satisfies->location = -1;
	query->jointree->quals = NULL;
	query->targetList = lappend(query->targetList,
								makeTargetEntry((Expr *) satisfies,
												list_length(query->targetList) + 1,
												pstrdup("satisfies"), false));
	return pg_get_querydef(query, false);
}

/* What the twin of a sliding window tells of its answers. */
static void
read_twin(Subject *subject, const Columns *columns)
{
	Relation	view;
	Query	   *query;

	subject->count = -1;
	if (subject->window->window_kind != SP_WINDOW_SLIDING)
		return;
	view = relation_open(subject->object.twin, AccessShareLock);
	query = copyObject(get_view_query(view));
	subject->count = find_count(query, columns);
	if (query->jointree->quals != NULL)
		subject->answers = write_answers(query);
	relation_close(view, NoLock);
}

/* ", column AS c1, ...": keys, carry and aggregates by number. */
static void
append_columns(StringInfo sql, const Columns *columns, Oid relid)
{
	for (int i = 0; i < count_columns(columns); i++)
		appendStringInfo(sql, ", %s AS c%d", column_name(relid, columns->first_key + i), i);
}

/* One side: SELECT is_expected, is_final, window_start, window_end, c0... FROM relation */
static void
append_side(StringInfo sql, const Subject *subject, const Columns *columns, bool expected)
{
	Oid			relid = expected ? subject->object.twin : subject->object.relid;
	int			final = columns->first_key + count_columns(columns);

	appendStringInfo(sql, "SELECT %s AS is_expected, %s AS is_final, %s AS window_start, "
					 "%s AS window_end",
					 expected ? "true" : "false",
					 expected ? "false" : column_name(relid, final),
					 has_windows(columns) ? column_name(relid, 1) : "NULL::pg_catalog.timestamptz",
					 has_windows(columns) ? column_name(relid, 2) : "NULL::pg_catalog.timestamptz");
	append_columns(sql, columns, relid);
	if (subject->window->window_kind == SP_WINDOW_SLIDING)
		appendStringInfo(sql, ", %s AS lsn, %s AS ordinal",
						 expected ? "NULL::pg_catalog.pg_lsn" : column_name(relid, final + 2),
						 expected ? "NULL::pg_catalog.int8" : column_name(relid, final + 3));
	if (subject->answers != NULL)
		appendStringInfo(sql, ", %s AS satisfies", expected ? "t.satisfies" : "true");
	if (expected && subject->answers != NULL)
		appendStringInfo(sql, " FROM (%s) t", subject->answers);
	else
		appendStringInfo(sql, " FROM %s", sp_relation_quote(relid));
}

/* ", c0, c1, ...", up to column n; where their type has no order, in that of their text. */
static void
append_ordering(StringInfo sql, const Columns *columns, int n)
{
	for (int i = 0; i < n; i++)
	{
		TypeCacheEntry *type = lookup_type_cache(column_type(columns, i), TYPECACHE_LT_OPR);

		appendStringInfo(sql, ", c%d%s", i, OidIsValid(type->lt_opr) ? "" : "::pg_catalog.text");
	}
}

/*
 * u: the rows of both sides.  Those with equal times, keys and carry have the same g.  Of a
 * sliding window: k numbers these, and is_old tells that a row of the same key has come into
 * the row's window after it; nrows are in its window, of which nanswers have an answer.
 */
static void
append_rows(StringInfo sql, const Subject *subject, const Columns *columns)
{
	const SpWindowDef *window = subject->window;
	bool		sliding = window->window_kind == SP_WINDOW_SLIDING;

	appendStringInfoString(sql, "u AS MATERIALIZED (");
	if (sliding)
	{
		const char *frame = psprintf("key_rank ORDER BY window_end RANGE BETWEEN %s PRECEDING AND "
									 "CURRENT ROW",
									 sp_twin_quote_us(window->size_us - (window->closed ? 0 : 1)));

		appendStringInfo(sql, "SELECT *, pg_catalog.row_number() OVER (PARTITION BY is_expected, g) "
						 "AS k, pg_catalog.max(arrival) OVER (PARTITION BY is_expected, %s) "
						 "OPERATOR(pg_catalog.>) arrival AS is_old, "
						 "pg_catalog.count(*) FILTER (WHERE is_expected) OVER (PARTITION BY %s) "
						 "AS nrows, "
						 "pg_catalog.count(*) FILTER (WHERE NOT is_expected) OVER (PARTITION BY %s) "
						 "AS nanswers FROM (", frame, frame, frame);
	}
	appendStringInfoString(sql, "SELECT pg_catalog.dense_rank() OVER "
						   "(ORDER BY window_start, window_end");
	append_ordering(sql, columns, first_aggregate(columns));
	appendStringInfoString(sql, ") AS g, ");
	if (sliding)
	{
		appendStringInfoString(sql, "pg_catalog.row_number() OVER (PARTITION BY is_expected "
							   "ORDER BY lsn, ordinal) AS arrival, "
							   "pg_catalog.dense_rank() OVER (ORDER BY true");
		append_ordering(sql, columns, columns->nkeys);
		appendStringInfoString(sql, ") AS key_rank, ");
	}
	appendStringInfoString(sql, "* FROM (");
	append_side(sql, subject, columns, true);
	appendStringInfoString(sql, " UNION ALL ");
	append_side(sql, subject, columns, false);
	appendStringInfo(sql, ") u%s)", sliding ? ") u" : "");
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
	appendStringInfoString(sql, "(true");
	for (int i = first_aggregate(columns); i < count_columns(columns); i++)
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
format_start(const SpStreamDef *stream, bool windows)
{
	const char *start = "coalesce(e.window_start, a.window_start)";

	if (!windows || stream->time_type == TIMESTAMPTZOID)
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
	const char *time = column_name(stream->o.relid, stream->time_attnum);

	appendStringInfo(sql, "WHEN (SELECT EXISTS (SELECT FROM %s%s s WHERE pg_catalog.isfinite(s.%s)",
					 get_rel_relkind(stream->o.relid) == RELKIND_PARTITIONED_TABLE ? "" : "ONLY ",
					 sp_relation_quote(stream->o.relid), time);
	for (int i = 0; i < stream->ndedup; i++)
		appendStringInfo(sql, " AND s.%s IS DISTINCT FROM NULL",
						 column_name(stream->o.relid, stream->dedup_attnum[i]));
	appendStringInfo(sql, " GROUP BY s.%s", time);
	for (int i = 0; i < stream->ndedup; i++)
		appendStringInfo(sql, ", s.%s", column_name(stream->o.relid, stream->dedup_attnum[i]));
	appendStringInfoString(sql, " HAVING pg_catalog.count(DISTINCT s.*::pg_catalog.text) "
						   "OPERATOR(pg_catalog.>) 1)) THEN 'of rows with the same dedup_key and "
						   "event time the first to be committed counts, and these differ' ");
}

/* Are rows taken back? */
static inline bool
retracts(const Subject *subject)
{
	return subject->stream->on_update == SP_ON_UPDATE_RETRACT;
}

/* "AND so many rows as the answer lacks may have come later", where it tells how many it lacks. */
static const char *
format_lacking(const Subject *subject, const char *most)
{
	if (subject->count < 0)
		return "";
	return psprintf("AND e.c%d OPERATOR(pg_catalog.-) a.c%d BETWEEN 1 AND %s ",
					subject->count, subject->count, most);
}

/*
 * Of a sliding window: what came later than the answer.  Rows that have none came nobody knows
 * when.  A row that the group_filter left out, and should not have, was not alone.
 */
static void
append_later_rows(StringInfo sql, const Subject *subject)
{
	appendStringInfo(sql, "WHEN e.g IS NOT NULL AND a.is_old %sTHEN 'rows that arrived later' ",
					 format_lacking(subject, "a.nanswers OPERATOR(pg_catalog.-) 1"));
	if (subject->answers == NULL)
		return;
	appendStringInfo(sql, "WHEN e.g IS NOT NULL AND CASE WHEN a.g IS NULL "
					 "THEN e.nrows OPERATOR(pg_catalog.>) 1 "
					 "ELSE a.nrows OPERATOR(pg_catalog.>) a.nanswers %sEND THEN "
					 "'rows that arrived later, maybe some that the group_filter leaves out' ",
					 format_lacking(subject, "a.nrows OPERATOR(pg_catalog.-) CASE WHEN a.is_old "
									"THEN 1 ELSE a.nanswers END"));
}

/* Does the twin read the stream's table? */
static inline bool
reads_table(const Subject *subject)
{
	return subject->sliding == NULL;
}

/*
 * "WHEN it may come of rows that are not in the window THEN text".  They can't have made a
 * row that isn't expected, unless they would have come between sessions, changed what
 * group_filter says, been the first of their duplicates, or changed rows that the window
 * reads.
 */
static void
append_left_out(StringInfo sql, const Subject *subject, const char *text)
{
	if (subject->window->window_kind == SP_WINDOW_SESSION || subject->reads_window ||
		(reads_table(subject) && subject->stream->ndedup > 0))
		appendStringInfoString(sql, "WHEN true ");
	else if (subject->window->window_kind == SP_WINDOW_SLIDING)
		appendStringInfoString(sql, "WHEN e.g IS NOT NULL ");
	else
		appendStringInfo(sql, "WHEN e.g IS NOT NULL OR (SELECT d.group_filter IS NOT NULL FROM "
						 "streamproc.window_definition d WHERE d.id OPERATOR(pg_catalog.=) %d) ",
						 subject->object.id);
	appendStringInfo(sql, "THEN %s ", quote_literal_cstr(text));
}

/* Differences that the definition itself accounts for. */
static char *
format_explanation(const Subject *subject)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "CASE ");
	if (subject->window->window_kind == SP_WINDOW_SLIDING)
		append_later_rows(&sql, subject);
	if (!reads_table(subject) && subject->sliding->retention_us > 0 &&
		subject->window->window_kind == SP_WINDOW_GLOBAL)
		appendStringInfoString(&sql, "WHEN true THEN 'rows of the sliding window that it reads are "
							   "deleted: retention' ");
	if (!subject->complete)
		append_left_out(&sql, subject,
						"rows older than the window are not in it: backfill => false");
	if (!subject->stream->late_dead_letter)
		append_left_out(&sql, subject, "late rows were dropped: late => 'drop'");
	if (reads_table(subject) && subject->stream->ndedup > 0)
		append_unlike_duplicates(&sql, subject->stream);
	if (reads_table(subject))
		appendStringInfo(&sql, "WHEN s.n OPERATOR(pg_catalog.>) 0 THEN '%s were updated or deleted, "
						 "which is ignored: on_update => ''%s''' ",
						 retracts(subject) ? "rows past grace" : "rows of the source",
						 retracts(subject) ? "retract" : "ignore");
	appendStringInfoString(&sql, "WHEN true THEN NULL END");
	return sql.data;
}

/* How often rows were changed in a way that the window, or what it reads, has not followed. */
static const char *
format_unfollowed(const Subject *subject)
{
	const char *condition = "d.source OPERATOR(pg_catalog.=) $1";

	if (!retracts(subject))
		return "p.updates OPERATOR(pg_catalog.+) p.deletes OPERATOR(pg_catalog.+) p.truncates";
	/* results of an earlier life may be among those of a window that doesn't read history */
	if (subject->complete)
		condition = psprintf("d.id OPERATOR(pg_catalog.=) ANY (ARRAY[%s])", subject->ids.data);
	return psprintf("(SELECT pg_catalog.max(i.ignored) FROM streamproc.window_definition d "
					"JOIN streamproc.object_progress i USING (id) WHERE %s)", condition);
}

/* The stream's watermark as its times are. */
static const char *
format_watermark(const SpStreamDef *stream)
{
	if (stream->time_type == TIMESTAMPTZOID)
		return "p.watermark";
	return psprintf("pg_catalog.timezone(%s, p.watermark)", quote_literal_cstr(stream->time_zone));
}

/*
 * u: the rows.  s: how often the source was changed in a way that is not followed, and how
 * far its time has come.  c: the last window that is closed; and how far time has come, before which
 * by the retention rows may have been deleted.
 */
static void
append_with(StringInfo sql, const Subject *subject, const Columns *columns)
{
	appendStringInfoString(sql, "WITH ");
	append_rows(sql, subject, columns);
	appendStringInfo(sql, ", s AS MATERIALIZED (SELECT %s AS n, %s AS watermark "
					 "FROM streamproc.stream t JOIN streamproc.object_progress p USING (id) "
					 "WHERE t.relation OPERATOR(pg_catalog.=) $1 "
					 "UNION ALL SELECT 0, NULL LIMIT 1), "
					 "c AS MATERIALIZED (SELECT pg_catalog.max(window_end) AS closed, "
					 "greatest(pg_catalog.max(window_end), pg_catalog.max(s.watermark)) AS reached "
					 "FROM u, s WHERE NOT is_expected AND is_final) ",
					 format_unfollowed(subject), format_watermark(subject->stream));
}

/* "CASE WHEN it is there THEN its aggregates END" */
static void
append_values(StringInfo sql, const Columns *columns, const char *side, const char *is_absent)
{
	appendStringInfo(sql, ", CASE WHEN %s THEN NULL ELSE ", is_absent);
	append_json(sql, columns, side, first_aggregate(columns), count_columns(columns));
	appendStringInfoString(sql, " END");
}

/*
 * Which windows are compared: closed ones, of which retention has deleted neither rows nor,
 * where the twin reads a sliding window, any of those that they are made of.
 */
static void
append_scope(StringInfo sql, const Subject *subject, const Columns *columns)
{
	const SpWindowDef *sliding = subject->sliding;

	if (!has_windows(columns))
		return;
	appendStringInfoString(sql, " AND (a.is_final OR coalesce(e.window_end, a.window_end) "
						   "OPERATOR(pg_catalog.<=) c.closed)");
	if (subject->window->retention_us > 0)
		appendStringInfo(sql, " AND coalesce(e.window_end, a.window_end) OPERATOR(pg_catalog.>=) "
						 "(c.reached OPERATOR(pg_catalog.-) %s)",
						 sp_twin_quote_us(subject->window->retention_us));
	if (sliding != NULL && sliding->retention_us > 0)
		appendStringInfo(sql, " AND coalesce(e.window_start, a.window_start) "
						 "OPERATOR(pg_catalog.>=) greatest((c.reached OPERATOR(pg_catalog.-) %s), "
						 "(SELECT coalesce(pg_catalog.min(r.%s), 'infinity') FROM %s r))",
						 sp_twin_quote_us(sliding->retention_us),
						 column_name(sliding->o.relid, 2), sp_relation_quote(sliding->o.relid));
}

/* e: what is expected; a: what is there. */
static char *
write_query(const Subject *subject, const Columns *columns)
{
	StringInfoData sql;

	initStringInfo(&sql);
	append_with(&sql, subject, columns);
	appendStringInfo(&sql, "SELECT CASE WHEN a.g IS NULL THEN 'missing' WHEN %s "
					 "THEN 'unexpected' ELSE 'different' END, %s, CASE WHEN e.g IS NULL THEN ",
					 is_not_expected(subject), format_start(subject->stream, has_windows(columns)));
	append_json(&sql, columns, "a", 0, first_aggregate(columns));
	appendStringInfoString(&sql, " ELSE ");
	append_json(&sql, columns, "e", 0, first_aggregate(columns));
	appendStringInfoString(&sql, " END");
	append_values(&sql, columns, "e", is_not_expected(subject));
	append_values(&sql, columns, "a", "a.g IS NULL");
	appendStringInfo(&sql, ", %s FROM (SELECT * FROM u WHERE is_expected) e FULL JOIN "
					 "(SELECT * FROM u WHERE NOT is_expected) a "
					 "ON a.g OPERATOR(pg_catalog.=) e.g%s, c, s "
					 "WHERE (%s OR a.g IS NULL OR NOT ",
					 format_explanation(subject),
					 subject->window->window_kind == SP_WINDOW_SLIDING ?
					 " AND a.k OPERATOR(pg_catalog.=) e.k" : "", is_not_expected(subject));
	append_comparison(&sql, columns);
	appendStringInfoChar(&sql, ')');
	if (subject->answers != NULL)
		appendStringInfoString(&sql, " AND (e.satisfies OR a.g IS NOT NULL)");
	append_scope(&sql, subject, columns);
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
	Subject		subject = {0};
	const SpObject *object = &subject.object;
	Oid			type = REGCLASSOID;
	Datum		source;
	Columns		columns;
	Relation	relation;
	SpQueryScope scope;
	char	   *query;

	open_subject(fcinfo, &subject);
	source = ObjectIdGetDatum(subject.stream->o.relid);
	InitMaterializedSRF(fcinfo, 0);
	relation = relation_open(object->relid, AccessShareLock);
	columns.desc = RelationGetDescr(relation);
	columns.nkeys = subject.window->nkeys;
	columns.ncarry = subject.window->ncarry;
	columns.naggregates = subject.window->naggs;
	columns.first_key = subject.window->window_kind == SP_WINDOW_GLOBAL ? 1 : 3;

	sp_relation_check_readable(object->twin);
	if (check_enable_rls(object->relid, InvalidOid, true) == RLS_ENABLED)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("row security of table \"%s\" applies to you", object->name),
				 errdetail("All rows of a window are compared.")));
	sp_query_open(&scope, InvalidOid);
	SetUserIdAndSecContext(subject.window->o.owner,
						   scope.security | SECURITY_RESTRICTED_OPERATION);
	apply_settings(subject.window->o.settings);
	read_twin(&subject, &columns);
	query = write_query(&subject, &columns);
	sp_query_run(&scope, query, SPI_OK_SELECT, 1, &type, &source, NULL);
	for (uint64 row = 0; row < SPI_processed; row++)
		tuplestore_puttuple(result->setResult, SPI_tuptable->vals[row]);
	sp_query_close(&scope);
	relation_close(relation, NoLock);
	return (Datum) 0;
}
