/*
 * pipeline.c
 *	  Events through streams: rows to windows and detectors, and time.
 *
 * All that a row can depend on is decided commit by commit, in the order of the WAL, so
 * that batching, restarts and replays give the same answers.  The watermark moves only
 * at the end of a commit (or at a tick); windows close then.
 */
#include "engine/internal.h"

#include "access/xact.h"
#include "base/compat.h"
#include "common/int.h"
#include "engine/dedup.h"
#include "engine/micro_batch.h"
#include "engine/override.h"
#include "engine/timer.h"
#include "utils/timestamp.h"

/* The stream of a relation, or NULL. */
static SpStream *
find_stream(Oid relid)
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

/* The stream's clock may have moved: what reads it follows. */
void
sp_pipeline_close_windows(SpStream *s, XLogRecPtr lsn, TimestampTz time)
{
	ListCell   *lc;

	foreach(lc, s->windows)
	{
		SpWindow   *w = lfirst(lc);

		if (sp_clock_takes(&w->def->o, lsn))
			sp_clock_advance(w, lsn, time);
	}
	foreach(lc, s->detectors)
	{
		SpDetector *d = lfirst(lc);

		if (!sp_clock_takes(&d->def->o, lsn))
			continue;
		sp_timer_advance(d, lsn);
		sp_micro_advance(d, time);
	}
}

/* Rows of one chunk; the largest time that may move the watermark is noted on the way. */
void
sp_pipeline_stream_rows(SpStream *s, SpRowSet *rows)
{
	int64		limit = sp_time_from_utc(rows->commit_time, s->def->time_type, s->zone);
	ListCell   *lc;
	int			i;

	if (!sp_retract_knows_time(s, rows))
		return;
	if (pg_add_s64_overflow(limit, s->def->max_future_us, &limit))
		limit = PG_INT64_MAX - 1;
	for (i = 0; i < rows->n; i++)
	{
		if (rows->no_time[i])
			sp_output_dead(&s->output, rows, i, "null_time", "22004",
						   "the event time is null");
		else if (rows->time[i] > s->txn_max && rows->time[i] <= limit)
			s->txn_max = rows->time[i];
	}
	if (s->dedup != NULL)
		sp_dedup_apply(s, rows);
	foreach(lc, s->windows)
	{
		SpWindow   *w = lfirst(lc);

		if (sp_clock_takes(&w->def->o, rows->lsn) && sp_retract_window_knows(w, rows))
			sp_window_apply(w, rows);
	}
	foreach(lc, s->detectors)
	{
		SpDetector *d = lfirst(lc);

		if (sp_clock_takes(&d->def->o, rows->lsn) && sp_retract_detector_knows(d, rows))
			sp_detector_apply(d, rows);
	}
	sp_spill_run();
}

/* Time never goes back. */
void
sp_pipeline_raise_clock(SpStream *s, int64 max_time, int64 watermark)
{
	s->max_time = Max(s->max_time, max_time);
	s->watermark = Max(s->watermark, watermark);
}

/* A transaction's rows are in. */
static void
end_commit(SpStream *s, const SpEvent *event)
{
	s->rows += s->txn_ordinal;
	s->changed = true;
	if (s->txn_ordinal > 0)
	{
		s->last_input = Max(s->last_input, event->commit_time);
		s->tick_sent = 0;
	}
	if (s->txn_max > s->max_time)
	{
		s->max_time = s->txn_max;
		s->watermark = Max(s->watermark, sp_clock_behind(s->max_time, s->def->watermark_us));
	}
	if (s->dedup != NULL)
		sp_dedup_advance(s->dedup, sp_clock_behind(s->max_time, s->def->watermark_us));
	sp_pipeline_close_windows(s, event->lsn, event->commit_time);
	sp_starting_keep_commit(s, event);
}

/* Changes other than INSERT.  Where none was to be, nobody can go on. */
static void
count_other_changes(const SpEvent *event)
{
	int			i;

	for (i = 0; i < event->nother; i++)
	{
		const SpOtherChanges *other = &event->other[i];
		SpStream   *s = find_stream(other->source);

		if (s == NULL || event->lsn < s->def->o.start_lsn)
			continue;
		s->updates += other->updates;
		s->deletes += other->deletes;
		s->truncates += other->truncates;
		s->changed = true;
		if (s->def->on_update == SP_ON_UPDATE_ERROR)
			sp_retract_refuse(s, event->lsn);
	}
}

/* Was the stream's relation changed by other means than INSERT? */
static bool
has_other_changes(const SpEvent *event, const SpStream *s)
{
	int			i;

	for (i = 0; i < event->nother; i++)
	{
		if (event->other[i].source == s->def->o.relid)
			return true;
	}
	return false;
}

/* The rows of a committed transaction, in the order written. */
static void
apply_commit(SpEvent *event)
{
	const SpChunk *chunk;
	ListCell   *lc;

	count_other_changes(event);
	sp_override_meet(event);
	if (event->spool == NULL)
		return;
	foreach(lc, sp_engine.streams)
	{
		SpStream   *s = lfirst(lc);

		s->txn_max = PG_INT64_MIN;
		s->txn_ordinal = 0;
		s->txn_changed = false;
		s->txn_retracts = has_other_changes(event, s);
		if (s->dedup != NULL)
			s->dedup->admitted = 0;
	}
	sp_spool_rewind(event->spool);
	while ((chunk = sp_spool_next(event->spool)) != NULL)
	{
		SpStream   *s = find_stream(chunk->source);

		if (s != NULL && event->lsn >= s->def->o.start_lsn)
			sp_retract_chunk(s, chunk, event);
	}
	foreach(lc, sp_engine.streams)
	{
		SpStream   *s = lfirst(lc);

		if (s->txn_ordinal > 0 || s->txn_changed)
			end_commit(s, event);
	}
}

/*
 * Where the clock would put the watermark of a stream that has been idle since its last
 * input: as far on as time has passed, never beyond the clock itself.
 */
int64
sp_pipeline_idle_watermark(const SpStream *s, TimestampTz now)
{
	int64		clock = sp_time_from_utc(now, s->def->time_type, s->zone);
	int64		shifted;

	if (s->max_time == PG_INT64_MIN || s->last_input == 0 ||
		now - s->last_input < s->def->idle_timeout_us)
		return SP_NO_WATERMARK;
	if (pg_add_s64_overflow(s->max_time, now - s->last_input, &shifted))
		return SP_NO_WATERMARK;
	return sp_clock_behind(Min(shifted, clock), s->def->watermark_us);
}

/*
 * The history of an object that was filled: from here on it counts for everybody's
 * watermark, as if its rows had come now.
 */
static void
apply_history_clock(SpStream *s, const SpEvent *event)
{
	sp_pipeline_raise_clock(s, event->tick_max_time,
							sp_clock_behind(event->tick_max_time, s->def->watermark_us));
	if (s->last_input == 0)
		s->last_input = event->tick_time;
	if (s->dedup != NULL)
		sp_dedup_advance(s->dedup, sp_clock_behind(s->max_time, s->def->watermark_us));
	s->changed = true;
	sp_pipeline_close_windows(s, event->lsn, event->tick_time);
	sp_starting_keep_tick(s, event);
}

/* The clock, as it was written to the WAL. */
static void
apply_tick(const SpEvent *event)
{
	SpStream   *s = find_stream(event->tick_source);
	int64		watermark;

	if (s == NULL || event->lsn < s->def->o.start_lsn)
		return;
	if (event->tick_max_time != PG_INT64_MIN)
	{
		apply_history_clock(s, event);
		return;
	}
	s->tick_sent = 0;
	/* where local time goes back for an hour, so would the clock */
	watermark = sp_pipeline_idle_watermark(s, event->tick_time);
	s->watermark = Max(s->watermark, watermark);
	s->changed = true;
	sp_pipeline_close_windows(s, event->lsn, event->tick_time);
	sp_starting_keep_tick(s, event);
}

/* Everything before lsn has been applied. */
void
sp_pipeline_reach(XLogRecPtr lsn)
{
	ListCell   *lc;

	foreach(lc, sp_engine.streams)
	{
		SpStream   *s = lfirst(lc);

		sp_output_reach(&s->output, lsn);
	}
	foreach(lc, sp_engine.windows)
		sp_output_reach(&((SpWindow *) lfirst(lc))->output, lsn);
	foreach(lc, sp_engine.detectors)
		sp_output_reach(&((SpDetector *) lfirst(lc))->output, lsn);
	foreach(lc, sp_engine.reports)
		sp_output_reach(&((SpReports *) lfirst(lc))->output, lsn);
}

/* One event. */
void
sp_pipeline_apply(SpEvent *event)
{
	sp_pipeline_reach(event->lsn);
	if (event->kind == SP_EVENT_TICK)
		apply_tick(event);
	else if (event->kind == SP_EVENT_REPORT)
		sp_report_take(event);
	else
		apply_commit(event);
}

/* Does the detector follow the clock of the stream? */
static inline bool
follows(const SpDetector *d, const SpStream *s)
{
	return (d->stream != NULL ? d->stream : d->window->stream) == s &&
		d->def->o.state == SP_STATE_RUNNING;
}

/* When (on the clock) a tick would end a micro-batch; PG_INT64_MAX: never. */
static TimestampTz
batch_due(const SpStream *s)
{
	TimestampTz due = PG_INT64_MAX;
	ListCell   *lc;

	foreach(lc, sp_engine.detectors)
	{
		const SpDetector *d = lfirst(lc);

		if (follows(d, s))
			due = Min(due, sp_micro_due(d));
	}
	return due;
}

/* When (on the clock) the time without input would close a window, or find a key overdue; likewise. */
static TimestampTz
idle_due(const SpStream *s)
{
	int64		at = DT_NOEND;
	int64		now_at;
	ListCell   *lc;

	if (s->max_time == PG_INT64_MIN || s->last_input == 0)
		return PG_INT64_MAX;
	foreach(lc, sp_engine.windows)
	{
		SpWindow   *w = lfirst(lc);

		if (w->stream == s && w->def->o.state == SP_STATE_RUNNING)
		{
			int64		reach = sp_clock_reach_for(w, w->ops->next_due(w));

			at = Min(at, reach);
		}
	}
	foreach(lc, sp_engine.detectors)
	{
		SpDetector *d = lfirst(lc);

		if (follows(d, s))
			at = Min(at, sp_timer_reach(d));
	}
	if (at == DT_NOEND)
		return PG_INT64_MAX;
	/* the clock must show it, and the time since the last input lead there */
	now_at = sp_time_to_utc(at, s->def->time_type, s->zone);
	if (pg_sub_s64_overflow(at, s->max_time, &at) ||
		pg_add_s64_overflow(at, s->last_input, &at))
		return PG_INT64_MAX;
	return Max(Max(now_at, at), s->last_input + s->def->idle_timeout_us);
}

/*
 * When (on the clock) a tick is to be written for the stream; PG_INT64_MAX: never, or one is on
 * its way.
 */
TimestampTz
sp_pipeline_tick_due(const SpStream *s)
{
	return s->tick_sent != 0 ? PG_INT64_MAX : Min(batch_due(s), idle_due(s));
}
