/*
 * decode.c
 *	  Stands in for logical decoding: hands messages and the ends of transactions to the
 *	  output plugin.
 */
#include "server.h"

#include "access/detoast.h"
#include "catalog/partition.h"
#include "replication/logical.h"
#include "replication/origin.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/guc.h"
#include "decode.h"
#include "feed/feed.h"

#define COMMIT_LSN		500
#define COMMIT_TIME		700

extern void _PG_output_plugin_init(OutputPluginCallbacks *callbacks);

typedef struct DecodedRelation
{
	RelationData relation;
	FormData_pg_class form;
	const RowKind *kind;
	const RowKind *next_kind;	/* what it is really, when the caches are stale */
	int			references;
} DecodedRelation;

SpFeed		sp_feed;
int			sp_guc_spool_memory = 64;	/* so little that spools go to files */

static OutputPluginCallbacks plugin;
static DecodedRelation relations[DECODE_NRELATIONS];

/* Every table but the last one is a stream. */
static SpSourceKind
is_source(Oid relid)
{
	return relid < DECODE_FIRST_RELID + DECODE_NRELATIONS - 1 ? SP_SOURCE_INSERTS : SP_SOURCE_NONE;
}

/* Make what lasts. */
static void
attach_plugin(void)
{
	static XLogReaderState reader;
	OutputPluginOptions options;

	reader.ReadRecPtr = COMMIT_LSN;
	reader.EndRecPtr = COMMIT_LSN + 1;
	sp_feed.is_open = true;
	sp_feed.is_source = is_source;
	sp_feed.reader = &reader;
	sp_feed.context = AllocSetContextCreate(TopMemoryContext, "feed", ALLOCSET_DEFAULT_SIZES);
	dlist_init(&sp_feed.events);
	_PG_output_plugin_init(&plugin);
	plugin.startup_cb(NULL, &options, false);
	demand(options.output_type == OUTPUT_PLUGIN_BINARY_OUTPUT);
}

/* Begin an input. */
void
decode_init(void)
{
	rows_init();
	if (sp_feed.context == NULL)
		attach_plugin();
	for (int i = 0; i < DECODE_NRELATIONS; i++)
	{
		DecodedRelation *relation = &relations[i];

		relation->relation.rd_id = DECODE_FIRST_RELID + i;
		relation->relation.rd_rel = &relation->form;
		relation->form.relname.data[0] = 'r';
		decode_alter(i, &rows_kinds[i], true);
	}
	decode_refresh();
}

Relation
decode_relation(int number)
{
	return &relations[number].relation;
}

const RowKind *
decode_kind(int number)
{
	return relations[number].kind;
}

/* The caches know all. */
void
decode_refresh(void)
{
	for (int i = 0; i < DECODE_NRELATIONS; i++)
	{
		relations[i].kind = relations[i].next_kind;
		relations[i].relation.rd_att = relations[i].kind->desc;
	}
	sp_source_forget();
}

void
decode_alter(int number, const RowKind *kind, bool stale)
{
	relations[number].next_kind = kind;
	if (!stale)
		decode_refresh();
}

/* ---- callbacks ---- */

bool
decode_message(ReorderBufferTXN *txn, const char *prefix, const char *data, Size size, Size shift)
{
	char	   *copy = fuzz_copy(data, size, shift);

	server_message[0] = '\0';
	plugin.message_cb(NULL, txn, COMMIT_LSN, txn != NULL, prefix, size, copy);
	fuzz_free(copy, shift);
	return strstr(server_message, "ignored") != NULL;
}

void
decode_begin(ReorderBufferTXN *txn)
{
	plugin.stream_start_cb(NULL, txn);
}

void
decode_stop(ReorderBufferTXN *txn)
{
	plugin.stream_stop_cb(NULL, txn);
}

void
decode_abort(ReorderBufferTXN *top, TransactionId xid)
{
	ReorderBufferTXN sub = {.xid = xid,.toptxn = top};

	plugin.stream_abort_cb(NULL, xid == top->xid ? top : &sub, COMMIT_LSN);
	if (xid == top->xid)
		demand(top->output_plugin_private == NULL);
}

SpEvent *
decode_commit(ReorderBufferTXN *txn)
{
	SpEvent    *event;

	txn->end_lsn = COMMIT_LSN + 1;
	txn->xact_time.commit_time = COMMIT_TIME;
	plugin.commit_cb(NULL, txn, COMMIT_LSN);
	demand(txn->output_plugin_private == NULL);
	event = decode_event();
	if (event != NULL)
		demand(event->kind == SP_EVENT_COMMIT && event->commit_time == COMMIT_TIME);
	return event;
}

SpEvent *
decode_event(void)
{
	SpEvent    *event;

	if (dlist_is_empty(&sp_feed.events))
		return NULL;
	event = dlist_container(SpEvent, node, dlist_pop_head_node(&sp_feed.events));
	sp_feed.nevents--;
	demand(dlist_is_empty(&sp_feed.events) && sp_feed.nevents == 0);
	demand(event->lsn == COMMIT_LSN && event->end_lsn == COMMIT_LSN + 1);
	return event;
}

void
decode_end(void)
{
	sp_plugin_reset();
	demand(decode_event() == NULL);
	demand(sp_spool_memory_total() == 0);
	demand(MemoryContextMemAllocated(sp_feed.context, true) == 0);
	for (MemoryContext child = TopMemoryContext->firstchild; child != NULL; child = child->nextchild)
		if (strcmp(child->name, "streamproc events") == 0)
			demand(MemoryContextMemAllocated(child, true) == 0);
	for (int i = 0; i < DECODE_NRELATIONS; i++)
		demand(relations[i].references == 0);
}

/* ---- what the plugin asks the server for ---- */

Relation
RelationIdGetRelation(Oid relid)
{
	DecodedRelation *relation;

	if (relid < DECODE_FIRST_RELID || relid >= DECODE_FIRST_RELID + DECODE_NRELATIONS)
		return NULL;
	relation = &relations[relid - DECODE_FIRST_RELID];
	relation->references++;
	return &relation->relation;
}

void
RelationClose(Relation relation)
{
	((DecodedRelation *) relation)->references--;
}

void
InvalidateSystemCaches(void)
{
	decode_refresh();
}

TimestampTz
GetCurrentTimestamp(void)
{
	return COMMIT_TIME;
}

/* Every refusal is told. */
bool
TimestampDifferenceExceeds(TimestampTz start_time, TimestampTz stop_time, int msec)
{
	return true;
}

List *
get_partition_ancestors(Oid relid)
{
	return NIL;
}

/* ---- external values ---- */

/* A pointer to the value in memory. */
Datum
decode_externalize(Datum value)
{
	struct varatt_indirect pointer;
	char	   *external = palloc(VARHDRSZ_EXTERNAL + sizeof(pointer));

	pointer.pointer = (struct varlena *) DatumGetPointer(value);
	SET_VARTAG_EXTERNAL(external, VARTAG_INDIRECT);
	memcpy(VARDATA_EXTERNAL(external), &pointer, sizeof(pointer));
	return PointerGetDatum(external);
}

struct varlena *
detoast_external_attr(struct varlena *attr)
{
	struct varatt_indirect pointer;
	struct varlena *copy;

	demand(VARATT_IS_EXTERNAL_INDIRECT(attr));
	memcpy(&pointer, VARDATA_EXTERNAL(attr), sizeof(pointer));
	copy = palloc(VARSIZE_ANY(pointer.pointer));
	memcpy(copy, pointer.pointer, VARSIZE_ANY(pointer.pointer));
	return copy;
}
