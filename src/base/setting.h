/*
 * setting.h
 *	  What a user has set for a key of a detector, on its way through the WAL to the engine.
 *
 * A setting is a chunk of one "row" in a format of its own: behind the struct follow the OIDs
 * of the keys' types, and the keys in the form of engine/group_page.c.  So it is spooled, and
 * forgotten with an aborted subtransaction, as rows are.
 */
#ifndef SP_SETTING_H
#define SP_SETTING_H

#include "base/row.h"

typedef enum SpSettingKind
{
	SP_SETTING_SET = 1,			/* the key has these values from here on */
	SP_SETTING_UNSET,			/* nothing is set for the key */
	SP_SETTING_UNSET_ALL		/* nor for any other; has no keys */
} SpSettingKind;

#define SP_DIRECTION_OWN	2	/* the detector's; else -1 low, 0 both, 1 high */

typedef struct SpSetting
{
	SpChunk		chunk;			/* SP_CHUNK_SETTING */
	int32		detector;
	uint8		kind;
	int8		direction;
	uint8		muted;
	uint8		nkeys;
	double		threshold;		/* NaN: the detector's */
	int64		false_positives;
	int64		true_positives;
	/* Oid types[nkeys]; then the keys, to the end */
} SpSetting;

StaticAssertDecl(sizeof(SpSetting) == 72, "SpSetting is a WAL format");

#define sp_setting_types(setting) ((const Oid *) ((setting) + 1))
#define sp_setting_keys(setting) \
	((const char *) ((setting) + 1) + sizeof(Oid) * (setting)->nkeys)
#define sp_setting_end(setting) ((const char *) (setting) + (setting)->chunk.size)

/* Is this one, that came from outside at an aligned address?  NULL, or what is wrong with it. */
extern const char *sp_setting_check(const SpSetting *setting, Size size);

#endif
