/*
 * labels.h
 *	  What is known of the past: when there was an anomaly, and where there was none.
 */
#ifndef SP_LABELS_H
#define SP_LABELS_H

#include "postgres.h"

#include "face/trial.h"

/* From start to end, both included, there was an anomaly, or what was said of it was false. */
typedef struct SpLabel
{
	TimestampTz start;
	TimestampTz end;
	TimestampTz latest;			/* end of any label up to this one */
	Jsonb	   *keys;			/* of whom; an object, maybe of some of the keys; NULL: of all */
	bool		is_false;
} SpLabel;

typedef struct SpLabels
{
	int			n;
	SpLabel    *array;			/* in order of start */
	bool		complete;		/* an alert in no label is a false one */
	bool		keyed;			/* some have keys */
} SpLabels;

/*
 * Labels that overlap the time that is judged.  source: the name of a relation, or a query,
 * read with the caller's rights; NULL: what users have set in the result table.  NULL when
 * there are none of these.  In the current memory context.
 */
extern SpLabels *sp_labels_load(const SpTrial *trial, const char *source);

/* The number of labels that start at this time or before. */
extern int	sp_labels_until(const SpLabels *labels, TimestampTz time);

/*
 * Is it about these keys?  keys: all of them, as an object; NULL: there are none.  Allocates in the
 * current memory context.
 */
extern bool sp_label_is_of(const SpLabel *label, Jsonb *keys);

#endif
