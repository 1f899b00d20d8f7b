# Somebody takes the WAL away: what is lost is said, with both positions, and resume() rebuilds it.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use StreamprocOracle;
use StreamprocTest;

my $node = new_cluster('gap');
my $aggregates = minute_aggregates();
my $next = 1;

sub load
{
	my $first = $next;
	my $last = ($next += 500) - 1;
	$node->safe_psql('postgres', <<"SQL");
INSERT INTO event SELECT i, i % 5, i * 7919 % 1000, '2026-01-01 00:00+00'::timestamptz + i * interval '1 second'
FROM generate_series($first, $last) i;
SQL
	return;
}

sub results_ok
{
	my ($what) = @_;
	wait_for($node);
	is( differences($node, 'postgres', 'SELECT window_start, key, n, total, low, high FROM event_1m', minute_sql('event')),
		0, "$what: the window is exact");
	is( differences($node, 'postgres', 'SELECT event_id FROM event_rule', 'SELECT id FROM event WHERE value > 950'),
		0, "$what: the alerts are exact");
	return;
}

sub stop_worker
{
	$node->safe_psql('postgres', 'SELECT streamproc.stop()');
	$node->poll_query_until('postgres',
		q{SELECT NOT bool_or(active) FROM pg_replication_slots WHERE slot_name LIKE 'streamproc%'})
	  or die 'the slot was not released';
	return;
}

# After the worker has been told and has found out.
sub gap_ok
{
	my ($what) = @_;
	$node->safe_psql('postgres', 'SELECT streamproc.start()');
	ok($node->poll_query_until('postgres', q{SELECT bool_and(state = 'gap') FROM streamproc.status
		WHERE name::text IN ('event_1m', 'event_rule')}), "$what: state gap");
	my $reason = $node->safe_psql('postgres', q{SELECT reason FROM streamproc.status WHERE name::text = 'event_1m'});
	note("reason: $reason");
	return $reason;
}

sub resume_all
{
	$node->safe_psql('postgres', q{
		SELECT streamproc.resume('event'); SELECT streamproc.resume('event_1m'); SELECT streamproc.resume('event_rule')});
	return;
}

$node->safe_psql('postgres', <<"SQL");
CREATE TABLE event (id bigint, key int, value float8, ts timestamptz);
SELECT streamproc.create_stream('event', time_column => 'ts', idle_timeout => '1 day');
SELECT streamproc.create_window('event_1m', 'event', kind => 'tumbling', size => '1 minute',
	keys => ARRAY['key'], aggregates => $aggregates);
SELECT streamproc.create_detector('event_rule', 'event', method => 'rule',
	rules => ARRAY['value > 950 AS "Too high"'], carry => ARRAY['id AS event_id']);
SQL
wait_for($node);
load();
results_ok('at first');
my $slot = $node->safe_psql('postgres', q{SELECT slot_name FROM pg_replication_slots WHERE slot_name LIKE 'streamproc%'});
my $lsn = qr{[0-9A-F]+/[0-9A-F]+};

# The slot is dropped.
stop_worker();
$node->safe_psql('postgres', "SELECT pg_drop_replication_slot('$slot')");
load();
like(gap_ok('dropped slot'), $lsn, 'the reason names a position');
load();
is($node->safe_psql('postgres', 'SELECT count(*) < (SELECT count(*) FROM event WHERE value > 950) FROM event_rule'), 't',
	'nothing is carried on silently');
resume_all();
results_ok('dropped slot');
load();
results_ok('and afterwards');

# The slot is moved ahead of what was read.
stop_worker();
load();
$node->safe_psql('postgres', "SELECT pg_replication_slot_advance('$slot', pg_current_wal_lsn())");
like(gap_ok('advanced slot'), qr/$lsn.*$lsn/s, 'the reason names both positions');
resume_all();
load();
results_ok('advanced slot');

# Somebody else's slot has the name: it is left alone.
stop_worker();
$node->safe_psql('postgres', "SELECT pg_drop_replication_slot('$slot')");
load();
$node->safe_psql('postgres', "SELECT pg_create_logical_replication_slot('$slot', 'test_decoding')");
$node->safe_psql('postgres', 'SELECT streamproc.start()');
ok( $node->poll_query_until('postgres', q{SELECT reason LIKE '%belongs to another database or output plugin%'
		FROM streamproc.status WHERE name::text = 'event_1m'}),
	'status says that the slot is not ours');
is($node->safe_psql('postgres', "SELECT plugin FROM pg_replication_slots WHERE slot_name = '$slot'"), 'test_decoding',
	'and it is left alone');
$node->safe_psql('postgres', "SELECT pg_drop_replication_slot('$slot')");
like(gap_ok('slot gone again'), $lsn, 'the reason names a position');
resume_all();
load();
results_ok('foreign slot');

# The slot falls so far behind that the server gives up on it.
$node->append_conf('postgresql.conf', "max_slot_wal_keep_size = 16MB\nmin_wal_size = 32MB\nmax_wal_size = 32MB");
$node->reload;
stop_worker();
$node->poll_query_until('postgres', q{
	SELECT count(pg_switch_wal()) > 0 FROM pg_logical_emit_message(false, 'filler', repeat('x', 1000000)) m})
  for 1 .. 4;
$node->safe_psql('postgres', 'CHECKPOINT');
load();
is($node->safe_psql('postgres', "SELECT wal_status FROM pg_replication_slots WHERE slot_name = '$slot'"), 'lost',
	'the server invalidated the slot');
gap_ok('invalidated slot');
resume_all();
load();
results_ok('invalidated slot');

# What can't be computed again isn't thrown away: final windows and alerts stay as they are. The window that has lost rows
# never appears, and what comes for it is rejected; the next one counts.
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE click (id int, ts timestamptz) USING streamproc;
SELECT streamproc.create_stream('click', time_column => 'ts', idle_timeout => '1 day');
SELECT streamproc.create_window('click_1m', 'click', kind => 'tumbling', size => '1 minute', aggregates => ARRAY['count(*) AS n']);
SELECT streamproc.create_window('click_1d', 'click', kind => 'tumbling', size => '1 day', aggregates => ARRAY['count(*) AS n']);
SELECT streamproc.create_detector('click_rule', 'click', method => 'rule', rules => ARRAY['id % 100 = 0 AS "Hundredth"'],
	carry => ARRAY['id AS click_id']);
SELECT streamproc.wait_for();
INSERT INTO click SELECT i, '2026-01-01 00:00+00'::timestamptz + i * interval '1 second' FROM generate_series(1, 200) i;
SELECT streamproc.wait_for();
SQL
my $finals = q{SELECT string_agg(format('%s %s', window_start AT TIME ZONE 'UTC', n), ',' ORDER BY 1) FROM click_1m};
is($node->safe_psql('postgres', "$finals WHERE is_final"), '2026-01-01 00:00:00 59,2026-01-01 00:01:00 60,2026-01-01 00:02:00 60',
	'windows of a stream table');
stop_worker();
$node->safe_psql('postgres', "SELECT pg_drop_replication_slot('$slot')");
gap_ok('gap of a stream table');
resume_all();
$node->safe_psql('postgres', "SELECT streamproc.resume('$_')") for 'click_1m', 'click_1d', 'click_rule';
wait_for($node);
$node->safe_psql('postgres', <<'SQL');
INSERT INTO click SELECT i, '2026-01-01 00:00+00'::timestamptz + i * interval '1 second' FROM generate_series(201, 400) i;
SELECT streamproc.wait_for();
SQL
is($node->safe_psql('postgres', $finals), '2026-01-01 00:00:00 59,2026-01-01 00:01:00 60,2026-01-01 00:02:00 60,'
	  . '2026-01-01 00:04:00 60,2026-01-01 00:05:00 60,2026-01-01 00:06:00 41', 'final windows stay, and new ones come');
is($node->safe_psql('postgres', q{SELECT count(*) FROM streamproc.dead_letter WHERE name = 'click_1m'::regclass}), 39,
	'rows of the window that has lost some are rejected');
is($node->safe_psql('postgres', 'SELECT count(*) FROM click_1d'), 0, 'a day that has lost rows stays away, and is no business of the minutes');
crash($node);
wait_for($node);
$node->safe_psql('postgres', q{INSERT INTO click VALUES (1, '2026-01-01 00:06:50+00')});
wait_for($node);
is($node->safe_psql('postgres', 'SELECT count(*) FROM click_1d'), 0, 'also after a crash');
is($node->safe_psql('postgres', 'SELECT string_agg(click_id::text, \',\' ORDER BY click_id) FROM click_rule'), '100,200,300,400',
	'alerts stay');

# The log says it once each time, not over and over.
my @said = slurp_file($node->logfile) =~ /can't be continued/g;
cmp_ok(scalar(@said), '<=', 10, 'the log is not flooded');

$node->stop;
done_testing();
