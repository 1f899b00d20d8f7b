/*
 * decode.h
 *	  Stands in for logical decoding: hands messages and the ends of transactions to the
 *	  output plugin, under tables that are those of rows.h.
 */
#ifndef SP_FUZZ_DECODE_H
#define SP_FUZZ_DECODE_H

#include "postgres.h"

#include "base/event.h"
#include "replication/reorderbuffer.h"
#include "rows.h"
#include "utils/relcache.h"

#define DECODE_NRELATIONS	4
#define DECODE_FIRST_RELID	30000

/* Make the tables and attach the plugin, if need be; and forget what former inputs did. */
extern void decode_init(void);

/* The relation of a number. */
extern Relation decode_relation(int number);

/* Of what kind it is as the caches know it. */
extern const RowKind *decode_kind(int number);

/* It is of another kind from now on; stale: but the caches don't know yet. */
extern void decode_alter(int number, const RowKind *kind, bool stale);

/* The caches know all. */
extern void decode_refresh(void);

/*
 * Give the plugin a message, at an address with this remainder by 8; returns whether it was
 * refused.  txn: the top transaction, NULL when not transactional.
 */
extern bool decode_message(ReorderBufferTXN *txn, const char *prefix, const char *data, Size size,
						   Size shift);

/* Callbacks for a part of the transaction begin and end. */
extern void decode_begin(ReorderBufferTXN *txn);
extern void decode_stop(ReorderBufferTXN *txn);

/* A subtransaction of it, or all of it, aborts while it is streamed. */
extern void decode_abort(ReorderBufferTXN *top, TransactionId xid);

/* It commits; returns the event, or NULL. */
extern SpEvent *decode_commit(ReorderBufferTXN *txn);

/* The event waiting, or NULL; there is never more than one. */
extern SpEvent *decode_event(void);

/* The worker closes the decoder: nothing may be left of what was decoded. */
extern void decode_end(void);

/* A value that stands outside of its row, as a TOAST pointer does. */
extern Datum decode_externalize(Datum value);

#endif
