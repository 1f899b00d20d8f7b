/*
 * server_page.h
 *	  The types that keys of groups have, and the page that was saved last.
 */
#ifndef SP_FUZZ_SERVER_PAGE_H
#define SP_FUZZ_SERVER_PAGE_H

#include "postgres.h"

#include "lib/stringinfo.h"

#define SERVER_KEY_TYPES	5

typedef struct ServerKeyType
{
	Oid			type;
	int16		typlen;
	bool		typbyval;
} ServerKeyType;

extern const ServerKeyType server_key_types[SERVER_KEY_TYPES];

/* Gets what is saved, behind what it has. */
extern StringInfoData server_saved;

/* A varlena that can be detoasted: it doesn't lead elsewhere, and has its whole header. */
extern bool server_is_flat(const char *value);

/* Bytes of a type's value. */
extern Size server_value_size(int16 typlen, const char *value);

#endif
