/*
 * explanation.h
 *	  Why a row of a detector is an anomaly, or why not, as jsonb.
 *
 * Of one shape for every method:
 *
 *	{"method": name,
 *	 "contributions": {part: amount, ...},				by feature, rule, or what the method looks at
 *	 "expected": {feature: {"value": x, "lower": x, "upper": x}, ...},
 *	 "nearest_normal": {feature: x, ...}}		null: none is known
 *
 * nearest_normal is the nearest point, of all features together, that the kernel knows to be normal
 * (SpExplanation.nearest), or else the value moved to its next bound.
 *
 * The only feature of a method that takes a value is called "value".  What isn't known is null;
 * the last two have nothing in them for rules, and where nothing is known.
 *
 * Where the method explains all scores, not only those above the threshold (SpSetup.explain_all),
 * the row is judged in words, too:
 *
 *	 "score", "threshold", "margin"		margin: the score without the threshold
 *	 "is_anomaly", "is_alert"			not alerted though an anomaly: part of an episode that was, or
 *										of a muted key
 *	 "learned", "needed"				values before this one, of how many that make it ready;
 *										not of rules
 *	 "reasons": [text, ...]
 *
 * Private to the engine's detector*.c.
 */
#ifndef SP_EXPLANATION_H
#define SP_EXPLANATION_H

#include "engine/detector.h"

/* time_type: of event times.  In the current memory context. */
extern Datum sp_explanation_make(const SpDetector *d, Oid time_type, const SpVerdict *v);

#endif
