# Rows are inserted, updated, deleted and truncated while the worker is killed: windows hold what plain SQL says.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use StreamprocOracle;
use StreamprocTest;

# So little memory that transactions are streamed while they run, and their rows go to files.
my $node = new_cluster('retract', conf => <<'CONF');
streamproc.debug_points = on
streamproc.checkpoint_interval = 1
streamproc.spool_memory = 64
logical_decoding_work_mem = 64kB
CONF
my $seed = 1;
my $aggregates = q{ARRAY['count(*) AS n', 'sum(value) AS total', 'max(value) AS high', 'sum(weight) AS weight',
	'array_agg(value ORDER BY value) AS list', 'count(DISTINCT note) AS notes']};

$node->safe_psql('postgres', <<"SQL");
CREATE TABLE event (id int PRIMARY KEY, key int, value int, weight numeric, note text, ts timestamptz NOT NULL)
	PARTITION BY HASH (id);
CREATE TABLE event_0 PARTITION OF event FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE event_1 PARTITION OF event FOR VALUES WITH (MODULUS 2, REMAINDER 1);
ALTER TABLE event_0 REPLICA IDENTITY FULL, ALTER note SET STORAGE EXTERNAL;
ALTER TABLE event_1 REPLICA IDENTITY FULL, ALTER note SET STORAGE EXTERNAL;
SELECT streamproc.create_stream('event', time_column => 'ts', idle_timeout => '1 day', on_update => 'retract');
SELECT streamproc.create_window('by_minute', 'event', kind => 'tumbling', size => '1 minute', grace => '10 days',
	keys => ARRAY['key'], aggregates => $aggregates);
SELECT streamproc.create_window('slow', 'event', kind => 'tumbling', size => '1 minute', grace => '10 days',
	keys => ARRAY['key'], aggregates => $aggregates, trigger => '1 hour');
SELECT streamproc.create_window('closed', 'event', kind => 'tumbling', size => '1 minute', grace => '10 days',
	keys => ARRAY['key'], aggregates => $aggregates, emit => 'final');
SELECT streamproc.create_window('hops', 'event', kind => 'hopping', size => '3 minutes', slide => '1 minute', grace => '10 days',
	keys => ARRAY['key'], aggregates => $aggregates, emit => 'final');
SELECT streamproc.create_window('native_hops', 'event', kind => 'hopping', size => '3 minutes', slide => '1 minute', grace => '10 days',
	keys => ARRAY['key'], aggregates => ARRAY['count(*) AS n', 'sum(value) AS total'], emit => 'final');
SELECT streamproc.create_window('stays', 'event', kind => 'session', gap => '4 seconds', grace => '10 days',
	keys => ARRAY['key'], aggregates => $aggregates);
SELECT streamproc.create_window('native_stays', 'event', kind => 'session', gap => '4 seconds', grace => '10 days',
	keys => ARRAY['key'], aggregates => ARRAY['count(*) AS n', 'sum(value) AS total'], emit => 'final', trigger => '1 hour');
SELECT streamproc.create_window('totals', 'event', kind => 'global', keys => ARRAY['key'], aggregates => $aggregates);

-- One transaction that changes the table in all ways; a part of it is taken back.
CREATE PROCEDURE change(seed int) LANGUAGE plpgsql AS \$\$
DECLARE
	first int;
	newest timestamptz;
BEGIN
	PERFORM setseed(seed % 1000 / 1000.0);
	FOR i IN 1 .. 6 LOOP
		first := floor(random() * 200);
		newest := coalesce((SELECT max(ts) FROM event), '2026-01-01 00:00+00');
		INSERT INTO event SELECT g, g % 4, random() * 100, round((random() * 10)::numeric, (g % 3)), repeat(md5(g::text), g % 5 * 100),
			newest + (random() * 90 - 60) * interval '1 second'
			FROM generate_series(0, 199) g WHERE g NOT IN (SELECT id FROM event) ORDER BY (g + first) % 200 LIMIT 20;
		UPDATE event SET value = value + 1, key = (key + 1) % 4 WHERE id BETWEEN first AND first + 20;
		UPDATE event SET id = id + 1000 WHERE id % 50 = first % 50 AND id < 1000;
		UPDATE event SET id = id - 1000 WHERE id >= 1000 AND id - 1000 NOT IN (SELECT id FROM event);
		UPDATE event SET ts = ts - interval '70 seconds', note = NULL WHERE id % 37 = first % 37;
		BEGIN
			DELETE FROM event WHERE id % 2 = 0;
			UPDATE event SET value = 0;
			IF random() < 0.9 THEN
				RAISE EXCEPTION 'never mind';
			END IF;
		EXCEPTION WHEN raise_exception THEN
			DELETE FROM event WHERE id BETWEEN first + 10 AND first + 20;
		END;
		IF random() < 0.02 THEN
			TRUNCATE event;
		END IF;
	END LOOP;
END
\$\$;
SQL
wait_for($node);

sub load
{
	# The server may be down, or go down: then the transaction is there or not, and the oracle sees the same.
	$node->psql('postgres', 'CALL change(' . $seed++ . ')');
	return;
}

# The aggregates of a query's rows, by window and key.
sub expected
{
	my ($from, $where) = @_;
	return "SELECT w.window_start, key, count(*), sum(value), max(value), sum(weight), array_agg(value ORDER BY value),
		count(DISTINCT note) FROM event, $from WHERE $where GROUP BY 1, 2";
}

sub results_ok
{
	my ($what) = @_;
	my $minutes = q{LATERAL (SELECT date_bin('1 minute', ts, '2000-01-03 00:00+00') AS window_start, interval '1 minute' AS size) w};
	my $hops = q{LATERAL (SELECT date_bin('1 minute', ts, '2000-01-03 00:00+00') - i * interval '1 minute' AS window_start,
		interval '3 minutes' AS size FROM generate_series(0, 2) i) w};
	my $sessions = q{(SELECT *, min(ts) OVER s AS window_start, max(ts) OVER s + interval '4 seconds' AS window_end FROM (
		SELECT *, count(*) FILTER (WHERE goes_on IS NOT TRUE) OVER (PARTITION BY key ORDER BY ts) AS session FROM (
			SELECT *, ts - lag(ts) OVER (PARTITION BY key ORDER BY ts) < interval '4 seconds' AS goes_on FROM event) e) e
		WINDOW s AS (PARTITION BY key, session)) e};
	my $closed = q{w.window_start + size <= (SELECT watermark FROM streamproc.status WHERE name = 'event'::regclass)};
	my $columns = 'window_start, key, n, total, high, weight, list, notes';

	$node->safe_psql('postgres', 'SELECT streamproc.wait_for()');
	my @checks = (
		[ 'by_minute', "SELECT $columns FROM by_minute", expected($minutes, 'true') ],
		[ 'slow', "SELECT $columns FROM slow", expected($minutes, 'true') ],
		[ 'closed', "SELECT $columns FROM closed", expected($minutes, $closed) ],
		[ 'hops', "SELECT $columns FROM hops", expected($hops, $closed) ],
		[ 'native_hops', 'SELECT window_start, key, n, total FROM native_hops',
			"SELECT w.window_start, key, count(*), sum(value) FROM event, $hops WHERE $closed GROUP BY 1, 2" ],
		[ 'stays', "SELECT $columns, window_end FROM stays",
			"SELECT window_start, key, count(*), sum(value), max(value), sum(weight), array_agg(value ORDER BY value),
				count(DISTINCT note), window_end FROM $sessions GROUP BY window_start, window_end, key" ],
		[ 'native_stays', 'SELECT window_start, window_end, key, n, total FROM native_stays',
			"SELECT window_start, window_end, key, count(*), sum(value) FROM $sessions
				WHERE window_end <= (SELECT watermark FROM streamproc.status WHERE name = 'event'::regclass) GROUP BY 1, 2, 3" ],
		[ 'totals', 'SELECT key, n, total, high, weight, list, notes FROM totals',
			'SELECT key, count(*), sum(value), max(value), sum(weight), array_agg(value ORDER BY value), count(DISTINCT note)
			FROM event GROUP BY 1' ]);
	my $wrong = '';
	for my $check (@checks)
	{
		my $n = differences($node, 'postgres', $check->[1], $check->[2]);
		$wrong .= "$check->[0] differs in $n rows; " if $n != 0;
	}
	my $unwell = unwell($node);
	$wrong .= "$unwell objects or rows are not well; " if $unwell != 0;
	is($wrong, '', "$what: results are those of plain SQL");
	return;
}

load() for 1 .. 5;
results_ok('at first');
cmp_ok($node->safe_psql('postgres', q{SELECT sum(retracted) FROM streamproc.status}), '>', 1000, 'rows are taken back');

for my $point ('decoded', 'before-write-commit', 'applied', 'checkpoint-slice', 'mid-checkpoint', 'checkpointed', 'confirmed')
{
	load_until_killed($node, $point, \&load);
	results_ok("killed at $point");
}

# What is taken back while history is read.
for my $point ('mid-backfill', 'backfilled', 'catching-up', 'before-publish')
{
	load_until_killed($node, $point, \&load, meanwhile => sub {
		$node->psql('postgres', <<"SQL");
SELECT streamproc.create_window('later', 'event', kind => 'tumbling', size => '1 minute', grace => '10 days',
	keys => ARRAY['key'], aggregates => $aggregates, replace => to_regclass('later') IS NOT NULL);
SQL
	});
	load() for 1 .. 2;
	results_ok("killed at $point");
	is( differences($node, 'postgres', 'SELECT window_start, key, n, total, weight FROM later',
			'SELECT window_start, key, n, total, weight FROM by_minute'),
		0, "$point: the window that was being filled is exact");
}

# The machine fails, and nothing more is changed: what is done is done.
$node->psql('postgres', 'BEGIN; CALL change(7); TRUNCATE event; CALL change(8); COMMIT');
crash($node);
results_ok('after a crash');

$node->stop;
done_testing();
