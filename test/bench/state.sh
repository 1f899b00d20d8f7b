# State of many keys: the pause of rows by checkpoints, their WAL, memory, and recovery after kill -9.
#
# usage: test/bench/run state         KEYS (default 1000000): of a running total and of a detector, each
set -euo pipefail
keys=${KEYS:-1000000}
batch=5000

ask() { psql -X -q -A -t -v ON_ERROR_STOP=1 "$@"; }
anon() { awk '/RssAnon/ {printf "%.0f MB", $2 / 1024}' "/proc/$1/status"; }
worker() { ask -c "SELECT pid FROM streamproc.worker"; }

# Checkpoints when we want them: set_interval SECONDS
set_interval() { ask -c "ALTER SYSTEM SET streamproc.checkpoint_interval = $1" -c 'SELECT pg_reload_conf()' >/dev/null; }

ask >/dev/null <<'SQL'
CREATE TABLE visit (key int, value float8, ts timestamptz) USING streamproc;
SELECT streamproc.create_stream('visit', time_column => 'ts', idle_timeout => '1 day');
SELECT streamproc.create_window('visit_total', 'visit', kind => 'global', keys => ARRAY['key'],
	aggregates => ARRAY['count(*) AS n', 'sum(value) AS total', 'min(value) AS low', 'max(value) AS high'],
	trigger => '5 seconds');
SELECT streamproc.create_detector('visit_score', 'visit', method => 'ewma', value => 'value', keys => ARRAY['key']);
SELECT streamproc.wait_for();
SQL

# load FIRST ORDER: every key once, in commits of 5000 rows
load() {
	ask >/dev/null <<-SQL
		DO \$\$ BEGIN FOR i IN 0 .. $((keys / batch - 1)) LOOP
			INSERT INTO visit SELECT $2, 1 + g % 7, '2026-01-01'::timestamptz + ($1 + i) * interval '1 s'
			FROM generate_series(i * $batch, (i + 1) * $batch - 1) g;
			COMMIT;
		END LOOP; END \$\$;
	SQL
}

report() {
	ask -F ' ' -c "SELECT checkpoints, round(longest_pause_ms::numeric, 1), round(longest_checkpoint_ms::numeric), spilled_pages
		FROM streamproc.worker" | while read -r checkpoints pause longest spilled; do
		echo "  $1: longest pause $pause ms ($checkpoints checkpoints, the longest took $longest ms)," \
			"worker's memory $(anon "$(worker)"), $spilled pages spilled"
	done
}

# One checkpoint of everything that is dirty, as the worker writes it while rows come.
echo "State: $keys keys of a running total, and as many of a detector; max_state_memory $(ask -c 'SHOW streamproc.max_state_memory')"
start=$(date +%s.%N)
load 0 g
ask -c 'SELECT streamproc.wait_for()' >/dev/null
awk -v keys="$keys" -v seconds="$(echo "$(date +%s.%N) - $start" | bc)" \
	'BEGIN {printf "  new keys: %.1f s, %.0f rows/s through both\n", seconds, keys / seconds}'
report 'new keys'
start=$(date +%s.%N)
load 100000 "g * 7919::bigint % $keys"
ask -c 'SELECT streamproc.wait_for()' >/dev/null
awk -v keys="$keys" -v seconds="$(echo "$(date +%s.%N) - $start" | bc)" \
	'BEGIN {printf "  the same in another order: %.1f s, %.0f rows/s\n", seconds, keys / seconds}'
report 'all keys changed'

# All of it changes once more, and then a checkpoint alone.
set_interval 3600
load 200000 "g * 7907::bigint % $keys"
ask -c 'SELECT streamproc.wait_for()' >/dev/null
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
	ask -c 'SELECT streamproc.wait_for()' >/dev/null 2>&1; do
	sleep 0.1
done
echo "  kill -9 of the worker, to caught up: $(awk -v a="$start" -v b="$(date +%s.%N)" 'BEGIN {printf "%.1f s", b - a}')," \
	"memory then $(anon "$(worker)")"
set_interval 10
wrong=$(ask -c "SELECT count(*) FROM visit_total WHERE n <> 3" -c "SELECT count(*) FROM visit_total" | paste -sd' ')
echo "  keys with another count than 3, and keys: $wrong"
ask -c "SELECT streamproc.drop_detector('visit_score')" -c "SELECT streamproc.drop_window('visit_total')" \
	-c "SELECT streamproc.drop_stream('visit')" >/dev/null
