/*
 * relation.c
 *	  Makes and drops the relations of objects.
 *
 * Result tables and twins are made by SQL, with the caller's rights, in a schema of the
 * caller's choice.  A view that holds expressions stands in schema streamproc, where the
 * caller may create nothing: it is made from the analyzed tree, in the name of the
 * caller, whose rights it has from then on.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/tupmacs.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_authid_d.h"
#include "catalog/pg_class_d.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_extension_d.h"
#include "catalog/pg_namespace_d.h"
#include "commands/defrem.h"
#include "commands/extension.h"
#include "commands/tablecmds.h"
#include "commands/view.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/syscache.h"
#include "utils/varlena.h"

#include "base/compat.h"
#include "base/shared.h"
#include "catalog/query.h"
#include "face/enforce.h"
#include "face/on_update.h"
#include "face/relation.h"

#define SCHEMA "streamproc"

void
sp_relation_resolve(SpRelationName *name, const text *qualified)
{
	RangeVar   *range = makeRangeVarFromNameList(textToQualifiedNameList((text *) qualified));
	Oid			schema = RangeVarGetCreationNamespace(range);

	if (isTempOrTempToastNamespace(schema))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TABLE_DEFINITION),
				 errmsg("result table \"%s\" can't be temporary", range->relname),
				 errhint("Name a permanent schema.")));
	if (schema == get_namespace_oid(SCHEMA, false))
		ereport(ERROR,
				(errcode(ERRCODE_RESERVED_NAME),
				 errmsg("result table \"%s\" can't be in schema \"" SCHEMA "\"", range->relname),
				 errdetail("That schema is the extension's own."),
				 errhint("Name another schema.")));
	name->schema = get_namespace_name(schema);
	name->relation = range->relname;
	name->quoted = quote_qualified_identifier(name->schema, name->relation);

	/* Of two who make a table of that name the second waits here, and finds the first one's. */
	LockDatabaseObject(NamespaceRelationId, schema,
					   (uint16) (1 + hash_bytes((const unsigned char *) name->relation,
												(int) strlen(name->relation)) % PG_UINT16_MAX),
					   ExclusiveLock);
	name->existing = get_relname_relid(name->relation, schema);
}

SpRelationName
sp_relation_beside(const SpRelationName *of, SpObjectKind kind, const char *suffix,
				   const char *what)
{
	SpRelationName name = *of;

	name.relation = makeObjectName(of->relation, NULL, suffix);
	name.quoted = quote_qualified_identifier(name.schema, name.relation);
	name.existing = get_relname_relid(name.relation, get_namespace_oid(name.schema, false));
	if (OidIsValid(name.existing))
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_TABLE),
				 errmsg("relation \"%s\" already exists", name.relation),
				 errdetail("It has the name of the %s of %s \"%s\".", what,
						   sp_object_kind_name(kind), of->relation),
				 errhint("Rename it, or give the %s another name.", sp_object_kind_name(kind))));
	return name;
}

char *
sp_relation_quote(Oid relid)
{
	char	   *name = get_rel_name(relid);

	if (name == NULL)
		elog(ERROR, "cache lookup failed for relation %u", relid);
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)), name);
}

/* A collation's name, for SQL. */
static char *
quote_collation(Oid collation)
{
	HeapTuple	tuple = SearchSysCache1(COLLOID, ObjectIdGetDatum(collation));
	Form_pg_collation form;
	char	   *quoted;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for collation %u", collation);
	form = (Form_pg_collation) GETSTRUCT(tuple);
	quoted = quote_qualified_identifier(get_namespace_name(form->collnamespace),
										NameStr(form->collname));
	ReleaseSysCache(tuple);
	return quoted;
}

void
sp_relation_append_column(StringInfo sql, const char *name, Oid type, int32 typmod,
						  Oid collation, bool not_null)
{
	appendStringInfo(sql, "%s %s", quote_identifier(name),
					 format_type_extended(type, typmod, FORMAT_TYPE_TYPEMOD_GIVEN |
										  FORMAT_TYPE_FORCE_QUALIFY));
	if (OidIsValid(collation) && collation != get_typcollation(type))
		appendStringInfo(sql, " COLLATE %s", quote_collation(collation));
	appendStringInfoString(sql, not_null ? " NOT NULL, " : ", ");
}

void
sp_relation_run(const char *sql, Oid userid)
{
	SpQueryScope scope;

	sp_query_open(&scope, userid);
	sp_query_run(&scope, sql, SPI_OK_UTILITY, 0, NULL, NULL, NULL);
	sp_query_close(&scope);
}

void
sp_relation_reserve(const SpRelationName *name, const char *rights)
{
	SpQueryScope scope;
	Oid			type = OIDOID;
	Datum		relid = ObjectIdGetDatum(sp_relation_oid(name));
	bool		isnull;

	sp_query_open(&scope, InvalidOid);
	sp_query_run(&scope, "SELECT string_agg(DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' "
				 "ELSE quote_ident(pg_get_userbyid(a.grantee)) END, ', ') FROM pg_class c, "
				 "aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) a WHERE c.oid = $1",
				 SPI_OK_SELECT, 1, &type, &relid, NULL);
	sp_relation_run(psprintf("REVOKE %s ON TABLE %s FROM %s CASCADE", rights, name->quoted,
							 TextDatumGetCString(sp_query_value(0, 1, &isnull))), InvalidOid);
	sp_query_close(&scope);
}

Oid
sp_relation_oid(const SpRelationName *name)
{
	Oid			relid = get_relname_relid(name->relation, get_namespace_oid(name->schema, false));

	if (!OidIsValid(relid))
		elog(ERROR, "relation %s is gone", name->quoted);
	return relid;
}

void
sp_relation_check_width(Oid relid)
{
	Relation	relation = relation_open(relid, AccessShareLock);
	TupleDesc	desc = RelationGetDescr(relation);
	Size		width = 0;

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (att->attlen > 0)
			width = att_align_nominal(width, att->attalign) + att->attlen;
	}
	width = MAXALIGN(width) + MAXALIGN(SizeofHeapTupleHeader + BITMAPLEN(desc->natts));
	if (width > MaxHeapTupleSize)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("a row of result table \"%s\" would have %zu bytes, and can have %zu",
						RelationGetRelationName(relation), width, (Size) MaxHeapTupleSize),
				 errdetail("It has %d columns.", desc->natts),
				 errhint("Distribute them over several windows or detectors.")));
	relation_close(relation, NoLock);
}

/* The columns of a view on a query. */
static List *
make_column_definitions(Query *query)
{
	List	   *columns = NIL;
	ListCell   *cell;

	foreach(cell, query->targetList)
	{
		TargetEntry *target = lfirst(cell);

		if (!target->resjunk)
			columns = lappend(columns, makeColumnDef(target->resname,
													 exprType((Node *) target->expr),
													 exprTypmod((Node *) target->expr),
													 exprCollation((Node *) target->expr)));
	}
	return columns;
}

Oid
sp_relation_create_expressions(int32 id, Query *query, const char *what)
{
	CreateStmt *create = makeNode(CreateStmt);
	char	   *name = psprintf("expressions_%d", id);
	ObjectAddress address;
	Oid			caller;
	int			security;

	create->relation = makeRangeVar(SCHEMA, name, -1);
	create->tableElts = make_column_definitions(query);
	create->oncommit = ONCOMMIT_NOOP;

	GetUserIdAndSecContext(&caller, &security);
	SetUserIdAndSecContext(BOOTSTRAP_SUPERUSERID, security | SECURITY_LOCAL_USERID_CHANGE);
	address = DefineRelation(create, RELKIND_VIEW, caller, NULL, NULL);
	CommandCounterIncrement();
	StoreViewQuery(address.objectId, query, false);
	CommandCounterIncrement();
	SetUserIdAndSecContext(caller, security);

	sp_relation_run(psprintf("COMMENT ON VIEW " SCHEMA ".%s IS %s", name,
							 quote_literal_cstr(psprintf("expressions of %s", what))), InvalidOid);
	return address.objectId;
}

void
sp_relation_check_access(Oid expressions)
{
	SpQueryScope scope;

	sp_query_open(&scope, InvalidOid);
	sp_query_run(&scope, psprintf("SELECT * FROM %s LIMIT 0", sp_relation_quote(expressions)),
				 SPI_OK_SELECT, 0, NULL, NULL, NULL);
	sp_query_close(&scope);
}

void
sp_relation_bind_view(Oid view, Oid table)
{
	ObjectAddress dependent;
	ObjectAddress referenced;

	if (getAutoExtensionsOfObject(RelationRelationId, view) != NIL)
		return;
	ObjectAddressSet(dependent, RelationRelationId, view);
	ObjectAddressSet(referenced, RelationRelationId, table);
	recordDependencyOn(&dependent, &referenced, DEPENDENCY_AUTO);
	ObjectAddressSet(referenced, ExtensionRelationId, get_extension_oid("streamproc", false));
	recordDependencyOn(&dependent, &referenced, DEPENDENCY_AUTO_EXTENSION);
	CommandCounterIncrement();
}

void
sp_relation_bind_changes(Oid changes, Oid table)
{
	ObjectAddress dependent;
	ObjectAddress referenced;

	deleteDependencyRecordsForSpecific(RelationRelationId, changes, DEPENDENCY_AUTO,
									   RelationRelationId, table);
	ObjectAddressSet(dependent, RelationRelationId, changes);
	ObjectAddressSet(referenced, RelationRelationId, table);
	recordDependencyOn(&dependent, &referenced, DEPENDENCY_AUTO);
	CommandCounterIncrement();
}

void
sp_relation_check_owner(Oid relid)
{
	if (!object_ownercheck(RelationRelationId, relid, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, get_relkind_objtype(get_rel_relkind(relid)),
					   get_rel_name(relid));
}

void
sp_relation_check_readable(Oid relid)
{
	AclResult	result = pg_class_aclcheck(relid, GetUserId(), ACL_SELECT);

	if (result != ACLCHECK_OK)
		aclcheck_error(result, get_relkind_objtype(get_rel_relkind(relid)), get_rel_name(relid));
}

void
sp_relation_check_row_security(Oid relid)
{
	if (check_enable_rls(relid, InvalidOid, true) == RLS_ENABLED)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("row security of table \"%s\" applies to you", get_rel_name(relid)),
				 errdetail("A stream reads rows from the WAL, which knows no policies."),
				 errhint("Let a role do it to which they don't apply: the table's owner "
						 "without FORCE ROW LEVEL SECURITY, or one with BYPASSRLS.")));
}

/* DROP kind name, when it is still there. */
static void
drop_relation(const char *kind, Oid relid, bool cascade, Oid userid)
{
	if (OidIsValid(relid) && get_rel_name(relid) != NULL)
		sp_relation_run(psprintf("DROP %s %s%s", kind, sp_relation_quote(relid),
								 cascade ? " CASCADE" : ""), userid);
}

/*
 * The worker locks a result table first and writes states and positions then; so do we,
 * lest each waits for the other.
 */
void
sp_relation_drop_object(const SpObject *object, bool cascade, Oid userid)
{
	if (object->kind != SP_STREAM)
	{
		sp_shared_end_backfill(object->id);
		LockRelationOid(object->relid, AccessExclusiveLock);
	}

	if (sp_enforce_end(object->id))
		ereport(NOTICE,
				(errmsg("detector \"%s\" is no longer enforced", object->name)));
	/* Before the relations, so that the trigger on drops finds nothing to do. */
	sp_object_delete(object);
	if (object->kind == SP_STREAM)
		sp_on_update_unguard(object->relid);
	else
		drop_relation("TABLE", object->relid, cascade, userid);
	drop_relation("TABLE", object->changes, cascade, userid);
	drop_relation("TABLE", object->overrides, cascade, userid);
	drop_relation("VIEW", object->twin, cascade, userid);
	drop_relation("VIEW", object->expressions, cascade, userid);
}
