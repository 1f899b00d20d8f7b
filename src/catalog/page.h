/*
 * page.h
 *	  State pages: the durable form of windows' and detectors' memory.
 *
 * A page is an opaque run of bytes to this module, which adds a header (format
 * version, length, CRC-32C over object, page number and bytes) and keeps it in rows of
 * streamproc.state_page.  Pages of an object are numbered from 0.  A page may have any
 * size; those of up to SP_PAGE_BEST_SIZE bytes take one row.
 */
#ifndef SP_PAGE_H
#define SP_PAGE_H

#include "postgres.h"

#define SP_PAGE_BEST_SIZE	3984

typedef void (*SpPageReader) (int32 page, const char *data, Size size, void *arg);

/*
 * Call reader for every page of the object, in order of number, in a memory context that
 * is reset afterwards; data is MAXALIGNed.  A damaged page is an error
 * (ERRCODE_DATA_CORRUPTED).
 */
extern void sp_page_load(int32 object, SpPageReader reader, void *arg);

/*
 * Write pages: begin, then any number of stores, then end, within one transaction.
 * Inserts or updates by remembered position or by index; size 0 deletes the page.
 */
extern void sp_page_begin(void);
extern void sp_page_store(int32 object, int32 page, const char *data, Size size);
extern void sp_page_end(void);

extern void sp_page_delete_all(int32 object);

/* Delete the pages of objects that no longer exist: they were dropped while nobody looked. */
extern void sp_page_delete_orphans(void);

#endif
