/*
 * shield.c
 *	  The shield's trigger: a row is judged before it is inserted.
 *
 * What a session knows of a shield is kept from row to row, and made anew when something that
 * it depends on has changed: definitions, the tables, functions.  While a transaction has states
 * in memory, what they were made with stays.
 *
 * The trigger has its table's rows; where that is a partition, its columns are found by their
 * names.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "base/compat.h"
#include "base/unjudged.h"
#include "engine/shield.h"
#include "face/enforce.h"
#include "face/quarantine.h"
#include "face/shield_state.h"

PG_FUNCTION_INFO_V1(sp_shield_trigger);

/* A table whose rows are judged: the stream's, or a partition of it. */
typedef struct Part
{
	Oid			relid;
	AttrNumber *map;			/* its attribute for each of the stream's, 0: none */
	int			natts;
	Datum	   *values;			/* room for a row of it */
	bool	   *nulls;
} Part;

/* What the session knows of a shield. */
typedef struct Known
{
	MemoryContext context;
	int32		id;
	bool		stale;
	SpShieldDef def;
	SpShield   *shield;
	SpShieldStates *states;		/* NULL: there are none */
	SpQuarantine *quarantine;	/* NULL: not that action */
	List	   *parts;			/* of Part * */
	Part	   *last;
	Datum	   *values;			/* room for a row of the stream */
	bool	   *nulls;
} Known;

static MemoryContext known_context = NULL;
static List *known = NIL;		/* of Known * */
static bool any_stale = false;
static Oid	streams_relid = InvalidOid;

/* ---- what a session knows ---- */

/* Relcache callback: the definitions, or a table. */
static void
note_relation(Datum arg, Oid relid)
{
	ListCell   *lc;

	foreach(lc, known)
	{
		Known	   *k = lfirst(lc);
		ListCell   *pc;

		if (!OidIsValid(relid) || relid == streams_relid || relid == k->def.source ||
			relid == k->def.states || sp_shield_is_made_of(k->shield, relid) ||
			sp_quarantine_is(k->quarantine, relid))
			k->stale = any_stale = true;
		foreach(pc, k->parts)
		{
			if (((Part *) lfirst(pc))->relid == relid)
				k->stale = any_stale = true;
		}
	}
}

/* Syscache callback: a function that an expression may call. */
static void
note_function(Datum arg, int cacheid, uint32 hash)
{
	ListCell   *lc;

	foreach(lc, known)
		((Known *) lfirst(lc))->stale = any_stale = true;
}

static void
register_callbacks(void)
{
	if (known_context != NULL)
		return;
	CacheRegisterRelcacheCallback(note_relation, (Datum) 0);
	CacheRegisterSyscacheCallback(PROCOID, note_function, (Datum) 0);
	known_context = AllocSetContextCreate(TopMemoryContext, "streamproc shields",
										  ALLOCSET_DEFAULT_SIZES);
}

static void
forget(Known *k)
{
	known = list_delete_ptr(known, k);
	if (k->states != NULL)
		sp_shield_state_close(k->states);
	sp_quarantine_close(k->quarantine);
	MemoryContextDelete(k->context);
}

/* Forget what is stale, unless states in memory refer to it. */
static void
forget_stale(void)
{
	ListCell   *lc;

	if (!any_stale || !sp_shield_state_is_idle())
		return;
	foreach(lc, list_copy(known))
	{
		if (((Known *) lfirst(lc))->stale)
			forget(lfirst(lc));
	}
	any_stale = false;
}

/* A trigger without a shield must not let pass what somebody wanted to be judged. */
static void
refuse_unknown(int32 id, Relation rel)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("table \"%s\" has the trigger of a shield that there isn't",
					RelationGetRelationName(rel)),
			 errdetail("No detector with number %d is enforced.", id),
			 errhint("Call streamproc.enforce() for the detector, or drop the trigger."),
			 errtable(rel)));
}

/* The shield, compiled. */
static Known *
open_known(int32 id, Relation rel)
{
	MemoryContext context;
	MemoryContext old;
	SpShieldDef def;
	Known	   *k;
	int			natts;

	register_callbacks();
	if (!sp_enforce_find(id, &def))
		refuse_unknown(id, rel);
	streams_relid = get_relname_relid("stream", get_namespace_oid("streamproc", false));
	/* should this throw, it goes with the transaction */
	context = AllocSetContextCreate(CurTransactionContext, "streamproc shield of a session",
									ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	k = palloc0(sizeof(Known));
	k->context = context;
	k->id = id;
	k->def = def;
	k->shield = sp_shield_open(context, id);
	natts = sp_shield_desc(k->shield)->natts;
	k->values = palloc(sizeof(Datum) * Max(1, natts));
	k->nulls = palloc(sizeof(bool) * Max(1, natts));
	if (OidIsValid(def.states))
		k->states = sp_shield_state_open(def.states, k->shield);
	if (def.action == SP_ACTION_QUARANTINE)
		k->quarantine = sp_quarantine_open(def.quarantine, k->shield);
	MemoryContextSetParent(context, known_context);
	MemoryContextSwitchTo(known_context);
	known = lappend(known, k);
	MemoryContextSwitchTo(old);
	return k;
}

static Known *
get_known(int32 id, Relation rel)
{
	ListCell   *lc;

	forget_stale();
	foreach(lc, known)
	{
		Known	   *k = lfirst(lc);

		if (k->id == id && !k->stale)
			return k;
	}
	return open_known(id, rel);
}

/* ---- rows ---- */

/* The attribute of that name, or 0. */
static AttrNumber
find_attribute(TupleDesc desc, const char *name)
{
	for (int i = 0; i < desc->natts; i++)
	{
		if (!TupleDescAttr(desc, i)->attisdropped &&
			strcmp(NameStr(TupleDescAttr(desc, i)->attname), name) == 0)
			return i + 1;
	}
	return 0;
}

/* Whoever owns a table can give it the trigger; the detector looks at its stream's rows only. */
static void
check_part(const Known *k, Relation rel)
{
	if (RelationGetRelid(rel) == k->def.source ||
		(rel->rd_rel->relispartition &&
		 list_member_oid(get_partition_ancestors(RelationGetRelid(rel)), k->def.source)))
		return;
	refuse_unknown(k->id, rel);
}

static Part *
open_part(Known *k, Relation rel)
{
	TupleDesc	root = sp_shield_desc(k->shield);
	TupleDesc	desc = RelationGetDescr(rel);
	MemoryContext old;
	Part	   *part;

	check_part(k, rel);
	old = MemoryContextSwitchTo(k->context);
	part = palloc0(sizeof(Part));
	part->relid = RelationGetRelid(rel);
	part->natts = desc->natts;
	part->values = palloc(sizeof(Datum) * Max(1, desc->natts));
	part->nulls = palloc(sizeof(bool) * Max(1, desc->natts));
	part->map = palloc0(sizeof(AttrNumber) * Max(1, root->natts));
	for (int i = 0; i < root->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(root, i);

		if (!att->attisdropped)
			part->map[i] = part->relid == k->def.source ? i + 1 :
				find_attribute(desc, NameStr(att->attname));
	}
	k->parts = lappend(k->parts, part);
	MemoryContextSwitchTo(old);
	return part;
}

static Part *
get_part(Known *k, Relation rel)
{
	ListCell   *lc;

	if (k->last != NULL && k->last->relid == RelationGetRelid(rel))
		return k->last;
	k->last = NULL;
	foreach(lc, k->parts)
	{
		if (((Part *) lfirst(lc))->relid == RelationGetRelid(rel))
			k->last = lfirst(lc);
	}
	if (k->last == NULL)
		k->last = open_part(k, rel);
	return k->last;
}

/* The row as one of the stream. */
static void
take_row(Known *k, Relation rel, HeapTuple tuple)
{
	Part	   *part = get_part(k, rel);
	int			natts = sp_shield_desc(k->shield)->natts;

	heap_deform_tuple(tuple, RelationGetDescr(rel), part->values, part->nulls);
	for (int i = 0; i < natts; i++)
	{
		int			from = part->map[i] - 1;

		k->nulls[i] = from < 0 || part->nulls[from];
		k->values[i] = k->nulls[i] ? (Datum) 0 : part->values[from];
	}
	sp_shield_set_row(k->shield, k->values, k->nulls);
}

/* ---- judging ---- */

static void
raise_problem(const Known *k, Relation rel)
{
	int			sqlstate;
	const char *problem = sp_shield_problem(k->shield, &sqlstate);

	ereport(ERROR,
			(errcode(sqlstate),
			 errmsg("new row for relation \"%s\" can't be judged by detector %s: %s",
					RelationGetRelationName(rel), sp_shield_def(k->shield)->o.name, problem),
			 errhint("The detector is enforced with on_error => 'fail_closed'."),
			 errtable(rel)));
}

/* Is the row going to be in the table, so that the state is to be the one it leads to? */
static inline bool
is_learned(const Known *k, SpShieldSays says)
{
	return says == SP_SHIELD_PASSES || k->def.action == SP_ACTION_FLAG;
}

/* Judge the row at work by its key's state, if there is any. */
static SpShieldSays
judge_by_state(Known *k, Relation rel, SpShieldState *state)
{
	SpShieldSays says;

	sp_shield_take_override(k->shield);
	says = sp_shield_judge(k->shield, state);
	if (says == SP_SHIELD_FAILS)
		raise_problem(k, rel);
	return says;
}

/* True: the row is an anomaly.  What it teaches is kept, unless it isn't going to be there. */
static bool
judge(Known *k, Relation rel, HeapTuple tuple)
{
	Datum		keys[INDEX_MAX_KEYS];
	bool		nulls[INDEX_MAX_KEYS];
	SpShieldEntry *entry = NULL;
	SpShieldState *state = NULL;
	SpShieldSays says;

	take_row(k, rel, tuple);
	if (!sp_shield_evaluate(k->shield))
		return false;
	if (k->states != NULL)
	{
		sp_shield_get_key(k->shield, keys, nulls);
		entry = sp_shield_state_find(k->states, keys, nulls, &state);
	}
	says = judge_by_state(k, rel, state);
	if (k->states != NULL && entry == NULL && is_learned(k, says) &&
		!sp_shield_state_try(k->shield))
	{
		/* somebody was faster */
		entry = sp_shield_state_lock(k->states, keys, nulls, &state);
		says = judge_by_state(k, rel, state);
	}
	if (entry != NULL && is_learned(k, says))
		sp_shield_state_learn(entry, k->shield);
	return says == SP_SHIELD_FINDS;
}

/* Errors that say nothing of the row or the shield, but of the transaction or the session. */
static bool
is_fatal_to_all(const ErrorData *error)
{
	int			category = ERRCODE_TO_CATEGORY(error->sqlerrcode);

	return category == ERRCODE_TRANSACTION_ROLLBACK ||
		category == ERRCODE_OPERATOR_INTERVENTION ||
		error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE;
}

/* What went wrong is counted, and told of now and then: there may be as many as there are rows. */
static void
note_unjudged(const Known *k, Relation rel, const ErrorData *error)
{
	uint64		untold;
	bool		tell = sp_unjudged_add(k->id, k->def.since, &untold);

	ereport(tell ? WARNING : DEBUG1,
			(errcode(error->sqlerrcode),
			 errmsg("new row for relation \"%s\" was not judged by detector %s: %s",
					RelationGetRelationName(rel), sp_shield_def(k->shield)->o.name,
					error->message),
			 untold > 1 ? errdetail("So it was with " UINT64_FORMAT " others, of which nothing was said.",
									untold - 1) : 0,
			 errhint("The detector is enforced with on_error => 'fail_open'; streamproc.shields "
					 "counts such rows."),
			 errtable(rel)));
}

/* The same; what goes wrong lets the row pass. */
static bool
judge_openly(Known *k, Relation rel, HeapTuple tuple)
{
	MemoryContext oldcontext = CurrentMemoryContext;
	ResourceOwner oldowner = CurrentResourceOwner;
	volatile bool found = false;
	ErrorData  *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(oldcontext);
	PG_TRY();
	{
		found = judge(k, rel, tuple);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(oldcontext);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(oldcontext);
	CurrentResourceOwner = oldowner;
	if (error == NULL)
		return found;
	if (is_fatal_to_all(error))
		ReThrowError(error);
	note_unjudged(k, rel, error);
	return false;
}

/* ---- the trigger ---- */

static void
reject(Known *k, Relation rel)
{
	const SpDetectorDef *detector = sp_shield_def(k->shield);
	char	   *detail = sp_shield_describe(k->shield);
	bool		heard = sp_enforce_is_heard();	/* before the report: it would not know of it later */

	sp_shield_report(k->shield, true);
	ereport(ERROR,
			(errcode(ERRCODE_CHECK_VIOLATION),
			 errmsg("new row for relation \"%s\" was refused by detector %s",
					RelationGetRelationName(rel), detector->o.name),
			 errdetail("%s", detail),
			 heard ?
			 errhint("The refusal is reported in that table; streamproc.unenforce() lets such rows in.") :
			 errhint("The refusal may go unreported, for the worker has no replication slot yet; "
					 "streamproc.unenforce() lets such rows in."),
			 errtableconstraint(rel, get_rel_name(detector->o.relid))));
}

static void
flag(Known *k, Relation rel)
{
	const SpDetectorDef *detector = sp_shield_def(k->shield);

	if (sp_shield_in_cooldown(k->shield))
		return;
	ereport(WARNING,
			(errcode(ERRCODE_CHECK_VIOLATION),
			 errmsg("new row for relation \"%s\" was flagged by detector %s",
					RelationGetRelationName(rel), detector->o.name),
			 errdetail("%s", sp_shield_describe(k->shield)),
			 errhint("The row is in; the alert follows in that table."),
			 errtable(rel)));
}

/* The row, or NULL: it isn't to be inserted. */
static HeapTuple
act(Known *k, Relation rel, HeapTuple tuple)
{
	switch (k->def.action)
	{
		case SP_ACTION_REJECT:
			reject(k, rel);
			break;
		case SP_ACTION_FLAG:
			flag(k, rel);
			break;
		case SP_ACTION_QUARANTINE:
			sp_quarantine_add(k->quarantine, k->shield, k->values, k->nulls);
			return NULL;
	}
	return tuple;
}

/* The detector's number, the trigger's argument. */
static int32
get_id(const Trigger *trigger)
{
	return trigger->tgnargs == 1 ? pg_strtoint32(trigger->tgargs[0]) : 0;
}

Datum
sp_shield_trigger(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	bool		found;
	Known	   *k;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BEFORE(trigger->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigger->tg_event) || !TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" must be called BEFORE INSERT FOR EACH ROW", "shield")));
	sp_shield_state_relax();
	k = get_known(get_id(trigger->tg_trigger), trigger->tg_relation);
	found = k->def.fail_open ?
		judge_openly(k, trigger->tg_relation, trigger->tg_trigtuple) :
		judge(k, trigger->tg_relation, trigger->tg_trigtuple);
	PG_RETURN_POINTER(found ? act(k, trigger->tg_relation, trigger->tg_trigtuple) :
					  trigger->tg_trigtuple);
}
