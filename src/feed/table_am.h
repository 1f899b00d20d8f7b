/*
 * table_am.h
 *	  The access method of stream tables.
 */
#ifndef SP_TABLE_AM_H
#define SP_TABLE_AM_H

#include "utils/relcache.h"

/* Is this, by pg_am's OID, the access method of stream tables (under any name)? */
extern bool sp_table_am_is_ours(Oid am);

#endif
