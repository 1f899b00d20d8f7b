/*
 * environment.c
 *	  Looks for settings of the server without which nothing streams.
 *
 * They are the administrator's to change: nothing here does.  Other lists of libraries
 * are shown, and completed, only for those who may read all settings.
 */
#include "postgres.h"

#include "catalog/pg_authid_d.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"

#include "base/compat.h"
#include "base/shared.h"
#include "face/environment.h"

typedef struct Missing
{
	StringInfoData detail;		/* what is set now */
	StringInfoData hint;		/* statements */
} Missing;

static void
add_missing(Missing *missing, const char *setting, const char *now, const char *statement_value)
{
	appendStringInfo(&missing->detail, "%s%s %s", missing->detail.len > 0 ? "; " : "",
					 setting, now);
	appendStringInfo(&missing->hint, "ALTER SYSTEM SET %s = %s; ", setting, statement_value);
}

/* Add an element to a list of libraries, as ALTER SYSTEM takes it: 'a', 'b'. */
static void
append_library(StringInfo list, const char *library)
{
	appendStringInfo(list, "%s%s", list->len > 0 ? ", " : "", quote_literal_cstr(library));
}

/*
 * Does a list of libraries name ours?  The list with ours added goes to *completed.
 */
static bool
names_library(const char *setting, char **completed)
{
	StringInfoData list;
	bool		found = false;

	initStringInfo(&list);
	for (const char *p = setting; *p != '\0';)
	{
		const char *end = p + strcspn(p, ",");
		const char *next = *end == ',' ? end + 1 : end;
		char	   *library;

		while (p < end && strchr(" \t\n\"", *p))
			p++;
		while (end > p && strchr(" \t\n\"", end[-1]))
			end--;
		library = pnstrdup(p, end - p);
		if (strcmp(library, "streamproc") == 0 || strcmp(library, "$libdir/streamproc") == 0)
			found = true;
		if (*library != '\0')
			append_library(&list, library);
		p = next;
	}
	if (!found)
		append_library(&list, "streamproc");
	*completed = list.data;
	return found;
}

static void
add_missing_library(Missing *missing, const char *setting, const char *value)
{
	char	   *completed;
	bool		found = names_library(value, &completed);

	if (!has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_SETTINGS))
		add_missing(missing, setting, "does not name streamproc", "..., 'streamproc'");
	else if (found)
		add_missing(missing, setting, "names streamproc, but the server was not restarted since",
					completed);
	else
		add_missing(missing, setting,
					psprintf("is \"%s\" and does not name streamproc", value), completed);
}

/* Limits that some tune down to zero. */
static void
check_limit(Missing *missing, const char *setting)
{
	const char *value = GetConfigOption(setting, true, false);

	if (value != NULL && strtol(value, NULL, 10) < 1)
		add_missing(missing, setting, psprintf("is %s", value), "10");
}

static bool
find_missing(Missing *missing)
{
	const char *value;
	char	   *completed;

	initStringInfo(&missing->detail);
	initStringInfo(&missing->hint);

	value = GetConfigOption("wal_level", false, false);
	if (strcmp(value, "logical") != 0)
		add_missing(missing, "wal_level", psprintf("is \"%s\"", value), "'logical'");
	if (sp_shared == NULL)
		add_missing_library(missing, "shared_preload_libraries",
							GetConfigOption("shared_preload_libraries", false, false));
	value = GetConfigOption("output_plugin_libraries", true, false);
	if (value != NULL && !names_library(value, &completed))
		add_missing_library(missing, "output_plugin_libraries", value);
	check_limit(missing, "max_replication_slots");
	check_limit(missing, "max_active_replication_origins");
	return missing->detail.len > 0;
}

void
sp_environment_check(void)
{
	Missing		missing;

	if (find_missing(&missing))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("this server is not set up for streams"),
				 errdetail("%s.", missing.detail.data),
				 errhint("As a superuser: %sthen restart the server.", missing.hint.data)));
}

char *
sp_environment_problem(void)
{
	Missing		missing;

	return find_missing(&missing) ?
		psprintf("this server is not set up for streams: %s", missing.detail.data) : NULL;
}
