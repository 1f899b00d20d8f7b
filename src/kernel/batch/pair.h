/*
 * pair.h
 *	  Two numbers at once: sums of several of them stay in registers, as loops over arrays don't.
 *
 * Each number is computed as if it were alone.  What isn't made for that takes one after the other.
 */
#ifndef SP_PAIR_H
#define SP_PAIR_H

/* Aligned as a number is: memory that is lent may be no more than that. */
typedef double SpPair __attribute__((vector_size(16), aligned(8), may_alias));

#endif
