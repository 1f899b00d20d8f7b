"""Rows per second from COPY to visible windows, beside COPY alone and beside a statement-level trigger.

Rows (id bigint, key int4 uniform, value float8, ts timestamptz), one millisecond apart, in COPYs of 5,000 rows from
files on the server, each its own commit; 1-minute tumbling window by key with count, sum, min, max. W-many has 10,000
keys: nearly every row of a commit touches another result row. W-few has 100. KIND=sliding: an answer for each row over the
last 5 minutes instead, which are 3,000 rows of a key with W-few, and 30 with W-many; W-hot, with one key, has 300,000.
SHUFFLE=10: rows in disorder, up to 10 seconds.

A run's time ends when wait_for() has returned. CPU is utime + stime of the loading backend and of the worker.
"""

import os
import statistics
import subprocess
import sys
import threading
import time

ROWS = int(os.environ.get('ROWS', '5000000'))
ONLY = os.environ.get('ONLY', '')
RUNS = int(os.environ.get('RUNS', '1'))
KIND = os.environ.get('KIND', 'tumbling')
SHUFFLE = int(os.environ.get('SHUFFLE', '0'))
COMMIT = 5000
DIR = os.environ['BENCH_DIR'] + '/bench'
TICK = os.sysconf('SC_CLK_TCK')

COLUMNS = '(id bigint, key int4, value float8, ts timestamptz)'
SIZES = {'tumbling': '1 minute', 'sliding': '5 minutes'}
WINDOW = f"""SELECT streamproc.create_window('minute', 'event', kind => '{KIND}', size => '{SIZES[KIND]}',""" + """
    keys => ARRAY['key'], aggregates => ARRAY['count(*) AS n', 'sum(value) AS total',
    'min(value) AS low', 'max(value) AS high'], trigger => '{trigger}');"""
# A session ends where its key pauses for five times as long as it does on average.
SESSION = """SELECT streamproc.create_window('minute', 'event', kind => 'session', gap => '{{gap}} ms',
    keys => ARRAY['key'], aggregates => ARRAY['count(*) AS n', 'sum(value) AS total',
    'min(value) AS low', 'max(value) AS high'], trigger => '{trigger}', emit => '{emit}');"""
DETECTOR = """SELECT streamproc.create_detector('alert', 'event', method => 'ewma', value => 'value',
    keys => ARRAY['key'], threshold => 12);"""
STREAM = "SELECT streamproc.create_stream('event', time_column => 'ts');"
TRIGGER = """CREATE TABLE minute (key int4, window_start timestamptz, n bigint, total float8, low float8, high float8,
    PRIMARY KEY (key, window_start)) WITH (fillfactor = 70);
CREATE FUNCTION maintain() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO minute AS m
    SELECT key, date_bin('1 minute', ts, '2000-01-01'), count(*), sum(value), min(value), max(value)
    FROM new_rows GROUP BY 1, 2
    ON CONFLICT (key, window_start) DO UPDATE SET n = m.n + excluded.n, total = m.total + excluded.total,
        low = least(m.low, excluded.low), high = greatest(m.high, excluded.high);
    RETURN NULL;
END $$;
CREATE TRIGGER maintain AFTER INSERT ON event REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION maintain();"""

WORKLOADS = {'W-many': 10000, 'W-few': 100}
if KIND == 'sliding':
    WORKLOADS['W-hot'] = 1


class Case:
    """One way to process the rows."""

    def __init__(self, name, table='heap', declare='', worker=False):
        self.name = name
        self.table = table
        self.declare = declare
        self.worker = worker


def cases():
    yield Case('COPY alone')
    yield Case('COPY alone', table='streamproc')
    if KIND == 'tumbling':
        yield Case('statement trigger', declare=TRIGGER)
    for table in ('heap', 'streamproc'):
        for trigger in ('0', '1 second'):
            for detector in ('', DETECTOR):
                yield Case(f"window, trigger '{trigger}'" + (' + ewma' if detector else ''), table,
                           STREAM + WINDOW.format(trigger=trigger) + detector, worker=True)
        sessions = (('0', 'update'), ('1 second', 'update'), ('1 second', 'final')) if KIND == 'tumbling' else ()
        for trigger, emit in sessions:
            yield Case(f"session, trigger '{trigger}', '{emit}'", table,
                       STREAM + SESSION.format(trigger=trigger, emit=emit), worker=True)


def psql(sql, *options):
    done = subprocess.run(['psql', '-X', '-q', '-A', '-t', '-v', 'ON_ERROR_STOP=1', *options],
                          input=sql, text=True, capture_output=True)
    if done.returncode != 0:
        sys.exit(f'psql failed:\n{done.stderr}\n{sql[:2000]}')
    return done.stdout.strip()


def make_files(nkeys, form):
    """The rows of a workload, a file for each commit. Keys and values look random and are always the same."""
    psql(f"""DO $$ BEGIN
        FOR n IN 0 .. {ROWS // COMMIT - 1} LOOP
            EXECUTE format($f$COPY (
                SELECT i::bigint, (abs(hashint8(i)::bigint) %% {nkeys})::int4,
                    (hashint8extended(i, 1) & 1048575) / 1024.0::float8,
                    '2026-01-01'::timestamptz + (i + (hashint8extended(i, 2) & 1048575) * {SHUFFLE} / 1048.576)
                        * interval '1 ms'
                FROM generate_series(%s, %s) i) TO %L WITH (FORMAT {form})$f$,
                n * {COMMIT} + 1, (n + 1) * {COMMIT}, format('{DIR}/%s', n));
        END LOOP;
    END $$""")


def cpu_seconds(stat):
    fields = stat[stat.rindex(')') + 2:].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def worker_pid():
    pid = psql("""SELECT pid FROM pg_stat_activity WHERE datname = current_database()
        AND backend_type LIKE 'streamproc%'""")
    return int(pid) if pid else None


def rss_anon_mb(pid):
    with open(f'/proc/{pid}/status') as status:
        for line in status:
            if line.startswith('RssAnon:'):
                return int(line.split()[1]) / 1024
    return 0.0


class Peak(threading.Thread):
    """The largest RssAnon of a process, looked at 20 times a second."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.mb, self.ended = pid, 0.0, threading.Event()
        self.start()

    def run(self):
        while self.pid and not self.ended.wait(0.05):
            self.mb = max(self.mb, rss_anon_mb(self.pid))


def measure(case, form, nkeys):
    psql('DROP TABLE IF EXISTS event, minute CASCADE; DROP FUNCTION IF EXISTS maintain;')
    psql(f'CREATE TABLE event {COLUMNS} USING {case.table};' + case.declare.replace('{gap}', str(5 * nkeys)))
    if case.worker:
        psql('SELECT streamproc.wait_for();')
    psql('CHECKPOINT')
    pid = worker_pid() if case.worker else None

    mark = r"""SELECT extract(epoch FROM clock_timestamp()), pg_current_wal_insert_lsn() - '0/0',
        replace(pg_read_file('/proc/self/stat'), E'\n', ''),""" + (
            f" replace(pg_read_file('/proc/{pid}/stat'), E'\\n', '')" if pid else " ''") + ';\n'
    script = mark
    for n in range(ROWS // COMMIT):
        script += f"COPY event FROM '{DIR}/{n}' WITH (FORMAT {form});\n"
    script += mark
    if case.worker:
        script += "\\o /dev/null\nSELECT streamproc.wait_for();\n\\o\n"
    script += mark

    peak = Peak(pid)
    lines = [line.split('|') for line in psql(script).splitlines()]
    peak.ended.set()
    peak.join()
    start, loaded, done = lines
    rows = ROWS // COMMIT * COMMIT
    if case.worker or 'trigger' in case.name:
        counted = int(psql('SELECT count(*) FROM minute' if KIND == 'sliding' else 'SELECT sum(n) FROM minute'))
        if counted != rows and "'final'" not in case.name:
            sys.exit(f'{case.name}: {counted} rows counted instead of {rows}')
    result = {
        'rate': rows / (float(done[0]) - float(start[0])),
        'loader': (cpu_seconds(loaded[2]) - cpu_seconds(start[2])) / rows * 1e6,
        'worker': (cpu_seconds(done[3]) - cpu_seconds(start[3])) / rows * 1e6 if pid else 0.0,
        'wal': (float(done[1]) - float(start[1])) / rows,
        'mb': peak.mb,
    }
    if case.worker:
        psql(("SELECT streamproc.drop_detector('alert');" if DETECTOR in case.declare else '') +
             "SELECT streamproc.drop_window('minute'); SELECT streamproc.drop_stream('event');")
    return result


def median_of(case, form, nkeys):
    runs = [measure(case, form, nkeys) for _ in range(RUNS)]
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def main():
    print(f'Throughput: {ROWS:,} rows in COPYs of {COMMIT:,}, until wait_for() returns. The window:')
    print('  ' + WINDOW.format(trigger='0').replace('\n', '\n  '))
    print('and where it says ewma:')
    print('  ' + DETECTOR.replace('\n', '\n  '))
    print('A session is the same with a gap of five times the mean pause of a key: 500 ms, and 50 s.')
    print('The statement trigger does the same as the window with a transition table and ON CONFLICT, fillfactor 70.')
    print('"of COPY": rows/s beside COPY alone into an ordinary table. "above": CPU and WAL a row more than that COPY.')
    print('"of trigger": rows/s beside the trigger.')
    for workload, nkeys in WORKLOADS.items():
        for form in ('binary', 'text'):
            if ONLY and not any(ONLY in f'{workload} {form} {c.table} {c.name}' for c in cases()):
                continue
            make_files(nkeys, form)
            print(f'\n{workload}: {nkeys:,} keys, COPY {form}')
            print(f"{'':12}{'':37}{'rows/s':>9}{'of COPY':>9}{'of trig.':>9}  "
                  f"{'CPU us/row':>16}{'above':>7}  {'WAL B':>6}{'above':>7}{'  worker':>9}")
            print(f"{'':49}{'':27}  {'load.   worker':>16}")
            base = trigger = None
            for case in cases():
                name = f'{workload} {form} {case.table} {case.name}'
                if ONLY and case.worker and ONLY not in name:
                    continue
                got = median_of(case, form, nkeys)
                base = base or got
                if 'statement' in case.name:
                    trigger = got
                print(f"{'stream table' if case.table == 'streamproc' else 'ordinary':13}{case.name:36}"
                      f"{got['rate'] / 1e6:>7.2f} M{got['rate'] / base['rate']:>9.2f}"
                      f"{got['rate'] / trigger['rate'] if trigger else float('nan'):>9.2f}  "
                      f"{got['loader']:>7.2f}  {got['worker']:>7.2f}"
                      f"{got['loader'] + got['worker'] - base['loader']:>7.2f}  "
                      f"{got['wal']:>6.1f}{got['wal'] - base['wal']:>7.1f}{got['mb']:>6.0f} MB", flush=True)
            for n in range(ROWS // COMMIT):
                os.unlink(f'{DIR}/{n}')


if __name__ == '__main__':
    main()
