# Coming and going: DROP EXTENSION, DROP DATABASE, clones, and servers that are not set up for it.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use StreamprocOracle;
use StreamprocTest;

my $node = new_cluster('extension');

my $declare = <<'SQL';
CREATE TABLE event (id bigint, key int, value float8, ts timestamptz);
SELECT streamproc.create_stream('event', time_column => 'ts');
SELECT streamproc.create_window('event_total', 'event', kind => 'global', aggregates => ARRAY['count(*) AS n']);
SELECT streamproc.wait_for();
INSERT INTO event SELECT i, 1, i, now() FROM generate_series(1, 100) i;
SELECT streamproc.wait_for();
SQL
my $slots = q{SELECT count(*) FROM pg_replication_slots WHERE slot_name LIKE 'streamproc%'};
my $origins = q{SELECT count(*) FROM pg_replication_origin WHERE roname LIKE 'streamproc%'};

is($node->safe_psql('postgres', $slots), '0', 'CREATE EXTENSION makes no slot');
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'streamproc worker%'}), '0',
	'and starts no worker');
$node->safe_psql('postgres', $declare);
is($node->safe_psql('postgres', 'SELECT n FROM event_total'), '100', 'works');
is($node->safe_psql('postgres', "SELECT ($slots), ($origins)"), '1|1', 'one slot, one origin');

# A DROP EXTENSION that is rolled back changes nothing.
$node->safe_psql('postgres', <<'SQL');
BEGIN; DROP EXTENSION streamproc CASCADE; ROLLBACK;
INSERT INTO event VALUES (101, 1, 1, now());
SELECT streamproc.wait_for();
SQL
is($node->safe_psql('postgres', 'SELECT n FROM event_total'), '101', 'goes on after a DROP EXTENSION rolled back');

$node->safe_psql('postgres', 'DROP EXTENSION streamproc CASCADE');
ok($node->poll_query_until('postgres', "SELECT ($slots) = 0 AND ($origins) = 0"),
	'DROP EXTENSION takes the slot and the origin along');
ok($node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_stat_activity
	WHERE backend_type LIKE 'streamproc worker%'}), 'and ends the worker');

$node->safe_psql('postgres', 'DROP TABLE IF EXISTS event_total; DROP TABLE event');
$node->safe_psql('postgres', 'CREATE EXTENSION streamproc');
$node->safe_psql('postgres', $declare);
is($node->safe_psql('postgres', 'SELECT n FROM event_total'), '100', 'works again after CREATE EXTENSION');

# DROP DATABASE: not while the worker is in it, but after stop().
create_database($node, 'doomed');
$node->safe_psql('doomed', $declare);
$node->safe_psql('doomed', 'SELECT streamproc.stop()');
$node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_stat_activity WHERE datname = 'doomed'})
  or die 'stop() did not end the worker';
$node->safe_psql('postgres', 'DROP DATABASE doomed');
is($node->safe_psql('postgres', $slots), '1', 'DROP DATABASE after stop() takes its slot along');

# A clone has the definitions, but they belong to the original's slot.
$node->safe_psql('postgres', 'SELECT streamproc.stop()');
$node->poll_query_until('template1', q{SELECT count(*) = 0 FROM pg_stat_activity WHERE datname = 'postgres'})
  or die 'stop() did not end the worker';
$node->safe_psql('template1', 'CREATE DATABASE clone TEMPLATE postgres');
$node->safe_psql('postgres', 'SELECT streamproc.start()');
is($node->safe_psql('clone', q{SELECT string_agg(DISTINCT state, ',') FROM streamproc.status}), 'detached',
	'objects of a cloned database are detached');
$node->safe_psql('postgres', 'INSERT INTO event VALUES (101, 1, 1, now()); SELECT streamproc.wait_for()');
is($node->safe_psql('postgres', 'SELECT n FROM event_total'), '101', 'the original goes on');
is($node->safe_psql('clone', 'SELECT n FROM event_total'), '100', 'the clone has what it was born with');
$node->safe_psql('clone', q{SELECT streamproc.resume('event'); SELECT streamproc.wait_for()});
is($node->safe_psql('clone', 'SELECT n FROM event_total'), '100', 'resume() in the clone starts it anew');
$node->safe_psql('clone', 'INSERT INTO event VALUES (101, 1, 1, now()), (102, 1, 1, now()); SELECT streamproc.wait_for()');
is($node->safe_psql('clone', 'SELECT n FROM event_total'), '102', 'and it follows its own rows');
is($node->safe_psql('postgres', 'SELECT n FROM event_total'), '101', 'alone');
is($node->safe_psql('clone', 'SELECT count(*) FROM streamproc.verify($$event_total$$)'), '0', 'exactly');

# Template databases can be copied at any time: nobody of ours is connected to them.
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity
	WHERE datname IN ('template0', 'template1')}), '0', 'no process is connected to a template');
$node->safe_psql('postgres', 'CREATE DATABASE plain');
is($node->safe_psql('postgres', $slots), '2', 'a new database has no slot');

# The launcher has been woken since, and has looked for what the dropped database left.
ok($node->poll_query_until('postgres', "SELECT ($origins) = 2"), 'no origin is left of the dropped database');
$node->stop;

# Servers that are not set up: the first error names what is missing.
sub error_of
{
	my ($server, $sql) = @_;
	my ($status, undef, $error) = $server->psql('postgres', $sql);
	isnt($status, 0, 'is refused');
	return $error;
}

my $bare = new_cluster('bare', preload => 0);
$bare->safe_psql('postgres', 'CREATE TABLE event (id bigint, ts timestamptz)');
like(error_of($bare, q{SELECT streamproc.create_stream('event', time_column => 'ts')}), qr/shared_preload_libraries/,
	'not preloaded: says so');
is($bare->safe_psql('postgres', 'SELECT count(*) FROM streamproc.status'), '0', 'status works all the same');
$bare->stop;

my $replica = new_cluster('replica', conf => 'wal_level = replica');
$replica->safe_psql('postgres', 'CREATE TABLE event (id bigint, ts timestamptz)');
like(error_of($replica, q{SELECT streamproc.create_stream('event', time_column => 'ts')}), qr/wal_level/,
	'wal_level too low: says so');
$replica->stop;

SKIP:
{
	my $untrusted = new_cluster('untrusted', start => 0);
	skip 'this server has no output_plugin_libraries', 2
	  if slurp_file($untrusted->data_dir . '/postgresql.conf') !~ /output_plugin_libraries/;
	$untrusted->append_conf('postgresql.conf', "output_plugin_libraries = 'pgoutput'");
	$untrusted->start;
	$untrusted->safe_psql('postgres', 'CREATE EXTENSION streamproc; CREATE TABLE event (id bigint, ts timestamptz)');
	like(error_of($untrusted, q{SELECT streamproc.create_stream('event', time_column => 'ts')}),
		qr/output_plugin_libraries/, 'output plugin not trusted: says so');
	$untrusted->stop;
}

done_testing();
