# Rows of sliding windows are inserted, updated, deleted and truncated while the worker is killed: each answer is that over
# the rows that are there and came before it.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use StreamprocOracle;
use StreamprocTest;

# So little memory that transactions are streamed while they run: how their changes are gathered differs each time.
my $node = new_cluster('retract_sliding', conf => <<'CONF');
streamproc.debug_points = on
streamproc.checkpoint_interval = 1
streamproc.spool_memory = 64
logical_decoding_work_mem = 64kB
CONF
my $seed = 1;

# An event has come when it was inserted and when it was updated, unless it then has the time and the key that it had when
# the transaction began, and was counted then. Times are those of one row only.
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE event (id int PRIMARY KEY, came bigint, began jsonb, txn bigint, key int, value int, weight numeric, note text,
	ts timestamptz NOT NULL);
ALTER TABLE event REPLICA IDENTITY FULL, ALTER note SET STORAGE EXTERNAL;
CREATE SEQUENCE comings;
CREATE SEQUENCE ids;
CREATE FUNCTION note_coming() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF TG_OP = 'INSERT' THEN
		NEW.began := NULL;
	ELSIF OLD.txn <> txid_current() THEN
		NEW.began := CASE WHEN OLD.value % 11 <> 0 THEN to_jsonb(OLD) - 'began' - 'note' END;
	END IF;
	NEW.txn := txid_current();
	NEW.came := CASE WHEN NEW.ts = (NEW.began->>'ts')::timestamptz AND NEW.key = (NEW.began->>'key')::int THEN (NEW.began->>'came')::bigint
		ELSE nextval('comings') END;
	RETURN NEW;
END $$;
CREATE TRIGGER note_coming BEFORE INSERT OR UPDATE ON event FOR EACH ROW EXECUTE FUNCTION note_coming();
SELECT streamproc.create_stream('event', time_column => 'ts', watermark => '10 seconds', idle_timeout => '1 day', on_update => 'retract');
SELECT streamproc.create_window('native', 'event', kind => 'sliding', size => '1 minute', grace => '10 days', keys => '{key}',
	carry => '{id AS event}', filter => 'value % 11 <> 0', aggregates => '{count(*) AS n, sum(value) AS total, max(value) AS high}');
SELECT streamproc.create_window('generic', 'event', kind => 'sliding', size => '1 minute', grace => '10 days', keys => '{key}',
	carry => '{id AS event}', filter => 'value % 11 <> 0', trigger => '1 hour',
	aggregates => '{count(*) AS n, sum(weight) AS weight, "array_agg(value ORDER BY value) AS list", count(DISTINCT note) AS notes}');
SELECT streamproc.create_detector('seen', 'native', method => 'rule', rules => ARRAY['true AS "Seen"'], carry => '{event AS event, n AS n, total AS total}');

-- One transaction that changes the table in all ways; a part of it is taken back.
CREATE PROCEDURE change(seed int) LANGUAGE plpgsql AS $$
DECLARE
	first int;
	newest timestamptz;
BEGIN
	PERFORM setseed(seed % 1000 / 1000.0);
	FOR i IN 1 .. 4 LOOP
		first := floor(random() * 40);
		newest := date_trunc('second', coalesce((SELECT max(ts) FROM event), '2026-01-01 00:00+00'));
		INSERT INTO event (id, key, value, weight, note, ts)
			SELECT id, id % 4, random() * 100, round((random() * 10)::numeric, id % 3), repeat(md5(id::text), id % 5 * 100),
				newest + floor(random() * 30 - 20) * interval '1 second' + id % 1000000 * interval '1 microsecond'
			FROM (SELECT nextval('ids')::int AS id FROM generate_series(1, 12)) g;
		UPDATE event SET value = value + 1 WHERE id % 40 BETWEEN first AND first + 4;
		UPDATE event SET value = value + 1, key = (key + 1) % 4 WHERE id % 40 = first + 2;
		UPDATE event SET ts = ts - interval '7 seconds', note = NULL WHERE id % 37 = first % 37;
		DELETE FROM event WHERE id % 40 = first + 1;
		BEGIN
			DELETE FROM event WHERE id % 2 = 0;
			UPDATE event SET value = 0;
			IF random() < 0.9 THEN
				RAISE EXCEPTION 'never mind';
			END IF;
		EXCEPTION WHEN raise_exception THEN
			DELETE FROM event WHERE ts < newest - interval '2 minutes';
		END;
		IF random() < 0.02 THEN
			TRUNCATE event;
		END IF;
	END LOOP;
END
$$;
CREATE VIEW expected AS
	SELECT e.ts - interval '1 minute' AS window_start, e.ts AS window_end, key, id AS event, a.* FROM event e CROSS JOIN LATERAL (
		SELECT count(*) AS n, sum(value) AS total, max(value) AS high, sum(weight) AS weight, array_agg(value ORDER BY value) AS list,
			count(DISTINCT note) AS notes
		FROM event b WHERE b.value % 11 <> 0 AND b.key = e.key AND b.came <= e.came AND b.ts <= e.ts AND b.ts > e.ts - interval '1 minute') a
	WHERE e.value % 11 <> 0;
SQL
wait_for($node);

sub load
{
	# The worker may be down, or go down.
	$node->psql('postgres', 'CALL change(' . $seed++ . ')');
	return;
}

sub results_ok
{
	my ($what) = @_;

	wait_for($node);
	my $wrong = '';
	for my $check (
		[ 'native', 'window_start, window_end, key, event, n, total, high' ],
		[ 'generic', 'window_start, window_end, key, event, n, weight, list, notes' ])
	{
		my $n = differences($node, 'postgres', "SELECT $check->[1] FROM $check->[0]", "SELECT $check->[1] FROM expected");
		$wrong .= "$check->[0] differs in $n rows; " if $n != 0;
	}
	my $unwell = unwell($node) + $node->safe_psql('postgres', 'SELECT count(*) - count(DISTINCT (lsn, ordinal)) FROM seen');
	$wrong .= "$unwell objects or rows are not well; " if $unwell != 0;
	is($wrong, '', "$what: results are those of plain SQL");
	return;
}

load() for 1 .. 5;
results_ok('at first');
cmp_ok($node->safe_psql('postgres', q{SELECT sum(retracted) FROM streamproc.status}), '>', 200, 'rows are taken back');
cmp_ok($node->safe_psql('postgres', 'SELECT max(n) FROM native'), '>', 3, 'windows have several events');

for my $point ('decoded', 'before-write-commit', 'applied', 'checkpoint-slice', 'mid-checkpoint', 'checkpointed', 'confirmed')
{
	load_until_killed($node, $point, \&load);
	results_ok("killed at $point");
}

# Twice in a row, the second time while it catches up.
load_until_killed($node, 'applied', \&load);
load_until_killed($node, 'before-write-commit', \&load);
results_ok('killed again while catching up');

# What reads the window has had what it would have had without: as many events as came, each as it was then.
is( $node->safe_psql('postgres', q{SELECT count(*) FROM native n WHERE NOT EXISTS (SELECT FROM seen s WHERE s.event = n.event)}),
	'0', 'what reads the window has had every event');

# One that is built from the table has the rows as they are there, and goes on from it.
$node->safe_psql('postgres', q{SELECT streamproc.create_window('later', 'event', kind => 'sliding', size => '1 minute', grace => '10 days',
	keys => '{key}', carry => '{id AS event}', filter => 'value % 11 <> 0', aggregates => '{count(*) AS n}')});
load() for 1 .. 3;
wait_for($node);
is( differences($node, 'postgres', 'SELECT event, window_end FROM later', 'SELECT event, window_end FROM expected'),
	0, 'a window that is created later has an answer for each row');
is($node->safe_psql('postgres', q{SELECT count(*) FROM streamproc.verify('later') WHERE explained_by IS NULL}), '0', 'and the right ones');

# The machine fails, and nothing more is changed: what is done is done.
$node->psql('postgres', 'BEGIN; CALL change(7); TRUNCATE event; CALL change(8); COMMIT');
crash($node);
results_ok('after a crash');

$node->stop;
done_testing();
