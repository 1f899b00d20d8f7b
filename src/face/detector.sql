/*
 * Detectors: create_detector, drop_detector.
 */

CREATE FUNCTION streamproc.create_detector(
	name text,
	source regclass,
	method text = 'records',
	value text = NULL,
	features text[] = NULL,
	rules text[] = NULL,
	keys text[] = NULL,
	filter text = NULL,
	carry text[] = '{}',
	params jsonb = '{}',
	threshold float8 = NULL,
	direction text = 'both',
	min_effect float8 = 0,
	cooldown interval = '0',
	learn text = 'all',
	sample text = 'final',
	trigger interval = '0',
	history interval = NULL,
	store text = 'anomalies',
	notify text = NULL,
	retention interval = NULL,
	backfill boolean = true,
	if_not_exists boolean = false,
	replace boolean = false)
RETURNS regclass
LANGUAGE C VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT
AS 'MODULE_PATHNAME', 'sp_create_detector';

COMMENT ON FUNCTION streamproc.create_detector(text, regclass, text, text, text[], text[], text[], text, text[], jsonb,
	float8, text, float8, interval, text, text, interval, interval, text, text, interval, boolean, boolean, boolean) IS
	'creates the table name, which receives what a detector finds in a stream or window';

CREATE FUNCTION streamproc.drop_detector(name regclass, "cascade" boolean = false)
RETURNS void
LANGUAGE C VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT
AS 'MODULE_PATHNAME', 'sp_drop_detector';

COMMENT ON FUNCTION streamproc.drop_detector(regclass, boolean) IS
	'drops a detector and its result table; cascade drops views on it, too';

-- Triggers of the tables of overrides and of result tables call them; whoever owns a table may create those.
CREATE FUNCTION streamproc.follow_override() RETURNS trigger
LANGUAGE C VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT
AS 'MODULE_PATHNAME', 'sp_follow_override';

COMMENT ON FUNCTION streamproc.follow_override() IS
	'tells the worker what has changed in the table of overrides of a detector';

CREATE FUNCTION streamproc.follow_label() RETURNS trigger
LANGUAGE C VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT
AS 'MODULE_PATHNAME', 'sp_follow_label';

COMMENT ON FUNCTION streamproc.follow_label() IS
	'counts in the table of overrides of a detector how many of its alerts were labelled as false and as true positives';
