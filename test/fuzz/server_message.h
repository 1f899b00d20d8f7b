/*
 * server_message.h
 *	  The message that was written last, and under what it was signed.
 */
#ifndef SP_FUZZ_SERVER_MESSAGE_H
#define SP_FUZZ_SERVER_MESSAGE_H

#include "postgres.h"

#include "kernel/siphash.h"

extern const uint8 server_key[SP_SIPHASH_KEY_SIZE];
extern TransactionId server_top_xid;

/* Gets every message that is written to the WAL. */
extern void (*server_receive) (const char *prefix, const char *message, Size size,
							   bool transactional);

#endif
