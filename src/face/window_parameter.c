/*
 * window_parameter.c
 *	  Reads and checks the parameters of create_window(): which go with which kind, and
 *	  with one another.
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/guc.h"
#include "base/steps.h"
#include "face/lifecycle.h"
#include "face/parameter.h"
#include "face/window.h"

#define TUMBLING	(1 << SP_WINDOW_TUMBLING)
#define HOPPING		(1 << SP_WINDOW_HOPPING)
#define CUMULATIVE	(1 << SP_WINDOW_CUMULATIVE)
#define SESSION		(1 << SP_WINDOW_SESSION)
#define SLIDING		(1 << SP_WINDOW_SLIDING)
#define GLOBAL		(1 << SP_WINDOW_GLOBAL)
#define ALIGNED		(TUMBLING | HOPPING | CUMULATIVE)

/* A parameter that not every kind has. */
typedef struct Rule
{
	int			n;
	const char *name;
	int			kinds;			/* that have it */
	const char *example;		/* they need it, for example this; NULL: they don't */
} Rule;

static const Rule rules[] = {
	{SP_WINDOW_SIZE, "size", ALIGNED | SLIDING, "'1 minute'"},
	{SP_WINDOW_SLIDE, "slide", HOPPING | CUMULATIVE, "'10 seconds'"},
	{SP_WINDOW_GAP, "gap", SESSION, "'30 minutes'"},
	{SP_WINDOW_CARRY, "carry", SLIDING, NULL},
	{SP_WINDOW_ORIGIN, "origin", ALIGNED, NULL},
	{SP_WINDOW_BOUNDS, "bounds", SLIDING, NULL},
	{SP_WINDOW_WATERMARK, "watermark", ~GLOBAL, NULL},
	{SP_WINDOW_RETENTION, "retention", ~GLOBAL, NULL},
};

static const char *const kind_names[] = {
	[SP_WINDOW_TUMBLING] = "tumbling",
	[SP_WINDOW_HOPPING] = "hopping",
	[SP_WINDOW_CUMULATIVE] = "cumulative",
	[SP_WINDOW_SESSION] = "session",
	[SP_WINDOW_SLIDING] = "sliding",
	[SP_WINDOW_GLOBAL] = "global",
	NULL
};

/* "a window of kind ..." */
static const char *
describe(const SpWindowDraft *draft)
{
	return psprintf("a window of kind \"%s\"", kind_names[draft->kind]);
}

static void
read_kind(FunctionCallInfo fcinfo, SpWindowDraft *draft)
{
	const char *kind = sp_parameter_choice(fcinfo, SP_WINDOW_KIND, "kind", kind_names);

	while (strcmp(kind_names[draft->kind], kind) != 0)
		draft->kind++;
}

/* What there is for which kind. */
static void
check_rules(FunctionCallInfo fcinfo, const SpWindowDraft *draft)
{
	for (int i = 0; i < lengthof(rules); i++)
	{
		const Rule *rule = &rules[i];

		if ((rule->kinds & 1 << draft->kind) == 0)
			sp_parameter_refuse(fcinfo, rule->n, rule->name, describe(draft));
		else if (rule->example != NULL && PG_ARGISNULL(rule->n))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("%s needs parameter \"%s\"", describe(draft), rule->name),
					 errhint("For example, %s => %s.", rule->name, rule->example)));
	}
}

/* ---- Sizes and times. ---- */

static void
refuse_value(FunctionCallInfo fcinfo, int n, const char *name, const char *problem, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("parameter \"%s\" %s: %s", name, problem, sp_parameter_value(fcinfo, n)),
			 hint != NULL ? errhint("%s", hint) : 0));
}

/* The source's times are dates. */
static void
refuse_dates(FunctionCallInfo fcinfo, const SpWindowDraft *draft, int n, const char *name,
			 const char *problem)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("parameter \"%s\" must %s: %s", name, problem, sp_parameter_value(fcinfo, n)),
			 errdetail("The time column of stream \"%s\" is of type date.",
					   get_rel_name(draft->stream->o.relid))));
}

/* Windows whose boundaries are laid through all time: the size, or the slide. */
static Interval *
read_aligned(FunctionCallInfo fcinfo, const SpWindowDraft *draft, int n, const char *name)
{
	Interval   *interval = PG_GETARG_INTERVAL_P(n);
	const char *problem = sp_tumbling_check_size(interval);

	if (problem != NULL)
		refuse_value(fcinfo, n, name, problem,
					 "Write it in months, or in days, or in hours and below.");
	if (sp_parameter_is_too_long(interval))
		refuse_value(fcinfo, n, name, "is too long", SP_PARAMETER_LONGEST);
	if (draft->stream->time_type == DATEOID && interval->time != 0)
		refuse_dates(fcinfo, draft, n, name, "have whole days");
	return interval;
}

/* A length of time between two rows: the size of a sliding window, or the gap. */
static Interval *
read_length(FunctionCallInfo fcinfo, const SpWindowDraft *draft, int n, const char *name)
{
	Interval   *interval = sp_parameter_interval(fcinfo, n, name, SP_INTERVAL_POSITIVE);

	if (draft->stream->time_type == DATEOID &&
		sp_definition_interval_us(interval) % USECS_PER_DAY != 0)
		refuse_dates(fcinfo, draft, n, name, "be whole days");
	return interval;
}

static void
read_slide(FunctionCallInfo fcinfo, SpWindowDraft *draft)
{
	SpStepsKind kind = draft->kind == SP_WINDOW_HOPPING ? SP_STEPS_HOPPING : SP_STEPS_CUMULATIVE;
	const char *problem;
	int64		n;

	draft->slide = read_aligned(fcinfo, draft, SP_WINDOW_SLIDE, "slide");
	problem = sp_steps_check(kind, draft->size, draft->slide);
	if (problem != NULL)
		refuse_value(fcinfo, SP_WINDOW_SLIDE, "slide", problem,
					 psprintf("The size is %s.", sp_parameter_value(fcinfo, SP_WINDOW_SIZE)));
	n = sp_steps_per_row(kind, draft->size, draft->slide);
	if (n > sp_guc_max_windows_per_row)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("parameter \"slide\" makes " INT64_FORMAT " windows of a row: %s", n,
						sp_parameter_value(fcinfo, SP_WINDOW_SLIDE)),
				 errdetail("Setting \"streamproc.max_windows_per_row\" is %d.",
						   sp_guc_max_windows_per_row),
				 errhint("Take a longer slide.")));
}

static void
read_sizes(FunctionCallInfo fcinfo, SpWindowDraft *draft)
{
	switch (draft->kind)
	{
		case SP_WINDOW_HOPPING:
		case SP_WINDOW_CUMULATIVE:
			draft->size = read_aligned(fcinfo, draft, SP_WINDOW_SIZE, "size");
			read_slide(fcinfo, draft);
			break;
		case SP_WINDOW_TUMBLING:
			draft->size = read_aligned(fcinfo, draft, SP_WINDOW_SIZE, "size");
			break;
		case SP_WINDOW_SLIDING:
			draft->size = read_length(fcinfo, draft, SP_WINDOW_SIZE, "size");
			break;
		case SP_WINDOW_SESSION:
			draft->gap = read_length(fcinfo, draft, SP_WINDOW_GAP, "gap");
			break;
		case SP_WINDOW_GLOBAL:
			break;
	}
}

static void
read_origin(FunctionCallInfo fcinfo, SpWindowDraft *draft)
{
	Timestamp	origin;

	if (PG_ARGISNULL(SP_WINDOW_ORIGIN))
		return;
	origin = PG_GETARG_TIMESTAMP(SP_WINDOW_ORIGIN);
	if (TIMESTAMP_NOT_FINITE(origin))
		refuse_value(fcinfo, SP_WINDOW_ORIGIN, "origin", "must be finite", NULL);
	/* In any time zone it must be an instant, too; they differ by less than a day. */
	if (origin < MIN_TIMESTAMP + USECS_PER_DAY || origin >= END_TIMESTAMP - USECS_PER_DAY)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("parameter \"origin\" is out of range: %s",
						sp_parameter_value(fcinfo, SP_WINDOW_ORIGIN))));
	if (draft->stream->time_type == DATEOID && origin % USECS_PER_DAY != 0)
		refuse_dates(fcinfo, draft, SP_WINDOW_ORIGIN, "origin", "be a midnight");
	draft->origin = palloc(sizeof(Timestamp));
	*draft->origin = origin;
}

/* A column without time zone is taken as it is: another zone than the stream's is a mistake. */
static void
read_time_zone(FunctionCallInfo fcinfo, SpWindowDraft *draft)
{
	draft->time_zone = sp_parameter_time_zone(fcinfo, SP_WINDOW_TIME_ZONE, "time_zone");
	if (draft->kind != SP_WINDOW_GLOBAL &&
		draft->stream->time_type != TIMESTAMPTZOID &&
		strcmp(draft->time_zone, "UTC") != 0 &&
		strcmp(draft->time_zone, draft->stream->time_zone) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("parameter \"time_zone\" is \"%s\", but that of stream \"%s\" is \"%s\"",
						draft->time_zone, get_rel_name(draft->stream->o.relid),
						draft->stream->time_zone),
				 errdetail("The time column has no time zone, and windows are made of its values "
						   "as they are.")));
}

/* ---- When rows come, and when they go. ---- */

/* Why a kind can't have that emit, or NULL. */
static const char *
find_objection(SpWindowKind kind, const char *emit)
{
	if (strcmp(emit, "final") != 0)
		return NULL;
	if (kind == SP_WINDOW_GLOBAL)
		return "Running totals never become final.";
	if (kind == SP_WINDOW_SLIDING)
		return "Each event has its answer at once.";
	return NULL;
}

static void
read_emit(FunctionCallInfo fcinfo, SpWindowDraft *draft)
{
	static const char *const emits[] = {"update", "final", NULL};
	const char *objection;

	draft->emit = draft->kind == SP_WINDOW_HOPPING || draft->kind == SP_WINDOW_CUMULATIVE ?
		"final" : "update";
	if (PG_ARGISNULL(SP_WINDOW_EMIT))
		return;
	draft->emit = sp_parameter_choice(fcinfo, SP_WINDOW_EMIT, "emit", emits);
	objection = find_objection(draft->kind, draft->emit);
	if (objection != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("parameter \"emit\" can't be \"%s\" for %s", draft->emit, describe(draft)),
				 errdetail("%s", objection),
				 errhint("Use emit => 'update'.")));
}

static void
read_intervals(FunctionCallInfo fcinfo, SpWindowDraft *draft)
{
	sp_parameter_require(fcinfo, SP_WINDOW_TRIGGER, "trigger");
	sp_parameter_interval(fcinfo, SP_WINDOW_TRIGGER, "trigger", SP_INTERVAL_ANY);
	sp_parameter_interval(fcinfo, SP_WINDOW_WATERMARK, "watermark", SP_INTERVAL_ANY);
	sp_parameter_require(fcinfo, SP_WINDOW_GRACE, "grace");
	sp_parameter_interval(fcinfo, SP_WINDOW_GRACE, "grace", SP_INTERVAL_ANY);
	draft->retention = sp_parameter_interval(fcinfo, SP_WINDOW_RETENTION, "retention",
											 SP_INTERVAL_LONG);
	if (draft->kind == SP_WINDOW_GLOBAL &&
		sp_definition_interval_us(PG_GETARG_INTERVAL_P(SP_WINDOW_GRACE)) != 0)
		sp_parameter_refuse(fcinfo, SP_WINDOW_GRACE, "grace", describe(draft));
}

static void
read_choices(FunctionCallInfo fcinfo, SpWindowDraft *draft)
{
	static const char *const boundaries[] = {"(]", "[]", NULL};
	static const char *const fills[] = {"none", "zero", NULL};

	if (!PG_ARGISNULL(SP_WINDOW_BOUNDS))
		draft->closed = strcmp(sp_parameter_choice(fcinfo, SP_WINDOW_BOUNDS, "bounds", boundaries),
							   "[]") == 0;
	draft->fill_zero = strcmp(sp_parameter_choice(fcinfo, SP_WINDOW_FILL, "fill", fills),
							  "zero") == 0;
	if (draft->fill_zero && (ALIGNED & 1 << draft->kind) == 0)
		sp_parameter_refuse(fcinfo, SP_WINDOW_FILL, "fill", describe(draft));
	sp_parameter_require(fcinfo, SP_WINDOW_BACKFILL, "backfill");
	sp_parameter_require(fcinfo, SP_WINDOW_CHANGES, "changes");
}

/* What a window that reads another one takes from it. */
static void
check_upstream(FunctionCallInfo fcinfo, const SpWindowDraft *draft)
{
	if (draft->upstream == NULL)
		return;
	if (draft->upstream->window_kind == SP_WINDOW_GLOBAL)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("window \"%s\" of kind \"global\" can't be the source of a window",
						draft->source.name),
				 errdetail("Rows flow on when they are final, and running totals never are.")));
	sp_parameter_refuse(fcinfo, SP_WINDOW_WATERMARK, "watermark",
						"a window on a window, which has that of its source");
}

/* Of rows without a time nobody can tell how far apart they are. */
static void
check_dedup_history(FunctionCallInfo fcinfo, const SpWindowDraft *draft)
{
	const SpStreamDef *stream = draft->stream;

	if (draft->kind != SP_WINDOW_GLOBAL || stream->ndedup == 0 || stream->time_attnum > 0 ||
		!PG_GETARG_BOOL(SP_WINDOW_BACKFILL) || sp_lifecycle_is_stream_table(stream->o.relid))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("which rows of \"%s\" are duplicates can't be told: their commit times are not "
					"known any more", get_rel_name(stream->o.relid)),
			 errdetail("The stream has a dedup_key and no time column."),
			 errhint("backfill => false counts the rows that come from now on.")));
}

void
sp_window_parameter_read(FunctionCallInfo fcinfo, SpWindowDraft *draft)
{
	read_kind(fcinfo, draft);
	check_rules(fcinfo, draft);
	read_emit(fcinfo, draft);
	read_choices(fcinfo, draft);
	read_intervals(fcinfo, draft);
	read_time_zone(fcinfo, draft);
	read_sizes(fcinfo, draft);
	read_origin(fcinfo, draft);
	check_upstream(fcinfo, draft);
	check_dedup_history(fcinfo, draft);
}
