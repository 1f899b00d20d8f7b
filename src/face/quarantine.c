/*
 * quarantine.c
 *	  Rows that a shield has put aside.
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/namespace.h"
#include "catalog/pg_type_d.h"
#include "commands/defrem.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "engine/expression.h"
#include "face/quarantine.h"
#include "face/relation.h"

struct SpQuarantine
{
	Oid			relid;
	Oid			owner;
	SPIPlanPtr	plan;
	TupleDesc	source;
	int			nargs;
	Oid		   *types;
	AttrNumber *attnums;		/* of the stream's columns */
};

/* What it has beside the stream's columns. */
static const char *const own_names[] = {"quarantined_at", "score", "alerts", "explanation"};
static const Oid own_types[] = {TIMESTAMPTZOID, FLOAT8OID, TEXTARRAYOID, JSONBOID};

/* A column of the stream that a row can be given a value for. */
static bool
is_kept(const SpShield *shield, int i)
{
	return !TupleDescAttr(sp_shield_desc(shield), i)->attisdropped &&
		get_attgenerated(sp_shield_stream(shield)->o.relid, i + 1) == '\0';
}

/* ---- creating ---- */

static void
refuse_column(const SpShield *shield, const char *name)
{
	ereport(ERROR,
			(errcode(ERRCODE_DUPLICATE_COLUMN),
			 errmsg("rows of stream %s can't be put into quarantine: it has a column \"%s\"",
					sp_shield_stream(shield)->o.name, name),
			 errdetail("The quarantine has one of that name, of its own."),
			 errhint("Rename the column, or use action 'reject' or 'flag'.")));
}

/* The relation that has the name is one like it, of the caller's? */
static void
check_existing(const SpShield *shield, Oid relid)
{
	TupleDesc	desc = sp_shield_desc(shield);

	sp_relation_check_owner(relid);
	for (int i = 0; i < desc->natts + (int) lengthof(own_names); i++)
	{
		const char *name = i < desc->natts ? NameStr(TupleDescAttr(desc, i)->attname) :
			own_names[i - desc->natts];
		Oid			type = i < desc->natts ? TupleDescAttr(desc, i)->atttypid :
			own_types[i - desc->natts];

		if (i < desc->natts && !is_kept(shield, i))
			continue;
		if (get_rel_relkind(relid) == RELKIND_RELATION &&
			get_attnum(relid, name) > 0 && get_atttype(relid, get_attnum(relid, name)) == type)
			continue;
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_TABLE),
				 errmsg("relation \"%s\" already exists", get_rel_name(relid)),
				 errdetail("It can't be the quarantine: it has no column \"%s\" of type %s.", name,
						   format_type_be(type)),
				 errhint("Rename it.")));
	}
}

Oid
sp_quarantine_create(const SpShield *shield)
{
	Oid			detector = sp_shield_def(shield)->o.relid;
	TupleDesc	desc = sp_shield_desc(shield);
	char	   *name = makeObjectName(get_rel_name(detector), NULL, "quarantine");
	char	   *quoted;
	StringInfoData sql;
	Oid			schema = get_rel_namespace(detector);

	for (int i = 0; i < lengthof(own_names); i++)
	{
		if (get_attnum(sp_shield_stream(shield)->o.relid, own_names[i]) > 0)
			refuse_column(shield, own_names[i]);
	}
	if (OidIsValid(get_relname_relid(name, schema)))
	{
		check_existing(shield, get_relname_relid(name, schema));
		return get_relname_relid(name, schema);
	}
	quoted = quote_qualified_identifier(get_namespace_name(schema), name);
	initStringInfo(&sql);
	appendStringInfo(&sql, "CREATE TABLE %s (", quoted);
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (is_kept(shield, i))
			sp_relation_append_column(&sql, NameStr(att->attname), att->atttypid, att->atttypmod,
									  att->attcollation, false);
	}
	appendStringInfoString(&sql, "quarantined_at timestamptz, score float8, alerts text[], "
						   "explanation jsonb) USING heap");
	sp_relation_run(sql.data, InvalidOid);
	sp_relation_run(psprintf("COMMENT ON TABLE %s IS %s", quoted,
							 quote_literal_cstr(psprintf("rows that detector %s has put aside",
														 sp_shield_def(shield)->o.name))), InvalidOid);
	return get_relname_relid(name, schema);
}

/* ---- a session's ---- */

SpQuarantine *
sp_quarantine_open(Oid relid, const SpShield *shield)
{
	SpQuarantine *quarantine = palloc0(sizeof(SpQuarantine));
	TupleDesc	desc = sp_shield_desc(shield);

	quarantine->relid = relid;
	quarantine->owner = sp_shield_def(shield)->o.owner;
	quarantine->source = desc;
	quarantine->types = palloc(sizeof(Oid) * (desc->natts + lengthof(own_types)));
	quarantine->attnums = palloc(sizeof(AttrNumber) * Max(1, desc->natts));
	for (int i = 0; i < desc->natts; i++)
	{
		if (!is_kept(shield, i))
			continue;
		quarantine->types[quarantine->nargs] = TupleDescAttr(desc, i)->atttypid;
		quarantine->attnums[quarantine->nargs++] = i + 1;
	}
	memcpy(quarantine->types + quarantine->nargs, own_types, sizeof(own_types));
	return quarantine;
}

void
sp_quarantine_close(SpQuarantine *quarantine)
{
	if (quarantine != NULL && quarantine->plan != NULL)
		SPI_freeplan(quarantine->plan);
}

bool
sp_quarantine_is(const SpQuarantine *quarantine, Oid relid)
{
	return quarantine != NULL && quarantine->relid == relid;
}

/* The statement that inserts a row; run within a query scope. */
static SPIPlanPtr
get_plan(SpQuarantine *quarantine)
{
	StringInfoData sql;
	int			n = quarantine->nargs + lengthof(own_types);

	if (quarantine->plan != NULL)
		return quarantine->plan;
	initStringInfo(&sql);
	appendStringInfo(&sql, "INSERT INTO %s (", sp_relation_quote(quarantine->relid));
	for (int i = 0; i < n; i++)
		appendStringInfo(&sql, "%s%s", i > 0 ? ", " : "", i >= quarantine->nargs ?
						 own_names[i - quarantine->nargs] :
						 quote_identifier(NameStr(TupleDescAttr(quarantine->source,
																quarantine->attnums[i] - 1)->attname)));
	appendStringInfoString(&sql, ") VALUES (");
	for (int i = 0; i < n; i++)
		appendStringInfo(&sql, "%s$%d", i > 0 ? ", " : "", i + 1);
	appendStringInfoChar(&sql, ')');
	quarantine->plan = SPI_prepare(sql.data, n, quarantine->types);
	if (quarantine->plan == NULL)
		elog(ERROR, "SPI_prepare failed: %s", sql.data);
	SPI_keepplan(quarantine->plan);
	return quarantine->plan;
}

void
sp_quarantine_add(SpQuarantine *quarantine, SpShield *shield, const Datum *values,
				  const bool *nulls)
{
	int			n = quarantine->nargs;
	Datum	   *args = palloc(sizeof(Datum) * (n + lengthof(own_types)));
	char	   *markers = palloc(n + lengthof(own_types));
	SpUserContext user;
	int			result;

	if (get_rel_name(quarantine->relid) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("the quarantine of detector %s is gone", sp_shield_def(shield)->o.name),
				 errhint("Call streamproc.enforce() again.")));
	for (int i = 0; i < n; i++)
	{
		args[i] = values[quarantine->attnums[i] - 1];
		markers[i] = nulls[quarantine->attnums[i] - 1] ? 'n' : ' ';
	}
	sp_shield_report(shield, false);
	args[n] = TimestampTzGetDatum(GetCurrentTimestamp());
	sp_shield_get_finding(shield, &args[n + 1]);
	memset(markers + n, ' ', lengthof(own_types));
	sp_user_enter(&user, quarantine->owner, list_make1("search_path=pg_catalog, pg_temp"));
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	result = SPI_execute_plan(get_plan(quarantine), args, markers, false, 0);
	if (result != SPI_OK_INSERT)
		elog(ERROR, "unexpected result %d (%s) of an insert into a quarantine", result,
			 SPI_result_code_string(result));
	SPI_finish();
	sp_user_leave(&user, true);
}
