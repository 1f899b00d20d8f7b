/*
 * test_model.c
 *	  Models: they score as the method does that they are of, and no bytes make them unsafe.
 */
#include "batch.h"

#include "kernel/batch/model.h"

/* The method that a model's window function has. */
static const SpBatchKernel *
find_batch(const SpModelKernel *kernel)
{
	return sp_batch_find(strcmp(kernel->name, "pca") == 0 ? "pca_score" : kernel->name);
}

/* Points with ties, with columns of several sizes, some of them constant. */
static double *
make_points(int kind, size_t n, int d)
{
	uint64_t	random = 77;
	double	   *x = malloc(n * (size_t) d * sizeof(double));

	for (size_t i = 0; i < n * (size_t) d; i++)
	{
		double		u = next_uniform(&random);
		int			j = (int) (i % (size_t) d);

		x[i] = kind == 0 ? u * 10 - 5 : kind == 1 ? floor(u * 4) : kind == 2 ? 7 :
			j == 0 ? 1e12 + u : j == 1 ? u * 1e-300 : j == 2 ? -0.0 : (u - 0.5) * 1e150;
	}
	return x;
}

/* Gather points, with memory for all of them. */
static SpGather
gather_points(const SpModelKernel *kernel, const void *params, const double *x, size_t n, int d)
{
	SpGather	gather;
	double	   *scratch = malloc((size_t) d * sizeof(double));

	sp_gather_begin(&gather, kernel->gathers, d,
					kernel->sample != NULL ? kernel->sample(params, d) : 0, 42);
	gather.room = kernel->gathers == SP_GATHER_MOMENTS ? 1 : n;
	gather.x = malloc((size_t) sp_gather_size(&gather, (double) n));
	for (size_t i = 0; i < n; i++)
		sp_gather_add(&gather, x + i * (size_t) d, scratch);
	free(scratch);
	return gather;
}

/* Train a model; to be freed. */
static SpModel *
train(const SpModelKernel *kernel, const void *params, const SpGather *gather, size_t *size)
{
	Lending		l;
	void	   *body;
	size_t		body_size;
	SpModel    *model;

	begin_lending(&l);
	body = kernel->train(params, gather, &l.work, &body_size);
	check(l.most <= kernel->memory(params, (double) gather->kept, gather->d));
	if (l.most > kernel->memory(params, (double) gather->kept, gather->d))
		fprintf(stderr, "%s: %.0f of %.0f for %zu x %d\n", kernel->name, l.most,
				kernel->memory(params, (double) gather->kept, gather->d), (size_t) gather->kept, gather->d);
	*size = sp_model_size(kernel, body_size);
	model = malloc(*size);
	sp_model_write(model, kernel, params, gather, body, body_size);
	end_lending(&l);
	return model;
}

/* The defaults, as far as they are the window function's, too. */
static void *
make_model_params(const SpModelKernel *kernel)
{
	void	   *params = malloc(kernel->params_size + 1);

	sp_param_defaults(kernel->param_table, kernel->nparams, params, kernel->params_size);
	return params;
}

/* A model gives the points that it was made of the scores of the window function. */
static void
check_same(const SpModelKernel *kernel, int kind, size_t n, int d)
{
	void	   *params = make_model_params(kernel);
	const SpBatchKernel *batch = find_batch(kernel);
	void	   *batch_params = make_params(batch);
	double	   *x = make_points(kind, n, d);
	double	   *scores = score_points(batch, batch_params, x, n, d);
	double	   *scratch = malloc(4 * (size_t) d * sizeof(double));
	SpGather	gather = gather_points(kernel, params, x, n, d);
	SpModelView view;
	size_t		size;
	SpModel    *model = train(kernel, params, &gather, &size);
	const char *reason = sp_model_open(model, size, &view);
	int			wrong = 0;

	if (reason != NULL)
		fprintf(stderr, "%s: %s\n", kernel->name, reason);
	check(reason == NULL);
	for (size_t i = 0; reason == NULL && i < n; i++)
	{
		double		score = sp_model_score(&view, x + i * (size_t) d, scratch);
		double		sum = 0;

		wrong += score != scores[i];
		sp_model_explain(&view, x + i * (size_t) d, scratch + 3 * d, scratch);
		for (int j = 0; j < d; j++)
			sum += scratch[3 * d + j];
		wrong += !isfinite(sum);
		/* these are sums over the features */
		if (strcmp(kernel->name, "loda") != 0 && strstr(kernel->name, "forest") == NULL)
			check_near(sum, score, 1e-9 * fmax(1, fabs(score)));
	}
	if (wrong > 0)
		fprintf(stderr, "%s: %d of %zu scores x %d differ, kind %d\n", kernel->name, wrong, n, d, kind);
	check(wrong == 0);
	free(model);
	free(gather.x);
	free(scratch);
	free(scores);
	free(x);
	free(batch_params);
	free(params);
}

/* Whatever bytes are taken for a model, its scores are finite. */
static void
try_bytes(const SpModel *model, size_t size, int *taken)
{
	static const double values[] = {0, 1, -3.5, 7, 1e150, -1e150, 5e-324};
	SpModelView view;
	double	   *x;

	if (sp_model_open(model, size, &view) != NULL)
		return;
	++*taken;
	x = malloc(5 * (size_t) view.d * sizeof(double));
	for (int v = 0; v < 7; v++)
	{
		for (int j = 0; j < view.d; j++)
			x[j] = values[(v + j) % 7];
		check(isfinite(sp_model_score(&view, x, x + view.d)));
		sp_model_explain(&view, x, x + view.d, x + 2 * view.d);
		for (int j = 0; j < view.d; j++)
			check(isfinite(x[view.d + j]));
	}
	free(x);
}

/* A real model, shorter, longer, and with other bytes, as if these had been written. */
static void
check_forged(const SpModelKernel *kernel)
{
	void	   *params = make_model_params(kernel);
	double	   *x = make_points(0, 40, 3);
	SpGather	gather;
	SpModel    *model;
	size_t		size;
	uint64_t	random = 5;
	int			taken = 0;
	int			whole = 0;

	for (int i = 0; i < kernel->nparams; i++)
	{
		if (strcmp(kernel->param_table[i].name, "trees") == 0 ||
			strcmp(kernel->param_table[i].name, "projections") == 0)
			*(int32_t *) ((char *) params + kernel->param_table[i].offset) = 9;
	}
	gather = gather_points(kernel, params, x, 40, 3);
	model = train(kernel, params, &gather, &size);
	for (size_t length = 0; length <= size; length++)
	{
		/* it ends where its memory does */
		SpModel    *copy = malloc(length + (length == 0));

		memcpy(copy, model, length);
		if (length < size)
			try_bytes(copy, length, &whole);
		if (length >= sizeof(SpModel))
			copy->fingerprint = sp_model_fingerprint(copy, length);
		try_bytes(copy, length, &taken);
		free(copy);
	}
	check(whole == 0);
	check(taken == 1);
	taken = 0;
	for (int i = 0; i < 8000; i++)
	{
		size_t		at = next_random(&random) % size;
		unsigned char was = ((unsigned char *) model)[at];
		uint64_t	fingerprint = model->fingerprint;

		((unsigned char *) model)[at] ^= (unsigned char) (1u << (next_random(&random) % 8));
		try_bytes(model, size, &whole);
		model->fingerprint = sp_model_fingerprint(model, size);
		try_bytes(model, size, &taken);
		((unsigned char *) model)[at] = was;
		model->fingerprint = fingerprint;
	}
	check(whole == 0);
	check(taken > 0);
	free(model);
	free(gather.x);
	free(x);
	free(params);
}

/* Two gathered parts are what they are together. */
static void
check_combined(const SpModelKernel *kernel)
{
	void	   *params = make_model_params(kernel);
	double	   *x = make_points(0, 300, 3);
	double	   *scratch = malloc(4 * 3 * sizeof(double));
	SpGather	whole = gather_points(kernel, params, x, 300, 3);
	SpGather	first = gather_points(kernel, params, x, 120, 3);
	SpGather	second = gather_points(kernel, params, x + 120 * 3, 180, 3);
	SpModel    *models[2];
	SpModelView views[2];
	size_t		sizes[2];
	Lending		l;

	begin_lending(&l);
	if (kernel->gathers != SP_GATHER_MOMENTS)
		first.x = realloc(first.x, 300 * 3 * sizeof(double));
	sp_gather_combine(&first, &second, &l.work);
	end_lending(&l);
	check(first.n == 300);
	models[0] = train(kernel, params, &whole, &sizes[0]);
	models[1] = train(kernel, params, &first, &sizes[1]);
	for (int i = 0; i < 2; i++)
		check(sp_model_open(models[i], sizes[i], &views[i]) == NULL);
	for (int i = 0; i < 300; i++)
	{
		double		score = sp_model_score(&views[0], x + i * 3, scratch);

		check_near(sp_model_score(&views[1], x + i * 3, scratch), score,
				   kernel->gathers == SP_GATHER_MOMENTS ? 1e-9 * fabs(score) : 0);
	}
	free(models[0]);
	free(models[1]);
	free(whole.x);
	free(first.x);
	free(second.x);
	free(scratch);
	free(x);
	free(params);
}

/* Of many points, and of two samples of them, each is as likely: thousands of times. */
static void
check_sample(void)
{
	enum
	{
		TRIALS = 4000,
		POINTS = 60,
		MOST = 12
	};
	int			counts[POINTS] = {0};

	for (int trial = 0; trial < TRIALS; trial++)
	{
		SpGather	parts[2];
		double		memory[2][MOST];
		Lending		l;

		for (int i = 0; i < 2; i++)
		{
			sp_gather_begin(&parts[i], SP_GATHER_SAMPLE, 1, MOST, trial * 2 + i);
			parts[i].x = memory[i];
			parts[i].room = MOST;
		}
		for (int i = 0; i < POINTS; i++)
		{
			double		x = i;

			sp_gather_add(&parts[i < 20 ? 0 : 1], &x, NULL);
		}
		begin_lending(&l);
		sp_gather_combine(&parts[0], &parts[1], &l.work);
		end_lending(&l);
		check(parts[0].kept == MOST && parts[0].n == POINTS);
		for (int i = 0; i < MOST; i++)
			counts[(int) parts[0].x[i]]++;
	}
	/* 800 are expected of each, with a deviation of 25.3 */
	for (int i = 0; i < POINTS; i++)
		check_near(counts[i], TRIALS * MOST / POINTS, 110);
}

/* Where ecod leaves out values, it is off by little. */
static void
check_thinned(void)
{
	const SpModelKernel *kernel = sp_model_find("ecod");
	size_t		n = 50000;
	int32_t		params = 4000;
	double	   *x = make_points(0, n, 1);
	double	   *scores = score_points(sp_batch_find("ecod"), NULL, x, n, 1);
	SpGather	gather = gather_points(kernel, &params, x, n, 1);
	SpModelView view;
	size_t		size;
	SpModel    *model = train(kernel, &params, &gather, &size);
	double		scratch[4];

	check(size < 4000 * 16 + 100);
	check(sp_model_open(model, size, &view) == NULL);
	for (size_t i = 0; i < n; i++)
	{
		double		score = sp_model_score(&view, x + i, scratch);

		check_near(score, scores[i], 0.005);
		if (scores[i] > 4)
			check(score == scores[i]);
	}
	free(model);
	free(gather.x);
	free(scores);
	free(x);
}

int
main(void)
{
	static const size_t sizes[] = {1, 2, 3, 17, 300};
	static const int widths[] = {1, 2, 4, 40};

	for (const SpModelKernel *const *k = sp_model_kernels; *k != NULL; k++)
	{
		for (int kind = 0; kind < 4; kind++)
		{
			for (int s = 0; s < 5; s++)
			{
				for (int w = 0; w < 4; w++)
					check_same(*k, kind, sizes[s], widths[w]);
			}
		}
		check_forged(*k);
		check_combined(*k);
	}
	check_sample();
	check_thinned();
	return failures > 0;
}
