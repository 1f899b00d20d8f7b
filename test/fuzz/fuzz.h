/*
 * fuzz.h
 *	  What the fuzz targets share: claims that must hold, their input taken apart, seeds.
 *
 * A target is a file fuzz_NAME.c with two functions: fuzz_one(), which does something
 * with any bytes whatever, and fuzz_seeds(), which makes the inputs to begin with.
 */
#ifndef SP_FUZZ_H
#define SP_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* A claim about the code under test.  Where it fails, the fuzzer keeps the input. */
#define demand(condition) \
	do { \
		if (!(condition)) \
			fuzz_fail(__FILE__, __LINE__, #condition); \
	} while (0)

extern void fuzz_fail(const char *file, int line, const char *claim) __attribute__((noreturn));

/* The target's. */
extern void fuzz_one(const uint8_t *data, size_t size);
extern void fuzz_seeds(void);

/* Write an input to begin with; only from fuzz_seeds(). */
extern void fuzz_seed(const void *data, size_t size);

/* Random bytes for seeds: the same in every run. */
extern void fuzz_random(uint64_t *state, void *to, size_t size);

/* Read every byte, so that one outside of what was allocated is noticed. */
extern void fuzz_touch(const void *data, size_t size);

/* A copy that ends where its allocation ends, shift bytes behind a multiple of 16; and free. */
extern char *fuzz_copy(const void *data, size_t size, size_t shift);
extern void fuzz_free(char *copy, size_t shift);

/* An input, taken from the front.  Behind its end stand zeros. */
typedef struct FuzzInput
{
	const uint8_t *next;
	const uint8_t *end;
} FuzzInput;

static inline size_t
input_left(const FuzzInput *in)
{
	return (size_t) (in->end - in->next);
}

static inline uint8_t
take_byte(FuzzInput *in)
{
	return in->next < in->end ? *in->next++ : 0;
}

/* One of n. */
static inline unsigned
take_below(FuzzInput *in, unsigned n)
{
	return take_byte(in) % n;
}

static inline void
take_bytes(FuzzInput *in, void *to, size_t size)
{
	size_t		n = input_left(in) < size ? input_left(in) : size;

	if (n > 0)
		memcpy(to, in->next, n);
	memset((char *) to + n, 0, size - n);
	in->next += n;
}

static inline uint32_t
take_uint32(FuzzInput *in)
{
	uint32_t	value;

	take_bytes(in, &value, sizeof(value));
	return value;
}

static inline uint64_t
take_uint64(FuzzInput *in)
{
	uint64_t	value;

	take_bytes(in, &value, sizeof(value));
	return value;
}

#endif
