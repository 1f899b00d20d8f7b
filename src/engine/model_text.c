/*
 * model_text.c
 *	  Reads the text of a model.
 */
#include "engine/model_text.h"

const char *
sp_model_text_size(const char *text, Size *size)
{
	Size		length = strcspn(text, ":");

	if (text[length] == '\0')
		return "there is no method";
	if (strlen(text + length + 1) % 2 != 0)
		return "a digit is missing";
	*size = strlen(text + length + 1) / 2;
	return NULL;
}

/* 0 to 15; -1: it isn't a digit. */
static inline int
read_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

const char *
sp_model_text_read(const char *text, SpModel *model, Size size, SpModelView *view)
{
	Size		length = strcspn(text, ":");	/* of the method */
	const char *hex = text + length + 1;
	const char *reason;

	for (Size i = 0; i < size; i++)
	{
		int			high = read_digit(hex[2 * i]);
		int			low = read_digit(hex[2 * i + 1]);

		if (high < 0 || low < 0)
			return "there is a character that is no hexadecimal digit";
		((char *) model)[i] = (char) (high * 16 + low);
	}
	reason = sp_model_open(model, size, view);
	if (reason != NULL)
		return reason;
	if (strlen(view->kernel->name) != length || strncmp(view->kernel->name, text, length) != 0)
		return "it is of another method";
	return NULL;
}
