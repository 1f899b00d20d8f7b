# What the TAP tests share: clusters with streamproc loaded, its worker, its debug points.

package StreamprocTest;

use strict;
use warnings;

use Exporter 'import';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More ();

our @EXPORT = qw(new_cluster create_database wait_for worker_pid backfill_pid kill_worker
  crash arm_debug_point reached release_debug_point
  load_until_killed unwell);

# A psql that can't connect, as the server is just going down, may end before it has read its input. To IPC::Run that is
# an error of the test; to these tests it is a connection that failed.
{
	no warnings 'redefine';
	my %original = map { $_ => PostgreSQL::Test::Cluster->can($_) } qw(psql poll_query_until);

	*PostgreSQL::Test::Cluster::psql = sub {
		my ($node, $dbname, $sql, %opts) = @_;
		my @result = eval { $original{psql}->($node, $dbname, $sql, %opts) };

		die $@ if $@ && ($@ !~ /Broken pipe/ || $opts{on_error_die});
		@result = (2, '', $@) if $@;
		return wantarray ? @result : $result[0];
	};
	*PostgreSQL::Test::Cluster::poll_query_until = sub {
		my @args = @_;

		while (1)
		{
			my $ok = eval { $original{poll_query_until}->(@args) };
			return $ok unless $@;
			die $@ unless $@ =~ /Broken pipe/;
		}
	};
}

# new_cluster(NAME, conf => LINES, start => 0, preload => 0): a running cluster whose database "postgres" has the
# extension. With start => 0 it is only initialized. Unlike those of PostgreSQL's own tests it syncs, and recovers when
# a process is killed: both are what is tested.
sub new_cluster
{
	my ($name, %opts) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	$node->init(allows_streaming => 'logical', extra => [ '--encoding=UTF8', '--locale=C.UTF-8' ]);
	$node->append_conf('postgresql.conf', <<"CONF");
fsync = on
restart_after_crash = on
shared_buffers = 64MB
max_connections = 50
max_wal_senders = 20
max_replication_slots = 20
max_worker_processes = 32
max_prepared_transactions = 20
CONF
	$node->append_conf('postgresql.conf', "shared_preload_libraries = 'streamproc'") if $opts{preload} // 1;

	# A setting of the later minor releases; the others would refuse it.
	$node->append_conf('postgresql.conf', "output_plugin_libraries = 'pgoutput, test_decoding, streamproc'")
	  if run_log([ 'postgres', '-D', $node->data_dir, '-C', 'output_plugin_libraries' ], '>', '/dev/null', '2>', '/dev/null');
	$node->append_conf('postgresql.conf', $opts{conf}) if defined $opts{conf};

	if ($opts{start} // 1)
	{
		$node->start;
		$node->safe_psql('postgres', 'CREATE EXTENSION streamproc');
	}
	return $node;
}

# A further database with the extension.
sub create_database
{
	my ($node, $name) = @_;
	$node->safe_psql('postgres', "CREATE DATABASE $name");
	$node->safe_psql($name, 'CREATE EXTENSION streamproc');
	return $name;
}

# Until everything committed so far is in the results.
sub wait_for
{
	my ($node, $dbname) = @_;
	$node->safe_psql($dbname // 'postgres', 'SELECT streamproc.wait_for()');
	return;
}

# The worker of a database; waits until there is one, other than the process $not.
sub worker_pid
{
	my ($node, $dbname, $not) = @_;
	return process_pid($node, $dbname, 'streamproc worker', $not);
}

# The process that fills a new object of a database, likewise.
sub backfill_pid
{
	my ($node, $dbname, $not) = @_;
	return process_pid($node, $dbname, 'streamproc backfill', $not);
}

sub process_pid
{
	my ($node, $dbname, $type, $not) = @_;
	my $pid = '';
	my $query = sprintf q{
		SELECT pid FROM pg_stat_activity
		WHERE datname = current_database() AND backend_type = '%s' AND pid <> %d}, $type, $not // 0;

	$dbname //= 'postgres';
	while ($pid eq '')	# it may end between the two queries
	{
		$node->poll_query_until($dbname, "SELECT EXISTS ($query)")
		  or die "no $type in database $dbname";
		$pid = $node->safe_psql($dbname, $query);
	}
	return $pid;
}

# Kills the worker. The postmaster then restarts every process: wait until it answers again.
sub kill_worker
{
	my ($node, $dbname, $signal) = @_;
	my $pid = worker_pid($node, $dbname);

	kill($signal // 'KILL', $pid) == 1 or die "could not signal the worker: $!";
	wait_until(sub { !kill(0, $pid) }, "worker $pid to end");
	$node->poll_query_until('postgres', 'SELECT true')
	  or die 'the cluster did not come back';
	return $pid;
}

# As a power failure does: nothing is flushed or told to anyone.
sub crash
{
	my ($node) = @_;
	$node->stop('immediate');
	$node->start;
	return;
}

# Debug points act with streamproc.debug_points = on; see src/base/debug.h.
sub arm_debug_point
{
	my ($node, $name, $action) = @_;
	my $dir = $node->data_dir . '/streamproc_debug';

	mkdir $dir;
	append_to_file("$dir/.$name", $action);
	rename "$dir/.$name", "$dir/$name" or die "$dir/$name: $!";
	return;
}

# Waits until a process has come to the point.
sub reached
{
	my ($node, $name) = @_;
	my $file = $node->data_dir . "/streamproc_debug/$name";

	wait_until(sub { !-e $file }, "debug point $name");
	return;
}

# load_until_killed(NODE, POINT, LOAD, meanwhile => SUB, dbname => NAME): calls LOAD until a process has been killed at the
# point and the worker of the database is another one, and once more.
sub load_until_killed
{
	my ($node, $point, $load, %opts) = @_;
	my $dbname = $opts{dbname} // 'postgres';
	my $pid = worker_pid($node, $dbname);
	my $armed = $node->data_dir . "/streamproc_debug/$point";
	my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;
	local $Test::Builder::Level = $Test::Builder::Level + 1;

	arm_debug_point($node, $point, 'kill');
	$opts{meanwhile}->() if $opts{meanwhile};
	while (-e $armed)
	{
		die "debug point $point was not reached" if time > $deadline;
		$load->();
	}
	Test::More::isnt(worker_pid($node, $dbname, $pid), $pid, "$point: the worker is back");
	$load->();
	return;
}

# How many dead letters there are, objects that don't run, and windows to which rows that were taken back came too late. A
# TRUNCATE counts as such a row: nobody knows whether there was one.
sub unwell
{
	my ($node) = @_;
	return $node->safe_psql('postgres', q{SELECT (SELECT count(*) FROM streamproc.dead_letter)
		+ (SELECT count(*) FROM streamproc.status WHERE state <> 'running'
			OR kind = 'window' AND ignored > (SELECT sum(truncates) FROM streamproc.object_progress))});
}

# Lets a process go on that waits at the point.
sub release_debug_point
{
	my ($node, $name) = @_;
	append_to_file($node->data_dir . "/streamproc_debug/$name.go", '');
	return;
}

sub wait_until
{
	my ($condition, $what) = @_;
	my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;

	until ($condition->())
	{
		die "timed out waiting for $what" if time > $deadline;
		select undef, undef, undef, 0.01;
	}
	return;
}

1;
