/*
 * fuzz_feed.c
 *	  Messages on their way from the WAL to events: forged ones are refused, those of ours
 *	  come out at their transaction's commit, in order and without what was aborted.
 *
 * An input is a sequence of what may happen to a few transactions that are decoded side by
 * side.  Whether a message is ours is left to sp_message_check(), and whether a chunk is
 * sound to sp_chunk_check(): fuzz_message.c and fuzz_chunk.c are about these.  What must
 * come out is noted here in plain lists.
 */
#include "server.h"

#include "access/transam.h"
#include "utils/memutils.h"

#include "base/setting.h"
#include "catalog/message.h"
#include "decode.h"
#include "server_message.h"

#define NTRANSACTIONS	3
#define MAX_STEPS		60
#define MAX_ROWS		6

/* A chunk that was taken. */
typedef struct Taken
{
	struct Taken *next;			/* in order of sequence, then of arrival */
	const RowKind *kind;
	const SpChunk *chunk;
} Taken;

typedef struct Transaction
{
	ReorderBufferTXN txn;
	TransactionId sub;			/* the subtransaction that writes now */
	bool		control;
	bool		ambiguous;		/* two chunks had the same sequence */
	uint32		last_sequence;
	uint64		nrows;
	Taken	   *taken;
	int			nsettings;
	TransactionId settings[MAX_STEPS];	/* the subtransactions that made them */
} Transaction;

static Transaction transactions[NTRANSACTIONS];
static TransactionId next_xid;

/* The message written last. */
static char *message;
static Size message_size;

static void
receive(const char *prefix, const char *data, Size size, bool transactional)
{
	message = palloc(size);
	memcpy(message, data, size);
	message_size = size;
}

/* A transaction of which nothing has been seen. */
static void
begin_transaction(Transaction *transaction)
{
	memset(transaction, 0, sizeof(Transaction));
	transaction->txn.xid = next_xid;
	transaction->sub = next_xid;
	next_xid += 100;
}

/* ---- what must come out ---- */

/* Note a chunk. */
static void
note_chunk(Transaction *transaction, const RowKind *kind, const SpChunk *chunk)
{
	Taken	   *taken = palloc(sizeof(Taken));
	Taken	  **link = &transaction->taken;

	while (*link != NULL && (*link)->chunk->sequence < chunk->sequence)
		link = &(*link)->next;
	if (*link != NULL && (*link)->chunk->sequence == chunk->sequence)
		transaction->ambiguous = true;
	taken->kind = kind;
	taken->chunk = chunk;
	taken->next = *link;
	*link = taken;
	transaction->nrows += chunk->nrows;
}

/* Forget those of a subtransaction. */
static void
forget_chunks(Transaction *transaction, TransactionId xid)
{
	Taken	  **link = &transaction->taken;

	while (*link != NULL)
	{
		if ((*link)->chunk->xid != xid)
			link = &(*link)->next;
		else
		{
			transaction->nrows -= (*link)->chunk->nrows;
			*link = (*link)->next;
		}
	}
}

/* Is it a chunk that must be taken?  Then note it. */
static bool
expect_chunk(Transaction *transaction, const char *data, Size size)
{
	SpChunk    *chunk = palloc(size);
	const RowKind *kind;
	int			number;

	memcpy(chunk, data, size);
	number = (int) (chunk->relid - DECODE_FIRST_RELID);
	if (number < 0 || number >= DECODE_NRELATIONS)
		return false;

	/* Another definition may be that of a table which was altered since. */
	kind = decode_kind(number);
	if (sp_shape_hash(kind->desc) != chunk->shape_hash)
	{
		decode_refresh();
		kind = decode_kind(number);
	}
	if (sp_chunk_check(chunk, size, kind->desc) != NULL ||
		chunk->sequence == SP_CHUNK_UNSEQUENCED)
		return false;
	note_chunk(transaction, kind, chunk);
	return true;
}

/* Is it a setting that must be taken?  Then note it. */
static bool
expect_setting(Transaction *transaction, const char *data, Size size)
{
	SpSetting  *setting = palloc(size);

	memcpy(setting, data, size);
	if (sp_setting_check(setting, size) != NULL)
		return false;
	demand(sp_setting_keys(setting) <= sp_setting_end(setting));
	transaction->settings[transaction->nsettings++] = setting->chunk.xid;
	return true;
}

/* Forget those of a subtransaction. */
static void
forget_settings(Transaction *transaction, TransactionId xid)
{
	int			kept = 0;

	for (int i = 0; i < transaction->nsettings; i++)
	{
		if (transaction->settings[i] != xid)
			transaction->settings[kept++] = transaction->settings[i];
	}
	transaction->nsettings = kept;
}

/* Must a message be taken?  Note what it brings. */
static bool
expect_message(Transaction *transaction, const char *data, Size size)
{
	switch (sp_message_check(data, size, transaction != NULL ? transaction->txn.xid : 0))
	{
		case SP_MESSAGE_CHUNK:
			return expect_chunk(transaction, data + sizeof(SpMessage), size - sizeof(SpMessage));
		case SP_MESSAGE_SETTING:
			return expect_setting(transaction, data + sizeof(SpMessage),
								  size - sizeof(SpMessage));
		case SP_MESSAGE_CONTROL:
			transaction->control = true;
			return true;
		case SP_MESSAGE_TICK:
		case SP_MESSAGE_REPORT:
			return true;
		default:
			return false;
	}
}

/* Read a spool from its start: all of it, or so many chunks when that isn't negative. */
static void
read_spool(SpSpool *spool, const Transaction *transaction, int limit)
{
	const Taken *taken = transaction->taken;
	const SpChunk *chunk;
	uint64		nrows = 0;

	sp_spool_rewind(spool);
	for (int i = 0; i != limit && (chunk = sp_spool_next(spool)) != NULL; i++)
	{
		nrows += chunk->nrows;
		demand(taken != NULL);
		if (!transaction->ambiguous)
		{
			SpChunk		header = *taken->chunk;

			header.source = header.relid;
			header.shape = chunk->shape;
			demand(memcmp(&header, chunk, sizeof(header)) == 0);
			demand(memcmp(taken->chunk + 1, chunk + 1, chunk->size - sizeof(header)) == 0);
			demand(sp_shape_get(chunk->shape)->hash == chunk->shape_hash);
			rows_read(taken->kind, chunk, taken->kind->desc->natts, NULL);
		}
		taken = taken->next;
	}
	if (limit < 0)
		demand(taken == NULL && nrows == transaction->nrows);
}

/* ---- what happens ---- */

/* A message comes, as it is or changed on its way. */
static void
send_message(FuzzInput *in, Transaction *transaction, const char *prefix)
{
	Size		size = message_size;
	Size		cut;
	SpTick		tick;
	SpEvent    *event;
	bool		wanted;

	if (take_below(in, 8) == 1)
	{
		message[take_uint32(in) % size] ^= take_byte(in);
		cut = take_below(in, 3);
		size -= Min(size, cut);
	}
	wanted = strcmp(prefix, SP_MESSAGE_PREFIX) == 0 && expect_message(transaction, message, size);
	demand(decode_message(transaction != NULL ? &transaction->txn : NULL, prefix, message, size,
						  take_below(in, 8)) ==
		   (!wanted && strcmp(prefix, SP_MESSAGE_PREFIX) == 0));

	/* Only a tick makes an event at once. */
	event = decode_event();
	demand((event != NULL) == (wanted && transaction == NULL));
	if (event == NULL)
		return;
	memcpy(&tick, message + sizeof(SpMessage), sizeof(tick));
	demand(event->kind == SP_EVENT_TICK && event->tick_source == tick.source &&
		   event->tick_time == tick.time && event->tick_max_time == tick.max_time);
	sp_event_free(event);
}

/* Bytes that anybody may have written. */
static void
send_bytes(FuzzInput *in, Transaction *transaction)
{
	message_size = take_byte(in) + 1;
	message = palloc(message_size);
	take_bytes(in, message, message_size);
	send_message(in, take_below(in, 2) == 0 ? transaction : NULL,
				 take_below(in, 4) == 0 ? "streamproc2" : SP_MESSAGE_PREFIX);
}

/* A chunk, sound or with damages under a right signature. */
static void
send_chunk(FuzzInput *in, Transaction *transaction)
{
	int			number = take_below(in, DECODE_NRELATIONS + 1);
	const RowKind *kind = number < DECODE_NRELATIONS && take_below(in, 8) != 1 ?
		decode_kind(number) : &rows_kinds[take_below(in, ROWS_NKINDS)];
	StringInfoData buf;
	SpMessage  *signed_message;
	SpChunk    *chunk;
	Rows		rows;

	rows_take(in, kind, MAX_ROWS, &rows);
	rows_write(kind, &rows, take_byte(in), &buf);
	if (take_below(in, 4) == 1)
		buf.data[take_uint32(in) % buf.len] ^= take_byte(in);

	signed_message = palloc(sizeof(SpMessage) + buf.len);
	chunk = (SpChunk *) (signed_message + 1);
	memcpy(chunk, buf.data, buf.len);
	if (take_below(in, 8) != 1)
		chunk->relid = DECODE_FIRST_RELID + number;
	chunk->xid = transaction->sub;
	chunk->sequence = take_below(in, 4) == 1 ? take_byte(in) - 1 : ++transaction->last_sequence;
	sp_message_init(signed_message, SP_MESSAGE_CHUNK, sizeof(SpMessage) + buf.len,
					take_below(in, 8) == 1 ? transaction->txn.xid + 1 : transaction->txn.xid);
	(void) sp_message_emit(signed_message, true);
	send_message(in, transaction, SP_MESSAGE_PREFIX);
}

/* A setting, sound or with damages under a right signature. */
static void
send_setting(FuzzInput *in, Transaction *transaction)
{
	Size		size = sizeof(SpSetting) + take_byte(in);
	SpMessage  *signed_message = palloc0(sizeof(SpMessage) + size);
	SpSetting  *setting = (SpSetting *) (signed_message + 1);

	setting->kind = SP_SETTING_SET + take_below(in, 3);
	setting->threshold = 1;
	setting->nkeys = take_below(in, 4);
	take_bytes(in, setting + 1, size - sizeof(SpSetting));
	setting->chunk.magic = SP_CHUNK_SETTING;
	setting->chunk.size = size;
	setting->chunk.xid = transaction->sub;
	setting->chunk.sequence = SP_CHUNK_UNSEQUENCED;
	setting->chunk.nrows = 1;
	if (take_below(in, 4) == 1)
		((char *) setting)[take_uint32(in) % size] ^= take_byte(in);
	sp_message_init(signed_message, SP_MESSAGE_SETTING, sizeof(SpMessage) + size,
					take_below(in, 8) == 1 ? transaction->txn.xid + 1 : transaction->txn.xid);
	(void) sp_message_emit(signed_message, true);
	send_message(in, transaction, SP_MESSAGE_PREFIX);
}

/* The current subtransaction aborts, and another one begins; or all aborts. */
static void
abort_transaction(Transaction *transaction)
{
	decode_abort(&transaction->txn, transaction->sub);
	if (transaction->sub == transaction->txn.xid)
		begin_transaction(transaction);
	else
	{
		forget_chunks(transaction, transaction->sub);
		forget_settings(transaction, transaction->sub);
		transaction->sub++;
	}
}

/* A transaction commits. */
static void
commit_transaction(FuzzInput *in, Transaction *transaction)
{
	SpEvent    *event = decode_commit(&transaction->txn);

	demand((event != NULL) == (transaction->nrows > 0 || transaction->control ||
							   transaction->nsettings > 0));
	if (event != NULL)
	{
		demand(event->xid == transaction->txn.xid);
		demand(event->definitions_changed == transaction->control);
		demand(event->nother == 0);
		demand((event->spool != NULL) == (transaction->nrows > 0));
		demand((event->settings != NULL) == (transaction->nsettings > 0));
		if (event->settings != NULL)
			demand(sp_spool_rows(event->settings) == transaction->nsettings);
		if (event->spool != NULL)
		{
			demand(sp_spool_rows(event->spool) == transaction->nrows);
			read_spool(event->spool, transaction, take_below(in, 4));
			read_spool(event->spool, transaction, -1);
		}
		sp_event_free(event);
	}
	begin_transaction(transaction);
}

/* One thing that happens. */
static void
take_step(FuzzInput *in)
{
	unsigned	what = take_below(in, 16);
	Transaction *transaction = &transactions[take_below(in, NTRANSACTIONS)];

	switch (what)
	{
		case 0:
			send_bytes(in, transaction);
			break;
		case 1:
			server_top_xid = transaction->txn.xid;
			sp_message_control();
			send_message(in, take_below(in, 8) == 1 ? NULL : transaction, SP_MESSAGE_PREFIX);
			break;
		case 2:
			(void) sp_message_tick(take_uint32(in), take_uint64(in), take_uint64(in));
			send_message(in, take_below(in, 8) == 1 ? transaction : NULL, SP_MESSAGE_PREFIX);
			break;
		case 3:
			decode_begin(&transaction->txn);
			break;
		case 4:
			decode_stop(&transaction->txn);
			break;
		case 5:
			abort_transaction(transaction);
			break;
		case 6:
			commit_transaction(in, transaction);
			break;
		case 7:
			decode_alter(take_below(in, DECODE_NRELATIONS),
						 &rows_kinds[take_below(in, ROWS_NKINDS)], take_below(in, 2) == 1);
			break;
		case 8:
			/* A subtransaction begins, or is over and its rows are the parent's fate. */
			if (transaction->sub == transaction->txn.xid)
				transaction->sub++;
			else
				transaction->sub += take_below(in, 2);
			break;
		case 9:
			send_setting(in, transaction);
			break;
		default:
			send_chunk(in, transaction);
			break;
	}
}

void
fuzz_one(const uint8_t *data, size_t size)
{
	FuzzInput	in = {data, data + size};

	decode_init();
	server_receive = receive;
	next_xid = 1000;
	for (int i = 0; i < NTRANSACTIONS; i++)
		begin_transaction(&transactions[i]);
	for (int i = 0; i < MAX_STEPS && input_left(&in) > 0; i++)
		take_step(&in);
	for (int i = 0; i < NTRANSACTIONS - 1; i++)
		commit_transaction(&in, &transactions[i]);
	decode_end();
	MemoryContextReset(TopTransactionContext);
}

void
fuzz_seeds(void)
{
	uint64		state = 4;
	uint8		bytes[1500];

	for (int i = 0; i < 40; i++)
	{
		Size		size = 100 + i * 35;

		fuzz_random(&state, bytes, size);
		fuzz_seed(bytes, size);
	}
}
