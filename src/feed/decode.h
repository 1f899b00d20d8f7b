/*
 * decode.h
 *	  The WAL, decoded: from the database's logical slot to events.
 *
 * Call order in the worker: sp_slot_exists() / sp_slot_create(), sp_decode_open(),
 * then sp_decode_next() again and again, outside any transaction, with
 * sp_decode_confirm() now and then.  On an error the worker process exits; nothing
 * here is recovered in place.
 *
 * Between calls of sp_decode_next() the caller may run transactions as it likes: what
 * the catalog caches hold is then of the present, and of the past only within the call.
 */
#ifndef SP_DECODE_H
#define SP_DECODE_H

#include "base/event.h"

/* "streamproc_<database oid>", in a static buffer. */
extern const char *sp_slot_name(void);

typedef struct SpSlotInfo
{
	bool		exists;
	bool		ours;			/* this database and our plugin */
	bool		lost;			/* invalidated: WAL it needs is gone */
	bool		complete;		/* it isn't being created any more */
	int			active_pid;		/* 0: nobody */
	XLogRecPtr	restart_lsn;
	XLogRecPtr	confirmed_lsn;
} SpSlotInfo;

extern SpSlotInfo sp_slot_inspect(const char *name);

/*
 * Create the slot (persistent, our plugin) and wait for its consistent point,
 * interruptibly; returns that point, from which on every commit will be decoded.  The
 * slot stays acquired.  Must be called outside a transaction that has written.
 */
extern XLogRecPtr sp_slot_create(void);
extern void sp_slot_drop(const char *name);

/*
 * Is the relation the root of a stream?  Called while decoding, for relations as of the
 * transaction being decoded; must do nothing but look into memory.
 */
typedef SpSourceKind (*SpIsSource) (Oid relid);

/* Acquire the slot (unless sp_slot_create() just did) and start decoding at start_lsn. */
extern void sp_decode_open(XLogRecPtr start_lsn, SpIsSource is_source);

/*
 * The next event in the order of the WAL, or NULL when all that is flushed has been
 * read.  Transactions without rows, messages or other changes of interest give
 * no event, nor do those of our own origin.  Returns after at most max_wal bytes of WAL
 * without an event (NULL, *more = true), so that the caller can look after itself.
 * Must be called outside a transaction.
 */
extern SpEvent *sp_decode_next(Size max_wal, bool *more);

/* Everything before it has been returned as events (or holds none of interest). */
extern XLogRecPtr sp_decode_position(void);

/* lsn is durable: the server may recycle WAL that only earlier commits need. */
extern void sp_decode_confirm(XLogRecPtr lsn);

/* The set of sources changed: forget what was remembered about relations. */
extern void sp_decode_sources_changed(void);

/* Stop decoding and release the slot. */
extern void sp_decode_close(void);

#endif
