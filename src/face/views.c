/*
 * views.c
 *	  Functions that the public views are made of.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type_d.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/resowner.h"
#include "utils/rls.h"
#include "utils/tuplestore.h"

#include "base/compat.h"
#include "catalog/definition.h"
#include "catalog/query.h"
#include "face/environment.h"
#include "face/relation.h"

/* Columns of a detector's result table: behind its keys, and behind what it carries. */
enum
{
	BEHIND_KEYS = 3,			/* id and event_time come first */
	VALUE = 0,
	SCORE = 2,
	P_VALUE,
	THRESHOLD,
	IS_ANOMALY,
	ALERTS = 9,
	EXPLANATION,
	BEHIND_CARRY,
	DETECTED_AT = 0,
	STATUS = 3,
	LABEL,
	NOTE
};

PG_FUNCTION_INFO_V1(sp_environment);
PG_FUNCTION_INFO_V1(sp_anomalies);

/* What is missing on this server, or NULL. */
Datum
sp_environment(PG_FUNCTION_ARGS)
{
	char	   *problem = sp_environment_problem();

	if (problem == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(problem));
}

/* The time zone of event times without one: that of the stream at the detector's source. */
static const char *
find_time_zone(const SpDefinitions *definitions, Oid source)
{
	ListCell   *cell;

	foreach(cell, definitions->windows)
	{
		SpWindowDef *window = lfirst(cell);

		if (window->o.relid == source)
			return find_time_zone(definitions, window->o.source);
	}
	foreach(cell, definitions->streams)
	{
		SpStreamDef *stream = lfirst(cell);

		if (stream->o.relid == source)
			return stream->time_zone;
	}
	return "UTC";
}

static const char *
column(const SpDetectorDef *detector, int attnum)
{
	return quote_identifier(get_attname(detector->o.relid, attnum, false));
}

/* SELECT the common columns FROM one detector's result table */
static void
append_detector(StringInfo sql, const SpDefinitions *definitions, const SpDetectorDef *detector)
{
	int			keys = BEHIND_KEYS + detector->nkeys;
	int			carry = keys + BEHIND_CARRY + detector->ncarry;
	const char *time = column(detector, 2);

	appendStringInfo(sql, "SELECT %u::regclass, %s, ", detector->o.relid, column(detector, 1));
	if (get_atttype(detector->o.relid, 2) == TIMESTAMPTZOID)
		appendStringInfo(sql, "%s, ", time);
	else
		appendStringInfo(sql, "%s::timestamp AT TIME ZONE %s, ", time,
						 quote_literal_cstr(find_time_zone(definitions, detector->o.source)));
	appendStringInfoString(sql, "(SELECT to_jsonb(k.*) FROM (SELECT ");
	for (int i = BEHIND_KEYS; i < keys; i++)
		appendStringInfo(sql, "%st.%s", i > BEHIND_KEYS ? ", " : "", column(detector, i));
	appendStringInfoString(sql, ") k), ");
	appendStringInfo(sql, "%s, %s, %s, %s, %s, %s, %s, ",
					 column(detector, keys + VALUE), column(detector, keys + SCORE),
					 column(detector, keys + P_VALUE), column(detector, keys + THRESHOLD),
					 column(detector, keys + IS_ANOMALY), column(detector, keys + ALERTS),
					 column(detector, keys + EXPLANATION));
	appendStringInfo(sql, "%s, %s, %s, %s FROM %s t",
					 column(detector, carry + DETECTED_AT), column(detector, carry + STATUS),
					 column(detector, carry + LABEL), column(detector, carry + NOTE),
					 sp_relation_quote(detector->o.relid));
}

/* The owner may have altered the columns of the result table. */
static void
check_types(TupleDesc expected, TupleDesc found)
{
	for (int i = 0; i < expected->natts; i++)
	{
		if (TupleDescAttr(found, i)->atttypid != TupleDescAttr(expected, i)->atttypid)
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("column \"%s\" is of type %s, not %s",
							NameStr(TupleDescAttr(expected, i)->attname),
							format_type_be(TupleDescAttr(found, i)->atttypid),
							format_type_be(TupleDescAttr(expected, i)->atttypid))));
	}
}

/* Add the rows of one detector's result table, with the rights of its owner. */
static void
add_rows(ReturnSetInfo *result, const SpDetectorDef *detector, const char *sql)
{
	SpQueryScope scope;

	sp_query_open(&scope, InvalidOid);
	SetUserIdAndSecContext(detector->o.owner, scope.security | SECURITY_RESTRICTED_OPERATION);
	sp_query_run(&scope, sql, SPI_OK_SELECT, 0, NULL, NULL, NULL);
	check_types(result->setDesc, SPI_tuptable->tupdesc);
	for (uint64 row = 0; row < SPI_processed; row++)
		tuplestore_puttuple(result->setResult, SPI_tuptable->vals[row]);
	sp_query_close(&scope);
}

/* Add the rows of one detector; when that fails, the others' are shown all the same. */
static void
try_add_detector(ReturnSetInfo *result, const SpDefinitions *definitions,
				 const SpDetectorDef *detector)
{
	MemoryContext oldcontext = CurrentMemoryContext;
	ResourceOwner oldowner = CurrentResourceOwner;
	StringInfoData sql;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(oldcontext);
	PG_TRY();
	{
		initStringInfo(&sql);
		append_detector(&sql, definitions, detector);
		add_rows(result, detector, sql.data);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(oldcontext);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		if (ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION)
			ReThrowError(error);
		ereport(WARNING,
				(errcode(error->sqlerrcode),
				 errmsg("could not read detector \"%s\": %s", detector->o.name,
						error->message)));
	}
	PG_END_TRY();
	MemoryContextSwitchTo(oldcontext);
	CurrentResourceOwner = oldowner;
}

/*
 * The rows of all detectors' result tables that the caller may read.  Whoever owns such a
 * table can have it run functions when it is read: by casts, or by policies.  So each is
 * read as its owner; therefore a table is left out whose policies restrict the caller.
 */
Datum
sp_anomalies(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	SpDefinitions *definitions = sp_definition_load();
	ListCell   *cell;

	InitMaterializedSRF(fcinfo, 0);
	foreach(cell, definitions->detectors)
	{
		SpDetectorDef *detector = lfirst(cell);

		if (pg_class_aclcheck(detector->o.relid, GetUserId(), ACL_SELECT) == ACLCHECK_OK &&
			check_enable_rls(detector->o.relid, InvalidOid, true) != RLS_ENABLED)
			try_add_detector(result, definitions, detector);
	}
	return (Datum) 0;
}
