/*
 * sweep.h
 *	  Combinations of what a sweep varies.
 */
#ifndef SP_FACE_SWEEP_H
#define SP_FACE_SWEEP_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/jsonb.h"

/*
 * Of an object whose values are lists of what to try, or single values: objects with one of each,
 * in all combinations, as a list of Jsonb *.  The first name changes slowest.
 */
extern List *sp_sweep_combine(Jsonb *sweep);

#endif
