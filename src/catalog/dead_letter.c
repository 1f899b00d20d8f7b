/*
 * dead_letter.c
 *	  Rows that an object could not take: streamproc.rejected_row.
 *
 * A row is converted by to_jsonb() itself, as a record with the columns it was written
 * with.  That runs output functions and casts that users may have defined, so it runs as
 * the owner of the source table, in a security-restricted operation, in a subtransaction
 * of its own: a row that can't be shown must be reported all the same.  Settings that
 * change the text of values are pinned.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_authid_d.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/pg_lsn.h"
#include "utils/resowner.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "catalog/dead_letter.h"
#include "catalog/image.h"
#include "catalog/query.h"
#include "catalog/table.h"

enum
{
	REJECTED_ID,
	REJECTED_OBJECT,
	REJECTED_RELATION,
	REJECTED_SOURCE,
	REJECTED_REASON,
	REJECTED_SQLSTATE,
	REJECTED_MESSAGE,
	REJECTED_EVENT_TIME,
	REJECTED_LSN,
	REJECTED_ORDINAL,
	REJECTED_ROW_DATA,
	REJECTED_MISSED_UNTIL,
	REJECTED_REJECTED_AT,
	REJECTED_COLUMNS
};

static const AttrNumber rejected_keys[] = {REJECTED_ID + 1};

/* The owner of a relation, or invalid when it is gone. */
static Oid
get_owner(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		return InvalidOid;
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

/*
 * Try to convert the row, with the rights of owner.  Returns false, and the error's
 * message, when that fails.  The result is in the current memory context.
 */
static bool
try_convert(Oid owner, TupleDesc desc, const Datum *values, const bool *nulls,
			Datum *result, char **message)
{
	MemoryContext oldcontext = CurrentMemoryContext;
	ResourceOwner oldowner = CurrentResourceOwner;
	volatile bool success = false;
	Oid			save_user;
	int			save_security;

	GetUserIdAndSecContext(&save_user, &save_security);
	BeginInternalSubTransaction(NULL);
	PG_TRY();
	{
		SpImage		image;
		int			nestlevel;

		/* What is left in the subtransaction's own context stays until the end of ours. */
		MemoryContextSwitchTo(oldcontext);
		SetUserIdAndSecContext(owner, save_security | SECURITY_RESTRICTED_OPERATION);
		nestlevel = NewGUCNestLevel();
		sp_image_pin_settings();
		sp_image_open(&image, desc);
		*result = sp_image_make(&image, values, nulls);
		AtEOXact_GUC(false, nestlevel);
		SetUserIdAndSecContext(save_user, save_security);

		ReleaseCurrentSubTransaction();
		success = true;
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(oldcontext);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		/* Shutting down is no fault of the row. */
		if (error->sqlerrcode == ERRCODE_ADMIN_SHUTDOWN ||
			error->sqlerrcode == ERRCODE_QUERY_CANCELED)
			ReThrowError(error);
		*message = error->message != NULL ? error->message : pstrdup("unknown error");
	}
	PG_END_TRY();
	MemoryContextSwitchTo(oldcontext);
	CurrentResourceOwner = oldowner;
	return success;
}

/* A copy of the descriptor in which the columns marked are text. */
static TupleDesc
replace_columns(TupleDesc desc, const bool *replaced)
{
	TupleDesc	copy = CreateTupleDescCopy(desc);

	for (int i = 0; i < desc->natts; i++)
		if (replaced[i])
			TupleDescInitEntry(copy, i + 1, NameStr(TupleDescAttr(desc, i)->attname),
							   TEXTOID, -1, 0);
	return copy;
}

/* Convert a row of which we know that some column can't be: those become error texts. */
static Datum
convert_with_errors(Oid owner, TupleDesc desc, const Datum *values, const bool *nulls,
					char *message)
{
	bool	   *replaced = palloc0(desc->natts * sizeof(bool));
	bool	   *only = palloc(desc->natts * sizeof(bool));
	Datum	   *texts = palloc(desc->natts * sizeof(Datum));
	Datum		result;
	StringInfoData buf;

	memcpy(texts, values, desc->natts * sizeof(Datum));
	for (int i = 0; i < desc->natts; i++)
	{
		char	   *column_message;

		if (nulls[i] || TupleDescAttr(desc, i)->attisdropped)
			continue;
		memset(only, true, desc->natts * sizeof(bool));
		only[i] = false;
		if (try_convert(owner, desc, values, only, &result, &column_message))
			continue;
		replaced[i] = true;
		texts[i] = CStringGetTextDatum(column_message);
	}
	if (try_convert(owner, replace_columns(desc, replaced), texts, nulls, &result, &message))
		return result;

	/* Each by itself can be converted, but not all together: too large. */
	initStringInfo(&buf);
	appendStringInfoString(&buf, "{\"error\": ");
	escape_json(&buf, message);
	appendStringInfoChar(&buf, '}');
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(buf.data));
}

/* The row as jsonb. */
static Datum
convert_row(Oid source, TupleDesc desc, const Datum *values, const bool *nulls)
{
	Oid			owner = get_owner(source);
	Datum		result;
	char	   *message;

	/* Without its table a row has no owner: show nothing of it. */
	if (desc == NULL || !OidIsValid(owner))
		return DirectFunctionCall1(jsonb_in, CStringGetDatum("null"));
	if (try_convert(owner, desc, values, nulls, &result, &message))
		return result;
	return convert_with_errors(owner, desc, values, nulls, message);
}

/* A text value, or NULL. */
static void
set_text(Datum *values, bool *nulls, int column, const char *text)
{
	nulls[column] = text == NULL;
	if (text != NULL)
		values[column] = CStringGetTextDatum(text);
}

/* Add one, in the current transaction. */
void
sp_dead_letter_add(const SpObjectDef *object, Oid source, const char *reason,
				   const char *sqlstate, const char *message,
				   int64 event_time, int64 missed_until, XLogRecPtr lsn, int64 ordinal,
				   TupleDesc desc, const Datum *row_values, const bool *row_nulls)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "streamproc dead letter",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext oldcontext = MemoryContextSwitchTo(context);
	Datum		values[REJECTED_COLUMNS];
	bool		nulls[REJECTED_COLUMNS] = {false};
	SpTable    *table;

	values[REJECTED_OBJECT] = Int32GetDatum(object->id);
	values[REJECTED_RELATION] = ObjectIdGetDatum(object->relid);
	values[REJECTED_SOURCE] = ObjectIdGetDatum(source);
	set_text(values, nulls, REJECTED_REASON, reason);
	set_text(values, nulls, REJECTED_SQLSTATE, sqlstate);
	set_text(values, nulls, REJECTED_MESSAGE, message);
	values[REJECTED_EVENT_TIME] = TimestampTzGetDatum(event_time);
	nulls[REJECTED_EVENT_TIME] = event_time == SP_NO_TIME;
	values[REJECTED_MISSED_UNTIL] = TimestampTzGetDatum(missed_until);
	nulls[REJECTED_MISSED_UNTIL] = missed_until == SP_NO_TIME;
	values[REJECTED_LSN] = LSNGetDatum(lsn);
	nulls[REJECTED_LSN] = XLogRecPtrIsInvalid(lsn);
	values[REJECTED_ORDINAL] = Int64GetDatum(ordinal);
	nulls[REJECTED_ORDINAL] = XLogRecPtrIsInvalid(lsn);
	values[REJECTED_ROW_DATA] = convert_row(source, desc, row_values, row_nulls);
	values[REJECTED_REJECTED_AT] = TimestampTzGetDatum(GetCurrentTransactionStartTimestamp());

	table = sp_table_open_own("rejected_row", lengthof(rejected_keys), rejected_keys);
	values[REJECTED_ID] = Int64GetDatum(sp_table_next_id(table));
	sp_table_insert(table, values, nulls, NULL);
	sp_table_close(table);

	MemoryContextSwitchTo(oldcontext);
	MemoryContextDelete(context);
}

void
sp_dead_letter_move(int32 object, const SpObjectDef *stream)
{
	Oid			types[] = {INT4OID, INT4OID, REGCLASSOID};
	Datum		values[3] = {Int32GetDatum(object), Int32GetDatum(stream->id),
	ObjectIdGetDatum(stream->relid)};
	SpQueryScope scope;

	sp_query_open(&scope, BOOTSTRAP_SUPERUSERID);
	sp_query_run(&scope, "UPDATE streamproc.rejected_row SET object = $2, relation = $3 "
				 "WHERE object = $1 AND reason IN ('duplicate', 'dedup_late', 'dedup_key', "
				 "'dedup_max_keys')",
				 SPI_OK_UPDATE, 3, types, values, NULL);
	sp_query_close(&scope);
}
