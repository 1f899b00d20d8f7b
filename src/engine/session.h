/*
 * session.h
 *	  What the files of session windows share.
 *
 *	session.c		rows into sessions, and back where one throws
 *	session_close.c	what the watermark closes; forgetting; durable form
 *	session_key.c	the sessions of a key, in order of time
 */
#ifndef SP_SESSION_H
#define SP_SESSION_H

#include "engine/internal.h"

#include "lib/pairingheap.h"

/* How far a session has come; a durable format. */
typedef enum SpSessionPhase
{
	SP_SESSION_OPEN,			/* the watermark is before its end */
	SP_SESSION_FINAL,			/* behind its end, late rows amend it within grace */
	SP_SESSION_CLOSED,			/* behind end + grace */
	SP_SESSION_NONE				/* being made, or absorbed by another one */
} SpSessionPhase;

#define SP_SESSION_PHASES SP_SESSION_NONE	/* those that live sessions are in */

typedef struct SpSessionKey SpSessionKey;

/* A session, at the head of its group's value. */
typedef struct SpSession
{
	/* durable, with the phase */
	int64		first;			/* times of its first and last event */
	int64		last;
	int64		floor;			/* earlier sessions of the key that may be forgotten have their last
								 * event no later; SP_NO_WATERMARK: there are none */
	/* in memory */
	SpSessionPhase phase;
	bool		absorbed;		/* in the rowset at work */
	bool		fed;			/* and what it absorbed was sealed */
	SpGroup    *group;
	SpSessionKey *key;
	pairingheap_node node;		/* among those of its phase */
	int64		due;			/* its place there: its end, or what that was before */
} SpSession;

/* The sessions of a key, at least the gap apart from one another. */
struct SpSessionKey
{
	SpSession **list;			/* in order of time */
	int			first;			/* index of the first one */
	int			n;				/* index behind the last one */
	int			allocated;
};

/* What rows did that are not settled yet. */
typedef enum SpSessionChange
{
	SP_SESSION_BEGUN,
	SP_SESSION_TOUCHED,			/* extended, or just amended */
	SP_SESSION_ABSORBED			/* and with that out of its key's list */
} SpSessionChange;

typedef struct SpSessionUndo
{
	SpSessionChange change;
	SpSession  *session;
	char	   *value;			/* touched: what the group's value was */
	SpSession  *by;				/* absorbed: by that one, whose last event was then at */
	int64		last;
} SpSessionUndo;

/* Of a window. */
typedef struct SpSessions
{
	MemoryContext context;
	int64		gap;
	SpGroups	keys;			/* values are SpSessionKey; start is 0; never saved */
	pairingheap *phases[SP_SESSION_PHASES]; /* by end, then in order of creation */
	SpSessionUndo *undo;
	int			nundo;
	int			undo_allocated;
	char	   *backup;			/* of the value that a native row changes */
} SpSessions;

#define sp_session_of(w, group) ((SpSession *) sp_group_value(&(w)->groups, group))
#define sp_session_end(s, session) ((session)->last + (s)->gap)

/* session.c */
extern void sp_session_open(SpWindow *w);
extern void sp_session_apply(SpWindow *w, SpRowSet *rows, SpEvaluated *ev);

/* session_close.c */
extern void sp_session_enter(SpSessions *s, SpSession *session, SpSessionPhase phase);
extern void sp_session_leave(SpSessions *s, SpSession *session);
extern int	sp_session_compare(const pairingheap_node *a, const pairingheap_node *b, void *arg);
extern int64 sp_session_watermark(const SpWindow *w);
extern int64 sp_session_horizon(const SpWindow *w, int64 data_watermark);
extern void sp_session_raise_floor(SpWindow *w, SpSession *session);

/* session_key.c */
extern void sp_session_key_init(SpWindow *w);
extern SpSessionKey *sp_session_key_find(SpSessions *s, const Datum *keys, const bool *nulls,
										 uint32 *hash);
extern SpSessionKey *sp_session_key_add(SpSessions *s, const Datum *keys, const bool *nulls,
										uint32 hash);
extern int	sp_session_key_position(const SpSessions *s, const SpSessionKey *key, int64 time);
extern void sp_session_key_insert(SpSessions *s, SpSessionKey *key, SpSession *session);
extern void sp_session_key_remove(SpSessions *s, SpSession *session);
extern void sp_session_key_replace(SpSessions *s, SpSession *old, SpSession *session);
extern SpSession *sp_session_key_next(const SpSessions *s, const SpSession *session);

#endif
