/*
 * backtest.c
 *	  backtest(), backtest_rows(), backtest_sweep(): what a detector would have said over the
 *	  history of its source.
 *
 * All three are one run over the rows: the first counts what the second shows, and the third
 * does so for many definitions at once, reading the rows but once.
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

#include "base/compat.h"
#include "engine/rehearsal.h"
#include "face/parameter.h"
#include "face/sweep.h"
#include "face/tally.h"
#include "face/trial.h"

/* The first arguments of backtest() and backtest_rows(). */
enum
{
	DETECTOR,
	START_TIME,
	END_TIME
};

/* Those behind them, beginning at backtest()'s fifth and backtest_rows()'s fourth. */
enum
{
	PARAMS,
	THRESHOLD,
	DIRECTION,
	LEARN,
	MIN_EFFECT,
	COOLDOWN
};

#define BACKTEST_LABELS		3
#define BACKTEST_CHANGES	4
#define ROWS_CHANGES		3

/* Arguments of backtest_sweep(). */
enum
{
	SWEEP_DETECTOR,
	SWEEP,
	SWEEP_START_TIME,
	SWEEP_END_TIME,
	SWEEP_LABELS
};

/* Columns of backtest_rows() that are not the detector's own. */
#define ROWS_COLUMNS	14
#define FIRST_SCORES	2		/* of them: value, and the others up to is_anomaly */
#define IS_ALERT		8
#define FIRST_EXPECTED	9		/* expected, and the others up to the end */

/* A run at work. */
typedef struct Run
{
	const SpTrial *trial;
	SpRehearsal *rehearsal;
	SpTally    *tallies;		/* by variant; NULL: rows are shown */
	ReturnSetInfo *result;
	MemoryContext context;		/* for a row */
} Run;

PG_FUNCTION_INFO_V1(sp_backtest);
PG_FUNCTION_INFO_V1(sp_backtest_rows);
PG_FUNCTION_INFO_V1(sp_backtest_sweep);

/* ---- Arguments. ---- */

/* Add a change, if its argument is given. */
static void
push_change(JsonbParseState **state, FunctionCallInfo fcinfo, int n, char *name)
{
	Oid			type = get_fn_expr_argtype(fcinfo->flinfo, n);
	JsonbValue	key = {.type = jbvString, .val.string = {strlen(name), name}};
	JsonbValue	value = {.type = jbvString};

	if (PG_ARGISNULL(n))
		return;
	if (type == FLOAT8OID)
	{
		if (isnan(PG_GETARG_FLOAT8(n)) || isinf(PG_GETARG_FLOAT8(n)))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("parameter \"%s\" must be finite: %s", name,
							sp_parameter_value(fcinfo, n))));
		value.type = jbvNumeric;
		value.val.numeric = DatumGetNumeric(DirectFunctionCall1(float8_numeric,
																PG_GETARG_DATUM(n)));
	}
	else
	{
		value.val.string.val = type == TEXTOID ? text_to_cstring(PG_GETARG_TEXT_PP(n)) :
			DatumGetCString(DirectFunctionCall1(interval_out, PG_GETARG_DATUM(n)));
		value.val.string.len = strlen(value.val.string.val);
	}
	(void) pushJsonbValue(state, WJB_KEY, &key);
	(void) pushJsonbValue(state, WJB_VALUE, &value);
}

/* All that is to be changed, of arguments from the first on. */
static Jsonb *
read_changes(FunctionCallInfo fcinfo, int first)
{
	JsonbParseState *state = NULL;
	Jsonb	   *changes;

	(void) pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	push_change(&state, fcinfo, first + THRESHOLD, "threshold");
	push_change(&state, fcinfo, first + DIRECTION, "direction");
	push_change(&state, fcinfo, first + LEARN, "learn");
	push_change(&state, fcinfo, first + MIN_EFFECT, "min_effect");
	push_change(&state, fcinfo, first + COOLDOWN, "cooldown");
	changes = JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
	if (PG_ARGISNULL(first + PARAMS))
		return changes;
	if (!JB_ROOT_IS_OBJECT(PG_GETARG_JSONB_P(first + PARAMS)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("parameter \"params\" must be a JSON object: %s",
						sp_parameter_value(fcinfo, first + PARAMS)),
				 errhint("For example, params => '{\"alpha\": 0.1}'.")));
	return DatumGetJsonbP(DirectFunctionCall2(jsonb_concat,
											  PG_GETARG_DATUM(first + PARAMS),
											  JsonbPGetDatum(changes)));
}

/* The labels of a text argument. */
static SpLabels *
read_labels(FunctionCallInfo fcinfo, int n, const SpTrial *trial)
{
	return sp_labels_load(trial, sp_parameter_text(fcinfo, n, "labels"));
}

/* ---- The run. ---- */

/* Is it a row that is judged? */
static inline bool
is_judged(const Run *run, const SpSaid *said)
{
	return said->time >= run->trial->from;
}

/* SpRehearsalTake: count it. */
static void
count_row(void *arg, const SpSaid *said)
{
	Run		   *run = arg;

	if (is_judged(run, said))
		sp_tally_add(&run->tallies[said->variant], run->rehearsal, said);
}

/* SpRehearsalTake: show it. */
static void
show_row(void *arg, const SpSaid *said)
{
	Run		   *run = arg;
	const int	first = 2 + run->trial->detector->nkeys;	/* the detector's "value" */
	const int	nscores = IS_ALERT - FIRST_SCORES;
	Datum		values[ROWS_COLUMNS];
	bool		nulls[ROWS_COLUMNS] = {false};
	MemoryContext old;
	Jsonb	   *keys;

	if (!is_judged(run, said))
		return;
	old = MemoryContextSwitchTo(run->context);
	values[0] = TimestampTzGetDatum(said->time);
	keys = sp_rehearsal_keys(run->rehearsal, said);
	values[1] = JsonbPGetDatum(keys);
	nulls[1] = keys == NULL;
	memcpy(values + FIRST_SCORES, said->values + first, sizeof(Datum) * nscores);
	memcpy(nulls + FIRST_SCORES, said->nulls + first, nscores);
	values[IS_ALERT] = BoolGetDatum(said->is_alert);
	memcpy(values + FIRST_EXPECTED, said->values + first + nscores,
		   sizeof(Datum) * (ROWS_COLUMNS - FIRST_EXPECTED));
	memcpy(nulls + FIRST_EXPECTED, said->nulls + first + nscores, ROWS_COLUMNS - FIRST_EXPECTED);
	tuplestore_putvalues(run->result->setResult, run->result->setDesc, values, nulls);
	MemoryContextSwitchTo(old);
	MemoryContextReset(run->context);
}

/* Rows through definitions: a result row for each of them, or for each event. */
static void
run_all(Run *run, List *variants, const SpLabels *labels, SpRehearsalTake take)
{
	int			n = list_length(variants);

	run->context = AllocSetContextCreate(CurrentMemoryContext, "streamproc row",
										 ALLOCSET_DEFAULT_SIZES);
	if (take == count_row)
	{
		run->tallies = palloc(sizeof(SpTally) * n);
		for (int v = 0; v < n; v++)
			sp_tally_init(&run->tallies[v], labels);
	}
	run->rehearsal = sp_rehearsal_open(run->trial->definitions, variants, DT_NOEND);
	sp_rehearsal_run(run->rehearsal, run->trial->before, take, run);
	sp_rehearsal_close(run->rehearsal);
}

Datum
sp_backtest(PG_FUNCTION_ARGS)
{
	SpTrial		trial;
	Run			run = {&trial};
	Datum		values[SP_TALLY_COLUMNS];
	bool		nulls[SP_TALLY_COLUMNS];
	SpDetectorDef *changed;

	sp_trial_open(fcinfo, DETECTOR, &trial);
	sp_trial_limit(fcinfo, START_TIME, &trial);
	changed = sp_trial_change(&trial, read_changes(fcinfo, BACKTEST_CHANGES));
	InitMaterializedSRF(fcinfo, 0);
	run.result = (ReturnSetInfo *) fcinfo->resultinfo;
	run_all(&run, list_make1(changed), read_labels(fcinfo, BACKTEST_LABELS, &trial), count_row);
	sp_tally_finish(&run.tallies[0], values, nulls);
	tuplestore_putvalues(run.result->setResult, run.result->setDesc, values, nulls);
	return (Datum) 0;
}

Datum
sp_backtest_rows(PG_FUNCTION_ARGS)
{
	SpTrial		trial;
	Run			run = {&trial};
	SpDetectorDef *changed;

	sp_trial_open(fcinfo, DETECTOR, &trial);
	sp_trial_limit(fcinfo, START_TIME, &trial);
	changed = sp_trial_change(&trial, read_changes(fcinfo, ROWS_CHANGES));
	InitMaterializedSRF(fcinfo, 0);
	run.result = (ReturnSetInfo *) fcinfo->resultinfo;
	run_all(&run, list_make1(changed), NULL, show_row);
	return (Datum) 0;
}

Datum
sp_backtest_sweep(PG_FUNCTION_ARGS)
{
	SpTrial		trial;
	Run			run = {&trial};
	List	   *combinations;
	List	   *variants = NIL;
	ListCell   *cell;
	int			v = 0;

	sp_trial_open(fcinfo, SWEEP_DETECTOR, &trial);
	sp_parameter_require(fcinfo, SWEEP, "sweep");
	combinations = sp_sweep_combine(PG_GETARG_JSONB_P(SWEEP));
	sp_trial_limit(fcinfo, SWEEP_START_TIME, &trial);
	foreach(cell, combinations)
		variants = lappend(variants, sp_trial_change(&trial, lfirst(cell)));
	InitMaterializedSRF(fcinfo, 0);
	run.result = (ReturnSetInfo *) fcinfo->resultinfo;
	run_all(&run, variants, read_labels(fcinfo, SWEEP_LABELS, &trial), count_row);
	foreach(cell, combinations)
	{
		Datum		values[1 + SP_TALLY_COLUMNS];
		bool		nulls[1 + SP_TALLY_COLUMNS] = {false};

		values[0] = JsonbPGetDatum(lfirst(cell));
		sp_tally_finish(&run.tallies[v++], values + 1, nulls + 1);
		tuplestore_putvalues(run.result->setResult, run.result->setDesc, values, nulls);
	}
	return (Datum) 0;
}
