/*
 * order.h
 *	  Order statistics, and what of them describes a column.
 */
#ifndef SP_ORDER_H
#define SP_ORDER_H

#include "kernel/batch/batch.h"

/* The IQR of a normal distribution, in standard deviations. */
#define SP_NORMAL_IQR	1.3489795003921634

/*
 * All of them may end where the lender of work wants it; without work (NULL), for few numbers,
 * they always return.
 */

/* The k-th smallest of n numbers, from 0; they are reordered so that those before it are not greater. */
extern double sp_order_select(double *x, size_t n, size_t k, SpWork *work);
extern float sp_order_select_float(float *x, size_t n, size_t k, SpWork *work);

/* The quantile by linear interpolation (type 7 of R. J. Hyndman and Y. Fan); reorders x. */
extern double sp_order_quantile(double *x, size_t n, double fraction, SpWork *work);

/* What a column is like. */
typedef struct SpColumn
{
	double		min;
	double		max;
	double		mean;
	double		deviation;		/* of the population */
	double		q1;				/* quartiles, type 7; 0 if not asked for */
	double		median;
	double		q3;
} SpColumn;

/* Describe column j; scratch: room for n numbers, or NULL: no quartiles. */
extern void sp_order_describe(const SpMatrix *points, int j, double *scratch, SpColumn *column,
							  SpWork *work);

/* Describe n numbers, which are reordered. */
extern void sp_order_describe_values(double *x, size_t n, SpColumn *column, SpWork *work);

/* The unit of a robust scale: IQR / 1.349, or the deviation where most values are equal. */
extern double sp_order_unit(const SpColumn *column);

#endif
