# Rows that come again, before and after crashes, in history and while history is read: each counts once.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use StreamprocOracle;
use StreamprocTest;

my $node = new_cluster('dedup', conf => <<'CONF');
streamproc.debug_points = on
streamproc.checkpoint_interval = 1
CONF
my $next = 1;

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub armed { return -e $node->data_dir . "/streamproc_debug/$_[0]" }

# Events of a key each, 10 a transaction, and in the same one some of the last 30 once more, up to two seconds later or
# earlier. A key comes again after 20 minutes. The copies of an event are less than a minute apart, those of a key otherwise
# more.
sub load
{
	my $first = $next;
	my $last = ($next += 10) - 1;
	my $rows = "SELECT i, i % 600, i % 7, '2026-01-01 00:00+00'::timestamptz + i * interval '2 seconds' + ($first / 10 + n) % 3 * interval '1 second'
		FROM generate_series(greatest($first - 30, 1), $last) i, generate_series(1, 1 + i % 2) n
		WHERE i >= $first OR (i + $first) % 3 = 0 ORDER BY i, n";

	$node->psql('postgres', "BEGIN; INSERT INTO event $rows; INSERT INTO click $rows; INSERT INTO click_mirror $rows; COMMIT");
	return;
}

# One copy of each event, and how often a key was admitted: whenever a minute has passed.
my $once = q{SELECT key, sum(CASE WHEN ts - before >= interval '1 minute' OR before IS NULL THEN 1 ELSE 0 END)
	FROM (SELECT key, ts, lag(ts) OVER (PARTITION BY key ORDER BY ts) AS before FROM SOURCE) x GROUP BY 1};

sub once { my ($source) = @_; return $once =~ s/SOURCE/$source/r }

sub results_ok
{
	my ($what, @windows) = @_;
	my $wrong = '';

	wait_for($node);
	for my $check ([ 'event_total', 'event' ], [ 'click_total', 'click_mirror' ], map { [ $_, 'event' ] } @windows)
	{
		my $n = differences($node, 'postgres', "SELECT key, n FROM $check->[0]", once($check->[1]));
		$wrong .= "$check->[0] differs in $n rows; " if $n != 0;
		$wrong .= "verify('$check->[0]') returns rows; "
		  if $check->[1] eq 'event' && sql("SELECT count(*) FROM streamproc.verify('$check->[0]')") != 0;
	}
	my $n = differences($node, 'postgres', 'SELECT key, count(*) FROM event_seen GROUP BY 1', once('event'));

	$wrong .= "event_seen differs in $n rows; " if $n != 0;
	$n = sql(q{SELECT count(*) FROM streamproc.verify('event_minute')});
	$wrong .= "verify('event_minute') returns $n rows; " if $n != 0;
	is($wrong, '', "$what: each event counts once");
	return;
}

sql(<<'SQL');
CREATE TABLE event (id bigint, key int, part int, ts timestamptz);
CREATE TABLE click (LIKE event) USING streamproc;
CREATE TABLE click_mirror (LIKE event);
INSERT INTO event SELECT -i, i % 600, 0, '2025-12-31 12:00+00'::timestamptz + (i - i % 2) * interval '2 seconds' FROM generate_series(1, 5000) i;
SQL
# History has rows that come again when the stream begins.
load() for 1 .. 3;
sql('DELETE FROM click_mirror');
sql(<<'SQL');
SELECT streamproc.create_stream(s, 'ts', watermark => '1 minute', idle_timeout => '1 day',
	dedup_key => '{key}', dedup_within => '1 minute') FROM unnest('{event, click}'::regclass[]) s;
SELECT streamproc.create_window(s || '_total', s::regclass, kind => 'global', keys => ARRAY['key'],
	aggregates => ARRAY['count(*) AS n']) FROM unnest('{event, click}'::text[]) s;
SELECT streamproc.create_window('event_minute', 'event', kind => 'tumbling', size => '1 minute', keys => ARRAY['part'],
	aggregates => ARRAY['count(*) AS n', 'sum(id) AS ids']);
SELECT streamproc.create_detector('event_seen', 'event', method => 'rule', rules => ARRAY['true AS "Here"'], carry => ARRAY['key']);
SQL
load();
results_ok('at first');
load() for 1 .. 30;
results_ok('as they come');

for my $point ('decoded', 'before-write-commit', 'applied', 'mid-checkpoint', 'checkpointed', 'confirmed')
{
	my $pid = worker_pid($node);
	my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;

	arm_debug_point($node, $point, 'kill');
	while (armed($point))
	{
		die "debug point $point was not reached" if time > $deadline;
		load();
	}
	isnt(worker_pid($node, 'postgres', $pid), $pid, "$point: the worker is back");
	load() for 1 .. 3;
	results_ok("killed at $point");
}
crash($node);
load() for 1 .. 3;
results_ok('after a power failure');

# What is remembered is bounded: of the keys of hours only those of the last minutes are left.
load() for 1 .. 130;
wait_for($node);
sql('CHECKPOINT');
ok($node->poll_query_until('postgres', q{SELECT sum(length(data)) < 30000 FROM streamproc.state_page
	WHERE object = (SELECT id FROM streamproc.stream WHERE relation = 'event'::regclass)}), 'old rows are forgotten');

# New windows while events come again: history, what is kept meanwhile and what follows are one stream.
my @windows;
for my $point ('', 'backfill-cut', 'mid-backfill', 'backfilled', 'catching-up', 'before-publish')
{
	my $name = 'total_' . (@windows + 1);
	my $log_end = -s $node->logfile;
	my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;

	arm_debug_point($node, 'backfill-cut', 'wait');
	sql("SELECT streamproc.create_window('$name', 'event', kind => 'global', keys => ARRAY['key'], aggregates => ARRAY['count(*) AS n'])");
	load() for 1 .. 2;
	reached($node, 'backfill-cut');
	load() for 1 .. 5;
	arm_debug_point($node, $point, 'kill') if $point ne '' && $point ne 'backfill-cut';
	if ($point eq 'backfill-cut') { kill('KILL', backfill_pid($node)) }
	else { release_debug_point($node, 'backfill-cut') }
	while ($point ne '' && armed($point))
	{
		die "debug point $point was not reached" if time > $deadline;
		load();
	}
	if ($point ne '')
	{
		$node->wait_for_log(qr/ready to accept connections/, $log_end);
		$node->poll_query_until('postgres', 'SELECT true') or die 'the server did not come back';
	}
	push @windows, $name;
	load() for 1 .. 5;
	results_ok($point eq '' ? 'a new window' : "killed at $point", @windows);
}
crash($node);
load() for 1 .. 10;
results_ok('in the end', @windows);
cmp_ok(sql(q{SELECT duplicates FROM streamproc.status WHERE name = 'event'::regclass}), '>', 100, 'duplicates are counted');
cmp_ok(sql(q{SELECT count(*) FROM streamproc.dead_letter WHERE name = 'event'::regclass AND reason = 'duplicate'}), '>', 20,
	'some came before what they repeat');

# Copies that are committed at the same moment, while windows are made: some of a snapshot's commits were written to the WAL
# behind others that it doesn't see.
sql(<<'SQL');
CREATE TABLE race (key bigint, ts timestamptz);
SELECT streamproc.create_stream('race', 'ts', dedup_key => '{key}', dedup_within => '1 minute', watermark => '1 minute',
	idle_timeout => '1 day');
SELECT streamproc.create_window('race_0', 'race', kind => 'global', aggregates => ARRAY['count(*) AS n']);
SELECT streamproc.wait_for();
SQL
my $script = $node->basedir . '/race.sql';
append_to_file($script, q{INSERT INTO race SELECT k, '2026-01-01 00:00+00'::timestamptz + k * interval '1 millisecond'
	FROM (SELECT (extract(epoch FROM clock_timestamp() - '2026-01-01') * 1000)::bigint / 4 AS k) x;});
my $writers = IPC::Run::start([ 'pgbench', '-n', '-c', '8', '-T', '8', '-f', $script, '-d', $node->connstr('postgres') ],
	'>', '/dev/null', '2>', '/dev/null');
my $n = 0;
while ($n < 8 && $writers->pumpable)
{
	$n++;
	sql("SELECT streamproc.create_window('race_$n', 'race', kind => 'global', aggregates => ARRAY['count(*) AS n'])");
	$node->poll_query_until('postgres', "SELECT n > 0 FROM race_$n") or die "race_$n has no rows";
}
$writers->finish;
wait_for($node);
is(sql(join ' UNION ALL ', map { "SELECT $_ FROM race_$_ WHERE n <> (SELECT count(DISTINCT key) FROM race)" } 0 .. $n), '',
	"$n windows that were made meanwhile count each key once");
diag(sql(q{SELECT count(*) || ' rows, ' || count(DISTINCT key) || ' keys' FROM race}));
is(sql(q{SELECT count(*) FROM streamproc.status WHERE state <> 'running'}), 0, 'everything runs');

# Memory for a part of the keys only: the others are in a file, and their rows are told from new ones all the same; after a
# checkpoint and a crash, too. Keys are of many lengths: a few don't fit where many others stand, some are compressed.
$node->append_conf('postgresql.conf', 'streamproc.max_state_memory = 1MB');
$node->reload;
sql(<<'SQL');
CREATE SEQUENCE letter_id;
CREATE TABLE letter (id bigint, round int, key text, mark uuid, ts timestamptz);
ALTER TABLE letter ALTER key SET STORAGE EXTENDED;
SELECT streamproc.create_stream('letter', 'ts', watermark => '1 minute', idle_timeout => '1 day',
	dedup_key => '{key, mark}', dedup_within => '1 hour');
SELECT streamproc.create_window('letter_total', 'letter', kind => 'global', keys => ARRAY['round'],
	aggregates => ARRAY['count(*) AS n', 'sum(id) AS ids']);
SELECT streamproc.wait_for();
SQL
my $letters = 0;

# Letters in order of time, so many of them new ones, 10 ms apart; the others repeat any of those before. Rounds are further
# apart than dedup_within.
sub post
{
	my ($round, $new, $repeated) = @_;
	my $first = $letters;

	$letters += $new;
	sql(<<"SQL");
INSERT INTO letter SELECT nextval('letter_id'), $round, repeat(md5(k::text), CASE WHEN k % 997 = 0 THEN 400 ELSE (k % 4)::int END)
		|| CASE WHEN k % 997 = 1 THEN (SELECT string_agg(md5((k + j)::text), '') FROM generate_series(1, 300) j) ELSE k::text END,
	md5((k % 3)::text)::uuid, '2026-01-01 00:00+00'::timestamptz + $round * interval '3 hours' + i * interval '10 ms'
FROM (SELECT i, CASE WHEN i < $letters THEN i ELSE (hashint4(i)::bigint & 2147483647) % $letters END AS k
	FROM generate_series($first, $letters + $repeated - 1) i) x ORDER BY i;
SQL
	return;
}

sub letters_ok
{
	my ($what) = @_;

	wait_for($node);
	is( differences($node, 'postgres', 'SELECT round, n, ids FROM letter_total', <<'SQL'), 0, "$what: each letter counts once");
SELECT round, count(*), sum(id) FROM (SELECT round, min(id) AS id FROM letter GROUP BY round, key, mark) l GROUP BY 1
SQL
	is( sql(q{SELECT duplicates FROM streamproc.status WHERE name = 'letter'::regclass}),
		sql(q{SELECT count(*) - count(DISTINCT (round, key, mark)) FROM letter}), "$what: and the others are duplicates");
	cmp_ok(sql('SELECT spilled_pages FROM streamproc.worker'), '>', 20, "$what: pages are spilled");
	return;
}

post(0, 4000, 500) for 1 .. 6;
letters_ok('with little memory');
# One that began now is over with the second from here; an idle worker makes none, so letters go on coming.
my $checkpoints = sql('SELECT checkpoints FROM streamproc.worker');
my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;
while (sql("SELECT checkpoints <= $checkpoints + 1 FROM streamproc.worker") eq 't')
{
	die 'no checkpoint' if time > $deadline;
	post(0, 10, 10);
}
kill_worker($node);
post(0, 500, 3000);
letters_ok('killed after a checkpoint');
my $killed = worker_pid($node);
arm_debug_point($node, 'checkpoint-slice', 'wait');
post(0, 1000, 1000);
reached($node, 'checkpoint-slice');
post(0, 2000, 3000);
arm_debug_point($node, 'checkpoint-slice', 'kill');
release_debug_point($node, 'checkpoint-slice');
isnt(worker_pid($node, 'postgres', $killed), $killed, 'the worker is back');
post(0, 1000, 1000);
letters_ok('killed amid one');
crash($node);
$letters = 0;
post(1, 6000, 2000);
post(1, 6000, 2000);
letters_ok('after a power failure');
$letters = 0;
post(2, 8000, 4000) for 1 .. 2;
letters_ok('when what is spilled was forgotten');
is(sql(q{SELECT count(*) FROM streamproc.status WHERE state <> 'running'}), 0, 'everything runs still');

$node->stop;
done_testing();
