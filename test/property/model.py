"""What a case's windows must hold, by plain reasoning: commit by commit, each row in each of its windows, by hand.

Nothing of the extension is asked. Python decides which rows are admitted, late, taken back, and what is final; the
aggregates are then PostgreSQL's own over the rows that are left. Times are whole seconds from the case's first one.

Left to the plain-SQL twins alone: sessions, windows of days and months, those that are filled, and rows at infinite times.
"""

from math import isinf

# Seconds by which these zones are ahead of UTC where windows have their origin, on 2000-01-03.
ZONES = {"UTC": 0, "Europe/Berlin": 3600, "America/New_York": -5 * 3600, "Australia/Lord_Howe": 11 * 3600}


def days_from_civil(year, month, day):
    """Days from 1970-01-01, of the proleptic Gregorian calendar; the year 0 is 1 BC."""
    year -= month <= 2
    era = year // 400
    of_era = year - era * 400
    of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    return era * 146097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719468


def epoch(text):
    """Seconds from 1970 of 'YYYY-MM-DD HH:MM' or the same with ' BC'."""
    date, clock = text.split(" ")[:2]
    year, month, day = (int(part) for part in date.split("-"))
    hour, minute = (int(part) for part in clock.split(":"))
    return days_from_civil(1 - year if text.endswith("BC") else year, month, day) * 86400 + hour * 3600 + minute * 60


def seconds(parameter):
    """Of '90 seconds'; None for days and months."""
    number, unit = parameter.split(" ")
    return int(number) if unit == "seconds" else None


class Row:
    """A row as it was written once; what an UPDATE makes of it is another one."""

    def __init__(self, values, at):
        self.values = values  # id, k, g, v, w, x, t
        self.at = at          # its event time, or None

    def changed(self, columns, later):
        """The row after SET of columns by number, and its time moved."""
        values = list(self.values)
        for number, value in columns.items():
            values[number] = value
        return Row(tuple(values), None if self.at is None else self.at + later)


class Dedup:
    """Which rows repeat others."""

    def __init__(self, columns, within, watermark):
        self.columns = columns
        self.within = within
        self.watermark = watermark
        self.admitted = {}

    def admits(self, row, reached):
        """reached: the largest time before the row's commit; None: no row is too old, as in history."""
        key = tuple(row.values[number] for number in self.columns)
        if row.at is None or isinf(row.at) or None in key:
            return row.at is not None
        if reached is not None and row.at < reached - self.watermark - self.within:
            return False
        times = self.admitted.setdefault(key, [])
        if any(abs(row.at - time) < self.within for time in times):
            return False
        times.append(row.at)
        return True


class Model:
    def __init__(self, case):
        self.case = case
        parameters = case.parameters
        self.kind = case.kind
        self.knows = self.kind in ("sliding", "global") or (
            self.kind != "session" and seconds(parameters["size"]) is not None and "fill" not in parameters)
        # which place a changed row has among the others of a sliding window is left to the twin
        self.knows = self.knows and not (self.kind == "sliding" and case.on_update == "retract")
        self.knows &= not case.endless
        self.grace = seconds(parameters.get("grace", "0 seconds"))
        self.delay = seconds(parameters["watermark"]) if "watermark" in parameters else case.watermark
        self.shift = epoch("2000-01-03 00:00") - epoch(case.start)  # of the windows' origin, in UTC
        self.origin = self.shift - ZONES[parameters.get("time_zone", "UTC")]
        self.dedup = Dedup(case.dedup, case.within, case.watermark) if case.dedup else None
        self.reached = None    # the largest time of a row so far
        self.running = False   # the windows are there
        self.history = 0       # rows that were before
        self.table = []        # rows that are in the table, as they were written
        self.admitted = set()  # those of them that the stream has admitted
        self.counted = set()   # and that window _all has
        self.windows = {}      # (start, end): rows; of running totals None: rows
        self.events = []       # of sliding windows: (row, counts in the window above), in the order in which they came
        self.number = 0        # of the commit at work, from 1; 0: history
        self.stays = {}        # (window, row): [first commit at which it is there, first one at which it isn't any more]
        self.clock = []        # (commit, watermark after it)
        for index, commit in enumerate(case.commits):
            if index == case.before:
                self.start()
            self.number = index + 1 if self.running else 0
            self.commit(commit)
        if case.before == len(case.commits):
            self.start()

    # ---- windows ----

    def windows_of(self, row):
        """(start, end) of each; their origin may be later than the row."""
        if self.kind == "global":
            return [None]
        size = seconds(self.case.parameters["size"])
        slide = seconds(self.case.parameters.get("slide", self.case.parameters["size"]))
        first = self.origin + (row.at - self.origin) // slide * slide + slide  # the first end
        if self.kind == "cumulative":
            start = self.origin + (row.at - self.origin) // size * size
            return [(start, end) for end in range(first, start + size + 1, slide)]
        return [(end - size, end) for end in range(first, first + size, slide)]

    def watermark(self):
        return None if self.reached is None else self.reached - self.delay

    def is_sealed(self, window):
        return window is not None and self.reached is not None and window[1] + self.grace <= self.watermark()

    def is_late(self, row, end):
        return self.reached is not None and row.at <= self.reached and end + self.grace <= self.watermark()

    def place(self, row, history):
        if not self.knows or row.at is None:
            return
        if self.kind == "sliding":
            if history or not self.is_late(row, row.at + seconds(self.case.parameters["size"])):
                self.events.append((row, history or not self.is_late_above(row)))
            return
        for window in self.windows_of(row):
            if history or window is None or not self.is_late(row, window[1]):
                self.windows.setdefault(window, []).append(row)
                self.stays[window, row] = [0 if history else self.number, None]

    def take_back(self, row):
        if not self.knows or row.at is None:
            return
        for window in self.windows_of(row):
            if window is None or not self.is_late(row, window[1]):
                self.windows[window].remove(row)
                self.stays[window, row][1] = self.number

    def is_late_above(self, row):
        """A sliding window hands on each of its rows at once, to a window of this size."""
        size = self.case.upper_size
        end = self.shift + (row.at - self.shift) // size * size + size
        return self.reached is not None and row.at <= self.reached and end < self.watermark()

    # ---- commits ----

    def start(self):
        """The windows are made: what is in the table is history, in order of time, and none of it is late."""
        self.running = True
        self.history = len(self.table)
        history = sorted((row for row in self.table if row.at is not None), key=lambda row: row.at)
        admitted = self.admitted
        if not self.case.watched:
            admitted = self.admitted = {row for row in history if self.dedup is None or self.dedup.admits(row, None)}
        elif self.dedup is not None and self.case.late == "drop":
            # nothing tells which rows were dropped, so that those of each key are gone through in order of time;
            # a stream whose first window this is goes on from there
            dedup = Dedup(self.case.dedup, self.case.within, self.case.watermark)
            admitted = {row for row in history if dedup.admits(row, None)}
            if not self.case.counted:
                self.dedup = dedup
        if not self.case.counted:
            self.counted = set(admitted)
        for row in history:
            if row in admitted:
                self.place(row, True)
            if not self.case.watched and not isinf(row.at):
                self.reached = row.at if self.reached is None else max(self.reached, row.at)
        self.clock.append((0, self.watermark()))

    def insert(self, row, repeats=True):
        self.table.append(row)
        if not self.running and not self.case.watched:
            return
        if row.at is not None and (self.dedup is None or not repeats or self.dedup.admits(row, self.reached)):
            self.admitted.add(row)
            self.counted.add(row)
            if self.running:
                self.place(row, False)

    def delete(self, row):
        self.table.remove(row)
        self.admitted.discard(row)
        self.counted.discard(row)
        if self.running:
            self.take_back(row)

    def commit(self, operations):
        """The watermark moves at its end."""
        times = []
        for kind, old, new in operations:
            if kind == "truncate":
                self.table, self.admitted, self.counted = [], set(), set()
                for window, rows in self.windows.items():
                    for row in [] if self.is_sealed(window) else rows:
                        self.stays[window, row][1] = self.number
                self.windows = {window: rows for window, rows in self.windows.items() if self.is_sealed(window)}
            for row in old:
                self.delete(row)
            for row in new:
                self.insert(row)
                if row.at is not None and not isinf(row.at):
                    times.append(row.at)
        if times and (self.running or self.case.watched):
            self.reached = max(times) if self.reached is None else max(self.reached, *times)
        if self.running:
            self.clock.append((self.number, self.watermark()))

    # ---- what to compare with ----

    def placed(self):
        """(order, start, end, counts above, row) of each row in each of its windows."""
        if self.kind == "sliding":
            size = seconds(self.case.parameters["size"])
            return [(i, row.at - size, row.at, above, row) for i, (row, above) in enumerate(self.events)]
        return [(0, window[0] if window else None, window[1] if window else None, True, row)
                for window, rows in self.windows.items() for row in rows]

    def first_commit(self, time):
        """The first one after which the watermark has reached it, or None."""
        return next((number for number, watermark in self.clock if watermark is not None and watermark >= time), None)

    def placed_at(self):
        """(start, end, first and last commit, commits at which the window is final, and sealed, row)."""
        moments = {window: (None, None) if window is None else
                   (self.first_commit(window[1]), self.first_commit(window[1] + self.grace)) for window, _ in self.stays}
        return [(*(window or (None, None)), came, went, *moments[window], row)
                for (window, row), (came, went) in self.stays.items()]

    def ids(self):
        """Of all rows that window _all has: admitted, and taken back by nobody."""
        return sorted(row.values[0] for row in self.table if row in self.counted)
