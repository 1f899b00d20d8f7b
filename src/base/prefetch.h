/*
 * prefetch.h
 *	  Having memory in the cache by the time it is looked at.
 */
#ifndef SP_PREFETCH_H
#define SP_PREFETCH_H

/*
 * GCC takes an inline function that does nothing but prefetch for one without an effect, and
 * leaves its calls out (GCC 12 at -O2); the asm, which is empty, counts as one.
 */
#define sp_prefetch(address) \
	do { \
		__builtin_prefetch(address); \
		__asm__ volatile (""); \
	} while (0)

#endif
