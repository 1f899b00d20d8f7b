/*
 * debug.c
 *	  Acts on an armed debug point.
 */
#include "postgres.h"

#include <signal.h>
#include <unistd.h>

#include "miscadmin.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/wait_event.h"

#include "base/debug.h"

#define DEBUG_DIRECTORY	"streamproc_debug"
#define DEBUG_POLL_MS	10L

bool		sp_guc_debug_points = false;

/* Read the action of a point and disarm it; false when it isn't armed. */
static bool
take_action(const char *name, char *action, int size)
{
	char		path[MAXPGPATH];
	FILE	   *file;
	size_t		length;

	snprintf(path, sizeof(path), DEBUG_DIRECTORY "/%s", name);
	file = AllocateFile(path, "r");
	if (file == NULL)
		return false;
	length = fread(action, 1, size - 1, file);
	FreeFile(file);
	action[length] = '\0';
	action[strcspn(action, " \r\n")] = '\0';

	/* Of several processes that read it, the one that removes it acts. */
	return unlink(path) == 0;
}

/* Wait until the test creates the point's .go file; its removal is the test's answer. */
static void
wait_for_go(const char *name)
{
	char		path[MAXPGPATH];

	snprintf(path, sizeof(path), DEBUG_DIRECTORY "/%s.go", name);
	while (unlink(path) != 0)
	{
		/* Our latch is left alone: whoever sets it means our caller. */
		(void) WaitLatch(NULL, WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, DEBUG_POLL_MS,
						 PG_WAIT_EXTENSION);
		CHECK_FOR_INTERRUPTS();
	}
}

/* Do what a test wants done here, if anything. */
void
sp_debug_reach(const char *name)
{
	char		action[16];

	if (!take_action(name, action, sizeof(action)))
		return;

	ereport(LOG,
			(errmsg("debug point \"%s\": %s", name, action)));
	if (strcmp(action, "kill") == 0)
		kill(getpid(), SIGKILL);
	else if (strcmp(action, "exit") == 0)
		proc_exit(1);
	else if (strcmp(action, "wait") == 0)
		wait_for_go(name);
	else if (strcmp(action, "error") == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("debug point \"%s\" raised an error", name)));
	else
		ereport(WARNING,
				(errmsg("debug point \"%s\": unknown action \"%s\"", name, action)));
}
