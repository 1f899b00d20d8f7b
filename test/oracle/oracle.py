"""score_online() in PostgreSQL against the methods' definitions in Python (methods.py), and velocity against plain SQL; batch
detectors against scikit-learn, statsmodels and their definitions (batch_points.py, batch_series.py).

Series are made by chance: noise, ties, jumps of the level, stretches of one value, outliers, rows without a value, gaps in
time and times that are equal. Scores, what is expected, bounds and anomalies must be the same within 1e-9, or as much as
rounding of the values in their last places would change; of spot and dspot, whose tails are fitted by a search, within 1e-4. Methods with features are looked at for what must hold of any
forest: the parts of an explanation add up to the score.

usage: oracle.py [--only METHOD|batch] [--seeds N]

Connects like psql, by the environment. Prints a line for each case that differs, and at the end "N passed, N failed".
"""

import argparse
import datetime
import json
import random
import sys

import batch_points
import batch_series
import methods
from database import psql

START = 1767225600 * 10 ** 6                    # 2026-01-01, in microseconds since 1970
MINUTE = 60 * 10 ** 6
TOLERANCE = 1e-9
FITTED = 1e-4                                   # of methods whose definition has a search in it

EWMA = {"alpha": 0.05, "warmup": 30}
ZSCORE = {"window": 100, "warmup": 30}
CUSUM = {"drift": 0.5, "alpha": 0.01, "warmup": 100, "reset": "sums"}
PAGE = {"delta": 0.25, "alpha": 0.9999, "standardize": True, "warmup": 100, "reset": "all"}
ADWIN = {"delta": 0.002, "max_buckets": 5, "warmup": 30}
HOLT = {"seasonality": "additive", "period": 24, "trend": True, "alpha": 0.2, "beta": 0.02, "gamma": 0.1, "scale_alpha": 0.02,
        "warmup": 24}
SPOT = {"risk": 0.001, "level": 0.9, "warmup": 150, "max_excesses": 40, "escape": 0}
SEASONAL = {"period": "hour_of_day", "alpha": 0.02, "shrinkage": 10, "warmup": 50}

# (method, parameters, threshold, direction)
CASES = [
    ("ewma", EWMA, 3, "both"), ("ewma", {**EWMA, "alpha": 0.3, "warmup": 2}, 2, "high"),
    ("ewma", {**EWMA, "alpha": 0.001}, 0.8, "low"),
    ("zscore", ZSCORE, 3, "both"), ("zscore", {**ZSCORE, "window": 7, "interval": "1 hour"}, 2, "low"),
    ("zscore", {**ZSCORE, "warmup": 5, "interval": "90 minutes"}, 2.5, "high"),
    ("mad", {"window": 100, "warmup": 30}, 3.5, "both"), ("mad", {"window": 9, "warmup": 3}, 4, "high"),
    ("iqr", {"alpha": 0.005, "warmup": 30}, 1.5, "both"), ("iqr", {"alpha": 0.1, "warmup": 4}, 2, "low"),
    ("cusum", CUSUM, 5, "both"), ("cusum", {**CUSUM, "alpha": 0, "reset": "all", "warmup": 20}, 4, "high"),
    ("cusum", {**CUSUM, "reset": "none", "drift": 0.2}, 3, "low"),
    ("page_hinkley", PAGE, 20, "both"), ("page_hinkley", {**PAGE, "alpha": 1, "reset": "none", "warmup": 10}, 10, "high"),
    ("page_hinkley", {**PAGE, "standardize": False, "delta": 1, "reset": "sums"}, 50, "low"),
    ("adwin", ADWIN, 1, "both"), ("adwin", {**ADWIN, "max_buckets": 2, "range": 40, "warmup": 10}, 1, "low"),
    ("adwin", {**ADWIN, "delta": 0.3}, 0.8, "high"),
    ("holt_winters", HOLT, 4, "both"), ("holt_winters", {**HOLT, "seasonality": "multiplicative", "period": 12}, 3, "high"),
    ("holt_winters", {**HOLT, "seasonality": "none", "alpha": 0.5, "beta": 0.1}, 2, "low"),
    ("holt_winters", {**HOLT, "trend": False, "period": 7}, 4, "both"),
    ("seasonal", SEASONAL, 4, "both"), ("seasonal", {**SEASONAL, "period": "hour_of_week", "warmup": 20}, 3, "high"),
    ("seasonal", {**SEASONAL, "period": "minute_of_hour", "alpha": 0.1}, 1.5, "low"),
    ("spot", SPOT, 3, "both"), ("spot", {**SPOT, "risk": 0.01, "warmup": 50}, 2, "high"),
    ("dspot", {**SPOT, "depth": 8}, 3, "both"), ("dspot", {**SPOT, "risk": 0.01, "depth": 1}, 2, "low"),
    ("seasonal", {"interval": "90 minutes", "bins": 6, "alpha": 0.05, "shrinkage": 2, "warmup": 50}, 4, "both"),
]
FEATURED = ["mahalanobis", "half_space_trees", "random_cut_forest"]


def make_series(seed, n=700):
    """(microseconds, value or None); values are multiples of 1/64 between 16 and some 1000, few enough kinds for iqr."""
    chance = random.Random(seed)
    t, level, noise, season, rows = START + seed * 12345 * 10 ** 6, 100.0, 4.0, 10.0, []
    constant = 0
    for i in range(n):
        t += chance.choice([5, 5, 5, 5, 5, 5, 5, 5, 7, 0]) * MINUTE
        if chance.random() < 0.004:
            t += chance.randrange(2000) * MINUTE
        if chance.random() < 0.01:
            level += chance.choice([-30, -10, 10, 30, 60])
            level = max(60.0, min(400.0, level))
        if chance.random() < 0.005:
            constant = chance.randrange(5, 40)
        if constant > 0:
            constant -= 1
            value = level
        else:
            value = round(level + season * ((i % 24) // 6 - 1.5) + chance.gauss(0, noise))
            if chance.random() < 0.02:
                value += chance.choice([-40, 50, 500.25])
        rows.append((t, None if chance.random() < 0.03 else max(16.0, float(value))))
    return rows


def near(a, b, tolerance, slack=0.0):
    if a is None or b is None:
        return a is None and b is None
    return abs(a - b) <= tolerance * max(1.0, abs(a), abs(b)) + slack


def differences(series, found, expected, threshold, tolerance):
    """Where what the database says of a point isn't what the definition says."""
    wrong = []
    for i, ((_, x), row, answer) in enumerate(zip(series, found, expected)):
        score, flagged, center, lower, upper = row
        slack = 64 * methods.EPSILON * abs(x) / answer.unit if answer.unit else 0.0
        if answer.unit is not None and answer.unit < 1e-12 and abs(score) > 1e3 and abs(answer.score) > 1e3:
            slack = 2 * methods.LIMIT           # infinitely many units away, but for rounding
        is_anomaly = answer.ready and answer.score > threshold
        same = near(score, answer.score, tolerance, slack) and near(center, answer.expected, tolerance) and \
            near(lower, answer.lower, tolerance) and near(upper, answer.upper, tolerance) and \
            (flagged == is_anomaly or near(answer.score, threshold, tolerance, slack))
        if not same:
            wrong.append(f"event {i}, value {x}: ({score}, {flagged}, {center}, {lower}, {upper}), not "
                         f"({answer.score}, {is_anomaly}, {answer.expected}, {answer.lower}, {answer.upper})")
    return wrong


def number(text):
    return None if text == "" else float(text)


def ask(seed, method, params, threshold, direction):
    rows = psql(f"""SELECT id, value IS NULL, (s).score, (s).is_anomaly, (s).expected, (s).lower_bound, (s).upper_bound
        FROM (SELECT id, value, streamproc.score_online('{method}', ts, value, '{json.dumps(params)}', threshold => {threshold},
            direction => '{direction}') OVER (ORDER BY id) AS s FROM series WHERE seed = {seed}) answers ORDER BY id""")
    for row in rows:
        if (row[1] == "t") != (row[2] == ""):
            raise RuntimeError(f"{method}: row {row[0]} has a score where it has no value, or the other way round")
    return [(number(r[2]), r[3] == "t", number(r[4]), number(r[5]), number(r[6])) for r in rows if r[1] == "f"]


def check_method(made, case):
    method, params, threshold, direction = case
    wrong, flagged = [], 0
    for seed, rows in made.items():
        series = [(t, x) for t, x in rows if x is not None]
        expected = getattr(methods, method)(series, params, threshold, direction)
        found = ask(seed, method, params, threshold, direction)
        flagged += sum(answer.ready and answer.score > threshold for answer in expected)
        if len(found) != len(series) or len(expected) != len(series):
            wrong.append(f"seed {seed}: {len(found)} scores and {len(expected)} answers for {len(series)} values")
        wrong += [f"seed {seed}, {line}" for line in differences(series, found, expected, threshold,
                                                                FITTED if method.endswith("spot") else TOLERANCE)]
    return wrong if flagged else wrong + ["nothing is flagged: the case shows little"]


def check_velocity(seed, events, total, interval):
    """Against counts and sums over the rows themselves."""
    return psql(f"""
        WITH own AS (SELECT id, ts, value FROM series WHERE seed = {seed} AND value IS NOT NULL),
        plain AS (SELECT a.id, greatest(count(*) / {events}::float8, sum(b.value) / {total}, 0) AS score, sum(b.value) AS held
            FROM own a JOIN own b ON b.id <= a.id AND b.ts <= a.ts AND b.ts > a.ts - interval '{interval}' GROUP BY a.id),
        scored AS (SELECT id, ts, value, streamproc.score_online('velocity', ts, value,
            '{{"events": {events}, "sum": {total}, "interval": "{interval}"}}') OVER (ORDER BY id) AS s FROM own)
        SELECT 'event ' || id || ': ' || (s).score || ', not ' || plain.score FROM scored JOIN plain USING (id)
        WHERE NOT (abs((s).score - plain.score) <= {TOLERANCE} * greatest(1, plain.score)
            AND (s).is_anomaly = (plain.score > 1) AND abs((s).upper_bound - ({total} - held + value)) <= 1e-6)
        UNION ALL SELECT 'nothing is flagged' FROM plain HAVING NOT bool_or(score > 1)""")


def load(seeds):
    psql("""CREATE TABLE series (seed int, id int, ts timestamptz, value float8);
        CREATE TABLE point (id int, key int, a float8, b float8, c float8, ts timestamptz);
        SELECT streamproc.create_stream('point', time_column => 'ts', idle_timeout => '1 day')""")
    made = {seed: make_series(seed) for seed in range(1, seeds + 1)}
    lines = [f"{seed},{i},{stamp(t)},{'' if x is None else repr(x)}"
             for seed, rows in made.items() for i, (t, x) in enumerate(rows)]
    psql("COPY series FROM STDIN (FORMAT csv)", "\n".join(lines) + "\n")
    return made


def stamp(t):
    return datetime.datetime.fromtimestamp(t / 10 ** 6, datetime.timezone.utc).isoformat()


def check_features():
    """In the stream: of each flagged event the contributions add up to its score, and the plainest outlier is flagged."""
    wrong = []
    for method in FEATURED:
        psql(f"""SELECT streamproc.create_detector('d_{method}', 'point', method => '{method}', features => '{{a, b, c}}',
            keys => '{{key}}', carry => '{{id AS point}}', threshold => 0.5, store => 'all')""")
    psql("SELECT streamproc.wait_for()")
    chance = random.Random(5)
    lines = []
    for i in range(3000):
        common = chance.gauss(0, 1)
        a, b, c = 10 + common + chance.gauss(0, 1), 1000 * (common + chance.gauss(0, 1)), float(chance.randrange(5))
        if i % 250 == 249:
            a, b, c = [(a + 60, b, c), (a, b - 60000, c), (a + 30, b, c + 200)][i // 250 % 3]
        lines.append(f"{i},{i % 2},{a!r},{b!r},{c!r},{stamp(START + i * MINUTE)}")
    psql("COPY point FROM STDIN (FORMAT csv)", "\n".join(lines) + "\n")
    psql("SELECT streamproc.wait_for()")
    for method in FEATURED:
        wrong += [f"{method}: {row[0]}" for row in psql(f"""
            SELECT 'event ' || point || ': ' || score || ' is explained as ' || total FROM (SELECT point, score,
                (SELECT sum(value::float8) FROM jsonb_each_text(explanation -> 'contributions')) AS total FROM d_{method}
                WHERE is_anomaly) parts WHERE (abs(total - score) <= {TOLERANCE} * greatest(1, score)) IS NOT TRUE
            UNION ALL SELECT 'event ' || point || ' isn''t flagged as the outlier that it is: ' || score FROM d_{method}
                WHERE point % 250 = 249 AND point > 1500 AND score < 3
            UNION ALL SELECT count(*) || ' flagged' FROM d_{method} WHERE is_anomaly HAVING count(*) < 100
            UNION ALL SELECT count(*) || ' scored' FROM d_{method} HAVING count(*) <> 3000""")]
    return wrong


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--only")
    parser.add_argument("--seeds", type=int, default=2)
    options = parser.parse_args()
    passed = failed = 0
    made = load(options.seeds)

    def report(title, wrong):
        nonlocal passed, failed
        passed, failed = passed + (not wrong), failed + bool(wrong)
        if wrong:
            print(f"{title}: {len(wrong)} differences")
            print("\n".join(f"    {line}" for line in wrong[:3]), flush=True)

    for case in CASES:
        if options.only in (None, case[0]):
            report(f"{case[0]} {json.dumps(case[1])}, threshold {case[2]}, {case[3]}", check_method(made, case))
    for events, total, interval in [(5, 650.5, "30 minutes"), (9, 1e4, "1 hour"), (100, 1500, "1 hour")]:
        if options.only in (None, "velocity"):
            report(f"velocity {events}, {total}, {interval}",
                   [row[0] for seed in made for row in check_velocity(seed, events, total, interval)])
    if options.only in (None, "features"):
        report("methods with features", check_features())
    for batch in (batch_points, batch_series):
        for title, check in batch.cases(psql):
            if options.only in (None, "batch", title.split("(")[0]):
                report(title, check())
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
