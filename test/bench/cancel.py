"""How long a query of a batch detector goes on after pg_cancel_backend(): each method over large tables, cancelled at moments by chance.

Every window function, training aggregate and function over a series, as the catalog lists them, and detect(). The milliseconds are
those from asking for the cancellation until the error arrives, wherever the query was, and with what it takes to free memory and
temporary files; beside the worst, how many of them the backend was at work: the rest was spent waiting for a core. More than 100 are
marked with "!".

ONLY: methods whose name contains one of these words. TRIES: moments for each (default 8). SCALE: of the tables (default 1). LONGEST: seconds
into a query, at most (default 8).
"""

import os
import random
import subprocess
import sys
import threading
import time

BAR = 100
TRIES = int(os.environ.get("TRIES") or 8)
SCALE = float(os.environ.get("SCALE") or 1)
LONGEST = float(os.environ.get("LONGEST") or 8)
NOISE = "hashint8(i * {0} + {0}) / 1e9::float8"
# (name, rows, columns)
TABLES = {
    "one": (10_000_000, ["i", f"{NOISE.format(1)} AS v"]),
    "ten": (1_000_000, ["i"] + [f"{NOISE.format(j)} AS c{j}" for j in range(1, 11)]),
    "wide": (50_000, ["i", "(SELECT array_agg(hashint8(i * 1000 + j) / 1e9::float8) FROM generate_series(1, 166) j) AS x"]),
    "series": (1_000_000, ["i", f"10 * sin(i / 45.0) + {NOISE.format(1)} AS v"]),
    "same": (1_000_000, ["i", "1::float8 + (i = 1)::int AS a", "2::float8 AS b"]),
}
TEN = "ARRAY[" + ", ".join(f"c{j}" for j in range(1, 11)) + "]"
POINT = {"ten": TEN, "wide": "x", "same": "ARRAY[a, b]", "few": "ARRAY[c1, c2, c3]"}
# what follows the features; those that are missing have no more parameters without a default
REST = {"dbscan": ", 0.02", "seasonal_esd": ", 288", "stl_residual": ", 288", "matrix_profile": ", 100",
        "stl_decompose": ", 288", "matrix_profile_full": ", 100", "suggest_eps": ", 10"}
ONE = ("zscore", "modified_zscore", "tukey", "grubbs", "generalized_esd")
SERIES = ("seasonal_esd", "stl_residual", "matrix_profile", "spectral_residual", "bayesian_changepoint")


class Session:
    """psql, which says when a statement has ended, well or not."""

    def __init__(self):
        self.process = subprocess.Popen(["psql", "-XAtq"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.run("SET max_parallel_workers_per_gather = 0; SET client_min_messages = error")
        self.pid = self.run("SELECT pg_backend_pid()")[0]

    def cpu(self):
        """Milliseconds so far."""
        with open(f"/proc/{self.pid}/schedstat") as f:
            return int(f.read().split()[0]) / 1e6

    def begin(self, sql):
        self.process.stdin.write(f"{sql};\n\\echo :SQLSTATE end\n")
        self.process.stdin.flush()

    def end(self):
        """Lines, the last of which is its SQLSTATE."""
        lines = []
        while not lines or not lines[-1].endswith(" end"):
            line = self.process.stdout.readline()
            if not line:
                sys.exit("cancel: the server is gone")
            lines.append(line.rstrip("\n"))
        return lines[:-1] + [lines[-1][:-4]]

    def run(self, sql):
        self.begin(sql)
        lines = self.end()
        if lines[-1] != "00000":
            sys.exit(f"cancel: {sql} failed with SQLSTATE {lines[-1]}: {self.process.stderr.readline()}")
        return lines


def load(session):
    for name, (rows, columns) in TABLES.items():
        session.run(f"CREATE TABLE {name} AS SELECT {', '.join(columns)} FROM generate_series(1, {int(rows * SCALE)}) i")
        session.run(f"ALTER TABLE {name} ADD PRIMARY KEY (i)")
        session.run(f"VACUUM ANALYZE {name}")


def find_windows(session):
    """(name, SQL) of each window function."""
    names = session.run("SELECT DISTINCT proname FROM pg_proc WHERE pronamespace = 'streamproc'::regnamespace AND prosrc = 'sp_batch_window'")[:-1]
    for name in sorted(names):
        rest = REST.get(name, "")
        if name in ONE:
            yield name, f"SELECT count(s) FROM (SELECT streamproc.{name}(v{rest}) OVER () AS s FROM one) q"
        elif name in SERIES:
            yield name, f"SELECT count(s) FROM (SELECT streamproc.{name}(v{rest}) OVER (ORDER BY i) AS s FROM series) q"
        else:
            for table in ("ten", "few", "wide", "same"):
                source = "ten" if table == "few" else table
                yield f"{name}, {table}", f"SELECT count(s) FROM (SELECT streamproc.{name}({POINT[table]}{rest}) OVER () AS s FROM {source}) q"


def find_others(session):
    """(name, SQL) of each aggregate, of functions of arrays, and detect()."""
    for name in session.run("SELECT DISTINCT proname FROM pg_proc WHERE pronamespace = 'streamproc'::regnamespace AND prokind = 'a' "
                            "AND proname LIKE '%\\_train' ORDER BY 1")[:-1]:
        for table in ("ten", "wide"):
            yield f"{name}, {table}", f"SELECT streamproc.{name}({POINT[table]}) IS NULL FROM {table}"
    yield "robust_stats", "SELECT streamproc.robust_stats(v) FROM one"
    yield "suggest_eps", "SELECT streamproc.suggest_eps(ARRAY[c1, c2, c3], 10) FROM ten"
    yield "anomaly_threshold", "SELECT streamproc.anomaly_threshold(0.01) WITHIN GROUP (ORDER BY v) FROM one"
    for name in ("stl_decompose", "matrix_profile_full", "find_period"):
        call = f"streamproc.{name}(v{REST.get(name, '')})"
        yield name, f"SELECT count(s) FROM (SELECT {call} AS s FROM (SELECT array_agg(v ORDER BY i) AS v FROM series) a) q"
    for method, table, features in (("isolation_forest", "ten", "c1,c2,c3"), ("auto_score", "ten", "c1,c2,c3"), ("modified_zscore", "one", "v")):
        yield f"detect(), {method}", f"SELECT count(*) FROM streamproc.detect('{table}', '{method}', '{{{features}}}', contamination => 0.01)"


def measure(session, other, sql, chance):
    """(seconds that it runs, up to LONGEST; milliseconds of each cancellation, and those of the backend's work)"""
    cancel = f"SELECT pg_cancel_backend({session.pid})"
    timer = threading.Timer(LONGEST, other.run, (cancel,))
    started = time.monotonic()
    session.begin(sql)
    timer.start()
    state = session.end()[-1]
    length = min(LONGEST, time.monotonic() - started)
    timer.cancel()
    timer.join()
    if state not in ("00000", "57014"):
        sys.exit(f"cancel: {sql} failed with SQLSTATE {state}: {session.process.stderr.readline()}")
    waits = []
    for i in range(TRIES):
        session.begin(sql)
        time.sleep(length * (i + chance.random()) / TRIES)
        asked, cpu = time.monotonic(), session.cpu()
        other.run(cancel)
        if session.end()[-1] == "57014":
            waits.append((1000 * (time.monotonic() - asked), session.cpu() - cpu))
    return length, waits


def main():
    wanted = os.environ.get("ONLY", "").split()
    chance = random.Random(1)
    session, other = Session(), Session()
    load(session)
    missed = 0
    print(f"{'method':36s}{'runs, s':>9s}{'cancelled':>11s}{'median, ms':>12s}{'worst, ms':>11s}{'at work':>9s}")
    for name, sql in list(find_windows(session)) + list(find_others(session)):
        if wanted and not any(word in name for word in wanted):
            continue
        length, waits = measure(session, other, sql, chance)
        waits = sorted(waits) or [(0.0, 0.0)]
        worst, work = waits[-1]
        missed += worst > BAR
        print(f"{name:36s}{length:9.2f}{len(waits):11d}{waits[len(waits) // 2][0]:12.1f}"
              f"{worst:10.1f}{'!' if worst > BAR else ' '}{work:9.1f}", flush=True)
    print(f"\n{missed} methods take longer than {BAR} ms" if missed else f"\nall within {BAR} ms")


if __name__ == "__main__":
    main()
