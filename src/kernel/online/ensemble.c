/*
 * ensemble.c
 *	  Several methods on the same value or features, combined by how probable their scores are.
 *
 * Members are other kernels, which are called as they are: their states stand one behind the
 * other, each with its calibration.
 */
#include "kernel/online/ensemble.h"

#include <math.h>

#include "kernel/online/adwin.h"
#include "kernel/online/calibration.h"
#include "kernel/online/cusum.h"
#include "kernel/online/ewma.h"
#include "kernel/online/half_space_trees.h"
#include "kernel/online/iqr.h"
#include "kernel/online/mad.h"
#include "kernel/online/mahalanobis.h"
#include "kernel/online/page_hinkley.h"
#include "kernel/online/random_cut_forest.h"
#include "kernel/online/records.h"
#include "kernel/online/seasonal.h"
#include "kernel/online/spot.h"
#include "kernel/online/zscore.h"

#define PI				3.14159265358979323846
#define LEAST_P			1e-15
#define MOST_P			0.99
#define SMALL			SP_CALIBRATION_SMALL

/* Room for the parameters of any member. */
typedef union MemberParams
{
	SpRecordsParams records;
	SpEwmaParams ewma;
	SpZscoreParams zscore;
	SpMadParams mad;
	SpIqrParams iqr;
	SpCusumParams cusum;
	SpPageHinkleyParams page_hinkley;
	SpAdwinParams adwin;
	SpSeasonalParams seasonal;
	SpSpotParams spot;			/* and dspot's */
	SpMahalanobisParams mahalanobis;
	SpHalfSpaceTreesParams half_space_trees;
	SpRandomCutForestParams random_cut_forest;
} MemberParams;

/* In the order of the bits. */
static const SpKernel *const members[] = {
	&sp_kernel_records,
	&sp_kernel_ewma,
	&sp_kernel_zscore,
	&sp_kernel_mad,
	&sp_kernel_iqr,
	&sp_kernel_cusum,
	&sp_kernel_page_hinkley,
	&sp_kernel_adwin,
	&sp_kernel_seasonal,
	&sp_kernel_spot,
	&sp_kernel_dspot,
	&sp_kernel_mahalanobis,
	&sp_kernel_half_space_trees,
	&sp_kernel_random_cut_forest
};

static const char *const names[] = {"records", "ewma", "zscore", "mad", "iqr", "cusum",
"page_hinkley", "adwin", "seasonal", "spot", "dspot", "mahalanobis", "half_space_trees",
"random_cut_forest", NULL};

/* Why a member can't have several features; NULL: it can. */
#define NEEDS_VALUE(name)	"\"" name "\" of \"methods\" takes a value, not several features"

static const char *const needs_value[] = {NEEDS_VALUE("records"), NEEDS_VALUE("ewma"),
NEEDS_VALUE("zscore"), NEEDS_VALUE("mad"), NEEDS_VALUE("iqr"), NEEDS_VALUE("cusum"),
NEEDS_VALUE("page_hinkley"), NEEDS_VALUE("adwin"), NEEDS_VALUE("seasonal"), NEEDS_VALUE("spot"),
NEEDS_VALUE("dspot"), NULL, NULL, NULL};

#define NMEMBERS		((int) (sizeof(members) / sizeof(members[0])))
#define RECORDS			(1 << 0)
#define EWMA			(1 << 1)
#define SEASONAL		(1 << 8)
#define MAHALANOBIS		(1 << 11)
#define HALF_SPACE		(1 << 12)

static const SpParam param_table[] = {
	{"methods", SP_PARAM_SET, offsetof(SpEnsembleParams, methods), NAN, 0, 0,
	"the members, with their default parameters", names,
	"for a value records, ewma, seasonal; for features mahalanobis, half_space_trees"}
};

/* The members that take part. */
static int32_t
get_methods(const void *params, int n)
{
	int32_t		methods = ((const SpEnsembleParams *) params)->methods;

	if (methods != 0)
		return methods;
	return n == 1 ? RECORDS | EWMA | SEASONAL : MAHALANOBIS | HALF_SPACE;
}

static const char *
find_conflict(const void *params, int n)
{
	int32_t		methods = get_methods(params, n);

	for (int m = 0; m < NMEMBERS; m++)
	{
		if ((methods & (1 << m)) != 0 && n != 1 && needs_value[m] != NULL)
			return needs_value[m];
	}
	return NULL;
}

/* ---- members ---- */

/* A member at work. */
typedef struct Member
{
	const SpKernel *kernel;
	MemberParams params;
	SpSetup		setup;
	size_t		size;			/* of its state */
	char	   *state;
	SpCalibration *calibration;
} Member;

/* Going over the members; state NULL: only their sizes matter. */
typedef struct Walk
{
	int32_t		methods;
	int			next;			/* bit */
	const SpSetup *setup;
	char	   *at;
} Walk;

static Walk
begin_walk(const void *state, const SpSetup *setup)
{
	Walk		walk = {get_methods(setup->params, setup->n), 0, setup, NULL};

	if (state != NULL)
		walk.at = (char *) state + sizeof(SpEnsemble);
	return walk;
}

/* The next member; false: there is none. */
static bool
next_member(Walk *walk, Member *m)
{
	while (walk->next < NMEMBERS && (walk->methods & (1 << walk->next)) == 0)
		walk->next++;
	if (walk->next == NMEMBERS)
		return false;
	m->kernel = members[walk->next++];
	sp_online_defaults(m->kernel, &m->params);
	m->setup = *walk->setup;
	m->setup.params = &m->params;
	m->setup.threshold = sp_online_threshold(m->kernel, &m->params, walk->setup->n);
	m->setup.explain_all = false;
	m->setup.is_fine = false;
	if (!m->kernel->has_direction)
		m->setup.direction = SP_DIRECTION_BOTH;
	m->size = sp_online_state_size(m->kernel, &m->params, walk->setup->n);
	if (walk->at == NULL)
		return true;
	m->state = walk->at;
	m->calibration = (SpCalibration *) (walk->at + m->size);
	walk->at += m->size + sp_calibration_state_size(SMALL);
	return true;
}

static size_t
get_state_size(const void *params, int n)
{
	SpSetup		setup = {.params = params, .n = n};
	Walk		walk = begin_walk(NULL, &setup);
	Member		m;
	size_t		size = sizeof(SpEnsemble);

	while (next_member(&walk, &m))
		size += m.size + sp_calibration_state_size(SMALL);
	return size;
}

static int64_t
get_needed(const void *params, int n)
{
	SpSetup		setup = {.params = params, .n = n};
	Walk		walk = begin_walk(NULL, &setup);
	Member		m;
	int64_t		most = 0;

	while (next_member(&walk, &m))
	{
		int64_t		needed = sp_online_needed(m.kernel, &m.params, n);

		most = needed > most ? needed : most;
	}
	return most + SP_ENSEMBLE_SCORES;
}

/*
 * What a state of zeros lacks, is there with the first point; so a state that has learned nothing
 * is all zeros, whatever members make of it.
 */
static void
begin(SpEnsemble *e, const SpSetup *setup)
{
	Walk		walk = begin_walk(e, setup);
	Member		m;

	while (next_member(&walk, &m))
	{
		sp_online_init(m.kernel, m.state, &m.setup);
		sp_calibration_init(m.calibration, SMALL, SP_ENSEMBLE_MEMORY);
	}
}

/* ---- scores ---- */

/* What the members say, one after the other. */
typedef struct Combination
{
	int			n;				/* members that are ready */
	int			nmembers;
	double		sum;			/* of tangents */
	double		positive;		/* of those above 0 */
	double		largest;
	double		expected;		/* of the one with the largest; NaN: not known */
	double		tangents[NMEMBERS];
	const char *names[NMEMBERS];
} Combination;

static void
add_member(Combination *c, const Member *m, const SpScore *score)
{
	double		p;
	double		tangent;

	c->names[c->nmembers] = m->kernel->name;
	c->tangents[c->nmembers++] = 0;
	if (!score->ready)
		return;
	p = sp_calibration_p_value(m->calibration, SMALL, score->score);
	p = p < LEAST_P ? LEAST_P : p > MOST_P ? MOST_P : p;
	tangent = tan((0.5 - p) * PI);
	c->n++;
	c->sum += tangent;
	if (tangent <= 0)
		return;
	c->tangents[c->nmembers - 1] = tangent;
	c->positive += tangent;
	if (tangent <= c->largest)
		return;
	c->largest = tangent;
	c->expected = score->expected;
}

/* -log10 of the probability; far out atan is 1/2 - 1 / (pi T), whose digits would be lost. */
static double
get_score(const Combination *c)
{
	double		t = c->sum / c->n;
	double		p = t > 1e6 ? 1 / (PI * t) : 0.5 - atan(t) / PI;

	return p < 1 ? -log10(p) : 0;
}

static void
explain(const Combination *c, const SpScore *result, int n, SpExplanation *why)
{
	sp_online_clear_explanation(why, n);
	if (n == 1)
		why->expected[0] = result->expected;
	for (int i = 0; i < c->nmembers; i++)
	{
		double		share = c->positive > 0 ? c->tangents[i] / c->positive : 1.0 / c->nmembers;

		why->parts[why->nparts++] = (SpPart){c->names[i], 0, result->score * share};
	}
}

/* The verdict of all. */
static void
finish(const Combination *c, const SpEnsemble *e, const SpSetup *setup, SpScore *result,
	   SpExplanation *why)
{
	sp_online_clear_score(result);
	if (c->n < c->nmembers || e->count < (uint64_t) get_needed(setup->params, setup->n))
		return;
	result->ready = true;
	result->score = get_score(c);
	result->expected = setup->n == 1 ? c->expected : NAN;
	if (sp_online_explains(setup, result, why))
		explain(c, result, setup->n, why);
}

static void
score(const void *state, const SpSetup *setup, const SpPoint *point, SpScore *result,
	  SpExplanation *why)
{
	const SpEnsemble *e = state;
	Walk		walk = begin_walk(state, setup);
	Combination c = {.expected = NAN};
	Member		m;

	sp_online_clear_score(result);
	if (e->count == 0)
		return;
	while (next_member(&walk, &m))
	{
		SpScore		s;

		m.kernel->score(m.state, &m.setup, point, &s, NULL);
		add_member(&c, &m, &s);
	}
	finish(&c, e, setup, result, why);
}

/* Count a member's score. */
static inline void
count_score(Member *m, const SpScore *score, const SpPoint *point)
{
	if (score->ready)
		sp_calibration_add(m->calibration, SMALL, score->score, point->time);
}

static bool
can_learn(const SpSetup *setup, const SpPoint *point)
{
	for (int i = 0; i < setup->n; i++)
	{
		if (!sp_online_can_learn(point->x[i]))
			return false;
	}
	return true;
}

static bool
step(void *state, const SpSetup *setup, const SpPoint *point, SpScore *result, SpExplanation *why)
{
	SpEnsemble *e = state;
	Walk		walk = begin_walk(state, setup);
	Combination c = {.expected = NAN};
	Member		m;

	if (!can_learn(setup, point))
	{
		score(state, setup, point, result, why);
		return false;
	}
	if (e->count == 0)
		begin(e, setup);
	while (next_member(&walk, &m))
	{
		SpScore		s;

		(void) sp_online_step(m.kernel, m.state, &m.setup, point, &s, NULL);
		add_member(&c, &m, &s);
		count_score(&m, &s, point);
	}
	finish(&c, e, setup, result, why);
	if (e->count == 0)
		sp_online_clear_score(result);
	e->count++;
	return true;
}

static bool
learn(void *state, const SpSetup *setup, const SpPoint *point)
{
	SpScore		result;

	return step(state, setup, point, &result, NULL);
}

/* It isn't learned, but its scores are as probable as they are. */
static void
pass(void *state, const SpSetup *setup, const SpPoint *point)
{
	Walk		walk = begin_walk(state, setup);
	Member		m;

	if (((SpEnsemble *) state)->count == 0)
		return;
	while (next_member(&walk, &m))
	{
		SpScore		s;

		m.kernel->score(m.state, &m.setup, point, &s, NULL);
		count_score(&m, &s, point);
		if (m.kernel->pass != NULL)
			m.kernel->pass(m.state, &m.setup, point);
	}
}

static double
p_value(const SpSetup *setup, double score)
{
	(void) setup;
	return pow(10, -score);
}

static bool
is_sound(const void *state, const SpSetup *setup)
{
	const SpEnsemble *e = state;
	Walk		walk = begin_walk(state, setup);
	Member		m;

	if (e->count == 0)
	{
		for (size_t i = 0; i < get_state_size(setup->params, setup->n); i++)
		{
			if (((const char *) state)[i] != 0)
				return false;
		}
		return true;
	}
	if (e->count > INT64_MAX / 2)
		return false;
	while (next_member(&walk, &m))
	{
		if (!m.kernel->is_sound(m.state, &m.setup) || !sp_calibration_is_sound(m.calibration, SMALL))
			return false;
	}
	return true;
}

const SpKernel sp_kernel_ensemble = {
	.name = "ensemble",
	.summary = "several methods, combined by how probable their scores are",
	.reference = "Y. Liu, J. Xie, Cauchy combination test, JASA 115, 2020",
	.takes = SP_TAKES_EITHER,
	.has_direction = true,
	.uses_time = true,
	.sums_up = true,
	.version = 1,
	.nparams = sizeof(param_table) / sizeof(param_table[0]),
	.param_table = param_table,
	.params_size = sizeof(SpEnsembleParams),
	.conflict = find_conflict,
	.threshold = SP_ENSEMBLE_THRESHOLD,
	.get_state_size = get_state_size,
	.score = score,
	.learn = learn,
	.step = step,
	.pass = pass,
	.p_value = p_value,
	.get_needed = get_needed,
	.is_sound = is_sound
};
