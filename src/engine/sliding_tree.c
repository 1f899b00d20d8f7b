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
int
sp_sliding_first_after(SpSliding *s, const SpSlidingLeaf *leaf, int64 time)
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
 * The next events of a leaf, from *first to before end, that stand together and are to be
 * counted: *n of them.  False: there are none.
 */
bool
sp_sliding_next_run(SpSliding *s, SpSlidingLeaf *leaf, int *first, int end, int *n)
{
	int			i = *first;

	if (leaf->node.newest < s->before)
	{
		*n = end - i;
		return *n > 0;
	}
	while (i < end && sp_sliding_event(s, leaf, i)->arrival >= s->before)
		i++;
	*first = i;
	while (i < end && sp_sliding_event(s, leaf, i)->arrival < s->before)
		i++;
	*n = i - *first;
	return *n > 0;
}

/* Those of one leaf with after < time <= upto, to the states of a method's aggregates. */
static const char *
fold_leaf(SpSliding *s, SpSlidingLeaf *leaf, SpSlidingMethod method, int64 after, int64 upto,
		  char *states, int *sqlstate)
{
	int			first = sp_sliding_first_after(s, leaf, after);
	int			end = sp_sliding_first_after(s, leaf, upto);
	const char *message = NULL;
	int			n;

	for (; message == NULL && sp_sliding_next_run(s, leaf, &first, end, &n); first += n)
		message = advance_states(s, method, states, leaf, first, n, sqlstate);
	return message;
}

/*
 * Add the events with after < time <= upto to the states of a method's aggregates, in order;
 * of these only what arrived before s->before.  NULL, or what is wrong with the sum of them.
 * May throw where aggregates do.
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
	if (node->first > after && node->last <= upto && node->newest < s->before &&
		know_states(s, node, method))
		return combine_states(s, method, states, node->states, sqlstate);
	if (node->level == 0)
		return fold_leaf(s, (SpSlidingLeaf *) node, method, after, upto, states, sqlstate);
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
void
sp_sliding_note_change(SpSlidingNode *node)
{
	SpSlidingInner *inner;

	for (inner = node->parent; inner != NULL; node = &inner->node, inner = inner->node.parent)
	{
		int			i = child_index(inner, node);

		inner->node.first = inner->children[0]->first;
		inner->node.last = inner->children[inner->node.n - 1]->last;
		inner->node.newest = Max(inner->node.newest, node->newest);
		sp_sliding_forget_states(&inner->node);
		if (i < inner->nfolded[SP_SLIDING_COMBINED])
			inner->nfolded[SP_SLIDING_COMBINED] = 0;
		if (i < inner->nfolded[SP_SLIDING_RUNNING])
			inner->nfolded[SP_SLIDING_RUNNING] = 0;
	}
}

/* The latest arrival of what is below a node. */
static void
find_newest(SpSlidingInner *inner)
{
	int			i;

	inner->node.newest = inner->children[0]->newest;
	for (i = 1; i < inner->node.n; i++)
		inner->node.newest = Max(inner->node.newest, inner->children[i]->newest);
}

/* The same where it has lost events. */
void
sp_sliding_note_loss(SpSlidingNode *node)
{
	SpSlidingInner *inner;

	for (inner = node->parent; inner != NULL; inner = inner->node.parent)
		find_newest(inner);
	sp_sliding_note_change(node);
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
	inner->node.newest = child->newest;
	set_child(inner, 0, child);
	return inner;
}

SpSlidingLeaf *
sp_sliding_first_leaf(SpSlidingNode *node)
{
	while (node->level > 0)
		node = ((SpSlidingInner *) node)->children[0];
	return (SpSlidingLeaf *) node;
}

/* A node has one child too many: move the second half to a new one. */
static void
split_inner(SpSliding *s, SpSlidingKey *key, SpSlidingInner *inner)
{
	int			half = inner->node.n / 2;
	SpSlidingInner *right = new_inner(s, inner->children[half]);
	SpSlidingLeaf *leaf = sp_sliding_first_leaf(&right->node);
	int			i;

	for (i = half + 1; i < inner->node.n; i++)
		set_child(right, right->node.n++, inner->children[i]);
	right->node.last = inner->node.last;
	inner->node.n = half;
	inner->node.last = inner->children[half - 1]->last;
	find_newest(right);
	find_newest(inner);
	sp_sliding_forget_states(&inner->node);
	inner->nfolded[SP_SLIDING_COMBINED] = inner->nfolded[SP_SLIDING_RUNNING] = 0;
	sp_group_changing(&s->window->groups, leaf->group);
	leaf->rank = Max(leaf->rank, right->node.level);
	sp_group_changed(&s->window->groups, leaf->group);
	sp_sliding_add_sibling(s, key, &inner->node, &right->node);
}

/* Put a node behind another one of its level. */
void
sp_sliding_add_sibling(SpSliding *s, SpSlidingKey *key, SpSlidingNode *node, SpSlidingNode *sibling)
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
	sp_sliding_note_change(node);
	sp_sliding_note_change(sibling);
	if (parent->node.n > SP_SLIDING_FANOUT)
		split_inner(s, key, parent);
}

/* Put a node with a rank behind the last one of its level, under as many new ones. */
void
sp_sliding_add_last(SpSliding *s, SpSlidingKey *key, SpSlidingNode *node, int rank)
{
	SpSlidingInner *parent;

	while (node->level < rank)
		node = &new_inner(s, node)->node;
	while (key->root->level <= node->level)
		key->root = &new_inner(s, key->root)->node;
	parent = (SpSlidingInner *) key->root;
	while (parent->node.level > node->level + 1)
		parent = (SpSlidingInner *) parent->children[parent->node.n - 1];
	set_child(parent, parent->node.n++, node);
	sp_sliding_note_change(node);
}

/* The leaf before all that is below a node, or NULL. */
SpSlidingLeaf *
sp_sliding_leaf_before(SpSlidingNode *node)
{
	while (node->parent != NULL && node->parent->children[0] == node)
		node = &node->parent->node;
	if (node->parent == NULL)
		return NULL;
	node = node->parent->children[child_index(node->parent, node) - 1];
	while (node->level > 0)
		node = ((SpSlidingInner *) node)->children[node->n - 1];
	return (SpSlidingLeaf *) node;
}

/* Give up a node's states and the node. */
void
sp_sliding_free_node(SpSliding *s, SpSlidingNode *node)
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

/* Take a node, and what it leaves empty, out of the tree. */
void
sp_sliding_detach(SpSliding *s, SpSlidingKey *key, SpSlidingNode *node)
{
	SpSlidingInner *parent = node->parent;
	int			i;

	if (parent == NULL)
	{
		key->root = NULL;
		return;
	}
	i = child_index(parent, node);
	parent->node.n--;
	memmove(&parent->children[i], &parent->children[i + 1],
			sizeof(SpSlidingNode *) * (parent->node.n - i));
	if (parent->node.n == 0)
	{
		sp_sliding_detach(s, key, &parent->node);
		sp_sliding_free_node(s, &parent->node);
		return;
	}
	sp_sliding_note_loss(parent->children[Min(i, parent->node.n - 1)]);
	while (key->root->level > 0 && key->root->n == 1)
	{
		SpSlidingInner *root = (SpSlidingInner *) key->root;

		key->root = root->children[0];
		key->root->parent = NULL;
		sp_sliding_free_node(s, &root->node);
	}
}
