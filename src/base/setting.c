/*
 * setting.c
 *	  Checks settings that come from the WAL.
 */
#include "postgres.h"

#include <math.h>

#include "base/setting.h"

const char *
sp_setting_check(const SpSetting *setting, Size size)
{
	if (size < sizeof(SpSetting))
		return "it is too short";
	if (setting->chunk.magic != SP_CHUNK_SETTING || setting->chunk.size != size ||
		setting->chunk.nrows != 1 || setting->chunk.sequence != SP_CHUNK_UNSEQUENCED)
		return "its header is not that of a setting";
	if (setting->kind < SP_SETTING_SET || setting->kind > SP_SETTING_UNSET_ALL)
		return "it is of no known kind";
	if (setting->nkeys > INDEX_MAX_KEYS || size - sizeof(SpSetting) < sizeof(Oid) * setting->nkeys)
		return "its keys are too many";
	if (setting->direction < -1 || setting->direction > SP_DIRECTION_OWN ||
		isinf(setting->threshold) || setting->threshold <= 0)
		return "its values are none that can be set";
	return NULL;
}
