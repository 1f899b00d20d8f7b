/*
 * page.h
 *	  State pages: the durable form of windows' and detectors' memory.
 *
 * A page is an opaque run of bytes to this module, which adds a header (format
 * version, length, CRC-32C over object, page number, generation and bytes) and keeps it in
 * rows of streamproc.state_page.  Pages of an object are numbered from 0.  A page may have
 * any size; those of up to SP_PAGE_BEST_SIZE bytes take one row.
 *
 * Pages are written under a generation.  One that a position names is valid, and so are all
 * before it that were; what was written under any other is as if it had never been.
 */
#ifndef SP_PAGE_H
#define SP_PAGE_H

#include "postgres.h"

#define SP_PAGE_BEST_SIZE	3984

/* Pages of an object that nobody relies on yet: what their transaction writes is valid. */
#define SP_PAGE_AT_ONCE		INT64CONST(0)

typedef void (*SpPageReader) (int32 page, const char *data, Size size, void *arg);

/*
 * Call reader for every page of the object, in order of number, in a memory context that
 * is reset afterwards; data is MAXALIGNed.  A damaged page is an error
 * (ERRCODE_DATA_CORRUPTED).
 */
extern void sp_page_load(int32 object, SpPageReader reader, void *arg);

/*
 * A generation that has never been used, once all objects are loaded; and the news that a
 * position that names it is committed.
 */
extern int64 sp_page_new_generation(void);
extern void sp_page_publish(int64 generation);

/*
 * Write pages: begin, then any number of stores, then end, within one transaction; a
 * generation may take many.  Inserts or updates by remembered position or by index; size 0
 * deletes the page.
 */
extern void sp_page_begin(int64 generation);
extern void sp_page_store(int32 object, int32 page, const char *data, Size size);
extern void sp_page_end(void);

/*
 * Deleted pages leave a row behind until that is valid.  Between begin and end: delete the
 * rows of one of them, or pass over it; false: there is none whose time has come.
 */
extern bool sp_page_bury(int32 object);
extern bool sp_page_has_graves(int32 object);

extern void sp_page_delete_all(int32 object);

/* Delete the pages of objects that no longer exist: they were dropped while nobody looked. */
extern void sp_page_delete_orphans(void);

#endif
