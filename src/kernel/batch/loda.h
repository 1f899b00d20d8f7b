/*
 * loda.h
 *	  How thin points lie on lines by chance.
 *
 * T. Pevny, Loda: lightweight on-line detector of anomalies, Machine Learning 102, 2016.
 *
 * Each of `projections` lines is a sum of ceil(sqrt(d)) columns (z-scored), chosen by chance, with
 * standard normal weights; on each a histogram of `bins` bins of equal width.  The score is minus the mean
 * over the lines of the logarithm of the density that a point's bin has, (count + 1 / 2) / (n + bins / 2)
 * over the width of the bin.
 */
#ifndef SP_LODA_H
#define SP_LODA_H

#include "kernel/batch/kernels.h"
#include "kernel/batch/model.h"

extern const SpBatchKernel sp_batch_loda;
extern const SpModelKernel sp_model_loda;

#endif
