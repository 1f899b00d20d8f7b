"""Batch detectors of series in PostgreSQL against statsmodels, or their definitions in numpy.

CASES: (series, call in SQL with the values as {v}, what must come of it, tolerance). What must come of it is a function of the
values that returns one number each, NaN where there is none.
"""

import numpy
from scipy import special, stats

from batch_points import critical, differences, find_unit

NORMAL_MAD = 1.482602218505602


def make_series():
    chance = numpy.random.default_rng(20261130)
    i = numpy.arange(480)
    noise = chance.normal(0, 1, 480)
    daily = 100 + 0.05 * i + 10 * numpy.sin(2 * numpy.pi * i / 24) + 4 * numpy.cos(2 * numpy.pi * i / 12) + noise
    dirty = daily.copy()
    dirty[[50, 51, 180, 181, 182, 333, 400]] += [30, 25, -40, -38, -41, 60, 22]
    weekly = numpy.exp(0.3 * numpy.sin(2 * numpy.pi * i[:371] / 7)) * 50 + chance.gamma(2, 2, 371)
    steps = numpy.repeat([0.0, 6.0, 6.5, -3.0, 20.0], [80, 70, 50, 60, 40]) + chance.normal(0, 1, 300)
    walk = numpy.cumsum(chance.normal(0, 1, 260))
    flat = numpy.round(chance.normal(0, 0.6, 240))
    flat[90:140] = 2
    return {"daily": daily, "dirty": dirty, "weekly": weekly, "steps": steps, "walk": walk, "flat": flat,
            "large": 1e9 + daily[:200]}


# ---- STL ----

def decompose(y, period, seasonal, trend, robust, seasonal_deg=1, seasonal_jump=None):
    from statsmodels.tsa.seasonal import STL
    trend += trend % 2 == 0
    low_pass = period + 1 + period % 2
    return STL(y, period, seasonal=seasonal, trend=trend, low_pass=low_pass, seasonal_deg=seasonal_deg, robust=robust,
               seasonal_jump=seasonal_jump or -(-seasonal // 10), trend_jump=-(-trend // 10), low_pass_jump=-(-low_pass // 10)).fit(
                   inner_iter=2 if robust else 5, outer_iter=15 if robust else 0)


def stl_residual(period, robust, seasonal):
    def score(y):
        rest = abs(decompose(y, period, seasonal, int(numpy.ceil(1.5 * period / (1 - 1.5 / seasonal))), robust).resid)
        return rest / (numpy.median(rest) * NORMAL_MAD)
    return score


def seasonal_esd(period, part, alpha, direction):
    """What is left of the series is tested anew after each value that is taken away."""
    def distance(v):
        return {"both": abs, "high": lambda z: z, "low": lambda z: -z}[direction](v - numpy.median(v))

    def test(v, level):
        return distance(v) / stats.median_abs_deviation(v, scale="normal") / critical(len(v), level)

    def score(y):
        season = decompose(y, period, 10 * len(y) + 1, period * 3 // 2 + 1, True, 0, len(y) // 10 + 1).seasonal
        for phase in range(period):
            season[phase::period] = season[phase::period].mean()
        rest = y - season - numpy.median(y)
        left, scores, taken = list(range(len(y))), numpy.zeros(len(y)), []
        for _ in range(int(part * len(y))):
            tested = test(rest[left], alpha if direction == "both" else 2 * alpha)
            place = int(numpy.argmax(tested))
            scores[left[place]] = tested[place]
            taken.append(left.pop(place))
        outliers = max([i + 1 for i, row in enumerate(taken) if scores[row] > 1], default=0)
        for i in range(outliers - 1):
            scores[taken[i]] = max(scores[taken[i]], scores[taken[outliers - 1]])
        scores[left] = numpy.clip(test(rest[left], alpha if direction == "both" else 2 * alpha), 0, 1)
        return scores
    return score


# ---- others ----

def matrix_profile(m):
    """All distances of all stretches."""
    def score(y):
        parts = numpy.lib.stride_tricks.sliding_window_view(y, m)
        constant = numpy.ptp(parts, axis=1) == 0
        z = (parts - parts.mean(axis=1, keepdims=True)) / numpy.where(constant, 1, parts.std(axis=1))[:, None]
        distances = numpy.sqrt(((z[:, None, :] - z[None, :, :]) ** 2).sum(axis=2))
        distances[constant[:, None] != constant[None, :]] = numpy.sqrt(m)
        distances[constant[:, None] & constant[None, :]] = 0
        i = numpy.arange(len(parts))
        distances[abs(i[:, None] - i) <= -(-m // 4)] = numpy.inf
        return numpy.r_[distances.min(axis=1), numpy.full(m - 1, numpy.nan)]
    return score


def spectral_residual(window=21, width=3, extension=5):
    def mean_before(x, many):
        return numpy.array([x[max(0, i + 1 - many):i + 1].mean() for i in range(len(x))])

    def score(y):
        slopes = sum((y[-1] - y[-1 - i]) / i for i in range(1, 6))
        longer = numpy.r_[y, numpy.full(extension, y[-5] + slopes)] - y[0]
        spectrum = numpy.fft.fft(longer)
        logs = numpy.log(abs(spectrum))
        residual = numpy.exp(logs - mean_before(logs, width) + 1j * numpy.angle(spectrum))
        saliency = abs(numpy.fft.ifft(residual))[:len(y)]
        mean = mean_before(saliency, window)
        return (saliency - mean) / mean
    return score


def bayesian_changepoint(run_length=250, lag=10, kappa=0.1):
    """All runs, none forgotten; logarithms of joint probabilities, and each run's moments from its values."""
    def score(y):
        x = (y - numpy.median(y)) / find_unit(y)
        n, scores = len(x), numpy.zeros(len(x))
        joint = numpy.full(n, -numpy.inf)       # of the run that began with row i and all values so far
        for t in range(n):
            begins = 0.0 if t == 0 else special.logsumexp(joint[:t]) - numpy.log(run_length)
            for i in range(t + 1):
                v = x[i:t]
                k, a = kappa + len(v), 1 + len(v) / 2
                mean = v.sum() / k
                b = 1 + (((v - v.mean()) ** 2).sum() + kappa * len(v) * v.mean() ** 2 / k) / 2 if len(v) else 1.0
                scale = numpy.sqrt(b * (k + 1) / (a * k))
                z = (x[t] - mean) / scale
                density = special.gammaln(a + 0.5) - special.gammaln(a) - numpy.log(2 * a * numpy.pi) / 2 - numpy.log(scale) \
                    - (a + 0.5) * numpy.log1p(z * z / (2 * a))
                joint[i] = density + (begins if i == t else joint[i] + numpy.log1p(-1 / run_length))
            runs = numpy.exp(joint[:t + 1] - special.logsumexp(joint[:t + 1]))
            first = max(1, t - lag)
            scores[first:t + 1] = numpy.maximum(scores[first:t + 1], runs[first:])
        return scores
    return score


CASES = [
    *[(name, f"stl_residual({{v}}, {period}, {str(robust).lower()}, {seasonal})", stl_residual(period, robust, seasonal), 1e-6)
      for name, period, seasonal in [("daily", 24, 7), ("dirty", 24, 7), ("dirty", 24, 21), ("weekly", 7, 13), ("dirty", 12, 35),
                                     ("walk", 2, 7)] for robust in (False, True)],
    # nine of the sixteen digits are the same in all values
    *[("large", f"stl_residual({{v}}, 24, {str(robust).lower()}, 7)", stl_residual(24, robust, 7), 1e-4) for robust in (False, True)],
    *[(name, f"seasonal_esd({{v}}, {period}, {part}, {alpha}, '{direction}')", seasonal_esd(period, part, alpha, direction), 1e-6)
      for name, period, part, alpha in [("dirty", 24, 0.05, 0.05), ("daily", 24, 0.1, 0.01), ("weekly", 7, 0.2, 0.2)]
      for direction in ("both", "high", "low")],
    *[(name, f"matrix_profile({{v}}, {m})", matrix_profile(m), 1e-8) for name, m in
      [("daily", 24), ("dirty", 10), ("steps", 50), ("walk", 4), ("walk", 101)]],
    ("flat", "matrix_profile({v}, 8)", matrix_profile(8), 2e-7),
    ("large", "matrix_profile({v}, 24)", matrix_profile(24), 1e-5),
    *[(name, "spectral_residual({v})", spectral_residual(), 1e-8) for name in ("daily", "dirty", "weekly", "steps", "walk")],
    ("dirty", "spectral_residual({v}, 40, 7, 0)", spectral_residual(40, 7, 0), 1e-8),
    *[(name, "bayesian_changepoint({v})", bayesian_changepoint(), 1e-8) for name in ("steps", "flat", "walk")],
    ("steps", "bayesian_changepoint({v}, 20, 3, 2.5)", bayesian_changepoint(20, 3, 2.5), 1e-8),
]


def load(psql):
    made = make_series()
    psql("CREATE TABLE batch_series (series text, id int, v float8)")
    psql("COPY batch_series FROM STDIN", "".join(f"{name}\t{i}\t{v!r}\n" for name, y in made.items() for i, v in enumerate(y.tolist())))
    return made


def check(psql, made, case):
    name, call, function, tolerance = case
    rows = psql(f"SELECT streamproc.{call.format(v='v')} OVER (ORDER BY id) FROM batch_series WHERE series = '{name}' ORDER BY id")
    found = numpy.array([float(row[0]) if row and row[0] else numpy.nan for row in rows])
    return differences(found, function(made[name]), tolerance)


def cases(psql):
    """(title, function that returns what is wrong) of each case."""
    made = load(psql)
    for case in CASES:
        yield f"{case[1].format(v='value')} of {case[0]}", lambda case=case: check(psql, made, case)
