/*
 * Batch detectors by the name of a table.
 */

CREATE FUNCTION streamproc.detect(
	relation regclass,
	method text,
	features text[],
	partition_by text[] = '{}',
	order_by text = NULL,
	filter text = NULL,
	params jsonb = '{}',
	contamination float8 = NULL,
	into_table text = NULL)
RETURNS TABLE (
	tableoid oid,
	tid tid,
	key jsonb,
	score float8,
	is_anomaly boolean,
	explanation jsonb)
LANGUAGE C VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT
AS 'MODULE_PATHNAME', 'sp_detect';

COMMENT ON FUNCTION streamproc.detect(regclass, text, text[], text[], text, text, jsonb, float8, text) IS
	'a batch detector over a table''s rows, or those of each partition: their scores, returned or put into a new table; is_anomaly is NULL without contamination where the method has no threshold of its own';

CREATE FUNCTION streamproc.detect_progress()
RETURNS TABLE (
	pid int,
	datid oid,
	relid oid,
	method text,
	phase text,
	rows_total bigint,
	rows_read bigint,
	partitions_done bigint,
	rows_scored bigint,
	anomalies bigint)
LANGUAGE C STABLE PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'sp_detect_progress';

COMMENT ON FUNCTION streamproc.detect_progress() IS 'what streamproc.progress_detect shows';

CREATE VIEW streamproc.progress_detect AS
SELECT p.pid, p.datid, d.datname, p.relid, p.method, p.phase, nullif(p.rows_total, -1) AS rows_total, p.rows_read,
	p.partitions_done, p.rows_scored, p.anomalies
FROM streamproc.detect_progress() p LEFT JOIN pg_catalog.pg_database d ON d.oid = p.datid;

COMMENT ON VIEW streamproc.progress_detect IS
	'how far each detect() that is running has come; rows_total is the planner''s estimate';

COMMENT ON COLUMN streamproc.progress_detect.pid IS 'the process that runs it';
COMMENT ON COLUMN streamproc.progress_detect.datid IS 'its database';
COMMENT ON COLUMN streamproc.progress_detect.datname IS 'its database''s name';
COMMENT ON COLUMN streamproc.progress_detect.relid IS 'the table; NULL, as what follows, to those who may not see others'' statistics';
COMMENT ON COLUMN streamproc.progress_detect.method IS 'the method';
COMMENT ON COLUMN streamproc.progress_detect.phase IS 'reading rows of a partition, or scoring them';
COMMENT ON COLUMN streamproc.progress_detect.rows_total IS 'rows of the table, as the planner estimates them; NULL: never analyzed';
COMMENT ON COLUMN streamproc.progress_detect.rows_read IS 'rows read so far, in steps of 1024';
COMMENT ON COLUMN streamproc.progress_detect.partitions_done IS 'partitions that are scored';
COMMENT ON COLUMN streamproc.progress_detect.rows_scored IS 'rows of these';
COMMENT ON COLUMN streamproc.progress_detect.anomalies IS 'anomalies among these';

GRANT SELECT ON streamproc.progress_detect TO PUBLIC;
