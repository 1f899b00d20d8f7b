/*
 * test_online.c
 *	  What holds for every online kernel, with parameters and series made by chance.
 */
#include "kernel/online/online.h"
#include "unit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MINUTE			INT64_C(60000000)
#define MAX_STATE_SIZE	((size_t) 64 << 20)

/* A kernel at work. */
typedef struct Run
{
	const SpKernel *kernel;
	SpSetup		setup;
	size_t		size;
	void	   *params;
	void	   *state;
	int			flagged;
	int			found;			/* of those, for how many a normal point */
} Run;

/* A parameter of the table by chance, small rather than large. */
static void
choose_param(const SpParam *p, void *params, uint64_t *random)
{
	char	   *to = (char *) params + p->offset;
	double		u = next_uniform(random);
	double		value;

	if (u < 0.4)
		return;					/* the default */
	if (p->choices != NULL)
	{
		int32_t		n = 0;

		while (p->choices[n] != NULL)
			n++;
		if (p->type == SP_PARAM_SET)
			*(int32_t *) to = (int32_t) (next_random(random) & (next_random(random) % (UINT64_C(1) << n)));
		else
			*(int32_t *) to = (int32_t) (next_random(random) % (uint64_t) n);
		return;
	}
	value = p->min + (p->max - p->min) * pow(next_uniform(random), p->max > 1000 ? 40 : 4);
	if (p->type == SP_PARAM_FLOAT)
		*(double *) to = value;
	else if (p->type == SP_PARAM_INTERVAL)
		*(int64_t *) to = (int64_t) value;
	else
		*(int32_t *) to = (int32_t) value;
}

/* Open a kernel with parameters that go together and a state that isn't huge; false: there is none. */
static bool
open_run(Run *run, const SpKernel *kernel, bool by_chance, uint64_t *random)
{
	run->flagged = run->found = 0;
	run->kernel = kernel;
	run->params = calloc(1, kernel->params_size + 1);
	run->setup.params = run->params;
	run->setup.n = kernel->takes == SP_TAKES_FEATURES || kernel->takes == SP_TAKES_EITHER ?
		1 + (int) (next_random(random) % 5) :
		kernel->takes == SP_TAKES_ANY_VALUE ? (int) (next_random(random) % 2) : 1;
	run->setup.escape = (int32_t) (next_random(random) % 3) * 10;
	run->setup.direction = kernel->has_direction ? (SpDirection) (next_random(random) % 3) :
		SP_DIRECTION_BOTH;
	run->setup.explain_all = next_random(random) % 2 == 0;
	run->setup.is_fine = next_random(random) % 2 == 0;
	run->setup.looks_ahead = next_random(random) % 2 == 0;
	sp_online_defaults(kernel, run->params);
	for (int i = 0; by_chance && i < kernel->nparams; i++)
		choose_param(&kernel->param_table[i], run->params, random);
	if (kernel->conflict != NULL && kernel->conflict(run->params, run->setup.n) != NULL)
	{
		check(by_chance);
		free(run->params);
		return false;
	}
	run->setup.threshold = sp_online_threshold(kernel, run->params, run->setup.n);
	run->size = sp_online_state_size(kernel, run->params, run->setup.n);
	check(run->size > 0 && run->size % 8 == 0);
	if (run->size > MAX_STATE_SIZE)
	{
		check(by_chance);
		free(run->params);
		return false;
	}
	run->state = malloc(run->size);
	sp_online_init(kernel, run->state, &run->setup);
	check(kernel->is_sound(run->state, &run->setup));
	check(sp_online_learned(kernel, run->state, &run->setup) == 0);
	return true;
}

static void
close_run(Run *run)
{
	free(run->params);
	free(run->state);
}

/* Point i of a series of that character; x has room for SP_MAX_FEATURES. */
static SpPoint
make_point(int character, int i, double *x, uint64_t *random)
{
	SpPoint		point = {0, 0, x};

	for (int f = 0; f < SP_MAX_FEATURES; f++)
	{
		double		noise = next_uniform(random) + next_uniform(random) - 1.0;

		switch (character)
		{
			case 0:				/* a daily season, and outliers */
				x[f] = 100 + 20 * sin(i * (2 * M_PI / 288) + f) + 5 * noise;
				if (next_random(random) % 97 == 0)
					x[f] += 200 * (next_uniform(random) - 0.5);
				break;
			case 1:				/* constant, now and then not */
				x[f] = next_random(random) % 50 == 0 ? noise : 3.25;
				break;
			case 2:				/* a level that shifts, and a change of scale */
				x[f] = (i / 300) * 1e3 + noise * (i % 500 < 250 ? 1 : 1e4);
				break;
			case 3:				/* as far apart as numbers can be */
				x[f] = ldexp(noise, (int) (next_random(random) % 2040) - 1020);
				break;
			default:			/* the largest ones */
				x[f] = noise > 0 ? 1.7e308 : -1.7e308;
				break;
		}
	}
	point.time = i * 5 * MINUTE;
	if (next_random(random) % 20 == 0)
		point.time -= (int64_t) (next_random(random) % 20) * MINUTE;
	if (character == 3)
		point.time = (int64_t) (next_random(random) >> 3) - (INT64_C(1) << 60);
	point.local = point.time + 120 * MINUTE;
	return point;
}

/* A score and its explanation are what they promise. */
static void
check_score(const Run *run, const SpScore *score, const SpExplanation *why)
{
	double		sum = 0;

	check(fabs(score->score) <= SP_SCORE_MAX);
	check(score->ready || score->score == 0.0);
	check(run->setup.direction != SP_DIRECTION_BOTH || score->score >= 0.0);
	check(!(score->lower_bound > score->upper_bound));
	if (run->kernel->p_value != NULL && score->ready)
	{
		double		p = run->kernel->p_value(&run->setup, score->score);

		check(p >= 0.0 && p <= 1.0);
	}
	if (!(score->score > run->setup.threshold) && !(run->setup.explain_all && score->ready))
		return;
	check(why->nparts > 0 && why->nparts <= SP_MAX_PARTS);
	for (int i = 0; i < why->nparts; i++)
	{
		check(why->parts[i].name != NULL ||
			  (why->parts[i].feature >= 0 && why->parts[i].feature < run->setup.n));
		check(isfinite(why->parts[i].amount));
		sum += why->parts[i].amount;
	}
	if (run->kernel->sums_up)
		check_near(sum, score->score, 1e-9 * (1 + fabs(score->score)));
}

/*
 * A row with the nearest normal point in its place isn't above the threshold; one that is normal is
 * itself the nearest one.
 */
static void
check_nearest(Run *run, const SpPoint *point, const SpScore *score, const SpExplanation *why)
{
	bool		is_flagged = score->score > run->setup.threshold;
	SpPoint		moved = *point;
	SpScore		found;

	if (!score->ready || !(is_flagged || run->setup.explain_all))
		return;
	run->flagged += is_flagged;
	for (int f = 0; f < run->setup.n; f++)
	{
		check(isfinite(why->nearest[f]) == isfinite(why->nearest[0]));
		if (!is_flagged && isfinite(why->nearest[f]))
			check(why->nearest[f] == point->x[f]);
	}
	if (run->setup.n == 0 || isnan(why->nearest[0]))
		return;
	run->found += is_flagged;
	moved.x = why->nearest;
	run->kernel->score(run->state, &run->setup, &moved, &found, NULL);
	check(found.ready && !(found.score > run->setup.threshold));
}

static bool
same_score(const SpScore *a, const SpScore *b)
{
	return memcmp(&a->score, &b->score, sizeof(double)) == 0 &&
		memcmp(&a->expected, &b->expected, sizeof(double)) == 0 &&
		memcmp(&a->lower_bound, &b->lower_bound, sizeof(double)) == 0 &&
		memcmp(&a->upper_bound, &b->upper_bound, sizeof(double)) == 0 && a->ready == b->ready;
}

/* One point by score() and learn(), and on a copy by step(). */
static void
advance(Run *run, const SpPoint *point, void *copy)
{
	static SpExplanation why;
	static SpExplanation why_step;
	const SpKernel *kernel = run->kernel;
	SpScore		score;
	SpScore		again;
	SpScore		stepped;
	bool		learned;

	memcpy(copy, run->state, run->size);
	memset(&why, 0, sizeof(why));
	kernel->score(run->state, &run->setup, point, &score, &why);
	check(memcmp(copy, run->state, run->size) == 0);
	check_score(run, &score, &why);
	check_nearest(run, point, &score, &why);
	run->setup.explain_all = !run->setup.explain_all;
	kernel->score(run->state, &run->setup, point, &again, NULL);
	run->setup.explain_all = !run->setup.explain_all;
	check(same_score(&score, &again));

	learned = kernel->learn(run->state, &run->setup, point);
	if (!learned)
		check(memcmp(copy, run->state, run->size) == 0);
	memset(&why_step, 0, sizeof(why_step));
	check(sp_online_step(kernel, copy, &run->setup, point, &stepped, &why_step) == learned);
	check(same_score(&score, &stepped));
	check(memcmp(copy, run->state, run->size) == 0);
	check(memcmp(&why, &why_step, sizeof(why)) == 0);
}

/* Write the state, read it into another one, which goes on in its place. */
static void
restore(Run *run)
{
	const SpKernel *kernel = run->kernel;
	size_t		size = sp_online_written_size(kernel, &run->setup);
	char	   *written = malloc(size);
	void	   *read = malloc(run->size);

	check(sp_online_write(kernel, run->state, &run->setup, written) == written + size);
	check(sp_online_read(kernel, read, &run->setup, written, written + size - 1) == NULL);
	check(sp_online_read(kernel, read, &run->setup, written, written + size) == written + size);
	check(memcmp(read, run->state, run->size) == 0);
	free(run->state);
	run->state = read;
	written[0] ^= 0x40;
	read = malloc(run->size);
	check(sp_online_read(kernel, read, &run->setup, written, written + size) == NULL);
	free(read);
	free(written);
}

/* Does it say more than the bounds of each feature? */
static bool
finds_nearest(const SpKernel *kernel)
{
	return kernel == sp_online_find("adwin") || kernel == sp_online_find("mahalanobis") ||
		kernel == sp_online_find("half_space_trees") || kernel == sp_online_find("random_cut_forest");
}

/* A series through a kernel; every so often it is restarted, a point is passed over. */
static void
run_series(const SpKernel *kernel, int character, int n, bool by_chance, uint64_t *random)
{
	double		x[SP_MAX_FEATURES];
	Run			run;
	void	   *copy;
	int64_t		last = 0;

	if (!open_run(&run, kernel, by_chance, random))
		return;
	copy = malloc(run.size);
	for (int i = 0; i < n; i++)
	{
		SpPoint		point = make_point(character, i, x, random);
		int64_t		learned;

		advance(&run, &point, copy);
		learned = sp_online_learned(kernel, run.state, &run.setup);
		check(learned >= last && learned <= i + 1);
		last = learned;
		if (next_random(random) % 200 == 0)
			restore(&run);
		if (kernel->pass != NULL && next_random(random) % 10 == 0)
			kernel->pass(run.state, &run.setup, &point);
		if (run.size < 100000 || i % 100 == 0)
			check(kernel->is_sound(run.state, &run.setup));
	}
	check(sp_online_needed(kernel, run.params, run.setup.n) >= 0);
	if (character == 0 && !by_chance && finds_nearest(kernel))
		check(run.flagged > 0 && 2 * run.found > run.flagged);
	free(copy);
	close_run(&run);
}

/* Tables that documentation and parsing rely on. */
static void
check_tables(const SpKernel *kernel)
{
	check(sp_online_find(kernel->name) == kernel);
	check(kernel->summary != NULL && kernel->reference != NULL);
	check((kernel->threshold > 0.0) != (kernel->get_threshold != NULL));
	check((kernel->state_size > 0) != (kernel->get_state_size != NULL));
	for (int i = 0; i < kernel->nparams; i++)
	{
		const SpParam *p = &kernel->param_table[i];

		check(p->meaning != NULL && p->offset < kernel->params_size);
		check((p->type == SP_PARAM_CHOICE || p->type == SP_PARAM_SET) == (p->choices != NULL));
		check(isnan(p->default_value) == (p->default_text != NULL));
		if (p->type != SP_PARAM_CHOICE && !isnan(p->default_value))
			check(p->default_value >= p->min && p->default_value <= p->max);
	}
}

int
main(void)
{
	uint64_t	random = 20260101;

	for (const SpKernel *const *k = sp_online_kernels; *k != NULL; k++)
	{
		int			before = failures;

		check_tables(*k);
		for (int character = 0; character < 5; character++)
		{
			run_series(*k, character, 1500, false, &random);
			for (int i = 0; i < 6; i++)
				run_series(*k, character, 300, true, &random);
		}
		if (failures > before)
			fprintf(stderr, "kernel %s\n", (*k)->name);
	}
	return failures > 0;
}
