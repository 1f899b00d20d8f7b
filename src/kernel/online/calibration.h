/*
 * calibration.h
 *	  How probable is a score?  What any method's scores mean, learned from the scores themselves.
 *
 * A calibration counts past scores in bins by their logarithm, older ones with less weight, and answers
 * with P(S >= s), the probability of such a score or a higher one.  Two sizes of the same thing: one
 * for a detector (5 KB, bins 2.2 % wide), one for a key (96 bytes, bins 19 % wide, coarse counts).  As
 * with kernels the state is plain memory of the caller's, without pointers; the same calls give the
 * same bits.
 *
 *	weights		full: a score weighs exp(-age / memory), its age in scores.  small: all counts are
 *				halved when their sum reaches `memory`, or one of them its limit.
 *	s <= 0		is no anomaly: P = 1.  All such scores are one bin, so that detectors whose scores are
 *				0 most of the time cost nothing in precision.
 *	the tail	begins with bin b, the highest one with at least 5 % of the weight above 0 in it and
 *				above, though never more than 1000 scores, nor less than 40.  Beyond b P follows a
 *				generalized Pareto distribution, by probability-weighted moments (J. R. M. Hosking,
 *				J. R. Wallis, Technometrics 29, 1987) of the excesses over its lower edge,
 *				a_r = E[Y (1 - F(Y))^r], uniform within each bin:
 *				  shape = 2 - a0 / (a0 - 2 a1), shrunk by n / (n + 30) for n scores, at most 0.9, at
 *				  least -0.1 (small: 0), for an end that isn't there would be worse than none
 *				  scale = a0 (1 - shape)
 *	the body	is what was counted at or above the bin of s, so that equal scores count whole.  small:
 *				of its own bin the part above s, at least half of it.
 *
 * P = (points + 1) / (n + 1) where points is the weight at or above, in scores, of n.  P never rises
 * with s, and is at least 1e-15.  Of scores that have an end P is right down to what the last bin
 * holds; below it is too high.
 *
 * Measured on five distributions: full with 100,000 scores, P is within a factor 1.5 down to 1e-4 and
 * 6 at 1e-6; small within 3 and 30.
 *
 * The rate of events is 1 / the mean difference of times between one score and the next; differences
 * count as at most 30 days, and times that go back cancel out.
 */
#ifndef SP_CALIBRATION_H
#define SP_CALIBRATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SP_CALIBRATION_FULL_BINS	1280
#define SP_CALIBRATION_SMALL_BINS	56

#define SP_CALIBRATION_MIN_MEMORY	100
#define SP_CALIBRATION_MAX_MEMORY	100000

typedef enum SpCalibrationSize
{
	SP_CALIBRATION_SMALL,
	SP_CALIBRATION_FULL
} SpCalibrationSize;

/* What both sizes begin with. */
typedef struct SpCalibration
{
	int64_t		last_time;		/* of the last score */
	double		rest;			/* weight of scores <= 0 */
	double		positive;		/* of all others */
	float		gap;			/* mean difference of times, us */
	float		memory;
	uint32_t	count;			/* scores, up to UINT32_MAX */
	int32_t		top;			/* no bin above has ever been used */
} SpCalibration;

typedef struct SpCalibrationSmall
{
	SpCalibration head;
	uint8_t		bins[SP_CALIBRATION_SMALL_BINS];
} SpCalibrationSmall;

typedef struct SpCalibrationFull
{
	SpCalibration head;
	double		weight;			/* of the last score */
	float		bins[SP_CALIBRATION_FULL_BINS];
} SpCalibrationFull;

extern size_t sp_calibration_state_size(SpCalibrationSize size);

/* memory: how many scores are remembered, within the limits above. */
extern void sp_calibration_init(SpCalibration *c, SpCalibrationSize size, int memory);

/* Count a score, which is finite; time in microseconds. */
extern void sp_calibration_add(SpCalibration *c, SpCalibrationSize size, double score,
							   int64_t time);

/* P(S >= score); 1 where nothing is known. */
extern double sp_calibration_p_value(const SpCalibration *c, SpCalibrationSize size,
									 double score);

/*
 * The least threshold t such that P(S > t) <= p; 0 where all scores above 0 are that improbable, or
 * none was ever seen; NaN where nothing is known.
 */
extern double sp_calibration_threshold(const SpCalibration *c, SpCalibrationSize size, double p);

/* Scores a day, of late; 0: not known. */
extern double sp_calibration_events_per_day(const SpCalibration *c);

/* The threshold for so many alerts a day; NaN: not known. */
extern double sp_calibration_budget_threshold(const SpCalibration *c, SpCalibrationSize size,
											  double alerts_per_day);

/* Could scores have led to this state?  Whatever it says yes to, all of the above are safe on. */
extern bool sp_calibration_is_sound(const SpCalibration *c, SpCalibrationSize size);

#endif
