"""Rank agreement and comparisons, against scipy, scikit-learn and brute force."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise, permutations, product

import numpy
import pytest
from scipy import stats
from sklearn.metrics import ndcg_score

from engine.results import statistics
from engine.results.agreement import Ranked, discounted_gains, kendall_taus, overlaps, spearmans
from engine.results.bootstrap import agreement_intervals
from spaces.errors import UsageError

Array = numpy.ndarray
INF = math.inf


def _ranking(n: int, seed: int, failures: int = 0) -> tuple[Array, Array]:
    """Scores with many ties and failures, and what they try to rank."""
    rng = numpy.random.default_rng(seed)
    truth = numpy.round(80 + 10 * rng.normal(size=n), 1)
    scores = numpy.round((truth - 80) / 10 + rng.normal(size=n), 1)
    scores[rng.permutation(n)[:failures]] = -INF
    return scores, truth


def _signs(values: Array) -> Array:
    return numpy.sign([[(a > b) * 1.0 - (a < b) for b in values] for a in values])


@pytest.mark.parametrize(("n", "failures"), [(2, 0), (12, 0), (60, 7), (60, 59)])
def test_tau_b_is_scipys_and_that_of_the_pairs(n: int, failures: int) -> None:
    scores, truth = _ranking(n, seed=n, failures=failures)
    x, y = _signs(scores), _signs(truth)
    by_pairs = (x * y).sum() / math.sqrt((x * x).sum() * (y * y).sum())
    finite = numpy.where(numpy.isinf(scores), scores[numpy.isfinite(scores)].min() - 1, scores)
    tau = statistics.kendall_tau_b(scores, truth)
    assert tau == pytest.approx(by_pairs, abs=1e-12)
    assert tau == pytest.approx(stats.kendalltau(finite, truth).statistic, abs=1e-12)


@pytest.mark.parametrize("failures", [0, 9])
def test_rho_is_scipys_with_failures_ranked_last(failures: int) -> None:
    scores, truth = _ranking(50, seed=1, failures=failures)
    finite = numpy.where(numpy.isinf(scores), scores[numpy.isfinite(scores)].min() - 1, scores)
    expected = stats.pearsonr(stats.rankdata(finite), stats.rankdata(truth)).statistic
    assert statistics.spearman(scores, truth) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("measure", [statistics.kendall_tau_b, statistics.spearman])
def test_what_is_all_equal_has_no_rank_correlation(measure: Callable[[object, object], float]) -> None:
    assert math.isnan(measure([1, 1, 1], [1, 2, 3]))
    assert math.isnan(measure([1, 2, 3], [5, 5, 5]))
    assert math.isnan(measure([-INF, -INF, -INF], [1, 2, 3]))


def _orders(scores: Array) -> list[tuple[int, ...]]:
    """Every order that sorts the scores, best first."""
    indexes = permutations(range(len(scores)))
    return [order for order in indexes if all(scores[a] >= scores[b] for a, b in pairwise(order))]


@pytest.mark.parametrize("k", [1, 2, 3, 5, 6])
def test_overlap_and_gain_are_expectations_over_the_order_of_ties(k: int) -> None:
    scores = numpy.array([2.0, 1.0, 2.0, -INF, 1.0, -INF])
    truth = numpy.array([90.0, 93.0, 91.0, 93.0, 70.0, 80.0])
    best = numpy.sort(truth)[::-1][k - 1]
    worth = statistics.gains(truth)
    discounts = 1 / numpy.log2(numpy.arange(2, k + 2))
    shares, gained = [], []
    for order in _orders(scores):
        first = list(order[:k])
        shares.append((truth[first] >= best).mean())
        gained.append((worth[first] * discounts).sum())
    ideal = (numpy.sort(worth)[::-1][:k] * discounts).sum()
    assert statistics.top_k_overlap(scores, truth, k) == pytest.approx(numpy.mean(shares), abs=1e-12)
    assert statistics.ndcg(scores, truth, k) == pytest.approx(numpy.mean(gained) / ideal, abs=1e-12)


@pytest.mark.parametrize("k", [None, 1, 7, 60])
def test_gain_is_scikit_learns_on_the_same_gains(k: int | None) -> None:
    scores, truth = _ranking(60, seed=3)
    expected = ndcg_score([statistics.gains(truth)], [scores], k=k)
    assert statistics.ndcg(scores, truth, k) == pytest.approx(expected, abs=1e-12)


def test_gains_are_those_of_acenas() -> None:
    truth = numpy.linspace(0, 100, 11)  # the 0.2 quantile is 20
    expected = [0, 0, 0, *(2 ** (20 * (y - 20) / 80) - 1 for y in (30, 40, 50, 60, 70, 80, 90, 100))]
    assert statistics.gains(truth) == pytest.approx(expected)
    assert statistics.gains([4.0, 4.0, 4.0]).tolist() == [1, 1, 1]


def test_gains_do_not_depend_on_the_unit() -> None:
    _, truth = _ranking(40, seed=5)
    assert statistics.gains(truth / 100 - 3) == pytest.approx(statistics.gains(truth))


def test_the_truth_itself_agrees_completely_and_its_opposite_not_at_all() -> None:
    truth = numpy.arange(20.0)
    for k in (1, 5, 10):
        assert statistics.top_k_overlap(truth, truth, k) == 1
        assert statistics.ndcg(truth, truth, k) == pytest.approx(1)
        assert statistics.top_k_overlap(-truth, truth, k) == 0
    assert statistics.kendall_tau_b(truth, truth) == 1
    assert statistics.spearman(-truth, truth) == -1


def test_networks_as_good_as_the_kth_are_among_the_best() -> None:
    truth = [3, 2, 2, 2, 1]
    assert statistics.top_k_overlap([5, 1, 2, 4, 3], truth, 2) == 1
    assert statistics.top_k_overlap([1, 1, 1, 1, 1], truth, 2) == pytest.approx(4 / 5)


def test_measures_on_counts_are_those_of_the_resample() -> None:
    scores, truth = _ranking(40, seed=8, failures=6)
    counts = numpy.random.default_rng(0).multinomial(40, numpy.full(40, 1 / 40), size=30).astype(float)
    drawn = [numpy.repeat(numpy.arange(40), row.astype(int)) for row in counts]
    x, y, worth = Ranked(scores), Ranked(truth), statistics.gains(truth)
    for found, measure in (
        (kendall_taus(x, y, counts), statistics.kendall_tau_b),
        (spearmans(x, y, counts), statistics.spearman),
        (overlaps(x, y, counts, 4), lambda a, b: statistics.top_k_overlap(a, b, 4)),
    ):
        assert found == pytest.approx([measure(scores[i], truth[i]) for i in drawn], abs=1e-12)
    assert discounted_gains(x, y, worth, counts, 4) == pytest.approx(
        [
            ndcg_score([worth[i]], [numpy.maximum(scores[i], -99)], k=4)  # scikit-learn takes no infinities
            for i in drawn
        ],
        abs=1e-12,
    )


def test_intervals_are_the_percentiles_of_a_plain_bootstrap() -> None:
    scores, truth = _ranking(60, seed=11, failures=3)
    intervals = agreement_intervals(scores, truth, 6, level=0.9, resamples=2000, seed=0)
    rng, taus = numpy.random.default_rng(99), []
    for _ in range(400):
        drawn = rng.integers(60, size=60)
        taus.append(statistics.kendall_tau_b(scores[drawn], truth[drawn]))
    assert intervals["tau"] == pytest.approx(numpy.quantile(taus, [0.05, 0.95]), abs=0.03)
    assert intervals["tau"].low < statistics.kendall_tau_b(scores, truth) < intervals["tau"].high
    assert set(intervals) == {"tau", "rho", "top_k", "ndcg"}


def test_intervals_depend_on_the_seed_alone_and_grow_with_the_level() -> None:
    scores, truth = _ranking(50, seed=2)
    again = [agreement_intervals(scores, truth, 5, level=0.95, resamples=200, seed=3) for _ in range(2)]
    other = agreement_intervals(scores, truth, 5, level=0.95, resamples=200, seed=4)
    wide = agreement_intervals(scores, truth, 5, level=0.99, resamples=200, seed=3)
    assert again[0] == again[1] != other
    assert wide["tau"].low < again[0]["tau"].low
    assert wide["tau"].high > again[0]["tau"].high


@pytest.mark.slow
def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    """Correlated normal pairs have tau = 2/pi asin(r); 90 % intervals of 200 samples of 60."""
    rng, r = numpy.random.default_rng(5), 0.6
    expected, covered = 2 / math.pi * math.asin(r), 0
    for seed in range(200):
        x = rng.normal(size=60)
        y = r * x + math.sqrt(1 - r * r) * rng.normal(size=60)
        low, high = agreement_intervals(x, y, 6, level=0.9, resamples=100, seed=seed)["tau"]
        covered += low <= expected <= high
    assert 165 <= covered <= 195  # 180 expected, standard deviation 4.2; percentile intervals run a little short


def test_constant_scores_have_no_intervals() -> None:
    intervals = agreement_intervals(numpy.zeros(9), numpy.arange(9.0), 2, level=0.9, resamples=20, seed=0)
    assert math.isnan(intervals["tau"].low)
    assert math.isnan(intervals["rho"].high)


@pytest.mark.parametrize(
    ("scores", "truth", "k", "complaint"),
    [
        ([1, 2], [1, 2, 3], 1, "shapes"),
        ([1], [1], 1, "at least 2"),
        ([1, math.nan], [1, 2], 1, "expected -inf"),
        ([1, 2], [1, -INF], 1, "infinite true"),
        ([1, 2], [1, 2], 3, "k is 3; expected 1 to the number of networks, 2"),
        ([1, 2], [1, 2], 0, "k is 0"),
    ],
)
def test_what_cannot_be_ranked_is_refused(scores: object, truth: object, k: int, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        statistics.top_k_overlap(scores, truth, k)
    with pytest.raises(UsageError, match=complaint):
        statistics.ndcg(scores, truth, k)


def test_mean_and_standard_deviation() -> None:
    assert statistics.mean_std([1, 2, 4]) == pytest.approx((7 / 3, stats.tstd([1, 2, 4])))
    assert math.isnan(statistics.mean_std([5]).std)
    with pytest.raises(UsageError, match="no values"):
        statistics.mean_std([])


def _exact_p(differences: Array) -> float:
    """Share of the 2^n signs with a sum of signed ranks as extreme."""
    ranks = stats.rankdata(numpy.abs(differences))
    seen = abs((ranks * numpy.sign(differences)).sum())
    sums = [
        abs(sum(s * r for s, r in zip(signs, ranks, strict=True))) for signs in product((-1, 1), repeat=len(ranks))
    ]
    return sum(total >= seen - 1e-9 for total in sums) / len(sums)


def test_signed_rank_test_is_exact_for_few_pairs() -> None:
    rng = numpy.random.default_rng(0)
    a, b = rng.normal(size=9) + 0.7, rng.normal(size=9)
    found = statistics.wilcoxon_signed_rank(a, b)
    assert found.exact
    assert found.pairs == 9
    assert found.p == pytest.approx(_exact_p(a - b), abs=1e-12)
    assert statistics.wilcoxon_signed_rank(b, a).p == pytest.approx(found.p)


def test_signed_rank_test_with_ties_and_many_pairs_is_scipys_approximation() -> None:
    rng = numpy.random.default_rng(1)
    a, b = rng.integers(0, 9, size=80).astype(float), rng.integers(0, 8, size=80).astype(float)
    found = statistics.wilcoxon_signed_rank(a, b)
    d = a - b
    d = d[d != 0]
    ranks = stats.rankdata(numpy.abs(d))
    smaller = min(ranks[d > 0].sum(), ranks[d < 0].sum())
    n = len(d)
    ties = sum(c**3 - c for c in numpy.unique(ranks, return_counts=True)[1])
    spread = math.sqrt(n * (n + 1) * (2 * n + 1) / 24 - ties / 48)
    z = (smaller - n * (n + 1) / 4 + 0.5) / spread
    assert (found.pairs, found.exact) == (n, False)
    assert found.p == pytest.approx(2 * stats.norm.cdf(z), abs=1e-12)


def test_signed_rank_test_of_equals_finds_nothing() -> None:
    assert statistics.wilcoxon_signed_rank([1, 2, 3], [1, 2, 3]) == (1.0, 0, True)
    assert statistics.wilcoxon_signed_rank([0, 0], [0, 0]) == (1.0, 0, True)
    assert statistics.wilcoxon_signed_rank([0.1 + 0.2], [0.3]).pairs == 0  # equal but for rounding
    assert statistics.wilcoxon_signed_rank([2, 2, 9], [1, 2, 9]) == (1.0, 1, True)


def test_signed_rank_test_of_fewer_than_six_pairs_proves_nothing() -> None:
    assert statistics.wilcoxon_signed_rank([1, 2, 3, 4, 5], [0, 0, 0, 0, 0]).p == pytest.approx(1 / 16)


@pytest.mark.parametrize("pair", [([1, 2], [1]), ([], []), ([1, math.nan], [1, 2]), ([1, -INF], [1, 2])])
def test_signed_rank_test_wants_pairs(pair: tuple[list[float], list[float]]) -> None:
    with pytest.raises(UsageError, match="signed-rank"):
        statistics.wilcoxon_signed_rank(*pair)


def test_average_ranks_share_ties() -> None:
    table = [[94.0, 93.0, 93.0], [90.0, 91.0, -INF], [80.0, 80.0, 80.0]]
    assert statistics.average_ranks(table).tolist() == pytest.approx([5 / 3, 5.5 / 3, 7.5 / 3])
    with pytest.raises(UsageError, match="expected"):
        statistics.average_ranks([[1.0, math.nan]])
    with pytest.raises(UsageError, match="expected"):
        statistics.average_ranks([1.0, 2.0])


def test_band_is_of_the_runs_that_have_found_something() -> None:
    curves = numpy.random.default_rng(0).normal(size=(21, 30))
    ordered = numpy.sort(curves, axis=0)
    middle, low, high = statistics.band(curves)
    assert middle.tolist() == ordered[10].tolist()
    assert low.tolist() == ordered[5].tolist()
    assert high.tolist() == ordered[15].tolist()
    curves[:, 0] = math.nan
    curves[:20, 1] = math.nan
    middle, low, high = statistics.band(curves)
    assert numpy.isnan([middle[0], low[0], high[0]]).all()
    assert middle[1] == low[1] == high[1] == curves[20, 1]
    with pytest.raises(UsageError, match="expected"):
        statistics.band([[]])
