/*
 * micro_method.h
 *	  Batch methods as detectors use them: over micro-batches of the stream.
 */
#ifndef SP_ENGINE_MICRO_METHOD_H
#define SP_ENGINE_MICRO_METHOD_H

#include "engine/method.h"

/*
 * All kernels of detectors, the online ones first; NULL at the end.  Those of batch methods have
 * kernel->batch: their state is but the number of points that were scored last, they have neither
 * score() nor learn().  A batch method that has the name of an online one is not among them, nor are
 * those that take a series.
 */
extern const SpKernel *const *sp_micro_kernels(void);

/* Bytes that it takes to score n points of one key. */
extern double sp_micro_memory(const SpMethod *method, double n);

/* Bytes of the points of a key's history, when it is full; of other methods 0. */
extern Size sp_micro_history_size(const SpMethod *method);

/* In words: so much is more than it may take. */
extern char *sp_micro_memory_message(const SpMethod *method, double bytes);

#endif
