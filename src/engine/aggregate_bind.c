/*
 * aggregate_bind.c
 *	  The functions of an aggregate that isn't native, ready to be called.
 *
 * They are called as nodeAgg.c calls them, with an AggState of our own that has what
 * AggCheckCallContext() and its kin look at: so they update their state in place.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "catalog/pg_aggregate.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "executor/nodeAgg.h"
#include "parser/parse_agg.h"
#include "parser/parse_coerce.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/regproc.h"
#include "utils/syscache.h"

#include "base/compat.h"
#include "engine/aggregate_internal.h"

/*
 * Refuse functions that say they are volatile.  Those in C that take an internal
 * argument can't be called in SQL, and their authors often leave them at the default.
 */
static void
check_volatility(const SpAggregate *agg, Oid function)
{
	HeapTuple	tuple;
	Form_pg_proc proc;
	bool		is_volatile;

	if (!OidIsValid(function))
		return;
	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", function);
	proc = (Form_pg_proc) GETSTRUCT(tuple);
	is_volatile = proc->provolatile == PROVOLATILE_VOLATILE &&
		!(proc->prolang == ClanguageId && proc->pronargs > 0 &&
		  proc->proargtypes.values[0] == INTERNALOID);
	ReleaseSysCache(tuple);

	if (is_volatile)
		sp_aggregate_refuse(agg,
							psprintf("Its function \"%s\" is volatile, and rows are computed again "
									 "after a crash.", format_procedure(function)),
							psprintf("If it always answers the same to the same arguments: "
									 "ALTER FUNCTION %s IMMUTABLE.",
									 format_procedure_qualified(function)));
}

/* Look a function up and prepare its call frame. */
static void
prepare_function(SpGeneric *g, SpSupport *function, Oid oid, Expr *expr, int nargs,
				 Oid collation)
{
	fmgr_info(oid, &function->flinfo);
	fmgr_info_set_expr((Node *) expr, &function->flinfo);
	function->fcinfo = palloc0(SizeForFunctionCallInfo(nargs));
	InitFunctionCallInfoData(*function->fcinfo, &function->flinfo, nargs, collation,
							 (fmNodePtr) g->aggstate, NULL);
}

/* The function that makes one state of two. */
static void
bind_combine(SpAggregate *agg, SpGeneric *g, Oid combinefn, Oid transtype)
{
	Oid			states[] = {transtype, transtype};
	Expr	   *expr;

	build_aggregate_transfn_expr(states, 2, 0, false, transtype, agg->aggref->inputcollid,
								 combinefn, InvalidOid, &expr, NULL);
	prepare_function(g, &g->combine, combinefn, expr, 2, agg->aggref->inputcollid);
}

/* An aggregate's column of pg_aggregate, as text; NULL: it is null. */
static const char *
read_text(HeapTuple tuple, AttrNumber column)
{
	bool		isnull;
	Datum		value = SysCacheGetAttr(AGGFNOID, tuple, column, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

/*
 * Can rows be taken away from its states?  There is a function for it, which belongs to the
 * moving-aggregate mode: it must be for the states that there are otherwise, too.
 */
static bool
has_inverse(HeapTuple tuple)
{
	Form_pg_aggregate form = (Form_pg_aggregate) GETSTRUCT(tuple);
	const char *init = read_text(tuple, Anum_pg_aggregate_agginitval);
	const char *moving_init = read_text(tuple, Anum_pg_aggregate_aggminitval);

	return OidIsValid(form->aggminvtransfn) && form->aggmtransfn == form->aggtransfn &&
		form->aggmtranstype == form->aggtranstype &&
		(init == NULL ? moving_init == NULL :
		 moving_init != NULL && strcmp(init, moving_init) == 0);
}

/* What its functions can do beside advancing. */
int
sp_aggregate_offers(const Aggref *aggref)
{
	HeapTuple	tuple = SearchSysCache1(AGGFNOID, ObjectIdGetDatum(aggref->aggfnoid));
	int			offers = 0;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for aggregate %u", aggref->aggfnoid);
	if (OidIsValid(((Form_pg_aggregate) GETSTRUCT(tuple))->aggcombinefn))
		offers |= SP_AGG_COMBINE;
	if (has_inverse(tuple))
		offers |= SP_AGG_RETRACT;
	ReleaseSysCache(tuple);
	return offers;
}

/* The function that takes a row away. */
static void
bind_inverse(SpAggregate *agg, SpGeneric *g, HeapTuple tuple, const Oid *argtypes, int nargs)
{
	Form_pg_aggregate form = (Form_pg_aggregate) GETSTRUCT(tuple);
	Aggref	   *aggref = agg->aggref;
	Expr	   *transition;
	Expr	   *inverse;

	build_aggregate_transfn_expr(unconstify(Oid *, argtypes), nargs, 0, aggref->aggvariadic,
								 aggref->aggtranstype, aggref->inputcollid, form->aggtransfn,
								 form->aggminvtransfn, &transition, &inverse);
	prepare_function(g, &g->inverse, form->aggminvtransfn, inverse, nargs + 1,
					 aggref->inputcollid);
	g->counted = true;
}

/* Does its inverse function know only values of the same number of decimals? */
bool
sp_generic_is_scaled(HeapTuple tuple, int needs)
{
	return (needs & SP_AGG_RETRACT) != 0 &&
		((Form_pg_aggregate) GETSTRUCT(tuple))->aggminvtransfn == F_NUMERIC_ACCUM_INV;
}

/* Can the functions of the aggregate do all that is needed? */
bool
sp_generic_suffices(const SpAggregate *agg, HeapTuple tuple, int needs)
{
	Form_pg_aggregate form = (Form_pg_aggregate) GETSTRUCT(tuple);

	/* An internal state is restored by combining it with none, which strict functions don't. */
	if (form->aggtranstype == INTERNALOID &&
		(!OidIsValid(form->aggserialfn) || !OidIsValid(form->aggdeserialfn) ||
		 !OidIsValid(form->aggcombinefn) || func_strict(form->aggcombinefn)))
		return false;
	if ((needs & SP_AGG_COMBINE) != 0 && !OidIsValid(form->aggcombinefn))
		return false;
	return (needs & SP_AGG_RETRACT) == 0 || has_inverse(tuple);
}

/* Refuse what is volatile, of all that may be called. */
void
sp_generic_check_functions(const SpAggregate *agg, HeapTuple tuple)
{
	Form_pg_aggregate form = (Form_pg_aggregate) GETSTRUCT(tuple);

	check_volatility(agg, form->aggtransfn);
	check_volatility(agg, form->aggfinalfn);
	check_volatility(agg, form->aggcombinefn);
	check_volatility(agg, form->aggminvtransfn);
}

/* The transition type: the planner would have stored it; this Aggref may not have met it. */
Oid
sp_generic_resolve(SpAggregate *agg, HeapTuple tuple)
{
	Form_pg_aggregate form = (Form_pg_aggregate) GETSTRUCT(tuple);
	Oid			argtypes[FUNC_MAX_ARGS];
	int			nargs = get_aggregate_argtypes(agg->aggref, argtypes);

	return resolve_aggregate_transtype(agg->aggref->aggfnoid, form->aggtranstype, argtypes, nargs);
}

/* The functions that pack and unpack an internal state. */
static void
bind_internal(SpAggregate *agg, SpGeneric *g, Form_pg_aggregate form)
{
	Expr	   *expr;

	build_aggregate_serialfn_expr(form->aggserialfn, &expr);
	prepare_function(g, &g->serial, form->aggserialfn, expr, 1, InvalidOid);
	build_aggregate_deserialfn_expr(form->aggdeserialfn, &expr);
	prepare_function(g, &g->deserial, form->aggdeserialfn, expr, 2, InvalidOid);
	bind_combine(agg, g, form->aggcombinefn, INTERNALOID);
}

/* The AggState that the functions get to see. */
static void
make_aggstate(SpAggregate *agg, SpGeneric *g)
{
	AggState   *aggstate = makeNode(AggState);
	AggStatePerTrans pertrans = palloc0(sizeof(AggStatePerTransData));
	AggStatePerAgg peragg = palloc0(sizeof(AggStatePerAggData));
	ExprContext *tempcontext = makeNode(ExprContext);

	pertrans->aggref = agg->aggref;	/* for AggGetAggref */
	peragg->aggref = agg->aggref;

	g->temp = AllocSetContextCreate(agg->context, "aggregate temporary", ALLOCSET_SMALL_SIZES);
	tempcontext->ecxt_per_query_memory = agg->context;
	tempcontext->ecxt_per_tuple_memory = g->temp;

	g->aggcontext = makeNode(ExprContext);
	g->aggcontext->ecxt_per_query_memory = agg->context;
	g->aggcontext->ecxt_per_tuple_memory = agg->context;

	aggstate->numaggs = 1;
	aggstate->numtrans = 1;
	aggstate->peragg = peragg;
	aggstate->pertrans = pertrans;
	aggstate->curpertrans = pertrans;
	aggstate->curperagg = peragg;
	aggstate->tmpcontext = tempcontext;
	aggstate->curaggcontext = g->aggcontext;
	aggstate->ss.ps.ps_ExprContext = tempcontext;
	g->aggstate = aggstate;
}

/* Read the initial value, as GetAggInitVal does. */
static void
read_init_value(SpGeneric *g, HeapTuple tuple, Oid transtype)
{
	Datum		init = SysCacheGetAttr(AGGFNOID, tuple, Anum_pg_aggregate_agginitval,
									   &g->init_isnull);
	Oid			typinput;
	Oid			typioparam;

	if (g->init_isnull)
		return;
	getTypeInputInfo(transtype, &typinput, &typioparam);
	g->init_value = OidInputFunctionCall(typinput, TextDatumGetCString(init), typioparam, -1);
}

/* A strict transition without an initial value starts with its first input. */
static void
check_first_input(const SpAggregate *agg, const SpGeneric *g, Oid transtype,
				  const Oid *argtypes, int nargs)
{
	if (!g->transition.flinfo.fn_strict || !g->init_isnull)
		return;
	if (nargs < 1 || !IsBinaryCoercible(argtypes[0], transtype))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_FUNCTION_DEFINITION),
				 errmsg("aggregate \"%s\" needs to have compatible input type and transition type",
						agg->name)));
}

/* Prepare the calls of an aggregate's functions; current memory context: the aggregate's. */
SpGeneric *
sp_generic_bind(SpAggregate *agg, HeapTuple tuple, int needs)
{
	Form_pg_aggregate form = (Form_pg_aggregate) GETSTRUCT(tuple);
	SpGeneric  *g = palloc0(sizeof(SpGeneric));
	Aggref	   *aggref = agg->aggref;
	Oid			argtypes[FUNC_MAX_ARGS];
	int			nargs = get_aggregate_argtypes(aggref, argtypes);
	Oid			transtype = sp_generic_resolve(agg, tuple);
	Expr	   *expr;

	aggref->aggtranstype = transtype;
	sp_generic_check_functions(agg, tuple);
	make_aggstate(agg, g);
	dlist_init(&g->live);
	get_typlenbyval(transtype, &g->typlen, &g->typbyval);
	get_typlenbyval(aggref->aggtype, &g->result_typlen, &g->result_typbyval);
	g->kind = transtype == INTERNALOID ? SP_STATE_INTERNAL :
		g->typbyval ? SP_STATE_BY_VALUE : SP_STATE_BY_REFERENCE;
	if (g->kind == SP_STATE_INTERNAL)
		bind_internal(agg, g, form);
	else if (needs & SP_AGG_COMBINE)
		bind_combine(agg, g, form->aggcombinefn, transtype);
	if (needs & SP_AGG_RETRACT)
		bind_inverse(agg, g, tuple, argtypes, nargs);

	build_aggregate_transfn_expr(argtypes, nargs, 0, aggref->aggvariadic, transtype,
								 aggref->inputcollid, form->aggtransfn, InvalidOid,
								 &expr, NULL);
	prepare_function(g, &g->transition, form->aggtransfn, expr, nargs + 1,
					 aggref->inputcollid);
	if (OidIsValid(form->aggfinalfn))
	{
		int			nfinal = form->aggfinalextra ? nargs + 1 : 1;

		build_aggregate_finalfn_expr(argtypes, nfinal, transtype, aggref->aggtype,
									 aggref->inputcollid, form->aggfinalfn, &expr);
		prepare_function(g, &g->final, form->aggfinalfn, expr, nfinal, aggref->inputcollid);

		/*
		 * The default is read-only, also for extensions that tidy up their internal state
		 * at the end (tdigest merges centroids).  When results are asked for must not
		 * change what comes after, so only the server's own are believed.
		 */
		g->final_modifies = form->aggfinalmodify != AGGMODIFY_READ_ONLY ||
			(g->kind == SP_STATE_INTERNAL && form->aggfinalfn >= FirstNormalObjectId);
	}
	read_init_value(g, tuple, transtype);
	check_first_input(agg, g, transtype, argtypes, nargs);
	return g;
}
