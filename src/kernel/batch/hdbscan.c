/*
 * hdbscan.c
 *	  Clusters of whatever density, noise, and how far points are from clusters.
 *
 * Going along the edges of the spanning tree from the shortest, parts become one: merges, each of
 * two parts, the last of which is of all points.  Merges at one height that follow from one
 * another are one in what is said of them.  Going back, each merge's parts are told of which
 * cluster they are, and whether they have left it.
 */
#include "kernel/batch/hdbscan.h"

#include <math.h>
#include <string.h>

#include "kernel/batch/scale.h"
#include "kernel/batch/spanning_tree.h"

#define BLOCK	4096			/* points between two checks */
#define NONE	UINT32_MAX

typedef struct Params
{
	int32_t		min_points;
	int32_t		min_cluster_size;
	int32_t		scale;
} Params;

/* Two parts that become one at a height, a mutual reachability distance. */
typedef struct Merge
{
	double		height;
	double		left_at;		/* height at which its points have left the cluster; NaN: not yet */
	uint32_t	part[2];		/* a point's place, or n + the number of an earlier merge */
	uint32_t	size;
	uint32_t	nlarge;			/* parts of min_cluster_size points, of all merges at once */
	uint32_t	cluster;
} Merge;

typedef struct Cluster
{
	double		height;			/* where it comes to be */
	double		last;			/* where it ends, or what is within it */
	double		stability;
	double		within;			/* stability of the clusters within it that count */
	uint32_t	parent;
	uint32_t	counted;		/* the one that counts for it: itself, one about it, or NONE */
	uint32_t	label;
} Cluster;

typedef struct Hierarchy
{
	size_t		n;
	uint32_t	min_cluster_size;
	SpKdTree	tree;
	Merge	   *merges;			/* [n - 1] */
	Cluster    *clusters;
	uint32_t	nclusters;		/* the first is all points */
	uint32_t   *cluster_of;		/* [n], by place: the last cluster of a point */
	double	   *left_at;		/* [n]: where it leaves it */
	SpWork	   *work;
} Hierarchy;

/* ---- merges ---- */

static uint32_t
find_root(uint32_t *parent, uint32_t place)
{
	while (parent[place] != place)
	{
		parent[place] = parent[parent[place]];
		place = parent[place];
	}
	return place;
}

/* Note what a merge is of. */
static void
describe_merge(const Hierarchy *h, Merge *merge)
{
	merge->size = 0;
	merge->nlarge = 0;
	merge->left_at = NAN;
	merge->cluster = 0;
	for (int i = 0; i < 2; i++)
	{
		const Merge *below = merge->part[i] < h->n ? NULL : &h->merges[merge->part[i] - h->n];

		merge->size += below == NULL ? 1 : below->size;
		if (below != NULL)
			merge->nlarge += below->height == merge->height ? below->nlarge :
				below->size >= h->min_cluster_size;
	}
}

/* All merges, from the edges. */
static void
merge_all(Hierarchy *h, const SpEdge *edges)
{
	uint32_t   *parent = h->work->allocate(h->work, h->n * sizeof(uint32_t));
	uint32_t   *part_of = h->work->allocate(h->work, h->n * sizeof(uint32_t));

	for (size_t i = 0; i < h->n; i++)
		parent[i] = part_of[i] = (uint32_t) i;
	for (size_t i = 0; i + 1 < h->n; i++)
	{
		Merge	   *merge = &h->merges[i];
		uint32_t	a = find_root(parent, edges[i].a);
		uint32_t	b = find_root(parent, edges[i].b);

		merge->height = sqrt(edges[i].distance);
		merge->part[0] = part_of[a];
		merge->part[1] = part_of[b];
		describe_merge(h, merge);
		parent[b] = a;
		part_of[a] = (uint32_t) (h->n + i);
		if (i % BLOCK == 0)
			h->work->check(h->work);
	}
	h->work->release(h->work, part_of);
	h->work->release(h->work, parent);
}

/* ---- clusters ---- */

static inline double
get_density(double height)
{
	return 1 / height;
}

/* So many points are no more of the cluster below a height. */
static void
leave(Cluster *cluster, double height, uint32_t n)
{
	cluster->stability += n * (get_density(height) - get_density(cluster->height));
}

static uint32_t
add_cluster(Hierarchy *h, uint32_t parent, double height)
{
	Cluster    *cluster = &h->clusters[h->nclusters];

	memset(cluster, 0, sizeof(Cluster));
	cluster->parent = parent;
	cluster->height = cluster->last = height;
	return h->nclusters++;
}

/* Tell a part of a merge of which cluster it is. */
static void
place_part(Hierarchy *h, const Merge *merge, uint32_t part)
{
	Merge	   *below = part < h->n ? NULL : &h->merges[part - h->n];
	uint32_t	size = below == NULL ? 1 : below->size;
	uint32_t	cluster = merge->cluster;
	double		left_at = merge->left_at;

	if (below != NULL && below->height == merge->height)
		below->nlarge = merge->nlarge;
	else if (isnan(left_at) && size < h->min_cluster_size)
	{
		left_at = merge->height;
		leave(&h->clusters[cluster], left_at, size);
		h->clusters[cluster].last = left_at;
	}
	else if (isnan(left_at) && merge->nlarge > 1)
	{
		leave(&h->clusters[cluster], merge->height, size);
		cluster = add_cluster(h, cluster, merge->height);
	}
	if (below != NULL)
	{
		below->cluster = cluster;
		below->left_at = left_at;
	}
	else
	{
		h->cluster_of[part] = cluster;
		h->left_at[part] = left_at;
	}
}

/* All clusters, and where points leave them. */
static void
find_clusters(Hierarchy *h)
{
	h->nclusters = 0;
	add_cluster(h, 0, INFINITY);
	h->cluster_of[0] = 0;
	h->left_at[0] = 0;
	for (size_t i = h->n - 1; i-- > 0;)
	{
		place_part(h, &h->merges[i], h->merges[i].part[0]);
		place_part(h, &h->merges[i], h->merges[i].part[1]);
		if (i % BLOCK == 0)
			h->work->check(h->work);
	}
	/* those within a cluster come behind it */
	for (uint32_t i = h->nclusters - 1; i > 0; i--)
	{
		Cluster    *cluster = &h->clusters[i];
		Cluster    *parent = &h->clusters[cluster->parent];

		parent->last = cluster->last < parent->last ? cluster->last : parent->last;
	}
}

/* Which clusters count. */
static void
choose_clusters(Hierarchy *h)
{
	for (uint32_t i = h->nclusters - 1; i > 0; i--)
	{
		Cluster    *cluster = &h->clusters[i];
		bool		counts = cluster->stability >= cluster->within;

		cluster->counted = counts ? i : NONE;
		h->clusters[cluster->parent].within += counts ? cluster->stability : cluster->within;
	}
	h->clusters[0].counted = NONE;
	for (uint32_t i = 1; i < h->nclusters; i++)
	{
		uint32_t	about = h->clusters[h->clusters[i].parent].counted;

		if (about != NONE)
			h->clusters[i].counted = about;
	}
}

/* ---- the hierarchy ---- */

static void
build(Hierarchy *h, const Params *p, const SpMatrix *points, SpWork *work)
{
	SpMatrix	scaled = *points;
	size_t		n = points->n;
	double	   *x = sp_scale_points((SpScale) p->scale, points, work);
	double	   *core;
	SpEdge	   *edges;

	memset(h, 0, sizeof(Hierarchy));
	h->n = n;
	h->work = work;
	h->min_cluster_size = (uint32_t) (p->min_cluster_size > 0 ? p->min_cluster_size : p->min_points);
	h->min_cluster_size = h->min_cluster_size < 2 ? 2 : h->min_cluster_size;
	scaled.x = x;
	sp_kd_build(&h->tree, &scaled, work);
	work->release(work, x);
	core = work->allocate(work, n * sizeof(double));
	edges = work->allocate(work, n * sizeof(SpEdge));
	sp_spanning_tree_find_core(&h->tree, p->min_points, core, work);
	sp_spanning_tree_find(&h->tree, core, edges, work);
	work->release(work, core);
	h->merges = work->allocate(work, n * sizeof(Merge));
	merge_all(h, edges);
	work->release(work, edges);
	/* those that nothing is within have min_cluster_size points, and others have two within them */
	h->clusters = work->allocate(work, (2 * (n / h->min_cluster_size) + 2) * sizeof(Cluster));
	h->cluster_of = work->allocate(work, n * sizeof(uint32_t));
	h->left_at = work->allocate(work, n * sizeof(double));
	find_clusters(h);
}

static void
end(Hierarchy *h)
{
	h->work->release(h->work, h->left_at);
	h->work->release(h->work, h->cluster_of);
	h->work->release(h->work, h->clusters);
	h->work->release(h->work, h->merges);
	sp_kd_release(&h->tree, h->work);
}

static void
label(const void *params, const SpMatrix *points, double *scores, SpWork *work)
{
	Hierarchy	h;
	uint32_t	nlabels = 0;

	build(&h, params, points, work);
	choose_clusters(&h);
	for (uint32_t i = 0; i < h.nclusters; i++)
		h.clusters[i].label = NONE;
	for (size_t i = 0; i < h.n; i++)
		scores[h.tree.order[i]] = h.clusters[h.cluster_of[i]].counted;
	for (size_t i = 0; i < h.n; i++)
	{
		uint32_t	counted = (uint32_t) scores[i];

		if (counted != NONE && h.clusters[counted].label == NONE)
			h.clusters[counted].label = nlabels++;
		scores[i] = counted == NONE ? NAN : h.clusters[counted].label;
	}
	end(&h);
}

static void
score_outliers(const void *params, const SpMatrix *points, double *scores, SpWork *work)
{
	Hierarchy	h;

	build(&h, params, points, work);
	for (size_t i = 0; i < h.n; i++)
	{
		double		last = h.clusters[h.cluster_of[i]].last;

		scores[h.tree.order[i]] = h.left_at[i] > 0 ? 1 - last / h.left_at[i] : 0;
	}
	end(&h);
}

/* ---- the kernels ---- */

static const SpParam param_table[] = {
	{"min_points", SP_PARAM_INT, offsetof(Params, min_points), 5, 1, 10000,
	"points, itself included, to which a point's core distance reaches", NULL, NULL},
	{"min_cluster_size", SP_PARAM_INT, offsetof(Params, min_cluster_size), 0, 0, INT32_MAX,
	"points that a cluster has at least; 0: as many as min_points", NULL, NULL},
	{"scale", SP_PARAM_CHOICE, offsetof(Params, scale), SP_SCALE_ROBUST, 0, 0,
	"of the columns", sp_scale_names, NULL}
};

static double
estimate_memory(const void *params, double n, int d)
{
	double		tree = n * (2.0 * d * sizeof(double) + sizeof(uint32_t) + sizeof(SpKdNode) / 4.0);

	return tree + n * (sizeof(double) + sizeof(SpEdge)) +
		fmax(sp_spanning_tree_memory(n, ((const Params *) params)->min_points),
			 n * (sizeof(Merge) + sizeof(Cluster) + sizeof(double) + sizeof(uint32_t))) + 1e5;
}

const SpBatchKernel sp_batch_hdbscan = {
	.name = "hdbscan",
	.summary = "the number of the cluster, of whatever density, that a row belongs to; NULL is noise",
	.reference = "R. J. G. B. Campello, D. Moulavi, J. Sander, PAKDD 2013",
	.is_label = true,
	.nparams = sizeof(param_table) / sizeof(param_table[0]),
	.param_table = param_table,
	.params_size = sizeof(Params),
	.memory = estimate_memory,
	.score = label
};

const SpBatchKernel sp_batch_hdbscan_outlier = {
	.name = "hdbscan_outlier",
	.summary = "GLOSH: how far a point is from the densest of its cluster; 0 is within, towards 1 "
	"far outside",
	.reference = "R. J. G. B. Campello, D. Moulavi, A. Zimek, J. Sander, ACM TKDD 10, 2015",
	.nparams = sizeof(param_table) / sizeof(param_table[0]),
	.param_table = param_table,
	.params_size = sizeof(Params),
	.memory = estimate_memory,
	.score = score_outliers
};
