/*
 * saving.h
 *	  State to pages and back: checkpoints, and objects that begin to run.
 */
#ifndef SP_SAVING_H
#define SP_SAVING_H

#include "engine/internal.h"

/* checkpoint.c: one object's state to pages, in parts, and back */
#define SP_STATE_GROUPS		3	/* sets of groups that an object has, at most */
typedef struct SpStatePart
{
	int32		object;
	SpGroups   *groups[SP_STATE_GROUPS];
	int			ngroups;
	Size		head_size;		/* 0: page 0 is written, or needn't be */
	char		head[FLEXIBLE_ARRAY_MEMBER];
} SpStatePart;

extern SpStatePart *sp_checkpoint_take_stream(SpStream *s);
extern SpStatePart *sp_checkpoint_take_window(SpWindow *w);
extern SpStatePart *sp_checkpoint_take_detector(SpDetector *d);
extern bool sp_checkpoint_save_next(SpStatePart *part);
extern void sp_checkpoint_save_end(SpStatePart *part);
extern void sp_checkpoint_save_undo(SpStatePart *part, bool all);
extern void sp_checkpoint_save_filled(SpWindow *w, SpDetector *d, SpStream *s);
extern void sp_checkpoint_progress(void);
extern void sp_checkpoint_load_stream(SpStream *s);
extern void sp_checkpoint_load_dedup(SpStream *s, int32 filled);
extern void sp_checkpoint_load_window(SpWindow *w);
extern void sp_checkpoint_load_detector(SpDetector *d);

/* saving.c: a checkpoint, in slices */
extern void sp_saving_begin(XLogRecPtr state_lsn);
extern bool sp_saving_is_running(void);
extern bool sp_saving_write_slice(void);
extern void sp_saving_committed(void);
extern void sp_saving_finish(void);
extern void sp_saving_forget(int32 object);
/* an object that is about to run, and the transaction that makes it so */
extern bool sp_saving_write_ahead(SpWindow *w, SpDetector *d);
extern void sp_saving_activate(SpObjectDef *def, XLogRecPtr upto, bool whole);
extern void sp_saving_activated(bool committed);

#endif
