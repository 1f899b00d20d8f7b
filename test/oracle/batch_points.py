"""Batch detectors of points in PostgreSQL against scikit-learn, scipy, or their definitions in numpy.

CASES: (set of points, call in SQL with the features as {f}, what must come of it, tolerance). What must come of it is a function
of the points, [n][d], that returns one number each, NaN where there is none.

What is made by chance is compared with the same method of other making: many trees or lines on either side, so that what is
left of chance is less than the tolerance.
"""

import warnings

import numpy
from scipy import stats
from scipy.spatial.distance import cdist

NORMAL_IQR = 1.3489795003921634
UNEVEN = numpy.sqrt([[4.0, 1.5, 0.0], [1.5, 1.0, 0.0], [0.0, 0.0, 9.0]])


def make_sets():
    """Shapes that detectors find hard in different ways, and duplicates."""
    chance = numpy.random.default_rng(20261129)
    normal, uniform = chance.normal, chance.uniform
    angle = uniform(0, 2 * numpy.pi, 400)
    rings = numpy.c_[numpy.cos(angle), numpy.sin(angle)] * numpy.repeat([1.0, 3.0], 200)[:, None] + normal(0, 0.1, (400, 2))
    half = numpy.pi * uniform(0, 1, 300)
    moons = numpy.r_[numpy.c_[numpy.cos(half[:150]), numpy.sin(half[:150])],
                     numpy.c_[1 - numpy.cos(half[150:]), 0.5 - numpy.sin(half[150:])]] + normal(0, 0.06, (300, 2))
    blobs = numpy.r_[normal(0, 1, (250, 3)), normal(8, 0.3, (100, 3)), uniform(-15, 15, (50, 3))]
    skewed = numpy.c_[numpy.exp(normal(0, 1, 500)), -chance.exponential(3, 500), normal(1e6, 1, 500), chance.integers(0, 4, 500),
                      uniform(-1, 1, 500)]
    clean = normal(0, 1, (300, 3)) @ UNEVEN + [5, -7, 100]
    return {
        "rings": rings, "moons": moons, "blobs": blobs, "skewed": skewed,
        "noise": uniform(0, 10, (600, 2)),
        "line": numpy.c_[uniform(0, 50, 200)],
        "lattice": chance.integers(0, 12, (700, 2)).astype(float),
        "lattice3": chance.integers(0, 6, (500, 3)).astype(float),
        "thrice": numpy.repeat(normal(0, 1, (120, 2)), 3, axis=0),
        "five": numpy.r_[normal(0, 1, (300, 5)), normal(4, 0.5, (40, 5)), uniform(-9, 9, (20, 5))],
        "wide": normal(0, 1, (150, 25)) @ normal(0, 1, (25, 25)),
        "dirty": numpy.r_[clean, normal(0, 0.5, (60, 3)) + [60, 60, -50]],
        "constant": numpy.c_[normal(0, 1, 200), numpy.full(200, 7.5), uniform(0, 1, 200)],
        "few": numpy.array([[0.0, 0.0], [0.0, 1.0], [5.0, 5.0], [0.5, 0.25]]),
    }


# ---- scales ----

def find_unit(x):
    """IQR / 1.349; where most values are equal the deviation."""
    q1, q3 = numpy.percentile(x, [25, 75])
    unit = (q3 - q1) / NORMAL_IQR
    return unit if unit > 1e-9 * x.std() else x.std()


def rescale(x, scale):
    from sklearn import preprocessing
    if scale == "zscore":
        return preprocessing.StandardScaler().fit_transform(x)
    if scale == "minmax":
        return preprocessing.MinMaxScaler().fit_transform(x)
    if scale == "robust":
        return numpy.column_stack([(c - numpy.median(c)) / (find_unit(c) or 1) for c in x.T])
    return x


# ---- neighbours ----

def dbscan(eps, min_points, scale="none"):
    def label(x):
        from sklearn.cluster import DBSCAN
        labels = DBSCAN(eps=eps, min_samples=min_points).fit_predict(rescale(x, scale))
        return numpy.where(labels < 0, numpy.nan, labels)
    return label


def dbscan_plainly(eps, min_points):
    """From all distances, without any tree or grid; clusters in the order of their first core points."""
    def label(x):
        near = cdist(x, x) <= eps
        core = near.sum(axis=1) >= min_points
        labels = numpy.full(len(x), numpy.nan)
        clusters = 0
        for first in numpy.flatnonzero(core):
            todo = [first] if numpy.isnan(labels[first]) else []
            clusters += bool(todo)
            while todo:
                point = todo.pop()
                if core[point] and labels[point] != clusters:
                    new = near[point] & numpy.isnan(labels)
                    todo.extend(numpy.flatnonzero(new & core))
                    labels[point] = clusters
                    labels[new & ~core] = clusters
        return labels - 1
    return label


def knn_distance(k, aggregate, scale):
    def score(x):
        from sklearn.neighbors import NearestNeighbors
        distances, _ = NearestNeighbors(n_neighbors=min(k, len(x) - 1)).fit(rescale(x, scale)).kneighbors()
        return {"largest": distances.max, "mean": distances.mean}[aggregate](axis=1) if aggregate != "median" \
            else numpy.median(distances, axis=1)
    return score


def lof(k, scale):
    def score(x):
        from sklearn.neighbors import LocalOutlierFactor
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return -LocalOutlierFactor(n_neighbors=min(k, len(x) - 1)).fit(rescale(x, scale)).negative_outlier_factor_
    return score


def sample_knn_of_all(fraction):
    """Where the sample is all points; what is found is rounded to floats."""
    def score(x):
        a = numpy.column_stack([numpy.arcsinh((c - numpy.median(c)) / (find_unit(c) or 1)) for c in x.T])
        distances = cdist(a, a, "cityblock")
        numpy.fill_diagonal(distances, numpy.inf)
        k = min(max(3, int(numpy.ceil(fraction * len(x)))), len(x) - 1)
        return numpy.sort(distances, axis=1)[:, k - 1]
    return score


# ---- covariance ----

def mahalanobis(x):
    from sklearn.covariance import EmpiricalCovariance
    return EmpiricalCovariance().fit(x).mahalanobis(x)


def pca_score(x):
    """As PyOD: distances from each component, over the part of the variance that it has."""
    from sklearn.decomposition import PCA
    z = rescale(x, "zscore")
    pca = PCA(svd_solver="full").fit(z)
    return (cdist(z, pca.components_) / pca.explained_variance_ratio_).sum(axis=1)


def mcd(x):
    from sklearn.covariance import MinCovDet
    return MinCovDet(random_state=1).fit(x).dist_


# ---- columns one by one ----

def tails(x):
    left = -numpy.log([stats.rankdata(c, "max") / len(c) for c in x.T]).T
    right = -numpy.log([stats.rankdata(-c, "max") / len(c) for c in x.T]).T
    return left, right


def choose_tail(x, left, right):
    """That to which a column is skewed; both where it isn't."""
    skew = numpy.sign([0 if numpy.ptp(c) == 0 else stats.skew(c) for c in x.T])
    return left * -numpy.sign(skew - 1) + right * numpy.sign(skew + 1)


def ecod(x):
    """As PyOD: the larger of both tails and of that which the skewness says, by column."""
    left, right = tails(x)
    chosen = choose_tail(x, left, right)
    return numpy.maximum(numpy.maximum(left, right), chosen).sum(axis=1)


def copod(x):
    left, right = tails(x)
    chosen = choose_tail(x, left, right)
    return numpy.maximum(chosen, (left + right) / 2).sum(axis=1)


def hbos(bins, alpha):
    """As PyOD: a value on an edge has the density of the lower bin."""
    def score(x):
        total = numpy.zeros(len(x))
        for c in x.T:
            density, edges = numpy.histogram(c, bins=bins, density=True)
            at = numpy.maximum(numpy.digitize(c, edges, right=True), 1) - 1
            total -= numpy.log2(density[at] + alpha)
        return total
    return score


# ---- one column ----

def zscore(x):
    return abs(stats.zscore(x[:, 0], ddof=1))


def modified_zscore(x):
    distances = abs(x[:, 0] - numpy.median(x[:, 0]))
    unit = stats.median_abs_deviation(x[:, 0], scale="normal")
    return distances / (unit or distances.mean() * numpy.sqrt(numpy.pi / 2))


def tukey(k):
    def score(x):
        q1, q3 = numpy.percentile(x, [25, 75])
        beyond = numpy.maximum(q1 - k * (q3 - q1) - x[:, 0], x[:, 0] - q3 - k * (q3 - q1))
        return numpy.maximum(beyond, 0) / (q3 - q1)
    return score


def critical(n, alpha):
    """Of the farthest of n values, on either side."""
    t = stats.t.isf(alpha / (2 * n), n - 2)
    return (n - 1) * t / numpy.sqrt(n * (n - 2 + t * t))


def grubbs(alpha):
    def score(x):
        return zscore(x) / critical(len(x), alpha)
    return score


def generalized_esd(most, alpha):
    """Rosner's test, the values taken away one after the other."""
    def score(x):
        left, scores, taken = list(range(len(x))), numpy.zeros(len(x)), []
        for _ in range(most):
            v = x[left, 0]
            place = numpy.argmax(abs(v - v.mean()))
            scores[left[place]] = abs(v[place] - v.mean()) / v.std(ddof=1) / critical(len(v), alpha)
            taken.append(left.pop(place))
        outliers = max([i + 1 for i, row in enumerate(taken) if scores[row] > 1], default=0)
        for i in reversed(range(outliers - 1)):
            scores[taken[i]] = max(scores[taken[i]], scores[taken[outliers - 1]])
        v = x[left, 0]
        scores[left] = numpy.minimum(1, abs(v - v.mean()) / v.std(ddof=1) / critical(len(v), alpha))
        return scores
    return score


# ---- by chance ----

def isolation_forest(trees, psi):
    def score(x):
        from sklearn.ensemble import IsolationForest
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return -IsolationForest(n_estimators=trees, max_samples=min(psi, len(x)), random_state=7).fit(x).score_samples(x)
    return score


def loda(lines, bins):
    def score(x):
        chance = numpy.random.default_rng(3)
        z, n, d = rescale(x, "zscore"), *x.shape
        total = numpy.zeros(n)
        for _ in range(lines):
            weights = numpy.zeros(d)
            columns = chance.choice(d, int(numpy.ceil(numpy.sqrt(d))), replace=False)
            weights[columns] = chance.normal(size=len(columns))
            places = z @ weights
            counts, edges = numpy.histogram(places, bins)
            at = numpy.clip(numpy.searchsorted(edges, places, "right") - 1, 0, bins - 1)
            total -= numpy.log((counts[at] + 0.5) / (n + bins / 2) / (edges[1] - edges[0]))
        return total / lines
    return score


def grow(x, z, q, chance, sums):
    """Cut x, points of the sample; z are those to be scored, their sums get the logarithms of density."""
    spread = x.max(axis=0) - x.min(axis=0) if len(x) else numpy.zeros(x.shape[1])
    able = numpy.flatnonzero(spread > 0)
    if len(x) < 2 or len(able) == 0 or len(z) == 0:
        return
    columns = chance.permutation(able)[:q]
    weights = chance.normal(size=len(columns)) / numpy.maximum(x[:, columns].std(axis=0), 0.01 * spread[columns])
    ours, theirs = x[:, columns] @ weights, z[:, columns] @ weights
    at = ours.max() - chance.uniform() * (ours.max() - ours.min())
    part = numpy.clip((at - ours.min()) / (ours.max() - ours.min()), 1e-6, 1 - 1e-6)
    share = (ours < at).mean()
    for side, of, inside in ((ours < at, share / part, theirs < at), (ours >= at, (1 - share) / (1 - part), theirs >= at)):
        if side.any():
            below = sums[inside] + numpy.log(of)
            grow(x[side], z[inside], q, chance, below)
            sums[inside] = below


def density_forest(trees, psi, q):
    def score(x):
        chance = numpy.random.default_rng(5)
        z, total = rescale(x, "zscore"), numpy.zeros(len(x))
        for _ in range(trees):
            sums = numpy.zeros(len(x))
            grow(z[chance.choice(len(z), min(psi, len(z)), replace=False)], z, q, chance, sums)
            total -= sums
        return total / trees
    return score


# The values of B. Rosner, 1983: NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.5.17.3.
ROSNER = [-0.25, 0.68, 0.94, 1.15, 1.20, 1.26, 1.26, 1.34, 1.38, 1.43, 1.49, 1.49, 1.55, 1.56, 1.58, 1.65, 1.69, 1.70, 1.76, 1.77,
          1.81, 1.91, 1.94, 1.96, 1.99, 2.06, 2.09, 2.10, 2.14, 2.15, 2.23, 2.24, 2.26, 2.35, 2.37, 2.40, 2.47, 2.54, 2.62, 2.64,
          2.90, 2.92, 2.92, 2.93, 3.21, 3.26, 3.30, 3.59, 3.68, 4.30, 4.64, 5.34, 5.42, 6.01]
ROSNER_R = [3.118906, 2.942973, 3.179424, 2.810181, 2.815580]
ROSNER_LAMBDA = [3.158794, 3.151430, 3.143890, 3.136165, 3.128247]


def rosner_published(x):
    """The scores of the five farthest as published: the third is the last outlier, so the two before have its score at least."""
    scores = numpy.full(len(x), numpy.nan)
    ratios = numpy.array(ROSNER_R) / ROSNER_LAMBDA
    scores[[53, 52, 51, 50, 0]] = numpy.r_[numpy.maximum(ratios[:3], ratios[2]), ratios[3:]]
    return scores


EXACT = 1e-9
SCALES = ["none", "robust", "zscore", "minmax"]
CLUSTERED = [("rings", 0.5, 5), ("moons", 0.2, 4), ("blobs", 1.0, 6), ("noise", 0.45, 5), ("noise", 0.3, 1), ("line", 0.4, 4),
             ("lattice", 1, 20), ("lattice", 1.5, 45), ("lattice", 0.5, 5), ("lattice3", 1, 20), ("lattice3", 2.5, 250),
             ("thrice", 0.3, 9), ("five", 1.6, 5), ("wide", 25, 4), ("few", 1, 2), ("constant", 0.3, 8)]

CASES = [
    *[(name, f"dbscan({{f}}, {eps}, {n})", dbscan(eps, n), 0) for name, eps, n in CLUSTERED],
    *[(name, f"dbscan({{f}}, {eps}, {n})", dbscan_plainly(eps, n), 0) for name, eps, n in CLUSTERED[:4] + CLUSTERED[6:8]],
    *[("blobs", f"dbscan({{f}}, 0.3, 5, '{s}')", dbscan(0.3, 5, s), 0) for s in SCALES[1:]],
    *[(name, f"knn_distance({{f}}, {k}, '{a}', '{s}')", knn_distance(k, a, s), EXACT) for name, k, a in
      [("blobs", 5, "largest"), ("skewed", 12, "mean"), ("lattice3", 50, "median"), ("five", 3, "median")] for s in SCALES],
    ("wide", "knn_distance({f}, 50, 'mean', 'none')", knn_distance(50, "mean", "none"), EXACT),
    ("thrice", "knn_distance({f}, 2, 'largest', 'none')", knn_distance(2, "largest", "none"), EXACT),
    ("few", "knn_distance({f}, 50, 'mean', 'none')", knn_distance(50, "mean", "none"), EXACT),
    ("constant", "knn_distance({f}, 5, 'largest', 'robust')", knn_distance(5, "largest", "robust"), EXACT),
    *[(name, f"lof({{f}}, {k}, '{s}')", lof(k, s), EXACT) for name, k in [("blobs", 20), ("five", 7), ("rings", 100)]
      for s in SCALES],
    ("thrice", "lof({f}, 7, 'none')", lof(7, "none"), EXACT), ("wide", "lof({f}, 20, 'none')", lof(20, "none"), EXACT),
    ("few", "lof({f}, 100, 'none')", lof(100, "none"), EXACT),
    *[(name, "mahalanobis({f})", mahalanobis, EXACT) for name in ("blobs", "skewed", "five", "wide", "dirty")],
    *[(name, "pca_score({f})", pca_score, EXACT) for name in ("blobs", "skewed", "five", "dirty")],
    ("wide", "pca_score({f})", pca_score, 1e-7),
    *[(name, "ecod({f})", ecod, EXACT) for name in ("blobs", "skewed", "lattice", "wide", "constant")],
    *[(name, "copod({f})", copod, EXACT) for name in ("blobs", "skewed", "lattice", "wide")],
    *[(name, "hbos({f})", hbos(10, 0.1), EXACT) for name in ("blobs", "skewed", "lattice", "wide", "constant")],
    ("five", "hbos({f}, 37, 0.02)", hbos(37, 0.02), EXACT),
    *[(name, "mcd({f})", mcd, 1e-6) for name in ("dirty", "blobs", "five")],
    *[("line", f"{call}", function, EXACT) for call, function in
      [("zscore({f}[1])", zscore), ("modified_zscore({f}[1])", modified_zscore), ("tukey({f}[1])", tukey(1.5)),
       ("tukey({f}[1], 0.1)", tukey(0.1)), ("grubbs({f}[1], 0.01)", grubbs(0.01)),
       ("generalized_esd({f}[1], 12, 0.1)", generalized_esd(12, 0.1))]],
    *[("skewed", f"{call}", function, EXACT) for call, function in
      [("zscore({f}[1])", zscore), ("modified_zscore({f}[1])", modified_zscore), ("grubbs({f}[1])", grubbs(0.05)),
       ("generalized_esd({f}[1], 60, 0.05)", generalized_esd(60, 0.05))]],
    ("mostly equal", "modified_zscore({f}[1])", modified_zscore, EXACT),
    ("rosner", "generalized_esd({f}[1], 10, 0.05)", generalized_esd(10, 0.05), EXACT),
    ("rosner", "generalized_esd({f}[1], 5, 0.05)", rosner_published, 1e-6),
    ("blobs", "sample_knn({f}, 5000, 0.05)", sample_knn_of_all(0.05), 1e-5),
    ("skewed", "sample_knn({f}, 500, 0.2)", sample_knn_of_all(0.2), 1e-5),
]

# The same, but that chance differs: the last two are how much a score may differ, and how much
# the root of the mean of squared differences may be.
BY_CHANCE = [
    *[(name, "isolation_forest({f}, 3000)", isolation_forest(600, 256), 0.03, 0.008) for name in ("rings", "blobs", "skewed", "five")],
    ("wide", "isolation_forest({f}, 3000, 64)", isolation_forest(600, 64), 0.03, 0.008),
    *[(name, "loda({f}, 5000, 20)", loda(3000, 20), 0.2, 0.03) for name in ("blobs", "skewed", "five")],
    *[(name, f"density_forest({{f}}, 3000, 48, {q})", density_forest(400, 48, q), 0.8, 0.1) for name, q in
      [("rings", 1), ("rings", 2), ("five", 2), ("five", 4), ("wide", 8)]],
]


def load(psql):
    sets = make_sets()
    sets["rosner"] = numpy.array(ROSNER)[:, None]
    sets["mostly equal"] = numpy.array([3.0] * 60 + [4.5, 2.5, 10, -20])[:, None]
    psql("CREATE TABLE batch_point (set text, id int, f float8[])")
    psql("COPY batch_point FROM STDIN", "".join(f"{name}\t{i}\t{{{','.join(map(repr, row))}}}\n" for name, x in sets.items()
                                                for i, row in enumerate(x.tolist())))
    return sets


def ask(psql, name, call):
    rows = psql(f"SELECT streamproc.{call.format(f='f')} OVER (ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) "
                f"FROM batch_point WHERE set = '{name}' ORDER BY id")
    return numpy.array([float(row[0]) if row and row[0] else numpy.nan for row in rows])


def differences(found, expected, tolerance, only=None):
    if len(found) != len(expected):
        return [f"{len(found)} answers for {len(expected)} points"]
    apart = abs(found - expected) > tolerance * numpy.maximum(1, abs(expected))
    wrong = (numpy.isnan(found) != numpy.isnan(expected)) | apart
    return [f"point {i}: {found[i]!r}, not {expected[i]!r}" for i in numpy.flatnonzero(wrong if only is None else wrong & only)]


def check(psql, sets, case):
    name, call, function, tolerance = case
    expected = function(sets[name])
    only = ~numpy.isnan(expected) if function is rosner_published else None
    return differences(ask(psql, name, call), expected, tolerance, only)


def check_by_chance(psql, sets, case):
    name, call, function, tolerance, overall = case
    found, expected = ask(psql, name, call), function(sets[name])
    wrong = differences(found, expected, tolerance)
    apart = numpy.sqrt(numpy.mean((found - expected) ** 2))
    return wrong if apart <= overall else wrong + [f"{apart} apart overall"]


def check_auto_score(psql, sets, name):
    """It is made of three others, by their own scores."""
    views = [ask(psql, name, call) for call in ("sample_knn({f}, 512, 0.05, 42)", "isolation_forest({f}, 100, 256, 42)",
                                                "density_forest({f}, 100, 256, 8, 42)")]
    views[1] = numpy.log2(views[1])             # minus the mean length of paths
    scaled = []
    for view in views:
        q1, median, q3 = numpy.percentile(view, [25, 50, 75])
        scaled.append(numpy.arcsinh((view - median) / ((q3 - q1) / NORMAL_IQR)))
    return differences(ask(psql, name, "auto_score({f})"), sum(scaled) / 3, EXACT)


def cases(psql):
    """(title, function that returns what is wrong) of each case."""
    sets = load(psql)
    for case in CASES:
        yield f"{case[1].format(f='features')} of {case[0]}", lambda case=case: check(psql, sets, case)
    for case in BY_CHANCE:
        yield f"{case[1].format(f='features')} of {case[0]}", lambda case=case: check_by_chance(psql, sets, case)
    for name in ("rings", "blobs", "five", "wide"):
        yield f"auto_score of {name}", lambda name=name: check_auto_score(psql, sets, name)
