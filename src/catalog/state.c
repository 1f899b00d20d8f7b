/*
 * state.c
 *	  The states of objects: streamproc.object_state.
 *
 * Written as the bootstrap superuser: the table belongs to the extension, and the verbs
 * have checked their caller's rights.
 */
#include "postgres.h"

#include "access/transam.h"
#include "catalog/pg_authid_d.h"
#include "catalog/pg_type_d.h"
#include "utils/builtins.h"
#include "utils/pg_lsn.h"

#include "base/compat.h"
#include "catalog/definition.h"
#include "catalog/query.h"

/* What a reason tells of reports that wait; no quotes. */
#define PROBLEM "refusals cannot be reported now"

static const char *const state_names[] = {
	[SP_STATE_NEW] = "starting",
	[SP_STATE_RUNNING] = "running",
	[SP_STATE_PAUSED] = "paused",
	[SP_STATE_GAP] = "gap",
	[SP_STATE_DETACHED] = "detached",
	[SP_STATE_FAILED] = "failed"
};

const char *
sp_definition_state_name(SpObjectState state)
{
	return state_names[state];
}

SpObjectState
sp_definition_parse_state(const char *name)
{
	if (name == NULL)
		return SP_STATE_NEW;
	for (int state = 0; state < lengthof(state_names); state++)
	{
		if (strcmp(state_names[state], name) == 0)
			return state;
	}
	elog(ERROR, "unknown state \"%s\" of an object", name);
	return SP_STATE_FAILED;
}

/* Insert or update object_state; returns whether there was anything to do. */
static bool
store_state(int32 id, SpObjectState state, XLogRecPtr start_lsn, const char *reason,
			const char *condition)
{
	Oid			types[] = {INT4OID, TEXTOID, TEXTOID, LSNOID};
	Datum		values[4];
	char		nulls[4] = {' ', ' ', ' ', ' '};
	SpQueryScope scope;
	bool		stored;

	values[0] = Int32GetDatum(id);
	values[1] = CStringGetTextDatum(sp_definition_state_name(state));
	values[2] = reason ? CStringGetTextDatum(reason) : (Datum) 0;
	values[3] = LSNGetDatum(start_lsn);
	if (reason == NULL)
		nulls[2] = 'n';
	if (XLogRecPtrIsInvalid(start_lsn))
		nulls[3] = 'n';

	sp_query_open(&scope, BOOTSTRAP_SUPERUSERID);
	sp_query_run(&scope,
				 psprintf("INSERT INTO streamproc.object_state AS s (id, state, reason, start_lsn) "
						  "SELECT $1, $2, $3, $4 "
						  "WHERE EXISTS (SELECT FROM streamproc.stream WHERE id = $1) "
						  "OR EXISTS (SELECT FROM streamproc.window_definition WHERE id = $1) "
						  "OR EXISTS (SELECT FROM streamproc.detector_definition WHERE id = $1) "
						  "ON CONFLICT (id) DO UPDATE SET state = EXCLUDED.state, "
						  "reason = EXCLUDED.reason, changed_at = EXCLUDED.changed_at, "
						  "start_lsn = coalesce(EXCLUDED.start_lsn, s.start_lsn), "
						  "requested = '{}', requested_by = '{}'%s", condition),
				 SPI_OK_INSERT, 4, types, values, nulls);
	stored = SPI_processed > 0;
	sp_query_close(&scope);
	return stored;
}

/* Delete an object's state, or only one that says "starting". */
static void
delete_state(int32 id, const char *condition)
{
	Oid			type = INT4OID;
	Datum		value = Int32GetDatum(id);
	SpQueryScope scope;

	sp_query_open(&scope, BOOTSTRAP_SUPERUSERID);
	sp_query_run(&scope, psprintf("DELETE FROM streamproc.object_state WHERE id = $1%s", condition),
				 SPI_OK_DELETE, 1, &type, &value, NULL);
	sp_query_close(&scope);
}

void
sp_definition_set_state(int32 id, SpObjectState state, XLogRecPtr start_lsn, const char *reason)
{
	if (state == SP_STATE_NEW)
		delete_state(id, "");
	else
		(void) store_state(id, state, start_lsn, reason, "");
}

bool
sp_definition_set_activated(int32 id, SpObjectState state, XLogRecPtr start_lsn,
							const char *reason)
{
	return store_state(id, state, start_lsn, reason, " WHERE s.state = 'starting'");
}

bool
sp_definition_set_failed(int32 id, const char *reason)
{
	return store_state(id, SP_STATE_FAILED, InvalidXLogRecPtr, reason,
					   " WHERE s.state IN ('starting', 'running', 'paused')");
}

/* What isn't running yet has nothing that a replay could do differently. */
void
sp_definition_request_state(int32 id, SpObjectState state, const char *reason)
{
	Oid			types[] = {INT4OID, TEXTOID, TEXTOID};
	Datum		values[3];
	char		nulls[3] = {' ', ' ', ' '};
	SpQueryScope scope;

	values[0] = Int32GetDatum(id);
	values[1] = CStringGetTextDatum(sp_definition_state_name(state));
	values[2] = reason ? CStringGetTextDatum(reason) : (Datum) 0;
	if (reason == NULL)
		nulls[2] = 'n';
	sp_query_open(&scope, BOOTSTRAP_SUPERUSERID);
	sp_query_run(&scope, "INSERT INTO streamproc.object_state AS s (id, state, reason) "
				 "VALUES ($1, $2, $3) "
				 "ON CONFLICT (id) DO UPDATE SET "
				 "state = CASE s.state WHEN 'starting' THEN $2 ELSE s.state END, "
				 "requested = CASE s.state WHEN 'starting' THEN '{}' ELSE s.requested || $2 END, "
				 "requested_by = CASE s.state WHEN 'starting' THEN '{}' "
				 "ELSE s.requested_by || pg_current_xact_id() END, "
				 "reason = EXCLUDED.reason, changed_at = EXCLUDED.changed_at",
				 SPI_OK_INSERT, 3, types, values, nulls);
	sp_query_close(&scope);
}

bool
sp_definition_settle(const SpObjectDef *o, int nmet)
{
	Oid			types[] = {INT4OID, INT4OID, XIDOID};
	Datum		values[3] = {Int32GetDatum(o->id), Int32GetDatum(nmet),
	TransactionIdGetDatum(o->request_xids[nmet - 1])};
	SpQueryScope scope;
	bool		settled;

	sp_query_open(&scope, BOOTSTRAP_SUPERUSERID);
	sp_query_run(&scope, "UPDATE streamproc.object_state "
				 "SET state = requested[$2], requested = requested[$2 + 1 :], "
				 "requested_by = requested_by[$2 + 1 :] "
				 "WHERE id IN (SELECT id FROM streamproc.object_state WHERE id = $1 "
				 "AND requested_by[$2]::xid = $3 FOR UPDATE SKIP LOCKED)",
				 SPI_OK_UPDATE, 3, types, values, NULL);
	settled = SPI_processed > 0;
	sp_query_close(&scope);
	return settled;
}

/* A state may have been stored while a drop was not committed yet. */
void
sp_definition_delete_orphans(void)
{
	SpQueryScope scope;

	sp_query_open(&scope, BOOTSTRAP_SUPERUSERID);
	sp_query_run(&scope, "DELETE FROM streamproc.object_state s "
				 "WHERE NOT EXISTS (SELECT FROM streamproc.stream d WHERE d.id = s.id) "
				 "AND NOT EXISTS (SELECT FROM streamproc.window_definition d WHERE d.id = s.id) "
				 "AND NOT EXISTS (SELECT FROM streamproc.detector_definition d WHERE d.id = s.id)",
				 SPI_OK_DELETE, 0, NULL, NULL, NULL);
	sp_query_close(&scope);
}

void
sp_definition_set_starting(int32 id, const char *reason)
{
	Oid			types[] = {INT4OID, TEXTOID};
	Datum		values[2] = {Int32GetDatum(id), reason ? CStringGetTextDatum(reason) : (Datum) 0};
	char		nulls[2] = {' ', reason ? ' ' : 'n'};
	SpQueryScope scope;

	sp_query_open(&scope, BOOTSTRAP_SUPERUSERID);
	sp_query_run(&scope, "INSERT INTO streamproc.object_state AS s (id, state, reason) "
				 "VALUES ($1, 'starting', $2) "
				 "ON CONFLICT (id) DO UPDATE SET reason = EXCLUDED.reason "
				 "WHERE s.state = 'starting' AND s.reason IS DISTINCT FROM EXCLUDED.reason",
				 SPI_OK_INSERT, 2, types, values, nulls);
	sp_query_close(&scope);
}

void
sp_definition_request_start(int32 id)
{
	Oid			type = INT4OID;
	Datum		value = Int32GetDatum(id);
	SpQueryScope scope;

	sp_query_open(&scope, BOOTSTRAP_SUPERUSERID);
	sp_query_run(&scope, "INSERT INTO streamproc.object_state (id, state, requested, requested_by) "
				 "VALUES ($1, 'starting', '{starting}', ARRAY[pg_current_xact_id()]) "
				 "ON CONFLICT (id) DO UPDATE SET state = EXCLUDED.state, reason = NULL, "
				 "start_lsn = NULL, changed_at = EXCLUDED.changed_at, "
				 "requested = EXCLUDED.requested, requested_by = EXCLUDED.requested_by",
				 SPI_OK_INSERT, 1, &type, &value, NULL);
	sp_query_close(&scope);
}

void
sp_definition_set_reason(int32 id, const char *reason)
{
	Oid			types[] = {INT4OID, TEXTOID};
	Datum		values[2];
	char		nulls[2] = {' ', ' '};
	SpQueryScope scope;

	values[0] = Int32GetDatum(id);
	values[1] = reason ? CStringGetTextDatum(reason) : (Datum) 0;
	if (reason == NULL)
		nulls[1] = 'n';
	sp_query_open(&scope, BOOTSTRAP_SUPERUSERID);
	sp_query_run(&scope, "UPDATE streamproc.object_state SET reason = $2, changed_at = now() "
				 "WHERE id IN (SELECT id FROM streamproc.object_state WHERE id = $1 "
				 "AND state = 'running' AND requested = '{}' FOR UPDATE SKIP LOCKED)",
				 SPI_OK_UPDATE, 2, types, values, nulls);
	sp_query_close(&scope);
}

bool
sp_definition_set_problem(int32 id, const char *problem)
{
	Oid			types[] = {INT4OID, TEXTOID};
	Datum		values[2];
	char		nulls[2] = {' ', ' '};
	SpQueryScope scope;
	bool		stored;

	values[0] = Int32GetDatum(id);
	values[1] = problem ? CStringGetTextDatum(psprintf(PROBLEM ": %s", problem)) : (Datum) 0;
	if (problem == NULL)
		nulls[1] = 'n';
	sp_query_open(&scope, BOOTSTRAP_SUPERUSERID);
	sp_query_run(&scope, "UPDATE streamproc.object_state SET reason = nullif(concat_ws('; ', "
				 "nullif(rtrim(split_part(reason, '" PROBLEM "', 1), '; '), ''), $2), '') "
				 "WHERE id IN (SELECT id FROM streamproc.object_state WHERE id = $1 "
				 "FOR UPDATE SKIP LOCKED)",
				 SPI_OK_UPDATE, 2, types, values, nulls);
	stored = SPI_processed > 0;
	sp_query_close(&scope);
	return stored;
}

void
sp_definition_detach_all(const char *reason)
{
	Oid			types[] = {TEXTOID, TEXTOID};
	Datum		values[2];
	SpQueryScope scope;

	values[0] = CStringGetTextDatum(sp_definition_state_name(SP_STATE_DETACHED));
	values[1] = CStringGetTextDatum(reason);
	sp_query_open(&scope, BOOTSTRAP_SUPERUSERID);
	sp_query_run(&scope, "INSERT INTO streamproc.object_state (id, state, reason) "
				 "SELECT d.id, $1, $2 FROM (SELECT id FROM streamproc.stream "
				 "UNION ALL SELECT id FROM streamproc.window_definition "
				 "UNION ALL SELECT id FROM streamproc.detector_definition) d "
				 "ON CONFLICT (id) DO UPDATE SET state = EXCLUDED.state, "
				 "reason = EXCLUDED.reason, changed_at = EXCLUDED.changed_at, "
				 "requested = '{}', requested_by = '{}'",
				 SPI_OK_INSERT, 2, types, values, NULL);
	sp_query_close(&scope);
}
