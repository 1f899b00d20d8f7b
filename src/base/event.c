/*
 * event.c
 *	  Spools: the rows of a transaction, in memory and then in a temporary file.
 *
 * Chunks are copied one behind the other into blocks.  The index has an entry for each
 * run of chunks that stand together and share their xid: chunks know their own size, so
 * a run is read by stepping through it, and a transaction whose rows alternate between
 * many partitions doesn't need an entry for each row.
 *
 * When all spools together hold more than streamproc.spool_memory, the largest one moves
 * what it has in memory to its file, in runs again.  Both survive transactions: blocks
 * live in a context of their own, files belong to no resource owner and go with the
 * process.
 *
 * What an aborted subtransaction wrote is only noted, and dropped from the index when it
 * is next read, counted or moved: aborts may be as many as rows.
 */
#include "postgres.h"

#include "access/transam.h"
#include "storage/buffile.h"
#include "utils/memutils.h"

#include "base/event.h"
#include "base/guc.h"

#define BLOCK_SMALLEST		512
#define BLOCK_LARGEST		((Size) 1024 * 1024)
#define RUN_LARGEST			((Size) 256 * 1024)
#define MOVE_SMALLEST		((Size) 64 * 1024)	/* a file isn't worth it for less */

typedef struct Block
{
	struct Block *next;
	Size		size;			/* of data */
	Size		used;
	char		data[FLEXIBLE_ARRAY_MEMBER];
} Block;

StaticAssertDecl(offsetof(Block, data) == MAXALIGN(offsetof(Block, data)),
				 "chunks in a block must be aligned");

/* Chunks that stand together, of one (sub)transaction. */
typedef struct Run
{
	TransactionId xid;
	uint32		sequence;		/* of the first chunk, or SP_CHUNK_UNSEQUENCED */
	uint32		nchunks;
	uint32		nrows;
	Size		size;
	char	   *data;			/* NULL: in the file */
	off_t		offset;			/* there */
	int			fileno;
} Run;

struct SpSpool
{
	dlist_node	node;			/* in all_spools */

	/* index */
	Run		   *runs;
	uint32		nruns;
	uint32		runs_allocated;
	uint64		nrows;
	bool		out_of_order;	/* sequenced chunks came in another order */
	uint32		last_sequence;
	TransactionId *aborted;		/* not yet dropped from the index */
	uint32		naborted;
	uint32		aborted_allocated;

	/* where the chunks are */
	Block	   *blocks;			/* newest first */
	Size		memory;			/* blocks and index */
	Size		block_memory;
	BufFile    *file;
	int			end_fileno;		/* where to go on writing */
	off_t		end_offset;

	/* reading */
	bool		is_reading;
	uint32		next_run;
	uint32		left;			/* chunks in the run being read */
	const char *next;			/* the next one */
	char	   *buffer;			/* a run read from the file */
	Size		buffer_size;
};

static MemoryContext spool_context = NULL;
static dlist_head all_spools = DLIST_STATIC_INIT(all_spools);
static Size total_memory = 0;

static void drop_aborted(SpSpool *spool);

/* Where events and spools live. */
static MemoryContext
event_memory(void)
{
	if (spool_context == NULL)
		spool_context = AllocSetContextCreate(TopMemoryContext, "streamproc events",
											  ALLOCSET_DEFAULT_SIZES);
	return spool_context;
}

/* An event of which nothing is known yet. */
SpEvent *
sp_event_create(SpEventKind kind)
{
	SpEvent    *event = MemoryContextAllocZero(event_memory(), sizeof(SpEvent));

	event->kind = kind;
	return event;
}

/* Copy a report in. */
void
sp_event_set_report(SpEvent *event, const char *report, Size size)
{
	event->report = MemoryContextAllocHuge(event_memory(), size);
	memcpy(event->report, report, size);
	event->report_size = size;
}

/* Give an event back, and its spools. */
void
sp_event_free(SpEvent *event)
{
	if (event->spool != NULL)
		sp_spool_free(event->spool);
	if (event->settings != NULL)
		sp_spool_free(event->settings);
	if (event->other != NULL)
		pfree(event->other);
	if (event->report != NULL)
		pfree(event->report);
	pfree(event);
}

/* Account for memory taken (or given back). */
static inline void
count_memory(SpSpool *spool, ssize_t bytes)
{
	spool->memory += bytes;
	total_memory += bytes;
}

/* An empty spool. */
SpSpool *
sp_spool_create(void)
{
	SpSpool    *spool = MemoryContextAllocZero(event_memory(), sizeof(SpSpool));

	dlist_push_tail(&all_spools, &spool->node);
	return spool;
}

/* Free what is in memory of the rows. */
static void
free_blocks(SpSpool *spool)
{
	while (spool->blocks != NULL)
	{
		Block	   *block = spool->blocks;

		spool->blocks = block->next;
		pfree(block);
	}
	count_memory(spool, -(ssize_t) spool->block_memory);
	spool->block_memory = 0;
}

/* Give everything back. */
void
sp_spool_free(SpSpool *spool)
{
	free_blocks(spool);
	count_memory(spool, -(ssize_t) spool->memory);
	if (spool->file != NULL)
		BufFileClose(spool->file);
	if (spool->runs != NULL)
		pfree(spool->runs);
	if (spool->aborted != NULL)
		pfree(spool->aborted);
	if (spool->buffer != NULL)
		pfree(spool->buffer);
	dlist_delete(&spool->node);
	pfree(spool);
}

/* Go to where the file is to be written on, creating it when there is none. */
static void
seek_end_of_file(SpSpool *spool)
{
	MemoryContext old = MemoryContextSwitchTo(event_memory());

	if (spool->file == NULL)
		spool->file = BufFileCreateTemp(true);
	else if (BufFileSeek(spool->file, spool->end_fileno, spool->end_offset, SEEK_SET) != 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not seek in the temporary file of a transaction's rows")));
	MemoryContextSwitchTo(old);
}

/* Move the chunks in memory to the file. */
static void
move_to_file(SpSpool *spool)
{
	MemoryContext old;

	drop_aborted(spool);
	seek_end_of_file(spool);

	/* The file may need another segment. */
	old = MemoryContextSwitchTo(event_memory());
	for (uint32 i = 0; i < spool->nruns; i++)
	{
		Run		   *run = &spool->runs[i];

		if (run->data == NULL)
			continue;
		BufFileTell(spool->file, &run->fileno, &run->offset);
		BufFileWrite(spool->file, run->data, run->size);
		run->data = NULL;
	}
	MemoryContextSwitchTo(old);
	BufFileTell(spool->file, &spool->end_fileno, &spool->end_offset);
	free_blocks(spool);
}

/* The spool with most in memory, among those that nobody reads. */
static SpSpool *
largest_spool(void)
{
	SpSpool    *largest = NULL;
	dlist_iter	iter;

	dlist_foreach(iter, &all_spools)
	{
		SpSpool    *spool = dlist_container(SpSpool, node, iter.cur);

		if (!spool->is_reading &&
			(largest == NULL || spool->block_memory > largest->block_memory))
			largest = spool;
	}
	return largest;
}

/* Move spools to files until the rest is below the limit. */
static void
relieve_memory(void)
{
	while (total_memory > (Size) sp_guc_spool_memory * 1024)
	{
		SpSpool    *spool = largest_spool();

		if (spool == NULL || spool->block_memory < MOVE_SMALLEST)
			break;
		move_to_file(spool);
	}
}

/* Room for a chunk, in the newest block or in a new one. */
static char *
take_room(SpSpool *spool, Size size)
{
	Block	   *block = spool->blocks;
	char	   *room;

	if (block == NULL || block->size - block->used < size)
	{
		Size		block_size = block == NULL ? BLOCK_SMALLEST : block->size * 2;

		block_size = Max(Min(block_size, BLOCK_LARGEST), size);
		block = MemoryContextAllocHuge(event_memory(), offsetof(Block, data) + block_size);
		block->size = block_size;
		block->used = 0;
		block->next = spool->blocks;
		spool->blocks = block;
		spool->block_memory += block_size;
		count_memory(spool, block_size);
	}
	room = block->data + block->used;
	block->used += size;
	return room;
}

/* A new entry at the end of the index. */
static Run *
add_run(SpSpool *spool)
{
	if (spool->nruns == spool->runs_allocated)
	{
		uint32		n = Max(spool->runs_allocated * 2, 4);
		Size		size = mul_size(n, sizeof(Run));

		if (spool->runs == NULL)
			spool->runs = MemoryContextAlloc(event_memory(), size);
		else
			spool->runs = repalloc_huge(spool->runs, size);
		count_memory(spool, (n - spool->runs_allocated) * sizeof(Run));
		spool->runs_allocated = n;
	}
	return &spool->runs[spool->nruns++];
}

/*
 * Does a chunk at data belong to the run?  A run of sequenced chunks has no gap, so that
 * runs can be ordered by their first chunks.
 */
static inline bool
continues_run(const Run *run, const SpChunk *chunk, const char *data)
{
	return run->xid == chunk->xid &&
		run->data != NULL && run->data + run->size == data &&
		run->size < RUN_LARGEST &&
		(chunk->sequence == SP_CHUNK_UNSEQUENCED ?
		 run->sequence == SP_CHUNK_UNSEQUENCED :
		 run->sequence != SP_CHUNK_UNSEQUENCED &&
		 run->sequence + run->nchunks == chunk->sequence);
}

/* Enter a chunk that was copied to data into the index. */
static void
index_chunk(SpSpool *spool, const SpChunk *chunk, char *data)
{
	Run		   *run = spool->nruns > 0 ? &spool->runs[spool->nruns - 1] : NULL;

	if (run == NULL || !continues_run(run, chunk, data))
	{
		run = add_run(spool);
		memset(run, 0, sizeof(Run));
		run->xid = chunk->xid;
		run->sequence = chunk->sequence;
		run->data = data;
	}
	run->nchunks++;
	run->nrows += chunk->nrows;
	run->size += MAXALIGN(chunk->size);
	spool->nrows += chunk->nrows;

	if (chunk->sequence != SP_CHUNK_UNSEQUENCED)
	{
		if (chunk->sequence < spool->last_sequence)
			spool->out_of_order = true;
		spool->last_sequence = chunk->sequence;
	}
}

/* Copy a chunk in, as rows of this source and shape. */
void
sp_spool_add_as(SpSpool *spool, const SpChunk *chunk, Oid source, uint32 shape)
{
	SpChunk    *copy = (SpChunk *) take_room(spool, MAXALIGN(chunk->size));

	memcpy(copy, chunk, chunk->size);
	copy->source = source;
	copy->shape = shape;
	index_chunk(spool, copy, (char *) copy);

	if (unlikely(total_memory > (Size) sp_guc_spool_memory * 1024))
		relieve_memory();
}

/* Copy a finished chunk in. */
void
sp_spool_add(SpSpool *spool, const SpChunk *chunk)
{
	sp_spool_add_as(spool, chunk, chunk->source, chunk->shape);
}

/* Copy a chunk in as part of no transaction. */
void
sp_spool_keep(SpSpool *spool, const SpChunk *chunk)
{
	SpChunk    *copy = (SpChunk *) take_room(spool, MAXALIGN(chunk->size));

	memcpy(copy, chunk, chunk->size);
	copy->xid = InvalidTransactionId;
	copy->sequence = SP_CHUNK_UNSEQUENCED;
	index_chunk(spool, copy, (char *) copy);

	if (unlikely(total_memory > (Size) sp_guc_spool_memory * 1024))
		relieve_memory();
}

/* Forget what this aborted (sub)transaction wrote. */
void
sp_spool_abort(SpSpool *spool, TransactionId xid)
{
	if (spool->naborted == spool->aborted_allocated)
	{
		uint32		n = Max(spool->aborted_allocated * 2, 16);
		Size		size = mul_size(n, sizeof(TransactionId));

		if (spool->aborted == NULL)
			spool->aborted = MemoryContextAlloc(event_memory(), size);
		else
			spool->aborted = repalloc_huge(spool->aborted, size);
		count_memory(spool, (n - spool->aborted_allocated) * sizeof(TransactionId));
		spool->aborted_allocated = n;
	}
	spool->aborted[spool->naborted++] = xid;
}

/* Order of transaction ids as numbers: only equality counts. */
static int
compare_xids(const void *a, const void *b)
{
	TransactionId x = *(const TransactionId *) a;
	TransactionId y = *(const TransactionId *) b;

	return x < y ? -1 : x > y;
}

/* Drop aborted runs from the index. */
static void
drop_aborted(SpSpool *spool)
{
	uint32		kept = 0;

	if (spool->naborted == 0)
		return;

	qsort(spool->aborted, spool->naborted, sizeof(TransactionId), compare_xids);
	for (uint32 i = 0; i < spool->nruns; i++)
	{
		Run		   *run = &spool->runs[i];

		if (bsearch(&run->xid, spool->aborted, spool->naborted, sizeof(TransactionId),
					compare_xids) != NULL)
			spool->nrows -= run->nrows;
		else
			spool->runs[kept++] = *run;
	}
	spool->nruns = kept;

	/* A transaction that was aborted writes no more. */
	spool->naborted = 0;
}

/* Bytes held in memory. */
Size
sp_spool_memory(const SpSpool *spool)
{
	return spool->memory;
}

/* Bytes held in memory by all spools. */
Size
sp_spool_memory_total(void)
{
	return total_memory;
}

/* Rows that were not aborted. */
uint64
sp_spool_rows(const SpSpool *spool)
{
	drop_aborted(unconstify(SpSpool *, spool));
	return spool->nrows;
}

/* Order of runs by sequence. */
static int
compare_sequence(const void *a, const void *b)
{
	uint32		x = ((const Run *) a)->sequence;
	uint32		y = ((const Run *) b)->sequence;

	return x < y ? -1 : x > y;
}

/*
 * Put sequenced runs into their order.  The places that they have among the runs of the
 * change feed stay as they are.
 */
static void
order_runs(SpSpool *spool)
{
	Run		   *sequenced;
	uint32		n = 0;

	sequenced = MemoryContextAllocHuge(event_memory(), spool->nruns * sizeof(Run));
	for (uint32 i = 0; i < spool->nruns; i++)
		if (spool->runs[i].sequence != SP_CHUNK_UNSEQUENCED)
			sequenced[n++] = spool->runs[i];
	qsort(sequenced, n, sizeof(Run), compare_sequence);

	n = 0;
	for (uint32 i = 0; i < spool->nruns; i++)
		if (spool->runs[i].sequence != SP_CHUNK_UNSEQUENCED)
			spool->runs[i] = sequenced[n++];
	pfree(sequenced);
	spool->out_of_order = false;
}

/* Read from the beginning. */
void
sp_spool_rewind(SpSpool *spool)
{
	drop_aborted(spool);
	if (spool->out_of_order && spool->nruns > 0)
		order_runs(spool);
	spool->is_reading = false;
	spool->next_run = 0;
	spool->left = 0;
}

/* Read a run from the file; returns where it is in memory. */
static const char *
read_run(SpSpool *spool, const Run *run)
{
	MemoryContext old = MemoryContextSwitchTo(event_memory());

	if (spool->buffer_size < run->size)
	{
		if (spool->buffer != NULL)
			pfree(spool->buffer);
		spool->buffer = NULL;
		spool->buffer = MemoryContextAllocHuge(event_memory(), run->size);
		count_memory(spool, run->size - spool->buffer_size);
		spool->buffer_size = run->size;
	}
	if (BufFileSeek(spool->file, run->fileno, run->offset, SEEK_SET) != 0 ||
		BufFileRead(spool->file, spool->buffer, run->size) != run->size)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not read a transaction's rows from their temporary file")));
	MemoryContextSwitchTo(old);
	return spool->buffer;
}

/* The next chunk, or NULL after the last. */
const SpChunk *
sp_spool_next(SpSpool *spool)
{
	const SpChunk *chunk;

	if (spool->left == 0)
	{
		const Run  *run;

		if (spool->next_run == spool->nruns)
		{
			spool->is_reading = false;
			return NULL;
		}
		run = &spool->runs[spool->next_run++];
		spool->next = run->data != NULL ? run->data : read_run(spool, run);
		spool->left = run->nchunks;
		spool->is_reading = true;
	}
	chunk = (const SpChunk *) spool->next;
	spool->next += MAXALIGN(chunk->size);
	spool->left--;
	return chunk;
}
