# Models live in tables, defaults, views, generated columns and indexes, and go where these go: dumps, and COPY in binary. After it
# they give the same scores, to the last bit. The server isn't set up for streams, which models don't need.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use StreamprocTest;

my $node = new_cluster('models', preload => 0, conf => 'wal_level = replica');
my $files = PostgreSQL::Test::Utils::tempdir;

$node->safe_psql('postgres', <<'SQL');
CREATE SCHEMA site;
CREATE TABLE site.point (id int PRIMARY KEY, part int, f float8[]);
INSERT INTO site.point SELECT i, i % 3, ARRAY[sin(i * 1.7) + (hashint4(i) % 1000) / 1000.0, cos(i * 0.9) * (1 + i % 3), hashint4(-i) % 50]
FROM generate_series(1, 900) i;
INSERT INTO site.point SELECT 2000 + i, i % 3, ARRAY[30 + i, -20, 900] FROM generate_series(1, 5) i;
CREATE TABLE site.model (method text, part int, model streamproc.model, PRIMARY KEY (method, part));
SQL
for my $method (qw(isolation_forest extended_isolation_forest hbos ecod pca mahalanobis mcd loda))
{
	$node->safe_psql('postgres',
		"INSERT INTO site.model SELECT '$method', part, streamproc.${method}_train(f ORDER BY id) FROM site.point GROUP BY part");
}
# What the window functions say of the rows that a model is made of: an answer that has never been in a model's text.
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE site.answer AS SELECT id, part, streamproc.isolation_forest(f) OVER w AS isolation_forest, streamproc.hbos(f) OVER w AS hbos,
	streamproc.pca_score(f) OVER w AS pca, streamproc.mcd(f) OVER w AS mcd FROM site.point
WINDOW w AS (PARTITION BY part ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING);
CREATE VIEW site.score AS SELECT method, part, id, float8send(streamproc.score(model, f)) AS bits FROM site.model JOIN site.point USING (part);
SELECT format('CREATE TABLE site.event (id int PRIMARY KEY, x float8, y float8, z float8, model streamproc.model DEFAULT %1$L,
	score float8 GENERATED ALWAYS AS (streamproc.score(%1$L::streamproc.model, ARRAY[x, y, z])) STORED)', model)
FROM site.model WHERE method = 'mahalanobis' AND part = 0 \gexec
INSERT INTO site.event (id, x, y, z) SELECT id, f[1], f[2], f[3] FROM site.point;
SELECT format('CREATE INDEX ON site.event (streamproc.score(%L::streamproc.model, ARRAY[x, y, z]))', model) FROM site.model WHERE method = 'hbos' AND part = 1 \gexec
SQL

# Of all models and rows, in one line.
my $scores = q{SELECT count(*), md5(string_agg(method || part || id || bits::text, ',' ORDER BY method, part, id)) FROM site.score};
my $models = q{SELECT count(*), md5(string_agg(method || part || streamproc.model_send(model)::text, ',' ORDER BY method, part)) FROM site.model};
my $events = q{SELECT count(*), md5(string_agg(id || float8send(score)::text || streamproc.model_send(model)::text, ',' ORDER BY id)) FROM site.event};
my $wrong = q{SELECT count(*), count(*) FILTER (WHERE s.bits <> float8send(CASE method WHEN 'hbos' THEN hbos WHEN 'pca' THEN pca WHEN 'mcd' THEN mcd
	ELSE isolation_forest END)) FROM site.score s JOIN site.answer USING (id, part) WHERE method IN ('isolation_forest', 'hbos', 'pca', 'mcd')};
my %expected = map { $_ => $node->safe_psql('postgres', $_) } ($scores, $models, $events);
like($expected{$scores}, qr/^7240\|/, 'each model scores the rows of its part');
is($node->safe_psql('postgres', $wrong), '3620|0', 'as the window functions do');

sub check_copy
{
	my ($database, $name) = @_;

	is($node->safe_psql($database, $models), $expected{$models}, "$name: the same models");
	is($node->safe_psql($database, $scores), $expected{$scores}, "$name: the same scores");
	is($node->safe_psql($database, $wrong), '3620|0', "$name: still those of the window functions");
}

# A dump, as SQL and in the custom format.
for my $format (qw(plain custom))
{
	my $dump = "$files/$format";
	my $target = "from_$format";

	command_ok([ 'pg_dump', '-d', $node->connstr('postgres'), '-F', $format, '-f', $dump ], "$format dump");
	$node->safe_psql('postgres', "CREATE DATABASE $target");
	command_ok(
		$format eq 'plain'
		? [ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr($target), '-f', $dump, '-o', '/dev/null' ]
		: [ 'pg_restore', '--exit-on-error', '-d', $node->connstr($target), $dump ],
		"$format restore");
	check_copy($target, $format);
	is($node->safe_psql($target, $events), $expected{$events}, "$format: the same generated columns and defaults");
	is( $node->safe_psql($target, q{INSERT INTO site.event (id, x, y, z) SELECT id + 10000, x, y, z FROM site.event;
		SELECT count(*), count(*) FILTER (WHERE float8send(a.score) = float8send(b.score) AND streamproc.model_send(a.model) = streamproc.model_send(b.model))
		FROM site.event a JOIN site.event b ON b.id = a.id + 10000}), '905|905', "$format: new rows have what the old ones have");
	is( $node->safe_psql($target, q{SELECT count(*) FROM pg_indexes
		WHERE tablename = 'event' AND indexdef LIKE '%streamproc.score%'}), '1', "$format: the index over scores is there");
}

# COPY in binary, into a database with the same tables.
create_database($node, 'from_binary');
$node->safe_psql('from_binary', q{CREATE SCHEMA site; CREATE TABLE site.point (id int, part int, f float8[]);
	CREATE TABLE site.model (method text, part int, model streamproc.model);
	CREATE TABLE site.answer (id int, part int, isolation_forest float8, hbos float8, pca float8, mcd float8);
	CREATE VIEW site.score AS SELECT method, part, id, float8send(streamproc.score(model, f)) AS bits FROM site.model JOIN site.point USING (part)});
for my $table (qw(point model answer))
{
	command_ok([ 'psql', '-X', '-q', '-d', $node->connstr('postgres'), '-c', "\\copy site.$table TO '$files/$table' (FORMAT binary)" ], "$table out");
	command_ok([ 'psql', '-X', '-q', '-d', $node->connstr('from_binary'), '-c', "\\copy site.$table FROM '$files/$table' (FORMAT binary)" ], "$table in");
}
check_copy('from_binary', 'binary');

$node->stop;
done_testing();
