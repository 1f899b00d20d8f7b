/*
 * What each object has met so far, for status: written at checkpoints, and when somebody
 * waits for results.  It belongs to the state, and isn't dumped.
 */
CREATE TABLE streamproc.object_progress (
	id int4 PRIMARY KEY,
	watermark timestamptz,			-- streams and windows; times without zone: as instants
	rows int8 NOT NULL,				-- taken, since the object was activated
	late int8 NOT NULL,				-- not taken by a window, or its stream: too old
	updates int8 NOT NULL,			-- of a stream's rows; likewise:
	deletes int8 NOT NULL,
	truncates int8 NOT NULL,
	duplicates int8 NOT NULL,		-- of a stream's rows: taken by nobody
	retracted int8 NOT NULL,		-- taken back from a window
	ignored int8 NOT NULL,			-- not taken back, or not as an UPDATE left them: past grace
	keys int8 NOT NULL,				-- of a detector that has state; without keys 1, once there was a row
	ready int8 NOT NULL,			-- of these: have learned enough to score
	learned int8 NOT NULL,			-- values, by the last of them that was not ready
	needed int8 NOT NULL			-- values, by each of them; 0: they are ready at once
) WITH (fillfactor = 50);

REVOKE ALL ON streamproc.object_progress FROM PUBLIC;
GRANT SELECT ON streamproc.object_progress TO PUBLIC;

COMMENT ON TABLE streamproc.object_progress IS 'what each object has met so far, written by the worker';
