# Batch methods in the stream: the same rows have the same scores, once, whatever is killed, and whatever memory there is.
#
# The oracle cuts the rows into batches by the times of their commits, and has each scored together with its history by the
# window function of the same name.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use StreamprocTest;

my $node = new_cluster('micro_batch', conf => <<'CONF');
streamproc.checkpoint_interval = 1
streamproc.debug_points = on
streamproc.max_state_memory = 256kB
track_commit_timestamp = on
CONF

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub poll_ok { my ($query, $what) = @_; return ok($node->poll_query_until('postgres', $query), $what) }

sql(<<'SQL');
CREATE TABLE event (id bigint GENERATED ALWAYS AS IDENTITY, k int, ts timestamptz, x float8, y float8, name text);
SELECT streamproc.create_stream('event', time_column => 'ts', idle_timeout => '1 day');
SELECT streamproc.create_detector(n, 'event', 'isolation_forest', features => '{x,y}', keys => '{k}', carry => '{id AS event, name}', store => 'all',
	trigger => '40 milliseconds', history => '3 minutes', params => '{"trees": 10, "history_rows": 100, "warmup": 10}')
	FROM unnest('{timed,timed_too}'::text[]) n;
SELECT streamproc.create_detector('by_commit', 'event', 'lof', features => '{x,y}', keys => '{k}', carry => '{id AS event, name}', store => 'all',
	params => '{"k": 3, "trigger_rows": 50, "history_rows": 60, "warmup": 5}');
SELECT streamproc.create_detector('by_rows', 'event', 'auto_score', features => '{x,y}', keys => '{k}', carry => '{id AS event, name}', store => 'all',
	trigger => '1 day', params => '{"trigger_rows": 700, "history_rows": 100, "warmup": 5}');
SELECT streamproc.wait_for();

CREATE FUNCTION batches(trig interval, most int) RETURNS TABLE (id bigint, batch int) LANGUAGE plpgsql AS $$
DECLARE
	r record;
	begun timestamptz;
	last xid;
	n int := 0;
BEGIN
	batch := 0;
	FOR r IN SELECT e.id, pg_xact_commit_timestamp(e.xmin) AS at, e.xmin AS xid FROM event e ORDER BY e.id LOOP
		IF n > 0 AND (CASE WHEN trig = '0' THEN r.xid <> last ELSE r.at >= begun + trig END) THEN
			n := 0;
		END IF;
		IF n = 0 THEN
			begun := r.at;
			batch := batch + 1;
		END IF;
		n := (n + 1) % most;
		last := r.xid;
		id := r.id;
		RETURN NEXT;
	END LOOP;
END $$;

-- of batches that are complete; the last one is, too, if asked for
CREATE FUNCTION oracle(scoring text, trig interval, most int, history_rows int, history interval, with_last boolean)
RETURNS TABLE (event bigint, score float8) LANGUAGE plpgsql AS $$
BEGIN
	CREATE TEMP TABLE numbered AS SELECT e.*, b.batch, row_number() OVER (PARTITION BY e.k ORDER BY e.id) AS rn
		FROM event e JOIN batches(trig, most) b USING (id);
	CREATE INDEX ON numbered (k, rn);
	CREATE INDEX ON numbered (batch);
	ANALYZE numbered;
	RETURN QUERY EXECUTE format($q$
		SELECT s.id, s.score FROM (SELECT batch FROM numbered GROUP BY 1 HAVING %L OR batch < (SELECT max(batch) FROM numbered)) b, LATERAL (
			SELECT id, score FROM (SELECT n.id, n.batch, streamproc.%s OVER (PARTITION BY n.k ORDER BY n.id) AS score
				FROM (SELECT k, first, last, (SELECT max(ts) FROM numbered m WHERE m.k = o.k AND m.rn <= last) AS latest
					FROM (SELECT k, min(rn) AS first, max(rn) AS last FROM numbered WHERE batch = b.batch GROUP BY k) o) c
				JOIN numbered n ON n.k = c.k AND n.rn BETWEEN c.first - %s AND c.last
				WHERE n.batch = b.batch OR n.ts > c.latest - %L::interval) z
			WHERE z.batch = b.batch) s $q$, with_last, scoring, history_rows, history);
	DROP TABLE numbered;
END $$;
SQL

my $round = 0;

# Commits of up to 60 rows; some row of each has its place far away. The server may go down meanwhile.
sub load
{
	my ($commits) = @_;
	$commits //= 12;
	$round++;
	$node->psql('postgres', <<"SQL");
DO \$\$
BEGIN
	PERFORM setseed($round % 1000 / 1000.0);
	FOR c IN 1 .. $commits LOOP
		INSERT INTO event (k, ts, x, y, name) SELECT r * 400, '2025-01-01 00:00+00'::timestamptz + $round * interval '20 seconds' + c * interval '1 second',
			(i * 7919 + c * 31) % 101 + CASE WHEN i = 7 THEN 300 ELSE 0 END, (i * 104729 + c * 7 + $round) % 97, repeat('name ' || i || ' ', i % 7)
			FROM (SELECT i, random() * random() AS r FROM generate_series(1, 1 + (random() * 60)::int) i) s;
		COMMIT;
	END LOOP;
END \$\$
SQL
	return;
}

sub results_ok
{
	my ($what) = @_;
	my $rows = sql('SELECT count(*) FROM event');
	my $wrong = '';

	wait_for($node);
	# the clock ends the last batch
	$node->poll_query_until('postgres', "SELECT count(*) >= $rows FROM $_") or die "$what: $_" for 'timed', 'timed_too';
	for my $check ([ 'timed', q{'isolation_forest(ARRAY[x, y], trees => 10)', '40 milliseconds', 10000, 100, '3 minutes', true} ],
		[ 'by_commit', q{'lof(ARRAY[x, y], k => 3)', '0', 50, 60, '100 years', true} ],
		[ 'by_rows', q{'auto_score(ARRAY[x, y])', '1 day', 700, 100, '100 years', (SELECT count(*) % 700 = 0 FROM event)} ])
	{
		my ($name, $arguments) = @$check;
		my $found = sql("SELECT count(*) FILTER (WHERE d.event IS NULL), count(*) FILTER (WHERE o.event IS NULL),
			count(*) FILTER (WHERE d.score IS DISTINCT FROM o.score), count(*) - count(DISTINCT event)
			FROM $name d FULL JOIN oracle($arguments) o USING (event)");
		$wrong .= "$name: missing, too many, different, twice: $found; " if $found ne '0|0|0|0';
		my $carried = sql("SELECT count(*) FROM $name d JOIN event e ON e.id = d.event
			WHERE (d.k, d.name, d.event_time, d.features) IS DISTINCT FROM (e.k, e.name, e.ts, ARRAY[e.x, e.y])");
		$wrong .= "$name: $carried carry something else; " if $carried != 0;
	}
	my $twins = sql(q{SELECT count(*) FROM timed a FULL JOIN timed_too b USING (lsn, ordinal)
		WHERE (a.event, a.score, a.p_value, a.is_anomaly) IS DISTINCT FROM (b.event, b.score, b.p_value, b.is_anomaly)});
	$wrong .= "$twins rows of twins differ; " if $twins != 0;
	is($wrong, '', "$what: all scores are those of plain SQL over the batch and its history");
	return;
}

load() for 1 .. 3;
results_ok('at first');

# Killed anywhere: the batch at work is durable, or follows from what is read again.
for my $point ('decoded', 'applied', 'micro-batch', 'before-write-commit', 'checkpoint-slice', 'checkpointed')
{
	load_until_killed($node, $point, sub { load(2) });
	results_ok($point);
}
load();
crash($node);
load();
results_ok('a crash of the server');
$node->restart;
results_ok('a restart');
cmp_ok(sql('SELECT count(*) FROM event'), '>', sql('SELECT count(*) FROM by_rows'), 'a batch is at work all the while');
load();
crash($node);
results_ok('a crash with input');
load() for 1 .. 4;
results_ok('all of it');
cmp_ok(sql('SELECT spilled_pages FROM streamproc.worker'), '>', 0, 'keys are spilled');

# What a kernel throws, and what would take too much memory, is the end of that detector alone.
my $pid = worker_pid($node);
my $states = q{SELECT string_agg(concat_ws(' ', name, state, rows), ', ' ORDER BY name::text) FROM streamproc.status
	WHERE source = 'mass'::regclass AND kind = 'detector'};
sql(<<'SQL');
CREATE TABLE mass (id int, ts timestamptz, x float8, y float8);
SELECT streamproc.create_stream('mass', time_column => 'ts', idle_timeout => '1 day');
SELECT streamproc.create_detector('large', 'mass', 'lof', features => '{x,y}', params => '{"trigger_rows": 100000}');
SELECT streamproc.create_detector('small', 'mass', 'lof', features => '{x,y}', params => '{"k": 5, "trigger_rows": 300, "history_rows": 100}');
SELECT streamproc.wait_for();
SQL
arm_debug_point($node, 'micro-batch', 'error');
sql(q{INSERT INTO mass VALUES (0, '2025-01-01 00:00+00', 1, 2)});
poll_ok(q{SELECT reason LIKE '%debug point "micro-batch" raised an error%' FROM streamproc.status WHERE name = 'large'::regclass}, 'an error in a kernel');
wait_for($node);
is(sql($states), 'large failed 0, small running 1', 'is that of its detector');
sql(q{SELECT streamproc.resume('large')});
wait_for($node);
is(sql($states), 'large running 1, small running 1', 'and mended by resume()');
$node->append_conf('postgresql.conf', 'streamproc.max_batch_memory = 1MB');
$node->reload;
sql(q{INSERT INTO mass SELECT i, '2025-01-01 00:00+00'::timestamptz + i * interval '1 second', (i * 7919) % 1009, (i * 31) % 503 FROM generate_series(1, 30000) i});
wait_for($node);
is(sql($states), 'large failed 1, small running 30001', 'a batch that is too large');
is(sql(q{SELECT reason ~ 'lof would take about \d+ MB for a key, and may take 1 MB \(streamproc.max_batch_memory\)' FROM streamproc.status
	WHERE name = 'large'::regclass}), 't', 'with the reason');
is(worker_pid($node), $pid, 'the worker goes on');
$node->append_conf('postgresql.conf', 'streamproc.max_batch_memory = 1GB');
$node->reload;
sql(q{SELECT streamproc.resume('large')});
wait_for($node);
is(sql($states), 'large running 30001, small running 30001', 'with more memory it is built anew');

# A key's batch may change while a checkpoint has yet to write it as it was.
for my $n (1 .. 3)
{
	arm_debug_point($node, 'checkpoint-slice', 'wait');
	load(3);
	reached($node, 'checkpoint-slice');
	load(6);
	release_debug_point($node, 'checkpoint-slice');
	load(3);
	$pid = kill_worker($node, 'postgres');
	isnt(worker_pid($node, 'postgres', $pid), $pid, 'killed after a checkpoint that rows came amid');
	results_ok("checkpoint $n");
}
cmp_ok(sql(q{SELECT max(batch) FROM batches('40 milliseconds', 10000)}), '>', 10, 'batches by time');

done_testing();
