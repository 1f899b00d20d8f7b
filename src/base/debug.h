/*
 * debug.h
 *	  Named points at which a test can make this process die, fail or wait.
 *
 * Active only with streamproc.debug_points = on (a superuser's setting, off by
 * default).  A test arms a point by writing the action into the file
 * streamproc_debug/NAME in the data directory: "kill" (SIGKILL to ourselves),
 * "error" (ereport ERROR), "exit" (proc_exit(1)) or "wait" (until the file
 * NAME.go exists).  The file is removed before the action, so each arming acts
 * once.
 */
#ifndef SP_DEBUG_H
#define SP_DEBUG_H

extern bool sp_guc_debug_points;
extern void sp_debug_reach(const char *name);

#define sp_debug_point(name) \
	do { \
		if (unlikely(sp_guc_debug_points)) \
			sp_debug_reach(name); \
	} while (0)

#endif
