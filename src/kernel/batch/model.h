/*
 * model.h
 *	  What a batch method has learned from points, as a value: other points are scored by it.
 *
 * A model is one piece of memory, aligned to 8 bytes and without pointers: a head, the parameters
 * of its method, a body of the method's own.  It can be copied and stored as it is.  Whatever
 * sp_model_open() takes is safe to score with, whoever made it.
 *
 * Where a method scores a table by what it has learned of all of it, its model gives the same
 * points the same scores, to the last bit.
 *
 * What is farther out than anything that a model has seen counts as what is next to it: a bin
 * without points (hbos, loda), one point beyond all others (ecod).
 */
#ifndef SP_MODEL_H
#define SP_MODEL_H

#include "kernel/batch/gather.h"
#include "kernel/online/online.h"

#define SP_MODEL_MAGIC		UINT32_C(0x4d507053)	/* in another order of bytes another number */
#define SP_MODEL_VERSION	1
#define SP_MODEL_MAX_ROWS	(UINT64_C(1) << 53)

typedef struct SpModel
{
	uint32_t	magic;
	uint16_t	version;		/* of this form, and of all bodies */
	uint16_t	method;			/* its kernel's number */
	int32_t		d;
	uint32_t	params_size;
	uint64_t	n;				/* points of which it was made */
	uint64_t	fingerprint;	/* of all other bytes */
} SpModel;

/* A model at work. */
typedef struct SpModelView
{
	const struct SpModelKernel *kernel;
	const void *params;
	const void *body;
	size_t		size;			/* of the body */
	uint64_t	n;
	int			d;
} SpModelView;

typedef struct SpModelKernel
{
	uint16_t	number;			/* in stored models: it stays as it is */
	const char *name;

	int			nparams;
	const SpParam *param_table;
	size_t		params_size;

	/* what is kept of the points until it is trained; of a sample how many */
	SpGathering gathers;
	uint64_t	(*sample) (const void *params, int d);

	/* bytes that training takes for n points that were kept, these not counted */
	double		(*memory) (const void *params, double n, int d);

	/* Make a body of n >= 1 points, allocated from work. */
	void	   *(*train) (const void *params, const SpGather *gather, SpWork *work, size_t *size);

	/* Is a body, aligned to 8 bytes, one that is safe to score with? */
	bool		(*is_sound) (const SpModelView *model);

	/* scratch: room for 3 * d numbers */
	double		(*score) (const SpModelView *model, const double *x, double *scratch);

	/* What each of the d features contributes; likewise. */
	void		(*explain) (const SpModelView *model, const double *x, double *parts,
							double *scratch);
} SpModelKernel;

/* All of them; NULL at the end. */
extern const SpModelKernel *const sp_model_kernels[];

extern const SpModelKernel *sp_model_find(const char *name);

/* Bytes of a model with a body of that size. */
extern size_t sp_model_size(const SpModelKernel *kernel, size_t body_size);

/* Write one, into memory of that size, of points that were gathered. */
extern void sp_model_write(SpModel *model, const SpModelKernel *kernel, const void *params,
						   const SpGather *gather, const void *body, size_t body_size);

/* NULL, or why it isn't one.  A view is good as long as the model. */
extern const char *sp_model_open(const SpModel *model, size_t size, SpModelView *view);

/* Of all but itself. */
extern uint64_t sp_model_fingerprint(const SpModel *model, size_t size);

/* x: finite, within +-SP_BATCH_MAX.  The score is finite. */
extern double sp_model_score(const SpModelView *model, const double *x, double *scratch);
extern void sp_model_explain(const SpModelView *model, const double *x, double *parts,
							 double *scratch);

#endif
