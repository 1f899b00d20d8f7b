/*
 * features.h
 *	  A row's features, as functions are given them: a float8[], or columns.
 */
#ifndef SP_FEATURES_H
#define SP_FEATURES_H

#include "postgres.h"

#include "base/compat.h"

/* An array of float8, read where it is, however it is aligned. */
typedef struct SpFeatures
{
	struct varlena *array;		/* detoasted, if it had to be */
	const char *data;			/* n doubles; where it has_nulls they aren't looked at */
	int			n;
	bool		has_nulls;
} SpFeatures;

/* Open and close one. */
extern void sp_features_open(SpFeatures *features, Datum value);
extern void sp_features_close(SpFeatures *features, Datum value);

/* An error: a row has n features, the others d. */
pg_noreturn extern void sp_features_refuse(int n, int d);

#endif
