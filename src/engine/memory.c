/*
 * memory.c
 *	  Saying that state takes more memory than it should.
 *
 * What can be spilled is (spill.c).  The rest is bounded by what the user has defined: by
 * windows that the watermark closes, by max_keys.  Where that is more than
 * streamproc.max_state_memory it stays in memory, for results must be right; but it is told.
 */
#include "engine/internal.h"

#include "base/guc.h"
#include "base/shared.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define LOOK_US			USECS_PER_SEC
#define WARN_US			(10 * USECS_PER_MINUTE)
#define TOLERANCE		10		/* a part of the limit */

/* The object that takes most, and how much. */
typedef struct Largest
{
	const SpObjectDef *def;
	Size		size;
} Largest;

static void
compare(Largest *largest, const SpObjectDef *def, MemoryContext context)
{
	Size		size = MemoryContextMemAllocated(context, true);

	if (largest->def != NULL && size <= largest->size)
		return;
	largest->def = def;
	largest->size = size;
}

static Largest
find_largest(void)
{
	Largest		largest = {NULL, 0};
	ListCell   *lc;

	foreach(lc, sp_engine.streams)
	{
		SpStream   *s = lfirst(lc);

		compare(&largest, &s->def->o, s->context);
	}
	foreach(lc, sp_engine.windows)
	{
		SpWindow   *w = lfirst(lc);

		compare(&largest, &w->def->o, w->context);
	}
	foreach(lc, sp_engine.detectors)
	{
		SpDetector *d = lfirst(lc);

		compare(&largest, &d->def->o, d->context);
	}
	return largest;
}

static inline int
megabytes(Size size)
{
	return (int) ((size + 1024 * 1024 - 1) / (1024 * 1024));
}

static void
warn(Size size)
{
	Largest		largest = find_largest();

	ereport(WARNING,
			(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
			 errmsg("state takes %d MB of memory, more than streamproc.max_state_memory (%d MB)",
					megabytes(size), megabytes((Size) sp_guc_max_state_memory * 1024)),
			 largest.def == NULL ? 0 :
			 errdetail("Most of all \"%s\": %d MB.", largest.def->name, megabytes(largest.size)),
			 errhint("Have it hold less (a shorter size, gap, grace or dedup_within, a smaller "
					 "streamproc.max_keys), or set streamproc.max_state_memory to what it needs.")));
}

/* Look now and then whether state is within its limit, after all that could be spilled was. */
void
sp_memory_watch(void)
{
	static TimestampTz looked;
	static TimestampTz warned;
	TimestampTz now = GetCurrentTimestamp();
	Size		limit = (Size) sp_guc_max_state_memory * 1024;
	Size		size;
	bool		is_excess;

	if (now < looked + LOOK_US)
		return;
	looked = now;
	size = MemoryContextMemAllocated(sp_engine.context, true);
	is_excess = size > limit + limit / TOLERANCE;
	pg_atomic_write_u64(&sp_my_worker->excess_bytes, is_excess ? size - limit : 0);
	if (!is_excess || (warned != 0 && now < warned + WARN_US))
		return;
	warned = now;
	warn(size);
}
