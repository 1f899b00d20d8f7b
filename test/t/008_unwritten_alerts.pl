# Alerts that can't be written yet survive the activation of another object, and a crash after it.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use StreamprocTest;

my $node = new_cluster('unwritten_alerts');

$node->safe_psql('postgres', <<'SQL');
CREATE TABLE event (id int, ts timestamptz);
SELECT streamproc.create_stream('event', time_column => 'ts', idle_timeout => '1 day');
SELECT streamproc.create_detector('hit', 'event', method => 'rule', rules => ARRAY['id > 0 AS "Some"'],
	carry => ARRAY['id AS event_id']);
SELECT streamproc.wait_for();
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'refused'; END$$;
CREATE TRIGGER refuse BEFORE INSERT ON hit FOR EACH ROW EXECUTE FUNCTION refuse();
INSERT INTO event SELECT g, now() FROM generate_series(1, 10) g;
SQL
$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM streamproc.object_state WHERE reason LIKE '%refused%'});
$node->safe_psql('postgres', q{
	SELECT streamproc.create_window('total', 'event', kind => 'global', aggregates => ARRAY['count(*) AS n'])});
my $lsn = $node->safe_psql('postgres', 'SELECT pg_current_wal_insert_lsn()');
$node->poll_query_until('postgres', "SELECT applied_lsn >= '$lsn' FROM streamproc.worker");
$node->stop('immediate');
$node->start;
$node->safe_psql('postgres', 'DROP TRIGGER refuse ON hit; SELECT streamproc.wait_for()');
is($node->safe_psql('postgres', 'SELECT count(*), count(DISTINCT event_id) FROM hit'), '10|10',
	'every alert, once');
is($node->safe_psql('postgres', 'SELECT n FROM total'), '10', 'the new window has every row');

done_testing();
