/*
 * lifecycle.h
 *	  What all kinds of objects have in common: coming to be, and being dropped.
 */
#ifndef SP_LIFECYCLE_H
#define SP_LIFECYCLE_H

#include "postgres.h"

#include "catalog/object.h"
#include "fmgr.h"

/*
 * Is there room for a new object with this relation (invalid: there is none of that
 * name)?  An existing one is replaced when asked for; false: it exists and shall be kept.
 * if_not_exists and replace are numbers of arguments.
 */
extern bool sp_lifecycle_make_room(FunctionCallInfo fcinfo, int if_not_exists, int replace,
								   SpObjectKind kind, Oid relid, const char *name);

/*
 * Tell the launcher, which looks for replication origins, that this database has streams.
 */
extern void sp_lifecycle_create_origin(void);

/* drop_*(name regclass, "cascade" boolean) */
extern void sp_lifecycle_drop(FunctionCallInfo fcinfo, SpObjectKind kind);

/*
 * The stream or window that a new object shall read, locked until the end of the
 * transaction.
 */
extern SpObject sp_lifecycle_open_source(FunctionCallInfo fcinfo, int n);

/* The definition of a window; an error when it can't be used. */
extern const SpWindowDef *sp_lifecycle_window(const SpObject *object);

/*
 * The definition of a stream; when the object is a window, of that which it reads, or its
 * source reads, and so on.
 */
extern const SpStreamDef *sp_lifecycle_stream(const SpObject *object);

/* The session's settings that expressions may depend on, as text[]. */
extern Datum sp_lifecycle_session_settings(void);

/* Does the table keep no rows? */
extern bool sp_lifecycle_is_stream_table(Oid relid);

#endif
