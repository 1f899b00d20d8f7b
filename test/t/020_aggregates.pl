# Every aggregate of the server, maintained by the engine's three kinds and compared with the server's own answer:
# combined from pieces, rows taken away again, states copied, stored and loaded in between (test/probe).

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use StreamprocTest;

my $node = new_cluster('aggregates');
my $library = $ENV{SP_PROBE};	# test/run builds it

$node->safe_psql('postgres', <<"SQL");
CREATE FUNCTION probe(view regclass, needs int, seed int) RETURNS text STRICT LANGUAGE c AS '$library', 'aggregate_probe';
CREATE FUNCTION kind(view regclass, needs int) RETURNS text STRICT LANGUAGE c AS '$library', 'aggregate_kind';
SQL

# Values of many types, nulls, equal ones, those of which floats and numeric make something special.
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE input (id int PRIMARY KEY, i2 int2, i4 int4, i8 int8, f4 float4, f8 float8, n numeric, t text, b bool,
	ts timestamp, tz timestamptz, d date, tm time, iv interval, bits bit(8), net inet, cash money, by bytea, j jsonb,
	u uuid, o oid, a int[], r int4range, mr int4multirange, x xml, sign float8, plain numeric);
INSERT INTO input SELECT i, CASE WHEN i % 7 > 0 THEN (i * 7919 % 200 - 100)::int2 END, nullif(i * 7919 % 1000, 7),
	CASE i % 9 WHEN 0 THEN NULL WHEN 1 THEN 9223372036854775807 WHEN 2 THEN -9223372036854775808 ELSE i * 1000003 END,
	(i % 13) / 4.0, CASE WHEN i % 8 > 0 THEN sqrt(i) - 5 END,
	CASE i % 11 WHEN 0 THEN NULL WHEN 1 THEN i * 1.10 WHEN 2 THEN i * 0.00001 WHEN 3 THEN i * 1e20 WHEN 4 THEN i / 3.0
		WHEN 5 THEN CASE WHEN i % 3 = 0 THEN 'NaN' ELSE -7.000 END ELSE i % 5 END,
	'word ' || nullif(i % 5, 3), CASE WHEN i % 6 > 0 THEN i % 4 > 0 END,
	'2026-01-01'::timestamp + i * interval '37 minutes', '2026-01-01 00:00+00'::timestamptz + (i % 10) * interval '1 day',
	'2026-01-01'::date + i % 20, '12:00'::time + i * interval '7 seconds', make_interval(months => i % 3, days => i % 5, secs => i),
	(i % 256)::bit(8), '10.0.0.0'::inet + i % 6, (i % 17)::money, decode(md5((i % 4)::text), 'hex'),
	jsonb_build_object('a', i % 3), md5((i % 6)::text)::uuid, (i % 8)::oid, ARRAY[i % 3, i],
	int4range(i % 10, i % 10 + 5), int4multirange(int4range(i % 10, i % 10 + 3)), xmlelement(name e, i),
	CASE i % 4 WHEN 0 THEN '-0' WHEN 1 THEN 0 ELSE i % 3 END, i % 9 - 4
FROM generate_series(1, 60) i;
CREATE FUNCTION add_or_null(numeric, numeric) RETURNS numeric LANGUAGE sql IMMUTABLE AS 'SELECT coalesce($1, 0) * 1.01 + coalesce($2, -1)';
CREATE AGGREGATE weighed(numeric) (SFUNC = add_or_null, STYPE = numeric);
CREATE AGGREGATE movable(numeric) (SFUNC = numeric_add, STYPE = numeric, COMBINEFUNC = numeric_add,
	MSFUNC = numeric_add, MINVFUNC = numeric_sub, MSTYPE = numeric);
CREATE AGGREGATE longest(text) (SFUNC = text_larger, STYPE = text, COMBINEFUNC = text_larger, SORTOP = >);
-- A view for each aggregate and column that it takes; the server's answer, of its rows in order.
CREATE TABLE probed (name regclass, call text);
DO $$
DECLARE
	c record;
	n int := 0;
BEGIN
	PERFORM set_config(name, 'off', false) FROM pg_settings WHERE name = 'enable_presorted_aggregate';
	FOR c IN
		SELECT format('%I(%s)', p.proname, CASE p.pronargs WHEN 0 THEN '*' WHEN 1 THEN a.attname ELSE a.attname || ', '
			|| (SELECT min(b.attname::text) FROM pg_attribute b WHERE b.attrelid = 'input'::regclass
				AND b.attnum > 1 AND b.atttypid = p.proargtypes[1]) END) AS call
		FROM pg_proc p JOIN pg_aggregate g ON g.aggfnoid = p.oid LEFT JOIN pg_attribute a
			ON a.attrelid = 'input'::regclass AND a.attnum > 1 AND a.atttypid = p.proargtypes[0]
		WHERE g.aggkind = 'n' AND p.pronargs <= 2 AND p.provariadic = 0 AND (p.pronargs = 0 OR a.attname IS NOT NULL)
		UNION ALL
		SELECT format(v.call, a.attname) FROM pg_attribute a, (VALUES ('count(%s)'), ('array_agg(%s)'), ('json_agg(%s)'),
			('count(%s) FILTER (WHERE i4 > 300)'), ('array_agg(%s ORDER BY i4 %% 10, id)')) v(call)
			WHERE a.attrelid = 'input'::regclass AND a.attnum > 1
		UNION ALL
		SELECT format(v.call, a.attname) FROM pg_attribute a, (VALUES ('count(DISTINCT %s)'), ('array_agg(DISTINCT %s)'),
			('percentile_disc(0.3) WITHIN GROUP (ORDER BY %s)'), ('mode() WITHIN GROUP (ORDER BY %s DESC)')) v(call)
			WHERE a.attrelid = 'input'::regclass AND a.attnum > 1 AND a.attname NOT IN ('x', 'sign', 'n')
		UNION ALL
		SELECT format(v.call, a.attname) FROM pg_attribute a, (VALUES ('sum(DISTINCT %s)'), ('avg(DISTINCT %s)'),
			('variance(DISTINCT %s)'), ('max(DISTINCT %s)'), ('sum(%s ORDER BY id DESC)'), ('percentile_cont(0.7) WITHIN GROUP (ORDER BY %s)')) v(call)
			WHERE a.attrelid = 'input'::regclass AND a.attname IN ('i2', 'i4', 'i8', 'f8', 'plain')
		UNION ALL
		VALUES ('weighed(n)'), ('array_agg(id)'), ('array_agg(id * 2) FILTER (WHERE b)'), ('weighed(n ORDER BY i4, id)'), ('movable(n)'), ('longest(t)'), ('string_agg(t, ''-'')'),
			('string_agg(DISTINCT t, ''-'')'), ('json_object_agg(id, t)'), ('jsonb_object_agg(id, j)'),
			('json_object_agg(id, t ORDER BY id DESC) FILTER (WHERE b)'), ('rank(300) WITHIN GROUP (ORDER BY i4)'),
			('cume_dist(3, ''word 2'') WITHIN GROUP (ORDER BY i4 % 7 DESC NULLS LAST, t)'), ('json_agg(ROW(i4, t) ORDER BY id)'),
			('count(DISTINCT (i4 % 5, t))'), ('every(b)'), ('range_agg(r)'), ('range_intersect_agg(r)'),
			('percentile_cont(ARRAY[0.1, 0.5]) WITHIN GROUP (ORDER BY iv)')
	LOOP
		n := n + 1;
		BEGIN
			EXECUTE format('CREATE VIEW probe_%s AS SELECT %s AS x FROM input', n, c.call);
			INSERT INTO probed VALUES (format('probe_%s', n)::regclass, c.call);
		EXCEPTION WHEN OTHERS THEN	-- it has no such aggregate
			NULL;
		END;
	END LOOP;
END $$;
-- The server's answer, and whether the engine's is the same: floats nearly so, when rows were regrouped.
CREATE FUNCTION differs(call text, view regclass, needs int, seed int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	expected text;
	actual text;
	failure text;
BEGIN
	PERFORM set_config(name, 'off', true) FROM pg_settings WHERE name = 'enable_presorted_aggregate';
	BEGIN
		EXECUTE format('SELECT CASE WHEN x IS NOT NULL THEN format(''%%s'', x) END FROM (SELECT %s AS x
			FROM (SELECT * FROM input ORDER BY id) input) y', call) INTO expected;
	EXCEPTION WHEN numeric_value_out_of_range OR invalid_parameter_value THEN
		failure := SQLERRM;
	END;
	BEGIN
		actual := probe(view, needs, seed);
	EXCEPTION WHEN numeric_value_out_of_range OR invalid_parameter_value THEN
		IF SQLERRM = failure THEN
			RETURN NULL;
		END IF;
		RETURN 'failed: ' || SQLERRM;
	END;
	IF expected IS NOT DISTINCT FROM actual THEN
		RETURN NULL;
	END IF;
	IF needs > 0 AND (SELECT x.atttypid FROM pg_attribute x WHERE x.attrelid = view AND x.attnum = 1)
			IN ('float4'::regtype, 'float8'::regtype) THEN
		IF abs(expected::float8 - actual::float8) <= 1e-4 THEN
			RETURN NULL;
		END IF;
	END IF;
	RETURN format('%s, needs %s, seed %s: %s instead of %s', call, needs, seed, actual, expected);
END $$;
SQL

cmp_ok($node->safe_psql('postgres', 'SELECT count(*) FROM probed'), '>', 300, 'many aggregates are probed');
for my $needs (0 .. 3)
{
	is( $node->safe_psql('postgres', <<"SQL"), '', "aggregates with needs $needs");
SELECT d FROM probed, generate_series(1, 3) seed, LATERAL differs(call, name, $needs, seed) d WHERE d IS NOT NULL
	-- of equal rows, which one is taken away isn't said
	AND ($needs < 2 OR call !~ '^(array_agg|(json|jsonb|string|xml)_?agg|weighed)\\((?!DISTINCT)' OR call ~ '\\mid\\M')
	ORDER BY call LIMIT 20
SQL
}

# Which of them keep their rows.
is( $node->safe_psql('postgres', <<'SQL'), <<'EXPECTED' =~ s/\n$//r, 'how aggregates are maintained');
SELECT DISTINCT call, kind(name, 0), kind(name, 1), kind(name, 2) FROM probed WHERE call IN ('count(*)', 'sum(i8)', 'sum(n)', 'variance(n)',
	'sum(f8)', 'max(f8)', 'max(t)', 'bool_and(b)', 'corr(f8, f8)', 'count(DISTINCT i4)', 'max(DISTINCT i4)', 'sum(i4 ORDER BY id DESC)',
	'sum(f8 ORDER BY id DESC)', 'weighed(n)', 'movable(n)', 'jsonb_object_agg(id, j)', 'avg(iv)') ORDER BY 1
SQL
avg(iv)|generic|generic|generic
bool_and(b)|generic|generic|kept
corr(f8, f8)|generic|generic|kept
count(*)|native|native|native
count(DISTINCT i4)|kept|kept|kept
jsonb_object_agg(id, j)|kept|kept|kept
max(DISTINCT i4)|native|native|kept
max(f8)|native|native|kept
max(t)|generic|generic|kept
movable(n)|generic|generic|generic
sum(f8 ORDER BY id DESC)|kept|kept|kept
sum(f8)|native|native|kept
sum(i4 ORDER BY id DESC)|native|native|native
sum(i8)|native|native|native
sum(n)|generic|generic|generic
variance(n)|generic|generic|generic
weighed(n)|generic|kept|kept
EXPECTED

done_testing();
