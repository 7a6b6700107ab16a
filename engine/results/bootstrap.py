"""Percentile bootstrap intervals of rank agreement, all resamples at once.

Efron, Tibshirani: An Introduction to the Bootstrap, 1993, chapter 13: networks are drawn with replacement as often
as there are networks, every statistic is computed anew, and the interval is cut off at equal shares of its tails.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.results.agreement import CELLS, Ranked, discounted_gains, gains, kendall_taus, overlaps, spearmans

__all__ = ["Interval", "agreement_intervals"]

Floats = NDArray[np.float64]


class Interval(NamedTuple):
    """Where a statistic lies; nan if it cannot be told."""

    low: float
    high: float


def agreement_intervals(
    scores: Floats, truth: Floats, k: int, *, level: float, resamples: int, seed: int
) -> dict[str, Interval]:
    """Intervals of all four measures.

    The same seed gives the same resamples, so that the intervals of several scores of the same networks belong
    together. Resamples in which a measure is not defined, all values being equal, are left out of its interval.

    Args:
        scores: (n,) larger is better, -inf for failures.
        truth: (n,) finite, larger is better.
        k: For overlap and gain.
        level: Share of the resamples inside, e.g. 0.95.
        resamples: Their number.
        seed: Of the draws.

    Returns:
        "tau", "rho", "top_k", "ndcg".
    """
    n = len(truth)
    x, y = Ranked(scores), Ranked(truth)
    worth = gains(truth)
    measures: dict[str, Callable[[Floats], Floats]] = {
        "tau": lambda counts: kendall_taus(x, y, counts),
        "rho": lambda counts: spearmans(x, y, counts),
        "top_k": lambda counts: overlaps(x, y, counts, k),
        "ndcg": lambda counts: discounted_gains(x, y, worth, counts, k),
    }
    rng = np.random.default_rng(seed)
    found: dict[str, list[Floats]] = {name: [] for name in measures}
    rows = max(1, CELLS // n)
    for start in range(0, resamples, rows):
        counts = _draws(rng, min(rows, resamples - start), n)
        for name, measure in measures.items():
            found[name].append(measure(counts))
    return {name: _percentiles(np.concatenate(parts), level) for name, parts in found.items()}


def _draws(rng: np.random.Generator, resamples: int, n: int) -> Floats:
    """How often each of n is drawn in n draws with replacement: (resamples, n)."""
    drawn = rng.integers(n, size=(resamples, n))
    offsets = n * np.arange(resamples)[:, None]
    counts = np.bincount((drawn + offsets).reshape(-1), minlength=resamples * n)
    return counts.reshape(resamples, n).astype(np.float64)


def _percentiles(values: Floats, level: float) -> Interval:
    defined = values[~np.isnan(values)]
    if not defined.size:
        return Interval(np.nan, np.nan)
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))
