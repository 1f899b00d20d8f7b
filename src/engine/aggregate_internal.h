/*
 * aggregate_internal.h
 *	  What the files behind engine/aggregate.h share.
 *
 *	aggregate.c			binding, and the native kind
 *	aggregate_numeric.c	its results that are numeric
 *	aggregate_bind.c	the functions of the generic kind
 *	aggregate_generic.c	the generic kind
 *	aggregate_packed.c	its states of type internal
 *	aggregate_scaled.c	several of its states, for rows to be taken away from
 *	aggregate_kept.c	the kind that keeps its rows (aggregate_rows.c, aggregate_image.c)
 *	aggregate_replay.c	binding it, and its results
 */
#ifndef SP_AGGREGATE_INTERNAL_H
#define SP_AGGREGATE_INTERNAL_H

#include "postgres.h"

#include "access/htup.h"
#include "base/compat.h"
#include "engine/aggregate.h"
#include "fmgr.h"
#include "kernel/aggregate.h"
#include "lib/ilist.h"
#include "nodes/execnodes.h"

typedef struct SpGeneric SpGeneric;
typedef struct SpKeeper SpKeeper;

/* What is done to states of aggregates that aren't native: see aggregate.h. */
typedef struct SpAggregateKind
{
	Size		(*state_size) (const SpAggregate *agg);
	void		(*init) (SpAggregate *agg, char *state);
	SpAggError	(*advance) (SpAggregate *agg, char *state, const NullableDatum *args);
	SpAggError	(*retract) (SpAggregate *agg, char *state, const NullableDatum *args);
	SpAggError	(*combine) (SpAggregate *agg, char *to, const char *from);
	Datum		(*result) (SpAggregate *agg, const char *state, bool *isnull);
	void		(*serialize) (SpAggregate *agg, const char *state, StringInfo buf);
	void		(*deserialize) (SpAggregate *agg, char *state, const char **p, const char *end);
	void		(*copy) (SpAggregate *agg, char *to, const char *from);
	void		(*release) (SpAggregate *agg, char *state);
} SpAggregateKind;

extern const SpAggregateKind sp_generic_kind;
extern const SpAggregateKind sp_scaled_kind;
extern const SpAggregateKind sp_keeper_kind;

struct SpAggregate
{
	MemoryContext context;
	Aggref	   *aggref;			/* a copy */
	char	   *name;
	int			nargs;			/* with sort keys */
	const SpAggKernel *kernel;	/* native; NULL: of a kind, and one of these: */
	const SpAggregateKind *kind;
	SpGeneric  *generic;
	SpKeeper   *keeper;
};

typedef enum SpStateKind
{
	SP_STATE_BY_VALUE = 'v',	/* the letters are part of the durable form */
	SP_STATE_BY_REFERENCE = 'r',
	SP_STATE_INTERNAL = 'i'
} SpStateKind;

/* A function of the aggregate, ready to be called. */
typedef struct SpSupport
{
	FmgrInfo	flinfo;
	FunctionCallInfo fcinfo;	/* NULL: the aggregate has none */
} SpSupport;

struct SpGeneric
{
	SpStateKind kind;
	int16		typlen;			/* of the transition type */
	bool		typbyval;
	int16		result_typlen;
	bool		result_typbyval;
	Datum		init_value;
	bool		init_isnull;
	bool		final_modifies;
	bool		counted;		/* states know their number of inputs: there is an inverse */

	SpSupport	transition;
	SpSupport	inverse;		/* where it was asked for */
	SpSupport	final;
	SpSupport	combine;		/* where it was asked for; and for internal states: */
	SpSupport	serial;
	SpSupport	deserial;

	/* where functions run */
	MemoryContext temp;			/* reset after each call of sp_generic_*() that used it */
	AggState   *aggstate;
	ExprContext *aggcontext;	/* its per-tuple memory is where states live */

	dlist_head	live;			/* unpacked SpInternal, the one used last first */
	Size		live_memory;
};

/* An internal state that isn't null. */
typedef struct SpInternal
{
	dlist_node	node;			/* in SpGeneric.live, when unpacked */
	MemoryContext context;		/* NULL: packed */
	Size		memory;			/* of the context, as counted in SpGeneric.live_memory */
	Datum		value;			/* unpacked */
	bytea	   *packed;
} SpInternal;

/* An argument or a sort key of kept rows. */
typedef struct SpKeptColumn
{
	int16		typlen;
	bool		typbyval;
	bool		packable;		/* a varlena that may have a short header */
	bool		is_record;		/* of no named type, */
	int32		record_typmod;	/* but registered in this process as that one */
} SpKeptColumn;

typedef struct SpReplay SpReplay;

struct SpKeeper
{
	int			ncolumns;		/* arguments, then sort keys */
	SpKeptColumn *columns;
	int			nstrict;		/* the aggregate ignores rows with a null in the first columns */
	bool		counted;		/* equal rows are one: their order doesn't matter */
	bool		distinct;		/* and neither does how often they came */
	Size		limit;			/* bytes of a state's rows */
	MemoryContext temp;			/* of one call */
	const SpAggKernel *total;	/* whose result over the rows, each once, is the aggregate's */
	SpReplay   *replay;			/* else they are run through the aggregate */
};

typedef struct SpKeptBody SpKeptBody;

/* Reading the rows of a state, which must not change meanwhile. */
typedef struct SpKeptCursor
{
	const SpKeeper *keeper;
	const SpKeptBody *body;
	Size		at;
} SpKeptCursor;

/* What is said of a row that is taken away and was never there. */
#define SP_AGG_INCONSISTENT "the row to take away is not among those that were aggregated"

/* Raise the error of states that don't come back as they were written. */
pg_noreturn extern void sp_aggregate_damaged(const SpAggregate *agg);

/* Raise the error of an aggregate that can't be maintained.  detail and hint are sentences. */
pg_noreturn extern void sp_aggregate_refuse(const SpAggregate *agg, const char *detail,
											const char *hint);

/* Read bytes of a durable form, not beyond end. */
extern void sp_aggregate_read(const SpAggregate *agg, void *to, Size size,
							  const char **p, const char *end);

/* The kernel of one of the server's own aggregates; NULL: there is none. */
extern const SpAggKernel *sp_aggregate_find_kernel(Oid aggfnoid);

/* The result of a kernel's state; and the server's message and SQLSTATE for its error. */
extern Datum sp_aggregate_finish(const SpAggKernel *kernel, const void *state, bool *isnull);
extern const char *sp_aggregate_describe(SpAggError error, int *sqlstate);

/* aggregate_numeric.c: results of integers that are numeric, in the current context. */
extern Datum sp_aggregate_numeric(SpAggFunction function, const SpAggResult *result);

/* aggregate_bind.c: in the current context, which is the aggregate's. */
extern bool sp_generic_is_scaled(HeapTuple tuple, int needs);
extern bool sp_generic_suffices(const SpAggregate *agg, HeapTuple tuple, int needs);
extern Oid	sp_generic_resolve(SpAggregate *agg, HeapTuple tuple);
extern void sp_generic_check_functions(const SpAggregate *agg, HeapTuple tuple);
extern SpGeneric *sp_generic_bind(SpAggregate *agg, HeapTuple tuple, int needs);

/* aggregate_generic.c */
extern Size sp_generic_state_size(const SpAggregate *agg);
extern int64 sp_generic_count(const SpAggregate *agg, const char *state);
extern bool sp_generic_by_reference(const SpGeneric *generic);
extern void sp_generic_init(SpAggregate *agg, char *state);
extern SpAggError sp_generic_advance(SpAggregate *agg, char *state, const NullableDatum *args);
extern SpAggError sp_generic_combine(SpAggregate *agg, char *to, const char *from);
extern SpAggError sp_generic_retract(SpAggregate *agg, char *state, const NullableDatum *args);
extern Datum sp_generic_result(SpAggregate *agg, const char *state, bool *isnull);
extern void sp_generic_serialize(SpAggregate *agg, const char *state, StringInfo buf);
extern void sp_generic_deserialize(SpAggregate *agg, char *state, const char **p, const char *end);
extern void sp_generic_copy(SpAggregate *agg, char *to, const char *from);
extern void sp_generic_release(SpAggregate *agg, char *state);

extern Datum sp_generic_copy_flat(Datum value, int16 typlen);

/* aggregate_kept.c */
extern Size sp_keeper_state_size(const SpAggregate *agg);
extern void sp_keeper_init(SpAggregate *agg, char *state);
extern SpAggError sp_keeper_advance(SpAggregate *agg, char *state, const NullableDatum *args);
extern SpAggError sp_keeper_retract(SpAggregate *agg, char *state, const NullableDatum *args);
extern SpAggError sp_keeper_combine(SpAggregate *agg, char *to, const char *from);
extern SpAggError sp_keeper_total(SpAggregate *agg, const char *state, const void **total);
extern void sp_keeper_begin(SpAggregate *agg, const char *state, SpKeptCursor *cursor);
extern bool sp_keeper_next(SpKeptCursor *cursor, Datum *values, bool *nulls, uint64 *count);
extern void sp_keeper_serialize(SpAggregate *agg, const char *state, StringInfo buf);
extern void sp_keeper_deserialize(SpAggregate *agg, char *state, const char **p, const char *end);
extern void sp_keeper_copy(SpAggregate *agg, char *to, const char *from);
extern void sp_keeper_release(SpAggregate *agg, char *state);

/* aggregate_replay.c */
extern SpKeeper *sp_replay_bind(SpAggregate *agg, HeapTuple tuple, int needs);

/* aggregate_packed.c; these don't reset temp, in which some of them run functions */
extern SpInternal *sp_packed_make(SpAggregate *agg, bytea *packed);
extern SpInternal *sp_packed_make_empty(SpAggregate *agg);
extern void sp_packed_open(SpAggregate *agg, SpInternal *internal);
extern void sp_packed_touch(SpAggregate *agg, SpInternal *internal);
extern bytea *sp_packed_copy(SpAggregate *agg, const SpInternal *internal, MemoryContext context);
extern Datum sp_packed_restore(SpAggregate *agg, MemoryContext context, bytea *packed);
extern Datum sp_packed_argument(SpAggregate *agg, const SpInternal *internal);
extern void sp_packed_free(SpGeneric *generic, SpInternal *internal);

#endif
