/*
 * The tables that hold definitions and durable state.
 *
 * Definitions (stream, window, detector) are dumped by pg_dump.  State
 * (object_state, position, state_page, secret) belongs to this database's
 * replication slot and is not: restored objects come up detached.
 *
 * Column names here are read by src/catalog/definition.c and written by the
 * create_* verbs in src/face.
 */

GRANT USAGE ON SCHEMA streamproc TO PUBLIC;

CREATE SEQUENCE streamproc.object_id AS int4;

CREATE TABLE streamproc.stream (
	id int4 PRIMARY KEY DEFAULT pg_catalog.nextval('streamproc.object_id'),
	relation regclass NOT NULL UNIQUE,
	expressions regclass,			-- view streamproc.expressions_<id>: the time column, if there is one, and
									-- those of the dedup_key; NULL: commit time and no such key
	time_column name,				-- as typed; renames are followed by the view
	watermark interval NOT NULL,
	idle_timeout interval NOT NULL,
	max_future interval NOT NULL,
	time_zone text NOT NULL,
	late text NOT NULL CHECK (late OPERATOR(pg_catalog.=) ANY (ARRAY['dead_letter', 'drop'])),
	dedup_key name[],				-- likewise
	dedup_within interval,
	on_update text NOT NULL CHECK (on_update OPERATOR(pg_catalog.=) ANY (ARRAY['ignore', 'retract', 'error'])),
	created_at timestamptz NOT NULL DEFAULT pg_catalog.now()
);

CREATE TABLE streamproc.window_definition (
	id int4 PRIMARY KEY DEFAULT pg_catalog.nextval('streamproc.object_id'),
	relation regclass NOT NULL UNIQUE,	-- the result table
	source regclass NOT NULL,			-- relation of a stream, or result table of a window
	expressions regclass NOT NULL,		-- view streamproc.expressions_<id>: see definition.h
	twin regclass,						-- view that computes the same by plain SQL; NULL: can't be
	changes regclass,					-- the change feed; NULL: none
	kind text NOT NULL,
	size interval,
	slide interval,
	gap interval,
	keys text[] NOT NULL,				-- 'expression AS name', as typed
	aggregates text[] NOT NULL,
	filter text,
	group_filter text,
	carry text[] NOT NULL,
	emit text NOT NULL CHECK (emit OPERATOR(pg_catalog.=) ANY (ARRAY['update', 'final'])),
	trigger interval NOT NULL,
	watermark interval,
	grace interval NOT NULL,
	origin timestamp,
	time_zone text NOT NULL,
	bounds text,
	fill text NOT NULL,
	retention interval,
	backfill boolean NOT NULL,
	session_settings text[] NOT NULL,	-- 'TimeZone=...', 'DateStyle=...', 'search_path=...' at creation
	created_at timestamptz NOT NULL DEFAULT pg_catalog.now()
);

CREATE TABLE streamproc.detector_definition (
	id int4 PRIMARY KEY DEFAULT pg_catalog.nextval('streamproc.object_id'),
	relation regclass NOT NULL UNIQUE,	-- the result table
	source regclass NOT NULL,			-- relation of a stream, or result table of a window
	expressions regclass NOT NULL,		-- view streamproc.expressions_<id>: see definition.h
	overrides regclass,					-- the table of overrides; NULL: none
	method text NOT NULL,
	value text,
	features text[],
	rules text[],
	keys text[] NOT NULL,				-- resolved: a window's keys, or none
	filter text,
	carry text[] NOT NULL,
	params jsonb NOT NULL,
	threshold float8,
	direction text NOT NULL CHECK (direction OPERATOR(pg_catalog.=) ANY (ARRAY['both', 'high', 'low'])),
	min_effect float8 NOT NULL,
	cooldown interval NOT NULL,
	learn text NOT NULL CHECK (learn OPERATOR(pg_catalog.=) ANY (ARRAY['all', 'normal', 'capped'])),
	sample text NOT NULL CHECK (sample OPERATOR(pg_catalog.=) ANY (ARRAY['final', 'update'])),
	trigger interval NOT NULL,
	history interval,
	store text NOT NULL CHECK (store OPERATOR(pg_catalog.=) ANY (ARRAY['anomalies', 'all'])),
	notify text,
	retention interval,
	backfill boolean NOT NULL,
	session_settings text[] NOT NULL,
	created_at timestamptz NOT NULL DEFAULT pg_catalog.now()
);

-- Detectors that judge rows before they are in.  The keys' states are in tables
-- streamproc.shield_<id>, which are dumped with their rows: the restored shield goes on.
CREATE TABLE streamproc.shield_definition (
	id int4 PRIMARY KEY,			-- the detector's
	source regclass NOT NULL,		-- the table that has the trigger
	states regclass,				-- NULL: the method needs none
	quarantine regclass,			-- NULL: another action
	action text NOT NULL CHECK (action OPERATOR(pg_catalog.=) ANY (ARRAY['reject', 'flag', 'quarantine'])),
	on_error text NOT NULL CHECK (on_error OPERATOR(pg_catalog.=) ANY (ARRAY['fail_closed', 'fail_open'])),
	created_at timestamptz NOT NULL DEFAULT pg_catalog.now()
);

-- One row for each object that this database's worker has met.  An object
-- without one is new ('starting') when the worker has a position, or came by
-- restore or CREATE DATABASE ... TEMPLATE ('detached').
CREATE TABLE streamproc.object_state (
	id int4 PRIMARY KEY,
	state text NOT NULL,			-- starting, running, paused, gap, detached, failed
	reason text,					-- why, for states other than running
	start_lsn pg_lsn,				-- commits before it are in the backfill, or before its creation
	requested text[] NOT NULL DEFAULT '{}',		-- the states that it has as of the commits of
	requested_by xid8[] NOT NULL DEFAULT '{}',	-- these transactions, not yet in a checkpoint
	changed_at timestamptz NOT NULL DEFAULT pg_catalog.now()
);

-- At most one row: how far the worker of this database has got.
CREATE TABLE streamproc.position (
	slot_name name NOT NULL,
	system_identifier int8 NOT NULL,	-- of the cluster the LSNs belong to
	timeline int4 NOT NULL,
	database oid NOT NULL,			-- tells a clone from its template
	state_lsn pg_lsn NOT NULL,		-- the state pages cover everything before
	generation int8 NOT NULL,		-- those of this generation, and of earlier ones
	object int4[] NOT NULL,			-- and for each of these objects
	output_lsn pg_lsn[] NOT NULL	-- its results are written up to here
) WITH (fillfactor = 50);

-- Checkpointed state: many keys a page, format in src/catalog/page.c.  A row holds at most
-- 4000 bytes of one, so that its old and its new version fit into one heap page.  A page
-- has two places: what a position makes valid stays while the other one is written.
CREATE TABLE streamproc.state_page (
	object int4 NOT NULL,
	page int4 NOT NULL,
	place int2 NOT NULL,
	part int4 NOT NULL,
	generation int8 NOT NULL,		-- valid once streamproc.position has it
	data bytea NOT NULL,
	PRIMARY KEY (object, page, place, part)
) WITH (fillfactor = 50, toast_tuple_target = 8160);
ALTER TABLE streamproc.state_page ALTER COLUMN data SET STORAGE EXTERNAL;

-- Rows that an object could not take.
CREATE TABLE streamproc.rejected_row (
	id int8 PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
	object int4 NOT NULL,			-- id of the stream, window or detector that rejected it
	relation regclass NOT NULL,		-- that object's relation
	source regclass NOT NULL,		-- the relation the row was written to
	reason text NOT NULL,			-- late, null_time, expression, transition, ...
	sqlstate text,
	message text,
	event_time timestamptz,			-- timestamps without zone: as if UTC
	lsn pg_lsn,						-- commit record of its transaction; NULL in a backfill
	ordinal int8,					-- nth row of that transaction for that source
	row_data jsonb NOT NULL,
	missed_until timestamptz,		-- end of the last window that it is not in, likewise; NULL: it is in none
	rejected_at timestamptz NOT NULL DEFAULT pg_catalog.now()
);
CREATE INDEX ON streamproc.rejected_row (object, event_time);

-- The key of our WAL messages.  Row security without a policy: not even
-- pg_read_all_data sees it.
CREATE TABLE streamproc.secret (key bytea NOT NULL);
ALTER TABLE streamproc.secret ENABLE ROW LEVEL SECURITY;

REVOKE ALL ON streamproc.stream, streamproc.window_definition, streamproc.detector_definition,
	streamproc.shield_definition, streamproc.object_state, streamproc.position, streamproc.state_page,
	streamproc.rejected_row, streamproc.secret FROM PUBLIC;
GRANT SELECT ON streamproc.stream, streamproc.window_definition, streamproc.detector_definition,
	streamproc.shield_definition, streamproc.position TO PUBLIC;
/* A reason may quote data: the view status shows it to those who may read the object. */
GRANT SELECT (id, state, start_lsn, changed_at) ON streamproc.object_state TO PUBLIC;

SELECT pg_catalog.pg_extension_config_dump('streamproc.object_id', '');
SELECT pg_catalog.pg_extension_config_dump('streamproc.stream', '');
SELECT pg_catalog.pg_extension_config_dump('streamproc.window_definition', '');
SELECT pg_catalog.pg_extension_config_dump('streamproc.detector_definition', '');
SELECT pg_catalog.pg_extension_config_dump('streamproc.shield_definition', '');

COMMENT ON SEQUENCE streamproc.object_id IS 'numbers streams, windows and detectors';
COMMENT ON TABLE streamproc.stream IS 'definitions of streams, written by create_stream()';
COMMENT ON TABLE streamproc.window_definition IS 'definitions of windows, written by create_window()';
COMMENT ON TABLE streamproc.detector_definition IS 'definitions of detectors, written by create_detector()';
COMMENT ON TABLE streamproc.shield_definition IS 'detectors that judge rows before they are in, written by enforce()';
COMMENT ON TABLE streamproc.object_state IS 'state of each object, written by the worker';
COMMENT ON TABLE streamproc.position IS 'how far the worker of this database has got';
COMMENT ON TABLE streamproc.state_page IS 'checkpointed state of windows and detectors';
COMMENT ON TABLE streamproc.rejected_row IS 'rows that an object could not take; read them through the view dead_letter';
COMMENT ON TABLE streamproc.secret IS 'key that authenticates this extension''s messages in the WAL';
