/*
 * fourier.h
 *	  The discrete Fourier transform of any number of values.
 */
#ifndef SP_FOURIER_H
#define SP_FOURIER_H

#include "kernel/batch/batch.h"

/*
 * Transform n complex numbers, real and imaginary parts side by side, in place:
 * X[k] = sum of x[i] exp(-2 pi i k / n).  In O(n log n) steps for any n: by halves for powers of 2,
 * else by L. I. Bluestein's chirps.
 */
extern void sp_fourier(double *x, size_t n, SpWork *work);

/* Back again: sp_fourier() of what this makes is x. */
extern void sp_fourier_inverse(double *x, size_t n, SpWork *work);

#endif
