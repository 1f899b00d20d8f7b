/*
 * shield_table.c
 *	  The states of a shield's keys on disk.
 *
 * The tables are the extension's owner's, and nobody else has rights on them.  What runs here
 * with that owner's rights calls nothing that a user wrote: columns are of no domain, and the
 * operators are those of the types' own operator classes.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid_d.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type_d.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "optimizer/cost.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "base/compat.h"
#include "engine/expression.h"
#include "engine/writer.h"
#include "face/relation.h"
#include "face/shield_table.h"

#define STATE_HEADER	(VARHDRSZ + sizeof(uint32))
#define MOST_ADDED		4096	/* bytes of the durable form beyond those in memory */

/* Reads the row of keys of which these are null. */
typedef struct LockPlan
{
	uint32		nulls;
	SPIPlanPtr	plan;
} LockPlan;

struct SpShieldStates
{
	MemoryContext context;
	Oid			relid;
	char	   *name;			/* quoted, of the table */
	const SpMethod *method;
	int			nkeys;
	const SpShieldKey **keys;
	List	   *lock_plans;		/* of LockPlan * */
	SPIPlanPtr	insert_plan;
	SPIPlanPtr	update_plan;
};

/* ---- creating ---- */

/* "schema.=" as the type's btree operator class has it. */
static char *
equality_of(const SpShieldKey *key)
{
	TypeCacheEntry *type = lookup_type_cache(key->type, TYPECACHE_EQ_OPR | TYPECACHE_BTREE_OPFAMILY);
	HeapTuple	tuple;
	Form_pg_operator form;
	char	   *name;

	if (!OidIsValid(type->eq_opr) || !OidIsValid(type->btree_opf))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("key \"%s\" of type %s can't be enforced", key->name,
						format_type_be(key->type)),
				 errdetail("The type has no default operator class for btree."),
				 errhint("Use a key of another type, such as its text.")));
	tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(type->eq_opr));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for operator %u", type->eq_opr);
	form = (Form_pg_operator) GETSTRUCT(tuple);
	name = psprintf("OPERATOR(%s.%s)", quote_identifier(get_namespace_name(form->oprnamespace)),
					NameStr(form->oprname));
	ReleaseSysCache(tuple);
	return name;
}

/* "k1 int4, k2 text, UNIQUE ..." */
static void
append_columns(StringInfo sql, const SpShield *shield)
{
	int			nkeys = sp_shield_def(shield)->nkeys;

	for (int k = 0; k < nkeys; k++)
	{
		const SpShieldKey *key = sp_shield_key(shield, k);

		(void) equality_of(key);
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

/* Its size, then its bytes without the zeros at the end: many a state is mostly room. */
static Datum
form_state(const SpMethod *method, const SpSeries *series)
{
	StringInfoData buf;
	uint32		size = 0;

	initStringInfo(&buf);
	appendStringInfoSpaces(&buf, VARHDRSZ);
	appendBinaryStringInfo(&buf, (char *) &size, sizeof(size));
	sp_series_write(method, series, &buf);
	size = buf.len - STATE_HEADER;
	memcpy(buf.data + VARHDRSZ, &size, sizeof(size));
	while (buf.len > STATE_HEADER && buf.data[buf.len - 1] == '\0')
		buf.len--;
	SET_VARSIZE(buf.data, buf.len);
	return PointerGetDatum(buf.data);
}

/* SpShieldTake */
static void
write_history(void *arg, const Datum *keys, const bool *nulls, const SpSeries *series)
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
	slot->tts_values[Max(1, nkeys)] = form_state(sp_shield_method(filling->shield), series);
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

	states->context = CurrentMemoryContext;
	states->relid = relid;
	states->name = sp_relation_quote(relid);
	states->method = sp_shield_method(shield);
	states->nkeys = sp_shield_def(shield)->nkeys;
	states->keys = palloc(sizeof(SpShieldKey *) * Max(1, states->nkeys));
	for (int k = 0; k < states->nkeys; k++)
		states->keys[k] = sp_shield_key(shield, k);
	return states;
}

void
sp_shield_state_close(SpShieldStates *states)
{
	ListCell   *lc;

	foreach(lc, states->lock_plans)
		SPI_freeplan(((LockPlan *) lfirst(lc))->plan);
	if (states->insert_plan != NULL)
		SPI_freeplan(states->insert_plan);
	if (states->update_plan != NULL)
		SPI_freeplan(states->update_plan);
}

Oid
sp_shield_table_relid(const SpShieldStates *states)
{
	return states->relid;
}

Size
sp_shield_table_size(const SpShieldStates *states)
{
	return sp_series_size(states->method);
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

/* ---- statements ---- */

/* Connect with the rights of the extension's owner. */
static void
open_scope(SpUserContext *user)
{
	sp_user_enter(user, BOOTSTRAP_SUPERUSERID, NIL);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
}

static void
close_scope(const SpUserContext *user)
{
	SPI_finish();
	sp_user_leave(user, true);
}

static SPIPlanPtr
prepare(const char *sql, int nargs, Oid *types)
{
	SPIPlanPtr	plan = SPI_prepare(sql, nargs, types);

	if (plan == NULL)
		elog(ERROR, "SPI_prepare failed: %s", sql);
	SPI_keepplan(plan);
	return plan;
}

static int
execute(SPIPlanPtr plan, Datum *values, const char *nulls, int expected)
{
	int			result = SPI_execute_plan(plan, values, nulls, false, 0);

	if (result != expected)
		elog(ERROR, "unexpected result %d (%s) of a statement on a shield's states", result,
			 SPI_result_code_string(result));
	return (int) SPI_processed;
}

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

/* NULL isn't found by equality: each set of keys that are null has a plan of its own. */
static SPIPlanPtr
get_lock_plan(SpShieldStates *states, const bool *nulls)
{
	StringInfoData sql;
	uint32		mask = 0;
	MemoryContext old;
	LockPlan   *made;
	ListCell   *lc;

	for (int k = 0; k < states->nkeys; k++)
		mask |= nulls[k] ? (uint32) 1 << k : 0;
	foreach(lc, states->lock_plans)
	{
		made = lfirst(lc);
		if (made->nulls == mask)
			return made->plan;
	}
	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT ctid, state FROM ONLY %s", states->name);
	for (int k = 0; k < states->nkeys; k++)
	{
		appendStringInfo(&sql, " %s k%d ", k == 0 ? "WHERE" : "AND", k + 1);
		if (nulls[k])
			appendStringInfoString(&sql, "IS NULL");
		else
			appendStringInfo(&sql, "%s $%d", equality_of(states->keys[k]), k + 1);
	}
	appendStringInfoString(&sql, " FOR UPDATE");
	old = MemoryContextSwitchTo(states->context);
	made = palloc0(sizeof(LockPlan));
	made->nulls = mask;
	MemoryContextSwitchTo(old);
	made->plan = prepare(sql.data, states->nkeys, list_types(states));
	MemoryContextSwitchTo(states->context);
	states->lock_plans = lappend(states->lock_plans, made);
	MemoryContextSwitchTo(old);
	return made->plan;
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
	states->insert_plan = prepare(sql.data, states->nkeys + 1, list_types(states));
	return states->insert_plan;
}

static void
damaged(const SpShieldStates *states)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("a state in table %s is damaged, or of another version", states->name),
			 errhint("Call streamproc.enforce() again, which builds it anew from the table's rows.")));
}

/* False: it isn't a state of this method. */
static bool
read_state(const SpShieldStates *states, const char *data, Size length, SpSeries *series)
{
	uint32		size;
	char	   *all;

	if (length < sizeof(size))
		return false;
	memcpy(&size, data, sizeof(size));
	length -= sizeof(size);
	if (size < length || size > sp_series_size(states->method) + MOST_ADDED)
		return false;
	all = palloc0(size + 1);
	memcpy(all, data + sizeof(size), length);
	return sp_series_read(states->method, series, all, all + size) == all + size;
}

/* Read the row that was found. */
static void
read_row(const SpShieldStates *states, ItemPointer tid, SpSeries *series)
{
	HeapTuple	row = SPI_tuptable->vals[0];
	bool		isnull;
	bytea	   *state;

	*tid = *(ItemPointer) DatumGetPointer(SPI_getbinval(row, SPI_tuptable->tupdesc, 1, &isnull));
	state = DatumGetByteaPP(SPI_getbinval(row, SPI_tuptable->tupdesc, 2, &isnull));
	if (!read_state(states, VARDATA_ANY(state), VARSIZE_ANY_EXHDR(state), series))
		damaged(states);
}

/* A key that nobody has met. */
static void
insert_row(SpShieldStates *states, const Datum *keys, const char *nulls)
{
	Datum		values[INDEX_MAX_KEYS + 1];
	SpSeries   *series = palloc(sp_series_size(states->method));

	memcpy(values, keys, sizeof(Datum) * states->nkeys);
	sp_series_init(states->method, series);
	values[states->nkeys] = form_state(states->method, series);
	(void) execute(get_insert_plan(states), values, nulls, SPI_OK_INSERT);
}

void
sp_shield_table_lock(SpShieldStates *states, const Datum *keys, const bool *nulls,
					 ItemPointer tid, SpSeries *series)
{
	char		markers[INDEX_MAX_KEYS + 1];
	bool		seqscan = enable_seqscan;
	SpUserContext user;

	for (int k = 0; k < states->nkeys; k++)
		markers[k] = nulls[k] ? 'n' : ' ';
	markers[states->nkeys] = ' ';
	open_scope(&user);
	PG_TRY();
	{
		/* a table that was small when the plan was made may have grown */
		enable_seqscan = false;
		while (execute(get_lock_plan(states, nulls), (Datum *) keys, markers, SPI_OK_SELECT) == 0)
			insert_row(states, keys, markers);
	}
	PG_FINALLY();
	{
		enable_seqscan = seqscan;
	}
	PG_END_TRY();
	read_row(states, tid, series);
	close_scope(&user);
}

void
sp_shield_table_write(SpShieldStates *states, ItemPointer tid, const SpSeries *series)
{
	Oid			types[2] = {TIDOID, BYTEAOID};
	Datum		values[2] = {PointerGetDatum(tid)};
	SpUserContext user;

	if (get_rel_name(states->relid) == NULL)
		return;
	open_scope(&user);
	if (states->update_plan == NULL)
		states->update_plan = prepare(psprintf("UPDATE ONLY %s SET state = $2 WHERE ctid "
											   "OPERATOR(pg_catalog.=) $1", states->name), 2, types);
	values[1] = form_state(states->method, series);
	if (execute(states->update_plan, values, NULL, SPI_OK_UPDATE) != 1)
		elog(ERROR, "a state in table %s is gone though it was locked", states->name);
	close_scope(&user);
}
