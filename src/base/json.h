/*
 * json.h
 *	  Pieces of JSON.
 */
#ifndef SP_JSON_H
#define SP_JSON_H

#include "postgres.h"

#include "lib/stringinfo.h"

/* Append "name": number, null where it isn't finite. */
extern void sp_json_append_number(StringInfo buf, const char *name, double x);

#endif
