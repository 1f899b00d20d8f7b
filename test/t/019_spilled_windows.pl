# Windows in time that don't fit into memory: their pages are spilled while the windows are open, closed, written, amended by
# late rows and handed on, and whatever is killed or fails meanwhile, results are those of plain SQL and readers get each once.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use StreamprocOracle;
use StreamprocTest;

# With debug points on, each slice of a checkpoint writes one page: 64 groups.
my $node = new_cluster('spilled', conf => <<'CONF');
streamproc.debug_points = on
streamproc.checkpoint_interval = 1
streamproc.max_state_memory = 64kB
CONF
my $keys = 1000;
my $round = 0;
my $lateness = 66;	# seconds: less than grace, with what a round takes

my $native = minute_aggregates();
my $others = q{ARRAY['count(*) AS n', 'sum(value::numeric) AS total', 'max(name || key) AS last',
	'array_agg(value ORDER BY value, ts) AS vals', 'avg(value::numeric) AS mean']};
$node->safe_psql('postgres', <<"SQL");
CREATE TABLE event (key int, name text, value float8, ts timestamptz);
SELECT streamproc.create_stream('event', time_column => 'ts', watermark => '10 seconds', idle_timeout => '1 day');
SELECT streamproc.create_window('open', 'event', kind => 'tumbling', size => '1 minute', keys => ARRAY['key'],
	aggregates => $native, grace => '70 seconds');
SELECT streamproc.create_window('closed', 'event', kind => 'tumbling', size => '1 minute', keys => ARRAY['key'],
	aggregates => $native, emit => 'final', grace => '70 seconds', changes => true);
SELECT streamproc.create_window('prompt', 'event', kind => 'tumbling', size => '1 minute', keys => ARRAY['key'],
	aggregates => $native, emit => 'final', watermark => '70 seconds', trigger => '2 seconds');
SELECT streamproc.create_window('named', 'event', kind => 'tumbling', size => '1 minute', keys => ARRAY['name'],
	aggregates => $others, emit => 'final', grace => '70 seconds');
SELECT streamproc.create_window('few', 'event', kind => 'tumbling', size => '1 minute', keys => ARRAY['key'],
	aggregates => $native, group_filter => 'count(*) % 2 = 1', emit => 'final', grace => '70 seconds');
SELECT streamproc.create_window('hop', 'event', kind => 'hopping', size => '2 minutes', slide => '1 minute', keys => ARRAY['key'],
	aggregates => $native, emit => 'update', grace => '70 seconds', trigger => '500 ms');
SELECT streamproc.create_window('above', 'named', kind => 'tumbling', size => '2 minutes',
	aggregates => ARRAY['count(*) AS names', 'sum(n) AS n', 'sum(total) AS total', 'sum(cardinality(vals)) AS vals']);
SELECT streamproc.create_detector('busy', 'closed', method => 'rule', rules => ARRAY['true AS "Here"'], store => 'all',
	carry => ARRAY['window_start', 'n', 'total']);
SELECT streamproc.create_detector('odd', 'few', method => 'rule', rules => ARRAY['true AS "Here"'], store => 'all',
	carry => ARRAY['window_start', 'n', 'total']);
SQL
wait_for($node);

# One transaction, half a minute further each time: many keys, a part of the rows late; $late: only those.
sub load
{
	my ($n, $late) = @_;
	$n //= 1200;
	$late //= 0;
	$round++ if !$late;
	my $seed = ($round * 7 + ++our $loads) / 1000.0;

	# The server may go down: then the transaction is there or not, and the oracle sees the same.
	$node->psql('postgres', <<"SQL");
BEGIN;
SELECT setseed($seed);
INSERT INTO event SELECT k, 'name ' || k % 700, (k * 7919 + $round) % 1000,
	'2026-01-01 00:00+00'::timestamptz + $round * interval '30 seconds' + i * interval '1 millisecond'
		- CASE WHEN $late = 1 OR i % 10 = 0 THEN (i * 7919 % $lateness) * interval '1 second' ELSE '0' END
FROM (SELECT i, (random() * $keys)::int AS k FROM generate_series(1, $n) i) r ORDER BY i;
COMMIT;
SQL
	return;
}

my $minute = q{date_bin('1 minute', ts, '2000-01-03 00:00+00')};

sub results_ok
{
	my ($what) = @_;
	my $reached = q{(SELECT max(ts) - interval '%s seconds' FROM event)};
	my $sum = 'SELECT %s AS ws, key, count(*) AS n, sum(value) AS total, min(value) AS low, max(value) AS high, %s AS final FROM %s '
	  . 'GROUP BY 1, 2';
	my $closed = sprintf($sum, $minute, "$minute + interval '1 minute' <= " . sprintf($reached, 10), 'event');
	my $hops = sprintf($sum, 'window_start', 'window_end <= ' . sprintf($reached, 10),
		q{event, streamproc.hop(ts, '1 minute', '2 minutes')}) . ', window_end';
	my $columns = 'window_start, key, n, total, low, high, is_final';
	my $named = "SELECT $minute AS ws, name, count(*) AS n, sum(value::numeric) AS total, max(name || key) AS last, "
	  . "array_agg(value ORDER BY value, ts) AS vals, avg(value::numeric) AS mean FROM event GROUP BY 1, 2";
	my $sealed = "ws + interval '130 seconds' <= " . sprintf($reached, 10);
	my @checks = (
		[ 'open', "SELECT $columns FROM open", $closed ],
		[ 'closed', "SELECT $columns FROM closed", "SELECT * FROM ($closed) c WHERE final" ],
		[ 'prompt', "SELECT $columns FROM prompt", "SELECT * FROM ($closed) c WHERE ws + interval '1 minute' <= " . sprintf($reached, 70) ],
		[ 'few', "SELECT $columns FROM few", "SELECT * FROM ($closed) c WHERE final AND n % 2 = 1" ],
		[ 'hop', "SELECT $columns FROM hop", $hops ],
		[ 'named', 'SELECT window_start, name, n, total, last, vals, mean FROM named',
			"SELECT * FROM ($named) n WHERE ws + interval '1 minute' <= " . sprintf($reached, 10) ],
		[ 'above', 'SELECT window_start, names, n, total, vals FROM above',
			"SELECT date_bin('2 minutes', ws, '2000-01-03 00:00+00'), count(*), sum(n), sum(total), sum(cardinality(vals)) "
			  . "FROM ($named) n WHERE $sealed GROUP BY 1" ],
		[ 'busy', 'SELECT window_start, key, n, total FROM busy', "SELECT ws, key, n, total FROM ($closed) c WHERE $sealed" ],
		[ 'odd', 'SELECT window_start, key, n, total FROM odd', "SELECT ws, key, n, total FROM ($closed) c WHERE $sealed AND n % 2 = 1" ],
		[ 'the change feed', q{SELECT new FROM closed_changes EXCEPT ALL SELECT old FROM closed_changes},
			'SELECT streamproc.row_image(c) FROM closed c' ]);
	my $wrong = '';

	wait_for($node);
	for my $check (@checks)
	{
		my $n = differences($node, 'postgres', $check->[1], $check->[2]);
		$wrong .= "$check->[0] differs in $n rows; " if $n != 0;
	}
	is($wrong, '', "$what: results are those of plain SQL");
	is($node->safe_psql('postgres', q{SELECT count(*) FROM streamproc.dead_letter}), 0, "$what: no row is late");
	return;
}

# Until a checkpoint that began after now is finished.
sub checkpointed
{
	my $sql = 'SELECT checkpoints FROM streamproc.worker';
	my $count = $node->safe_psql('postgres', $sql);
	my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;

	while ($node->safe_psql('postgres', $sql) < $count + 2)
	{
		die 'no checkpoint' if time > $deadline;
		load(20, 1);
	}
	return;
}

# ---- without anything that goes wrong ----

load() for 1 .. 3;
wait_for($node);
my $spilled = $node->safe_psql('postgres', 'SELECT spilled_pages FROM streamproc.worker');
# six windows with about 700 keys of one or two windows in time, less the first 64 groups of each
cmp_ok($spilled, '>', 30, "pages of open windows are spilled: $spilled");
load() for 1 .. 4;
wait_for($node);
load(300, 1);
results_ok('at first');
# A row is written when its window is closed; again where late rows have come after that.
my $amended = q{SELECT window_start, key FROM closed c WHERE revision > 1};
is( $node->safe_psql('postgres', 'SELECT min(revision), max(revision) FROM prompt'), '1|1',
	'a window that takes no late rows is written once');
cmp_ok($node->safe_psql('postgres', "SELECT count(*) FROM ($amended) a"), '>', 30, 'late rows amend what is spilled');
# a window is closed by the first commit that has come 10 s beyond its end
my $late_keys = <<"SQL";
(WITH committed AS MATERIALIZED (SELECT xmin::text::bigint AS x, max(ts) AS ts FROM event GROUP BY 1)
SELECT $minute, key FROM event e
WHERE e.xmin::text::bigint > (SELECT min(x) FROM committed c WHERE c.ts >= date_bin('1 minute', e.ts, '2000-01-03 00:00+00') + interval '70 seconds'))
SQL
is($node->safe_psql('postgres', "SELECT count(*) FROM ($amended EXCEPT $late_keys) d"), 0, 'and nothing else');

# ---- writing fails ----

load();
arm_debug_point($node, 'before-write-commit', 'error');
load();
results_ok('a transaction that wrote windows was rolled back');
is($node->safe_psql('postgres', 'SELECT min(revision), max(revision) FROM prompt'), '1|1', 'and its revision is not counted');
is($node->safe_psql('postgres', "SELECT count(*) FROM ($amended EXCEPT $late_keys) d"), 0, 'nor where late rows count');

$node->safe_psql('postgres', <<'SQL');
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
	IF NEW.key % 500 = 499 THEN RAISE 'not now'; END IF; RETURN NEW; END $$;
CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON closed FOR EACH ROW EXECUTE FUNCTION refuse();
ALTER TABLE closed ENABLE ALWAYS TRIGGER refuse;
SQL
load() for 1 .. 4;
$node->poll_query_until('postgres', q{SELECT reason ~ 'not now' FROM streamproc.status WHERE name = 'closed'::regclass})
  or die 'writing does not fail';
load(300, 1);
checkpointed();
kill_worker($node);
load();
$node->safe_psql('postgres', 'DROP TRIGGER refuse ON closed');
load() for 1 .. 2;
results_ok('after rows could not be written for a while, and a crash amid');

# ---- killed ----

# while windows are open; after they were closed and before that is written; after that, and before it is saved
for my $point ('decoded', 'applied', 'before-write-commit', 'mid-checkpoint', 'checkpointed')
{
	for my $time (1, 2)
	{
		my $pid = worker_pid($node);

		load(400, 1);
		load() if $time == 2;
		arm_debug_point($node, $point, 'kill');
		load();
		reached($node, $point);
		isnt(worker_pid($node, 'postgres', $pid), $pid, "killed at $point: the worker is back");
	}
	results_ok("killed at $point");
}

# Amid a checkpoint, whose pages change, are closed, written and forgotten before it comes to them.
for my $slices (3, 12)
{
	my $pid = worker_pid($node);

	load();
	for my $slice (1 .. $slices)
	{
		arm_debug_point($node, 'checkpoint-slice', 'wait');
		load() if $slice % 3 == 1;
		reached($node, 'checkpoint-slice');
		load(200, 1) if $slice % 3 == 2;
		release_debug_point($node, 'checkpoint-slice');
	}
	arm_debug_point($node, 'checkpointed', 'wait');
	load();
	reached($node, 'checkpointed');
	# this commit flushes the checkpoint's
	load(20, 1);
	kill('KILL', $pid);
	isnt(worker_pid($node, 'postgres', $pid), $pid, "the worker is back after a checkpoint with $slices changes amid");
	results_ok("killed after a checkpoint with $slices changes amid");
}

# ---- stopped; memory comes and goes ----

checkpointed();
$node->restart;
load(300, 1);
results_ok('restarted');
$node->append_conf('postgresql.conf', 'streamproc.max_state_memory = 1GB');
$node->reload;
load() for 1 .. 2;
results_ok('with memory');
is($node->safe_psql('postgres', q{SELECT name, reason FROM streamproc.status WHERE state <> 'running'}), '', 'everything runs');

# A window over history, which the helper process fills with as little memory as the worker has.
$node->append_conf('postgresql.conf', 'streamproc.max_state_memory = 64kB');
$node->reload;
$node->safe_psql('postgres', <<"SQL");
SELECT streamproc.create_window('later', 'event', kind => 'tumbling', size => '2 minutes', keys => ARRAY['key'],
	aggregates => $native, grace => '70 seconds');
SELECT streamproc.create_window('later_final', 'event', kind => 'tumbling', size => '1 minute', keys => ARRAY['key'],
	aggregates => $native, emit => 'final', grace => '70 seconds');
SELECT streamproc.create_detector('later_busy', 'closed', method => 'rule', rules => ARRAY['true AS "Here"'], store => 'all',
	carry => ARRAY['window_start', 'n', 'total']);
SQL
load() for 1 .. 3;
wait_for($node);
kill_worker($node);
load() for 1 .. 2;
load(300, 1);
results_ok('after history');
is( $node->safe_psql('postgres', q{SELECT count(*) FROM streamproc.verify('later') v UNION ALL
	SELECT count(*) FROM streamproc.verify('later_final') v}), "0\n0", 'and so are those of windows over history');
is( differences($node, 'postgres', 'SELECT window_start, key, n, total FROM later_busy', 'SELECT window_start, key, n, total FROM busy'),
	0, 'a detector that came later has what was there before it, and what came, once each');

$node->stop;
done_testing();
