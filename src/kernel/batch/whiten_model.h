/*
 * whiten_model.h
 *	  A mean and a covariance as a model's body: squared Mahalanobis distances.
 *
 * A feature contributes its part of the sum: its own distance times what of it the covariance's
 * inverse makes; it is negative where the feature is as the others would have it.
 */
#ifndef SP_WHITEN_MODEL_H
#define SP_WHITEN_MODEL_H

#include "kernel/batch/model.h"

/* A body of a covariance, which is used up. */
extern void *sp_whiten_model_make(const double *means, double *covariance, int d, SpWork *work,
								  size_t *size);

/* What kernels with such a body have. */
extern bool sp_whiten_model_is_sound(const SpModelView *model);
extern double sp_whiten_model_score(const SpModelView *model, const double *x, double *scratch);
extern void sp_whiten_model_explain(const SpModelView *model, const double *x, double *parts,
									double *scratch);

#endif
