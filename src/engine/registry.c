/*
 * registry.c
 *	  The objects in memory: opening them, finding them, following their definitions.
 *
 * sp_engine.streams, windows and detectors hold what is alive, in order of id.  After a
 * change of definitions every live object points to its new definition, and the context
 * of the old ones is deleted.
 */
#include "engine/internal.h"

#include "access/table.h"
#include "base/compat.h"
#include "catalog/page.h"
#include "catalog/pg_type.h"
#include "catalog/progress.h"
#include "commands/defrem.h"
#include "engine/dedup.h"
#include "engine/sample.h"
#include "engine/saving.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

/* The live stream of a relation, or NULL. */
SpStream *
sp_registry_find_stream(Oid relid)
{
	ListCell   *lc;

	foreach(lc, sp_engine.streams)
	{
		SpStream   *s = lfirst(lc);

		if (s->def->o.relid == relid)
			return s;
	}
	return NULL;
}

/* The live window with that result table, or NULL. */
SpWindow *
sp_registry_find_window(Oid relid)
{
	ListCell   *lc;

	foreach(lc, sp_engine.windows)
	{
		SpWindow   *w = lfirst(lc);

		if (w->def->o.relid == relid)
			return w;
	}
	return NULL;
}

/*
 * A relation as the catalogs show it, without a lock, to be given back by RelationClose():
 * somebody who alters one of an object's tables for long must stop neither the worker's
 * start nor the other objects.  What comes of that is found when the object is used.
 */
Relation
sp_registry_look_at(Oid relid)
{
	Relation	rel = RelationIdGetRelation(relid);

	if (rel == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation %u was dropped", relid)));
	return rel;
}

/* The quoted, qualified name of a relation, which may have been dropped meanwhile. */
char *
sp_registry_relation_name(Oid relid)
{
	char	   *name = get_rel_name(relid);

	if (name == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation %u was dropped", relid)));
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)), name);
}

/* Bring a stream to life, without state.  Needs a transaction. */
SpStream *
sp_registry_open_stream(SpStreamDef *def)
{
	MemoryContext context = AllocSetContextCreate(sp_engine.context, "streamproc stream",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	SpStream   *s = palloc0(sizeof(SpStream));
	Relation	rel = sp_registry_look_at(def->o.relid);

	s->context = context;
	s->def = def;
	s->desc = CreateTupleDescCopy(RelationGetDescr(rel));
	s->is_stream_table = OidIsValid(rel->rd_rel->relam) &&
		strcmp(get_am_name(rel->rd_rel->relam), "streamproc") == 0;
	s->partitioned = rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE;
	RelationClose(rel);
	if (def->time_type != TIMESTAMPTZOID)
		s->zone = sp_tumbling_zone(def->time_zone);
	s->max_attnum = def->time_attnum;
	if (def->time_attnum > 0)
		s->attributes = bms_make_singleton(def->time_attnum);
	s->max_time = PG_INT64_MIN;
	s->watermark = SP_NO_WATERMARK;
	sp_output_init(&s->output, context);
	if (def->ndedup > 0)
		s->dedup = sp_dedup_open(s);
	MemoryContextSwitchTo(old);
	return s;
}

/*
 * The table may have been altered since the stream came to life: columns have other names,
 * there are more of them.  Numbers and types of those in use stay, as views hold them.
 * Objects that are alive keep the descriptor they know.
 */
void
sp_registry_refresh_stream(SpStream *s)
{
	Relation	rel = table_open(s->def->o.relid, AccessShareLock);
	MemoryContext old = MemoryContextSwitchTo(s->context);

	if (!equalTupleDescs(s->desc, RelationGetDescr(rel)))
		s->desc = CreateTupleDescCopy(RelationGetDescr(rel));
	MemoryContextSwitchTo(old);
	/* keep the lock: names must not change before they are used */
	table_close(rel, NoLock);
}

/* Does a result table begin with these columns?  An error when somebody has altered it. */
void
sp_registry_check_result(const SpObjectDef *o, TupleDesc desc, int natts, const Oid *types)
{
	int			i;

	for (i = 0; i < natts; i++)
	{
		if (i < desc->natts && !TupleDescAttr(desc, i)->attisdropped &&
			TupleDescAttr(desc, i)->atttypid == types[i])
			continue;
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("result table %s no longer has the columns it was created with", o->name),
				 errdetail("Column %d should be of type %s.", i + 1, format_type_be(types[i])),
				 errhint("Create the object again with replace => true.")));
	}
}

/* The attributes that a new object on the stream needs, too. */
void
sp_registry_need_attributes(SpStream *s, const SpExpressions *exprs)
{
	MemoryContext old = MemoryContextSwitchTo(s->context);

	s->max_attnum = Max(s->max_attnum, exprs->max_attnum);
	s->attributes = bms_add_members(s->attributes, exprs->attributes);
	MemoryContextSwitchTo(old);
}

/* Append to a list of live objects, which outlives transactions. */
List *
sp_registry_append(List *list, void *object)
{
	MemoryContext old = MemoryContextSwitchTo(sp_engine.context);

	list = lappend(list, object);
	MemoryContextSwitchTo(old);
	return list;
}

/* Put a window among those that are alive. */
void
sp_registry_add_window(SpWindow *w)
{
	sp_engine.windows = sp_registry_append(sp_engine.windows, w);
	if (w->upstream != NULL)
	{
		w->upstream->windows = sp_registry_append(w->upstream->windows, w);
		return;
	}
	w->stream->windows = sp_registry_append(w->stream->windows, w);
	sp_registry_need_attributes(w->stream, w->expressions);
}

/* A detector is no more. */
void
sp_registry_drop_detector(SpDetector *d)
{
	sp_saving_forget(d->def->o.id);
	sp_engine.detectors = list_delete_ptr(sp_engine.detectors, d);
	if (d->stream != NULL)
		d->stream->detectors = list_delete_ptr(d->stream->detectors, d);
	if (d->window != NULL)
		sp_sample_detach(d->window, d);
	MemoryContextDelete(d->context);
}

/* A window is no more; what reads it is neither. */
void
sp_registry_drop_window(SpWindow *w)
{
	while (w->detectors != NIL)
		sp_registry_drop_detector(linitial(w->detectors));
	while (w->windows != NIL)
		sp_registry_drop_window(linitial(w->windows));
	sp_saving_forget(w->def->o.id);
	sp_engine.windows = list_delete_ptr(sp_engine.windows, w);
	if (w->upstream != NULL)
		w->upstream->windows = list_delete_ptr(w->upstream->windows, w);
	else
		w->stream->windows = list_delete_ptr(w->stream->windows, w);
	MemoryContextDelete(w->context);
}

/* A stream is no more; neither is what hangs on it. */
void
sp_registry_drop_stream(SpStream *s)
{
	while (s->windows != NIL)
		sp_registry_drop_window(linitial(s->windows));
	while (s->detectors != NIL)
		sp_registry_drop_detector(linitial(s->detectors));
	sp_saving_forget(s->def->o.id);
	sp_engine.streams = list_delete_ptr(sp_engine.streams, s);
	MemoryContextDelete(s->context);
}

/* Forget the live object of a definition, if there is one, half made perhaps. */
void
sp_registry_forget(const SpObjectDef *o)
{
	List	   *live[3] = {list_copy(sp_engine.detectors), list_copy(sp_engine.windows),
	list_copy(sp_engine.streams)};
	ListCell   *lc;

	foreach(lc, live[0])
	{
		if (&((SpDetector *) lfirst(lc))->def->o == o)
			sp_registry_drop_detector(lfirst(lc));
	}
	foreach(lc, live[1])
	{
		if (&((SpWindow *) lfirst(lc))->def->o == o)
			sp_registry_drop_window(lfirst(lc));
	}
	foreach(lc, live[2])
	{
		if (&((SpStream *) lfirst(lc))->def->o == o)
			sp_registry_drop_stream(lfirst(lc));
	}
}

/* The same by its number; what reads it goes along. */
void
sp_registry_forget_id(int32 id)
{
	ListCell   *lc;

	foreach(lc, sp_engine.detectors)
	{
		if (((SpDetector *) lfirst(lc))->def->o.id == id)
		{
			sp_registry_drop_detector(lfirst(lc));
			return;
		}
	}
	foreach(lc, sp_engine.windows)
	{
		if (((SpWindow *) lfirst(lc))->def->o.id == id)
		{
			sp_registry_drop_window(lfirst(lc));
			return;
		}
	}
}

/* The definition of that id in a list of definitions, or NULL. */
static SpObjectDef *
find_definition(List *definitions, int32 id)
{
	ListCell   *lc;

	foreach(lc, definitions)
	{
		SpObjectDef *o = lfirst(lc);	/* the first field of each kind */

		if (o->id == id)
			return o;
	}
	return NULL;
}

/* May a live object stay alive under its new definition? */
static bool
stays(const SpObjectDef *o)
{
	return o != NULL && !sp_failure_is(o->id) &&
		(o->state == SP_STATE_RUNNING || o->state == SP_STATE_PAUSED);
}

/* An object is to be built anew, as what it reads is; o: its definition, or NULL. */
static void
renew(int32 id, SpObjectDef *o)
{
	sp_page_delete_all(id);
	sp_progress_delete(id);
	if (o == NULL || o->state != SP_STATE_RUNNING)
		return;
	o->state = SP_STATE_NEW;
	sp_definition_set_state(o->id, SP_STATE_NEW, InvalidXLogRecPtr, NULL);
}

/* A window ends or is to be built anew: what reads it must be, too. */
static void
renew_readers(SpWindow *w, SpDefinitions *defs)
{
	ListCell   *lc;

	foreach(lc, w->detectors)
	{
		int32		id = ((SpDetector *) lfirst(lc))->def->o.id;

		renew(id, find_definition(defs->detectors, id));
	}
	foreach(lc, w->windows)
	{
		SpWindow   *downstream = lfirst(lc);

		renew_readers(downstream, defs);
		renew(downstream->def->o.id, find_definition(defs->windows, downstream->def->o.id));
	}
}

/* How many of an object's requests are met, when that transaction's is the last that was. */
static int
count_met(const SpObjectDef *o, TransactionId last)
{
	int			i;

	for (i = o->nrequests; i > 0 && TransactionIdIsValid(last); i--)
	{
		if (o->request_xids[i - 1] == last)
			return i;
	}
	return 0;
}

/*
 * States that verbs asked for.  Each counts from the commit of its transaction on: this one
 * (xid), or one that was met before and isn't checkpointed yet.
 */
static void
meet_requests(SpDefinitions *defs, TransactionId xid)
{
	List	   *lists[3] = {defs->streams, defs->windows, defs->detectors};
	List	   *old[3] = {NIL, NIL, NIL};
	ListCell   *lc;
	int			i;

	if (sp_engine.definitions != NULL)
	{
		old[0] = sp_engine.definitions->streams;
		old[1] = sp_engine.definitions->windows;
		old[2] = sp_engine.definitions->detectors;
	}
	for (i = 0; i < 3; i++)
	{
		foreach(lc, lists[i])
		{
			SpObjectDef *o = lfirst(lc);
			SpObjectDef *before = find_definition(old[i], o->id);

			if (before != NULL && before->nmet > 0)
				o->nmet = count_met(o, before->request_xids[before->nmet - 1]);
			o->nmet = sp_engine.fresh ? o->nrequests : Max(o->nmet, count_met(o, xid));
			if (o->nmet > 0)
				o->state = o->requests[o->nmet - 1];
		}
	}
}

/*
 * Load the definitions, and let the live objects follow: those that were dropped, or are
 * to be built anew, end; the others take their new definition.  Needs a transaction, in
 * which the pages of those that end are deleted.
 */
void
sp_registry_sync(TransactionId xid)
{
	MemoryContext context = AllocSetContextCreate(sp_engine.context, "streamproc definitions",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	SpDefinitions *defs = sp_definition_load();
	List	   *live;
	ListCell   *lc;
	int			i;

	MemoryContextSwitchTo(old);
	meet_requests(defs, xid);
	live = list_copy(sp_engine.detectors);
	foreach(lc, live)
	{
		SpDetector *d = lfirst(lc);
		SpObjectDef *o = find_definition(defs->detectors, d->def->o.id);

		if (stays(o))
		{
			d->def = (SpDetectorDef *) o;
			d->expressions->owner = o->owner;
			continue;
		}
		sp_page_delete_all(d->def->o.id);
		sp_progress_delete(d->def->o.id);
		sp_registry_drop_detector(d);
	}
	/* windows on windows before those they read, which take them along */
	live = list_copy(sp_engine.windows);
	for (i = list_length(live) - 1; i >= 0; i--)
	{
		SpWindow   *w = list_nth(live, i);
		SpObjectDef *o = find_definition(defs->windows, w->def->o.id);

		if (stays(o))
		{
			w->def = (SpWindowDef *) o;
			w->expressions->owner = o->owner;
			continue;
		}
		renew_readers(w, defs);
		sp_page_delete_all(w->def->o.id);
		sp_progress_delete(w->def->o.id);
		sp_registry_drop_window(w);
	}
	live = list_copy(sp_engine.streams);
	foreach(lc, live)
	{
		SpStream   *s = lfirst(lc);
		SpObjectDef *o = find_definition(defs->streams, s->def->o.id);

		if (stays(o))
		{
			s->def = (SpStreamDef *) o;
			continue;
		}
		sp_page_delete_all(s->def->o.id);
		sp_progress_delete(s->def->o.id);
		sp_registry_drop_stream(s);
	}
	if (sp_engine.definitions_context != NULL)
		MemoryContextDelete(sp_engine.definitions_context);
	sp_engine.definitions_context = context;
	sp_engine.definitions = defs;
	sp_starting_sync();
	sp_report_forget();
}
