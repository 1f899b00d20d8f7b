# pause() and resume() count from their commit on, also when the server goes down before the worker has met it.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use StreamprocTest;

my $node = new_cluster('pause', conf => <<'CONF');
streamproc.debug_points = on
streamproc.checkpoint_interval = 3600
CONF
my $next = 1;

# Rows, each a transaction of its own, into the stream table and the ordinary one; returns how many there are now.
sub insert
{
	my ($n) = @_;
	my $last = ($next += $n) - 1;

	$node->safe_psql('postgres', join '', map {
		"INSERT INTO click VALUES ($_); INSERT INTO visit VALUES ($_);"
	} $next - $n .. $last);
	return $last;
}

sub total
{
	my ($window) = @_;
	return $node->safe_psql('postgres', "SELECT coalesce(sum(n), 0) FROM $window");
}

$node->safe_psql('postgres', <<'SQL');
CREATE TABLE click (id int) USING streamproc;
CREATE TABLE visit (id int);
SELECT streamproc.create_stream('click');
SELECT streamproc.create_stream('visit');
SELECT streamproc.create_window('clicks', 'click', kind => 'global', aggregates => ARRAY['count(*) AS n']);
SELECT streamproc.create_window('visits', 'visit', kind => 'global', aggregates => ARRAY['count(*) AS n']);
SELECT streamproc.create_window('fresh_visits', 'visit', kind => 'global', aggregates => ARRAY['count(*) AS n'],
	backfill => false);
SQL
wait_for($node);
insert(10);
wait_for($node);
is(total('clicks'), 10, 'rows before');

# What the worker hasn't read when a pause commits is older than the pause.
arm_debug_point($node, 'decoded', 'wait');
insert(20);
reached($node, 'decoded');
$node->safe_psql('postgres', $_) for map { "SELECT streamproc.pause('$_')" } 'clicks', 'visits', 'fresh_visits';
insert(40);
is($node->safe_psql('postgres', q{SELECT string_agg(DISTINCT state, ',') FROM streamproc.status WHERE kind = 'window'}),
	'paused', 'status tells at once');
crash($node);
wait_for($node);
is(total($_), 30, "$_: the rows before the pause count, those after it don't") for 'clicks', 'visits', 'fresh_visits';

# The same for the end of a pause, and once more when all of it is read again.
arm_debug_point($node, 'decoded', 'wait');
insert(80);
reached($node, 'decoded');
$node->safe_psql('postgres', $_) for map { "SELECT streamproc.resume('$_')" } 'clicks', 'visits', 'fresh_visits';
insert(160);
crash($node);
wait_for($node);
is(total($_), 190, "$_ goes on where it was") for 'clicks', 'fresh_visits';
is(total('visits'), 310, 'visits is rebuilt from its table');
crash($node);
insert(1);
wait_for($node);
is(total('clicks'), 191, 'also when the WAL is read again');
is($node->safe_psql('postgres', q{SELECT string_agg(DISTINCT state, ',') FROM streamproc.status}), 'running', 'all run');

# A pause that was met and checkpointed stays, and one that is taken back never was.
$node->safe_psql('postgres', q{BEGIN; SELECT streamproc.pause('clicks'); ROLLBACK});
insert(1);
$node->safe_psql('postgres', q{SELECT streamproc.pause('clicks')});
wait_for($node);
$node->restart;
insert(5);
wait_for($node);
is(total('clicks'), 192, 'a pause outlives a restart');
$node->safe_psql('postgres', q{SELECT streamproc.resume('clicks')});
insert(1);
wait_for($node);
is(total('clicks'), 193, 'and ends');

# Before it ever ran: it begins when it is resumed, and no worker takes it for one that did.
create_database($node, 'fresh');
$node->safe_psql('fresh', <<'SQL');
CREATE TABLE visit (id int);
BEGIN;
SELECT streamproc.create_stream('visit');
SELECT streamproc.create_window('visits', 'visit', kind => 'global', aggregates => ARRAY['count(*) AS n']);
SELECT streamproc.pause('visit');
COMMIT;
INSERT INTO visit VALUES (1);
SELECT streamproc.wait_for();
SQL
is($node->safe_psql('fresh', q{SELECT string_agg(DISTINCT state, ',') FROM streamproc.status}), 'paused', 'never ran');
$node->safe_psql('fresh', q{SELECT streamproc.resume('visit')});
$node->safe_psql('fresh', 'INSERT INTO visit VALUES (2)');
wait_for($node, 'fresh');
is($node->safe_psql('fresh', 'SELECT n FROM visits'), 2, 'runs now');

$node->stop;
done_testing();
