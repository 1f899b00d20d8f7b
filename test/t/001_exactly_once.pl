# The worker is killed at the places where it could lose or repeat something: results are those of plain SQL every time.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use StreamprocOracle;
use StreamprocTest;

my $node = new_cluster('exactly_once', conf => <<'CONF');
streamproc.debug_points = on
streamproc.checkpoint_interval = 1
CONF
my $next_id = 1;

# Rows come in the order of their time, so none is late.
sub declare_streams
{
	my ($dbname) = @_;
	my $aggregates = minute_aggregates();

	$node->safe_psql($dbname, <<"SQL");
CREATE TABLE event (id bigint, key int, value float8, ts timestamptz);
CREATE TABLE click (id bigint, key int, value float8, ts timestamptz) USING streamproc;
CREATE TABLE click_mirror (LIKE event);
SELECT streamproc.create_stream('event', time_column => 'ts', idle_timeout => '1 day');
SELECT streamproc.create_stream('click', time_column => 'ts', idle_timeout => '1 day');
SELECT streamproc.create_window('event_1m', 'event', kind => 'tumbling', size => '1 minute',
	keys => ARRAY['key'], aggregates => $aggregates);
SELECT streamproc.create_window('event_final', 'event', kind => 'tumbling', size => '1 minute',
	keys => ARRAY['key'], aggregates => $aggregates, emit => 'final');
SELECT streamproc.create_window('event_slow', 'event', kind => 'tumbling', size => '1 minute',
	keys => ARRAY['key'], aggregates => $aggregates, trigger => '1 hour');
SELECT streamproc.create_window('event_total', 'event', kind => 'global',
	aggregates => ARRAY['count(*) AS n', 'sum(value) AS total']);
SELECT streamproc.create_window('click_1m', 'click', kind => 'tumbling', size => '1 minute',
	keys => ARRAY['key'], aggregates => $aggregates);
SELECT streamproc.create_detector('event_rule', 'event', method => 'rule',
	rules => ARRAY['value > 950 AS "Too high"'], carry => ARRAY['id AS event_id']);
SELECT streamproc.create_detector('click_ewma', 'click', method => 'ewma', value => 'value',
	keys => ARRAY['key'], params => '{"alpha": 0.1}', carry => ARRAY['id AS event_id'], store => 'all');
SELECT streamproc.create_detector('click_budget', 'click', method => 'ewma', value => 'value',
	params => '{"alerts_per_day": 3000}', carry => ARRAY['id AS event_id'], store => 'all');
SELECT streamproc.create_detector('busy_minute', 'event_final', method => 'rule',
	rules => ARRAY['n > 5 AS "Busy"'], carry => ARRAY['n']);
SQL
	ewma_oracle($node, $dbname);
	return;
}

# One transaction of 40 rows into each table.
sub load
{
	my ($dbname) = @_;
	my $first = $next_id;
	my $last = ($next_id += 40) - 1;

	# The server may be down, or go down: then the transaction is there or not, and the oracle sees the same.
	$node->psql($dbname, <<"SQL");
BEGIN;
INSERT INTO event SELECT i, i % 7, i * 7919 % 1000, '2026-01-01 00:00+00'::timestamptz + i * interval '3 seconds'
FROM generate_series($first, $last) i;
INSERT INTO click SELECT i, i % 7, i * 7919 % 1000, '2026-01-01 00:00+00'::timestamptz + i * interval '3 seconds'
FROM generate_series($first, $last) i;
INSERT INTO click_mirror SELECT i, i % 7, i * 7919 % 1000, '2026-01-01 00:00+00'::timestamptz + i * interval '3 seconds'
FROM generate_series($first, $last) i;
COMMIT;
SQL
	return;
}

sub results_ok
{
	my ($dbname, $what) = @_;
	my $closed = q{date_bin('1 minute', ts, '2000-01-03 00:00+00') + interval '1 minute'
		<= (SELECT max(ts) - interval '10 seconds' FROM event)};
	my @checks = (
		[ 'event_1m', 'SELECT window_start, key, n, total, low, high FROM event_1m', minute_sql('event') ],
		[ 'event_slow', 'SELECT window_start, key, n, total, low, high FROM event_slow', minute_sql('event') ],
		[ 'event_final', 'SELECT window_start, key, n, total, low, high FROM event_final', minute_sql('event', $closed) ],
		[ 'event_total', 'SELECT n, total FROM event_total', 'SELECT count(*), sum(value) FROM event' ],
		[ 'click_1m', 'SELECT window_start, key, n, total, low, high FROM click_1m', minute_sql('click_mirror') ],
		[ 'event_rule', 'SELECT event_id, event_time FROM event_rule', 'SELECT id, ts FROM event WHERE value > 950' ],
		[ 'click_ewma', 'SELECT event_id, key, value, event_time FROM click_ewma',
			'SELECT id, key, value, ts FROM click_mirror' ],
		[ 'click_budget', 'SELECT event_id, score, p_value, is_anomaly, upper_bound FROM click_budget',
			q{SELECT id, (s).score, (s).p_value, (s).is_anomaly, (s).upper_bound FROM (SELECT id,
				streamproc.score_online('ewma', ts, value, '{"alerts_per_day": 3000}') OVER (ORDER BY id) AS s FROM click_mirror) m} ],
		[ 'busy_minute', 'SELECT key, n, event_time FROM busy_minute',
			q{SELECT key, n, window_end - interval '1 microsecond' FROM event_final WHERE n > 5} ]);

	$node->safe_psql($dbname, 'SELECT streamproc.wait_for()');
	my $wrong = '';
	for my $check (@checks)
	{
		my $n = differences($node, $dbname, $check->[1], $check->[2]);
		$wrong .= "$check->[0] differs in $n rows; " if $n != 0;
	}
	my $scores = $node->safe_psql($dbname, q{SELECT ewma_check('click_ewma', 0.1, 30)});
	$wrong .= "$scores scores of click_ewma differ; " if $scores != 0;
	my $twins = $node->safe_psql($dbname, q{SELECT (SELECT count(*) FROM streamproc.verify('event_1m'))
		+ (SELECT count(*) FROM streamproc.verify('event_final'))});
	$wrong .= "verify() returns $twins rows; " if $twins != 0;
	is($wrong, '', "$what: results are those of plain SQL");
	return;
}

# The slot exists, nothing else: its creator was killed before it could use it.
my $log_start = -s $node->logfile;
arm_debug_point($node, 'slot-created', 'kill');
$node->psql('postgres', q{CREATE TABLE first (id int); SELECT streamproc.create_stream('first')});
$node->wait_for_log(qr/ready to accept connections/, $log_start);
wait_for($node);
declare_streams('postgres');
wait_for($node);
load('postgres') for 1 .. 5;
results_ok('postgres', 'killed after creating the slot');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_replication_slots WHERE slot_name LIKE 'streamproc%'}), 1,
	'one slot');

for my $point ('decoded', 'before-write-commit', 'applied', 'mid-checkpoint', 'checkpointed', 'confirmed')
{
	load_until_killed($node, $point, sub { load('postgres') });
	results_ok('postgres', "killed at $point");
}

# Twice in a row, the second time while it catches up.
load_until_killed($node, 'applied', sub { load('postgres') });
load_until_killed($node, 'before-write-commit', sub { load('postgres') });
results_ok('postgres', 'killed again while catching up');

load_until_killed($node, 'mid-backfill', sub { load('postgres') }, meanwhile => sub {
	my $aggregates = minute_aggregates();
	# It is committed when the worker meets it, but its client may be gone before it knows.
	$node->psql('postgres', <<"SQL");
SELECT streamproc.create_window('event_later', 'event', kind => 'tumbling', size => '1 minute',
	keys => ARRAY['key'], aggregates => $aggregates);
SQL
});
results_ok('postgres', 'killed amid a backfill');
is( differences($node, 'postgres', 'SELECT window_start, key, n, total, low, high FROM event_later',
		minute_sql('event')),
	0, 'the window that was filled when the worker was killed is exact');

# An error instead of a death: nothing is half written either.
for my $point ('before-write-commit', 'mid-checkpoint')
{
	my $pid = worker_pid($node);
	arm_debug_point($node, $point, 'error');
	load('postgres') while -e $node->data_dir . "/streamproc_debug/$point";
	load('postgres');
	results_ok('postgres', "error at $point");
}

# The position is never behind what the server was told it may forget.
is($node->safe_psql('postgres', q{SELECT count(*) FROM streamproc.position p
	JOIN pg_replication_slots s USING (slot_name) WHERE p.state_lsn < s.confirmed_flush_lsn}), 0,
	'the confirmed position is not ahead of the stored one');

$node->stop;
done_testing();
