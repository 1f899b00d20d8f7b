/*
 * server_file.c
 *	  Temporary files, in memory: of segments, as they are on disk, but short ones.
 *
 * BufFileWrite()'s prototype differs between versions by a const: its header is not
 * included.
 */
#include "server.h"

#include "utils/memutils.h"

#include "fuzz.h"

#define SEGMENT_SIZE	40000

typedef struct BufFile
{
	char	   *data;
	size_t		allocated;
	size_t		size;
	size_t		position;
} BufFile;

extern BufFile *BufFileCreateTemp(bool interXact);
extern void BufFileClose(BufFile *file);
extern size_t BufFileRead(BufFile *file, void *ptr, size_t size);
extern void BufFileWrite(BufFile *file, const void *ptr, size_t size);
extern int	BufFileSeek(BufFile *file, int fileno, off_t offset, int whence);
extern void BufFileTell(BufFile *file, int *fileno, off_t *offset);

BufFile *
BufFileCreateTemp(bool interXact)
{
	demand(interXact);
	return palloc0(sizeof(BufFile));
}

void
BufFileClose(BufFile *file)
{
	if (file->data != NULL)
		pfree(file->data);
	pfree(file);
}

size_t
BufFileRead(BufFile *file, void *ptr, size_t size)
{
	size = Min(size, file->size - file->position);
	memcpy(ptr, file->data + file->position, size);
	file->position += size;
	return size;
}

void
BufFileWrite(BufFile *file, const void *ptr, size_t size)
{
	if (file->position + size > file->allocated)
	{
		char	   *larger = palloc0((file->position + size) * 2);

		if (file->size > 0)
			memcpy(larger, file->data, file->size);
		if (file->data != NULL)
			pfree(file->data);
		file->data = larger;
		file->allocated = (file->position + size) * 2;
	}
	file->size = Max(file->size, file->position + size);
	memcpy(file->data + file->position, ptr, size);
	file->position += size;
}

int
BufFileSeek(BufFile *file, int fileno, off_t offset, int whence)
{
	size_t		position = (size_t) fileno * SEGMENT_SIZE + offset;

	demand(whence == SEEK_SET && offset >= 0);
	if (position > file->size)
		return EOF;
	file->position = position;
	return 0;
}

void
BufFileTell(BufFile *file, int *fileno, off_t *offset)
{
	*fileno = file->position / SEGMENT_SIZE;
	*offset = file->position % SEGMENT_SIZE;
}
