/*
 * server_error.c
 *	  ereport(): an error is a jump to where server_try() was called.
 *
 * Messages are formatted, so that what they name is read.
 */
#include "server.h"

#include <stdarg.h>
#include <stdio.h>

#include "fuzz.h"

#undef fprintf
#undef vsnprintf

char		server_message[1024];

sigjmp_buf *PG_exception_stack = NULL;
ErrorContextCallback *error_context_stack = NULL;

static int	level;				/* of the message being put together */
static int	state;				/* its SQLSTATE */
static int	raised;				/* that of the last error */

bool
errstart(int elevel, const char *domain)
{
	level = elevel;
	state = elevel >= ERROR ? ERRCODE_INTERNAL_ERROR : ERRCODE_SUCCESSFUL_COMPLETION;
	server_message[0] = '\0';
	return true;
}

bool
errstart_cold(int elevel, const char *domain)
{
	return errstart(elevel, domain);
}

int
errcode(int sqlerrcode)
{
	state = sqlerrcode;
	return 0;
}

int
errcode_for_file_access(void)
{
	return errcode(ERRCODE_IO_ERROR);
}

/* Append to the message. */
static int
append_message(const char *format, va_list args)
{
	size_t		used = strlen(server_message);

	if (used > 0 && used + 2 < sizeof(server_message))
	{
		strcat(server_message, "; ");
		used += 2;
	}
	vsnprintf(server_message + used, sizeof(server_message) - used, format, args);
	return 0;
}

#define MESSAGE_FUNCTION(name) \
int \
name(const char *fmt,...) \
{ \
	va_list		args; \
\
	va_start(args, fmt); \
	append_message(fmt, args); \
	va_end(args); \
	return 0; \
}

MESSAGE_FUNCTION(errmsg)
MESSAGE_FUNCTION(errmsg_internal)
MESSAGE_FUNCTION(errdetail)
MESSAGE_FUNCTION(errdetail_internal)
MESSAGE_FUNCTION(errhint)

void
errfinish(const char *filename, int lineno, const char *funcname)
{
	if (level < ERROR)
		return;
	raised = state;
	pg_re_throw();
}

void
pg_re_throw(void)
{
	if (PG_exception_stack == NULL)
	{
		fprintf(stderr, "error where none is expected: %s\n", server_message);
		abort();
	}
	siglongjmp(*PG_exception_stack, 1);
}

/* Of what is raised the code and the message are known. */
ErrorData *
CopyErrorData(void)
{
	ErrorData  *error = palloc0(sizeof(ErrorData));

	error->sqlerrcode = raised;
	error->message = server_message;
	return error;
}

void
FlushErrorState(void)
{
}

void
FreeErrorData(ErrorData *error)
{
	pfree(error);
}

/* Call a function; returns the SQLSTATE of the error that it raised, or 0. */
int
server_try(void (*function) (void *arg), void *arg)
{
	sigjmp_buf *outer_stack = PG_exception_stack;
	MemoryContext context = CurrentMemoryContext;
	sigjmp_buf	here;
	volatile int result = 0;

	if (sigsetjmp(here, 0) == 0)
	{
		PG_exception_stack = &here;
		function(arg);
	}
	else
		result = raised;
	PG_exception_stack = outer_stack;
	CurrentMemoryContext = context;
	return result;
}
