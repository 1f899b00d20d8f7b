/*
 * sliding_answer.c
 *	  The aggregates of a sliding window's answer to an event.
 *
 * The event is the last of its window: nothing later belongs to it, and of the same time
 * only what came before.  So an answer is what is in memory, and then the event itself,
 * which isn't in memory yet: when an aggregate throws, nothing has to be undone.
 *
 *	combined	from states of whole nodes of the tree (sliding_tree.c)
 *	running		for the newest event of a key: its last answer, less what has left the window.
 *				Only where that is exact: counts, and sums of integers and of numeric
 *	walked		from all events of the window: aggregates that keep their rows, or can't combine
 */
#include "engine/sliding.h"

#include "base/compat.h"
#include "utils/memutils.h"

/* ---- binding ---- */

/* How to compute an aggregate by itself. */
static SpSlidingMethod
choose_method(const SpAggregate *agg)
{
	if (sp_aggregate_is_kept(agg) || !sp_aggregate_can_combine(agg))
		return SP_SLIDING_WALKED;
	return sp_aggregate_can_retract(agg) ? SP_SLIDING_RUNNING : SP_SLIDING_COMBINED;
}

/*
 * How to compute all of them.  Where nodes of the tree are visited anyway, it costs less to
 * combine the kernel's states there, too, than to go through the tree twice when an event
 * is out of order.
 */
static void
choose_methods(SpSliding *s)
{
	SpWindow   *w = s->window;
	bool		combines = false;
	int			a;

	for (a = 0; a < w->naggs; a++)
	{
		s->method[a] = choose_method(w->aggs[a]);
		combines |= s->method[a] == SP_SLIDING_COMBINED;
	}
	for (a = 0; a < w->naggs; a++)
	{
		if (combines && s->method[a] == SP_SLIDING_RUNNING && sp_aggregate_is_native(w->aggs[a]))
			s->method[a] = SP_SLIDING_COMBINED;
		s->uses[s->method[a]] = true;
	}
}

/* Methods and columns of the window's aggregates; in the current memory context, for good. */
void
sp_sliding_bind(SpSliding *s)
{
	SpWindow   *w = s->window;
	int			a;

	s->method = palloc(sizeof(SpSlidingMethod) * Max(1, w->naggs));
	s->native = true;
	choose_methods(s);
	for (a = 0; a < w->naggs; a++)
		s->native &= sp_aggregate_is_native(w->aggs[a]);
	sp_columns_bind(&s->columns, w, w->retracts);
	s->keeps_rows = w->retracts;
	s->event_size = offsetof(SpSlidingEvent, columns) + sizeof(NullableDatum) * s->columns.n +
		(s->keeps_rows ? sizeof(SpSlidingRow) : 0);
	s->before = PG_UINT64_MAX;
	s->event = palloc0(s->event_size);
	s->states = palloc0(Max(s->states_size, 1));
	s->results = palloc0(sizeof(Datum) * Max(1, w->naggs));
	s->result_nulls = palloc0(sizeof(bool) * Max(1, w->naggs));
}

/* ---- states ---- */

/* Start the states of a method's aggregates; may throw. */
void
sp_sliding_init_states(SpSliding *s, SpSlidingMethod method, char *states)
{
	SpWindow   *w = s->window;
	int			a;

	for (a = 0; a < w->naggs; a++)
	{
		if (s->method[a] == method)
			sp_aggregate_init(w->aggs[a], states + w->agg_offset[a]);
	}
}

/* Give them up. */
void
sp_sliding_release_states(SpSliding *s, SpSlidingMethod method, char *states)
{
	SpWindow   *w = s->window;
	int			a;

	for (a = 0; a < w->naggs && !s->native; a++)
	{
		if (s->method[a] == method)
			sp_aggregate_release(w->aggs[a], states + w->agg_offset[a]);
	}
}

/*
 * Add n events that stand together to an aggregate's state.  NULL, or what is wrong with
 * the sum of them.
 */
const char *
sp_sliding_advance(SpSliding *s, int a, char *states, const SpSlidingEvent *events, int n,
				   int *sqlstate)
{
	SpAggregate *agg = s->window->aggs[a];
	char	   *state = states + s->window->agg_offset[a];
	NullableDatum buffer[SP_MAX_AGG_ARGS];
	const char *message = NULL;
	const char *at = (const char *) events;
	int			i;

	if (s->columns.filter[a] < 0 && sp_aggregate_is_native(agg))
	{
		(void) sp_aggregate_advance_many(agg, state, n, &events->columns[s->columns.args[a][0]],
										 s->event_size / sizeof(NullableDatum), &message,
										 sqlstate);
		return message;
	}
	for (i = 0; i < n && message == NULL; i++, at += s->event_size)
	{
		const SpSlidingEvent *event = (const SpSlidingEvent *) at;

		if (sp_columns_pass(&s->columns, a, event->columns))
			message = sp_aggregate_advance(agg, state,
										   sp_columns_arguments(&s->columns, a, event->columns,
																buffer), sqlstate);
	}
	return message;
}

/* The same with one event, for all aggregates of a method. */
static const char *
advance_all(SpSliding *s, SpSlidingMethod method, char *states, const SpSlidingEvent *event,
			int *sqlstate)
{
	const char *message = NULL;
	int			a;

	for (a = 0; a < s->window->naggs && message == NULL; a++)
	{
		if (s->method[a] == method)
			message = sp_sliding_advance(s, a, states, event, 1, sqlstate);
	}
	return message;
}

/* ---- running states ---- */

/* Take an event away; false: that isn't possible. */
static bool
retract_all(SpSliding *s, char *states, const SpSlidingEvent *event)
{
	SpWindow   *w = s->window;
	NullableDatum buffer[SP_MAX_AGG_ARGS];
	int			sqlstate;
	int			a;

	for (a = 0; a < w->naggs; a++)
	{
		if (s->method[a] == SP_SLIDING_RUNNING &&
			sp_columns_pass(&s->columns, a, event->columns) &&
			sp_aggregate_retract(w->aggs[a], states + w->agg_offset[a],
								 sp_columns_arguments(&s->columns, a, event->columns, buffer),
								 &sqlstate) != NULL)
			return false;
	}
	return true;
}

/*
 * Take away what has left the window; false: the states are nothing any more.  Some functions
 * can take away most rows, but not all (numeric's not the last one of most digits), and throw.
 */
static bool
drop_oldest(SpSliding *s, SpSlidingKey *key, int64 after)
{
	bool		ok = true;

	s->retracting = true;
	while (key->oldest != NULL && ok)
	{
		SpSlidingEvent *event;

		if (key->oldest_index == key->oldest->node.n)
		{
			key->oldest = key->oldest->next;
			key->oldest_index = 0;
			continue;
		}
		event = sp_sliding_event(s, key->oldest, key->oldest_index);
		if (event->time > after)
			break;
		ok = retract_all(s, key->running, event);
		key->oldest_index++;
	}
	s->retracting = false;
	return ok;
}

/* Running states from nothing. */
static const char *
build_running(SpSliding *s, SpSlidingKey *key, int64 after, int *sqlstate)
{
	if (key->running == NULL)
		key->running = MemoryContextAllocZero(s->context, Max(s->states_size, 1));
	if (key->has_running)
	{
		key->has_running = false;
		sp_sliding_release_states(s, SP_SLIDING_RUNNING, key->running);
	}
	sp_sliding_init_states(s, SP_SLIDING_RUNNING, key->running);
	key->has_running = true;
	key->oldest = sp_sliding_find(s, key, after, &key->oldest_index);
	return sp_sliding_fold(s, key->root, SP_SLIDING_RUNNING, after, s->event->time, key->running,
						   sqlstate);
}

/*
 * Move the running states to the row at work, the newest of its key.  They are valid again
 * when the row is in memory: sp_sliding_follow().
 */
static const char *
move_running(SpSliding *s, SpSlidingKey *key, int64 after, int *sqlstate)
{
	bool		valid = key->is_running;
	const char *message = NULL;

	key->is_running = false;
	if (!valid || !drop_oldest(s, key, after))
		message = build_running(s, key, after, sqlstate);
	key->running_after = after;
	if (message == NULL)
		message = advance_all(s, SP_SLIDING_RUNNING, key->running, s->event, sqlstate);
	return message;
}

/*
 * The row at work is in memory now: what is known already includes it.  May throw where
 * aggregates do; then less is known.
 */
void
sp_sliding_follow(SpSliding *s, SpSlidingLeaf *leaf, int index)
{
	SpSlidingKey *key = leaf->key;
	SpSlidingNode *node = &leaf->node;
	int			sqlstate;

	if (s->in_order && s->uses[SP_SLIDING_RUNNING])
	{
		key->is_running = true;
		if (key->oldest == NULL)
		{
			key->oldest = leaf;
			key->oldest_index = index;
		}
	}
	if (index == node->n - 1 && node->known[SP_SLIDING_COMBINED] == SP_SLIDING_KNOWN &&
		s->uses[SP_SLIDING_COMBINED])
	{
		node->known[SP_SLIDING_COMBINED] = SP_SLIDING_STALE;
		if (advance_all(s, SP_SLIDING_COMBINED, node->states, s->event, &sqlstate) == NULL)
			node->known[SP_SLIDING_COMBINED] = SP_SLIDING_KNOWN;
	}
	if (!s->in_order && key->is_running)
	{
		key->is_running = false;
		if (s->event->time > key->running_after &&
			advance_all(s, SP_SLIDING_RUNNING, key->running, s->event, &sqlstate) != NULL)
			return;
		key->oldest = sp_sliding_find(s, key, key->running_after, &key->oldest_index);
		key->is_running = true;
	}
}

/* ---- answers ---- */

/* Give up states that an answer has left behind, which may have thrown. */
static void
release_answer(SpSliding *s)
{
	int			m;

	for (m = 0; m < 3; m++)
	{
		if (s->has_states[m])
		{
			s->has_states[m] = false;
			sp_sliding_release_states(s, m, s->states);
		}
	}
}

/* n events that stand together, to the aggregates that go through all of them. */
static const char *
walk_run(SpSliding *s, const SpSlidingEvent *events, int n, int *sqlstate)
{
	const char *message = NULL;
	int			a;

	for (a = 0; a < s->window->naggs && message == NULL; a++)
	{
		if (s->method[a] == SP_SLIDING_WALKED)
			message = sp_sliding_advance(s, a, s->states, events, n, sqlstate);
	}
	return message;
}

/* All events of the window, one leaf after the other, to the aggregates that want them. */
static const char *
walk(SpSliding *s, SpSlidingKey *key, int64 after, int *sqlstate)
{
	const char *message = NULL;
	int			first;
	SpSlidingLeaf *leaf = sp_sliding_find(s, key, after, &first);

	for (; leaf != NULL && leaf->node.first <= s->event->time; leaf = leaf->next, first = 0)
	{
		int			end = sp_sliding_first_after(s, leaf, s->event->time);
		int			n;

		for (; message == NULL && sp_sliding_next_run(s, leaf, &first, end, &n); first += n)
			message = walk_run(s, sp_sliding_event(s, leaf, first), n, sqlstate);
	}
	return message;
}

/* The states of one method's aggregates, of memory and the row at work. */
static const char *
gather(SpSliding *s, SpSlidingKey *key, SpSlidingMethod method, int64 after, int *sqlstate)
{
	const char *message = NULL;

	sp_sliding_init_states(s, method, s->states);
	s->has_states[method] = !s->native;
	if (key != NULL && method == SP_SLIDING_WALKED)
		message = walk(s, key, after, sqlstate);
	else if (key != NULL)
		message = sp_sliding_fold(s, key->root, method, after, s->event->time, s->states,
								  sqlstate);
	if (message == NULL)
		message = advance_all(s, method, s->states, s->event, sqlstate);
	return message;
}

/*
 * s->results, the aggregates' for the row at work, over the events of its key (NULL: there are
 * none) with after < time <= its own that arrived before s->before, and itself.  NULL, or why
 * there are none.  May throw where aggregates do; memory is the same then.
 */
const char *
sp_sliding_answer(SpSliding *s, SpSlidingKey *key, int64 after, int *sqlstate)
{
	SpWindow   *w = s->window;
	const char *message = NULL;
	int			m,
				a;

	release_answer(s);
	s->in_order = key != NULL && s->before == PG_UINT64_MAX &&
		s->event->time >= key->root->last;
	for (m = 0; m < 3 && message == NULL; m++)
	{
		if (!s->uses[m])
			continue;
		if (m == SP_SLIDING_RUNNING && s->in_order)
			message = move_running(s, key, after, sqlstate);
		else
			message = gather(s, key, m, after, sqlstate);
	}
	for (a = 0; a < w->naggs && message == NULL; a++)
	{
		const char *states = s->method[a] == SP_SLIDING_RUNNING && s->in_order ?
			key->running : s->states;

		s->results[a] = sp_aggregate_result(w->aggs[a], states + w->agg_offset[a],
											&s->result_nulls[a]);
	}
	release_answer(s);
	return message;
}

/*
 * The same over events that stand together, all those of its window but itself, and without a
 * tree: from nothing, one by one.
 */
const char *
sp_sliding_answer_of(SpSliding *s, const SpSlidingEvent *events, int n, int *sqlstate)
{
	SpWindow   *w = s->window;
	const char *message = NULL;
	int			a;

	release_answer(s);
	for (int m = 0; m < 3; m++)
	{
		if (!s->uses[m])
			continue;
		sp_sliding_init_states(s, m, s->states);
		s->has_states[m] = !s->native;
	}
	for (a = 0; a < w->naggs && message == NULL; a++)
	{
		if (n > 0)
			message = sp_sliding_advance(s, a, s->states, events, n, sqlstate);
		if (message == NULL)
			message = sp_sliding_advance(s, a, s->states, s->event, 1, sqlstate);
	}
	for (a = 0; a < w->naggs && message == NULL; a++)
		s->results[a] = sp_aggregate_result(w->aggs[a], s->states + w->agg_offset[a],
											&s->result_nulls[a]);
	release_answer(s);
	return message;
}
