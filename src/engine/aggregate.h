/*
 * aggregate.h
 *	  One aggregate of a window: binding, transitions, results, durable form.
 *
 * count, sum, min, max, avg, var_* and stddev_* over int2/4/8 and float4/8 (min and max
 * also over date, timestamp, timestamptz) run natively, in kernel/aggregate.h.  Others run
 * through their own functions, called with an AggState so that they may update their state
 * in place.  What neither can do (DISTINCT, ORDER BY, WITHIN GROUP; states that can't be
 * saved; combining and retracting where the aggregate has no function for it) keeps its
 * rows, and its result is what the server's executor makes of them.
 *
 * The state of an aggregate lives in state_size bytes inside its group, MAXALIGNed.
 * By-reference parts of it live in the memory context given to sp_aggregate_bind and are
 * freed by sp_aggregate_release.
 */
#ifndef SP_AGGREGATE_H
#define SP_AGGREGATE_H

#include "lib/stringinfo.h"
#include "nodes/primnodes.h"

typedef struct SpAggregate SpAggregate;

/* What the caller is going to ask of it, beside advancing. */
#define SP_AGG_COMBINE	0x01	/* sp_aggregate_combine() */
#define SP_AGG_RETRACT	0x02	/* sp_aggregate_retract() */

/*
 * Bind an aggregate call, so that it can do what it needs.  Lifetime and by-reference
 * states: context.  Raises an error (ERRCODE_FEATURE_NOT_SUPPORTED, with the reason and a
 * hint) for what can't be maintained: volatile functions, direct arguments that depend on
 * rows, records of no named type where rows are kept; and for more than SP_MAX_AGG_ARGS
 * arguments and sort keys.  Checks that the current user may execute the aggregate, as the
 * executor does: bind as the object's owner.  Used by create_window to check, and by the
 * engine.
 *
 * The definitions of the aggregate's functions are looked up once: bind again when they
 * may have changed.
 */
#define SP_MAX_AGG_ARGS 16
extern SpAggregate *sp_aggregate_bind(Aggref *aggref, MemoryContext context, int needs);

/* Bytes of kept rows in one value: a page of groups is saved in one piece of memory. */
#define SP_AGG_LARGEST_STATE	((Size) 13 * 1024 * 1024)

/* n aggregates of one object keep rows, which one value of the object must have room for. */
extern void sp_aggregate_share(SpAggregate *agg, int n);

/* What the aggregate's own functions can do beside advancing: SP_AGG_* bits. */
extern int	sp_aggregate_offers(const Aggref *aggref);

extern Size sp_aggregate_state_size(const SpAggregate *agg);
extern int	sp_aggregate_nargs(const SpAggregate *agg);
extern Oid	sp_aggregate_result_type(const SpAggregate *agg);
extern bool sp_aggregate_is_native(const SpAggregate *agg);
extern bool sp_aggregate_is_kept(const SpAggregate *agg);	/* memory grows with its rows */
extern bool sp_aggregate_can_combine(const SpAggregate *agg);
extern bool sp_aggregate_can_retract(const SpAggregate *agg);
extern const char *sp_aggregate_name(const SpAggregate *agg);	/* with argument types */

/*
 * The argument expressions (list of Expr, nargs of them, coerced to what the transition
 * takes; behind them the ORDER BY expressions that are not among them) and the FILTER clause
 * (NULL: none), as they stand in the Aggref given to bind: the caller evaluates them, and
 * advances only for rows whose filter is true.
 */
extern List *sp_aggregate_args(const SpAggregate *agg);
extern Expr *sp_aggregate_filter(const SpAggregate *agg);

/* A new group's state; may throw for a generic initial value, not for native ones. */
extern void sp_aggregate_init(SpAggregate *agg, char *state);

/*
 * One row.  args: nargs values.  Native: never throws, returns NULL or the message of the
 * error that PostgreSQL would raise (e.g. "value out of range: overflow"; then the state is
 * unchanged and *sqlstate is set).  Others: may also throw; the state is then undefined.
 */
extern const char *sp_aggregate_advance(SpAggregate *agg, char *state,
										const NullableDatum *args, int *sqlstate);

/*
 * Would advancing many rows at once pay?  For one group and n rows (column-wise args, with
 * stride): used when a chunk falls into a single group.  Native only; stops at the first
 * row that fails and returns how many were done.
 */
extern int	sp_aggregate_advance_many(SpAggregate *agg, char *state, int n,
									  const NullableDatum *args, int stride,
									  const char **message, int *sqlstate);

/*
 * "to" becomes what all rows of both would give, those of "from" after those of "to" where
 * order matters; "from" stays as it is.  Needs sp_aggregate_can_combine().  Errors as with
 * advance: a native one returns its message and leaves "to" unchanged, a generic one may
 * throw, and then "to" is undefined.
 */
extern const char *sp_aggregate_combine(SpAggregate *agg, char *to, const char *from,
										int *sqlstate);

/*
 * The exact inverse of one sp_aggregate_advance() with the same args, at whatever time that
 * was.  Needs sp_aggregate_can_retract().  Taking away what was never added is an error
 * (ERRCODE_DATA_EXCEPTION) where it can be seen.  Errors as with advance.
 */
extern const char *sp_aggregate_retract(SpAggregate *agg, char *state,
										const NullableDatum *args, int *sqlstate);

/* The result, by-reference ones in the current memory context; the state is unchanged. */
extern Datum sp_aggregate_result(SpAggregate *agg, const char *state, bool *isnull);

/* Durable form: appended to buf; and back, from *p, not beyond end (error when damaged). */
extern void sp_aggregate_serialize(SpAggregate *agg, const char *state, StringInfo buf);
extern void sp_aggregate_deserialize(SpAggregate *agg, char *state,
									 const char **p, const char *end);

/* A copy for undo (what was in "to" is not released), and giving up a state. */
extern void sp_aggregate_copy(SpAggregate *agg, char *to, const char *from);
extern void sp_aggregate_release(SpAggregate *agg, char *state);

/*
 * May transitions of this aggregate throw after having changed the state in place?
 * (internal states: then sp_aggregate_copy goes through the serial form.)  If not, a
 * memcpy of the state is as good as sp_aggregate_copy, and needs no release.
 */
extern bool sp_aggregate_by_reference(const SpAggregate *agg);

#endif
