/*
 * shield.h
 *	  A detector in a session, which judges rows before they are in the table.
 *
 * It says what the worker's detector would say, given the same state, which is the caller's: for
 * each key a series where the detector has one, and behind it, where the detector reads a sliding
 * window, what that knows of the key.  One row at a time: set, evaluate, take the override, judge,
 * in this order; what is found is valid until the next row.
 */
#ifndef SP_SHIELD_H
#define SP_SHIELD_H

#include "postgres.h"

#include "access/tupdesc.h"
#include "catalog/definition.h"
#include "engine/series.h"
#include "lib/stringinfo.h"

typedef struct SpShield SpShield;

/* A key's, in memory. */
typedef struct SpShieldState SpShieldState;

typedef enum SpShieldSays
{
	SP_SHIELD_PASSES,
	SP_SHIELD_FINDS,			/* it is an anomaly of a key that isn't muted */
	SP_SHIELD_FAILS				/* it can't be judged, as sp_shield_problem() tells */
} SpShieldSays;

/* A column of the key. */
typedef struct SpShieldKey
{
	const char *name;			/* of the result table's column */
	Oid			type;			/* never a domain */
	Oid			collation;
	int16		typlen;
	bool		typbyval;
} SpShieldKey;

/*
 * In a context of its own below parent.  An error when there is no such detector on a stream, or
 * on a sliding window of one with the same keys.
 */
extern SpShield *sp_shield_open(MemoryContext parent, int32 id);
extern void sp_shield_close(SpShield *shield);

extern const SpDetectorDef *sp_shield_def(const SpShield *shield);
extern const SpStreamDef *sp_shield_stream(const SpShield *shield);
extern const SpWindowDef *sp_shield_window(const SpShield *shield);	/* NULL: it reads the stream */
extern const SpMethod *sp_shield_method(const SpShield *shield);

/* Columns of the stream's relation, and which of them are looked at. */
extern TupleDesc sp_shield_desc(const SpShield *shield);
extern bool sp_shield_uses(const SpShield *shield, AttrNumber attnum);

/* Is the relation one of those that definitions are read from, or results go to? */
extern bool sp_shield_is_made_of(const SpShield *shield, Oid relid);

extern const SpShieldKey *sp_shield_key(const SpShield *shield, int k);

/* Does it keep something of each key? */
extern bool sp_shield_has_state(const SpShield *shield);

/* States, all in the current memory context when they are made; bytes are those in memory, about. */
extern SpShieldState *sp_shield_new_state(const SpShield *shield);
extern SpShieldState *sp_shield_copy_state(const SpShield *shield, const SpShieldState *state);
extern void sp_shield_free_state(const SpShield *shield, SpShieldState *state);
extern Size sp_shield_state_bytes(const SpShield *shield, const SpShieldState *state);

/* The durable form, and how large it is at most; and back: NULL, it is damaged. */
extern void sp_shield_write_state(const SpShield *shield, const SpShieldState *state, StringInfo buf);
extern Size sp_shield_most_state(const SpShield *shield);
extern SpShieldState *sp_shield_read_state(const SpShield *shield, const char *data, Size size);

/* The row, by the relation's attributes, which must last as long as it is worked on. */
extern void sp_shield_set_row(SpShield *shield, const Datum *values, const bool *nulls);

/*
 * Evaluate the expressions, with the owner's rights; what they throw is the caller's.  False:
 * the row isn't for the detector.
 */
extern bool sp_shield_evaluate(SpShield *shield);

/* The row's key. */
extern void sp_shield_get_key(const SpShield *shield, Datum *keys, bool *nulls);

/* Take what is set for its key (override.h), as it is visible now: when its state is locked. */
extern void sp_shield_take_override(SpShield *shield);

/* Judge it, given its key's state (NULL where there is none), which says the same afterwards. */
extern SpShieldSays sp_shield_judge(SpShield *shield, SpShieldState *state);

/* The row that was judged is going to be there: what it teaches, to the same state. */
extern void sp_shield_learn(SpShield *shield, SpShieldState *state);

/* Of an anomaly: it is part of an episode that was alerted. */
extern bool sp_shield_in_cooldown(const SpShield *shield);

/* Of an anomaly: which key, which rule or numbers, in a sentence or two. */
extern char *sp_shield_describe(const SpShield *shield);

/* Of what can't be judged. */
extern const char *sp_shield_problem(const SpShield *shield, int *sqlstate);

/* Tell the worker of an anomaly that isn't going to be in the table; for sure, before it returns? */
extern void sp_shield_report(SpShield *shield, bool flush);

/* Score, alerts and explanation of what was just reported: float8, text[], jsonb. */
extern void sp_shield_get_finding(const SpShield *shield, Datum *values);

/* The state that history leaves behind, as the active snapshot sees it; each key to take(). */
typedef void (*SpShieldTake) (void *arg, const Datum *keys, const bool *nulls,
							  const SpShieldState *state);
extern void sp_shield_seed(SpShield *shield, SpShieldTake take, void *arg);

#endif
