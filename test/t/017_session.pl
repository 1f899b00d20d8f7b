# The worker is killed amid session windows: sessions that merge, begin earlier, are final no more and forgotten are
# those of plain SQL every time, the same rows are late, and what reads the window has each session once.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use StreamprocOracle;
use StreamprocTest;

my $node = new_cluster('session', conf => <<'CONF');
streamproc.debug_points = on
streamproc.checkpoint_interval = 1
CONF
my $next_batch = 1;
my $gap = '8 s';

# A key's rows come every 7 s on average, one in ten of them up to 40 s late, the others up to 10 s out of order, which
# is what the watermark allows.
$node->safe_psql('postgres', <<"SQL");
CREATE TABLE event (id bigint, batch int, key int, value int, ts timestamptz);
SELECT streamproc.create_stream('event', time_column => 'ts', watermark => '10 seconds', idle_timeout => '1 day');
SELECT streamproc.create_window('updated', 'event', kind => 'session', gap => '$gap', keys => '{key}',
	aggregates => '{count(*) AS n, sum(value) AS total}');
SELECT streamproc.create_window('final', 'event', kind => 'session', gap => '$gap', keys => '{key}',
	aggregates => '{count(*) AS n, sum(value) AS total}', emit => 'final', grace => '10 seconds');
SELECT streamproc.create_window('slow', 'event', kind => 'session', gap => '$gap', keys => '{key}',
	aggregates => '{count(*) AS n, sum(value::numeric) AS total, "array_agg(id ORDER BY id) AS ids"}', grace => '10 seconds',
	trigger => '1 hour');
SELECT streamproc.create_detector('seen', 'final', method => 'rule', rules => '{n > 0 AS Seen}', keys => '{key}',
	carry => '{window_start AS began, n AS n, total AS total}');

CREATE FUNCTION r(i bigint, n int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT (abs(hashint8(i)::bigint) % n)::int';
CREATE VIEW closed_until AS SELECT max(ts) - interval '10 s' AS at FROM event;
CREATE FUNCTION sessions(object regclass)
RETURNS TABLE (window_start timestamptz, window_end timestamptz, key int, n bigint, total bigint, ids bigint[]) LANGUAGE sql AS \$\$
	WITH admitted AS (SELECT * FROM event e WHERE NOT EXISTS (SELECT FROM streamproc.dead_letter d
			WHERE d.name = object AND d.row_data->>'id' = e.id::text)),
		begun AS (SELECT *, ts - lag(ts) OVER k < '$gap' AS goes_on FROM admitted WINDOW k AS (PARTITION BY key ORDER BY ts)),
		numbered AS (SELECT *, count(*) FILTER (WHERE goes_on IS NOT TRUE) OVER (PARTITION BY key ORDER BY ts) AS session FROM begun)
	SELECT min(ts), max(ts) + '$gap', key, count(*), sum(value), array_agg(id ORDER BY id) FROM numbered GROUP BY key, session
\$\$;
SQL
wait_for($node);

# One transaction.
sub load
{
	my $batch = $next_batch++;

	# The server may be down, or go down: then the transaction is there or not, and the oracle sees the same.
	$node->psql('postgres', <<"SQL");
INSERT INTO event SELECT i, $batch, nullif(r(i, 6), 0), r(i + 1, 1000), '2026-01-01 00:00+00'::timestamptz + i * interval '1.2 s'
	- CASE WHEN r(i + 2, 10) = 0 THEN r(i + 3, 40000) ELSE r(i + 3, 10000) END * interval '1 ms'
FROM generate_series($batch * 10, $batch * 10 + 9) i;
SQL
	return;
}

sub results_ok
{
	my ($what) = @_;
	my $finality = 'window_end <= (SELECT at FROM closed_until)';
	my @checks = (
		[ 'updated', 'SELECT window_start, window_end, key, n, total, is_final FROM updated',
			"SELECT window_start, window_end, key, n, total, $finality FROM sessions('updated')" ],
		[ 'final', 'SELECT window_start, window_end, key, n, total, is_final FROM final',
			"SELECT window_start, window_end, key, n, total, true FROM sessions('final') WHERE $finality" ],
		[ 'slow', 'SELECT window_start, window_end, key, n, total, ids, is_final FROM slow',
			"SELECT window_start, window_end, key, n, total, ids, $finality FROM sessions('slow')" ],
		[ 'seen', q{SELECT began, event_time + interval '1 us', key, n, total FROM seen},
			q{SELECT window_start, window_end, key, n, total FROM final
				WHERE window_end + interval '10 s' <= (SELECT at FROM closed_until)} ],
		# What is late depends on nothing but the rows and their order, and grace.
		[ 'late', q{SELECT row_data->>'id' FROM streamproc.dead_letter WHERE name = 'final'::regclass},
			q{SELECT row_data->>'id' FROM streamproc.dead_letter WHERE name = 'slow'::regclass} ]);

	wait_for($node);
	my $wrong = '';
	for my $check (@checks)
	{
		my $n = differences($node, 'postgres', $check->[1], $check->[2]);
		$wrong .= "$check->[0] differs in $n rows; " if $n != 0;
	}
	is($wrong, '', "$what: results are those of plain SQL");
	return;
}

load() for 1 .. 30;
results_ok('at first');
for my $point ('decoded', 'before-write-commit', 'applied', 'mid-checkpoint', 'checkpointed', 'confirmed')
{
	load_until_killed($node, $point, \&load);
	load() for 1 .. 4;
	results_ok("killed at $point");
}

# Twice in a row, the second time while it catches up.
load_until_killed($node, 'applied', \&load);
load_until_killed($node, 'before-write-commit', \&load);
results_ok('killed again while catching up');

# An error instead of a death: nothing is half written either.
for my $point ('before-write-commit', 'mid-checkpoint')
{
	arm_debug_point($node, $point, 'error');
	load() while -e $node->data_dir . "/streamproc_debug/$point";
	load() for 1 .. 5;
	results_ok("error at $point");
}

# An orderly restart, and a crash of the server.
$node->restart;
load() for 1 .. 10;
results_ok('restarted');
$node->stop('immediate');
$node->start;
load() for 1 .. 10;
results_ok('crashed');

# The clock closes a session when nothing comes; what is newer than all before amends it, and goes on from there. What
# reads the window has had it.
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE quiet (id int, ts timestamptz);
SELECT streamproc.create_stream('quiet', time_column => 'ts', watermark => '0', idle_timeout => '100 milliseconds');
SELECT streamproc.create_window('calm', 'quiet', kind => 'session', gap => '2 seconds', aggregates => '{count(*) AS n, max(id) AS last}');
SELECT streamproc.create_detector('heard', 'calm', method => 'rule', rules => '{n > 0 AS Heard}', carry => '{n AS n}');
SQL
wait_for($node);
$node->safe_psql('postgres', 'INSERT INTO quiet VALUES (1, clock_timestamp())');
my $closed = 'SELECT count(*) = 1 AND bool_and(is_final AND n = %s) FROM calm';
ok($node->poll_query_until('postgres', sprintf($closed, 1)), 'the clock closes a session');
ok($node->poll_query_until('postgres', 'SELECT count(*) = 1 FROM heard'), 'and hands it on');
$node->safe_psql('postgres', q{INSERT INTO quiet SELECT 2, max(ts) + interval '1.5 seconds' FROM quiet});
wait_for($node);
is( $node->safe_psql('postgres', q{SELECT n, last, window_end = (SELECT max(ts) + interval '2 seconds' FROM quiet) FROM calm}),
	'2|2|t', 'a newer row amends it');
ok($node->poll_query_until('postgres', sprintf($closed, 2)), 'it is closed again');
$node->safe_psql('postgres', q{INSERT INTO quiet SELECT 3, max(ts) - interval '0.1 seconds' FROM quiet});
wait_for($node);
is( $node->safe_psql('postgres', q{SELECT (SELECT string_agg(concat(n, last), ' ') FROM calm), (SELECT string_agg(n::text, ' ') FROM heard),
	(SELECT string_agg(concat(reason, row_data->>'id'), ' ') FROM streamproc.dead_letter WHERE name = 'calm'::regclass)}),
	'22|1|late3', 'an older one is late, and the session was handed on once');

# The test is about sessions that change in every way.
is( $node->safe_psql('postgres', <<'SQL'), 't|t|t',
SELECT (SELECT count(*) > 5 FROM streamproc.dead_letter WHERE name = 'updated'::regclass),
	(SELECT count(*) > 100 FROM updated), (SELECT max(revision) > 3 FROM updated)
SQL
	'there are late rows, many sessions, and those that were amended');

$node->stop;
done_testing();
