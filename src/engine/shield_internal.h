/*
 * shield_internal.h
 *	  What the files of a detector in a session share.
 *
 *	shield.c			opening, states, what is told of a row
 *	shield_judge.c		what the detector says of a row
 *	shield_window.c		detectors of a sliding window: its answer to the row
 *	shield_seed.c		states that history leaves behind
 */
#ifndef SP_SHIELD_INTERNAL_H
#define SP_SHIELD_INTERNAL_H

#include "engine/detector.h"
#include "engine/shield.h"
#include "engine/trail.h"

struct SpShield
{
	MemoryContext context;
	MemoryContext row_context;	/* reset for each row */
	SpStream   *stream;
	SpWindow   *window;			/* sliding, that the detector reads; NULL: it reads the stream */
	SpDetector *detector;
	SpMethod   *method;			/* the detector's */
	SpShieldKey *keys;
	SpGroup    *group;			/* holds the series at work; NULL: there are none */

	/* the row at work */
	SpRowSet	rows;
	SpEvaluated *taken;			/* of it: its key first, but for a detector's value */
	SpRowSet	answer;			/* the window's result row, where there is one */
	SpRowSet   *judged;			/* what the detector looks at: one of the two */
	SpEvaluated *evaluated;		/* the detector's of that */
	SpOverride	override;		/* what is set for its key, where verdict refers to it */
	SpVerdict	verdict;
};

struct SpShieldState
{
	SpTrail		trail;			/* of a window's key */
	char		series[FLEXIBLE_ARRAY_MEMBER];	/* a SpSeries, if each key has one */
};

StaticAssertDecl(offsetof(SpShieldState, series) % 8 == 0, "a series is aligned");

/* Where the key is in what is evaluated of a row. */
static inline int
sp_shield_first_key(const SpShield *shield)
{
	return shield->window != NULL ? 0 : shield->detector->first_key;
}

/* Does each key have a series? */
static inline bool
sp_shield_has_series(const SpShield *shield)
{
	return shield->detector->keyed;
}

static inline Size
sp_shield_series_size(const SpShield *shield)
{
	return sp_shield_has_series(shield) ? sp_series_size(shield->detector->method) : 0;
}

/* A key's series to where detectors look for it, and back. */
static inline void
sp_shield_take_series(SpShield *shield, const SpShieldState *state)
{
	if (shield->group != NULL)
		memcpy(sp_detector_series(shield->detector, shield->group), state->series,
			   sp_shield_series_size(shield));
}

static inline void
sp_shield_give_series(SpShield *shield, SpShieldState *state)
{
	if (shield->group != NULL)
		memcpy(state->series, sp_detector_series(shield->detector, shield->group),
			   sp_shield_series_size(shield));
}

/* shield_window.c: the row at work, of which the window has taken what it evaluates */
extern bool sp_shield_window_answer(SpShield *shield, SpTrail *trail);

/*
 * The same with the window of a later event, in which the row would be.  Taken is the latest until
 * *upto, PG_INT64_MAX at first; *upto is then before it.  False: there is none, or no answer.
 */
extern bool sp_shield_window_answer_later(SpShield *shield, const SpTrail *trail, int64 *upto);
extern void sp_shield_window_describe(const SpShield *shield, StringInfo buf);

/*
 * The same of row i of history, with the window that ends then: to shield->answer, false if it can't
 * be; and to the trail.
 */
extern bool sp_shield_window_compute(SpShield *shield, const SpRowSet *rows, const SpEvaluated *ev,
									 int i, int64 end, const SpTrail *trail);
extern void sp_shield_window_add(SpShield *shield, const SpRowSet *rows, const SpEvaluated *ev, int i,
								 SpTrail *trail);

#endif
