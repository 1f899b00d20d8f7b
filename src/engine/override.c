/*
 * override.c
 *	  What is set for single keys of a detector, as the worker knows it.
 */
#include "engine/override.h"

#include <math.h>

#include "access/xlog.h"
#include "base/compat.h"
#include "engine/starting.h"
#include "engine/timer.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#define FETCH_ROWS	1000
#define NVALUES		5			/* columns behind the keys that count */

void
sp_override_open(SpDetector *d)
{
	sp_group_init(&d->overrides,
				  AllocSetContextCreate(d->context, "streamproc overrides", ALLOCSET_SMALL_SIZES),
				  d->def->nkeys, d->evaluated + d->first_key, sizeof(SpOverride));
	d->overrides.first_page = SP_RESULT_PAGES;
	sp_spill_allow(&d->overrides, sp_override_write, sp_override_read, NULL, NULL, d);
}

/* ---- what counts for a row ---- */

const SpOverride *
sp_override_find(SpDetector *d, const Datum *keys, const bool *nulls)
{
	uint32		hash = sp_group_hash(&d->overrides, 0, keys, nulls);
	SpGroup    *group = sp_group_find(&d->overrides, hash, 0, keys, nulls);

	return group == NULL ? NULL : (SpOverride *) sp_group_value(&d->overrides, group);
}

/* What find() looks for. */
typedef struct Finding
{
	SpDetector *detector;
	SpGroup    *group;
	const SpOverride *found;
} Finding;

static void
find(void *arg)
{
	Finding    *f = arg;
	SpDetector *d = f->detector;

	f->found = sp_override_find(d, sp_group_keys(&d->groups, f->group),
								sp_group_nulls(&d->groups, f->group));
}

/* Keys' types may have functions that throw; then nothing is set, too. */
const SpOverride *
sp_override_of(SpDetector *d, SpGroup *group)
{
	Finding		f = {d, group, NULL};
	ErrorData  *error;

	if (!sp_override_any(d))
		return NULL;
	if (d->overrides.builtin)
		find(&f);
	else if (!sp_run_guarded(d->expressions, CurrentMemoryContext, find, &f, &error))
		return NULL;
	return f.found;
}

/* By what factor labels move the threshold: their order doesn't count, only their numbers. */
static double
feedback_factor(const SpMethod *method, const SpOverride *o)
{
	double		more = (double) o->false_positives - (double) o->true_positives;

	if (method->feedback == 0 || more == 0)
		return 1;
	return fmin(fmax(pow(1 + method->feedback, more), 1 / method->feedback_limit),
				method->feedback_limit);
}

const SpMethod *
sp_override_method(const SpDetector *d, const SpOverride *o, SpMethod *tuned)
{
	if (o == NULL)
		return d->method;
	*tuned = *d->method;
	tuned->budget_factor = feedback_factor(d->method, o);
	if (!isnan(o->threshold))
		tuned->judge.setup.threshold = o->threshold;
	tuned->judge.setup.threshold *= tuned->budget_factor;
	if (!isnan(o->threshold))
		tuned->budget_factor = 0;
	if (o->direction != SP_DIRECTION_OWN)
		tuned->judge.setup.direction = o->direction == 0 ? SP_DIRECTION_BOTH :
			o->direction > 0 ? SP_DIRECTION_HIGH : SP_DIRECTION_LOW;
	return tuned;
}

/* ---- changes ---- */

/* What can't be is as if it weren't there. */
void
sp_override_clean(const SpDetector *d, SpOverride *o)
{
	const SpKernel *kernel = d->method->judge.kernel;

	if (!(o->threshold > 0) || isinf(o->threshold))
		o->threshold = get_float8_nan();
	if (kernel == NULL || !kernel->has_direction)
		o->direction = SP_DIRECTION_OWN;
}

/* Values of a key, whoever wrote them. */
static void
set_value(SpDetector *d, const Datum *keys, const bool *nulls, const SpOverride *value)
{
	uint32		hash = sp_group_hash(&d->overrides, 0, keys, nulls);
	SpGroup    *group = sp_group_find(&d->overrides, hash, 0, keys, nulls);
	SpOverride *o;

	if (group == NULL)
		group = sp_group_add(&d->overrides, hash, 0, keys, nulls);
	o = (SpOverride *) sp_group_value(&d->overrides, group);
	*o = *value;
	sp_override_clean(d, o);
	sp_group_changed(&d->overrides, group);
}

/* Nothing is set for a key any more. */
static void
unset(SpDetector *d, const Datum *keys, const bool *nulls)
{
	uint32		hash = sp_group_hash(&d->overrides, 0, keys, nulls);
	SpGroup    *group = sp_group_find(&d->overrides, hash, 0, keys, nulls);

	if (group != NULL)
		sp_group_remove(&d->overrides, group);
}

/* Nor for any. */
static void
unset_all(SpDetector *d)
{
	for (int i = 1; i < d->overrides.npages; i++)
	{
		SpPage	   *page = d->overrides.pages[i];

		if (page != NULL && (page->n > 0 || page->spilled_size > 0))
			sp_group_drop_page(&d->overrides, page);
	}
}

/* Another threshold is passed at another time. */
static void
set_timer(SpDetector *d, const Datum *keys, const bool *nulls)
{
	uint32		hash = sp_group_hash(&d->groups, 0, keys, nulls);
	SpGroup    *group = sp_group_find(&d->groups, hash, 0, keys, nulls);

	if (group != NULL)
		sp_timer_set_for(d, group, sp_override_find(d, keys, nulls));
}

/* What apply() works on. */
typedef struct ApplyWork
{
	SpDetector *detector;
	const SpSetting *setting;
} ApplyWork;

/* Apply a setting; keys' types may have functions that throw. */
static void
apply(void *arg)
{
	ApplyWork  *work = arg;
	SpDetector *d = work->detector;
	const SpSetting *setting = work->setting;
	const char *p = sp_setting_keys(setting);
	Datum		keys[INDEX_MAX_KEYS];
	bool		nulls[INDEX_MAX_KEYS];
	SpOverride	value = {setting->threshold, setting->false_positives, setting->true_positives,
	setting->direction, setting->muted};

	if (setting->kind == SP_SETTING_UNSET_ALL)
	{
		unset_all(d);
		if (sp_timer_has(d))
			sp_timer_set_all(d);
		return;
	}
	if (setting->nkeys != d->overrides.nkeys)
		elog(ERROR, "it has %d keys instead of %d", setting->nkeys, d->overrides.nkeys);
	for (int k = 0; k < setting->nkeys; k++)
	{
		if (sp_setting_types(setting)[k] != d->overrides.keys[k].type)
			elog(ERROR, "key %d has type %s instead of %s", k + 1,
				 format_type_be(sp_setting_types(setting)[k]),
				 format_type_be(d->overrides.keys[k].type));
		keys[k] = sp_group_read_key(&p, sp_setting_end(setting), &d->overrides.keys[k],
									&nulls[k]);
	}
	if (setting->kind == SP_SETTING_SET)
		set_value(d, keys, nulls, &value);
	else
		unset(d, keys, nulls);
	if (sp_timer_has(d))
		set_timer(d, keys, nulls);
}

void
sp_override_apply(SpDetector *d, const SpSetting *setting, XLogRecPtr lsn)
{
	ApplyWork	work = {d, setting};
	ErrorData  *error;

	if (lsn < d->settings_lsn)
		return;
	MemoryContextReset(sp_engine.rowset_context);
	d->changed = true;
	if (!sp_run_patiently(d->expressions, sp_engine.rowset_context, apply, &work, &error))
		ereport(LOG,
				(errcode(error->sqlerrcode),
				 errmsg("an override of detector %s can't be used: %s", d->def->o.name,
						error->message)));
}

/* The running detector of that number, or NULL. */
static SpDetector *
find_detector(int32 id)
{
	ListCell   *lc;

	foreach(lc, sp_engine.detectors)
	{
		SpDetector *d = lfirst(lc);

		if (d->def->o.id == id)
			return d;
	}
	return NULL;
}

void
sp_override_meet(const SpEvent *event)
{
	const SpChunk *chunk;

	if (event->settings == NULL)
		return;
	sp_spool_rewind(event->settings);
	while ((chunk = sp_spool_next(event->settings)) != NULL)
	{
		const SpSetting *setting = (const SpSetting *) chunk;
		SpDetector *d = find_detector(setting->detector);

		if (d != NULL)
			sp_override_apply(d, setting, event->lsn);
		else
			sp_starting_keep_setting(setting, event);
	}
}

/* ---- the table ---- */

/* "SELECT k1, k2, threshold, ... FROM ONLY x_overrides" */
static char *
make_query(const SpDetector *d)
{
	Oid			relid = d->def->overrides;
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT ");
	for (int k = 0; k < d->def->nkeys; k++)
	{
		char	   *name = get_attname(relid, k + 1, true);

		if (name == NULL || get_atttype(relid, k + 1) != d->overrides.keys[k].type)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("table %s no longer has the columns it was created with",
							sp_registry_relation_name(relid)),
					 errhint("Create the detector again, with replace => true.")));
		appendStringInfo(&sql, "%s, ", quote_identifier(name));
	}
	appendStringInfo(&sql, "threshold::float8, direction::text, muted::boolean, "
					 "false_positives::int8, true_positives::int8 FROM ONLY %s",
					 sp_registry_relation_name(relid));
	return sql.data;
}

/* A direction by its name. */
int32
sp_override_direction(const char *name)
{
	if (strcmp(name, "both") == 0)
		return 0;
	return strcmp(name, "high") == 0 ? 1 : strcmp(name, "low") == 0 ? -1 : SP_DIRECTION_OWN;
}

/* Take one row of the table. */
static void
take_row(SpDetector *d, HeapTuple tuple, TupleDesc desc)
{
	Datum		values[INDEX_MAX_KEYS + NVALUES];
	bool		nulls[INDEX_MAX_KEYS + NVALUES] = {false};
	int			n = d->def->nkeys;
	SpOverride	o;

	for (int i = 0; i < n + NVALUES; i++)
		values[i] = SPI_getbinval(tuple, desc, i + 1, &nulls[i]);
	o.threshold = nulls[n] ? get_float8_nan() : DatumGetFloat8(values[n]);
	o.direction = nulls[n + 1] ? SP_DIRECTION_OWN :
		sp_override_direction(TextDatumGetCString(values[n + 1]));
	o.muted = !nulls[n + 2] && DatumGetBool(values[n + 2]);
	o.false_positives = nulls[n + 3] ? 0 : DatumGetInt64(values[n + 3]);
	o.true_positives = nulls[n + 4] ? 0 : DatumGetInt64(values[n + 4]);
	set_value(d, values, nulls, &o);
}

/* Without rights that the owner hasn't: the keys' types may have functions of anybody's. */
static void
read_table(SpDetector *d, const char *sql)
{
	SpUserContext user;
	Portal		portal;

	sp_user_enter(&user, d->def->o.owner, list_make1("search_path=pg_catalog, pg_temp"));
	portal = SPI_cursor_open_with_args(NULL, sql, 0, NULL, NULL, NULL, true, 0);
	for (;;)
	{
		CHECK_FOR_INTERRUPTS();
		SPI_cursor_fetch(portal, true, FETCH_ROWS);
		if (SPI_processed == 0)
			break;
		for (uint64 i = 0; i < SPI_processed; i++)
			take_row(d, SPI_tuptable->vals[i], SPI_tuptable->tupdesc);
		SPI_freetuptable(SPI_tuptable);
	}
	SPI_cursor_close(portal);
	sp_user_leave(&user, true);
}

void
sp_override_load(SpDetector *d)
{
	if (!OidIsValid(d->def->overrides) || get_rel_name(d->def->overrides) == NULL)
		return;
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	read_table(d, make_query(d));
	SPI_finish();
}

/*
 * While nobody writes to the table, the snapshot sees exactly the settings whose commits stand
 * before the place where WAL is inserted now.
 */
void
sp_override_load_now(SpDetector *d)
{
	Oid			relid = d->def->overrides;

	if (!OidIsValid(relid))
		return;
	LockRelationOid(relid, ShareLock);
	PushActiveSnapshot(GetLatestSnapshot());
	d->settings_lsn = GetXLogInsertRecPtr();
	sp_override_load(d);
	PopActiveSnapshot();
	UnlockRelationOid(relid, ShareLock);
}

/* ---- durable form ---- */

void
sp_override_write(void *detector, SpGroup *group, StringInfo buf)
{
	SpDetector *d = detector;

	appendBinaryStringInfo(buf, sp_group_value(&d->overrides, group), sizeof(SpOverride));
}

void
sp_override_read(void *detector, SpGroup *group, const char **p, const char *end)
{
	SpDetector *d = detector;

	sp_read_bytes(p, end, sp_group_value(&d->overrides, group), sizeof(SpOverride));
}
