/*
 * aggregate_scaled.c
 *	  Sums, averages and variances of numeric from which rows are taken away again.
 *
 * The server's inverse function gives up when it takes away the last of the values with the
 * most decimals: how many the others have, which the result shows, isn't known any more.
 * So there is a state (aggregate_generic.c) for each number of decimals, mostly one; it goes
 * with its last value, and a result combines them all.
 *
 * NaN and the infinities have no decimals; they have a state of their own.
 */
#include "postgres.h"

#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/numeric.h"

#include "base/compat.h"
#include "engine/aggregate_internal.h"

#define STATE_VERSION	1		/* first byte of the durable form; the second is KIND */
#define STATE_KIND		's'

#define SCALE_SPECIAL	(-1)
#define LARGEST_SCALE	16383	/* decimals of a numeric */

/* The state in a group: parts in order of scale. */
typedef struct SpScaledState
{
	int			nparts;
	char	   *parts;			/* each an int32, aligned, and a state of the generic kind */
} SpScaledState;

static inline Size
part_size(const SpAggregate *agg)
{
	return MAXALIGN(sizeof(int32)) + MAXALIGN(sp_generic_state_size(agg));
}

/* The scale of part i. */
static inline int32 *
scale_of(const SpAggregate *agg, const SpScaledState *s, int i)
{
	return (int32 *) (s->parts + part_size(agg) * i);
}

/* The state of part i. */
static inline char *
state_of(const SpAggregate *agg, const SpScaledState *s, int i)
{
	return s->parts + part_size(agg) * i + MAXALIGN(sizeof(int32));
}

/* Bytes of a state within its group. */
static Size
scaled_state_size(const SpAggregate *agg)
{
	return sizeof(SpScaledState);
}

/* No values yet. */
static void
scaled_init(SpAggregate *agg, char *state)
{
	memset(state, 0, sizeof(SpScaledState));
}

/* The number of decimals of a value. */
static int32
get_scale(Datum value)
{
	Numeric		number = DatumGetNumeric(value);

	if (numeric_is_nan(number) || numeric_is_inf(number))
		return SCALE_SPECIAL;
	return DatumGetInt32(DirectFunctionCall1(numeric_scale, NumericGetDatum(number)));
}

/* The part of a scale; false: there is none, and it would be the at-th. */
static bool
find_part(const SpAggregate *agg, const SpScaledState *s, int32 scale, int *at)
{
	for (*at = 0; *at < s->nparts; (*at)++)
	{
		if (*scale_of(agg, s, *at) >= scale)
			return *scale_of(agg, s, *at) == scale;
	}
	return false;
}

/* The state of a scale, made when there is none. */
static char *
get_part(SpAggregate *agg, SpScaledState *s, int32 scale)
{
	Size		size = part_size(agg);
	int			at;
	char	   *parts;

	if (find_part(agg, s, scale, &at))
		return state_of(agg, s, at);
	parts = MemoryContextAllocZero(agg->context, size * (s->nparts + 1));
	if (s->nparts > 0)
	{
		memcpy(parts, s->parts, size * at);
		memcpy(parts + size * (at + 1), s->parts + size * at, size * (s->nparts - at));
		pfree(s->parts);
	}
	s->parts = parts;
	s->nparts++;
	*scale_of(agg, s, at) = scale;
	sp_generic_init(agg, state_of(agg, s, at));
	return state_of(agg, s, at);
}

/* The at-th part has no values any more. */
static void
remove_part(SpAggregate *agg, SpScaledState *s, int at)
{
	Size		size = part_size(agg);

	sp_generic_release(agg, state_of(agg, s, at));
	s->nparts--;
	memmove(s->parts + size * at, s->parts + size * (at + 1), size * (s->nparts - at));
	if (s->nparts > 0)
		return;
	pfree(s->parts);
	s->parts = NULL;
}

/* One row. */
static SpAggError
scaled_advance(SpAggregate *agg, char *state, const NullableDatum *args)
{
	if (args[0].isnull)
		return SP_AGG_OK;
	return sp_generic_advance(agg, get_part(agg, (SpScaledState *) state,
											get_scale(args[0].value)), args);
}

/* Take one row away. */
static SpAggError
scaled_retract(SpAggregate *agg, char *state, const NullableDatum *args)
{
	SpScaledState *s = (SpScaledState *) state;
	int			at;

	if (args[0].isnull)
		return SP_AGG_OK;
	if (!find_part(agg, s, get_scale(args[0].value), &at))
		return SP_AGG_NEVER_ADDED;
	(void) sp_generic_retract(agg, state_of(agg, s, at), args);
	if (sp_generic_count(agg, state_of(agg, s, at)) == 0)
		remove_part(agg, s, at);
	return SP_AGG_OK;
}

/* "to" becomes the state of all rows of both. */
static SpAggError
scaled_combine(SpAggregate *agg, char *to, const char *from)
{
	const SpScaledState *other = (const SpScaledState *) from;

	for (int i = 0; i < other->nparts; i++)
		(void) sp_generic_combine(agg, get_part(agg, (SpScaledState *) to,
												*scale_of(agg, other, i)),
								  state_of(agg, other, i));
	return SP_AGG_OK;
}

/* The result, by-reference ones in the current memory context. */
static Datum
scaled_result(SpAggregate *agg, const char *state, bool *isnull)
{
	const SpScaledState *s = (const SpScaledState *) state;
	char	   *all;
	Datum		result;

	if (s->nparts == 1)
		return sp_generic_result(agg, state_of(agg, s, 0), isnull);
	all = palloc0(sp_generic_state_size(agg));
	sp_generic_init(agg, all);
	for (int i = 0; i < s->nparts; i++)
		(void) sp_generic_combine(agg, all, state_of(agg, s, i));
	result = sp_generic_result(agg, all, isnull);
	sp_generic_release(agg, all);
	pfree(all);
	return result;
}

/* ---- durable form ---- */

/* Append the durable form: version, kind, number of parts; of each the scale and the state. */
static void
scaled_serialize(SpAggregate *agg, const char *state, StringInfo buf)
{
	const SpScaledState *s = (const SpScaledState *) state;

	appendStringInfoChar(buf, STATE_VERSION);
	appendStringInfoChar(buf, STATE_KIND);
	appendBinaryStringInfo(buf, (const char *) &s->nparts, sizeof(s->nparts));
	for (int i = 0; i < s->nparts; i++)
	{
		appendBinaryStringInfo(buf, (const char *) scale_of(agg, s, i), sizeof(int32));
		sp_generic_serialize(agg, state_of(agg, s, i), buf);
	}
}

/* Make a state of the durable form at *p, which moves behind it. */
static void
scaled_deserialize(SpAggregate *agg, char *state, const char **p, const char *end)
{
	SpScaledState *s = (SpScaledState *) state;
	Size		size = part_size(agg);
	char		header[2];
	int			nparts;
	int32		previous = SCALE_SPECIAL - 1;

	scaled_init(agg, state);
	sp_aggregate_read(agg, header, sizeof(header), p, end);
	sp_aggregate_read(agg, &nparts, sizeof(nparts), p, end);
	if (header[0] != STATE_VERSION || header[1] != STATE_KIND || nparts < 0 ||
		nparts > LARGEST_SCALE + 2)
		sp_aggregate_damaged(agg);
	if (nparts == 0)
		return;
	s->parts = MemoryContextAllocZero(agg->context, size * nparts);
	for (; s->nparts < nparts; s->nparts++)
	{
		int32		scale;

		sp_aggregate_read(agg, &scale, sizeof(scale), p, end);
		if (scale <= previous || scale > LARGEST_SCALE)
			sp_aggregate_damaged(agg);
		previous = *scale_of(agg, s, s->nparts) = scale;
		sp_generic_deserialize(agg, state_of(agg, s, s->nparts), p, end);
		if (sp_generic_count(agg, state_of(agg, s, s->nparts)) == 0)
			sp_aggregate_damaged(agg);
	}
}

/* ---- copies ---- */

/* Copy a state to where there is none. */
static void
scaled_copy(SpAggregate *agg, char *to, const char *from)
{
	SpScaledState *copy = (SpScaledState *) to;
	const SpScaledState *s = (const SpScaledState *) from;
	Size		size = part_size(agg);

	scaled_init(agg, to);
	if (s->nparts == 0)
		return;
	copy->parts = MemoryContextAllocZero(agg->context, size * s->nparts);
	for (; copy->nparts < s->nparts; copy->nparts++)
	{
		*scale_of(agg, copy, copy->nparts) = *scale_of(agg, s, copy->nparts);
		sp_generic_copy(agg, state_of(agg, copy, copy->nparts), state_of(agg, s, copy->nparts));
	}
}

/* Give up what a state has outside of its group. */
static void
scaled_release(SpAggregate *agg, char *state)
{
	SpScaledState *s = (SpScaledState *) state;

	while (s->nparts > 0)
		remove_part(agg, s, s->nparts - 1);
}

const SpAggregateKind sp_scaled_kind = {
	.state_size = scaled_state_size,
	.init = scaled_init,
	.advance = scaled_advance,
	.retract = scaled_retract,
	.combine = scaled_combine,
	.result = scaled_result,
	.serialize = scaled_serialize,
	.deserialize = scaled_deserialize,
	.copy = scaled_copy,
	.release = scaled_release
};
