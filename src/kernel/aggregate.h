/*
 * aggregate.h
 *	  Running totals of the plain aggregates: count, sum, min, max, avg, variances.
 *
 * Results equal PostgreSQL's to the last bit, given the same values in the same
 * order.  Integer sums are exact (128 bits, their squares 192), so that order doesn't
 * matter; what PostgreSQL answers as numeric is left here as the sums and divided by
 * the caller with the server's own functions.  Floats repeat the server's own
 * recurrences (float8pl, and Youngs and Cramer in float8_accum).
 *
 * States are plain structs without padding, aligned to 8 bytes, and may be moved with
 * memcpy.  Nothing here allocates or fails otherwise than by an SpAggError.
 */
#ifndef SP_KERNEL_AGGREGATE_H
#define SP_KERNEL_AGGREGATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef __SIZEOF_INT128__
#error "streamproc needs a compiler with 128-bit integers"
#endif

/* States are aligned to 8 bytes only. */
typedef __int128 SpInt128 __attribute__((aligned(8)));
typedef unsigned __int128 SpUint128 __attribute__((aligned(8)));

/* An input: the layout of PostgreSQL's NullableDatum where a Datum has 64 bits. */
typedef struct SpValue
{
	uint64_t	bits;
	bool		isnull;
} SpValue;

typedef enum SpAggFunction
{
	SP_AGG_COUNT_ALL,			/* count(*): no argument */
	SP_AGG_COUNT,
	SP_AGG_SUM,
	SP_AGG_AVG,
	SP_AGG_MIN,
	SP_AGG_MAX,
	SP_AGG_VAR_POP,
	SP_AGG_VAR_SAMP,
	SP_AGG_STDDEV_POP,
	SP_AGG_STDDEV_SAMP
} SpAggFunction;

typedef enum SpAggType
{
	SP_AGG_ANY,					/* for the two counts */
	SP_AGG_INT2,
	SP_AGG_INT4,				/* also date */
	SP_AGG_INT8,				/* also timestamp, timestamptz */
	SP_AGG_FLOAT4,
	SP_AGG_FLOAT8
} SpAggType;

typedef enum SpAggError
{
	SP_AGG_OK = 0,
	SP_AGG_BIGINT_RANGE,		/* a count or a sum leaves int8 */
	SP_AGG_FLOAT_OVERFLOW,		/* finite floats with an infinite result */
	SP_AGG_NEVER_ADDED			/* what is to be taken away can't have been added */
} SpAggError;

/* Which of the structs below is the state; part of the durable form. */
typedef enum SpAggStateKind
{
	SP_AGG_STATE_COUNT = 1,
	SP_AGG_STATE_SUM64,
	SP_AGG_STATE_SUM128,
	SP_AGG_STATE_SQUARES,
	SP_AGG_STATE_SUM_FLOAT,
	SP_AGG_STATE_MOMENTS,
	SP_AGG_STATE_EXTREME
} SpAggStateKind;

typedef struct SpAggCount
{
	int64_t		count;
} SpAggCount;

typedef struct SpAggSum64		/* sum and avg of int2 and int4 */
{
	int64_t		count;
	int64_t		sum;
} SpAggSum64;

typedef struct SpAggSum128		/* sum and avg of int8 */
{
	int64_t		count;
	SpInt128	sum;
} SpAggSum128;

typedef struct SpAggSquares		/* variances of integers */
{
	int64_t		count;
	SpInt128	sum;
	uint64_t	squares[3];		/* sum of x * x, least significant word first */
} SpAggSquares;

typedef struct SpAggSumFloat	/* sum of float4 (kept in float4's precision) and float8 */
{
	double		sum;
	uint64_t	seen;			/* 0: no value yet; else 1 */
} SpAggSumFloat;

typedef struct SpAggMoments		/* avg and variances of float4 and float8 */
{
	double		count;
	double		sum;
	double		squares;		/* sum of (x - mean) squared */
} SpAggMoments;

typedef struct SpAggExtreme		/* min and max */
{
	union
	{
		int64_t		integer;
		double		real;
	}			value;
	uint64_t	seen;			/* 0: no value yet; else 1 */
} SpAggExtreme;

#define SP_AGG_MAX_STATE_SIZE sizeof(SpAggSquares)

typedef struct SpAggKernel
{
	SpAggFunction function;
	SpAggType	type;
	SpAggStateKind state_kind;
	size_t		state_size;

	/* One value; on an error the state is unchanged. */
	SpAggError	(*advance) (void *state, const SpValue *value);

	/*
	 * n values, stride elements apart.  Stops at the first that fails, leaving it out;
	 * returns how many were done.
	 */
	int			(*advance_many) (void *state, int n, const SpValue *values, int stride,
								 SpAggError *error);
} SpAggKernel;

/* What a result is made of. */
typedef enum SpAggResultKind
{
	SP_AGG_RESULT_NULL,
	SP_AGG_RESULT_BITS,			/* the value itself, as a Datum of the result type */
	SP_AGG_RESULT_SUM,			/* numeric: sum */
	SP_AGG_RESULT_AVG,			/* numeric: sum / count */
	SP_AGG_RESULT_VARIANCE		/* numeric: from count, sum and squares, by function */
} SpAggResultKind;

typedef struct SpAggResult
{
	SpAggResultKind kind;
	uint64_t	bits;
	int64_t		count;
	SpInt128	sum;
	uint64_t	squares[3];
} SpAggResult;

/* The kernel of an aggregate; NULL: there is none for this type. */
extern const SpAggKernel *sp_agg_find(SpAggFunction function, SpAggType type);

extern void sp_agg_init(const SpAggKernel *kernel, void *state);
extern void sp_agg_result(const SpAggKernel *kernel, const void *state, SpAggResult *result);

/*
 * aggregate_merge.c.  On an error "to", or the state, is unchanged.  Retracting is for the
 * kernels that can: counts, and sums of integers.
 */
extern SpAggError sp_agg_combine(const SpAggKernel *kernel, void *to, const void *from);
extern bool sp_agg_can_retract(const SpAggKernel *kernel);
extern SpAggError sp_agg_retract(const SpAggKernel *kernel, void *state, const SpValue *value);

/*
 * Durable form: sp_agg_write() writes sp_agg_written_size() bytes and returns the end;
 * sp_agg_read() returns the end of what it has read, or NULL when the bytes before end
 * aren't a state of this kernel.
 */
extern size_t sp_agg_written_size(const SpAggKernel *kernel);
extern char *sp_agg_write(const SpAggKernel *kernel, const void *state, char *to);
extern const char *sp_agg_read(const SpAggKernel *kernel, void *state,
							   const char *from, const char *end);

/*
 * The digits of a number to base 10000, most significant first, without leading zeros:
 * what numeric is made of.  Returns how many (0 for zero, at most SP_AGG_MAX_DIGITS).
 */
#define SP_AGG_MAX_DIGITS 15
extern int	sp_agg_digits(const uint64_t words[3], int16_t digits[SP_AGG_MAX_DIGITS]);

#endif
