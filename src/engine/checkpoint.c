/*
 * checkpoint.c
 *	  An object's state to pages and back.
 *
 * Page 0 of an object is its own (a stream's watermark, a window's counters); groups stand
 * on the pages from 1 on.  When state is taken, page 0 is made at once, and groups are
 * written a page at a time, as they were then (group_page.c).
 */
#include "engine/internal.h"

#include "base/compat.h"
#include "catalog/page.h"
#include "catalog/progress.h"
#include "engine/dedup.h"
#include "engine/micro_batch.h"
#include "engine/override.h"
#include "engine/sample.h"
#include "engine/saving.h"
#include "engine/series.h"
#include "engine/timer.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define HEAD_VERSION 1

typedef struct StreamHead
{
	int32		version;
	int32		unused;
	int64		max_time;
	int64		watermark;
	int64		last_input;
	uint64		rows;
	uint64		updates;
	uint64		deletes;
	uint64		truncates;
	int64		horizon;		/* of the dedup_key; likewise: */
	uint64		duplicates;
	uint64		late;
	uint64		has_history;
} StreamHead;

typedef struct WindowHead
{
	int32		version;
	int32		unused;
	uint64		rows;
	uint64		late;
	uint64		next_sequence;
	int64		floor;
	int64		spoiled;
	int64		closed_until;
	uint64		next_result;	/* sequence of results */
	uint64		retracted;
	uint64		ignored;
} WindowHead;						/* then the rows that it has refused: refusal.c */

typedef struct DetectorHead
{
	int32		version;
	int32		unused;
	uint64		rows;
	uint64		ready;
	int64		learned;
	XLogRecPtr	settings_lsn;
} DetectorHead;						/* then the pool and the micro-batch, if it has them */

StaticAssertDecl(sizeof(StreamHead) == 96, "StreamHead is a durable format");
StaticAssertDecl(sizeof(WindowHead) == 80, "WindowHead is a durable format");
StaticAssertDecl(sizeof(DetectorHead) == 40, "DetectorHead is a durable format");

/* A window's watermark as an instant; DT_NOBEGIN: it has none. */
static TimestampTz
watermark_of(const SpWindow *w)
{
	int64		watermark = sp_clock_watermark(w);

	if (watermark == SP_NO_WATERMARK || w->def->window_kind == SP_WINDOW_GLOBAL)
		return DT_NOBEGIN;
	return sp_time_to_utc(watermark, w->stream->def->time_type, w->stream->zone);
}

/* Tell people how far things are. */
void
sp_checkpoint_progress(void)
{
	int			n = list_length(sp_engine.streams) + list_length(sp_engine.windows) +
		list_length(sp_engine.detectors);
	SpProgress *progress = palloc0(sizeof(SpProgress) * Max(1, n));
	SpProgress *p = progress;
	ListCell   *lc;

	foreach(lc, sp_engine.streams)
	{
		SpStream   *s = lfirst(lc);

		p->id = s->def->o.id;
		p->watermark = s->watermark == SP_NO_WATERMARK ? DT_NOBEGIN :
			sp_time_to_utc(s->watermark, s->def->time_type, s->zone);
		p->rows = s->rows;
		p->updates = s->updates;
		p->deletes = s->deletes;
		p->truncates = s->truncates;
		if (s->dedup != NULL)
		{
			p->late = s->dedup->late;
			p->duplicates = s->dedup->duplicates;
		}
		p++;
	}
	foreach(lc, sp_engine.windows)
	{
		SpWindow   *w = lfirst(lc);

		p->id = w->def->o.id;
		p->watermark = watermark_of(w);
		p->rows = w->rows;
		p->late = w->late;
		p->retracted = w->retracted;
		p->ignored = w->ignored;
		p++;
	}
	foreach(lc, sp_engine.detectors)
	{
		SpDetector *d = lfirst(lc);

		p->id = d->def->o.id;
		p->watermark = DT_NOBEGIN;
		p->rows = d->rows;
		if (d->keyed)
			p->keys = sp_group_count(&d->groups);
		p->ready = d->ready;
		p->learned = d->learned;
		p->needed = d->method->needed;
		p++;
	}
	sp_progress_store(progress, n);
	pfree(progress);
}

/* ---- saving ---- */

/* What is to be saved of an object, in the current memory context; NULL: nothing. */
static SpStatePart *
make_part(int32 object, bool changed, const void *head, Size head_size)
{
	SpStatePart *part;

	if (!changed && !sp_page_has_graves(object))
		return NULL;
	part = palloc0(sizeof(SpStatePart) + (changed ? head_size : 0));
	part->object = object;
	if (!changed)
		return part;
	part->head_size = head_size;
	memcpy(part->head, head, head_size);
	return part;
}

/* Have a set of groups saved with the part. */
static void
add_groups(SpStatePart *part, SpGroups *groups, SpValueWrite write, void *arg)
{
	Assert(part->ngroups < SP_STATE_GROUPS);
	part->groups[part->ngroups++] = groups;
	sp_group_save_begin(groups, part->object, write, arg);
}

/* Take a stream's state, to be saved as that of the object. */
static SpStatePart *
take_stream(SpStream *s, int32 object)
{
	StreamHead	head = {HEAD_VERSION, 0, s->max_time, s->watermark, s->last_input, s->rows,
	s->updates, s->deletes, s->truncates};
	SpDedup    *d = s->dedup;
	SpStatePart *part;

	if (d != NULL)
	{
		head.horizon = d->horizon;
		head.duplicates = d->duplicates;
		head.late = d->late;
		head.has_history = d->has_history;
	}
	part = make_part(object, s->changed || (d != NULL && d->groups.any_dirty), &head,
					 sizeof(head));
	s->changed = false;
	if (part != NULL && d != NULL)
		add_groups(part, &d->groups, NULL, d);
	return part;
}

/* Take a stream's state. */
SpStatePart *
sp_checkpoint_take_stream(SpStream *s)
{
	return take_stream(s, s->def->o.id);
}

/* Take a window's. */
SpStatePart *
sp_checkpoint_take_window(SpWindow *w)
{
	WindowHead	head = {HEAD_VERSION, 0, w->rows, w->late, w->groups.next_sequence,
	w->floor, w->spoiled, w->closed_until, w->results.next_sequence, w->retracted, w->ignored};
	StringInfoData buf;
	SpStatePart *part;

	initStringInfo(&buf);
	appendBinaryStringInfo(&buf, (char *) &head, sizeof(head));
	sp_refusal_write(w, &buf);
	part = make_part(w->def->o.id, w->groups.any_dirty || w->results.any_dirty, buf.data,
					 buf.len);
	pfree(buf.data);
	if (part == NULL)
		return NULL;
	add_groups(part, &w->groups, w->ops->write_value, w);
	if (w->panes != NULL)
		add_groups(part, &w->results, sp_window_write_value, w);
	return part;
}

/* Take a detector's. */
SpStatePart *
sp_checkpoint_take_detector(SpDetector *d)
{
	DetectorHead head = {HEAD_VERSION, 0, d->rows, d->ready, d->learned, d->settings_lsn};
	bool		changed = d->changed || d->groups.any_dirty || d->overrides.any_dirty ||
		d->told.any_dirty;
	StringInfoData buf;
	SpStatePart *part;

	initStringInfo(&buf);
	appendBinaryStringInfo(&buf, (char *) &head, sizeof(head));
	if (d->pool != NULL)
		appendBinaryStringInfo(&buf, (char *) d->pool, sizeof(SpPool));
	if (sp_micro_has(d))
		appendBinaryStringInfo(&buf, (char *) &d->micro->head, sizeof(SpMicroHead));
	part = make_part(d->def->o.id, changed, buf.data, buf.len);
	pfree(buf.data);
	if (part == NULL)
		return NULL;
	d->changed = false;
	add_groups(part, &d->groups, sp_detector_write_value, d);
	add_groups(part, &d->overrides, sp_override_write, d);
	add_groups(part, &d->told, sp_sample_write_value, d);
	return part;
}

/* Write one page, or delete one that is no more; false: nothing is left to do. */
bool
sp_checkpoint_save_next(SpStatePart *part)
{
	int			i;

	if (part->head_size > 0)
	{
		sp_page_store(part->object, 0, part->head, part->head_size);
		part->head_size = 0;
		return true;
	}
	for (i = 0; i < part->ngroups; i++)
	{
		if (sp_group_save_next(part->groups[i]))
			return true;
	}
	return sp_page_bury(part->object);
}

/* All of it is saved. */
void
sp_checkpoint_save_end(SpStatePart *part)
{
	int			i;

	for (i = 0; i < part->ngroups; i++)
		sp_group_save_end(part->groups[i]);
}

/* None of it is, or not all: see sp_group_save_undo(). */
void
sp_checkpoint_save_undo(SpStatePart *part, bool all)
{
	int			i;

	for (i = 0; i < part->ngroups; i++)
		sp_group_save_undo(part->groups[i], all);
}

/* Under which number a filled object's pages of its stream's dedup memory stand. */
static inline int32
dedup_number(int32 filled)
{
	return -filled;
}

/* Write all of a part, in the helper. */
static void
save_part(SpStatePart *part)
{
	while (sp_checkpoint_save_next(part))
		CHECK_FOR_INTERRUPTS();
	sp_checkpoint_save_end(part);
}

/* In the helper: write the state of the object that it has filled, and of its stream. */
void
sp_checkpoint_save_filled(SpWindow *w, SpDetector *d, SpStream *s)
{
	sp_page_begin(SP_PAGE_AT_ONCE);
	if (s != NULL)
	{
		s->changed = true;
		save_part(take_stream(s, dedup_number(w ? w->def->o.id : d->def->o.id)));
	}
	if (w != NULL)
	{
		w->groups.any_dirty = true;
		save_part(sp_checkpoint_take_window(w));
	}
	else
	{
		d->changed = true;
		save_part(sp_checkpoint_take_detector(d));
	}
	sp_page_end();
}

/* ---- loading ---- */

/* Read a page's head of a known size; returns where it ends. */
static const char *
read_head(const char *data, Size size, void *head, Size head_size)
{
	const char *p = data;

	sp_read_bytes(&p, data + size, head, head_size);
	if (*(int32 *) head != HEAD_VERSION)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("a state page is of version %d, this library reads version %d",
						*(int32 *) head, HEAD_VERSION)));
	return p;
}

/* SpPageReader for streams. */
static void
load_stream_page(int32 page, const char *data, Size size, void *arg)
{
	SpStream   *s = arg;
	StreamHead	head;

	if (page > 0)
	{
		if (s->dedup != NULL)
			sp_group_load_page(&s->dedup->groups, page, data, size, NULL, s->dedup);
		sp_spill_run();
		return;
	}
	(void) read_head(data, size, &head, sizeof(head));
	s->max_time = head.max_time;
	s->watermark = head.watermark;
	s->last_input = head.last_input;
	s->rows = head.rows;
	s->updates = head.updates;
	s->deletes = head.deletes;
	s->truncates = head.truncates;
	if (s->dedup == NULL)
		return;
	s->dedup->horizon = head.horizon;
	s->dedup->duplicates = head.duplicates;
	s->dedup->late = head.late;
	s->dedup->has_history = head.has_history != 0;
}

/* SpPageReader for windows. */
static void
load_window_page(int32 page, const char *data, Size size, void *arg)
{
	SpWindow   *w = arg;
	WindowHead	head;
	const char *p;

	if (page > SP_RESULT_PAGES)
	{
		if (w->panes == NULL)
			elog(ERROR, "state page %d of a window without panes", page);
		sp_group_load_page(&w->results, page - SP_RESULT_PAGES, data, size,
						   sp_window_read_value, w);
		sp_spill_run();
		return;
	}
	if (page > 0)
	{
		sp_group_load_page(&w->groups, page, data, size, w->ops->read_value, w);
		if (w->groups.own_only)
			sp_bucket_page_loaded(w, w->groups.pages[page]);
		sp_spill_run();
		return;
	}
	p = read_head(data, size, &head, sizeof(head));
	sp_refusal_read(w, &p, data + size);
	w->rows = head.rows;
	w->late = head.late;
	w->retracted = head.retracted;
	w->ignored = head.ignored;
	w->floor = head.floor;
	w->spoiled = head.spoiled;
	w->closed_until = head.closed_until;
	w->results.next_sequence = Max(w->results.next_sequence, head.next_result);
	w->groups.next_sequence = Max(w->groups.next_sequence, head.next_sequence);
}

/* Read what a detector's keys have in common. */
static void
read_common(SpDetector *d, const char *p, const char *end)
{
	if (d->pool != NULL)
	{
		sp_read_bytes(&p, end, d->pool, sizeof(SpPool));
		if (!sp_pool_is_sound(d->pool))
			sp_detector_is_damaged(d);
	}
	if (sp_micro_has(d))
		sp_read_bytes(&p, end, &d->micro->head, sizeof(SpMicroHead));
}

/* SpPageReader for detectors. */
static void
load_detector_page(int32 page, const char *data, Size size, void *arg)
{
	SpDetector *d = arg;
	DetectorHead head;
	const char *p;

	if (page > SP_TOLD_PAGES)
	{
		sp_sample_load_page(d, page - SP_TOLD_PAGES, data, size);
		return;
	}
	if (page > SP_RESULT_PAGES)
	{
		sp_group_load_page(&d->overrides, page - SP_RESULT_PAGES, data, size, sp_override_read, d);
		sp_spill_run();
		return;
	}
	if (page > 0)
	{
		sp_group_load_page(&d->groups, page, data, size, sp_detector_read_value, d);
		sp_spill_run();
		return;
	}
	p = read_head(data, size, &head, sizeof(head));
	read_common(d, p, data + size);
	d->rows = head.rows;
	d->ready = head.ready;
	d->learned = head.learned;
	d->settings_lsn = head.settings_lsn;
}

/* Functions of the keys' types may be somebody's own: they have the rights of the object's owner. */
static void
load_pages(const SpObjectDef *def, int32 id, SpPageReader reader, void *arg)
{
	SpUserContext user;

	sp_user_enter(&user, def->owner, def->settings);
	sp_page_load(id, reader, arg);
	sp_user_leave(&user, true);
}

void
sp_checkpoint_load_stream(SpStream *s)
{
	if (s->dedup != NULL)
		sp_dedup_load(s->dedup);
	load_pages(&s->def->o, s->def->o.id, load_stream_page, s);
	if (s->dedup != NULL)
		sp_dedup_loaded(s->dedup);
}

/* The dedup memory that the helper has left with the object that it filled. */
void
sp_checkpoint_load_dedup(SpStream *s, int32 filled)
{
	sp_dedup_load(s->dedup);
	load_pages(&s->def->o, dedup_number(filled), load_stream_page, s);
	sp_dedup_loaded(s->dedup);
	sp_page_delete_all(dedup_number(filled));
}

void
sp_checkpoint_load_window(SpWindow *w)
{
	SpUserContext user;

	load_pages(&w->def->o, w->def->o.id, load_window_page, w);
	sp_user_enter(&user, w->def->o.owner, w->def->o.settings);
	w->ops->loaded(w);
	sp_user_leave(&user, true);
	sp_clock_set(w);
}

void
sp_checkpoint_load_detector(SpDetector *d)
{
	SpUserContext user;

	load_pages(&d->def->o, d->def->o.id, load_detector_page, d);
	if (!sp_timer_has(d))
		return;
	sp_user_enter(&user, d->def->o.owner, d->def->o.settings);
	sp_timer_set_all(d);
	sp_user_leave(&user, true);
}
