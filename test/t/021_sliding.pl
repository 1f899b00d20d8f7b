# Sliding windows when the worker is killed where it could lose or repeat an answer or an alert, and restarts with many
# events in memory. Rows have their number in the order of commits, so that plain SQL knows what came before which.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use StreamprocOracle;
use StreamprocTest;

my $node = new_cluster('sliding', conf => <<'CONF');
streamproc.debug_points = on
streamproc.checkpoint_interval = 1
CONF
my $next_id = 1;
my $aggregates = q{ARRAY['count(*) AS n', 'sum(amount) AS total', 'max(amount) AS top', 'min(amount) AS low',
	'string_agg(id::text, '','' ORDER BY id) AS ids']};

# Answers of a window over a table, by plain SQL.
sub answers
{
	my ($table) = @_;

	return <<"SQL";
SELECT r.id, r.customer, r.ts, a.n, a.total, a.top, a.low, a.ids FROM $table r, LATERAL (
	SELECT count(*) AS n, sum(amount) AS total, max(amount) AS top, min(amount) AS low,
		string_agg(p.id::text, ',' ORDER BY p.id) AS ids
	FROM $table p WHERE p.customer = r.customer AND p.id <= r.id AND p.ts <= r.ts
		AND p.ts > r.ts - interval '5 minutes') a
SQL
}

$node->safe_psql('postgres', <<"SQL");
CREATE TABLE payment (id bigint, customer int, amount float8, ts timestamptz);
CREATE TABLE click (LIKE payment) USING streamproc;
CREATE TABLE click_mirror (LIKE payment);
SELECT streamproc.create_stream(relation, time_column => 'ts', idle_timeout => '1 day')
FROM (VALUES ('payment'::regclass), ('click')) v (relation);
SELECT streamproc.create_window(name, source, kind => 'sliding', size => '5 minutes', keys => ARRAY['customer'],
	carry => ARRAY['id', 'amount'], aggregates => $aggregates, trigger => how_often::interval)
FROM (VALUES ('velocity', 'payment'::regclass, '0'), ('slow', 'payment', '1 hour'), ('clicks', 'click', '0'))
	v (name, source, how_often);
SELECT streamproc.create_detector('fraud', 'velocity', method => 'rule', rules => ARRAY['n > 5 AS "High velocity"',
	'amount > 950 AS "Large"'], carry => ARRAY['id AS payment_id', 'n']);
SELECT streamproc.create_detector('slow_fraud', 'slow', method => 'rule', rules => ARRAY['n > 5 AS "High velocity"'],
	carry => ARRAY['id AS payment_id', 'n'], trigger => '300 milliseconds');
SELECT streamproc.create_window('top_minute', 'velocity', kind => 'tumbling', size => '1 minute',
	aggregates => ARRAY['count(*) AS answers', 'sum(n) AS total']);
SELECT streamproc.wait_for();
SQL

# One transaction of 40 rows into each table, a little out of order.
sub load
{
	my $first = $next_id;
	my $last = ($next_id += 40) - 1;
	my $rows = "SELECT i, i % 7, i * 7919 % 1000, '2026-01-01 00:00+00'::timestamptz
		+ (i * 6 - i * 31 % 9) * interval '1 second' FROM generate_series($first, $last) i";

	# The server may be down, or go down: then the transaction is there or not, and the oracle sees the same.
	$node->psql('postgres', "BEGIN; INSERT INTO payment $rows; INSERT INTO click $rows;
		INSERT INTO click_mirror $rows; COMMIT");
	return;
}

sub results_ok
{
	my ($what) = @_;
	my @checks = (
		[ 'velocity', 'SELECT id, customer, window_end, n, total, top, low, ids FROM velocity', answers('payment') ],
		[ 'slow', 'SELECT id, customer, window_end, n, total, top, low, ids FROM slow', answers('payment') ],
		[ 'clicks', 'SELECT id, customer, window_end, n, total, top, low, ids FROM clicks', answers('click_mirror') ],
		[ 'fraud', 'SELECT payment_id, n FROM fraud',
			'SELECT id, n FROM (' . answers('payment') . ') a JOIN payment USING (id) WHERE n > 5 OR amount > 950' ],
		[ 'slow_fraud', 'SELECT payment_id, n FROM slow_fraud',
			'SELECT id, n FROM (' . answers('payment') . ') a WHERE n > 5' ],
		[ 'top_minute', 'SELECT window_start, answers, total FROM top_minute',
			q{SELECT date_bin('1 minute', window_end, '2000-01-03 00:00+00'), count(*), sum(n) FROM velocity GROUP BY 1} ]);
	my $wrong = '';

	$node->safe_psql('postgres', 'SELECT streamproc.wait_for()');
	for my $check (@checks)
	{
		my $n = differences($node, 'postgres', $check->[1], $check->[2]);
		$wrong .= "$check->[0] differs in $n rows; " if $n != 0;
	}
	$wrong .= $node->safe_psql('postgres', q{SELECT string_agg(format('%s: %s', name, reason), '; ')
		FROM streamproc.dead_letter});
	is($wrong, '', "$what: results are those of plain SQL");
	return;
}

load() for 1 .. 3;
results_ok('at first');
for my $point ('decoded', 'before-write-commit', 'applied', 'checkpoint-slice', 'mid-checkpoint', 'checkpointed',
	'confirmed')
{
	load_until_killed($node, $point, \&load);
	results_ok("killed at $point");
}

# Twice in a row, the second time while it catches up; and everything at once.
load_until_killed($node, 'applied', \&load);
load_until_killed($node, 'before-write-commit', \&load);
results_ok('killed again while catching up');
crash($node);
load();
results_ok('after a power failure');

# A key with many events: a restart brings all of them back, and the next answers are exact.
sub hot
{
	my ($first, $last) = @_;

	$node->safe_psql('postgres', <<"SQL");
INSERT INTO hot SELECT i, (i % 1000)::float8, '2026-02-01 00:00+00'::timestamptz + (i - i * 37 % 11) * interval '10 ms'
FROM generate_series($first, $last) i;
SELECT streamproc.wait_for();
SQL
	return;
}

$node->safe_psql('postgres', <<"SQL");
CREATE TABLE hot (id bigint, v float8, ts timestamptz);
SELECT streamproc.create_stream('hot', time_column => 'ts', idle_timeout => '1 day');
SELECT streamproc.create_window('hot_10m', 'hot', kind => 'sliding', size => '10 minutes', carry => ARRAY['id'],
	aggregates => ARRAY['count(*) AS n', 'sum(v) AS total', 'max(v) AS top', 'stddev(v) AS deviation', 'sum(id) AS ids']);
SELECT streamproc.wait_for();
SQL
hot(1, 100_000);
$node->restart;
hot(100_001, 100_300);
crash($node);
hot(100_301, 100_600);
is($node->safe_psql('postgres', 'SELECT count(*), count(DISTINCT (lsn, ordinal)) FROM hot_10m'), '100600|100600',
	'an answer for each row');
is( $node->safe_psql('postgres', <<'SQL'), 60, 'after restarts answers are exact');
SELECT count(*) FROM (SELECT * FROM hot_10m WHERE id > 100000 AND id % 10 = 0) w, LATERAL (
	SELECT count(*) AS n, sum(v) AS total, max(v) AS top, stddev(v) AS deviation, sum(id) AS ids
	FROM hot h WHERE h.id <= w.id AND ts <= window_end AND ts > window_start) e
WHERE (w.n, w.total, w.top, w.ids) = (e.n, e.total, e.top, e.ids) AND abs(w.deviation - e.deviation) < 1e-9 * w.total
SQL

$node->stop;
done_testing();
