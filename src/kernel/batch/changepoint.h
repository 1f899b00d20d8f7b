/*
 * changepoint.h
 *	  How probable it is that a new run of a series begins with a row.
 *
 * R. P. Adams and D. J. C. MacKay, Bayesian online changepoint detection, arXiv:0710.3742, 2007.
 *
 * Values of a run are normal, with mean and variance unknown (normal-gamma: mean 0, of the weight
 * of `kappa` values, shape 1 and rate 1, in units of the robust scale of all values); any row
 * begins a new run with probability 1 / run_length.  With P(i, t) the probability, by the values up
 * to row t, that the run of row t began with row i, a row's score is the largest P(i, t) for t - i
 * up to `lag`: what comes next says whether a row was the first of its kind or one on its own.
 *
 * Runs whose probability is below 1e-12 are forgotten, so are all but the 1000 most probable ones.
 */
#ifndef SP_CHANGEPOINT_H
#define SP_CHANGEPOINT_H

#include "kernel/batch/kernels.h"

extern const SpBatchKernel sp_batch_bayesian_changepoint;

#endif
