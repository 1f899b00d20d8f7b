/*
 * aggregate_generic.c
 *	  Aggregates that run through their own transition functions.
 *
 * In a group there is a SpGenericState.  Its value is, by the transition type:
 *
 *	by value		the value itself
 *	by reference	a chunk in the aggregate's context, freed when replaced; or an
 *					expanded object whose context is a child of that one
 *	internal		a pointer to a SpInternal (aggregate_packed.c)
 *
 * Functions run in the context temp, which is reset when their result has been taken.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "utils/datum.h"
#include "utils/expandeddatum.h"
#include "utils/memutils.h"
#include "utils/regproc.h"

#include "base/compat.h"
#include "engine/aggregate_internal.h"
#include "engine/internal.h"

#define STATE_VERSION	1		/* first byte of the durable form; the second is the kind */
#define STATE_IS_NULL	0x01	/* the third, flags */
#define STATE_NO_VALUE	0x02
#define STATE_COUNTED	0x04

typedef struct SpGenericState
{
	Datum		value;			/* 0 when null */
	bool		isnull;
	bool		no_value;		/* the first input without nulls becomes the state */
	int64		count;			/* of inputs; only there when the aggregate is counted */
} SpGenericState;

/* Bytes of a state within its group. */
Size
sp_generic_state_size(const SpAggregate *agg)
{
	return agg->generic->counted ? sizeof(SpGenericState) : offsetof(SpGenericState, count);
}

/* Could a transition that throws leave the state half changed? */
bool
sp_generic_by_reference(const SpGeneric *g)
{
	return g->kind != SP_STATE_BY_VALUE;
}

/* The internal state in a group; NULL where there is none. */
static inline SpInternal *
internal_of(const SpGenericState *s)
{
	return (SpInternal *) DatumGetPointer(s->value);
}

/* ---- values by reference ---- */

/* Forget what the last call left behind. */
static inline void
reset_temp(SpGeneric *g)
{
	if (!g->temp->isReset || g->temp->firstchild != NULL)
		MemoryContextReset(g->temp);
}

/*
 * A flat copy in the current memory context.  It must not depend on a TOAST table, whose
 * rows may be gone when it is used again.
 */
Datum
sp_generic_copy_flat(Datum value, int16 typlen)
{
	if (typlen == -1)
	{
		struct varlena *varlena = (struct varlena *) DatumGetPointer(value);

		if (VARATT_IS_EXTERNAL(varlena) && !VARATT_IS_EXTERNAL_EXPANDED(varlena))
			return PointerGetDatum(detoast_external_attr(varlena));
	}
	return datumCopy(value, false, typlen);
}

/* Copy a value into the aggregate's context, unless it is an expanded object there. */
static Datum
adopt_value(SpAggregate *agg, Datum value)
{
	SpGeneric  *g = agg->generic;
	MemoryContext old;

	if (DatumIsReadWriteExpandedObject(value, false, g->typlen) &&
		MemoryContextGetParent(DatumGetEOHP(value)->eoh_context) == agg->context)
		return value;
	old = MemoryContextSwitchTo(agg->context);
	value = sp_generic_copy_flat(value, g->typlen);
	MemoryContextSwitchTo(old);
	return value;
}

/* Free a value in the aggregate's context. */
static void
free_value(SpGeneric *g, Datum value)
{
	if (DatumIsReadWriteExpandedObject(value, false, g->typlen))
		DeleteExpandedObject(value);
	else
		pfree(DatumGetPointer(value));
}

/* ---- transitions ---- */

/* Start the state of a new group. */
void
sp_generic_init(SpAggregate *agg, char *state)
{
	SpGeneric  *g = agg->generic;
	SpGenericState *s = (SpGenericState *) state;

	s->value = (Datum) 0;
	s->isnull = g->init_isnull;
	s->no_value = g->init_isnull;
	if (g->counted)
		s->count = 0;
	if (g->init_isnull)
		return;
	s->value = g->typbyval ? g->init_value : adopt_value(agg, g->init_value);
}

/* Call a function on value; other arguments are in place.  The result may be in temp. */
static inline Datum
call_support(SpGeneric *g, SpSupport *function, Datum value, bool isnull, bool *result_isnull)
{
	FunctionCallInfo fcinfo = function->fcinfo;
	MemoryContext old = MemoryContextSwitchTo(g->temp);
	Datum		result;

	fcinfo->args[0].value = value;
	fcinfo->args[0].isnull = isnull;
	fcinfo->isnull = false;
	result = FunctionCallInvoke(fcinfo);
	*result_isnull = fcinfo->isnull;
	MemoryContextSwitchTo(old);
	return result;
}

/* Call a function on a state by reference. */
static void
change_by_reference(SpAggregate *agg, SpGenericState *s, SpSupport *function)
{
	bool		isnull;
	Datum		value = call_support(agg->generic, function, s->value, s->isnull, &isnull);

	/* Mostly the old state, changed in place. */
	if (isnull)
		value = (Datum) 0;
	if (value != s->value)
	{
		Datum		old = s->value;
		bool		old_isnull = s->isnull;

		if (!isnull)
			value = adopt_value(agg, value);
		s->value = value;
		s->isnull = isnull;
		if (!old_isnull)
			free_value(agg->generic, old);
	}
	s->isnull = isnull;
}

/* Call a function on an internal state; other: what it is combined with, or NULL. */
static void
change_internal(SpAggregate *agg, SpGenericState *s, SpSupport *function,
				const SpGenericState *other)
{
	SpGeneric  *g = agg->generic;
	SpInternal *internal = internal_of(s);
	Datum		value;
	bool		isnull;

	if (internal == NULL)
	{
		internal = sp_packed_make_empty(agg);
		s->value = PointerGetDatum(internal);	/* an error doesn't lose it */
	}
	sp_packed_open(agg, internal);
	if (other != NULL && !other->isnull)
	{
		/* only now: unpacking a state combines, too */
		function->fcinfo->args[1].value = sp_packed_argument(agg, internal_of(other));
		sp_packed_open(agg, internal);
	}
	value = call_support(g, function, internal->value, s->isnull, &isnull);
	if (g->aggcontext->ecxt_callbacks != NULL)
		sp_aggregate_refuse(agg,
							"Its transition function holds resources until the end of the query.",
							"Use an aggregate whose state is memory only.");

	/* The argument itself lives in temp. */
	if (other != NULL && !isnull && value == function->fcinfo->args[1].value)
		value = sp_packed_restore(agg, internal->context,
								  sp_packed_copy(agg, internal_of(other), g->temp));

	s->isnull = isnull;
	if (isnull)
	{
		s->value = (Datum) 0;
		sp_packed_free(g, internal);
	}
	else
	{
		internal->value = value;
		sp_packed_touch(agg, internal);
	}
}

/* Call a function on a state; other arguments are in place. */
static void
change_state(SpAggregate *agg, SpGenericState *s, SpSupport *function,
			 const SpGenericState *other)
{
	SpGeneric  *g = agg->generic;

	switch (g->kind)
	{
		case SP_STATE_BY_VALUE:
			s->value = call_support(g, function, s->value, s->isnull, &s->isnull);
			break;
		case SP_STATE_BY_REFERENCE:
			change_by_reference(agg, s, function);
			break;
		case SP_STATE_INTERNAL:
			change_internal(agg, s, function, other);
			break;
	}
	reset_temp(g);
}

/* Put a row's arguments into a call; is one of them null? */
static inline bool
set_arguments(const SpAggregate *agg, SpSupport *function, const NullableDatum *args)
{
	bool		any_null = false;

	for (int i = 0; i < agg->nargs; i++)
	{
		function->fcinfo->args[i + 1] = args[i];
		any_null |= args[i].isnull;
	}
	return any_null;
}

/* How many rows a counted state has. */
int64
sp_generic_count(const SpAggregate *agg, const char *state)
{
	return ((const SpGenericState *) state)->count;
}

/* One row. */
SpAggError
sp_generic_advance(SpAggregate *agg, char *state, const NullableDatum *args)
{
	SpGeneric  *g = agg->generic;
	SpGenericState *s = (SpGenericState *) state;
	bool		any_null = set_arguments(agg, &g->transition, args);

	if (g->transition.flinfo.fn_strict && (any_null || (s->isnull && !s->no_value)))
		return SP_AGG_OK;
	if (g->transition.flinfo.fn_strict && s->no_value)
	{
		s->value = g->typbyval ? args[0].value : adopt_value(agg, args[0].value);
		s->isnull = false;
		s->no_value = false;
	}
	else
		change_state(agg, s, &g->transition, NULL);
	if (g->counted)
		s->count++;
	return SP_AGG_OK;
}

/*
 * Take one row away, as nodeWindowAgg.c does when it leaves the frame: the last one leaves
 * no state at all.
 */
SpAggError
sp_generic_retract(SpAggregate *agg, char *state, const NullableDatum *args)
{
	SpGeneric  *g = agg->generic;
	SpGenericState *s = (SpGenericState *) state;
	bool		any_null = set_arguments(agg, &g->inverse, args);

	if (g->inverse.flinfo.fn_strict && (any_null || (s->isnull && !s->no_value)))
		return SP_AGG_OK;
	if (s->count <= 0)
		return SP_AGG_NEVER_ADDED;
	if (s->count == 1)
	{
		sp_generic_release(agg, state);
		sp_generic_init(agg, state);
		return SP_AGG_OK;
	}
	change_state(agg, s, &g->inverse, NULL);
	if (s->isnull)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_EXCEPTION),
				 errmsg("function \"%s\" of aggregate \"%s\" can't take a row away",
						format_procedure(g->inverse.flinfo.fn_oid), agg->name)));
	s->count--;
	return SP_AGG_OK;
}

/* ---- combining ---- */

/* A state that isn't null, as an argument: the function must not go on with it itself. */
static Datum
value_to_combine(SpAggregate *agg, const SpGenericState *s)
{
	SpGeneric  *g = agg->generic;

	if (g->kind == SP_STATE_INTERNAL)
		return (Datum) 0;		/* when the other one is unpacked */
	return MakeExpandedObjectReadOnly(s->value, false, g->typlen);
}

/* "to" becomes a copy of "from"; what it was is null. */
static void
take_over(SpAggregate *agg, SpGenericState *to, const SpGenericState *from)
{
	int64		count = agg->generic->counted ? to->count : 0;

	sp_generic_copy(agg, (char *) to, (const char *) from);
	if (agg->generic->counted)
		to->count += count;
}

/* "to" becomes the state of all rows of both. */
SpAggError
sp_generic_combine(SpAggregate *agg, char *to, const char *from)
{
	SpGeneric  *g = agg->generic;
	SpGenericState *s = (SpGenericState *) to;
	const SpGenericState *other = (const SpGenericState *) from;
	bool		skips_nulls = g->combine.flinfo.fn_strict || g->kind == SP_STATE_INTERNAL;

	/* As in a parallel query, where a worker's null state counts for nothing. */
	if (skips_nulls && s->isnull && !other->isnull)
	{
		take_over(agg, s, other);
		return SP_AGG_OK;
	}
	s->no_value &= other->no_value;
	if (!skips_nulls || !other->isnull)
	{
		NullableDatum *argument = &g->combine.fcinfo->args[1];

		/* unpacking calls the function, too */
		if (g->kind == SP_STATE_INTERNAL && internal_of(s) != NULL)
			sp_packed_open(agg, internal_of(s));
		argument->isnull = other->isnull;
		argument->value = other->isnull ? (Datum) 0 : value_to_combine(agg, other);
		change_state(agg, s, &g->combine, other);
	}
	if (g->counted)
		s->count += other->count;
	return SP_AGG_OK;
}

/* ---- results ---- */

/* Call the final function, in temp.  The result may be there, or be a part of the state. */
static Datum
call_final(SpGeneric *g, Datum value, bool value_isnull, bool *isnull)
{
	FunctionCallInfo fcinfo = g->final.fcinfo;
	Datum		result;

	fcinfo->args[0].value = g->kind == SP_STATE_INTERNAL ? value :
		MakeExpandedObjectReadOnly(value, value_isnull, g->typlen);
	fcinfo->args[0].isnull = value_isnull;
	for (int i = 1; i < fcinfo->nargs; i++)
	{
		fcinfo->args[i].value = (Datum) 0;
		fcinfo->args[i].isnull = true;
	}

	*isnull = true;
	if (g->final.flinfo.fn_strict && (value_isnull || fcinfo->nargs > 1))
		return (Datum) 0;
	fcinfo->isnull = false;
	result = FunctionCallInvoke(fcinfo);
	*isnull = fcinfo->isnull;
	return result;
}

/* The state's value for the final function: a copy in temp where that may change it. */
static Datum
value_for_final(SpAggregate *agg, const SpGenericState *s)
{
	SpGeneric  *g = agg->generic;
	SpInternal *internal;

	if (s->isnull)
		return (Datum) 0;
	if (g->kind == SP_STATE_BY_VALUE)
		return s->value;
	if (g->kind == SP_STATE_BY_REFERENCE)
		return g->final_modifies ? sp_generic_copy_flat(s->value, g->typlen) : s->value;

	internal = internal_of(s);
	if (g->final_modifies)
	{
		MemoryContext context = AllocSetContextCreate(g->temp, "aggregate state copy",
													  ALLOCSET_SMALL_SIZES);

		return sp_packed_restore(agg, context, sp_packed_copy(agg, internal, context));
	}
	sp_packed_open(agg, internal);
	sp_packed_touch(agg, internal);
	return internal->value;
}

/*
 * The result, in the current memory context.  The state stays as it was, but an internal
 * one may be unpacked.
 */
Datum
sp_generic_result(SpAggregate *agg, const char *state, bool *isnull)
{
	SpGeneric  *g = agg->generic;
	const SpGenericState *s = (const SpGenericState *) state;
	MemoryContext old = MemoryContextSwitchTo(g->temp);
	Datum		result = s->value;

	*isnull = s->isnull;
	if (g->final.fcinfo != NULL)
		result = call_final(g, value_for_final(agg, s), s->isnull, isnull);
	MemoryContextSwitchTo(old);

	if (*isnull)
		result = (Datum) 0;
	else if (!g->result_typbyval)
		result = sp_generic_copy_flat(result, g->result_typlen);
	reset_temp(g);
	return result;
}

/* ---- durable form ---- */

/* Append bytes with their length. */
static void
append_counted(StringInfo buf, const void *data, uint32 size)
{
	appendBinaryStringInfo(buf, (const char *) &size, sizeof(size));
	appendBinaryStringInfo(buf, data, size);
}

/* Append the durable form: version, kind, flags, the count if counted, the value if there is one. */
void
sp_generic_serialize(SpAggregate *agg, const char *state, StringInfo buf)
{
	SpGeneric  *g = agg->generic;
	const SpGenericState *s = (const SpGenericState *) state;

	appendStringInfoChar(buf, STATE_VERSION);
	appendStringInfoChar(buf, (char) g->kind);
	appendStringInfoChar(buf, (s->isnull ? STATE_IS_NULL : 0) | (s->no_value ? STATE_NO_VALUE : 0) |
						 (g->counted ? STATE_COUNTED : 0));
	if (g->counted)
		appendBinaryStringInfo(buf, (const char *) &s->count, sizeof(s->count));
	if (s->isnull)
		return;

	if (g->kind == SP_STATE_BY_VALUE)
		appendBinaryStringInfo(buf, (const char *) &s->value, sizeof(Datum));
	else if (g->kind == SP_STATE_BY_REFERENCE)
	{
		MemoryContext old = MemoryContextSwitchTo(g->temp);
		Datum		flat = sp_generic_copy_flat(s->value, g->typlen);

		MemoryContextSwitchTo(old);
		append_counted(buf, DatumGetPointer(flat), datumGetSize(flat, false, g->typlen));
	}
	else
	{
		bytea	   *packed = sp_packed_copy(agg, internal_of(s), g->temp);

		append_counted(buf, packed, VARSIZE(packed));
	}
	reset_temp(g);
}

/* Read a counted value into the aggregate's context. */
static void *
read_counted(SpAggregate *agg, int16 typlen, const char **p, const char *end)
{
	uint32		size;
	void	   *data;

	sp_aggregate_read(agg, &size, sizeof(size), p, end);
	if (size > end - *p)
		sp_aggregate_damaged(agg);
	data = MemoryContextAlloc(agg->context, Max(size, 1));
	memcpy(data, *p, size);
	*p += size;
	if (!sp_is_one_value(data, size, typlen))
	{
		pfree(data);
		sp_aggregate_damaged(agg);
	}
	return data;
}

/* Make a state of the durable form at *p, which moves behind it. */
void
sp_generic_deserialize(SpAggregate *agg, char *state, const char **p, const char *end)
{
	SpGeneric  *g = agg->generic;
	SpGenericState *s = (SpGenericState *) state;
	char		header[3];

	sp_aggregate_read(agg, header, sizeof(header), p, end);
	if (header[0] != STATE_VERSION || header[1] != (char) g->kind ||
		(header[2] & ~(STATE_IS_NULL | STATE_NO_VALUE)) != (g->counted ? STATE_COUNTED : 0))
		sp_aggregate_damaged(agg);
	if (g->counted)
	{
		sp_aggregate_read(agg, &s->count, sizeof(s->count), p, end);
		if (s->count < 0)
			sp_aggregate_damaged(agg);
	}
	s->value = (Datum) 0;
	s->isnull = (header[2] & STATE_IS_NULL) != 0;
	s->no_value = (header[2] & STATE_NO_VALUE) != 0;
	if (s->isnull)
		return;

	if (g->kind == SP_STATE_BY_VALUE)
		sp_aggregate_read(agg, &s->value, sizeof(Datum), p, end);
	else if (g->kind == SP_STATE_BY_REFERENCE)
		s->value = PointerGetDatum(read_counted(agg, g->typlen, p, end));
	else
	{
		bytea	   *packed = read_counted(agg, -1, p, end);

		/* It is never stored with a short header, and so isn't read as one. */
		if (VARATT_IS_1B(packed))
			sp_aggregate_damaged(agg);
		s->value = PointerGetDatum(sp_packed_make(agg, packed));
	}
}

/* ---- copies ---- */

/* Copy a state to where there is none.  The copy of an internal state is packed. */
void
sp_generic_copy(SpAggregate *agg, char *to, const char *from)
{
	SpGeneric  *g = agg->generic;
	const SpGenericState *s = (const SpGenericState *) from;
	SpGenericState *copy = (SpGenericState *) to;

	memcpy(to, from, sp_generic_state_size(agg));
	if (g->kind == SP_STATE_BY_VALUE)
		return;
	copy->value = (Datum) 0;
	if (s->isnull)
		return;
	if (g->kind == SP_STATE_BY_REFERENCE)
	{
		MemoryContext old = MemoryContextSwitchTo(agg->context);

		copy->value = sp_generic_copy_flat(s->value, g->typlen);
		MemoryContextSwitchTo(old);
	}
	else
	{
		copy->value = PointerGetDatum(sp_packed_make(agg, sp_packed_copy(agg, internal_of(s),
																		 agg->context)));
		reset_temp(g);
	}
}

/* Give up what a state has outside of its group. */
void
sp_generic_release(SpAggregate *agg, char *state)
{
	SpGeneric  *g = agg->generic;
	SpGenericState *s = (SpGenericState *) state;

	if (g->kind == SP_STATE_INTERNAL)
	{
		if (internal_of(s) != NULL)
			sp_packed_free(g, internal_of(s));
	}
	else if (g->kind == SP_STATE_BY_REFERENCE && !s->isnull)
		free_value(g, s->value);
	s->value = (Datum) 0;
	s->isnull = true;
}

const SpAggregateKind sp_generic_kind = {
	.state_size = sp_generic_state_size,
	.init = sp_generic_init,
	.advance = sp_generic_advance,
	.retract = sp_generic_retract,
	.combine = sp_generic_combine,
	.result = sp_generic_result,
	.serialize = sp_generic_serialize,
	.deserialize = sp_generic_deserialize,
	.copy = sp_generic_copy,
	.release = sp_generic_release
};
