/*
 * model_text.h
 *	  The text of a model: METHOD:HEX.
 */
#ifndef SP_MODEL_TEXT_H
#define SP_MODEL_TEXT_H

#include "postgres.h"

#include "kernel/batch/model.h"

/* How long the model would be in bytes; NULL, or why the text isn't one's. */
extern const char *sp_model_text_size(const char *text, Size *size);

/* Read it into memory of that size, aligned to 8 bytes; likewise. */
extern const char *sp_model_text_read(const char *text, SpModel *model, Size size,
									  SpModelView *view);

#endif
