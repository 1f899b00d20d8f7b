/*
 * environment.h
 *	  Settings of the server without which nothing streams.
 */
#ifndef SP_ENVIRONMENT_H
#define SP_ENVIRONMENT_H

/* An error that names each setting that is missing, and the statements that set it. */
extern void sp_environment_check(void);

/* The same as a sentence; NULL when nothing is missing. */
extern char *sp_environment_problem(void);

#endif
