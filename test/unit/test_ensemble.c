/*
 * test_ensemble.c
 *	  The ensemble against its members called by hand, with probabilities by counting all scores before.
 */
#include "kernel/online/ensemble.h"

#include "kernel/online/ewma.h"
#include "kernel/online/zscore.h"
#include "kernel.h"

#define N			6000
#define EWMA		(1 << 1)
#define ZSCORE		(1 << 2)
#define PI			3.14159265358979323846

/* A member by hand, and its scores. */
typedef struct ByHand
{
	Series		series;
	char		params[256];
	double		scores[N];
	int			n;
} ByHand;

static void
open_by_hand(ByHand *b, const SpKernel *kernel)
{
	sp_online_defaults(kernel, b->params);
	b->series = open_series(kernel, b->params, SP_DIRECTION_BOTH);
	b->n = 0;
}

/* The tangent of the probability of the point's score by those before it; the point is learned. */
static double
step_by_hand(ByHand *b, int64_t time, double x, bool *ready)
{
	SpScore		score = score_at(&b->series, time, x);
	int			above = 0;
	double		p;

	learn_at(&b->series, time, x);
	*ready = score.ready;
	if (!score.ready)
		return 0;
	for (int i = 0; i < b->n; i++)
		above += b->scores[i] >= score.score;
	p = (above + 1.0) / (b->n + 1.0);
	b->scores[b->n++] = score.score;
	return tan((0.5 - fmin(p, 0.99)) * PI);
}

/* Where the probability isn't too small to be counted, the two differ by the bins' width. */
static void
check_by_hand(void)
{
	static ByHand ewma;
	static ByHand zscore;
	SpEnsembleParams params = {EWMA | ZSCORE};
	Series		s = open_series(&sp_kernel_ensemble, &params, SP_DIRECTION_BOTH);
	uint64_t	random = 5;
	double		off = 0;
	int			compared = 0;

	open_by_hand(&ewma, &sp_kernel_ewma);
	open_by_hand(&zscore, &sp_kernel_zscore);
	for (int i = 0; i < N; i++)
	{
		double		x = next_normal(&random);
		SpScore		score = score_at(&s, i * MINUTE, x);
		bool		ready_1;
		bool		ready_2;
		double		t = step_by_hand(&ewma, i * MINUTE, x, &ready_1);
		double		expected;

		t = (t + step_by_hand(&zscore, i * MINUTE, x, &ready_2)) / 2;
		expected = -log10(0.5 - atan(t) / PI);
		check(learn_at(&s, i * MINUTE, x));
		check(score.ready || i < 500);
		if (!score.ready || i < 1000)
			continue;
		compared++;
		off += fabs(score.score - expected);
		check(fabs(score.score - expected) < 0.5);
	}
	check(compared == N - 1000 && off / compared < 0.05);
	close_series(&s);
	close_series(&ewma.series);
	close_series(&zscore.series);
}

/* Scores say how probable they are: of noise one in a thousand is above the threshold. */
static void
check_rate(int32_t methods)
{
	SpEnsembleParams params = {methods};
	Series		s = open_series(&sp_kernel_ensemble, &params, SP_DIRECTION_BOTH);
	uint64_t	random = 7;
	int			above = 0;

	for (int i = 0; i < 30000; i++)
		above += step_at(&s, i * MINUTE, next_normal(&random)) > 2.0 && i >= 10000;
	/* 200 of 20,000; less where members agree less */
	check(above > 80 && above < 320);
	close_series(&s);
}

/* A spike is found, and told by whom: the parts add up. */
static void
check_spike(void)
{
	static SpExplanation why;
	SpEnsembleParams params = {0};
	Series		s = open_series(&sp_kernel_ensemble, &params, SP_DIRECTION_BOTH);
	uint64_t	random = 9;
	double		x = 30;
	SpPoint		point = {N * MINUTE, N * MINUTE, &x};
	SpScore		score;
	double		sum = 0;

	for (int i = 0; i < N; i++)
		check(learn_at(&s, i * MINUTE, next_normal(&random)));
	sp_kernel_ensemble.score(s.state, &s.setup, &point, &score, &why);
	check(score.score > SP_ENSEMBLE_THRESHOLD);
	check(why.nparts == 3);
	for (int i = 0; i < why.nparts; i++)
		sum += why.parts[i].amount;
	check_near(sum, score.score, 1e-9);
	check(strcmp(why.parts[0].name, "records") == 0);
	check(sp_kernel_ensemble.is_sound(s.state, &s.setup));
	close_series(&s);
}

/* Members that take a value have no use for features. */
static void
check_conflicts(void)
{
	SpEnsembleParams params = {EWMA};

	check(sp_kernel_ensemble.conflict(&params, 1) == NULL);
	check(sp_kernel_ensemble.conflict(&params, 2) != NULL);
	for (int i = 0; sp_kernel_ensemble.param_table[0].choices[i] != NULL; i++)
	{
		const char *name = sp_kernel_ensemble.param_table[0].choices[i];
		const SpKernel *const *member = sp_online_kernels;
		const char *conflict;

		while (strcmp((*member)->name, name) != 0)
			member++;
		params.methods = 1 << i;
		conflict = sp_kernel_ensemble.conflict(&params, 2);
		check(((*member)->takes == SP_TAKES_FEATURES) == (conflict == NULL));
		check(conflict == NULL || strncmp(conflict + 1, name, strlen(name)) == 0);
	}
	params.methods = 0;
	check(sp_kernel_ensemble.conflict(&params, 1) == NULL);
	check(sp_kernel_ensemble.conflict(&params, 5) == NULL);
}

int
main(void)
{
	check_by_hand();
	check_rate(EWMA | ZSCORE);
	check_rate(EWMA);
	check_spike();
	check_conflicts();
	return failures > 0;
}
