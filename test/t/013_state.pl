# State of many keys: checkpoints in slices are a consistent cut, whatever is killed between two of them; pages that are
# spilled for want of memory are state as well; and there is a bound for a flood of keys.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use StreamprocOracle;
use StreamprocTest;

# With debug points on, each slice writes one page: 64 groups.
my $node = new_cluster('state', conf => <<'CONF');
streamproc.debug_points = on
streamproc.checkpoint_interval = 1
CONF
my $keys = 4000;
my $round = 0;

my $aggregates = minute_aggregates();
$node->safe_psql('postgres', <<"SQL");
CREATE TABLE event (key int, name text, value float8, ts timestamptz);
CREATE TABLE mirror (LIKE event);
CREATE TABLE click (key int, name text, value float8, ts timestamptz) USING streamproc;
SELECT streamproc.create_stream('event', time_column => 'ts', idle_timeout => '1 day');
SELECT streamproc.create_stream('click', time_column => 'ts', idle_timeout => '1 day');
SELECT streamproc.create_window('total', 'event', kind => 'global', keys => ARRAY['key'], aggregates => $aggregates);
SELECT streamproc.create_window('named', 'event', kind => 'global', keys => ARRAY['name'],
	aggregates => ARRAY['count(*) AS n', 'sum(value::numeric) AS total', 'max(name || key) AS last'], trigger => '2 seconds');
SELECT streamproc.create_window('listed', 'event', kind => 'global', keys => ARRAY['key'],
	aggregates => ARRAY['avg(value::numeric) AS mean', 'count(DISTINCT name) AS names', 'array_agg(value ORDER BY value, ts) AS values',
		'min(name) AS first', 'bool_or(value > 500) AS large']);
SELECT streamproc.create_window('minute', 'event', kind => 'tumbling', size => '1 minute', keys => ARRAY['key'],
	aggregates => $aggregates);
SELECT streamproc.create_window('closed', 'event', kind => 'tumbling', size => '1 minute', keys => ARRAY['key'],
	aggregates => $aggregates, emit => 'final');
SELECT streamproc.create_detector('score', 'click', method => 'ewma', value => 'value', keys => ARRAY['key'],
	params => '{"alpha": 0.1, "warmup": 2}', store => 'all');
SELECT streamproc.create_detector('busy', 'closed', method => 'rule', rules => ARRAY['n > 1 AS "Busy"'], carry => ARRAY['n']);
SQL
ewma_oracle($node, 'postgres');
wait_for($node);

# One transaction: a part of the keys, a minute later each time.
sub load
{
	my ($n) = @_;
	$n //= 1500;
	$round++;

	# The server may go down: then the transaction is there or not, and the oracle sees the same.
	$node->psql('postgres', <<"SQL");
BEGIN;
SELECT setseed($round / 1000.0);
CREATE TEMP TABLE batch ON COMMIT DROP AS
	SELECT k AS key, 'name ' || k % 900 AS name, (k * 7919 + $round) % 1000 AS value,
		'2026-01-01 00:00+00'::timestamptz + $round * interval '30 seconds' + i * interval '1 millisecond' AS ts
	FROM (SELECT i, (random() * $keys)::int AS k FROM generate_series(1, $n) i) r;
INSERT INTO event SELECT * FROM batch ORDER BY ts;
INSERT INTO click SELECT * FROM batch ORDER BY ts;
INSERT INTO mirror SELECT * FROM batch ORDER BY ts;
COMMIT;
SQL
	return;
}

sub results_ok
{
	my ($what) = @_;
	my $closed = q{date_bin('1 minute', ts, '2000-01-03 00:00+00') + interval '1 minute'
		<= (SELECT max(ts) - interval '10 seconds' FROM event)};
	my @checks = (
		[ 'total', 'SELECT key, n, total, low, high FROM total',
			'SELECT key, count(*), sum(value), min(value), max(value) FROM event GROUP BY 1' ],
		[ 'named', 'SELECT name, n, total, last FROM named',
			'SELECT name, count(*), sum(value::numeric), max(name || key) FROM event GROUP BY 1' ],
		[ 'listed', 'SELECT key, mean, names, values, first, large FROM listed', <<'SQL' ],
SELECT key, avg(value::numeric), count(DISTINCT name), array_agg(value ORDER BY value, ts), min(name), bool_or(value > 500)
FROM event GROUP BY 1
SQL
		[ 'minute', 'SELECT window_start, key, n, total, low, high FROM minute', minute_sql('event') ],
		[ 'closed', 'SELECT window_start, key, n, total, low, high FROM closed', minute_sql('event', $closed) ],
		[ 'score', 'SELECT key, value, event_time FROM score', 'SELECT key, value, ts FROM mirror' ],
		[ 'busy', 'SELECT key, n, event_time FROM busy',
			q{SELECT key, n, window_end - interval '1 microsecond' FROM closed WHERE n > 1} ]);
	my $wrong = '';

	wait_for($node);
	for my $check (@checks)
	{
		my $n = differences($node, 'postgres', $check->[1], $check->[2]);
		$wrong .= "$check->[0] differs in $n rows; " if $n != 0;
	}
	my $scores = $node->safe_psql('postgres', q{SELECT ewma_check('score', 0.1, 2)});
	$wrong .= "$scores scores differ; " if $scores != 0;
	is($wrong, '', "$what: results are those of plain SQL");
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
		load(5);
	}
	return;
}

# What a worker finds that comes after a crash.
sub unfinished_pages
{
	return $node->safe_psql('postgres', q{SELECT count(*) FROM streamproc.state_page s
		WHERE s.generation > (SELECT generation FROM streamproc.position)});
}

load() for 1 .. 4;
results_ok('at first');
checkpointed();
ok($node->safe_psql('postgres', 'SELECT checkpoint_slices > 2 * checkpoints FROM streamproc.worker') eq 't',
	'checkpoints have slices');

# Windows are handed on and forgotten while a checkpoint has still to write them, as they were when it began: a replay
# from there hands them on once more, to what has not had them by then.
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE sale (id int, price numeric, ts timestamptz);
SELECT streamproc.create_stream('sale', time_column => 'ts', watermark => '0', idle_timeout => '1 day');
SELECT streamproc.create_window('sale_minute', 'sale', kind => 'tumbling', size => '1 minute', keys => ARRAY['id'],
	aggregates => ARRAY['sum(price) AS total', 'max(price::text) AS name', 'array_agg(price) AS prices']);
SELECT streamproc.create_window('sale_hop', 'sale', kind => 'hopping', size => '2 minutes', slide => '1 minute',
	keys => ARRAY['id'], aggregates => ARRAY['sum(price) AS total', 'max(price::text) AS name', 'array_agg(price) AS prices']);
SELECT streamproc.create_window(source || '_day', source::regclass, kind => 'tumbling', size => '1 day', aggregates => ARRAY[
	'count(*) AS n', 'sum(total) AS total', 'count(name) AS names', 'sum(cardinality(prices)) AS prices'])
FROM (VALUES ('sale_minute'), ('sale_hop')) s (source);
SELECT streamproc.wait_for();
INSERT INTO sale SELECT i, i + 0.5, '2026-01-01 12:00+00' FROM generate_series(1, 1000) i;
SQL
checkpointed();
my $seller = worker_pid($node);
# the first of the panes' two windows is closed when the checkpoint begins
$node->safe_psql('postgres', q{INSERT INTO sale SELECT i, i + 0.25, '2026-01-01 12:00:30+00' FROM generate_series(1, 1000) i;
	INSERT INTO sale VALUES (0, 1, '2026-01-01 12:01+00')});
wait_for($node);
arm_debug_point($node, 'checkpoint-slice', 'wait');
# each closes windows; those that are written are forgotten with the next
for my $minute (2 .. 4)
{
	reached($node, 'checkpoint-slice');
	$node->safe_psql('postgres', "INSERT INTO sale VALUES (0, $minute, '2026-01-01 12:0$minute+00')");
	arm_debug_point($node, $minute < 4 ? 'checkpoint-slice' : 'checkpointed', 'wait');
	release_debug_point($node, 'checkpoint-slice');
}
reached($node, 'checkpointed');
# this commit flushes the checkpoint's, or the server would not have it when it is back
$node->safe_psql('postgres', q{INSERT INTO sale VALUES (0, 5, '2026-01-01 12:05+00')});
kill('KILL', $seller);
isnt(worker_pid($node, 'postgres', $seller), $seller, 'the worker is back after windows were forgotten amid a checkpoint');
$node->safe_psql('postgres', q{INSERT INTO sale VALUES (0, 0, '2026-01-02 12:00+00')});
wait_for($node);
my $days = q{SELECT date_trunc('day', window_start), count(*), sum(total), count(*), sum(n)
	FROM (SELECT window_start, id, sum(price) AS total, count(*) AS n FROM sale, %s GROUP BY 1, 2) w
	WHERE window_start < '2026-01-02' GROUP BY 1};
is(differences($node, 'postgres', q{SELECT window_start, n, total, names, prices FROM sale_minute_day WHERE is_final},
		sprintf($days, q{streamproc.tumble(ts, '1 minute')})), 0, 'what was forgotten counts where it was handed on');
is(differences($node, 'postgres', q{SELECT window_start, n, total, names, prices FROM sale_hop_day WHERE is_final},
		sprintf($days, q{streamproc.hop(ts, '1 minute', '2 minutes')})), 0, 'and windows of panes');
is($node->safe_psql('postgres', 'SELECT sum(prices), sum(n) FROM sale_minute_day'), '2005|1005', 'which are all of them');

# From here on there is hardly memory for a part of the keys: pages go to a file and come back all the time.
# First there can be no file: then they stay in memory, the log says so once, and the worker goes on.
my $temporary = $node->data_dir . '/base/pgsql_tmp';
rename $temporary, "$temporary.away" if -d $temporary;
append_to_file($temporary, 'in the way');
my $worker_without = worker_pid($node);
$node->append_conf('postgresql.conf', 'streamproc.max_state_memory = 256kB');
$node->reload;
load();
load();
results_ok('without room for a file');
is(worker_pid($node), $worker_without, 'the worker goes on');
is(scalar(() = slurp_file($node->logfile) =~ /state can't be spilled, and stays in memory/g), 1, 'which is told once');
unlink $temporary;
rename "$temporary.away", $temporary if -d "$temporary.away";
load();
load();
results_ok('with little memory');
cmp_ok($node->safe_psql('postgres', 'SELECT spilled_pages FROM streamproc.worker'), '>', 20, 'pages are spilled');

# What isn't counted by pages, and the first keys of each window in time, stay in memory: it is told how much that is too much.
my $excess = 0;
for (1 .. 1000)
{
	load(5);
	wait_for($node);
	$excess = $node->safe_psql('postgres', 'SELECT excess_bytes FROM streamproc.worker');
	last if $excess > 0;
}
cmp_ok($excess, '>', 0, 'and the excess is shown');
like(slurp_file($node->logfile), qr/WARNING:  state takes \d+ MB of memory, more than streamproc\.max_state_memory \(1 MB\)\n.*Most of all "/,
	'and logged');

# Killed between two slices, with rows that came since the checkpoint began; each time somewhat later in it.
for my $slices (1, 20, 90)
{
	my $pid = worker_pid($node);
	my $killed = 0;

	load();
	for my $slice (1 .. $slices)
	{
		arm_debug_point($node, 'checkpoint-slice', 'wait');
		load() if $slice % 30 == 1;
		reached($node, 'checkpoint-slice');
		load() if $slice % 30 == 1;
		arm_debug_point($node, 'checkpoint-slice', 'kill') if $slice == $slices;
		release_debug_point($node, 'checkpoint-slice');
	}
	reached($node, 'checkpoint-slice');
	load(5);
	isnt(worker_pid($node, 'postgres', $pid), $pid, "the worker is back after slice $slices");
	results_ok("killed after slice $slices");
}
is($node->safe_psql('postgres', q{SELECT count(*) FROM streamproc.status WHERE state <> 'running'}), 0,
	'everything runs');

# Killed right after a checkpoint during which rows changed what it had still to write: it has what was there when it
# began, or these rows would count twice now. A commit of ours flushes its own.
for my $time (1, 2)
{
	my $pid = worker_pid($node);

	load();
	arm_debug_point($node, 'checkpoint-slice', 'wait');
	reached($node, 'checkpoint-slice');
	load();
	arm_debug_point($node, 'checkpointed', 'wait');
	release_debug_point($node, 'checkpoint-slice');
	reached($node, 'checkpointed');
	load(5);
	kill('KILL', $pid);
	isnt(worker_pid($node, 'postgres', $pid), $pid, "the worker is back, time $time");
	results_ok("killed after a checkpoint with changes amid, time $time");
}

# Right before the position is written: all pages are there, and not one of them counts.
my $pid = worker_pid($node);
load();
arm_debug_point($node, 'mid-checkpoint', 'wait');
reached($node, 'mid-checkpoint');
cmp_ok(unfinished_pages(), '>', 30, 'pages of a checkpoint that has no position yet');
load();
kill('KILL', $pid);
isnt(worker_pid($node, 'postgres', $pid), $pid, 'the worker is back');
load();
results_ok('killed before the position was written');
checkpointed();
is(unfinished_pages(), 0, 'nothing is left of the unfinished checkpoint');
kill_worker($node);
results_ok('and killed again after a whole one');

# Pages that are no more: purged windows leave none of their rows behind in the end.
load() for 1 .. 6;
checkpointed() for 1 .. 3;
$node->restart;
results_ok('after windows were purged');

# An object comes to life while much is dirty and a checkpoint is at work: it doesn't wait, nor do the others.
load();
arm_debug_point($node, 'checkpoint-slice', 'wait');
reached($node, 'checkpoint-slice');
release_debug_point($node, 'checkpoint-slice');
$node->safe_psql('postgres', <<"SQL");
SELECT streamproc.create_window('later', 'event', kind => 'global', keys => ARRAY['key'], aggregates => $aggregates);
SELECT streamproc.create_window('click_total', 'click', kind => 'global', aggregates => ARRAY['count(*) AS n']);
SQL
load(2000);
$node->poll_query_until('postgres', q{SELECT count(*) = 2 FROM streamproc.status
	WHERE name IN ('later'::regclass, 'click_total'::regclass) AND state = 'running'}) or die 'the new objects do not run';
my $counted = $node->safe_psql('postgres', 'SELECT streamproc.wait_for(); SELECT n FROM click_total');
kill_worker($node);
load(300);
results_ok('killed after objects came to life amid a checkpoint');
is( differences($node, 'postgres', 'SELECT key, n, total, low, high FROM later',
		'SELECT key, count(*), sum(value), min(value), max(value) FROM event GROUP BY 1'),
	0, 'the window with history that came amid a checkpoint');
my $clicks = $node->safe_psql('postgres', 'SELECT n FROM click_total');
ok($clicks == ($counted =~ s/.*\n//sr || 0) + 300, 'the window without history');

# A damaged page: its object fails alone, and can be built anew.
checkpointed();
$node->safe_psql('postgres', q{SELECT streamproc.stop()});
$node->safe_psql('postgres', q{
	UPDATE streamproc.state_page SET data = overlay(data PLACING '\x00ff'::bytea FROM 200)
	WHERE object = (SELECT id FROM streamproc.window_definition WHERE relation = 'total'::regclass) AND page = 3 AND part = 0});
$node->safe_psql('postgres', q{SELECT streamproc.start()});
$node->poll_query_until('postgres', q{SELECT state = 'failed' FROM streamproc.status WHERE name = 'total'::regclass})
  or die 'the damage was not noticed';
like($node->safe_psql('postgres', q{SELECT reason FROM streamproc.status WHERE name = 'total'::regclass}), qr/state page 3 .* is damaged/,
	'a damaged page is reported');
load();
$node->safe_psql('postgres', q{SELECT streamproc.resume('total')});
$node->poll_query_until('postgres', q{SELECT state = 'running' FROM streamproc.status WHERE name = 'total'::regclass})
  or die 'the object was not built anew';
load();
results_ok('after the object with a damaged page was built anew');

# A checkpoint ends while rows keep the worker busy: it has its share of each turn, however few turns there are. With a page
# a turn, the 40 turns below would write 40 of more than 300 pages, and all rows be processed before it ends.
$node->safe_psql('postgres', <<"SQL");
CREATE TABLE busy_event (key int, x float8, ts timestamptz);
SELECT streamproc.create_stream('busy_event', time_column => 'ts', idle_timeout => '1 day');
SELECT streamproc.create_detector('busy_score', 'busy_event', 'ewma', value => 'x', keys => '{key}');
SELECT streamproc.wait_for();
SQL
arm_debug_point($node, 'decoded', 'wait');
$node->safe_psql('postgres', <<"SQL");
DO \$\$ BEGIN
	FOR i IN 1 .. 40 LOOP
		INSERT INTO busy_event SELECT k, i, '2026-01-01'::timestamptz + i * interval '1 second' FROM generate_series(1, 20000) k;
		COMMIT;
	END LOOP;
END \$\$;
SQL
reached($node, 'decoded');
my $before = $node->safe_psql('postgres', 'SELECT rows FROM streamproc.worker');
arm_debug_point($node, 'checkpointed', 'wait');
release_debug_point($node, 'decoded');
reached($node, 'checkpointed');
cmp_ok($node->safe_psql('postgres', 'SELECT rows FROM streamproc.worker') - $before, '<', 40 * 20000, 'a checkpoint ends while rows keep coming');
release_debug_point($node, 'checkpointed');
wait_for($node);
$node->safe_psql('postgres', q{SELECT streamproc.drop_stream('busy_event', cascade => true)});

# A bound for keys: a row of a further one is a dead letter, the known keys go on; the same after a crash.
$node->append_conf('postgresql.conf', "streamproc.max_keys = 10\nstreamproc.checkpoint_interval = 3600");
$node->restart;
$node->safe_psql('postgres', <<"SQL");
CREATE TABLE flood (id int, key int, ts timestamptz);
SELECT streamproc.create_stream('flood', time_column => 'ts', idle_timeout => '1 day');
SELECT streamproc.create_window('flood_total', 'flood', kind => 'global', keys => ARRAY['key'],
	aggregates => ARRAY['count(*) AS n']);
SELECT streamproc.create_window('flood_numeric', 'flood', kind => 'global', keys => ARRAY['key'],
	aggregates => ARRAY['sum(id::numeric) AS total']);
SELECT streamproc.create_window('flood_minute', 'flood', kind => 'tumbling', size => '1 minute', keys => ARRAY['key'],
	aggregates => ARRAY['count(*) AS n']);
SELECT streamproc.create_detector('flood_score', 'flood', method => 'ewma', value => 'id', keys => ARRAY['key'], store => 'all');
SELECT streamproc.wait_for();
INSERT INTO flood SELECT i, i % 30, '2026-01-01'::timestamptz + i * interval '1 second' FROM generate_series(0, 99) i;
SELECT streamproc.wait_for();
SQL
kill_worker($node);
$node->safe_psql('postgres', <<"SQL");
INSERT INTO flood SELECT i, i % 30, '2026-01-01'::timestamptz + i * interval '1 second' FROM generate_series(100, 199) i;
SELECT streamproc.wait_for();
SQL
my $known = 'SELECT key, count(*), sum(id::numeric) FROM flood WHERE key < 10 GROUP BY key';
is(differences($node, 'postgres', 'SELECT key, n FROM flood_total', "SELECT key, count FROM ($known) k"), 0,
	'a running total takes so many keys');
is(differences($node, 'postgres', 'SELECT key, total FROM flood_numeric', "SELECT key, sum FROM ($known) k"), 0,
	'and so does one of another aggregate');
is( differences($node, 'postgres', 'SELECT key, value FROM flood_score', 'SELECT key, id FROM flood WHERE key < 10'),
	0, 'and a detector');
is( differences($node, 'postgres', 'SELECT window_start, key, n FROM flood_minute', <<'SQL'),
SELECT date_trunc('minute', ts), key, count(*) FROM flood f WHERE key IN (
	SELECT key FROM flood o WHERE date_trunc('minute', o.ts) = date_trunc('minute', f.ts)
	GROUP BY key ORDER BY min(id) LIMIT 10) GROUP BY 1, 2
SQL
	0, 'and each window in time');
is( $node->safe_psql('postgres', q{SELECT name, count(*), count(DISTINCT row_data ->> 'id') FROM streamproc.dead_letter
	WHERE reason = 'max_keys' GROUP BY 1 ORDER BY name::text}),
	$node->safe_psql('postgres', q{WITH t AS (SELECT count(*) FROM flood WHERE key >= 10)
	SELECT o.name, count, count FROM t, (VALUES ('flood_total'), ('flood_numeric'), ('flood_score')) o(name)
	UNION ALL SELECT 'flood_minute', n, n FROM (SELECT (SELECT count(*) FROM flood) - sum(n) AS n FROM flood_minute) m
	ORDER BY 1}),
	'the others are dead letters, each once');

$node->stop;
done_testing();
