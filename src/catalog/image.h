/*
 * image.h
 *	  A row as jsonb: to_jsonb() of a record with the row's columns.
 *
 * That runs output functions and casts that users may have defined: call it with the rights
 * of somebody whose they may be, in a security-restricted operation.
 */
#ifndef SP_IMAGE_H
#define SP_IMAGE_H

#include "access/tupdesc.h"
#include "fmgr.h"

/* For rows of one descriptor. */
typedef struct SpImage
{
	FmgrInfo	function;
	TupleDesc	record;
} SpImage;

/* In the current memory context. */
extern void sp_image_open(SpImage *image, TupleDesc desc);
extern Datum sp_image_make(SpImage *image, const Datum *values, const bool *nulls);

/*
 * Until the end of the current nest level of settings, values read the same whatever the
 * session's settings are.
 */
extern void sp_image_pin_settings(void);

#endif
