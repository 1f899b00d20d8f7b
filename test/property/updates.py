"""Detectors that score a window's rows at each update (sample => 'update'), held against plain SQL.

Beside them are detectors that score the same rows once, when they are final: the last score of a row must be that one, and
what is told must be the first anomaly of a row. Where the model knows the window's rows after each commit, all scores
are computed again by score_online() over the windows that were over by then, and must be found at their commits.
"""

import random

ONLINE = '{"warmup": 3, "alpha": 0.2}'
THRESHOLD = 1.5
MUCH = 3000  # of running totals
SCORED = "value, score, p_value, threshold, is_anomaly, expected, lower_bound, upper_bound"


def quote(text):
    return "'" + str(text).replace("'", "''") + "'"


class Updates:
    """What is made of a case for it, and what is to be checked; whether it is, is in `wanted`."""

    def __init__(self, case):
        chance = random.Random(f"updates {case.seed}")
        self.case = case
        self.name = case.name
        self.wanted = chance.random() < 0.5
        self.direction = chance.choice(["both", "both", "high", "low"])
        if not self.wanted:
            return
        parameters = case.parameters
        parameters["aggregates"] = parameters["aggregates"] + ["sum(w) AS u_w"]
        if case.kind in ("hopping", "cumulative"):
            parameters["emit"] = "update"  # there is nothing to look at before a window is final otherwise
        self.is_total = case.kind == "global"
        self.times = [] if self.is_total else ["window_start", "window_end"]
        self.keys = case.names("keys")
        # sums of floats may differ in their last places
        self.shown = [name for name in case.names("aggregates") if not name.startswith("f_")]

    def row(self):
        return self.times + self.keys

    # ---- SQL: definitions ----

    def create_sql(self):
        """On both windows of the case, which differ in when they are written, so that this makes no difference."""
        if not self.wanted:
            return ""
        carried = ", ".join(quote(name) for name in self.times + self.shown + ["is_final"])
        sql = ""
        for suffix, window, more in (("_uall", "_a", "sample => 'update', store => 'all'"), ("_utold", "_b", "sample => 'update'"),
                                     ("_ufin", "_b", "store => 'all'")):
            if self.is_total and suffix == "_ufin":
                continue  # running totals are never final
            how = (f"method => 'rule', threshold => 2, rules => ARRAY['u_w > {MUCH} AS much', 'true AS here']" if self.is_total else
                   f"method => 'ewma', value => 'coalesce(u_w, 0)', params => '{ONLINE}', threshold => {THRESHOLD}, "
                   f"direction => '{self.direction}'")
            sql += (f"SELECT streamproc.create_detector('{self.name}{suffix}', '{self.name}{window}', {how}, "
                    f"carry => ARRAY[{carried}], {more});\n")
        return sql

    # ---- SQL: checks ----

    def same_sql(self, a, b, names=None):
        return " AND ".join([f"{a}.{name} IS NOT DISTINCT FROM {b}.{name}" for name in self.row() if names is None or name in names] or
                            ["true"])

    def commit_sql(self, table=""):
        """Its LSN; in history, which each detector reads by itself, all is one commit."""
        return f"CASE WHEN {table}lsn > '{self.case.cut}' THEN {table}lsn ELSE '0/0' END"

    def final_sql(self):
        """Rows whose last score isn't that of a detector that has seen only this one."""
        if not self.wanted or self.is_total:
            return "0"
        columns = f"{', '.join(self.row() + self.shown)}, {SCORED}"
        last = (f"SELECT {columns} FROM {self.name}_uall" if self.case.kind == "sliding" else
                f"SELECT DISTINCT ON ({', '.join(self.row())}) {columns} FROM {self.name}_uall "
                f"ORDER BY {', '.join(self.row())}, lsn DESC, ordinal DESC")
        return f"(SELECT count(*) FROM (SELECT {columns} FROM {self.name}_ufin EXCEPT ALL ({last})) d)"

    def told_sql(self):
        """What is told and isn't the first anomaly of its row, and the other way round."""
        if not self.wanted:
            return "0"
        columns = f"{self.commit_sql()} AS commit, {', '.join(self.row() + self.shown + ['is_final'])}, {SCORED}"
        anomalies = f"SELECT {columns} FROM {self.name}_uall WHERE is_anomaly"
        told = f"SELECT {columns} FROM {self.name}_utold"
        if self.case.kind == "sliding":
            return f"(SELECT count(*) FROM ((({anomalies}) EXCEPT ALL ({told})) UNION ALL (({told}) EXCEPT ALL ({anomalies}))) d)"
        wrong = f"(SELECT count(*) FROM (({told}) EXCEPT ALL ({anomalies})) d)"
        moving = self.case.kind == "session"
        taken_back = self.case.on_update == "retract"
        if not moving and not taken_back:
            # a row of a total has no times, and there may be no keys: all its scores are of one row
            first = f"DISTINCT ON ({', '.join(self.row()) or '1'})" if self.row() else ""
            order = ", ".join(self.row() + ["lsn", "ordinal"])
            limit = "" if self.row() else " LIMIT 1"
            return (f"{wrong} + (SELECT count(*) FROM ((SELECT {first} {columns} FROM {self.name}_uall WHERE is_anomaly "
                    f"ORDER BY {order}{limit}) EXCEPT ALL ({told})) d) + (SELECT count(*) FROM ({told} EXCEPT ALL (SELECT {first} {columns} "
                    f"FROM {self.name}_uall WHERE is_anomaly ORDER BY {order}{limit})) d)")
        if moving and taken_back:
            return wrong  # a session may have been told of when it held other rows, which are gone
        # sessions grow together, and rows that were taken back may come again: something was told before, of it or a part of it
        meets = (f"{self.same_sql('t', 'a', self.keys)} AND t.window_start < a.window_end AND t.window_end > a.window_start" if moving else
                 self.same_sql("t", "a"))
        return (f"{wrong} + (SELECT count(*) FROM {self.name}_uall a WHERE is_anomaly AND NOT EXISTS (SELECT FROM {self.name}_utold t "
                f"WHERE {self.commit_sql('t.')} <= {self.commit_sql('a.')} AND {meets}))")

    def model_sql(self, model):
        """Tables u, the placed rows with the commits at which they come and go, uchange and uexpected; then a count of differences."""
        if not self.wanted or not model.knows or self.case.kind == "sliding":
            return "", "0"
        case = self.case
        of_row = [f"({number(came)}, {number(went)}, {number(final)}, {number(sealed)}, {case.time_sql(start)}, {case.time_sql(end)}, "
                  f"{case.values_sql(row)})" for start, end, came, went, final, sealed, row in model.placed_at()]
        keys = [item.rsplit(" AS ", 1)[0] for item in case.parameters["keys"]]
        named = [f"key{i}" for i in range(len(keys))]
        places = ", ".join(["final_at", "sealed_at", "ws", "we"] + named)
        same = "".join(f" AND p.{name} IS NOT DISTINCT FROM c.{name}" for name in ["ws", "we"] + named)
        aggregates = [item for item in case.parameters["aggregates"] if not item.split(" AS ")[-1].startswith("f_")]
        sql = (f"CREATE TEMP TABLE u (came int, went int, final_at int, sealed_at int, ws {case.time_type}, we {case.time_type}, "
               f"LIKE {self.name});\n")
        if of_row:
            sql += f"INSERT INTO u VALUES {', '.join(of_row)};\n"
        sql += ("CREATE TEMP TABLE uk AS SELECT *" + "".join(f", {key} AS {name}" for key, name in zip(keys, named)) +
                f" FROM u WHERE {case.parameters.get('filter', 'true')};\n")
        # a row of the window at each commit that changes it, makes it final, or seals it
        sql += (f"CREATE TEMP TABLE uchange AS SELECT row_number() OVER () AS no, c.*, tx IS NOT DISTINCT FROM sealed_at AS sealed, "
                f"coalesce(tx >= final_at, false) AS is_final, a.* FROM (SELECT came AS tx, {places} FROM uk UNION "
                f"SELECT went, {places} FROM uk UNION SELECT final_at, {places} FROM uk UNION SELECT sealed_at, {places} FROM uk) c, "
                f"LATERAL (SELECT {', '.join(aggregates)} FROM uk p WHERE p.came <= c.tx AND (p.went IS NULL OR p.went > c.tx){same} "
                f"HAVING count(*) > 0 AND ({case.parameters.get('group_filter', 'true')})) a "
                "WHERE tx <= coalesce(sealed_at, tx) AND (tx > 0 OR sealed_at = 0);\n")
        sql += self.expected_sql(named)
        return sql, self.unexpected_sql(named)

    def expected_sql(self, named):
        """What must be said of these rows."""
        if self.is_total:
            return (f"CREATE TEMP TABLE uexpected AS SELECT *, 1 + (u_w > {MUCH})::int AS score, u_w > {MUCH} AS is_anomaly, 2.0 AS threshold "
                    "FROM uchange;\n")
        same = "".join(f" AND s.{name} IS NOT DISTINCT FROM c.{name}" for name in named)
        scores = ", ".join(f"streamproc.score_online('ewma', we, v, '{ONLINE}', {THRESHOLD}, '{side}') OVER w AS {name}"
                           for side, name in (("high", "high"), (self.direction, "own")))
        return ("CREATE TEMP TABLE uexpected AS WITH series AS (SELECT no, true AS is_own, we, coalesce(u_w, 0) AS v FROM uchange UNION ALL "
                f"SELECT c.no, false, s.we, coalesce(s.u_w, 0) FROM uchange c JOIN uchange s ON s.sealed AND s.tx <= c.tx AND s.we < c.we{same}), "
                f"score AS (SELECT no, is_own, {scores} FROM series WINDOW w AS (PARTITION BY no ORDER BY we)) "
                "SELECT c.*, (s).score, (s).is_anomaly, "
                f"{THRESHOLD} AS threshold FROM (SELECT c.*, CASE WHEN is_final THEN own ELSE high END AS s FROM uchange c JOIN score USING (no) "
                f"WHERE is_own AND (is_final OR {self.direction != 'low'})) c;\n")

    def unexpected_sql(self, named):
        """Rows that are not among the expected ones, or the other way round, or at another commit."""
        # the last place of a number, as text, is told; arrays and jsonb can't be compared otherwise with FULL JOIN
        compared = "(" + " || '|' || ".join(["''"] + [f"coalesce({{}}::text, '')" for _ in range(len(self.row() + self.shown) + 1)]) + ")"
        mine = compared.format(*(["ws", "we"] if self.times else []), *named, *self.shown, "is_final")
        found = compared.format(*self.times, *self.keys, *self.shown, "is_final")
        if self.is_total:
            found = found.replace("coalesce(is_final::text, '')", "'false'")
        return (f"(SELECT count(*) FILTER (WHERE f.row IS NULL OR e.row IS NULL OR (f.score, f.threshold, f.is_anomaly) IS DISTINCT FROM "
                "(e.score, e.threshold, e.is_anomaly) OR f.nth_commit <> e.nth_commit) FROM "
                f"(SELECT *, dense_rank() OVER (ORDER BY lsn) AS nth_commit FROM (SELECT {found} AS row, score, threshold, is_anomaly, lsn, "
                f"row_number() OVER (PARTITION BY {found} ORDER BY lsn, ordinal) AS nth FROM {self.name}_uall) r) f FULL JOIN "
                f"(SELECT *, dense_rank() OVER (ORDER BY tx) AS nth_commit FROM (SELECT {mine} AS row, score, threshold, is_anomaly, tx, "
                f"row_number() OVER (PARTITION BY {mine} ORDER BY tx) AS nth FROM uexpected) r) e USING (row, nth))")


def number(n):
    return "NULL" if n is None else str(n)
