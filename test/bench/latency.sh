# From the writer's commit returning to the worker's commit of the alert, at fixed rates.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
seconds=${SECONDS_EACH:-10}

ask() { psql -X -q -A -t -v ON_ERROR_STOP=1 "$@"; }
busy() { awk '/^cpu / {print $2 + $3 + $4 + $7 + $8}' /proc/stat; }

program=$BENCH_DIR/latency
build="gcc -O2 test/bench/latency.c -lpq -lpthread"
gcc -O2 -Wall -Wextra -I"$("$PG_CONFIG" --includedir)" "$here/latency.c" -o "$program" -L"$("$PG_CONFIG" --libdir)" -lpq -lpthread

ask >/dev/null <<'SQL'
CREATE TABLE reading (id bigint, value float8);
SELECT streamproc.create_stream('reading');
SELECT streamproc.create_detector('reading_alert', 'reading', method => 'rule',
	rules => ARRAY['value > 0 AS "Too high"'], carry => ARRAY['id AS reading_id']);
CREATE INDEX ON reading_alert (reading_id);
CREATE TABLE returned (id bigint, us bigint);
SELECT streamproc.wait_for();
SQL

cat <<TEXT
Latency: from the writer's COMMIT returning to the worker's commit of its alert, one clock
(pg_xact_commit_timestamp of the alert's row, at least 0). Every row is an alert: INSERT INTO
reading VALUES (id, 1), one row a commit, for $seconds s at each rate, by 1 connection at 200/s and
8 at more. $build
The statement-level trigger of a user who does it himself has no such delay, but every writer pays
for it in its own transaction; a poll every second (cron, a materialized view) waits 500 ms on average.
Milliseconds:

  synchronous_commit   asked/s  reached/s     p50     p90     p99     max   busy cores
TEXT
for synchronous in on off; do
	for rate in 200 2000 10000; do
		ask -c 'TRUNCATE reading, returned' -c 'DELETE FROM reading_alert' -c 'VACUUM reading_alert' -c 'CHECKPOINT' \
			-c 'SELECT streamproc.wait_for()' >/dev/null
		connections=8
		[ $rate -gt 200 ] || connections=1
		before=$(busy) clock=$(date +%s%N)
		reached=$(PGOPTIONS="-c synchronous_commit=$synchronous" "$program" '' reading $rate "$seconds" $connections \
			2>&1 >"$BENCH_DIR/returned")
		cores=$(awk -v ticks=$(($(busy) - before)) -v ns=$(($(date +%s%N) - clock)) -v hz="$(getconf CLK_TCK)" \
			'BEGIN {printf "%.2f", ticks / hz / (ns / 1e9)}')
		ask -c 'SELECT streamproc.wait_for()' -c '\copy returned FROM '"$BENCH_DIR/returned" >/dev/null
		ask -F ' ' -v synchronous=$synchronous -v rate=$rate -v reached="$reached" -v cores="$cores" <<'SQL'
SELECT format('  %-20s %8s %10s %s %12s', :'synchronous', :'rate', :'reached',
	(SELECT string_agg(lpad(round(ms::numeric, 2)::text, 7), ' ' ORDER BY n) FROM unnest(
		percentile_disc(ARRAY[0.5, 0.9, 0.99, 1]) WITHIN GROUP (ORDER BY ms)) WITH ORDINALITY u (ms, n)), :'cores')
	|| CASE WHEN count(*) = (SELECT count(*) FROM returned) THEN '' ELSE
		format('   %s ALERTS MISSING', (SELECT count(*) FROM returned) - count(*)) END
FROM (SELECT greatest(0, 1e6 * extract(epoch FROM pg_xact_commit_timestamp(a.xmin)) - us)::float8 / 1000 AS ms
	FROM returned r JOIN reading_alert a ON a.reading_id = r.id) delay;
SQL
	done
done
ask -c "SELECT streamproc.drop_detector('reading_alert')" -c "SELECT streamproc.drop_stream('reading')" >/dev/null
