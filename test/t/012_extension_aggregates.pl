# Aggregates of extensions, whose states only they understand: hll (approximate counts of different values) and tdigest
# (approximate percentiles). Debian has both for 15: packages postgresql-15-hll and postgresql-15-tdigest.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use StreamprocTest;

my $node = new_cluster('extension_aggregates');

my $last = 0;

# Rows of the next minutes, in commits of several sizes.
sub load
{
	my ($rows) = @_;
	for my $part (1, $rows / 2, $rows / 2 - 1)
	{
		my ($first, $to) = ($last + 1, $last + $part);
		$node->safe_psql('postgres', <<"SQL");
INSERT INTO visit SELECT i, i::bigint * 7919 % 40009, (i::bigint * 104729 % 100003) / 7.0, i % 3,
	'2026-01-01 00:00+00'::timestamptz + i * interval '100 milliseconds' FROM generate_series($first, $to) i
SQL
		$last = $to;
	}
	return;
}

# Windows whose sketch isn't equal to, or far from, what plain SQL says of the same rows.
sub results_ok
{
	my ($what) = @_;

	wait_for($node);
	is( $node->safe_psql('postgres', <<'SQL'), '0', "$what: sketches of different values");
SELECT count(*) FROM (SELECT w.window_start, key, hll_add_agg(hll_hash_bigint(visitor)) AS visitors, count(*) AS n
	FROM visit, LATERAL streamproc.tumble(at, '10 minutes') w GROUP BY 1, 2) e
	FULL JOIN visit_10m r USING (window_start, key)
	WHERE e.visitors IS NULL OR r.visitors IS NULL OR e.visitors <> r.visitors
		OR hll_cardinality(e.visitors) <> hll_cardinality(r.visitors) OR e.n <> r.n
SQL
	is( $node->safe_psql('postgres', <<'SQL'), '0', "$what: sketches of hopping windows");
SELECT count(*) FROM (SELECT w.window_start, key, hll_add_agg(hll_hash_bigint(visitor)) AS visitors
	FROM visit, LATERAL streamproc.hop(at, '10 minutes', '30 minutes') w
	WHERE w.window_end <= (SELECT max(at) FROM visit) GROUP BY 1, 2) e
	FULL JOIN visit_30m r USING (window_start, key)
	WHERE e.visitors IS NULL OR r.visitors IS NULL OR e.visitors <> r.visitors
SQL
	is( $node->safe_psql('postgres', <<'SQL'), '0', "$what: digests");
SELECT count(*) FROM (SELECT w.window_start, key, count(*) AS n, max(spent) AS largest,
		percentile_cont(0.5) WITHIN GROUP (ORDER BY spent) AS median, percentile_cont(0.95) WITHIN GROUP (ORDER BY spent) AS p95
	FROM visit, LATERAL streamproc.tumble(at, '10 minutes') w GROUP BY 1, 2) e
	FULL JOIN visit_10m r USING (window_start, key)
	WHERE e.n IS NULL OR r.digest IS NULL OR tdigest_count(r.digest) <> e.n
		OR abs(r.median - e.median) > 0.02 * e.largest OR abs(r.p95 - e.p95) > 0.02 * e.largest
		OR abs((SELECT tdigest_percentile(d, 0.95) FROM (VALUES (r.digest)) v(d)) - e.p95) > 0.02 * e.largest
SQL
	is( $node->safe_psql('postgres', <<'SQL'), '0', "$what: digests of hopping windows");
SELECT count(*) FROM (SELECT w.window_start, key, count(*) AS n, max(spent) AS largest,
		percentile_cont(0.9) WITHIN GROUP (ORDER BY spent) AS p90
	FROM visit, LATERAL streamproc.hop(at, '10 minutes', '30 minutes') w
	WHERE w.window_end <= (SELECT max(at) FROM visit) GROUP BY 1, 2) e
	FULL JOIN visit_30m r USING (window_start, key)
	WHERE e.n IS NULL OR r.digest IS NULL OR tdigest_count(r.digest) <> e.n OR abs(r.p90 - e.p90) > 0.02 * e.largest
SQL
	return;
}

$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION hll;
CREATE EXTENSION tdigest;
CREATE TABLE visit (id bigint, visitor bigint, spent float8, key int, at timestamptz);
SELECT streamproc.create_stream('visit', 'at', watermark => '0');
SELECT streamproc.create_window('visit_10m', 'visit', 'tumbling', size => '10 minutes', keys => '{key}',
	aggregates => ARRAY['hll_add_agg(hll_hash_bigint(visitor)) AS visitors', 'tdigest(spent, 200) AS digest',
		'tdigest_percentile(spent, 200, 0.5) AS median', 'tdigest_percentile(spent, 200, 0.95) AS p95', 'count(*) AS n']);
SELECT streamproc.create_window('visit_30m', 'visit', 'hopping', size => '30 minutes', slide => '10 minutes', keys => '{key}',
	aggregates => ARRAY['hll_add_agg(hll_hash_bigint(visitor)) AS visitors', 'tdigest(spent, 200) AS digest',
		'tdigest_percentile(spent, 200, 0.9) AS p90']);
-- Sketches of sketches.
SELECT streamproc.create_window('visit_1h', 'visit_10m', 'tumbling', size => '1 hour',
	aggregates => ARRAY['hll_union_agg(visitors) AS visitors', 'tdigest(digest) AS digest', 'sum(n) AS n']);
SQL
load(12000);
results_ok('at first');

# The states go to disk and come back, packed.
$node->safe_psql('postgres', 'SELECT streamproc.stop()');
load(6000);
$node->safe_psql('postgres', 'SELECT streamproc.start()');
load(6000);
results_ok('after a restart of the worker');

# And after a crash, from a checkpoint and the WAL behind it.
load(10000);
crash($node);
load(8000);
results_ok('after a crash');
load(40000);
results_ok('at last');

is( $node->safe_psql('postgres', <<'SQL'), '0', 'sketches of sketches');
SELECT count(*) FROM (SELECT date_trunc('hour', at) AS window_start, hll_add_agg(hll_hash_bigint(visitor)) AS visitors,
		count(*) AS n FROM visit WHERE at < (SELECT date_trunc('hour', max(at)) FROM visit) GROUP BY 1) e
	FULL JOIN visit_1h r USING (window_start)
	WHERE r.is_final IS DISTINCT FROM false AND (e.n IS NULL OR r.n IS NULL OR e.n <> r.n
		OR e.visitors <> r.visitors OR tdigest_count(r.digest) <> e.n)
SQL
cmp_ok($node->safe_psql('postgres', 'SELECT count(*) FROM visit_1h WHERE is_final'), '>', 0, 'there are some');

done_testing();
