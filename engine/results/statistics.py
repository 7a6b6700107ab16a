"""How well one ranking agrees with another, and how several methods compare over runs.

Pure functions on arrays. A score that failed is -inf: ranked last, tied with the others that failed. Larger is
better in `scores` and `truth` alike; whoever calls turns the signs (`engine.objectives`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.results.agreement import Ranked, discounted_gains, gains, overlaps
from spaces.errors import UsageError

__all__ = [
    "Band",
    "MeanStd",
    "SignedRank",
    "average_ranks",
    "band",
    "gains",
    "holm",
    "kendall_tau_b",
    "mean_std",
    "ndcg",
    "spearman",
    "top_k_overlap",
    "wilcoxon_signed_rank",
]

Floats = NDArray[np.float64]


def kendall_tau_b(scores: ArrayLike, truth: ArrayLike) -> float:
    """Kendall's rank correlation with correction for ties.

    tau_b = (C - D) / sqrt((C + D + T_scores) (C + D + T_truth)), with C concordant pairs, D discordant ones and T
    the pairs tied in one of the two only. Kendall: The Treatment of Ties in Ranking Problems, Biometrika 1945.

    Args:
        scores: (n,) -inf for failures.
        truth: (n,) finite.

    Returns:
        -1 to 1; nan if all scores or all true values are equal.
    """
    from scipy.stats import kendalltau

    x, y = _codes(scores, truth)
    return float(kendalltau(x, y, variant="b").statistic) if x.any() and y.any() else float("nan")


def spearman(scores: ArrayLike, truth: ArrayLike) -> float:
    """Spearman's rank correlation: Pearson's of the ranks, equal values sharing the mean of theirs.

    Spearman: The Proof and Measurement of Association between Two Things, American Journal of Psychology 1904.

    Args:
        scores: (n,) -inf for failures.
        truth: (n,) finite.

    Returns:
        -1 to 1; nan if all scores or all true values are equal.
    """
    from scipy.stats import spearmanr

    x, y = _codes(scores, truth)
    return float(spearmanr(x, y).statistic) if x.any() and y.any() else float("nan")


def top_k_overlap(scores: ArrayLike, truth: ArrayLike, k: int) -> float:
    """Share of the k best scored that are truly among the k best.

    Scores that tie at the k-th place are taken at random: the value is the expectation over their order. What
    equals the k-th best true value is among the best, so that the truth itself overlaps completely. Random scores
    give k/n.

    Args:
        scores: (n,) -inf for failures.
        truth: (n,) finite.
        k: 1 to n.

    Returns:
        0 to 1.

    Raises:
        UsageError: k is out of range.
    """
    x, y = _checked(scores, truth, k)
    return float(overlaps(Ranked(x), Ranked(y), np.ones((1, len(x))), k)[0])


def ndcg(scores: ArrayLike, truth: ArrayLike, k: int | None = None) -> float:
    """Normalised discounted cumulative gain of the k best scored.

    DCG = sum over places p = 1 to k of gain / log2(p + 1), divided by that of the true order. Equal scores share
    the mean of their places' discounts, the expectation over their order (McSherry, Najork: Computing Information
    Retrieval Performance Measures Efficiently in the Presence of Tied Scores, ECIR 2008). For the gains see
    `gains`.

    Args:
        scores: (n,) -inf for failures.
        truth: (n,) finite.
        k: 1 to n; None for all n.

    Returns:
        0 to 1.

    Raises:
        UsageError: k is out of range.
    """
    x, y = _checked(scores, truth, k)
    return float(discounted_gains(Ranked(x), Ranked(y), gains(y), np.ones((1, len(x))), k or len(x))[0])


class MeanStd(NamedTuple):
    """Mean and sample standard deviation; std is nan for a single value."""

    mean: float
    std: float


def mean_std(values: ArrayLike) -> MeanStd:
    """Mean and standard deviation over runs, with n - 1 in the denominator.

    Raises:
        UsageError: No values.
    """
    array = np.asarray(values, dtype=np.float64)
    if not array.size:
        raise UsageError("mean of no values; expected at least one")
    return MeanStd(float(array.mean()), float(array.std(ddof=1)) if array.size > 1 else float("nan"))


class SignedRank(NamedTuple):
    """Result of a paired test.

    Attributes:
        p: Two-sided probability of a difference this large by chance; nan if it cannot be told.
        pairs: Number of pairs that differ.
        exact: Whether p is exact rather than from the normal approximation.
    """

    p: float
    pairs: int
    exact: bool


_EXACT_PAIRS = 50


def wilcoxon_signed_rank(a: ArrayLike, b: ArrayLike) -> SignedRank:
    """Whether paired values differ: Wilcoxon's signed-rank test, two-sided.

    Pairs without a difference are dropped, as Wilcoxon did (Individual Comparisons by Ranking Methods, Biometrics
    Bulletin 1945). The distribution is exact for up to 50 pairs, given the ties among their differences, else
    normal with correction for ties and continuity. If all pairs are equal there is nothing against the methods
    being the same: p = 1. With n differing pairs an exact p is at least 2^(1-n): below 6 pairs nothing reaches
    0.05.

    Args:
        a: (n,) one method's results, one per seed.
        b: (n,) the other's, with the same seeds.

    Raises:
        UsageError: The lengths differ, there are no pairs, or a value is not finite.
    """
    from scipy.stats import wilcoxon

    first, second = (np.asarray(values, dtype=np.float64) for values in (a, b))
    if first.shape != second.shape or first.ndim != 1 or not first.size:
        raise UsageError(f"signed-rank test of shapes {first.shape} and {second.shape}; expected pairs of values")
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise UsageError("signed-rank test of values that are not finite; expected results of every run")
    # Differences that are equal but for rounding are equal: 0.3 - 0.2 and 0.2 - 0.1 are one rank.
    size = max(np.abs(first).max(), np.abs(second).max())
    differences = np.round((first - second) / size, 12) if size else np.zeros(0)
    differences = differences[differences != 0]
    if not differences.size:
        return SignedRank(1.0, 0, True)
    if len(differences) <= _EXACT_PAIRS:
        return SignedRank(_exact_p(differences), len(differences), True)
    result = wilcoxon(differences, zero_method="wilcox", correction=True, method="approx")
    return SignedRank(float(result.pvalue), len(differences), False)


def _exact_p(differences: Floats) -> float:
    """Two-sided probability that chance signs give rank sums as far apart, ties sharing the mean of their ranks.

    Args:
        differences: (n,) none of them 0.
    """
    from scipy.stats import rankdata

    ranks = np.rint(2 * rankdata(np.abs(differences))).astype(np.int64)  # doubled, so that they are whole
    ways = np.zeros(ranks.sum() + 1)  # how likely every sum of the ranks of positive differences is
    ways[0] = 1.0
    for rank in ranks:
        ways[rank:] = ways[rank:] + ways[: len(ways) - rank]
        ways /= 2
    found = int(ranks[differences > 0].sum())
    return float(min(1.0, 2 * min(ways[: found + 1].sum(), ways[found:].sum())))


def average_ranks(table: ArrayLike) -> Floats:
    """Mean rank of every method over data sets or seeds, 1 for the best; ties share the mean of their ranks.

    Demšar: Statistical Comparisons of Classifiers over Multiple Data Sets, JMLR 2006, section 3.2.2.

    Args:
        table: (data sets, methods) results, larger is better; -inf for failures.

    Returns:
        (methods,) ranks from 1 to the number of methods.

    Raises:
        UsageError: Not a table with at least one row and column, or a value is nan.
    """
    from scipy.stats import rankdata

    values = np.asarray(table, dtype=np.float64)
    if values.ndim != 2 or not values.size or np.isnan(values).any():
        raise UsageError(f"ranks of an array of shape {values.shape}; expected (data sets, methods) without nan")
    ranks: Floats = np.asarray(rankdata(-values, method="average", axis=1), dtype=np.float64).mean(axis=0)
    return ranks


class Band(NamedTuple):
    """A curve with what lies around it, each (steps,)."""

    middle: Floats
    low: Floats
    high: Floats


def band(curves: ArrayLike, quantiles: tuple[float, float] = (0.25, 0.75)) -> Band:
    """Median over runs of a curve, with a band of quantiles.

    Args:
        curves: (runs, steps); nan where a run has found nothing yet.
        quantiles: Lower and upper end of the band.

    Returns:
        Order statistics, values that runs had, of those that have found something; nan where none has.

    Raises:
        UsageError: Not a table with at least one row and column.
    """
    values = np.asarray(curves, dtype=np.float64)
    if values.ndim != 2 or not values.size:
        raise UsageError(f"curves of shape {values.shape}; expected (runs, steps)")
    found = ~np.isnan(values).all(axis=0)
    middle, low, high = np.full((3, values.shape[1]), np.nan)
    ends = (0.5, *quantiles)
    for curve, quantile in zip((middle, low, high), ends, strict=True):
        curve[found] = np.nanquantile(values[:, found], quantile, axis=0, method="inverted_cdf")
    return Band(middle, low, high)


def _checked(scores: ArrayLike, truth: ArrayLike, k: int | None = None) -> tuple[Floats, Floats]:
    x, y = (np.asarray(values, dtype=np.float64) for values in (scores, truth))
    if x.shape != y.shape or x.ndim != 1 or len(x) < 2:
        raise UsageError(f"ranking of shapes {x.shape} and {y.shape}; expected two of one length, at least 2")
    if np.isnan(x).any() or not np.isfinite(y).all():
        raise UsageError("ranking with nan scores or infinite true values; expected -inf for a score that failed")
    if k is not None and not 1 <= k <= len(x):
        raise UsageError(f"k is {k}; expected 1 to the number of networks, {len(x)}")
    return x, y


def _codes(scores: ArrayLike, truth: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Dense ranks from 0: nothing but order counts, and infinities are numbers like others."""
    x, y = (np.unique(values, return_inverse=True)[1].astype(np.int64) for values in _checked(scores, truth))
    return x, y


def holm(p: Mapping[int, float]) -> dict[int, float]:
    """Corrected p-values of several tests, by the numbers that name them.

    Holm: A Simple Sequentially Rejective Multiple Test Procedure, Scandinavian Journal of Statistics 1979.
    """
    corrected, largest = {}, 0.0
    for place, number in enumerate(sorted(p, key=lambda number: p[number])):
        largest = max(largest, min(1.0, p[number] * (len(p) - place)))
        corrected[number] = largest
    return corrected
