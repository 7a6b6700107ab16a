"""Measures of rank agreement on counts: how often each network is in the sample, one row per resample.

Written on counts, a statistic of a thousand resamples is one array expression; a single row of ones is the sample
itself. `engine.results.statistics` has the definitions and their sources.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Ranked", "discounted_gains", "gains", "kendall_taus", "overlaps", "spearmans"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

CELLS = 2_000_000  # numbers that an array holds at once, of counts or of the signs of pairs
_SCALE, _FLOOR = 20.0, 0.2  # of relevance, see `gains`


class Ranked:
    """Values in groups of equals, the largest first.

    Args:
        values: (n,) without nan.

    Attributes:
        group: (n,) index of every value's group.
        order: (n,) indexes that sort the values by group.
        starts: (groups,) where each group starts in that order.
    """

    def __init__(self, values: Floats) -> None:
        distinct, ascending = np.unique(values, return_inverse=True)
        self.group: Integers = len(distinct) - 1 - ascending
        self.order: Integers = np.argsort(self.group, kind="stable")
        self.starts: Integers = np.searchsorted(self.group[self.order], np.arange(len(distinct)))

    def totals(self, weights: Floats) -> Floats:
        """Sums over every group of (resamples, n): (resamples, groups)."""
        sums: Floats = np.add.reduceat(weights[:, self.order], self.starts, axis=1)
        return sums


def gains(truth: ArrayLike) -> Floats:
    """What finding each network is worth in `ndcg`.

    2^r - 1 with the relevance r = 20 clip((y - y_20%) / (y_max - y_20%), 0, 1), y_20% the 0.2 quantile: the worst
    fifth is worth nothing, the best network about a million. Zhang et al.: AceNAS: Learning to Rank Ace Neural
    Architectures via Normalized Discounted Cumulative Gain, arXiv:2108.03001, as their program computes it. (Raw
    accuracies as gains, as in VKDNW, arXiv:2502.04975, put every ranking of good networks near 1.)

    Args:
        truth: (n,) finite.

    Returns:
        (n,) at least 0; all ones if no value exceeds the quantile.
    """
    values = np.asarray(truth, dtype=np.float64)
    low, high = np.quantile(values, _FLOOR), values.max()
    if not high > low:
        return np.ones_like(values)
    worth: Floats = np.exp2(_SCALE * np.clip((values - low) / (high - low), 0, 1)) - 1
    return worth


def kendall_taus(x: Ranked, y: Ranked, counts: Floats) -> Floats:
    """Kendall's tau_b of every resample, (resamples,).

    The sum over pairs of sign(x_i - x_j) sign(y_i - y_j) c_i c_j is a quadratic form in the counts c.
    """
    resamples, n = counts.shape
    small = counts.astype(np.float32)  # sums of counts up to n are exact in it
    agree = np.zeros(resamples)
    rows = max(1, CELLS // n)
    for start in range(0, n, rows):
        block = slice(start, start + rows)
        signs = np.sign(x.group[block, None] - x.group) * np.sign(y.group[block, None] - y.group)
        agree += np.einsum("rn,rn->r", small @ signs.astype(np.float32).T, counts[:, block])
    pairs = n * (n - 1) / 2
    untied = [pairs - (total * (total - 1) / 2).sum(axis=1) for total in (x.totals(counts), y.totals(counts))]
    return _ratio(agree / 2, np.sqrt(untied[0] * untied[1]))


def spearmans(x: Ranked, y: Ranked, counts: Floats) -> Floats:
    """Spearman's rho of every resample, (resamples,)."""
    n = counts.shape[1]
    ranks = []
    for values in (x, y):
        totals = values.totals(counts)
        mean_places = np.cumsum(totals, axis=1) - (totals - 1) / 2
        ranks.append(mean_places[:, values.group] - (n + 1) / 2)  # the mean rank is (n + 1) / 2 with any ties
    a, b = ranks
    both, first, second = (np.einsum("rn,rn,rn->r", counts, u, v) for u, v in ((a, b), (a, a), (b, b)))
    return _ratio(both, np.sqrt(first * second))


def overlaps(x: Ranked, y: Ranked, counts: Floats, k: int) -> Floats:
    """`statistics.top_k_overlap` of every resample, (resamples,)."""
    totals = y.totals(counts)
    truly = (np.cumsum(totals, axis=1) - totals < k)[:, y.group]  # fewer than k are strictly better
    hits = x.totals(counts * truly)
    totals = x.totals(counts)
    places = np.clip(k - (np.cumsum(totals, axis=1) - totals), 0, totals)  # of the first k, those of each group
    found: Floats = (hits * places / np.maximum(totals, 1)).sum(axis=1) / k
    return found


def discounted_gains(x: Ranked, y: Ranked, worth: Floats, counts: Floats, k: int) -> Floats:
    """`statistics.ndcg` of every resample, (resamples,), with the gains of the whole sample."""
    n = counts.shape[1]
    discounts = np.where(np.arange(1, n + 1) <= k, 1 / np.log2(np.arange(2, n + 2)), 0)
    up_to = np.concatenate([[0.0], np.cumsum(discounts)])
    gained = []
    for values in (x, y):
        totals = values.totals(counts)
        ends = np.cumsum(totals, axis=1).astype(np.int64)
        shares = (up_to[ends] - up_to[ends - totals.astype(np.int64)]) / np.maximum(totals, 1)
        gained.append((values.totals(counts * worth) * shares).sum(axis=1))
    return _ratio(gained[0], gained[1])


def _ratio(above: Floats, below: Floats) -> Floats:
    """Quotients; nan where there is nothing to divide by."""
    quotients: Floats = np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0)
    return quotients
