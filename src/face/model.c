/*
 * model.c
 *	  The type streamproc.model: models of batch methods as values.
 *
 * As text it is METHOD:HEX, as binary the bytes that these stand for.  They are a model's own, so
 * that they are read by the same kind of machine only.  Whatever comes from outside is looked
 * through before it is a value.
 */
#include "face/model.h"

#include "base/compat.h"
#include "common/shortest_dec.h"
#include "engine/model_text.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "libpq/pqformat.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(sp_model_in);
PG_FUNCTION_INFO_V1(sp_model_out);
PG_FUNCTION_INFO_V1(sp_model_recv);
PG_FUNCTION_INFO_V1(sp_model_send);
PG_FUNCTION_INFO_V1(sp_model_info);

SpModelValue *
sp_model_value_make(const char *method, double size)
{
	SpModelValue *value;

	if (size + SP_MODEL_VALUE_HEAD > MaxAllocSize)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("a model of method \"%s\" would have %.0f MB, and may have %.0f MB", method,
						size / 1048576, MaxAllocSize / 1048576.0),
				 errhint("Its parameters and the number of features decide how large it is.")));
	value = palloc(SP_MODEL_VALUE_HEAD + (Size) size);
	SET_VARSIZE(value, SP_MODEL_VALUE_HEAD + (Size) size);
	value->unused = 0;
	return value;
}

void
sp_model_value_open(const SpModelValue *value, SpModelView *view)
{
	const char *reason = sp_model_open(&value->model, sp_model_value_size(value), view);

	if (reason != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("a value of type streamproc.model can't be used: %s", reason),
				 errhint("Train it again.")));
}

/* ---- text ---- */

/* What isn't a model's text. */
static void
refuse_text(const char *reason)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
			 errmsg("invalid input syntax for type streamproc.model: %s", reason),
			 errhint("It is what the server writes a model as, METHOD:HEX.")));
}

Datum
sp_model_in(PG_FUNCTION_ARGS)
{
	char	   *text = PG_GETARG_CSTRING(0);
	const char *reason;
	SpModelValue *value;
	SpModelView view;
	Size		size;

	reason = sp_model_text_size(text, &size);
	if (reason != NULL)
		refuse_text(reason);
	value = sp_model_value_make("", (double) size);
	reason = sp_model_text_read(text, &value->model, size, &view);
	if (reason != NULL)
		refuse_text(reason);
	PG_RETURN_POINTER(value);
}

Datum
sp_model_out(PG_FUNCTION_ARGS)
{
	static const char digits[] = "0123456789abcdef";
	SpModelValue *value = (SpModelValue *) PG_GETARG_VARLENA_P(0);
	const unsigned char *from = (const unsigned char *) &value->model;
	Size		size = sp_model_value_size(value);
	SpModelView view;
	Size		length;
	char	   *text;

	sp_model_value_open(value, &view);
	length = strlen(view.kernel->name);
	if (length + 2 + 2 * size > MaxAllocSize)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("a model of %.0f MB is too large to be text", size / 1048576.0),
				 errhint("Read it in binary, as COPY WITH (FORMAT binary) does.")));
	text = palloc(length + 2 + 2 * size);
	memcpy(text, view.kernel->name, length);
	text[length] = ':';
	for (Size i = 0; i < size; i++)
	{
		text[length + 1 + 2 * i] = digits[from[i] >> 4];
		text[length + 2 + 2 * i] = digits[from[i] & 15];
	}
	text[length + 1 + 2 * size] = '\0';
	PG_RETURN_CSTRING(text);
}

/* ---- binary ---- */

Datum
sp_model_recv(PG_FUNCTION_ARGS)
{
	StringInfo	buf = (StringInfo) PG_GETARG_POINTER(0);
	int			size = buf->len - buf->cursor;
	SpModelValue *value = sp_model_value_make("", size);
	SpModelView view;
	const char *reason;

	pq_copymsgbytes(buf, (char *) &value->model, size);
	reason = sp_model_open(&value->model, size, &view);
	if (reason != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("invalid binary representation of type streamproc.model: %s", reason)));
	PG_RETURN_POINTER(value);
}

Datum
sp_model_send(PG_FUNCTION_ARGS)
{
	SpModelValue *value = (SpModelValue *) PG_GETARG_VARLENA_P(0);
	StringInfoData buf;

	pq_begintypsend(&buf);
	pq_sendbytes(&buf, (const char *) &value->model, (int) sp_model_value_size(value));
	PG_RETURN_BYTEA_P(pq_endtypsend(&buf));
}

/* ---- what it is ---- */

/* Append "name": value, with a comma before all but the first. */
static void
append_param(StringInfo buf, const SpParam *param, const void *params, bool is_first)
{
	const char *from = (const char *) params + param->offset;

	appendStringInfoString(buf, is_first ? "" : ", ");
	escape_json(buf, param->name);
	appendStringInfoString(buf, ": ");
	if (param->type == SP_PARAM_FLOAT)
	{
		char		digits[DOUBLE_SHORTEST_DECIMAL_LEN];

		double_to_shortest_decimal_buf(*(const double *) from, digits);
		appendStringInfoString(buf, digits);
	}
	else if (param->type == SP_PARAM_CHOICE)
		escape_json(buf, param->choices[*(const int32 *) from]);
	else
		appendStringInfo(buf, "%d", *(const int32 *) from);
}

/* What a model is, as jsonb. */
Datum
sp_model_info(PG_FUNCTION_ARGS)
{
	SpModelValue *value = (SpModelValue *) PG_GETARG_VARLENA_P(0);
	SpModelView view;
	StringInfoData buf;

	sp_model_value_open(value, &view);
	initStringInfo(&buf);
	appendStringInfo(&buf, "{\"method\": \"%s\", \"version\": %d, \"rows\": " UINT64_FORMAT
					 ", \"columns\": %d, \"bytes\": %zu, \"params\": {",
					 view.kernel->name, value->model.version, view.n, view.d,
					 sp_model_value_size(value));
	for (int i = 0; i < view.kernel->nparams; i++)
		append_param(&buf, &view.kernel->param_table[i], view.params, i == 0);
	appendStringInfoString(&buf, "}}");
	PG_RETURN_DATUM(DirectFunctionCall1(jsonb_in, CStringGetDatum(buf.data)));
}
