"""What each kind of windows costs the worker, apart from writing results.

5,000,000 rows as in throughput.py, COPY binary into a stream table in commits of 5,000, results written each second. The
worker says how much of its CPU went into writing; the rest is decoding, windows, closing them and checkpoints. Tumbling windows of a minute that appear when they are closed are the measure of hopping ones of
an hour by the minute; sessions and sliding windows have a bar of 300,000 rows a second on one core.

ONLY=dedup: only what a dedup_key costs where all keys are new: the worker's CPU above the same load without one, the window
being one running count.
"""

import os

import throughput as bench

AGGREGATES = ("ARRAY['count(*) AS n', 'sum(value) AS total', 'min(value) AS low', 'max(value) AS high']")
ONLY = os.environ.get('ONLY', '')

KINDS = [
    ('tumbling 1 min', "kind => 'tumbling', size => '1 minute', emit => 'final'"),
    ('hopping 1 h by 1 min', "kind => 'hopping', size => '1 hour', slide => '1 minute'"),
    ('cumulative 1 h by 1 min', "kind => 'cumulative', size => '1 hour', slide => '1 minute'"),
    ('session, gap 1 s', "kind => 'session', gap => '1 second', emit => 'final'"),
    ('sliding 1 min', "kind => 'sliding', size => '1 minute'"),
    ('sliding 5 min', "kind => 'sliding', size => '5 minutes'"),
]


def cpu_of(pid):
    """utime + stime of a process, in seconds."""
    with open(f'/proc/{pid}/stat') as stat:
        return bench.cpu_seconds(stat.read())


def writing(pid):
    return float(bench.psql(f'SELECT writing_cpu_seconds FROM streamproc.worker WHERE pid = {pid}'))


DEDUP = [
    ('without', ''),
    ('bigint, 1 hour', ", dedup_key => '{id}', dedup_within => '1 hour'"),
    ('bigint, 10 minutes', ", dedup_key => '{id}', dedup_within => '10 minutes'"),
    ('bigint and int', ", dedup_key => '{id, key}', dedup_within => '1 hour'"),
]


def measure(kind, stream='', keys="ARRAY['key']", aggregates=AGGREGATES):
    bench.psql('DROP TABLE IF EXISTS event CASCADE;')
    bench.psql(f"""CREATE TABLE event {bench.COLUMNS} USING streamproc;
        SELECT streamproc.create_stream('event', time_column => 'ts'{stream});
        SELECT streamproc.create_window('result', 'event', {kind}, keys => {keys}, aggregates => {aggregates},
            trigger => '1 second');
        SELECT streamproc.wait_for();""")
    pid = bench.worker_pid()
    cpu, written = cpu_of(pid), writing(pid)
    peak = bench.Peak(pid)
    bench.psql(''.join(f"COPY event FROM '{bench.DIR}/{n}' WITH (FORMAT binary);\n"
                       for n in range(bench.ROWS // bench.COMMIT)))
    bench.psql("SELECT streamproc.wait_for(timeout => '1 hour')")
    written = writing(pid) - written
    applied = cpu_of(pid) - cpu - written
    peak.ended.set()
    peak.join()
    results = int(bench.psql('SELECT count(*) FROM result'))
    bench.psql("SELECT streamproc.drop_window('result'); SELECT streamproc.drop_stream('event'); DROP TABLE event")
    return applied, written, results, peak.mb


def measure_dedup():
    bench.make_files(100, 'binary')
    print(f"\nA dedup_key, all keys new\n{'':26}{'CPU us/row':>11}{'above':>9}{'worker':>10}")
    base = None
    for name, stream in DEDUP:
        applied, written, _, mb = measure("kind => 'global'", stream, "'{}'", "ARRAY['count(*) AS n']")
        applied += written
        base = base or applied
        print(f'{name:26}{applied / bench.ROWS * 1e6:>11.3f}{(applied - base) / bench.ROWS * 1e6:>9.3f}{mb:>7.0f} MB', flush=True)


def main():
    if ONLY in ('', 'dedup'):
        measure_dedup()
    if ONLY == 'dedup':
        return
    print(f'Kinds of windows: {bench.ROWS:,} rows into a stream table, count, sum, min, max by key; CPU of the worker.')
    for workload, nkeys in bench.WORKLOADS.items():
        bench.make_files(nkeys, 'binary')
        print(f"\n{workload}: {nkeys:,} keys\n{'':26}{'CPU us/row':>11}{'of tumbling':>13}{'rows/s a core':>15}"
              f"{'output us/row':>15}{'results':>11}{'worker':>10}")
        base = None
        for name, kind in KINDS:
            if base and ONLY and ONLY not in name:
                continue
            applied, written, results, mb = measure(kind)
            base = base or applied
            print(f"{name:26}{applied / bench.ROWS * 1e6:>11.2f}{applied / base:>13.2f}{bench.ROWS / applied / 1e6:>13.2f} M"
                  f"{written / bench.ROWS * 1e6:>15.2f}{results:>11,}{mb:>7.0f} MB", flush=True)
        for n in range(bench.ROWS // bench.COMMIT):
            os.unlink(f'{bench.DIR}/{n}')


main()
