/*
 * method.h
 *	  The methods that detectors can use: a kernel and what the engine must know of it.
 */
#ifndef SP_METHOD_H
#define SP_METHOD_H

#include "postgres.h"

#include "kernel/online/online.h"
#include "utils/jsonb.h"

typedef struct SpMethod
{
	const char *name;
	bool		takes_value;	/* else it is made of rules */
	double		default_threshold;
	int			nparams;
	const SpParam *param_table;
	Size		params_size;
	Size		state_size;		/* 0: no state */
	Size		written_size;
	void		(*init) (void *state, const void *params);
	bool		(*score) (const void *state, const void *params, double x,
						  SpDirection direction, double threshold, SpScore *result);
	bool		(*warm) (const void *state, const void *params);
	bool		(*learn) (void *state, const void *params, double x);
	char	   *(*write) (const void *state, char *to);
	const char *(*read) (void *state, const char *from, const char *end);
} SpMethod;

/* NULL: there is no such method. */
extern const SpMethod *sp_method_find(const char *name);

/* The names of all methods, separated by commas. */
extern const char *sp_method_names(void);

/*
 * The params struct for what the user gave; an error that names the parameter, its value
 * and what is allowed.  In the current memory context.
 */
extern void *sp_method_params(const SpMethod *method, Jsonb *given);

#endif
