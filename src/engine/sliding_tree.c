/*
 * sliding_tree.c
 *	  The events of a key in order of time and arrival, as a B-tree with states.
 *
 *	inner			[   .   .   .   ]		states: those of its children, combined in order
 *				   /    |    \
 *	leaf	[eeee] -> [eee] -> [eeeeee]		states: those of its events, in order
 *
 * Events come mostly at the end, sometimes in the middle; leaves go only at the beginning.
 * A window's states are combined from whole nodes, and from the events of the leaves at its
 * two ends: O(log n), wherever it ends.
 *
 * Which nodes an answer is combined from decides the last bits of a sum of floats.  So the
 * shape of the tree is part of the durable state: leaves are groups, and each knows its rank,
 * how many levels of nodes begin with it.  The first leaf's rank means nothing: all nodes
 * at the left edge begin with it.
 */
#include "engine/sliding.h"

#include "base/compat.h"
#include "utils/memutils.h"

/* ---- states ---- */

/* What was known of a node's states isn't true any more. */
static inline void
forget_states(SpSlidingNode *node)
{
	node->known[SP_SLIDING_COMBINED] = node->known[SP_SLIDING_RUNNING] = SP_SLIDING_STALE;
}

/* Add the states of a method's aggregates to others. */
static const char *
combine_states(SpSliding *s, SpSlidingMethod method, char *to, const char *from, int *sqlstate)
{
	SpWindow   *w = s->window;
	const char *message = NULL;
	int			a;

	for (a = 0; a < w->naggs && message == NULL; a++)
	{
		if (s->method[a] == method)
			message = sp_aggregate_combine(w->aggs[a], to + w->agg_offset[a],
										   from + w->agg_offset[a], sqlstate);
	}
	return message;
}

/* Add events of a leaf to the states of a method's aggregates. */
static const char *
advance_states(SpSliding *s, SpSlidingMethod method, char *states, SpSlidingLeaf *leaf,
			   int first, int n, int *sqlstate)
{
	const char *message = NULL;
	int			a;

	for (a = 0; a < s->window->naggs && message == NULL; a++)
	{
		if (s->method[a] == method)
			message = sp_sliding_advance(s, a, states, sp_sliding_event(s, leaf, first), n,
										 sqlstate);
	}
	return message;
}

static bool know_states(SpSliding *s, SpSlidingNode *node, SpSlidingMethod method);

/* Add the states of a node's children to others, from first to before last; false: can't. */
static bool
combine_children(SpSliding *s, SpSlidingInner *inner, SpSlidingMethod method, int first, int last,
				 char *states)
{
	int			sqlstate;
	int			i;

	for (i = first; i < last; i++)
	{
		if (!know_states(s, inner->children[i], method) ||
			combine_states(s, method, states, inner->children[i]->states, &sqlstate) != NULL)
			return false;
	}
	return true;
}

/*
 * Mostly only the last child of a node has changed.  So the states of those before it are
 * kept; the result is the same, to the last bit.
 */
static bool
fold_children(SpSliding *s, SpSlidingInner *inner, SpSlidingMethod method)
{
	SpWindow   *w = s->window;
	int			nfolded = inner->nfolded[method];
	int			last = inner->node.n - 1;
	int			a;

	if (inner->folded == NULL)
		inner->folded = MemoryContextAllocZero(s->context, Max(s->states_size, 1));
	if (nfolded == 0)
		sp_sliding_init_states(s, method, inner->folded);
	inner->nfolded[method] = 0;
	if (!combine_children(s, inner, method, nfolded, last, inner->folded))
		return false;
	inner->nfolded[method] = last;
	for (a = 0; a < w->naggs; a++)
	{
		if (s->method[a] == method)
			sp_aggregate_copy(w->aggs[a], inner->node.states + w->agg_offset[a],
							  inner->folded + w->agg_offset[a]);
	}
	return combine_children(s, inner, method, last, last + 1, inner->node.states);
}

/* The states of all that is below a node; false: there are none. */
static bool
make_states(SpSliding *s, SpSlidingNode *node, SpSlidingMethod method)
{
	SpSlidingInner *inner = (SpSlidingInner *) node;
	int			sqlstate;

	if (node->level == 0)
		return advance_states(s, method, node->states, (SpSlidingLeaf *) node, 0, node->n,
							  &sqlstate) == NULL;
	if (s->native)
		return fold_children(s, inner, method);
	return combine_children(s, inner, method, 0, node->n, node->states);
}

/* Make a node's states known, if there are any.  May throw where aggregates do. */
static bool
know_states(SpSliding *s, SpSlidingNode *node, SpSlidingMethod method)
{
	if (node->known[method] != SP_SLIDING_STALE)
		return node->known[method] == SP_SLIDING_KNOWN;
	if (node->states == NULL)
		node->states = MemoryContextAllocZero(s->context, Max(s->states_size, 1));
	if (node->has_states[method])
	{
		node->has_states[method] = false;
		sp_sliding_release_states(s, method, node->states);
	}
	sp_sliding_init_states(s, method, node->states);
	node->has_states[method] = true;
	node->known[method] = make_states(s, node, method) ? SP_SLIDING_KNOWN : SP_SLIDING_BROKEN;
	return node->known[method] == SP_SLIDING_KNOWN;
}

/* Index of the first event of a leaf with a later time. */
static int
first_after(SpSliding *s, SpSlidingLeaf *leaf, int64 time)
{
	int			low = 0;
	int			high = leaf->node.n;

	while (low < high)
	{
		int			mid = (low + high) / 2;

		if (sp_sliding_event(s, leaf, mid)->time <= time)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/*
 * Add the events with after < time <= upto to the states of a method's aggregates, in order.
 * NULL, or what is wrong with the sum of them.  May throw where aggregates do.
 */
const char *
sp_sliding_fold(SpSliding *s, SpSlidingNode *node, SpSlidingMethod method,
				int64 after, int64 upto, char *states, int *sqlstate)
{
	SpSlidingInner *inner = (SpSlidingInner *) node;
	const char *message = NULL;
	int			i;

	if (node->last <= after || node->first > upto)
		return NULL;
	if (node->first > after && node->last <= upto && know_states(s, node, method))
		return combine_states(s, method, states, node->states, sqlstate);
	if (node->level == 0)
	{
		SpSlidingLeaf *leaf = (SpSlidingLeaf *) node;

		i = first_after(s, leaf, after);
		return advance_states(s, method, states, leaf, i, first_after(s, leaf, upto) - i,
							  sqlstate);
	}
	for (i = 0; i < node->n && message == NULL; i++)
		message = sp_sliding_fold(s, inner->children[i], method, after, upto, states, sqlstate);
	return message;
}

/* ---- nodes ---- */

/* Which child of its parent is it? */
static inline int
child_index(const SpSlidingInner *inner, const SpSlidingNode *child)
{
	int			i = inner->node.n - 1;

	while (inner->children[i] != child)
		i--;
	return i;
}

/* Something below the node has changed: its times, and those of all above it. */
static void
note_change(SpSlidingNode *node)
{
	SpSlidingInner *inner;

	for (inner = node->parent; inner != NULL; node = &inner->node, inner = inner->node.parent)
	{
		int			i = child_index(inner, node);

		inner->node.first = inner->children[0]->first;
		inner->node.last = inner->children[inner->node.n - 1]->last;
		forget_states(&inner->node);
		if (i < inner->nfolded[SP_SLIDING_COMBINED])
			inner->nfolded[SP_SLIDING_COMBINED] = 0;
		if (i < inner->nfolded[SP_SLIDING_RUNNING])
			inner->nfolded[SP_SLIDING_RUNNING] = 0;
	}
}

static inline void
set_child(SpSlidingInner *inner, int i, SpSlidingNode *child)
{
	inner->children[i] = child;
	child->parent = inner;
}

/* A new node above a first child. */
static SpSlidingInner *
new_inner(SpSliding *s, SpSlidingNode *child)
{
	SpSlidingInner *inner = MemoryContextAllocZero(s->context, sizeof(SpSlidingInner));

	inner->node.level = child->level + 1;
	inner->node.n = 1;
	inner->node.first = child->first;
	inner->node.last = child->last;
	set_child(inner, 0, child);
	return inner;
}

static SpSlidingLeaf *
first_leaf(SpSlidingNode *node)
{
	while (node->level > 0)
		node = ((SpSlidingInner *) node)->children[0];
	return (SpSlidingLeaf *) node;
}

static void add_sibling(SpSliding *s, SpSlidingKey *key, SpSlidingNode *node,
						SpSlidingNode *sibling);

/* A node has one child too many: move the second half to a new one. */
static void
split_inner(SpSliding *s, SpSlidingKey *key, SpSlidingInner *inner)
{
	int			half = inner->node.n / 2;
	SpSlidingInner *right = new_inner(s, inner->children[half]);
	SpSlidingLeaf *leaf = first_leaf(&right->node);
	int			i;

	for (i = half + 1; i < inner->node.n; i++)
		set_child(right, right->node.n++, inner->children[i]);
	right->node.last = inner->node.last;
	inner->node.n = half;
	inner->node.last = inner->children[half - 1]->last;
	forget_states(&inner->node);
	inner->nfolded[SP_SLIDING_COMBINED] = inner->nfolded[SP_SLIDING_RUNNING] = 0;
	sp_group_changing(&s->window->groups, leaf->group);
	leaf->rank = Max(leaf->rank, right->node.level);
	sp_group_changed(&s->window->groups, leaf->group);
	add_sibling(s, key, &inner->node, &right->node);
}

/* Put a node behind another one of its level. */
static void
add_sibling(SpSliding *s, SpSlidingKey *key, SpSlidingNode *node, SpSlidingNode *sibling)
{
	SpSlidingInner *parent = node->parent;
	int			i;

	if (parent == NULL)
	{
		parent = new_inner(s, node);
		key->root = &parent->node;
	}
	i = child_index(parent, node) + 1;
	memmove(&parent->children[i + 1], &parent->children[i],
			sizeof(SpSlidingNode *) * (parent->node.n - i));
	set_child(parent, i, sibling);
	parent->node.n++;
	note_change(node);
	note_change(sibling);
	if (parent->node.n > SP_SLIDING_FANOUT)
		split_inner(s, key, parent);
}

/* ---- leaves ---- */

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
	SpSlidingInner *parent;

	leaf->key = key;
	file_leaf(s, leaf);
	if (key->root == NULL)
	{
		key->root = node;
		key->tail = leaf;
		return;
	}
	key->tail->next = leaf;
	key->tail = leaf;
	while (node->level < leaf->rank)
		node = &new_inner(s, node)->node;
	while (key->root->level <= node->level)
		key->root = &new_inner(s, key->root)->node;
	parent = (SpSlidingInner *) key->root;
	while (parent->node.level > node->level + 1)
		parent = (SpSlidingInner *) parent->children[parent->node.n - 1];
	set_child(parent, parent->node.n++, node);
	note_change(node);
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
	leaf->node.last = sp_sliding_event(s, leaf, half - 1)->time;
	forget_states(&leaf->node);
	right->next = leaf->next;
	leaf->next = right;
	if (leaf->key->tail == leaf)
		leaf->key->tail = right;
	/* When a leaf goes must depend on its events alone: see sp_sliding_purge(). */
	pairingheap_remove(s->due, &leaf->due_node);
	file_leaf(s, leaf);
	file_leaf(s, right);
	sp_group_changed(&s->window->groups, leaf->group);
	add_sibling(s, leaf->key, &leaf->node, &right->node);
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
	i = first_after(s, leaf, time);
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
		forget_states(&leaf->node);
	}
	leaf->node.known[SP_SLIDING_RUNNING] = SP_SLIDING_STALE;
	leaf->node.n++;
	leaf->node.first = Min(leaf->node.first, time);
	leaf->node.last = Max(leaf->node.last, time);
	note_change(&leaf->node);
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
	*index = first_after(s, (SpSlidingLeaf *) node, after);
	return (SpSlidingLeaf *) node;
}

/* ---- the end of a leaf ---- */

/* Give up a node's states and the node. */
static void
free_node(SpSliding *s, SpSlidingNode *node)
{
	int			m;

	for (m = 0; m < 2; m++)
	{
		if (node->has_states[m])
			sp_sliding_release_states(s, m, node->states);
	}
	if (node->states != NULL)
		pfree(node->states);
	if (node->level > 0 && ((SpSlidingInner *) node)->folded != NULL)
		pfree(((SpSlidingInner *) node)->folded);
	pfree(node);
}

/* Values of a leaf's events that are elsewhere. */
static void
free_values(SpSliding *s, SpSlidingLeaf *leaf)
{
	int			i;

	for (i = 0; i < leaf->node.n && !s->columns.by_value; i++)
		sp_columns_free(&s->columns, sp_sliding_event(s, leaf, i)->columns);
}

/* Take a node, the first of its level, and what it leaves empty out of the tree. */
static void
detach(SpSliding *s, SpSlidingKey *key, SpSlidingNode *node)
{
	SpSlidingInner *parent = node->parent;

	if (parent == NULL)
	{
		key->root = NULL;
		return;
	}
	parent->node.n--;
	memmove(&parent->children[0], &parent->children[1],
			sizeof(SpSlidingNode *) * parent->node.n);
	if (parent->node.n == 0)
	{
		detach(s, key, &parent->node);
		free_node(s, &parent->node);
		return;
	}
	note_change(parent->children[0]);
	while (key->root->level > 0 && key->root->n == 1)
	{
		SpSlidingInner *root = (SpSlidingInner *) key->root;

		key->root = root->children[0];
		key->root->parent = NULL;
		free_node(s, &root->node);
	}
}

/* Forget the first leaf of a key, and its events; false: that was the last one. */
static bool
remove_first_leaf(SpSliding *s, SpSlidingKey *key)
{
	SpSlidingLeaf *leaf = first_leaf(key->root);

	sp_group_changing(&s->window->groups, leaf->group);
	if (key->oldest == leaf)
		key->is_running = false;
	detach(s, key, &leaf->node);
	if (key->tail == leaf)
		key->tail = NULL;
	free_values(s, leaf);
	sp_group_remove(&s->window->groups, leaf->group);
	if (leaf->events != NULL)
		pfree(leaf->events);
	free_node(s, &leaf->node);
	return key->tail != NULL;
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
		if (remove_first_leaf(s, key))
			continue;
		if (key->has_running)
			sp_sliding_release_states(s, SP_SLIDING_RUNNING, key->running);
		if (key->running != NULL)
			pfree(key->running);
		sp_group_remove(&s->window->groups, key->group);
		pfree(key);
		s->nkeys--;
	}
	list_free(due);
}
