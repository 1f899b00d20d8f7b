/*
 * sliding_leaf.c
 *	  The leaves of a key's tree: events come and go.
 *
 * They come mostly at the end, sometimes in the middle; leaves go at the beginning, when nobody
 * needs their events any more.  Where events are taken back, they go anywhere.
 */
#include "engine/sliding.h"

#include "base/compat.h"
#include "utils/memutils.h"

/* The latest arrival of a leaf's events. */
static void
find_newest(SpSliding *s, SpSlidingNode *node)
{
	int			i;

	node->newest = 0;
	for (i = 0; i < node->n; i++)
		node->newest = Max(node->newest,
						   sp_sliding_event(s, (SpSlidingLeaf *) node, i)->arrival);
}

/* pairingheap_comparator: the one that is due first comes first. */
static int
compare_due(const pairingheap_node *a, const pairingheap_node *b, void *arg)
{
	const SpSlidingLeaf *x = pairingheap_const_container(SpSlidingLeaf, due_node, a);
	const SpSlidingLeaf *y = pairingheap_const_container(SpSlidingLeaf, due_node, b);

	return x->due < y->due ? 1 : x->due > y->due ? -1 : 0;
}

/* The leaf is to be looked at when nobody needs its last event any more. */
static void
file_leaf(SpSliding *s, SpSlidingLeaf *leaf)
{
	MemoryContext old = MemoryContextSwitchTo(s->context);

	if (s->due == NULL)
		s->due = pairingheap_allocate(compare_due, NULL);
	MemoryContextSwitchTo(old);
	leaf->due = leaf->node.last;
	pairingheap_add(s->due, &leaf->due_node);
}

/* A leaf without events, in no tree. */
static SpSlidingLeaf *
new_leaf(SpSliding *s, SpSlidingKey *key)
{
	SpSlidingLeaf *leaf = MemoryContextAllocZero(s->context, sizeof(SpSlidingLeaf));

	leaf->key = key;
	return leaf;
}

/* Its group; keys are the key's.  Nobody looks for it: its hash need not be that of the keys. */
static void
add_group(SpSliding *s, SpSlidingLeaf *leaf)
{
	SpGroups   *groups = &s->window->groups;
	SpGroup    *of_key = leaf->key->group;
	int64		start = (int64) groups->next_sequence + 1;

	leaf->group = sp_group_add(groups, (uint32) start * UINT32_C(2654435761), start,
							   sp_group_keys(groups, of_key), sp_group_nulls(groups, of_key));
	sp_sliding_leaf_of(groups, leaf->group) = leaf;
}

/* A leaf that was read, without a key; for the durable form. */
SpSlidingLeaf *
sp_sliding_loaded_leaf(SpSliding *s, SpGroup *group, int n)
{
	SpSlidingLeaf *leaf = new_leaf(s, NULL);

	leaf->group = group;
	sp_sliding_leaf_of(&s->window->groups, group) = leaf;
	leaf->allocated = n;
	leaf->events = MemoryContextAllocZero(s->context, s->event_size * n);
	return leaf;
}

/* Room for one more event. */
static void
make_room(SpSliding *s, SpSlidingLeaf *leaf)
{
	if (leaf->node.n < leaf->allocated)
		return;
	leaf->allocated = Min(Max(4, leaf->allocated * 2), SP_SLIDING_LEAF);
	if (leaf->events == NULL)
		leaf->events = MemoryContextAlloc(s->context, s->event_size * leaf->allocated);
	else
		leaf->events = repalloc(leaf->events, s->event_size * leaf->allocated);
}

/* Put a leaf with a rank and events behind the last one. */
void
sp_sliding_attach(SpSliding *s, SpSlidingKey *key, SpSlidingLeaf *leaf)
{
	SpSlidingNode *node = &leaf->node;

	leaf->key = key;
	find_newest(s, node);
	file_leaf(s, leaf);
	if (key->root == NULL)
	{
		key->root = node;
		key->tail = leaf;
		return;
	}
	key->tail->next = leaf;
	key->tail = leaf;
	sp_sliding_add_last(s, key, node, leaf->rank);
}

/* Levels of nodes at the right edge, from the leaves up, that have no room. */
static int
count_full(const SpSlidingKey *key)
{
	const SpSlidingInner *inner;
	int			n = 0;

	if (key->tail == NULL)
		return 0;
	for (inner = key->tail->node.parent; inner != NULL && inner->node.n == SP_SLIDING_FANOUT;
		 inner = inner->node.parent)
		n++;
	return n;
}

/* Move the second half of a full leaf's events to a new one behind it. */
static SpSlidingLeaf *
split_leaf(SpSliding *s, SpSlidingLeaf *leaf)
{
	SpSlidingLeaf *right = new_leaf(s, leaf->key);
	int			half = SP_SLIDING_LEAF / 2;

	add_group(s, right);
	right->allocated = SP_SLIDING_LEAF;
	right->events = MemoryContextAlloc(s->context, s->event_size * SP_SLIDING_LEAF);
	right->node.n = leaf->node.n - half;
	memcpy(right->events, leaf->events + s->event_size * half, s->event_size * right->node.n);
	right->node.first = sp_sliding_event(s, right, 0)->time;
	right->node.last = leaf->node.last;
	leaf->node.n = half;
	find_newest(s, &right->node);
	find_newest(s, &leaf->node);
	leaf->node.last = sp_sliding_event(s, leaf, half - 1)->time;
	sp_sliding_forget_states(&leaf->node);
	right->next = leaf->next;
	leaf->next = right;
	if (leaf->key->tail == leaf)
		leaf->key->tail = right;
	/* When a leaf goes must depend on its events alone: see sp_sliding_purge(). */
	pairingheap_remove(s->due, &leaf->due_node);
	file_leaf(s, leaf);
	file_leaf(s, right);
	sp_group_changed(&s->window->groups, leaf->group);
	sp_sliding_add_sibling(s, leaf->key, &leaf->node, &right->node);
	return right;
}

/* The leaf that an event in the middle belongs to: behind all of its time. */
static SpSlidingLeaf *
find_leaf(const SpSlidingKey *key, int64 time)
{
	SpSlidingNode *node = key->root;

	while (node->level > 0)
	{
		SpSlidingInner *inner = (SpSlidingInner *) node;
		int			i = node->n - 1;

		while (i > 0 && inner->children[i]->first > time)
			i--;
		node = inner->children[i];
	}
	return (SpSlidingLeaf *) node;
}

/* A first event in a new leaf at the end. */
static SpSlidingLeaf *
append_leaf(SpSliding *s, SpSlidingKey *key, int64 time)
{
	SpSlidingLeaf *leaf = new_leaf(s, key);

	add_group(s, leaf);
	make_room(s, leaf);
	leaf->rank = count_full(key);
	leaf->node.n = 1;
	leaf->node.first = leaf->node.last = time;
	sp_sliding_event(s, leaf, 0)->arrival = s->event->arrival;
	sp_sliding_attach(s, key, leaf);
	return leaf;
}

/*
 * Make a place for an event, behind all of its time; the caller fills it at once.  Combined
 * states of a leaf stay known when that is its end: the caller adds the event to them.
 */
SpSlidingLeaf *
sp_sliding_place(SpSliding *s, SpSlidingKey *key, int64 time, int *index)
{
	SpSlidingLeaf *leaf = key->tail;
	int			i;

	if (leaf == NULL || (time >= leaf->node.last && leaf->node.n == SP_SLIDING_LEAF))
	{
		*index = 0;
		return append_leaf(s, key, time);
	}
	if (time < leaf->node.last)
		leaf = find_leaf(key, time);
	i = sp_sliding_first_after(s, leaf, time);
	sp_group_changing(&s->window->groups, leaf->group);
	if (leaf->node.n == SP_SLIDING_LEAF)
	{
		SpSlidingLeaf *right = split_leaf(s, leaf);

		if (i > leaf->node.n)
		{
			i -= leaf->node.n;
			leaf = right;
		}
	}
	make_room(s, leaf);
	if (i < leaf->node.n)
	{
		memmove(sp_sliding_event(s, leaf, i + 1), sp_sliding_event(s, leaf, i),
				s->event_size * (leaf->node.n - i));
		sp_sliding_forget_states(&leaf->node);
	}
	leaf->node.known[SP_SLIDING_RUNNING] = SP_SLIDING_STALE;
	leaf->node.n++;
	leaf->node.first = Min(leaf->node.first, time);
	leaf->node.last = Max(leaf->node.last, time);
	leaf->node.newest = Max(leaf->node.newest, s->event->arrival);
	sp_sliding_note_change(&leaf->node);
	sp_group_changed(&s->window->groups, leaf->group);
	*index = i;
	return leaf;
}

/* The first event with a later time; NULL: there is none. */
SpSlidingLeaf *
sp_sliding_find(SpSliding *s, SpSlidingKey *key, int64 after, int *index)
{
	SpSlidingNode *node = key->root;

	if (node == NULL || node->last <= after)
		return NULL;
	while (node->level > 0)
	{
		SpSlidingInner *inner = (SpSlidingInner *) node;
		int			i = 0;

		while (inner->children[i]->last <= after)
			i++;
		node = inner->children[i];
	}
	*index = sp_sliding_first_after(s, (SpSlidingLeaf *) node, after);
	return (SpSlidingLeaf *) node;
}

/* Does the last event below a node come before the place? */
static bool
is_before(SpSliding *s, const SpSlidingNode *node, const SpSlidingPlace *place)
{
	if (node->last != place->time)
		return node->last < place->time;
	while (node->level > 0)
		node = ((const SpSlidingInner *) node)->children[node->n - 1];
	return sp_sliding_event(s, (SpSlidingLeaf *) node, node->n - 1)->arrival < place->arrival;
}

/* Where an event is that is there; those of one time may fill many leaves. */
SpSlidingLeaf *
sp_sliding_locate(SpSliding *s, const SpSlidingPlace *place, int *index)
{
	SpSlidingNode *node = place->key->root;
	int			i;

	while (node->level > 0)
	{
		SpSlidingInner *inner = (SpSlidingInner *) node;

		for (i = 0; is_before(s, inner->children[i], place); i++)
			;
		node = inner->children[i];
	}
	i = sp_sliding_first_after(s, (SpSlidingLeaf *) node, place->time - 1);
	while (sp_sliding_event(s, (SpSlidingLeaf *) node, i)->arrival != place->arrival)
		i++;
	*index = i;
	return (SpSlidingLeaf *) node;
}

/* Events of a leaf are others than before. */
void
sp_sliding_leaf_changed(SpSliding *s, SpSlidingLeaf *leaf)
{
	leaf->key->is_running = false;
	find_newest(s, &leaf->node);
	sp_sliding_forget_states(&leaf->node);
	sp_sliding_note_loss(&leaf->node);
	sp_group_changed(&s->window->groups, leaf->group);
}

/* ---- the end of an event, and of a leaf ---- */

/* Values of a leaf's events that are elsewhere. */
static void
free_values(SpSliding *s, SpSlidingLeaf *leaf)
{
	int			i;

	for (i = 0; i < leaf->node.n && !s->columns.by_value; i++)
		sp_columns_free(&s->columns, sp_sliding_event(s, leaf, i)->columns);
}

/*
 * The leaf behind one that goes begins with the nodes that this one began with, and that stay:
 * those above the ones that it leaves empty.  At the left edge ranks mean nothing.
 */
static void
hand_on_rank(SpSliding *s, const SpSlidingLeaf *leaf)
{
	const SpSlidingInner *above = leaf->node.parent;
	SpSlidingLeaf *heir;

	while (above != NULL && above->node.n == 1)
		above = above->node.parent;
	if (above == NULL || leaf->rank < above->node.level)
		return;
	heir = sp_sliding_first_leaf(above->children[1]);
	sp_group_changing(&s->window->groups, heir->group);
	heir->rank = Max(heir->rank, leaf->rank);
	sp_group_changed(&s->window->groups, heir->group);
}

/* Forget a leaf that is in no heap, with its events. */
static void
remove_leaf(SpSliding *s, SpSlidingLeaf *leaf)
{
	SpSlidingKey *key = leaf->key;
	SpSlidingLeaf *before = sp_sliding_leaf_before(&leaf->node);

	sp_group_changing(&s->window->groups, leaf->group);
	if (before != NULL)
	{
		hand_on_rank(s, leaf);
		before->next = leaf->next;
	}
	if (before != NULL || key->oldest == leaf)
		key->is_running = false;
	sp_sliding_detach(s, key, &leaf->node);
	if (key->tail == leaf)
		key->tail = before;
	free_values(s, leaf);
	sp_group_remove(&s->window->groups, leaf->group);
	if (leaf->events != NULL)
		pfree(leaf->events);
	sp_sliding_free_node(s, &leaf->node);
}

/*
 * Forget an event, and its values, unless another one has them now.  The key stays, be it
 * without events.
 */
void
sp_sliding_remove(SpSliding *s, SpSlidingLeaf *leaf, int index, bool with_values)
{
	SpSlidingEvent *event = sp_sliding_event(s, leaf, index);
	int64		last = leaf->node.last;

	sp_group_changing(&s->window->groups, leaf->group);
	leaf->key->is_running = false;
	if (with_values)
		sp_columns_free(&s->columns, event->columns);
	leaf->node.n--;
	memmove(event, (char *) event + s->event_size, s->event_size * (leaf->node.n - index));
	if (leaf->node.n == 0)
	{
		pairingheap_remove(s->due, &leaf->due_node);
		remove_leaf(s, leaf);
		return;
	}
	leaf->node.first = sp_sliding_event(s, leaf, 0)->time;
	leaf->node.last = sp_sliding_event(s, leaf, leaf->node.n - 1)->time;
	if (leaf->node.last != last)
	{
		/* as in split_leaf() */
		pairingheap_remove(s->due, &leaf->due_node);
		file_leaf(s, leaf);
	}
	sp_sliding_leaf_changed(s, leaf);
}

/* Forget a key without events. */
void
sp_sliding_forget_key(SpSliding *s, SpSlidingKey *key)
{
	if (key->has_running)
		sp_sliding_release_states(s, SP_SLIDING_RUNNING, key->running);
	if (key->running != NULL)
		pfree(key->running);
	sp_group_remove(&s->window->groups, key->group);
	pfree(key);
	s->nkeys--;
}

/*
 * Forget all leaves whose events are no later than that, and keys without events.  Exactly
 * these go, at whatever times they were filed under: the shape of the trees depends on it.
 */
void
sp_sliding_purge(SpSliding *s, int64 upto)
{
	List	   *due = NIL;
	ListCell   *lc;

	while (s->due != NULL && !pairingheap_is_empty(s->due))
	{
		SpSlidingLeaf *leaf = pairingheap_container(SpSlidingLeaf, due_node,
													pairingheap_first(s->due));

		if (leaf->due > upto)
			break;
		pairingheap_remove_first(s->due);
		if (leaf->node.last > upto)
			file_leaf(s, leaf);
		else
			due = lappend(due, leaf->key);
	}
	foreach(lc, due)
	{
		SpSlidingKey *key = lfirst(lc);

		/* One leaf for each time that the key is in the list. */
		remove_leaf(s, sp_sliding_first_leaf(key->root));
		if (key->root == NULL)
			sp_sliding_forget_key(s, key);
	}
	list_free(due);
}
