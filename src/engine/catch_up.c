/*
 * catch_up.c
 *	  An object whose history is in: what was kept meanwhile, and publication.
 *
 * The object stands on a stream of its own, the shadow, which shows the clock as it was
 * after each commit, and at least as late as history has made it.  Kept commits are applied
 * a slice at a time; when nothing is left, and the worker has read as far as the helper's
 * snapshot sees, one transaction makes it a running object, on the real stream.
 */
#include "engine/internal.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "base/compat.h"
#include "base/debug.h"
#include "base/shared.h"
#include "catalog/dead_letter.h"
#include "catalog/message.h"
#include "catalog/page.h"
#include "engine/dedup.h"
#include "engine/micro_batch.h"
#include "engine/override.h"
#include "engine/sample.h"
#include "engine/saving.h"
#include "engine/starting.h"
#include "engine/timer.h"
#include "portability/instr_time.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#define SLICE_MS			10
#define WRITE_EVERY_ROWS	20000
#define BEHIND_RETRY_MS		5
#define DISAGREEMENTS		5		/* so often is filled anew */

static inline SpOutput *
object_output(void)
{
	return sp_starting->window ? &sp_starting->window->output : &sp_starting->detector->output;
}


/* Let the definition that the object stands on be that of a running object. */
void
sp_catch_up_follow_definition(void)
{
	SpObjectDef *copy;

	if (sp_starting->window != NULL)
	{
		sp_starting->window_def = *(SpWindowDef *) sp_starting->def;
		sp_starting->window->def = &sp_starting->window_def;
		sp_starting->window->expressions->owner = sp_starting->def->owner;
		copy = &sp_starting->window_def.o;
	}
	else
	{
		sp_starting->detector_def = *(SpDetectorDef *) sp_starting->def;
		sp_starting->detector->def = &sp_starting->detector_def;
		sp_starting->detector->expressions->owner = sp_starting->def->owner;
		copy = &sp_starting->detector_def.o;
	}
	copy->state = SP_STATE_RUNNING;
	copy->start_lsn = InvalidXLogRecPtr;
}

/* The dedup memory of the shadow, which has history as well; NULL: there is none. */
static inline SpDedup *
shadow_dedup(void)
{
	return sp_starting->reads_window ? NULL : sp_starting->shadow->dedup;
}

/*
 * What the shadow rejects and the real stream doesn't, for it doesn't know history yet, is
 * written with the object's output, and becomes the stream's at publication.
 */
static void
direct_dead_letters(void)
{
	SpDedup    *d = shadow_dedup();

	if (d != NULL)
		d->output = sp_starting_stream()->dedup->has_history ? &sp_starting->shadow->output :
			object_output();
}

/* Open the object on a stream of its own, with the state that the helper has left. */
void
sp_catch_up_open(void)
{
	SpObjectDef *def = sp_starting->def;
	SpWindow   *upstream = sp_starting_upstream();
	SpStream   *s = sp_starting_stream();

	if (upstream == NULL || def->kind == SP_WINDOW)
	{
		sp_starting->shadow = sp_registry_open_stream(s->def);
		sp_starting->shadow->output.replaying = true;	/* its dead letters are the real one's */
		sp_starting->shadow->output.output_lsn = PG_UINT64_MAX;
		if (shadow_dedup() != NULL)
			sp_checkpoint_load_dedup(sp_starting->shadow, def->id);
		sp_pipeline_raise_clock(sp_starting->shadow, sp_starting->max_time, sp_starting->watermark);
		sp_pipeline_raise_clock(sp_starting->shadow, sp_starting->history_max,
								sp_clock_behind(sp_starting->history_max, s->def->watermark_us));
	}
	if (def->kind == SP_WINDOW)
	{
		sp_starting->window = sp_window_open((SpWindowDef *) def, sp_starting->shadow, upstream);
		if (upstream == NULL)
			sp_registry_need_attributes(sp_starting->shadow, sp_starting->window->expressions);
		sp_starting->shadow->windows = sp_registry_append(NIL, sp_starting->window);
		sp_checkpoint_load_window(sp_starting->window);
	}
	else
	{
		sp_starting->detector = sp_detector_open((SpDetectorDef *) def, sp_starting->shadow,
											  upstream);
		if (sp_starting->shadow != NULL)
		{
			sp_registry_need_attributes(sp_starting->shadow, sp_starting->detector->expressions);
			sp_starting->shadow->detectors = sp_registry_append(NIL, sp_starting->detector);
		}
		sp_checkpoint_load_detector(sp_starting->detector);
	}
	sp_catch_up_follow_definition();
	object_output()->output_lsn = sp_engine.upto;
	direct_dead_letters();
}

/* ---- catching up ---- */

/*
 * The shadow has judged the commit's rows.  It knows what the real stream knows, once that
 * has history, so that they can disagree only where the snapshot saw a commit, but not a
 * duplicate of its rows that was committed before: another snapshot sees both.
 */
static void
check_duplicates(SpDedup *d)
{
	const SpStream *s = sp_starting_stream();

	sp_dedup_advance(d, sp_clock_behind(sp_starting->event.max_time, s->def->watermark_us));
	if (sp_starting->skip || !s->dedup->has_history || !s->def->late_dead_letter ||
		d->admitted == sp_starting->event.admitted ||
		sp_engine.activation_failures > DISAGREEMENTS)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("duplicates were committed just when the history of %s was cut off",
					sp_starting->def->name)));
}

/* The event being applied is complete: the clock moves, windows close. */
static void
finish_event(void)
{
	if (!sp_starting->in_event)
		return;
	sp_starting->in_event = false;
	if (sp_starting->shadow == NULL)
	{
		sp_timer_advance_to(sp_starting->detector, sp_starting->event.watermark,
							sp_starting->event.lsn);
		/* of an event that seals rows several are kept: the last one has the clock */
		if (sp_starting->event.max_time != PG_INT64_MIN)
			sp_micro_advance(sp_starting->detector, sp_starting->event.time);
		return;
	}
	if (shadow_dedup() != NULL)
		check_duplicates(shadow_dedup());
	sp_pipeline_raise_clock(sp_starting->shadow, sp_starting->event.max_time, sp_starting->event.watermark);
	sp_pipeline_close_windows(sp_starting->shadow, sp_starting->event.lsn, sp_starting->event.time);
}

static void
begin_event(const SpKeptEvent *event)
{
	finish_event();
	sp_starting->event = *event;
	sp_starting->in_event = true;
	sp_starting->skip = sp_starting_in_history(event->xid);
	if (sp_starting->shadow == NULL)
		return;
	sp_starting->shadow->txn_max = PG_INT64_MIN;
	sp_starting->shadow->txn_ordinal = 0;
	sp_starting->shadow->txn_retracts = true;	/* not known here */
	if (shadow_dedup() != NULL)
		shadow_dedup()->admitted = 0;
}

/* Rows of a window that were sealed. */
static void
apply_results(const SpChunk *chunk)
{
	SpWindow   *w = sp_starting_upstream();
	SpRowCursor cursor;
	SpRowSet	rows;

	MemoryContextReset(sp_engine.rowset_context);
	sp_rowset_init(&rows, sp_engine.rowset_context, w->result_desc->natts, chunk->nrows);
	rows.first_ordinal = sp_starting->event.first_ordinal;
	rows.lsn = sp_starting->event.lsn;
	rows.commit_time = sp_starting->event.time;
	rows.time_type = w->stream->def->time_type;
	rows.zone = w->stream->zone;
	rows.desc = w->result_desc;
	sp_row_begin(&cursor, chunk);
	while (rows.n < chunk->nrows &&
		   sp_row_next(&cursor, rows.natts, rows.values + (Size) rows.n * rows.natts,
					   rows.nulls + (Size) rows.n * rows.natts))
	{
		sp_rowset_set_result_time(&rows, rows.n, w);
		rows.n++;
	}
	if (sp_starting->window != NULL)
		sp_window_apply(sp_starting->window, &rows);
	else
		sp_detector_apply(sp_starting->detector, &rows);
}

/* What is set for a key, unless the snapshot has seen it. */
static void
apply_setting(const SpChunk *chunk)
{
	if (!sp_starting->skip && sp_starting->detector != NULL)
		sp_override_apply(sp_starting->detector, (const SpSetting *) chunk,
						  sp_starting->event.lsn);
}

/* Apply what was kept for a while; true when nothing is left. */
static bool
apply_kept(void)
{
	instr_time	begin;
	const SpChunk *chunk;

	INSTR_TIME_SET_CURRENT(begin);
	while ((chunk = sp_kept_next(sp_starting->kept)) != NULL)
	{
		instr_time	spent;

		if (chunk->relid == InvalidOid && chunk->magic != SP_CHUNK_SETTING)
			begin_event((const SpKeptEvent *) chunk);
		else if (chunk->magic == SP_CHUNK_SETTING)
			apply_setting(chunk);
		else if (!sp_starting->skip && sp_starting->reads_window)
			apply_results(chunk);
		else if (!sp_starting->skip)
		{
			SpEvent		event = {.kind = SP_EVENT_COMMIT};

			event.lsn = sp_starting->event.lsn;
			event.xid = sp_starting->event.xid;
			event.commit_time = sp_starting->event.time;
			sp_retract_chunk(sp_starting->shadow, chunk, &event);
		}
		INSTR_TIME_SET_CURRENT(spent);
		INSTR_TIME_SUBTRACT(spent, begin);
		if (INSTR_TIME_GET_MILLISEC(spent) >= SLICE_MS)
			return false;
	}
	finish_event();
	return true;
}

/* Write what has gathered; false when that must wait. */
static bool
write_output(void)
{
	SpOutput   *output = object_output();

	if (sp_output_is_empty(output))
		return true;
	if (sp_write_alone(sp_starting->window, sp_starting->detector))
		return true;
	sp_starting->retry_at = output->retry_at;
	return false;
}

/* ---- publication ---- */

/*
 * The real stream must learn of the history that was read, at a place in the WAL, so that a
 * replay does the same there.  True when it has; else that place is to be reached first.
 */
static bool
raise_real_clock(const SpStream *s)
{
	if (sp_starting->history_max <= s->max_time)
		return true;
	sp_starting->cut_lsn = sp_message_tick(s->def->o.relid, GetCurrentTimestamp(),
										   sp_starting->history_max);
	XLogFlush(sp_starting->cut_lsn);
	sp_shared_raise_lsn(&sp_my_worker->announced_lsn, sp_starting->cut_lsn);
	return false;
}

/*
 * From here on the stream knows history, too: its own memory is part of the shadow's.  In
 * the transaction that publishes the object.  A stream that knows it already keeps what it
 * knows: where late rows are dropped the shadow may have taken others for duplicates, and
 * those that run have seen what the stream has admitted.
 */
static void
hand_over_duplicates(SpStream *s)
{
	if (shadow_dedup() == NULL || s->dedup->has_history)
		return;
	sp_dead_letter_move(sp_starting->id, &s->def->o);
	sp_page_delete_all(s->def->o.id);
	sp_dedup_exchange(s, sp_starting->shadow);
	sp_starting->exchanged = true;
	sp_dedup_replace(s, sp_starting->shadow->dedup);
}

/* And back. */
static void
take_back_duplicates(SpStream *s)
{
	if (!sp_starting->exchanged)
		return;
	sp_dedup_exchange(s, sp_starting->shadow);
	sp_starting->exchanged = false;
	direct_dead_letters();
}

/* Put the object among those that are alive. */
static void
attach(SpStream *s)
{
	SpWindow   *upstream = sp_starting_upstream();

	hand_over_duplicates(s);
	sp_starting->def->state = SP_STATE_RUNNING;
	sp_starting->def->start_lsn = sp_engine.upto;
	if (sp_starting->window != NULL)
	{
		SpWindow   *w = sp_starting->window;

		w->def = (SpWindowDef *) sp_starting->def;
		w->stream = s;
		w->output.output_lsn = sp_engine.upto;
		sp_registry_add_window(w);
	}
	else
	{
		SpDetector *d = sp_starting->detector;

		d->def = (SpDetectorDef *) sp_starting->def;
		d->stream = upstream ? NULL : s;
		d->output.output_lsn = sp_engine.upto;
		if (upstream != NULL)
			sp_sample_attach(upstream, d);
		else
		{
			s->detectors = sp_registry_append(s->detectors, d);
			sp_registry_need_attributes(s, d->expressions);
		}
		sp_engine.detectors = sp_registry_append(sp_engine.detectors, d);
	}
}

/* And back. */
static void
detach(SpStream *s)
{
	take_back_duplicates(s);
	sp_starting->def->state = SP_STATE_NEW;
	if (sp_starting->window != NULL)
	{
		SpWindow   *w = sp_starting->window;

		if (w->upstream != NULL)
			w->upstream->windows = list_delete_ptr(w->upstream->windows, w);
		else
			s->windows = list_delete_ptr(s->windows, w);
		sp_engine.windows = list_delete_ptr(sp_engine.windows, w);
		w->stream = sp_starting->shadow;
	}
	else
	{
		SpDetector *d = sp_starting->detector;

		if (d->window != NULL)
			sp_sample_detach(d->window, d);
		else
			s->detectors = list_delete_ptr(s->detectors, d);
		sp_engine.detectors = list_delete_ptr(sp_engine.detectors, d);
		d->stream = sp_starting->shadow;
	}
	sp_catch_up_follow_definition();
}

/* In the transaction that makes the object a running one. */
static void
publish_in_transaction(void)
{
	/* Who was told that it runs must not find it starting anew, in another order, after a crash. */
	ForceSyncCommit();
	sp_activate_set_running(sp_starting->def);
	/* the stream's own pages are gone with its old memory of duplicates */
	sp_saving_activate(sp_starting->def, sp_engine.upto, sp_starting->exchanged);
	sp_debug_point("before-publish");
}

/* What throws leaves everything as it was. */
static void
publish(void)
{
	SpStream   *s = sp_starting_stream();

	if (shadow_dedup() != NULL)
		sp_saving_finish();
	sp_starting->publishing = true;
	sp_engine_begin();
	sp_engine_limit_waits();
	if (!sp_starting->reads_window)
		sp_registry_refresh_stream(s);
	PG_TRY();
	{
		attach(s);
		publish_in_transaction();
		PopActiveSnapshot();
		CommitTransactionCommand();
	}
	PG_CATCH();
	{
		sp_saving_activated(false);
		detach(s);
		PG_RE_THROW();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(TopMemoryContext);
	sp_saving_activated(true);
	sp_engine.activation_failures = 0;
	if (sp_starting->exchanged)
	{
		MemoryContextDelete(sp_starting->shadow->dedup->context);
		sp_starting->shadow->dedup = NULL;
	}
	/* the object's expressions point to the descriptor that they were made for */
	if (sp_starting->shadow != NULL)
		MemoryContextSetParent(sp_starting->shadow->context,
							   sp_starting->window ? sp_starting->window->context :
							   sp_starting->detector->context);
	sp_starting_end(false);
	sp_activate_soon();			/* others have waited for their turn */
}

/* Apply, write, publish: as far as it goes now. */
void
sp_catch_up(void)
{
	SpStream   *s = sp_starting_stream();
	SpOutput   *output = object_output();
	bool		done;

	sp_debug_point("catching-up");
	sp_starting->publishing = false;
	sp_engine_begin();
	done = apply_kept();
	if (done && sp_starting->shadow != NULL)
	{
		/* what was in the snapshot has moved the clock, too */
		sp_pipeline_raise_clock(sp_starting->shadow, s->max_time, s->watermark);
		sp_pipeline_close_windows(sp_starting->shadow, sp_engine.upto, GetCurrentTimestamp());
	}
	PopActiveSnapshot();
	CommitTransactionCommand();
	MemoryContextSwitchTo(TopMemoryContext);
	sp_failure_raise(sp_starting->id);
	if ((done && sp_engine.upto >= sp_starting->cut_lsn) ||
		sp_output_count(output) >= WRITE_EVERY_ROWS)
	{
		if (!write_output() || !done)
			return;
	}
	if (!done)
		return;
	if (sp_engine.upto < sp_starting->cut_lsn || !raise_real_clock(s))
	{
		sp_starting_retry(BEHIND_RETRY_MS);
		return;
	}
	if (!sp_activate_is_settled())
		sp_activate_write_all(sp_engine.upto);
	if (!sp_activate_is_settled())
		sp_starting_retry(SP_STARTING_RETRY_MS << Min(sp_starting->postponed++, 5));
	else if (sp_saving_write_ahead(sp_starting->window, sp_starting->detector))
		publish();
}

