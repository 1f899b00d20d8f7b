/*
 * model.h
 *	  Values of type streamproc.model.
 */
#ifndef SP_FACE_MODEL_H
#define SP_FACE_MODEL_H

#include "postgres.h"

#include "base/compat.h"
#include "kernel/batch/model.h"

/* What a datum is; the model is aligned to 8 bytes, as the type is. */
typedef struct SpModelValue
{
	int32		length;			/* varlena's */
	uint32		unused;			/* 0 */
	SpModel		model;
} SpModelValue;

#define SP_MODEL_VALUE_HEAD	offsetof(SpModelValue, model)

/* Room for a model of that size, in the current memory context. */
extern SpModelValue *sp_model_value_make(const char *method, double size);

/* The size of the model in a value that is detoasted; 0: there is none. */
static inline Size
sp_model_value_size(const SpModelValue *value)
{
	Size		size = VARSIZE(value);

	return size > SP_MODEL_VALUE_HEAD ? size - SP_MODEL_VALUE_HEAD : 0;
}

/* Look at it; an error if it isn't one. */
extern void sp_model_value_open(const SpModelValue *value, SpModelView *view);

#endif
