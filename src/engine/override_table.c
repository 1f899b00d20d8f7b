/*
 * override_table.c
 *	  What is set for a single key, read from the table of overrides: for sessions, which have
 *	  not what the worker keeps of it.
 *
 * The table's lock is given back at once, so that whoever alters or drops it doesn't wait for
 * transactions that have looked.
 */
#include "engine/override.h"

#include "access/relation.h"
#include "access/tableam.h"
#include "catalog/lookup.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/rel.h"

/* The columns behind the keys that count. */
enum
{
	THRESHOLD,
	DIRECTION,
	MUTED,
	FALSE_POSITIVES,
	TRUE_POSITIVES,
	NVALUES
};

static const char *const value_names[NVALUES] = {
	"threshold", "direction", "muted", "false_positives", "true_positives"
};
static const Oid value_types[NVALUES] = {FLOAT8OID, TEXTOID, BOOLOID, INT8OID, INT8OID};

static void
refuse_altered(const SpDetector *d, Relation rel)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("table \"%s\" no longer has the columns it was created with",
					RelationGetRelationName(rel)),
			 errdetail("It holds the overrides of detector %s.", d->def->o.name),
			 errhint("Create the detector again, with replace => true.")));
}

/* Where the columns are, whose owner may have altered the table. */
static void
find_columns(const SpDetector *d, Relation rel, AttrNumber *attnums)
{
	TupleDesc	desc = RelationGetDescr(rel);

	memset(attnums, 0, sizeof(AttrNumber) * NVALUES);
	if (rel->rd_rel->relkind != RELKIND_RELATION)
		refuse_altered(d, rel);
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (i < d->def->nkeys && (att->attisdropped || att->atttypid != d->overrides.keys[i].type))
			refuse_altered(d, rel);
		for (int v = 0; i >= d->def->nkeys && !att->attisdropped && v < NVALUES; v++)
		{
			if (att->atttypid == value_types[v] &&
				strcmp(NameStr(att->attname), value_names[v]) == 0)
				attnums[v] = i + 1;
		}
	}
	for (int v = 0; v < NVALUES; v++)
	{
		if (attnums[v] == 0)
			refuse_altered(d, rel);
	}
}

/* What a row of the table sets. */
static void
read_row(const SpDetector *d, TupleTableSlot *slot, const AttrNumber *attnums, SpOverride *o)
{
	Datum		values[NVALUES];
	bool		nulls[NVALUES];

	for (int v = 0; v < NVALUES; v++)
		values[v] = slot_getattr(slot, attnums[v], &nulls[v]);
	o->threshold = nulls[THRESHOLD] ? get_float8_nan() : DatumGetFloat8(values[THRESHOLD]);
	o->direction = nulls[DIRECTION] ? SP_DIRECTION_OWN :
		sp_override_direction(TextDatumGetCString(values[DIRECTION]));
	o->muted = !nulls[MUTED] && DatumGetBool(values[MUTED]);
	o->false_positives = nulls[FALSE_POSITIVES] ? 0 : DatumGetInt64(values[FALSE_POSITIVES]);
	o->true_positives = nulls[TRUE_POSITIVES] ? 0 : DatumGetInt64(values[TRUE_POSITIVES]);
	sp_override_clean(d, o);
}

/* Read the table, which is open. */
static bool
look_at(SpDetector *d, Relation rel, const Datum *keys, const bool *nulls, Snapshot snapshot,
		SpOverride *o)
{
	AttrNumber	attnums[NVALUES];
	TupleTableSlot *slot;
	bool		found;

	find_columns(d, rel, attnums);
	slot = table_slot_create(rel, NULL);
	found = sp_lookup_row(rel, d->def->nkeys, keys, nulls, snapshot, slot);
	if (found)
		read_row(d, slot, attnums, o);
	ExecDropSingleTupleTableSlot(slot);
	return found;
}

bool
sp_override_look_up(SpDetector *d, const Datum *keys, const bool *nulls, Snapshot snapshot,
					SpOverride *o)
{
	SpUserContext user;
	Relation	rel;
	bool		found;

	if (!OidIsValid(d->def->overrides))
		return false;
	rel = try_relation_open(d->def->overrides, AccessShareLock);
	if (rel == NULL)
		return false;
	if (!d->overrides.builtin)
		sp_user_enter(&user, d->def->o.owner, list_make1("search_path=pg_catalog, pg_temp"));
	found = look_at(d, rel, keys, nulls, snapshot, o);
	if (!d->overrides.builtin)
		sp_user_leave(&user, true);
	relation_close(rel, AccessShareLock);
	return found;
}
