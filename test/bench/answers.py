"""Batch detectors on many points, against what others answer on the same ones, and in what time.

dbscan: the points that scikit-learn calls noise must be those that are noise here, and its core points must be divided into the same
clusters. A point of the border belongs to a cluster of which a core point is near enough; which one of several is nobody's to say.
PostGIS must find as many clusters and as many points of noise. lof, knn_distance: scores within 1e-9 of scikit-learn's. CPU seconds are
those of the backend, the scan included, and of scikit-learn's fit.

SIZES: of dbscan (default "100000 1000000"). MOST: points for PostGIS (default 1000000).
"""

import os
import subprocess
import sys
import time

import numpy
from batch import Session, make_points
from scipy.spatial import cKDTree
from sklearn.cluster import DBSCAN
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors

SIZES = [int(size) for size in os.environ.get("SIZES", "100000 1000000").split()]
MOST = int(os.environ.get("MOST") or 1_000_000)
MIN_POINTS = 10
failed = 0


def load(name, x):
    session = Session()
    session.ask(f"CREATE TABLE {name} (i int, {', '.join(f'c{j + 1} float8' for j in range(x.shape[1]))}); SELECT 1")
    copy = subprocess.Popen(["psql", "-XAtq", "-c", f"COPY {name} FROM STDIN (DELIMITER ' ')"], stdin=subprocess.PIPE, text=True)
    for i, row in enumerate(x.tolist()):
        copy.stdin.write(f"{i} {' '.join(map(repr, row))}\n")
    copy.stdin.close()
    if copy.wait() != 0:
        sys.exit(f"answers: {name} could not be loaded")
    session.ask(f"VACUUM ANALYZE {name}; SELECT 1")
    session.close()


def ask(name, call):
    """(what it gives for each point, NaN for NULL; CPU seconds of the query that counts them)"""
    session = Session()
    seconds = session.measure(f"SELECT count(s) FROM (SELECT {call} AS s FROM {name}) q")[1]
    session.ask(f"CREATE TABLE answer AS SELECT i, {call} AS s FROM {name}; SELECT 1")
    out = subprocess.run(["psql", "-XAtqc", "SELECT coalesce(s, 'NaN') FROM (SELECT i, s::float8 FROM answer) a ORDER BY i"],
                         stdout=subprocess.PIPE, text=True, check=True).stdout
    session.ask("DROP TABLE answer; SELECT 1")
    session.close()
    return numpy.array(out.split(), dtype=float), seconds


def report(what, size, seconds, theirs, who, is_same, answer):
    global failed
    failed += not is_same
    print(f"{what:22s}{size:9d}{seconds:9.2f}{theirs:9.2f} {who:14s}{'same' if is_same else 'DIFFERENT':11s}{answer}", flush=True)


def is_same_partition(ours, theirs):
    """Each cluster of the one is a cluster of the other."""
    pairs = numpy.unique(numpy.c_[ours, theirs], axis=0)
    return len(pairs) == len(numpy.unique(ours)) == len(numpy.unique(theirs))


def are_borders_near(x, ours, is_core, eps):
    """Has each other point of a cluster a core point of it within eps?"""
    tree, cores = cKDTree(x[is_core]), numpy.flatnonzero(is_core)
    others = numpy.flatnonzero(~is_core & ~numpy.isnan(ours))
    return all((ours[cores[near]] == ours[i]).any() for i, near in zip(others, tree.query_ball_point(x[others], eps)))


def compare_dbscan(name, x, eps, has_postgis):
    ours, seconds = ask(name, f"streamproc.dbscan(ARRAY[c1, c2], {eps}, {MIN_POINTS}) OVER (ORDER BY i)")
    started = time.process_time()
    model = DBSCAN(eps=eps, min_samples=MIN_POINTS).fit(x)
    theirs = time.process_time() - started
    is_core = numpy.zeros(len(x), dtype=bool)
    is_core[model.core_sample_indices_] = True
    is_noise = numpy.isnan(ours)
    clusters = len(numpy.unique(ours[~is_noise]))
    same = ((is_noise == (model.labels_ < 0)).all() and is_same_partition(ours[is_core], model.labels_[is_core])
            and are_borders_near(x, ours, is_core, eps))
    counts = f"{clusters} clusters, {is_noise.sum()} points of noise, {is_core.sum()} in a core"
    report(f"dbscan, eps {eps:g}", len(x), seconds, theirs, "scikit-learn", same, counts)
    if not has_postgis or len(x) > MOST:
        return
    session = Session()
    query = (f"SELECT count(DISTINCT s) || ' clusters, ' || count(*) FILTER (WHERE s IS NULL) || ' points of noise' FROM "
             f"(SELECT ST_ClusterDBSCAN(ST_Point(c1, c2), {eps}, {MIN_POINTS}) OVER () AS s FROM {name}) q")
    answer, theirs, _ = session.measure(query)
    session.close()
    report(f"dbscan, eps {eps:g}", len(x), seconds, theirs, "PostGIS", answer == counts.rsplit(",", 1)[0], answer)


def compare_scores(name, x, call, fit):
    ours, seconds = ask(name, f"streamproc.{call} OVER (ORDER BY i)")
    started = time.process_time()
    expected = fit(x)
    theirs = time.process_time() - started
    worst = numpy.abs(ours / expected - 1).max()
    report(call.split("(")[0], len(x), seconds, theirs, "scikit-learn", worst <= 1e-9, f"largest relative difference {worst:.1e}")


def find_postgis():
    """Is it there?  Made usable, if so."""
    session = Session()
    found = session.ask("SELECT count(*) FROM pg_available_extensions WHERE name = 'postgis'") == "1"
    if found:
        session.ask("CREATE EXTENSION postgis; SELECT 1")
    else:
        print("PostGIS (Debian's postgresql-15-postgis-3) is not installed: left out")
    session.close()
    return found


def main():
    has_postgis = find_postgis()
    print(f"{'method':22s}{'points':>9s}{'CPU s':>9s}{'theirs':>9s} {'whose':14s}{'answer':11s}")
    for size in SIZES:
        clustered, even = make_points(2, size, 2), numpy.random.default_rng(3).uniform(0, 100, (size, 2))
        load(f"clustered_{size}", clustered)
        load(f"even_{size}", even)
        compare_dbscan(f"clustered_{size}", clustered, 0.02 * (1_000_000 / size) ** 0.5, has_postgis)
        # some 10 neighbours on average: most clusters are small, and many points are at a border
        compare_dbscan(f"even_{size}", even, round(100 * (10 / numpy.pi / size) ** 0.5, 4), has_postgis)
    x = make_points(3, 100_000, 3)
    load("space", x)
    compare_scores("space", x, "lof(ARRAY[c1, c2, c3], 20, 'none')",
                   lambda x: -LocalOutlierFactor(20).fit(x).negative_outlier_factor_)
    compare_scores("space", x, "knn_distance(ARRAY[c1, c2, c3], 5, 'largest', 'none')",
                   lambda x: NearestNeighbors(n_neighbors=5).fit(x).kneighbors()[0][:, -1])
    if failed:
        sys.exit(f"\nanswers: {failed} differ")
    print("\nall answers are the same")


if __name__ == "__main__":
    main()
