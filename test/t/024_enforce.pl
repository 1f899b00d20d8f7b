# The shield under load: exact with 20 sessions on one key, and over kills, restarts, prepared transactions and a dump.

use strict;
use warnings;

use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use StreamprocTest;

my $node = new_cluster('enforce');
my $time = "'2026-01-01 00:00+00'";

$node->safe_psql('postgres', <<'SQL');
CREATE TABLE pay (id bigint, k int, ts timestamptz);
CREATE SEQUENCE number;
CREATE TABLE refused (id bigint);
SELECT streamproc.create_stream('pay', time_column => 'ts', idle_timeout => '1 day');
SELECT streamproc.create_detector('fast', 'pay', method => 'velocity', keys => ARRAY['k'], carry => ARRAY['id AS pay_id'],
	params => '{"events": 5, "interval": "5 minutes", "max_events": 20}');
SELECT streamproc.enforce('fast');
CREATE PROCEDURE offer(key int, at timestamptz) LANGUAGE plpgsql AS $$
DECLARE number bigint := nextval('number');
BEGIN
	INSERT INTO pay VALUES (number, key, at);
EXCEPTION WHEN check_violation THEN
	INSERT INTO refused VALUES (number);
END $$;
SQL

# From then on refusals are reported.
wait_for($node);

# pgbench with a script of one statement; the process that runs it.
sub load_script
{
	my ($statement) = @_;
	my $file = $node->basedir . '/load.sql';
	open(my $f, '>', $file) or die $!;
	print $f "$statement\n";
	close $f;
	return $file;
}

# Never a sixth, whoever comes at the same time.
my $script = load_script("\\set key random(1, 2)\nCALL offer(:key, $time);");
$node->command_ok([ 'pgbench', '-n', '-f', $script, '-c', '20', '-j', '2', '-t', '30', $node->connstr('postgres') ], '20 sessions');
wait_for($node);
is($node->safe_psql('postgres', 'SELECT k, count(*) FROM pay GROUP BY 1 ORDER BY 1'), "1|5\n2|5", 'five of each key');
is($node->safe_psql('postgres', 'SELECT count(*), count(DISTINCT pay_id) FROM fast'), '590|590', 'every other one is reported, once');
is($node->safe_psql('postgres', 'SELECT count(*) FROM refused FULL JOIN fast ON pay_id = refused.id WHERE pay_id IS NULL OR refused.id IS NULL'), '0',
	'those that were refused');

# Nor where the time is the clock's, in whose order rows don't get in; and no interval of the table has a sixth.
for my $clock ('now()', 'clock_timestamp()')
{
	my $key = $clock eq 'now()' ? 10 : 11;
	$script = load_script("CALL offer($key, $clock);");
	$node->command_ok([ 'pgbench', '-n', '-f', $script, '-c', '20', '-j', '2', '-t', '10', $node->connstr('postgres') ], "20 sessions and $clock");
	is($node->safe_psql('postgres', "SELECT count(*) FROM pay WHERE k = $key"), '5', 'five');
}

# What the states should be: those that the table's rows lead to, in their order.
sub states
{
	my ($dbname) = @_;
	return $node->safe_psql($dbname, q{SELECT string_agg(to_jsonb(s)::text, '|' ORDER BY k1) FROM } .
		$node->safe_psql($dbname, q{SELECT states FROM streamproc.shield_definition}) . ' s');
}

# Kills amid the load: each session has a key of its own, whose times rise.
for my $round (1 .. 3)
{
	$script = load_script("\\set key 100 + :client_id\nCALL offer(:key, clock_timestamp());\nSELECT pg_sleep(0.001 * (:client_id % 3));");
	my $load = IPC::Run::start([ 'pgbench', '-n', '-f', $script, '-c', '8', '-j', '2', '-T', '60', $node->connstr('postgres') ],
		'>', '/dev/null', '2>', '/dev/null');
	my $before = $node->safe_psql('postgres', 'SELECT last_value FROM number');
	$node->poll_query_until('postgres', "SELECT last_value > $before + 300 FROM number");
	$round < 3 ? crash($node) : kill_worker($node);
	$load->finish;
	wait_for($node);
}
my $states = states('postgres');
$node->safe_psql('postgres', q{SELECT streamproc.enforce('fast')});
is($states, states('postgres'), 'after crashes the states are those of the rows');
is($node->safe_psql('postgres', 'SELECT count(*) FROM (SELECT count(*) OVER (PARTITION BY k ORDER BY ts RANGE BETWEEN \'4:59.999999\' PRECEDING AND CURRENT ROW) AS n FROM pay) c WHERE n > 5'),
	'0', 'never a sixth');
is($node->safe_psql('postgres', 'SELECT count(*) FROM (SELECT pay_id FROM fast GROUP BY 1 HAVING count(*) > 1) twice'), '0', 'no refusal is reported twice');
is($node->safe_psql('postgres', 'SELECT count(*) FROM refused r WHERE NOT EXISTS (SELECT FROM fast WHERE pay_id = r.id)'), '0', 'and none is lost');
is($node->safe_psql('postgres', 'SELECT count(*) FROM pay JOIN fast ON pay_id = pay.id'), '0', 'nor are accepted ones among them');

# A prepared transaction holds its keys, over a restart, too.
$node->safe_psql('postgres', "BEGIN; INSERT INTO pay SELECT i, 50, $time FROM generate_series(1, 3) i; PREPARE TRANSACTION 'a'");
$node->restart;
my ($ret, $stdout, $stderr) = $node->psql('postgres', "SET lock_timeout = '100ms'; INSERT INTO pay VALUES (1, 50, $time)");
like($stderr, qr/lock timeout/, 'who comes later waits');
$node->safe_psql('postgres', "COMMIT PREPARED 'a'");
$node->safe_psql('postgres', "BEGIN; INSERT INTO pay SELECT i, 50, $time FROM generate_series(4, 5) i; PREPARE TRANSACTION 'b'");
$node->safe_psql('postgres', "ROLLBACK PREPARED 'b'");
$node->safe_psql('postgres', "INSERT INTO pay SELECT i, 50, $time FROM generate_series(4, 5) i");
($ret, $stdout, $stderr) = $node->psql('postgres', "INSERT INTO pay VALUES (6, 50, $time)");
like($stderr, qr/refused by detector/, 'what was prepared and committed counts, what was rolled back does not');

# The shield doesn't need the worker; only reports wait.
$node->safe_psql('postgres', 'SELECT streamproc.stop()');
($ret, $stdout, $stderr) = $node->psql('postgres', "INSERT INTO pay VALUES (7, 50, $time)");
like($stderr, qr/refused by detector/, 'without the worker');
$node->safe_psql('postgres', 'SELECT streamproc.start()');
wait_for($node);
is($node->safe_psql('postgres', 'SELECT count(*) FROM fast WHERE k = 50'), '2', 'both are reported');

# Starting anew, the detector forgets what it found in the table, but not what was kept out of it.
$node->safe_psql('postgres', q{SELECT streamproc.pause('fast')});
wait_for($node);
$node->safe_psql('postgres', q{SELECT streamproc.resume('fast')});
wait_for($node);
is($node->safe_psql('postgres', 'SELECT count(*) FROM fast WHERE k = 50'), '2', 'refusals outlive a rebuild');

# With fail_open what can't be judged is let in, counted, and told of once in a minute.
$node->safe_psql('postgres', q{SELECT streamproc.enforce('fast', on_error => 'fail_open')});
$script = load_script("INSERT INTO pay VALUES (:client_id, 60, NULL);");
my $offset = -s $node->logfile;
$node->command_ok([ 'pgbench', '-n', '-f', $script, '-c', '8', '-j', '2', '-t', '100', $node->connstr('postgres') ], '8 sessions that fail');
is($node->safe_psql('postgres', 'SELECT count(*) FROM pay WHERE k = 60'), '800', 'all rows are in');
is($node->safe_psql('postgres', 'SELECT unjudged FROM streamproc.shields'), '800', 'and counted');
my @told = grep { /was not judged by detector/ } split /\n/, slurp_file($node->logfile, $offset);
cmp_ok(scalar(@told), '>=', 1, 'the log tells of them');
cmp_ok(scalar(@told), '<=', 3, 'but not of each');
$node->restart;
is($node->safe_psql('postgres', 'SELECT unjudged, last_unjudged IS NULL FROM streamproc.shields'), '0|t', 'a restart forgets how many');
$node->safe_psql('postgres', q{DELETE FROM pay WHERE ts IS NULL; SELECT streamproc.enforce('fast')});

# A dump takes the shield along.
my $dump = $node->basedir . '/dump.sql';
$states = states('postgres');
$node->command_ok([ 'pg_dump', '--no-publications', '-f', $dump, '-d', $node->connstr('postgres') ], 'pg_dump');
$node->safe_psql('postgres', 'CREATE DATABASE restored');
$node->command_ok([ 'psql', '-X', '-v', 'ON_ERROR_STOP=1', '-f', $dump, '-d', $node->connstr('restored') ], 'and restore');
is($node->safe_psql('restored', 'SELECT detector, is_on FROM streamproc.shields'), 'fast|t', 'it is on');
is(states('restored'), $states, 'with the states');
($ret, $stdout, $stderr) = $node->psql('restored', "INSERT INTO pay VALUES (8, 50, $time)");
like($stderr, qr/refused by detector/, 'and refuses');
$node->safe_psql('restored', "INSERT INTO pay VALUES (9, 51, $time)");
$node->safe_psql('restored', q{SELECT streamproc.drop_detector('fast')});
is($node->safe_psql('restored', q{SELECT (SELECT count(*) FROM pg_trigger WHERE tgname LIKE '~stream%'), (SELECT count(*) FROM streamproc.shields),
	(SELECT count(*) FROM pg_class WHERE relname ~ '^shield_[0-9]+$')}), '0|0|0', 'a restored one is dropped whole');
$node->safe_psql('restored', "INSERT INTO pay VALUES (10, 50, $time)");

done_testing();
