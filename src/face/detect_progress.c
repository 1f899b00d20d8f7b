/*
 * detect_progress.c
 *	  Progress of detect().
 */
#include "postgres.h"

#include "catalog/pg_authid_d.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/backend_progress.h"
#include "utils/backend_status.h"
#include "utils/builtins.h"

#include "base/compat.h"
#include "face/detect_progress.h"
#include "kernel/batch/kernels.h"

#define COMMAND		((ProgressCommandType) 0x5370)

/* The numbers of an entry. */
enum
{
	METHOD,
	PHASE,
	ROWS_TOTAL,
	ROWS_READ,
	PARTITIONS,
	ROWS_SCORED,
	ANOMALIES,
	COUNT
};

#define FIRST_NUMBER	5		/* columns before rows_total */
#define COLUMNS			(FIRST_NUMBER + COUNT - ROWS_TOTAL)

PG_FUNCTION_INFO_V1(sp_detect_progress);

void
sp_detect_progress_begin(Oid relation, int method, int64 rows)
{
	pgstat_progress_start_command(COMMAND, relation);
	pgstat_progress_update_param(METHOD, method);
	pgstat_progress_update_param(ROWS_TOTAL, rows);
}

void
sp_detect_progress_phase(SpDetectPhase phase)
{
	pgstat_progress_update_param(PHASE, phase);
}

void
sp_detect_progress_rows(int64 rows_read)
{
	pgstat_progress_update_param(ROWS_READ, rows_read);
}

void
sp_detect_progress_partition(int64 partitions, int64 rows_scored, int64 anomalies)
{
	const int	index[] = {PARTITIONS, ROWS_SCORED, ANOMALIES};
	const int64 values[] = {partitions, rows_scored, anomalies};

	pgstat_progress_update_multi_param(3, index, values);
}

void
sp_detect_progress_end(void)
{
	pgstat_progress_end_command();
}

/* The name of the method at that place; NULL: it isn't one. */
static const char *
get_method(int64 place)
{
	for (int i = 0; sp_batch_kernels[i] != NULL; i++)
	{
		if (i == place)
			return sp_batch_kernels[i]->name;
	}
	return NULL;
}

/* One entry's columns. */
static void
show_entry(const PgBackendStatus *entry, Datum *values, bool *nulls)
{
	static const char *const phases[] = {
		[SP_DETECT_READING] = "reading rows",
		[SP_DETECT_SCORING] = "scoring rows",
	};
	const int64 *numbers = entry->st_progress_param;
	const char *method = get_method(numbers[METHOD]);

	values[0] = Int32GetDatum(entry->st_procpid);
	values[1] = ObjectIdGetDatum(entry->st_databaseid);
	if (!has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS) &&
		!has_privs_of_role(GetUserId(), entry->st_userid))
	{
		memset(nulls + 2, true, COLUMNS - 2);
		return;
	}
	values[2] = ObjectIdGetDatum(entry->st_progress_command_target);
	nulls[3] = method == NULL;
	if (method != NULL)
		values[3] = CStringGetTextDatum(method);
	values[4] = CStringGetTextDatum(phases[numbers[PHASE] == SP_DETECT_SCORING]);
	for (int i = ROWS_TOTAL; i < COUNT; i++)
		values[FIRST_NUMBER + i - ROWS_TOTAL] = Int64GetDatum(numbers[i]);
}

/* Every detect() that is running, as the view shows it. */
Datum
sp_detect_progress(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	int			n = pgstat_fetch_stat_numbackends();

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 1; i <= n; i++)
	{
		LocalPgBackendStatus *local = sp_compat_backend_status(i);
		Datum		values[COLUMNS] = {0};
		bool		nulls[COLUMNS] = {false};

		if (local == NULL || local->backendStatus.st_progress_command != COMMAND)
			continue;
		show_entry(&local->backendStatus, values, nulls);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}
