/*
 * param.h
 *	  Parameters of methods, which users give by name in jsonb.
 */
#ifndef SP_PARAM_H
#define SP_PARAM_H

#include "postgres.h"

#include "kernel/online/online.h"
#include "utils/jsonb.h"

/* A parameter, and the struct that its value goes to. */
typedef struct SpParamPlace
{
	const SpParam *param;
	void	   *to;
} SpParamPlace;

/* All that a method can be given. */
typedef struct SpParamSet
{
	const char *method;
	int			n;
	SpParamPlace *places;
} SpParamSet;

/* A set without parameters, and parameters for it; in the current memory context. */
extern void sp_param_begin(SpParamSet *set, const char *method);
extern void sp_param_add(SpParamSet *set, const SpParam *table, int n, void *to);

/*
 * Store what is given; what isn't stays as it is.  An error names the parameter, its value and
 * what is allowed.
 */
extern void sp_param_read(const SpParamSet *set, Jsonb *given);

/* Is the parameter of that name among those given? */
extern bool sp_param_is_given(Jsonb *given, const char *name);

/* An error: they don't go together, for that reason. */
extern void sp_param_refuse_conflict(const SpParamSet *set, Jsonb *given, const char *reason);

/* A parameter's type, default and range, for people. */
extern char *sp_param_type_text(const SpParam *param);
extern char *sp_param_default_text(const SpParam *param);
extern char *sp_param_range_text(const SpParam *param);

#endif
