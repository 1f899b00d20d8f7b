/*
 * spot.c
 *	  Extreme values by their probability.
 *
 * The formulas are in spot.h.
 */
#include "kernel/online/spot.h"

#include <float.h>
#include <math.h>
#include <string.h>

#define MAX_COUNT	(INT64_C(1) << 60)
#define FINE_OCTAVES	4.0		/* from a tail to the middle between both */

#define PARAM_RISK \
	{"risk", SP_PARAM_FLOAT, offsetof(SpSpotParams, risk), 1e-4, 1e-12, 0.1, \
	"probability of a flagged value, in each tail", NULL, NULL}
#define PARAM_LEVEL \
	{"level", SP_PARAM_FLOAT, offsetof(SpSpotParams, level), 0.98, 0.8, 0.9999, \
	"quantile of the first values beyond which the tail is fitted", NULL, NULL}
#define PARAM_WARMUP \
	{"warmup", SP_PARAM_INT, offsetof(SpSpotParams, warmup), 1000, 10, 20000, \
	"values to learn before the first fit", NULL, NULL}
#define PARAM_MAX_EXCESSES \
	{"max_excesses", SP_PARAM_INT, offsetof(SpSpotParams, max_excesses), 200, 10, 10000, \
	"excesses kept of each tail, the last ones", NULL, NULL}

static const SpParam spot_table[] = {
	PARAM_RISK, PARAM_LEVEL, PARAM_WARMUP, PARAM_MAX_EXCESSES
};

static const SpParam dspot_table[] = {
	PARAM_RISK, PARAM_LEVEL, PARAM_WARMUP, PARAM_MAX_EXCESSES,
	{"depth", SP_PARAM_INT, offsetof(SpSpotParams, depth), 20, 1, 20000,
	"values whose mean is subtracted", NULL, NULL}
};

/* ---- parameters ---- */

/* The rank, from 0, of the upper threshold. */
static int
get_rank(const SpSpotParams *params)
{
	int			rank = (int) (params->level * params->warmup);

	return rank < params->warmup ? rank : params->warmup - 1;
}

static const char *
get_conflict(const void *params, int n)
{
	const SpSpotParams *p = params;

	(void) n;
	if (p->warmup - 1 - get_rank(p) > p->max_excesses)
		return "\"max_excesses\" is less than the values of the warm-up beyond \"level\"";
	return NULL;
}

static double
get_threshold(const void *params, int n)
{
	(void) n;
	return -log10(((const SpSpotParams *) params)->risk);
}

static size_t
get_state_size(const void *params, int n)
{
	const SpSpotParams *p = params;
	int			shared = p->warmup > 2 * p->max_excesses ? p->warmup : 2 * p->max_excesses;

	(void) n;
	return sizeof(SpSpot) + sizeof(double) * (size_t) (p->depth + shared);
}

static double *
get_warmup(SpSpot *s, const SpSpotParams *params)
{
	return s->memory + params->depth;
}

static double *
get_excesses(SpSpot *s, const SpSpotParams *params, SpSpotSide side)
{
	return s->memory + params->depth + (side == SP_SPOT_UPPER ? 0 : params->max_excesses);
}

static bool
is_looked_at(const SpSetup *setup, SpSpotSide side)
{
	return setup->direction == SP_DIRECTION_BOTH ||
		(setup->direction == SP_DIRECTION_HIGH) == (side == SP_SPOT_UPPER);
}

/* k: all values but those that only filled the mean, and those before it was set back. */
static int64_t
get_known(const SpSpot *s, const SpSpotParams *params)
{
	return s->count - params->depth - s->forgotten;
}

/* By how much is x' beyond the tail's threshold?  <= 0: it isn't. */
static double
get_excess(const SpSpotTail *tail, SpSpotSide side, double x)
{
	double		excess = side == SP_SPOT_UPPER ? x - tail->t : tail->t - x;

	return excess > DBL_MAX ? DBL_MAX : excess;
}

/* ---- scores ---- */

/* Where in a tail its fit ends, and the logarithms of probabilities up to there. */
typedef struct Reach
{
	double		log_rate;		/* N / k */
	double		log_end;		/* at the end; -infinity: there is none */
	double		end;			/* the excess there */
} Reach;

static Reach
get_reach(const SpSpotTail *tail, const SpSpotParams *params, int64_t known)
{
	Reach		reach = {log((double) tail->npeaks / (double) known), -INFINITY, INFINITY};

	if (tail->fit.shape < 0.0)
	{
		reach.log_end = fmin(reach.log_rate, log(params->risk));
		reach.end = sp_pareto_quantile(&tail->fit, reach.log_end - reach.log_rate);
	}
	return reach;
}

/* The score of an excess. */
static double
score_excess(const SpSpotTail *tail, const SpSpotParams *params, int64_t known, double excess)
{
	Reach		reach;
	double		log_p;

	if (!(excess > 0.0))
		return 0.0;
	if (tail->npeaks == 0)
		return SP_SCORE_MAX;
	reach = get_reach(tail, params, known);
	if (excess > reach.end)
		log_p = reach.log_end - (excess - reach.end) / tail->fit.scale;
	else
		log_p = fmax(reach.log_end,
					 reach.log_rate + sp_pareto_log_survival(&tail->fit, excess));
	return log_p < 0.0 ? sp_online_limit(-log_p / M_LN10) : 0.0;
}

/* Half of the distance between the tails. */
static double
get_half_width(const SpSpot *s)
{
	return 0.5 * s->tails[SP_SPOT_UPPER].t - 0.5 * s->tails[SP_SPOT_LOWER].t;
}

/* A fine score: that of an excess, or how near to a tail a value is that isn't in it. */
static double
score_finely(const SpSpot *s, SpSpotSide side, const SpSpotParams *params, int64_t known,
			 double excess)
{
	double		width = get_half_width(s);

	if (excess > 0.0)
		return sp_online_fine_score(score_excess(&s->tails[side], params, known, excess));
	return sp_online_fine_score(excess < 0.0 ? FINE_OCTAVES * excess / width : 0.0);
}

/* The bound of a fine threshold that is reached before the tail; both of them at most meet. */
static double
get_inner_bound(const SpSpot *s, SpSpotSide side, const SpSetup *setup, double statistic)
{
	double		width = get_half_width(s);
	double		distance = width > 0.0 ? -statistic / FINE_OCTAVES * width : 0.0;
	double		bound;

	if (setup->direction == SP_DIRECTION_BOTH)
		distance = fmin(distance, width);
	bound = s->tails[side].t + (side == SP_SPOT_UPPER ? -distance : distance) + s->mean;
	return bound > DBL_MAX ? DBL_MAX : bound < -DBL_MAX ? -DBL_MAX : bound;
}

/* Where in a tail the score is that. */
static double
get_bound(const SpSpot *s, SpSpotSide side, const SpSetup *setup, int64_t known)
{
	const SpSpotTail *tail = &s->tails[side];
	double		threshold = setup->is_fine ? sp_online_fine_statistic(setup->threshold) :
		setup->threshold;
	double		bound = tail->t;

	if (setup->is_fine && threshold <= 0.0)
		return get_inner_bound(s, side, setup, threshold);
	if (tail->npeaks > 0)
	{
		Reach		reach = get_reach(tail, setup->params, known);
		double		log_p = -threshold * M_LN10;
		double		excess = log_p < reach.log_end ?
			reach.end + (reach.log_end - log_p) * tail->fit.scale :
			sp_pareto_quantile(&tail->fit, log_p - reach.log_rate);

		bound += side == SP_SPOT_UPPER ? excess : -excess;
	}
	bound += s->mean;
	return bound > DBL_MAX ? DBL_MAX : bound < -DBL_MAX ? -DBL_MAX : bound;
}

static void
score(const void *state, const SpSetup *setup, const SpPoint *point, SpScore *result,
	  SpExplanation *why)
{
	const SpSpot *s = state;
	const SpSpotParams *params = setup->params;
	int64_t		known = get_known(s, params);

	sp_online_clear_score(result);
	if (params->depth > 0 && known >= 0)
		result->expected = s->mean;
	if (known < params->warmup)
		return;
	result->ready = true;
	for (int side = SP_SPOT_UPPER; side <= SP_SPOT_LOWER; side++)
	{
		const SpSpotTail *tail = &s->tails[side];
		double		excess = get_excess(tail, (SpSpotSide) side, point->x[0] - s->mean);
		double		bound;

		if (!is_looked_at(setup, (SpSpotSide) side))
			continue;
		result->score = fmax(result->score, setup->is_fine ?
							 score_finely(s, (SpSpotSide) side, params, known, excess) :
							 score_excess(tail, params, known, excess));
		bound = get_bound(s, (SpSpotSide) side, setup, known);
		if (side == SP_SPOT_UPPER)
			result->upper_bound = bound;
		else
			result->lower_bound = bound;
	}
	if (!sp_online_explains(setup, result, why))
		return;
	sp_online_clear_explanation(why, 1);
	why->nparts = 1;
	why->parts[0] = (SpPart){NULL, 0, result->score};
	why->expected[0] = result->expected;
	why->lower[0] = result->lower_bound;
	why->upper[0] = result->upper_bound;
}

static double
get_p_value(const SpSetup *setup, double score)
{
	double		p = exp(-score * M_LN10);

	return setup->direction != SP_DIRECTION_BOTH ? p : p < 0.5 ? 2.0 * p : 1.0;
}

/* ---- learning ---- */

/* A double's bits, in the order of the numbers. */
static uint64_t
get_order(double x)
{
	uint64_t	bits;

	x += 0.0;					/* no -0 */
	memcpy(&bits, &x, sizeof(bits));
	return bits >> 63 ? ~bits : bits | UINT64_C(1) << 63;
}

/* The value of a rank, from 0, by bisection of all doubles: needs no memory. */
static double
select_rank(const double *x, int n, int rank)
{
	uint64_t	from = 0;
	uint64_t	to = UINT64_MAX;
	double		result = 0.0;

	/* the least number with more than `rank` values up to it */
	while (from < to)
	{
		uint64_t	middle = from + (to - from) / 2;
		int			below = 0;

		for (int i = 0; i < n; i++)
			below += get_order(x[i]) <= middle;
		if (below > rank)
			to = middle;
		else
			from = middle + 1;
	}
	for (int i = 0; i < n; i++)
	{
		if (get_order(x[i]) == from)
			result = x[i];
	}
	return result;
}

/* Another excess, in the place of the oldest. */
static void
add_excess(SpSpot *s, const SpSpotParams *params, SpSpotSide side, double excess)
{
	SpSpotTail *tail = &s->tails[side];
	double	   *excesses = get_excesses(s, params, side);

	excesses[tail->next] = excess;
	tail->next = tail->next + 1 == params->max_excesses ? 0 : tail->next + 1;
	if (tail->nkept < params->max_excesses)
		tail->nkept++;
	tail->npeaks++;
}

/*
 * The values beyond either threshold, in their order, first those above, at the beginning of the
 * memory; of those there are *nupper.  Returns how many there are.
 */
static int
gather_peaks(const SpSpotTail *tails, double *x, int n, int *nupper)
{
	int			npeaks = 0;

	*nupper = 0;
	for (int i = 0; i < n; i++)
	{
		if (x[i] > tails[SP_SPOT_UPPER].t || x[i] < tails[SP_SPOT_LOWER].t)
			x[npeaks++] = x[i];
	}
	for (int i = 0; i < npeaks; i++)
	{
		double		peak = x[i];

		if (!(peak > tails[SP_SPOT_UPPER].t))
			continue;
		memmove(x + *nupper + 1, x + *nupper, sizeof(double) * (size_t) (i - *nupper));
		x[(*nupper)++] = peak;
	}
	return npeaks;
}

static void
fit_tail(SpSpot *s, const SpSpotParams *params, SpSpotSide side)
{
	SpSpotTail *tail = &s->tails[side];

	if (tail->nkept > 0)
		sp_pareto_fit(get_excesses(s, params, side), tail->nkept, &tail->fit);
}

/* The values of the warm-up become thresholds and excesses. */
static void
calibrate(SpSpot *s, const SpSpotParams *params)
{
	double	   *x = get_warmup(s, params);
	int			n = params->warmup;
	int			rank = get_rank(params);
	int			nupper;
	int			npeaks;

	s->tails[SP_SPOT_UPPER].t = select_rank(x, n, rank);
	s->tails[SP_SPOT_LOWER].t = select_rank(x, n, n - 1 - rank);
	npeaks = gather_peaks(s->tails, x, n, &nupper);

	/* the lower ones first: theirs may be the place where the others end */
	memmove(x + params->max_excesses, x + nupper, sizeof(double) * (size_t) (npeaks - nupper));
	for (int i = 0; i < npeaks - nupper; i++)
	{
		add_excess(s, params, SP_SPOT_LOWER,
				   get_excess(&s->tails[SP_SPOT_LOWER], SP_SPOT_LOWER, x[params->max_excesses + i]));
	}
	for (int i = 0; i < nupper; i++)
	{
		add_excess(s, params, SP_SPOT_UPPER,
				   get_excess(&s->tails[SP_SPOT_UPPER], SP_SPOT_UPPER, x[i]));
	}
	for (int side = SP_SPOT_UPPER; side <= SP_SPOT_LOWER; side++)
	{
		double	   *excesses = get_excesses(s, params, (SpSpotSide) side);
		int			end = side == SP_SPOT_UPPER ? params->max_excesses :
			(params->warmup > 2 * params->max_excesses ? params->warmup : 2 * params->max_excesses) -
			params->max_excesses;

		for (int i = s->tails[side].nkept; i < end; i++)
			excesses[i] = 0.0;
		fit_tail(s, params, (SpSpotSide) side);
	}
}

/* The last `depth` values learned, and their mean. */
static void
push_value(SpSpot *s, const SpSpotParams *params, double x)
{
	int			depth = params->depth;
	int			place;
	double		share;

	if (depth == 0)
		return;
	place = (int) (s->count % depth);
	share = 1.0 / depth;
	s->mean += x * share - s->memory[place] * share;
	s->memory[place] = x;
	if (place == depth - 1)
	{
		/* errors of rounding don't add up for longer than a round */
		s->mean = 0.0;
		for (int i = 0; i < depth; i++)
			s->mean += s->memory[i] * share;
	}
	s->mean = fmax(fmin(s->mean, DBL_MAX), -DBL_MAX);
}

/* An x' after the warm-up; false: it is too improbable to be learned. */
static bool
learn_known(SpSpot *s, const SpSetup *setup, double x)
{
	const SpSpotParams *params = setup->params;
	int64_t		known = get_known(s, params);
	double		limit = -log10(params->risk);

	for (int side = SP_SPOT_UPPER; side <= SP_SPOT_LOWER; side++)
	{
		SpSpotTail *tail = &s->tails[side];
		double		excess = get_excess(tail, (SpSpotSide) side, x);

		if (!(excess > 0.0) || !is_looked_at(setup, (SpSpotSide) side))
			continue;
		if (tail->npeaks > 0 && score_excess(tail, params, known, excess) > limit)
			return false;
		add_excess(s, params, (SpSpotSide) side, excess);
		fit_tail(s, params, (SpSpotSide) side);
	}
	return true;
}

/* ---- another level ---- */

static double
clamp(double x)
{
	return fmax(fmin(x, DBL_MAX), -DBL_MAX);
}

/* The refused values in order, less the mean; returns how many there are. */
static int
sort_run(const SpSpot *s, double *sorted)
{
	int			n = s->run.next < SP_SPOT_RUN ? s->run.next : SP_SPOT_RUN;

	for (int i = 0; i < n; i++)
	{
		double		x = clamp(s->run.last[i] - s->mean);
		int			at = i;

		for (; at > 0 && sorted[at - 1] > x; at--)
			sorted[at] = sorted[at - 1];
		sorted[at] = x;
	}
	return n;
}

/* Excesses by a factor >= 1. */
static void
stretch_tail(SpSpot *s, const SpSpotParams *params, SpSpotSide side, double factor)
{
	double	   *excesses = get_excesses(s, params, side);

	for (int i = 0; i < s->tails[side].nkept; i++)
		excesses[i] = fmin(excesses[i] * factor, DBL_MAX);
	fit_tail(s, params, side);
}

/* The values of dspot's mean, and it with them. */
static void
shift_values(SpSpot *s, const SpSpotParams *params, double by)
{
	s->mean = 0.0;
	for (int i = 0; i < params->depth; i++)
	{
		s->memory[i] = clamp(s->memory[i] + by);
		s->mean += s->memory[i] / params->depth;
	}
	s->mean = clamp(s->mean);
}

/* k set back to warmup, with N in the same proportion. */
static void
forget(SpSpot *s, const SpSpotParams *params)
{
	double		share = (double) params->warmup / (double) get_known(s, params);

	for (int side = SP_SPOT_UPPER; side <= SP_SPOT_LOWER; side++)
	{
		if (s->tails[side].npeaks > 0)
			s->tails[side].npeaks = (int64_t) fmax(1.0, (double) s->tails[side].npeaks * share);
	}
	s->forgotten = s->count - params->depth - params->warmup;
}

/* The model moves to where the refused values are. */
static void
move(SpSpot *s, const SpSpotParams *params)
{
	SpSpotTail *tails = s->tails;
	double		sorted[SP_SPOT_RUN];
	int			n = sort_run(s, sorted);
	double		median = 0.5 * sorted[(n - 1) / 2] + 0.5 * sorted[n / 2];
	double		width = 0.5 * sorted[n - 1 - n / SP_SPOT_RUN] - 0.5 * sorted[n / SP_SPOT_RUN];
	double		center = 0.5 * tails[SP_SPOT_UPPER].t + 0.5 * tails[SP_SPOT_LOWER].t;
	double		last_width = 0.5 * tails[SP_SPOT_UPPER].t - 0.5 * tails[SP_SPOT_LOWER].t;

	width = fmax(width, last_width);
	for (int side = SP_SPOT_UPPER; side <= SP_SPOT_LOWER && width > last_width && last_width > 0; side++)
		stretch_tail(s, params, (SpSpotSide) side, width / last_width);
	if (params->depth > 0)
		shift_values(s, params, clamp(median - center));
	else
		center = median;
	tails[SP_SPOT_UPPER].t = clamp(center + width);
	tails[SP_SPOT_LOWER].t = clamp(center - width);
	forget(s, params);
	memset(&s->run, 0, sizeof(s->run));
}

/* A value that isn't learned. */
static void
note_refused(SpSpot *s, double x)
{
	SpSpotRun  *run = &s->run;

	run->last[run->next % SP_SPOT_RUN] = x;
	run->next = run->next + 1 == 2 * SP_SPOT_RUN ? SP_SPOT_RUN : run->next + 1;
	if (run->surplus < INT32_MAX)
		run->surplus++;
}

static void
note_learned(SpSpot *s)
{
	if (s->run.surplus == 0)
		return;
	s->run.surplus--;
	if (s->run.surplus == 0)
		memset(&s->run, 0, sizeof(s->run));
}

/* ---- learning, whatever is known ---- */

static bool
learn(void *state, const SpSetup *setup, const SpPoint *point)
{
	SpSpot	   *s = state;
	const SpSpotParams *params = setup->params;
	int64_t		known = get_known(s, params);
	double		x = point->x[0];
	double		difference = x - s->mean;

	if (known >= 0)
	{
		if (!isfinite(difference))
			return false;
		if (known < params->warmup)
			get_warmup(s, params)[known] = difference;
		else if (!learn_known(s, setup, difference))
		{
			if (setup->escape == 0)
				return true;
			note_refused(s, x);
			if (s->run.surplus >= setup->escape)
				move(s, params);
			return true;
		}
		note_learned(s);
	}
	push_value(s, params, x);
	s->count++;
	if (known + 1 == params->warmup && s->forgotten == 0)
		calibrate(s, params);
	return true;
}

/* What the detector doesn't want to be learned is as good as refused. */
static void
pass(void *state, const SpSetup *setup, const SpPoint *point)
{
	SpSpot	   *s = state;

	if (setup->escape > 0 && get_known(s, setup->params) >= ((const SpSpotParams *) setup->params)->warmup)
		note_refused(s, point->x[0]);
}

static int64_t
get_needed(const void *params, int n)
{
	const SpSpotParams *p = params;

	(void) n;
	return (int64_t) p->depth + p->warmup;
}

/* ---- soundness ---- */

static bool
is_sound_tail(const SpSpotTail *tail, const SpSpotParams *params, int64_t known,
			  const double *excesses)
{
	if (!isfinite(tail->t) || tail->npeaks < 0 || tail->npeaks > known)
		return false;
	if (tail->nkept < 0 || tail->nkept > params->max_excesses ||
		(tail->nkept == 0) != (tail->npeaks == 0))
		return false;
	if (tail->next < 0 || tail->next >= params->max_excesses)
		return false;
	if (tail->nkept < params->max_excesses && tail->next != tail->nkept)
		return false;
	for (int i = 0; i < tail->nkept; i++)
	{
		if (!(excesses[i] > 0.0 && excesses[i] <= DBL_MAX))
			return false;
	}
	return tail->nkept == 0 ||
		(tail->fit.shape >= SP_PARETO_MIN_SHAPE && tail->fit.shape <= SP_PARETO_MAX_SHAPE &&
		 tail->fit.scale >= DBL_MIN && tail->fit.scale <= DBL_MAX);
}

static bool
is_sound_run(const SpSpotRun *run)
{
	return run->surplus >= 0 && run->next >= 0 && run->next < 2 * SP_SPOT_RUN &&
		(run->surplus == 0) == (run->next == 0) && sp_online_is_finite(run->last, SP_SPOT_RUN);
}

static bool
is_sound(const void *state, const SpSetup *setup)
{
	const SpSpot *s = state;
	const SpSpotParams *params = setup->params;
	const double *warmup = s->memory + params->depth;
	int64_t		known;

	if (s->count < 0 || s->count > MAX_COUNT || !isfinite(s->mean) || !is_sound_run(&s->run))
		return false;
	if (params->depth == 0 ? s->mean != 0.0 : !sp_online_is_finite(s->memory, params->depth))
		return false;
	if (s->forgotten < 0 || s->forgotten > s->count)
		return false;
	known = get_known(s, params);
	if (known < params->warmup)
	{
		/* of the tails nothing is known yet */
		static const SpSpotTail none;

		return s->forgotten == 0 && s->run.next == 0 &&
			memcmp(&s->tails[SP_SPOT_UPPER], &none, sizeof(none)) == 0 &&
			memcmp(&s->tails[SP_SPOT_LOWER], &none, sizeof(none)) == 0 &&
			sp_online_is_finite(warmup, params->warmup);
	}
	return s->tails[SP_SPOT_LOWER].t <= s->tails[SP_SPOT_UPPER].t &&
		is_sound_tail(&s->tails[SP_SPOT_UPPER], params, known, warmup) &&
		is_sound_tail(&s->tails[SP_SPOT_LOWER], params, known, warmup + params->max_excesses);
}

#define CALLS \
	.takes = SP_TAKES_VALUE, \
	.has_direction = true, \
	.sums_up = true, \
	.version = 2, \
	.params_size = sizeof(SpSpotParams), \
	.conflict = get_conflict, \
	.get_threshold = get_threshold, \
	.get_state_size = get_state_size, \
	.score = score, \
	.learn = learn, \
	.pass = pass, \
	.p_value = get_p_value, \
	.get_needed = get_needed, \
	.is_sound = is_sound

const SpKernel sp_kernel_spot = {
	.name = "spot",
	.summary = "probability of a value by the tail fitted to the extremes before, for a given risk",
	.reference = "Siffer, Fouque, Termier, Largouet 2017; Grimshaw 1993",
	.nparams = sizeof(spot_table) / sizeof(spot_table[0]),
	.param_table = spot_table,
	CALLS
};

const SpKernel sp_kernel_dspot = {
	.name = "dspot",
	.summary = "the same of the difference from a moving mean: for series that drift",
	.reference = "Siffer, Fouque, Termier, Largouet 2017; Grimshaw 1993",
	.nparams = sizeof(dspot_table) / sizeof(dspot_table[0]),
	.param_table = dspot_table,
	CALLS
};
