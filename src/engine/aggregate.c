/*
 * aggregate.c
 *	  One aggregate of a window: binding, and the native kind.
 *
 * What is native is decided by the aggregate's OID, which is fixed for the server's own.
 * The states of native aggregates are the kernel's (kernel/aggregate.h).
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_aggregate.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/regproc.h"
#include "utils/syscache.h"

#include "base/compat.h"
#include "engine/aggregate_internal.h"

StaticAssertDecl(sizeof(NullableDatum) == sizeof(SpValue) &&
				 offsetof(NullableDatum, value) == offsetof(SpValue, bits) &&
				 sizeof(Datum) == sizeof(uint64_t) &&
				 offsetof(NullableDatum, isnull) == offsetof(SpValue, isnull),
				 "the kernel reads a NullableDatum as a SpValue");

typedef struct NativeAggregate
{
	Oid			aggfnoid;
	SpAggFunction function;
	SpAggType	type;
} NativeAggregate;

/* All types of a function. */
#define NATIVE_INTEGERS(name, function) \
	{F_##name##_INT2, function, SP_AGG_INT2}, \
	{F_##name##_INT4, function, SP_AGG_INT4}, \
	{F_##name##_INT8, function, SP_AGG_INT8}

#define NATIVE_NUMBERS(name, function) \
	NATIVE_INTEGERS(name, function), \
	{F_##name##_FLOAT4, function, SP_AGG_FLOAT4}, \
	{F_##name##_FLOAT8, function, SP_AGG_FLOAT8}

#define NATIVE_TIMES(name, function) \
	{F_##name##_DATE, function, SP_AGG_INT4}, \
	{F_##name##_TIMESTAMP, function, SP_AGG_INT8}, \
	{F_##name##_TIMESTAMPTZ, function, SP_AGG_INT8}

static const NativeAggregate native_aggregates[] = {
	{F_COUNT_, SP_AGG_COUNT_ALL, SP_AGG_ANY},
	{F_COUNT_ANY, SP_AGG_COUNT, SP_AGG_ANY},
	NATIVE_NUMBERS(SUM, SP_AGG_SUM),
	NATIVE_NUMBERS(AVG, SP_AGG_AVG),
	NATIVE_NUMBERS(MIN, SP_AGG_MIN),
	NATIVE_TIMES(MIN, SP_AGG_MIN),
	NATIVE_NUMBERS(MAX, SP_AGG_MAX),
	NATIVE_TIMES(MAX, SP_AGG_MAX),
	NATIVE_NUMBERS(VAR_POP, SP_AGG_VAR_POP),
	NATIVE_NUMBERS(VAR_SAMP, SP_AGG_VAR_SAMP),
	NATIVE_NUMBERS(VARIANCE, SP_AGG_VAR_SAMP),
	NATIVE_NUMBERS(STDDEV_POP, SP_AGG_STDDEV_POP),
	NATIVE_NUMBERS(STDDEV_SAMP, SP_AGG_STDDEV_SAMP),
	NATIVE_NUMBERS(STDDEV, SP_AGG_STDDEV_SAMP)
};

/* ---- binding ---- */

/* The kernel of one of the server's own aggregates; NULL: there is none. */
const SpAggKernel *
sp_aggregate_find_kernel(Oid aggfnoid)
{
	for (int i = 0; i < lengthof(native_aggregates); i++)
		if (native_aggregates[i].aggfnoid == aggfnoid)
			return sp_agg_find(native_aggregates[i].function, native_aggregates[i].type);
	return NULL;
}

/* Raise the error of an aggregate that can't be maintained. */
void
sp_aggregate_refuse(const SpAggregate *agg, const char *detail, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("aggregate \"%s\" can't be maintained as rows come", agg->name),
			 errdetail("%s", detail),
			 errhint("%s", hint)));
}

/* Is the result of these values the same in any order? */
static bool
ignores_order(const SpAggKernel *kernel)
{
	return kernel->state_kind != SP_AGG_STATE_SUM_FLOAT &&
		kernel->state_kind != SP_AGG_STATE_MOMENTS;
}

/* Leave out of a call what doesn't change its result, so that no rows are kept for it. */
static void
simplify_call(Aggref *aggref)
{
	const SpAggKernel *kernel = sp_aggregate_find_kernel(aggref->aggfnoid);
	List	   *args = NIL;
	ListCell   *lc;

	if (kernel == NULL || !ignores_order(kernel))
		return;
	if (kernel->state_kind == SP_AGG_STATE_EXTREME)
		aggref->aggdistinct = NIL;
	if (aggref->aggdistinct != NIL)
		return;
	aggref->aggorder = NIL;
	foreach(lc, aggref->args)
	{
		if (!lfirst_node(TargetEntry, lc)->resjunk)
			args = lappend(args, lfirst(lc));
	}
	aggref->args = args;
}

/* Refuse what can't be computed again, or we have no room for. */
static void
check_call(const SpAggregate *agg)
{
	const Aggref *aggref = agg->aggref;

	if (agg->nargs > SP_MAX_AGG_ARGS)
		ereport(ERROR,
				(errcode(ERRCODE_TOO_MANY_ARGUMENTS),
				 errmsg("aggregate \"%s\" has %d arguments and sort keys, more than %d",
						agg->name, agg->nargs, SP_MAX_AGG_ARGS),
				 errhint("Pass an array or a row instead.")));
	if (contain_volatile_functions((Node *) aggref->args) ||
		contain_volatile_functions((Node *) aggref->aggdirectargs) ||
		contain_volatile_functions((Node *) aggref->aggfilter))
		sp_aggregate_refuse(agg,
							"Its argument or FILTER calls a volatile function.",
							"Use stable or immutable functions: rows are computed again after "
							"a crash.");
}

/* May this role execute the function? */
static void
check_execute(Oid function, Oid role, ObjectType kind)
{
	AclResult	aclresult = sp_function_aclcheck(function, role);

	if (aclresult != ACLCHECK_OK)
		aclcheck_error(aclresult, kind, get_func_name(function));
	InvokeFunctionExecuteHook(function);
}

/* The current user must be allowed the aggregate, and its owner all that it is made of. */
static void
check_permissions(Oid aggfnoid, const Form_pg_aggregate form)
{
	Oid			functions[] = {form->aggtransfn, form->aggfinalfn, form->aggserialfn,
							   form->aggdeserialfn, form->aggcombinefn, form->aggminvtransfn};
	HeapTuple	proc;
	Oid			owner;

	check_execute(aggfnoid, GetUserId(), OBJECT_AGGREGATE);

	proc = SearchSysCache1(PROCOID, ObjectIdGetDatum(aggfnoid));
	if (!HeapTupleIsValid(proc))
		elog(ERROR, "cache lookup failed for function %u", aggfnoid);
	owner = ((Form_pg_proc) GETSTRUCT(proc))->proowner;
	ReleaseSysCache(proc);

	for (int i = 0; i < lengthof(functions); i++)
		if (OidIsValid(functions[i]))
			check_execute(functions[i], owner, OBJECT_FUNCTION);
}

/* "sum(integer)", "count(*)": for messages. */
static char *
make_name(const Aggref *aggref)
{
	char	   *name;

	if (!aggref->aggstar)
		return format_procedure(aggref->aggfnoid);
	name = get_func_name(aggref->aggfnoid);
	if (name == NULL)
		elog(ERROR, "cache lookup failed for function %u", aggref->aggfnoid);
	return psprintf("%s(*)", name);
}

/* Can the kernel do all that is needed? */
static bool
kernel_suffices(const SpAggKernel *kernel, int needs)
{
	return kernel != NULL && ((needs & SP_AGG_RETRACT) == 0 || sp_agg_can_retract(kernel));
}

/* Choose how the aggregate is maintained: the kind that keeps its rows can do everything. */
static void
bind_kind(SpAggregate *agg, HeapTuple tuple, int needs)
{
	const Aggref *aggref = agg->aggref;
	const SpAggKernel *kernel = sp_aggregate_find_kernel(aggref->aggfnoid);
	bool		plain = aggref->aggkind == AGGKIND_NORMAL && aggref->aggdistinct == NIL &&
		aggref->aggorder == NIL;

	if (plain && kernel_suffices(kernel, needs))
		agg->kernel = kernel;
	else if (plain && sp_generic_suffices(agg, tuple, needs))
	{
		agg->kind = sp_generic_is_scaled(tuple, needs) ? &sp_scaled_kind : &sp_generic_kind;
		agg->generic = sp_generic_bind(agg, tuple, needs);
	}
	else
	{
		agg->kind = &sp_keeper_kind;
		agg->keeper = sp_replay_bind(agg, tuple, needs);
	}
}

/* Bind an aggregate call; its state is then made by sp_aggregate_init(). */
SpAggregate *
sp_aggregate_bind(Aggref *aggref, MemoryContext context, int needs)
{
	MemoryContext old = MemoryContextSwitchTo(context);
	SpAggregate *agg = palloc0(sizeof(SpAggregate));
	HeapTuple	tuple;

	if (aggref->agglevelsup != 0)
		elog(ERROR, "aggregate of an outer query");

	agg->context = context;
	agg->aggref = copyObject(aggref);
	agg->name = make_name(aggref);
	simplify_call(agg->aggref);
	agg->nargs = list_length(agg->aggref->args);
	check_call(agg);

	tuple = SearchSysCache1(AGGFNOID, ObjectIdGetDatum(aggref->aggfnoid));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for aggregate %u", aggref->aggfnoid);
	check_permissions(aggref->aggfnoid, (Form_pg_aggregate) GETSTRUCT(tuple));
	bind_kind(agg, tuple, needs);
	ReleaseSysCache(tuple);

	MemoryContextSwitchTo(old);
	return agg;
}

/* Several aggregates share the room there is for the rows of a group. */
void
sp_aggregate_share(SpAggregate *agg, int n)
{
	if (agg->keeper != NULL)
		agg->keeper->limit /= n;
}

/* ---- properties ---- */

/* Bytes of a state within its group. */
Size
sp_aggregate_state_size(const SpAggregate *agg)
{
	return MAXALIGN(agg->kernel ? agg->kernel->state_size : agg->kind->state_size(agg));
}

/* Number of arguments and sort keys: 0 for count(*). */
int
sp_aggregate_nargs(const SpAggregate *agg)
{
	return agg->nargs;
}

/* Type of the result. */
Oid
sp_aggregate_result_type(const SpAggregate *agg)
{
	return agg->aggref->aggtype;
}

/* Does it run in the kernel, which never throws? */
bool
sp_aggregate_is_native(const SpAggregate *agg)
{
	return agg->kernel != NULL;
}

/* Does it keep its rows, so that its memory grows with them? */
bool
sp_aggregate_is_kept(const SpAggregate *agg)
{
	return agg->keeper != NULL;
}

/* Can two states become one? */
bool
sp_aggregate_can_combine(const SpAggregate *agg)
{
	return agg->generic == NULL || agg->generic->combine.fcinfo != NULL;
}

/* Can rows be taken away again? */
bool
sp_aggregate_can_retract(const SpAggregate *agg)
{
	return agg->kernel ? sp_agg_can_retract(agg->kernel) :
		agg->generic == NULL || agg->generic->inverse.fcinfo != NULL;
}

/* Its name, for messages. */
const char *
sp_aggregate_name(const SpAggregate *agg)
{
	return agg->name;
}

/* The argument expressions and sort keys; the list is new, in the current memory context. */
List *
sp_aggregate_args(const SpAggregate *agg)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, agg->aggref->args)
		result = lappend(result, lfirst_node(TargetEntry, lc)->expr);
	return result;
}

/* The FILTER clause, or NULL. */
Expr *
sp_aggregate_filter(const SpAggregate *agg)
{
	return agg->aggref->aggfilter;
}

/* Could a transition that throws leave the state half changed? */
bool
sp_aggregate_by_reference(const SpAggregate *agg)
{
	return agg->kernel == NULL &&
		(agg->generic == NULL || sp_generic_by_reference(agg->generic));
}

/* ---- running ---- */

/* The server's message and SQLSTATE for what the kernel reports. */
const char *
sp_aggregate_describe(SpAggError error, int *sqlstate)
{
	*sqlstate = ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE;
	switch (error)
	{
		case SP_AGG_BIGINT_RANGE:
			return "bigint out of range";
		case SP_AGG_FLOAT_OVERFLOW:
			return "value out of range: overflow";
		case SP_AGG_NEVER_ADDED:
			*sqlstate = ERRCODE_DATA_EXCEPTION;
			return SP_AGG_INCONSISTENT;
		case SP_AGG_OK:
			break;
	}
	*sqlstate = 0;
	return NULL;
}

/* Start the state of a new group. */
void
sp_aggregate_init(SpAggregate *agg, char *state)
{
	if (agg->kernel)
		sp_agg_init(agg->kernel, state);
	else
		agg->kind->init(agg, state);
}

/* One row; returns NULL, or the message of an error that isn't thrown. */
const char *
sp_aggregate_advance(SpAggregate *agg, char *state, const NullableDatum *args, int *sqlstate)
{
	SpAggError	error = agg->kernel ?
		agg->kernel->advance(state, (const SpValue *) args) : agg->kind->advance(agg, state, args);

	if (likely(error == SP_AGG_OK))
		return NULL;
	return sp_aggregate_describe(error, sqlstate);
}

/* Many rows of a native aggregate; returns how many were done before one failed. */
int
sp_aggregate_advance_many(SpAggregate *agg, char *state, int n, const NullableDatum *args,
						  int stride, const char **message, int *sqlstate)
{
	SpAggError	error;
	int			done;

	done = agg->kernel->advance_many(state, n, (const SpValue *) args, stride, &error);
	*message = error == SP_AGG_OK ? NULL : sp_aggregate_describe(error, sqlstate);
	return done;
}

/* "to" becomes the state of all rows of both. */
const char *
sp_aggregate_combine(SpAggregate *agg, char *to, const char *from, int *sqlstate)
{
	return sp_aggregate_describe(agg->kernel ? sp_agg_combine(agg->kernel, to, from) :
								 agg->kind->combine(agg, to, from), sqlstate);
}

/* Take one row away. */
const char *
sp_aggregate_retract(SpAggregate *agg, char *state, const NullableDatum *args, int *sqlstate)
{
	return sp_aggregate_describe(agg->kernel ?
								 sp_agg_retract(agg->kernel, state, (const SpValue *) args) :
								 agg->kind->retract(agg, state, args), sqlstate);
}

/* The result of a kernel's state. */
Datum
sp_aggregate_finish(const SpAggKernel *kernel, const void *state, bool *isnull)
{
	SpAggResult result;

	sp_agg_result(kernel, state, &result);
	*isnull = result.kind == SP_AGG_RESULT_NULL;
	if (result.kind == SP_AGG_RESULT_NULL || result.kind == SP_AGG_RESULT_BITS)
		return (Datum) result.bits;
	return sp_aggregate_numeric(kernel->function, &result);
}

/* The result, by-reference ones in the current memory context. */
Datum
sp_aggregate_result(SpAggregate *agg, const char *state, bool *isnull)
{
	return agg->kernel ? sp_aggregate_finish(agg->kernel, state, isnull) :
		agg->kind->result(agg, state, isnull);
}

/* Raise the error of states that don't come back as they were written. */
void
sp_aggregate_damaged(const SpAggregate *agg)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("stored state of aggregate \"%s\" is damaged", agg->name),
			 errhint("Replay the window that it belongs to.")));
}

/* Read bytes of a durable form, not beyond end. */
void
sp_aggregate_read(const SpAggregate *agg, void *to, Size size, const char **p, const char *end)
{
	if (*p > end || (Size) (end - *p) < size)
		sp_aggregate_damaged(agg);
	memcpy(to, *p, size);
	*p += size;
}

/* Append the durable form. */
void
sp_aggregate_serialize(SpAggregate *agg, const char *state, StringInfo buf)
{
	if (agg->kernel)
	{
		int			size = (int) sp_agg_written_size(agg->kernel);

		enlargeStringInfo(buf, size);
		sp_agg_write(agg->kernel, state, buf->data + buf->len);
		buf->len += size;
		buf->data[buf->len] = '\0';
	}
	else
		agg->kind->serialize(agg, state, buf);
}

/* Make a state of the durable form at *p, which moves behind it. */
void
sp_aggregate_deserialize(SpAggregate *agg, char *state, const char **p, const char *end)
{
	if (agg->kernel)
	{
		*p = sp_agg_read(agg->kernel, state, *p, end);
		if (*p == NULL)
			sp_aggregate_damaged(agg);
	}
	else
		agg->kind->deserialize(agg, state, p, end);
}

/* Copy a state to where there is none. */
void
sp_aggregate_copy(SpAggregate *agg, char *to, const char *from)
{
	if (agg->kernel)
		memcpy(to, from, agg->kernel->state_size);
	else
		agg->kind->copy(agg, to, from);
}

/* Give up what a state has outside of its group. */
void
sp_aggregate_release(SpAggregate *agg, char *state)
{
	if (agg->kernel == NULL)
		agg->kind->release(agg, state);
}
