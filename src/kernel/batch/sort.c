/*
 * sort.c
 *	  Sorting by radix: a pass for each digit that isn't the same in all keys.
 */
#include "kernel/batch/sort.h"

#define DIGIT	11				/* bits */
#define VALUES	(1 << DIGIT)
#define DIGITS	6				/* of 64 bits */
#define KEYS_AT_ONCE	(1 << 20)	/* between checks */

/* Of a digit's values. */
typedef size_t Counts[VALUES];

static inline unsigned
get_digit(uint64_t key, int digit)
{
	return (unsigned) (key >> (digit * DIGIT)) & (VALUES - 1);
}

/* How often each digit has each value. */
static void
count(const SpKeyed *keyed, size_t n, Counts *counts, SpWork *work)
{
	memset(counts, 0, sizeof(Counts) * DIGITS);
	for (size_t i = 0; i < n; i++)
	{
		if (i % KEYS_AT_ONCE == 0)
			work->check(work);
		for (int digit = 0; digit < DIGITS; digit++)
			counts[digit][get_digit(keyed[i].key, digit)]++;
	}
}

/* Sort by one digit, to another place. */
static void
distribute(const SpKeyed *from, size_t n, int digit, size_t *counts, SpKeyed *to, SpWork *work)
{
	size_t		first = 0;

	for (int value = 0; value < VALUES; value++)
	{
		size_t		here = counts[value];

		counts[value] = first;
		first += here;
	}
	for (size_t i = 0; i < n; i++)
	{
		if (i % KEYS_AT_ONCE == 0)
			work->check(work);
		to[counts[get_digit(from[i].key, digit)]++] = from[i];
	}
}

void
sp_sort(SpKeyed *keyed, size_t n, SpWork *work)
{
	Counts	   *counts = work->allocate(work, sizeof(Counts) * DIGITS);
	SpKeyed    *other = work->allocate(work, n * sizeof(SpKeyed));
	SpKeyed    *from = keyed;
	SpKeyed    *to = other;

	count(keyed, n, counts, work);
	for (int digit = 0; n > 0 && digit < DIGITS; digit++)
	{
		SpKeyed    *swap = from;

		if (counts[digit][get_digit(keyed[0].key, digit)] == n)
			continue;
		distribute(from, n, digit, counts[digit], to, work);
		from = to;
		to = swap;
	}
	if (from != keyed)
		memcpy(keyed, from, n * sizeof(SpKeyed));
	work->release(work, other);
	work->release(work, counts);
}
