/*
 * detect.c
 *	  detect(): scores of a table's rows, by the table's name.
 *
 * Rows come partition by partition; each is scored by the kernel that stands behind the window
 * function of the method's name, over the same points in the same order, so that both say the
 * same.
 */
#include "postgres.h"

#include <math.h>

#include "access/heapam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_class_d.h"
#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "base/compat.h"
#include "engine/param.h"
#include "face/detect_points.h"
#include "face/detect_progress.h"
#include "face/detect_rows.h"
#include "face/parameter.h"
#include "face/relation.h"
#include "kernel/batch/kernels.h"

#define COLUMNS			6
#define PROGRESS_ROWS	1024	/* progress is told each so many */

/* Arguments. */
enum
{
	RELATION,
	METHOD,
	FEATURES,
	PARTITION_BY,
	ORDER_BY,
	FILTER,
	PARAMS,
	CONTAMINATION,
	INTO_TABLE
};

/* A call at work. */
typedef struct Call
{
	const SpBatchKernel *kernel;
	void	   *params;
	SpDetectQuery query;
	SpDetectPoints *points;
	ReturnSetInfo *result;
	Relation	into;			/* NULL: rows are returned */
	TupleTableSlot *slot;		/* of into */
	BulkInsertState insert;
	CommandId	command;
	int64		nread;
	int64		npartitions;
	int64		nshown;
	int64		nanomalies;
} Call;

PG_FUNCTION_INFO_V1(sp_detect);

/* ---- arguments ---- */

static int
find_method(const char *name)
{
	StringInfoData names;

	initStringInfo(&names);
	for (int i = 0; sp_batch_kernels[i] != NULL; i++)
	{
		if (strcmp(sp_batch_kernels[i]->name, name) == 0)
			return i;
		appendStringInfo(&names, "%s%s", i > 0 ? ", " : "", sp_batch_kernels[i]->name);
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("there is no batch method \"%s\"", name),
			 errhint("Methods: %s.", names.data)));
	return -1;
}

/* Rows must be told apart by where they stand. */
static void
check_relation(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	char		kind;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("there is no relation with OID %u", relid)));
	kind = ((Form_pg_class) GETSTRUCT(tuple))->relkind;
	ReleaseSysCache(tuple);
	if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE && kind != RELKIND_MATVIEW)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("cannot detect in \"%s\"", get_rel_name(relid)),
				 errdetail_relkind_not_supported(kind),
				 errhint("Use the window function of the method's name over it, or a materialized "
						 "view of it.")));
}

/* The method, with its parameters. */
static void
read_method(FunctionCallInfo fcinfo, Call *call)
{
	Jsonb	   *given = PG_GETARG_JSONB_P(PARAMS);
	SpParamSet	set;
	const char *conflict;

	call->params = palloc0(Max(call->kernel->params_size, 1));
	sp_batch_defaults(call->kernel, call->params);
	sp_param_begin(&set, call->kernel->name);
	sp_param_add(&set, call->kernel->param_table, call->kernel->nparams, call->params);
	sp_param_read(&set, given);
	for (int i = 0; i < call->kernel->nparams; i++)
	{
		const SpParam *p = &call->kernel->param_table[i];

		if (isnan(p->default_value) &&
			!sp_param_is_given(given, p->name))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("method \"%s\" needs parameter \"%s\"", call->kernel->name, p->name),
					 errhint("It is %s: params => '{\"%s\": ...}'.", sp_param_range_text(p), p->name)));
	}
	conflict = call->kernel->conflict != NULL ? call->kernel->conflict(call->params) : NULL;
	if (conflict != NULL)
		sp_param_refuse_conflict(&set, given, conflict);
}

/* What part of the rows are anomalies; NaN: not said. */
static double
read_contamination(FunctionCallInfo fcinfo, const SpBatchKernel *kernel)
{
	double		contamination;

	if (PG_ARGISNULL(CONTAMINATION))
		return get_float8_nan();
	contamination = PG_GETARG_FLOAT8(CONTAMINATION);
	if (!(contamination > 0 && contamination <= 0.5))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("parameter \"contamination\" can't be %s",
						sp_parameter_value(fcinfo, CONTAMINATION)),
				 errhint("It is the part of the rows that are anomalies: above 0, up to 0.5.")));
	if (kernel->is_label)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("parameter \"contamination\" has no meaning for method \"%s\"", kernel->name),
				 errhint("Its noise are the anomalies.")));
	return contamination;
}

/* Which rows, in which order, with which features. */
static void
read_query(FunctionCallInfo fcinfo, Call *call)
{
	static const char *const none[] = {NULL};
	SpDetectQuery *q = &call->query;
	char	   *order = sp_parameter_text(fcinfo, ORDER_BY, "order_by");
	char	   *filter = sp_parameter_text(fcinfo, FILTER, "filter");
	int			most = call->kernel->max_columns > 0 ? call->kernel->max_columns : SP_BATCH_MAX_COLUMNS;

	q->relation = PG_GETARG_OID(RELATION);
	q->features = sp_clause_parse_list(SP_CLAUSE_ONCE_NUMBER, "features",
									   sp_parameter_strings(fcinfo, FEATURES, "features"),
									   q->relation);
	if (q->features == NIL || list_length(q->features) > most)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("method \"%s\" takes %s, not %d", call->kernel->name,
						most == 1 ? "one feature" : psprintf("1 to %d features", most),
						list_length(q->features))));
	q->partition = sp_clause_parse_list(SP_CLAUSE_ONCE_KEY, "partition_by",
										sp_parameter_strings(fcinfo, PARTITION_BY, "partition_by"),
										q->relation);
	sp_clause_check_names(q->features, none);
	sp_clause_check_names(q->partition, none);
	if (order == NULL && call->kernel->is_series)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("method \"%s\" needs parameter \"order_by\"", call->kernel->name),
				 errhint("It looks at a series: order_by => the column that has its time.")));
	if (order != NULL)
		q->order = sp_clause_parse_order("order_by", order, q->relation);
	if (filter != NULL)
		q->filter = sp_clause_parse(SP_CLAUSE_ONCE_FILTER, "filter", filter, q->relation);
}

/* ---- rows that are shown ---- */

/* Make the table. */
static void
create_into(FunctionCallInfo fcinfo, Call *call)
{
	SpRelationName name;
	Oid			relid;

	if (PG_ARGISNULL(INTO_TABLE))
		return;
	sp_parameter_name(fcinfo, INTO_TABLE, "into_table");
	sp_relation_resolve(&name, PG_GETARG_TEXT_PP(INTO_TABLE));
	if (OidIsValid(name.existing))
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_TABLE),
				 errmsg("relation %s exists already", name.quoted),
				 errhint("Drop it, or name another table in \"into_table\".")));
	sp_relation_run(psprintf("CREATE TABLE %s (source regclass NOT NULL, tid tid NOT NULL, key jsonb, "
							 "score float8, is_anomaly boolean, explanation jsonb)", name.quoted),
					InvalidOid);
	relid = sp_relation_oid(&name);
	call->into = table_open(relid, RowExclusiveLock);
	call->slot = table_slot_create(call->into, NULL);
	call->insert = GetBulkInsertState();
	call->command = GetCurrentCommandId(true);
}

/* SpDetectShow */
static void
show_row(void *arg, const SpDetected *row)
{
	Call	   *call = arg;
	Datum		values[COLUMNS] = {ObjectIdGetDatum(row->tableoid), PointerGetDatum(&row->tid), row->key,
	Float8GetDatum(row->score), BoolGetDatum(row->is_anomaly), row->explanation};
	bool		nulls[COLUMNS] = {false, false, !row->has_key, isnan(row->score), !row->is_known,
	!row->is_anomaly};

	call->nshown++;
	call->nanomalies += row->is_anomaly;
	if (call->into == NULL)
	{
		tuplestore_putvalues(call->result->setResult, call->result->setDesc, values, nulls);
		return;
	}
	ExecClearTuple(call->slot);
	memcpy(call->slot->tts_values, values, sizeof(values));
	memcpy(call->slot->tts_isnull, nulls, sizeof(nulls));
	ExecStoreVirtualTuple(call->slot);
	table_tuple_insert(call->into, call->slot, call->command, TABLE_INSERT_SKIP_FSM, call->insert);
}

/* A partition is whole. */
static void
finish_partition(Call *call)
{
	if (sp_detect_points_count(call->points) == 0)
		return;
	sp_detect_progress_phase(SP_DETECT_SCORING);
	sp_detect_points_show(call->points, show_row, call);
	sp_detect_progress_partition(++call->npartitions, call->nshown, call->nanomalies);
	sp_detect_progress_phase(SP_DETECT_READING);
}

/* SpDetectTake */
static void
take_row(void *arg, const SpDetectRow *row)
{
	Call	   *call = arg;

	if (row->begins)
		finish_partition(call);
	sp_detect_points_add(call->points, row);
	if (++call->nread % PROGRESS_ROWS == 0)
		sp_detect_progress_rows(call->nread);
}

/* Close the table, and say what is in it. */
static void
finish_into(Call *call)
{
	if (call->into == NULL)
		return;
	ExecDropSingleTupleTableSlot(call->slot);
	FreeBulkInsertState(call->insert);
	table_finish_bulk_insert(call->into, TABLE_INSERT_SKIP_FSM);
	if (sp_detect_points_have_threshold(call->points))
		ereport(NOTICE,
				(errmsg("%lld rows in table \"%s\", %lld of them anomalies",
						(long long) call->nshown, RelationGetRelationName(call->into),
						(long long) call->nanomalies)));
	else
		ereport(NOTICE,
				(errmsg("%lld rows in table \"%s\", no line drawn between anomalies and others",
						(long long) call->nshown, RelationGetRelationName(call->into)),
				 errhint("Give \"contamination\" the part of the rows that are anomalies.")));
	table_close(call->into, NoLock);
}

/* How many rows the planner believes that there are; -1: it doesn't know. */
static int64
estimate_rows(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	int64		rows = HeapTupleIsValid(tuple) ?
		(int64) ((Form_pg_class) GETSTRUCT(tuple))->reltuples : -1;

	if (HeapTupleIsValid(tuple))
		ReleaseSysCache(tuple);
	return rows;
}

/* The names of the features. */
static List *
list_names(List *clauses)
{
	List	   *names = NIL;
	ListCell   *cell;

	foreach(cell, clauses)
		names = lappend(names, ((SpClause *) lfirst(cell))->name);
	return names;
}

Datum
sp_detect(PG_FUNCTION_ARGS)
{
	Call		call = {.result = (ReturnSetInfo *) fcinfo->resultinfo};
	int			method;

	sp_parameter_require(fcinfo, RELATION, "relation");
	sp_parameter_require(fcinfo, METHOD, "method");
	sp_parameter_require(fcinfo, FEATURES, "features");
	sp_parameter_require(fcinfo, PARAMS, "params");
	method = find_method(sp_parameter_text(fcinfo, METHOD, "method"));
	call.kernel = sp_batch_kernels[method];
	check_relation(PG_GETARG_OID(RELATION));
	read_method(fcinfo, &call);
	read_query(fcinfo, &call);
	call.points = sp_detect_points_open(call.kernel, call.params, read_contamination(fcinfo, call.kernel),
										list_names(call.query.features), call.query.order != NIL);
	InitMaterializedSRF(fcinfo, 0);
	create_into(fcinfo, &call);
	sp_detect_progress_begin(call.query.relation, method, estimate_rows(call.query.relation));
	sp_detect_rows(&call.query, take_row, &call);
	finish_partition(&call);
	finish_into(&call);
	sp_detect_progress_end();
	return (Datum) 0;
}
