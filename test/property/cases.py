"""Windows made by chance, held against plain SQL over the same rows.

A case is a table with rows, made from a seed, and windows over it of one definition, what reads them, and a change feed.
Rows may be repeated (dedup_key), or updated, deleted and truncated (on_update 'retract'). Results must be those of the
plain-SQL twin (verify() finds nothing that isn't explained) and of the model (model.py), which knows what is late; what
is read must have come once; applying the feed must give the table. And all of it the same whatever the trigger, and
whether the worker was stopped or killed on the way, and whether there was memory for it. Many cases share a round: their
tables are loaded side by side.

usage: cases.py --cases N [--seed S] [--round R] [--crash PERCENT] [--spill PERCENT] [--only KIND]

--crash: in so many rounds the worker is killed. --spill: so many have next to no memory, so that what can be spilled is.

Connects like psql, by the environment. Prints a line for each case that fails, with its seed, and at the end
"N passed, N failed". A case can be run again alone: --cases 1 --seed S.
"""

import argparse
import math
import os
import random
import signal
import subprocess
import sys
import time

from model import Model, Row
from updates import Updates

KINDS = ["tumbling", "hopping", "cumulative", "session", "sliding", "global"]
# What can be wrong; the last four where the model knows.
FINDINGS = ["differences from the twin", "differences between triggers", "objects not running", "wrong rows admitted",
            "errors of the change feed", "updates whose last score isn't the final one", "wrong alerts of updates",
            "differences from the model", "differences above", "differences of alerts",
            "differences of updates"]
COLUMNS = ["id", "k", "g", "v", "w", "x", "t"]
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
        return (result.stdout if result.returncode == 0 else result.stdout + result.stderr).rstrip("\n")

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


def value_sql(value):
    return "NULL" if value is None else quote(value) if isinstance(value, str) else repr(value)


def unequal_sql(a, b):
    """The number of rows that only one of two queries has."""
    return f"(SELECT count(*) FROM ((({a}) EXCEPT ALL ({b})) UNION ALL (({b}) EXCEPT ALL ({a}))) d)"


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
        self.late = "drop" if r.random() < 0.1 else "dead_letter"
        self.on_update = "error" if r.random() < 0.1 else "ignore"
        self.dedup = None
        self.within = 0
        self.make_windows()
        self.many = self.make_many()
        self.updates = Updates(self)
        if r.random() < 0.4:
            self.on_update = "retract"
            self.parameters.pop("fill", None)
            if self.kind == "sliding":
                self.stacked = False  # refused: answers change
        elif r.random() < 0.4:
            self.dedup = r.choice([[0], [1], [1, 2], [6], [6, 1]])
            self.within = self.step * r.choice([1, 5, 20, 60])
        self.unlike = self.dedup is not None and r.random() < 0.2
        self.watched = r.random() < 0.7    # the stream is there before the first row, else with the windows
        self.counted = self.watched and r.random() < 0.7  # and a window
        # where rows of one time don't have to be told apart by their places
        self.partitioned = self.kind != "sliding" and not self.unlike and r.random() < 0.2
        self.feed = r.random() < 0.3
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
            parameters["carry"] = ["id AS event", "t AS word"]
        parameters["keys"] = r.choice([[], ["k"], ["k"], ["k", "g"], ["upper(g) AS big"], ["k % 2 AS odd"]])
        chosen = r.sample(AGGREGATES["native"], r.randint(1, 3))
        for what in ("float", "generic", "kept"):
            if r.random() < 0.4:
                chosen += r.sample(AGGREGATES[what], r.randint(1, 2))
        parameters["aggregates"] = chosen
        if r.random() < 0.3:
            parameters["filter"] = r.choice(["w % 5 <> 0", "k IS NOT NULL", "v > 100"])
        if r.random() < 0.2:
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
        self.upper_size = self.step * 50
        self.stacked = self.kind != "global" and r.random() < 0.3
        self.scored = self.kind != "global" and r.random() < 0.4

    def make_many(self):
        """Some have many keys, so that a window fills pages of its own; all else is as it would be without."""
        r = random.Random(f"many {self.seed}")
        if r.random() < 0.7:
            return False
        self.parameters["keys"] = [f"id % {r.choice([100, 200, 400])} AS many"] + r.choice([[], ["g"]])
        if self.kind in ("tumbling", "hopping", "cumulative") and "seconds" in self.parameters["size"]:
            slides = r.choice([1, 1, 3]) if "slide" in self.parameters else 1
            self.parameters["size"] = f"{self.step * 200 * slides} seconds"
            if "slide" in self.parameters:
                self.parameters["slide"] = f"{self.step * 200} seconds"
        return True

    def make_rows(self):
        r = self.rng
        n = r.choice([30, 120, 300])
        n = 600 if self.many else n
        self.start = r.choice(["2026-03-29 00:30", "2026-10-25 00:10", "2026-01-01 00:00", "0044-03-15 12:00 BC"])
        self.order = r.choice(["sorted", "shuffled", "late", "same"])
        self.endless = r.random() < 0.1  # some times are infinite
        rows = []
        offset = 0
        for i in range(n):
            offset += r.choice([0, 1, 1, 1, 2]) * self.step
            if r.random() < 0.02:
                offset += self.step * r.choice([20, 100])
            at = offset
            if self.order == "shuffled":
                at -= r.randint(0, max(1, self.watermark))
            elif self.order == "late" and r.random() < 0.15:
                at -= r.randint(0, self.step * 100)
            elif self.order == "same":
                at -= at % (self.step * 5)
            if r.random() < 0.01:
                at = None
            elif self.endless and r.random() < 0.04:
                at = r.choice([math.inf, -math.inf])
            rows.append(Row((i, r.choice([0, 1, 2, 2, 3, None]), r.choice(["a", "b", None]),
                             r.choice([r.randint(0, 1000) / 4.0, r.random() * 1000, None]), r.randint(0, 1000),
                             r.choice([r.randint(0, 99999) / 100.0, None]), r.choice(["x", "yy", "Z", "é", ""])), at))
        self.repeat_rows(rows)
        self.commits = []
        self.how = r.choice(["single", "batches", "one", "mixed"])
        i = 0
        while i < n:
            size = {"single": 1, "batches": 20, "one": n, "mixed": r.choice([1, 2, 30])}[self.how]
            if self.how == "single" and n > 120:
                size = 3
            self.commits.append([("insert", [], rows[i:i + size])])
            i += size
        if self.on_update == "retract":
            self.make_changes()
        self.history = r.random() < 0.3  # so much of it is there before the windows are
        self.before = r.randint(0, len(self.commits)) if self.history else 0
        self.cut = None   # where in the WAL that is

    def repeat_rows(self, rows):
        """Some come again. Of unlike rows with one key and one time verify() can't know which was first."""
        r = self.rng
        if not self.dedup:
            return
        firsts = {}
        for i, row in enumerate(rows):
            if i > 0 and r.random() < 0.2:
                row = rows[i - r.randint(1, min(i, 30))]
            if not self.unlike:
                row = firsts.setdefault((tuple(row.values[number] for number in self.dedup), row.at), row)
            rows[i] = Row(row.values, row.at)

    def make_changes(self):
        """UPDATE, DELETE and TRUNCATE, with the INSERT before or by themselves."""
        r = self.rng
        alive = []
        commits = []
        for (insert,) in self.commits:
            alive += insert[2]
            commits.append([insert])
            while alive and r.random() < 0.4:
                chosen = alive[-40:] if r.random() < 0.8 else alive
                chosen = r.sample(chosen, min(len(chosen), r.randint(1, 4)))
                change = r.random()
                if change < 0.03:
                    chosen, new, kind = list(alive), [], "truncate"
                elif change < 0.35:
                    new, kind = [], "delete"
                else:
                    columns = {number: make() for number, make in (
                        (1, lambda: r.choice([0, 1, 2, 3, None])), (2, lambda: r.choice(["a", "b", None])),
                        (3, lambda: r.choice([r.random() * 1000, None])), (4, lambda: r.randint(0, 1000)),
                        (5, lambda: r.choice([r.randint(0, 99999) / 100.0, None])), (6, lambda: r.choice(["x", "Z"])))
                        if r.random() < 0.3}
                    later = r.choice([0, 0, 1, -1, 5, -5, 50, -50]) * self.step
                    new, kind = [row.changed(columns, later) for row in chosen], ("update", columns, later)
                alive = [row for row in alive if row not in chosen] + new
                operation = (kind, [] if kind == "truncate" else chosen, new)
                if r.random() < 0.5:
                    commits[-1].append(operation)
                else:
                    commits.append([operation])
        self.commits = commits

    def describe(self):
        return (f"seed {self.seed}: {self.kind} {self.parameters} over {self.time_type}, watermark {self.watermark} s, "
                f"rows {self.order}{' and endless' if self.endless else ''}, {self.how}, {self.before} of {len(self.commits)} commits before"
                f"{' the stream' if not self.watched else ' its windows'}, stacked {self.stacked}, scored {self.scored}, "
                f"updates {self.updates.wanted and self.updates.direction}, partitioned {self.partitioned}, late {self.late}, on_update {self.on_update}, "
                f"dedup {self.dedup} within {self.within} s")

    # ---- SQL: definitions ----

    def table_sql(self):
        identity = "ALTER TABLE {} REPLICA IDENTITY FULL;\n" if self.on_update == "retract" else ""
        sql = f"CREATE TABLE {self.name} (id int, k int, g text, v float8, w int, x numeric, t text, ts {self.time_type})"
        if self.partitioned:
            sql += (f" PARTITION BY LIST (k);\nCREATE TABLE {self.name}_p1 PARTITION OF {self.name} FOR VALUES IN (1, 3);\n"
                    f"CREATE TABLE {self.name}_p2 PARTITION OF {self.name} DEFAULT;\n")
            sql += identity.format(self.name + "_p1") + identity.format(self.name + "_p2")
        sql += ";\n" + identity.format(self.name)
        return sql + (self.stream_sql() if self.watched else "") + (self.all_sql() if self.counted else "")

    def stream_sql(self):
        arguments = [f"watermark => '{self.watermark} seconds'", "idle_timeout => '1 day'", "max_future => '100000 days'",
                     f"late => '{self.late}'", f"on_update => '{self.on_update}'"]
        if self.dedup:
            arguments += [f"dedup_key => '{{{', '.join(COLUMNS[number] for number in self.dedup)}}}'",
                          f"dedup_within => '{self.within} seconds'"]
        return f"SELECT streamproc.create_stream('{self.name}', time_column => 'ts', {', '.join(arguments)});\n"

    def all_sql(self):
        """The rows that the stream admits."""
        return (f"SELECT streamproc.create_window('{self.name}_all', '{self.name}', kind => 'global', "
                "aggregates => ARRAY['array_agg(id ORDER BY id) AS ids']);\n")

    def window_call(self, suffix, trigger, more=""):
        arguments = [quote(self.name + suffix), quote(self.name), f"kind => {quote(self.kind)}",
                     f"trigger => {quote(trigger)}"]
        for key, value in self.parameters.items():
            arguments.append(f"{key} => " + (text_array(value) if isinstance(value, list) else quote(value)))
        return f"SELECT streamproc.create_window({', '.join(arguments)}{more});\n"

    def windows_sql(self):
        sql = "" if self.watched else self.stream_sql()
        sql += "" if self.counted else self.all_sql()
        sql += self.window_call("_a", "0", ", changes => true" if self.feed else "") + self.window_call("_b", "1 hour")
        if self.stacked:
            sql += (f"SELECT streamproc.create_window('{self.name}_up', '{self.name}_a', kind => 'tumbling', "
                    f"size => '{self.upper_size} seconds', aggregates => ARRAY['count(*) AS n', 'max(window_end) AS last']);\n")
        if self.scored:
            sql += (f"SELECT streamproc.create_detector('{self.name}_det', '{self.name}_a', method => 'rule', store => 'all', "
                    "rules => ARRAY['true AS here'], carry => "
                    f"{text_array(['window_start', 'window_end'] + self.names('carry', 'aggregates'))});\n")
        return sql + self.updates.create_sql()

    # ---- SQL: rows ----

    def time_sql(self, at):
        if at is None or math.isinf(at):
            return f"{'NULL' if at is None else quote('infinity' if at > 0 else '-infinity')}::{self.time_type}"
        return f"{quote(self.start)}::{self.time_type} + interval '{at} seconds'"

    def values_sql(self, row):
        return ", ".join([value_sql(value) for value in row.values] + [self.time_sql(row.at)])

    def operation_sql(self, operation):
        kind, old, new = operation
        where = f"WHERE id IN ({', '.join(str(row.values[0]) for row in old)})"
        if kind == "insert":
            return f"INSERT INTO {self.name} VALUES {', '.join('(' + self.values_sql(row) + ')' for row in new)};\n"
        if kind == "delete":
            return f"DELETE FROM {self.name} {where};\n"
        if kind == "truncate":
            return f"TRUNCATE {self.name};\n"
        columns = [f"{COLUMNS[number]} = {value_sql(value)}" for number, value in kind[1].items()]
        columns.append(f"ts = ts + interval '{kind[2]} seconds'")
        return f"UPDATE {self.name} SET {', '.join(columns)} {where};\n"

    def commit_sql(self, commit):
        sql = "".join(self.operation_sql(operation) for operation in commit)
        return sql if len(commit) == 1 else f"BEGIN;\n{sql}COMMIT;\n"

    # ---- SQL: checks ----

    def names(self, *lists):
        return [item.split(" AS ")[-1] for what in lists for item in self.parameters.get(what, [])]

    def compared_columns(self):
        times = ["window_start", "window_end"] if self.kind != "global" else []
        return ", ".join(times + self.names("keys", "carry", "aggregates") + ["is_final"])

    def verified(self):
        """Windows that have a twin."""
        return [self.name + suffix for suffix in ["_a", "_b", "_all"] + (["_up"] if self.stacked else [])]

    def unexplained_sql(self):
        """Rows in which windows differ from their twins."""
        return " + ".join(f"(SELECT count(*) FROM streamproc.verify('{window}') WHERE explained_by IS NULL)"
                          for window in self.verified())

    def diagnosis_sql(self):
        """What can be told of a case that failed."""
        return "".join(f"SELECT '  {window}: ' || v FROM streamproc.verify('{window}') v WHERE explained_by IS NULL LIMIT 2;\n"
                       for window in self.verified()) + (
            "SELECT '  ' || name || ' is ' || state || ': ' || coalesce(reason, '') FROM streamproc.status "
            f"WHERE name::text ~ '^{self.name}(_|$)' AND state <> 'running';\n")

    def feed_sql(self):
        """What is wrong with the change feed: rows that leave before they come, rows that it has and the table hasn't."""
        if not self.feed:
            return "0"
        return (f"(WITH step AS (SELECT id, old AS image, -1 AS d FROM {self.name}_a_changes WHERE old IS NOT NULL "
                f"UNION ALL SELECT id, new, 1 FROM {self.name}_a_changes WHERE new IS NOT NULL), "
                "total AS (SELECT image, d, sum(d) OVER (PARTITION BY image ORDER BY id, d) AS n FROM step), "
                "rest AS (SELECT image, sum(d) AS n FROM step GROUP BY image HAVING sum(d) <> 0), "
                f"there AS (SELECT streamproc.row_image(w) AS image, count(*) AS n FROM {self.name}_a w GROUP BY 1) "
                "SELECT (SELECT count(*) FROM total WHERE n < 0) + (SELECT count(*) FROM rest FULL JOIN there USING (image) "
                "WHERE rest.n IS DISTINCT FROM there.n) + (SELECT count(*) FROM (SELECT lsn, lag(lsn) OVER (ORDER BY id) AS "
                f"before, old, new FROM {self.name}_a_changes) f WHERE lsn < before OR coalesce(old, new) IS NULL))")

    def expected_sql(self, model):
        """Tables e, the placed rows, and expected, what must be in the result table."""
        rows = [f"({o}, {self.time_sql(start)}, {self.time_sql(end)}, {above}, {self.values_sql(row)})"
                for o, start, end, above, row in model.placed()]
        sql = (f"CREATE TEMP TABLE e (o int, window_start {self.time_type}, window_end {self.time_type}, above bool, "
               f"LIKE {self.name});\n")
        if rows:
            sql += f"INSERT INTO e VALUES {', '.join(rows)};\n"
        condition = self.parameters.get("filter", "true")
        having = self.parameters.get("group_filter", "true")
        final = f"window_end <= {self.time_sql(model.watermark())}" if self.kind != "global" else "false"
        keys = self.parameters["keys"]
        aggregates = self.parameters["aggregates"]
        if self.kind == "sliding":
            named = [item.rsplit(" AS ", 1)[0] for item in keys]
            columns = "".join(f", {item} AS key{i}" for i, item in enumerate(named))
            same = "".join(f" AND p.key{i} IS NOT DISTINCT FROM r.key{i}" for i in range(len(named)))
            bound = ">=" if self.parameters["bounds"] == "[]" else ">"
            shown = ["window_start", "window_end"] + [f"key{i} AS {name}" for i, name in enumerate(self.names("keys"))]
            carried = [f"r.{item}" for item in self.parameters["carry"]]
            return sql + (f"CREATE TEMP TABLE expected AS WITH s AS (SELECT *{columns} FROM e WHERE {condition}) "
                          f"SELECT {', '.join(shown + carried + self.names('aggregates'))}, true AS is_final, o, above FROM s r, "
                          f"LATERAL (SELECT {', '.join(aggregates)} FROM s p WHERE p.o <= r.o AND p.window_end <= r.window_end "
                          f"AND p.window_end {bound} r.window_start{same} HAVING {having}) a;\n")
        times = ["window_start", "window_end"] if self.kind != "global" else []
        groups = ", ".join(str(i + 1) for i in range(len(times) + len(keys)))
        sql += (f"CREATE TEMP TABLE expected AS SELECT {', '.join(times + keys + aggregates)}, coalesce({final}, false) AS is_final, "
                f"0 AS o, true AS above FROM e WHERE {condition} {'GROUP BY ' + groups if groups else ''} "
                f"HAVING count(*) > 0 AND ({having});\n")
        if self.parameters.get("emit", "final" if self.kind in ("hopping", "cumulative") else "update") == "final":
            sql += "DELETE FROM expected WHERE NOT is_final;\n"
        return sql

    def differences_sql(self, actual, order, expected, extra="is_final"):
        """Rows of the expected ones and the actual ones that are not the other's; sums of floats are equal to 1e-9."""
        aggregates = self.names("aggregates")
        floats = [name for name in aggregates if name.startswith("f_")]
        exact = [name for name in aggregates if name not in floats] + ([extra] if extra else [])
        times = ["window_start", "window_end"] if self.kind != "global" else []
        row_key = f"ROW({', '.join(times + self.names('keys', 'carry'))})::text"
        side = (f"(SELECT true AS there, {row_key} AS row_key, row_number() OVER (PARTITION BY {row_key} ORDER BY {{}}) "
                f"AS row_n, {', '.join(floats + exact)} FROM {{}})")
        wrong = ["a.there IS NULL", "e.there IS NULL"] + [f"NOT streamproc.nearly_equal(a.{name}, e.{name})" for name in floats]
        wrong += [f"a.{name} IS DISTINCT FROM e.{name}" for name in exact]
        return (f"(SELECT count(*) FROM {side.format(order, actual)} a FULL JOIN {side.format('o', expected)} e "
                f"USING (row_key, row_n) WHERE {' OR '.join(wrong)})")

    def sealed_sql(self, model, condition="true"):
        """Those of the expected rows that what reads the window has got."""
        if self.kind != "sliding":
            condition += f" AND window_end <= {self.time_sql(None if model.watermark() is None else model.watermark() - model.grace)}"
        return f"(SELECT * FROM expected WHERE {condition}) x"

    def upper_sql(self, model):
        """The window above: of rows at the last moment of their windows."""
        moment = "window_end" if self.kind == "sliding" else "window_end - interval '1 us'"
        size = f"interval '{self.upper_size} seconds'"
        start = f"date_bin({size}, {moment}, '2000-01-03{'+00' if self.time_type == 'timestamptz' else ''}')"
        reached = self.time_sql(None if model.watermark() is None else model.watermark() - model.grace)
        final = f"coalesce({start} + {size} <= {reached} - interval '1 us', false)"
        return unequal_sql(f"SELECT window_start, window_end, n, last, is_final FROM {self.name}_up",
                           f"SELECT {start}, {start} + {size}, count(*), max(window_end), {final} "
                           f"FROM {self.sealed_sql(model, 'above')} GROUP BY {start}")

    def check_sql(self, hasty):
        """
        A line: the seed, then numbers that must be 0, as FINDINGS names them, and how many rows there are. Hasty:
        nobody knows when the stream came to life, so that some rows may have been history or not.
        """
        columns = self.compared_columns()
        model = Model(self)
        # of rows of one time in a history of several pages nobody knows which was first either
        unsure = self.before > 0 and (hasty and self.watched or (self.kind == "sliding" or self.unlike) and
                                      model.history > 90)
        setup = ""
        findings = [self.unexplained_sql(),
                    unequal_sql(f"SELECT {columns} FROM {self.name}_a", f"SELECT {columns} FROM {self.name}_b"),
                    f"(SELECT count(*) FROM streamproc.status WHERE name::text ~ '^{self.name}(_|$)' AND state <> 'running')",
                    "0" if unsure else
                    f"(SELECT count(*) FROM (VALUES ('{{{', '.join(str(i) for i in model.ids())}}}'::int[])) m (ids) "
                    f"WHERE ids <> coalesce((SELECT ids FROM {self.name}_all), '{{}}'))",
                    self.feed_sql(), self.updates.final_sql(), self.updates.told_sql()]
        if model.knows and not unsure:
            setup = self.expected_sql(model)
            order = "lsn, ordinal" if self.kind == "sliding" else "true"
            findings.append(self.differences_sql(self.name + "_a", order, "expected"))
            findings.append(self.upper_sql(model) if self.stacked else "0")
            findings.append(self.differences_sql(self.name + "_det", "id", self.sealed_sql(model), None) if self.scored else "0")
            updates, wrong = self.updates.model_sql(model)
            setup += updates
            findings.append(wrong)
        return f"{setup}SELECT '{self.seed}', {', '.join(findings)}, (SELECT count(*) FROM {self.name}_a);\n"

    def drop_sql(self):
        return f"SELECT streamproc.drop_stream('{self.name}', cascade => true); DROP TABLE {self.name};\n"


def interleave(rng, cases, part):
    """The commits of all cases, those of each in their order."""
    queues = [(case, list(part(case))) for case in cases]
    queues = [(case, queue) for case, queue in queues if queue]
    sql = []
    while queues:
        case, queue = rng.choice(queues)
        sql.append(case.commit_sql(queue.pop(0)))
        queues = [(c, q) for c, q in queues if q]
    return sql


def kill_worker(server):
    pid = server.run("SELECT pid FROM pg_stat_activity WHERE backend_type ~ 'streamproc' AND datname = current_database() LIMIT 1")
    if pid:
        os.kill(int(pid), signal.SIGKILL)
        time.sleep(0.1)
        server.wait_until_up()


def run_round(server, rng, cases, crash, spill):
    """Returns the number of cases that failed."""
    quiet = "SET client_min_messages = warning; SET statement_timeout = '300s'; SET TimeZone = 'UTC';\n"
    server.run(f"ALTER SYSTEM SET streamproc.max_state_memory = '{'64kB' if spill else '1GB'}'")
    server.run("SELECT pg_reload_conf()")
    server.run(quiet + "".join(c.table_sql() for c in cases))
    hasty = rng.random() < 0.2
    if not hasty and any(c.watched for c in cases):
        server.run("SELECT streamproc.wait_for(timeout => '240 seconds')")
    server.run(quiet + "".join(interleave(rng, cases, lambda c: c.commits[:c.before])))
    server.run(quiet + "".join(c.windows_sql() for c in cases))
    # rows that come before the windows run are history to them, to each from another row on
    server.run("SELECT streamproc.wait_for(timeout => '240 seconds')")
    cut = server.run("SELECT pg_current_wal_insert_lsn()")
    for case in cases:
        case.cut = cut
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
        result = server.run(quiet + case.check_sql(hasty), check=False)
        fields = result.split("|")
        if len(fields) < 2 or any(field != "0" for field in fields[1:-1]):
            failed += 1
            found = [f"{what} {n}" for what, n in zip(FINDINGS, fields[1:-1]) if n != "0"] or [f"the check itself failed: {result}"]
            print(f"FAILED {case.describe()}\n  {', '.join(found)}; of {fields[-1]} rows", flush=True)
            print(server.run(quiet + case.diagnosis_sql(), check=False), flush=True)
    if failed == 0 or not os.environ.get("KEEP_FAILED"):
        server.run(quiet + "".join(c.drop_sql() for c in cases))
    return failed


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", type=int, default=100)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--round", type=int, default=20)
    parser.add_argument("--crash", type=int, default=25)
    parser.add_argument("--spill", type=int, default=40)
    parser.add_argument("--only", choices=KINDS)
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 30)
    print(f"seeds {seed} to {seed + options.cases - 1}", flush=True)
    server = Server()
    rng = random.Random(seed)
    passed = failed = 0
    for first in range(0, options.cases, options.round):
        cases = [Case(seed + i, options.only) for i in range(first, min(first + options.round, options.cases))]
        spill = random.Random(f"spill {seed + first}").randrange(100) < options.spill
        bad = run_round(server, rng, cases, rng.randrange(100) < options.crash, spill)
        failed += bad
        passed += len(cases) - bad
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
