/*
 * The shield: enforce, unenforce.
 */

CREATE FUNCTION streamproc.enforce(
	detector regclass,
	action text = 'reject',
	on_error text = 'fail_closed')
RETURNS void
LANGUAGE C VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT
AS 'MODULE_PATHNAME', 'sp_enforce';

COMMENT ON FUNCTION streamproc.enforce(regclass, text, text) IS
	'lets a detector judge each row of its stream within the INSERT, and refuse it (reject), warn of it (flag), or put it aside (quarantine)';

CREATE FUNCTION streamproc.unenforce(detector regclass)
RETURNS void
LANGUAGE C VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT
AS 'MODULE_PATHNAME', 'sp_unenforce';

COMMENT ON FUNCTION streamproc.unenforce(regclass) IS
	'ends what enforce() began; the detector stays';

-- A trigger of each table with a shield calls it; whoever owns a table may create those.
CREATE FUNCTION streamproc.shield() RETURNS trigger
LANGUAGE C VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT
AS 'MODULE_PATHNAME', 'sp_shield_trigger';

COMMENT ON FUNCTION streamproc.shield() IS
	'judges a row before it is inserted: see enforce()';

CREATE FUNCTION streamproc.shield_unjudged(id int4, since timestamptz, OUT unjudged int8, OUT last_unjudged timestamptz)
LANGUAGE C VOLATILE PARALLEL SAFE STRICT
AS 'MODULE_PATHNAME', 'sp_shield_unjudged';

COMMENT ON FUNCTION streamproc.shield_unjudged(int4, timestamptz) IS
	'what the view shields tells of rows that were let in unjudged';

CREATE VIEW streamproc.shields WITH (security_barrier) AS
	SELECT d.relation AS detector, s.source, s.action, s.on_error, s.quarantine,
		problem.text IS NULL AS is_on,
		problem.text AS reason,
		s.created_at AS since,
		u.unjudged,
		u.last_unjudged
	FROM streamproc.shield_definition s
		JOIN streamproc.detector_definition d ON d.id = s.id
		CROSS JOIN LATERAL streamproc.shield_unjudged(s.id, s.created_at) u
		CROSS JOIN LATERAL (SELECT CASE
			WHEN t.tgenabled IS NULL THEN 'the trigger of the table is gone: call enforce() again'
			WHEN t.tgenabled = 'D' THEN 'the trigger of the table is disabled'
			WHEN t.tgenabled = 'R' THEN 'the trigger of the table fires on replicas only'
			WHEN s.states IS NOT NULL AND NOT EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = s.states)
				THEN 'the table of its states is gone: call enforce() again'
			END AS text
			FROM (SELECT) one LEFT JOIN pg_catalog.pg_trigger t ON t.tgrelid = s.source
				AND t.tgname = ('~streamproc_shield_' || s.id)) problem
	WHERE pg_catalog.has_table_privilege(d.relation, 'SELECT')
		OR pg_catalog.pg_has_role('pg_monitor', 'USAGE')
	ORDER BY d.id;

GRANT SELECT ON streamproc.shields TO PUBLIC;

COMMENT ON VIEW streamproc.shields IS
	'detectors that judge rows before they are in: see enforce()';
COMMENT ON COLUMN streamproc.shields.detector IS
	'its result table';
COMMENT ON COLUMN streamproc.shields.source IS
	'the table whose rows it judges';
COMMENT ON COLUMN streamproc.shields.action IS
	'what becomes of an anomaly: reject, flag or quarantine';
COMMENT ON COLUMN streamproc.shields.on_error IS
	'what becomes of a row that can''t be judged: fail_closed refuses it, fail_open lets it pass';
COMMENT ON COLUMN streamproc.shields.quarantine IS
	'the table that rows are put into, with action quarantine';
COMMENT ON COLUMN streamproc.shields.is_on IS
	'rows are judged';
COMMENT ON COLUMN streamproc.shields.reason IS
	'why they are not';
COMMENT ON COLUMN streamproc.shields.since IS
	'when enforce() was called';
COMMENT ON COLUMN streamproc.shields.unjudged IS
	'rows that it has let pass since then, or since the server''s start, because they could not be judged (fail_open), of whatever became of their transactions';
COMMENT ON COLUMN streamproc.shields.last_unjudged IS
	'when the last of them came';
