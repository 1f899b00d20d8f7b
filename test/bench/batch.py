"""Batch detectors in SQL: CPU seconds of the backend, the scan of the table included, and how much memory of its own it takes.

Each case is one SELECT that counts the scores, by one process on a cached table, with work_mem as it comes; beside it, where Debian
has one, what a user would run otherwise, on the same rows (its export and import not counted): scikit-learn and statsmodels on arrays,
or plain SQL; and what that takes in memory, beyond the rows themselves. A bar that is missed is marked with "!".

CASES: only those whose name contains one of these words. SCALE: of the tables (default 1; bars hold for 1 only). PEERS=0: without
them. RUNS: of each case (default 1); the least CPU time is printed.
"""

import os
import resource
import subprocess
import sys
import threading

import numpy

SCALE = float(os.environ.get("SCALE") or 1)
TEN = "c1, c2, c3, c4, c5, c6, c7, c8, c9, c10"
MILLION = int(1_000_000 * SCALE)
SERIES = int(100_000 * SCALE)

# (name, table, call, what follows the window, bar in CPU seconds, bar in MB, the peer's name, its Python, or SQL that begins with SELECT)
CASES = [
    ("isolation_forest", "ten", f"isolation_forest({TEN})", "()", 1 / 0.45, None, "scikit-learn, training and scores",
     "from sklearn.ensemble import IsolationForest; IsolationForest(random_state=1).fit(x).score_samples(x)"),
    ("isolation_forest_train", "ten", f"SELECT count(m) FROM (SELECT streamproc.isolation_forest_train(ARRAY[{TEN}]) AS m FROM ten) s", None, 0.3, None,
     "scikit-learn", "from sklearn.ensemble import IsolationForest; IsolationForest(random_state=1).fit(x)"),
    ("score() of a forest", "ten", f"WITH f AS MATERIALIZED (SELECT streamproc.isolation_forest_train(ARRAY[{TEN}]) AS m FROM ten) "
     f"SELECT count(streamproc.score(m, ARRAY[{TEN}])) FROM ten, f", None, None, None, "(training included)", None),
    ("extended_isolation_forest", "ten", f"extended_isolation_forest({TEN})", "()", None, None, None, None),
    ("auto_score", "ten", f"auto_score({TEN})", "()", 20, 150, None, None),
    ("density_forest", "ten", f"density_forest({TEN})", "()", None, None, None, None),
    ("sample_knn", "ten", f"sample_knn({TEN})", "()", None, None, None, None),
    ("ecod", "ten", f"ecod({TEN})", "()", 2, None, "(PyOD, measured elsewhere: 4.4)", None),
    ("copod", "ten", f"copod({TEN})", "()", None, None, "(PyOD, measured elsewhere: 4.3)", None),
    ("hbos", "ten", f"hbos({TEN})", "()", 0.7, None, "(PyOD, measured elsewhere: 0.31 on an array)", None),
    ("mahalanobis", "ten", f"mahalanobis({TEN})", "()", None, None, "scikit-learn",
     "from sklearn.covariance import EmpiricalCovariance; EmpiricalCovariance().fit(x).mahalanobis(x)"),
    ("pca_score", "ten", f"pca_score({TEN})", "()", None, None, None, None),
    ("loda", "ten", f"loda({TEN})", "()", None, None, "(PyOD, measured elsewhere: 2.8)", None),
    ("mcd", "ten", f"mcd({TEN})", "()", 20, None, "(scikit-learn, measured elsewhere: 168)", None),
    ("dbscan", "two", "dbscan(ARRAY[c1, c2], 0.03, 10)", "()", 2.5, None, "scikit-learn",
     "from sklearn.cluster import DBSCAN; DBSCAN(eps=0.03, min_samples=10).fit(x)"),
    ("hdbscan, 100,000", "three", "hdbscan(ARRAY[c1, c2, c3], 5)", "()", None, None, None, None),
    ("lof, k = 20", "three", "lof(ARRAY[c1, c2, c3], 20)", "()", 0.6, None, "scikit-learn",
     "from sklearn.neighbors import LocalOutlierFactor; LocalOutlierFactor(20).fit(x).negative_outlier_factor_"),
    ("knn_distance, k = 5", "three", "knn_distance(ARRAY[c1, c2, c3], 5)", "()", 0.6, None, "scikit-learn",
     "from sklearn.neighbors import NearestNeighbors; NearestNeighbors(n_neighbors=5).fit(x).kneighbors()"),
    ("modified_zscore", "grouped", "modified_zscore(v)", "(PARTITION BY g)", 3.5, None, "percentile_cont twice, GROUP BY and joins",
     """SELECT count(abs(v - m) / nullif(mad, 0)) FROM grouped JOIN
     (SELECT g, m, percentile_cont(0.5) WITHIN GROUP (ORDER BY abs(v - m)) AS mad FROM grouped JOIN
     (SELECT g, percentile_cont(0.5) WITHIN GROUP (ORDER BY v) AS m FROM grouped GROUP BY g) a USING (g) GROUP BY g, m) b USING (g)"""),
    ("detect(), modified_zscore", "grouped", "SELECT count(score) FROM streamproc.detect('grouped', 'modified_zscore', '{v}', partition_by => '{g}')", None,
     None, None, "(the same)", None),
    ("tukey", "grouped", "tukey(v)", "(PARTITION BY g)", 3.5, None, "percentile_cont, GROUP BY and join",
     """SELECT count(greatest(q[1] - v, v - q[2])) FROM grouped JOIN
     (SELECT g, percentile_cont(ARRAY[0.25, 0.75]) WITHIN GROUP (ORDER BY v) AS q FROM grouped GROUP BY g) a USING (g)"""),
    ("zscore", "grouped", "zscore(v)", "(PARTITION BY g)", None, None, "avg() and stddev() over the same window",
     """SELECT count((v - m) / s) FROM (SELECT v, avg(v) OVER w AS m, stddev(v) OVER w AS s FROM grouped
     WINDOW w AS (PARTITION BY g)) a"""),
    ("modified_zscore, index", "indexed", "modified_zscore(v)", "(PARTITION BY g)", 3.5, None, "(an index on (g) INCLUDE (v) spares the sort)", None),
    ("row_number()", "grouped", "SELECT count(v + n) FROM (SELECT v, row_number() OVER (PARTITION BY g) AS n FROM grouped) s", None, None, None,
     "(PostgreSQL's, for what sort and window cost alone)", None),
    ("stl_residual", "series", "stl_residual(v, 288, false)", "(ORDER BY i)", 1, None, "statsmodels, the same jumps",
     "from statsmodels.tsa.seasonal import STL; STL(x[:, 1], 288, seasonal_jump=1, trend_jump=56, low_pass_jump=29).fit()"),
    ("stl_residual, robust", "series", "stl_residual(v, 288, true)", "(ORDER BY i)", None, None, "statsmodels, the same jumps",
     "from statsmodels.tsa.seasonal import STL; STL(x[:, 1], 288, robust=True, seasonal_jump=1, trend_jump=56, low_pass_jump=29).fit()"),
    ("seasonal_esd", "series", "seasonal_esd(v, 288)", "(ORDER BY i)", None, None, None, None),
    ("spectral_residual", "series", "spectral_residual(v)", "(ORDER BY i)", None, None, None, None),
]


def make_points(d, n, seed):
    """Half of them in 200 groups, the others anywhere."""
    chance = numpy.random.default_rng(seed)
    centers = chance.uniform(0, 10, (200, d))
    return numpy.r_[centers[chance.integers(0, 200, n // 2)] + chance.normal(0, 0.1, (n // 2, d)), chance.uniform(0, 10, (n - n // 2, d))]


def make_table(name):
    """The rows, as an array."""
    chance = numpy.random.default_rng(1)
    if name == "ten":
        return chance.normal(size=(MILLION, 10))
    if name == "two":
        return make_points(2, MILLION, 2)
    if name == "three":
        return make_points(3, SERIES, 3)
    i = numpy.arange(SERIES)
    return numpy.c_[i, 100 + 10 * numpy.sin(2 * numpy.pi * i / 288) + chance.normal(0, 1, SERIES)]


class Session:
    """A backend whose CPU time and memory are watched."""

    def __init__(self):
        self.process = subprocess.Popen(["psql", "-XAtq"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.pid = self.ask("SELECT pg_backend_pid()")
        self.ask("SET max_parallel_workers_per_gather = 0; SELECT 1")

    def ask(self, sql):
        self.process.stdin.write(sql + ";\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline().strip()
        if not line:
            sys.exit(f"batch: no answer to {sql}")
        return line

    def cpu(self):
        with open(f"/proc/{self.pid}/stat") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self):
        """Of its own, in MB."""
        with open(f"/proc/{self.pid}/status") as f:
            return next(int(line.split()[1]) for line in f if line.startswith("RssAnon")) / 1024

    def measure(self, sql):
        """(answer, CPU seconds, MB at the peak)"""
        before, cpu, peak, done = self.memory(), self.cpu(), [0.0], threading.Event()

        def watch():
            while not done.wait(0.02):
                peak[0] = max(peak[0], self.memory())

        watcher = threading.Thread(target=watch)
        watcher.start()
        answer = self.ask(sql)
        done.set()
        watcher.join()
        return answer, self.cpu() - cpu, max(0.0, peak[0] - before)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def load(session, name):
    if name == "indexed":
        session.ask("CREATE TABLE indexed AS TABLE grouped; CREATE INDEX ON indexed (g) INCLUDE (v); SELECT 1")
        session.ask("VACUUM ANALYZE indexed; SELECT 1")
        return
    if name == "grouped":
        session.ask(f"CREATE TABLE grouped AS SELECT (hashint8(i) & 1023) % 1000 AS g, hashint8(-i) / 1e9::float8 AS v "
                    f"FROM generate_series(1, {10 * MILLION}) i; VACUUM ANALYZE grouped; SELECT 1")
        return
    x = make_table(name)
    columns = "i float8, v float8" if name == "series" else ", ".join(f"c{j + 1} float8" for j in range(x.shape[1]))
    session.ask(f"CREATE TABLE {name} ({columns}); SELECT 1")
    copy = subprocess.Popen(["psql", "-XAtq", "-c", f"COPY {name} FROM STDIN (DELIMITER ' ')"], stdin=subprocess.PIPE, text=True)
    for first in range(0, len(x), 100_000):
        copy.stdin.write("\n".join(" ".join(map(repr, row)) for row in x[first:first + 100_000].tolist()) + "\n")
    copy.stdin.close()
    if copy.wait() != 0:
        sys.exit(f"batch: {name} could not be loaded")
    session.ask(f"VACUUM ANALYZE {name}; SELECT 1")
    numpy.save(os.path.join(os.environ["BENCH_DIR"], "bench", f"{name}.npy"), x)


def measure_peer(session, table, code):
    """(CPU seconds, MB): of SQL in the session, of Python in a process of its own, imports and reading not counted."""
    if code.startswith("SELECT"):
        return session.measure(code)[1:]
    load_it = f"import numpy, resource, time; x = numpy.load({os.path.join(os.environ['BENCH_DIR'], 'bench', table + '.npy')!r}); "
    imports, _, call = code.partition("; ")
    peak = "resource.getrusage(resource.RUSAGE_SELF).ru_maxrss"
    script = (f"{load_it}{imports}; before = {peak}; t = time.process_time(); {call}; "
              f"print(time.process_time() - t, ({peak} - before) / 1024)")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    out = subprocess.run(["/usr/bin/python3", "-W", "ignore", "-c", script], text=True, capture_output=True, env=environment)
    if out.returncode != 0:
        sys.exit(f"batch: {out.stderr}")
    return map(float, out.stdout.split())


def make_query(table, call, window):
    """What counts the scores, unless the call is a query itself."""
    if call.startswith(("SELECT", "WITH")):
        return call
    return f"SELECT count(score) FROM (SELECT streamproc.{call} OVER {window} AS score FROM {table}) s"


def find_rows(table):
    return 10 * MILLION if table in ("grouped", "indexed") else SERIES if table in ("three", "series") else MILLION


def main():
    wanted = os.environ.get("CASES", "").split()
    cases = [c for c in CASES if not wanted or any(word in c[0] for word in wanted)]
    session = Session()
    missed = 0
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    tables = dict.fromkeys(c[1] for c in cases)
    for table in [t for t in ("grouped",) if "indexed" in tables and t not in tables] + list(tables):
        load(session, table)
        session.ask(f"SELECT count(*) FROM {table}")
    session.close()
    print(f"{'method':26s}{'rows':>10s}{'CPU s':>9s}{'bar':>7s}{'rows/s':>12s}{'MB':>8s}{'bytes/row':>11s}   instead")
    for name, table, call, window, bar, bar_memory, peer, code in cases:
        best, peak = float("inf"), 0.0
        for _ in range(int(os.environ.get("RUNS") or 1)):
            session = Session()
            answer, seconds, memory = session.measure(make_query(table, call, window))
            best, peak = min(best, seconds), max(peak, memory)
        text = peer or ""
        if code and os.environ.get("PEERS", "1") != "0":
            other, other_memory = measure_peer(session, table, code)
            text = f"{other:.2f} s, {other / best:.1f} times as long, {other_memory * 1048576 / find_rows(table):.0f} bytes/row: {peer}"
        session.close()
        rows = find_rows(table)
        over = (bar is not None and best > bar, bar_memory is not None and peak > bar_memory)
        missed += sum(over)
        print(f"{name:26s}{rows:10d}{best:8.2f}{'!' if over[0] else ' '}{bar or 0:7.2f}{rows / best:12.0f}{peak:7.0f}{'!' if over[1] else ' '}"
              f"{peak * 1048576 / rows:11.0f}   {text}", flush=True)
    print(f"\n{missed} bars missed" if missed else "\nall bars reached")


if __name__ == "__main__":
    main()
