/*
 * fuzz_pack.c
 *	  Rows of stream tables from INSERT to event: what a transaction with subtransactions has
 *	  written is packed into messages, and these are decoded; each table's rows come out in
 *	  the order written, without those that were rolled back.
 *
 * An input is a transaction.  Which rows are left of it is noted here in plain lists.  The
 * messages are decoded either while it runs, aborts included, or at its end without what
 * was aborted, as the server does with small transactions.
 */
#include "server.h"

#include "access/genam.h"
#include "access/xact.h"
#include "executor/tuptable.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "base/compat.h"
#include "catalog/message.h"
#include "decode.h"
#include "feed/pack.h"
#include "server_message.h"

#define MAX_STEPS		30
#define MAX_ROWS		5
#define MAX_DEPTH		8
#define TOP_XID			1000

/* A row that was inserted. */
typedef struct Inserted
{
	struct Inserted *next;		/* in any table */
	int			number;			/* of its table */
	SubTransactionId subid;		/* on whose end it depends; 0: rolled back */
	Row			row;
} Inserted;

/* What stands in the WAL: a message, or with no data an abort. */
typedef struct Record
{
	struct Record *next;
	TransactionId xid;
	SubTransactionId subid;		/* on whose end it depends; 0: rolled back */
	char	   *data;
	Size		size;
} Record;

static Inserted *inserted;
static Inserted **next_inserted;
static Record *wal;
static Record **next_record;

/* The subtransactions that are open, the top one first. */
static SubTransactionId open_subs[MAX_DEPTH];
static int	depth;
static SubTransactionId last_sub;

static XactCallback xact_callback;
static SubXactCallback subxact_callback;
static RelcacheCallbackFunction relcache_callback;

/* ---- what the session asks the server for ---- */

SubTransactionId
GetCurrentSubTransactionId(void)
{
	return open_subs[depth - 1];
}

TransactionId
GetCurrentTransactionId(void)
{
	return TOP_XID + open_subs[depth - 1] - TopSubTransactionId;
}

void
RegisterXactCallback(XactCallback callback, void *arg)
{
	xact_callback = callback;
}

void
RegisterSubXactCallback(SubXactCallback callback, void *arg)
{
	subxact_callback = callback;
}

void
CacheRegisterRelcacheCallback(RelcacheCallbackFunction func, Datum arg)
{
	relcache_callback = func;
}

/* ---- what happens ---- */

static void
add_record(TransactionId xid, const char *data, Size size)
{
	Record	   *record = palloc0(sizeof(Record));

	record->xid = xid;
	record->subid = open_subs[depth - 1];
	record->size = size;
	if (data != NULL)
	{
		record->data = palloc(size);
		memcpy(record->data, data, size);
	}
	*next_record = record;
	next_record = &record->next;
}

static void
receive(const char *prefix, const char *data, Size size, bool transactional)
{
	demand(transactional && strcmp(prefix, SP_MESSAGE_PREFIX) == 0);
	demand(((const SpMessage *) data)->size == size);
	add_record(GetCurrentTransactionId(), data, size);
}

/* Note a row. */
static void
note_row(int number, const Row *row)
{
	Inserted   *note = palloc0(sizeof(Inserted));

	note->number = number;
	note->subid = open_subs[depth - 1];
	note->row = *row;
	*next_inserted = note;
	next_inserted = &note->next;
}

/* INSERT some rows, in groups as a COPY does. */
static void
insert_rows(FuzzInput *in)
{
	int			number = take_below(in, DECODE_NRELATIONS);
	Relation	relation = decode_relation(number);
	int			natts = RelationGetDescr(relation)->natts;
	TupleTableSlot *slots[MAX_ROWS];
	Rows		rows;
	Size		size = 0;
	int			repeat = take_below(in, 32) == 1 ? 1 + take_byte(in) * 4 : 1;

	rows_take(in, decode_kind(number), MAX_ROWS, &rows);
	for (int i = 0; i < rows.n; i++)
	{
		Row		   *row = &rows.rows[i];
		Datum	   *values = palloc(sizeof(Datum) * natts);

		/* A new row has all columns; some of their values are still somewhere else. */
		if (row->natts < natts)
		{
			rows.n = i;
			break;
		}
		memcpy(values, row->values, sizeof(Datum) * natts);
		for (int j = 0; j < natts; j++)
			if (TupleDescAttr(RelationGetDescr(relation), j)->attlen == -1 && !row->nulls[j] &&
				take_below(in, 8) == 1)
				values[j] = decode_externalize(values[j]);

		slots[i] = palloc0(sizeof(TupleTableSlot));
		slots[i]->tts_tupleDescriptor = RelationGetDescr(relation);
		slots[i]->tts_nvalid = natts;
		slots[i]->tts_values = values;
		slots[i]->tts_isnull = row->nulls;
	}
	if (rows.n == 0)
		return;

	/* Small rows many times, so that packs get full. */
	for (int i = 0; i < rows.n; i++)
		size += server_data_size(RelationGetDescr(relation), natts, rows.rows[i].values,
								 rows.rows[i].nulls);
	if (size > 300)
		repeat = 1;
	while (repeat-- > 0)
	{
		sp_pack_rows(relation, slots, rows.n);
		for (int i = 0; i < rows.n; i++)
			note_row(number, &rows.rows[i]);
	}
	demand(slots[0]->tts_tableOid == RelationGetRelid(relation));
}

/* SAVEPOINT */
static void
begin_sub(void)
{
	if (depth == MAX_DEPTH)
		return;
	open_subs[depth++] = ++last_sub;
	if (subxact_callback != NULL)
		subxact_callback(SUBXACT_EVENT_START_SUB, open_subs[depth - 1], open_subs[depth - 2],
						 NULL);
}

/* RELEASE: what depended on the subtransaction depends on its parent. */
static void
commit_sub(void)
{
	SubTransactionId subid = open_subs[depth - 1];
	SubTransactionId parent = open_subs[depth - 2];

	if (subxact_callback != NULL)
	{
		subxact_callback(SUBXACT_EVENT_PRE_COMMIT_SUB, subid, parent, NULL);
		subxact_callback(SUBXACT_EVENT_COMMIT_SUB, subid, parent, NULL);
	}
	for (Inserted *note = inserted; note != NULL; note = note->next)
		if (note->subid == subid)
			note->subid = parent;
	for (Record *record = wal; record != NULL; record = record->next)
		if (record->subid == subid)
			record->subid = parent;
	depth--;
}

/* ROLLBACK TO: it aborts, and each one that had become part of it. */
static void
abort_sub(void)
{
	SubTransactionId subid = open_subs[depth - 1];
	TransactionId xid = GetCurrentTransactionId();
	Record	   *end;

	if (subxact_callback != NULL)
		subxact_callback(SUBXACT_EVENT_ABORT_SUB, subid, open_subs[depth - 2], NULL);
	for (Inserted *note = inserted; note != NULL; note = note->next)
		if (note->subid == subid)
			note->subid = InvalidSubTransactionId;
	depth--;

	/* Subtransactions that wrote nothing are aborted as well: it makes no difference. */
	add_record(xid, NULL, 0);
	end = (Record *) ((char *) next_record - offsetof(Record, next));
	for (Record *record = wal; record != end; record = record->next)
		if (record->subid == subid)
		{
			if (record->data != NULL && record->xid != xid)
				add_record(record->xid, NULL, 0);
			record->subid = InvalidSubTransactionId;
		}
}

/* ---- what must come out ---- */

/* The rows of a table that are left. */
static void
rows_left(int number, Rows *rows)
{
	int			n = 0;

	memset(rows, 0, sizeof(Rows));
	for (Inserted *note = inserted; note != NULL; note = note->next)
		n += note->number == number && note->subid != InvalidSubTransactionId;
	rows->rows = palloc(sizeof(Row) * Max(n, 1));
	for (Inserted *note = inserted; note != NULL; note = note->next)
		if (note->number == number && note->subid != InvalidSubTransactionId)
			rows->rows[rows->n++] = note->row;
}

/* Decode the WAL. */
static void
decode_wal(ReorderBufferTXN *txn, bool streamed, unsigned shifts)
{
	for (Record *record = wal; record != NULL; record = record->next)
	{
		if (!streamed && (record->subid == InvalidSubTransactionId || record->data == NULL))
			continue;
		if (record->data == NULL)
			decode_abort(txn, record->xid);
		else
			demand(!decode_message(txn, SP_MESSAGE_PREFIX, record->data, record->size,
								   shifts++ % 8));
	}
}

/* Compare what comes out of a spool with what was inserted. */
static void
compare_spool(SpSpool *spool)
{
	Rows		wanted[DECODE_NRELATIONS];
	Rows		got[DECODE_NRELATIONS] = {{0}};
	const SpChunk *chunk;
	uint64		nrows = 0;

	while (spool != NULL && (chunk = sp_spool_next(spool)) != NULL)
	{
		int			number = chunk->relid - DECODE_FIRST_RELID;
		SpChunk    *copy = palloc(chunk->size);

		/* A chunk is gone when the next one is read. */
		memcpy(copy, chunk, chunk->size);
		rows_read(decode_kind(number), copy, decode_kind(number)->desc->natts, &got[number]);
		nrows += chunk->nrows;
	}
	for (int i = 0; i < DECODE_NRELATIONS; i++)
	{
		rows_left(i, &wanted[i]);
		rows_compare(decode_kind(i), &wanted[i], &got[i]);
	}
	demand(spool == NULL || sp_spool_rows(spool) == nrows);
}

/* COMMIT, and all is decoded. */
static void
commit_top(FuzzInput *in)
{
	ReorderBufferTXN txn = {.xid = TOP_XID};
	SpEvent    *event;

	while (depth > 1)
		commit_sub();
	if (xact_callback != NULL)
		xact_callback(XACT_EVENT_PRE_COMMIT, NULL);

	/* Another extension's callback, called later, may still insert. */
	if (take_below(in, 4) == 1)
		insert_rows(in);
	if (xact_callback != NULL)
		xact_callback(XACT_EVENT_COMMIT, NULL);

	decode_wal(&txn, take_below(in, 2) == 1, take_byte(in));
	event = decode_commit(&txn);
	compare_spool(event == NULL ? NULL : event->spool);
	if (event != NULL)
		sp_event_free(event);
}

/* ROLLBACK: the next transaction must know nothing of it. */
static void
abort_top(void)
{
	while (depth > 1)
		abort_sub();
	if (xact_callback != NULL)
		xact_callback(XACT_EVENT_ABORT, NULL);
}

/* Other tables in the places of those there were. */
static void
alter_relations(FuzzInput *in)
{
	for (int i = 0; i < DECODE_NRELATIONS; i++)
	{
		decode_alter(i, &rows_kinds[take_below(in, ROWS_NKINDS)], false);
		if (relcache_callback != NULL)
			relcache_callback((Datum) 0, DECODE_FIRST_RELID + i);
	}
}

/* A transaction. */
static void
run_transaction(FuzzInput *in)
{
	inserted = NULL;
	next_inserted = &inserted;
	wal = NULL;
	next_record = &wal;
	depth = 1;
	open_subs[0] = last_sub = TopSubTransactionId;

	for (int i = take_below(in, MAX_STEPS); i > 0; i--)
	{
		switch (take_below(in, 8))
		{
			case 0:
			case 1:
				begin_sub();
				break;
			case 2:
				if (depth > 1)
					commit_sub();
				break;
			case 3:
				if (depth > 1)
					abort_sub();
				break;
			default:
				insert_rows(in);
				break;
		}
	}
	if (take_below(in, 8) == 1)
		abort_top();
	else
		commit_top(in);
}

void
fuzz_one(const uint8_t *data, size_t size)
{
	FuzzInput	in = {data, data + size};

	decode_init();
	server_receive = receive;
	server_top_xid = TOP_XID;
	for (int i = 0; i < 3 && input_left(&in) > 0; i++)
	{
		alter_relations(&in);
		run_transaction(&in);
		MemoryContextReset(TopTransactionContext);
	}
	decode_end();
}

void
fuzz_seeds(void)
{
	uint64		state = 5;
	uint8		bytes[2000];

	for (int i = 0; i < 40; i++)
	{
		Size		size = 60 + i * 48;

		fuzz_random(&state, bytes, size);
		fuzz_seed(bytes, size);
	}
}
