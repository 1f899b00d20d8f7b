/*
 * steps.h
 *	  Which windows that overlap does a time fall into?  Hopping and cumulative windows,
 *	  for the engine and for streamproc.hop() and cumulate() alike.
 *
 * Both end at the ends of panes, which partition the time.  A window is known by its
 * end: exactly one ends where a pane does.
 *
 *	hopping		panes are the tumbling windows of size slide; a window is n of them, n =
 *				size / slide:
 *
 *				panes    |  |  |  |  |  |			a time in pane [2, 3) is in the windows
 *				         0  1  2  3  4  5			that end at 3, 4 and 5
 *				n = 3    [--------)
 *				            [--------)
 *				               [--------)
 *
 *	cumulative	a window begins where the tumbling window of size size does, and ends after
 *				1, 2, ... steps, or with that window.  Months and days have steps in their
 *				own unit, of which they are a multiple, or in a smaller one, where the last
 *				step is what is left: a day of 25 hours ends 5, 10, 15, 20 and 25 hours
 *				after its beginning, one of 24 after 5, 10, 15, 20 and 24.
 *
 * Times and boundaries are those of tumbling.h.
 */
#ifndef SP_STEPS_H
#define SP_STEPS_H

#include "base/tumbling.h"

typedef enum SpStepsKind
{
	SP_STEPS_HOPPING,
	SP_STEPS_CUMULATIVE
} SpStepsKind;

typedef struct SpSteps
{
	SpStepsKind kind;
	SpTumbling	panes;			/* hopping, and cumulative in one unit: the panes are its windows */
	SpTumbling	base;			/* cumulative: of size size */
	int64		n;				/* hopping: panes of a window */
	bool		mixed;			/* cumulative: the step is in a smaller unit than the size */

	/* the pane of the last call; start > end: there was none */
	int64		last_start;
	int64		last_end;
} SpSteps;

/*
 * What is wrong with the slide (or step) beside that size, a sentence's end; or NULL.  Both
 * have passed sp_tumbling_check_size().
 */
extern const char *sp_steps_check(SpStepsKind kind, const Interval *size, const Interval *slide);

/* Windows that a time falls into, at most; a day may be longer by a change of the clocks. */
extern int64 sp_steps_per_row(SpStepsKind kind, const Interval *size, const Interval *slide);

/* Raises an error when something is wrong; see sp_tumbling_init(). */
extern void sp_steps_init(SpSteps *steps, SpStepsKind kind, const Interval *size,
						  const Interval *slide, Timestamp origin, const char *time_zone,
						  Oid time_type);

extern bool sp_steps_find(SpSteps *steps, int64 ts, int64 *start, int64 *end);

/*
 * The pane of ts, [start, end); false when a boundary of one of the windows that it belongs
 * to is out of range.  The windows end at end, at sp_steps_next_end() of it, and so on up
 * to sp_steps_last_end(start).
 */
static inline bool
sp_steps_pane(SpSteps *steps, int64 ts, int64 *start, int64 *end)
{
	if (ts < steps->last_start || ts >= steps->last_end)
		return sp_steps_find(steps, ts, start, end);
	*start = steps->last_start;
	*end = steps->last_end;
	return true;
}

/* Of an infinite time's window all three are that time.  false: out of range. */

/* The start of the window that ends at end. */
extern bool sp_steps_window_start(SpSteps *steps, int64 end, int64 *start);

/*
 * The last boundary of windows of size size, one behind the other, before end: of all windows
 * that end before the next one each has it inside, or as its start.
 */
extern bool sp_steps_block_start(SpSteps *steps, int64 end, int64 *start);

/* The end of the pane behind the one that ends at end. */
extern bool sp_steps_next_end(SpSteps *steps, int64 end, int64 *next);

/* The end of the last window that has the pane which starts at start. */
extern bool sp_steps_last_end(SpSteps *steps, int64 start, int64 *end);

#endif
