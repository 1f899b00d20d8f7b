/*
 * calibration.c
 *	  How probable is a score?
 *
 * The formulas are in calibration.h.
 */
#include "kernel/online/calibration.h"

#include <math.h>
#include <string.h>

#include "kernel/online/online.h"
#include "kernel/online/pareto.h"

#define DAY				86400e6
#define MAX_GAP			(30 * DAY)

#define TAIL_SHARE		0.05
#define TAIL_MIN_POINTS 40.0
#define TAIL_MAX_POINTS 1000.0
#define SHRINKAGE		30.0	/* points that the shape's prior, 0, is worth */
#define MAX_SHAPE		0.9
#define MAX_WEIGHT		1e6		/* then all are brought back to 1 */
#define LEAST_P			1e-15	/* less can't be told */

/*
 * Bin i holds scores from 2^(lowest + i / per_octave) on; the first and the last also those
 * beyond.  The shape of a tail is at least min_shape: an end that isn't there would be worse than none.
 */
typedef struct Scale
{
	int			nbins;
	int			per_octave;		/* a power of 2 that divides STEPS */
	int			lowest;
	double		min_shape;
} Scale;

static const Scale scales[] = {
	[SP_CALIBRATION_SMALL] = {SP_CALIBRATION_SMALL_BINS, 4, -6, 0.0},
	[SP_CALIBRATION_FULL] = {SP_CALIBRATION_FULL_BINS, 32, -20, -0.1}
};

#define STEPS			32

/* 2^(i / STEPS), so that a bin is found by comparisons, and is the same whatever the library. */
static const double steps[STEPS] = {
	0x1.0000000000000p+0, 0x1.059b0d3158574p+0, 0x1.0b5586cf9890fp+0, 0x1.11301d0125b51p+0,
	0x1.172b83c7d517bp+0, 0x1.1d4873168b9aap+0, 0x1.2387a6e756238p+0, 0x1.29e9df51fdee1p+0,
	0x1.306fe0a31b715p+0, 0x1.371a7373aa9cbp+0, 0x1.3dea64c123422p+0, 0x1.44e086061892dp+0,
	0x1.4bfdad5362a27p+0, 0x1.5342b569d4f82p+0, 0x1.5ab07dd485429p+0, 0x1.6247eb03a5585p+0,
	0x1.6a09e667f3bcdp+0, 0x1.71f75e8ec5f74p+0, 0x1.7a11473eb0187p+0, 0x1.82589994cce13p+0,
	0x1.8ace5422aa0dbp+0, 0x1.93737b0cdc5e5p+0, 0x1.9c49182a3f090p+0, 0x1.a5503b23e255dp+0,
	0x1.ae89f995ad3adp+0, 0x1.b7f76f2fb5e47p+0, 0x1.c199bdd85529cp+0, 0x1.cb720dcef9069p+0,
	0x1.d5818dcfba487p+0, 0x1.dfc97337b9b5fp+0, 0x1.ea4afa2a490dap+0, 0x1.f50765b6e4540p+0
};

/* What is known of the tail. */
typedef struct Tail
{
	int			bin;			/* where it begins; -1: no score was above 0 */
	double		points;			/* in it and above */
	double		n;				/* points of all scores */
	SpPareto	fit;
} Tail;

/* ---- bins ---- */

/* The lower edge of a bin. */
static double
get_edge(const Scale *scale, int bin)
{
	int			stride = STEPS / scale->per_octave;

	return ldexp(steps[bin % scale->per_octave * stride], scale->lowest + bin / scale->per_octave);
}

/* The bin of a score > 0. */
static int
find_bin(const Scale *scale, double score)
{
	const uint64_t fraction = (UINT64_C(1) << 52) - 1;
	const uint64_t one = UINT64_C(1023) << 52;
	uint64_t	bits;
	double		mantissa;
	int			octave;
	int			step = 0;

	memcpy(&bits, &score, sizeof(bits));
	octave = (int) (bits >> 52) - 1023 - scale->lowest;
	if (octave < 0)
		return 0;
	if (octave * scale->per_octave >= scale->nbins)
		return scale->nbins - 1;
	bits = (bits & fraction) | one;
	memcpy(&mantissa, &bits, sizeof(mantissa));
	for (int half = STEPS / 2; half >= STEPS / scale->per_octave; half /= 2)
		step += mantissa >= steps[step + half] ? half : 0;
	return octave * scale->per_octave + step / (STEPS / scale->per_octave);
}

/* The weight of a bin, in points. */
static double
get_points(const SpCalibration *c, SpCalibrationSize size, int bin)
{
	if (size == SP_CALIBRATION_SMALL)
		return ((const SpCalibrationSmall *) c)->bins[bin];
	return ((const SpCalibrationFull *) c)->bins[bin] / ((const SpCalibrationFull *) c)->weight;
}

/* The weight of the last score, which is a point. */
static double
get_weight(const SpCalibration *c, SpCalibrationSize size)
{
	return size == SP_CALIBRATION_SMALL ? 1.0 : ((const SpCalibrationFull *) c)->weight;
}

/* ---- adding ---- */

size_t
sp_calibration_state_size(SpCalibrationSize size)
{
	return size == SP_CALIBRATION_SMALL ? sizeof(SpCalibrationSmall) : sizeof(SpCalibrationFull);
}

void
sp_calibration_init(SpCalibration *c, SpCalibrationSize size, int memory)
{
	memset(c, 0, sp_calibration_state_size(size));
	c->memory = (float) memory;
	if (size == SP_CALIBRATION_FULL)
		((SpCalibrationFull *) c)->weight = 1.0;
}

/* The mean difference of times: at first a plain mean. */
static void
add_time(SpCalibration *c, int64_t time)
{
	float		gain = 1.0f / (c->count < c->memory ? (float) c->count : c->memory);
	int64_t		difference;
	double		gap;

	if (c->count > 0)
	{
		if (__builtin_sub_overflow(time, c->last_time, &difference))
			difference = time > c->last_time ? INT64_MAX : INT64_MIN;
		gap = (double) difference;
		gap = gap > MAX_GAP ? MAX_GAP : gap < -MAX_GAP ? -MAX_GAP : gap;
		c->gap += gain * ((float) gap - c->gap);
	}
	c->last_time = time;
}

/* Half of all counts are forgotten; which of the odd ones is rounded up changes. */
static void
halve_small(SpCalibrationSmall *s)
{
	SpCalibration *c = &s->head;
	unsigned	positive = 0;

	for (int i = 0; i < SP_CALIBRATION_SMALL_BINS; i++)
	{
		unsigned	chance = ((c->count + (unsigned) i) * 2654435761u >> 16) & 1;

		s->bins[i] = (uint8_t) ((s->bins[i] + chance) >> 1);
		positive += s->bins[i];
	}
	c->positive = positive;
	c->rest = floor(c->rest / 2);
}

/* Where weights have become large all are divided by the last. */
static void
rescale_full(SpCalibrationFull *s)
{
	float		factor = (float) (1.0 / s->weight);
	double		positive = 0.0;

	for (int i = 0; i <= s->head.top; i++)
	{
		s->bins[i] *= factor;
		if (s->bins[i] < 1e-20f)
			s->bins[i] = 0.0f;
		positive += s->bins[i];
	}
	s->head.positive = positive;
	s->head.rest *= factor;
	s->weight = 1.0;
}

static void
add_small(SpCalibrationSmall *s, int bin)
{
	SpCalibration *c = &s->head;

	if (bin < 0)
		c->rest += 1.0;
	else
	{
		s->bins[bin]++;
		c->positive += 1.0;
	}
	if ((bin >= 0 && s->bins[bin] == UINT8_MAX) || c->rest + c->positive >= c->memory)
		halve_small(s);
}

static void
add_full(SpCalibrationFull *s, int bin)
{
	SpCalibration *c = &s->head;

	s->weight *= 1.0 + 1.0 / c->memory;
	if (bin < 0)
		c->rest += s->weight;
	else
	{
		s->bins[bin] += (float) s->weight;
		c->positive += s->weight;
	}
	if (s->weight > MAX_WEIGHT)
		rescale_full(s);
}

void
sp_calibration_add(SpCalibration *c, SpCalibrationSize size, double score, int64_t time)
{
	int			bin = score > 0.0 ? find_bin(&scales[size], score) : -1;

	add_time(c, time);
	if (bin > c->top)
		c->top = bin;
	if (c->count < UINT32_MAX)
		c->count++;
	if (size == SP_CALIBRATION_SMALL)
		add_small((SpCalibrationSmall *) c, bin);
	else
		add_full((SpCalibrationFull *) c, bin);
}

/* ---- the tail ---- */

/* By probability-weighted moments of the excesses over an edge, uniform within each bin. */
static void
fit_tail(const SpCalibration *c, SpCalibrationSize size, Tail *tail)
{
	const Scale *scale = &scales[size];
	double		edge = get_edge(scale, tail->bin);
	double		above = 0.0;
	double		a0 = 0.0;
	double		a1 = 0.0;
	double		shape = 0.0;

	for (int i = c->top; i >= tail->bin; i--)
	{
		double		points = get_points(c, size, i);
		double		from;
		double		to;
		double		y;

		if (points == 0.0)
			continue;
		from = get_edge(scale, i);
		to = get_edge(scale, i + 1);
		y = 0.5 * (from + to) - edge;
		a0 += points * y;
		a1 += points * (y * (above + 0.5 * points) - (to - from) * points / 12.0);
		above += points;
	}
	a0 /= above;
	a1 /= above * above;
	if (tail->points >= SP_PARETO_MIN_FIT && a0 > 2.0 * a1)
		shape = 2.0 - a0 / (a0 - 2.0 * a1);
	shape *= tail->points / (tail->points + SHRINKAGE);
	shape = fmin(fmax(shape, scale->min_shape), MAX_SHAPE);
	tail->fit.shape = shape;
	tail->fit.scale = a0 * (1.0 - shape);
}

/* Where it begins, and what it looks like. */
static void
find_tail(const SpCalibration *c, SpCalibrationSize size, Tail *tail)
{
	double		weight = get_weight(c, size);
	double		wanted = fmax(TAIL_MIN_POINTS, fmin(TAIL_MAX_POINTS, TAIL_SHARE * c->positive / weight));
	double		points = 0.0;

	tail->bin = -1;
	tail->points = 0.0;
	tail->n = (c->rest + c->positive) / weight;
	for (int i = c->top; i >= 0 && points < wanted; i--)
	{
		double		own = get_points(c, size, i);

		if (own == 0.0)
			continue;
		points += own;
		tail->bin = i;
		tail->points = points;
	}
	if (tail->bin >= 0)
		fit_tail(c, size, tail);
}

/* P for points at or above. */
static double
get_probability(const Tail *tail, double points)
{
	return points < tail->n ? (points + 1.0) / (tail->n + 1.0) : 1.0;
}

/* ---- asking ---- */

double
sp_calibration_p_value(const SpCalibration *c, SpCalibrationSize size, double score)
{
	const Scale *scale = &scales[size];
	Tail		tail;
	double		points;
	int			bin;

	if (!(score > 0.0))
		return 1.0;
	find_tail(c, size, &tail);
	bin = find_bin(scale, score);
	if (tail.bin < 0 || bin == tail.bin)
		return get_probability(&tail, tail.points);
	if (bin > tail.bin)
		return fmax(LEAST_P, get_probability(&tail, tail.points) *
					exp(sp_pareto_log_survival(&tail.fit, score - get_edge(scale, tail.bin))));

	points = tail.points;
	for (int i = tail.bin - 1; i > bin; i--)
		points += get_points(c, size, i);
	if (size == SP_CALIBRATION_FULL)
		points += get_points(c, size, bin);
	else
	{
		double		from = get_edge(scale, bin);
		double		to = get_edge(scale, bin + 1);
		double		share = (to - score) / (to - from);

		points += get_points(c, size, bin) * (share < 0.5 ? 0.5 : share < 1.0 ? share : 1.0);
	}
	return get_probability(&tail, points);
}

/* A threshold in the body: the edge of the lowest bin that is still improbable enough. */
static double
get_body_threshold(const SpCalibration *c, SpCalibrationSize size, const Tail *tail, double p)
{
	double		points = tail->points;
	int			bin = tail->bin;

	while (bin > 0)
	{
		points += get_points(c, size, bin - 1);
		if (get_probability(tail, points) > p)
			break;
		bin--;
	}
	return bin == 0 ? 0.0 : nextafter(get_edge(&scales[size], bin), 0.0);
}

double
sp_calibration_threshold(const SpCalibration *c, SpCalibrationSize size, double p)
{
	const Scale *scale = &scales[size];
	Tail		tail;
	double		p_tail;
	double		threshold;

	if (c->count == 0)
		return NAN;
	find_tail(c, size, &tail);
	if (tail.bin < 0)
		return 0.0;
	p_tail = get_probability(&tail, tail.points);
	if (p_tail <= p)
		return get_body_threshold(c, size, &tail, p);
	threshold = get_edge(scale, tail.bin) + sp_pareto_quantile(&tail.fit, log(p / p_tail));
	threshold = fmax(threshold, get_edge(scale, tail.bin + 1));
	return sp_online_limit(threshold);
}

double
sp_calibration_events_per_day(const SpCalibration *c)
{
	if (c->count < 2 || !(c->gap > 0.0f))
		return 0.0;
	return DAY / c->gap;
}

double
sp_calibration_budget_threshold(const SpCalibration *c, SpCalibrationSize size,
								double alerts_per_day)
{
	double		events = sp_calibration_events_per_day(c);

	if (!(events > 0.0))
		return NAN;
	return sp_calibration_threshold(c, size, alerts_per_day / events);
}

/* ---- soundness ---- */

static bool
is_sound_small(const SpCalibrationSmall *s)
{
	double		positive = 0.0;

	for (int i = 0; i < SP_CALIBRATION_SMALL_BINS; i++)
	{
		if (s->bins[i] == UINT8_MAX || (i > s->head.top && s->bins[i] > 0))
			return false;
		positive += s->bins[i];
	}
	return positive == s->head.positive;
}

static bool
is_sound_full(const SpCalibrationFull *s)
{
	double		positive = 0.0;

	if (!(s->weight >= 1.0 && s->weight <= MAX_WEIGHT))
		return false;
	for (int i = 0; i < SP_CALIBRATION_FULL_BINS; i++)
	{
		if (!(s->bins[i] >= 0.0f && s->bins[i] <= 1e13f) || (i > s->head.top && s->bins[i] > 0.0f))
			return false;
		positive += s->bins[i];
	}
	return fabs(positive - s->head.positive) <= 0.01 * positive;
}

bool
sp_calibration_is_sound(const SpCalibration *c, SpCalibrationSize size)
{
	if (!(c->memory >= SP_CALIBRATION_MIN_MEMORY && c->memory <= SP_CALIBRATION_MAX_MEMORY))
		return false;
	if (!(c->rest >= 0.0 && c->rest <= 1e13) || !(c->positive >= 0.0 && c->positive <= 1e13))
		return false;
	if (!(fabsf(c->gap) <= 2.0f * (float) MAX_GAP) || c->top < 0 || c->top >= scales[size].nbins)
		return false;
	if ((c->count == 0) != (c->rest + c->positive == 0.0))
		return false;
	return size == SP_CALIBRATION_SMALL ? is_sound_small((const SpCalibrationSmall *) c) :
		is_sound_full((const SpCalibrationFull *) c);
}
