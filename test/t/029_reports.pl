# What shields refuse is reported, each row once, whatever state the stream and the detector are in, over kills at any
# moment; where it can't be, that is told.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use StreamprocTest;

my $node = new_cluster('reports', conf => <<'CONF');
streamproc.debug_points = on
streamproc.checkpoint_interval = 1
CONF
my $last = 0;	# number of the last row that was offered
my %refused;	# by table

$node->safe_psql('postgres', <<'SQL');
CREATE TABLE pay (id int, amount float8, ts timestamptz, words text);
CREATE TABLE buy (LIKE pay);
-- Rows with these numbers, each in a subtransaction; returns how many are in.
CREATE FUNCTION offer(relation text, first int, last int, words text DEFAULT NULL) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	n int := 0;
BEGIN
	FOR i IN first .. last LOOP
		BEGIN
			EXECUTE format('INSERT INTO %I VALUES ($1, 5000, $2, $3)', relation) USING i, now(), words;
			n := n + 1;
		EXCEPTION WHEN check_violation THEN NULL;
		END;
	END LOOP;
	RETURN n;
END $$;
SQL

# A stream with a shield that refuses all that is large.
sub create_shield
{
	my ($table, $detector) = @_;
	$node->safe_psql('postgres', qq{
		SELECT streamproc.create_stream('$table', time_column => 'ts', idle_timeout => '1 day');
		SELECT streamproc.create_detector('$detector', '$table', method => 'rule', rules => ARRAY['amount > 1000 AS large'],
			carry => ARRAY['id AS row_id', 'words'], notify => 'refusals');
		SELECT streamproc.enforce('$detector')});
	return;
}

# Rows that are refused, in one session.
sub refuse
{
	my ($table, $n, $note) = @_;
	my ($first, $until) = ($last + 1, $last + $n);
	my $argument = defined $note ? ", $note" : '';

	is($node->safe_psql('postgres', "SELECT offer('$table', $first, $until$argument)"), '0', "$n rows are refused") if $n > 1;
	$node->safe_psql('postgres', "SELECT offer('$table', $first, $until$argument)") if $n == 1;
	push @{ $refused{$table} }, $first .. $until;
	$last = $until;
	return;
}

# Has the result table what was refused, each row once?
sub is_exact
{
	my ($table, $detector, $what) = @_;
	my $found = $node->safe_psql('postgres', "SELECT coalesce(string_agg(row_id::text, ' ' ORDER BY row_id), '') FROM $detector");

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($found, join(' ', @{ $refused{$table} // [] }), $what);
	return;
}

sub hint_of
{
	my ($table) = @_;
	my (undef, undef, $stderr) = $node->psql('postgres', "INSERT INTO $table VALUES (0, 5000, now())");
	return $stderr =~ /HINT:  (.*)/ ? $1 : $stderr;
}

sub state_of
{
	my ($name) = @_;
	return $node->safe_psql('postgres', "SELECT state FROM streamproc.status WHERE name = '$name'::regclass");
}

# Without a slot, and while it is created, nobody can read of a refusal later: the error tells.
my $writer = $node->background_psql('postgres', on_error_die => 1);
$writer->query_safe('CREATE TABLE unrelated (i int); BEGIN; INSERT INTO unrelated VALUES (1);');
create_shield('pay', 'large');
$node->poll_query_until('postgres', q{SELECT state = 'creating slot' FROM streamproc.worker});
like(hint_of('pay'), qr/may go unreported/, 'no slot: the error tells');
$writer->query_safe('COMMIT;');
$writer->quit;
wait_for($node);
is_exact('pay', 'large', 'what was refused before isn\'t there');
like(hint_of('pay'), qr/is reported/, 'a slot: it is reported');
wait_for($node);
is($node->safe_psql('postgres', 'DELETE FROM large WHERE row_id = 0 RETURNING 1'), '1', 'and it is');

# New: the worker hasn't met the stream.
$node->safe_psql('postgres', 'SELECT streamproc.stop()');
create_shield('buy', 'large_buy');
refuse('buy', 3);
like(hint_of('buy'), qr/is reported/, 'a new stream: the error tells');
push @{ $refused{buy} }, 0;
@{ $refused{buy} } = sort { $a <=> $b } @{ $refused{buy} };
refuse('pay', 3);
$node->safe_psql('postgres', 'SELECT streamproc.start()');
wait_for($node);
is_exact('buy', 'large_buy', 'a new stream');
is_exact('pay', 'large', 'and one that was there');

# The transaction that makes the detector refuses rows, and ends later; or is rolled back.
my $maker = $node->background_psql('postgres', on_error_die => 1);
$maker->query_safe(q{
	BEGIN; CREATE TABLE own (LIKE pay);
	SELECT streamproc.create_stream('own', time_column => 'ts', idle_timeout => '1 day');
	SELECT streamproc.create_detector('large_own', 'own', method => 'rule', rules => ARRAY['amount > 1000 AS large'],
		carry => ARRAY['id AS row_id']);
	SELECT streamproc.enforce('large_own'); SELECT offer('own', 1, 3);});
refuse('pay', 2);
wait_for($node);
is_exact('pay', 'large', 'the others don\'t wait for an open transaction');
kill_worker($node);
# the crash has ended the transaction
eval { $maker->quit };
refuse('pay', 1);
wait_for($node);
is_exact('pay', 'large', 'of a detector that never was there is nothing to report');
$maker = $node->background_psql('postgres', on_error_die => 1);
$maker->query_safe(q{
	BEGIN; CREATE TABLE own (LIKE pay);
	SELECT streamproc.create_stream('own', time_column => 'ts', idle_timeout => '1 day');
	SELECT streamproc.create_detector('large_own', 'own', method => 'rule', rules => ARRAY['amount > 1000 AS large'],
		carry => ARRAY['id AS row_id']);
	SELECT streamproc.enforce('large_own'); SELECT offer('own', 1, 3);});
wait_for($node);
$maker->query_safe('COMMIT;');
$maker->quit;
wait_for($node);
is($node->safe_psql('postgres', 'SELECT array_agg(row_id ORDER BY row_id) FROM large_own'), '{1,2,3}', 'the detector\'s own transaction');

# Kills at every point, in every state.  Checkpoints come each second.
sub kill_at
{
	my ($point, $what) = @_;
	my $pid = worker_pid($node);
	my $armed = $node->data_dir . "/streamproc_debug/$point";
	my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;

	arm_debug_point($node, $point, 'kill');
	while (-e $armed)
	{
		die "debug point $point was not reached" if time > $deadline;
		# the session may be one of those that the crash takes along: its message is there, or it isn't
		my $number = ++$last;
		$node->psql('postgres', "SELECT offer('pay', $number, $number)");
		push @{ $refused{maybe} }, $number;
	}
	isnt(worker_pid($node, 'postgres', $pid), $pid, "$what, $point: the worker is back");
	$node->poll_query_until('postgres', 'SELECT true');
	refuse('pay', 2);
	wait_for($node);

	# of the sessions above only the last may have been cut short
	my $doubtful = pop @{ $refused{maybe} };
	my $is_there = $node->safe_psql('postgres', "SELECT count(*) FROM large WHERE row_id = $doubtful");
	push @{ $refused{pay} }, @{ $refused{maybe} }, $is_there > 0 ? $doubtful : ();
	@{ $refused{pay} } = sort { $a <=> $b } @{ $refused{pay} };
	$refused{maybe} = [];
	is_exact('pay', 'large', "$what, $point: each is reported once");
	return;
}

my @points = qw(decoded applied before-write-commit mid-checkpoint checkpointed confirmed);
kill_at($_, 'running') foreach @points;
$node->safe_psql('postgres', q{SELECT streamproc.pause('pay')});
kill_at($_, 'paused') foreach qw(applied before-write-commit mid-checkpoint checkpointed);
is(state_of('pay'), 'paused', 'it is still paused');
$node->safe_psql('postgres', q{SELECT streamproc.resume('pay')});
wait_for($node);
is_exact('pay', 'large', 'resumed: not once more');

# A stream that can't be continued, and with it its detector.
$node->safe_psql('postgres', q{SELECT streamproc.stop();
	UPDATE streamproc.state_page SET data = '\x00' WHERE object = (SELECT id FROM streamproc.stream WHERE relation = 'pay'::regclass)});
refuse('pay', 2);
$node->safe_psql('postgres', 'SELECT streamproc.start()');
wait_for($node);
is(state_of('pay') . ' ' . state_of('large'), 'failed failed', 'the stream has failed');
is_exact('pay', 'large', 'what was refused before and after');
kill_at($_, 'failed') foreach qw(applied before-write-commit mid-checkpoint checkpointed);

# So it is where no stream at all runs, while the slot goes on.
$node->safe_psql('postgres', q{SELECT streamproc.pause('buy'); SELECT streamproc.pause('own')});
refuse('pay', 2);
refuse('buy', 2);
wait_for($node);
is_exact('pay', 'large', 'no stream runs');
is_exact('buy', 'large_buy', 'neither the other one');
my $lsn = $node->safe_psql('postgres', 'SELECT pg_current_wal_insert_lsn()');
refuse('pay', 1);
ok( $node->poll_query_until('postgres', "SELECT confirmed_flush_lsn >= '$lsn' FROM pg_replication_slots"),
	'what is reported lets the slot go on');
$node->safe_psql('postgres', qq{SELECT streamproc.resume('$_')}) foreach qw(pay buy own);
wait_for($node);
is(state_of('pay') . ' ' . state_of('large'), 'running running', 'mended and resumed');
is_exact('pay', 'large', 'not once more');
is_exact('buy', 'large_buy', 'nor of the other one');

# A result table that can't be written: status tells, others go on, the slot waits, and a crash changes nothing.
sub reason_is
{
	my ($detector, $pattern) = @_;
	return $node->poll_query_until('postgres', "SELECT coalesce(reason, '') ~ '$pattern' FROM streamproc.status WHERE name = '$detector'::regclass");
}
$node->safe_psql('postgres', <<'SQL');
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'not today'; END$$;
CREATE TRIGGER refuse BEFORE INSERT ON large FOR EACH ROW EXECUTE FUNCTION refuse();
SELECT streamproc.pause('large');
SQL
$lsn = $node->safe_psql('postgres', 'SELECT pg_current_wal_insert_lsn()');
refuse('pay', 3);
refuse('buy', 2);
ok(reason_is('large', '^paused by .*; refusals cannot be reported now: not today$'), 'status tells what can\'t be written, and that it is paused');
$node->poll_query_until('postgres', 'SELECT max(row_id) = ' . $refused{buy}[-1] . ' FROM large_buy');
is_exact('buy', 'large_buy', 'others are not held up');
$node->safe_psql('postgres', 'INSERT INTO unrelated SELECT 1 FROM generate_series(1, 1000)');
kill_worker($node);
ok(reason_is('large', 'not today'), 'again after a crash');
is($node->safe_psql('postgres', "SELECT bool_and(confirmed_flush_lsn < pg_current_wal_insert_lsn()), bool_or(state_lsn > (SELECT max(lsn) FROM large_buy))
	FROM pg_replication_slots JOIN streamproc.position USING (slot_name)"), 't|f', 'no position passes what isn\'t written');
$node->safe_psql('postgres', 'DROP TRIGGER refuse ON large');
wait_for($node);
is_exact('pay', 'large', 'then they are written');
ok(reason_is('large', '^paused by [a-z]*$'), 'and status says no more of it');
$node->safe_psql('postgres', q{SELECT streamproc.resume('large')});
wait_for($node);

# What users have deleted doesn't come again when it is read again.
$node->safe_psql('postgres', 'ALTER SYSTEM SET streamproc.checkpoint_interval = 3600; SELECT pg_reload_conf()');
$node->restart;
refuse('pay', 2);
wait_for($node);
$node->safe_psql('postgres', "DELETE FROM large WHERE row_id = $last");
pop @{ $refused{pay} };
kill_worker($node);
refuse('pay', 1);
wait_for($node);
is_exact('pay', 'large', 'what was deleted after it was reported');
$node->safe_psql('postgres', 'ALTER SYSTEM RESET streamproc.checkpoint_interval; SELECT pg_reload_conf()');

# Memory is bounded: what a table refuses for too long are dead letters, which a rebuild leaves alone.
$node->safe_psql('postgres', 'CREATE TRIGGER refuse BEFORE INSERT ON large FOR EACH ROW EXECUTE FUNCTION refuse()');
my $first = $last + 1;
refuse('pay', 3);
ok(reason_is('large', 'not today'), 'the table refuses');
refuse('pay', 1000, q{repeat('x', 20000)});
$node->poll_query_until('postgres', q{SELECT count(*) > 3 FROM streamproc.dead_letter});
$node->safe_psql('postgres', 'DROP TRIGGER refuse ON large');
wait_for($node);
is($node->safe_psql('postgres', "SELECT count(*), count(DISTINCT row_id), min(row_id), max(row_id) FROM (SELECT row_id FROM large WHERE row_id >= $first
	UNION ALL SELECT (row_data->>'row_id')::int FROM streamproc.dead_letter WHERE reason = 'refusal' AND name = 'large'::regclass) all_of_them"),
	"1003|1003|$first|$last", 'each is a result or a dead letter');
cmp_ok($node->safe_psql('postgres', q{SELECT count(*) FROM streamproc.dead_letter}), '>', 3, 'many are dead letters');
my $dead = $node->safe_psql('postgres', 'SELECT count(*) FROM streamproc.dead_letter');
$node->safe_psql('postgres', q{SELECT streamproc.pause('large')});
$node->safe_psql('postgres', q{SELECT streamproc.resume('large')});
wait_for($node);
is($node->safe_psql('postgres', 'SELECT count(*) FROM streamproc.dead_letter'), $dead, 'which stay');
$node->safe_psql('postgres', 'DELETE FROM streamproc.rejected_row');

# So are those of a table that has other columns meanwhile.
$node->safe_psql('postgres', 'SELECT streamproc.stop()');
refuse('buy', 1);
$node->safe_psql('postgres', q{ALTER TABLE large_buy DROP COLUMN words; SELECT streamproc.start()});
wait_for($node);
is($node->safe_psql('postgres', q{SELECT reason, message, row_data->>'row_id', row_data->>'alerts' FROM streamproc.dead_letter}),
	qq{refusal|the result table no longer has the columns that it had then|$last|["large"]}, 'a table with other columns');

# Whoever listens hears of each, whatever state the detector is in.
$node->safe_psql('postgres', q{SELECT streamproc.pause('pay')});
wait_for($node);
$last++;
my ($ret, $stdout, $stderr) = $node->psql('postgres',
	"LISTEN refusals; SELECT offer('pay', $last, $last); SELECT streamproc.wait_for(); SELECT max(id) FROM large;");
my ($id) = $stdout =~ /(\d+)\s*(?:Asynch.*)?\z/s;
my @heard = $stdout =~ /Asynchronous notification "refusals" with payload "(\d+)"/g;
is_deeply(\@heard, [ $node->safe_psql('postgres', "SELECT id FROM large WHERE row_id = $last") ], 'NOTIFY');

# A detector that is dropped takes what is to be told of it along; the log says so.
my $offset = -s $node->logfile;
$node->safe_psql('postgres', 'SELECT streamproc.stop()');
$node->safe_psql('postgres', "SELECT offer('pay', 1, 3); SELECT streamproc.drop_detector('large'); SELECT streamproc.start()");
wait_for($node);
like(slurp_file($node->logfile, $offset), qr/3 refusals of detector \d+ are not reported/, 'a dropped detector');

done_testing();
