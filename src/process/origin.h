/*
 * origin.h
 *	  The replication origins "streamproc_<database oid>": which databases have
 *	  streams.
 */
#ifndef SP_ORIGIN_H
#define SP_ORIGIN_H

#include "access/xlogdefs.h"
#include "nodes/pg_list.h"

typedef struct SpOriginDatabase
{
	Oid			dboid;			/* the database the origin is named after */
	bool		exists;
	bool		connectable;	/* exists, allows connections and is no template */
	NameData	name;			/* of the database, when it exists */
} SpOriginDatabase;

/* "streamproc_<database oid>", in a static buffer. */
extern const char *sp_origin_name(Oid dboid);

/*
 * All our origins, as a list of SpOriginDatabase in the current memory context, and
 * some database that a worker may connect to (InvalidOid: none).  Reads shared
 * catalogs only: works in a process without a database, within a transaction.
 */
extern List *sp_origin_load(Oid *any_database);

/* Has this database an origin?  Within a transaction of a backend. */
extern bool sp_origin_exists(void);

/* Look a database up; false when it doesn't exist. */
extern bool sp_origin_database(Oid dboid, SpOriginDatabase *database);

/*
 * In the worker: write under this database's origin from now on.  Where it is missing,
 * the definitions came by a restore or a clone: it detaches them and creates the origin.
 * Needs no transaction open.
 */
extern void sp_origin_setup(void);

/* Stop writing under it; and, when drop, remove it. */
extern void sp_origin_reset(bool drop);

/* Remove the origins of databases that no longer exist; within a transaction. */
extern void sp_origin_drop_orphans(void);

#endif
