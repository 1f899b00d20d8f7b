/*
 * session.h
 *	  What the files of session windows share.
 *
 *	session.c			rows into sessions
 *	session_undo.c		and back where one throws, or for good
 *	session_close.c		what the watermark closes; forgetting; durable form
 *	session_key.c		the sessions of a key, in order of time
 *	session_row.c		the rows of a session, where they may be taken back
 *	session_retract.c	taking them back
 */
#ifndef SP_SESSION_H
#define SP_SESSION_H

#include "engine/columns.h"
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
	bool		counted;		/* among its key's: it isn't closed */
	SpGroup    *group;
	SpSessionKey *key;
	struct SpSessionRows *rows; /* NULL: they are never taken back */
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
	int			nlive;			/* those that aren't closed */
};

/* What has become of a row within the transaction at work. */
typedef enum SpSessionFate
{
	SP_SESSION_LIVES,
	SP_SESSION_DEAD,			/* it was taken back */
	SP_SESSION_STAYS			/* its session was closed when the transaction began */
} SpSessionFate;

/* A row that may be taken back. */
typedef struct SpSessionRow
{
	int64		time;
	int64		fate;			/* SpSessionFate */
	NullableDatum columns[FLEXIBLE_ARRAY_MEMBER];
} SpSessionRow;

/* The rows of a session in order of time, and of arrival; durable where there are no dead ones. */
typedef struct SpSessionRows
{
	SpSession  *session;
	char	   *data;
	int			n;
	int			ndead;			/* among them */
	int			allocated;
	int			hint;			/* where the last one was found */
	Size		size;			/* of their durable form, the dead ones' too */
	int			torn;			/* its place in SpSessions.torn, from 1 */
	bool		reopened;		/* some may stay */
} SpSessionRows;

/* What rows did that are not settled yet. */
typedef enum SpSessionChange
{
	SP_SESSION_BEGUN,
	SP_SESSION_TOUCHED,			/* extended, or just amended */
	SP_SESSION_ABSORBED,		/* and with that out of its key's list */
	SP_SESSION_KEPT				/* a row is among its rows */
} SpSessionChange;

typedef struct SpSessionUndo
{
	SpSessionChange change;
	SpSession  *session;
	char	   *value;			/* touched: what the group's value was */
	SpSession  *by;				/* absorbed: by that one, whose last event was then at */
	int64		last;
	int			index;			/* kept: of the row */
	bool		counted;
} SpSessionUndo;

/* Of a window. */
typedef struct SpSessions
{
	MemoryContext context;
	int64		gap;
	SpGroups	keys;			/* values are SpSessionKey; start is 0; never saved */
	uint64		nlive_keys;		/* of these: they have a session that isn't closed */
	pairingheap *phases[SP_SESSION_PHASES]; /* by end, then in order of creation */
	SpSessionUndo *undo;
	int			nundo;
	int			undo_allocated;
	char	   *backup;			/* of the value that a native row changes */

	/* where rows may be taken back */
	bool		keeps_rows;
	SpColumns	columns;		/* of a row */
	Size		row_size;
	Size		rows_limit;		/* of what a session's rows take in durable form */
	MemoryContext rows_context;
	NullableDatum *scratch;		/* columns of the row at work */
	List	   *torn;			/* of SpSessionRows *, to be mended when the transaction ends; NULL:
								 * they are gone */
} SpSessions;

#define sp_session_of(w, group) ((SpSession *) sp_group_value(&(w)->groups, group))
#define sp_session_end(s, session) ((session)->last + (s)->gap)

/* session.c */
extern void sp_session_open(SpWindow *w);
extern void sp_session_apply(SpWindow *w, SpRowSet *rows, SpEvaluated *ev);

/* session_undo.c */
extern SpSessionUndo *sp_session_undo_note(SpSessions *s, SpSessionChange change,
										   SpSession *session);
extern void sp_session_undo_touch(SpWindow *w, MemoryContext context, SpSession *session);
extern void sp_session_undo_all(SpWindow *w);
extern void sp_session_settle_all(SpWindow *w);
extern SpSession *sp_session_make(SpWindow *w, const Datum *keys, const bool *nulls);
extern SpSession *sp_session_move(SpWindow *w, SpSession *old, int64 first);
extern bool sp_session_may_be_written(const SpWindow *w, const SpGroup *group);
extern void sp_session_give_up(SpWindow *w, SpSession *session);

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
extern void sp_session_key_count(SpSessions *s, SpSession *session, bool live);
extern SpSession *sp_session_key_next(const SpSessions *s, const SpSession *session);

/* session_row.c */
#define sp_session_row(s, rows, i) ((SpSessionRow *) ((rows)->data + (s)->row_size * (i)))
extern void sp_session_rows_open(SpWindow *w);
extern void sp_session_rows_begin(SpSessions *s, SpSession *session);
extern const char *sp_session_rows_add(SpSessions *s, SpSessionRows *rows, int64 time,
									   const SpEvaluated *ev, int i, int *index, int *sqlstate);
extern void sp_session_rows_remove(SpSessions *s, SpSessionRows *rows, int index);
extern const char *sp_session_rows_join(SpSessions *s, SpSessionRows *to,
										const SpSessionRows *from, int *sqlstate);
extern void sp_session_rows_part(SpSessions *s, SpSessionRows *to, const SpSessionRows *from);
extern void sp_session_rows_split(SpSessions *s, SpSessionRows *from, int first,
								  SpSessionRows *to);
extern int	sp_session_rows_find(SpSessions *s, SpSessionRows *rows, int64 time,
								 const NullableDatum *columns);
extern void sp_session_rows_tear(SpSessions *s, SpSessionRows *rows);
extern void sp_session_rows_hold(SpSessions *s, SpSession *session);
extern void sp_session_rows_let_go(SpSessions *s, SpSessionRows *rows);
extern void sp_session_rows_compact(SpSessions *s, SpSessionRows *rows);
extern void sp_session_rows_free(SpSessions *s, SpSession *session, bool with_values);
extern void sp_session_rows_write(const SpSessions *s, const SpSessionRows *rows, StringInfo buf);
extern void sp_session_rows_read(SpSessions *s, SpSession *session, const char **p,
								 const char *end);

/* session_retract.c */
extern void sp_session_take_back(SpWindow *w, SpRowSet *rows, SpEvaluated *ev);
extern void sp_session_truncate(SpWindow *w);
extern void sp_session_mend(SpWindow *w, XLogRecPtr lsn, TimestampTz time);

#endif
