/*
 * unjudged.c
 *	  How many rows shields have let in that they couldn't judge.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/timestamp.h"

#include "base/shared.h"
#include "base/unjudged.h"

#define TELL_EVERY_MS	60000

static SpUnjudged own[SP_MAX_UNJUDGED]; /* where there is no shared memory */

static SpUnjudged *
open_table(LWLockMode mode)
{
	if (sp_shared == NULL)
		return own;
	LWLockAcquire(sp_shared->lock, mode);
	return sp_shared->unjudged;
}

static void
close_table(void)
{
	if (sp_shared != NULL)
		LWLockRelease(sp_shared->lock);
}

static SpUnjudged *
find_shield(SpUnjudged *table, int32 detector, TimestampTz since)
{
	for (int i = 0; i < SP_MAX_UNJUDGED; i++)
	{
		if (table[i].dboid == MyDatabaseId && table[i].detector == detector &&
			table[i].since == since)
			return &table[i];
	}
	return NULL;
}

/* A free one, or that of which nothing was heard for the longest time. */
static SpUnjudged *
take_slot(SpUnjudged *table, int32 detector, TimestampTz since)
{
	SpUnjudged *slot = &table[0];

	for (int i = 1; i < SP_MAX_UNJUDGED && OidIsValid(slot->dboid); i++)
	{
		if (!OidIsValid(table[i].dboid) || table[i].last < slot->last)
			slot = &table[i];
	}
	memset(slot, 0, sizeof(*slot));
	slot->dboid = MyDatabaseId;
	slot->detector = detector;
	slot->since = since;
	return slot;
}

bool
sp_unjudged_add(int32 detector, TimestampTz since, uint64 *untold)
{
	TimestampTz now = GetCurrentTimestamp();
	SpUnjudged *table = open_table(LW_EXCLUSIVE);
	SpUnjudged *shield = find_shield(table, detector, since);
	bool		tell;

	if (shield == NULL)
		shield = take_slot(table, detector, since);
	shield->count++;
	shield->last = now;
	tell = shield->told_count == 0 ||
		TimestampDifferenceExceeds(shield->told, now, TELL_EVERY_MS);
	*untold = shield->count - shield->told_count;
	if (tell)
	{
		shield->told = now;
		shield->told_count = shield->count;
	}
	close_table();
	return tell;
}

uint64
sp_unjudged_get(int32 detector, TimestampTz since, TimestampTz *last)
{
	SpUnjudged *table = open_table(LW_SHARED);
	const SpUnjudged *shield = find_shield(table, detector, since);
	uint64		count = shield == NULL ? 0 : shield->count;

	*last = shield == NULL ? 0 : shield->last;
	close_table();
	return count;
}
