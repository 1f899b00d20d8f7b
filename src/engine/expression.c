/*
 * expression.c
 *	  User expressions: from an object's view to evaluated columns.
 *
 * The trees come from the view's rule and are compiled over a virtual slot of the
 * source's row type, whose values point straight into a rowset.  They run with the
 * rights of the object's owner, in a security-restricted operation.
 *
 * An expression may throw.  A rowset is therefore evaluated inside a subtransaction,
 * unless all expressions are plain columns; when it throws, its rows are evaluated once
 * more, each in a subtransaction of its own, and those that throw become dead letters.
 * No state has been touched by then.
 */
#include "engine/internal.h"

#include "access/table.h"
#include "access/transam.h"
#include "access/xact.h"
#include "base/compat.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteHandler.h"
#include "rewrite/rewriteManip.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/resowner.h"

/* Become the owner, with search_path and the captured settings where they matter. */
void
sp_user_enter(SpUserContext *save, Oid owner, List *settings)
{
	ListCell   *lc;

	GetUserIdAndSecContext(&save->userid, &save->sec_context);
	SetUserIdAndSecContext(owner, save->sec_context | SECURITY_RESTRICTED_OPERATION);
	save->guc_level = 0;
	if (settings == NIL)
		return;
	save->guc_level = NewGUCNestLevel();
	foreach(lc, settings)
	{
		char	   *setting = pstrdup((char *) lfirst(lc));
		char	   *value = strchr(setting, '=');

		if (value == NULL)
			continue;
		*value++ = '\0';
		(void) set_config_option(setting, value, PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
		pfree(setting);
	}
}

/* Become what we were. */
void
sp_user_leave(const SpUserContext *save, bool commit)
{
	if (save->guc_level > 0)
		AtEOXact_GUC(commit, save->guc_level);
	SetUserIdAndSecContext(save->userid, save->sec_context);
}

/* check_functions_in_node callback: not one of PostgreSQL's own? */
static bool
is_foreign_function(Oid funcid, void *context)
{
	return funcid >= FirstNormalObjectId;
}

/* Does the tree call anything whose result may depend on a setting? */
static bool
depends_on_settings(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (check_functions_in_node(node, is_foreign_function, context))
		return true;
	return expression_tree_walker(node, depends_on_settings, context);
}

/* Collect the highest attribute of a tree; whole-row references need all. */
static bool
note_attributes(Node *node, void *context)
{
	SpExpressions *exprs = context;

	if (node == NULL)
		return false;
	if (IsA(node, Var))
	{
		Var		   *var = (Var *) node;

		if (var->varattno < 0)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("system columns can't be used in a stream's expressions")));
		if (var->varattno == 0)
			exprs->whole_row = true;
		exprs->max_attnum = Max(exprs->max_attnum, var->varattno);
		exprs->attributes = bms_add_member(exprs->attributes, var->varattno);
		return false;
	}
	return expression_tree_walker(node, note_attributes, context);
}

/* The range table index of the only relation the view reads. */
static int
find_source(Query *query, const SpObjectDef *def)
{
	ListCell   *lc;
	int			found = 0;

	foreach(lc, query->jointree->fromlist)
	{
		Node	   *item = lfirst(lc);

		if (!IsA(item, RangeTblRef) || found != 0)
			found = -1;
		else
			found = ((RangeTblRef *) item)->rtindex;
	}
	if (found <= 0 || rt_fetch(found, query->rtable)->relid != def->source)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the view that holds the expressions of \"%s\" was changed", def->name),
				 errhint("Create the object again with replace => true.")));
	return found;
}

/* Compile one tree, already over varno 1, into e. */
void
sp_expression_compile(SpExpressions *exprs, SpExpression *e, Node *node)
{
	memset(e, 0, sizeof(*e));
	e->type = exprType(node);
	get_typlenbyval(e->type, &e->typlen, &e->typbyval);
	note_attributes(node, exprs);
	if (IsA(node, Var) && ((Var *) node)->varattno > 0)
	{
		e->expr = (Expr *) node;
		e->attnum = ((Var *) node)->varattno;
		return;
	}
	e->expr = expression_planner((Expr *) copyObject(node));
	e->state = ExecInitExpr(e->expr, NULL);
}

/* Settings in the current memory context: definitions are loaded anew now and then. */
static List *
copy_settings(List *settings)
{
	List	   *copy = NIL;
	ListCell   *lc;

	foreach(lc, settings)
		copy = lappend(copy, pstrdup(lfirst(lc)));
	return copy;
}

/*
 * Open the view and take its trees.  In the current memory context, which must live as
 * long as the object.  Columns that are aggregate calls are left to the caller.
 */
SpExpressions *
sp_expressions_open(const SpObjectDef *def, TupleDesc source_desc)
{
	SpExpressions *exprs = palloc0(sizeof(SpExpressions));
	Relation	view = sp_registry_look_at(def->expressions);
	Query	   *query = copyObject(get_view_query(view));
	int			source = find_source(query, def);
	ListCell   *lc;
	int			n = 0;
	SpUserContext user;

	exprs->owner = def->owner;
	exprs->settings = copy_settings(def->settings);
	exprs->source_desc = source_desc;
	exprs->slot = MakeSingleTupleTableSlot(source_desc, &TTSOpsVirtual);
	exprs->econtext = CreateStandaloneExprContext();
	exprs->econtext->ecxt_scantuple = exprs->slot;

	query->targetList = (List *) sp_compat_flatten_groups(query, (Node *) query->targetList);
	ChangeVarNodes((Node *) query->targetList, source, 1, 0);
	exprs->having = sp_compat_flatten_groups(query, query->havingQual);
	ChangeVarNodes(exprs->having, source, 1, 0);
	exprs->columns = palloc0(sizeof(SpExpression) * list_length(query->targetList));
	exprs->nodes = palloc0(sizeof(Node *) * list_length(query->targetList));
	exprs->names = palloc0(sizeof(char *) * list_length(query->targetList));

	sp_user_enter(&user, exprs->owner, exprs->settings);
	foreach(lc, query->targetList)
	{
		TargetEntry *target = lfirst(lc);

		if (target->resjunk)
			continue;
		exprs->nodes[n] = (Node *) target->expr;
		exprs->names[n] = pstrdup(target->resname);
		if (!IsA(target->expr, Aggref))
			sp_expression_compile(exprs, &exprs->columns[n], (Node *) target->expr);
		n++;
	}
	exprs->ncolumns = n;
	if (query->jointree->quals != NULL)
	{
		ChangeVarNodes(query->jointree->quals, source, 1, 0);
		exprs->filter = palloc0(sizeof(SpExpression));
		sp_expression_compile(exprs, exprs->filter, query->jointree->quals);
	}
	sp_user_leave(&user, true);
	RelationClose(view);
	return exprs;
}

/* All expressions that will be evaluated are known: can they throw, do settings matter? */
void
sp_expressions_finish(SpExpressions *exprs, SpExpression **used, int n)
{
	bool		settings_matter = false;
	int			i;

	exprs->simple = exprs->filter == NULL;
	for (i = -1; i < n; i++)
	{
		SpExpression *e = i < 0 ? exprs->filter : used[i];

		if (e == NULL || e->attnum > 0)
			continue;
		exprs->simple = false;
		if (contain_mutable_functions((Node *) e->expr) ||
			depends_on_settings((Node *) e->expr, NULL))
			settings_matter = true;
	}
	if (!settings_matter)
		exprs->settings = NIL;
	if (exprs->whole_row)
	{
		exprs->max_attnum = exprs->source_desc->natts;
		exprs->attributes = bms_add_range(exprs->attributes, 1, exprs->max_attnum);
	}
}

/* Point the slot at a row. */
static inline void
set_row(SpExpressions *exprs, const SpRowSet *rows, int i)
{
	TupleTableSlot *slot = exprs->slot;

	slot->tts_values = rows->values + (Size) i * rows->natts;
	slot->tts_isnull = rows->nulls + (Size) i * rows->natts;
	slot->tts_nvalid = rows->natts;
	slot->tts_flags &= ~TTS_FLAG_EMPTY;
}

/* SQL's WHERE: neither false nor null. */
static inline bool
is_true(const NullableDatum *d)
{
	return !d->isnull && DatumGetBool(d->value);
}

/* Evaluate one row; by-reference results go to the rowset's context. */
static void
evaluate_row(SpExpressions *exprs, SpEvaluated *out, const SpRowSet *rows, int i)
{
	int			j;

	if (rows->skip != NULL && rows->skip[i])
	{
		out->pass[i] = false;
		return;
	}
	set_row(exprs, rows, i);
	if (exprs->filter != NULL)
	{
		bool		isnull;
		Datum		value;

		if (exprs->filter->attnum > 0)
		{
			value = exprs->slot->tts_values[exprs->filter->attnum - 1];
			isnull = exprs->slot->tts_isnull[exprs->filter->attnum - 1];
		}
		else
			value = ExecEvalExprSwitchContext(exprs->filter->state, exprs->econtext, &isnull);
		if (isnull || !DatumGetBool(value))
		{
			out->pass[i] = false;
			return;
		}
	}
	for (j = 0; j < out->nexpressions; j++)
	{
		SpExpression *e = out->expressions[j];
		NullableDatum *r = &out->result[j][i];

		if (e->guard > 0 && !is_true(&out->result[e->guard - 1][i]))
		{
			r->value = (Datum) 0;
			r->isnull = true;
		}
		else if (e->attnum > 0)
		{
			r->value = exprs->slot->tts_values[e->attnum - 1];
			r->isnull = exprs->slot->tts_isnull[e->attnum - 1];
		}
		else
			r->value = ExecEvalExpr(e->state, exprs->econtext, &r->isnull);
	}
	out->pass[i] = true;
}

/* All rows, nothing can throw: column by column. */
static void
evaluate_simple(SpEvaluated *out, const SpRowSet *rows)
{
	int			i,
				j;

	for (j = 0; j < out->nexpressions; j++)
	{
		const Datum *value = rows->values + out->expressions[j]->attnum - 1;
		const bool *null = rows->nulls + out->expressions[j]->attnum - 1;
		NullableDatum *r = out->result[j];

		for (i = 0; i < rows->n; i++)
		{
			r[i].value = *value;
			r[i].isnull = *null;
			value += rows->natts;
			null += rows->natts;
		}
	}
	for (i = 0; i < rows->n; i++)
		out->pass[i] = rows->skip == NULL || !rows->skip[i];
}

/* Likely the machine's or the administrator's doing, not the row's. */
bool
sp_error_is_environment(const ErrorData *error)
{
	int			category = ERRCODE_TO_CATEGORY(error->sqlerrcode);

	return category == ERRCODE_INSUFFICIENT_RESOURCES ||
		category == ERRCODE_OPERATOR_INTERVENTION ||
		category == ERRCODE_SYSTEM_ERROR;
}

/*
 * Run work(arg) inside a subtransaction, as the owner of the expressions and under their
 * settings; allocations go to context.  Returns false, with the error in *error (in
 * context), when it threw.
 */
bool
sp_run_guarded(const SpExpressions *exprs, MemoryContext context,
			   void (*work) (void *arg), void *arg, ErrorData **error)
{
	MemoryContext oldcontext = CurrentMemoryContext;
	ResourceOwner oldowner = CurrentResourceOwner;
	volatile bool ok = true;
	SpUserContext user;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	sp_user_enter(&user, exprs->owner, exprs->settings);
	PG_TRY();
	{
		work(arg);
		sp_user_leave(&user, true);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		*error = CopyErrorData();
		FlushErrorState();
		/* this undoes user and settings as well */
		RollbackAndReleaseCurrentSubTransaction();
		ok = false;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(oldcontext);
	CurrentResourceOwner = oldowner;
	if (!ok && exprs->in_session && sp_error_is_environment(*error))
		ReThrowError(*error);
	return ok;
}

/*
 * The same for what may be a row's fault or the environment's: a user's function can raise
 * any error, so after some attempts the row has it.
 */
bool
sp_run_patiently(const SpExpressions *exprs, MemoryContext context,
				 void (*work) (void *arg), void *arg, ErrorData **error)
{
	int			attempt;

	for (attempt = 1; attempt <= SP_ATTEMPTS; attempt++)
	{
		if (sp_run_guarded(exprs, context, work, arg, error))
			return true;
		if (!sp_error_is_environment(*error))
			break;
	}
	return false;
}

/* What evaluate_rows() works on. */
typedef struct EvaluateWork
{
	SpExpressions *exprs;
	SpEvaluated *out;
	const SpRowSet *rows;
	int			first;
	int			last;
} EvaluateWork;

/* Evaluate a range of rows; for sp_run_guarded(). */
static void
evaluate_rows(void *arg)
{
	EvaluateWork *work = arg;
	int			i;

	/* results must survive until the rowset is done */
	work->exprs->econtext->ecxt_per_tuple_memory = work->rows->context;
	for (i = work->first; i <= work->last; i++)
		evaluate_row(work->exprs, work->out, work->rows, i);
}

/* Room for the results of all rows, in the rowset's context, which is the current one. */
static SpEvaluated *
make_evaluated(SpExpression **used, int n, const SpRowSet *rows)
{
	SpEvaluated *out = palloc(sizeof(SpEvaluated));
	NullableDatum *results = palloc(sizeof(NullableDatum) * Max(1, n) * rows->n);

	out->nexpressions = n;
	out->expressions = used;
	out->result = palloc(sizeof(NullableDatum *) * Max(1, n));
	out->pass = palloc(rows->n);
	for (int i = 0; i < n; i++)
		out->result[i] = results + (Size) i * rows->n;
	return out;
}

/*
 * Evaluate used[0..n-1] over all rows.  Rows whose evaluation throws, or whose filter isn't
 * true, don't pass; the former go to output's dead letters.  Result in the rowset's context.
 */
SpEvaluated *
sp_expressions_evaluate(SpExpressions *exprs, SpExpression **used, int n,
						const SpRowSet *rows, SpOutput *output)
{
	MemoryContext oldcontext = MemoryContextSwitchTo(rows->context);
	SpEvaluated *out = make_evaluated(used, n, rows);
	EvaluateWork work = {exprs, out, rows, 0, rows->n - 1};
	ErrorData  *error;
	int			i;

	if (exprs->simple)
		evaluate_simple(out, rows);
	else if (!sp_run_guarded(exprs, rows->context, evaluate_rows, &work, &error))
	{
		for (i = 0; i < rows->n; i++)
		{
			work.first = work.last = i;
			if (sp_run_patiently(exprs, rows->context, evaluate_rows, &work, &error))
				continue;
			out->pass[i] = false;
			if (rows->retract && sp_error_is_environment(error))
				sp_failure_window(output->window, error->message);
			sp_output_dead(output, rows, i, "expression",
						   unpack_sql_state(error->sqlerrcode), error->message);
		}
	}
	MemoryContextSwitchTo(oldcontext);
	return out;
}

/* The same without a guard. */
SpEvaluated *
sp_expressions_evaluate_here(SpExpressions *exprs, SpExpression **used, int n,
							 const SpRowSet *rows)
{
	MemoryContext oldcontext = MemoryContextSwitchTo(rows->context);
	SpEvaluated *out = make_evaluated(used, n, rows);
	EvaluateWork work = {exprs, out, rows, 0, rows->n - 1};

	if (exprs->simple)
		evaluate_simple(out, rows);
	else
		evaluate_rows(&work);
	MemoryContextSwitchTo(oldcontext);
	return out;
}
