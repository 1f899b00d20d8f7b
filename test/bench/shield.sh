# What a shield adds to a single-row INSERT: pgbench with and without enforce(), each key by one session at a time.
set -euo pipefail
seconds=${SECONDS_EACH:-10}

ask() { psql -X -q -A -t -v ON_ERROR_STOP=1 "$@"; }

ask >/dev/null <<'SQL'
CREATE TABLE guarded (id int, customer int, amount float8, ts timestamptz);
SELECT streamproc.create_stream('guarded', time_column => 'ts', idle_timeout => '1 day');
SELECT streamproc.create_detector('by_rule', 'guarded', method => 'rule', rules => ARRAY['amount > 1e6 AS large'], keys => ARRAY['customer']);
SELECT streamproc.create_detector('by_ewma', 'guarded', method => 'ewma', value => 'amount', keys => ARRAY['customer']);
SELECT streamproc.create_detector('by_velocity', 'guarded', method => 'velocity', keys => ARRAY['customer'],
	params => '{"events": 90, "interval": "5 minutes", "max_events": 100}');
SELECT streamproc.create_detector('by_records', 'guarded', method => 'records', value => 'amount', keys => ARRAY['customer'],
	params => '{"size": "tiny"}');
SQL
cat >"$BENCH_DIR/shield.sql" <<'SQL'
\set customer random(1, 10000)
\set amount random(1, 100)
INSERT INTO guarded VALUES (1, :customer, :amount, now());
SQL
cat >"$BENCH_DIR/one_key.sql" <<'SQL'
DO $$ BEGIN INSERT INTO guarded VALUES (2, -1, 1, '2026-01-01 00:00+00'); EXCEPTION WHEN check_violation THEN NULL; END $$;
SQL

# begin [DETECTOR]: each key has one row, of an hour ago, and is known to the detector, which is enforced. Nothing is an anomaly.
begin() {
	ask >/dev/null <<-SQL
		TRUNCATE guarded;
		INSERT INTO guarded SELECT i, i, 10 + i % 50, now() - interval '1 hour' FROM generate_series(1, 10000) i;
		SELECT streamproc.wait_for();
	SQL
	[ $# -eq 0 ] || ask -c "SELECT streamproc.enforce('$1', 'flag')" >/dev/null
}

# measure: "p50 p99" of INSERTs in microseconds, one connection. The stream and its detectors are there in any case.
measure() {
	rm -f "$BENCH_DIR"/shield_log.*
	(cd "$BENCH_DIR" && PGOPTIONS="-c synchronous_commit=$1 -c client_min_messages=error" \
		pgbench -n -M prepared -f shield.sql -T "$seconds" -l --log-prefix=shield_log >/dev/null)
	awk '{print $3}' "$BENCH_DIR"/shield_log.* | sort -n |
		awk '{a[NR] = $1} END {print a[int(NR * 0.5)], a[int(NR * 0.99)]}'
}

cat <<TEXT
The shield: single-row INSERTs by one pgbench session for $seconds s each, 10,000 keys, action 'flag'. Microseconds:

  synchronous_commit   enforced        p50     p99     added p50   added p99
TEXT
for synchronous in off on; do
	for detector in by_rule by_ewma by_velocity by_records; do
		begin
		read -r p50 p99 < <(measure $synchronous)
		printf '  %-20s %-12s %6s  %6s\n' $synchronous nothing "$p50" "$p99"
		begin $detector
		read -r with50 with99 < <(measure $synchronous)
		ask -c "SELECT streamproc.unenforce('$detector')" >/dev/null
		printf '  %-20s %-12s %6s  %6s        %6s      %6s\n' $synchronous $detector "$with50" "$with99" \
			$((with50 - p50)) $((with99 - p99))
	done
done

ask -c "SELECT streamproc.enforce('by_velocity')" >/dev/null
pgbench -n -f "$BENCH_DIR/one_key.sql" -c 20 -j 2 -t 100 >/dev/null
echo
echo "  20 sessions, one key, 2000 offered, 90 allowed: $(ask -c 'SELECT count(*) FROM guarded WHERE customer = -1') accepted."
ask -c "SELECT streamproc.drop_stream('guarded', cascade => true)" >/dev/null 2>&1
