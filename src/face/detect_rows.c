/*
 * detect_rows.c
 *	  Reads a relation's rows for detect().
 *
 *	SELECT tableoid, ctid, partition, ..., primary key, ..., order, ..., feature::float8, ...
 *	FROM relation WHERE filter
 *	ORDER BY partition, ... [, order, ..., tableoid, ctid]
 *
 * The statement is put together as the parser would, of what users' texts were parsed to: no text
 * can be more than the expression that it is.  It runs as any query of the caller does.  To sort by
 * the partition alone takes a third of the time; who takes the rows puts them in the order in which
 * they stand in the table, where none is asked for.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_type_d.h"
#include "executor/executor.h"
#include "nodes/makefuncs.h"
#include "parser/parse_oper.h"
#include "parser/parser.h"
#include "tcop/dest.h"
#include "tcop/tcopprot.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "face/detect_key.h"
#include "face/detect_rows.h"

/* Columns of the query. */
enum
{
	TABLEOID,
	CTID,
	FIRST_KEY					/* partition, primary key; then order, features */
};

/* What partitions are made by. */
typedef struct Part
{
	FmgrInfo	equal;
	Oid			collation;
	bool		byval;
	int16		len;
	Datum		value;			/* that the partition at work began with */
	bool		isnull;
} Part;

/* Where rows go to. */
typedef struct Receiver
{
	DestReceiver dest;			/* first */
	SpDetectTake take;
	void	   *arg;
	List	   *names;			/* of the key's columns: nparts, then others */
	int			nparts;
	int			first_feature;
	int			d;				/* features */
	double	   *features;		/* [d] */
	/* by receive_startup() */
	SpDetectKey *key_maker;
	Part	   *parts;			/* [nparts] */
	MemoryContext partition;	/* of values in parts */
	MemoryContext row;			/* of the key */
	/* by receive_row() */
	bool		has_rows;
	bool		had_same;		/* the last row was the same as its partition's first one */
} Receiver;

/* ---- the statement ---- */

static Node *
make_column(const char *name)
{
	ColumnRef  *ref = makeNode(ColumnRef);

	ref->fields = list_make1(makeString(pstrdup(name)));
	ref->location = -1;
	return (Node *) ref;
}

static Node *
make_cast(Node *arg, const char *type)
{
	TypeCast   *cast = makeNode(TypeCast);

	cast->arg = arg;
	cast->typeName = SystemTypeName(pstrdup(type));
	cast->location = -1;
	return (Node *) cast;
}

/* By column number at, from 0. */
static SortBy *
make_sort(int at)
{
	A_Const    *number = makeNode(A_Const);
	SortBy	   *sort = makeNode(SortBy);

	number->val.ival.type = T_Integer;
	number->val.ival.ival = at + 1;
	number->location = -1;
	sort->node = (Node *) number;
	sort->sortby_dir = SORTBY_DEFAULT;
	sort->sortby_nulls = SORTBY_NULLS_DEFAULT;
	sort->location = -1;
	return sort;
}

static ResTarget *
make_target(Node *value)
{
	ResTarget  *target = makeNode(ResTarget);

	target->val = value;
	target->location = -1;
	return target;
}

/* The names of the primary key's columns. */
static List *
list_primary_key(Oid relid)
{
	Relation	relation = table_open(relid, AccessShareLock);
	Bitmapset  *columns = RelationGetIndexAttrBitmap(relation, INDEX_ATTR_BITMAP_PRIMARY_KEY);
	List	   *names = NIL;
	int			x = -1;

	while ((x = bms_next_member(columns, x)) >= 0)
		names = lappend(names, get_attname(relid, x + FirstLowInvalidHeapAttributeNumber, false));
	table_close(relation, NoLock);
	return names;
}

/* The names of the key's columns: what partitions are made by, then what else the primary key has. */
static List *
list_key(const SpDetectQuery *query)
{
	List	   *names = NIL;
	ListCell   *cell;

	foreach(cell, query->partition)
		names = lappend(names, ((SpClause *) lfirst(cell))->name);
	foreach(cell, list_primary_key(query->relation))
	{
		bool		is_there = false;
		ListCell   *other;

		foreach(other, query->partition)
			is_there |= strcmp(((SpClause *) lfirst(other))->name, lfirst(cell)) == 0;
		if (!is_there)
			names = lappend(names, lfirst(cell));
	}
	return names;
}

/* What is selected; names are the key's. */
static List *
make_targets(const SpDetectQuery *query, List *names)
{
	List	   *targets = list_make2(make_target(make_column("tableoid")),
									 make_target(make_column("ctid")));
	ListCell   *cell;

	foreach(cell, query->partition)
		targets = lappend(targets, make_target(copyObject(((SpClause *) lfirst(cell))->raw)));
	for_each_from(cell, names, list_length(query->partition))
		targets = lappend(targets, make_target(make_column(lfirst(cell))));
	foreach(cell, query->order)
		targets = lappend(targets, make_target(copyObject(((SortBy *) lfirst(cell))->node)));
	foreach(cell, query->features)
		targets = lappend(targets, make_target(make_cast(copyObject(((SpClause *) lfirst(cell))->raw),
														 "float8")));
	return targets;
}

/* By numbers of columns: names in ORDER BY would be those of columns that are selected. */
static List *
make_order(const SpDetectQuery *query, List *names)
{
	List	   *order = NIL;
	ListCell   *cell;

	foreach(cell, query->partition)
		order = lappend(order, make_sort(FIRST_KEY + foreach_current_index(cell)));
	if (query->order == NIL)
		return order;
	foreach(cell, query->order)
	{
		SortBy	   *sort = copyObject(lfirst(cell));

		sort->node = make_sort(FIRST_KEY + list_length(names) + foreach_current_index(cell))->node;
		order = lappend(order, sort);
	}
	order = lappend(order, make_sort(TABLEOID));
	return lappend(order, make_sort(CTID));
}

static RawStmt *
make_statement(const SpDetectQuery *query, List *names)
{
	SelectStmt *select = makeNode(SelectStmt);
	RawStmt    *raw = makeNode(RawStmt);

	select->targetList = make_targets(query, names);
	select->fromClause =
		list_make1(makeRangeVar(get_namespace_name(get_rel_namespace(query->relation)),
								get_rel_name(query->relation), -1));
	select->whereClause = query->filter != NULL ? copyObject(query->filter->raw) : NULL;
	select->sortClause = make_order(query, names);
	raw->stmt = (Node *) select;
	return raw;
}

/* ---- rows ---- */

/* Is it what the partition began with, to the last bit? */
static bool
is_same(const Receiver *r, const Datum *values, const bool *nulls)
{
	for (int i = 0; i < r->nparts; i++)
	{
		const Part *part = &r->parts[i];

		if (nulls[FIRST_KEY + i] != part->isnull ||
			(!part->isnull &&
			 !datumIsEqual(values[FIRST_KEY + i], part->value, part->byval, part->len)))
			return false;
	}
	return true;
}

/* Is it of another partition?  Equal values need not be the same: 1.0 and 1.00 aren't. */
static bool
differs(Receiver *r, const Datum *values, const bool *nulls)
{
	for (int i = 0; i < r->nparts; i++)
	{
		Part	   *part = &r->parts[i];

		if (nulls[FIRST_KEY + i] != part->isnull)
			return true;
		if (!part->isnull &&
			!DatumGetBool(FunctionCall2Coll(&part->equal, part->collation, part->value,
											values[FIRST_KEY + i])))
			return true;
	}
	return false;
}

/* Remember the partition that begins. */
static void
begin_partition(Receiver *r, const Datum *values, const bool *nulls)
{
	MemoryContext old;

	r->has_rows = true;
	MemoryContextReset(r->partition);
	old = MemoryContextSwitchTo(r->partition);
	for (int i = 0; i < r->nparts; i++)
	{
		Part	   *part = &r->parts[i];

		part->isnull = nulls[FIRST_KEY + i];
		if (!part->isnull)
			part->value = datumCopy(values[FIRST_KEY + i], part->byval, part->len);
	}
	MemoryContextSwitchTo(old);
}

/* Make a row's key. */
static void
make_key(Receiver *r, SpDetectRow *row, const Datum *values, const bool *nulls)
{
	MemoryContext old;

	MemoryContextReset(r->row);
	old = MemoryContextSwitchTo(r->row);
	row->key = sp_detect_key_make(r->key_maker, values, nulls);
	MemoryContextSwitchTo(old);
}

/* Which partition a row is of, and its key. */
static void
place_row(Receiver *r, SpDetectRow *row, const Datum *values, const bool *nulls)
{
	bool		same = r->has_rows && is_same(r, values, nulls);

	row->begins = !r->has_rows || (!same && differs(r, values, nulls));
	if (row->begins)
		begin_partition(r, values, nulls);
	row->has_key = r->names != NIL;
	row->same_key = same && r->had_same && list_length(r->names) == r->nparts;
	r->had_same = same || row->begins;
	if (row->has_key && !row->same_key)
		make_key(r, row, values, nulls);
}

/* DestReceiver: one row. */
static bool
receive_row(TupleTableSlot *slot, DestReceiver *self)
{
	Receiver   *r = (Receiver *) self;
	SpDetectRow row = {.is_whole = true,.features = r->features};
	const Datum *values;
	const bool *nulls;

	slot_getallattrs(slot);
	values = slot->tts_values;
	nulls = slot->tts_isnull;
	place_row(r, &row, values, nulls);
	row.tableoid = DatumGetObjectId(values[TABLEOID]);
	row.tid = *(ItemPointer) DatumGetPointer(values[CTID]);
	for (int j = 0; j < r->d; j++)
	{
		row.is_whole &= !nulls[r->first_feature + j];
		r->features[j] = nulls[r->first_feature + j] ? 0 :
			DatumGetFloat8(values[r->first_feature + j]);
	}
	r->take(r->arg, &row);
	return true;
}

/* DestReceiver: what rows look like is known. */
static void
receive_startup(DestReceiver *self, int operation, TupleDesc desc)
{
	Receiver   *r = (Receiver *) self;

	r->key_maker = sp_detect_key_open(desc, FIRST_KEY, r->names);
	r->parts = palloc0(sizeof(Part) * Max(r->nparts, 1));
	for (int i = 0; i < r->nparts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, FIRST_KEY + i);
		Part	   *part = &r->parts[i];
		Oid			equal;

		get_sort_group_operators(attribute->atttypid, false, true, false, NULL, &equal, NULL, NULL);
		fmgr_info(get_opcode(equal), &part->equal);
		part->collation = attribute->attcollation;
		part->byval = attribute->attbyval;
		part->len = attribute->attlen;
	}
	r->partition = AllocSetContextCreate(CurrentMemoryContext, "streamproc partition",
										 ALLOCSET_SMALL_SIZES);
	r->row = AllocSetContextCreate(CurrentMemoryContext, "streamproc key", ALLOCSET_SMALL_SIZES);
}

/* DestReceiver: nothing has to be done. */
static void
receive_nothing(DestReceiver *self)
{
}

void
sp_detect_rows(const SpDetectQuery *query, SpDetectTake take, void *arg)
{
	Receiver	receiver = {{receive_row, receive_startup, receive_nothing, receive_nothing, DestNone},
	take, arg, list_key(query), list_length(query->partition)};
	List	   *queries;
	PlannedStmt *plan;
	QueryDesc  *desc;

	receiver.d = list_length(query->features);
	receiver.first_feature = FIRST_KEY + list_length(receiver.names) + list_length(query->order);
	receiver.features = palloc(sizeof(double) * receiver.d);
	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	queries = pg_analyze_and_rewrite_fixedparams(make_statement(query, receiver.names), "", NULL, 0,
												 NULL);
	plan = pg_plan_query(linitial_node(Query, queries), "",
						 IsInParallelMode() ? 0 : CURSOR_OPT_PARALLEL_OK, NULL);
	desc = CreateQueryDesc(plan, "", GetActiveSnapshot(), InvalidSnapshot, &receiver.dest, NULL,
						   NULL, 0);
	ExecutorStart(desc, 0);
	sp_compat_executor_run(desc);
	ExecutorFinish(desc);
	ExecutorEnd(desc);
	FreeQueryDesc(desc);
	PopActiveSnapshot();
}
