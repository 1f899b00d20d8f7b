# Anyone may write logical messages. Whatever an ordinary role writes under our prefix changes nothing.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use StreamprocOracle;
use StreamprocTest;

my $node = new_cluster('messages');

$node->safe_psql('postgres', <<'SQL');
CREATE TABLE click (id bigint, key int, value float8, note text, ts timestamptz) USING streamproc;
SELECT streamproc.create_stream('click', time_column => 'ts');
SELECT streamproc.create_window('click_1m', 'click', kind => 'tumbling', size => '1 minute',
	keys => ARRAY['key'], aggregates => ARRAY['count(*) AS n', 'sum(value) AS total', 'max(note) AS note']);
SELECT streamproc.create_detector('click_rule', 'click', method => 'rule',
	rules => ARRAY['value > 0 AS "Seen"'], carry => ARRAY['id AS event_id']);
SELECT streamproc.create_window('click_total', 'click', kind => 'global', aggregates => ARRAY['count(*) AS n']);
SELECT streamproc.wait_for();
SELECT pg_create_logical_replication_slot('spy', 'test_decoding');
CREATE ROLE mallory LOGIN;
CREATE SCHEMA loot;
CREATE TABLE loot.message (id serial, transactional bool, content bytea);
GRANT USAGE ON SCHEMA loot TO mallory;
GRANT SELECT ON loot.message TO mallory;
SQL

# Real messages of every kind: rows with and without nulls, a definition, a tick if there is one.
$node->safe_psql('postgres', <<'SQL');
INSERT INTO click SELECT i, i % 3, i, 'note ' || i, '2026-01-01 00:00+00'::timestamptz + i * interval '1 second'
FROM generate_series(1, 200) i;
INSERT INTO click VALUES (201, NULL, 201, NULL, '2026-01-01 00:03:30+00');
SELECT streamproc.create_window('click_later', 'click', kind => 'global', aggregates => ARRAY['count(*) AS n']);
SELECT streamproc.wait_for();
SQL
$node->safe_psql('postgres', <<'SQL');
INSERT INTO loot.message (transactional, content)
SELECT position('transactional: 1'::bytea IN data) > 0,
	substr(data, position('content:'::bytea IN data) + 8)
FROM pg_logical_slot_get_binary_changes('spy', NULL, NULL, 'force-binary', '1', 'skip-empty-xacts', '1')
WHERE data LIKE 'message:%prefix: streamproc%'::bytea;
SELECT pg_drop_replication_slot('spy');
SQL
cmp_ok($node->safe_psql('postgres', 'SELECT count(*) FROM loot.message'), '>=', 3, 'have real messages to forge from');

my $state = q{
	SELECT (SELECT json_agg(c ORDER BY window_start, key)::text FROM click_1m c)
		|| (SELECT json_agg(c ORDER BY id)::text FROM click_rule c)
		|| (SELECT json_agg(t)::text FROM click_total t)};
my $before = $node->safe_psql('postgres', $state);
like($before, qr/"note 99".*"n":201/s, 'have results to watch');
my $worker = worker_pid($node);
my $log_start = -s $node->logfile;

# attack(WHAT, QUERY): emits what the query returns (transactional, content), as mallory, each its own transaction.
sub attack
{
	my ($what, $query) = @_;

	$node->safe_psql('postgres', <<"SQL", extra_params => [ '-U', 'mallory' ]);
SELECT format('SELECT pg_logical_emit_message(%L, %L, %L::bytea)', transactional, 'streamproc', content)
FROM ($query) forged (transactional, content)
\\gexec
SQL
	$node->safe_psql('postgres', 'SELECT streamproc.wait_for()');
	is($node->safe_psql('postgres', $state), $before, "$what: nothing changed");
	is(worker_pid($node), $worker, "$what: the worker didn't notice");
	return;
}

attack('repeated in another transaction', 'SELECT transactional, content FROM loot.message');
attack('repeated outside a transaction', 'SELECT NOT transactional, content FROM loot.message');
attack('truncated', q{
	SELECT transactional, substr(content, 1, n) FROM (SELECT * FROM loot.message ORDER BY id LIMIT 3) m,
		generate_series(0, least(length(content), 300), 3) n});
attack('a bit flipped', q{
	SELECT transactional, set_bit(content, n, 1 - get_bit(content, n))
	FROM (SELECT * FROM loot.message ORDER BY id LIMIT 3) m,
		generate_series(0, least(8 * length(content), 1000)::int - 1, 7) n});
attack('a byte more', q{SELECT transactional, content || '\x00' FROM loot.message});
attack('huge lengths', q{
	SELECT transactional, overlay(content PLACING '\xffffff7f'::bytea FROM n FOR 4)
	FROM (SELECT * FROM loot.message ORDER BY id LIMIT 3) m, generate_series(1, least(length(content), 100) - 4, 4) n});
attack('noise', q{
	SELECT i % 2 = 0, decode(repeat(md5(i::text), i % 20), 'hex') FROM generate_series(1, 200) i});
attack('empty', q{SELECT t, ''::bytea FROM (VALUES (true), (false)) v (t)});

# One megabyte, and in the same transaction as real rows.
$node->safe_psql('postgres', <<'SQL', extra_params => [ '-U', 'mallory' ]);
SELECT pg_logical_emit_message(true, 'streamproc', repeat('x', 1000000));
SQL
$node->safe_psql('postgres', <<'SQL');
BEGIN;
INSERT INTO click VALUES (300, 1, 300, 'last', '2026-01-01 00:02:59.5+00');
SELECT pg_logical_emit_message(true, 'streamproc', content) FROM loot.message WHERE transactional;
INSERT INTO click VALUES (301, 1, 301, 'last', '2026-01-01 00:02:59.6+00');
COMMIT;
SELECT streamproc.wait_for();
SQL
is($node->safe_psql('postgres', 'SELECT string_agg(event_id::text, $$,$$ ORDER BY id) FROM click_rule WHERE event_id >= 201'),
	'201,300,301', 'real rows among forged messages arrive, once');
is($node->safe_psql('postgres', 'SELECT n FROM click_total'), '203', 'and are counted once');
is(worker_pid($node), $worker, 'by the same worker');

# The key that would be needed is nobody's to read.
for my $role ('mallory', 'pg_read_all_data')
{
	my $got = '';
	$node->psql('postgres', "SET ROLE $role; SELECT count(*) FROM streamproc.secret", stdout => \$got)
	  if $role eq 'mallory' or $node->safe_psql('postgres', "SELECT 1 FROM pg_roles WHERE rolname = '$role'");
	ok($got eq '' || $got eq '0', "$role can't see the key");
}
unlike(slurp_file($node->logfile, $log_start), qr/PANIC|terminated by signal|could not (?:read|decode)/,
	'nothing alarming in the log');

$node->stop;
done_testing();
