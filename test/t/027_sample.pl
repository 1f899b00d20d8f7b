# Detectors that score a window's rows at each update: whatever is killed meanwhile, however little memory there is and however
# rows are batched, they say what they say where nothing happens, each of it once.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use StreamprocTest;

my $transactions = 400;
my $node = new_cluster('sample', conf => <<'CONF');
streamproc.debug_points = on
streamproc.checkpoint_interval = 1
streamproc.max_state_memory = 64kB
CONF
my @detectors = qw(open_told open_all closed_told closed_all hop_told session_told session_all total_told low set_told set_all budget_told budget_all);

# The rows of many transactions, and what reads them, in a database.
sub set_up
{
	my ($dbname, $trigger) = @_;

	$node->safe_psql($dbname, <<"SQL");
CREATE TABLE plan AS SELECT 1 + i / 12 AS tx, i AS id, (i * 7919) % 157 AS key, CASE WHEN i * 31 % 401 < 2 THEN 90 ELSE 8 + (i * 104729) % 13 / 8.0 END AS amount,
	'2026-01-01 00:00+00'::timestamptz + i * interval '125 ms' - CASE WHEN i % 11 = 5 THEN interval '25 seconds' ELSE '0' END AS ts
FROM generate_series(0, 12 * $transactions - 1) i;
CREATE TABLE event (LIKE plan);
CREATE PROCEDURE play(n int) LANGUAGE plpgsql AS \$\$
DECLARE done int := coalesce(max(tx), 0) FROM event;
BEGIN
	FOR i IN done + 1 .. least(done + n, $transactions) LOOP
		INSERT INTO event SELECT * FROM plan WHERE tx = i ORDER BY id;
		IF i % 20 = 10 THEN
			DELETE FROM set_told_overrides WHERE key % 3 = i / 20 % 3;
			INSERT INTO set_told_overrides (key, muted, threshold) SELECT key, key % 2 = 0, 1 + key % 4 FROM generate_series(0, 156) key WHERE key % 3 = i / 20 % 3 AND key % 5 <> i / 20 % 5;
			TRUNCATE set_all_overrides;
			INSERT INTO set_all_overrides (key, muted, threshold, direction) SELECT key, muted, threshold, (ARRAY['high', 'low', NULL])[1 + key % 3] FROM set_told_overrides WHERE key % 7 < 5;
		END IF;
		COMMIT;
	END LOOP;
END \$\$;
SELECT streamproc.create_stream('event', time_column => 'ts', watermark => '10 seconds', idle_timeout => '1 day');
SELECT streamproc.create_window('open', 'event', kind => 'tumbling', size => '1 minute', keys => ARRAY['key'],
	aggregates => ARRAY['count(*) AS n', 'sum(amount) AS total'], grace => '40 seconds', trigger => '$trigger');
SELECT streamproc.create_window('closed', 'event', kind => 'tumbling', size => '30 seconds', keys => ARRAY['key'],
	aggregates => ARRAY['count(*) AS n', 'sum(amount) AS total'], grace => '20 seconds', emit => 'final', trigger => '$trigger');
SELECT streamproc.create_window('hop', 'event', kind => 'hopping', size => '1 minute', slide => '15 seconds', keys => ARRAY['key % 10 AS key'],
	aggregates => ARRAY['count(*) AS n', 'sum(amount) AS total'], emit => 'update', trigger => '$trigger');
SELECT streamproc.create_window('session', 'event', kind => 'session', gap => '15 seconds', keys => ARRAY['key'],
	aggregates => ARRAY['count(*) AS n', 'sum(amount) AS total'], grace => '10 seconds', trigger => '$trigger');
SELECT streamproc.create_window('total', 'event', kind => 'global', keys => ARRAY['key'], aggregates => ARRAY['count(*) AS n', 'sum(amount) AS total'],
	trigger => '$trigger');
SELECT count(streamproc.create_detector(w || '_' || s, w::regclass, method => 'ewma', value => 'total', params => '{"warmup": 2, "alpha": 0.2}', threshold => 2.5,
	carry => ARRAY['window_start', 'window_end', 'n', 'is_final'], sample => 'update', cooldown => CASE w WHEN 'hop' THEN '2 minutes' ELSE '0' END::interval,
	store => CASE s WHEN 'all' THEN 'all' ELSE 'anomalies' END, trigger => '$trigger'))
FROM unnest(ARRAY['open', 'closed', 'hop', 'session']) w, unnest(ARRAY['told', 'all']) s WHERE (w, s) <> ('hop', 'all');
SELECT streamproc.create_detector('low', 'open', method => 'ewma', value => 'total', params => '{"warmup": 2, "missing": "last"}', threshold => 0.5, direction => 'low',
	carry => ARRAY['window_start', 'window_end', 'n', 'is_final'], sample => 'update', store => 'all', trigger => '$trigger');
SELECT streamproc.create_detector('total_told', 'total', method => 'rule', rules => ARRAY['total > 150 AS "Much"'],
	carry => ARRAY['NULL::timestamptz AS window_start', 'NULL::timestamptz AS window_end', 'n', 'total > 0 AS is_final'], sample => 'update', trigger => '$trigger');
SELECT count(streamproc.create_detector('set_' || s, 'open', method => 'ewma', value => 'total', params => '{"warmup": 2, "alpha": 0.2}', threshold => 2.5,
	carry => ARRAY['window_start', 'window_end', 'n', 'is_final'], sample => 'update', store => CASE s WHEN 'all' THEN 'all' ELSE 'anomalies' END, trigger => '$trigger',
	cooldown => CASE s WHEN 'told' THEN '2 minutes' ELSE '0' END::interval)) FROM unnest(ARRAY['told', 'all']) s;
SELECT count(streamproc.create_detector('budget_' || s, 'open', method => 'ewma', value => 'total', params => '{"warmup": 2, "alpha": 0.2, "alerts_per_day": 5000}',
	carry => ARRAY['window_start', 'window_end', 'n', 'is_final'], sample => 'update', store => CASE s WHEN 'all' THEN 'all' ELSE 'anomalies' END, trigger => '$trigger'))
FROM unnest(ARRAY['told', 'all']) s;
SELECT streamproc.wait_for();
SQL
	return;
}

# What a detector has said, commit by commit: rows of the same commit in their order.
sub said
{
	my ($dbname, $detector) = @_;

	return $node->safe_psql($dbname, <<"SQL");
SELECT dense_rank() OVER (ORDER BY lsn), ordinal, key, event_time, window_start, window_end, n, is_final, value, score, p_value, threshold, is_anomaly, expected, alerts
FROM $detector ORDER BY lsn, ordinal
SQL
}

create_database($node, 'calm');
set_up('calm', '0');
$node->safe_psql('calm', "CALL play($transactions)");
wait_for($node, 'calm');
my %calm = map { $_ => said('calm', $_) } @detectors;
is($node->safe_psql('calm', q{SELECT count(*) FROM streamproc.status WHERE state <> 'running'}), '0', 'all objects run');
foreach my $detector (@detectors)
{
	cmp_ok($calm{$detector} =~ tr/\n//, '>', 3, "$detector has something to say");
}
is($node->safe_psql('calm', q{SELECT count(*) FROM (SELECT FROM closed_all WHERE window_end < (SELECT max(window_end) - interval '1 minute' FROM closed_all
	WHERE is_final) GROUP BY key, window_start HAVING count(*) FILTER (WHERE is_final) < 2 AND bool_or(NOT is_final)) d}), '0',
	'each row is scored when it becomes final, and when nothing amends it any more');
like($calm{open_told}, qr/\|f\|.*\|t\|/, 'some of it early');
$node->safe_psql('calm', 'SELECT streamproc.stop()');
is($node->safe_psql('calm', 'SELECT count(*) FROM (SELECT FROM open_told GROUP BY key, window_start HAVING count(*) > 1) d'), '0',
	'a row is told once');

# The same, with the worker killed at one place after the other, the server crashed and stopped, and writing put off.
set_up('postgres', '300 ms');
my $load = sub {
	$node->psql('postgres', 'CALL play(2)');
	$node->psql('postgres', 'SELECT streamproc.wait_for()') if rand() < 0.3;
};
foreach my $point (qw(applied before-write-commit decoded checkpointed mid-checkpoint checkpoint-slice applied before-write-commit))
{
	load_until_killed($node, $point, $load);
}
$load->();
crash($node);
$load->();
kill_worker($node);
$load->();
$node->restart;
$node->psql('postgres', "CALL play($transactions)");
wait_for($node);
is($node->safe_psql('postgres', 'SELECT max(tx) FROM event'), $transactions, 'all transactions are there');
foreach my $detector (@detectors)
{
	is(said('postgres', $detector), $calm{$detector}, "$detector says the same, once");
}

done_testing();
