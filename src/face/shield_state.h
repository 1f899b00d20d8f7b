/*
 * shield_state.h
 *	  The states of a shield's keys: rows of streamproc.shield_<id>, locked and changed by
 *	  transactions that insert.
 *
 * A key is read when a transaction first meets it, and written and so locked when that changes
 * it; kept in memory then, rolled back with savepoints, and what it becomes later is written once,
 * before the commit.
 */
#ifndef SP_SHIELD_STATE_H
#define SP_SHIELD_STATE_H

#include "postgres.h"

#include "engine/shield.h"

typedef struct SpShieldStates SpShieldStates;
typedef struct SpShieldEntry SpShieldEntry;

/* Create the table, without rows: the owner of the extension's; goes with the detector. */
extern Oid	sp_shield_state_create(const SpShield *shield, Oid detector);

/* Fill it with what history leaves behind. */
extern void sp_shield_state_seed(Oid states, SpShield *shield);

/* The table as a session works on it, in the current memory context. */
extern SpShieldStates *sp_shield_state_open(Oid states, const SpShield *shield);
extern void sp_shield_state_close(SpShieldStates *states);

/*
 * The key's state as it stands, valid until the next one is asked for.  NULL: as it was committed,
 * not locked by this transaction; then sp_shield_state_try() lets it learn of the row that the
 * shield has judged with it, with the same keys, or, where somebody has changed it since, returns
 * false: it is to be locked, and looked at again.
 */
extern SpShieldEntry *sp_shield_state_find(SpShieldStates *states, const Datum *keys,
										   const bool *nulls, SpShieldState **state);
extern bool sp_shield_state_try(SpShield *shield);
extern SpShieldEntry *sp_shield_state_lock(SpShieldStates *states, const Datum *keys,
										   const bool *nulls, SpShieldState **state);

/* It learns of the row that the shield has judged with it. */
extern void sp_shield_state_learn(SpShieldEntry *entry, SpShield *shield);

/* Many keys in memory are written now, where that can be. */
extern void sp_shield_state_relax(void);

/* Forget what this transaction has to write to the table, which is being dropped. */
extern void sp_shield_state_forget(Oid states);

/* Is anything of this transaction in memory? */
extern bool sp_shield_state_is_idle(void);

#endif
