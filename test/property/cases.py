"""Windows made by chance, held against plain SQL over the same rows.

A case is a table with rows, made from a seed, and windows over it of one definition: results must be those of the
plain-SQL twin (verify() finds nothing that isn't explained), and the same whatever the trigger, and whether the worker
was stopped or killed on the way. Many cases share a round: their tables are loaded side by side.

usage: cases.py --cases N [--seed S] [--round R] [--crash PERCENT] [--only KIND]

Connects like psql, by the environment. Prints a line for each case that fails, with its seed, and at the end
"N passed, N failed". A case can be run again alone: --cases 1 --seed S.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import time

KINDS = ["tumbling", "hopping", "cumulative", "session", "sliding", "global"]
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]

# By class; each is 'expression AS name' over (id, k, g, v, w, x, t).
AGGREGATES = {
    "native": ["count(*) AS a_n", "sum(w) AS a_sum", "min(w) AS a_min", "max(v) AS a_max", "avg(w) AS a_avg",
               "count(v) FILTER (WHERE w > 300) AS a_some", "stddev(w) AS a_dev", "min(ts) AS a_first"],
    "float": ["sum(v) AS f_sum", "avg(v) AS f_avg", "var_pop(v) AS f_var"],
    "generic": ["sum(x) AS g_sum", "avg(x) AS g_avg", "max(t) AS g_max", "bool_or(w > 900) AS g_any",
                "bit_xor(w) AS g_bits", "stddev_samp(x) AS g_dev"],
    "kept": ["count(DISTINCT w % 10) AS k_distinct", "string_agg(t, ',' ORDER BY t, id) AS k_list",
             "percentile_cont(0.5) WITHIN GROUP (ORDER BY v) AS k_median", "mode() WITHIN GROUP (ORDER BY w % 7) AS k_mode",
             "array_agg(id ORDER BY id DESC) AS k_ids", "jsonb_agg(w ORDER BY w, id) FILTER (WHERE w > 500) AS k_json"],
}


class Server:
    """Runs SQL by psql, as a session of its own for each script."""

    def run(self, sql, check=True):
        result = subprocess.run(["psql", "-XAtq", "-v", "ON_ERROR_STOP=1"], input=sql, text=True,
                                capture_output=True)
        if check and result.returncode != 0:
            raise RuntimeError(result.stderr.strip() + "\n" + sql[:2000])
        return result.stdout.rstrip("\n")

    def wait_until_up(self):
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if subprocess.run(["psql", "-XAtqc", "SELECT 1"], capture_output=True).returncode == 0:
                return
            time.sleep(0.05)
        raise RuntimeError("the server doesn't come back")


def quote(text):
    return "'" + str(text).replace("'", "''") + "'"


def text_array(items):
    return "ARRAY[" + ", ".join(quote(item) for item in items) + "]::text[]"


class Case:
    """A definition, rows, and how they are committed; all from the seed."""

    def __init__(self, seed, only=None):
        self.seed = seed
        self.rng = random.Random(seed)
        self.name = f"p{seed}"
        r = self.rng
        self.kind = only or r.choice(KINDS)
        self.time_type = r.choice(["timestamptz"] * 3 + ["timestamp"])
        self.zone = r.choice(ZONES) if self.time_type == "timestamptz" else "UTC"
        self.watermark = r.choice([0, 10, 60, 300])
        self.make_windows()
        self.make_rows()

    def make_windows(self):
        r = self.rng
        self.step = r.choice([1, 5, 60])  # seconds between rows, about
        unit = self.step * r.choice([5, 12, 40])
        parameters = {}
        if self.kind == "tumbling":
            parameters["size"] = r.choice([f"{unit} seconds", f"{unit} seconds", "1 day", "1 month"])
        elif self.kind == "hopping":
            parameters["slide"] = f"{unit} seconds"
            parameters["size"] = f"{unit * r.choice([1, 2, 3, 7])} seconds"
        elif self.kind == "cumulative":
            parameters["slide"] = f"{unit} seconds"
            parameters["size"] = f"{unit * r.choice([1, 2, 5])} seconds"
        elif self.kind == "session":
            parameters["gap"] = f"{max(1, self.step * r.choice([1, 2, 4, 10]))} seconds"
        elif self.kind == "sliding":
            parameters["size"] = f"{unit} seconds"
            parameters["bounds"] = r.choice(["(]", "[]"])
            parameters["carry"] = ["id", "t AS label"]
        parameters["keys"] = r.choice([[], ["k"], ["k"], ["k", "g"], ["upper(g) AS big"], ["k % 2 AS odd"]])
        chosen = r.sample(AGGREGATES["native"], r.randint(1, 3))
        for what in ("float", "generic", "kept"):
            if r.random() < 0.4:
                chosen += r.sample(AGGREGATES[what], r.randint(1, 2))
        parameters["aggregates"] = chosen
        if r.random() < 0.3:
            parameters["filter"] = r.choice(["w % 5 <> 0", "k IS NOT NULL", "v > 100"])
        # what a sliding window's filter leaves out can't be seen to have come later
        if r.random() < 0.2 and self.kind != "sliding":
            parameters["group_filter"] = r.choice(["count(*) > 2", "sum(w) > 1500", "max(v) > 900 OR count(*) = 1"])
        if self.kind not in ("global", "sliding"):
            if r.random() < 0.4:
                parameters["emit"] = r.choice(["update", "final"])
            if r.random() < 0.3:
                parameters["grace"] = f"{self.step * r.choice([1, 10, 40])} seconds"
        if self.kind != "global":
            if r.random() < 0.2:
                parameters["watermark"] = f"{r.choice([0, 5, 120])} seconds"
        if self.kind in ("tumbling", "hopping", "cumulative"):
            if self.time_type == "timestamptz":
                parameters["time_zone"] = self.zone
            if "seconds" in parameters["size"] and "group_filter" not in parameters and r.random() < 0.15:
                parameters["fill"] = "zero"
        self.parameters = parameters
        self.stacked = self.kind != "global" and r.random() < 0.3

    def make_rows(self):
        r = self.rng
        n = r.choice([30, 120, 300])
        start = r.choice(["2026-03-29 00:30", "2026-10-25 00:10", "2026-01-01 00:00", "0044-03-15 12:00 BC"])
        order = r.choice(["sorted", "shuffled", "late", "same"])
        self.order = order
        rows = []
        offset = 0
        for i in range(n):
            offset += r.choice([0, 1, 1, 1, 2]) * self.step
            if r.random() < 0.02:
                offset += self.step * r.choice([20, 100])
            at = offset
            if order == "shuffled":
                at -= r.randint(0, max(1, self.watermark))
            elif order == "late" and r.random() < 0.15:
                at -= r.randint(0, self.step * 100)
            elif order == "same":
                at -= at % (self.step * 5)
            if r.random() < 0.01:
                time_sql = "NULL"
            else:
                time_sql = f"{quote(start)}::{self.time_type} + interval '{at} seconds'"
            rows.append((i, r.choice([0, 1, 2, 2, 3, None]), r.choice(["a", "b", None]),
                         r.choice([r.randint(0, 1000) / 4.0, r.random() * 1000, None]), r.randint(0, 1000),
                         r.choice([r.randint(0, 99999) / 100.0, None]), r.choice(["x", "yy", "Z", "é", ""]), time_sql))
        self.rows = rows
        self.commits = []
        how = r.choice(["single", "batches", "one", "mixed"])
        self.how = how
        i = 0
        while i < n:
            size = {"single": 1, "batches": 20, "one": n, "mixed": r.choice([1, 2, 30])}[how]
            if how == "single" and n > 120:
                size = 3
            self.commits.append(rows[i:i + size])
            i += size
        self.history = r.random() < 0.3  # so much of it is there before the windows are
        self.before = r.randint(0, len(self.commits)) if self.history else 0

    def describe(self):
        return (f"seed {self.seed}: {self.kind} {self.parameters} over {self.time_type}, watermark {self.watermark} s, "
                f"rows {self.order}, {self.how}, {self.before} of {len(self.commits)} commits before, stacked {self.stacked}")

    # ---- SQL ----

    def table_sql(self):
        return (f"CREATE TABLE {self.name} (id int, k int, g text, v float8, w int, x numeric, t text, ts {self.time_type});\n"
                f"SELECT streamproc.create_stream('{self.name}', time_column => 'ts', "
                f"watermark => '{self.watermark} seconds', idle_timeout => '1 day');\n")

    def window_call(self, suffix, trigger):
        arguments = [quote(self.name + suffix), quote(self.name), f"kind => {quote(self.kind)}",
                     f"trigger => {quote(trigger)}"]
        for key, value in self.parameters.items():
            arguments.append(f"{key} => " + (text_array(value) if isinstance(value, list) else quote(value)))
        return f"SELECT streamproc.create_window({', '.join(arguments)});\n"

    def windows_sql(self):
        sql = self.window_call("_a", "0") + self.window_call("_b", "1 hour")
        if self.stacked:
            sql += (f"SELECT streamproc.create_window('{self.name}_up', '{self.name}_a', kind => 'tumbling', "
                    f"size => '{self.step * 50} seconds', aggregates => ARRAY['count(*) AS n', 'max(window_end) AS last']);\n")
        return sql

    def insert_sql(self, commit):
        def value(x):
            return "NULL" if x is None else quote(x) if isinstance(x, str) else str(x)

        tuples = ", ".join("(" + ", ".join(value(x) for x in row[:-1]) + f", {row[-1]})" for row in commit)
        return f"INSERT INTO {self.name} VALUES {tuples};\n"

    def compared_columns(self):
        names = [x.split(" AS ")[-1] for x in self.parameters["keys"]]
        names += [x.split(" AS ")[-1] for x in self.parameters.get("carry", [])]
        names += [x.split(" AS ")[-1] for x in self.parameters["aggregates"]]
        if self.kind != "global":
            names = ["window_start", "window_end"] + names
        return ", ".join(names + ["is_final"])

    def check_sql(self):
        """One line: unexplained differences of each window, differences between them, objects that don't run, rows."""
        columns = self.compared_columns()
        windows = [self.name + "_a", self.name + "_b"] + ([self.name + "_up"] if self.stacked else [])
        unexplained = " + ".join(f"(SELECT count(*) FROM streamproc.verify('{w}') WHERE explained_by IS NULL)" for w in windows)
        a, b = f"SELECT {columns} FROM {self.name}_a", f"SELECT {columns} FROM {self.name}_b"
        return (f"SELECT '{self.seed}', {unexplained}, "
                f"(SELECT count(*) FROM (({a}) EXCEPT ALL ({b})) x) + (SELECT count(*) FROM (({b}) EXCEPT ALL ({a})) x), "
                f"(SELECT count(*) FROM streamproc.status WHERE name::text ~ '^{self.name}(_|$)' AND state <> 'running'), "
                f"(SELECT count(*) FROM {self.name}_a);\n")

    def drop_sql(self):
        return f"SELECT streamproc.drop_stream('{self.name}', cascade => true); DROP TABLE {self.name};\n"


def interleave(rng, cases, part):
    """The commits of all cases, those of each in their order."""
    queues = [(case, list(part(case))) for case in cases]
    queues = [(case, queue) for case, queue in queues if queue]
    sql = []
    while queues:
        case, queue = rng.choice(queues)
        sql.append(case.insert_sql(queue.pop(0)))
        queues = [(c, q) for c, q in queues if q]
    return sql


def kill_worker(server):
    pid = server.run("SELECT pid FROM pg_stat_activity WHERE backend_type ~ 'streamproc' AND datname = current_database() LIMIT 1")
    if pid:
        os.kill(int(pid), signal.SIGKILL)
        time.sleep(0.1)
        server.wait_until_up()


def run_round(server, rng, cases, crash):
    """Returns the number of cases that failed."""
    quiet = "SET client_min_messages = warning; SET statement_timeout = '300s';\n"
    server.run(quiet + "".join(c.table_sql() for c in cases))
    server.run(quiet + "".join(interleave(rng, cases, lambda c: c.commits[:c.before])))
    server.run(quiet + "".join(c.windows_sql() for c in cases))
    # rows that come before the windows run are history to them, to each from another row on
    server.run("SELECT streamproc.wait_for(timeout => '240 seconds')")
    sql = interleave(rng, cases, lambda c: c.commits[c.before:])
    third = max(1, len(sql) // 3)
    for i in range(0, len(sql), third):
        server.run(quiet + "".join(sql[i:i + third]))
        if crash and rng.random() < 0.5:
            kill_worker(server)
        elif rng.random() < 0.3:
            server.run("SELECT streamproc.stop(); SELECT streamproc.start()")
    server.run("SELECT streamproc.wait_for(timeout => '240 seconds')")
    failed = 0
    for case in cases:
        result = server.run("SET TimeZone = 'UTC';\n" + case.check_sql(), check=False)
        fields = result.split("|")
        if fields[1:4] != ["0", "0", "0"]:
            failed += 1
            print(f"FAILED {case.describe()}\n  differences from the twin, between triggers, not running, rows: "
                  f"{', '.join(fields[1:]) or 'the check itself failed'}", flush=True)
    if failed == 0 or not os.environ.get("KEEP_FAILED"):
        server.run(quiet + "".join(c.drop_sql() for c in cases))
    return failed


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", type=int, default=100)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--round", type=int, default=20)
    parser.add_argument("--crash", type=int, default=25)
    parser.add_argument("--only", choices=KINDS)
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 30)
    print(f"seeds {seed} to {seed + options.cases - 1}", flush=True)
    server = Server()
    rng = random.Random(seed)
    passed = failed = 0
    for first in range(0, options.cases, options.round):
        cases = [Case(seed + i, options.only) for i in range(first, min(first + options.round, options.cases))]
        bad = run_round(server, rng, cases, rng.randrange(100) < options.crash)
        failed += bad
        passed += len(cases) - bad
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
