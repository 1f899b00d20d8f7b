/*
 * detector.h
 *	  A detector's row at work: from its values to a verdict (detector_judge.c) and a result row
 *	  (detector_result.c).
 *
 * Private to the engine's detector*.c.
 */
#ifndef SP_ENGINE_DETECTOR_H
#define SP_ENGINE_DETECTOR_H

#include "engine/internal.h"
#include "engine/override.h"
#include "engine/series.h"

/* A row, and what becomes of it. */
typedef struct SpVerdict
{
	const SpOverride *override; /* what is set for its key; NULL: nothing */
	bool		muted;			/* it is not to be alerted */
	SpPoint		point;
	double		x[SP_MAX_FEATURES];
	double		value;			/* NaN: none */
	bool		scored;			/* there was something to score */
	bool		in_cooldown;	/* an anomaly of an episode that was alerted already */
	SpFinding	finding;
	List	   *alerts;			/* of char * */
	SpExplanation *why;			/* of an anomaly; not of rules */

	/* where all scores are explained */
	int64		learned;		/* points before this one */
	int64		last_alert;		/* before this one; SP_NEVER_ALERTED */
} SpVerdict;

/* Where a result row comes from. */
typedef struct SpMoment
{
	int64		time;			/* event time, in the unit of: */
	Oid			time_type;
	XLogRecPtr	lsn;
	int64		ordinal;
	bool		backfill;
} SpMoment;

static inline SpSeries *
sp_detector_series(SpDetector *d, SpGroup *group)
{
	return (SpSeries *) sp_group_value(&d->groups, group);
}

/* detector_judge.c: score, decide, learn.  In a memory context that doesn't last. */
extern void sp_detector_judge(SpDetector *d, SpRowSet *rows, const SpEvaluated *ev, int i,
							  SpGroup *group, SpVerdict *v);

/* Row i as a point, with its time, in v; false: there is nothing to score, or nothing that can be. */
extern bool sp_detector_get_point(SpDetector *d, const SpMethod *method, SpRowSet *rows,
								  const SpEvaluated *ev, int i, SpGroup *group, SpVerdict *v);

/* A point that was scored with others: decide; v->override, x and point are set. */
extern void sp_detector_judge_scored(SpDetector *d, SpGroup *group, int64 time, double score,
									 SpVerdict *v);

/* So many points are known of a key whose points are scored together. */
extern void sp_detector_set_learned(SpDetector *d, SpGroup *group, int64 n);

/* The same of a key without a row, which is overdue at that time; v->override is set. */
extern void sp_detector_judge_overdue(SpDetector *d, SpGroup *group, int64 due, int64 time,
									  SpVerdict *v);

/* detector_result.c: keep the result row until it is written. */
extern void sp_detector_add_result(SpDetector *d, SpRowSet *rows, SpEvaluated *ev, int i,
								   const SpVerdict *v);

/* The same without the row at hand; carry: NULL, or what is carried along. */
extern void sp_detector_add_key_result(SpDetector *d, SpGroup *group, const SpMoment *moment,
									   const SpVerdict *v, const NullableDatum *carry);

#endif
