/*
 * batch.h
 *	  What batch detectors' kernels have in common: points of history, scored all at once.
 *
 * A point is d numbers, all within +-SP_BATCH_MAX, so that sums of squares are finite: who calls
 * takes larger ones for that, and leaves out points with numbers that aren't finite.  Kernels get
 * their memory from who calls, who also may end them: allocate() and check() need not return.  So
 * kernels hold nothing else while they call these.  They have no globals and raise no errors; what
 * they choose by chance follows from a seed, so that the same points in the same order give the
 * same bits.
 *
 * Higher scores are more anomalous, always.
 */
#ifndef SP_BATCH_H
#define SP_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernel/online/random.h"

#define SP_BATCH_MAX			1e150
#define SP_BATCH_MAX_COLUMNS	1600
#define SP_BATCH_SEED			42

/* n points; that of number i stands at x + i * d. */
typedef struct SpMatrix
{
	const double *x;
	size_t		n;
	int			d;
} SpMatrix;

/* What a kernel is lent; its caller's struct begins with it. */
typedef struct SpWork
{
	/* memory, aligned to 8 bytes, not zeroed; doesn't return when there is none */
	void	   *(*allocate) (struct SpWork *work, size_t size);
	void		(*release) (struct SpWork *work, void *memory);
	/* to be called at least every 20 ms; doesn't return when the kernel is to end */
	void		(*check) (struct SpWork *work);
} SpWork;

/* Numbers by chance, one after the other. */
typedef struct SpRandom
{
	uint64_t	sequence;
	uint64_t	next;
} SpRandom;

static inline SpRandom
sp_random_begin(int64_t seed, uint64_t purpose)
{
	SpRandom	random = {sp_random_mix((uint64_t) seed * SP_RANDOM_ODD + purpose), 0};

	return random;
}

static inline uint64_t
sp_random_bits(SpRandom *random)
{
	return sp_random_at(random->sequence, random->next++);
}

/* In (0, 1). */
static inline double
sp_random_next(SpRandom *random)
{
	return sp_random_uniform(sp_random_bits(random));
}

/* 0 to n - 1, n up to 2^32. */
static inline uint32_t
sp_random_below(SpRandom *random, uint64_t n)
{
	return (uint32_t) (((sp_random_bits(random) >> 32) * n) >> 32);
}

/* Standard normal. */
extern double sp_random_normal(SpRandom *random);

/* m of the numbers 0 to n - 1, each as likely, without repeats, in no particular order. */
extern void sp_random_sample(SpRandom *random, size_t n, size_t m, size_t *sample, SpWork *work);

#endif
