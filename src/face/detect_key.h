/*
 * detect_key.h
 *	  The key of a row that detect() shows.
 */
#ifndef SP_DETECT_KEY_H
#define SP_DETECT_KEY_H

#include "postgres.h"

#include "access/tupdesc.h"

typedef struct SpDetectKey SpDetectKey;

/*
 * Of columns of that description: numbers from 0, with the name that each has in the key.  In the
 * current memory context.
 */
extern SpDetectKey *sp_detect_key_open(TupleDesc desc, int first, List *names);

/* What jsonb_build_object(name, value, ...) says, in the current memory context. */
extern Datum sp_detect_key_make(SpDetectKey *key, const Datum *values, const bool *nulls);

#endif
