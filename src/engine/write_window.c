/*
 * write_window.c
 *	  Result rows of windows to their tables, within the current transaction.
 *
 * What this leaves is right whatever becomes of the transaction: that groups are dirty and pages
 * listed ends after the commit (sp_output_committed()); until then the next attempt writes all
 * of it again.  TIDs are hints.
 */
#include "engine/internal.h"

#include "base/compat.h"
#include "engine/writer.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#define PAGES_AT_ONCE	(SP_ROWSET_MAX / SP_PAGE_GROUPS)
#define MOST_BACK		32		/* pages brought back, until others are spilled */

/* A window's table that is being written. */
typedef struct WriteWork
{
	SpWindow   *window;
	SpWriter   *writer;
	MemoryContext context;
	MemoryContext rows_context; /* of result rows, SP_ROWSET_MAX at a time */
	Datum	   *values;
	bool	   *nulls;
} WriteWork;

/* The result row of one group, which is in the slot. */
static void
write_group(SpWindow *w, SpWriter *writer, SpGroup *group)
{
	bool		may_exist = w->output.lookup || w->output.failures > 0 ||
		(group->flags & SP_GROUP_WRITTEN) != 0;

	sp_writer_set_lookup(writer, may_exist);
	if (!(group->flags & (SP_GROUP_GONE | SP_GROUP_ABSENT)))
		sp_writer_upsert(writer, &group->tid);
	else if (may_exist || ItemPointerIsValid(&group->tid))
		sp_writer_delete(writer, &group->tid);
}

/* Those of so many. */
static void
write_groups(WriteWork *work, SpGroup **groups, int n)
{
	SpWindow   *w = work->window;
	TupleTableSlot *slot;
	int			i;

	CHECK_FOR_INTERRUPTS();
	MemoryContextSwitchTo(work->rows_context);
	sp_result_rows(w, groups, n, work->values, work->nulls);
	MemoryContextSwitchTo(work->context);
	for (i = 0; i < n; i++)
	{
		slot = sp_writer_slot(work->writer);
		memcpy(slot->tts_values, work->values + (Size) i * w->natts, sizeof(Datum) * w->natts);
		memcpy(slot->tts_isnull, work->nulls + (Size) i * w->natts, sizeof(bool) * w->natts);
		ExecStoreVirtualTuple(slot);
		write_group(w, work->writer, groups[i]);
	}
	MemoryContextReset(work->rows_context);
}

/* The groups of a page that are written with it; it is brought back for that. */
static int
gather_page(SpGroups *set, SpPage *page, SpGroup **groups, int *nback)
{
	int			n = 0;
	int			i;

	if (page->spilled_size > 0)
	{
		sp_spill_bring_page(set, page);
		(*nback)++;
	}
	page->touched = false;		/* it is not needed soon */
	for (i = 0; i < SP_PAGE_GROUPS; i++)
	{
		SpGroup    *group = sp_page_group(set, page, i);

		if (group != NULL && !(group->flags & SP_GROUP_DIRTY))
			groups[n++] = group;
	}
	return n;
}

/* Pages that are listed as a whole; returns of how many groups. */
static uint64
write_pages(WriteWork *work)
{
	SpOutput   *output = &work->window->output;
	SpGroup    *groups[SP_ROWSET_MAX];
	int			nback = 0;
	uint64		written = 0;
	int			i = 0;

	while (i < output->npages)
	{
		int			end = Min(i + PAGES_AT_ONCE, output->npages);
		int			n = 0;

		for (; i < end; i++)
			n += gather_page(output->window->result_groups, output->pages[i], groups + n, &nback);
		write_groups(work, groups, n);
		written += n;
		if (nback < MOST_BACK)
			continue;
		/* rows that wait have TIDs to set in groups that may go */
		sp_writer_flush(work->writer);
		sp_spill_run();
		nback = 0;
	}
	return written;
}

/* Changed result rows of a window; returns how many. */
uint64
sp_write_window_groups(SpWindow *w)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "streamproc write",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	WriteWork	work = {w};
	uint64		n = w->output.ngroups;
	int			i;

	work.writer = sp_writer_open(w->def->o.relid, w->natts, w->types,
								 w->nresult_keys, w->result_keys);
	work.context = context;
	work.rows_context = AllocSetContextCreate(context, "streamproc rows", ALLOCSET_DEFAULT_SIZES);
	work.values = palloc(sizeof(Datum) * w->natts * SP_ROWSET_MAX);
	work.nulls = palloc(sizeof(bool) * w->natts * SP_ROWSET_MAX);
	sp_writer_log(work.writer, w->def->changes, sp_starting_position(&w->def->o));
	sp_output_sort(&w->output);
	for (i = 0; i < w->output.ngroups; i += SP_ROWSET_MAX)
		write_groups(&work, w->output.groups + i, Min(SP_ROWSET_MAX, w->output.ngroups - i));
	if (w->output.npages > 0)
		n += write_pages(&work);
	sp_writer_close(work.writer);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return n;
}

/* Result rows of a window that answers each row. */
uint64
sp_write_window_inserts(SpWindow *w)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "streamproc write",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	SpWriter   *writer = sp_writer_open(w->def->o.relid, w->natts, w->types,
										w->retracts ? w->nresult_keys : 0, w->result_keys);

	sp_writer_log(writer, w->def->changes, sp_starting_position(&w->def->o));
	sp_inserts_write(&w->output, writer);
	sp_writer_close(writer);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return w->output.ninserts;
}
