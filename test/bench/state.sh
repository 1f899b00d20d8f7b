# State of many keys: the pause of rows by checkpoints, their WAL, memory, and recovery after kill -9.
#
# usage: test/bench/run state         KEYS (default 1000000)
#                                     KINDS  of objects, each with so many keys (default "global detector"; also: tumbling,
#                                     final: one window in time, which is closed at last)
#                                     MEMORY of them, for streamproc.max_state_memory (default: as it comes)
#                                     CHANGED  how many keys change again, in an order without any locality (default: all)
set -euo pipefail
keys=${KEYS:-1000000}
kinds=${KINDS:-global detector}
changed=${CHANGED:-$keys}
batch=5000

ask() { psql -X -q -A -t -v ON_ERROR_STOP=1 "$@"; }
worker() { ask -c "SELECT pid FROM streamproc.worker"; }
has() { [[ " $kinds " = *" $1 "* ]]; }

# What the worker holds that is no file and not shared, in MB: now, and the most there ever was.
anon() { awk '/RssAnon/ {printf "%.0f", $2 / 1024}' "/proc/$1/status" 2>/dev/null; }
watch_memory() {
	local most=0 now
	while now=$(anon "$1") && [ -n "$now" ]; do
		[ "$now" -le "$most" ] || echo "$((most = now))" >"$BENCH_DIR/bench/most"
		sleep 0.1
	done
}

# Checkpoints when we want them: set_interval SECONDS
set_interval() { ask -c "ALTER SYSTEM SET streamproc.checkpoint_interval = $1" -c 'SELECT pg_reload_conf()' >/dev/null; }

[ -z "${MEMORY:-}" ] ||
	ask -c "ALTER SYSTEM SET streamproc.max_state_memory = '$MEMORY'" -c 'SELECT pg_reload_conf()' >/dev/null
aggregates="ARRAY['count(*) AS n', 'sum(value) AS total', 'min(value) AS low', 'max(value) AS high']"
ask >/dev/null <<SQL
CREATE TABLE visit (key int, value float8, ts timestamptz) USING streamproc;
SELECT streamproc.create_stream('visit', time_column => 'ts', idle_timeout => '1 day', max_future => '4000 days');
SQL
! has global || ask -c "SELECT streamproc.create_window('visit_total', 'visit', kind => 'global', keys => ARRAY['key'],
	aggregates => $aggregates, trigger => '5 seconds')" >/dev/null
# one window of all rows
! has tumbling || ask -c "SELECT streamproc.create_window('visit_year', 'visit', kind => 'tumbling', size => '1 year',
	keys => ARRAY['key'], aggregates => $aggregates, trigger => '5 seconds')" >/dev/null
! has final || ask -c "SELECT streamproc.create_window('visit_final', 'visit', kind => 'tumbling', size => '1 year',
	keys => ARRAY['key'], aggregates => $aggregates, emit => 'final')" >/dev/null
! has detector || ask -c "SELECT streamproc.create_detector('visit_score', 'visit', method => 'ewma', value => 'value',
	keys => ARRAY['key'])" >/dev/null
ask -c 'SELECT streamproc.wait_for()' >/dev/null
watcher=
watch() {
	echo 0 >"$BENCH_DIR/bench/most"
	watch_memory "$(worker)" &
	watcher=$!
}
watch
trap 'kill $watcher 2>/dev/null || true' EXIT

# load ROWS FIRST ORDER: so many keys, each once, in commits of 5000 rows
load() {
	ask >/dev/null <<-SQL
		DO \$\$ BEGIN FOR i IN 0 .. $(($1 / batch - 1)) LOOP
			INSERT INTO visit SELECT $3, 1 + g % 7, '2026-01-01'::timestamptz + ($2 + i) * interval '1 s'
			FROM generate_series(i * $batch, (i + 1) * $batch - 1) g;
			COMMIT;
		END LOOP; END \$\$;
	SQL
}

report() {
	ask -F ' ' -c "SELECT checkpoints, round(longest_pause_ms::numeric, 1), round(longest_checkpoint_ms::numeric), spilled_pages
		FROM streamproc.worker" | while read -r checkpoints pause longest spilled; do
		echo "  $1: longest pause $pause ms ($checkpoints checkpoints, the longest took $longest ms)," \
			"worker's memory $(anon "$(worker)") MB, at most $(cat "$BENCH_DIR/bench/most") MB, $spilled pages spilled"
	done
}

processed() { ask -c "SELECT streamproc.wait_for(timeout => '1 hour')" >/dev/null; }

# timed WHAT ROWS FIRST ORDER
timed() {
	local start
	start=$(date +%s.%N)
	load "$2" "$3" "$4"
	processed
	awk -v keys="$2" -v seconds="$(echo "$(date +%s.%N) - $start" | bc)" -v what="$1" \
		'BEGIN {printf "  %s: %.1f s, %.0f rows/s\n", what, seconds, keys / seconds}'
}

echo "State: $keys keys of each: $kinds; max_state_memory $(ask -c 'SHOW streamproc.max_state_memory')"
timed 'new keys' "$keys" 0 g
report 'new keys'
timed 'known keys in another order' "$changed" 100000 "g * 7919::bigint % $keys"
report 'known keys changed'

# They change once more, and then one checkpoint of everything that is dirty, as the worker writes it while rows come.
set_interval 3600
load "$changed" 200000 "g * 7907::bigint % $keys"
processed
count=$(ask -c 'SELECT checkpoints FROM streamproc.worker')
lsn=$(ask -c 'SELECT pg_current_wal_insert_lsn()')
start=$(date +%s.%N)
set_interval 1
until [ "$(ask -c "SELECT checkpoints > $count FROM streamproc.worker")" = t ]; do sleep 0.1; done
echo "  a checkpoint of all: $(awk -v a="$start" -v b="$(date +%s.%N)" 'BEGIN {printf "%.1f s", b - a}')," \
	"$(ask -c "SELECT pg_size_pretty(pg_current_wal_insert_lsn() - '$lsn')") of WAL"
report 'then'
ask -F ' ' -c "SELECT pg_size_pretty(pg_table_size('streamproc.state_page')), count(*),
	pg_size_pretty(sum(length(data))) FROM streamproc.state_page" |
	sed 's/^/  state on disk, its rows, and what is in them: /'

old=$(worker)
start=$(date +%s.%N)
kill -9 "$old"
until pid=$(ask -c "SELECT pid FROM streamproc.worker WHERE state = 'running' AND pid <> $old" 2>/dev/null) && [ -n "$pid" ] &&
	processed 2>/dev/null; do
	sleep 0.1
done
echo "  kill -9 of the worker, to caught up: $(awk -v a="$start" -v b="$(date +%s.%N)" 'BEGIN {printf "%.1f s", b - a}')," \
	"memory then $(anon "$(worker)") MB"
set_interval 10
if has tumbling || has final; then
	kill $watcher 2>/dev/null || true
	watch
	start=$(date +%s.%N)
	ask -c "INSERT INTO visit VALUES (0, 1, '2027-06-01')" >/dev/null
	processed
	echo "  closed and written: $(awk -v a="$start" -v b="$(date +%s.%N)" 'BEGIN {printf "%.1f s", b - a}')"
	report 'closed'
fi
for window in $(! has global || echo visit_total) $(! has tumbling || echo visit_year) $(! has final || echo visit_final); do
	echo "  $window: keys, and those with a wrong count: $(ask -F ' ' -c "SELECT count(w.n), count(*) FILTER (WHERE w.n IS DISTINCT FROM e.n)
		FROM (SELECT key, n FROM $window $([ $window = visit_total ] || echo WHERE is_final)) w FULL JOIN (SELECT key, count(*) AS n FROM (
			SELECT g AS key FROM generate_series(0, $keys - 1) g
			UNION ALL SELECT g * 7919::bigint % $keys FROM generate_series(0, $changed - 1) g
			UNION ALL SELECT g * 7907::bigint % $keys FROM generate_series(0, $changed - 1) g) rows GROUP BY key) e USING (key)")"
	ask -c "SELECT streamproc.drop_window('$window')" >/dev/null
done
! has detector || ask -c "SELECT streamproc.drop_detector('visit_score')" >/dev/null
ask -c "SELECT streamproc.drop_stream('visit')" >/dev/null
