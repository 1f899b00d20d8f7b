/*
 * session_key.c
 *	  The sessions of a key, in order of time.
 *
 * Mostly a key has one or two, and a row belongs to the last one or begins the next; within
 * a long grace there may be many.  They stand in an array that is searched by halves.
 */
#include "engine/session.h"

#include "base/compat.h"
#include "utils/memutils.h"

#define INITIAL_SESSIONS 4

/* No keys yet. */
void
sp_session_key_init(SpWindow *w)
{
	sp_group_init(&w->sessions->keys,
				  AllocSetContextCreate(w->sessions->context, "streamproc session keys",
										ALLOCSET_DEFAULT_SIZES),
				  w->nkeys, w->evaluated, sizeof(SpSessionKey));
}

static inline SpSessionKey *
key_of(SpSessions *s, SpGroup *entry)
{
	return (SpSessionKey *) sp_group_value(&s->keys, entry);
}

/* The key, or NULL.  May throw where a key type's functions do. */
SpSessionKey *
sp_session_key_find(SpSessions *s, const Datum *keys, const bool *nulls, uint32 *hash)
{
	SpGroup    *entry;

	*hash = sp_group_hash(&s->keys, 0, keys, nulls);
	entry = sp_group_find(&s->keys, *hash, 0, keys, nulls);
	return entry == NULL ? NULL : key_of(s, entry);
}

/* A key that isn't there; the caller inserts its first session. */
SpSessionKey *
sp_session_key_add(SpSessions *s, const Datum *keys, const bool *nulls, uint32 hash)
{
	SpSessionKey *key = key_of(s, sp_group_add(&s->keys, hash, 0, keys, nulls));

	key->list = MemoryContextAlloc(s->keys.context, sizeof(SpSession *) * INITIAL_SESSIONS);
	key->allocated = INITIAL_SESSIONS;
	return key;
}

/* Index of the first session that a row of this time, or a later one, may touch. */
int
sp_session_key_position(const SpSessions *s, const SpSessionKey *key, int64 time)
{
	int			low = key->first;
	int			high = key->n;

	if (high > low && sp_session_end(s, key->list[high - 1]) > time &&
		(high - 1 == low || sp_session_end(s, key->list[high - 2]) <= time))
		return high - 1;
	while (low < high)
	{
		int			mid = low + (high - low) / 2;

		if (sp_session_end(s, key->list[mid]) <= time)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* Make room for one more session at the array's end; indexes may change. */
static void
grow(SpSessionKey *key)
{
	int			n = key->n - key->first;

	if (key->first > n)
	{
		memmove(key->list, key->list + key->first, sizeof(SpSession *) * n);
		key->first = 0;
		key->n = n;
		return;
	}
	key->allocated *= 2;
	key->list = repalloc_huge(key->list, sizeof(SpSession *) * (Size) key->allocated);
}

/* Put a session into its place. */
void
sp_session_key_insert(SpSessions *s, SpSessionKey *key, SpSession *session)
{
	int			i;

	if (key->n == key->allocated)
		grow(key);
	i = sp_session_key_position(s, key, session->first);
	memmove(key->list + i + 1, key->list + i, sizeof(SpSession *) * (key->n - i));
	key->list[i] = session;
	key->n++;
	session->key = key;
}

/* Index of a session in its key's list. */
static int
index_of(const SpSessions *s, const SpSession *session)
{
	int			i = sp_session_key_position(s, session->key, session->last);

	Assert(i < session->key->n && session->key->list[i] == session);
	return i;
}

/*
 * Is the session live, that is, not closed?  What is closed is remembered for a while that
 * may depend on when results are written; how many keys have a live one doesn't.
 */
void
sp_session_key_count(SpSessions *s, SpSession *session, bool live)
{
	SpSessionKey *key = session->key;

	if (session->counted == live)
		return;
	session->counted = live;
	if (live && key->nlive++ == 0)
		s->nlive_keys++;
	else if (!live && --key->nlive == 0)
		s->nlive_keys--;
}

/* Take a session out; a key without any is forgotten. */
void
sp_session_key_remove(SpSessions *s, SpSession *session)
{
	SpSessionKey *key = session->key;
	int			i = index_of(s, session);

	sp_session_key_count(s, session, false);
	session->key = NULL;
	if (i == key->first)
		key->first++;
	else
	{
		memmove(key->list + i, key->list + i + 1, sizeof(SpSession *) * (key->n - i - 1));
		key->n--;
	}
	if (key->first < key->n)
		return;
	pfree(key->list);
	sp_group_remove(&s->keys, (SpGroup *) ((char *) key - s->keys.value_offset));
}

/* Another group has taken over the session. */
void
sp_session_key_replace(SpSessions *s, SpSession *old, SpSession *session)
{
	old->key->list[index_of(s, old)] = session;
}

/* The session of the key that comes after it, or NULL. */
SpSession *
sp_session_key_next(const SpSessions *s, const SpSession *session)
{
	int			i = index_of(s, session) + 1;

	return i < session->key->n ? session->key->list[i] : NULL;
}
