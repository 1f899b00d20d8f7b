/*
 * spectrum.h
 *	  What the spectrum of a series tells: spectral_residual, and the period of its season.
 *
 * spectral_residual: H. Ren and others, Time-series anomaly detection service at Microsoft, KDD
 * 2019.  With A and P the amplitudes and phases of the transform, L = ln A and R = L - the mean of
 * L over `filter` frequencies, up to the one itself, the saliency of a row is the size of the
 * inverse transform of exp(R + i P); its score is (S - M) / M, M the mean of S over the `window`
 * rows before and itself.  As the paper does, the series is first continued by `extension` rows
 * with the value that the slopes to the last one from some rows before predict, because what comes
 * last has no rows behind it.
 *
 * Period: the lag with the highest autocorrelation, of those that are near a peak of the
 * periodogram of what is left without a linear trend, each of which is far above what is left of it
 * when the values are shuffled (M. Vlachos, P. Yu and V. Castelli, On periodicity detection and
 * structural periodic similarity, SDM 2005), and at a hill of the autocorrelation.
 */
#ifndef SP_SPECTRUM_H
#define SP_SPECTRUM_H

#include "kernel/batch/kernels.h"

extern const SpBatchKernel sp_batch_spectral_residual;

/* The period of n values, from 2 to n / 2; 0: they have none. */
extern int32_t sp_find_period(const double *x, size_t n, SpWork *work);

#endif
