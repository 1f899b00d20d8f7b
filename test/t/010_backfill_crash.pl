# The process that fills a new object dies, fails or is ended at every place: what is there afterwards is exact.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use StreamprocBackfill;
use StreamprocOracle;
use StreamprocTest;

my $node = new_cluster('backfill_crash', conf => <<'CONF');
streamproc.debug_points = on
streamproc.checkpoint_interval = 1
CONF
my $minute = 200;

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub armed { return -e $node->data_dir . "/streamproc_debug/$_[0]" }

# Rows on time, rows that are late, and rows that are rolled back; the server may be down, or go down.
sub load
{
	my ($dbname) = @_;

	$minute += 0.4;
	$node->psql($dbname // 'postgres',
		join '', map { insert_sql($_, 35, $minute, 0.5) . insert_sql($_, 3, $minute - 30, 1)
			  . 'BEGIN;' . insert_sql($_, 5, $minute, 0.5) . 'ROLLBACK;' } 'event', 'part');
	return;
}

sub exact
{
	my ($what, @objects) = @_;
	wait_for($node);
	is(join('; ', grep { $_ } map { faults($node, 'postgres', @$_) } @objects), '', "$what: plain SQL says the same");
	return;
}

# Creates an object; its backfill waits at the point. Returns the process.
sub hold
{
	my ($point, $object, $dbname) = @_;
	arm_debug_point($node, $point, 'wait');
	$node->safe_psql($dbname // 'postgres', create_sql(@$object));
	reached($node, $point);
	return backfill_pid($node, $dbname);
}

sub ended_ok
{
	my ($pid, $what) = @_;
	ok($node->poll_query_until('postgres', "SELECT NOT EXISTS (SELECT FROM pg_stat_activity
		WHERE pid = $pid AND backend_type = 'streamproc backfill')"), "$what: the backfill ends");
	return;
}

declare_streams($node, 'postgres', "watermark => '10 seconds', idle_timeout => '1 day'");
my @lives = first_objects();
exact('at first', @lives);

# Whoever is at the point is killed, or exits: the helper at the first three, the worker at the others. There is always
# something that was kept for the object.
my $n = 0;
for my $point ('backfill-cut', 'mid-backfill', 'backfilled', 'catching-up', 'before-publish')
{
	for my $case ([ 'kill', 'minute', 'part' ], [ 'kill', 'log', 'event' ], [ 'exit', 'busy_log', 'event_final' ])
	{
		my ($action, $kind, $source) = @$case;
		my $object = [ $kind, 'new_' . ++$n, $source ];
		my $log_end = -s $node->logfile;

		hold('backfill-cut', $object);
		load() for 1 .. 3;
		if ($point eq 'backfill-cut')
		{
			my $pid = backfill_pid($node);
			kill($action eq 'kill' ? 'KILL' : 'TERM', $pid) == 1 or die "could not signal $pid: $!";
		}
		else
		{
			arm_debug_point($node, $point, $action);
			release_debug_point($node, 'backfill-cut');
		}
		my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;
		while (armed($point))
		{
			die "debug point $point was not reached" if time > $deadline;
			load();
		}
		if ($action eq 'kill')
		{
			$node->wait_for_log(qr/ready to accept connections/, $log_end);
			$node->poll_query_until('postgres', 'SELECT true') or die 'the server did not come back';
		}
		load();
		exact("$action at $point, $kind", $object);
	}
}
exact('after all that', @lives, map { [ 'minute', "new_$_", 'part' ] } 1, 4, 7, 10, 13);

# Whoever drops an object doesn't wait until it is filled; nor does who replaces, pauses or stops it.
sub soon { return sql("SET statement_timeout = '10s'; $_[0]") }

for my $case ([ 'drop_window', 'minute' ], [ 'drop_detector', 'log' ])
{
	my ($verb, $kind) = @$case;
	my $object = [ $kind, 'short_lived', 'event' ];
	my $pid = hold('mid-backfill', $object);

	load();
	soon("SELECT streamproc.$verb('short_lived')");
	ended_ok($pid, $verb);
	load();
	exact("$verb of another object", @lives);
	is(sql(q{SELECT to_regclass('short_lived')}), '', "$verb: the table is gone");
	sql(create_sql(@$object));
	exact("created again after $verb", $object);
	soon("SELECT streamproc.$verb('short_lived')");
}

sql("CREATE TABLE third (LIKE event INCLUDING DEFAULTS); SELECT streamproc.create_stream('third', time_column => 'ts');"
	. insert_sql('third', 1000, 0, 100));
my $pid = hold('mid-backfill', [ 'minute', 'third_minute', 'third' ]);
sql(create_sql('busy', 'third_busy', 'third_minute'));
soon(q{SELECT streamproc.drop_stream('third', cascade => true)});
ended_ok($pid, 'drop_stream');
load();
exact('drop_stream of another stream', @lives);

# The same by plain SQL: the result table, and the source with all that reads it.
$pid = hold('mid-backfill', [ 'minute', 'plainly', 'event' ]);
soon('DROP TABLE plainly');
ended_ok($pid, 'DROP TABLE');
sql("CREATE TABLE fourth (LIKE event INCLUDING DEFAULTS); SELECT streamproc.create_stream('fourth', time_column => 'ts');"
	. insert_sql('fourth', 1000, 0, 100));
$pid = hold('mid-backfill', [ 'minute', 'fourth_minute', 'fourth' ]);
soon('DROP TABLE fourth CASCADE');
ended_ok($pid, 'DROP TABLE of the source');
load();
exact('DROP TABLE of others', @lives);

my $kept = [ 'final', 'kept', 'part' ];
$pid = hold('mid-backfill', $kept);
soon(q{BEGIN; SELECT streamproc.drop_window('kept'); ROLLBACK});
ended_ok($pid, 'a drop rolled back');
load();
exact('a drop rolled back', $kept);

my $replaced = [ 'minute', 'replaced', 'event' ];
$pid = hold('mid-backfill', $replaced);
load();
soon(create_sql(@$replaced, 'replace => true'));
ended_ok($pid, 'replace');
load();
exact('replace', $replaced);

my $paused = [ 'log', 'paused', 'part' ];
$pid = hold('mid-backfill', $paused);
soon(q{SELECT streamproc.pause('paused')});
ended_ok($pid, 'pause()');
load();
wait_for($node);
is(sql(q{SELECT state FROM streamproc.status WHERE name = 'paused'::regclass}), 'paused', 'pause(): the object is paused');
sql(q{SELECT streamproc.resume('paused')});
load();
exact('resume()', $paused);

# Likewise when the helper has done its part, and the worker is catching up.
for my $verb ('drop_detector', 'pause')
{
	my $object = [ 'log', "caught_$verb", 'event' ];

	hold('mid-backfill', $object);
	load();
	arm_debug_point($node, 'catching-up', 'wait');
	release_debug_point($node, 'mid-backfill');
	reached($node, 'catching-up');
	soon("SELECT streamproc.$verb('$object->[1]')");
	release_debug_point($node, 'catching-up');
	load();
	exact("$verb while the worker catches up", @lives);
}
sql(q{SELECT streamproc.resume('caught_pause')});
load();
exact('resume()', [ 'log', 'caught_pause', 'event' ]);

my $stopped = [ 'busy', 'stopped', 'part_minute' ];
$pid = hold('mid-backfill', $stopped);
load();
soon('SELECT streamproc.stop()');
ended_ok($pid, 'stop()');
is(sql(q{SELECT count(*) FROM pg_stat_activity WHERE datname = 'postgres' AND backend_type LIKE 'streamproc%'}), '0',
	'stop(): nobody of ours is left');
load();
sql('SELECT streamproc.start()');
load();
exact('start()', $stopped, @lives);

my $terminated = [ 'rule', 'terminated', 'part' ];
$pid = hold('mid-backfill', $terminated);
load();
sql("SELECT pg_terminate_backend($pid)");
load();
exact('pg_terminate_backend()', $terminated);

# A prepared transaction is waited for after a crash as before it.
my $behind = [ 'minute', 'behind', 'part' ];
my $waits = q{SELECT reason LIKE '%prepared transaction%' FROM streamproc.status WHERE name = 'behind'::regclass};
sql('BEGIN;' . insert_sql('part', 5, $minute, 0.1) . q{PREPARE TRANSACTION 'across'});
sql(create_sql(@$behind));
$node->poll_query_until('postgres', $waits) or die 'nobody waits for the prepared transaction';
my $log_end = -s $node->logfile;
kill('KILL', backfill_pid($node)) == 1 or die "could not signal the backfill: $!";
$node->wait_for_log(qr/ready to accept connections/, $log_end);
backfill_pid($node);
load();
ok($node->poll_query_until('postgres', $waits), 'a prepared transaction is waited for again after a crash');
sql(q{COMMIT PREPARED 'across'});
load();
exact('a prepared transaction across a crash', $behind);

# An error is the object's own affair.
my @failing = ([ 'minute', 'failed_first', 'event' ], [ 'log', 'well', 'event' ]);
arm_debug_point($node, 'mid-backfill', 'error');
sql(join '', 'BEGIN;', (map { create_sql(@$_) } @failing), 'COMMIT');
load();
exact('beside one that failed', $failing[1], @lives);
is( sql(q{SELECT state, reason, (SELECT count(*) FROM failed_first) FROM streamproc.status
		WHERE name = 'failed_first'::regclass}),
	'failed|debug point "mid-backfill" raised an error|0', 'an error makes the object fail, says why, and leaves nothing');
load();
sql(q{SELECT streamproc.resume('failed_first')});
load();
exact('resume() after an error', @failing);

# Databases with a backfill: dropped, and without the extension.
create_database($node, 'doomed');
declare_streams($node, 'doomed', "idle_timeout => '1 day'");
hold('mid-backfill', [ 'minute', 'doomed_minute', 'event' ], 'doomed');
load('doomed');
$node->safe_psql('doomed', q{SET statement_timeout = '10s'; SELECT streamproc.stop()});
soon('DROP DATABASE doomed');
is(sql(q{SELECT count(*) FROM pg_replication_slots WHERE slot_name LIKE 'streamproc%'}), '1',
	'DROP DATABASE after stop() takes its slot along');

create_database($node, 'plain');
declare_streams($node, 'plain', "idle_timeout => '1 day'");
sql('ALTER SYSTEM SET streamproc.checkpoint_interval = 600; SELECT pg_reload_conf()');
hold('mid-backfill', [ 'final', 'plain_final', 'part' ], 'plain');
my $drop = 'DROP EXTENSION streamproc CASCADE';
is($node->psql('plain', "SET statement_timeout = '5s'; $drop"), 0, 'DROP EXTENSION');
sql('ALTER SYSTEM RESET streamproc.checkpoint_interval; SELECT pg_reload_conf()');
ok( $node->poll_query_until('plain', q{SELECT
		NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND backend_type LIKE 'streamproc%')
		AND (SELECT count(*) FROM pg_replication_slots WHERE slot_name LIKE 'streamproc%') = 1
		AND (SELECT count(*) FROM pg_replication_origin WHERE roname LIKE 'streamproc%') = 1}),
	'and its processes, its slot and its origin are gone');
load();
exact('to the end', @lives);

$node->stop;
done_testing();
