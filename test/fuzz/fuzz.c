/*
 * fuzz.c
 *	  What the fuzz targets share.
 *
 * "TARGET --seeds FOLDER" writes the seeds and ends; with any other arguments the
 * fuzzer takes over.
 */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>

extern int	LLVMFuzzerInitialize(int *argc, char ***argv);
extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
extern void ExceptionalCondition(const char *condition);

static const char *seed_folder = NULL;
static int	nseeds = 0;

/* A claim didn't hold. */
void
fuzz_fail(const char *file, int line, const char *claim)
{
	fprintf(stderr, "%s:%d: claim failed: %s\n", file, line, claim);
	abort();
}

/* An Assert() of the server's failed.  What else it says depends on the version. */
void
ExceptionalCondition(const char *condition)
{
	fuzz_fail("Assert", 0, condition);
}

/* Write a seed.  It is tried at once: a generator that makes nonsense says so. */
void
fuzz_seed(const void *data, size_t size)
{
	char		path[4096];
	FILE	   *file;

	snprintf(path, sizeof(path), "%s/seed-%04d", seed_folder, nseeds++);
	file = fopen(path, "wb");
	if (file == NULL || fwrite(data, 1, size, file) != size || fclose(file) != 0)
	{
		perror(path);
		exit(1);
	}
	fuzz_one(data, size);
}

/* Random bytes, by Marsaglia's xorshift64*. */
void
fuzz_random(uint64_t *state, void *to, size_t size)
{
	uint8_t    *p = to;

	for (size_t i = 0; i < size; i++)
	{
		*state ^= *state >> 12;
		*state ^= *state << 25;
		*state ^= *state >> 27;
		p[i] = (uint8_t) ((*state * UINT64_C(2685821657736338717)) >> 56);
	}
}

/* Before the first input. */
int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	if (*argc == 3 && strcmp((*argv)[1], "--seeds") == 0)
	{
		seed_folder = (*argv)[2];
		fuzz_seeds();
		exit(nseeds > 0 ? 0 : 1);
	}
	return 0;
}

/* An input. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_one(data, size);
	return 0;
}

/* Read every byte. */
void
fuzz_touch(const void *data, size_t size)
{
	static volatile uint8_t sum;
	const uint8_t *p = data;

	for (size_t i = 0; i < size; i++)
		sum = (uint8_t) (sum + p[i]);
}

/* A copy behind whose last byte nothing may be read. */
char *
fuzz_copy(const void *data, size_t size, size_t shift)
{
	char	   *copy = malloc(shift + size);

	demand(copy != NULL || shift + size == 0);
	if (size > 0)
		memcpy(copy + shift, data, size);
	return copy + shift;
}

/* Give it back. */
void
fuzz_free(char *copy, size_t shift)
{
	free(copy - shift);
}
