/*
 * server_page.c
 *	  What group.c and spill.c ask the server for: types and their functions, a file, the time.
 */
#include "server_page.h"

#include "catalog/pg_type_d.h"
#include "nodes/nodeFuncs.h"
#include "storage/fd.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

#include "base/compat.h"
#include "base/guc.h"
#include "base/shared.h"
#include "catalog/page.h"
#include "engine/internal.h"

#include "fuzz.h"

const ServerKeyType server_key_types[SERVER_KEY_TYPES] = {
	{INT4OID, 4, true},
	{FLOAT8OID, 8, true},
	{TEXTOID, -1, false},
	{UUIDOID, 16, false},
	{CSTRINGOID, -2, false}
};

StringInfoData server_saved;

/* ---- what group.c asks the server for ---- */

bool
server_is_flat(const char *value)
{
	return !VARATT_IS_EXTERNAL(value) &&
		(!VARATT_IS_4B_C(value) || VARSIZE_4B(value) >= VARHDRSZ_COMPRESSED);
}

struct varlena *
pg_detoast_datum_copy(struct varlena *datum)
{
	struct varlena *copy;

	demand(server_is_flat((char *) datum));
	copy = palloc(VARSIZE_ANY(datum));
	memcpy(copy, datum, VARSIZE_ANY(datum));
	return copy;
}

Size
server_value_size(int16 typlen, const char *value)
{
	return typlen > 0 ? typlen : typlen == -1 ? VARSIZE_ANY(value) : strlen(value) + 1;
}

static int16
typlen_of(Oid type)
{
	for (int i = 0; i < SERVER_KEY_TYPES; i++)
		if (server_key_types[i].type == type)
			return server_key_types[i].typlen;
	demand(!"a type of ours");
	return 0;
}

/* A type's functions have its OID. */
TypeCacheEntry *
lookup_type_cache(Oid type_id, int flags)
{
	static TypeCacheEntry entry;

	entry.hash_proc = entry.eq_opr = type_id;
	return &entry;
}

RegProcedure
get_opcode(Oid opno)
{
	return opno;
}

void
fmgr_info_cxt(Oid functionId, FmgrInfo *finfo, MemoryContext mcxt)
{
	memset(finfo, 0, sizeof(FmgrInfo));
	finfo->fn_oid = functionId;
}

Oid
exprCollation(const Node *expr)
{
	return InvalidOid;
}

char
get_typtype(Oid typid)
{
	return TYPTYPE_BASE;
}

Oid
get_element_type(Oid typid)
{
	return InvalidOid;
}

/* A hash of all bytes. */
Datum
FunctionCall1Coll(FmgrInfo *flinfo, Oid collation, Datum arg1)
{
	int16		typlen = typlen_of(flinfo->fn_oid);
	const char *p = flinfo->fn_oid == FLOAT8OID ? (char *) &arg1 : DatumGetPointer(arg1);
	uint32		hash = 0;

	for (Size i = server_value_size(typlen, p); i > 0; i--)
		hash = hash * 31 + p[i - 1];
	return UInt32GetDatum(hash);
}

Datum
FunctionCall2Coll(FmgrInfo *flinfo, Oid collation, Datum arg1, Datum arg2)
{
	int16		typlen = typlen_of(flinfo->fn_oid);
	const char *p = DatumGetPointer(arg1);
	const char *q = DatumGetPointer(arg2);

	if (flinfo->fn_oid == FLOAT8OID)
		return BoolGetDatum(arg1 == arg2);
	return BoolGetDatum(server_value_size(typlen, p) == server_value_size(typlen, q) &&
						memcmp(p, q, server_value_size(typlen, p)) == 0);
}

void
sp_page_store(int32 object, int32 page, const char *data, Size size)
{
	demand(object == 1 && page == 1 && size > 0);
	appendBinaryStringInfo(&server_saved, data, size);
}

/* ---- what spill.c asks the server for: a file, and the time ---- */

int			sp_guc_max_state_memory = 1024 * 1024;
SpWorkerSlot *sp_my_worker = NULL;
SpEngine	sp_engine;
static char file_bytes[1024 * 1024];

File
OpenTemporaryFile(bool interXact)
{
	return 7;
}

void
FileClose(File file)
{
	demand(file == 7);
}

int
FileWrite(File file, char *buffer, int amount, off_t offset, uint32 wait_event_info)
{
	demand(file == 7 && offset % 512 == 0);
	if (offset + (off_t) amount > (off_t) sizeof(file_bytes))
		return 0;
	memcpy(file_bytes + offset, buffer, amount);
	return amount;
}

int
FileRead(File file, char *buffer, int amount, off_t offset, uint32 wait_event_info)
{
	demand(file == 7 && offset + (off_t) amount <= (off_t) sizeof(file_bytes));
	memcpy(buffer, file_bytes + offset, amount);
	return amount;
}

/* What it tells, and when, is of no interest here. */
TimestampTz
GetCurrentTimestamp(void)
{
	return 0;
}

bool
TimestampDifferenceExceeds(TimestampTz start_time, TimestampTz stop_time, int msec)
{
	return false;
}

char *
pg_strerror(int number)
{
	return "no room";
}
