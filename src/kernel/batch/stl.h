/*
 * stl.h
 *	  Season, trend and the rest of a series.
 *
 * R. B. Cleveland, W. S. Cleveland, J. E. McRae and I. Terpenning, STL: a seasonal-trend
 * decomposition procedure based on loess, Journal of Official Statistics 6, 1990; step by step as
 * their Fortran has it, and with it R and statsmodels.
 *
 * Loess is evaluated at every jump-th value only, and between them by straight lines; with jumps
 * of 1 at all.
 */
#ifndef SP_STL_H
#define SP_STL_H

#include "kernel/batch/batch.h"

typedef struct SpStl
{
	int32_t		period;			/* values, at least 2 */
	int32_t		seasonal;		/* windows of loess, odd, in values: of the season's subseries, */
	int32_t		trend;			/* the trend, */
	int32_t		low_pass;		/* and the low-pass filter */
	int32_t		seasonal_jump;
	int32_t		trend_jump;
	int32_t		low_pass_jump;
	int32_t		seasonal_degree;	/* of loess, 0 or 1: of the season's subseries */
	int32_t		degree;			/* of the others */
	int32_t		inner;			/* iterations */
	int32_t		outer;			/* with weights that leave out what is far off, at most; 0: none */
} SpStl;

/*
 * The usual settings: seasonal window 7, trend the odd number from 1.5 period / (1 - 1.5 /
 * seasonal), low-pass that above period, jumps a tenth of the windows; 5 iterations, robust 2 in
 * each of 15.
 */
extern void sp_stl_defaults(SpStl *stl, int32_t period, int32_t seasonal, bool robust);

/* Decompose n >= 2 * period values: y = season + trend + rest. */
extern void sp_stl(const SpStl *stl, const double *y, size_t n, double *season, double *trend,
				   SpWork *work);

/* What rounding alone may leave of values of this size, though season and trend are all of them. */
extern double sp_stl_noise(const double *y, size_t n);

/*
 * How far each value is from season and trend, in units of the median absolute residual / 0.6745;
 * in deviations of these where that is next to nothing, and in none that rounding may be.
 */
extern void sp_stl_score(const double *y, const double *season, const double *trend, size_t n,
						 double *scores, SpWork *work);

#endif
