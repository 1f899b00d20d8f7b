/*
 * definition.c
 *	  Loads definitions; states are state.c's.
 *
 * Everything here is read and written as the bootstrap superuser: the tables belong to
 * the extension, and the verbs have checked their caller's rights.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_authid_d.h"
#include "catalog/pg_type_d.h"
#include "common/int.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/pg_lsn.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/shared.h"
#include "base/tumbling.h"
#include "catalog/definition.h"
#include "catalog/intact.h"
#include "catalog/query.h"

/* What every kind of object has; the definition is d. */
#define OBJECT_COLUMNS \
	"d.id, d.relation::oid AS relid, d.expressions::oid AS expressions, c.relowner AS owner, " \
	"d.relation::text AS name, s.state, s.start_lsn, s.requested, s.requested_by::text[] AS requested_by"
#define OBJECT_JOINS \
	" JOIN pg_class c ON c.oid = d.relation " \
	"LEFT JOIN streamproc.object_state s ON s.id = d.id "

/* How long the worker waits for the state row of an object of somebody's who is at it. */
#define STATE_LOCK_TIMEOUT	"1ms"

int64
sp_definition_interval_us(const Interval *interval)
{
	int64		days = (int64) interval->month * DAYS_PER_MONTH + interval->day;
	int64		us;

	if (pg_mul_s64_overflow(days, USECS_PER_DAY, &us))
		return days < 0 ? PG_INT64_MIN : PG_INT64_MAX;
	if (pg_add_s64_overflow(us, interval->time, &us))
		return interval->time < 0 ? PG_INT64_MIN : PG_INT64_MAX;
	return us;
}

/* ---- Reading a row of SPI's result; the values are in the current memory context. ---- */

static Datum
field(uint64 row, const char *name, bool *isnull)
{
	int			column = SPI_fnumber(SPI_tuptable->tupdesc, name);

	if (column <= 0)
		elog(ERROR, "no column \"%s\"", name);
	return sp_query_value(row, column, isnull);
}

static Oid
field_oid(uint64 row, const char *name)
{
	bool		isnull;
	Datum		value = field(row, name, &isnull);

	return isnull ? InvalidOid : DatumGetObjectId(value);
}

static int32
field_int(uint64 row, const char *name)
{
	bool		isnull;
	Datum		value = field(row, name, &isnull);

	return isnull ? 0 : DatumGetInt32(value);
}

static bool
field_bool(uint64 row, const char *name)
{
	bool		isnull;
	Datum		value = field(row, name, &isnull);

	return !isnull && DatumGetBool(value);
}

static char *
field_text(uint64 row, const char *name)
{
	bool		isnull;
	Datum		value = field(row, name, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

static double
field_float(uint64 row, const char *name, double otherwise)
{
	bool		isnull;
	Datum		value = field(row, name, &isnull);

	return isnull ? otherwise : DatumGetFloat8(value);
}

static int64
field_us(uint64 row, const char *name, int64 otherwise)
{
	bool		isnull;
	Datum		value = field(row, name, &isnull);

	return isnull ? otherwise : sp_definition_interval_us(DatumGetIntervalP(value));
}

static List *
field_strings(uint64 row, const char *name)
{
	bool		isnull;
	Datum		value = field(row, name, &isnull);
	Datum	   *elements;
	int			n;
	List	   *strings = NIL;

	if (isnull)
		return NIL;
	deconstruct_array(DatumGetArrayTypeP(value), TEXTOID, -1, false, TYPALIGN_INT,
					  &elements, NULL, &n);
	for (int i = 0; i < n; i++)
		strings = lappend(strings, TextDatumGetCString(elements[i]));
	return strings;
}

/* ---- Loading. ---- */

static void
load_requests(SpObjectDef *object, List *states, List *xids)
{
	object->nrequests = list_length(states);
	object->requests = palloc((object->nrequests + 1) * sizeof(SpObjectState));
	object->request_xids = palloc((object->nrequests + 1) * sizeof(TransactionId));
	for (int i = 0; i < object->nrequests; i++)
	{
		object->requests[i] = sp_definition_parse_state(list_nth(states, i));
		object->request_xids[i] = (TransactionId) strtoull(list_nth(xids, i), NULL, 10);
	}
}

static void
load_object(SpObjectDef *object, SpObjectKind kind, uint64 row)
{
	bool		isnull;
	Datum		lsn = field(row, "start_lsn", &isnull);

	object->kind = kind;
	object->id = field_int(row, "id");
	object->relid = field_oid(row, "relid");
	object->expressions = field_oid(row, "expressions");
	object->owner = field_oid(row, "owner");
	object->name = field_text(row, "name");
	object->state = sp_definition_parse_state(field_text(row, "state"));
	object->start_lsn = isnull ? InvalidXLogRecPtr : DatumGetLSN(lsn);
	load_requests(object, field_strings(row, "requested"), field_strings(row, "requested_by"));
	if (kind != SP_STREAM)
	{
		object->source = field_oid(row, "source");
		object->settings = field_strings(row, "session_settings");
	}
}

/* ---- What can't be used. ---- */

const char *
sp_definition_problem(const SpDefinitions *definitions, int32 id)
{
	ListCell   *cell;

	foreach(cell, definitions->broken)
	{
		SpBrokenDef *broken = lfirst(cell);

		if (broken->o.id == id)
			return broken->reason;
	}
	return NULL;
}

/* Leave an object out. */
static void
add_broken(SpDefinitions *definitions, const SpObjectDef *object, const char *reason)
{
	SpBrokenDef *broken = palloc0(sizeof(SpBrokenDef));

	broken->o = *object;
	broken->reason = pstrdup(reason);
	definitions->broken = lappend(definitions->broken, broken);
}

/* What reads something that can't be used can't be either: why, or NULL. */
static const char *
find_broken_source(const SpDefinitions *definitions, const SpObjectDef *object)
{
	ListCell   *cell;

	foreach(cell, definitions->broken)
	{
		SpBrokenDef *broken = lfirst(cell);

		if (broken->o.relid == object->source)
			return psprintf("its source %s can't be used", broken->o.name);
	}
	return NULL;
}

/*
 * The time column and those of the dedup_key as they are now: renames and other changes are
 * followed by the view.  Returns false when the view doesn't hold these columns.
 */
static bool
load_columns(SpStreamDef *stream, bool has_time)
{
	Query	   *query;
	ListCell   *cell;
	int			n = 0;

	stream->time_attnum = 0;
	stream->time_type = TIMESTAMPTZOID;
	stream->dedup_attnum = palloc0(Max(1, stream->ndedup) * sizeof(AttrNumber));
	if (!OidIsValid(stream->o.expressions))
		return !has_time && stream->ndedup == 0;
	query = sp_intact_view(&stream->o, (has_time ? 1 : 0) + stream->ndedup, 0);
	if (query == NULL)
		return false;
	foreach(cell, query->targetList)
	{
		Var		   *column = (Var *) lfirst_node(TargetEntry, cell)->expr;

		if (!IsA(column, Var) || column->varattno <= 0)
			return false;
		if (has_time && stream->time_attnum == 0)
		{
			stream->time_attnum = column->varattno;
			stream->time_type = column->vartype;
		}
		else
			stream->dedup_attnum[n++] = column->varattno;
	}
	return true;
}

static SpOnUpdate
parse_on_update(const char *value)
{
	return strcmp(value, "retract") == 0 ? SP_ON_UPDATE_RETRACT :
		strcmp(value, "error") == 0 ? SP_ON_UPDATE_ERROR : SP_ON_UPDATE_IGNORE;
}

static void
load_streams(SpDefinitions *definitions, const SpQueryScope *scope, MemoryContext context)
{
	MemoryContext spi_context;

	sp_query_run(scope, "SELECT " OBJECT_COLUMNS ", d.watermark, d.idle_timeout, d.max_future, "
				 "d.time_zone, d.late, d.time_column::text AS time_column, "
				 "d.dedup_key::text[] AS dedup_key, d.dedup_within, d.on_update "
				 "FROM streamproc.stream d" OBJECT_JOINS "ORDER BY d.id",
				 SPI_OK_SELECT, 0, NULL, NULL, NULL);
	spi_context = MemoryContextSwitchTo(context);
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		SpStreamDef *stream = palloc0(sizeof(SpStreamDef));

		load_object(&stream->o, SP_STREAM, row);
		stream->ndedup = list_length(field_strings(row, "dedup_key"));
		stream->dedup_within_us = field_us(row, "dedup_within", 0);
		if (!load_columns(stream, field_text(row, "time_column") != NULL))
		{
			add_broken(definitions, &stream->o, sp_intact_describe_view(&stream->o));
			continue;
		}
		stream->watermark_us = field_us(row, "watermark", 0);
		stream->idle_timeout_us = field_us(row, "idle_timeout", 0);
		stream->max_future_us = field_us(row, "max_future", 0);
		stream->time_zone = field_text(row, "time_zone");
		stream->late_dead_letter = strcmp(field_text(row, "late"), "dead_letter") == 0;
		stream->on_update = parse_on_update(field_text(row, "on_update"));
		definitions->streams = lappend(definitions->streams, stream);
	}
	MemoryContextSwitchTo(spi_context);
}

static SpWindowKind
parse_window_kind(const char *kind)
{
	static const char *const kinds[] = {
		[SP_WINDOW_TUMBLING] = "tumbling",
		[SP_WINDOW_HOPPING] = "hopping",
		[SP_WINDOW_CUMULATIVE] = "cumulative",
		[SP_WINDOW_SESSION] = "session",
		[SP_WINDOW_SLIDING] = "sliding",
		[SP_WINDOW_GLOBAL] = "global",
	};

	for (int i = 0; i < lengthof(kinds); i++)
	{
		if (strcmp(kind, kinds[i]) == 0)
			return (SpWindowKind) i;
	}
	elog(ERROR, "unknown kind of window \"%s\"", kind);
	return SP_WINDOW_GLOBAL;
}

/* Size, slide and gap, and where windows begin. */
static void
load_window_times(SpWindowDef *window, uint64 row)
{
	const char *bounds = field_text(row, "bounds");
	bool		isnull;
	Datum		value = field(row, "size", &isnull);

	if (!isnull)
		window->size = *DatumGetIntervalP(value);
	value = field(row, "slide", &isnull);
	if (!isnull)
		window->slide = *DatumGetIntervalP(value);
	window->size_us = field_us(row, "size", 0);
	window->gap_us = field_us(row, "gap", 0);
	window->closed = bounds != NULL && strcmp(bounds, "[]") == 0;
	value = field(row, "origin", &isnull);
	if (!isnull)
		window->origin = DatumGetTimestamp(value);
	else
		window->origin = window->size.month != 0 ? SP_TUMBLING_ORIGIN_MONTHS : SP_TUMBLING_ORIGIN;
	window->time_zone = field_text(row, "time_zone");
}

static SpWindowDef *
load_window(uint64 row)
{
	SpWindowDef *window = palloc0(sizeof(SpWindowDef));

	load_object(&window->o, SP_WINDOW, row);
	window->window_kind = parse_window_kind(field_text(row, "kind"));
	load_window_times(window, row);
	window->nkeys = list_length(field_strings(row, "keys"));
	window->ncarry = list_length(field_strings(row, "carry"));
	window->naggs = list_length(field_strings(row, "aggregates"));
	window->fill_zero = strcmp(field_text(row, "fill"), "zero") == 0;
	window->emit_final = strcmp(field_text(row, "emit"), "final") == 0;
	window->trigger_us = field_us(row, "trigger", 0);
	window->watermark_us = field_us(row, "watermark", -1);
	window->grace_us = field_us(row, "grace", 0);
	window->retention_us = field_us(row, "retention", 0);
	window->backfill = field_bool(row, "backfill");
	window->changes = field_oid(row, "changes");
	return window;
}

/* Why a window can't be used, or NULL. */
static const char *
check_window(const SpDefinitions *definitions, const SpWindowDef *window)
{
	const char *reason = find_broken_source(definitions, &window->o);
	Query	   *view;

	if (reason != NULL)
		return reason;
	view = sp_intact_view(&window->o, window->nkeys, window->ncarry + window->naggs);
	if (view == NULL)
		return sp_intact_describe_view(&window->o);
	if (!sp_intact_result(window, view))
		return psprintf("result table %s no longer has the columns it was created with",
						window->o.name);
	return NULL;
}

static void
load_windows(SpDefinitions *definitions, const SpQueryScope *scope, MemoryContext context)
{
	MemoryContext spi_context;

	sp_query_run(scope, "SELECT " OBJECT_COLUMNS ", d.source::oid AS source, d.kind, d.size, "
				 "d.slide, d.gap, d.keys, d.carry, d.aggregates, d.emit, d.trigger, d.watermark, "
				 "d.grace, d.origin, d.time_zone, d.bounds, d.fill, d.retention, d.backfill, "
				 "d.changes::oid AS changes, d.session_settings "
				 "FROM streamproc.window_definition d" OBJECT_JOINS "ORDER BY d.id",
				 SPI_OK_SELECT, 0, NULL, NULL, NULL);
	spi_context = MemoryContextSwitchTo(context);
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		SpWindowDef *window = load_window(row);
		const char *reason = check_window(definitions, window);

		if (reason == NULL)
			definitions->windows = lappend(definitions->windows, window);
		else
			add_broken(definitions, &window->o, reason);
	}
	MemoryContextSwitchTo(spi_context);
}

/* Labels are the names of the view's last columns; false when it was dropped meanwhile. */
static bool
load_names(SpDetectorDef *detector, int ncolumns)
{
	int			first = ncolumns - detector->nrules - detector->nfeatures + 1;

	detector->feature_names = palloc0(detector->nfeatures * sizeof(char *));
	for (int i = 0; i < detector->nfeatures; i++)
	{
		char	   *name = get_attname(detector->o.expressions, first + i, true);

		if (name == NULL)
			return false;
		detector->feature_names[i] = name + (strncmp(name, SP_FEATURE_PREFIX,
													 strlen(SP_FEATURE_PREFIX)) == 0 ?
											 strlen(SP_FEATURE_PREFIX) : 0);
	}
	detector->rule_labels = palloc0(detector->nrules * sizeof(char *));
	for (int i = 0; i < detector->nrules; i++)
	{
		detector->rule_labels[i] = get_attname(detector->o.expressions,
											   ncolumns - detector->nrules + i + 1, true);
		if (detector->rule_labels[i] == NULL)
			return false;
	}
	return true;
}

static int
parse_direction(const char *direction)
{
	if (strcmp(direction, "both") == 0)
		return 0;
	return strcmp(direction, "high") == 0 ? 1 : -1;
}

static SpLearn
parse_learn(const char *learn)
{
	if (strcmp(learn, "all") == 0)
		return SP_LEARN_ALL;
	return strcmp(learn, "normal") == 0 ? SP_LEARN_NORMAL : SP_LEARN_CAPPED;
}

static SpDetectorDef *
load_detector(uint64 row)
{
	SpDetectorDef *detector = palloc0(sizeof(SpDetectorDef));

	load_object(&detector->o, SP_DETECTOR, row);
	detector->method = field_text(row, "method");
	detector->has_value = field_text(row, "value") != NULL;
	detector->nkeys = list_length(field_strings(row, "keys"));
	detector->ncarry = list_length(field_strings(row, "carry"));
	detector->nfeatures = list_length(field_strings(row, "features"));
	detector->nrules = list_length(field_strings(row, "rules"));
	detector->params = field_text(row, "params");
	detector->threshold = field_float(row, "threshold", get_float8_nan());
	detector->direction = parse_direction(field_text(row, "direction"));
	detector->min_effect = field_float(row, "min_effect", 0);
	detector->cooldown_us = field_us(row, "cooldown", 0);
	detector->learn = parse_learn(field_text(row, "learn"));
	detector->trigger_us = field_us(row, "trigger", 0);
	detector->history_us = field_us(row, "history", 0);
	detector->store_all = strcmp(field_text(row, "store"), "all") == 0;
	detector->sample_update = strcmp(field_text(row, "sample"), "update") == 0;
	detector->notify = field_text(row, "notify");
	detector->retention_us = field_us(row, "retention", 0);
	detector->backfill = field_bool(row, "backfill");
	detector->overrides = field_oid(row, "overrides");
	return detector;
}

/* Why a detector can't be used, or NULL. */
static const char *
check_detector(const SpDefinitions *definitions, SpDetectorDef *detector)
{
	const char *reason = find_broken_source(definitions, &detector->o);
	int			ncolumns = detector->has_value + detector->nkeys + detector->ncarry +
		detector->nfeatures + detector->nrules;

	if (reason != NULL)
		return reason;
	if (sp_intact_view(&detector->o, ncolumns, 0) == NULL ||
		!load_names(detector, ncolumns))
		return sp_intact_describe_view(&detector->o);
	return NULL;
}

static void
load_detectors(SpDefinitions *definitions, const SpQueryScope *scope, MemoryContext context)
{
	MemoryContext spi_context;

	sp_query_run(scope, "SELECT " OBJECT_COLUMNS ", d.source::oid AS source, d.method, d.value, "
				 "d.features, d.rules, d.keys, d.carry, d.params::text AS params, d.threshold, "
				 "d.direction, d.min_effect, d.cooldown, d.learn, d.trigger, d.history, d.store, "
				 "d.sample, d.notify, d.retention, d.backfill, d.overrides::oid AS overrides, "
				 "d.session_settings "
				 "FROM streamproc.detector_definition d" OBJECT_JOINS "ORDER BY d.id",
				 SPI_OK_SELECT, 0, NULL, NULL, NULL);
	spi_context = MemoryContextSwitchTo(context);
	for (uint64 row = 0; row < SPI_processed; row++)
	{
		SpDetectorDef *detector = load_detector(row);
		const char *reason = check_detector(definitions, detector);

		if (reason == NULL)
			definitions->detectors = lappend(definitions->detectors, detector);
		else
			add_broken(definitions, &detector->o, reason);
	}
	MemoryContextSwitchTo(spi_context);
}

/* ---- Loading everything. ---- */

/*
 * An object that can't be used has failed, unless it has stopped before for another reason.
 * Its owner may be about to pause it in a transaction that takes long: no other object
 * waits for that.  When that one commits, definitions are loaded again.
 */
static void
fail_broken(const SpBrokenDef *broken)
{
	MemoryContext oldcontext = CurrentMemoryContext;
	ResourceOwner oldowner = CurrentResourceOwner;
	int			guc_level;

	if (broken->o.state != SP_STATE_NEW && broken->o.state != SP_STATE_RUNNING &&
		broken->o.state != SP_STATE_PAUSED)
		return;
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(oldcontext);
	PG_TRY();
	{
		guc_level = NewGUCNestLevel();
		(void) set_config_option("lock_timeout", STATE_LOCK_TIMEOUT, PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
		if (sp_definition_set_failed(broken->o.id, broken->reason))
			ereport(LOG,
					(errmsg("%s can't be used: %s", broken->o.name, broken->reason),
					 errhint("Once that is mended, streamproc.resume() rebuilds it.")));
		AtEOXact_GUC(true, guc_level);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(oldcontext);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		if (error->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE)
			ReThrowError(error);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(oldcontext);
	CurrentResourceOwner = oldowner;
}

SpDefinitions *
sp_definition_load(void)
{
	MemoryContext context = CurrentMemoryContext;
	SpDefinitions *definitions = palloc0(sizeof(SpDefinitions));
	SpQueryScope scope;
	ListCell   *cell;

	sp_query_open_latest(&scope, BOOTSTRAP_SUPERUSERID);
	load_streams(definitions, &scope, context);
	load_windows(definitions, &scope, context);
	load_detectors(definitions, &scope, context);
	sp_query_close(&scope);

	/* Not in its helper, which has the same slot. */
	if (sp_my_worker == NULL || sp_my_worker->pid != MyProcPid)
		return definitions;
	foreach(cell, definitions->broken)
		fail_broken(lfirst(cell));
	return definitions;
}
