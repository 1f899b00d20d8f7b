/*
 * detect_rows.c
 *	  Reads a relation's rows for detect().
 *
 *	SELECT tableoid, ctid, jsonb_build_object(...) AS key,
 *		row_number() OVER (PARTITION BY partition ORDER BY order, tableoid, ctid),
 *		feature::float8, ...
 *	FROM relation WHERE filter
 *
 * The statement is put together as the parser would, of what users' texts were parsed to: no text
 * can be more than the expression that it is.  It runs as any query of the caller does.  That rows
 * come in the window's order isn't promised by SQL, so the numbers are looked at.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_type_d.h"
#include "executor/executor.h"
#include "nodes/makefuncs.h"
#include "parser/parser.h"
#include "tcop/dest.h"
#include "tcop/tcopprot.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "face/detect_rows.h"

/* Columns of the query. */
enum
{
	TABLEOID,
	CTID,
	KEY,
	NUMBER,
	FIRST_FEATURE
};

/* Where rows go to. */
typedef struct Receiver
{
	DestReceiver dest;			/* first */
	SpDetectTake take;
	void	   *arg;
	int			d;				/* features */
	double	   *features;		/* [d] */
	int64		number;			/* of the last row in its partition */
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
make_string(const char *string)
{
	A_Const    *constant = makeNode(A_Const);

	constant->val.sval.type = T_String;
	constant->val.sval.sval = pstrdup(string);
	constant->location = -1;
	return (Node *) constant;
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

static SortBy *
make_sort(Node *node)
{
	SortBy	   *sort = makeNode(SortBy);

	sort->node = node;
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

/* jsonb_build_object(name, value, ...), or NULL. */
static Node *
make_key(const SpDetectQuery *query)
{
	List	   *args = NIL;
	ListCell   *cell;

	foreach(cell, query->partition)
	{
		const SpClause *clause = lfirst(cell);

		args = lappend(args, make_string(clause->name));
		args = lappend(args, copyObject(clause->raw));
	}
	foreach(cell, list_primary_key(query->relation))
	{
		bool		is_there = false;
		ListCell   *other;

		foreach(other, query->partition)
			is_there |= strcmp(((SpClause *) lfirst(other))->name, lfirst(cell)) == 0;
		if (is_there)
			continue;
		args = lappend(args, make_string(lfirst(cell)));
		args = lappend(args, make_column(lfirst(cell)));
	}
	if (args == NIL)
	{
		A_Const    *null = makeNode(A_Const);

		null->isnull = true;
		null->location = -1;
		return make_cast((Node *) null, "jsonb");
	}
	return (Node *) makeFuncCall(SystemFuncName("jsonb_build_object"), args,
								 COERCE_EXPLICIT_CALL, -1);
}

/* row_number() OVER (PARTITION BY ... ORDER BY ...) */
static Node *
make_number(const SpDetectQuery *query)
{
	FuncCall   *call = makeFuncCall(SystemFuncName("row_number"), NIL, COERCE_EXPLICIT_CALL, -1);
	WindowDef  *window = makeNode(WindowDef);
	ListCell   *cell;

	foreach(cell, query->partition)
		window->partitionClause = lappend(window->partitionClause,
										  copyObject(((SpClause *) lfirst(cell))->raw));
	window->orderClause = copyObject(query->order);
	window->orderClause = lappend(window->orderClause, make_sort(make_column("tableoid")));
	window->orderClause = lappend(window->orderClause, make_sort(make_column("ctid")));
	window->frameOptions = FRAMEOPTION_DEFAULTS;
	window->location = -1;
	call->over = window;
	return (Node *) call;
}

static RawStmt *
make_statement(const SpDetectQuery *query)
{
	SelectStmt *select = makeNode(SelectStmt);
	RawStmt    *raw = makeNode(RawStmt);
	ListCell   *cell;

	select->targetList = list_make4(make_target(make_column("tableoid")),
									make_target(make_column("ctid")),
									make_target(make_key(query)),
									make_target(make_number(query)));
	foreach(cell, query->features)
		select->targetList = lappend(select->targetList,
									 make_target(make_cast(copyObject(((SpClause *) lfirst(cell))->raw),
														   "float8")));
	select->fromClause =
		list_make1(makeRangeVar(get_namespace_name(get_rel_namespace(query->relation)),
								get_rel_name(query->relation), -1));
	select->whereClause = query->filter != NULL ? copyObject(query->filter->raw) : NULL;
	raw->stmt = (Node *) select;
	return raw;
}

/* ---- rows ---- */

/* DestReceiver: one row. */
static bool
receive_row(TupleTableSlot *slot, DestReceiver *self)
{
	Receiver   *r = (Receiver *) self;
	SpDetectRow row = {.is_whole = true,.features = r->features};
	int64		number;

	slot_getallattrs(slot);
	number = DatumGetInt64(slot->tts_values[NUMBER]);
	if (number != 1 && number != r->number + 1)
		elog(ERROR, "rows of partitions don't come in order");
	r->number = number;
	row.begins = number == 1;
	row.tableoid = DatumGetObjectId(slot->tts_values[TABLEOID]);
	row.tid = *(ItemPointer) DatumGetPointer(slot->tts_values[CTID]);
	row.has_key = !slot->tts_isnull[KEY];
	row.key = slot->tts_values[KEY];
	for (int j = 0; j < r->d; j++)
	{
		row.is_whole &= !slot->tts_isnull[FIRST_FEATURE + j];
		r->features[j] = slot->tts_isnull[FIRST_FEATURE + j] ? 0 :
			DatumGetFloat8(slot->tts_values[FIRST_FEATURE + j]);
	}
	r->take(r->arg, &row);
	return true;
}

/* DestReceiver: nothing has to be done. */
static void
receive_nothing(DestReceiver *self)
{
}

static void
receive_startup(DestReceiver *self, int operation, TupleDesc desc)
{
}

void
sp_detect_rows(const SpDetectQuery *query, SpDetectTake take, void *arg)
{
	Receiver	receiver = {{receive_row, receive_startup, receive_nothing, receive_nothing, DestNone},
	take, arg, list_length(query->features)};
	List	   *queries;
	PlannedStmt *plan;
	QueryDesc  *desc;

	receiver.features = palloc(sizeof(double) * receiver.d);
	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	queries = pg_analyze_and_rewrite_fixedparams(make_statement(query), "", NULL, 0, NULL);
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
