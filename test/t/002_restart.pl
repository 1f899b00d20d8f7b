# The server and its processes end in every other way: the worker comes back by itself and carries on.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes 'time';

use StreamprocOracle;
use StreamprocTest;

my $node = new_cluster('restart');
my @databases = ('postgres', create_database($node, 'second'), create_database($node, 'third'));
my $batch = 0;

sub load
{
	$batch++;
	for my $dbname (@databases)
	{
		$node->safe_psql($dbname, <<"SQL");
INSERT INTO event SELECT $batch * 1000 + i, i % 11, i * 7919 % 1000,
	'2026-01-01 00:00+00'::timestamptz + ($batch * 1000 + i) * interval '1 second'
FROM generate_series(1, 1000) i
SQL
	}
	return;
}

sub results_ok
{
	my ($what) = @_;
	for my $dbname (@databases)
	{
		wait_for($node, $dbname);
		is( differences($node, $dbname, 'SELECT window_start, key, n, total, low, high FROM event_1m',
				minute_sql('event')),
			0, "$what: windows of $dbname");
		is( differences($node, $dbname, 'SELECT event_id FROM event_rule', 'SELECT id FROM event WHERE value > 950'),
			0, "$what: alerts of $dbname");
	}
	return;
}

for my $dbname (@databases)
{
	my $aggregates = minute_aggregates();
	$node->safe_psql($dbname, <<"SQL");
CREATE TABLE event (id bigint, key int, value float8, ts timestamptz);
SELECT streamproc.create_stream('event', time_column => 'ts');
SELECT streamproc.create_window('event_1m', 'event', kind => 'tumbling', size => '1 minute',
	keys => ARRAY['key'], aggregates => $aggregates);
SELECT streamproc.create_detector('event_rule', 'event', method => 'rule',
	rules => ARRAY['value > 950 AS "Too high"'], carry => ARRAY['id AS event_id']);
SQL
}
load();
results_ok('at first');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'streamproc worker%'}),
	scalar(@databases), 'one worker in each database');

# As if the power had failed, right after the commits.
load();
crash($node);
results_ok('after an immediate stop');

# A backend of somebody else dies: the postmaster restarts everything, shared memory is new.
load();
my $victim = $node->background_psql('postgres', on_error_stop => 0);
my $backend = $victim->query_safe('SELECT pg_backend_pid()');
my $worker = worker_pid($node);
kill 'KILL', $backend;
isnt(worker_pid($node, 'postgres', $worker), $worker, 'a new worker after the crash of another backend');
eval { $victim->quit };
load();
results_ok('after the crash of another backend');

# An administrator ends the worker.
$worker = worker_pid($node);
load();
my $start = time;
$node->safe_psql('postgres', "SELECT pg_terminate_backend($worker)");
isnt(worker_pid($node, 'postgres', $worker), $worker, 'a terminated worker is started again');
cmp_ok(time - $start, '<', 10, 'within seconds');
results_ok('after SIGTERM');

# A cancelled worker loses nothing.
load();
$node->safe_psql('postgres', 'SELECT pg_cancel_backend(' . worker_pid($node) . ')');
results_ok('after SIGINT');

# stop() holds until start(), and the slot is free meanwhile.
$node->safe_psql('second', 'SELECT streamproc.stop()');
$node->poll_query_until('second',
	q{SELECT NOT active FROM pg_replication_slots WHERE database = current_database()})
  or die 'the slot was not released';
load();
$node->safe_psql('second', 'SELECT streamproc.start()');
results_ok('after stop() and start()');

# A quick, clean restart under load.
load();
$start = time;
$node->restart;
cmp_ok(time - $start, '<', 15, 'a fast shutdown is fast');
results_ok('after a restart');

# Settings are read again without a restart.
$worker = worker_pid($node);
$node->append_conf('postgresql.conf', 'streamproc.checkpoint_interval = 1');
$node->reload;
load();
results_ok('after a reload');
is(worker_pid($node), $worker, 'by the same worker');

# Somebody alters a result table for long: a worker that starts then goes on with the others.
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE altered (id int);
CREATE TABLE other (id int);
SELECT streamproc.create_stream('altered');
SELECT streamproc.create_stream('other');
SELECT streamproc.create_window('altered_total', 'altered', kind => 'global', aggregates => ARRAY['count(*) AS n']);
SELECT streamproc.create_window('other_total', 'other', kind => 'global', aggregates => ARRAY['count(*) AS n']);
SELECT streamproc.wait_for();
BEGIN;
ALTER TABLE altered_total ADD COLUMN remark text;
ALTER TABLE altered ADD COLUMN remark text;
PREPARE TRANSACTION 'altering';
SQL
$worker = worker_pid($node);
$node->safe_psql('postgres', "SELECT pg_terminate_backend($worker)");
worker_pid($node, 'postgres', $worker);
$node->safe_psql('postgres', 'INSERT INTO other VALUES (1), (2)');
ok($node->poll_query_until('postgres', 'SELECT n = 2 FROM other_total'), 'a table that is being altered stops nobody else');
$node->safe_psql('postgres', q{COMMIT PREPARED 'altering'});
$node->safe_psql('postgres', 'INSERT INTO altered VALUES (1)');
$node->safe_psql('postgres', 'SELECT streamproc.wait_for()');
is($node->safe_psql('postgres', 'SELECT n FROM altered_total'), 1, 'and goes on afterwards');

$node->stop;
done_testing();
