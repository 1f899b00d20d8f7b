/*
 * server_unused.c
 *	  Functions that the linker wants and no input leads to: to call one is a failure.
 *
 * They have no arguments here, so that no header is needed, and give way to what a target
 * defines itself.
 */
#include "fuzz.h"

#define UNUSED(name) \
extern void name(void) __attribute__((weak)); \
void \
name(void) \
{ \
	fuzz_fail("a function that nobody should call", 0, #name); \
}

/* feed/build.c: rows with external values, of ordinary tables */
UNUSED(heap_deform_tuple)

/* feed/source.c: no stream wants to know what is taken back */
UNUSED(bms_free)
UNUSED(bms_is_member)
UNUSED(RelationGetIdentityKeyBitmap)

/* feed/pack.c: all columns of a slot are there */
UNUSED(slot_getsomeattrs_int)

/* feed/target.c: the table of streams is not found, so it isn't read */
UNUSED(get_attnum)
UNUSED(ScanKeyInit)
UNUSED(systable_beginscan)
UNUSED(systable_endscan)
UNUSED(systable_getnext)
UNUSED(table_close)
UNUSED(try_table_open)
UNUSED(sp_slot_inspect)
UNUSED(sp_slot_name)

/* engine/group.c: all keys can be hashed */
UNUSED(format_type_be)

/* engine/aggregate*.c: nothing is bound, called or asked for its result */
void		(*object_access_hook) (void) = 0;

UNUSED(aclcheck_error)
UNUSED(contain_volatile_functions)
UNUSED(copyObjectImpl)
UNUSED(format_procedure)
UNUSED(get_func_name)
UNUSED(GetUserId)
UNUSED(object_aclcheck)
UNUSED(pg_proc_aclcheck)
UNUSED(psprintf)
UNUSED(ReleaseSysCache)
UNUSED(RunFunctionExecuteHook)
UNUSED(SearchSysCache1)
UNUSED(sp_aggregate_numeric)
UNUSED(DirectFunctionCall1Coll)
UNUSED(numeric_is_inf)
UNUSED(numeric_is_nan)
UNUSED(numeric_scale)
UNUSED(sp_generic_bind)
UNUSED(sp_generic_suffices)
UNUSED(sp_generic_is_scaled)
UNUSED(sp_replay_bind)
UNUSED(DatumGetEOHP)
UNUSED(DeleteExpandedObject)
UNUSED(detoast_external_attr)
UNUSED(MakeExpandedObjectReadOnlyInternal)
UNUSED(MemoryContextGetParent)
UNUSED(pg_detoast_datum)
UNUSED(toast_compress_datum)
