/*
 * isolation_model.h
 *	  Isolation forests and extended ones as models.
 *
 * Trees are made of a sample of the points, SAMPLE or more of them: with no more points than
 * these a forest is that of the window function.  A feature contributes what the score would lose
 * if it were its column's median.
 */
#ifndef SP_ISOLATION_MODEL_H
#define SP_ISOLATION_MODEL_H

#include "kernel/batch/model.h"

extern const SpModelKernel sp_model_isolation_forest;
extern const SpModelKernel sp_model_extended_isolation_forest;

#endif
