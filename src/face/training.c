/*
 * training.c
 *	  The state of aggregates that gather points, by several processes where the server wants it.
 *
 * A state that is sent is a Sent, the method's parameters and the numbers that are gathered.
 */
#include "face/training.h"

#include "base/compat.h"
#include "utils/memutils.h"

#include "engine/batch_work.h"

#define FIRST_ROOM	16			/* points */

/* As it goes from one process to another. */
typedef struct Sent
{
	uint16		method;			/* the kernel's number; 0: there is none */
	int32		d;
	uint64		n;
	uint64		kept;
	uint64		most;
	SpRandom	random;
} Sent;

PG_FUNCTION_INFO_V1(sp_training_combine);
PG_FUNCTION_INFO_V1(sp_training_serialize);
PG_FUNCTION_INFO_V1(sp_training_deserialize);

MemoryContext
sp_training_context(FunctionCallInfo fcinfo)
{
	MemoryContext context;

	if (!AggCheckCallContext(fcinfo, &context))
		elog(ERROR, "this function is part of an aggregate");
	return context;
}

SpTraining *
sp_training_begin(const SpModelKernel *kernel, void *params, int d)
{
	SpTraining *training = palloc0(sizeof(SpTraining));

	training->kernel = kernel;
	training->name = kernel != NULL ? psprintf("%s_train", kernel->name) : "robust_stats";
	training->params = params;
	training->row = palloc(sizeof(double) * 2 * d);
	sp_gather_begin(&training->gather, kernel != NULL ? kernel->gathers : SP_GATHER_ALL, d,
					kernel != NULL && kernel->sample != NULL ? kernel->sample(params, d) : 0,
					SP_BATCH_SEED);
	return training;
}

void
sp_training_check_memory(const SpTraining *training, uint64 points)
{
	const SpGather *g = &training->gather;
	double		bytes = sp_gather_size(g, (double) points);

	bytes += training->kernel != NULL ?
		training->kernel->memory(training->params, (double) points, g->d) :
		points * (double) sizeof(double);
	sp_batch_work_limit(training->name, bytes);
}

/* Memory for points. */
static void
make_room(SpTraining *training, uint64 points, MemoryContext context)
{
	SpGather   *g = &training->gather;
	Size		size;

	if (points > PG_INT32_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("%s() takes %d rows at most", training->name, PG_INT32_MAX)));
	size = (Size) sp_gather_size(g, (double) points);
	g->x = g->x == NULL ? MemoryContextAllocHuge(context, size) : repalloc_huge(g->x, size);
	g->room = points;
}

/* Room for one more point, and if there may be for others. */
static void
grow(SpTraining *training, MemoryContext context)
{
	SpGather   *g = &training->gather;
	uint64		room = Max(g->room * 2, FIRST_ROOM);

	sp_training_check_memory(training, g->kept + 1);
	if (g->kind == SP_GATHER_MOMENTS)
		room = 1;
	else if (g->kind == SP_GATHER_SAMPLE)
		room = Min(room, g->most);
	room = Min(room, PG_INT32_MAX);
	make_room(training, Max(room, g->kept + 1), context);
}

void
sp_training_add(SpTraining *training, MemoryContext context)
{
	if (!sp_gather_has_room(&training->gather))
		grow(training, context);
	sp_gather_add(&training->gather, training->row, training->row + training->gather.d);
}

/* ---- in parallel ---- */

/* A copy without points, in the aggregate's memory. */
static SpTraining *
copy_training(const SpTraining *from, MemoryContext context)
{
	MemoryContext old = MemoryContextSwitchTo(context);
	Size		size = from->kernel != NULL ? from->kernel->params_size : 0;
	void	   *params = palloc0(Max(size, 1));
	SpTraining *training;

	if (size > 0)
		memcpy(params, from->params, size);
	training = sp_training_begin(from->kernel, params, from->gather.d);
	MemoryContextSwitchTo(old);
	return training;
}

/* state, state */
Datum
sp_training_combine(PG_FUNCTION_ARGS)
{
	SpTraining *training = PG_ARGISNULL(0) ? NULL : (SpTraining *) PG_GETARG_POINTER(0);
	SpTraining *other = PG_ARGISNULL(1) ? NULL : (SpTraining *) PG_GETARG_POINTER(1);
	MemoryContext context = sp_training_context(fcinfo);
	SpBatchWork work;
	uint64		points;

	if (other == NULL)
	{
		if (training == NULL)
			PG_RETURN_NULL();
		PG_RETURN_POINTER(training);
	}
	if (training == NULL)
		training = copy_training(other, context);
	if (other->gather.d != training->gather.d)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("a row has %d features, and another one has %d", other->gather.d,
						training->gather.d)));
	points = sp_gather_combined(&training->gather, &other->gather);
	if (other->gather.n > 0 && points > training->gather.room)
	{
		sp_training_check_memory(training, points);
		make_room(training, points, context);
	}
	sp_batch_work_begin(&work, training->name);
	sp_gather_combine(&training->gather, &other->gather, &work.work);
	sp_batch_work_end(&work);
	PG_RETURN_POINTER(training);
}

/* Bytes of the numbers that a state holds. */
static double
get_numbers_size(const SpGather *gather)
{
	return gather->n > 0 ? sp_gather_size(gather, (double) gather->kept) : 0;
}

/* state */
Datum
sp_training_serialize(PG_FUNCTION_ARGS)
{
	SpTraining *training = (SpTraining *) PG_GETARG_POINTER(0);
	const SpGather *g = &training->gather;
	Size		params_size = training->kernel != NULL ? training->kernel->params_size : 0;
	double		size = VARHDRSZ + sizeof(Sent) + params_size + get_numbers_size(g);
	Sent		sent;
	bytea	   *result;
	char	   *to;

	(void) sp_training_context(fcinfo);
	if (size > MaxAllocSize)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("the rows that a parallel worker has gathered for %s() take %.0f MB, and "
						"may take %.0f MB", training->name, size / 1048576, MaxAllocSize / 1048576.0),
				 errhint("Set max_parallel_workers_per_gather to 0.")));
	memset(&sent, 0, sizeof(sent));
	sent.method = training->kernel != NULL ? training->kernel->number : 0;
	sent.d = g->d;
	sent.n = g->n;
	sent.kept = g->kept;
	sent.most = g->most;
	sent.random = g->random;
	result = palloc((Size) size);
	SET_VARSIZE(result, (Size) size);
	to = VARDATA(result);
	memcpy(to, &sent, sizeof(sent));
	memcpy(to + sizeof(sent), training->params, params_size);
	if (g->n > 0)
		memcpy(to + sizeof(sent) + params_size, g->x, (Size) get_numbers_size(g));
	PG_RETURN_BYTEA_P(result);
}

/* The method of that number. */
static const SpModelKernel *
find_kernel(int number)
{
	for (const SpModelKernel *const *k = sp_model_kernels; *k != NULL; k++)
	{
		if ((*k)->number == number)
			return *k;
	}
	if (number != 0)
		elog(ERROR, "there is no model method %d", number);
	return NULL;
}

/* bytea, NULL: a state in the current memory context, for combining only */
Datum
sp_training_deserialize(PG_FUNCTION_ARGS)
{
	bytea	   *bytes = PG_GETARG_BYTEA_PP(0);
	const char *from = VARDATA_ANY(bytes);
	Size		size = VARSIZE_ANY_EXHDR(bytes);
	SpTraining *training;
	const SpModelKernel *kernel;
	Size		params_size;
	void	   *params;
	Sent		sent;

	(void) sp_training_context(fcinfo);
	if (size < sizeof(sent))
		elog(ERROR, "the state of a parallel worker is too short");
	memcpy(&sent, from, sizeof(sent));
	kernel = find_kernel(sent.method);
	params_size = kernel != NULL ? kernel->params_size : 0;
	if (size < sizeof(sent) + params_size)
		elog(ERROR, "the state of a parallel worker is too short");
	params = palloc0(Max(params_size, 1));
	memcpy(params, from + sizeof(sent), params_size);
	training = sp_training_begin(kernel, params, sent.d);
	training->gather.n = sent.n;
	training->gather.kept = sent.kept;
	training->gather.random = sent.random;
	if ((double) (size - sizeof(sent) - params_size) != get_numbers_size(&training->gather))
		elog(ERROR, "the state of a parallel worker has another size than it says");
	training->gather.x = palloc_extended(Max(size - sizeof(sent) - params_size, 1), MCXT_ALLOC_HUGE);
	memcpy(training->gather.x, from + sizeof(sent) + params_size, size - sizeof(sent) - params_size);
	PG_RETURN_POINTER(training);
}
