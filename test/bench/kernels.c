/*
 * kernels.c
 *	  What an event costs each online kernel, of one key whose state is in the cache: scored and
 *	  learned, without the worker and without calibration.
 *
 * Prints a line for each: nanoseconds an event, events a second, bytes of state.  Values are noise around a
 * daily season, a row each 5 minutes; with features, noise that has something in common.
 *
 * EVENTS of each (default 1000000; a hundredth of that where a kernel builds trees).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernel/online/online.h"
#include "kernel/online/random.h"

#define ROWS	65536			/* of the series, which is gone through again and again */

/* What is measured; parameters by name, where they aren't the defaults. */
typedef struct Case
{
	const char *title;
	const char *method;
	const char *parameter;
	int			value;
	int			n;				/* features */
	int			share;			/* events are divided by it */
} Case;

static const Case cases[] = {
	{"ewma", "ewma", NULL, 0, 1, 1},
	{"records micro", "records", "size", 0, 1, 1},
	{"records tiny", "records", "size", 1, 1, 1},
	{"records medium", "records", "size", 2, 1, 1},
	{"records full", "records", "size", 3, 1, 1},
	{"zscore(100)", "zscore", NULL, 0, 1, 1},
	{"mad(100)", "mad", NULL, 0, 1, 1},
	{"iqr", "iqr", NULL, 0, 1, 1},
	{"velocity", "velocity", NULL, 0, 1, 1},
	{"cusum", "cusum", NULL, 0, 1, 1},
	{"page_hinkley", "page_hinkley", NULL, 0, 1, 1},
	{"adwin", "adwin", NULL, 0, 1, 1},
	{"holt_winters", "holt_winters", NULL, 0, 1, 1},
	{"seasonal", "seasonal", NULL, 0, 1, 1},
	{"spot", "spot", NULL, 0, 1, 1},
	{"dspot", "dspot", NULL, 0, 1, 1},
	{"ensemble", "ensemble", NULL, 0, 1, 1},
	{"mahalanobis, 10 features", "mahalanobis", NULL, 0, 10, 1},
	{"half_space_trees, 25 x 8, 10 features", "half_space_trees", NULL, 0, 10, 1},
	{"random_cut_forest, 50 x 256, 8 features", "random_cut_forest", NULL, 0, 8, 100}
};

static double series[ROWS][SP_MAX_FEATURES];

static void
make_series(void)
{
	for (int i = 0; i < ROWS; i++)
	{
		double		common = sp_random_uniform(sp_random_at(1, (uint64_t) i));

		for (int f = 0; f < SP_MAX_FEATURES; f++)
			series[i][f] = 100.0 + 10.0 * sin(i * 2.0 * M_PI / 288.0) * (f == 0) + common +
				2.0 * sp_random_uniform(sp_random_at(2 + (uint64_t) f, (uint64_t) i));
	}
}

static void
set_parameter(const SpKernel *kernel, void *params, const char *name, int value)
{
	for (int i = 0; i < kernel->nparams; i++)
	{
		if (strcmp(kernel->param_table[i].name, name) == 0)
			*(int32_t *) ((char *) params + kernel->param_table[i].offset) = value;
	}
}

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec + t.tv_nsec * 1e-9;
}

/* The first n features of each row, side by side: reading them is to cost nothing beside the kernel. */
static double *
take_features(int n)
{
	double	   *values = malloc(sizeof(double) * ROWS * (size_t) n);

	for (int i = 0; i < ROWS; i++)
		memcpy(values + i * n, series[i], sizeof(double) * (size_t) n);
	return values;
}

static void
measure(const Case *c, long events)
{
	const SpKernel *kernel = sp_online_find(c->method);
	void	   *params = calloc(1, kernel->params_size);
	double	   *values = take_features(c->n);
	SpSetup		setup = {.params = params, .n = c->n, .escape = 20};
	size_t		size;
	void	   *state;
	double		begun = 0;
	double		scores = 0;

	sp_online_defaults(kernel, params);
	if (c->parameter != NULL)
		set_parameter(kernel, params, c->parameter, c->value);
	setup.threshold = sp_online_threshold(kernel, params, c->n);
	size = sp_online_state_size(kernel, params, c->n);
	state = aligned_alloc(64, (size + 63) / 64 * 64);
	sp_online_init(kernel, state, &setup);
	/* what comes first, until the state is as it stays, doesn't count */
	for (long i = -events / 4; i < events; i++)
	{
		int64_t		time = (i + events) * INT64_C(300000000);
		SpPoint		point = {time, time, values + (i + events) % ROWS * c->n};
		SpScore		score;

		if (i == 0)
			begun = now();
		(void) sp_online_step(kernel, state, &setup, &point, &score, NULL);
		scores += score.score;
	}
	begun = now() - begun;
	printf("%-40s%12.1f%14.0f%12zu%s\n", c->title, begun / events * 1e9, events / begun, size,
		   scores == scores ? "" : "   scores are no numbers");
	fflush(stdout);
	free(state);
	free(values);
	free(params);
}

int
main(void)
{
	const char *given = getenv("EVENTS");
	const char *only = getenv("ONLY");
	long		events = given != NULL ? atol(given) : 1000000;

	make_series();
	printf("%-40s%12s%14s%12s\n", "method", "ns an event", "events/s", "bytes a key");
	for (size_t i = 0; i < sizeof(cases) / sizeof(Case); i++)
	{
		if (only == NULL || strstr(cases[i].title, only) != NULL)
			measure(&cases[i], events / cases[i].share);
	}
	return 0;
}
