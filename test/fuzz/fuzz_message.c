/*
 * fuzz_message.c
 *	  Messages in the WAL: sp_message_check() takes those that were signed with the key, for
 *	  this database and transaction, and no others; and reads nothing outside of them.
 *
 * Whether one is ours is found out here again, from what catalog/message.h says, with a
 * SipHash that takes bytes one by one.
 */
#include "server.h"

#include "access/transam.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "base/setting.h"
#include "catalog/message.h"
#include "server_message.h"

#include "fuzz.h"

/* What an input does. */
enum
{
	TRY_BYTES,					/* as they are */
	TRY_SIGNED,					/* with the header's constants and signature made right */
	TRY_WRITTEN,				/* a message of ours, damaged */
	NMODES
};

static char written[sizeof(SpMessage) + 4096];
static Size written_size;
static bool written_transactional;

/* ---- SipHash-2-4, as its authors describe it ---- */

static uint64
rotate(uint64 x, int bits)
{
	return x << bits | x >> (64 - bits);
}

static void
sip_rounds(uint64 v[4], int n)
{
	while (n-- > 0)
	{
		v[0] += v[1];
		v[2] += v[3];
		v[1] = rotate(v[1], 13) ^ v[0];
		v[3] = rotate(v[3], 16) ^ v[2];
		v[0] = rotate(v[0], 32);
		v[2] += v[1];
		v[0] += v[3];
		v[1] = rotate(v[1], 17) ^ v[2];
		v[3] = rotate(v[3], 21) ^ v[0];
		v[2] = rotate(v[2], 32);
	}
}

/* Byte i of a message with its mac zeroed, and the size as the last of all. */
static uint8
byte_of(const char *message, Size size, Size i, Size padded)
{
	if (i >= offsetof(SpMessage, mac) && i < offsetof(SpMessage, mac) + sizeof(uint64))
		return 0;
	if (i < size)
		return (uint8) message[i];
	return i == padded - 1 ? (uint8) size : 0;
}

static uint64
reference_mac(const char *message, Size size)
{
	Size		padded = size / 8 * 8 + 8;
	uint64		k[2] = {0, 0};
	uint64		v[4];

	for (int i = 0; i < SP_SIPHASH_KEY_SIZE; i++)
		k[i / 8] |= (uint64) server_key[i] << 8 * (i % 8);
	v[0] = k[0] ^ UINT64CONST(0x736f6d6570736575);
	v[1] = k[1] ^ UINT64CONST(0x646f72616e646f6d);
	v[2] = k[0] ^ UINT64CONST(0x6c7967656e657261);
	v[3] = k[1] ^ UINT64CONST(0x7465646279746573);
	for (Size i = 0; i < padded; i += 8)
	{
		uint64		word = 0;

		for (int j = 0; j < 8; j++)
			word |= (uint64) byte_of(message, size, i + j, padded) << 8 * j;
		v[3] ^= word;
		sip_rounds(v, 2);
		v[0] ^= word;
	}
	v[2] ^= 0xff;
	sip_rounds(v, 4);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* ---- messages ---- */

/* What sp_message_check() has to say of bytes met in a transaction. */
static int
reference_check(const char *data, Size size, TransactionId xid)
{
	SpMessage	header;
	Size		payload = size - sizeof(SpMessage);

	if (size < sizeof(SpMessage))
		return 0;
	memcpy(&header, data, sizeof(header));
	if (header.magic != SP_MESSAGE_MAGIC || header.version != 1 || header.size != size ||
		header.xid != xid || header.database != MyDatabaseId || header.unused != 0 ||
		header.mac != reference_mac(data, size))
		return 0;
	if (header.kind == SP_MESSAGE_TICK)
		return xid == 0 && payload == sizeof(SpTick) ? SP_MESSAGE_TICK : 0;
	if (header.kind == SP_MESSAGE_CONTROL)
		return xid != 0 && payload == 0 ? SP_MESSAGE_CONTROL : 0;
	if (header.kind == SP_MESSAGE_CHUNK)
		return xid != 0 && payload >= sizeof(SpChunk) ? SP_MESSAGE_CHUNK : 0;
	if (header.kind == SP_MESSAGE_SETTING)
		return xid != 0 && payload >= sizeof(SpSetting) ? SP_MESSAGE_SETTING : 0;
	if (header.kind == SP_MESSAGE_REPORT)
		return xid == 0 && payload >= sizeof(SpReport) ? SP_MESSAGE_REPORT : 0;
	return 0;
}

/* Check bytes that end where their memory ends; both must agree. */
static int
try_message(const char *data, Size size, TransactionId xid, Size shift)
{
	char	   *copy = fuzz_copy(data, size, shift);
	int			kind = sp_message_check(copy, size, xid);

	demand(kind == reference_check(copy, size, xid));
	fuzz_free(copy, shift);
	return kind;
}

/* Bytes with a right header and signature, but for kind and transaction. */
static void
try_signed(FuzzInput *in, TransactionId xid, Size shift)
{
	Size		size = Min(input_left(in) + sizeof(SpMessage), sizeof(written));
	SpMessage	header = {0};

	header.magic = SP_MESSAGE_MAGIC;
	header.version = 1;
	header.kind = take_below(in, 7);
	header.size = size;
	header.xid = xid;
	header.database = MyDatabaseId;
	take_bytes(in, written + sizeof(header), size - sizeof(header));
	memcpy(written, &header, sizeof(header));
	header.mac = reference_mac(written, size);
	memcpy(written, &header, sizeof(header));
	(void) try_message(written, size, xid, shift);
}

/* A message was written. */
static void
receive(const char *prefix, const char *message, Size size, bool transactional)
{
	demand(strcmp(prefix, SP_MESSAGE_PREFIX) == 0);
	demand(size <= sizeof(written));
	memcpy(written, message, size);
	written_size = size;
	written_transactional = transactional;
}

/* Write one of a kind. */
static void
write_message(FuzzInput *in, SpMessageKind kind)
{
	Size		size = sizeof(SpMessage) + sizeof(SpSetting) + take_byte(in);
	SpMessage  *message;

	if (kind == SP_MESSAGE_TICK)
		(void) sp_message_tick(take_uint32(in), take_uint64(in), take_uint64(in));
	else if (kind == SP_MESSAGE_CONTROL)
		sp_message_control();
	else if (kind == SP_MESSAGE_SETTING)
	{
		message = palloc0(size);
		sp_message_setting(message, size - sizeof(SpMessage));
	}
	else
	{
		bool		transactional = kind == SP_MESSAGE_CHUNK;

		message = palloc(size);
		take_bytes(in, message + 1, size - sizeof(SpMessage));
		sp_message_init(message, kind, size, transactional ? server_top_xid : InvalidTransactionId);
		(void) sp_message_emit(message, transactional);
	}
	demand(written_transactional == (kind != SP_MESSAGE_TICK && kind != SP_MESSAGE_REPORT));
}

/* A message of ours is taken as it is, and not otherwise. */
static void
try_written(FuzzInput *in, Size shift)
{
	SpMessageKind kind = SP_MESSAGE_CHUNK + take_below(in, 5);
	char		original[sizeof(written)];
	TransactionId xid;
	Size		size;

	server_top_xid = FirstNormalTransactionId + take_byte(in);
	write_message(in, kind);
	xid = written_transactional ? server_top_xid : InvalidTransactionId;
	demand(try_message(written, written_size, xid, shift) == kind);

	/* In another transaction, or in none, or in one instead of none. */
	demand(try_message(written, written_size, xid + 1, shift) == 0);
	demand(try_message(written, written_size, xid == 0 ? server_top_xid : 0, shift) == 0);
	MyDatabaseId++;
	demand(try_message(written, written_size, xid, shift) == 0);
	MyDatabaseId--;

	/* Cut, or with some bytes changed or added. */
	memcpy(original, written, written_size);
	size = written_size;
	for (int i = take_below(in, 4); i > 0; i--)
		written[take_uint32(in) % size] ^= take_byte(in);
	if (take_below(in, 2) == 1)
		size = take_uint32(in) % (sizeof(written) + 1);
	if (size != written_size || memcmp(written, original, size) != 0)
		demand(try_message(written, size, xid, shift) == 0);
}

void
fuzz_one(const uint8_t *data, size_t size)
{
	FuzzInput	in = {data, data + size};
	unsigned	mode = take_below(&in, NMODES);
	Size		shift = take_below(&in, 8);
	TransactionId xid = take_byte(&in);

	server_init();
	server_receive = receive;
	if (mode == TRY_BYTES)
		(void) try_message((const char *) in.next, input_left(&in), xid, shift);
	else if (mode == TRY_SIGNED)
		try_signed(&in, xid, shift);
	else
		try_written(&in, shift);
	MemoryContextReset(TopTransactionContext);
}

/* Of each mode and kind a few; and the bytes of messages of ours. */
void
fuzz_seeds(void)
{
	uint64		state = 2;
	uint8		bytes[3 + sizeof(written)];

	server_init();
	for (int i = 0; i < 36; i++)
	{
		Size		size = 8 + i * 4;
		FuzzInput	in = {bytes, bytes + size};

		fuzz_random(&state, bytes, size);
		bytes[0] = i % NMODES;
		bytes[3] = i / NMODES;	/* the kind */
		fuzz_seed(bytes, size);

		server_receive = receive;
		write_message(&in, SP_MESSAGE_CHUNK + i % 5);
		bytes[0] = TRY_BYTES;
		bytes[1] = i;
		bytes[2] = written_transactional ? server_top_xid : InvalidTransactionId;
		memcpy(bytes + 3, written, written_size);
		fuzz_seed(bytes, 3 + written_size);
	}
}
