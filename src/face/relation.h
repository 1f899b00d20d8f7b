/*
 * relation.h
 *	  Relations that the verbs make: result tables, twins, the views that hold
 *	  expressions.
 */
#ifndef SP_RELATION_H
#define SP_RELATION_H

#include "lib/stringinfo.h"
#include "nodes/parsenodes.h"

#include "catalog/object.h"

/* A name as CREATE TABLE takes it: its schema is where that would put the table. */
typedef struct SpRelationName
{
	char	   *schema;
	char	   *relation;
	char	   *quoted;			/* both, for SQL */
	Oid			existing;		/* the relation that has it, or invalid */
} SpRelationName;

extern void sp_relation_resolve(SpRelationName *name, const text *qualified);

/*
 * The name with a suffix, for what stands beside the result table, as CREATE TABLE names an
 * index; an error when there is such a relation.
 */
extern SpRelationName sp_relation_beside(const SpRelationName *of, SpObjectKind kind,
										 const char *suffix, const char *what);

/* Both quoted, for SQL. */
extern char *sp_relation_quote(Oid relid);

/* Append "name type [COLLATE ...] [NOT NULL]" and a comma. */
extern void sp_relation_append_column(StringInfo sql, const char *name, Oid type, int32 typmod,
									  Oid collation, bool not_null);

/* Run a statement that defines something, as userid, or as the caller when invalid. */
extern void sp_relation_run(const char *sql, Oid userid);

/*
 * A new table of the caller's is the worker's to write: these rights, which nobody needs for
 * that, are taken from its owner, and from whom default privileges gave them to.
 */
extern void sp_relation_reserve(const SpRelationName *name, const char *rights);

/* An error when columns of a fixed size alone don't fit into a row. */
extern void sp_relation_check_width(Oid relid);

/* The relation of that name, which exists. */
extern Oid	sp_relation_oid(const SpRelationName *name);

/* Create streamproc.expressions_<id>, which belongs to the caller. */
extern Oid	sp_relation_create_expressions(int32 id, Query *query, const char *what);

/* An error unless the caller may evaluate the expressions. */
extern void sp_relation_check_access(Oid expressions);

/* Drop the view with the table, and with the extension, without a word; unless bound already. */
extern void sp_relation_bind_view(Oid view, Oid table);

/* Drop the change feed with the table without a word. */
extern void sp_relation_bind_changes(Oid changes, Oid table);

/* An error unless the caller owns the relation. */
extern void sp_relation_check_owner(Oid relid);

/* An error unless the caller may read every column of the relation. */
extern void sp_relation_check_readable(Oid relid);

/* An error when row security would keep rows from the caller that decoding shows. */
extern void sp_relation_check_row_security(Oid relid);

/*
 * Drop an object, as userid or as the caller: definition, views, result table; what
 * depends on the result table only with cascade.  Objects that read it must be gone.
 */
extern void sp_relation_drop_object(const SpObject *object, bool cascade, Oid userid);

#endif
