/*
 * batch.c
 *	  What batch kernels choose by chance.
 */
#include "kernel/batch/batch.h"

#include <math.h>
#include <string.h>

/* Box and Muller. */
double
sp_random_normal(SpRandom *random)
{
	double		radius = sqrt(-2.0 * log(sp_random_next(random)));

	return radius * cos(6.283185307179586 * sp_random_next(random));
}

/* Put a number into a hash table of 2^bits places; false: it is there. */
static bool
enter(size_t *table, int bits, size_t number)
{
	size_t		mask = ((size_t) 1 << bits) - 1;
	size_t		place = (size_t) (sp_random_mix(number) & mask);

	for (; table[place] != SIZE_MAX; place = (place + 1) & mask)
	{
		if (table[place] == number)
			return false;
	}
	table[place] = number;
	return true;
}

/* R. Floyd's: of 0 to j a number that isn't there yet, or j itself. */
void
sp_random_sample(SpRandom *random, size_t n, size_t m, size_t *sample, SpWork *work)
{
	int			bits = 2;
	size_t	   *table;

	while (((size_t) 1 << bits) < 2 * m)
		bits++;
	table = work->allocate(work, sizeof(size_t) << bits);
	memset(table, 0xff, sizeof(size_t) << bits);
	for (size_t j = n - m, i = 0; j < n; j++, i++)
	{
		size_t		number = sp_random_below(random, j + 1);

		if (!enter(table, bits, number))
		{
			number = j;
			enter(table, bits, number);
		}
		sample[i] = number;
	}
	work->release(work, table);
}
