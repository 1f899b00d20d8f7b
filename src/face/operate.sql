/*
 * Operating the worker of this database.
 */

CREATE FUNCTION streamproc.wait_for(
	lsn pg_catalog.pg_lsn DEFAULT NULL,
	timeout pg_catalog.interval DEFAULT '60 seconds')
RETURNS pg_catalog.void
LANGUAGE c VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT
AS 'MODULE_PATHNAME', 'sp_wait_for';

COMMENT ON FUNCTION streamproc.wait_for(pg_catalog.pg_lsn, pg_catalog.interval) IS
'waits until everything committed before lsn is in the results, pending triggers included; lsn NULL, the default, means before this call; a timeout of 0 only asks, and none may be null or negative';

CREATE FUNCTION streamproc.start()
RETURNS pg_catalog.void
LANGUAGE c VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT
AS 'MODULE_PATHNAME', 'sp_start';

REVOKE ALL ON FUNCTION streamproc.start() FROM PUBLIC;

COMMENT ON FUNCTION streamproc.start() IS
'starts the worker of this database again after stop(), or when streamproc.autostart is off';

CREATE FUNCTION streamproc.stop(timeout pg_catalog.interval DEFAULT '30 seconds')
RETURNS pg_catalog.void
LANGUAGE c VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT
AS 'MODULE_PATHNAME', 'sp_stop';

REVOKE ALL ON FUNCTION streamproc.stop(pg_catalog.interval) FROM PUBLIC;

COMMENT ON FUNCTION streamproc.stop(pg_catalog.interval) IS
'ends the worker of this database, until start() or a server restart; WAL is kept for it; the timeout may not be null or negative';

CREATE FUNCTION streamproc.worker_status(
	OUT pid pg_catalog.int4,
	OUT state pg_catalog.text,
	OUT started_at pg_catalog.timestamptz,
	OUT rows pg_catalog.int8,
	OUT rows_per_second pg_catalog.float8,
	OUT commits pg_catalog.int8,
	OUT batches pg_catalog.int8,
	OUT results pg_catalog.int8,
	OUT writing_cpu_seconds pg_catalog.float8,
	OUT alerts pg_catalog.int8,
	OUT dead_rows pg_catalog.int8,
	OUT checkpoints pg_catalog.int8,
	OUT longest_checkpoint_ms pg_catalog.float8,
	OUT checkpoint_slices pg_catalog.int8,
	OUT longest_pause_ms pg_catalog.float8,
	OUT state_bytes pg_catalog.int8,
	OUT spilled_pages pg_catalog.int8,
	OUT excess_bytes pg_catalog.int8,
	OUT memory_bytes pg_catalog.int8,
	OUT latency_p50_ms pg_catalog.float8,
	OUT latency_p99_ms pg_catalog.float8,
	OUT applied_lsn pg_catalog.pg_lsn,
	OUT lag_seconds pg_catalog.float8,
	OUT message pg_catalog.text)
RETURNS record
LANGUAGE c VOLATILE PARALLEL RESTRICTED CALLED ON NULL INPUT
AS 'MODULE_PATHNAME', 'sp_worker_status';

COMMENT ON FUNCTION streamproc.worker_status() IS 'the row of the view worker';

CREATE VIEW streamproc.worker AS
SELECT pid, state, started_at, rows, rows_per_second, commits, batches, results, writing_cpu_seconds, alerts, dead_rows,
	checkpoints, longest_checkpoint_ms, checkpoint_slices, longest_pause_ms, state_bytes, spilled_pages, excess_bytes,
	memory_bytes, latency_p50_ms, latency_p99_ms,
	applied_lsn, lag_seconds, message
FROM streamproc.worker_status();

GRANT SELECT ON streamproc.worker TO PUBLIC;

COMMENT ON VIEW streamproc.worker IS 'the worker of this database: state, and counts since its start';
COMMENT ON COLUMN streamproc.worker.pid IS 'its process; NULL when it is not running';
COMMENT ON COLUMN streamproc.worker.state IS
'running, starting, creating slot (waits for running transactions), stopped, failed or not running';
COMMENT ON COLUMN streamproc.worker.rows IS 'rows read from the WAL';
COMMENT ON COLUMN streamproc.worker.commits IS 'transactions with such rows';
COMMENT ON COLUMN streamproc.worker.batches IS
'groups of such transactions that were processed together';
COMMENT ON COLUMN streamproc.worker.results IS 'result rows written';
COMMENT ON COLUMN streamproc.worker.writing_cpu_seconds IS
'CPU time that writing result rows took';
COMMENT ON COLUMN streamproc.worker.dead_rows IS 'rows that went to dead_letter';
COMMENT ON COLUMN streamproc.worker.longest_checkpoint_ms IS
'from the beginning of a checkpoint to its end; rows are processed meanwhile';
COMMENT ON COLUMN streamproc.worker.checkpoint_slices IS
'pieces in which checkpoints were written, between batches of rows';
COMMENT ON COLUMN streamproc.worker.longest_pause_ms IS
'how long rows had to wait for one of them, at most';
COMMENT ON COLUMN streamproc.worker.spilled_pages IS
'pages of 64 keys that are in temporary files now: see streamproc.max_state_memory';
COMMENT ON COLUMN streamproc.worker.excess_bytes IS
'memory of state beyond streamproc.max_state_memory, which can''t be moved to temporary files: see the log';
COMMENT ON COLUMN streamproc.worker.memory_bytes IS
'private memory of the process; NULL when unknown';
COMMENT ON COLUMN streamproc.worker.latency_p50_ms IS
'half of the commits had their results committed so many milliseconds later, or sooner';
COMMENT ON COLUMN streamproc.worker.applied_lsn IS 'everything committed before it is in the results';
COMMENT ON COLUMN streamproc.worker.lag_seconds IS
'0 when every commit of this database is in the results; else how long ago the oldest was made that is not, at most; NULL: unknown since a restart of the server';
COMMENT ON COLUMN streamproc.worker.message IS 'why it does not run';
COMMENT ON COLUMN streamproc.worker.started_at IS
	'when it started';
COMMENT ON COLUMN streamproc.worker.rows_per_second IS
	'in the last seconds';
COMMENT ON COLUMN streamproc.worker.alerts IS
	'rows that detectors have written';
COMMENT ON COLUMN streamproc.worker.checkpoints IS
	'how often the state was saved';
COMMENT ON COLUMN streamproc.worker.state_bytes IS
	'size of the state of all objects in memory';
COMMENT ON COLUMN streamproc.worker.latency_p99_ms IS
	'the same for 99 of 100 commits';
