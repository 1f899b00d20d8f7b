# While the history of a new window or detector is read, everybody else goes on: writers, and other objects. What was
# committed meanwhile counts exactly once.
#
# SP_SEED: what concurrent writers do, and when objects are created (the time; printed).

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use POSIX ();
use Test::More;

use StreamprocBackfill;
use StreamprocOracle;
use StreamprocTest;

my $seed = $ENV{SP_SEED} // time;
diag("SP_SEED=$seed");

my $node = new_cluster('backfill', conf => <<'CONF');
streamproc.debug_points = on
streamproc.checkpoint_interval = 1
streamproc.spool_memory = 4MB
CONF

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub poll { return $node->poll_query_until('postgres', $_[0]) || die "in vain: $_[0]" }
sub state_of { return sql("SELECT state FROM streamproc.status WHERE name = '$_[0]'::regclass") }

# ok for each of [kind, name, source].
sub exact
{
	my ($what, @objects) = @_;
	wait_for($node);
	is(join('; ', grep { $_ } map { faults($node, 'postgres', @$_) } @objects), '', "$what: plain SQL says the same");
	return;
}

# The watermark is close behind, and a moment without input moves it on.
declare_streams($node, 'postgres', "watermark => '300 milliseconds', idle_timeout => '200 milliseconds'");
my @lives = first_objects();
exact('at first', @lives);

# Whoever looks at the definitions doesn't wait for a window's table. With a lock on its view meanwhile they would stop
# those who drop the window, who lock the one and then the other.
my $owner = $node->background_psql('postgres');
$owner->query_safe('BEGIN; LOCK TABLE event_minute IN ACCESS EXCLUSIVE MODE');
for my $call (create_sql('rule', 'never', 'part'), 'SELECT count(*) FROM streamproc.anomalies;')
{
	is($node->psql('postgres', "SET lock_timeout = '5s'; BEGIN; $call ROLLBACK"), 0,
		"definitions are read while a window's table is locked");
}
$owner->query_safe('ROLLBACK');
$owner->quit;

# Rows of every sort for both streams; other objects than the one that is being filled take them at once.
my $minute = 200;

sub insert_rows
{
	my ($m, $next) = ($minute, $minute + 1);
	my $closed = "window_start = '2026-01-01 00:00+00'::timestamptz + interval '$m minutes'";

	for my $table ('event', 'part')
	{
		sql("SET lock_timeout = '2s';\n"
			. insert_sql($table, 60, "$m.2", 0.6)
			. insert_sql($table, 21, $m - 50, 10)	# late
			. insert_sql($table, 1, "$m.998", 0)
			. "INSERT INTO $table (key, value, ts) SELECT 3, 999, max(ts) FROM $table;");
	}
	# The clock closes the minute, which makes more rows late.
	poll("SELECT EXISTS (SELECT FROM ${_}_final WHERE $closed)") for 'event', 'part';
	for my $table ('event', 'part')
	{
		sql(insert_sql($table, 14, $m, 0.9) . insert_sql($table, 7, $next, 0.1));
		poll("SELECT (SELECT count(*) FROM ${table}_rule) = (SELECT count(*) FROM $table WHERE value > 950)");
	}
	$minute = $next;
	return;
}

# One after the other of every kind is held while it reads.
my @objects = (
	[ 'minute', 'new_minute', 'event' ],
	[ 'final', 'new_final', 'part' ],
	[ 'total', 'new_total', 'part' ],
	[ 'rule', 'new_rule', 'part' ],
	[ 'log', 'new_log', 'event' ],
	[ 'busy', 'new_busy', 'part_final' ],
	[ 'busy_log', 'new_busy_log', 'event_minute' ]);

for my $object (@objects)
{
	my ($kind, $name, $source) = @$object;
	my $before = sql('SELECT last_value FROM row_id');

	arm_debug_point($node, 'mid-backfill', 'wait');
	sql(create_sql(@$object));
	reached($node, 'mid-backfill');
	if ($name eq 'new_minute')
	{
		my ($status, undef, $error) = $node->psql('postgres', q{SELECT streamproc.wait_for(timeout => '200 milliseconds')});
		like($error, qr/timed out/, 'wait_for() waits for an object that is being filled');
		isnt(backfill_pid($node), worker_pid($node), 'by a process of its own');
	}
	insert_rows();
	is(state_of($name) . ' ' . sql("SELECT count(*) FROM $name"), 'starting 0', "$name: starting, and empty");
	arm_debug_point($node, 'catching-up', 'wait');
	release_debug_point($node, 'mid-backfill');
	reached($node, 'catching-up');

	# What the helper wrote is there at once: its history, and nothing of what came later.
	is(state_of($name), 'starting', "$name: starting until it has caught up");
	is(differences($node, 'postgres', 'SELECT window_start, key, n, total, low, high FROM new_minute',
			minute_sql('event', "id <= $before")),
		'0', 'its first results are those of the rows before') if $name eq 'new_minute';
	release_debug_point($node, 'catching-up');
	exact($name, $object);

	# No row of the history is late; those that came meanwhile are where they are for a window that was there before.
	my $late = "SELECT row_data->>'id' FROM streamproc.rejected_row WHERE relation = '%s'::regclass
		AND (row_data->>'id')::bigint > $before";
	is(differences($node, 'postgres', sprintf($late, $name) =~ s/> $before/> 0/r, sprintf($late, "${source}_$kind")),
		'0', "$name: late rows") if $kind eq 'minute' || $kind eq 'final';
}
cmp_ok(sql("SELECT count(*) FROM streamproc.rejected_row WHERE relation = 'new_minute'::regclass"), '>', 0,
	'there were late rows');

# A window and what reads it, created together.
arm_debug_point($node, 'mid-backfill', 'wait');
my @pair = ([ 'final', 'pair_final', 'event' ], [ 'busy', 'pair_busy', 'pair_final' ]);
sql(join '', 'BEGIN;', (map { create_sql(@$_) } @pair), 'COMMIT');
reached($node, 'mid-backfill');
insert_rows();
release_debug_point($node, 'mid-backfill');
exact('a window and its detector, and the others', @pair, @lives);

# Transactions that have written keep a new object starting, and nobody else waiting. Whoever comes later is not waited
# for, nor whoever only reads, or writes elsewhere.
my $reader = $node->background_psql('postgres');
my $stranger = $node->background_psql('postgres');
$reader->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM event, part_1');
$stranger->query_safe('CREATE TABLE elsewhere (id int); BEGIN; INSERT INTO elsewhere VALUES (1)');
my $n = 0;

for my $case (
	[ 'event', 'event', 'COMMIT', 'minute' ],
	[ 'part', 'part_1', 'ROLLBACK', 'log' ],
	[ 'part', 'part_1', q{COMMIT PREPARED 'early'}, 'total' ],
	[ 'event', 'event', q{ROLLBACK PREPARED 'early'}, 'rule' ])
{
	my ($stream, $table, $end, $kind) = @$case;
	my $object = [ $kind, 'behind_' . ++$n, $stream ];
	my $early = $node->background_psql('postgres');
	my $later = $node->background_psql('postgres');
	my $rows = "INSERT INTO $table (key, value, ts) SELECT 3, 970 + i, max(ts) FROM $table, generate_series(1, 3) i
		GROUP BY i;";

	$early->query_safe("BEGIN; $rows SAVEPOINT a; $rows");
	$early->query_safe("ROLLBACK TO a; $rows PREPARE TRANSACTION 'early'") if $end =~ /PREPARED/;
	sql(create_sql(@$object));
	poll("SELECT state = 'starting' AND reason IS NOT NULL FROM streamproc.status WHERE name = '$object->[1]'::regclass");
	my $reason = sql("SELECT reason FROM streamproc.status WHERE name = '$object->[1]'::regclass");
	like($reason, qr/transaction/, "$end: the reason is an open transaction");
	$later->query_safe("SET lock_timeout = '2s'; SET statement_timeout = '4s'; BEGIN; $rows");
	for ('event', 'part')
	{
		sql("SET lock_timeout = '2s';" . insert_sql($_, 40, $minute, 0.1));
		poll("SELECT (SELECT count(*) FROM ${_}_rule) = (SELECT count(*) FROM $_ WHERE value > 950)");
	}
	is(state_of($object->[1]), 'starting', "$end: still starting");
	$early->query_safe($end);
	if ($n == 1)
	{
		is(scalar $node->psql('postgres', q{SELECT streamproc.wait_for(timeout => '3 seconds')}), 0,
			"$end: nobody waits for a later transaction");
	}
	$later->query_safe($n % 2 ? 'ROLLBACK' : "SAVEPOINT b; $rows ROLLBACK TO b; COMMIT");
	exact($end, $object);
	$_->quit for $early, $later;
}
exact('others than who waited', @lives);
$_->quit for $reader, $stranger;

# A long queue, in several files: another stream's alerts don't wait until it is worked off.
sql("CREATE TABLE bulk (LIKE event INCLUDING DEFAULTS, filler text DEFAULT repeat('x', 200));
	SELECT streamproc.create_stream('bulk', time_column => 'ts', idle_timeout => '1 day');"
	. create_sql('minute', 'bulk_minute', 'bulk') . insert_sql('bulk', 5000, 0, 10));
wait_for($node);
my $hour = 0;

for my $object ([ 'rule', 'bulk_rule', 'bulk' ], [ 'minute', 'bulk_new', 'bulk' ])
{
	my $name = $object->[1];

	# The filter lets all rows pass and takes its time.
	arm_debug_point($node, 'mid-backfill', 'wait');
	sql(create_sql(@$object, "filter => 'length(md5(md5(md5(id::text)))) = 32'"));
	reached($node, 'mid-backfill');
	$hour++;
	sql("DO \$\$ BEGIN FOR i IN 1 .. 20 LOOP
			INSERT INTO bulk (key, value, ts) SELECT * FROM some_rows(5000, $hour * 60 + i / 2.0, 0.6); COMMIT;
		END LOOP; END \$\$;" . insert_sql('bulk', 100000, $hour * 60 + 10, 20));
	poll('SELECT (SELECT sum(n) FROM bulk_minute) = (SELECT count(*) FROM bulk)');
	arm_debug_point($node, 'catching-up', 'wait');
	release_debug_point($node, 'mid-backfill');
	reached($node, 'catching-up');
	sql('INSERT INTO part (key, value, ts) SELECT 3, 999, max(ts) FROM part');

	# In the first turn from here on the worker reads that row, before the next it has written the alert.
	for (1, 2)
	{
		arm_debug_point($node, 'catching-up', 'wait');
		release_debug_point($node, 'catching-up');
		reached($node, 'catching-up');
	}
	is( sql('SELECT (SELECT count(*) FROM part WHERE value > 950) - (SELECT count(*) FROM part_rule)')
			. ' ' . state_of($name),
		'0 starting', "$name: another stream's alert comes while it catches up");
	release_debug_point($node, 'catching-up');
	exact($name, $object);
}
exact('the others', [ 'minute', 'bulk_minute', 'bulk' ], @lives);

# Writers of every kind, while objects are created one after the other. Event time runs 100 times as fast as the clock,
# and the watermark is 5 minutes behind; one row in 30 is too late.
my $dbname = create_database($node, 'writers');
declare_streams($node, $dbname, "watermark => '5 minutes', idle_timeout => '1 day'");
$node->safe_psql($dbname, <<'SQL');
CREATE TABLE beginning AS SELECT clock_timestamp() AS ts;
CREATE FUNCTION moment() RETURNS timestamptz LANGUAGE sql VOLATILE AS $$
	SELECT '2026-01-01 03:20+00'::timestamptz + (clock_timestamp() - ts) * 100
		+ random() * interval '2 minutes' - (random() < 0.03)::int * interval '33 minutes' FROM beginning
$$;
SQL
my $stop = $PostgreSQL::Test::Utils::tmp_check . '/stop';

sub rows
{
	my $table = rand() < 0.5 ? 'event' : 'part';
	my $many = rand() < 0.4 ? 1 : 1 + int(rand(30));
	return "INSERT INTO $table (key, value, ts) SELECT floor(random() * 7), floor(random() * 1000), moment()
		FROM generate_series(1, $many);\n";
}

sub transaction
{
	my ($name) = @_;
	my $kind = rand();

	return rows() if $kind < 0.3;
	return 'BEGIN;' . rows() . rows() . "COMMIT;\n" if $kind < 0.5;
	return 'BEGIN;' . rows() . rows() . "ROLLBACK;\n" if $kind < 0.6;
	return 'BEGIN;' . rows() . 'SAVEPOINT a;' . rows() . 'SAVEPOINT b;' . rows() . 'RELEASE b; ROLLBACK TO a;' . rows()
	  . 'SAVEPOINT c;' . rows() . "RELEASE c; COMMIT;\n" if $kind < 0.9;
	return 'BEGIN;' . rows() . rows() . "PREPARE TRANSACTION '$name';" . rows()
	  . (rand() < 0.7 ? 'COMMIT' : 'ROLLBACK') . " PREPARED '$name';\n";
}

my @writers;
for my $writer (1 .. 3)
{
	my $pid = fork // die "fork: $!";
	if ($pid == 0)
	{
		# Not by exit or die: that would stop the cluster, which is the parent's.
		srand($seed + $writer);
		until (-e $stop)
		{
			my ($script, $out, $err) = ('SELECT setseed(' . rand() . ");\n", '', '');
			$script .= transaction("writer $writer") for 1 .. 20;
			eval {
				IPC::Run::run([ 'psql', '-X', '-q', '-d', $node->connstr($dbname) ], '<', \$script, '>', \$out, '2>', \$err);
			};
			POSIX::_exit(1) if $@ || $err;
		}
		POSIX::_exit(0);
	}
	push @writers, $pid;
}

srand($seed);
my @created;
for my $source ('event', 'part')
{
	push @created, map { [ $_, "${source}_new_$_", $source ] } 'minute', 'final', 'total', 'rule', 'log';
	push @created, [ 'busy', "${source}_new_busy", "${source}_new_final" ],
	  [ 'busy_log', "${source}_new_busy_log", "${source}_minute" ];
}
@created = map { $_->[1] } sort { $a->[0] <=> $b->[0] } map { [ rand() + ($_->[0] eq 'busy'), $_ ] } @created;
for my $object (@created)
{
	my $prepared = rand() < 0.4;
	$node->safe_psql($dbname, 'BEGIN;' . rows() . rows() . q{PREPARE TRANSACTION 'across'}) if $prepared;
	$node->safe_psql($dbname, create_sql(@$object));
	select undef, undef, undef, rand(0.5);
	$node->safe_psql($dbname, (rand() < 0.7 ? 'COMMIT' : 'ROLLBACK') . q{ PREPARED 'across'}) if $prepared;
}
wait_for($node, $dbname);
append_to_file($stop, '');
is(join(' ', map { waitpid $_, 0; $? } @writers), '0 0 0', 'no writer met an error');
wait_for($node, $dbname);

for my $object (@created, first_objects())
{
	is(faults($node, $dbname, @$object), '', "concurrent writers: $object->[1] is what plain SQL says");
}
for my $source ('event', 'part')
{
	# The watermark moves at commits, whose order the first detector knows.
	my $late = "
		WITH commit AS (SELECT lsn, max(event_time) AS latest FROM ${source}_log GROUP BY lsn),
		mark AS (SELECT lsn, max(latest) OVER (ORDER BY lsn ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
			- interval '5 minutes' AS watermark FROM commit)
		SELECT event_id FROM ${source}_log JOIN mark USING (lsn)
		WHERE date_bin('1 minute', event_time, '2000-01-03 00:00+00') + interval '1 minute' <= watermark";
	is( $node->safe_psql($dbname, "SELECT count(*) FROM streamproc.rejected_row
			WHERE source = '$source'::regclass AND (reason <> 'late' OR (row_data->>'id')::bigint NOT IN ($late))"),
		'0', "$source: only late rows are in the dead letters");
	is( $node->safe_psql($dbname, "SELECT watermark = (SELECT max(ts) - interval '5 minutes' FROM $source)
			FROM streamproc.status WHERE name = '$source'::regclass"), 't', "$source: the watermark is where the rows put it");
	note($node->safe_psql($dbname, "SELECT count(*) FROM $source"), " rows of $source");
}

$node->stop;
done_testing();
