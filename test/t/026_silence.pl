# Keys that have stopped reporting when nothing comes at all: found by ticks, once, whatever is killed.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use StreamprocTest;

my $node = new_cluster('silence', conf => <<'CONF');
streamproc.checkpoint_interval = 1
streamproc.debug_points = on
CONF

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub poll_ok { my ($query, $what) = @_; return ok($node->poll_query_until('postgres', $query), $what) }

sql(<<'SQL');
CREATE TABLE beat (k int, ts timestamptz);
SELECT streamproc.create_stream('beat', time_column => 'ts', watermark => '0', idle_timeout => '100 milliseconds');
SELECT streamproc.create_detector('stopped', 'beat', 'silence', keys => '{k}', params => '{"min_gap": "1 millisecond", "warmup": 10, "memory": "1 second"}');
SELECT streamproc.create_detector('stopped_too', 'beat', 'silence', keys => '{k}', params => '{"min_gap": "1 millisecond", "warmup": 10, "memory": "1 second"}');
SELECT streamproc.create_window('second', 'beat', kind => 'tumbling', size => '1 second', keys => '{k}', aggregates => '{count(*) AS n}');
SELECT streamproc.create_detector('no_window', 'second', 'silence', params => '{"warmup": 3}');
SELECT streamproc.wait_for();
SQL

# Three keys that beat each 100 ms for 10 s of the past; then nothing.
sub beat { my ($from) = @_; return sql("INSERT INTO beat SELECT k, '$from'::timestamptz + i * interval '0.1 second'
	FROM generate_series(0, 99) i, generate_series(1, 3) k") }
# The pause between two series is a gap that is learned, too, so that later ones are due later.
my $due = q{SELECT count(*) = 3 FROM stopped s WHERE extract(epoch FROM event_time - '%s'::timestamptz) BETWEEN 10.05 AND 15};

beat('2026-01-01 10:00+00');
poll_ok(sprintf($due, '2026-01-01 10:00+00'), 'all keys are found silent by ticks, when they were overdue');
is(sql(q{SELECT count(*), count(DISTINCT (lsn, ordinal)), min(alerts[1]) FROM stopped}),
	'3|3|nothing for 00:00:00.15, usually every 00:00:00.1', 'each once');
poll_ok(q{SELECT count(*) = 3 FROM no_window}, 'and that a window has no rows of theirs any more');

# A restart, and a crash: nobody hears of it twice, and the timers go on.
$node->restart;
sql('SELECT streamproc.wait_for()');
is(sql('SELECT count(*) FROM stopped'), 3, 'none again after a restart');
beat('2026-01-01 11:00+00');
$node->stop('immediate');
$node->start;
poll_ok(sprintf($due, '2026-01-01 11:00+00'), 'after a crash before they were due they are found');
is(sql(q{SELECT count(*) FROM stopped}), 6, 'once');
$node->stop('immediate');
$node->start;
sql('SELECT streamproc.wait_for()');
is(sql('SELECT count(*) FROM stopped'), 6, 'nor after a crash');

# The key's own next row is no second alert, and the next silence is another one.
sql(q{INSERT INTO beat VALUES (1, '2026-01-01 11:30+00')});
sql('SELECT streamproc.wait_for()');
is(sql(q{SELECT count(*) FROM stopped WHERE event_time = '2026-01-01 11:30+00'}), 0, 'that it reports again is no alert');
poll_ok(q{SELECT count(*) = 1 FROM stopped WHERE event_time > '2026-01-01 11:30+00'}, 'it is found silent once more');
beat('2026-01-01 12:00+00');
poll_ok(q{SELECT count(*) = 3 FROM stopped WHERE event_time > '2026-01-01 12:00:09+00'}, 'and all are');
poll_ok(q{SELECT (SELECT count(*) FROM stopped) = (SELECT count(*) FROM stopped_too)}, 'another detector has as many');
is(sql(q{SELECT count(*) FROM (SELECT k, event_time FROM stopped EXCEPT ALL SELECT k, event_time FROM stopped_too) x}), 0,
	'two detectors agree');

# The worker is killed between the tick and its alerts: they come once.
sql(<<'SQL');
CREATE TABLE lonely (k int, ts timestamptz);
SELECT streamproc.create_stream('lonely', time_column => 'ts', watermark => '0', idle_timeout => '2 seconds');
SELECT streamproc.create_detector('left_alone', 'lonely', 'silence', keys => '{k}',
	params => '{"min_gap": "1 millisecond", "warmup": 10, "memory": "1 second"}');
SELECT streamproc.wait_for();
SQL
my $episodes = 0;
foreach my $point ('applied', 'before-write-commit')
{
	my $pid = worker_pid($node, 'postgres');
	$episodes++;
	sql("INSERT INTO lonely SELECT k, '2026-01-01 1$episodes:00+00'::timestamptz + i * interval '0.1 second'
		FROM generate_series(0, 99) i, generate_series(1, 3) k");
	sql('SELECT streamproc.wait_for()');
	is(sql('SELECT count(*) FROM left_alone'), 3 * ($episodes - 1), "$point: nothing yet");
	arm_debug_point($node, $point, 'kill');
	isnt(worker_pid($node, 'postgres', $pid), $pid, "$point: killed");
	poll_ok("SELECT count(*) >= 3 * $episodes FROM left_alone", "$point: the alerts come");
	sql('SELECT streamproc.wait_for()');
	is(sql('SELECT count(*), count(DISTINCT (k, date_trunc(\'hour\', event_time))) FROM left_alone'),
		join('|', 3 * $episodes, 3 * $episodes), "$point: once");
}

# Many keys are overdue amid a checkpoint, which has yet to write most of them as they were.
sql(<<'SQL');
CREATE TABLE crowd (k int, ts timestamptz);
SELECT streamproc.create_stream('crowd', time_column => 'ts', watermark => '0', idle_timeout => '1 day');
SELECT streamproc.create_detector('left', 'crowd', 'silence', keys => '{k}', params => '{"warmup": 5}');
SELECT streamproc.wait_for();
SQL
for my $hour (1, 2)
{
	my $pid = worker_pid($node, 'postgres');
	arm_debug_point($node, 'checkpoint-slice', 'wait');
	sql("INSERT INTO crowd SELECT k, '2026-01-01 0$hour:00+00'::timestamptz + i * interval '10 seconds'
		FROM generate_series(1, 10) i, generate_series(1, 2000) k");
	reached($node, 'checkpoint-slice');
	sql("INSERT INTO crowd VALUES (0, '2026-01-01 0$hour:59+00')");
	release_debug_point($node, 'checkpoint-slice');
	sql('SELECT streamproc.wait_for()');
	is(sql(q{SELECT count(*), count(DISTINCT (k, date_trunc('hour', event_time))) FROM "left" WHERE k > 0}),
		join('|', 2000 * $hour, 2000 * $hour), 'all keys are found silent amid a checkpoint');
	is(worker_pid($node, 'postgres'), $pid, 'by a worker that lives');
	$node->stop('immediate');
	$node->start;
	sql('SELECT streamproc.wait_for()');
	is(sql(q{SELECT count(*) FROM "left" WHERE k > 0}), 2000 * $hour, 'and once');
}

# History: created after the fact, it says the same; but of key 1, whose own rows are the first after each silence, ticks
# alone have told.
sql(q{SELECT streamproc.create_detector('of_history', 'beat', 'silence', keys => '{k}', params => '{"min_gap": "1 millisecond", "warmup": 10, "memory": "1 second"}')});
sql('SELECT streamproc.wait_for()');
poll_ok(q{SELECT count(*) = 3 FROM of_history WHERE event_time > '2026-01-01 12:00:09+00'}, 'history, and the clock since');
is(sql(q{SELECT count(*) FROM (SELECT k, event_time FROM of_history EXCEPT ALL SELECT k, event_time FROM stopped) x
	WHERE k > 1}), 0, 'at the same times');

# What comes while history is read has its clock, too, where a window is read.
sql(<<'SQL');
CREATE TABLE pulse (k int, ts timestamptz);
SELECT streamproc.create_stream('pulse', time_column => 'ts', watermark => '0', idle_timeout => '1 day');
CREATE FUNCTION pulse(k int, first int, last int) RETURNS void LANGUAGE sql AS
$$INSERT INTO pulse SELECT $1, '2026-01-01 10:00+00'::timestamptz + i * interval '1 second' FROM generate_series(first, last) i$$;
SELECT streamproc.create_window('pulse_second', 'pulse', kind => 'tumbling', size => '1 second', keys => '{k}', aggregates => '{count(*) AS n}');
SELECT streamproc.create_detector('before', 'pulse_second', 'silence');
SELECT streamproc.wait_for();
SELECT pulse(1, 1, 40), pulse(2, 1, 40);
SELECT streamproc.wait_for();
SQL
arm_debug_point($node, 'mid-backfill', 'wait');
sql(q{SELECT streamproc.create_detector('meanwhile', 'pulse_second', 'silence')});
reached($node, 'mid-backfill');
sql("SELECT pulse($_)") for '2, 41, 60', '1, 61, 65', '2, 66, 67';
release_debug_point($node, 'mid-backfill');
sql('SELECT streamproc.wait_for()');
is(sql(q{SELECT k, count(*), bool_and(value < 2) FROM before GROUP BY 1 ORDER BY 1}), "1|1|t\n2|1|t",
	'keys that stop for a while are found by the clock');
is(sql('SELECT k, event_time, value, alerts FROM meanwhile'), sql('SELECT k, event_time, value, alerts FROM before'),
	'also by a detector that is being filled then');

done_testing();
