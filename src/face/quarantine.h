/*
 * quarantine.h
 *	  <name>_quarantine: rows that a shield has put aside.
 *
 *	the stream's columns, quarantined_at timestamptz, score float8, alerts text[],
 *	explanation jsonb
 *
 * It belongs to the detector's owner, with whose rights it is written, and stays when the
 * detector goes.
 */
#ifndef SP_QUARANTINE_H
#define SP_QUARANTINE_H

#include "postgres.h"

#include "engine/shield.h"

typedef struct SpQuarantine SpQuarantine;

/* Make it beside the result table, unless it is there already. */
extern Oid	sp_quarantine_create(const SpShield *shield);

/* For a session, in the current memory context; may be NULL below. */
extern SpQuarantine *sp_quarantine_open(Oid relid, const SpShield *shield);
extern void sp_quarantine_close(SpQuarantine *quarantine);
extern bool sp_quarantine_is(const SpQuarantine *quarantine, Oid relid);

/* Put the row aside, and report it. */
extern void sp_quarantine_add(SpQuarantine *quarantine, SpShield *shield, const Datum *values,
							  const bool *nulls);

#endif
