# A million keys of records, size tiny, each updated once a minute: what that costs the worker all the time.
#
# usage: test/bench/run records       KEYS (default 1000000), SIZE of records (default tiny), MINUTES (default 2),
#                                     COMMITS a second (default 10)
set -euo pipefail
keys=${KEYS:-1000000}
size=${SIZE:-tiny}
seconds=$((${MINUTES:-2} * 60))
commits=${COMMITS:-10}
batch=$((keys / 60 / commits))

ask() { psql -X -q -A -t -v ON_ERROR_STOP=1 "$@"; }
worker() { ask -c "SELECT pid FROM streamproc.worker"; }
anon() { awk '/RssAnon/ {printf "%.0f", $2 / 1024}' "/proc/$1/status"; }
# Seconds of CPU so far.
cpu() { awk -v hz="$(getconf CLK_TCK)" '{sub(/.*\) /, ""); print ($12 + $13) / hz}' "/proc/$1/stat"; }
processed() { ask -c "SELECT streamproc.wait_for(timeout => '1 hour')" >/dev/null; }

ask >/dev/null <<SQL
CREATE TABLE reading (key int, value float8, ts timestamptz) USING streamproc;
SELECT streamproc.create_stream('reading', time_column => 'ts');
SELECT streamproc.create_detector('odd_reading', 'reading', method => 'records', value => 'value', keys => '{key}',
	params => '{"size": "$size"}');
SELECT streamproc.wait_for();
DO \$\$ BEGIN FOR i IN 0 .. ($keys - 1) / 5000 LOOP
	INSERT INTO reading SELECT g, random(), now() FROM generate_series(i * 5000, least($keys, (i + 1) * 5000) - 1) g;
	COMMIT;
END LOOP; END \$\$;
SQL
processed
ask -c CHECKPOINT
pid=$(worker)
start=$(cpu "$pid")
began=$(date +%s.%N)
# In an order without any locality, and at their time, not faster.
ask >/dev/null <<SQL
SET synchronous_commit = off;
DO \$\$ DECLARE began timestamptz := clock_timestamp(); BEGIN FOR i IN 0 .. $((seconds * commits - 1)) LOOP
	INSERT INTO reading SELECT (i::bigint * $batch + g) * 7919 % $keys, random(), clock_timestamp()
		FROM generate_series(0, $((batch - 1))) g;
	COMMIT;
	PERFORM pg_sleep(extract(epoch FROM began + (i + 1) * interval '1 second' / $commits - clock_timestamp()));
END LOOP; END \$\$;
SQL
processed
took=$(awk -v a="$began" -v b="$(date +%s.%N)" 'BEGIN {print b - a}')
[ "$(worker)" = "$pid" ] || { echo "the worker was restarted"; exit 1; }
awk -v keys="$keys" -v size="$size" -v took="$took" -v cpu="$(cpu "$pid")" -v start="$start" -v rows=$((seconds * commits * batch)) \
	-v memory="$(anon "$pid")" -v checkpoints="$(ask -c 'SELECT checkpoints FROM streamproc.worker')" 'BEGIN {
	printf "Records: %d keys, size %s, %.0f rows/s for %.0f s, %d checkpoints\n", keys, size, rows / took, took, checkpoints
	printf "  worker: %.1f %% of a core (bar: 10), %.2f us a row; %.0f MB (bar: 300)\n",
		100 * (cpu - start) / took, 1e6 * (cpu - start) / rows, memory
}'
ask -c "SELECT streamproc.drop_detector('odd_reading'), streamproc.drop_stream('reading')" >/dev/null
