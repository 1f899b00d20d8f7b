/*
 * fuzz_kept.c
 *	  Rows that aggregates keep: whatever is done to states, they hold the rows that a plain
 *	  list would; and whatever the bytes of a stored one are, it is read or said to be damaged.
 *
 * An input is of what types the columns are, and then what to do to a few states: add rows,
 * take some away, copy a state and go back to the copy or go on without it, combine, store
 * and load.  Beside each state stands a list with what must be in it.
 */
#include "postgres.h"

#include "base/compat.h"
#include "engine/aggregate_rows.h"
#include "server.h"
#include "utils/memutils.h"

#include "fuzz.h"

#define MAX_COLUMNS		3
#define MAX_ROWS		200
#define NSTATES			4
#define NVALUES			6		/* different ones of a column */

static const SpKeptColumn column_types[] = {
	{4, true},
	{8, true},
	{2, true},
	{1, true},
	{16, false},
	{-1, false, .packable = true},
	{-1, false},
	{-2, false}
};

/* What a state must hold, in its order: the numbers of values, and how often. */
typedef struct Model
{
	bool		used;
	int			nrows;
	int			rows[MAX_ROWS][MAX_COLUMNS];	/* -1: null */
	uint64		counts[MAX_ROWS];
} Model;

static SpAggregate agg;
static SpKeeper keeper;
static SpKeptColumn columns[MAX_COLUMNS];
static uint64 states[NSTATES][2];
static Model models[NSTATES];

/* ---- values ---- */

/* Value number n of a column, in its several lengths. */
static Datum
make_value(const SpKeptColumn *column, int n)
{
	char	   *value;

	if (column->typbyval)
		return column->typlen == 1 ? CharGetDatum((char) (n * 40)) :
			column->typlen == 2 ? Int16GetDatum(n * 9000 - 20000) :
			column->typlen == 4 ? Int32GetDatum((n - 3) * 700000000) :
			Int64GetDatum((n - 3) * INT64CONST(3000000000000000000));
	value = palloc0(400);
	memset(value, 'a' + n, 399);
	if (column->typlen == -1)
		SET_VARSIZE(value, VARHDRSZ + n * 60);
	else if (column->typlen == -2)
		value[n * 3] = '\0';
	return PointerGetDatum(value);
}

/* Are these the bytes of value number n? */
static bool
is_value(const SpKeptColumn *column, Datum value, int n)
{
	Datum		expected = make_value(column, n);

	if (column->typbyval)
		return value == expected;
	if (column->typlen == -1)
	{
		char	   *varlena = DatumGetPointer(value);

		return VARSIZE_ANY_EXHDR(varlena) == n * 60 &&
			memcmp(VARDATA_ANY(varlena), VARDATA(DatumGetPointer(expected)), n * 60) == 0;
	}
	return memcmp(DatumGetPointer(value), DatumGetPointer(expected),
				  column->typlen > 0 ? column->typlen : n * 3 + 1) == 0;
}

/* All values here are plain. */
struct varlena *
pg_detoast_datum(struct varlena *datum)
{
	return datum;
}

pg_noreturn void
sp_aggregate_damaged(const SpAggregate *agg)
{
	ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("damaged")));
}

void
sp_aggregate_read(const SpAggregate *a, void *to, Size size, const char **p, const char *end)
{
	if (end - *p < size)
		sp_aggregate_damaged(a);
	memcpy(to, *p, size);
	*p += size;
}

/* ---- the model ---- */

static bool
is_ignored(const int *row)
{
	for (int i = 0; i < keeper.nstrict; i++)
	{
		if (row[i] < 0)
			return true;
	}
	return false;
}

static int
find_row(const Model *model, const int *row)
{
	for (int i = 0; i < model->nrows; i++)
	{
		if (memcmp(model->rows[i], row, sizeof(int) * keeper.ncolumns) == 0)
			return i;
	}
	return -1;
}

static void
add_to_model(Model *model, const int *row, uint64 count)
{
	int			at = keeper.counted ? find_row(model, row) : -1;

	if (at < 0)
	{
		at = model->nrows++;
		memcpy(model->rows[at], row, sizeof(model->rows[at]));
		model->counts[at] = 0;
	}
	model->counts[at] += count;
}

static void
take_from_model(Model *model, int at)
{
	if (--model->counts[at] > 0)
		return;
	model->nrows--;
	memmove(&model->rows[at], &model->rows[at + 1], sizeof(model->rows[0]) * (model->nrows - at));
	memmove(&model->counts[at], &model->counts[at + 1], sizeof(uint64) * (model->nrows - at));
}

/* ---- comparing ---- */

static void
check_state(int s)
{
	const Model *model = &models[s];
	SpKeptCursor cursor;
	Datum		values[MAX_COLUMNS];
	bool		nulls[MAX_COLUMNS];
	uint64		count;
	int			n = 0;

	sp_keeper_begin(&agg, (char *) states[s], &cursor);
	for (; sp_keeper_next(&cursor, values, nulls, &count); n++)
	{
		demand(n < model->nrows && count == model->counts[n]);
		for (int i = 0; i < keeper.ncolumns; i++)
		{
			demand(nulls[i] == (model->rows[n][i] < 0));
			demand(nulls[i] || is_value(&columns[i], values[i], model->rows[n][i]));
		}
	}
	demand(n == model->nrows);
}

/* The number of different values of the only column, if the aggregate is a count of them. */
static void
check_total(int s)
{
	const void *total;
	SpAggResult result;
	uint64		expected = 0;

	if (keeper.total == NULL)
		return;
	demand(sp_keeper_total(&agg, (char *) states[s], &total) == SP_AGG_OK);
	sp_agg_result(keeper.total, total, &result);
	for (int i = 0; i < models[s].nrows; i++)
		expected += models[s].rows[i][0] >= 0;
	demand(result.bits == expected);
}

/* ---- what is done ---- */

static void
take_row(FuzzInput *in, int *row, NullableDatum *args)
{
	for (int i = 0; i < keeper.ncolumns; i++)
	{
		row[i] = (int) take_below(in, NVALUES + 1) - 1;
		args[i].isnull = row[i] < 0;
		args[i].value = args[i].isnull ? (Datum) 0 : make_value(&columns[i], row[i]);
	}
}

static void
advance(FuzzInput *in, int s)
{
	int			row[MAX_COLUMNS] = {0};
	NullableDatum args[MAX_COLUMNS];

	take_row(in, row, args);
	if (models[s].nrows == MAX_ROWS)
		return;
	demand(sp_keeper_advance(&agg, (char *) states[s], args) == SP_AGG_OK);
	if (!is_ignored(row))
		add_to_model(&models[s], row, 1);
}

static void
retract(FuzzInput *in, int s)
{
	NullableDatum args[MAX_COLUMNS];
	int			row[MAX_COLUMNS] = {0};
	int			at;
	SpAggError	error;

	take_row(in, row, args);
	at = find_row(&models[s], row);
	error = sp_keeper_retract(&agg, (char *) states[s], args);
	demand(error == (at < 0 && !is_ignored(row) ? SP_AGG_NEVER_ADDED : SP_AGG_OK));
	if (!is_ignored(row) && at >= 0)
		take_from_model(&models[s], at);
}

static void
release(int s)
{
	sp_keeper_release(&agg, (char *) states[s]);
	models[s].nrows = 0;
}

static void
copy(int to, int from)
{
	if (to == from)
		return;
	release(to);
	sp_keeper_copy(&agg, (char *) states[to], (char *) states[from]);
	models[to] = models[from];
}

static void
combine(int to, int from)
{
	if (to == from || models[to].nrows + models[from].nrows > MAX_ROWS)
		return;
	sp_keeper_combine(&agg, (char *) states[to], (char *) states[from]);
	for (int i = 0; i < models[from].nrows; i++)
		add_to_model(&models[to], models[from].rows[i], models[from].counts[i]);
}

typedef struct LoadCall
{
	int			state;
	const char *p;
	const char *end;
} LoadCall;

static void
call_load(void *arg)
{
	LoadCall   *call = arg;

	sp_keeper_deserialize(&agg, (char *) states[call->state], &call->p, call->end);
}

/* Read what isn't where it was written, and all of it. */
static void
load(int s, const char *data, Size size, bool intact)
{
	char	   *bytes = fuzz_copy(data, size, 0);
	LoadCall	call = {s, bytes, bytes + size};
	int			sqlstate;

	release(s);
	sqlstate = server_try(call_load, &call);
	demand(intact ? sqlstate == 0 : sqlstate == 0 || sqlstate == ERRCODE_DATA_CORRUPTED);
	demand(!intact || call.p == call.end);
	fuzz_free(bytes, 0);
}

static void
store_and_load(int s)
{
	StringInfoData buf;
	Model		model = models[s];

	initStringInfo(&buf);
	sp_keeper_serialize(&agg, (char *) states[s], &buf);
	load(s, buf.data, buf.len, true);
	models[s] = model;
}

/* Damage a stored state, or take any bytes for one; what is read can be read through. */
static void
load_damaged(FuzzInput *in, int s)
{
	StringInfoData buf;
	SpKeptCursor cursor;
	Datum		values[MAX_COLUMNS];
	bool		nulls[MAX_COLUMNS];
	uint64		count;

	initStringInfo(&buf);
	sp_keeper_serialize(&agg, (char *) states[s], &buf);
	for (int i = take_below(in, 4); i > 0; i--)
		buf.data[take_uint32(in) % buf.len] = take_byte(in);
	if (take_below(in, 4) == 1)
		buf.len = take_uint32(in) % (buf.len + 1);
	load(s, buf.data, buf.len, false);
	sp_keeper_begin(&agg, (char *) states[s], &cursor);
	while (sp_keeper_next(&cursor, values, nulls, &count))
	{
		for (int i = 0; i < keeper.ncolumns; i++)
		{
			if (nulls[i] || columns[i].typbyval)
				continue;
			fuzz_touch(DatumGetPointer(values[i]),
					   columns[i].typlen > 0 ? columns[i].typlen :
					   columns[i].typlen == -1 ? VARSIZE_ANY(DatumGetPointer(values[i])) :
					   strlen(DatumGetCString(values[i])) + 1);
		}
	}
	release(s);
}

/* ---- an input ---- */

static void
prepare(FuzzInput *in)
{
	memset(&agg, 0, sizeof(agg));
	memset(&keeper, 0, sizeof(keeper));
	memset(states, 0, sizeof(states));
	memset(models, 0, sizeof(models));
	keeper.ncolumns = 1 + take_below(in, MAX_COLUMNS);
	for (int i = 0; i < keeper.ncolumns; i++)
		columns[i] = column_types[take_below(in, lengthof(column_types))];
	keeper.columns = columns;
	keeper.nstrict = take_below(in, keeper.ncolumns + 1);
	keeper.counted = take_below(in, 2) == 1;
	keeper.limit = 1024 * 1024;
	keeper.temp = AllocSetContextCreate(CurrentMemoryContext, "temp", ALLOCSET_DEFAULT_SIZES);
	if (keeper.ncolumns == 1)
		keeper.total = sp_agg_find(SP_AGG_COUNT, SP_AGG_ANY);
	agg.context = AllocSetContextCreate(CurrentMemoryContext, "aggregate", ALLOCSET_DEFAULT_SIZES);
	agg.name = "a";
	agg.nargs = keeper.ncolumns;
	agg.keeper = &keeper;
}

void
fuzz_one(const uint8_t *data, size_t size)
{
	FuzzInput	in = {data, data + size};

	server_init();
	prepare(&in);
	while (input_left(&in) > 0)
	{
		int			s = take_below(&in, NSTATES);
		unsigned	what = take_below(&in, 16);

		if (what < 6)
			advance(&in, s);
		else if (what < 10)
			retract(&in, s);
		else if (what < 12)
			copy(s, take_below(&in, NSTATES));
		else if (what == 12)
			combine(s, take_below(&in, NSTATES));
		else if (what == 13)
			release(s);
		else if (what == 14)
			store_and_load(s);
		else
			load_damaged(&in, s);
		check_state(s);
		check_total(s);
	}
	for (int s = 0; s < NSTATES; s++)
	{
		check_state(s);
		release(s);
	}
	demand(agg.context->mem_allocated == 0);
	MemoryContextReset(TopTransactionContext);
}

/* Random things to do. */
void
fuzz_seeds(void)
{
	uint64		state = 8;

	for (int i = 0; i < 100; i++)
	{
		uint8		bytes[2000];

		fuzz_random(&state, bytes, sizeof(bytes));
		fuzz_seed(bytes, sizeof(bytes));
	}
}
