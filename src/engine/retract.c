/*
 * retract.c
 *	  Rows that an UPDATE, DELETE or TRUNCATE of the source takes back (on_update 'retract').
 *
 * A row that is taken back is evaluated as it was when it came, finds its windows as it did
 * then, and leaves the groups that it was counted in: the aggregates go back by one row each,
 * and a group without rows ends.  The source is never read; it is ahead of the WAL.
 *
 * What was not counted is not taken back.  A row that a filter left out is left out again; one
 * whose expressions threw throws again, which is not reported twice; one that was late is
 * late again, for a watermark never goes back.  Rows that a transition refused are remembered
 * (refusal.c).  In windows past grace nothing is changed any more: a purge of history doesn't
 * empty the results.  The same holds for what an UPDATE makes of a row: where its windows are
 * past grace it is ignored, and no dead letter, for they have the row as it was.
 *
 * The WAL has only the columns of the table's replica identity of old rows.  Where that
 * lacks one that an object needs, the object has failed, for its numbers would be wrong.
 */
#include "engine/internal.h"

#include "base/compat.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

/* A row changes nothing, as its windows are past grace, or never had it. */
void
sp_retract_ignore(SpWindow *w)
{
	w->ignored++;
	w->groups.any_dirty = true; /* the count is part of the state */
}

/* ---- columns that the WAL doesn't have ---- */

/* A column that is used and not known of the rows; 0: there is none. */
static AttrNumber
find_unknown(const SpRowSet *rows, const Bitmapset *attributes, bool whole_row)
{
	int			attnum = -1;

	if (rows->unknown == NULL)
		return 0;
	while ((attnum = bms_next_member(rows->unknown, attnum)) >= 0)
	{
		if (whole_row || bms_is_member(attnum, attributes))
			return attnum;
	}
	return 0;
}

/* Why an object can't go on. */
static const char *
describe_unknown(const SpStream *s, const SpRowSet *rows, AttrNumber attnum)
{
	return psprintf("a row of %s was %s, and the WAL doesn't have its column \"%s\": "
					"ALTER TABLE %s REPLICA IDENTITY FULL, then resume()", s->def->o.name,
					rows->retract ? "updated or deleted" : "updated",
					NameStr(TupleDescAttr(s->desc, attnum - 1)->attname),
					sp_registry_relation_name(rows->chunk->relid));
}

/* Whatever takes what comes with the event at lsn has failed. */
static void
fail_readers(SpStream *s, XLogRecPtr lsn, const char *reason)
{
	ListCell   *lc;

	foreach(lc, s->windows)
	{
		SpWindow   *w = lfirst(lc);

		if (sp_clock_takes(&w->def->o, lsn))
			sp_failure_window(w, reason);
	}
	foreach(lc, s->detectors)
	{
		SpDetector *d = lfirst(lc);

		if (sp_clock_takes(&d->def->o, lsn))
			sp_failure_detector(d, reason);
	}
}

/* The stream's relation was changed, which on_update 'error' was to prevent. */
void
sp_retract_refuse(SpStream *s, XLogRecPtr lsn)
{
	fail_readers(s, lsn, psprintf("%s was updated, deleted from or truncated, though its "
								  "on_update is \"error\"", s->def->o.name));
	sp_starting_break(s);
}

/* Is all known that the stream needs of its rows?  If not, nobody can go on. */
bool
sp_retract_knows_time(SpStream *s, const SpRowSet *rows)
{
	AttrNumber	attnum = s->def->time_attnum;

	if (attnum == 0 || !bms_is_member(attnum, rows->unknown))
		return true;
	fail_readers(s, rows->lsn, describe_unknown(s, rows, attnum));
	return false;
}

/* Is all known that the window needs?  If not, it has failed. */
bool
sp_retract_window_knows(SpWindow *w, const SpRowSet *rows)
{
	AttrNumber	attnum = find_unknown(rows, w->expressions->attributes,
									  w->expressions->whole_row);

	if (attnum == 0)
		return true;
	sp_failure_window(w, describe_unknown(w->stream, rows, attnum));
	return false;
}

/* The same for a detector. */
bool
sp_retract_detector_knows(SpDetector *d, const SpRowSet *rows)
{
	AttrNumber	attnum = find_unknown(rows, d->expressions->attributes,
									  d->expressions->whole_row);

	if (attnum == 0)
		return true;
	sp_failure_detector(d, describe_unknown(d->stream, rows, attnum));
	return false;
}

/* ---- rows ---- */

/* Rows of one chunk, as they were: detectors don't look back. */
static void
take_back(SpStream *s, SpRowSet *rows)
{
	ListCell   *lc;

	if (!sp_retract_knows_time(s, rows))
		return;
	foreach(lc, s->windows)
	{
		SpWindow   *w = lfirst(lc);

		if (sp_clock_takes(&w->def->o, rows->lsn) && sp_retract_window_knows(w, rows))
			sp_window_apply(w, rows);
	}
}

/* The stream's relation was truncated, or a part of it, of whose rows nothing is known. */
static void
truncate_stream(SpStream *s, const SpChunk *chunk, const SpEvent *event)
{
	ListCell   *lc;

	foreach(lc, s->windows)
	{
		SpWindow   *w = lfirst(lc);

		if (!sp_clock_takes(&w->def->o, event->lsn))
			continue;
		if (chunk->relid == s->def->o.relid)
			w->ops->truncate(w);
		else
			sp_failure_window(w, psprintf("partition %s of its source was truncated by itself, "
										  "and the WAL doesn't have its rows: resume() reads "
										  "the source again",
										  sp_registry_relation_name(chunk->relid)));
	}
}

/* A chunk of a stream's rows, whatever has become of them. */
void
sp_retract_chunk(SpStream *s, const SpChunk *chunk, const SpEvent *event)
{
	switch (chunk->magic)
	{
		case SP_CHUNK_TRUNCATED:
			s->txn_changed = true;
			truncate_stream(s, chunk, event);
			break;
		case SP_CHUNK_RETRACTED:
			s->txn_changed = true;
			sp_rowset_each(s, chunk, event, take_back);
			break;
		default:
			sp_rowset_each(s, chunk, event, sp_pipeline_stream_rows);
			break;
	}
}

/* ---- groups ---- */

/* What leave_groups() works on. */
typedef struct LeaveWork
{
	SpWindow   *window;
	SpRowSet   *rows;
	SpEvaluated *ev;
	const SpPlacement *placements;
	int			n;
	const char *problem;		/* a native aggregate's */
} LeaveWork;

/* One placement of a row; false: there is no such group. */
static bool
leave_group(LeaveWork *work, const SpPlacement *p)
{
	SpWindow   *w = work->window;
	SpGroup    *group = sp_window_find(w, work->ev, p);
	NullableDatum args[SP_MAX_AGG_ARGS];
	int			a,
				j;

	if (group == NULL || sp_window_tally(w, group)->rows == 0)
		return false;
	for (a = 0; a < w->naggs; a++)
	{
		const char *message;
		int			sqlstate = 0;

		if (!sp_window_takes(w, work->ev, a, p->row))
			continue;
		for (j = 0; j < sp_aggregate_nargs(w->aggs[a]); j++)
			args[j] = work->ev->result[w->agg_first_arg[a] + j][p->row];
		message = sp_aggregate_retract(w->aggs[a],
									   sp_group_value(&w->groups, group) + w->agg_offset[a],
									   args, &sqlstate);
		if (message != NULL)
			work->problem = message;
	}
	if (--sp_window_tally(w, group)->rows == 0 && w->panes == NULL)
		sp_output_gone(w, group);
	else
		w->ops->changed(w, group);
	return true;
}

/* For sp_run_guarded(), and where nothing throws.  Placements of one row follow each other. */
static void
leave_groups(void *arg)
{
	LeaveWork  *work = arg;
	SpWindow   *w = work->window;
	int			i,
				j;

	for (i = 0; i < work->n && work->problem == NULL; i = j)
	{
		const SpPlacement *p = &work->placements[i];
		bool		any = false;
		bool		refused;

		for (j = i + 1; j < work->n && work->placements[j].row == p->row; j++)
			;
		refused = sp_refusal_take(w, work->rows, work->ev, p->row);
		for (; !refused && p < &work->placements[j]; p++)
			any |= leave_group(work, p);
		if (any)
			w->retracted++;
		else
			sp_retract_ignore(w);
	}
}

/*
 * Let rows leave the groups that they were placed in.  What throws has no row to blame that
 * could be left out: without the row's going back the numbers are wrong, and the window has
 * failed.
 */
void
sp_retract_place(SpWindow *w, SpRowSet *rows, SpEvaluated *ev, const SpPlacement *p, int n)
{
	LeaveWork	work = {w, rows, ev, p, n};
	ErrorData  *error;

	if (w->native)
		leave_groups(&work);
	else if (!sp_run_guarded(w->expressions, rows->context, leave_groups, &work, &error))
		work.problem = error->message;
	if (work.problem != NULL)
		sp_failure_window(w, psprintf("a row can't be taken back: %s", work.problem));
}
