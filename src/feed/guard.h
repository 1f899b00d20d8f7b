/*
 * guard.h
 *	  Keeps stream tables free of what can't work on them.
 */
#ifndef SP_GUARD_H
#define SP_GUARD_H

/* From the access method's handler, once in each process that meets a stream table. */
extern void sp_guard_install(void);

#endif
