# Two streams with history, objects of every kind over them, and what their results have to be, by plain SQL.

package StreamprocBackfill;

use strict;
use warnings;

use Exporter 'import';
use StreamprocOracle;

our @EXPORT = qw(declare_streams first_objects insert_sql create_sql faults);

my $aggregates = minute_aggregates();
my $minute_start = q{date_bin('1 minute', ts, '2000-01-03 00:00+00')};

# How to create an object of each kind; NAME and SOURCE are replaced.
my %definitions = (
	minute => qq{create_window('NAME', 'SOURCE', kind => 'tumbling', size => '1 minute', keys => ARRAY['key'],
		aggregates => $aggregates},
	final => qq{create_window('NAME', 'SOURCE', kind => 'tumbling', size => '1 minute', keys => ARRAY['key'],
		aggregates => $aggregates, emit => 'final', trigger => '300 milliseconds'},
	total => q{create_window('NAME', 'SOURCE', kind => 'global', keys => ARRAY['key'],
		aggregates => ARRAY['count(*) AS n', 'sum(value) AS total']},
	rule => q{create_detector('NAME', 'SOURCE', method => 'rule', rules => ARRAY['value > 950 AS "Too high"'],
		carry => ARRAY['id AS event_id']},
	log => q{create_detector('NAME', 'SOURCE', method => 'ewma', value => 'value', keys => ARRAY['key'],
		params => '{"alpha": 0.1, "warmup": 5}', carry => ARRAY['id AS event_id'], store => 'all'},
	busy => q{create_detector('NAME', 'SOURCE', method => 'rule', rules => ARRAY['n > 1 AS "Busy"'], carry => ARRAY['n']},
	busy_log => q{create_detector('NAME', 'SOURCE', method => 'ewma', value => 'n',
		params => '{"alpha": 0.1, "warmup": 5}', store => 'all'});

# The call that creates an object of a kind; busy and busy_log have a window for source.
sub create_sql
{
	my ($kind, $name, $source, $more) = @_;
	my $call = $definitions{$kind} // die "no kind \"$kind\"";

	$call =~ s/NAME/$name/;
	$call =~ s/SOURCE/$source/;
	return "SELECT streamproc.$call" . (defined $more ? ", $more" : '') . ");\n";
}

# So many rows of all keys, spread in disorder over a range of time, both in minutes.
sub insert_sql
{
	my ($table, $n, $start, $length) = @_;
	return "INSERT INTO $table (key, value, ts) SELECT * FROM some_rows($n, $start, $length);\n";
}

# The objects that declare_streams() makes: [kind, name, source] of each.
sub first_objects
{
	my @objects;
	for my $table ('event', 'part')
	{
		push @objects, map { [ $_, "${table}_$_", $table ] } 'minute', 'final', 'rule', 'log';
	}
	return @objects;
}

# Declares the streams event, an ordinary table, and part, a partitioned one, each with 2,000 rows in 200 minutes, and
# objects that live from the start: event_log knows every row's place in the order of commits.
sub declare_streams
{
	my ($node, $dbname, $settings) = @_;
	my $sql = <<'SQL';
CREATE FUNCTION some_rows(n int, start float8, length float8) RETURNS TABLE (key int, value float8, ts timestamptz)
LANGUAGE sql AS $$
	SELECT i % 7, i * 7919 % 1000,
		'2026-01-01 00:00+00'::timestamptz + (start + length * (i * 7919 % n) / n) * interval '1 minute'
	FROM generate_series(1, n) i
$$;
CREATE SEQUENCE row_id;
CREATE TABLE event (id bigint DEFAULT nextval('row_id'), key int, value float8, ts timestamptz);
CREATE TABLE part (LIKE event INCLUDING DEFAULTS) PARTITION BY LIST (key);
CREATE TABLE part_0 PARTITION OF part FOR VALUES IN (0, 1, 2);
CREATE TABLE part_1 (gone int, ts timestamptz, value float8, key int, id bigint DEFAULT nextval('row_id'));
ALTER TABLE part_1 DROP COLUMN gone;
ALTER TABLE part ATTACH PARTITION part_1 FOR VALUES IN (3, 4);
CREATE TABLE part_2 PARTITION OF part DEFAULT PARTITION BY HASH (id);
CREATE TABLE part_2a PARTITION OF part_2 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE part_2b PARTITION OF part_2 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
SQL

	$sql .= "SELECT streamproc.create_stream('$_', time_column => 'ts', $settings);\n" for 'event', 'part';
	$sql .= create_sql(@$_) for first_objects();
	ewma_oracle($node, $dbname);
	$node->safe_psql($dbname, $sql . 'SELECT streamproc.wait_for()');
	$node->safe_psql($dbname,
		insert_sql('event', 2000, 0, 200.2) . insert_sql('part', 2000, 0, 200.2) . 'SELECT streamproc.wait_for()');
	return;
}

# What the object has to hold: the query of its rows, that of plain SQL, and further queries that have to count nothing.
sub expectations
{
	my ($kind, $name, $source) = @_;
	my $alerts = [ 'alerts with the same identity',
		"SELECT count(*) - count(DISTINCT (lsn, ordinal)) FROM $name" ];
	my $scores = [ 'wrong scores', "SELECT ewma_check('$name', 0.1, 5)" ];
	my $last_microsecond = q{window_end - interval '1 microsecond'};

	if ($kind eq 'minute' || $kind eq 'final')
	{
		my $watermark = "(SELECT watermark FROM streamproc.status WHERE name = '$source'::regclass)";
		my $admitted = "id NOT IN (SELECT (row_data->>'id')::bigint FROM streamproc.rejected_row
			WHERE relation = '$name'::regclass)";
		$admitted .= " AND $minute_start + interval '1 minute' <= $watermark" if $kind eq 'final';
		return ("SELECT window_start, key, n, total, low, high FROM $name", minute_sql($source, $admitted),
			[ 'differences from its twin', "SELECT count(*) FROM streamproc.verify('$name')" ],
			[ 'rows wrongly final or not', "SELECT count(*) FROM $name WHERE is_final <> (window_end <= $watermark)" ]);
	}
	return ("SELECT key, n, total FROM $name", "SELECT key, count(*), sum(value) FROM $source GROUP BY key",
		[ 'differences from its twin', "SELECT count(*) FROM streamproc.verify('$name')" ])
	  if $kind eq 'total';
	return ("SELECT event_id, event_time FROM $name", "SELECT id, ts FROM $source WHERE value > 950", $alerts)
	  if $kind eq 'rule';
	return ("SELECT key, n, event_time FROM $name",
		"SELECT key, n, $last_microsecond FROM $source WHERE is_final AND n > 1", $alerts)
	  if $kind eq 'busy';
	return ("SELECT key, value, event_time FROM $name",
		"SELECT key, n::float8, $last_microsecond FROM $source WHERE is_final", $alerts, $scores)
	  if $kind eq 'busy_log';

	# History comes first, by its time; the others have the place of their commit.
	return ("SELECT event_id, key, value, event_time FROM $name", "SELECT id, key, value, ts FROM $source",
		$alerts, $scores,
		[ 'rows of the history out of order', "SELECT count(*) FROM (
			SELECT o.event_time < lag(o.event_time) OVER (ORDER BY o.lsn, o.ordinal) AS back
			FROM $name o JOIN ${source}_log l USING (event_id) WHERE o.lsn <> l.lsn) h WHERE back" ],
		[ 'rows with another place than at their commit', "SELECT count(*)
			FROM $name o JOIN ${source}_log l USING (event_id, lsn) WHERE o.ordinal <> l.ordinal" ]);
}

# In what an object that waits for nothing more differs from plain SQL; empty: in nothing.
sub faults
{
	my ($node, $dbname, $kind, $name, $source) = @_;
	my ($got, $expected, @queries) = expectations($kind, $name, $source);
	my $rows = join ', ', map { "('$_->[0]', ($_->[1]))" } @queries;
	my $state = $node->safe_psql($dbname,
		"SELECT concat_ws(': ', state, reason) FROM streamproc.status WHERE name = '$name'::regclass");
	my $different = differences($node, $dbname, $got, $expected);

	return "$name is $state" if $state ne 'running';
	return join '; ', grep { $_ } $different ? "$name differs in $different rows" : '',
	  $node->safe_psql($dbname,
		"SELECT string_agg('$name has ' || n || ' ' || what, '; ') FROM (VALUES $rows) v (what, n) WHERE n <> 0");
}

1;
