# Windows close when no input comes any more: by the clock, also after a restart, and never before their time.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use StreamprocTest;

my $node = new_cluster('idle', conf => <<'CONF');
streamproc.checkpoint_interval = 1
CONF

sub sql { return $node->safe_psql('postgres', $_[0]) }
sub poll_ok { my ($query, $what) = @_; return ok($node->poll_query_until('postgres', $query), $what) }

# A stream and its window, with a table of the times at which rows were written.
sub declare_stream
{
	my ($name, $type, $size, $settings, $more) = @_;
	sql(<<"SQL");
CREATE TABLE $name (id int, ts $type, written timestamptz DEFAULT clock_timestamp());
SELECT streamproc.create_stream('$name', 'ts', $settings);
SELECT streamproc.create_window('${name}_window', '$name', kind => 'tumbling', size => '$size',
	aggregates => ARRAY['count(*) AS n']$more);
SELECT streamproc.wait_for();
SQL
	return;
}

# Old data: the clock goes on from there by the time that has passed, not to the present.
declare_stream('old', 'timestamptz', '1 second', "watermark => '0', idle_timeout => '300 milliseconds'", '');
sql(q{INSERT INTO old VALUES (1, '2020-01-01 10:00:00.2+00')});
poll_ok(q{SELECT is_final FROM old_window}, 'the window of old data closes without any input');
is(sql(q{SELECT clock_timestamp() - written >= interval '0.8 seconds' FROM old}), 't', 'when as much time has passed');
is(sql(q{SELECT streamproc.wait_for(); SELECT watermark >= '2020-01-01 10:00:01+00' AND watermark < '2020-01-01 10:05+00'
	FROM streamproc.status WHERE name = 'old_window'::regclass}), "\nt", 'the watermark stays with the data');

# What is newer than all before is not late, whatever the clock has closed; what is older is.
sql(q{INSERT INTO old VALUES (2, '2020-01-01 10:00:00.5+00')});
sql(q{INSERT INTO old VALUES (3, '2020-01-01 10:00:00.3+00')});
sql(q{SELECT streamproc.wait_for()});
is(sql(q{SELECT n, is_final, revision > 1 FROM old_window}), '2|t|t', 'newer data amend the window that the clock has closed');
is(sql(q{SELECT row_data->>'id' FROM streamproc.dead_letter WHERE name = 'old_window'::regclass}), '3', 'older data are late');
# More old data after a pause: none of it is late.
sql(q{INSERT INTO old SELECT i, '2020-01-01 10:00:01+00'::timestamptz + i * interval '10 milliseconds' FROM generate_series(1, 500) i});
sql(q{SELECT streamproc.wait_for()});
is(sql(q{SELECT sum(n), count(*) FROM old_window}), '502|7', 'old data that are loaded after a pause are not late');
poll_ok(q{SELECT bool_and(is_final) FROM old_window}, 'and close again');
is(sql(q{SELECT count(*) FROM streamproc.verify('old_window')}), 0, 'verify() agrees');

# The present, and a row that is ahead by less than max_future: not before its window has ended, and the delay.
declare_stream('present', 'timestamptz', '1 second', "watermark => '500 milliseconds', idle_timeout => '100 milliseconds'",
	", emit => 'final'");
sql(q{INSERT INTO present VALUES (1, clock_timestamp()), (2, clock_timestamp() + interval '2 seconds')});
poll_ok(q{SELECT count(*) = 2 FROM present_window}, 'windows of the present close');
is(sql(q{SELECT clock_timestamp() >= max(window_end) + interval '500 milliseconds' FROM present_window}), 't',
	'not before they have ended, and the delay has passed');
is(sql(q{SELECT watermark <= clock_timestamp() - interval '500 milliseconds' FROM streamproc.status WHERE name = 'present'::regclass}),
	't', 'the watermark is never ahead of the clock');

# Times without zone are those of the stream's zone; without a time column it is that of the commit.
declare_stream('berlin', 'timestamp', '1 second', "watermark => '0', idle_timeout => '100 milliseconds', time_zone => 'Asia/Kathmandu'", '');
sql(q{INSERT INTO berlin VALUES (1, clock_timestamp() AT TIME ZONE 'Asia/Kathmandu')});
poll_ok(q{SELECT is_final FROM berlin_window}, 'windows of local time close');
is(sql(q{SELECT clock_timestamp() AT TIME ZONE 'Asia/Kathmandu' >= window_end FROM berlin_window}), 't', 'not before their time');
sql(<<'SQL');
CREATE TABLE note (word text);
SELECT streamproc.create_stream('note', watermark => '0', idle_timeout => '100 milliseconds');
SELECT streamproc.create_window('note_window', 'note', kind => 'tumbling', size => '1 second', aggregates => ARRAY['count(*) AS n']);
SELECT streamproc.create_detector('note_final', 'note_window', method => 'rule', rules => ARRAY['n > 0 AS "Some"'], carry => ARRAY['n']);
SELECT streamproc.wait_for();
INSERT INTO note VALUES ('a'), ('b');
SQL
poll_ok(q{SELECT count(*) = 1 FROM note_final}, 'windows of commit times close, and what reads them hears of it');
is(sql(q{SELECT n, clock_timestamp() >= window_end FROM note_window}), '2|t', 'not before their time');

# Far ahead, and at no time: nothing moves, nothing is stuck.
declare_stream('ahead', 'timestamptz', '1 second', "watermark => '0', idle_timeout => '100 milliseconds'", '');
sql(q{INSERT INTO ahead VALUES (1, '3000-01-01'), (2, 'infinity'), (3, '-infinity'), (4, NULL)});
sql(q{SELECT streamproc.wait_for()});
is(sql(q{SELECT watermark FROM streamproc.status WHERE name = 'ahead_window'::regclass}), '', 'a row far ahead moves no watermark');
sql(q{INSERT INTO ahead VALUES (5, '2020-01-01 10:00:00.5+00')});
poll_ok(q{SELECT is_final FROM ahead_window WHERE window_start = '2020-01-01 10:00+00'}, 'windows of ordinary rows close beside it');
is(sql(q{SELECT count(*) FROM ahead_window WHERE is_final AND window_start > '2021-01-01'}), 0, 'its own does not');
is(sql(q{SELECT count(*) FROM streamproc.verify('ahead_window')}), 0, 'verify() agrees');

# Nothing is left to close: nobody writes to the WAL.
my $lsn;
my $grown = -1;
for (1 .. 50)
{
	# a window that closes is a second without input for the others
	sql(q{INSERT INTO note VALUES ('c')});
	poll_ok(q{SELECT bool_and(is_final) FROM note_window}, 'closed');
	$grown = sql("SELECT pg_current_wal_lsn() - '$lsn'") if defined $lsn;
	last if $grown >= 0 && $grown < 100000;
	$lsn = sql('SELECT pg_current_wal_lsn()');
}
cmp_ok($grown, '<', 100000, 'idle streams write next to nothing');

# A restart, and a crash, with a window open and no input afterwards.
for my $case ([ 'restart', sub { $node->restart } ], [ 'crash', sub { crash($node) } ], [ 'kill', sub { kill_worker($node) } ])
{
	my ($what, $act) = @$case;
	declare_stream($what, 'timestamptz', '3 seconds', "watermark => '0', idle_timeout => '300 milliseconds'", '');
	sql("INSERT INTO $what VALUES (1, '2020-01-01 10:00:00+00')");
	sql('SELECT streamproc.wait_for()');
	is(sql("SELECT n, is_final FROM ${what}_window"), '1|f', "$what: the window is open");
	$act->();
	poll_ok("SELECT is_final FROM ${what}_window", "$what: it closes without any input");
	is(sql("SELECT clock_timestamp() - written >= interval '3 seconds' FROM $what"), 't', "$what: not before its time");
}

$node->stop;
done_testing();
