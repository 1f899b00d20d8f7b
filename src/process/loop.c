/*
 * loop.c
 *	  The worker's main loop: decode, apply, activate, checkpoint, confirm, sleep.
 *
 * A turn collects the events that are there, has the engine apply them in one
 * transaction, and publishes how far it got.  Positions in the order they follow
 * one another:
 *
 *	confirmed <= state_lsn (flushed) <= applied_lsn <= flush pointer
 *
 * applied_lsn may be ahead of the decoder's position: when nothing is left to
 * read, all up to the flush pointer as it was before that attempt is covered, also
 * the padding at a page's end, which no record will ever cover.
 *
 * The worker is woken for commits of its own database only, by their backends (see
 * shared.c for why no wakeup is lost).  Other WAL, which only moves the slot, is
 * read now and then: the more there is, the sooner.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "replication/reorderbuffer.h"
#include "storage/latch.h"
#include "storage/standby.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/debug.h"
#include "base/event.h"
#include "base/guc.h"
#include "base/shared.h"
#include "engine/engine.h"
#include "feed/decode.h"
#include "process/loop.h"
#include "process/wakeup.h"
#include "process/worker.h"

#define MEGABYTE				((XLogRecPtr) 1024 * 1024)

#define COLLECT_US				5000	/* a batch isn't held back longer for more events */
#define DECODE_STEP				(4 * MEGABYTE)	/* without an event */
#define LATENCY_SAMPLES			1024	/* commits of a batch whose latency is recorded */

/* Reading WAL that is not ours, when asleep. */
#define LONGEST_POLL_MS			10000
#define SHORTEST_POLL_MS		100
#define POLL_TARGET				(4 * MEGABYTE)	/* to be found by one poll */

/* Without own events: checkpoint to let the slot advance over foreign WAL. */
#define FOREIGN_WAL				(16 * MEGABYTE)
#define FOREIGN_WAL_LITTLE		(1 * MEGABYTE)	/* so much only after FOREIGN_US */
#define FOREIGN_US				(60 * USECS_PER_SEC)

/* After a transaction of this many rows a checkpoint follows: to read it again is slow. */
#define LARGE_ROWS				100000
#define SPILLED_ROW_BYTES		170 /* of a row in the reorder buffer */

#define CHECKPOINT_SHARE		8	/* of a turn's time: an 8th */

#define CONFIRM_DELAY_US		USECS_PER_SEC
#define SHORTEST_NAP_MS			10	/* when something stays due although it was served */

static MemoryContext loop_context;

/* The batch at hand. */
static dlist_head events;
static int	nevents;
static uint64 nrows;
static bool definitions_changed;
static TransactionId definitions_xid;
static bool large_transaction;
static TimestampTz commit_times[LATENCY_SAMPLES];
static int	ncommit_times;
static TimestampTz last_commit_time;	/* 0: none */

/* How far the last attempt to decode has read. */
static XLogRecPtr covered;		/* flush pointer before it */
static TimestampTz covered_time;	/* the time before that */
static bool caught_up;			/* it has found the end of the flushed WAL */
static XLogRecPtr written;		/* pending triggers were written up to here, as far as possible */

/* Checkpoints. */
static bool is_dirty;			/* events were applied since the last one */
static TimestampTz checkpoint_time; /* when the last one began */
static XLogRecPtr checkpoint_position;	/* where */
static XLogRecPtr checkpoint_at;	/* due once this is decoded; invalid: not requested */
static TimestampTz saved_time;	/* when the last one was finished */
static XLogRecPtr confirm_lsn;	/* to be confirmed ... */
static XLogRecPtr confirm_after;	/* ... once this is flushed */

static int	poll_ms;			/* between two looks at foreign WAL, when asleep */

/* Add an event to the batch. */
static void
add_event(SpEvent *event)
{
	dlist_push_tail(&events, &event->node);
	nevents++;

	if (event->kind != SP_EVENT_COMMIT)
		return;
	last_commit_time = event->commit_time;
	if (event->spool != NULL)
	{
		uint64		rows = sp_spool_rows(event->spool);
		uint64		large = (uint64) logical_decoding_work_mem * 1024 / SPILLED_ROW_BYTES;

		nrows += rows;
		large_transaction |= rows >= Max(large, LARGE_ROWS);
		if (ncommit_times < LATENCY_SAMPLES)
			commit_times[ncommit_times++] = event->commit_time;
		pg_atomic_fetch_add_u64(&sp_my_worker->commits, 1);
	}
	if (event->definitions_changed)
	{
		definitions_changed = true;
		definitions_xid = event->xid;
	}
}

/* Collect what is there: whole transactions, up to a change of definitions. */
static void
collect_events(void)
{
	TimestampTz deadline = 0;

	dlist_init(&events);
	nevents = 0;
	nrows = 0;
	ncommit_times = 0;
	last_commit_time = 0;
	definitions_changed = false;
	large_transaction = false;

	covered = GetFlushRecPtr(NULL);
	caught_up = false;
	while (nrows < (uint64) sp_guc_batch_rows && !definitions_changed)
	{
		bool		more;
		SpEvent    *event = sp_decode_next(DECODE_STEP, &more);

		MemoryContextSwitchTo(loop_context);
		if (event == NULL)
		{
			caught_up = !more;
			break;
		}
		add_event(event);

		if (deadline == 0)
			deadline = GetCurrentTimestamp() + COLLECT_US;
		else if (GetCurrentTimestamp() >= deadline)
			break;
	}
}

/* Note how long the batch's commits have waited for their results. */
static void
record_latency(void)
{
	TimestampTz now = GetCurrentTimestamp();

	for (int i = 0; i < ncommit_times; i++)
	{
		int			bucket = sp_shared_latency_bucket(now - commit_times[i]);

		pg_atomic_fetch_add_u64(&sp_my_worker->latency[bucket], 1);
	}
}

/*
 * The slot's restart position moves only with records of running transactions.
 * Write one, and checkpoint once it is decoded, so that a restart doesn't decode
 * (and spill row by row) the large transaction again.
 */
static void
pass_large_transaction(void)
{
	checkpoint_at = LogStandbySnapshot();
	sp_shared_raise_lsn(&sp_my_worker->announced_lsn, checkpoint_at);
}

/* Have the engine apply the batch, which may be empty, and write what is due. */
static void
apply_events(bool flush)
{
	uint64		rows = nrows;
	bool		had_events = nevents > 0;

	sp_debug_point("decoded");
	sp_engine_apply(&events, sp_decode_position(), flush);
	MemoryContextSwitchTo(loop_context);
	dlist_init(&events);
	nevents = 0;
	sp_debug_point("applied");

	if (!had_events)
		return;
	is_dirty = true;
	pg_atomic_fetch_add_u64(&sp_my_worker->rows, rows);
	pg_atomic_fetch_add_u64(&sp_my_worker->batches, 1);
	record_latency();
	if (large_transaction)
		pass_large_transaction();
}

/* Emit the ticks that are due; they take effect when they are read back. */
static void
emit_ticks(TimestampTz now)
{
	XLogRecPtr	before = XactLastCommitEnd;
	XLogRecPtr	end;

	sp_engine_tick(now);
	MemoryContextSwitchTo(loop_context);

	end = XactLastRecEnd;
	if (XactLastCommitEnd != before)
		end = Max(end, XactLastCommitEnd);
	if (!XLogRecPtrIsInvalid(end))
		sp_shared_raise_lsn(&sp_my_worker->announced_lsn, end);
}

/* Follow the definitions that the transaction xid has committed; invalid: as they are. */
static void
activate(TransactionId xid)
{
	pgstat_report_activity(STATE_RUNNING, "activating definitions");
	sp_worker_take_request();
	sp_engine_activate(xid, sp_decode_position());
	MemoryContextSwitchTo(loop_context);
	sp_decode_sources_changed();
	pgstat_report_activity(STATE_RUNNING, "processing commits");
}

/* Has everything that was announced been read? */
static bool
is_current(void)
{
	return caught_up && pg_atomic_read_u64(&sp_my_worker->announced_lsn) <= covered;
}

/* Tell until when results are complete; commits come nearly in the order of their times. */
static void
publish_time(TimestampTz until)
{
	if (until > (TimestampTz) pg_atomic_read_u64(&sp_my_worker->current_until))
		pg_atomic_write_u64(&sp_my_worker->current_until, (uint64) until);
}

/* Tell those who wait how far results go. */
static void
publish_progress(bool flushed)
{
	XLogRecPtr	lsn = sp_decode_position();

	if (caught_up)
		lsn = Max(lsn, covered);

	publish_time(is_current() ? covered_time : last_commit_time);
	sp_shared_raise_lsn(&sp_my_worker->applied_lsn, lsn);
	if (flushed)
		written = lsn;
	if (flushed && !sp_engine_pending())
		sp_shared_raise_lsn(&sp_my_worker->flushed_lsn, lsn);
	if (pg_atomic_read_u32(&sp_my_worker->nwaiters) > 0)
		ConditionVariableBroadcast(&sp_my_worker->applied_cv);
}

/* Does someone wait for pending results that could be written now? */
static bool
is_flush_wanted(void)
{
	XLogRecPtr	request = pg_atomic_read_u64(&sp_my_worker->flush_request);

	if (Min(request, covered) <= pg_atomic_read_u64(&sp_my_worker->flushed_lsn))
		return false;
	/* not again and again while something else is still to be done */
	return Min(request, covered) > written || !sp_engine_pending();
}

/* Begin a checkpoint, when there is something to save. */
static void
begin_checkpoint(void)
{
	bool		begun;

	/* Not begun: nothing has changed, or results that must be written first can't be. */
	checkpoint_position = sp_decode_position();
	checkpoint_at = InvalidXLogRecPtr;
	begun = sp_engine_checkpoint_begin();
	MemoryContextSwitchTo(loop_context);
	checkpoint_time = GetCurrentTimestamp();
	if (begun)
		is_dirty = false;
}

/* The checkpoint at work is finished. */
static void
note_saved(XLogRecPtr state_lsn, XLogRecPtr flush_lsn)
{
	uint64		us;

	saved_time = GetCurrentTimestamp();
	confirm_lsn = state_lsn;
	confirm_after = flush_lsn;
	sp_debug_point("checkpointed");

	us = (uint64) Max(saved_time - checkpoint_time, 0);
	pg_atomic_fetch_add_u64(&sp_my_worker->checkpoints, 1);
	if (us > pg_atomic_read_u64(&sp_my_worker->checkpoint_us))
		pg_atomic_write_u64(&sp_my_worker->checkpoint_us, us);
}

/*
 * Take the checkpoint at work further, or begin one, in a turn that began then.  Where rows
 * keep the worker busy turns are few and long: the checkpoint has its share of their time, so
 * that it ends, and the WAL that the slot keeps is let go.
 */
static void
save_state(TimestampTz turn)
{
	TimestampTz start = GetCurrentTimestamp();
	TimestampTz until = start + Max(start - turn, 0) / CHECKPOINT_SHARE;
	XLogRecPtr	state_lsn;
	XLogRecPtr	flush_lsn;
	uint64		us;
	bool		finished;

	if (!sp_engine_checkpoint_running())
		begin_checkpoint();
	if (!sp_engine_checkpoint_running())
		return;
	do
	{
		finished = sp_engine_checkpoint_slice(&state_lsn, &flush_lsn);
		MemoryContextSwitchTo(loop_context);
		pg_atomic_fetch_add_u64(&sp_my_worker->checkpoint_slices, 1);
	} while (!finished && GetCurrentTimestamp() < until);
	us = (uint64) Max(GetCurrentTimestamp() - start, 0);
	if (us > pg_atomic_read_u64(&sp_my_worker->checkpoint_pause_us))
		pg_atomic_write_u64(&sp_my_worker->checkpoint_pause_us, us);
	if (finished)
		note_saved(state_lsn, flush_lsn);
}

/* Confirm the last checkpoint's position once it is durable; force makes it so. */
static void
confirm_position(bool force)
{
	if (XLogRecPtrIsInvalid(confirm_lsn))
		return;
	if (GetFlushRecPtr(NULL) < confirm_after)
	{
		if (!force && GetCurrentTimestamp() < saved_time + CONFIRM_DELAY_US)
			return;
		XLogFlush(confirm_after);
	}
	sp_decode_confirm(confirm_lsn);
	confirm_lsn = InvalidXLogRecPtr;
	sp_debug_point("confirmed");
}

/*
 * When the next checkpoint is due if no more WAL comes; DT_NOEND: not at all.  One at a time:
 * when it takes longer than the interval the next begins right after.
 */
static TimestampTz
next_checkpoint(void)
{
	XLogRecPtr	position = sp_decode_position();
	XLogRecPtr	decoded = position - checkpoint_position;

	if (sp_engine_checkpoint_running())
		return DT_NOEND;
	if (!XLogRecPtrIsInvalid(checkpoint_at) && position >= checkpoint_at)
		return DT_NOBEGIN;
	if (decoded >= (XLogRecPtr) sp_guc_checkpoint_wal * MEGABYTE)
		return DT_NOBEGIN;
	if (is_dirty)
		return checkpoint_time + sp_guc_checkpoint_interval * USECS_PER_SEC;
	if (decoded >= FOREIGN_WAL)
		return DT_NOBEGIN;
	if (decoded >= FOREIGN_WAL_LITTLE)
		return checkpoint_time + FOREIGN_US;
	return DT_NOEND;
}

/* Make announced asynchronous commits readable. */
static void
flush_announced(void)
{
	XLogRecPtr	announced = pg_atomic_read_u64(&sp_my_worker->announced_lsn);

	if (sp_guc_flush_async_commits && announced > GetFlushRecPtr(NULL))
		XLogFlush(announced);
}

/* Is there something that could be done now?  Read after sleeping is set. */
static bool
has_news(void)
{
	XLogRecPtr	announced = pg_atomic_read_u64(&sp_my_worker->announced_lsn);

	if (sp_my_worker->stop_requested || ConfigReloadPending)
		return true;
	if (is_flush_wanted() && !sp_engine_pending())
		return true;
	if (sp_engine_has_news() || sp_engine_checkpoint_running())
		return true;
	if (announced <= covered)
		return false;
	return sp_guc_flush_async_commits || GetFlushRecPtr(NULL) >= announced;
}

/* Until something is due, or unread WAL should be looked at. */
static long
compute_nap(long stats_ms)
{
	TimestampTz due = Min(sp_engine_next_due(), next_checkpoint());
	long		nap;

	nap = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), due);
	nap = Max(nap, SHORTEST_NAP_MS);
	nap = Min(nap, poll_ms);
	if (stats_ms > 0)
		nap = Min(nap, stats_ms);

	/* Only the WAL writer will flush what was announced; it tells nobody. */
	if (pg_atomic_read_u64(&sp_my_worker->announced_lsn) > covered)
		nap = Min(nap, SHORTEST_NAP_MS);
	return nap;
}

/* The more foreign WAL an idle turn has found, the sooner the next. */
static void
adapt_poll(XLogRecPtr found)
{
	if (found > POLL_TARGET)
		poll_ms = Max(poll_ms / 2, SHORTEST_POLL_MS);
	else if (found < POLL_TARGET / 4)
		poll_ms = Min(poll_ms * 2, LONGEST_POLL_MS);
}

/* Sleep until there is something to do. */
static void
sleep_for_news(void)
{
	static XLogRecPtr last_covered = InvalidXLogRecPtr;
	bool		current;
	long		stats_ms;
	int			woken;

	stats_ms = pgstat_report_stat(false);
	pg_atomic_write_u32(&sp_my_worker->sleeping, 1);
	pg_memory_barrier();
	if (!has_news())
	{
		current = is_current();
		pgstat_report_activity(STATE_IDLE, NULL);
		woken = WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						  compute_nap(stats_ms), PG_WAIT_EXTENSION);
		if (woken & WL_LATCH_SET)
			ResetLatch(MyLatch);
		else if (!XLogRecPtrIsInvalid(last_covered))
			adapt_poll(GetFlushRecPtr(NULL) - last_covered);
		/* Whatever was announced since has just woken us. */
		if (current)
			publish_time(GetCurrentTimestamp());
		pgstat_report_activity(STATE_RUNNING, "processing commits");
	}
	pg_atomic_write_u32(&sp_my_worker->sleeping, 0);
	last_covered = covered;
}

/* Signals and settings. */
static void
look_after_process(void)
{
	CHECK_FOR_INTERRUPTS();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
}

/* One turn's work with what was collected. */
static void
work(void)
{
	TimestampTz now = GetCurrentTimestamp();
	TransactionId xid = definitions_xid;
	bool		changed = definitions_changed;
	bool		flush = caught_up && is_flush_wanted();
	bool		is_due = sp_engine_next_due() <= now;

	if (is_due)
		emit_ticks(now);
	/* Without events, too, the engine must learn how far a checkpoint would cover. */
	if (nevents > 0 || is_due || flush || next_checkpoint() <= now)
		apply_events(flush);
	if (changed)
		activate(xid);
	publish_progress(flush);

	if (sp_engine_checkpoint_running() || next_checkpoint() <= now)
		save_state(covered_time);
	confirm_position(false);
}

/* Free what was collected and will not be applied. */
static void
free_events(void)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &events)
	{
		dlist_delete(iter.cur);
		sp_event_free(dlist_container(SpEvent, node, iter.cur));
	}
	nevents = 0;
}

/* Set up for the first turn. */
static void
begin_loop(void)
{
	loop_context = AllocSetContextCreate(TopMemoryContext, "streamproc loop",
										 ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(loop_context);

	/* Nobody announced what was committed before we listened. */
	sp_shared_raise_lsn(&sp_my_worker->announced_lsn, sp_shared_insert_end());

	checkpoint_time = saved_time = GetCurrentTimestamp();
	checkpoint_position = sp_decode_position();
	checkpoint_at = InvalidXLogRecPtr;
	confirm_lsn = InvalidXLogRecPtr;
	covered = InvalidXLogRecPtr;
	is_dirty = false;
	poll_ms = LONGEST_POLL_MS;
	dlist_init(&events);
}

/* Leave nothing to be decoded again. */
static void
end_loop(void)
{
	sp_engine_stop();
	apply_events(false);
	while (sp_engine_checkpoint_running())
		save_state(covered_time);
	do
		save_state(covered_time);
	while (sp_engine_checkpoint_running());
	confirm_position(true);
}

/* Process the WAL until there is a reason to end. */
SpLoopEnd
sp_loop_run(void)
{
	begin_loop();
	activate(InvalidTransactionId);

	while (sp_engine_has_streams())
	{
		look_after_process();
		if (sp_my_worker->stop_requested)
		{
			end_loop();
			return SP_LOOP_STOPPED;
		}

		covered_time = GetCurrentTimestamp();
		flush_announced();
		collect_events();
		if (sp_worker_extension_gone())
		{
			free_events();
			sp_engine_stop();
			return SP_LOOP_DROPPED;
		}
		work();
		if (caught_up)
		{
			confirm_position(true);
			sleep_for_news();
		}
	}
	end_loop();
	return SP_LOOP_UNWANTED;
}
