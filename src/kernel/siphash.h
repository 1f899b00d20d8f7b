/*
 * siphash.h
 *	  SipHash-2-4: a keyed hash that can't be forged without the key.
 *
 * J.-P. Aumasson, D. J. Bernstein: "SipHash: a fast short-input PRF", 2012.
 */
#ifndef SP_SIPHASH_H
#define SP_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

#define SP_SIPHASH_KEY_SIZE 16

typedef struct SpSipHash
{
	uint64_t	v0,
				v1,
				v2,
				v3;
	uint64_t	size;			/* bytes taken in so far */
} SpSipHash;

extern void sp_siphash_init(SpSipHash *hash, const uint8_t key[SP_SIPHASH_KEY_SIZE]);

/* Take in data of any alignment; size must be a multiple of 8. */
extern void sp_siphash_update(SpSipHash *hash, const void *data, size_t size);

/* Take in the rest, of any size, and give the hash. */
extern uint64_t sp_siphash_final(SpSipHash *hash, const void *data, size_t size);

#endif
