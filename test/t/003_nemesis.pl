# Everything at once: writers of every kind, a nemesis that kills and disturbs, and plain SQL as the judge.
#
# SP_NEMESIS_SECONDS: how long (60). SP_SEED: what happens (the time; printed). The order of events also depends on the
# machine, so that a seed makes a failure likely again, not certain.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use POSIX ();
use Test::More;

use StreamprocOracle;
use StreamprocTest;

my $seconds = $ENV{SP_NEMESIS_SECONDS} // 60;
my $seed = $ENV{SP_SEED} // time;
my $nwriters = 3;
diag("SP_SEED=$seed SP_NEMESIS_SECONDS=$seconds");

my $node = new_cluster('nemesis', conf => <<'CONF');
streamproc.checkpoint_interval = 2
autovacuum_naptime = 5s
CONF
my $aggregates = minute_aggregates();

# event is an ordinary table, part is partitioned twice over, click is a stream table whose rows are also kept in
# click_mirror, written in the same transaction. A store-all detector beside each remembers the order of commits.
my @sources = ('event', 'part', 'click');
my %oracle = (event => 'event', part => 'part', click => 'click_mirror');

$node->safe_psql('postgres', <<'SQL');
CREATE TABLE event (id bigint, writer int, prepared bool, key int, value float8, ts timestamptz);
CREATE TABLE part (LIKE event) PARTITION BY LIST (key);
CREATE TABLE part_0 PARTITION OF part FOR VALUES IN (0, 1, 2);
CREATE TABLE part_1 (gone int, ts timestamptz, value float8, key int, prepared bool, writer int, id bigint);
ALTER TABLE part_1 DROP COLUMN gone;
ALTER TABLE part ATTACH PARTITION part_1 FOR VALUES IN (3, 4);
CREATE TABLE part_2 PARTITION OF part DEFAULT PARTITION BY HASH (id);
CREATE TABLE part_2a PARTITION OF part_2 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE part_2b PARTITION OF part_2 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE click (LIKE event) USING streamproc;
CREATE TABLE click_mirror (LIKE event);
SQL
for my $source (@sources)
{
	$node->safe_psql('postgres', <<"SQL");
SELECT streamproc.create_stream('$source', time_column => 'ts', watermark => '5 minutes', idle_timeout => '1 day');
SELECT streamproc.create_window('${source}_1m', '$source', kind => 'tumbling', size => '1 minute',
	keys => ARRAY['key'], aggregates => $aggregates);
SELECT streamproc.create_window('${source}_final', '$source', kind => 'tumbling', size => '1 minute',
	keys => ARRAY['key'], aggregates => $aggregates, emit => 'final', trigger => '300 milliseconds');
SELECT streamproc.create_window('${source}_sums', '$source', kind => 'global', keys => ARRAY['writer'],
	aggregates => ARRAY['count(*) AS n', 'sum(value::numeric) AS total', 'max(id) AS last']);
SELECT streamproc.create_detector('${source}_log', '$source', method => 'ewma', value => 'value',
	keys => ARRAY['key'], params => '{"alpha": 0.1, "warmup": 5}', threshold => 2.5,
	carry => ARRAY['id AS event_id', 'writer', 'prepared'], store => 'all');
SELECT streamproc.create_detector('${source}_rule', '$source', method => 'rule',
	rules => ARRAY['value > 900 AS "High"', 'key = 6 AND value < 100 AS "Low in six"'], carry => ARRAY['id AS event_id']);
SELECT streamproc.create_detector('${source}_busy', '${source}_final', method => 'rule',
	rules => ARRAY['n >= 3 AS "Busy"'], carry => ARRAY['n']);
SQL
}
ewma_oracle($node, 'postgres');
wait_for($node);

# One row as SQL: event time mostly moves on with the writer's own counter; now and then it is far behind, and late.
sub row
{
	my ($writer, $state) = @_;
	my $id = $writer * 1_000_000_000 + ++$state->{id};
	my $second = 10 * $state->{id} / 7 + rand(120) - (rand() < 0.03 ? 2000 : 0);

	return join("\t", $id, $writer, $state->{prepared} ? 't' : 'f', int(rand(8)), int(rand(1000)),
		POSIX::strftime('%Y-%m-%d %H:%M:%S+00', gmtime(1_767_225_600 + $second)));
}

# Statements that write rows into one or several of the sources, the stream table always with its mirror.
sub statements
{
	my ($writer, $state) = @_;
	my $columns = '(id, writer, prepared, key, value, ts)';
	my @parts;

	for my $source (grep { rand() < 0.6 } @sources)
	{
		my @rows = map { row($writer, $state) } 1 .. (rand() < 0.05 ? 400 : 1 + int(rand(15)));
		for my $table ($source, $source eq 'click' ? 'click_mirror' : ())
		{
			push @parts, rand() < 0.5
			  ? "COPY $table $columns FROM STDIN;\n" . join("\n", @rows) . "\n\\.\n"
			  : "INSERT INTO $table $columns VALUES "
			  . join(',', map { "('" . join("','", split /\t/) . "')" } @rows) . ";\n";
		}
	}
	return join '', @parts;
}

# One transaction.
sub transaction
{
	my ($writer, $state) = @_;
	my $kind = rand();
	my $body = sub { statements($writer, $state) };

	return 'BEGIN;' . $body->() . "COMMIT;\n" if $kind < 0.4;
	return 'BEGIN;' . $body->() . "ROLLBACK;\n" if $kind < 0.5;
	return 'BEGIN;' . $body->() . 'SAVEPOINT a;' . $body->() . 'ROLLBACK TO a;' . $body->() . "COMMIT;\n" if $kind < 0.65;
	return 'BEGIN;' . $body->() . 'SAVEPOINT a;' . $body->() . 'SAVEPOINT b;' . $body->() . 'RELEASE b; ROLLBACK TO a;'
	  . $body->() . 'SAVEPOINT c;' . $body->() . "RELEASE c; COMMIT;\n" if $kind < 0.8;

	local $state->{prepared} = 1;	# its rows may commit after later ones
	my $name = "w${writer}_" . ++$state->{prepares};
	return 'BEGIN;' . $body->() . "PREPARE TRANSACTION '$name';\n"
	  . (rand() < 0.7 ? "COMMIT PREPARED '$name';\n" : rand() < 0.7 ? "ROLLBACK PREPARED '$name';\n" : '');
}

# A writer: sessions of some transactions each, whatever becomes of them.
sub write_rows
{
	my ($writer, $deadline) = @_;
	my %state = (id => 0, prepares => 0, prepared => 0);

	srand($seed + $writer);
	while (time < $deadline)
	{
		my $script = join '', map { transaction($writer, \%state) } 1 .. 10;
		my ($out, $err) = ('', '');
		# A psql that loses its server leaves its input unread.
		eval {
			IPC::Run::run([ 'psql', '-X', '-q', '-d', $node->connstr('postgres') ], '<', \$script, '>', \$out, '2>', \$err);
		};
		select undef, undef, undef, 0.05 if $err =~ /could not connect|starting up|recovery mode|connection to server/;
	}
	return;
}

my $deadline = time + $seconds;
my @writers;
for my $writer (1 .. $nwriters)
{
	my $pid = fork // die "fork: $!";
	if ($pid == 0)
	{
		# Not by exit or die: that would stop the cluster, which is the parent's.
		local $SIG{PIPE} = 'IGNORE';
		eval { write_rows($writer, $deadline) };
		POSIX::_exit($@ ? 1 : 0);
	}
	push @writers, $pid;
}

# What the nemesis does. Errors of a server that is down are its own fault.
srand($seed);
my $extra = 0;
my %done;
sub quietly { return scalar $node->psql('postgres', $_[0], timeout => 60) }
sub some_pid
{
	my ($where) = @_;
	my $pid = '';
	$node->psql('postgres', "SELECT pid FROM pg_stat_activity WHERE $where AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1",
		stdout => \$pid);
	return $pid =~ /^\d+$/ ? $pid : undef;
}
my @actions = (
	[ 'kill -9 worker' => sub { my $p = some_pid(q{backend_type LIKE 'streamproc worker%'}); kill 'KILL', $p if $p } ],
	[ 'kill -9 backend' => sub { my $p = some_pid(q{backend_type = 'client backend'}); kill 'KILL', $p if $p } ],
	[ 'terminate worker' => sub { my $p = some_pid(q{backend_type LIKE 'streamproc worker%'}); kill 'TERM', $p if $p } ],
	[ 'crash' => sub { $node->stop('immediate'); $node->start } ],
	[ 'stall worker' => sub {
		my $p = some_pid(q{backend_type LIKE 'streamproc worker%'}) // return;
		kill 'STOP', $p; select undef, undef, undef, 0.7; kill 'CONT', $p } ],
	[ 'checkpoint' => sub { quietly('CHECKPOINT') } ],
	[ 'vacuum full' => sub { quietly('SET lock_timeout = 2000; VACUUM FULL event; VACUUM FULL event_1m; VACUUM part_1m') } ],
	[ 'add column' => sub { quietly('SET lock_timeout = 2000; ALTER TABLE event ADD COLUMN more_' . $extra . ' int DEFAULT 7;') } ],
	[ 'new window' => sub {
		my $source = $sources[ rand @sources ];
		my $name = "${source}_new_" . ++$extra;
		quietly(qq{SET lock_timeout = 2000; SELECT streamproc.create_window('$name', '$source', kind => 'tumbling',
			size => '1 minute', keys => ARRAY['key'], aggregates => $aggregates)}) } ]);

while (time < $deadline)
{
	my $action = $actions[ rand @actions ];
	$done{ $action->[0] }++;
	$action->[1]->();
	select undef, undef, undef, 0.3 + rand(1.5);
}
waitpid $_, 0 for @writers;
note(join ', ', map { "$_: $done{$_}" } sort keys %done);

# Let the dust settle: end what is still prepared, then read everything.
$node->poll_query_until('postgres', 'SELECT true') or die 'the server did not come back';
worker_pid($node);
my $left = $node->safe_psql('postgres', 'SELECT string_agg(gid, $$ $$ ORDER BY gid) FROM pg_prepared_xacts');
srand($seed + 99);
$node->safe_psql('postgres', (rand() < 0.5 ? 'COMMIT' : 'ROLLBACK') . " PREPARED '$_'") for split ' ', $left;
wait_for($node);
is($node->safe_psql('postgres', q{SELECT count(*) FROM streamproc.status WHERE state <> 'running'}), '0',
	'every object is running');

for my $source (@sources)
{
	my $table = $oracle{$source};
	my $n = $node->safe_psql('postgres', "SELECT count(*) FROM $table");
	cmp_ok($n, '>', 100, "$source: $n rows were written");

	# Every row was seen once, those of one writer in the order written.
	is( differences($node, 'postgres', "SELECT event_id, key, value, event_time FROM ${source}_log",
			"SELECT id, key, value, ts FROM $table"),
		0, "$source: every row was scored once");
	# COPY into a partitioned table writes partition by partition: the order is that within each.
	is( $node->safe_psql('postgres', "
			SELECT count(*) FROM (
				SELECT event_id < lag(event_id) OVER (PARTITION BY t.tableoid, l.writer ORDER BY lsn, ordinal) AS back
				FROM ${source}_log l JOIN $table t ON t.id = l.event_id WHERE NOT l.prepared) o WHERE back"),
		0, "$source: in the order written");
	is($node->safe_psql('postgres', "SELECT ewma_check('${source}_log', 0.1, 5)"), 0,
		"$source: scores are those of plain SQL in that order");
	is($node->safe_psql('postgres', "SELECT count(*) FROM ${source}_log WHERE is_anomaly IS DISTINCT FROM (score > 2.5)
			AND score IS DISTINCT FROM 2.5"), 0, "$source: flags follow the threshold");

	is( differences($node, 'postgres', "SELECT event_id, alerts::text, event_time FROM ${source}_rule",
			"SELECT id, (CASE WHEN value > 900 THEN '{High}' ELSE '{\"Low in six\"}' END)::text, ts FROM $table
			WHERE value > 900 OR key = 6 AND value < 100"),
		0, "$source: every rule alert, once");
	is( differences($node, 'postgres', "SELECT writer, n, total, last FROM ${source}_sums",
			"SELECT writer, count(*), sum(value::numeric), max(id) FROM $table GROUP BY 1"),
		0, "$source: running totals");

	# Which rows had to be late, from the order of commits: the watermark moves at commits.
	my $late = "
		WITH commit AS (SELECT lsn, max(event_time) AS latest FROM ${source}_log GROUP BY lsn),
		mark AS (SELECT lsn, max(latest) OVER (ORDER BY lsn ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
			- interval '5 minutes' AS watermark FROM commit)
		SELECT event_id AS id FROM ${source}_log JOIN mark USING (lsn)
		WHERE date_bin('1 minute', event_time, '2000-01-03 00:00+00') + interval '1 minute' <= watermark";
	my $dead = "SELECT (row_data->>'id')::bigint FROM streamproc.rejected_row WHERE relation = '%s'::regclass";
	is(differences($node, 'postgres', sprintf($dead, "${source}_1m"), $late), 0,
		"$source: exactly the late rows are in the dead letters");
	is(differences($node, 'postgres', sprintf($dead, "${source}_final"), $late), 0,
		"$source: of the final window too");
	is($node->safe_psql('postgres', "SELECT count(*) FROM streamproc.rejected_row WHERE reason <> 'late'"), '0',
		"$source: for no other reason");

	my $closed = "date_bin('1 minute', ts, '2000-01-03 00:00+00') + interval '1 minute'
		<= (SELECT max(ts) - interval '5 minutes' FROM $table)";
	is( differences($node, 'postgres', "SELECT window_start, key, n, total, low, high FROM ${source}_final",
			minute_sql($table, "$closed AND id NOT IN ($late)")),
		0, "$source: final windows");
	is( differences($node, 'postgres', "SELECT key, n, event_time FROM ${source}_busy",
			"SELECT key, n, window_end - interval '1 microsecond' FROM ${source}_final WHERE n >= 3"),
		0, "$source: every busy window alerted once");

	my @windows = split ' ', $node->safe_psql('postgres', "SELECT relname FROM streamproc.window_definition w
		JOIN pg_class c ON c.oid = w.relation WHERE relname ~ '^${source}_(1m|new_)' ORDER BY 1");
	for my $window (@windows)
	{
		next if $source eq 'click' && $window =~ /new/;    # begins when it was created: nothing to compare with
		is( differences($node, 'postgres', "SELECT window_start, key, n, total, low, high FROM $window",
				minute_sql($table, 'id NOT IN (' . sprintf($dead, $window) . ')')),
			0, "$source: $window");
		is($node->safe_psql('postgres', "SELECT v FROM streamproc.verify('$window') v"), '', "verify('$window')")
		  if $source ne 'click';
	}
}

unlike(slurp_file($node->logfile), qr/PANIC|TRAP|terminated by signal (?:4|6|7|8|11)\b/, 'no crash of our own');
$node->stop;
done_testing();
