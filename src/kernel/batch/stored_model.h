/*
 * stored_model.h
 *	  Method "model": each event is scored by a stored model of a batch method.
 *
 * The score is that of the model (kernel/batch/model.h), within +-SP_SCORE_MAX, whatever came before:
 * nothing is learned, a state is only how many events came.  An explanation has what each feature
 * contributes.
 */
#ifndef SP_STORED_MODEL_H
#define SP_STORED_MODEL_H

#include "kernel/batch/model.h"
#include "kernel/online/online.h"

/* Parameter "model": memory of who calls, for as long as the parameters. */
typedef struct SpStoredModel
{
	SpModelView view;			/* kernel NULL: none was given */
	double	   *scratch;		/* [4 * view.d] */
} SpStoredModel;

typedef struct SpStoredModelParams
{
	SpStoredModel model;
} SpStoredModelParams;

extern const SpKernel sp_kernel_model;

#endif
