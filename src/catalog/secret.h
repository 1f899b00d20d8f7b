/*
 * secret.h
 *	  The key that authenticates this extension's messages in the WAL.
 *
 * It stands in streamproc.secret, written by CREATE EXTENSION, and is cached by each
 * process that uses it.
 */
#ifndef SP_SECRET_H
#define SP_SECRET_H

#include "kernel/siphash.h"

/*
 * The key.  Reads the table when nothing is cached or the table was replaced, for
 * which it needs a transaction without a historic snapshot; elsewhere (decoding) the
 * last key read is given.  So a process that decodes calls it once before, in a
 * transaction.  An error when there is no key.
 */
extern const uint8_t *sp_secret_get(void);

#endif
