/*
 * object.h
 *	  Definitions as the verbs handle them: found by relation, locked, added, removed.
 *
 * What is found is what is committed at that moment, and what this transaction did,
 * whatever its isolation level.
 */
#ifndef SP_OBJECT_H
#define SP_OBJECT_H

#include "catalog/definition.h"

typedef struct SpObject
{
	SpObjectKind kind;
	int32		id;
	Oid			relid;			/* stream: its relation; else the result table */
	Oid			source;			/* windows, detectors */
	Oid			expressions;	/* may be invalid for a stream */
	Oid			twin;			/* windows; may be invalid */
	Oid			changes;		/* windows; may be invalid, or gone */
	Oid			overrides;		/* detectors; likewise */
	SpObjectState state;
	char	   *name;			/* of relid, for messages */
} SpObject;

/* "stream", "window" or "detector". */
extern const char *sp_object_kind_name(SpObjectKind kind);

/* The object of that relation; false when there is none. */
extern bool sp_object_find(Oid relid, SpObject *object);

/* Objects that read this relation, as a list of SpObject *. */
extern List *sp_object_dependents(Oid relid);

/* Objects that have one of these relations as theirs, or as their expressions. */
extern List *sp_object_find_all(List *relids);

/*
 * Lock the definition until the end of the transaction: against being dropped, and
 * against others who lock it.  Returns false when it is gone meanwhile.
 */
extern bool sp_object_lock(const SpObject *object);

/* A new object's id. */
extern int32 sp_object_new_id(void);

/* The columns of a definition that is to be added; zeroed, then filled column by column. */
#define SP_OBJECT_COLUMNS 32
typedef struct SpObjectRow
{
	int			ncolumns;
	const char *columns[SP_OBJECT_COLUMNS];
	Oid			types[SP_OBJECT_COLUMNS];
	Datum		values[SP_OBJECT_COLUMNS];
	char		nulls[SP_OBJECT_COLUMNS];
} SpObjectRow;

extern void sp_object_set(SpObjectRow *row, const char *column, Oid type, Datum value, bool isnull);
extern void sp_object_set_text(SpObjectRow *row, const char *column, const char *value);	/* or NULL */
extern void sp_object_set_strings(SpObjectRow *row, const char *column, List *strings);
extern void sp_object_set_relation(SpObjectRow *row, const char *column, Oid relid);	/* or invalid */

/* Add it to the table of that kind. */
extern void sp_object_insert(SpObjectKind kind, SpObjectRow *row);

/* Among these relations, which are gone, may be change feeds: their windows have none then. */
extern void sp_object_forget_changes(List *relids);

/* Remove definition, state and rejected rows; the pages are the worker's to remove. */
extern void sp_object_delete(const SpObject *object);

#endif
