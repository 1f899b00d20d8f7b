# What the results have to be, by plain SQL over the same rows.

package StreamprocOracle;

use strict;
use warnings;

use Exporter 'import';

our @EXPORT = qw(differences minute_sql minute_aggregates ewma_oracle ewma_differences);

# differences(NODE, DBNAME, GOT, EXPECTED): the number of rows that two queries don't have in common, each row as often
# as it occurs.
sub differences
{
	my ($node, $dbname, $got, $expected) = @_;

	return $node->safe_psql($dbname, <<"SQL");
SELECT (SELECT count(*) FROM (($got) EXCEPT ALL ($expected)) more)
	+ (SELECT count(*) FROM (($expected) EXCEPT ALL ($got)) less)
SQL
}

# The aggregates of the tests' windows, as create_window takes them.
sub minute_aggregates
{
	return q{ARRAY['count(*) AS n', 'sum(value) AS total', 'min(value) AS low', 'max(value) AS high']};
}

# The same over a table (key, value, ts), by plain SQL. Values are whole numbers, so that a sum of them is exact in any
# order.
sub minute_sql
{
	my ($table, $where) = @_;
	$where //= 'true';

	return <<"SQL";
SELECT date_bin('1 minute', ts, '2000-01-03 00:00+00'), key, count(*), sum(value), min(value), max(value)
FROM $table WHERE $where GROUP BY 1, 2
SQL
}

# Declares ewma_check(detector, alpha, warmup): recomputes a detector that stores every score, row by row in the order of
# lsn and ordinal, and returns how many rows have another score. The formulas are those of src/kernel/online/ewma.h.
sub ewma_oracle
{
	my ($node, $dbname) = @_;

	$node->safe_psql($dbname, <<'SQL');
CREATE FUNCTION ewma_check(detector regclass, alpha float8, warmup int) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	r record;
	current_key int;
	learned int;
	weight float8;
	mean float8;
	variance float8;
	delta float8;
	expected_score float8;
	wrong bigint = 0;
BEGIN
	FOR r IN EXECUTE format('SELECT key, value, score FROM %s ORDER BY key, lsn, ordinal', detector) LOOP
		IF current_key IS DISTINCT FROM r.key THEN
			current_key = r.key;
			learned = 0; weight = 0; mean = 0; variance = 0;
		END IF;
		delta = r.value - mean;
		expected_score = CASE WHEN learned < warmup OR delta = 0 THEN 0
			WHEN variance = 0 THEN 1e6
			ELSE least(1e6, abs(delta) / sqrt(variance)) END;
		IF r.score IS NULL OR abs(expected_score - r.score) > 1e-9 * (1 + expected_score) THEN
			wrong = wrong + 1;
		END IF;
		weight = (1 - alpha) * weight + 1;
		mean = mean + delta / weight;
		variance = (1 - 1 / weight) * (variance + delta * delta / weight);
		learned = learned + 1;
	END LOOP;
	RETURN wrong;
END $$
SQL
	return;
}

1;
