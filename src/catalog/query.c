/*
 * query.c
 *	  Runs our own SQL.
 *
 * Whoever calls a verb chooses the session's search_path, and could put functions and
 * operators there that our statements would find; so these look into pg_catalog alone,
 * and name everything else with its schema.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "catalog/query.h"

void
sp_query_open(SpQueryScope *scope, Oid userid)
{
	GetUserIdAndSecContext(&scope->userid, &scope->security);
	scope->latest = false;
	scope->guc_level = NewGUCNestLevel();
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	if (OidIsValid(userid))
		SetUserIdAndSecContext(userid, scope->security | SECURITY_LOCAL_USERID_CHANGE);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
}

void
sp_query_open_latest(SpQueryScope *scope, Oid userid)
{
	sp_query_open(scope, userid);
	PushActiveSnapshot(GetLatestSnapshot());
	scope->latest = true;
}

void
sp_query_close(SpQueryScope *scope)
{
	if (scope->latest)
		PopActiveSnapshot();
	SPI_finish();
	SetUserIdAndSecContext(scope->userid, scope->security);
	AtEOXact_GUC(true, scope->guc_level);
}

void
sp_query_run(const SpQueryScope *scope, const char *sql, int expected,
			 int nargs, Oid *types, Datum *values, const char *nulls)
{
	int			result = SPI_execute_with_args(sql, nargs, types, values, nulls,
											   scope->latest, 0);

	if (result != expected)
		elog(ERROR, "unexpected result %d (%s) of: %s",
			 result, SPI_result_code_string(result), sql);
}

Datum
sp_query_value(uint64 row, int column, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, isnull);
}
