# Overrides and feedback take effect where they stand in the WAL: across crashes at any place, restarts, backfills that
# they fall into, rebuilds, and a dump. Each row says which threshold it must have met.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use StreamprocTest;

my $node = new_cluster('overrides', conf => <<'CONF');
streamproc.debug_points = on
streamproc.checkpoint_interval = 1
CONF
my $detector = q{method => 'ewma', value => 'value', keys => ARRAY['key'], carry => ARRAY['id AS event_id', 'expect'], store => 'all',
	params => '{"alpha": 0.2, "warmup": 4}', threshold => 3, learn => 'normal'};

sub sql { my ($sql, $dbname) = @_; return $node->safe_psql($dbname // 'postgres', $sql) }

# The stream's rows carry the threshold in force for "odd" when they are written; there is one writer. What is set for "odd"
# is set for the other two as well. A stream table has no history: "click" begins with what there is.
sql(<<"SQL");
CREATE TABLE event (id bigint GENERATED ALWAYS AS IDENTITY, key int, value float8, expect float8, ts timestamptz);
CREATE TABLE click (id bigint, key int, value float8, expect float8, ts timestamptz) USING streamproc;
SELECT streamproc.create_stream('event', time_column => 'ts', idle_timeout => '1 day', watermark => '1 day');
SELECT streamproc.create_stream('click', time_column => 'ts', idle_timeout => '1 day', watermark => '1 day');
SELECT streamproc.create_detector('odd', 'event', $detector);
SELECT streamproc.create_detector('odd_click', 'click', $detector);
CREATE SEQUENCE minute;
-- with the numbers of labels, too, the one that is labelled leads
CREATE FUNCTION expected(k int) RETURNS float8 STABLE LANGUAGE sql AS \$\$
	SELECT coalesce((SELECT coalesce(threshold, 3) * greatest(least(power(1.1::float8, false_positives - true_positives), 2), 0.5)
		FROM odd_overrides WHERE key IS NOT DISTINCT FROM k), 3)
\$\$;
CREATE FUNCTION write(n int) RETURNS void LANGUAGE sql AS \$\$
	INSERT INTO event (key, value, expect, ts) SELECT nullif(i % 5, 4), CASE WHEN i % 37 = 0 THEN 60 ELSE 20 + i * 31 % 7 END, expected(nullif(i % 5, 4)),
		'2026-01-01 00:00+00'::timestamptz + nextval('minute') * interval '1 second' FROM generate_series(1, n) i;
	INSERT INTO click SELECT id, key, value, expect, ts FROM (SELECT * FROM event ORDER BY id DESC LIMIT n) e ORDER BY id;
\$\$;
-- everywhere the same
CREATE FUNCTION spread() RETURNS void LANGUAGE plpgsql AS \$\$
DECLARE t text;
BEGIN
	FOR t IN SELECT relation::text || '_overrides' FROM streamproc.detector_definition WHERE relation::text <> 'odd' LOOP
		EXECUTE format('DELETE FROM %s t WHERE NOT EXISTS (SELECT FROM odd_overrides o WHERE o.key IS NOT DISTINCT FROM t.key)', t);
		EXECUTE format('INSERT INTO %s SELECT * FROM odd_overrides ON CONFLICT (key) DO UPDATE SET threshold = excluded.threshold,
			false_positives = excluded.false_positives, true_positives = excluded.true_positives', t);
	END LOOP;
END \$\$;
-- What has met another threshold, was scored otherwise than by plain SQL, is missing or there twice; rows before are history.
CREATE FUNCTION faults(detector text, first bigint, last bigint) RETURNS text LANGUAGE plpgsql AS \$\$
DECLARE r record; n int := 0; weight float8; mean float8; variance float8; s float8; k int; wrong int := 0; unequal int := 0; lost int; twice int;
	run int; begun boolean := false;
BEGIN
	EXECUTE format('SELECT count(*) FROM event e WHERE id BETWEEN %s AND %s AND NOT EXISTS (SELECT FROM %I WHERE event_id = e.id)', first, last, detector) INTO lost;
	EXECUTE format('SELECT count(*) - count(DISTINCT event_id) FROM %I', detector) INTO twice;
	FOR r IN EXECUTE format('SELECT * FROM %I ORDER BY key, event_id', detector) LOOP
		IF NOT begun OR r.key IS DISTINCT FROM k THEN
			k := r.key; n := 0; weight := 0; mean := 0; variance := 0; run := 0; begun := true;
		END IF;
		IF r.event_id >= first AND abs(r.threshold - r.expect) > 1e-12 THEN wrong := wrong + 1; END IF;
		s := CASE WHEN n < 4 THEN 0 ELSE abs(r.value - mean) / sqrt(variance) END;
		-- one that was labelled stays as it is when all is built anew
		IF r.label IS NULL AND (abs(s - r.score) > 1e-6 * (1 + s) OR r.is_anomaly <> (n >= 4 AND s > r.threshold)) THEN unequal := unequal + 1; END IF;
		run := CASE WHEN NOT r.is_anomaly THEN 0 WHEN sign(run) = sign(r.value - mean) THEN run + sign(r.value - mean) ELSE sign(r.value - mean) END;
		CONTINUE WHEN r.is_anomaly AND abs(run) < 20;
		weight := 0.8 * weight + 1;
		variance := (1 - 1 / weight) * (variance + (r.value - mean) ^ 2 / weight);
		mean := mean + (r.value - mean) / weight;
		n := n + 1;
	END LOOP;
	RETURN format('%s lost, %s twice, %s by another threshold, %s otherwise', lost, twice, wrong, unequal);
END \$\$;
SELECT streamproc.wait_for();
SQL
my $right = '0 lost, 0 twice, 0 by another threshold, 0 otherwise';

# Another setting of some key, then rows, each in a transaction of its own or together. The server may go down meanwhile.
my $n = 0;
sub load
{
	my $key = $n % 5 == 4 ? 'NULL' : $n % 5;
	my $threshold = 2 + $n * 7 % 11 / 2;
	my @set = ("INSERT INTO odd_overrides (key, threshold) VALUES ($key, $threshold)
			ON CONFLICT (key) DO UPDATE SET threshold = excluded.threshold;",
		"DELETE FROM odd_overrides WHERE key IS NOT DISTINCT FROM $key;",
		"UPDATE odd_overrides SET key = 100 + $n WHERE key = $key;",
		'BEGIN; TRUNCATE odd_overrides; ROLLBACK;',
		"UPDATE odd_overrides SET false_positives = false_positives + 1 WHERE key > 0;",
		'TRUNCATE odd_overrides;');
	my $set = $set[ (0, 0, 1, 0, 0, 4, 0, 2, 0, 3, 0, 5)[ $n++ % 12 ] ];

	$node->psql('postgres', $n % 3 == 0 && $set !~ /ROLLBACK/ ? "BEGIN; $set SELECT spread(); SELECT write(50); COMMIT;"
		: "BEGIN; $set; SELECT spread(); COMMIT; SELECT write(50);");
	return;
}
sub last_id { return sql('SELECT max(id) FROM event') }
sub exact
{
	my ($what, %first) = @_;
	my $last = last_id();

	wait_for($node);
	is(sql("SELECT faults('$_', $first{$_}, $last)"), $right, "$what: $_") for sort keys %first;
	return;
}

my %all = (odd => 1, odd_click => 1);
load() for 1 .. 24;
exact('at first', %all);

# Killed at every place where something is written, and as by a power failure.
for my $point ('applied', 'before-write-commit', 'checkpoint-slice', 'mid-checkpoint', 'checkpointed')
{
	load_until_killed($node, $point, \&load);
	load() for 1 .. 5;
	exact("killed at $point", %all);
}
for (1 .. 3)
{
	load() for 1 .. 7;
	crash($node);
	load() for 1 .. 4;
}
$node->restart;
load() for 1 .. 3;
exact('crashes and a restart', %all);

# Labels: they count once, whatever happens to the worker afterwards.
sql('TRUNCATE odd_overrides; SELECT spread()');
sql(q{SELECT write(200); SELECT streamproc.wait_for()});
sql(q{UPDATE odd SET label = CASE WHEN key = 1 THEN 'fp' ELSE 'tp' END WHERE id IN
	(SELECT DISTINCT ON (key) id FROM odd WHERE key IN (1, 2) AND is_anomaly ORDER BY key, id DESC)});
sql('SELECT spread(); SELECT write(50)');
kill_worker($node);
crash($node);
sql('SELECT write(50)');
exact('labels, and a crash', %all);
is(sql('SELECT string_agg(DISTINCT threshold::numeric(10,4)::text, \' \') FROM odd WHERE event_id > (SELECT max(id) FROM event) - 100'),
	'2.7273 3.0000 3.3000', 'and they have moved thresholds');

# A detector that begins while overrides are written: what they were at the cut holds for history, each later one from its commit on.
my $cases = 0;
for my $point ('backfill-cut', 'mid-backfill', 'backfilled', 'catching-up')
{
	my $name = 'late_' . ++$cases;

	arm_debug_point($node, $point, 'wait');
	sql("BEGIN; SELECT streamproc.create_detector('$name', 'event', $detector); SELECT spread(); COMMIT");
	load() for 1 .. 3;
	reached($node, $point);
	my $first = last_id() + 1;
	load() for 1 .. 14;
	release_debug_point($node, $point);
	load() for 1 .. 3;
	# what was committed before it began is history, and so may be what came until the cut
	exact("overrides while it is filled, at $point", %all, $name => $first);
	is(sql("SELECT count(*) FROM event WHERE id NOT IN (SELECT event_id FROM $name)"), '0', "$point: all of history is there");
	crash($node);
	load();
	exact("filled at $point, and a crash", %all, $name => $first);
}
sql("SELECT streamproc.drop_detector('late_$_')") for 1 .. 3;

# Built anew while a transaction has set something and not committed: it is waited for, nothing is lost.
my $open = $node->background_psql('postgres');
$open->query_safe(q{BEGIN; INSERT INTO odd_overrides (key, threshold) VALUES (3, 2.25) ON CONFLICT (key) DO UPDATE SET threshold = 2.25, false_positives = 0});
sql(q{SELECT streamproc.pause('odd'); SELECT streamproc.resume('odd')});
$node->poll_query_until('postgres', q{SELECT reason LIKE 'waits for the transaction%' FROM streamproc.status WHERE name = 'odd'::regclass})
  or die 'it does not wait';
$open->query_safe('COMMIT');
$open->quit;
wait_for($node);
is(sql('SELECT DISTINCT threshold FROM odd WHERE key = 3'), '2.25', 'an override that was not committed yet is not lost');
sql('SELECT spread()');
my $rebuilt = last_id() + 1;
load() for 1 .. 6;
exact('built anew', odd => $rebuilt, odd_click => 1);
is(sql(q{SELECT count(*) FROM odd WHERE label IN ('fp', 'tp')}), '2', 'labels are still there');

# A detector on a stream table that is created while overrides are set all the time: whatever it has read of them isn't applied again.
$node->safe_psql('postgres', "SELECT streamproc.create_detector('fresh', 'click', $detector); SELECT spread()");
load() for 1 .. 2;
wait_for($node);
my $fresh = last_id() + 1;
load() for 1 .. 5;
crash($node);
load() for 1 .. 5;
exact('on a stream table', odd => $rebuilt, odd_click => 1, fresh => $fresh);

# Pause and resume: what was set meanwhile counts.
sql(q{SELECT streamproc.pause('odd_click')});
sql(q{INSERT INTO odd_overrides (key, threshold) VALUES (1, 7.5) ON CONFLICT (key) DO UPDATE SET threshold = 7.5; SELECT spread()});
crash($node);
sql(q{SELECT streamproc.resume('odd_click'); SELECT streamproc.wait_for(); SELECT write(20); SELECT streamproc.wait_for()});
is(sql('SELECT count(*) FROM odd_click WHERE event_id > (SELECT max(id) FROM event) - 20 AND abs(threshold - expect) > 1e-12'), '0',
	'set while it was paused');

# A dump has the rows; they take effect when the objects are resumed.
sql(q{UPDATE odd_overrides SET note = 'kept', false_positives = 2 WHERE key = 1; SELECT spread()});
my $dump = PostgreSQL::Test::Utils::tempdir() . '/dump.sql';
$node->command_ok([ 'pg_dump', '-p', $node->port, '-h', $node->host, '-f', $dump, 'postgres' ], 'pg_dump');
$node->safe_psql('postgres', 'CREATE DATABASE copy');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-p', $node->port, '-h', $node->host, '-f', $dump, 'copy' ], 'restored');
is(sql('SELECT count(*) FROM odd_overrides', 'copy'), sql('SELECT count(*) FROM odd_overrides'), 'overrides are in the dump');
sql(q{SELECT streamproc.resume('odd'); SELECT streamproc.wait_for(timeout => '120 s')}, 'copy');
is(sql(q{SELECT count(*) FROM odd WHERE label IS NULL AND abs(threshold - expected(key)) > 1e-12}, 'copy'), '0', 'and hold for history that is read again');
sql(q{INSERT INTO odd_overrides (key, threshold) VALUES (2, 1.25) ON CONFLICT (key) DO UPDATE SET threshold = 1.25;
	INSERT INTO event (key, value, expect, ts) SELECT 2, 20, expected(2), '2026-03-01'; SELECT streamproc.wait_for()}, 'copy');
is(sql(q{SELECT threshold = expect FROM odd ORDER BY id DESC LIMIT 1}, 'copy'), 't', 'and so do those set afterwards');
is(sql(q{UPDATE odd SET label = 'fp' WHERE id = (SELECT max(id) FROM odd WHERE key = 2); SELECT false_positives FROM odd_overrides WHERE key = 2}, 'copy'),
	sql(q{SELECT coalesce((SELECT false_positives FROM odd_overrides WHERE key = 2), 0) + 1}), 'and labels');
is(sql(q{SELECT string_agg(DISTINCT d.deptype::text, '') FROM pg_depend d JOIN pg_trigger t ON t.oid = d.objid
	WHERE d.classid = 'pg_trigger'::regclass AND d.refclassid = 'pg_proc'::regclass AND tgrelid IN ('odd'::regclass, 'odd_overrides'::regclass)}, 'copy'),
	'a', 'the triggers of what was resumed go with the extension');
sql('DROP EXTENSION streamproc CASCADE; UPDATE odd SET label = NULL; DELETE FROM odd_overrides', 'copy');
is(sql(q{SELECT count(*) FROM pg_trigger WHERE tgrelid IN ('odd'::regclass, 'odd_overrides'::regclass)}, 'copy'), '0', 'and they do');

done_testing();
