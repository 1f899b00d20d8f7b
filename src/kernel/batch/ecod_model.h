/*
 * ecod_model.h
 *	  ecod as a model: for each column its values, and how many points are at and below each.
 *
 * Where a column has more values than a model keeps, those at both ends are kept, a quarter of
 * them at each, and of the others such that their ranks from the nearer end grow by one factor;
 * between two that are kept the ranks grow evenly.  A value beyond all others counts as one more
 * of them.
 */
#ifndef SP_ECOD_MODEL_H
#define SP_ECOD_MODEL_H

#include "kernel/batch/model.h"

extern const SpModelKernel sp_model_ecod;

#endif
