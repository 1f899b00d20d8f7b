/*
 * spot.h
 *	  Extreme values by their probability: the tail beyond a high quantile is a fitted generalized
 *	  Pareto distribution.
 *
 * A. Siffer, P.-A. Fouque, A. Termier, C. Largouet: Anomaly Detection in Streams with Extreme Value
 * Theory, KDD 2017; SPOT (Algorithm 2), for both tails, and with a moving average, DSPOT (Algorithm 3).
 *
 * Of the first `warmup` values the one at rank floor(level warmup) is the threshold t of the upper
 * tail; likewise from below.  Of values beyond t ("peaks") the excesses y = x - t are kept, the
 * last `max_excesses` of each tail, and fitted (pareto.h) whenever there is another one.  With k
 * values and N peaks so far
 *
 *	P(X > x) = N / k (1 + shape (x - t) / scale)^(-1 / shape)
 *
 * The score of x is -log10 P(X > x) for x beyond t, else 0; of the tail that the direction has, or
 * of the one it is in.  So a threshold of -log10(risk), the default, is the paper's z_q for q = risk:
 * each tail alone is crossed with that probability by a value of the same distribution.  The p-value
 * is 10^-score, twice that for direction both.
 *
 * A negative shape says that there is an end; where it is, the excesses tell badly.  So beyond z_q
 * for q = risk the tail goes on as one of shape 0: the score rises with the value without end,
 *
 *	P(X > x) = risk exp(-(x - z_q) / scale)
 *
 * Values beyond z_q aren't learned, as in the paper, whatever the detector does about flagged ones.
 * It also cuts the tail that is fitted where it is flagged, so that the share flagged of values of one
 * and the same distribution tends to be above `risk`, up to some four times.  Where no value was
 * beyond t so far (a constant series) there is nothing to fit; the first one has the highest score,
 * and is learned.
 *
 * The paper leaves it at that, and flags for ever what has moved to another level.  Here, when of the
 * values lately `escape` more were refused than learned, the model moves to where the last 16 of
 * those refused are: the middle between the thresholds to their median; and where all but the outer
 * two of them lie farther apart than the thresholds, thresholds and excesses are stretched by as
 * much.  N / k stays as it is, but k is set back to warmup, so that it is soon what is usual there.
 *
 * dspot does all this with x' = x - the mean of the last `depth` values learned; the first `depth`
 * values only fill that.  Its mean is what moves to another level, not the thresholds.
 *
 * Fine scores, for a budget of alerts, also tell values apart that are in no tail: the score is 0.001
 * higher, and where it would be 0 it is 0.001 * 2^(-4 d / w), where d is the distance to the nearer
 * tail, and w half of the distance between both.
 *
 * A tail that the direction doesn't look at is neither fitted nor does it keep values from being
 * learned.
 */
#ifndef SP_SPOT_H
#define SP_SPOT_H

#include "kernel/online/online.h"
#include "kernel/online/pareto.h"

#define SP_SPOT_RUN	16			/* refused values that are kept */

typedef struct SpSpotParams
{
	double		risk;
	double		level;
	int32_t		warmup;
	int32_t		max_excesses;
	int32_t		depth;			/* 0: spot */
} SpSpotParams;

typedef enum SpSpotSide
{
	SP_SPOT_UPPER,
	SP_SPOT_LOWER
} SpSpotSide;

typedef struct SpSpotTail
{
	double		t;
	SpPareto	fit;			/* if npeaks > 0 */
	int64_t		npeaks;			/* N */
	int32_t		nkept;			/* excesses in the ring */
	int32_t		next;			/* place of the next */
} SpSpotTail;

/* Values that were refused lately. */
typedef struct SpSpotRun
{
	int32_t		surplus;		/* by how many there are more than were learned meanwhile */
	int32_t		next;			/* place of the next; from SP_SPOT_RUN on the ring is full */
	double		last[SP_SPOT_RUN];
} SpSpotRun;

/*
 * Then the last `depth` values, a ring; then while warming up the values, and later the excesses of
 * the upper and of the lower tail, two rings of max_excesses each.
 */
typedef struct SpSpot
{
	int64_t		count;			/* values learned, the first `depth` ones among them */
	double		mean;			/* of the ring of values */
	int64_t		forgotten;		/* values that k doesn't count, for it was set back */
	SpSpotTail	tails[2];		/* by SpSpotSide */
	SpSpotRun	run;
	double		memory[];
} SpSpot;

extern const SpKernel sp_kernel_spot;
extern const SpKernel sp_kernel_dspot;

#endif
