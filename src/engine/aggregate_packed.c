/*
 * aggregate_packed.c
 *	  Aggregate states of type internal, which only the aggregate's functions understand.
 *
 * Each has a memory context of its own, because that is all that can be freed of it.
 * Contexts are large (1 kB and up; 130 kB for hll), so that only the states in use are
 * held like that, up to LIVE_MEMORY; those used longest ago are packed: in the form in
 * which parallel workers exchange them, compressed when it is large (hll's is 130 kB of
 * mostly zeros).  This is also the durable form.  What comes from a checkpoint, and copies
 * for undo, stay packed until they are used.
 *
 * Unpacking goes through the combine function, as in a parallel query: what a deserial
 * function makes is an argument to it and no state to go on with (numeric's forgets
 * whether to sum squares).
 */
#include "postgres.h"

#include "access/toast_compression.h"
#include "access/toast_internals.h"
#include "utils/memutils.h"
#include "utils/regproc.h"

#include "base/compat.h"
#include "engine/aggregate_internal.h"

#define LIVE_MEMORY		(32 * 1024 * 1024)	/* bytes of unpacked states, by aggregate */
#define COMPRESS_FROM	2048	/* bytes, as with TOAST */

/* Call a function that takes and gives pointers.  The caller has set where states live. */
static Datum
call_function(SpAggregate *agg, SpSupport *function, Datum first, bool first_isnull,
			  Datum second)
{
	FunctionCallInfo fcinfo = function->fcinfo;
	Datum		result;

	fcinfo->args[0].value = first;
	fcinfo->args[0].isnull = first_isnull;
	if (fcinfo->nargs > 1)
	{
		fcinfo->args[1].value = second;
		fcinfo->args[1].isnull = false;
	}
	fcinfo->isnull = false;
	result = FunctionCallInvoke(fcinfo);
	if (fcinfo->isnull)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("function \"%s\" of aggregate \"%s\" returned null for a state",
						format_procedure(function->flinfo.fn_oid), agg->name)));
	return result;
}

/* Give a state a context of its own. */
static void
open_context(SpAggregate *agg, SpInternal *internal)
{
	internal->context = AllocSetContextCreate(agg->context, "aggregate state",
											  ALLOCSET_SMALL_SIZES);
	internal->memory = 0;
	dlist_push_head(&agg->generic->live, &internal->node);
}

/* Take the context away, with what is in it. */
static void
close_context(SpGeneric *g, SpInternal *internal)
{
	if (internal->context == NULL)
		return;
	dlist_delete(&internal->node);
	g->live_memory -= internal->memory;
	MemoryContextDelete(internal->context);
	internal->context = NULL;
	internal->value = (Datum) 0;
}

/* The packed form of an unpacked state, in the given context. */
static bytea *
pack(SpAggregate *agg, const SpInternal *internal, MemoryContext context)
{
	SpGeneric  *g = agg->generic;
	MemoryContext old = MemoryContextSwitchTo(g->temp);
	bytea	   *packed;
	bytea	   *result;

	g->aggcontext->ecxt_per_tuple_memory = internal->context;
	packed = DatumGetByteaP(call_function(agg, &g->serial, internal->value, false, (Datum) 0));
	if (VARSIZE(packed) >= COMPRESS_FROM)
	{
		Datum		compressed = toast_compress_datum(PointerGetDatum(packed),
													  TOAST_PGLZ_COMPRESSION);

		if (compressed != (Datum) 0)
			packed = (bytea *) DatumGetPointer(compressed);
	}
	result = MemoryContextAlloc(context, VARSIZE(packed));
	memcpy(result, packed, VARSIZE(packed));
	MemoryContextSwitchTo(old);
	return result;
}

/* Pack those used longest ago, but not the one used last, while there are too many. */
static void
limit_live_memory(SpAggregate *agg)
{
	SpGeneric  *g = agg->generic;

	while (g->live_memory > LIVE_MEMORY)
	{
		SpInternal *internal = dlist_tail_element(SpInternal, node, &g->live);

		if (dlist_head_node(&g->live) == &internal->node)
			break;
		internal->packed = pack(agg, internal, agg->context);
		close_context(g, internal);
	}
}

/* A state that has only its packed form, which it takes over. */
SpInternal *
sp_packed_make(SpAggregate *agg, bytea *packed)
{
	SpInternal *internal = MemoryContextAllocZero(agg->context, sizeof(SpInternal));

	internal->packed = packed;
	return internal;
}

/* A state for the first transition to begin, with a context for it. */
SpInternal *
sp_packed_make_empty(SpAggregate *agg)
{
	SpInternal *internal = MemoryContextAllocZero(agg->context, sizeof(SpInternal));

	open_context(agg, internal);
	return internal;
}

/* What the deserial function makes of a packed form, where states live in aggcontext. */
static Datum
unpack(SpAggregate *agg, bytea *packed, MemoryContext context, MemoryContext aggcontext)
{
	SpGeneric  *g = agg->generic;
	MemoryContext old = MemoryContextSwitchTo(context);
	Datum		value;

	packed = (bytea *) pg_detoast_datum((struct varlena *) packed);
	g->aggcontext->ecxt_per_tuple_memory = aggcontext;
	value = call_function(agg, &g->deserial, PointerGetDatum(packed), false, (Datum) 0);
	MemoryContextSwitchTo(old);
	return value;
}

/*
 * The value of a state made from its packed form, in context.  Some combine functions
 * hand back what they were given when there is nothing to combine it with; then that
 * must be made there, too.
 */
Datum
sp_packed_restore(SpAggregate *agg, MemoryContext context, bytea *packed)
{
	SpGeneric  *g = agg->generic;
	MemoryContext old = MemoryContextSwitchTo(g->temp);
	Datum		argument = unpack(agg, packed, g->temp, context);
	Datum		value;

	value = call_function(agg, &g->combine, (Datum) 0, true, argument);
	if (value == argument)
		value = unpack(agg, packed, context, context);
	MemoryContextSwitchTo(old);
	return value;
}

/*
 * A state as an argument of the combine function, in temp with all that it has: some
 * deserial functions allocate where states live (hll 130 kB at a time).
 */
Datum
sp_packed_argument(SpAggregate *agg, const SpInternal *internal)
{
	MemoryContext temp = agg->generic->temp;

	return unpack(agg, sp_packed_copy(agg, internal, temp), temp, temp);
}

/* Unpack a state, if it isn't, and let the functions allocate in its context. */
void
sp_packed_open(SpAggregate *agg, SpInternal *internal)
{
	SpGeneric  *g = agg->generic;
	bytea	   *packed = internal->packed;

	if (internal->context == NULL)
	{
		open_context(agg, internal);
		PG_TRY();
		{
			internal->value = sp_packed_restore(agg, internal->context, packed);
		}
		PG_CATCH();
		{
			close_context(g, internal);
			PG_RE_THROW();
		}
		PG_END_TRY();
		internal->packed = NULL;
		pfree(packed);
		sp_packed_touch(agg, internal);
	}
	g->aggcontext->ecxt_per_tuple_memory = internal->context;
}

/* An unpacked state was used: it may have grown, and is the one used last. */
void
sp_packed_touch(SpAggregate *agg, SpInternal *internal)
{
	SpGeneric  *g = agg->generic;
	MemoryContext context = internal->context;
	Size		memory = context->firstchild == NULL ?
		context->mem_allocated : MemoryContextMemAllocated(context, true);

	g->live_memory += memory - internal->memory;
	internal->memory = memory;
	if (dlist_head_node(&g->live) != &internal->node)
		dlist_move_head(&g->live, &internal->node);
	if (g->live_memory > LIVE_MEMORY)
		limit_live_memory(agg);
}

/* The packed form of a state, a copy in the given context. */
bytea *
sp_packed_copy(SpAggregate *agg, const SpInternal *internal, MemoryContext context)
{
	bytea	   *copy;

	if (internal->packed == NULL)
		return pack(agg, internal, context);
	copy = MemoryContextAlloc(context, VARSIZE(internal->packed));
	memcpy(copy, internal->packed, VARSIZE(internal->packed));
	return copy;
}

/* Give a state up. */
void
sp_packed_free(SpGeneric *g, SpInternal *internal)
{
	close_context(g, internal);
	if (internal->packed)
		pfree(internal->packed);
	pfree(internal);
}
