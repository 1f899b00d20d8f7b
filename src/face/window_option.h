/*
 * window_option.h
 *	  Arguments of window functions that say how all rows of a partition are treated.
 *
 * They needn't be constants: a sub-SELECT will do, or what has one value in each partition.  They are
 * read where a partition begins; n is the argument's number from 0.
 */
#ifndef SP_WINDOW_OPTION_H
#define SP_WINDOW_OPTION_H

#include "postgres.h"

#include "fmgr.h"
#include "windowapi.h"

#include "base/compat.h"

typedef enum SpOptionScope
{
	SP_OPTION_OF_QUERY,			/* it never changes: to be read once */
	SP_OPTION_OF_PARTITION,		/* nothing of a row is in it: to be read once a partition */
	SP_OPTION_OF_ROW			/* to be read at each row, to find whether it is always the same */
} SpOptionScope;

extern SpOptionScope sp_window_option_scope(FmgrInfo *flinfo, int n);

/* The error: it isn't the same for all rows of a partition. */
pg_noreturn extern void sp_window_option_refuse(const char *option, const char *function);

#endif
