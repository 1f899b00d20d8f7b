/*
 * expression.h
 *	  The expressions of an object, which its owner wrote: evaluated for rows, with the
 *	  owner's rights.
 */
#ifndef SP_EXPRESSION_H
#define SP_EXPRESSION_H

#include "postgres.h"

#include "catalog/definition.h"
#include "executor/executor.h"
#include "nodes/bitmapset.h"

typedef struct SpRowSet SpRowSet;
typedef struct SpOutput SpOutput;

/* One column of an expressions view, or an argument or filter of an aggregate in it. */
typedef struct SpExpression
{
	Expr	   *expr;
	Oid			type;
	int16		typlen;
	bool		typbyval;
	AttrNumber	attnum;			/* > 0: simply this attribute of the source */
	int			guard;			/* > 0: only where the guard-1 th evaluated expression is true */
	ExprState  *state;			/* else compiled */
} SpExpression;

typedef struct SpExpressions
{
	Oid			owner;			/* with whose rights they run */
	List	   *settings;		/* to be set while they run, NIL when it can't matter */
	TupleDesc	source_desc;
	TupleTableSlot *slot;		/* of source_desc, virtual: its values point into a rowset */
	ExprContext *econtext;
	bool		simple;			/* all are attributes: nothing can throw */
	bool		in_session;		/* not the worker's: what isn't a row's fault is raised */
	int			max_attnum;		/* highest attribute used */
	Bitmapset  *attributes;		/* the numbers of those used */
	bool		whole_row;		/* all attributes are used */
	SpExpression *filter;		/* NULL: none */
	int			ncolumns;
	SpExpression *columns;		/* aggregates have no expression: see SpWindow */
	Node	  **nodes;			/* the view's target expressions, of the source's varno 1 */
	Node	   *having;			/* its HAVING clause, likewise; NULL: none */
	char	  **names;
} SpExpressions;

/* Evaluated expressions of a rowset: result[expression][row]. */
typedef struct SpEvaluated
{
	int			nexpressions;
	SpExpression **expressions;
	NullableDatum **result;
	bool	   *pass;			/* filter is true and nothing went wrong */
} SpEvaluated;

extern SpExpressions *sp_expressions_open(const SpObjectDef *def, TupleDesc source_desc);
extern void sp_expression_compile(SpExpressions *exprs, SpExpression *e, Node *node);
extern void sp_expressions_finish(SpExpressions *exprs, SpExpression **used, int n);
extern SpEvaluated *sp_expressions_evaluate(SpExpressions *exprs, SpExpression **used, int n,
											const SpRowSet *rows, SpOutput *output);


/* The same without a guard: what throws is the caller's, who has become the owner. */
extern SpEvaluated *sp_expressions_evaluate_here(SpExpressions *exprs, SpExpression **used, int n,
												 const SpRowSet *rows);

/* Guarding against what users' functions throw. */
#define SP_ATTEMPTS 3
extern bool sp_error_is_environment(const ErrorData *error);
extern bool sp_run_patiently(const SpExpressions *exprs, MemoryContext context,
							 void (*work) (void *arg), void *arg, ErrorData **error);
extern bool sp_run_guarded(const SpExpressions *exprs, MemoryContext context,
						   void (*work) (void *arg), void *arg, ErrorData **error);

/* Run as the object's owner, under its settings. */
typedef struct SpUserContext
{
	Oid			userid;
	int			sec_context;
	int			guc_level;		/* 0: settings unchanged */
} SpUserContext;
extern void sp_user_enter(SpUserContext *save, Oid owner, List *settings);
extern void sp_user_leave(const SpUserContext *save, bool commit);

#endif
