/*
 * mahalanobis.c
 *	  Distance from an exponentially weighted mean, in the metric of the covariance.
 *
 * The formulas are in mahalanobis.h.
 */
#include "kernel/online/mahalanobis.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "kernel/online/tail.h"

/* A difference from the mean of that many units in the last place is rounding. */
#define ROUNDING_ULPS	8

#define MAX_FREEDOM		10000.0

/* Parts that cancel out by more can't be told from their rounding. */
#define MAX_CANCELLATION	1e5

/* How much nearer the mean a point is taken at first that should be at the threshold and isn't. */
#define LEAST_SLACK		0x1p-50

#define MAX_WEIGHT		1e7		/* more than 1 / alpha can be */

#define NUMBERS(n) (3 * (n) + (n) * ((n) -1) / 2)

/* Where what stands. */
typedef struct Model
{
	double	   *mean;
	double	   *var;
	double	   *d;
	double	   *l;				/* column 0 without its 1, then column 1, ... */
} Model;

/* A point against a model. */
typedef struct Distance
{
	bool		active[SP_MAX_FEATURES];	/* not constant */
	double		x[SP_MAX_FEATURES]; /* less the mean; 0 of a constant */
	double		d[SP_MAX_FEATURES]; /* max(D, ridge var) */
	double		p[SP_MAX_FEATURES]; /* L^-1 x */
	double		square;			/* sum p^2 / d */
	double		features;		/* m */
	double		freedom;		/* of Hotelling's distribution */
	double		scale;			/* (1 - h) / (1 + h) */
	bool		has_left;		/* a constant has left its place */
} Distance;

static const SpParam param_table[] = {
	{"alpha", SP_PARAM_FLOAT, offsetof(SpMahalanobisParams, alpha), 0.01, 1e-6, 0.5,
	"weight of the newest values; they lose half of it in about 0.7 / alpha events; "
	"at most 1 / (features + 1)", NULL, NULL},
	{"warmup", SP_PARAM_INT, offsetof(SpMahalanobisParams, warmup), 100, 3, 1000000000,
	"events to learn before the first score; at least two more than there are features",
	NULL, NULL},
	{"ridge", SP_PARAM_FLOAT, offsetof(SpMahalanobisParams, ridge), 1e-4, 1e-10, 1.0,
	"the least part of its variance that a feature is taken to have of its own, "
	 "even when it always was what other features say",
	 NULL, NULL}};

static const char *
find_conflict(const void *params, int n)
{
	const SpMahalanobisParams *p = params;

	if (p->alpha * (n + 1) > 1.0)
		return "alpha is too large for so many features: at most 1 / (features + 1)";
	if (p->warmup < n + 2)
		return "warmup must be at least two more than the number of features";
	return NULL;
}

static size_t
get_state_size(const void *params, int n)
{
	(void) params;
	return sizeof(SpMahalanobis) + (size_t) NUMBERS(n) * sizeof(double);
}

static Model
get_model(double *numbers, int n)
{
	return (Model){numbers, numbers + n, numbers + 2 * n, numbers + 3 * n};
}

/* Has the feature always been the same, up to rounding? */
static bool
is_constant(double mean, double var)
{
	return sqrt(var) <= ROUNDING_ULPS * DBL_EPSILON * fabs(mean);
}

/* L v = what v was; of constants 0. */
static void
solve_lower(const double *l, const bool *active, int n, int from, double *v)
{
	for (int j = 0; j < from; j++)
		l += n - 1 - j;
	for (int j = from; j < n; l += n - 1 - j, j++)
	{
		double		v_j = v[j];

		if (!active[j])
			v[j] = 0.0;
		if (!active[j] || v_j == 0.0)
			continue;
		for (int r = j + 1; r < n; r++)
			v[r] -= v_j * l[r - j - 1];
	}
}

/* L' v = what v was; of constants 0. */
static void
solve_upper(const double *l, const bool *active, int n, double *v)
{
	l += n * (n - 1) / 2;
	for (int j = n - 1; j >= 0; j--)
	{
		double		sum = v[j];

		l -= n - 1 - j;
		for (int r = j + 1; r < n; r++)
			sum -= v[r] * l[r - j - 1];
		v[j] = active[j] ? sum : 0.0;
	}
}

/* How far the point is. */
static void
measure(const SpMahalanobis *s, const SpSetup *setup, const double *x, Distance *it)
{
	const SpMahalanobisParams *params = setup->params;
	Model		model = get_model((double *) s->numbers, setup->n);
	double		h = s->square_weight / (s->weight * s->weight);

	it->has_left = false;
	it->square = 0.0;
	it->features = 0.0;
	it->scale = (1.0 - h) / (1.0 + h);
	for (int k = 0; k < setup->n; k++)
	{
		double		floor = params->ridge * model.var[k];

		it->x[k] = x[k] - model.mean[k];
		it->d[k] = fmax(model.d[k], floor);
		it->active[k] = !is_constant(model.mean[k], model.var[k]) && it->d[k] > 0.0;
		if (it->active[k])
			it->features += 1.0 - floor / it->d[k];
		else if (fabs(it->x[k]) > ROUNDING_ULPS * DBL_EPSILON * fabs(model.mean[k]))
			it->has_left = true;
		it->p[k] = it->x[k];
	}
	solve_lower(model.l, it->active, setup->n, 0, it->p);
	for (int k = 0; k < setup->n; k++)
	{
		if (it->active[k] && it->p[k] != 0.0)
			it->square += it->p[k] / it->d[k] * it->p[k];
	}
	if (isnan(it->square))
		it->square = INFINITY;
	it->features = fmax(it->features, 1.0);
	it->freedom = fmax(fmin(1.0 / h - 1.0, MAX_FREEDOM), it->features);
}

/* Has a constant left its place? */
static bool
has_left(const Distance *it, const Model *model, int k)
{
	return !it->active[k] && fabs(it->x[k]) > ROUNDING_ULPS * DBL_EPSILON * fabs(model->mean[k]);
}

/* Split the score by features where the decomposition can't be computed: to the farthest one. */
static void
blame_farthest(const Distance *it, const Model *model, int n, double score, SpExplanation *why)
{
	int			farthest = 0;
	double		most = -1.0;

	for (int k = 0; k < n; k++)
	{
		double		far = it->active[k] ? fabs(it->x[k]) / sqrt(model->var[k]) :
			has_left(it, model, k) ? INFINITY : 0.0;

		why->parts[k].amount = 0.0;
		if (far > most)
		{
			most = far;
			farthest = k;
		}
	}
	why->parts[farthest].amount = score;
}

/* Each feature's part of the score; x C^-1 in g. */
static void
split(const Distance *it, const Model *model, int n, double score, const double *g,
	  SpExplanation *why)
{
	double		sum = 0.0;
	double		size = 0.0;

	why->nparts = n;
	for (int k = 0; k < n; k++)
	{
		double		amount = it->active[k] ? it->x[k] * g[k] : 0.0;

		why->parts[k] = (SpPart){NULL, k, amount};
		sum += amount;
		size += fabs(amount);
	}
	if (it->has_left || !(sum > 0.0) || !isfinite(size) || size > MAX_CANCELLATION * sum)
	{
		blame_farthest(it, model, n, score, why);
		return;
	}
	for (int k = 0; k < n; k++)
		why->parts[k].amount *= score / sum;
}

/* The diagonal element of C^-1. */
static double
invert_at(const Distance *it, const Model *model, int n, int k)
{
	double		v[SP_MAX_FEATURES] = {0.0};
	double		sum = 0.0;

	v[k] = 1.0;
	solve_lower(model->l, it->active, n, k, v);
	for (int r = k; r < n; r++)
	{
		if (it->active[r])
			sum += v[r] / it->d[r] * v[r];
	}
	return sum;
}

static double
get_score(const Distance *it)
{
	if (it->has_left)
		return SP_SCORE_MAX;
	return sp_online_limit(sp_tail_sigma(sp_tail_ln_hotelling(it->square * it->scale, it->features,
															  it->freedom)));
}

/*
 * The point at a part of the way from the mean, constants in their place.  0: the mean, also of
 * what is farther from it than a number.
 */
static void
place(const Distance *it, const Model *model, int n, const double *x, double part, double *to)
{
	for (int k = 0; k < n; k++)
	{
		if (has_left(it, model, k))
			to[k] = model->mean[k];
		else if (part == 1.0 || !it->active[k])
			to[k] = x[k];
		else
			to[k] = part > 0.0 ? model->mean[k] + part * it->x[k] : model->mean[k];
	}
}

/* The nearest normal point: up to the limit of the square, and as much nearer as rounding takes. */
static void
find_nearest(const SpMahalanobis *s, const SpSetup *setup, const double *x, const Distance *it,
			 double limit, SpExplanation *why)
{
	Model		model = get_model((double *) s->numbers, setup->n);
	double		part = it->square > limit ? sqrt(limit / it->square) : 1.0;
	double		nearest[SP_MAX_FEATURES];
	Distance	found;

	if (!(get_score(it) > setup->threshold))
		part = 1.0;
	for (double slack = LEAST_SLACK; slack < 1.0; slack *= 8.0)
	{
		place(it, &model, setup->n, x, part, nearest);
		measure(s, setup, nearest, &found);
		if (!(get_score(&found) > setup->threshold))
		{
			memcpy(why->nearest, nearest, (size_t) setup->n * sizeof(double));
			return;
		}
		part *= 1.0 - slack;
	}
}

/*
 * With feature k changed by c the squared distance is square + 2 c g_k + c^2 P_kk, where
 * P = C^-1 and g = P x: it is least at c = -g_k / P_kk.
 */
static void
explain(const SpMahalanobis *s, const SpSetup *setup, const double *x, const Distance *it,
		double score, SpExplanation *why)
{
	int			n = setup->n;
	Model		model = get_model((double *) s->numbers, n);
	double		limit = sp_tail_hotelling_quantile(sp_tail_ln_normal(fmax(setup->threshold, 0.0)),
												   it->features, it->freedom) / it->scale;
	double		g[SP_MAX_FEATURES];

	for (int k = 0; k < n; k++)
		g[k] = it->active[k] ? it->p[k] / it->d[k] : 0.0;
	solve_upper(model.l, it->active, n, g);
	sp_online_clear_explanation(why, n);
	split(it, &model, n, score, g, why);
	if (setup->threshold >= 0.0)
		find_nearest(s, setup, x, it, limit, why);
	for (int k = 0; k < n; k++)
	{
		double		inverse;
		double		room;

		why->expected[k] = model.mean[k];
		if (!it->active[k])
		{
			why->lower[k] = why->upper[k] = model.mean[k];
			continue;
		}
		if (it->has_left)
			continue;			/* no value of this feature would do */
		inverse = invert_at(it, &model, n, k);
		room = (limit - (it->square - g[k] / inverse * g[k])) / inverse;
		if (!(room >= 0.0) || !isfinite(room))
			continue;
		why->lower[k] = x[k] - g[k] / inverse - sqrt(room);
		why->upper[k] = x[k] - g[k] / inverse + sqrt(room);
	}
}

static void
score(const void *state, const SpSetup *setup, const SpPoint *point, SpScore *result,
	  SpExplanation *why)
{
	const SpMahalanobis *s = state;
	const SpMahalanobisParams *params = setup->params;
	Distance	it;

	sp_online_clear_score(result);
	if (setup->n == 1 && s->count > 0)
		result->expected = s->numbers[0];
	if (s->count < (uint64_t) params->warmup)
		return;
	measure(s, setup, point->x, &it);
	result->ready = true;
	result->score = get_score(&it);
	if (setup->n == 1)
	{
		double		limit = sp_tail_hotelling_quantile(sp_tail_ln_normal(fmax(setup->threshold, 0.0)),
													   it.features, it.freedom);
		double		reach = it.active[0] ? sqrt(limit / it.scale * it.d[0]) : 0.0;

		result->lower_bound = s->numbers[0] - reach;
		result->upper_bound = s->numbers[0] + reach;
	}
	if (sp_online_explains(setup, result, why))
		explain(s, setup, point->x, &it, result->score, why);
}

/* L D L' becomes that + a z z' (method C1); z is used up. */
static void
update_factor(double *d, double *l, int n, int from, double a, double *z)
{
	for (int j = 0; j < from; j++)
		l += n - 1 - j;
	for (int j = from; j < n; l += n - 1 - j, j++)
	{
		double		p = z[j];
		double		old = d[j];
		double		b;

		if (p == 0.0)
			continue;
		d[j] = old + a * p * p;
		if (!(d[j] > 0.0))
			continue;			/* its square is too small for a number */
		b = a * p / d[j];
		a *= old / d[j];
		for (int r = j + 1; r < n; r++)
		{
			z[r] -= p * l[r - j - 1];
			l[r - j - 1] += b * z[r];
		}
	}
}

static bool
learn(void *state, const SpSetup *setup, const SpPoint *point)
{
	SpMahalanobis *s = state;
	const SpMahalanobisParams *params = setup->params;
	int			n = setup->n;
	double		weight = (1.0 - params->alpha) * s->weight + 1.0;
	double		r = 1.0 / weight;
	int			turn = (int) (s->count % (uint64_t) n);
	double		numbers[NUMBERS(SP_MAX_FEATURES)];
	double		z[SP_MAX_FEATURES];
	Model		model = get_model(numbers, n);

	memcpy(numbers, s->numbers, (size_t) NUMBERS(n) * sizeof(double));
	for (int k = 0; k < n; k++)
	{
		z[k] = point->x[k] - model.mean[k];
		model.mean[k] += r * z[k];
		if (s->count > 0)
			model.var[k] = (1.0 - r) * (model.var[k] + r * z[k] * z[k]);
	}
	if (s->count > 0)
	{
		update_factor(model.d, model.l, n, 0, r, z);
		for (int k = 0; k < n; k++)
		{
			model.d[k] *= 1.0 - r;
			z[k] = 0.0;
		}
		z[turn] = 1.0;
		update_factor(model.d, model.l, n, turn, r * n * params->ridge * model.var[turn], z);
	}
	if (!sp_online_is_finite(numbers, NUMBERS(n)))
		return false;

	memcpy(s->numbers, numbers, (size_t) NUMBERS(n) * sizeof(double));
	s->weight = weight;
	s->square_weight = (1.0 - params->alpha) * (1.0 - params->alpha) * s->square_weight + 1.0;
	s->count++;
	return true;
}

static double
get_p_value(const SpSetup *setup, double score)
{
	(void) setup;
	return erfc(score * M_SQRT1_2);
}

static bool
is_sound(const void *state, const SpSetup *setup)
{
	const SpMahalanobis *s = state;
	Model		model = get_model((double *) s->numbers, setup->n);

	if (!sp_online_is_finite(s->numbers, NUMBERS(setup->n)) || s->count > INT64_MAX / 2)
		return false;
	for (int k = 0; k < setup->n; k++)
	{
		if (model.var[k] < 0.0 || model.d[k] < 0.0)
			return false;
	}
	if (s->count == 0)
		return s->weight == 0.0 && s->square_weight == 0.0;
	if (!(s->square_weight >= 1.0 && s->weight >= s->square_weight && s->weight <= MAX_WEIGHT))
		return false;
	return s->count == 1 || s->weight > 1.0;
}

const SpKernel sp_kernel_mahalanobis = {
	.name = "mahalanobis",
	.summary = "distance from an exponentially weighted mean in the metric of the covariance, "
	"in standard deviations",
	.reference = "Mahalanobis 1936; Hotelling 1931; Gill, Golub, Murray, Saunders 1974",
	.takes = SP_TAKES_FEATURES,
	.sums_up = true,
	.version = 1,
	.nparams = sizeof(param_table) / sizeof(param_table[0]),
	.param_table = param_table,
	.params_size = sizeof(SpMahalanobisParams),
	.conflict = find_conflict,
	.threshold = SP_MAHALANOBIS_THRESHOLD,
	.get_state_size = get_state_size,
	.score = score,
	.learn = learn,
	.p_value = get_p_value,
	.is_sound = is_sound
};
