/*
 * parameter.h
 *	  Arguments of the verbs, checked; every error names the parameter and the value.
 *
 * n is the argument's number from 0.
 */
#ifndef SP_PARAMETER_H
#define SP_PARAMETER_H

#include "postgres.h"

#include "fmgr.h"
#include "nodes/pg_list.h"
#include "utils/timestamp.h"

/* A value for a message, which needn't show all of a long one. */
extern char *sp_parameter_clip(char *value);

/* The argument as its type's output function writes it, for a message. */
extern char *sp_parameter_value(FunctionCallInfo fcinfo, int n);

/* An error when the argument is null. */
extern void sp_parameter_require(FunctionCallInfo fcinfo, int n, const char *name);

/* An error unless the argument is null (an array may be empty): it means nothing for this kind of object. */
extern void sp_parameter_refuse(FunctionCallInfo fcinfo, int n, const char *name,
								const char *object);

/* NULL when the argument is null. */
extern char *sp_parameter_text(FunctionCallInfo fcinfo, int n, const char *name);

/* An error unless it is a name as CREATE TABLE takes it, maybe with a schema. */
extern void sp_parameter_name(FunctionCallInfo fcinfo, int n, const char *name);

/* Not null, and one of the choices; they end with NULL. */
extern char *sp_parameter_choice(FunctionCallInfo fcinfo, int n, const char *name,
								 const char *const *choices);

/* Elements of a text[] or name[] as strings; NIL when null.  Null elements are an error. */
extern List *sp_parameter_strings(FunctionCallInfo fcinfo, int n, const char *name);

typedef enum SpIntervalRule
{
	SP_INTERVAL_ANY,			/* >= 0, no months */
	SP_INTERVAL_POSITIVE,		/* > 0, no months */
	SP_INTERVAL_LONG			/* > 0, months have 30 days */
} SpIntervalRule;

/* NULL when the argument is null. */
extern Interval *sp_parameter_interval(FunctionCallInfo fcinfo, int n, const char *name,
									   SpIntervalRule rule);

/* Added to the present it would be no time any more; and the hint that goes with it. */
extern bool sp_parameter_is_too_long(const Interval *interval);
#define SP_PARAMETER_LONGEST "290,000 years are the most."

/* Not null, and a time zone's name. */
extern char *sp_parameter_time_zone(FunctionCallInfo fcinfo, int n, const char *name);

#endif
