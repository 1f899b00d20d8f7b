/*
 * What is going on: status, dead_letter, anomalies.
 *
 * The views read tables of the extension with its owner's rights, and show each user
 * what concerns relations that this user may read.
 */

CREATE FUNCTION streamproc.environment()
RETURNS text
LANGUAGE C STABLE PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'sp_environment';

COMMENT ON FUNCTION streamproc.environment() IS
	'which settings of the server are missing for streams; NULL: none';

CREATE VIEW streamproc.status WITH (security_barrier) AS
	SELECT
		o.relation AS name,
		o.kind,
		CASE
			WHEN NOT here.has_origin THEN 'detached'
			ELSE coalesce(s.requested[pg_catalog.cardinality(s.requested)], s.state, 'starting')
		END AS state,
		CASE
			WHEN here.has_origin AND s.state IN ('paused', 'gap', 'detached', 'failed') THEN s.reason
			WHEN NOT here.has_origin THEN 'it was restored, or cloned with its database: resume() starts it anew'
			WHEN here.problem IS NOT NULL THEN here.problem
			WHEN w.state <> 'running' THEN pg_catalog.concat_ws(': ', 'the worker is ' || w.state, w.message)
			ELSE s.reason
		END AS reason,
		o.source,
		CASE WHEN NOT pg_catalog.pg_is_in_recovery() THEN
			GREATEST(0, pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(),
				GREATEST(w.applied_lsn, p.output_lsn)))::bigint
		END AS lag_bytes,
		CASE WHEN NOT pg_catalog.pg_is_in_recovery() THEN w.lag_seconds END AS lag_seconds,
		p.output_lsn,
		CASE WHEN NOT pg_catalog.pg_is_in_recovery() THEN
			pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), slot.restart_lsn)::bigint
		END AS retained_bytes,
		g.watermark,
		g.rows,
		g.late,
		g.duplicates,
		CASE WHEN o.on_update = 'ignore' THEN g.updates + g.deletes + g.truncates ELSE g.ignored END AS ignored,
		g.retracted,
		(SELECT pg_catalog.count(*) FROM streamproc.rejected_row r WHERE r.object = o.id) AS rejected,
		CASE
			WHEN o.keys IS NULL OR g.needed = 0 OR g.ready > 0 AND g.ready = g.keys THEN NULL
			WHEN o.keys = 0 THEN 'warming up: ' || g.learned || ' of ' || g.needed || ' values'
			ELSE g.ready || ' of ' || g.keys || ' keys are ready (a key needs ' || g.needed || ' values)'
		END AS warm_up,
		s.changed_at AS state_since
	FROM (
			SELECT id, relation, 'stream' AS kind, NULL::regclass AS source, on_update, NULL::int4 AS keys FROM streamproc.stream
			UNION ALL
			SELECT id, relation, 'window', source, NULL, NULL FROM streamproc.window_definition
			UNION ALL
			SELECT id, relation, 'detector', source, NULL, pg_catalog.cardinality(keys) FROM streamproc.detector_definition) o
		CROSS JOIN (
			SELECT d.oid, 'streamproc_' || d.oid AS slot_name, streamproc.environment() AS problem,
				EXISTS (SELECT FROM pg_catalog.pg_replication_origin n
					WHERE n.roname = 'streamproc_' || d.oid) AS has_origin
			FROM pg_catalog.pg_database d
			WHERE d.datname = pg_catalog.current_database()) here
		CROSS JOIN streamproc.worker w
		LEFT JOIN streamproc.object_state s ON s.id = o.id
		LEFT JOIN streamproc.object_progress g ON g.id = o.id
		LEFT JOIN (
			SELECT u.id, u.output_lsn
			FROM streamproc.position q, ROWS FROM (
				pg_catalog.unnest(q.object), pg_catalog.unnest(q.output_lsn)) AS u (id, output_lsn)
			) p ON p.id = o.id
		LEFT JOIN pg_catalog.pg_replication_slots slot ON slot.slot_name = here.slot_name
	WHERE pg_catalog.has_table_privilege(o.relation, 'SELECT')
		OR pg_catalog.pg_has_role('pg_monitor', 'USAGE')
	ORDER BY o.id;

GRANT SELECT ON streamproc.status TO PUBLIC;

COMMENT ON VIEW streamproc.status IS
	'every stream, window and detector: its state, why, and how far it is';
COMMENT ON COLUMN streamproc.status.name IS
	'a stream''s table; a window''s or detector''s result table';
COMMENT ON COLUMN streamproc.status.kind IS
	'stream, window or detector';
COMMENT ON COLUMN streamproc.status.state IS
	'starting: not met by the worker yet; running; paused; gap: WAL that it needs is lost; detached: came by restore or clone; failed';
COMMENT ON COLUMN streamproc.status.reason IS
	'why it is in this state, or why the worker does not run';
COMMENT ON COLUMN streamproc.status.source IS
	'what a window or detector reads';
COMMENT ON COLUMN streamproc.status.lag_bytes IS
	'WAL that was written and is not in the results yet';
COMMENT ON COLUMN streamproc.status.lag_seconds IS
	'how long ago the oldest commit was made, at most, that the worker has not processed; 0: there is none';
COMMENT ON COLUMN streamproc.status.output_lsn IS
	'what was committed before is in the results on disk';
COMMENT ON COLUMN streamproc.status.retained_bytes IS
	'WAL that the server keeps for the worker of this database';
COMMENT ON COLUMN streamproc.status.watermark IS
	'of a stream: no row older than that is expected any more; of a window: windows that end there or before are final';
COMMENT ON COLUMN streamproc.status.rows IS
	'rows taken, as of the last checkpoint or wait_for(); likewise watermark, late, duplicates and ignored';
COMMENT ON COLUMN streamproc.status.late IS
	'rows that a window did not take, for they were too old; of a stream: too old to be told from duplicates';
COMMENT ON COLUMN streamproc.status.duplicates IS
	'rows of a stream that repeat another one within dedup_within: nobody took them';
COMMENT ON COLUMN streamproc.status.ignored IS
	'updates, deletes and truncates of a stream''s table, which are not followed; of a window: rows that were not taken back, for they are past grace';
COMMENT ON COLUMN streamproc.status.retracted IS
	'rows that an UPDATE, DELETE or TRUNCATE has taken back from a window (on_update ''retract'')';
COMMENT ON COLUMN streamproc.status.rejected IS
	'rows of it in dead_letter';
COMMENT ON COLUMN streamproc.status.warm_up IS
	'how far a detector is that must learn before it scores; NULL: it is ready, with all of its keys';
COMMENT ON COLUMN streamproc.status.state_since IS
	'when it came into this state';

CREATE VIEW streamproc.dead_letter WITH (security_barrier) AS
	SELECT r.id, r.relation AS name, r.source, r.reason, r.sqlstate, r.message, r.event_time, r.lsn, r.ordinal,
		r.row_data, r.rejected_at
	FROM streamproc.rejected_row r
	WHERE pg_catalog.has_table_privilege(r.source, 'SELECT')
		AND NOT pg_catalog.row_security_active(r.source);

GRANT SELECT ON streamproc.dead_letter TO PUBLIC;

COMMENT ON VIEW streamproc.dead_letter IS
	'rows that a stream, window or detector could not take, and why; of tables without policies that restrict you';
COMMENT ON COLUMN streamproc.dead_letter.id IS
	'in the order of rejection';
COMMENT ON COLUMN streamproc.dead_letter.name IS
	'the stream, window or detector';
COMMENT ON COLUMN streamproc.dead_letter.source IS
	'the table that the row was written to';
COMMENT ON COLUMN streamproc.dead_letter.reason IS
	'late, partial_late, duplicate, null_time, time_range, expression, transition, key_size, max_keys, ...; refusal: a row of a detector that its shield has refused and that its table could not take';
COMMENT ON COLUMN streamproc.dead_letter.sqlstate IS
	'of the error, if there was one';
COMMENT ON COLUMN streamproc.dead_letter.message IS
	'of the error, or what was the matter';
COMMENT ON COLUMN streamproc.dead_letter.event_time IS
	'its event time; a time without zone as if it were UTC';
COMMENT ON COLUMN streamproc.dead_letter.lsn IS
	'its transaction''s commit record in the WAL; NULL for a row of the history';
COMMENT ON COLUMN streamproc.dead_letter.ordinal IS
	'it was the so manieth row of that transaction for this source';
COMMENT ON COLUMN streamproc.dead_letter.row_data IS
	'the row';
COMMENT ON COLUMN streamproc.dead_letter.rejected_at IS
	'when the worker wrote this';

CREATE FUNCTION streamproc.all_anomalies()
RETURNS TABLE (
	detector regclass,
	id bigint,
	event_time timestamptz,
	key jsonb,
	value float8,
	score float8,
	p_value float8,
	threshold float8,
	is_anomaly boolean,
	alerts text[],
	explanation jsonb,
	detected_at timestamptz,
	status text,
	label text,
	note text)
LANGUAGE C STABLE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'sp_anomalies';

COMMENT ON FUNCTION streamproc.all_anomalies() IS
	'the rows of the view anomalies';

CREATE VIEW streamproc.anomalies AS
	SELECT detector, id, event_time, key, value, score, p_value, threshold, is_anomaly, alerts, explanation,
		detected_at, status, label, note
	FROM streamproc.all_anomalies();

GRANT SELECT ON streamproc.anomalies TO PUBLIC;

COMMENT ON VIEW streamproc.anomalies IS
	'what all detectors found whose result tables you may read, without policies that restrict you';
COMMENT ON COLUMN streamproc.anomalies.detector IS
	'the detector''s result table, where status, label and note can be updated';
COMMENT ON COLUMN streamproc.anomalies.id IS
	'of the row in that table';
COMMENT ON COLUMN streamproc.anomalies.event_time IS
	'when it happened';
COMMENT ON COLUMN streamproc.anomalies.key IS
	'the detector''s keys and their values';
COMMENT ON COLUMN streamproc.anomalies.value IS
	'what was scored';
COMMENT ON COLUMN streamproc.anomalies.score IS
	'the higher, the more anomalous';
COMMENT ON COLUMN streamproc.anomalies.p_value IS
	'how likely such a score is by chance; NULL: unknown';
COMMENT ON COLUMN streamproc.anomalies.threshold IS
	'the score from which on it is an anomaly';
COMMENT ON COLUMN streamproc.anomalies.is_anomaly IS
	'false where a detector stores all scores';
COMMENT ON COLUMN streamproc.anomalies.alerts IS
	'the rules that hold';
COMMENT ON COLUMN streamproc.anomalies.explanation IS
	'why';
COMMENT ON COLUMN streamproc.anomalies.detected_at IS
	'when the row was written';
COMMENT ON COLUMN streamproc.anomalies.status IS
	'open, or what you set';
COMMENT ON COLUMN streamproc.anomalies.label IS
	'yours';
COMMENT ON COLUMN streamproc.anomalies.note IS
	'yours';
