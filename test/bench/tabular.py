"""Batch detectors on labelled tables: how well each tells anomalies from the rest, without any parameters.

TABULAR_DATA is a folder of NAME.csv.gz, each with columns of numbers and a last one, label, that is 1 for anomalies. Every method
that takes several columns scores all rows of each; those with a seed five times. AUROC and average precision are scikit-learn's,
in percent, and means over the seeds. Below stand published figures where there are any: of scikit-learn's and PyOD's methods on
the same tables, and of the study that auto_score is made after. A bar that is missed is marked with "!":

  isolation_forest   scikit-learn's, less its standard deviation over seeds; and its mean over all tables
  auto_score         the study's less 1

Detectors that take one row after the other score the same rows, once each, in an order by chance; those they score while they warm
up are left out.

METHODS: names, divided by blanks; default all. SEEDS: default 5.
"""

import csv
import glob
import gzip
import io
import os
import subprocess
import sys

SETS = ["annthyroid", "cardio", "mammography", "satellite", "pendigits", "shuttle", "smtp", "ionosphere"]
ONLINE = ["half_space_trees", "random_cut_forest"]
FIRST = ["auto_score", "isolation_forest", "density_forest", "sample_knn"]

# (method, whose figures) -> AUROC and average precision, in the order of SETS
KNOWN = {
    "isolation_forest": ("scikit-learn", [82.4, 92.6, 86.3, 69.6, 94.6, 99.7, 90.5, 84.5], [30.8, 57.2, 22.3, 65.4, 26.5, 97.6, 0.4, 79.7]),
    "auto_score": ("the study", [87.9, 87.2, 85.8, 77.6, 94.9, 99.6, 93.3, 87.7], [38.3, 50.4, 21.4, 69.8, 26.8, 94.6, 28.9, 85.3]),
    "ecod": ("PyOD", [78.9, 93.5, 90.6, 58.3, 92.7, 99.3, 88.0, 72.8], [27.0, 56.7, 43.6, 52.6, 26.6, 90.4, 50.7, 64.6]),
    "copod": ("PyOD", [77.6, 92.2, 90.5, 63.3, 90.5, 99.5, 91.2, 78.9], [17.3, 57.8, 43.0, 57.1, 18.2, 96.1, 0.4, 67.0]),
    "hbos": ("PyOD", [62.4, 85.2, 83.0, 76.6, 92.8, 97.9, 80.6, 64.2], [18.3, 46.4, 12.7, 69.4, 25.0, 92.5, 0.8, 41.3]),
    "loda": ("PyOD", [45.1, 83.8, 86.3, 61.2, 92.4, 48.1, 82.4, 79.7], [8.7, 39.6, 20.6, 60.6, 22.4, 14.3, 19.8, 74.9]),
    "pca_score": ("PyOD", [67.3, 95.0, 88.6, 60.1, 93.5, 99.0, 82.3, 78.3], [19.1, 61.0, 19.8, 60.6, 21.8, 91.5, 35.0, 73.1]),
    "mahalanobis": ("scikit-learn", [64.1, 89.6, 86.0, 63.6, 76.3, 98.2, 81.6, 92.2], [15.7, 46.4, 17.8, 51.4, 5.6, 87.1, 26.9, 91.4]),
    "mcd": ("scikit-learn", [91.9, 78.5, 69.1, 80.3, 83.1, 99.0, 95.0, 95.4], [50.5, 30.5, 3.6, 76.7, 6.9, 84.1, 0.5, 95.0]),
    "knn_distance": ("scikit-learn, k = 5", [80.7, 71.3, 83.9, 67.2, 74.4, 64.0, 90.2, 92.7], [22.8, 32.2, 15.9, 52.7, 7.6, 16.6, 15.8, 92.8]),
    "lof": ("scikit-learn, k = 20", [72.6, 54.7, 72.0, 54.6, 49.9, 52.4, 83.1, 86.8], [17.1, 15.5, 9.1, 37.6, 4.3, 11.0, 0.6, 83.1]),
}
FOREST_SD = ([1.94, 1.24, 0.71, 1.65, 1.62, 0.07, 0.60, 0.41], [3.03, 3.50, 4.06, 1.54, 4.61, 0.50, 0.02, 0.59])
MEASURES = ("AUROC", "average precision")


def psql(text, data=None):
    command = ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1"] + (["-c", text] if data is not None else [])
    result = subprocess.run(command, input=data if data is not None else text, text=True, capture_output=True)
    if result.returncode != 0:
        sys.exit(f"tabular: {result.stderr.strip()}")
    return result.stdout


def load(folder):
    """The tables, with the known ones first; their labels."""
    found = {os.path.basename(path)[:-len(".csv.gz")]: path for path in glob.glob(os.path.join(folder, "*.csv.gz"))}
    if not found:
        sys.exit(f"tabular: there is no *.csv.gz in {folder}")
    labels = {}
    for name in [s for s in SETS if s in found] + sorted(set(found) - set(SETS)):
        with gzip.open(found[name], "rt", newline="") as f:
            rows = list(csv.reader(f))[1:]
        labels[name] = [int(float(row[-1])) for row in rows]
        psql(f'CREATE TABLE "tabular_{name}" (id int, f float8[])')
        data = io.StringIO()
        data.writelines(f"{i}\t{{{','.join(row[:-1])}}}\n" for i, row in enumerate(rows))
        psql(f'COPY "tabular_{name}" FROM STDIN', data.getvalue())
    return labels


def methods():
    """Those that need no parameters: name -> whether it has a seed."""
    rows = psql("""SELECT proname, bool_or('seed' = ANY (proargnames)) FROM pg_proc WHERE pronamespace = 'streamproc'::regnamespace
        AND prokind = 'w' AND prorettype = 'float8'::regtype GROUP BY proname HAVING bool_or(provariadic <> 0) ORDER BY proname""").split()
    found = {name: seeded == "t" for name, seeded in (row.split("|") for row in rows)}
    found.update((name, True) for name in ONLINE)
    wanted = os.environ.get("METHODS", "").split() or [m for m in FIRST if m in found] + [m for m in found if m not in FIRST]
    return {name: found[name] for name in wanted}


def measure(name, method, seeded, labels):
    """(AUROC, average precision), in percent, each a mean."""
    from sklearn.metrics import average_precision_score, roc_auc_score
    found = []
    for seed in range(1, int(os.environ.get("SEEDS") or 5) + 1) if seeded else [None]:
        option = f", seed => {seed}" if seeded else ""
        query = (f"""SELECT (streamproc.score_online('{method}', 'epoch'::timestamptz, f, '{{"seed": {seed}}}') OVER (ORDER BY hashint8extended(id, {seed}), id)).score"""
                 if method in ONLINE else f"SELECT streamproc.{method}(f{option}) OVER (ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)")
        scores = psql(f'{query} FROM "tabular_{name}" ORDER BY id').split("\n")[:-1]
        if len(scores) != len(labels) or (method not in ONLINE and "" in scores):
            sys.exit(f"tabular: {method} has {len([s for s in scores if s])} scores for the {len(labels)} rows of {name}")
        rated = [(label, float(score)) for label, score in zip(labels, scores) if score]
        truth, scores = zip(*rated)
        found.append((100 * roc_auc_score(truth, scores), 100 * average_precision_score(truth, scores)))
    return [sum(column) / len(column) for column in zip(*found)]


def find_bar(method, number, name):
    """What is to be reached, or None."""
    if name not in SETS or method not in ("isolation_forest", "auto_score"):
        return None
    at = SETS.index(name)
    return KNOWN[method][1 + number][at] - (1 if method == "auto_score" else FOREST_SD[number][at])


def mean(numbers):
    return sum(numbers) / len(numbers)


def show(method, number, names, values):
    """A line of figures, and one of those known; how many bars are missed."""
    missed = [find_bar(method, number, name) is not None and round(value, 1) < find_bar(method, number, name)
              for name, value in zip(names, values)]
    known = [KNOWN[method][1 + number][SETS.index(name)] for name in names if name in SETS] if method in KNOWN else []
    low = method == "isolation_forest" and set(names) == set(SETS) and round(mean(values), 1) < round(mean(known), 1)
    print(f"{method:26s}" + "".join(f"{v:11.1f}{'!' if m else ' '}" for v, m in zip(values, missed)) + f"{mean(values):11.1f}{'!' if low else ' '}")
    if known:
        texts = [f"{KNOWN[method][1 + number][SETS.index(name)]:11.1f} " if name in SETS else " " * 12 for name in names]
        print(f"  {KNOWN[method][0]:24s}" + "".join(texts) + (f"{mean(known):11.1f}" if len(known) == len(names) else ""))
    sys.stdout.flush()
    return sum(missed) + low


def main():
    folder = os.environ.get("TABULAR_DATA")
    if not folder:
        sys.exit("tabular: TABULAR_DATA must name a folder of NAME.csv.gz")
    labels = load(folder)
    names = list(labels)
    print(" " * 26 + "".join(f"{name[:11]:>11s} " for name in names) + f"{'mean':>11s}")
    print(f"{'rows':26s}" + "".join(f"{len(labels[name]):11d} " for name in names))
    print(f"{'anomalies':26s}" + "".join(f"{sum(labels[name]):11d} " for name in names))
    found = {method: [measure(name, method, seeded, labels[name]) for name in names] for method, seeded in methods().items()}
    missed = 0
    for number, title in enumerate(MEASURES):
        print(f"\n{title}, percent")
        for method, figures in found.items():
            missed += show(method, number, names, [figure[number] for figure in figures])
    print(f"\n{missed} bars missed" if missed else "\nall bars reached")


if __name__ == "__main__":
    main()
