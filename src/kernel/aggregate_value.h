/*
 * aggregate_value.h
 *	  How PostgreSQL keeps numbers in a Datum: the low bits count.
 */
#ifndef SP_KERNEL_AGGREGATE_VALUE_H
#define SP_KERNEL_AGGREGATE_VALUE_H

#include <stdint.h>
#include <string.h>

static inline int64_t
int2_of(uint64_t bits)
{
	return (int16_t) bits;
}

static inline int64_t
int4_of(uint64_t bits)
{
	return (int32_t) bits;
}

static inline int64_t
int8_of(uint64_t bits)
{
	return (int64_t) bits;
}

static inline float
float4_of(uint64_t bits)
{
	uint32_t	low = (uint32_t) bits;
	float		value;

	memcpy(&value, &low, sizeof(value));
	return value;
}

static inline double
float8_of(uint64_t bits)
{
	double		value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}

static inline uint64_t
float4_bits(float value)
{
	int32_t		low;

	memcpy(&low, &value, sizeof(low));
	return (uint64_t) (int64_t) low;
}

static inline uint64_t
float8_bits(double value)
{
	uint64_t	bits;

	memcpy(&bits, &value, sizeof(bits));
	return bits;
}

#endif
