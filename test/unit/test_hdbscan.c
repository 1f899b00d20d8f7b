/*
 * test_hdbscan.c
 *	  Clusters and outlier scores by their definition: sets of points that are connected at each
 *	  radius, found in the matrix of all distances; and the spanning tree by R. C. Prim's algorithm.
 */
#include "batch.h"

#include "kernel/batch/hdbscan.h"
#include "kernel/batch/spanning_tree.h"

#define MOST	70				/* points */

typedef struct Params
{
	int32_t		min_points;
	int32_t		min_cluster_size;
	int32_t		scale;
} Params;

#define NONE	3				/* of scales */

/* The hierarchy, from the matrix. */
typedef struct Plain
{
	int			n;
	int			min_size;
	double		reach[MOST][MOST];
	int			nclusters;
	int			parent[2 * MOST];
	double		height[2 * MOST];	/* where it comes to be */
	double		stability[2 * MOST];
	double		last[2 * MOST];
	int			cluster[MOST];
	double		left[MOST];
	int			counted[2 * MOST];	/* is one of the clusters that count */
} Plain;

static int
compare(const void *a, const void *b)
{
	double		x = *(const double *) a;
	double		y = *(const double *) b;

	return x < y ? -1 : x > y;
}

static double
get_distance(const double *a, const double *b, int d)
{
	double		sum = 0;

	for (int j = 0; j < d; j++)
		sum += (a[j] - b[j]) * (a[j] - b[j]);
	return sqrt(sum);
}

static void
fill_reach(Plain *p, const double *x, int d, int min_points)
{
	double		core[MOST];

	for (int i = 0; i < p->n; i++)
	{
		double		distances[MOST];

		for (int j = 0; j < p->n; j++)
			distances[j] = get_distance(x + i * d, x + j * d, d);
		qsort(distances, (size_t) p->n, sizeof(double), compare);
		core[i] = distances[min_points < p->n ? min_points - 1 : p->n - 1];
	}
	for (int i = 0; i < p->n; i++)
	{
		for (int j = 0; j < p->n; j++)
			p->reach[i][j] = fmax(get_distance(x + i * d, x + j * d, d), fmax(core[i], core[j]));
	}
}

/* The parts of a set that are connected by less than a radius (or up to it); their number. */
static int
split(const Plain *p, const int *set, int n, double radius, bool up_to, int *part)
{
	int			nparts = 0;

	for (int i = 0; i < n; i++)
		part[i] = -1;
	for (int first = 0; first < n; first++)
	{
		bool		grows = true;

		if (part[first] >= 0)
			continue;
		part[first] = nparts++;
		while (grows)
		{
			grows = false;
			for (int i = 0; i < n; i++)
			{
				for (int j = 0; j < n && part[i] == part[first]; j++)
				{
					double		reach = p->reach[set[i]][set[j]];

					if (part[j] < 0 && (reach < radius || (up_to && reach == radius)))
					{
						part[j] = part[first];
						grows = true;
					}
				}
			}
		}
	}
	return nparts;
}

/* The least radius up to which a set is connected. */
static double
find_radius(const Plain *p, const int *set, int n)
{
	double		radii[MOST * MOST];
	int			part[MOST];
	int			low = 0;
	int			high = 0;

	for (int i = 0; i < n; i++)
	{
		for (int j = 0; j < i; j++)
			radii[high++] = p->reach[set[i]][set[j]];
	}
	qsort(radii, (size_t) high, sizeof(double), compare);
	high--;
	while (low < high)
	{
		int			middle = (low + high) / 2;

		if (split(p, set, n, radii[middle], true, part) == 1)
			high = middle;
		else
			low = middle + 1;
	}
	return radii[low];
}

/* What becomes of a set of a cluster as the radius shrinks. */
static void
shrink(Plain *p, const int *set, int n, int cluster)
{
	int			part[MOST];
	int			sizes[MOST] = {0};
	double		radius;
	int			nparts;
	int			nlarge = 0;

	if (n < 2)
		return;
	radius = find_radius(p, set, n);
	nparts = split(p, set, n, radius, false, part);
	for (int i = 0; i < n; i++)
		nlarge += ++sizes[part[i]] == p->min_size;
	for (int k = 0; k < nparts; k++)
	{
		int			members[MOST];
		int			count = 0;
		int			of = cluster;

		for (int i = 0; i < n; i++)
		{
			if (part[i] == k)
				members[count++] = set[i];
		}
		if (count < p->min_size || nlarge > 1)
			p->stability[cluster] += count * (1 / radius - 1 / p->height[cluster]);
		if (count < p->min_size)
		{
			for (int i = 0; i < count; i++)
			{
				p->cluster[members[i]] = cluster;
				p->left[members[i]] = radius;
			}
			for (int c = cluster;; c = p->parent[c])
			{
				p->last[c] = fmin(p->last[c], radius);
				if (c == 0)
					break;
			}
			continue;
		}
		if (nlarge > 1)
		{
			of = p->nclusters++;
			p->parent[of] = cluster;
			p->height[of] = p->last[of] = radius;
			p->stability[of] = 0;
		}
		shrink(p, members, count, of);
	}
}

/* The stability of the best choice among a cluster and those within it. */
static double
choose(Plain *p, int cluster)
{
	double		within = 0;

	for (int i = cluster + 1; i < p->nclusters; i++)
	{
		if (p->parent[i] == cluster)
			within += choose(p, i);
	}
	p->counted[cluster] = cluster > 0 && p->stability[cluster] >= within;
	return p->counted[cluster] ? p->stability[cluster] : within;
}

/* The cluster that counts for a point: of several about one another the outermost; -1: none. */
static int
get_label(const Plain *p, int point)
{
	int			label = -1;

	for (int c = p->cluster[point]; c > 0; c = p->parent[c])
		label = p->counted[c] ? c : label;
	return label;
}

static void
check_against_plain(const double *x, int n, int d, int min_points, int min_size)
{
	static Plain p;
	Params		params = {min_points, min_size, NONE};
	double	   *labels = score_points(&sp_batch_hdbscan, &params, x, (size_t) n, d);
	double	   *scores = score_points(&sp_batch_hdbscan_outlier, &params, x, (size_t) n, d);
	int			set[MOST];
	int			number[2 * MOST];
	int			next = 0;
	int			wrong = 0;

	memset(&p, 0, sizeof(p));
	memset(number, 0xff, sizeof(number));
	p.n = n;
	p.min_size = min_size;
	p.nclusters = 1;
	p.height[0] = p.last[0] = INFINITY;
	fill_reach(&p, x, d, min_points);
	for (int i = 0; i < n; i++)
		set[i] = i;
	shrink(&p, set, n, 0);
	choose(&p, 0);
	for (int i = 0; i < n; i++)
	{
		int			label = get_label(&p, i);
		double		expected = p.left[i] > 0 ? 1 - p.last[p.cluster[i]] / p.left[i] : 0;

		if (label >= 0 && number[label] < 0)
			number[label] = next++;
		wrong += label < 0 ? !isnan(labels[i]) : labels[i] != number[label];
		wrong += !(fabs(scores[i] - expected) < 1e-12);
	}
	if (wrong > 0)
		fprintf(stderr, "%d points x %d, %d, %d: %d differ\n", n, d, min_points, min_size, wrong);
	check(wrong == 0);
	free(labels);
	free(scores);
}

/* Clouds of any density, or places on a lattice, many of them equal. */
static void
make_points(double *x, int n, int d, bool on_lattice, uint64_t *random)
{
	double		center[4][8];
	int			nclouds = 1 + (int) (next_random(random) % 4);

	for (int k = 0; k < 4 * 8; k++)
		center[k / 8][k % 8] = 6 * next_uniform(random);
	for (int i = 0; i < n; i++)
	{
		int			cloud = i % nclouds;

		for (int j = 0; j < d; j++)
		{
			x[i * d + j] = on_lattice ? (double) (next_random(random) % 6) :
				center[cloud][j] + (cloud + 0.3) * (next_uniform(random) + next_uniform(random));
		}
	}
}

static void
test_clusters(void)
{
	uint64_t	random = 4;
	double		x[MOST * 8];

	for (int round = 0; round < 160; round++)
	{
		int			n = 1 + (int) (next_random(&random) % MOST);
		int			d = 1 + (int) (next_random(&random) % 4);
		int			min_points = 1 + (int) (next_random(&random) % 7);
		int			min_size = 2 + (int) (next_random(&random) % 7);

		make_points(x, n, d, round % 4 == 3, &random);
		check_against_plain(x, n, d, min_points, min_size);
	}
}

/* Three clouds of unlike densities, which are found, and a point outside. */
static void
test_clouds(void)
{
	enum
	{
		EACH = 200
	};
	static double x[(3 * EACH + 1) * 2];
	Params		params = {10, 20, NONE};
	uint64_t	random = 11;
	double	   *labels;
	double	   *scores;
	int			wrong = 0;

	for (int i = 0; i < 3 * EACH; i++)
	{
		double		size = i / EACH == 0 ? 1 : i / EACH == 1 ? 0.1 : 4;

		for (int j = 0; j < 2; j++)
		{
			x[2 * i + j] = 10 * (i / EACH) * (j + 1);
			for (int k = 0; k < 4; k++)
				x[2 * i + j] += size * (next_uniform(&random) - 0.5);
		}
	}
	x[6 * EACH] = 100;
	labels = score_points(&sp_batch_hdbscan, &params, x, 3 * EACH + 1, 2);
	scores = score_points(&sp_batch_hdbscan_outlier, &params, x, 3 * EACH + 1, 2);
	for (int i = 0; i < 3 * EACH; i++)
	{
		wrong += !isnan(labels[i]) && labels[i] != i / EACH;
		wrong += !(scores[i] < scores[3 * EACH]);
	}
	check(wrong == 0);
	check(labels[0] == 0);
	check(isnan(labels[3 * EACH]));
	check(scores[3 * EACH] > 0.9);
	free(labels);
	free(scores);
}

/* The lengths of all edges are those of Prim's tree: the same bits. */
static void
check_tree(const double *x, size_t n, int d, int min_points)
{
	SpMatrix	points = {x, n, d};
	double	   *core = malloc(n * sizeof(double));
	double	   *way = malloc(n * sizeof(double));
	double	   *lengths = malloc(n * sizeof(double));
	bool	   *is_in = calloc(n, sizeof(bool));
	SpEdge	   *edges = malloc(n * sizeof(SpEdge));
	size_t		at = 0;
	int			wrong = 0;
	SpKdTree	tree;
	Lending		l;

	begin_lending(&l);
	sp_kd_build(&tree, &points, &l.work);
	l.most = l.used;
	sp_spanning_tree_find_core(&tree, min_points, core, &l.work);
	sp_spanning_tree_find(&tree, core, edges, &l.work);
	check(l.most - l.used <= sp_spanning_tree_memory((double) n, min_points));
	for (size_t i = 0; i < n; i++)
		way[i] = INFINITY;
	for (size_t count = 0; count + 1 < n; count++)
	{
		size_t		next = SIZE_MAX;

		is_in[at] = true;
		for (size_t i = 0; i < n; i++)
		{
			double		distance = 0;

			for (int j = 0; j < d; j++)
				distance += (tree.x[at * d + j] - tree.x[i * d + j]) *
					(tree.x[at * d + j] - tree.x[i * d + j]);
			way[i] = fmin(way[i], fmax(distance, fmax(core[at], core[i])));
			if (!is_in[i] && (next == SIZE_MAX || way[i] < way[next]))
				next = i;
		}
		lengths[count] = way[next];
		at = next;
	}
	qsort(lengths, n - 1, sizeof(double), compare);
	for (size_t i = 0; i + 1 < n; i++)
		wrong += edges[i].distance != lengths[i];
	check(wrong == 0);
	end_lending(&l);
	free(edges);
	free(is_in);
	free(lengths);
	free(way);
	free(core);
}

static void
test_trees(void)
{
	static double x[1500 * 6];
	uint64_t	random = 6;

	for (int round = 0; round < 8; round++)
	{
		int			d = 1 + round % 6;

		for (int i = 0; i < 1500 * d; i++)
			x[i] = round < 6 ? next_uniform(&random) * next_uniform(&random) :
				(double) (next_random(&random) % 9);
		check_tree(x, 1500, d, round % 3 == 0 ? 1 : 8);
	}
}

int
main(void)
{
	test_clusters();
	test_clouds();
	test_trees();
	return failures > 0;
}
