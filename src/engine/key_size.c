/*
 * key_size.c
 *	  Keys that are too long for the index of a result table.
 *
 * A row with such a key would keep the results of its window from being written, for all
 * keys, so it becomes a dead letter.  What counts is what the WAL says alone: the size before
 * compression, whose outcome depends on settings.
 */
#include "engine/internal.h"

#include "access/detoast.h"
#include "base/compat.h"

/*
 * An entry of a B-tree may have 2704 bytes (BTMaxItemSize) with its header, a bitmap of nulls
 * and the window's start.
 */
#define MOST_KEY_BYTES 2600

static Size
measure(const SpExpression *key, const NullableDatum *value)
{
	const void *data;

	if (value->isnull)
		return 0;
	if (key->typlen != -1)
		return MAXALIGN(key->typlen);
	data = DatumGetPointer(value->value);
	if (VARATT_IS_EXTERNAL(data) || VARATT_IS_COMPRESSED(data))
		return MAXALIGN(toast_raw_datum_size(value->value));
	return MAXALIGN(VARSIZE_ANY(data));
}

static void
refuse_row(SpWindow *w, const SpRowSet *rows, SpEvaluated *ev, int i, Size size)
{
	char		message[100];

	ev->pass[i] = false;
	snprintf(message, sizeof(message), "the keys of the row have %zu bytes, and at most %d fit "
			 "into an index", size, MOST_KEY_BYTES);
	sp_output_dead(&w->output, rows, i, "key_size", "54000", message);
}

/* Let no row pass whose keys are too long; it becomes a dead letter. */
void
sp_key_size_check(SpWindow *w, const SpRowSet *rows, SpEvaluated *ev)
{
	bool		varies = false;

	for (int k = 0; k < w->nkeys; k++)
		varies |= ev->expressions[k]->typlen == -1;
	/* All that have a fixed size fit; the rows of a sliding window are not indexed by key. */
	if (!varies || w->sliding != NULL)
		return;
	for (int i = 0; i < rows->n; i++)
	{
		Size		size = 0;

		for (int k = 0; k < w->nkeys && ev->pass[i]; k++)
			size += measure(ev->expressions[k], &ev->result[k][i]);
		if (size > MOST_KEY_BYTES)
			refuse_row(w, rows, ev, i, size);
	}
}
