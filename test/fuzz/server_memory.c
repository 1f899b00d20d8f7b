/*
 * server_memory.c
 *	  Memory contexts, of which each allocation is the C library's.
 *
 * In front of what palloc() gives stands a header that ties it to its context.  It is
 * poisoned: only this file may look at it.
 */
#include "server.h"

#include <sanitizer/asan_interface.h>
#include <stdlib.h>

#include "nodes/memnodes.h"
#include "utils/memutils.h"

#include "fuzz.h"

typedef struct Allocation
{
	struct Allocation *next;	/* of the same context */
	struct Allocation *previous;
	MemoryContext context;
	Size		size;			/* without this header */
} Allocation;

StaticAssertDecl(sizeof(Allocation) % 16 == 0, "what stands behind it is aligned");

typedef struct Context
{
	MemoryContextData data;
	Allocation *first;
} Context;

MemoryContext TopMemoryContext = NULL;
MemoryContext TopTransactionContext = NULL;
MemoryContext CurTransactionContext = NULL;
MemoryContext CurrentMemoryContext = NULL;
MemoryContext ErrorContext = NULL;

/* Make a context. */
MemoryContext
AllocSetContextCreateInternal(MemoryContext parent, const char *name, Size minContextSize,
							  Size initBlockSize, Size maxBlockSize)
{
	Context    *context = calloc(1, sizeof(Context));

	demand(context != NULL);
	context->data.type = T_AllocSetContext;
	context->data.isReset = true;
	context->data.name = name;
	context->data.parent = parent;
	if (parent != NULL)
	{
		context->data.nextchild = parent->firstchild;
		if (parent->firstchild != NULL)
			parent->firstchild->prevchild = &context->data;
		parent->firstchild = &context->data;
	}
	return &context->data;
}

/* The contexts that are always there. */
void
server_init(void)
{
	if (TopMemoryContext != NULL)
		return;
	TopMemoryContext = AllocSetContextCreate(NULL, "top", ALLOCSET_DEFAULT_SIZES);
	ErrorContext = AllocSetContextCreate(TopMemoryContext, "error", ALLOCSET_DEFAULT_SIZES);
	TopTransactionContext = AllocSetContextCreate(TopMemoryContext, "transaction",
												  ALLOCSET_DEFAULT_SIZES);
	CurTransactionContext = TopTransactionContext;
	CurrentMemoryContext = TopTransactionContext;
}

/* The header of something allocated, open for reading and writing. */
static Allocation *
open_header(void *pointer)
{
	Allocation *allocation = (Allocation *) pointer - 1;

	ASAN_UNPOISON_MEMORY_REGION(allocation, sizeof(Allocation));
	return allocation;
}

/* And closed again. */
static void
close_header(Allocation *allocation)
{
	ASAN_POISON_MEMORY_REGION(allocation, sizeof(Allocation));
}

/* Tie an allocation, whose header is open, to its context. */
static void
link_allocation(Allocation *allocation)
{
	Context    *context = (Context *) allocation->context;

	allocation->previous = NULL;
	allocation->next = context->first;
	if (context->first != NULL)
	{
		Allocation *first = open_header(context->first + 1);

		first->previous = allocation;
		close_header(first);
	}
	context->first = allocation;
	context->data.isReset = false;
	context->data.mem_allocated += allocation->size;
}

/* And take it away from there. */
static void
unlink_allocation(Allocation *allocation)
{
	Context    *context = (Context *) allocation->context;

	context->data.mem_allocated -= allocation->size;
	if (allocation->previous != NULL)
	{
		Allocation *previous = open_header(allocation->previous + 1);

		previous->next = allocation->next;
		close_header(previous);
	}
	else
		context->first = allocation->next;
	if (allocation->next != NULL)
	{
		Allocation *next = open_header(allocation->next + 1);

		next->previous = allocation->previous;
		close_header(next);
	}
}

/* Give back all that is in a context, and the contexts below it. */
void
MemoryContextReset(MemoryContext context)
{
	Context    *own = (Context *) context;

	while (context->firstchild != NULL)
		MemoryContextDelete(context->firstchild);
	while (context->reset_cbs != NULL)
	{
		MemoryContextCallback *callback = context->reset_cbs;

		context->reset_cbs = callback->next;
		callback->func(callback->arg);
	}
	while (own->first != NULL)
		pfree(own->first + 1);
	demand(context->mem_allocated == 0);
	context->isReset = true;
}

/* Have a function called when a context is reset. */
void
MemoryContextRegisterResetCallback(MemoryContext context, MemoryContextCallback *callback)
{
	callback->next = context->reset_cbs;
	context->reset_cbs = callback;
	context->isReset = false;
}

/* The same, and the context itself. */
void
MemoryContextDelete(MemoryContext context)
{
	demand(context != CurrentMemoryContext);
	MemoryContextReset(context);
	if (context->prevchild != NULL)
		context->prevchild->nextchild = context->nextchild;
	else
		context->parent->firstchild = context->nextchild;
	if (context->nextchild != NULL)
		context->nextchild->prevchild = context->prevchild;
	free(context);
}

/* Bytes in a context, and in those below it. */
Size
MemoryContextMemAllocated(MemoryContext context, bool recurse)
{
	Size		size = context->mem_allocated;

	for (MemoryContext child = context->firstchild; child != NULL && recurse;
		 child = child->nextchild)
		size += MemoryContextMemAllocated(child, true);
	return size;
}

/* What something allocated takes. */
Size
GetMemoryChunkSpace(void *pointer)
{
	Allocation *allocation = open_header(pointer);
	Size		size = sizeof(Allocation) + allocation->size;

	close_header(allocation);
	return size;
}

/* What the server says of sizes that are beyond reason. */
static void
check_size(Size size, bool huge)
{
	if (huge ? !AllocHugeSizeIsValid(size) : !AllocSizeIsValid(size))
		elog(ERROR, "invalid memory alloc request size %zu", size);
}

/* Allocate. */
static void *
allocate(MemoryContext context, Size size, bool huge, bool zero)
{
	Allocation *allocation;

	demand(context != NULL);
	check_size(size, huge);
	allocation = malloc(sizeof(Allocation) + size);
	if (allocation == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	allocation->context = context;
	allocation->size = size;
	link_allocation(allocation);
	close_header(allocation);
	if (zero)
		memset(allocation + 1, 0, size);
	return allocation + 1;
}

void *
MemoryContextAlloc(MemoryContext context, Size size)
{
	return allocate(context, size, false, false);
}

void *
MemoryContextAllocZero(MemoryContext context, Size size)
{
	return allocate(context, size, false, true);
}

void *
MemoryContextAllocZeroAligned(MemoryContext context, Size size)
{
	return allocate(context, size, false, true);
}

void *
MemoryContextAllocHuge(MemoryContext context, Size size)
{
	return allocate(context, size, true, false);
}

void *
MemoryContextAllocExtended(MemoryContext context, Size size, int flags)
{
	return allocate(context, size, (flags & MCXT_ALLOC_HUGE) != 0,
					(flags & MCXT_ALLOC_ZERO) != 0);
}

void *
palloc(Size size)
{
	return allocate(CurrentMemoryContext, size, false, false);
}

void *
palloc0(Size size)
{
	return allocate(CurrentMemoryContext, size, false, true);
}

/* Give back. */
void
pfree(void *pointer)
{
	Allocation *allocation = open_header(pointer);

	unlink_allocation(allocation);
	free(allocation);
}

/* Another size; always at another place, so that nobody keeps the old one. */
static void *
reallocate(void *pointer, Size size, bool huge)
{
	Allocation *old = open_header(pointer);
	Size		old_size = old->size;
	MemoryContext context = old->context;
	void	   *result;

	close_header(old);
	result = allocate(context, size, huge, false);
	memcpy(result, pointer, Min(size, old_size));
	pfree(pointer);
	return result;
}

void *
repalloc(void *pointer, Size size)
{
	return reallocate(pointer, size, false);
}

void *
repalloc_huge(void *pointer, Size size)
{
	return reallocate(pointer, size, true);
}

/* A product that is a size. */
Size
mul_size(Size s1, Size s2)
{
	Size		result;

	if (__builtin_mul_overflow(s1, s2, &result))
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("requested size overflows")));
	return result;
}
