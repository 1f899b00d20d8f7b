# What happens to results: the change feed and crashes, late triggers, publications and subscribers, dump and restore.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use StreamprocOracle;
use StreamprocTest;

my $node = new_cluster('output', conf => <<'CONF');
streamproc.debug_points = on
streamproc.checkpoint_interval = 1
CONF
my $db = 'postgres';
my $minute = q{date_bin('1 minute', ts, '2000-01-03 00:00+00')};
my $next_id = 1;

sub query { return $node->safe_psql($db, $_[0]) }

# Ten transactions of a few rows; not all in the order of their times.
sub load
{
	my ($rows) = @_;
	my $sql = '';

	for my $commit (1 .. 10)
	{
		my $first = $next_id;
		my $last = ($next_id += $rows // 8) - 1;

		$sql .= "INSERT INTO event SELECT i, i * 7919 % 5, i * 7919 % 1000, "
		  . "'2026-01-01 00:00+00'::timestamptz + i * interval '1 second' - i * 7 % 9 * interval '1 second' "
		  . "FROM generate_series($first, $last) i;\n";
	}
	# The server may go down meanwhile: what is there then is what counts.
	$node->psql($db, $sql);
	return;
}

# ---- The change feed ----

$node->safe_psql($db, <<'SQL');
CREATE TABLE event (id bigint, key int NOT NULL, value float8, ts timestamptz);
SELECT streamproc.create_stream('event', time_column => 'ts', idle_timeout => '1 day');
SELECT streamproc.create_window('minutes', 'event', kind => 'tumbling', size => '1 minute', keys => ARRAY['key'],
	aggregates => ARRAY['count(*) AS n', 'sum(value) AS total'], changes => true);
SELECT streamproc.create_window('batches', 'event', kind => 'tumbling', size => '1 minute', keys => ARRAY['key'],
	aggregates => ARRAY['count(*) AS n', 'sum(value) AS total'], trigger => '200 ms', changes => true);
SELECT streamproc.create_window('odd', 'event', kind => 'tumbling', size => '1 minute', keys => ARRAY['key'],
	aggregates => ARRAY['count(*) AS n', 'sum(value) AS total'], group_filter => 'count(*) % 2 = 1', changes => true);
SELECT streamproc.create_window('visits', 'event', kind => 'session', gap => '4 seconds', keys => ARRAY['key'],
	aggregates => ARRAY['count(*) AS n', 'sum(value) AS total'], changes => true);
CREATE FUNCTION feed_problems(result regclass) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	change record;
	image jsonb;
BEGIN
	CREATE TEMP TABLE IF NOT EXISTS row_now (image jsonb);
	TRUNCATE row_now;
	FOR change IN EXECUTE format('SELECT * FROM %I ORDER BY id', result || '_changes') LOOP
		IF change.old IS NOT NULL THEN
			DELETE FROM row_now r WHERE r.image = change.old;
			IF NOT FOUND THEN
				RETURN NEXT format('change %s: no such row: %s', change.id, change.old);
			END IF;
		END IF;
		IF change.new IS NOT NULL THEN
			INSERT INTO row_now VALUES (change.new);
		END IF;
		IF change.old = change.new THEN
			RETURN NEXT format('change %s changes nothing', change.id);
		END IF;
	END LOOP;
	FOR image IN EXECUTE format('SELECT streamproc.row_image(t) FROM %s t EXCEPT ALL SELECT image FROM row_now', result) LOOP
		RETURN NEXT format('not in the feed: %s', image);
	END LOOP;
	FOR image IN EXECUTE format('SELECT image FROM row_now EXCEPT ALL SELECT streamproc.row_image(t) FROM %s t', result) LOOP
		RETURN NEXT format('only in the feed: %s', image);
	END LOOP;
END $$
SQL
wait_for($node);

# A reader that remembers the last id. Once it has seen a change, that stays.
my %seen = map { $_ => [] } qw(minutes odd);
my %last = map { $_ => 0 } qw(minutes odd);

sub read_feeds
{
	for my $window (keys %seen)
	{
		my ($status, $lines) = $node->psql($db, "SELECT * FROM ${window}_changes WHERE id > $last{$window} ORDER BY id");
		next if $status != 0 || $lines eq '';
		my @lines = split /\n/, $lines;
		push @{ $seen{$window} }, @lines;
		($last{$window}) = $lines[-1] =~ /^(\d+)/;
	}
	return;
}

sub feeds_ok
{
	my ($what) = @_;
	my $wrong = '';

	wait_for($node);
	read_feeds();
	for my $window ('minutes', 'batches', 'odd')
	{
		my $having = $window eq 'odd' ? 'HAVING count(*) % 2 = 1' : '';
		my $n = differences($node, $db, "SELECT window_start, key, n, total FROM $window",
			"SELECT $minute, key, count(*), sum(value) FROM event GROUP BY 1, 2 $having");
		$wrong .= "$window differs in $n rows; " if $n != 0;
		$wrong .= query("SELECT * FROM feed_problems('$window') LIMIT 3");
	}
	$wrong .= query(q{SELECT * FROM feed_problems('visits') LIMIT 3})
	  . query(q{SELECT difference, key, expected, actual FROM streamproc.verify('visits') LIMIT 3});
	for my $window (keys %seen)
	{
		my $all = query("SELECT * FROM ${window}_changes ORDER BY id");
		$wrong .= "the reader of $window has seen something else; " if join("\n", @{ $seen{$window} }) ne $all;
	}
	is($wrong, '', "$what: the change feeds tell what became of the results");
	return;
}

load();
feeds_ok('at first');
for my $point ('decoded', 'before-write-commit', 'applied', 'mid-checkpoint', 'checkpointed', 'confirmed', 'applied',
	'before-write-commit')
{
	my $pid = worker_pid($node, $db);
	my $armed = $node->data_dir . "/streamproc_debug/$point";
	my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;

	arm_debug_point($node, $point, 'kill');
	while (-e $armed)
	{
		die "debug point $point was not reached" if time > $deadline;
		load(2);
		read_feeds();
	}
	worker_pid($node, $db, $pid);
	load(2);
	read_feeds();
	feeds_ok("killed at $point");
}
load();
$node->stop('immediate');
$node->start;
read_feeds();
feeds_ok('after a power failure');
cmp_ok(query("SELECT count(*) FROM ${_}_changes WHERE new IS NULL"), '>', 0, "rows of $_ went, too") for 'odd', 'visits';

# ---- A trigger of an hour ----

$node->safe_psql($db, <<'SQL');
SELECT streamproc.create_window('hourly', 'event', kind => 'tumbling', size => '1 minute', keys => ARRAY['key'],
	aggregates => ARRAY['count(*) AS n'], trigger => '1 hour', backfill => false);
SELECT streamproc.create_window('hourly_final', 'event', kind => 'tumbling', size => '1 minute', keys => ARRAY['key'],
	aggregates => ARRAY['count(*) AS n'], trigger => '1 hour', emit => 'final', backfill => false);
SELECT streamproc.create_detector('hourly_alerts', 'hourly_final', method => 'rule', rules => ARRAY['n > 0 AS any'],
	carry => ARRAY['n'], trigger => '1 hour', backfill => false);
SQL
wait_for($node);
my $from = $next_id;
my $where = "id >= $from";
my $up_to_date = "NOT EXISTS (SELECT window_start, key, n, total FROM minutes EXCEPT
	SELECT $minute, key, count(*), sum(value) FROM event GROUP BY 1, 2)";

# Until the others have it, without wait_for(): that would have it written.
sub settle
{
	$node->poll_query_until($db, "SELECT $up_to_date AND (SELECT sum(n) FROM minutes) = (SELECT count(*) FROM event)")
	  or die 'results did not come';
	return;
}

# Until all that was committed before is in a checkpoint: one that begins for rows that come after
# it.  The last one begun may hold all of it already, at a position before what was written since.
sub settle_checkpoint
{
	my $lsn = query('SELECT pg_current_wal_insert_lsn()');

	load(2);
	settle();
	$node->poll_query_until($db, "SELECT state_lsn >= '$lsn' FROM streamproc.position") or die 'no checkpoint came';
	return;
}

sub nothing_yet
{
	my ($what) = @_;

	is(query('SELECT (SELECT count(*) FROM hourly) + (SELECT count(*) FROM hourly_final)'), '0', "trigger of an hour, $what: nothing yet");
	return;
}

load(20);
settle_checkpoint();
nothing_yet('windows have closed, and a checkpoint was made');
$node->restart;
settle();
nothing_yet('after a restart');
load(20);
$node->stop('immediate');
$node->start;
load(20);
settle();
nothing_yet('after a crash');
wait_for($node);
is(differences($node, $db, 'SELECT window_start, key, n FROM hourly',
		"SELECT $minute, key, count(*) FROM event WHERE $where GROUP BY 1, 2"), 0, 'wait_for() has it written');
my $closed = "$minute + interval '1 minute' <= (SELECT max(ts) - interval '10 seconds' FROM event)";
is(differences($node, $db, 'SELECT window_start, key, n, is_final FROM hourly_final',
		"SELECT $minute, key, count(*), true FROM event WHERE $where AND $closed GROUP BY 1, 2"), 0, 'final rows included');
is(differences($node, $db, 'SELECT window_start, key, n FROM hourly WHERE is_final', 'SELECT window_start, key, n FROM hourly_final'),
	0, 'which are final here, too');
is(differences($node, $db, 'SELECT event_time, n FROM hourly_alerts',
		q{SELECT window_end - interval '1 microsecond', n FROM hourly_final}), 0, 'and scored');

# ---- Publications ----

my $subscriber = new_cluster('subscriber', preload => 0);
$subscriber->safe_psql($db, <<'SQL');
CREATE TABLE minutes (window_start timestamptz, window_end timestamptz, key int, n bigint, total float8, is_final bool,
	revision int, PRIMARY KEY (window_start, key));
CREATE TABLE odd (LIKE minutes INCLUDING INDEXES);
CREATE TABLE odd_changes (id bigint PRIMARY KEY, lsn pg_lsn, changed_at timestamptz, old jsonb, new jsonb);
CREATE TABLE by_null (window_start timestamptz, window_end timestamptz, key int, n bigint, is_final bool, revision int);
SQL
$node->safe_psql($db, q{SELECT * FROM pg_create_logical_replication_slot('all_changes', 'test_decoding')});
$node->safe_psql($db, 'CREATE PUBLICATION results FOR TABLE minutes, odd, odd_changes');
my $connection = $node->connstr . " dbname=$db";
$subscriber->safe_psql($db, "CREATE SUBSCRIPTION results CONNECTION '$connection' PUBLICATION results");
$subscriber->wait_for_subscription_sync($node, 'results');

sub replicated_ok
{
	my ($what, @tables) = @_;

	wait_for($node);
	$node->wait_for_catchup('results');
	for my $table (@tables)
	{
		my $rows = "SELECT * FROM $table t ORDER BY t::text";
		is($subscriber->safe_psql($db, $rows), query($rows), "$what: a subscriber has $table");
	}
	return;
}

load();
replicated_ok('inserts, updates, deletes', 'minutes', 'odd', 'odd_changes');

# What the worker writes has an origin, its own: who wants nothing but what originates here doesn't get it.
my $decoded = sub {
	my ($option) = @_;
	return query(qq{SELECT count(*) FROM pg_logical_slot_peek_changes('all_changes', NULL, NULL$option)
		WHERE data ~ '^table public.minutes:'});
};
cmp_ok($decoded->(''), '>', 0, 'results are decoded');
is($decoded->(q{, 'only-local', '1'}), '0', 'as those of an origin');
query(q{SELECT pg_drop_replication_slot('all_changes')});

# Keys that may be null make no primary key, and a publication wants to tell the rows apart.
$node->safe_psql($db, <<'SQL');
SELECT streamproc.create_window('by_null', 'event', kind => 'tumbling', size => '1 minute',
	keys => ARRAY['nullif(key, 3) AS key'], aggregates => ARRAY['count(*) AS n'], grace => '1 day');
SELECT streamproc.wait_for();
ALTER PUBLICATION results ADD TABLE by_null;
SQL
$subscriber->safe_psql($db, 'ALTER SUBSCRIPTION results REFRESH PUBLICATION');
$subscriber->wait_for_subscription_sync($node, 'results');
my $reason = q{SELECT reason FROM streamproc.status WHERE name = 'by_null'::regclass};
load();
ok($node->poll_query_until($db, "SELECT ($reason) ~ 'replica identity'"), 'without a replica identity: status says so');
note(query($reason));
ok($node->poll_query_until($db, "SELECT $up_to_date AND (SELECT sum(n) FROM minutes) = (SELECT count(*) FROM event)"),
	'the others go on');
$node->safe_psql($db, 'ALTER TABLE by_null REPLICA IDENTITY FULL');
load();
replicated_ok('with REPLICA IDENTITY FULL', 'minutes', 'by_null');
is(query($reason), '', 'and the reason is gone');
is(differences($node, $db, 'SELECT window_start, key, n FROM by_null',
		"SELECT $minute, nullif(key, 3), count(*) FROM event GROUP BY 1, 2"), 0, 'nothing is lost by it');
$subscriber->safe_psql($db, 'DROP SUBSCRIPTION results');
$subscriber->stop;

# ---- Dump and restore ----

$node->safe_psql($db, <<'SQL');
CREATE ROLE somebody;
GRANT CREATE, USAGE ON SCHEMA public TO somebody;
SET ROLE somebody;
CREATE TABLE click (id int, ts timestamptz);
SELECT streamproc.create_stream('click', time_column => 'ts');
SELECT streamproc.create_window('clicks', 'click', kind => 'tumbling', size => '1 minute',
	aggregates => ARRAY['count(*) AS n'], changes => true);
SELECT streamproc.create_detector('clicked', 'click', method => 'rule', rules => ARRAY['id > 0 AS any'],
	carry => ARRAY['id AS click_id']);
INSERT INTO click SELECT i, '2026-01-01 00:00+00'::timestamptz + i * interval '10 seconds' FROM generate_series(1, 20) i;
SELECT streamproc.wait_for();
UPDATE clicked SET status = 'closed' WHERE click_id = 7;
SQL
my $dump = $node->basedir . '/dump.sql';
my $rights = q{SELECT relname, relacl, (SELECT array_agg((attname, attacl)::text ORDER BY attnum) FROM pg_attribute
	WHERE attrelid = c.oid AND attacl IS NOT NULL) FROM pg_class c WHERE relname ~ '^click' AND relkind = 'r' ORDER BY 1};
$node->command_ok([ 'pg_dump', '--no-publications', '-f', $dump, '-d', $node->connstr($db) ], 'pg_dump');
$node->safe_psql($db, 'CREATE DATABASE restored');
$node->command_ok([ 'psql', '-X', '-v', 'ON_ERROR_STOP=1', '-f', $dump, '-d', $node->connstr('restored') ], 'and restore');
is($node->safe_psql('restored', $rights), query($rights), 'rights are the same');
my @content = ('SELECT * FROM clicks ORDER BY 1', 'SELECT * FROM clicks_changes ORDER BY id', 'SELECT * FROM clicked ORDER BY id');
is($node->safe_psql('restored', $_), query($_), $_) for @content;
$node->safe_psql('restored', <<'SQL');
SET ROLE somebody;
SELECT streamproc.resume('click');
SELECT streamproc.wait_for();
INSERT INTO click VALUES (21, '2026-01-01 00:03:30+00');
SELECT streamproc.wait_for();
SQL
is(differences($node, 'restored', 'SELECT window_start, n FROM clicks',
		"SELECT $minute, count(*) FROM click GROUP BY 1"), 0, 'resume() rebuilds the restored window');
is($node->safe_psql('restored', q{SELECT count(*), count(*) FILTER (WHERE status = 'closed') FROM clicked}), '21|1',
	'and detector, whose marks stay');
is($node->safe_psql('restored', 'SELECT n FROM clicks ORDER BY window_start DESC LIMIT 1'),
	$node->safe_psql('restored', q{SELECT new ->> 'n' FROM clicks_changes ORDER BY id DESC LIMIT 1}), 'its feed goes on');
isnt($node->psql('restored', 'SET ROLE somebody; DELETE FROM clicks'), 0, 'the owner does not write there either');
$node->safe_psql('restored', 'SET ROLE somebody; DROP TABLE clicks');
is($node->safe_psql('restored', q{SELECT to_regclass('clicks_changes')}), '', 'and the feed goes with its window');

$node->stop;
done_testing();
