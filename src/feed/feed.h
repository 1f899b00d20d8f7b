/*
 * feed.h
 *	  What the files of this layer share: the decoder's state and its output plugin.
 */
#ifndef SP_FEED_H
#define SP_FEED_H

#include "access/xlogreader.h"
#include "base/event.h"
#include "feed/decode.h"
#include "replication/reorderbuffer.h"
#include "utils/relcache.h"

#define SP_PLUGIN_NAME		"streamproc"

typedef struct SpFeed
{
	bool		is_open;		/* this process decodes for itself: the plugin may be used */
	bool		wait_for_wal;	/* page_read waits; only while the slot is created */
	bool		end_of_wal;		/* page_read found nothing more to read */
	RepOriginId origin;			/* of our own writes, or InvalidRepOriginId */
	SpIsSource	is_source;
	XLogReaderState *reader;
	MemoryContext context;		/* worker lifetime */
	dlist_head	events;			/* decoded and not yet handed out */
	int			nevents;
	bool		definitions_changed;	/* by one of them */
} SpFeed;

extern SpFeed sp_feed;

/* decode.c: the context, before anything else; and how our reader reads WAL. */
extern void sp_feed_init(void);
extern XLogReaderRoutine *sp_decode_reader_routine(void);

/* plugin.c: give back what belongs to unfinished transactions. */
extern void sp_plugin_reset(void);

/* A source that a relation's rows belong to. */
typedef struct SpFeedSource
{
	Oid			relid;
	uint32		shape;			/* of the relation's rows, read as rows of this source */
	bool		retracts;		/* it wants to know what is taken back */
} SpFeedSource;

/*
 * What we know of a relation that was written (source.c).  Entries live as long as the
 * process, or until sp_source_reset(); what they say is valid until the next lookup.
 */
typedef struct SpFeedRelation
{
	Oid			relid;			/* hash key */
	uint64		generation;		/* of the cache when it was filled */
	int			nsources;		/* 0: its rows are not wanted */
	int			sources_allocated;
	SpFeedSource *sources;		/* the relation itself and its ancestors that are sources */
	bool		retracts;		/* for one of them */
	bool	   *identity;		/* then: columns that the WAL has of old rows; NULL: all */
	SpShape    *shape;			/* NULL: not looked up, as nobody asked for its rows */
} SpFeedRelation;

/* Changes whenever entries may have become stale. */
extern uint64 sp_source_generation;

extern SpFeedRelation *sp_source_find(Relation relation);
extern SpShape *sp_source_shape(SpFeedRelation *entry, Relation relation);
extern void sp_source_forget(void);
extern void sp_source_reset(void);

/*
 * build.c: chunks under construction, for the spool of one transaction at a time.  Rows that
 * are taken back gather apart from the others, and come behind those written before them.
 */
extern void sp_build_insert(SpSpool *spool, const SpFeedRelation *relation, TransactionId xid,
							HeapTuple tuple);
extern void sp_build_update(SpSpool *spool, const SpFeedRelation *relation, TransactionId xid,
							HeapTuple old, HeapTuple new);
extern void sp_build_delete(SpSpool *spool, const SpFeedRelation *relation, TransactionId xid,
							HeapTuple old);
extern void sp_build_truncate(SpSpool *spool, Oid relid, TransactionId xid, Oid source);
extern void sp_build_close(void);
extern void sp_build_forget(const SpSpool *spool);

#endif
