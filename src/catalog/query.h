/*
 * query.h
 *	  A scope in which our own SQL runs: with rights and a search_path of our choosing.
 */
#ifndef SP_QUERY_H
#define SP_QUERY_H

#include "executor/spi.h"

typedef struct SpQueryScope
{
	Oid			userid;			/* as it was */
	int			security;
	int			guc_level;
	bool		latest;			/* a snapshot was pushed */
} SpQueryScope;

/*
 * Connect to SPI, search only pg_catalog (temporary objects last), and become userid;
 * InvalidOid: stay who we are; BOOTSTRAP_SUPERUSERID: to reach our own tables.  Undone by
 * sp_query_close(), or by an error.
 */
extern void sp_query_open(SpQueryScope *scope, Oid userid);

/* The same, only to read: what is committed right now, whatever the isolation level. */
extern void sp_query_open_latest(SpQueryScope *scope, Oid userid);
extern void sp_query_close(SpQueryScope *scope);

/*
 * Run one statement; an error when SPI's result is not the expected one.  nulls as in
 * SPI ('n' or ' '), or NULL.  The result is in SPI_tuptable and SPI_processed.
 */
extern void sp_query_run(const SpQueryScope *scope, const char *sql, int expected,
						 int nargs, Oid *types, Datum *values, const char *nulls);

/* A column of a result row. */
extern Datum sp_query_value(uint64 row, int column, bool *isnull);

#endif
