# What a shield adds to a single-row INSERT: two tables that differ in nothing but enforce(), each key by one session at a time.
# One pgbench inserts now into the one, now into the other, so that what the disk is like at the moment is the same for both.
set -euo pipefail
seconds=${SECONDS_EACH:-10}

ask() { psql -X -q -A -t -v ON_ERROR_STOP=1 "$@"; }

for table in plain guarded; do
	ask -v table=$table -v rule=${table}_rule -v ewma=${table}_ewma -v velocity=${table}_velocity -v records=${table}_records >/dev/null <<-'SQL'
		CREATE TABLE :table (id int, customer int, amount float8, ts timestamptz);
		SELECT streamproc.create_stream(:'table', time_column => 'ts', idle_timeout => '1 day');
		SELECT streamproc.create_detector(:'rule', :'table', method => 'rule', rules => ARRAY['amount > 1e6 AS large'], keys => ARRAY['customer']);
		SELECT streamproc.create_detector(:'ewma', :'table', method => 'ewma', value => 'amount', keys => ARRAY['customer']);
		SELECT streamproc.create_detector(:'velocity', :'table', method => 'velocity', keys => ARRAY['customer'],
			params => '{"events": 90, "interval": "5 minutes", "max_events": 100}');
		SELECT streamproc.create_detector(:'records', :'table', method => 'records', value => 'amount', keys => ARRAY['customer'],
			params => '{"size": "tiny"}');
	SQL
	cat >"$BENCH_DIR/$table.sql" <<-SQL
		\set customer random(1, 10000)
		\set amount random(1, 100)
		INSERT INTO $table VALUES (1, :customer, :amount, now());
	SQL
done
cat >"$BENCH_DIR/one_key.sql" <<'SQL'
DO $$ BEGIN INSERT INTO guarded VALUES (2, -1, 1, '2026-01-01 00:00+00'); EXCEPTION WHEN check_violation THEN NULL; END $$;
SQL

# begin DETECTOR: each key has one row, of an hour ago, and is known to the detector, which is enforced. Nothing is an anomaly.
begin() {
	ask >/dev/null <<-SQL
		TRUNCATE plain, guarded;
		INSERT INTO plain SELECT i, i, 10 + i % 50, now() - interval '1 hour' FROM generate_series(1, 10000) i;
		INSERT INTO guarded SELECT * FROM plain;
		SELECT streamproc.wait_for();
		SELECT streamproc.enforce('guarded_$1', 'flag');
	SQL
}

# percentiles SCRIPT: "p50 p99" of its INSERTs in microseconds.
percentiles() {
	awk -v script="$1" '$4 == script {print $3}' "$BENCH_DIR"/shield_log.* | sort -n |
		awk '{a[NR] = $1} END {print a[int(NR * 0.5)], a[int(NR * 0.99)]}'
}

# bytes TABLE: of WAL an INSERT of a key that was met before, while no worker writes.
bytes() {
	local before
	before=$(ask -c 'SELECT pg_current_wal_insert_lsn()')
	PGOPTIONS="-c synchronous_commit=off -c client_min_messages=error" \
		pgbench -n -M prepared -f "$BENCH_DIR/$1.sql" -t 10000 >/dev/null 2>&1
	ask -c "SELECT round((pg_current_wal_insert_lsn() - '$before') / 10000)"
}

cat <<TEXT
The shield: single-row INSERTs by one pgbench session for $seconds s each, half of them into a table without a shield; 10,000
keys, action 'flag'. Microseconds:

                                     without          enforced           added
  synchronous_commit   method       p50     p99     p50     p99       p50     p99
TEXT
for synchronous in off on; do
	for method in rule ewma velocity records; do
		begin $method
		rm -f "$BENCH_DIR"/shield_log.*
		(cd "$BENCH_DIR" && PGOPTIONS="-c synchronous_commit=$synchronous -c client_min_messages=error" \
			pgbench -n -M prepared -f plain.sql -f guarded.sql -T "$seconds" -l --log-prefix=shield_log >/dev/null)
		ask -c "SELECT streamproc.unenforce('guarded_$method')" >/dev/null
		read -r p50 p99 < <(percentiles 0)
		read -r with50 with99 < <(percentiles 1)
		printf '  %-20s %-9s %6s  %6s  %6s  %6s    %6s  %6s\n' $synchronous $method "$p50" "$p99" "$with50" "$with99" \
			$((with50 - p50)) $((with99 - p99))
	done
done

echo
echo "  Bytes of WAL an INSERT, without, and enforced:"
ask -c 'SELECT streamproc.stop()' >/dev/null
for method in rule ewma velocity records; do
	ask -c "SELECT streamproc.enforce('guarded_$method', 'flag')" >/dev/null
	bytes guarded >/dev/null
	printf '  %-9s %6s  %6s\n' $method "$(bytes plain)" "$(bytes guarded)"
	ask -c "SELECT streamproc.unenforce('guarded_$method')" >/dev/null
done
ask -c 'SELECT streamproc.start()' >/dev/null

ask -c "SELECT streamproc.enforce('guarded_velocity')" >/dev/null
pgbench -n -f "$BENCH_DIR/one_key.sql" -c 20 -j 2 -t 100 >/dev/null
echo
echo "  20 sessions, one key, 2000 offered, 90 allowed: $(ask -c 'SELECT count(*) FROM guarded WHERE customer = -1') accepted."
ask -c "SELECT streamproc.drop_stream('guarded', cascade => true), streamproc.drop_stream('plain', cascade => true)" >/dev/null 2>&1
