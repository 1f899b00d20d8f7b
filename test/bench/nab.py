"""The Numenta Anomaly Benchmark, through the stream: detectors score each file as the rows of one key, in their order.

All files of the folder NAB_DATA (the benchmark's, with combined_windows.json and data/) are one table, the file's name is the
detectors' key, and every detector has the same parameters for all of them. What they find is written to RESULTS (default: a
folder of the bench) in the benchmark's own format, and scored as the benchmark does: each profile at its best threshold for
all files, the first 15 % of a file (at most 750 rows) not counted. 0: nothing is found; 100: perfect. A second figure is the
standard profile at the method's default threshold.

METHODS: "all" or names, with parameters behind a colon where they are not the defaults, divided by blanks; for example
"records ewma:{\"alpha\":0.01}". Default: the sizes of records.
"""

import csv
import io
import json
import math
import os
import subprocess
import sys

PROFILES = {"standard": (1.0, 0.11), "reward_low_FP_rate": (1.0, 0.22), "reward_low_FN_rate": (2.0, 0.11)}
SIZES = ["full", "medium", "tiny", "micro"]


def sql(text, data=None):
    command = ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1"] + (["-c", text] if data is not None else [])
    result = subprocess.run(command, input=data if data is not None else text, text=True, capture_output=True)
    if result.returncode != 0:
        sys.exit(f"nab: {result.stderr.strip()}")
    return result.stdout


def methods():
    wanted = os.environ.get("METHODS", "")
    if wanted == "all":
        names = sql("SELECT method FROM streamproc.methods WHERE takes LIKE 'value%' AND method NOT IN ('velocity', 'silence')").split()
        return [(name, name, "{}") for name in names]
    if wanted:
        return [(item.replace(":", " ", 1), *(item.split(":", 1) + ["{}"])[:2]) for item in wanted.split()]
    return [(f"records {size}", "records", json.dumps({"size": size})) for size in SIZES]


class File:
    """A series, where it has windows of anomalies, and what each row is worth if it is flagged."""

    def __init__(self, data, name, windows):
        self.name = name
        with open(os.path.join(data, "data", name), newline="") as f:
            rows = list(csv.DictReader(f))
        self.stamps = [row["timestamp"] for row in rows]
        self.values = [row["value"] for row in rows]
        self.probation = min(math.floor(0.15 * len(rows)), 750)
        index = {}
        for i, stamp in enumerate(self.stamps):
            index.setdefault(stamp.split(".")[0], i)
        self.windows = [(index[a.split(".")[0]], index[b.split(".")[0]]) for a, b in windows]
        self.weights = self.weigh()

    def weigh(self):
        """(weight, window or None) of each row: early in a window is best, soon behind one is not as bad as anywhere."""
        def scaled(x):
            return -1.0 if x > 3.0 else 2.0 / (1.0 + math.exp(5.0 * x)) - 1.0
        weights = [(-1.0, None)] * len(self.stamps)
        for number, (left, right) in enumerate(self.windows):
            width = right - left + 1.0
            for i in range(left, right + 1):
                weights[i] = (scaled(-(right - i + 1) / width) / scaled(-1.0), number)
            following = self.windows[number + 1][0] if number + 1 < len(self.windows) else len(self.stamps)
            for i in range(right + 1, following):
                weights[i] = (scaled((i - right) / (width - 1.0)), None)
        return weights


def flagged(files, scores):
    """(score, weight, window) of each row that counts and scores above 0, the highest score first."""
    rows = []
    for f in files:
        for i in range(f.probation, len(f.stamps)):
            weight, window = f.weights[i]
            if scores[f.name][i] > 0:
                rows.append((scores[f.name][i], weight, None if window is None else (f.name, window)))
    rows.sort(key=lambda row: -row[0])
    return rows


def score(rows, n_windows, fn, fp, threshold=None):
    """Normalized, at the best threshold or at the given one: rows above it are flagged."""
    best = total = -fn * n_windows
    at = math.inf
    hit = {}
    for i, (value, weight, window) in enumerate(rows):
        if threshold is not None and not value > threshold:
            break
        if window is None:
            total += weight * fp
        else:
            total += max(0.0, weight - hit.get(window, -fn))
            hit[window] = max(weight, hit.get(window, -fn))
        if (i + 1 == len(rows) or rows[i + 1][0] != value) and total > best:
            best, at = total, value
    nothing = -fn * n_windows
    return 100.0 * ((best if threshold is None else total) - nothing) / (n_windows - nothing), at


def load(files):
    sql("CREATE TABLE nab (file text, ts timestamp, value float8);"
        "SELECT streamproc.create_stream('nab', time_column => 'ts', idle_timeout => '1000 days', max_future => '100000 days')")
    for number, (_, method, params) in enumerate(methods()):
        sql(f"SELECT streamproc.create_detector('nab_{number}', 'nab', method => '{method}', value => 'value', keys => '{{file}}', "
            f"params => '{params}', store => 'all')")
    sql("SELECT streamproc.wait_for(timeout => '10 minutes')")
    for f in files:
        data = io.StringIO()
        csv.writer(data).writerows((f.name, stamp, value) for stamp, value in zip(f.stamps, f.values))
        sql("COPY nab FROM STDIN (FORMAT csv)", data.getvalue())
    sql("SELECT streamproc.wait_for(timeout => '30 minutes')")


def read_scores(files, number):
    scores = {f.name: [] for f in files}
    for line in sql(f"SELECT file, score FROM nab_{number} ORDER BY lsn, ordinal").splitlines():
        name, value = line.rsplit("|", 1)
        scores[name].append(max(0.0, float(value)))
    for f in files:
        if len(scores[f.name]) != len(f.stamps):
            sys.exit(f"nab: {len(scores[f.name])} scores for the {len(f.stamps)} rows of {f.name}")
    return scores


def write_results(files, scores, folder, threshold):
    for f in files:
        path = os.path.join(folder, f.name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", newline="") as out:
            writer = csv.writer(out)
            writer.writerow(["timestamp", "value", "anomaly_score", "label"])
            for row in zip(f.stamps, f.values, scores[f.name], f.weights):
                writer.writerow([row[0], row[1], repr(row[2] / (threshold + row[2])), int(row[3][1] is not None)])


def main():
    data = os.environ.get("NAB_DATA")
    if not data:
        sys.exit("nab: NAB_DATA must name the folder of the benchmark, with combined_windows.json and data/")
    results = os.environ.get("RESULTS") or os.path.join(os.environ["BENCH_DIR"], "bench", "nab")
    with open(os.path.join(data, "combined_windows.json")) as f:
        windows = json.load(f)
    files = [File(data, name, windows[name]) for name in sorted(windows)]
    n_windows = sum(len(f.windows) for f in files)
    print(f"{len(files)} files, {sum(len(f.stamps) for f in files)} rows, {n_windows} windows; results in {results}\n")
    load(files)
    print(f"{'method':24s}{'standard':>10s}{'low FP':>10s}{'low FN':>10s}{'threshold':>12s}   at the default threshold")
    for number, (title, method, _) in enumerate(methods()):
        scores = read_scores(files, number)
        default = float(sql(f"SELECT max(threshold) FROM nab_{number}"))
        rows = flagged(files, scores)
        found = [score(rows, n_windows, *weights) for weights in PROFILES.values()]
        write_results(files, scores, os.path.join(results, title.replace(" ", "_").replace("/", "_")), default)
        print(f"{title:24s}" + "".join(f"{value:10.2f}" for value, _ in found) +
              f"{found[0][1]:12.4g}   {score(rows, n_windows, *PROFILES['standard'], default)[0]:.2f} at {default:g}", flush=True)


if __name__ == "__main__":
    main()
