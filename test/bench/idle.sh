# What a worker costs that has nothing to do, and whether it holds back WAL that others write.
set -euo pipefail
seconds=${IDLE_SECONDS:-60}

ask() { psql -X -q -A -t -v ON_ERROR_STOP=1 "$@"; }
ticks() { sed 's/.*) //' "/proc/$1/stat" | awk '{print $12 + $13}'; }

ask >/dev/null <<'SQL'
CREATE TABLE quiet (ts timestamptz, value float8);
SELECT streamproc.create_stream('quiet', time_column => 'ts');
SELECT streamproc.create_window('quiet_1m', 'quiet', kind => 'tumbling', size => '1 minute',
	aggregates => ARRAY['count(*) AS n']);
SELECT streamproc.create_detector('quiet_alert', 'quiet', method => 'ewma', value => 'value');
INSERT INTO quiet VALUES (now(), 1);
SELECT streamproc.wait_for();
SQL
pid=$(ask -c "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND backend_type LIKE 'streamproc%'")

echo "Idle: a stream with a window and a detector, no rows, for $seconds s:"
before=$(ticks "$pid")
sleep "$seconds"
awk -v ticks=$(($(ticks "$pid") - before)) -v hz="$(getconf CLK_TCK)" -v seconds="$seconds" \
	'BEGIN {printf "  worker: %.3f %% of a core (%.2f CPU seconds)\n", 100 * ticks / hz / seconds, ticks / hz}'

echo "Another database writes 200 MB of WAL meanwhile; the slot must not hold it back:"
ask -c 'CREATE DATABASE elsewhere' -c 'CHECKPOINT'
lag="SELECT pg_size_pretty(pg_current_wal_lsn() - %s) FROM pg_replication_slots WHERE database = current_database()"
ask -d elsewhere -c 'CREATE TABLE noise (filler text)' -c "
	INSERT INTO noise SELECT repeat(md5(i::text), 30) FROM generate_series(1, 200000) i"
held_before=$(ask -c "$(printf "$lag" restart_lsn)")
deadline=$(($(date +%s) + 90))
until [ "$(ask -c "SELECT pg_current_wal_lsn() - confirmed_flush_lsn < 16e6 AND pg_current_wal_lsn() - restart_lsn < 32e6
	FROM pg_replication_slots WHERE database = current_database()")" = t ] || [ "$(date +%s)" -gt $deadline ]; do
	sleep 1
done
echo "  held right after the load: $held_before; after $(($(date +%s) - deadline + 90)) s more: $(ask -c "$(printf "$lag" restart_lsn)")," \
	"not confirmed: $(ask -c "$(printf "$lag" confirmed_flush_lsn)")"
ask -c "SELECT streamproc.drop_detector('quiet_alert')" -c "SELECT streamproc.drop_window('quiet_1m')" \
	-c "SELECT streamproc.drop_stream('quiet')" -c 'DROP DATABASE elsewhere' >/dev/null
