/*
 * clock.c
 *	  Where a window's watermark stands, and what that makes late, final and sealed.
 *
 * A stream's reach is the event time up to which it has come, by its data or, idle, by the
 * clock; watermarks are the reach less a delay, which is the stream's unless the window has
 * its own.  A window on a window gets its source's rows when they are sealed, which happens
 * when the source's watermark has passed end + grace; they bear the window's last
 * microsecond:
 *
 *	watermark(downstream) = watermark(source) - grace(source) - 1 us [- its own delay]
 *
 * The reach never goes back, and so no watermark does.
 */
#include "engine/internal.h"

#include "base/compat.h"
#include "base/steps.h"
#include "common/int.h"
#include "engine/micro_batch.h"
#include "engine/sample.h"
#include "engine/timer.h"

/* time + us, at most the end of time. */
int64
sp_clock_add(int64 time, int64 us)
{
	int64		sum;

	return pg_add_s64_overflow(time, us, &sum) ? DT_NOEND : sum;
}

/* time - us; SP_NO_WATERMARK where there is no time, or none so early. */
int64
sp_clock_behind(int64 time, int64 us)
{
	int64		result;

	if (time == SP_NO_WATERMARK || pg_sub_s64_overflow(time, us, &result))
		return SP_NO_WATERMARK;
	return result;
}

/* How far behind the stream's reach the window's watermark is. */
static int64
total_delay(const SpWindow *w)
{
	int64		own = w->def->watermark_us;

	if (w->upstream == NULL)
		return own < 0 ? w->stream->def->watermark_us : own;
	return sp_clock_add(total_delay(w->upstream),
						sp_clock_add(sp_clock_add(w->upstream->def->grace_us, 1), Max(own, 0)));
}

/* The window's watermark when that of its stream is there. */
int64
sp_clock_watermark_at(const SpWindow *w, int64 watermark)
{
	if (watermark == SP_NO_WATERMARK)
		return SP_NO_WATERMARK;
	return sp_clock_behind(sp_clock_add(watermark, w->stream->def->watermark_us),
						   total_delay(w));
}

/* The window's watermark. */
int64
sp_clock_watermark(const SpWindow *w)
{
	return sp_clock_watermark_at(w, w->stream->watermark);
}

/* The window comes to life where its clock stands. */
void
sp_clock_set(SpWindow *w)
{
	w->advanced_to = sp_clock_watermark(w);
}

/* Where it would be by data alone. */
int64
sp_clock_data_watermark(const SpWindow *w)
{
	return sp_clock_behind(w->stream->max_time, total_delay(w));
}

/* The reach of the stream at which the window's watermark is there. */
int64
sp_clock_reach_for(const SpWindow *w, int64 watermark)
{
	return sp_clock_add(watermark, total_delay(w));
}

/* Of the windows that have something in common with the one that ends then, the last's end. */
int64
sp_clock_last_of(const SpWindow *w, int64 end)
{
	int64		last_end;
	int64		start;
	int64		pane_end;

	if (w->steps == NULL || end == PG_INT64_MIN || TIMESTAMP_NOT_FINITE(end) ||
		!sp_steps_pane(w->steps, end - 1, &start, &pane_end) ||
		!sp_steps_last_end(w->steps, start, &last_end))
		return end;
	return last_end;
}

/*
 * Is a row late in its window that ends then?  A final one still takes rows within grace,
 * and rows newer than all before, which only the clock can have closed it for.
 */
bool
sp_clock_is_late(const SpWindow *w, const SpRowSet *rows, int64 time, int64 end)
{
	int64		floor;
	int64		watermark;

	if (rows->backfill)
		return false;
	/* -infinity is an end, too: there may be no floor */
	floor = Max(w->floor, w->spoiled);
	if (floor != PG_INT64_MIN && end <= floor)
		return true;
	/* rows of a window come while the clock has moved on, but not ours */
	watermark = w->upstream != NULL ? w->advanced_to : sp_clock_watermark(w);
	return watermark != SP_NO_WATERMARK && time <= w->stream->max_time &&
		sp_clock_add(end, w->def->grace_us) <= watermark;
}

/*
 * The clock may have moved with the event at lsn: close what is behind it, here and in the
 * windows that read this one, and forget what can be forgotten.
 */
void
sp_clock_advance(SpWindow *w, XLogRecPtr lsn, TimestampTz time)
{
	int64		watermark = sp_clock_watermark(w);
	int64		data_watermark = sp_clock_data_watermark(w);
	ListCell   *lc;

	if (w->retracts && w->ops->settle != NULL)
		w->ops->settle(w, lsn, time);
	if (w->def->o.state == SP_STATE_FAILED)
		return;
	w->advanced_to = watermark;
	if (watermark != SP_NO_WATERMARK)
		w->ops->close(w, watermark, lsn, time);
	sp_sample_run(w, lsn, time);
	if (data_watermark != SP_NO_WATERMARK)
		w->ops->purge(w, data_watermark);
	foreach(lc, w->detectors)
	{
		SpDetector *d = lfirst(lc);

		if (!sp_clock_takes(&d->def->o, lsn))
			continue;
		sp_timer_advance(d, lsn);
		sp_micro_advance(d, time);
	}
	foreach(lc, w->windows)
	{
		SpWindow   *downstream = lfirst(lc);

		if (sp_clock_takes(&downstream->def->o, lsn))
			sp_clock_advance(downstream, lsn, time);
	}
}
