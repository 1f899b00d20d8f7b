/*
 * test_nearest.c
 *	  The search for a normal point where what is normal is known: balls, slabs, two modes, nothing.
 */
#include "kernel/online/nearest.h"

#include <math.h>
#include <stddef.h>

#include "unit.h"

#define N	3

/* Within a radius of one of two centers; of how many that are tried. */
typedef struct Balls
{
	double		centers[2][N];
	double		radius;
	int		   *tried;
} Balls;

static double
get_distance(const double *a, const double *b)
{
	double		sum = 0;

	for (int f = 0; f < N; f++)
		sum += (a[f] - b[f]) * (a[f] - b[f]);
	return sqrt(sum);
}

static bool
is_within(const void *model, const double *x)
{
	const Balls *balls = model;

	++*balls->tried;
	for (int f = 0; f < N; f++)
		check(isfinite(x[f]));
	return get_distance(x, balls->centers[0]) <= balls->radius ||
		get_distance(x, balls->centers[1]) <= balls->radius;
}

/* From any distance it is the ball's edge, on the straight way to the center. */
static void
test_edge(double radius)
{
	const SpFrame frames[N] = {{10, 4}, {-2, 4}, {0, 4}};
	int			tried;
	Balls		balls = {{{10, -2, 0}, {10, -2, 0}}, radius, &tried};
	SpNearest	search = {is_within, &balls, N, 11, frames, NULL, 0};
	uint64_t	random = 3;

	for (int i = 0; i < 2000; i++)
	{
		double		far = radius * (1.01 + pow(10, 7 * next_uniform(&random)));
		double		x[N];
		double		to[N];
		double		length;
		double		along = 0;

		for (int f = 0; f < N; f++)
			x[f] = next_uniform(&random) - 0.5;
		length = sqrt(x[0] * x[0] + x[1] * x[1] + x[2] * x[2]);
		for (int f = 0; f < N; f++)
			x[f] = balls.centers[0][f] + x[f] / length * far;
		tried = 0;
		check(sp_nearest_find(&search, x, to));
		check(tried == 12);
		check(get_distance(to, balls.centers[0]) <= radius);
		check(get_distance(to, balls.centers[0]) >= 0.97 * radius - 0.01);
		for (int f = 0; f < N; f++)
			along += (to[f] - balls.centers[0][f]) * (x[f] - balls.centers[0][f]) / far;
		check_near(along, get_distance(to, balls.centers[0]), 1e-9 * radius);
	}
}

/* The middle of two modes is none of them: it is the nearer one's edge then, if a sample has it. */
static void
test_modes(void)
{
	const SpFrame frames[N] = {{0, 10}, {0, 10}, {0, 10}};
	const double sample[3][N] = {{-9, 0, 0}, {9, 0.5, 0}, {-9.5, 0, 0}};
	int			tried = 0;
	Balls		balls = {{{-9, 0, 0}, {9, 0, 0}}, 1, &tried};
	SpNearest	search = {is_within, &balls, N, 30, frames, sample[0], 3};
	const double x[N] = {9, 20.5, 0};
	const double strange[1][N] = {{9, 15, 0}};
	double		to[N];

	check(sp_nearest_find(&search, x, to));
	check(to[0] == 9 && to[2] == 0);
	check_near(to[1], 1, 1e-6);
	check(to[1] <= 1);

	search.sample = strange[0];
	search.count = 1;
	check(!sp_nearest_find(&search, x, to));
	search.count = 0;
	check(!sp_nearest_find(&search, x, to));
}

/* Numbers as far apart as they can be, frames of constants, and a point that is the center. */
static void
test_extremes(void)
{
	static const double far[] = {1.7e308, -1.7e308, 1e200, 1e-300};
	int			tried = 0;
	Balls		balls = {{{0, 0, 0}, {0, 0, 0}}, 1, &tried};
	double		to[N];

	for (int i = 0; i < 64; i++)
	{
		const SpFrame frames[N] = {{0, i % 2 ? 1e-308 : 1}, {0, 1e-9}, {0, 1e308}};
		SpNearest	search = {is_within, &balls, N, 11, frames, NULL, 0};
		const double x[N] = {far[i % 4], far[i / 4 % 4], far[i / 16]};

		check(sp_nearest_find(&search, x, to));
		check(is_within(&balls, to));
	}
	{
		const SpFrame frames[N] = {{5, 1}, {5, 1}, {5, 1}};
		SpNearest	search = {is_within, &balls, N, 11, frames, NULL, 0};
		const double x[N] = {5, 5, 5};

		check(!sp_nearest_find(&search, x, to));
	}
}

int
main(void)
{
	test_edge(0.1);
	test_edge(1);
	test_edge(30);
	test_modes();
	test_extremes();
	return failures > 0;
}
