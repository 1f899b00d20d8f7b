# Stream tables: a transaction of five million rows, and what is left of one in a dump.

use strict;
use warnings;

use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use StreamprocOracle;
use StreamprocTest;

my $node = new_cluster('stream_table');
my $file = $PostgreSQL::Test::Utils::tmp_check . '/rows';
my $aggregates = minute_aggregates();

$node->safe_psql('postgres', <<"SQL");
CREATE TABLE click (id bigint, key int NOT NULL, value float8 DEFAULT 5, ts timestamptz) USING streamproc;
SELECT streamproc.create_stream('click', time_column => 'ts');
SELECT streamproc.create_window('click_1m', 'click', kind => 'tumbling', size => '1 minute',
	keys => ARRAY['key'], aggregates => $aggregates);
SELECT streamproc.create_window('click_total', 'click', kind => 'global',
	aggregates => ARRAY['count(*) AS n', 'sum(id) AS ids']);
SELECT streamproc.wait_for();
COPY (SELECT i::bigint, i % 50, (i % 1000)::float8, '2026-01-01 00:00+00'::timestamptz + i * interval '1 millisecond'
	FROM generate_series(1, 1000000) i) TO '$file' WITH (FORMAT binary);
SQL

# Resident memory that is the worker's own, in MB; 0 when it is gone.
sub memory
{
	my ($pid) = @_;
	open(my $status, '<', "/proc/$pid/status") or return 0;
	return (map { /^RssAnon:\s+(\d+) kB/ ? $1 / 1024 : () } <$status>)[0] // 0;
}

# run_watched(SQL): the most memory that the worker had meanwhile; a child looks 50 times a second.
sub run_watched
{
	my ($sql) = @_;
	my $worker = worker_pid($node);
	my $peak_file = $PostgreSQL::Test::Utils::tmp_check . '/peak';
	my $watcher = fork // die "fork: $!";

	if ($watcher == 0)
	{
		my ($peak, $ended) = (0, 0);
		local $SIG{TERM} = sub { $ended = 1 };
		until ($ended)
		{
			my $now = memory($worker);
			$peak = $now if $now > $peak;
			select undef, undef, undef, 0.02;
		}
		open(my $out, '>', $peak_file) or POSIX::_exit(1);
		print $out $peak;
		close $out;
		POSIX::_exit(0);
	}
	my $ok = eval { $node->safe_psql('postgres', $sql); 1 };
	my $error = $@;
	kill 'TERM', $watcher;
	waitpid $watcher, 0;
	die $error unless $ok;
	return slurp_file($peak_file);
}

# Five million rows arrive, between them others that are taken back.
my $copy = "COPY click FROM '$file' WITH (FORMAT binary);";
my $peak = run_watched(<<"SQL");
BEGIN;
$copy
SAVEPOINT first;
$copy
SAVEPOINT second;
INSERT INTO click SELECT -i, 7, 99999, '2026-01-01 00:00+00' FROM generate_series(1, 300000) i;
ROLLBACK TO second;
$copy
ROLLBACK TO first;
$copy
SAVEPOINT third;
$copy
RELEASE third;
$copy
INSERT INTO click SELECT -i, 7, 99999, '2026-01-01 00:00+00' FROM generate_series(1, 100) i;
ROLLBACK TO first;
$copy
$copy
SAVEPOINT fourth;
$copy
RELEASE fourth;
$copy
COMMIT;
SELECT streamproc.wait_for();
SQL
is($node->safe_psql('postgres', 'SELECT n, ids FROM click_total'), '5000000|2500002500000',
	'five million rows of one transaction are counted');
$node->safe_psql('postgres', <<"SQL");
CREATE TABLE mirror (id bigint, key int, value float8, ts timestamptz);
COPY mirror FROM '$file' WITH (FORMAT binary);
SQL
is( differences($node, 'postgres', 'SELECT window_start, key, n, total, low, high FROM click_1m',
		q{SELECT date_bin('1 minute', ts, '2000-01-03 00:00+00'), key, 5 * count(*), 5 * sum(value), min(value), max(value)
			FROM mirror GROUP BY 1, 2}),
	0, 'and windowed exactly');
cmp_ok($peak, '<=', 256, sprintf('with %.0f MB of memory', $peak));

# The same rows into an ordinary table, all at once.
$node->safe_psql('postgres', <<"SQL");
CREATE TABLE event (id bigint, key int, value float8, ts timestamptz);
SELECT streamproc.create_stream('event', time_column => 'ts');
SELECT streamproc.create_window('event_1m', 'event', kind => 'tumbling', size => '1 minute',
	keys => ARRAY['key'], aggregates => $aggregates);
SELECT streamproc.wait_for();
SQL
my $event_copy = $copy =~ s/click/event/r;
$peak = run_watched(<<"SQL");
BEGIN;
$event_copy
SAVEPOINT first;
$event_copy
ROLLBACK TO first;
$event_copy
COMMIT;
SELECT streamproc.wait_for();
SQL
is( differences($node, 'postgres', 'SELECT window_start, key, n, total, low, high FROM event_1m', minute_sql('event')),
	0, 'a large transaction into an ordinary table, part of it rolled back, is exact');
cmp_ok($peak, '<=', 256, sprintf('with %.0f MB of memory', $peak));

# An empty or aborted transaction leaves nothing.
$node->safe_psql('postgres', <<"SQL");
BEGIN; $copy ROLLBACK;
BEGIN; INSERT INTO click VALUES (1, 1); PREPARE TRANSACTION 'undone'; ROLLBACK PREPARED 'undone';
BEGIN; INSERT INTO click VALUES (1, 1, 1, '2026-01-01 01:00+00'); PREPARE TRANSACTION 'done'; COMMIT PREPARED 'done';
SQL
wait_for($node);
is($node->safe_psql('postgres', 'SELECT n FROM click_total'), '5000001', 'ROLLBACK and ROLLBACK PREPARED leave nothing');

# A row that violates a constraint takes its transaction with it, as always.
my ($status, undef, $error) = $node->psql('postgres', "INSERT INTO click VALUES (1, 1), (2, NULL)");
isnt($status, 0, 'NOT NULL holds');
like($error, qr/null value in column "key"/, 'with the usual error');
wait_for($node);
is($node->safe_psql('postgres', 'SELECT n FROM click_total'), '5000001', 'and nothing of that statement arrives');

# Dump and restore: definitions and results come along, the restored objects say that they are detached.
my $dump = $PostgreSQL::Test::Utils::tmp_check . '/dump.sql';
$node->command_ok([ 'pg_dump', '-f', $dump, '-d', $node->connstr('postgres') ], 'pg_dump');
$node->safe_psql('postgres', 'CREATE DATABASE restored');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $dump, '-d', $node->connstr('restored') ],
	'restore');
for my $table ('click_1m', 'click_total', 'event_1m')
{
	my $sum = "SELECT md5(string_agg(t::text, ',' ORDER BY t::text)) FROM $table t";
	is($node->safe_psql('restored', $sum), $node->safe_psql('postgres', $sum), "$table came along");
}
is($node->safe_psql('restored', q{SELECT amname FROM pg_class c JOIN pg_am a ON a.oid = c.relam WHERE relname = 'click'}),
	'streamproc', 'the stream table is one again');
is($node->safe_psql('restored', q{SELECT string_agg(DISTINCT state, ',') FROM streamproc.status}), 'detached',
	'restored objects are detached');
$node->command_ok([ 'pg_dump', '-s', '-f', $dump, '-d', $node->connstr('restored') ], 'pg_dump of what was restored');

$node->stop;
done_testing();
