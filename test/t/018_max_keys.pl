# A bound for keys where keys come and go with time: which rows find no place depends on the rows and their commits alone,
# not on how the worker gathers them, on when it writes results, or on a crash. The oracle follows the definitions row by row.

use strict;
use warnings;

use List::Util qw(max min sum);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use StreamprocTest;

my $limit = 10;
my $delay = 10;
my $node = new_cluster('max_keys', conf => <<"CONF");
streamproc.max_keys = $limit
streamproc.checkpoint_interval = 3600
CONF

# Rows a second apart, up to 8 seconds in disorder, of keys that change over time; in commits of 1 to 20 rows.
srand(20261128);
my @commits;
my $count = 1500;
for my $id (0 .. $count - 1)
{
	push @commits, [] if !@commits || rand(10) < 1 || @{ $commits[-1] } == 20;
	push @{ $commits[-1] }, { id => $id, key => int($id / 20) + int(rand(18)), time => $id - int(rand(9)) };
}

$node->safe_psql('postgres', <<"SQL");
CREATE TABLE event (id int, key int, ts timestamptz);
CREATE TABLE click (id int, key int, ts timestamptz);
SELECT streamproc.create_stream('event', time_column => 'ts', watermark => '$delay s', idle_timeout => '1 day');
SELECT streamproc.create_stream('click', time_column => 'ts', watermark => '$delay s', idle_timeout => '1 day',
	dedup_key => ARRAY['key'], dedup_within => '10 s');
SELECT streamproc.create_window('trail', 'event', kind => 'sliding', size => '5 s', keys => ARRAY['key'],
	aggregates => ARRAY['count(*) AS n'], carry => ARRAY['id']);
SELECT streamproc.create_window('trail_text', 'event', kind => 'sliding', size => '5 s', keys => ARRAY['key'],
	aggregates => ARRAY['string_agg(id::text, '','' ORDER BY id) AS ids'], carry => ARRAY['id'], trigger => '1 hour');
SELECT streamproc.create_window('visit', 'event', kind => 'session', gap => '4 s', keys => ARRAY['key'],
	aggregates => ARRAY['count(*) AS n', 'sum(id) AS total']);
SELECT streamproc.create_window('visit_text', 'event', kind => 'session', gap => '4 s', keys => ARRAY['key'],
	aggregates => ARRAY['count(*) AS n', 'string_agg(id::text, '','' ORDER BY id) AS ids', 'sum(id) AS total'], trigger => '1 hour',
	emit => 'final');
SELECT streamproc.create_window('seen', 'click', kind => 'global', aggregates => ARRAY['count(*) AS n', 'sum(id) AS total']);
SELECT streamproc.wait_for();
SQL

# Many commits for each call: psql sends each statement alone.
sub load
{
	my ($first, $last) = @_;
	my $sql = '';

	for my $commit (@commits[ $first .. $last ])
	{
		my $values = join(', ', map { "($_->{id}, $_->{key}, '2026-01-01 00:00+00'::timestamptz + $_->{time} * interval '1 s')" } @$commit);
		$sql .= "BEGIN; INSERT INTO event VALUES $values; INSERT INTO click VALUES $values; COMMIT;\n";
	}
	$node->safe_psql('postgres', $sql);
	return;
}

# As it comes; then the worker is stopped while rows come, so that it finds them all at once; killed; and again.
my $part = int(@commits / 5);
load(0, $part);
kill_worker($node);
load($part + 1, 2 * $part);
wait_for($node);
$node->safe_psql('postgres', 'SELECT streamproc.stop()');
load(2 * $part + 1, 3 * $part);
$node->safe_psql('postgres', 'SELECT streamproc.start()');
load(3 * $part + 1, 4 * $part);
kill_worker($node);
load(4 * $part + 1, $#commits);
wait_for($node);

# ---- the oracle ----

# refused(LATE, KIND): the ids of the rows that find no place. KIND: take(ROW), is there one; close(TIME), a commit is over, the
# largest time is now that. Rows that are late are not looked at.
sub refused
{
	my ($late, $kind) = @_;
	my $max;
	my @ids;

	for my $commit (@commits)
	{
		push @ids, map { $_->{id} } grep { !$late->{ $_->{id} } && !$kind->{take}->($_) } @$commit;
		$max = max(grep { defined } $max, map { $_->{time} } @$commit);
		$kind->{close}->($max);
	}
	return join(',', @ids);
}

# Sliding: a key is known while it has a row that may be in a later answer's window: two sizes behind the watermark.
my %newest;
my $sliding = {
	take => sub {
		my ($row) = @_;
		return 0 if !exists $newest{ $row->{key} } && keys %newest >= $limit;
		$newest{ $row->{key} } = max($row->{time}, $newest{ $row->{key} } // $row->{time});
		return 1;
	},
	close => sub {
		my ($max) = @_;
		delete @newest{ grep { $newest{$_} <= $max - $delay - 2 * 5 } keys %newest };
	}
};

# Session: while it has a session that the watermark has not passed.
my %sessions;
my $session = {
	take => sub {
		my ($row) = @_;
		my ($first, $last) = ($row->{time}, $row->{time});
		my @apart;
		return 0 if !exists $sessions{ $row->{key} } && keys %sessions >= $limit;
		for my $s (@{ $sessions{ $row->{key} } })
		{
			if ($s->[0] < $row->{time} + 4 && $row->{time} < $s->[1] + 4)
			{
				($first, $last) = (min($first, $s->[0]), max($last, $s->[1]));
			}
			else
			{
				push @apart, $s;
			}
		}
		$sessions{ $row->{key} } = [ @apart, [ $first, $last ] ];
		return 1;
	},
	close => sub {
		my ($max) = @_;
		for my $key (keys %sessions)
		{
			my @open = grep { $_->[1] + 4 > $max - $delay } @{ $sessions{$key} };
			if (@open) { $sessions{$key} = \@open }
			else { delete $sessions{$key} }
		}
	}
};

# Dedup: rows that were admitted, until no row can come that might repeat them; some a second longer.
my (@admitted, $horizon);
my $dedup = {
	take => sub {
		my ($row) = @_;
		return 1 if defined $horizon && $row->{time} < $horizon;
		return 1 if grep { $_->{key} == $row->{key} && abs($_->{time} - $row->{time}) < 10 } @admitted;
		return 0 if (grep { !defined $horizon || $_->{time} + 1 > $horizon - 10 } @admitted) >= $limit;
		push @admitted, $row;
		return 1;
	},
	close => sub {
		my ($max) = @_;
		$horizon = $max - $delay - 10;
	}
};

# ---- what came of it ----

sub ids
{
	my ($name, $reason) = @_;
	return $node->safe_psql('postgres', qq{SELECT string_agg(row_data ->> 'id', ',' ORDER BY (row_data ->> 'id')::int)
		FROM streamproc.dead_letter WHERE name = '$name'::regclass AND reason = '$reason'});
}

my %kinds = (trail => $sliding, visit => $session);
for my $name (sort keys %kinds)
{
	my %late = map { $_ => 1 } split(/,/, ids($name, 'late'));
	my $expected = refused(\%late, $kinds{$name});

	cmp_ok(scalar(split(/,/, $expected)), '>', 100, "$name: many rows find no place");
	cmp_ok($count - scalar(split(/,/, $expected)), '>', 300, "$name: and many do");
	is(ids($name, 'max_keys'), $expected, "$name: they are those that the definition says");
	is(ids("${name}_text", 'max_keys'), $expected, "${name}_text: the same with another aggregate and trigger");
}
my $expected = refused({}, $dedup);
cmp_ok(scalar(split(/,/, $expected)), '>', 100, 'dedup: many rows find no place');
is(ids('click', 'dedup_max_keys'), $expected, 'dedup: they are those that the definition says');
my $admitted = join('|', scalar(@admitted), sum(map { $_->{id} } @admitted));
is($node->safe_psql('postgres', 'SELECT n, total FROM seen'), $admitted, 'dedup: the others are taken, or are duplicates');

# The others are answered as plain SQL does: the twins leave out what is a dead letter.
$node->safe_psql('postgres', 'ALTER SYSTEM SET streamproc.max_keys = 0; SELECT pg_reload_conf()');
is($node->safe_psql('postgres', qq{SELECT count(*) FROM streamproc.verify('$_') WHERE explained_by IS NULL}), 0, "$_: verify() finds no difference")
  for qw(trail trail_text visit visit_text);
$node->stop;
done_testing();
