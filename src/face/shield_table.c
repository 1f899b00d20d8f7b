/*
 * shield_table.c
 *	  The states of a shield's keys on disk.
 *
 * The tables are the extension's owner's, and nobody else has rights on them.  What runs here
 * with that owner's rights calls nothing that a user wrote: columns are of no domain, and the
 * operators are those of the types' own operator classes.
 *
 * Rows that are there are found, locked and written without SPI and plans: each INSERT that
 * is judged does that.  A key that is new is inserted by a statement.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid_d.h"
#include "catalog/pg_type_d.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/typcache.h"

#include "base/compat.h"
#include "catalog/lookup.h"
#include "catalog/table.h"
#include "engine/expression.h"
#include "engine/writer.h"
#include "face/relation.h"
#include "face/shield_table.h"

#define MOST_KEY_BYTES	256		/* of a row beside its state; with more its page is pruned later */

struct SpShieldStates
{
	Oid			relid;
	char	   *name;			/* quoted, of the table */
	const SpShield *shield;
	int			nkeys;
	const SpShieldKey **keys;
	SPIPlanPtr	insert_plan;
};

/* ---- creating ---- */

/* A key is found by the order of its type's default operator class. */
static void
check_order(const SpShieldKey *key)
{
	TypeCacheEntry *type = lookup_type_cache(key->type, TYPECACHE_EQ_OPR | TYPECACHE_BTREE_OPFAMILY);

	if (OidIsValid(type->eq_opr) && OidIsValid(type->btree_opf))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_FUNCTION),
			 errmsg("key \"%s\" of type %s can't be enforced", key->name,
					format_type_be(key->type)),
			 errdetail("The type has no default operator class for btree."),
			 errhint("Use a key of another type, such as its text.")));
}

/* "k1 int4, k2 text, UNIQUE ..." */
static void
append_columns(StringInfo sql, const SpShield *shield)
{
	int			nkeys = sp_shield_def(shield)->nkeys;

	for (int k = 0; k < nkeys; k++)
	{
		const SpShieldKey *key = sp_shield_key(shield, k);

		check_order(key);
		sp_relation_append_column(sql, psprintf("k%d", k + 1), key->type, -1, key->collation,
								  false);
	}
	if (nkeys == 0)
		appendStringInfoString(sql, "\"only\" boolean DEFAULT true UNIQUE, ");
	appendStringInfoString(sql, "state bytea NOT NULL");
	for (int k = 0; k < nkeys; k++)
		appendStringInfo(sql, "%sk%d", k == 0 ? ", UNIQUE NULLS NOT DISTINCT (" : ", ", k + 1);
	if (nkeys > 0)
		appendStringInfoChar(sql, ')');
}

Oid
sp_shield_state_create(const SpShield *shield, Oid detector)
{
	const SpDetectorDef *def = sp_shield_def(shield);
	char	   *name = psprintf("streamproc.shield_%d", def->o.id);
	StringInfoData sql;
	Oid			relid;

	initStringInfo(&sql);
	appendStringInfo(&sql, "CREATE TABLE %s (", name);
	append_columns(&sql, shield);
	appendStringInfoString(&sql, ") USING heap WITH (fillfactor = 50, toast_tuple_target = 8160)");
	sp_relation_run(sql.data, BOOTSTRAP_SUPERUSERID);
	sp_relation_run(psprintf("ALTER TABLE %s ALTER COLUMN state SET STORAGE EXTERNAL", name),
					BOOTSTRAP_SUPERUSERID);
	sp_relation_run(psprintf("REVOKE ALL ON TABLE %s FROM PUBLIC", name), BOOTSTRAP_SUPERUSERID);
	sp_relation_run(psprintf("COMMENT ON TABLE %s IS %s", name,
							 quote_literal_cstr(psprintf("states of the keys of detector %s, which "
														 "is enforced", def->o.name))),
					BOOTSTRAP_SUPERUSERID);
	relid = get_relname_relid(psprintf("shield_%d", def->o.id),
							  get_namespace_oid("streamproc", false));
	sp_relation_bind_view(relid, detector);
	return relid;
}

/* ---- filling ---- */

typedef struct Filling
{
	SpWriter   *writer;
	const SpShield *shield;
	MemoryContext row_context;
} Filling;

/*
 * Many a state is mostly room.  So its words are written as runs: how many follow, how many zeros
 * come behind them, then those that follow.
 */
typedef struct Run
{
	uint16		nwords;
	uint16		nzeros;
} Run;

/* Write words as runs. */
static void
pack(StringInfo buf, const uint64 *words, Size n)
{
	Size		i = 0;

	while (i < n)
	{
		Size		first = i;
		Run			run = {0, 0};

		while (i < n && words[i] != 0 && run.nwords < PG_UINT16_MAX)
		{
			i++;
			run.nwords++;
		}
		while (i < n && words[i] == 0 && run.nzeros < PG_UINT16_MAX)
		{
			i++;
			run.nzeros++;
		}
		appendBinaryStringInfo(buf, (char *) &run, sizeof(run));
		appendBinaryStringInfo(buf, (const char *) (words + first), sizeof(uint64) * run.nwords);
	}
}

/* The other way round; false: these aren't so many words. */
static bool
unpack(const char *data, Size length, uint64 *words, Size n)
{
	while (n > 0)
	{
		Run			run;

		if (length < sizeof(run))
			return false;
		memcpy(&run, data, sizeof(run));
		data += sizeof(run);
		length -= sizeof(run);
		if (run.nwords + run.nzeros == 0 || (Size) run.nwords + run.nzeros > n ||
			length < sizeof(uint64) * run.nwords)
			return false;
		memcpy(words, data, sizeof(uint64) * run.nwords);
		memset(words + run.nwords, 0, sizeof(uint64) * run.nzeros);
		data += sizeof(uint64) * run.nwords;
		length -= sizeof(uint64) * run.nwords;
		words += run.nwords + run.nzeros;
		n -= run.nwords + run.nzeros;
	}
	return length == 0;
}

#define count_words(size) (((Size) (size) + sizeof(uint64) - 1) / sizeof(uint64))

/* Its size, then its words, the last one filled up with zeros, in runs. */
static Datum
form_state(const SpShield *shield, const SpShieldState *from)
{
	static const uint64 zero = 0;
	StringInfoData state;
	StringInfoData buf;
	uint32		size;

	initStringInfo(&state);
	sp_shield_write_state(shield, from, &state);
	size = state.len;
	appendBinaryStringInfo(&state, (const char *) &zero, sizeof(zero));
	initStringInfo(&buf);
	appendStringInfoSpaces(&buf, VARHDRSZ);
	appendBinaryStringInfo(&buf, (char *) &size, sizeof(size));
	pack(&buf, (uint64 *) state.data, count_words(size));
	SET_VARSIZE(buf.data, buf.len);
	pfree(state.data);
	return PointerGetDatum(buf.data);
}

/* SpShieldTake */
static void
write_history(void *arg, const Datum *keys, const bool *nulls, const SpShieldState *state)
{
	Filling    *filling = arg;
	MemoryContext old = MemoryContextSwitchTo(filling->row_context);
	TupleTableSlot *slot = sp_writer_slot(filling->writer);
	int			nkeys = sp_shield_def(filling->shield)->nkeys;

	MemoryContextReset(filling->row_context);
	ExecClearTuple(slot);
	if (nkeys == 0)
	{
		slot->tts_values[0] = BoolGetDatum(true);
		slot->tts_isnull[0] = false;
	}
	for (int k = 0; k < nkeys; k++)
	{
		slot->tts_values[k] = keys[k];
		slot->tts_isnull[k] = nulls[k];
	}
	slot->tts_values[Max(1, nkeys)] = form_state(filling->shield, state);
	slot->tts_isnull[Max(1, nkeys)] = false;
	ExecStoreVirtualTuple(slot);
	sp_writer_insert(filling->writer);
	MemoryContextSwitchTo(old);
}

void
sp_shield_state_seed(Oid relid, SpShield *shield)
{
	int			nkeys = sp_shield_def(shield)->nkeys;
	Oid		   *types = palloc(sizeof(Oid) * (nkeys + 2));
	int			level = NewGUCNestLevel();
	Filling		filling = {.shield = shield};

	types[0] = BOOLOID;
	for (int k = 0; k < nkeys; k++)
		types[k] = sp_shield_key(shield, k)->type;
	types[Max(1, nkeys)] = BYTEAOID;
	filling.writer = sp_writer_open(relid, Max(1, nkeys) + 1, types, 0, NULL);
	filling.row_context = AllocSetContextCreate(CurrentMemoryContext, "streamproc shield seed",
												ALLOCSET_DEFAULT_SIZES);
	sp_shield_seed(shield, write_history, &filling);
	sp_writer_close(filling.writer);
	MemoryContextDelete(filling.row_context);
	/* the writer limits what it waits for */
	AtEOXact_GUC(false, level);
	CommandCounterIncrement();
}

/* ---- a session's ---- */

SpShieldStates *
sp_shield_state_open(Oid relid, const SpShield *shield)
{
	SpShieldStates *states = palloc0(sizeof(SpShieldStates));

	states->relid = relid;
	states->name = sp_relation_quote(relid);
	states->shield = shield;
	states->nkeys = sp_shield_def(shield)->nkeys;
	states->keys = palloc(sizeof(SpShieldKey *) * Max(1, states->nkeys));
	for (int k = 0; k < states->nkeys; k++)
		states->keys[k] = sp_shield_key(shield, k);
	return states;
}

void
sp_shield_state_close(SpShieldStates *states)
{
	if (states->insert_plan != NULL)
		SPI_freeplan(states->insert_plan);
}

const SpShield *
sp_shield_table_shield(const SpShieldStates *states)
{
	return states->shield;
}

Oid
sp_shield_table_relid(const SpShieldStates *states)
{
	return states->relid;
}

void
sp_shield_table_image(const SpShieldStates *states, const Datum *keys, const bool *nulls,
					  StringInfo buf)
{
	for (int k = 0; k < states->nkeys; k++)
	{
		const SpShieldKey *key = states->keys[k];
		Datum		value = keys[k];
		uint32		size;

		appendStringInfoChar(buf, nulls[k]);
		if (nulls[k])
			continue;
		if (key->typlen == -1)
			value = PointerGetDatum(PG_DETOAST_DATUM(value));
		size = (uint32) datumGetSize(value, key->typbyval, key->typlen);
		appendBinaryStringInfo(buf, (char *) &size, sizeof(size));
		if (key->typbyval)
			appendBinaryStringInfo(buf, (char *) &value, sizeof(Datum));
		else
			appendBinaryStringInfo(buf, DatumGetPointer(value), size);
	}
}

/* ---- rows that are new ---- */

/* Types of the keys, then bytea. */
static Oid *
list_types(const SpShieldStates *states)
{
	Oid		   *types = palloc(sizeof(Oid) * (states->nkeys + 1));

	for (int k = 0; k < states->nkeys; k++)
		types[k] = states->keys[k]->type;
	types[states->nkeys] = BYTEAOID;
	return types;
}

static SPIPlanPtr
get_insert_plan(SpShieldStates *states)
{
	StringInfoData sql;

	if (states->insert_plan != NULL)
		return states->insert_plan;
	initStringInfo(&sql);
	appendStringInfo(&sql, "INSERT INTO %s (", states->name);
	for (int k = 0; k < states->nkeys; k++)
		appendStringInfo(&sql, "k%d, ", k + 1);
	appendStringInfoString(&sql, "state) VALUES (");
	for (int k = 0; k < states->nkeys; k++)
		appendStringInfo(&sql, "$%d, ", k + 1);
	appendStringInfo(&sql, "$%d) ON CONFLICT DO NOTHING", states->nkeys + 1);
	states->insert_plan = SPI_prepare(sql.data, states->nkeys + 1, list_types(states));
	if (states->insert_plan == NULL)
		elog(ERROR, "SPI_prepare failed: %s", sql.data);
	SPI_keepplan(states->insert_plan);
	return states->insert_plan;
}

/* A key that nobody has met, unless somebody else is faster; with the rights of the extension's owner. */
static void
insert_row(SpShieldStates *states, const Datum *keys, const bool *nulls)
{
	Datum		values[INDEX_MAX_KEYS + 1];
	char		markers[INDEX_MAX_KEYS + 1];
	SpUserContext user;
	int			result;

	for (int k = 0; k < states->nkeys; k++)
	{
		values[k] = keys[k];
		markers[k] = nulls[k] ? 'n' : ' ';
	}
	values[states->nkeys] = form_state(states->shield, sp_shield_new_state(states->shield));
	markers[states->nkeys] = ' ';
	sp_user_enter(&user, BOOTSTRAP_SUPERUSERID, NIL);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	result = SPI_execute_plan(get_insert_plan(states), values, markers, false, 0);
	if (result != SPI_OK_INSERT)
		elog(ERROR, "unexpected result %d (%s) of an insert into a shield's states", result,
			 SPI_result_code_string(result));
	SPI_finish();
	sp_user_leave(&user, true);
}

/* ---- rows that are there ---- */

static void
damaged(const SpShieldStates *states)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("a state in table %s is damaged, or of another version", states->name),
			 errhint("Call streamproc.enforce() again, which builds it anew from the table's rows.")));
}

/* NULL: it isn't a state of this detector. */
static SpShieldState *
read_state(const SpShieldStates *states, const char *data, Size length)
{
	SpShieldState *state = NULL;
	uint32		size;
	char	   *all;

	if (length < sizeof(size))
		return NULL;
	memcpy(&size, data, sizeof(size));
	if (size > sp_shield_most_state(states->shield))
		return NULL;
	all = palloc(sizeof(uint64) * (count_words(size) + 1));
	if (unpack(data + sizeof(size), length - sizeof(size), (uint64 *) all, count_words(size)))
		state = sp_shield_read_state(states->shield, all, size);
	pfree(all);
	return state;
}

/* The first columns, which have the keys: without a key, "only". */
static int
get_columns(const SpShieldStates *states, const Datum *keys, const bool *nulls, Datum *values,
			bool *isnull)
{
	if (states->nkeys == 0)
	{
		values[0] = BoolGetDatum(true);
		isnull[0] = false;
		return 1;
	}
	memcpy(values, keys, sizeof(Datum) * states->nkeys);
	memcpy(isnull, nulls, sizeof(bool) * states->nkeys);
	return states->nkeys;
}

/* The state of the row in the slot, after n columns of key, into that context. */
static SpShieldState *
get_state(const SpShieldStates *states, TupleTableSlot *slot, int n, MemoryContext context)
{
	bool		no_state;
	bytea	   *stored = DatumGetByteaPP(slot_getattr(slot, n + 1, &no_state));
	MemoryContext old = MemoryContextSwitchTo(context);
	SpShieldState *state = NULL;

	if (!no_state)
		state = read_state(states, VARDATA_ANY(stored), VARSIZE_ANY_EXHDR(stored));
	MemoryContextSwitchTo(old);
	if (state == NULL)
		damaged(states);
	return state;
}

SpShieldState *
sp_shield_table_read(SpShieldStates *states, const Datum *keys, const bool *nulls,
					 MemoryContext context, ItemPointer tid)
{
	Relation	rel = table_open(states->relid, RowExclusiveLock);
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	Datum		values[INDEX_MAX_KEYS];
	bool		isnull[INDEX_MAX_KEYS];
	int			n = get_columns(states, keys, nulls, values, isnull);
	SpShieldState *state = NULL;
	bool		found;

	PushActiveSnapshot(GetTransactionSnapshot());
	found = sp_lookup_heap_row(rel, n, values, isnull, GetActiveSnapshot(), slot);
	PopActiveSnapshot();
	if (found)
	{
		*tid = slot->tts_tid;
		state = get_state(states, slot, n, context);
	}
	ExecDropSingleTupleTableSlot(slot);
	table_close(rel, NoLock);
	return state;
}

SpShieldState *
sp_shield_table_lock(SpShieldStates *states, const Datum *keys, const bool *nulls,
					 MemoryContext context, ItemPointer tid)
{
	Relation	rel = table_open(states->relid, RowExclusiveLock);
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	Datum		values[INDEX_MAX_KEYS];
	bool		isnull[INDEX_MAX_KEYS];
	int			n = get_columns(states, keys, nulls, values, isnull);
	SpShieldState *state;

	while (!sp_lookup_and_lock(rel, n, values, isnull, slot))
		insert_row(states, keys, nulls);
	*tid = slot->tts_tid;
	state = get_state(states, slot, n, context);
	ExecDropSingleTupleTableSlot(slot);
	table_close(rel, NoLock);
	return state;
}

/* ---- writing ---- */

struct SpShieldWriting
{
	List	   *states;			/* of SpShieldStates * */
	List	   *tables;			/* of SpTable *, NULL where one is gone */
};

SpShieldWriting *
sp_shield_table_begin(void)
{
	return palloc0(sizeof(SpShieldWriting));
}

static SpTable *
open_table(const SpShieldStates *states, Relation rel)
{
	AttrNumber	keys[INDEX_MAX_KEYS];
	int			n = Max(1, states->nkeys);

	for (int k = 0; k < n; k++)
		keys[k] = k + 1;
	return sp_table_open(rel, n, keys);
}

/* Put a state in the place of the one at tid, which becomes where it is then; false: there is none. */
static bool
replace_state(const SpShieldStates *states, SpTable *table, ItemPointer tid,
			  const SpShieldState *from)
{
	Datum		state = form_state(states->shield, from);
	bool		done;

	sp_table_set_room(table, MAXALIGN(VARSIZE(DatumGetPointer(state)) + MOST_KEY_BYTES));
	done = sp_table_set_at(table, tid, Max(1, states->nkeys) + 1, state);
	pfree(DatumGetPointer(state));
	return done;
}

bool
sp_shield_table_try(SpShieldStates *states, ItemPointer tid, const SpShieldState *state)
{
	SpTable    *table = open_table(states, table_open(states->relid, RowExclusiveLock));
	bool		done = replace_state(states, table, tid, state);

	/* its next command, which sees the row, begins: another key may be the same */
	sp_table_close(table);
	return done;
}

/* The table, opened when the first row is written. */
static SpTable *
get_table(SpShieldWriting *writing, SpShieldStates *states)
{
	SpTable    *table = NULL;
	Relation	rel;
	ListCell   *lc;
	ListCell   *tc;

	forboth(lc, writing->states, tc, writing->tables)
	{
		if (lfirst(lc) == states)
			return lfirst(tc);
	}
	rel = try_relation_open(states->relid, RowExclusiveLock);
	if (rel != NULL)
		table = open_table(states, rel);
	writing->states = lappend(writing->states, states);
	writing->tables = lappend(writing->tables, table);
	return table;
}

void
sp_shield_table_write(SpShieldWriting *writing, SpShieldStates *states, ItemPointer tid,
					  const SpShieldState *state)
{
	SpTable    *table = get_table(writing, states);

	if (table != NULL && !replace_state(states, table, tid, state))
		elog(ERROR, "a state in table %s is gone though it was locked", states->name);
}

void
sp_shield_table_end(SpShieldWriting *writing)
{
	ListCell   *lc;

	foreach(lc, writing->tables)
	{
		if (lfirst(lc) != NULL)
			sp_table_close(lfirst(lc));
	}
	list_free(writing->states);
	list_free(writing->tables);
	pfree(writing);
}
