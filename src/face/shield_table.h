/*
 * shield_table.h
 *	  streamproc.shield_<id>: the states of a shield's keys on disk.
 *
 *	k1, k2, ...	the key, of its own types, so that equality is theirs; without a key, "only"
 *	state bytea	its state in the durable form
 */
#ifndef SP_SHIELD_TABLE_H
#define SP_SHIELD_TABLE_H

#include "postgres.h"

#include "face/shield_state.h"
#include "lib/stringinfo.h"
#include "storage/itemptr.h"

/* Whose states they are. */
extern const SpShield *sp_shield_table_shield(const SpShieldStates *states);

extern Oid	sp_shield_table_relid(const SpShieldStates *states);

/* The bytes of a key: where they are the same, so is the key. */
extern void sp_shield_table_image(const SpShieldStates *states, const Datum *keys,
								  const bool *nulls, StringInfo buf);

/*
 * Lock the row of a key, inserting it when there is none, and read it as it is committed, into
 * that context.
 */
extern SpShieldState *sp_shield_table_lock(SpShieldStates *states, const Datum *keys,
										   const bool *nulls, MemoryContext context,
										   ItemPointer tid);

/* Read it as a query would see it, without a lock; NULL: there is none. */
extern SpShieldState *sp_shield_table_read(SpShieldStates *states, const Datum *keys,
										   const bool *nulls, MemoryContext context,
										   ItemPointer tid);

/*
 * Update the row that was read, by the same statement: false when somebody has changed it since,
 * who is waited for.  *tid becomes where it is then.
 */
extern bool sp_shield_table_try(SpShieldStates *states, ItemPointer tid, const SpShieldState *state);

/*
 * Update rows that are locked, of any tables; nothing happens where a table is gone.  *tid
 * becomes where the row is then.
 */
typedef struct SpShieldWriting SpShieldWriting;

extern SpShieldWriting *sp_shield_table_begin(void);
extern void sp_shield_table_write(SpShieldWriting *writing, SpShieldStates *states,
								  ItemPointer tid, const SpShieldState *state);
extern void sp_shield_table_end(SpShieldWriting *writing);

#endif
