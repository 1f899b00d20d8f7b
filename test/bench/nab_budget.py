"""With alerts_per_day, how many alerts a day are there on the series of the Numenta Anomaly Benchmark?

Each of the 58 files is a series of its own, scored by score_online() in the order of its rows, with nothing but the budget set.
Alerts are counted in the second half of a file, outside its labelled windows, and divided by the time between those rows and the
ones before them. A file counts where its rate is at least half of the budget and at most twice that. Files with fewer rows a
day than twice the budget are left out.

METHODS: names, with parameters behind a colon; default: all that take a value, and those that take features, of which the value
is the only one. BUDGETS: default "1 2 5 20".
VERBOSE=1 names the files that don't count.
"""

import csv
import io
import json
import os
import sys

from nab import File, methods, sql

SHARE = 0.8  # of the files must count


def load(files):
    sql("CREATE TABLE nab (file text, n int, ts timestamp, value float8, counts boolean)")
    data = io.StringIO()
    for f in files:
        counts = [i >= len(f.stamps) // 2 and f.weights[i][1] is None for i in range(len(f.stamps))]
        csv.writer(data).writerows((f.name, i, stamp, value, counts[i]) for i, (stamp, value) in enumerate(zip(f.stamps, f.values)))
    sql("COPY nab FROM STDIN (FORMAT csv)", data.getvalue())
    sql("ALTER TABLE nab ADD days float8; CREATE INDEX ON nab (file, n); UPDATE nab SET days = extract(epoch FROM ts - "
        "(SELECT ts FROM nab b WHERE b.file = nab.file AND b.n = nab.n - 1)) / 86400; VACUUM ANALYZE nab")


def has_features(method):
    return sql(f"SELECT takes = 'features' FROM streamproc.methods WHERE method = '{method}'").strip() == "t"


def rates(method, params, budget):
    """(file, rate) of those that have rows enough."""
    value = "ARRAY[value]" if has_features(method) else "value"
    params = json.dumps({**json.loads(params), "alerts_per_day": budget})
    lines = sql(f"SELECT file, count(*) FILTER (WHERE (s).is_anomaly) / sum(days) FROM (SELECT file, counts, days, streamproc.score_online('{method}', "
                f"ts, {value}, '{params}') OVER (PARTITION BY file ORDER BY n) AS s FROM nab) a WHERE counts AND file IN (SELECT file FROM nab "
                f"GROUP BY file HAVING count(*) / sum(days) >= {2 * budget}) GROUP BY file ORDER BY file").splitlines()
    return [(line.rsplit("|", 1)[0], float(line.rsplit("|", 1)[1])) for line in lines]


def main():
    data = os.environ.get("NAB_DATA")
    if not data:
        sys.exit("nab_budget: NAB_DATA must name the folder of the benchmark, with combined_windows.json and data/")
    os.environ.setdefault("METHODS", " ".join(sql("SELECT method FROM streamproc.methods WHERE (takes LIKE 'value%' OR takes = 'features') "
                                                  "AND method NOT IN ('velocity', 'silence')").split()))
    budgets = [float(budget) for budget in os.environ.get("BUDGETS", "1 2 5 20").split()]
    with open(os.path.join(data, "combined_windows.json")) as f:
        windows = json.load(f)
    files = [File(data, name, windows[name]) for name in sorted(windows)]
    load(files)
    print(f"{len(files)} files: how many have half to twice the budget, of those with rows enough; too few, too many alerts\n")
    print(f"{'method':26s}" + "".join(f"{f'{budget:g} a day':>22s}" for budget in budgets))
    for title, method, params in methods():
        line = f"{title:26s}"
        reached = True
        for budget in budgets:
            found = rates(method, params, budget)
            few = [(name, rate) for name, rate in found if rate < budget / 2]
            many = [(name, rate) for name, rate in found if rate > budget * 2]
            share = 1 - len(few + many) / len(found)
            reached = reached and share >= SHARE
            line += f"{f'{len(found) - len(few + many)}/{len(found)} {share:.0%} -{len(few)} +{len(many)}':>22s}"
            if os.environ.get("VERBOSE"):
                print("\n".join(f"    {method} {budget:g} {name}: {rate:.2f}" for name, rate in few + many))
        print(line + ("" if reached else f"   below {SHARE:.0%}"), flush=True)


if __name__ == "__main__":
    main()
