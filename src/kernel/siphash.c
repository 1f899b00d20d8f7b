/*
 * siphash.c
 *	  SipHash-2-4.
 */
#include <string.h>

#include "kernel/siphash.h"

#define ROTATE(x, bits) (((x) << (bits)) | ((x) >> (64 - (bits))))

#define ROUND(v0, v1, v2, v3) \
	do { \
		v0 += v1; v1 = ROTATE(v1, 13); v1 ^= v0; v0 = ROTATE(v0, 32); \
		v2 += v3; v3 = ROTATE(v3, 16); v3 ^= v2; \
		v0 += v3; v3 = ROTATE(v3, 21); v3 ^= v0; \
		v2 += v1; v1 = ROTATE(v1, 17); v1 ^= v2; v2 = ROTATE(v2, 32); \
	} while (0)

/* A little-endian word at any address. */
static inline uint64_t
load_word(const uint8_t *p)
{
	uint64_t	word;

	memcpy(&word, p, sizeof(word));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	word = __builtin_bswap64(word);
#endif
	return word;
}

/* Begin a hash under key. */
void
sp_siphash_init(SpSipHash *hash, const uint8_t key[SP_SIPHASH_KEY_SIZE])
{
	uint64_t	k0 = load_word(key);
	uint64_t	k1 = load_word(key + 8);

	hash->v0 = k0 ^ UINT64_C(0x736f6d6570736575);
	hash->v1 = k1 ^ UINT64_C(0x646f72616e646f6d);
	hash->v2 = k0 ^ UINT64_C(0x6c7967656e657261);
	hash->v3 = k1 ^ UINT64_C(0x7465646279746573);
	hash->size = 0;
}

/* Take in whole words. */
void
sp_siphash_update(SpSipHash *hash, const void *data, size_t size)
{
	const uint8_t *p = data;
	const uint8_t *end = p + size;
	uint64_t	v0 = hash->v0;
	uint64_t	v1 = hash->v1;
	uint64_t	v2 = hash->v2;
	uint64_t	v3 = hash->v3;

	for (; p < end; p += 8)
	{
		uint64_t	word = load_word(p);

		v3 ^= word;
		ROUND(v0, v1, v2, v3);
		ROUND(v0, v1, v2, v3);
		v0 ^= word;
	}

	hash->v0 = v0;
	hash->v1 = v1;
	hash->v2 = v2;
	hash->v3 = v3;
	hash->size += size;
}

/* Take in the rest and finish. */
uint64_t
sp_siphash_final(SpSipHash *hash, const void *data, size_t size)
{
	size_t		whole = size & ~(size_t) 7;
	uint8_t		last[8] = {0};

	sp_siphash_update(hash, data, whole);
	if (size > whole)
		memcpy(last, (const uint8_t *) data + whole, size - whole);
	last[7] = (uint8_t) (hash->size + (size - whole));
	sp_siphash_update(hash, last, sizeof(last));

	hash->v2 ^= 0xff;
	ROUND(hash->v0, hash->v1, hash->v2, hash->v3);
	ROUND(hash->v0, hash->v1, hash->v2, hash->v3);
	ROUND(hash->v0, hash->v1, hash->v2, hash->v3);
	ROUND(hash->v0, hash->v1, hash->v2, hash->v3);
	return hash->v0 ^ hash->v1 ^ hash->v2 ^ hash->v3;
}
