/*
 * server_data.c
 *	  The server's strings, lists and hash tables, as simple as they can be.
 */
/* Its prototype differs between versions. */
#define appendBinaryStringInfo appendBinaryStringInfo_of_the_server

#include "server.h"

#include <stdlib.h>

#include "lib/stringinfo.h"
#include "nodes/pg_list.h"
#include "common/hashfn.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "fuzz.h"

#undef appendBinaryStringInfo
#undef qsort

extern void appendBinaryStringInfo(StringInfo str, const void *data, int length);

/* ---- strings ---- */

void
initStringInfo(StringInfo str)
{
	memset(str, 0, sizeof(StringInfoData));
	str->maxlen = 16;
	str->data = palloc(str->maxlen);
	resetStringInfo(str);
}

void
resetStringInfo(StringInfo str)
{
	str->data[0] = '\0';
	str->len = 0;
	str->cursor = 0;
}

/* Exactly as much as is asked for: what is written beyond that is noticed. */
void
enlargeStringInfo(StringInfo str, int needed)
{
	if (needed < 0 || (Size) needed >= MaxAllocSize - (Size) str->len)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("out of memory"),
				 errdetail("Cannot enlarge string buffer containing %d bytes by %d more bytes.",
						   str->len, needed)));
	if (str->len + needed + 1 <= str->maxlen)
		return;
	str->maxlen = str->len + needed + 1;
	str->data = repalloc(str->data, str->maxlen);
}

void
appendBinaryStringInfo(StringInfo str, const void *data, int length)
{
	enlargeStringInfo(str, length);
	memcpy(str->data + str->len, data, length);
	str->len += length;
	str->data[str->len] = '\0';
}

void
appendStringInfoChar(StringInfo str, char ch)
{
	appendBinaryStringInfo(str, &ch, 1);
}

/* ---- lists ---- */

/* A list with room for one more element. */
static List *
enlarge_list(List *list, NodeTag type)
{
	List	   *larger = palloc0(offsetof(List, initial_elements) +
								 (list_length(list) + 1) * sizeof(ListCell));

	larger->type = type;
	larger->length = larger->max_length = list_length(list) + 1;
	larger->elements = larger->initial_elements;
	if (list != NIL)
	{
		demand(list->type == type);
		memcpy(larger->elements, list->elements, list->length * sizeof(ListCell));
		pfree(list);
	}
	return larger;
}

List *
lappend(List *list, void *datum)
{
	list = enlarge_list(list, T_List);
	llast(list) = datum;
	return list;
}

List *
lappend_oid(List *list, Oid datum)
{
	list = enlarge_list(list, T_OidList);
	llast_oid(list) = datum;
	return list;
}

bool
list_member_oid(const List *list, Oid datum)
{
	const ListCell *cell;

	foreach(cell, list)
		if (lfirst_oid(cell) == datum)
			return true;
	return false;
}

List *
list_delete_last(List *list)
{
	if (--list->length > 0)
		return list;
	pfree(list);
	return NIL;
}

void
list_free(List *list)
{
	if (list != NIL)
		pfree(list);
}

/* ---- hash tables: a chain of entries ---- */

typedef struct Entry
{
	struct Entry *next;
	void	   *data;
} Entry;

struct HTAB
{
	MemoryContext context;
	Size		key_size;
	Size		entry_size;
	long		nentries;
	Entry	   *first;
};

HTAB *
hash_create(const char *tabname, long nelem, const HASHCTL *info, int flags)
{
	MemoryContext context;
	HTAB	   *table;

	demand((flags & HASH_ELEM) != 0 && (flags & HASH_BLOBS) != 0);
	context = (flags & HASH_CONTEXT) != 0 ? info->hcxt : TopMemoryContext;
	table = MemoryContextAllocZero(context, sizeof(HTAB));
	table->context = context;
	table->key_size = info->keysize;
	table->entry_size = info->entrysize;
	return table;
}

void *
hash_search(HTAB *table, const void *key, HASHACTION action, bool *found)
{
	Entry	  **link = &table->first;
	Entry	   *entry;

	while (*link != NULL && memcmp((*link)->data, key, table->key_size) != 0)
		link = &(*link)->next;
	entry = *link;
	if (found != NULL)
		*found = entry != NULL;
	if (entry != NULL && action == HASH_REMOVE)
	{
		*link = entry->next;
		table->nentries--;
		/* What was removed may be looked at until the next call: it stays. */
	}
	else if (entry == NULL && action == HASH_ENTER)
	{
		entry = MemoryContextAlloc(table->context, sizeof(Entry));
		entry->data = MemoryContextAlloc(table->context, table->entry_size);
		memcpy(entry->data, key, table->key_size);
		entry->next = table->first;
		table->first = entry;
		table->nentries++;
	}
	return entry == NULL ? NULL : entry->data;
}

long
hash_get_num_entries(HTAB *table)
{
	return table->nentries;
}

void
hash_seq_init(HASH_SEQ_STATUS *status, HTAB *table)
{
	status->hashp = table;
	status->curEntry = (HASHELEMENT *) table->first;
}

void *
hash_seq_search(HASH_SEQ_STATUS *status)
{
	Entry	   *entry = (Entry *) status->curEntry;

	if (entry == NULL)
		return NULL;
	status->curEntry = (HASHELEMENT *) entry->next;
	return entry->data;
}

/* ---- sorting ---- */

void
pg_qsort(void *base, size_t nel, size_t elsize, int (*cmp) (const void *, const void *))
{
	if (nel > 1)
		qsort(base, nel, elsize, cmp);
}

/* Fowler, Noll and Vo's. */
uint32
hash_bytes(const unsigned char *k, int keylen)
{
	uint32		hash = 2166136261u;

	for (int i = 0; i < keylen; i++)
		hash = (hash ^ k[i]) * 16777619u;
	return hash;
}
