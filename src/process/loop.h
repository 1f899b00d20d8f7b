/*
 * loop.h
 *	  The worker's main loop.
 */
#ifndef SP_LOOP_H
#define SP_LOOP_H

typedef enum SpLoopEnd
{
	SP_LOOP_STOPPED,			/* streamproc.stop() */
	SP_LOOP_UNWANTED,			/* no definition wants a worker any more */
	SP_LOOP_DROPPED				/* the extension was dropped */
} SpLoopEnd;

/*
 * Process the WAL until there is a reason to end.  The feed is open.  When it
 * returns, state is checkpointed (unless dropped) and the feed still open.
 */
extern SpLoopEnd sp_loop_run(void);

#endif
