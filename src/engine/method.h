/*
 * method.h
 *	  The methods that detectors can use: rules, or one of the online kernels.
 */
#ifndef SP_METHOD_H
#define SP_METHOD_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "kernel/online/online.h"
#include "pgtime.h"
#include "utils/jsonb.h"

/* A method with its parameters. */
typedef struct SpMethod
{
	const char *name;
	const SpKernel *kernel;		/* NULL: it is made of rules */
	SpSetup		setup;			/* of the kernel; of rules the threshold only */
	Size		state_size;		/* of a key; 0: none */
	pg_tz	   *zone;			/* of the kernel's local clock; NULL: UTC */
	int32		escape;			/* so many flagged in a row are learned all the same; 0: never */
} SpMethod;

/* False: there is no such method.  *kernel: NULL for rules. */
extern bool sp_method_find(const char *name, const SpKernel **kernel);

/* The names of all methods, separated by commas. */
extern const char *sp_method_names(void);

/*
 * The method with what the user gave: n features, parameters, threshold (NaN: the method's own).
 * An error names the parameter, its value and what is allowed.  In the current memory context.
 */
extern SpMethod *sp_method_open(const char *name, int n, Jsonb *given, SpDirection direction,
								double threshold);

/* A parameter's type, default and range, for people. */
extern char *sp_method_param_type(const SpParam *param);
extern char *sp_method_param_default(const SpParam *param);
extern char *sp_method_param_range(const SpParam *param);

/* The event time, an instant, on the method's local clock. */
extern int64 sp_method_local_time(const SpMethod *method, TimestampTz time);

#endif
