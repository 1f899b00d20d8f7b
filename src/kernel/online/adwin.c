/*
 * adwin.c
 *	  A window that is as long as its mean doesn't change.
 *
 * What is computed is in adwin.h.
 */
#include "kernel/online/adwin.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "kernel/online/nearest.h"

/* Squares stay below, so that none of a part is infinite. */
#define MAX_SQUARES (DBL_MAX / 16)
/* Values that are tried to find a normal one: to some 12 digits of how far it is to the mean. */
#define NEAREST_STEPS	40

#define FINE_OCTAVES 16.0		/* below 0, of a ratio */

/* The window with a point. */
typedef struct Window
{
	double		n;				/* the point included */
	double		before;			/* mean without the point; NaN: there is nothing */
	double		mean;			/* the point included */
	double		squares;
	double		rise;			/* the largest ratio where the newer mean is higher */
	double		fall;			/* likewise lower */
} Window;

/* The buckets from the oldest one on; row < 0: the point. */
typedef struct Position
{
	int			row;
	int			i;
} Position;

static const SpParam param_table[] = {
	{"delta", SP_PARAM_FLOAT, offsetof(SpAdwinParams, delta), 0.002, 1e-12, 0.5,
	"confidence: how probable a change may be said to be where there is none", NULL, NULL},
	{"range", SP_PARAM_FLOAT, offsetof(SpAdwinParams, range), NAN, 1e-300, 1e300,
	"width of the range that values are from", NULL, "the standard deviation"},
	{"max_buckets", SP_PARAM_INT, offsetof(SpAdwinParams, max_buckets), 5, 2, 32,
	"buckets of each size; more: changes are located more exactly", NULL, NULL},
	{"warmup", SP_PARAM_INT, offsetof(SpAdwinParams, warmup), 30, 2 * SP_ADWIN_LEAST, 1000000,
	"values in the window before there is a score", NULL, NULL}
};

static size_t
get_state_size(const void *params, int n)
{
	size_t		width = (size_t) ((const SpAdwinParams *) params)->max_buckets + 1;

	(void) n;
	return sizeof(SpAdwin) + SP_ADWIN_ROWS * width * sizeof(SpAdwinBucket);
}

/* ---- buckets ---- */

static const SpAdwinBucket *
get_row(const SpAdwin *s, const SpAdwinParams *params, int row)
{
	return s->buckets + (size_t) row * (size_t) (params->max_buckets + 1);
}

/* Leave empty rows. */
static Position
settle(const SpAdwin *s, Position p)
{
	while (p.row >= 0 && p.i >= s->nbuckets[p.row])
		p = (Position){p.row - 1, 0};
	return p;
}

/* The bucket that is the oldest when so many have been skipped. */
static Position
find_oldest(const SpAdwin *s, int skip)
{
	Position p = settle(s, (Position){SP_ADWIN_ROWS - 1, 0});

	for (; skip > 0 && p.row >= 0; skip--)
		p = settle(s, (Position){p.row, p.i + 1});
	return p;
}

/* Mean and squares of the window from that bucket to the point. */
static void
compute_moments(const SpAdwin *s, const SpAdwinParams *params, Position oldest, double x, Window *w)
{
	double		center = oldest.row < 0 ? x : get_row(s, params, oldest.row)[oldest.i].mean;
	double		sum = 0.0;

	w->n = 0.0;
	for (Position p = oldest; p.row >= 0; p = settle(s, (Position){p.row, p.i + 1}))
	{
		sum += (get_row(s, params, p.row)[p.i].mean - center) * (double) (INT64_C(1) << p.row);
		w->n += (double) (INT64_C(1) << p.row);
	}
	w->before = w->n > 0.0 ? center + sum / w->n : NAN;
	w->n += 1.0;
	w->mean = center + (sum + (x - center)) / w->n;
	w->squares = (x - w->mean) * (x - w->mean);
	for (Position p = oldest; p.row >= 0; p = settle(s, (Position){p.row, p.i + 1}))
	{
		const SpAdwinBucket *b = &get_row(s, params, p.row)[p.i];
		double		d = b->mean - w->mean;

		w->squares += b->squares + d * d * (double) (INT64_C(1) << p.row);
	}
}

/* The window from that bucket to the point, and its cuts. */
static Window
compute_window(const SpAdwin *s, const SpAdwinParams *params, Position oldest, double x)
{
	Window		w = {0.0, NAN, 0.0, 0.0, 0.0, 0.0};
	double		older = 0.0;	/* how many are before a cut */
	double		sum = 0.0;		/* of their deviations from the mean */
	double		deviation,
				log_term,
				root,
				linear;
	bool		any = false;

	compute_moments(s, params, oldest, x, &w);
	if (w.n < 2 * SP_ADWIN_LEAST)
		return w;
	log_term = log(2.0 * log(w.n) / params->delta);
	deviation = sqrt(w.squares / w.n);
	root = deviation * sqrt(2.0 * log_term);
	linear = (isnan(params->range) ? deviation : params->range) * (2.0 / 3.0) * log_term;
	for (Position p = oldest; p.row >= 0; p = settle(s, (Position){p.row, p.i + 1}))
	{
		double		size = (double) (INT64_C(1) << p.row);
		double		inverse,
					ratio;

		older += size;
		sum += (get_row(s, params, p.row)[p.i].mean - w.mean) * size;
		if (older < SP_ADWIN_LEAST || w.n - older < SP_ADWIN_LEAST)
			continue;
		inverse = 1.0 / older + 1.0 / (w.n - older);
		ratio = sp_online_limit(-sum * inverse / (root * sqrt(inverse) + linear * inverse));
		if (isnan(ratio))
			continue;
		w.rise = any ? fmax(w.rise, ratio) : ratio;
		w.fall = any ? fmax(w.fall, -ratio) : -ratio;
		any = true;
	}
	return w;
}

/* Drop the oldest buckets. */
static void
drop_buckets(SpAdwin *s, const SpAdwinParams *params, int n)
{
	for (int row = SP_ADWIN_ROWS - 1; row >= 0 && n > 0; row--)
	{
		SpAdwinBucket *buckets = (SpAdwinBucket *) get_row(s, params, row);
		int			dropped = n < s->nbuckets[row] ? n : s->nbuckets[row];
		int			left = s->nbuckets[row] - dropped;

		memmove(buckets, buckets + dropped, (size_t) left * sizeof(SpAdwinBucket));
		memset(buckets + left, 0, (size_t) dropped * sizeof(SpAdwinBucket));
		s->nbuckets[row] = left;
		n -= dropped;
	}
}

/* Put in a value, and make room in the rows. */
static void
insert(SpAdwin *s, const SpAdwinParams *params, double x)
{
	SpAdwinBucket bucket = {x, 0.0};

	for (int row = 0; row < SP_ADWIN_ROWS; row++)
	{
		SpAdwinBucket *buckets = (SpAdwinBucket *) get_row(s, params, row);
		int			n = s->nbuckets[row];
		double		d = (buckets[1].mean - buckets[0].mean) / 2.0;
		double		squares = buckets[0].squares + buckets[1].squares;

		buckets[n] = bucket;
		if (n < params->max_buckets)
		{
			s->nbuckets[row] = n + 1;
			return;
		}
		bucket.mean = buckets[0].mean + d;
		bucket.squares = squares + 2.0 * d * d * (double) (INT64_C(1) << row);
		n = params->max_buckets - 1;
		memmove(buckets, buckets + 2, (size_t) n * sizeof(SpAdwinBucket));
		memset(buckets + n, 0, 2 * sizeof(SpAdwinBucket));
		s->nbuckets[row] = n;
	}
}

/* ---- calls ---- */

/* The score of a window that is long enough. */
static double
get_score(const Window *w, const SpSetup *setup)
{
	double		score = setup->direction == SP_DIRECTION_HIGH ? w->rise :
		setup->direction == SP_DIRECTION_LOW ? w->fall : fmax(w->rise, w->fall);

	return !setup->is_fine ? score :
		sp_online_fine_score(score > 0.0 ? score : FINE_OCTAVES * score);
}

/* A model to look for normal values in. */
typedef struct Normality
{
	const SpAdwin *state;
	const SpSetup *setup;
} Normality;

static bool
is_normal(const void *model, const double *x)
{
	const SpAdwin *s = ((const Normality *) model)->state;
	const SpSetup *setup = ((const Normality *) model)->setup;
	Window		w = compute_window(s, setup->params, find_oldest(s, 0), x[0]);

	return !(get_score(&w, setup) > setup->threshold);
}

/* The value, instead of this one, with which there would be no change. */
static void
find_nearest(const SpAdwin *s, const Window *w, const SpSetup *setup, double x, double score,
			 SpExplanation *why)
{
	Normality	normality = {s, setup};
	SpFrame		frame = {w->before, fmax(fabs(0.5 * x - 0.5 * w->before), DBL_MIN)};
	SpNearest	search = {is_normal, &normality, 1, NEAREST_STEPS, &frame, NULL, 0};
	double		nearest;

	if (!(score > setup->threshold))
		why->nearest[0] = x;
	else if (isfinite(w->before) && sp_nearest_find(&search, &x, &nearest))
		why->nearest[0] = nearest;
}

/* Say what a window with its point means. */
static void
fill_score(const SpAdwin *s, const Window *w, const SpSetup *setup, double x, SpScore *result,
		   SpExplanation *why)
{
	const SpAdwinParams *params = setup->params;

	sp_online_clear_score(result);
	if (isfinite(w->before))
		result->expected = w->before;
	if (!(w->n > params->warmup))
		return;
	result->ready = true;
	result->score = get_score(w, setup);
	if (!sp_online_explains(setup, result, why))
		return;
	sp_online_clear_explanation(why, 1);
	why->nparts = 1;
	why->parts[0] = (SpPart){NULL, 0, result->score};
	why->expected[0] = result->expected;
	find_nearest(s, w, setup, x, result->score, why);
}

/* The score that is a change: with a budget of alerts the method's own, whatever is an alert. */
static double
get_change(const SpSetup *setup)
{
	return setup->is_fine ? SP_ADWIN_THRESHOLD : setup->threshold;
}

/* Learn a point whose window is known. */
static bool
learn_window(SpAdwin *s, const SpSetup *setup, double x, Window w)
{
	const SpAdwinParams *params = setup->params;
	int			skip = 0;

	if (!sp_online_can_learn(x) || !(w.squares <= MAX_SQUARES) || !isfinite(w.mean))
		return false;
	if (w.n > params->warmup)
	{
		while (fmax(w.rise, w.fall) > get_change(setup) && w.n > 1.0)
			w = compute_window(s, params, find_oldest(s, ++skip), x);
	}
	drop_buckets(s, params, skip);
	insert(s, params, x);
	s->count++;
	return true;
}

static void
score(const void *state, const SpSetup *setup, const SpPoint *point, SpScore *result,
	  SpExplanation *why)
{
	Window		w = compute_window(state, setup->params, find_oldest(state, 0), point->x[0]);

	fill_score(state, &w, setup, point->x[0], result, why);
}

static bool
learn(void *state, const SpSetup *setup, const SpPoint *point)
{
	return learn_window(state, setup, point->x[0],
						compute_window(state, setup->params, find_oldest(state, 0), point->x[0]));
}

static bool
step(void *state, const SpSetup *setup, const SpPoint *point, SpScore *result, SpExplanation *why)
{
	Window		w = compute_window(state, setup->params, find_oldest(state, 0), point->x[0]);

	fill_score(state, &w, setup, point->x[0], result, why);
	return learn_window(state, setup, point->x[0], w);
}

static bool
is_sound(const void *state, const SpSetup *setup)
{
	const SpAdwin *s = state;
	const SpAdwinParams *params = setup->params;

	if (s->count > INT64_MAX / 2)
		return false;
	for (int row = 0; row < SP_ADWIN_ROWS; row++)
	{
		if (s->nbuckets[row] < 0 || s->nbuckets[row] > params->max_buckets)
			return false;
		for (int i = 0; i < s->nbuckets[row]; i++)
		{
			const SpAdwinBucket *b = &get_row(s, params, row)[i];

			if (!isfinite(b->mean) || !(b->squares >= 0.0 && b->squares <= MAX_SQUARES))
				return false;
		}
	}
	return true;
}

const SpKernel sp_kernel_adwin = {
	.name = "adwin",
	.summary = "adaptive windowing: the mean of the newer values differs from the older ones'",
	.reference = "Bifet, Gavalda 2007",
	.takes = SP_TAKES_VALUE,
	.has_direction = true,
	.sums_up = true,
	.version = 1,
	.nparams = sizeof(param_table) / sizeof(param_table[0]),
	.param_table = param_table,
	.params_size = sizeof(SpAdwinParams),
	.threshold = SP_ADWIN_THRESHOLD,
	.get_state_size = get_state_size,
	.score = score,
	.learn = learn,
	.step = step,
	.is_sound = is_sound
};
