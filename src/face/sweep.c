/*
 * sweep.c
 *	  Makes the combinations of a sweep.
 */
#include "face/sweep.h"

#define MOST	1000

/* A name and what to try of it. */
typedef struct Axis
{
	JsonbValue	name;
	List	   *values;			/* of JsonbValue * */
} Axis;

static JsonbValue *
copy_value(const JsonbValue *value)
{
	JsonbValue *copy = palloc(sizeof(JsonbValue));

	*copy = *value;
	return copy;
}

/* The elements of a list, or the value itself. */
static List *
list_values(JsonbValue *value)
{
	List	   *values = NIL;
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	element;

	if (value->type != jbvBinary || !JsonContainerIsArray(value->val.binary.data))
		return list_make1(copy_value(value));
	it = JsonbIteratorInit(value->val.binary.data);
	while ((token = JsonbIteratorNext(&it, &element, true)) != WJB_DONE)
	{
		if (token == WJB_ELEM)
			values = lappend(values, copy_value(&element));
	}
	return values;
}

/* What the sweep varies. */
static List *
read_axes(Jsonb *sweep)
{
	List	   *axes = NIL;
	JsonbIterator *it = JsonbIteratorInit(&sweep->root);
	JsonbIteratorToken token;
	JsonbValue	value;
	Axis	   *axis = NULL;

	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
		{
			axis = palloc(sizeof(Axis));
			axis->name = value;
			axes = lappend(axes, axis);
		}
		else if (token == WJB_VALUE)
		{
			axis->values = list_values(&value);
			if (axis->values == NIL)
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("parameter \"sweep\" has nothing to try for \"%.*s\"",
								axis->name.val.string.len, axis->name.val.string.val)));
		}
	}
	return axes;
}

/* How many combinations there are. */
static int
count_combinations(List *axes)
{
	int64		n = 1;
	ListCell   *cell;

	foreach(cell, axes)
	{
		n *= list_length(((Axis *) lfirst(cell))->values);
		if (n > MOST)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("parameter \"sweep\" has more than %d combinations", MOST),
					 errhint("Try fewer values at a time.")));
	}
	return (int) n;
}

/* Combination number i of n. */
static Jsonb *
make_combination(List *axes, int i, int n)
{
	JsonbParseState *state = NULL;
	ListCell   *cell;

	(void) pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	foreach(cell, axes)
	{
		Axis	   *axis = lfirst(cell);

		n /= list_length(axis->values);
		(void) pushJsonbValue(&state, WJB_KEY, &axis->name);
		(void) pushJsonbValue(&state, WJB_VALUE, list_nth(axis->values, i / n));
		i %= n;
	}
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

List *
sp_sweep_combine(Jsonb *sweep)
{
	List	   *combinations = NIL;
	List	   *axes;
	int			n;

	if (!JB_ROOT_IS_OBJECT(sweep))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("parameter \"sweep\" must be a JSON object"),
				 errhint("For example, sweep => '{\"alpha\": [0.01, 0.05], "
						 "\"threshold\": [3, 4, 5]}'.")));
	axes = read_axes(sweep);
	n = count_combinations(axes);
	for (int i = 0; i < n; i++)
		combinations = lappend(combinations, make_combination(axes, i, n));
	return combinations;
}
