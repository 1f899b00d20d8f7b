/*
 * half_space_trees.c
 *	  How little of the last window lies where a point does, in trees of halved spaces.
 *
 * The method is in half_space_trees.h.
 */
#include "kernel/online/half_space_trees.h"

#include <math.h>
#include <string.h>

#include "kernel/online/frame.h"
#include "kernel/online/half_space.h"
#include "kernel/online/nearest.h"
#include "kernel/online/random.h"

#define SAMPLE		64			/* values of a window that frame and scale are told from */
#define MAX_DEPTH	15
#define MIN_SCALE	0.5			/* bits */
#define SMOOTHING	0.3			/* weight of the newest window in the scale */

/* From there on a value lies beyond its feature's bulk. */
#define BEYOND_LIMIT	1.25

/* Points that are tried to find a normal one. */
#define NEAREST_STEPS	11

/* Trees that are walked side by side; the product of so many masses is a number. */
#define BATCH		32

typedef SpHalfSpaceTreesParams Params;

/*
 * Followed by frames of the reference [n], frames of the latest [n], the sample [SAMPLE][n]; the
 * masses beyond the limits, of the reference and the latest, low and high [2][n][2]; then by tree:
 * reference masses [2 leaves], by node, the first unused; latest masses [leaves].
 */
typedef struct State
{
	uint64_t	count;			/* values learned */
	double		location;		/* of S in the reference */
	double		scale;
	SpFrame		frames[];
} State;

/* The state's parts and what follows from the parameters. */
typedef struct View
{
	State	   *state;
	const Params *params;
	int			n;
	int			leaves;
	int			sample_count;
	uint32_t	limit;			/* mass of a node where a path ends */
	SpFrame    *reference_frames;
	SpFrame    *latest_frames;
	double	   *sample;
	uint16_t   *reference_beyond;	/* [2 f]: below the limit, [2 f + 1]: above */
	uint16_t   *latest_beyond;
	uint16_t   *masses;			/* of the trees */
} View;

/* Some trees on the way down. */
typedef struct Batch
{
	int			first;			/* their numbers */
	int			count;
	uint64_t	keys[BATCH];
	uint32_t	nodes[BATCH];
	uint32_t	masses[BATCH];	/* of the last node that the reference tells of */
	int			depths[BATCH];	/* its depth */
	uint32_t	digits[BATCH][SP_MAX_FEATURES];
} Batch;

static const SpParam param_table[] = {
	{"trees", SP_PARAM_INT, offsetof(Params, trees), 25, 1, 200,
	"number of trees", NULL, NULL},
	{"depth", SP_PARAM_INT, offsetof(Params, depth), 8, 1, MAX_DEPTH,
	"how often a tree halves its space", NULL, NULL},
	{"window", SP_PARAM_INT, offsetof(Params, window), 250, 32, 65535,
	"events after which what they were becomes the reference, and before the first score",
	NULL, NULL},
	{"size_limit", SP_PARAM_FLOAT, offsetof(Params, size_limit), 0.1, 0.0, 0.5,
	"part of the window: with so few in a node its halves are looked at no more", NULL, NULL},
	{"seed", SP_PARAM_INT, offsetof(Params, seed), 42, 0, INT32_MAX,
	"decides what the trees halve", NULL, NULL}
};

static size_t
masses_of_tree(const View *v)
{
	return (size_t) v->leaves * 3;
}

static View
get_view(const void *state, const SpSetup *setup)
{
	View		v;

	v.state = (State *) state;
	v.params = setup->params;
	v.n = setup->n;
	v.leaves = 1 << v.params->depth;
	v.sample_count = v.params->window < SAMPLE ? v.params->window : SAMPLE;
	v.limit = (uint32_t) (v.params->size_limit * v.params->window);
	v.reference_frames = v.state->frames;
	v.latest_frames = v.reference_frames + v.n;
	v.sample = (double *) (v.latest_frames + v.n);
	v.reference_beyond = (uint16_t *) (v.sample + (size_t) SAMPLE * v.n);
	v.latest_beyond = v.reference_beyond + 2 * v.n;
	v.masses = v.latest_beyond + 2 * v.n;
	return v;
}

static uint16_t *
reference_masses(const View *v, int tree)
{
	return v->masses + masses_of_tree(v) * (size_t) tree;
}

static uint16_t *
latest_masses(const View *v, int tree)
{
	return reference_masses(v, tree) + 2 * (size_t) v->leaves;
}

static size_t
get_state_size(const void *params, int n)
{
	const Params *p = params;
	size_t		masses = sizeof(uint16_t) *
		(3 * ((size_t) 1 << p->depth) * (size_t) p->trees + 4 * (size_t) n);

	return sizeof(State) + (size_t) n * (2 * sizeof(SpFrame) + SAMPLE * sizeof(double)) +
		((masses + 7) & ~(size_t) 7);
}

/* ---- trees ---- */

static uint64_t
get_key(const View *v, int tree)
{
	return sp_random_at((uint64_t) v->params->seed, (uint64_t) tree);
}

/* Put a point in frames: by feature, in units of 2^-SP_PLACE_BITS of the scale. */
static void
find_places(const SpFrame *frames, const double *x, int n, int64_t *places)
{
	for (int f = 0; f < n; f++)
		places[f] = (int64_t) (sp_frame_place(&frames[f], x[f], SP_PLACE_LIMIT) * SP_PLACE_UNIT);
}

/* A mass without what the point itself is of it. */
static inline uint32_t
subtract(uint32_t mass, uint32_t own)
{
	return mass > own ? mass - own : 0;
}

/*
 * Walk a batch of trees down to the leaves, noting where the reference ends the paths.  All by a
 * level, then by the next: what a step takes is mostly waiting for the one before.
 */
static void
walk_batch(const View *v, const int64_t *places, uint32_t own, Batch *batch)
{
	size_t		stride = masses_of_tree(v);
	const uint16_t *reference = reference_masses(v, batch->first);

	for (int t = 0; t < batch->count; t++)
	{
		batch->keys[t] = get_key(v, batch->first + t);
		batch->nodes[t] = 1;
		batch->masses[t] = subtract(reference[(size_t) t * stride + 1], own);
		batch->depths[t] = 0;
		sp_half_space_digits(batch->keys[t], places, v->n, batch->digits[t]);
	}
	for (int level = 0; level < v->params->depth; level++)
	{
		for (int t = 0; t < batch->count; t++)
		{
			uint32_t	node = sp_half_space_descend(batch->keys[t], batch->nodes[t], v->n, batch->digits[t]);
			uint32_t	mass = subtract(reference[(size_t) t * stride + node], own);
			bool		goes_on = batch->masses[t] > v->limit;

			batch->nodes[t] = node;
			batch->masses[t] = goes_on ? mass : batch->masses[t];
			batch->depths[t] += goes_on;
		}
	}
}

/*
 * Walk down the trees with a point.  Returns S of it, less log2(window + 1/2).  own is what the
 * point itself adds to each mass, 0 or 1.
 */
static double
walk(const View *v, const int64_t *places, uint32_t own, bool learns)
{
	double		sum = 0.0;
	int			depths = 0;
	Batch		batch;

	for (batch.first = 0; batch.first < v->params->trees; batch.first += BATCH)
	{
		double		product = 1.0;

		batch.count = v->params->trees - batch.first;
		batch.count = batch.count < BATCH ? batch.count : BATCH;
		walk_batch(v, places, own, &batch);
		for (int t = 0; t < batch.count; t++)
		{
			product *= batch.masses[t] + 0.5;
			depths += batch.depths[t];
			if (learns)
				latest_masses(v, batch.first + t)[batch.nodes[t] - (uint32_t) v->leaves]++;
		}
		sum += log2(product);
	}
	return -(sum + depths) / v->params->trees;
}

/* On which side does a feature lie beyond its bulk?  -1: it doesn't. */
static inline int
get_side(int64_t place)
{
	return place > (int64_t) (BEYOND_LIMIT * SP_PLACE_UNIT) ? 1 :
		place < -(int64_t) (BEYOND_LIMIT * SP_PLACE_UNIT) ? 0 : -1;
}

/* The feature that lies where there is least beyond, -1 if none does, and -log2 of that mass. */
static int
find_beyond(const View *v, const int64_t *places, uint32_t own, double *surprise)
{
	int			feature = -1;
	uint32_t	least = UINT32_MAX;

	for (int f = 0; f < v->n; f++)
	{
		int			side = get_side(places[f]);
		uint32_t	mass;

		if (side < 0)
			continue;
		mass = subtract(v->reference_beyond[2 * f + side], own);
		if (mass < least)
		{
			least = mass;
			feature = f;
		}
	}
	*surprise = feature < 0 ? -INFINITY : -log2(least + 0.5);
	return feature;
}

/* Learn a point beyond the bulk. */
static void
learn_beyond(const View *v, const int64_t *places)
{
	for (int f = 0; f < v->n; f++)
	{
		if (get_side(places[f]) >= 0)
			v->latest_beyond[2 * f + get_side(places[f])]++;
	}
}

/* S of a point, and learn it if it should be. */
static double
get_surprise(const View *v, const int64_t *places, uint32_t own, bool learns)
{
	double		beyond;
	double		surprise = walk(v, places, own, learns);

	find_beyond(v, places, own, &beyond);
	if (learns)
		learn_beyond(v, places);
	return log2(v->params->window - own + 0.5) + fmax(surprise, beyond);
}

/* The score of a surprise. */
static double
get_score(const View *v, double surprise)
{
	return fmax(0.0, (surprise - v->state->location) / v->state->scale);
}

/* ---- windows ---- */

/* The masses of the leaves become the reference, with those of the inner nodes. */
static void
turn_masses(const View *v)
{
	for (int tree = 0; tree < v->params->trees; tree++)
	{
		uint16_t   *reference = reference_masses(v, tree);
		uint16_t   *latest = latest_masses(v, tree);

		memcpy(reference + v->leaves, latest, (size_t) v->leaves * sizeof(uint16_t));
		memset(latest, 0, (size_t) v->leaves * sizeof(uint16_t));
		for (int node = v->leaves - 1; node > 0; node--)
			reference[node] = reference[2 * node] + reference[2 * node + 1];
	}
	memcpy(v->reference_beyond, v->latest_beyond, 2 * (size_t) v->n * sizeof(uint16_t));
	memset(v->latest_beyond, 0, 2 * (size_t) v->n * sizeof(uint16_t));
	memcpy(v->reference_frames, v->latest_frames, (size_t) v->n * sizeof(SpFrame));
}

/* Location and scale of S among the sample, each value against the others. */
static void
measure_window(const View *v)
{
	double		surprise[SAMPLE];
	double		mean = 0.0;
	double		square = 0.0;
	int			above = 0;

	for (int i = 0; i < v->sample_count; i++)
	{
		int64_t		places[SP_MAX_FEATURES];

		find_places(v->reference_frames, v->sample + (size_t) i * v->n, v->n, places);
		surprise[i] = get_surprise(v, places, 1, false);
		mean += surprise[i];
	}
	mean /= v->sample_count;
	for (int i = 0; i < v->sample_count; i++)
	{
		if (surprise[i] > mean)
		{
			square += (surprise[i] - mean) * (surprise[i] - mean);
			above++;
		}
	}
	square = above > 0 ? sqrt(square / above) : 0.0;
	v->state->location = mean;
	if (v->state->scale == 0.0)
		v->state->scale = square;
	else
		v->state->scale += SMOOTHING * (square - v->state->scale);
	v->state->scale = fmax(v->state->scale, MIN_SCALE);
}

/* Is the new frame hardly another one?  One of a constant says little of a feature that varied. */
static bool
is_near(const SpFrame *frame, const SpFrame *other, bool other_varies)
{
	double		apart = fabs(0.5 * other->center - 0.5 * frame->center) / frame->scale;

	if (!other_varies)
		return apart <= 0.25;
	return apart <= 0.25 && other->scale <= 2.0 * frame->scale && other->scale >= 0.5 * frame->scale;
}

/* Frames for what comes, told from the sample. */
static void
fit_frames(const View *v)
{
	for (int f = 0; f < v->n; f++)
	{
		double		values[SAMPLE];
		SpFrame		frame;
		bool		varies;

		for (int i = 0; i < v->sample_count; i++)
			values[i] = v->sample[(size_t) i * v->n + f];
		varies = sp_frame_fit(values, v->sample_count, &frame);
		if (v->latest_frames[f].scale == 0.0 || !is_near(&v->latest_frames[f], &frame, varies))
			v->latest_frames[f] = frame;
	}
}

/* Keep the point if it is the one of its part of the window that is kept. */
static void
keep_sample(const View *v, const double *x)
{
	int			part = sp_frame_choose(v->state->count, v->params->window, v->sample_count,
									   (uint64_t) v->params->seed);

	if (part >= 0)
		memcpy(v->sample + (size_t) part * v->n, x, (size_t) v->n * sizeof(double));
}

/* A point was learned: what is due after so many. */
static void
advance(const View *v)
{
	v->state->count++;
	if (v->state->count == (uint64_t) v->sample_count)
	{
		fit_frames(v);
		for (int i = 0; i < v->sample_count; i++)
		{
			int64_t		places[SP_MAX_FEATURES];

			find_places(v->latest_frames, v->sample + (size_t) i * v->n, v->n, places);
			get_surprise(v, places, 0, true);
		}
	}
	if (v->state->count % (uint64_t) v->params->window == 0)
	{
		turn_masses(v);
		measure_window(v);
		fit_frames(v);
	}
}

/* Do reference and latest masses have the same frames? */
static bool
has_one_frame(const View *v)
{
	return memcmp(v->reference_frames, v->latest_frames, (size_t) v->n * sizeof(SpFrame)) == 0;
}

static bool
is_ready(const View *v)
{
	return v->state->count >= (uint64_t) v->params->window;
}

/* ---- explanation ---- */

/* The step from a node to its child, in bits. */
static double
get_step(uint32_t mass, uint32_t child)
{
	return log2((mass + 0.5) / (2.0 * child + 1.0));
}

/* By feature, what the steps of the window's own paths are on average. */
static void
subtract_usual(const View *v, int tree, double *amounts)
{
	const uint16_t *reference = reference_masses(v, tree);
	uint64_t	key = get_key(v, tree);

	for (uint32_t node = 1; node < (uint32_t) v->leaves; node++)
	{
		int			f = sp_half_space_feature(key, node, v->n);

		for (uint32_t child = 2 * node; reference[node] > v->limit && child <= 2 * node + 1; child++)
			amounts[f] -= (double) reference[child] / v->params->window *
				get_step(reference[node], reference[child]);
	}
}

/* By feature, the steps of a point's path. */
static void
add_path(const View *v, int tree, const int64_t *places, double *amounts)
{
	const uint16_t *reference = reference_masses(v, tree);
	uint64_t	key = get_key(v, tree);
	uint32_t	digits[SP_MAX_FEATURES];
	uint32_t	node = 1;

	sp_half_space_digits(key, places, v->n, digits);
	while (node < (uint32_t) v->leaves && reference[node] > v->limit)
	{
		uint32_t	child = sp_half_space_descend(key, node, v->n, digits);

		amounts[sp_half_space_feature(key, node, v->n)] += get_step(reference[node], reference[child]);
		node = child;
	}
}

/* By feature, what adds up to a score. */
static void
explain_parts(const View *v, const int64_t *places, double score, SpExplanation *why)
{
	double		amounts[SP_MAX_FEATURES] = {0.0};
	double		rest = score;
	double		beyond;
	int			feature = find_beyond(v, places, 0, &beyond);

	why->nparts = v->n;
	for (int f = 0; f < v->n; f++)
		why->parts[f] = (SpPart){NULL, f, f == feature ? score : 0.0};
	if (score == 0.0 || (feature >= 0 && beyond >= walk(v, places, 0, false)))
		return;

	for (int tree = 0; tree < v->params->trees; tree++)
	{
		add_path(v, tree, places, amounts);
		subtract_usual(v, tree, amounts);
	}
	for (int f = 0; f < v->n; f++)
	{
		amounts[f] /= v->params->trees * v->state->scale;
		rest -= amounts[f];
	}
	/* the location is of values that don't count themselves: a little more than the average */
	for (int f = 0; f < v->n; f++)
		why->parts[f].amount = amounts[f] + rest / v->n;
}

/* A model to look for normal points in. */
typedef struct Normality
{
	const View *view;
	double		threshold;
} Normality;

static bool
is_normal(const void *model, const double *x)
{
	const Normality *normality = model;
	const View *v = normality->view;
	int64_t		places[SP_MAX_FEATURES];

	find_places(v->reference_frames, x, v->n, places);
	return !(get_score(v, get_surprise(v, places, 0, false)) > normality->threshold);
}

static void
explain(const View *v, const SpSetup *setup, const double *x, const int64_t *places, double score,
		SpExplanation *why)
{
	Normality	normality = {v, setup->threshold};
	SpNearest	search = {is_normal, &normality, v->n, NEAREST_STEPS, v->reference_frames,
	v->sample, v->sample_count};

	sp_online_clear_explanation(why, v->n);
	explain_parts(v, places, score, why);
	for (int f = 0; f < v->n; f++)
		why->expected[f] = v->reference_frames[f].center;
	sp_nearest_explain(&search, x, score > setup->threshold, why->nearest);
}

/* ---- the kernel ---- */

/* Score a point, and maybe learn it, where it lies in the reference's frames. */
static void
score_at(const View *v, const SpSetup *setup, const double *x, const int64_t *places, bool learns,
		 SpScore *result, SpExplanation *why)
{
	double		surprise = get_surprise(v, places, 0, learns);

	sp_online_clear_score(result);
	result->ready = true;
	result->score = get_score(v, surprise);
	if (sp_online_explains(setup, result, why))
		explain(v, setup, x, places, result->score, why);
}

static void
score(const void *state, const SpSetup *setup, const SpPoint *point, SpScore *result,
	  SpExplanation *why)
{
	View		v = get_view(state, setup);
	int64_t		places[SP_MAX_FEATURES];

	sp_online_clear_score(result);
	if (!is_ready(&v))
		return;
	find_places(v.reference_frames, point->x, v.n, places);
	score_at(&v, setup, point->x, places, false, result, why);
}

static bool
learn(void *state, const SpSetup *setup, const SpPoint *point)
{
	View		v = get_view(state, setup);
	int64_t		places[SP_MAX_FEATURES];

	if (v.state->count < (uint64_t) v.sample_count)
		memcpy(v.sample + v.state->count * (uint64_t) v.n, point->x, (size_t) v.n * sizeof(double));
	else
	{
		keep_sample(&v, point->x);
		find_places(v.latest_frames, point->x, v.n, places);
		walk(&v, places, 0, true);
		learn_beyond(&v, places);
	}
	advance(&v);
	return true;
}

/* With one frame, one walk does for both. */
static bool
step(void *state, const SpSetup *setup, const SpPoint *point, SpScore *result, SpExplanation *why)
{
	View		v = get_view(state, setup);
	int64_t		places[SP_MAX_FEATURES];

	if (!is_ready(&v) || !has_one_frame(&v))
	{
		score(state, setup, point, result, why);
		return learn(state, setup, point);
	}
	find_places(v.reference_frames, point->x, v.n, places);
	score_at(&v, setup, point->x, places, true, result, why);
	keep_sample(&v, point->x);
	advance(&v);
	return true;
}

static int64_t
get_needed(const void *params, int n)
{
	(void) n;
	return ((const Params *) params)->window;
}

/* How many values are in the latest masses: none while the first frames are waited for. */
static uint64_t
count_latest(const View *v)
{
	return v->state->count < (uint64_t) v->sample_count ? 0 :
		v->state->count % (uint64_t) v->params->window;
}

/* Are there at most so many beyond as were learned? */
static bool
are_beyond_sound(const View *v)
{
	uint64_t	window = is_ready(v) ? (uint64_t) v->params->window : 0;

	for (int i = 0; i < 2 * v->n; i++)
	{
		if (v->latest_beyond[i] > count_latest(v) || v->reference_beyond[i] > window)
			return false;
	}
	return true;
}

/* Do the masses add up to what was learned? */
static bool
are_masses_sound(const View *v, int tree)
{
	const uint16_t *reference = reference_masses(v, tree);
	const uint16_t *latest = latest_masses(v, tree);
	uint64_t	window = (uint64_t) v->params->window;
	uint64_t	sum = 0;

	if (reference[0] != 0 || reference[1] != (is_ready(v) ? window : 0))
		return false;
	for (int node = 1; node < v->leaves; node++)
	{
		if (reference[node] != (uint32_t) reference[2 * node] + reference[2 * node + 1])
			return false;
	}
	for (int leaf = 0; leaf < v->leaves; leaf++)
		sum += latest[leaf];
	return sum == count_latest(v);
}

static bool
is_sound(const void *state, const SpSetup *setup)
{
	View		v = get_view(state, setup);
	double		most = 64.0;	/* more bits than S can have */

	if (v.state->count > INT64_MAX / 2 || !sp_online_is_finite(v.sample, SAMPLE * v.n))
		return false;
	if (is_ready(&v) && !(fabs(v.state->location) <= most &&
						  v.state->scale >= MIN_SCALE && v.state->scale <= most))
		return false;
	if (!is_ready(&v) && (v.state->location != 0.0 || v.state->scale != 0.0))
		return false;
	for (int f = 0; f < v.n; f++)
	{
		if (is_ready(&v) ? !sp_frame_is_sound(&v.reference_frames[f]) :
			v.reference_frames[f].scale != 0.0)
			return false;
		if (v.state->count >= (uint64_t) v.sample_count ? !sp_frame_is_sound(&v.latest_frames[f]) :
			v.latest_frames[f].scale != 0.0)
			return false;
	}
	if (!are_beyond_sound(&v))
		return false;
	for (int tree = 0; tree < v.params->trees; tree++)
	{
		if (!are_masses_sound(&v, tree))
			return false;
	}
	return true;
}

const SpKernel sp_kernel_half_space_trees = {
	.name = "half_space_trees",
	.summary = "how little of the last window lies where a point does, in trees of halved spaces",
	.reference = "Tan, Ting, Liu 2011",
	.takes = SP_TAKES_FEATURES,
	.sums_up = true,
	.version = 1,
	.nparams = sizeof(param_table) / sizeof(param_table[0]),
	.param_table = param_table,
	.params_size = sizeof(Params),
	.threshold = SP_HALF_SPACE_TREES_THRESHOLD,
	.get_state_size = get_state_size,
	.score = score,
	.learn = learn,
	.step = step,
	.get_needed = get_needed,
	.is_sound = is_sound
};
