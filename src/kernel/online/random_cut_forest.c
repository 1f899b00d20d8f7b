/*
 * random_cut_forest.c
 *	  How much a point would displace those that are known, in a forest of random cut trees.
 *
 * The method is in random_cut_forest.h.
 */
#include "kernel/online/random_cut_forest.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "kernel/online/cut_forest.h"
#include "kernel/online/cut_tree.h"
#include "kernel/online/frame.h"
#include "kernel/online/nearest.h"

#define SAMPLE		64			/* events that frames are told from */
#define MAX_STORE	(1 << 22)	/* numbers in the store */
#define PLACE_LIMIT 1e4			/* scales */

/* When a frame is given up. */
#define FAR_SCALE	1.3862943611198906	/* ln 4 */
#define AT_ONCE		6.907755278982137	/* ln 1000 */
#define FAR_CENTER	1000.0
#define SMOOTHING	0.25

#define MIN_DEVIATION	0.25

#define NEAREST_STEPS	11		/* points that are tried to find a normal one */

typedef SpRandomCutForestParams Params;

/*
 * Followed by frames [n], what scales are off by [n], the sample [SAMPLE][n], the last events
 * [shingle - 1][n], and the forest.
 */
typedef struct State
{
	uint64_t	count;			/* events learned */
	uint64_t	built;			/* how often the trees were built again */
	uint64_t	recent;			/* how many last events there are */
	double		weight;			/* of the mean */
	double		mean;			/* of ln(1 + CoDisp) */
	double		above_weight;	/* of what is above the mean, */
	double		square;			/* and the mean square there */
	SpFrame		frames[];
} State;

/* The state's parts and what follows from the parameters. */
typedef struct View
{
	State	   *state;
	const Params *params;
	int			n;
	double	   *drift;
	double	   *sample;
	double	   *recent;
	SpCutForest forest;
} View;

static const SpParam param_table[] = {
	{"trees", SP_PARAM_INT, offsetof(Params, trees), 50, 1, 256,
	"number of trees", NULL, NULL},
	{"sample_size", SP_PARAM_INT, offsetof(Params, sample_size), 256, 8, SP_CUT_TREE_MAX_SIZE,
	"points in each tree", NULL, NULL},
	{"time_decay", SP_PARAM_FLOAT, offsetof(Params, time_decay), NAN, 0.0, 1.0,
	"how fast points are forgotten: e-fold in 1 / time_decay events; 0: never, all weigh the same",
	NULL, "1 / (10 * sample_size)"},
	{"shingle", SP_PARAM_INT, offsetof(Params, shingle), 1, 1, 16,
	"events of which a point is made: more than 1 sees the order in which values come", NULL, NULL},
	{"warmup", SP_PARAM_INT, offsetof(Params, warmup), 256, 96, 1000000000,
	"events to learn before the first score", NULL, NULL},
	{"normalize", SP_PARAM_BOOL, offsetof(Params, normalize), 1, 0, 1,
	"true: scores are deviations from the usual logarithm of the displacement; "
	"false: they are the displacement itself, 0 to sample_size", NULL, NULL},
	{"seed", SP_PARAM_INT, offsetof(Params, seed), 42, 0, INT32_MAX,
	"decides what is drawn by chance", NULL, NULL}
};

static const char *
find_conflict(const void *params, int n)
{
	const Params *p = params;

	if (p->trees * p->sample_size > SP_CUT_FOREST_MAX_PLACES)
		return "trees * sample_size is more than 32768";
	if (n * p->shingle > SP_CUT_TREE_MAX_DIMS)
		return "features * shingle is more than 256";
	if (p->trees * p->sample_size * n * p->shingle > MAX_STORE)
		return "trees * sample_size * features * shingle is more than 4 million";
	return NULL;
}

static double
get_threshold(const void *params, int n)
{
	const Params *p = params;

	(void) n;
	return p->normalize ? SP_RANDOM_CUT_FOREST_THRESHOLD : 0.25 * p->sample_size;
}

static View
get_view(const void *state, const SpSetup *setup)
{
	const Params *p = setup->params;
	View		v;

	v.state = (State *) state;
	v.params = p;
	v.n = setup->n;
	v.drift = (double *) (v.state->frames + v.n);
	v.sample = v.drift + v.n;
	v.recent = v.sample + (size_t) SAMPLE * v.n;
	v.forest = sp_cut_forest_view(v.recent + (size_t) (p->shingle - 1) * v.n, p->trees,
								  p->sample_size, v.n * p->shingle,
								  isnan(p->time_decay) ? 0.1 / p->sample_size : p->time_decay,
								  (uint64_t) p->seed);
	return v;
}

static size_t
get_state_size(const void *params, int n)
{
	const Params *p = params;

	return sizeof(State) +
		(size_t) n * (sizeof(SpFrame) + (SAMPLE + (size_t) p->shingle) * sizeof(double)) +
		sp_cut_forest_bytes(p->trees, p->sample_size, n * p->shingle);
}

/* ---- frames ---- */

/* A number of the store; without a negative zero. */
static float
put_in_frame(const SpFrame *frame, double x)
{
	return (float) sp_frame_place(frame, x, PLACE_LIMIT) + 0.0f;
}

/* Move a feature's numbers in the store from one frame into another. */
static void
move_feature(const View *v, int f, const SpFrame *from, const SpFrame *to)
{
	for (int i = 0; i < v->forest.places; i++)
	{
		for (int d = f; v->forest.counts[i] != 0 && d < v->forest.dims; d += v->n)
		{
			float	   *y = v->forest.store + (size_t) i * v->forest.dims + d;
			double		x = from->center + *y * from->scale;

			*y = put_in_frame(to, fmin(DBL_MAX, fmax(-DBL_MAX, x)));
		}
	}
}

/* Frames told from the sample; those that no longer fit are changed, and the trees with them. */
static void
fit_frames(const View *v)
{
	bool		changed = false;

	for (int f = 0; f < v->n; f++)
	{
		SpFrame    *frame = &v->state->frames[f];
		double		values[SAMPLE];
		SpFrame		fitted;
		bool		varies;
		double		off;

		for (int i = 0; i < SAMPLE; i++)
			values[i] = v->sample[(size_t) i * v->n + f];
		varies = sp_frame_fit(values, SAMPLE, &fitted);
		if (frame->scale == 0.0)
			*frame = fitted;
		off = varies ? log(fitted.scale) - log(frame->scale) : 0.0;
		v->drift[f] += SMOOTHING * (off - v->drift[f]);
		if (fabs(off) < AT_ONCE && fabs(v->drift[f]) < FAR_SCALE &&
			fabs(0.5 * fitted.center - 0.5 * frame->center) / frame->scale < 0.5 * FAR_CENTER)
			continue;
		/* a constant's scale would make its next change the only thing to be seen */
		if (!varies)
			fitted.scale = fmax(fitted.scale, frame->scale);
		move_feature(v, f, frame, &fitted);
		*frame = fitted;
		v->drift[f] = 0.0;
		changed = true;
	}
	if (changed)
		sp_cut_forest_rebuild(&v->forest, ++v->state->built);
}

/* ---- points ---- */

/* The point that the event completes. */
static void
make_point(const View *v, const double *x, float *p)
{
	int			recent = (v->params->shingle - 1) * v->n;

	for (int d = 0; d < v->forest.dims; d++)
	{
		p[d] = put_in_frame(&v->state->frames[d % v->n],
							d < recent ? v->recent[d] : x[d - recent]);
	}
}

/* Is there a point? */
static bool
has_point(const View *v)
{
	return v->state->count >= SAMPLE && v->state->recent + 1 == (uint64_t) v->params->shingle;
}

/* Note the event as the last one. */
static void
note_event(const View *v, const double *x)
{
	uint64_t	most = (uint64_t) v->params->shingle - 1;

	if (most == 0)
		return;
	if (v->state->recent == most)
		memmove(v->recent, v->recent + v->n, (size_t) (most - 1) * v->n * sizeof(double));
	else
		v->state->recent++;
	memcpy(v->recent + (size_t) (v->state->recent - 1) * v->n, x, (size_t) v->n * sizeof(double));
}

/* ---- learning ---- */

/* Are the moments of displacements kept yet? */
static bool
has_moments(const View *v)
{
	return v->params->normalize && v->state->count >= SAMPLE &&
		v->state->count >= (uint64_t) v->params->warmup / 2;
}

/* A displacement that is learned. */
static void
add_moment(const View *v, double displacement)
{
	State	   *s = v->state;
	double		kept = 1.0 - 0.5 / v->params->sample_size;
	double		d = log1p(displacement) - s->mean;

	s->weight = kept * s->weight + 1.0;
	s->mean += d / s->weight;
	if (d <= 0.0)
		return;
	s->above_weight = kept * s->above_weight + 1.0;
	s->square += (d * d - s->square) / s->above_weight;
}

/* The point goes to all trees, the event is noted. */
static void
add_event(const View *v, const double *x, const float *p)
{
	if (p != NULL)
		sp_cut_forest_add(&v->forest, p, v->state->count);
	sp_cut_forest_end_time(&v->forest, v->state->count);
	note_event(v, x);
	v->state->count++;
}

/* The first events, which the first frames were told from, are learned now. */
static void
learn_sample(const View *v)
{
	fit_frames(v);
	v->state->count = 0;
	for (int i = 0; i < SAMPLE; i++)
	{
		const double *x = v->sample + (size_t) i * v->n;
		float		p[SP_CUT_TREE_MAX_DIMS];
		bool		is_complete = v->state->recent + 1 == (uint64_t) v->params->shingle;

		if (is_complete)
			make_point(v, x, p);
		add_event(v, x, is_complete ? p : NULL);
	}
}

/* Learn an event; its point and displacement are known if there is one. */
static void
learn_event(const View *v, const double *x, const float *p, double displacement)
{
	int			size = v->params->sample_size;
	int			window = size > SAMPLE ? size : SAMPLE;
	int			kept;

	if (v->state->count < SAMPLE)
	{
		memcpy(v->sample + v->state->count * (uint64_t) v->n, x, (size_t) v->n * sizeof(double));
		v->state->count++;
		if (v->state->count == SAMPLE)
			learn_sample(v);
		return;
	}
	kept = sp_frame_choose(v->state->count, window, SAMPLE, (uint64_t) v->params->seed);
	if (kept >= 0)
		memcpy(v->sample + (size_t) kept * v->n, x, (size_t) v->n * sizeof(double));
	if (p != NULL && has_moments(v))
		add_moment(v, displacement);
	add_event(v, x, p);
	if (v->state->count % (uint64_t) window == 0)
		fit_frames(v);
}

/* ---- the kernel ---- */

static bool
is_ready(const View *v)
{
	return v->state->count >= (uint64_t) v->params->warmup && has_point(v) &&
		(!v->params->normalize || v->state->weight > 0.0);
}

/* The score of a displacement. */
static double
get_score(const View *v, double displacement)
{
	double		deviation = fmax(sqrt(v->state->square), MIN_DEVIATION);

	return !v->params->normalize ? displacement :
		fmax(0.0, (log1p(displacement) - v->state->mean) / deviation);
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
	float		p[SP_CUT_TREE_MAX_DIMS];

	make_point(v, x, p);
	return !(get_score(v, sp_cut_forest_score(&v->forest, p, NULL)) > normality->threshold);
}

/* The event that would have been normal after those before it. */
static void
find_nearest(const View *v, const SpSetup *setup, const double *x, double score, SpExplanation *why)
{
	Normality	normality = {v, setup->threshold};
	SpNearest	search = {is_normal, &normality, v->n, NEAREST_STEPS, v->state->frames, v->sample,
	SAMPLE};

	sp_nearest_explain(&search, x, score > setup->threshold, why->nearest);
}

static void
explain(const View *v, const SpSetup *setup, const double *x, const float *p, double score,
		SpExplanation *why)
{
	double		by_dim[SP_CUT_TREE_MAX_DIMS] = {0.0};
	double		parts[SP_MAX_FEATURES] = {0.0};
	double		sum = 0.0;

	sp_online_clear_explanation(why, v->n);
	sp_cut_forest_score(&v->forest, p, by_dim);
	for (int d = 0; d < v->forest.dims; d++)
	{
		parts[d % v->n] += by_dim[d];
		sum += by_dim[d];
	}
	why->nparts = v->n;
	for (int f = 0; f < v->n; f++)
	{
		why->parts[f] = (SpPart){NULL, f, sum > 0.0 ? score * (parts[f] / sum) : 0.0};
		why->expected[f] = v->state->frames[f].center;
	}
	find_nearest(v, setup, x, score, why);
}

/* The score of a point whose displacement is known. */
static void
set_score(const View *v, const SpSetup *setup, const double *x, const float *p,
		  double displacement, SpScore *result, SpExplanation *why)
{
	result->ready = true;
	result->score = get_score(v, displacement);
	if (sp_online_explains(setup, result, why))
		explain(v, setup, x, p, result->score, why);
}

static void
score(const void *state, const SpSetup *setup, const SpPoint *point, SpScore *result,
	  SpExplanation *why)
{
	View		v = get_view(state, setup);
	float		p[SP_CUT_TREE_MAX_DIMS];

	sp_online_clear_score(result);
	if (!is_ready(&v))
		return;
	make_point(&v, point->x, p);
	set_score(&v, setup, point->x, p, sp_cut_forest_score(&v.forest, p, NULL), result, why);
}

/* Learn an event and, if result isn't NULL, score it. */
static bool
advance(void *state, const SpSetup *setup, const SpPoint *point, SpScore *result,
		SpExplanation *why)
{
	View		v = get_view(state, setup);
	float		p[SP_CUT_TREE_MAX_DIMS];
	bool		is_scored = result != NULL && is_ready(&v);
	double		displacement = 0.0;

	if (result != NULL)
		sp_online_clear_score(result);
	if (!has_point(&v))
	{
		learn_event(&v, point->x, NULL, 0.0);
		return true;
	}
	make_point(&v, point->x, p);
	if (is_scored || has_moments(&v))
		displacement = sp_cut_forest_score(&v.forest, p, NULL);
	if (is_scored)
		set_score(&v, setup, point->x, p, displacement, result, why);
	learn_event(&v, point->x, p, displacement);
	return true;
}

static bool
learn(void *state, const SpSetup *setup, const SpPoint *point)
{
	return advance(state, setup, point, NULL, NULL);
}

static bool
step(void *state, const SpSetup *setup, const SpPoint *point, SpScore *result, SpExplanation *why)
{
	return advance(state, setup, point, result, why);
}

/* The next points have the event, too. */
static void
pass(void *state, const SpSetup *setup, const SpPoint *point)
{
	View		v = get_view(state, setup);

	if (v.state->count >= SAMPLE)
		note_event(&v, point->x);
}

/* ---- soundness ---- */

/* None, or between that of one event and that of many. */
static bool
is_weight_sound(const View *v, double weight)
{
	return weight == 0.0 || (weight >= 1.0 && weight <= 4.0 * v->params->sample_size);
}

/* Everything but the forest. */
static bool
is_head_sound(const View *v)
{
	const State *s = v->state;
	double		most = 2.0 * log1p(SP_CUT_TREE_MAX_SIZE);

	if (s->count > INT64_MAX / 2 || s->recent >= (uint64_t) v->params->shingle)
		return false;
	if (!is_weight_sound(v, s->weight) || !is_weight_sound(v, s->above_weight) ||
		!(s->mean >= 0.0 && s->mean <= most && s->square >= 0.0 && s->square <= most * most))
		return false;
	for (int f = 0; f < v->n; f++)
	{
		if (s->count >= SAMPLE ? !sp_frame_is_sound(&s->frames[f]) : s->frames[f].scale != 0.0)
			return false;
	}
	return sp_online_is_finite(v->drift, v->n) && sp_online_is_finite(v->sample, SAMPLE * v->n) &&
		sp_online_is_finite(v->recent, (v->params->shingle - 1) * v->n) &&
		(s->count >= SAMPLE || s->recent == 0);
}

static bool
is_sound(const void *state, const SpSetup *setup)
{
	View		v = get_view(state, setup);

	return is_head_sound(&v) && sp_cut_forest_is_sound(&v.forest, (float) PLACE_LIMIT) &&
		(v.state->count >= SAMPLE || sp_cut_forest_is_empty(&v.forest));
}

const SpKernel sp_kernel_random_cut_forest = {
	.name = "random_cut_forest",
	.summary = "how much a point would displace those that are known, in a forest of random cut trees",
	.reference = "Guha, Mishra, Roy, Schrijvers 2016",
	.takes = SP_TAKES_FEATURES,
	.sums_up = true,
	.version = 1,
	.nparams = sizeof(param_table) / sizeof(param_table[0]),
	.param_table = param_table,
	.params_size = sizeof(Params),
	.conflict = find_conflict,
	.get_threshold = get_threshold,
	.get_state_size = get_state_size,
	.score = score,
	.learn = learn,
	.step = step,
	.pass = pass,
	.is_sound = is_sound
};
