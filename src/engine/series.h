/*
 * series.h
 *	  One series of a detector, that of a key: what is kept of it, and what is said of its next
 *	  point.
 *
 * p_value is the probability of such a score or a higher one, told from the scores before it:
 * those of the series, which it counts behind the kernel's state, or those of all series, which the
 * caller keeps for them, a pool.  Flagged ones count as well, for they are as probable as they are;
 * what is not ready doesn't, and has p_value 1.
 *
 * The worker, score_online() and whoever else scores points call these, so that all of them say
 * the same to the last bit.
 */
#ifndef SP_SERIES_H
#define SP_SERIES_H

#include "postgres.h"

#include "engine/method.h"
#include "kernel/online/pool.h"
#include "lib/stringinfo.h"

#define SP_NEVER_ALERTED	PG_INT64_MIN

/* Is a series overdue that nothing has come of since? */
typedef enum SpOverdue
{
	SP_OVERDUE_NOT,
	SP_OVERDUE_TOLD,
	SP_OVERDUE_MUTED			/* it is, but was muted when that was found */
} SpOverdue;

/*
 * This, the kernel's state, then the last numbers and the calibration of a key where they are kept.
 * Holds no pointers; aligned to 8 bytes.
 */
typedef struct SpSeries
{
	int64		last_alert;		/* event time; SP_NEVER_ALERTED */
	int32		run;			/* so many flagged ones in a row, below what is expected negative */
	int16		ready;			/* it has learned as much as its kernel needs: 1, else 0 */
	int16		overdue;		/* SpOverdue */
} SpSeries;

/* What becomes of a row's numbers. */
typedef enum SpInput
{
	SP_INPUT_TAKEN,				/* they make a point */
	SP_INPUT_SKIPPED,			/* some are missing: it isn't scored */
	SP_INPUT_MISSING,			/* the same, which is an error */
	SP_INPUT_NOT_FINITE			/* an error, too */
} SpInput;

/* What is said of a point. */
typedef struct SpFinding
{
	SpScore		score;
	double		p_value;		/* NaN: not known, or nobody wants it */
	double		threshold;		/* that the score was compared with */
	bool		is_anomaly;
} SpFinding;

/* Bytes of a series, a multiple of 8. */
extern Size sp_series_size(const SpMethod *method);

/* A series without a past, in memory of that size. */
extern void sp_series_init(const SpMethod *method, SpSeries *series);

/*
 * Make a point's numbers of a row's, x, of which some may be missing: what is to be put in their
 * place is.  Not of rules.  Changes the series only where sp_series_remembers(), and never if the
 * point won't be learned.
 */
extern SpInput sp_series_take(const SpMethod *method, SpSeries *series, double *x,
							  const bool *missing, bool learns);

/*
 * Score a point, decide, and learn of it what is to be learned.  The p_value is told of anomalies,
 * of other points if wanted.  pool: of all series of the detector, where the method has one, else
 * NULL.  why: NULL, or filled in where the score is above the threshold.  Not of rules.
 */
extern void sp_series_judge(const SpMethod *method, SpSeries *series, SpPool *pool,
							const SpPoint *point, bool wants_p_value, SpFinding *finding,
							SpExplanation *why);

/*
 * The same where the point was scored together with others, finding->score.score; NaN: it could not
 * be.  There is nothing to learn.
 */
extern void sp_series_judge_scored(const SpMethod *method, SpSeries *series, SpPool *pool,
								   const SpPoint *point, bool wants_p_value, SpFinding *finding);

/* So many points are known, of a method that scores them together. */
extern void sp_series_set_learned(const SpMethod *method, SpSeries *series, int64 n);

/* Has a detector of this method a pool? */
static inline bool
sp_series_have_pool(const SpMethod *method)
{
	return method->calibrate == SP_CALIBRATE_DETECTOR;
}

/*
 * The same of a point that isn't learned, and whose score doesn't count.  early: its value may still
 * grow, so that only what is above can be told, by methods that know a direction.
 */
extern void sp_series_look(const SpMethod *method, const SpSeries *series, SpPool *pool,
						   const SpPoint *point, bool early, bool wants_p_value,
						   SpFinding *finding, SpExplanation *why);

/* How many points it has learned, of those that method->needed tells; of rules 0. */
extern int64 sp_series_learned(const SpMethod *method, const SpSeries *series);

/* When it is overdue; PG_INT64_MAX: never.  Of methods whose kernel has due(). */
static inline int64
sp_series_due(const SpMethod *method, const SpSeries *series)
{
	return method->judge.kernel->due(series + 1, &method->judge.setup);
}

/* Does it keep the last numbers? */
static inline bool
sp_series_remembers(const SpMethod *method)
{
	return method->missing == SP_MISSING_LAST;
}

/*
 * One alert an episode: is an anomaly at that time part of one that was alerted?  Else the episode is
 * alerted now.
 */
extern bool sp_series_in_cooldown(SpSeries *series, int64 time, int64 cooldown_us);

/* Durable form.  read returns its end, or NULL when it isn't one of this method. */
extern void sp_series_write(const SpMethod *method, const SpSeries *series, StringInfo buf);
extern const char *sp_series_read(const SpMethod *method, SpSeries *series, const char *from,
								  const char *end);

#endif
