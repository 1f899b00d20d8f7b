/*
 * What a detector would have said: backtest, backtest_rows, backtest_sweep.
 */

CREATE FUNCTION streamproc.backtest(
	detector regclass,
	start_time timestamptz = NULL,
	end_time timestamptz = NULL,
	labels text = NULL,
	params jsonb = NULL,
	threshold float8 = NULL,
	direction text = NULL,
	learn text = NULL,
	min_effect float8 = NULL,
	cooldown interval = NULL)
RETURNS TABLE (
	events bigint,
	anomalies bigint,
	alerts bigint,
	alerts_per_day float8,
	true_positives bigint,
	false_positives bigint,
	false_negatives bigint,
	"precision" float8,
	recall float8,
	f1 float8,
	latency interval)
LANGUAGE C VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT ROWS 1
AS 'MODULE_PATHNAME', 'sp_backtest';

COMMENT ON FUNCTION streamproc.backtest(regclass, timestamptz, timestamptz, text, jsonb, float8, text, text, float8, interval) IS
	'how many alerts a detector would have given over the history of its source, and with labels how many of them are right';

CREATE TYPE streamproc.backtest_row AS (
	event_time timestamptz,
	key jsonb,
	value float8,
	features float8[],
	score float8,
	p_value float8,
	threshold float8,
	is_anomaly boolean,
	is_alert boolean,
	expected float8,
	lower_bound float8,
	upper_bound float8,
	alerts text[],
	explanation jsonb);

COMMENT ON TYPE streamproc.backtest_row IS 'what a detector would have said of a row: see backtest_rows()';

CREATE FUNCTION streamproc.backtest_rows(
	detector regclass,
	start_time timestamptz = NULL,
	end_time timestamptz = NULL,
	params jsonb = NULL,
	threshold float8 = NULL,
	direction text = NULL,
	learn text = NULL,
	min_effect float8 = NULL,
	cooldown interval = NULL)
RETURNS SETOF streamproc.backtest_row
LANGUAGE C VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT
AS 'MODULE_PATHNAME', 'sp_backtest_rows';

COMMENT ON FUNCTION streamproc.backtest_rows(regclass, timestamptz, timestamptz, jsonb, float8, text, text, float8, interval) IS
	'what a detector would have said of each row of the history of its source';

CREATE FUNCTION streamproc.backtest_sweep(
	detector regclass,
	sweep jsonb,
	start_time timestamptz = NULL,
	end_time timestamptz = NULL,
	labels text = NULL)
RETURNS TABLE (
	params jsonb,
	events bigint,
	anomalies bigint,
	alerts bigint,
	alerts_per_day float8,
	true_positives bigint,
	false_positives bigint,
	false_negatives bigint,
	"precision" float8,
	recall float8,
	f1 float8,
	latency interval)
LANGUAGE C VOLATILE PARALLEL UNSAFE CALLED ON NULL INPUT
AS 'MODULE_PATHNAME', 'sp_backtest_sweep';

COMMENT ON FUNCTION streamproc.backtest_sweep(regclass, jsonb, timestamptz, timestamptz, text) IS
	'backtest() with each combination of the values that sweep lists for parameters, in one run over the rows';
