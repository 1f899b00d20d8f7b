"""Online detectors by their definitions: each point from the whole history before it, by other formulas than the kernels'.

A method takes the series, a list of (microseconds, value), its parameters, the threshold and the direction, and returns an
Answer for each point. Values are learned whatever their score is.
"""

import math
import warnings
from fractions import Fraction

import numpy

LIMIT = 1e6
EPSILON = 2.0 ** -52
QUARTILE = 0.6744897501960817                   # of the normal distribution
MEAN_DEVIATION = math.sqrt(2 / math.pi)
INTERVALS = {"hour": 3600, "minutes": 60, "day": 86400}


class Answer:
    """What is to be said of a point. unit: what deviations are measured in, for how much rounding may matter."""

    def __init__(self, score=0.0, expected=None, lower=None, upper=None, ready=False, unit=None):
        self.score, self.expected, self.lower, self.upper = score, expected, lower, upper
        self.ready, self.unit = ready, unit


def clip(score):
    return max(-LIMIT, min(LIMIT, score))


def standardize(x, center, scale):
    if abs(x - center) <= 8 * EPSILON * abs(center):
        return 0.0
    return math.copysign(LIMIT, x - center) if scale == 0 else clip(float((x - center) / scale))


def turn(z, direction):
    return abs(z) if direction == "both" else z if direction == "high" else -z


def deviation(x, center, scale, threshold, direction):
    center, scale = float(center), float(scale)
    return Answer(turn(standardize(x, center, scale), direction), center, center - threshold * scale,
                  center + threshold * scale, True, scale)


def moments(values, alpha):
    """Mean and variance, the value of k events ago weighing (1 - alpha)^k."""
    x = numpy.array(values, dtype=numpy.longdouble)
    w = (numpy.longdouble(1) - numpy.longdouble(alpha)) ** numpy.arange(len(values) - 1, -1, -1)
    mean = numpy.sum(w * x) / numpy.sum(w)
    return mean, numpy.sum(w * (x - mean) ** 2) / numpy.sum(w)


def seconds(interval):
    number, unit = interval.split()
    return int(number) * INTERVALS[unit]


def ewma(series, p, threshold, direction):
    answers = []
    for i, (_, x) in enumerate(series):
        answer = Answer()
        if i > 0:
            mean, variance = moments([v for _, v in series[:i]], p["alpha"])
            answer = Answer(expected=float(mean))
            if i >= p["warmup"]:
                answer = deviation(x, mean, numpy.sqrt(variance), threshold, direction)
        answers.append(answer)
    return answers


def zscore(series, p, threshold, direction):
    answers = []
    for i, (t, x) in enumerate(series):
        window = series[max(0, i - p["window"]):i]
        if "interval" in p:
            window = [(u, v) for u, v in window if u > t - seconds(p["interval"]) * 10 ** 6]
        n = len(window)
        mean = sum(Fraction(v) for _, v in window) / n if n else None
        if n >= min(p["warmup"], p["window"]):
            variance = sum((Fraction(v) - mean) ** 2 for _, v in window) / (n - 1)
            answers.append(deviation(x, mean, math.sqrt(variance), threshold, direction))
        else:
            answers.append(Answer(expected=float(mean) if n else None))
    return answers


def median(values):
    s = sorted(values)
    return (s[(len(s) - 1) // 2] + s[len(s) // 2]) / 2


def mad(series, p, threshold, direction):
    answers = []
    for i, (_, x) in enumerate(series):
        window = [v for _, v in series[max(0, i - p["window"]):i]]
        if len(window) < min(p["warmup"], p["window"]):
            answers.append(Answer(expected=median(window) if window else None))
            continue
        center = median(window)
        scale = median([abs(v - center) for v in window]) / QUARTILE
        if scale == 0:
            scale = sum(abs(v - center) for v in window) / len(window) / MEAN_DEVIATION
        answers.append(deviation(x, center, scale, threshold, direction))
    return answers


def iqr(series, p, threshold, direction):
    answers = []
    for i, (_, x) in enumerate(series):
        if i < p["warmup"]:
            answers.append(Answer())
            continue
        pairs = sorted((v, (1 - p["alpha"]) ** (i - 1 - k)) for k, (_, v) in enumerate(series[:i]))
        total = math.fsum(w for _, w in pairs)
        quartiles, sums = [], 0.0
        for v, w in pairs:
            sums += w
            while len(quartiles) < 3 and sums >= total * (len(quartiles) + 1) / 4 * (1 - 1e-12):
                quartiles.append(v)
        q1, q2, q3 = quartiles
        whole = q3 - q1 or math.fsum(abs(v - q2) * w for v, w in pairs) / total * (2 * QUARTILE / MEAN_DEVIATION)
        below, above = 2 * (q2 - q1) or whole, 2 * (q3 - q2) or whole
        z = standardize(x, q3, above) if x > q3 else standardize(x, q1, below) if x < q1 else 0.0
        answers.append(Answer(turn(z, direction), q2, q1 - threshold * below, q3 + threshold * above, True,
                              min(below, above)))
    return answers


def pick(direction, high, low):
    return high if direction == "high" else low if direction == "low" else max(high, low)


def cusum(series, p, threshold, direction):
    answers, since, high, low = [], [], 0.0, 0.0
    for _, x in series:
        answer, score, ready = Answer(), 0.0, len(since) >= p["warmup"]
        if since:
            mean, variance = moments(since, p["alpha"])
            scale = float(numpy.sqrt(variance))
            answer = Answer(expected=float(mean))
        if ready:
            if high + low <= 2 * (threshold + p["drift"]):
                answer.lower = float(mean - (threshold + p["drift"] - low) * scale)
                answer.upper = float(mean + (threshold + p["drift"] - high) * scale)
            z = standardize(x, float(mean), scale)
            high = max(0.0, clip(high + z - p["drift"]))
            low = max(0.0, clip(low - z - p["drift"]))
            score = pick(direction, high, low)
            answer.score, answer.ready, answer.unit = score, True, scale
        if score > threshold and p["reset"] != "none":
            high = low = 0.0
            if p["reset"] == "all":
                since = []
        since = since + [x]
        answers.append(answer)
    return answers


def page_hinkley(series, p, threshold, direction):
    answers, since, rise, fall = [], [], 0.0, 0.0
    for _, x in series:
        answer, score, n = Answer(), 0.0, len(since)
        if since:
            mean, variance = moments(since, 0)
            answer = Answer(expected=float(mean))
        if n >= p["warmup"]:
            unit = float(numpy.sqrt(variance)) if p["standardize"] else 1.0
            up = threshold + p["delta"] - p["alpha"] * rise
            down = threshold + p["delta"] - p["alpha"] * fall
            if up + down >= 0:
                answer.lower = float(mean - down * unit * (n + 1) / n)
                answer.upper = float(mean + up * unit * (n + 1) / n)
            d = standardize(x, float(mean), unit * (n + 1) / n)
            if not p["standardize"]:
                d = float(x - sum(map(Fraction, since + [x])) / (n + 1))
            rise = max(0.0, p["alpha"] * rise + d - p["delta"])
            fall = max(0.0, p["alpha"] * fall - d - p["delta"])
            score = clip(pick(direction, rise, fall))
            answer.score, answer.ready, answer.unit = score, True, unit
        if score > threshold and p["reset"] != "none":
            rise = fall = 0.0
            if p["reset"] == "all":
                since = []
        since = since + [x]
        answers.append(answer)
    return answers


class AdaptiveWindow:
    """The values themselves, in buckets of 1, 2, 4, ...: rows[r] is a list of lists of 2^r values, the oldest first."""

    def __init__(self, p):
        self.p, self.rows = p, []

    def buckets(self):
        return [bucket for row in reversed(self.rows) for bucket in row]

    def drop(self):
        row = max(r for r in range(len(self.rows)) if self.rows[r])
        del self.rows[row][0]

    def insert(self, bucket, row=0):
        if row == len(self.rows):
            self.rows.append([])
        self.rows[row].append(bucket)
        if len(self.rows[row]) > self.p["max_buckets"]:
            first, second = self.rows[row][:2]
            del self.rows[row][:2]
            self.insert(first + second, row + 1)

    def cuts(self, x):
        """How far the means of the newer values are above those of the older ones, in the method's units."""
        values = [v for bucket in self.buckets() for v in bucket] + [x]
        n = len(values)
        if n < 10:
            return n, []
        array = numpy.array(values, dtype=numpy.longdouble)
        variance = numpy.mean((array - numpy.mean(array)) ** 2)
        length = numpy.log(2 * numpy.log(numpy.longdouble(n)) / self.p["delta"])
        width = self.p.get("range", numpy.sqrt(variance))
        found, n0 = [], 0
        for bucket in self.buckets():
            n0 += len(bucket)
            if n0 < 5 or n - n0 < 5:
                continue
            m = 1 / (numpy.longdouble(1) / n0 + numpy.longdouble(1) / (n - n0))
            epsilon = numpy.sqrt(2 * variance * length / m) + 2 * width * length / (3 * m)
            if epsilon > 0:
                found.append(clip(float((numpy.mean(array[n0:]) - numpy.mean(array[:n0])) / epsilon)))
        return n, found


def adwin(series, p, threshold, direction):
    answers, window = [], AdaptiveWindow(p)
    for _, x in series:
        values = [v for bucket in window.buckets() for v in bucket]
        answer = Answer(expected=math.fsum(values) / len(values) if values else None)
        n, cuts = window.cuts(x)
        if n > p["warmup"]:
            answer.score = pick(direction, max(cuts, default=0.0), max((-c for c in cuts), default=0.0))
            answer.ready = True
            while max(map(abs, cuts), default=0.0) > threshold and n > 1:
                window.drop()
                n, cuts = window.cuts(x)
        window.insert([x])
        answers.append(answer)
    return answers


def first_periods(values, p):
    """Level, trend and season after the two first periods (without a season, of five values each)."""
    period = 5 if p["seasonality"] == "none" else p["period"]
    m0, m1 = math.fsum(values[:period]) / period, math.fsum(values[period:2 * period]) / period
    trend = (m1 - m0) / period if p["trend"] else 0.0
    middle = (m0 + m1) / 2
    season = []
    for i in range(period):
        line = middle + trend * (i - (period - 1) / 2)
        both = (values[i] + values[period + i]) / 2
        season.append(both - line if p["seasonality"] == "additive" else both / line)
    return period, middle + trend * (period - 0.5), trend, season


def holt_winters(series, p, threshold, direction):
    """The forecasts are statsmodels'."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from statsmodels.tsa.holtwinters import ExponentialSmoothing
        values = [x for _, x in series]
        period, level, trend, season = first_periods(values, p)
        seasonal = p["seasonality"] != "none"
        model = ExponentialSmoothing(
            numpy.array(values[2 * period:]), trend="add" if p["trend"] else None,
            seasonal=p["seasonality"] if seasonal else None, seasonal_periods=period if seasonal else None,
            initialization_method="known", initial_level=level, initial_trend=trend if p["trend"] else None,
            initial_seasonal=season if seasonal else None)
        forecasts = model.fit(smoothing_level=p["alpha"], smoothing_trend=p["beta"] if p["trend"] else None,
                              smoothing_seasonal=p["gamma"] if seasonal else None, optimized=False).fittedvalues
    answers, errors = [Answer() for _ in range(2 * period)], []
    for x, forecast in zip(values[2 * period:], forecasts):
        answer = Answer(expected=float(forecast))
        if len(errors) >= p["warmup"]:
            w = (1 - p["scale_alpha"]) ** numpy.arange(len(errors) - 1, -1, -1.0)
            scale = math.sqrt(numpy.sum(w * numpy.array(errors) ** 2) / numpy.sum(w))
            answer = deviation(x, forecast, scale, threshold, direction)
        errors.append(x - float(forecast))
        answers.append(answer)
    return answers


def find_bin(t, p):
    """Of a time in microseconds since 1970, UTC; the cycles of interval begin at 2000."""
    second = t / 10 ** 6
    if "interval" in p:
        cycle = seconds(p["interval"])
        return int(((second - 946684800) % cycle) // (cycle / p["bins"])), p["bins"]
    if p["period"] == "hour_of_week":
        return int(((second // 3600) + 3 * 24) % 168), 168      # 1970 began on a Thursday
    if p["period"] == "minute_of_hour":
        return int(second // 60 % 60), 60
    return int(second // 3600 % 24), 24


def seasonal(series, p, threshold, direction):
    answers, learned, squares = [], [], []      # (bin, value); deviations from their bins' means
    for i, (t, x) in enumerate(series):
        b, bins = find_bin(t, p)
        own = [v for c, v in learned if c == b]
        answer, value = Answer(), x
        if learned:
            mean, variance = moments([v for _, v in learned], p["alpha"] / bins)
            within = moments(squares, p["alpha"] / bins)[0] if squares else variance
            between = max(0.0, variance - within)
            lean, spread, center = 1.0, within, mean
            if own:
                bin_mean, bin_variance = moments(own, p["alpha"])
                doubt = within / sum((1 - p["alpha"]) ** k for k in range(len(own)))
                lean = doubt / (doubt + between) if doubt > 0 else 0.0
                share = len(own) / (len(own) + p["shrinkage"])
                spread = bin_variance * share + within * (1 - share)
                center = bin_mean + lean * (mean - bin_mean)
            scale = float(numpy.sqrt(spread + lean * between))
            answer = Answer(expected=float(center))
            if i >= p["warmup"]:
                answer = deviation(x, center, scale, threshold, direction)
                if scale > 0:
                    value = max(float(center) - 3 * scale, min(float(center) + 3 * scale, x))
        if own:
            weight = sum((1 - p["alpha"]) ** k for k in range(len(own)))
            squares.append((value - moments(own, p["alpha"])[0]) ** 2 * (weight / (weight + 1)))
        learned.append((b, value))
        answers.append(answer)
    return answers


def fit_pareto(excesses):
    """Shape and scale of the generalized Pareto distribution: the likelihood is a function of shape / scale alone."""
    y = numpy.array(excesses)
    mean, largest = numpy.mean(y), numpy.max(y)
    if len(y) < 10:
        return 0.0, mean

    def shape_of(s):
        return numpy.mean(numpy.log1p(math.expm1(s) * y / largest))

    def cost(s):
        shape = shape_of(s)
        scale = mean / largest if abs(s) < 1e-9 else shape / math.expm1(s)
        return math.inf if shape < -0.5 or scale <= 0 else math.log(scale) + shape

    grid = numpy.concatenate([-numpy.geomspace(32, 1e-3, 400), [0.0], numpy.geomspace(1e-3, 32, 400)])
    best = min(range(len(grid)), key=lambda k: cost(grid[k]))
    low, high = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    for _ in range(80):
        a, b = low + (high - low) / 3, high - (high - low) / 3
        low, high = (low, b) if cost(a) < cost(b) else (a, high)
    shape = shape_of((low + high) / 2)
    if 0 < best < len(grid) - 1 and shape > -0.5 + 1e-6:
        return shape, largest * shape / math.expm1((low + high) / 2)
    shape = max(-0.5, 0.5 * (1 - mean ** 2 / numpy.var(y))) if numpy.var(y) > 0 else -0.5
    return shape, mean * (1 - shape)


class Tail:
    """Beyond t; values of the lower tail come with their signs turned."""

    def __init__(self, values, p):
        self.p = p
        self.t = sorted(values)[int(p["level"] * len(values))]
        self.excesses = [x - self.t for x in values if x > self.t]
        self.fit()

    def fit(self):
        if self.excesses:
            self.shape, self.scale = fit_pareto(self.excesses[-self.p["max_excesses"]:])

    def bound(self, k, p):
        """Where P(X > x) is p, as far as the risk."""
        r = p * k / len(self.excesses)
        return self.t + (-self.scale * math.log(r) if abs(self.shape) < 1e-12 else
                         self.scale / self.shape * (r ** -self.shape - 1))

    def score(self, x, k):
        if x <= self.t:
            return 0.0
        if not self.excesses:
            return LIMIT
        z_q = self.bound(k, self.p["risk"])
        if self.shape < 0 and x > z_q:
            return -math.log10(self.p["risk"]) + (x - z_q) / self.scale / math.log(10)
        z = (x - self.t) / self.scale
        log_p = -z if abs(self.shape) < 1e-12 else -math.log1p(self.shape * z) / self.shape
        return max(0.0, -(math.log(len(self.excesses) / k) + log_p) / math.log(10))


def spot(series, p, threshold, direction):
    """Siffer's algorithms; threshold is -log10(risk), and nothing ever moves to another level ("escape": 0)."""
    depth, answers, kept, known, tails = p.get("depth", 0), [], [], [], []
    for _, x in series:
        mean = math.fsum(kept[-depth:]) / depth if depth and len(kept) >= depth else 0.0
        answer = Answer(expected=mean if depth and len(kept) >= depth else None)
        k, refused = len(known), False
        if tails:
            both = [tails[0].score(x - mean, k) if direction != "low" else 0.0,
                    tails[1].score(mean - x, k) if direction != "high" else 0.0]
            answer.score, answer.ready = max(both), True
            if direction != "low":
                answer.upper = mean + (tails[0].bound(k, p["risk"]) if tails[0].excesses else tails[0].t)
            if direction != "high":
                answer.lower = mean - (tails[1].bound(k, p["risk"]) if tails[1].excesses else tails[1].t)
            for tail, y, score in zip(tails, (x - mean, mean - x), both):
                if score > 0 and not refused:
                    refused = bool(tail.excesses) and score > threshold
                if y > tail.t and score > 0 and not refused:
                    tail.excesses.append(y - tail.t)
                    tail.fit()
        answers.append(answer)
        if refused:
            continue
        if len(kept) >= depth:
            known.append(x - mean)
        kept.append(x)
        if len(known) == p["warmup"] and not tails:
            tails = [Tail(known, p), Tail([-v for v in known], p)]
    return answers


dspot = spot
