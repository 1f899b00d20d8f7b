/*
 * message.h
 *	  Our logical messages in the WAL.
 *
 * pg_logical_emit_message() may be called by anyone, so every message carries a
 * SipHash-2-4 keyed with a secret of the database, over the header (mac zeroed) and
 * the payload.  The header names the transaction, so that a message can't be
 * repeated in another one.
 */
#ifndef SP_MESSAGE_H
#define SP_MESSAGE_H

#include "access/xlogdefs.h"
#include "datatype/timestamp.h"

#define SP_MESSAGE_PREFIX	"streamproc"
#define SP_MESSAGE_MAGIC	0x53504D31	/* "SPM1" */

typedef enum SpMessageKind
{
	SP_MESSAGE_CHUNK = 1,		/* transactional: a SpChunk of a stream table */
	SP_MESSAGE_CONTROL = 2,		/* transactional: definitions changed */
	SP_MESSAGE_TICK = 3,		/* not transactional: SpTick */
	SP_MESSAGE_SETTING = 4,		/* transactional: a SpSetting */
	SP_MESSAGE_REPORT = 5		/* not transactional: SpReport, of a row that a shield has refused */
} SpMessageKind;

typedef struct SpMessage
{
	uint32		magic;
	uint16		version;		/* 1 */
	uint16		kind;
	uint32		size;			/* bytes, this header included */
	TransactionId xid;			/* of the top transaction; 0 when not transactional */
	Oid			database;
	uint32		unused;
	uint64		mac;
	/* payload follows, MAXALIGNed */
} SpMessage;

StaticAssertDecl(sizeof(SpMessage) == 32, "SpMessage is a WAL format");

typedef struct SpTick
{
	Oid			source;			/* the stream's relation */
	uint32		unused;
	TimestampTz time;
	int64		max_time;		/* of history that was read for an object; PG_INT64_MIN: none */
} SpTick;

/*
 * A row of a detector's result table, to be written by the worker.  lsn and ordinal are the
 * row's own: whoever repeats the message says nothing new.
 */
typedef struct SpReport
{
	int32		detector;
	Oid			source;			/* the stream's relation */
	XLogRecPtr	lsn;
	int64		ordinal;		/* from SP_REPORT_ORDINAL on */
	int32		natts;
	uint32		tuple_size;
	TransactionId xid;			/* that was at work; until it ends, it may be the detector's own */
	uint32		unused;
	/* Oid types[natts]; then MAXALIGNed: a heap tuple's bytes, nothing in it external */
} SpReport;

/* No transaction has so many rows. */
#define SP_REPORT_FIRST		4611686018427387904
#define SP_REPORT_ORDINAL	((int64) SP_REPORT_FIRST)

#define sp_report_types(report) ((Oid *) ((char *) (report) + sizeof(SpReport)))
#define sp_report_tuple_offset(natts) MAXALIGN(sizeof(SpReport) + sizeof(Oid) * (Size) (natts))

/* Write a message whose header (but for its mac) and payload stand at message. */
extern XLogRecPtr sp_message_emit(SpMessage *message, bool transactional);

/* The create_*, drop_*, pause, resume verbs: tell the worker at our commit. */
extern void sp_message_control(void);

/*
 * What is set for a key of a detector, by the current (sub)transaction.  At message there is
 * room for a SpMessage, then the SpSetting but for its chunk, whose size is size.
 */
extern void sp_message_setting(SpMessage *message, Size size);

/* The worker's clock, and how far the history reaches that an object brings along. */
extern XLogRecPtr sp_message_tick(Oid source, TimestampTz time, int64 max_time);

/*
 * Is this ours?  Checks lengths, header, and MAC; data need not be aligned.  Returns
 * the kind, or 0 for anything forged, damaged or foreign.  xid: the top transaction
 * the message was decoded in, or 0.
 */
extern int	sp_message_check(const char *data, Size size, TransactionId xid);

/* Fill in magic, version, kind, size, xid, database. */
extern void sp_message_init(SpMessage *message, SpMessageKind kind, Size size, TransactionId xid);

#endif
