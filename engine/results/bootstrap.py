"""Percentile bootstrap intervals of rank agreement, all resamples at once.

Efron, Tibshirani: An Introduction to the Bootstrap, 1993, chapter 13: networks are drawn with replacement as often
as there are networks, every statistic is computed anew, and the interval is cut off at equal shares of its tails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.results.agreement import CELLS, Ranked, discounted_gains, gains, kendall_taus, overlaps, spearmans

__all__ = ["Interval", "agreement_intervals", "resampled_taus", "spread_of"]

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
    found: dict[str, list[Floats]] = {name: [] for name in measures}
    for counts in _draws(n, resamples, seed):
        for name, measure in measures.items():
            found[name].append(measure(counts))
    return {name: spread_of(np.concatenate(parts), level) for name, parts in found.items()}


def resampled_taus(scores: Floats, truth: Floats, resamples: int, seed: int | Sequence[int]) -> Floats:
    """Kendall's tau_b of every resample.

    Args:
        scores: (n,) larger is better, -inf for failures.
        truth: (n,) finite, larger is better.
        resamples: Their number.
        seed: Of the draws.

    Returns:
        (resamples,) nan where all values of a resample are equal.
    """
    x, y = Ranked(scores), Ranked(truth)
    parts = [kendall_taus(x, y, counts) for counts in _draws(len(truth), resamples, seed)]
    return np.concatenate(parts) if parts else np.zeros(0)


def spread_of(values: Floats, level: float) -> Interval:
    """Percentiles that cut off equal shares of both tails of the known ones of (resamples,) values.

    Args:
        values: nan where a resample has none.
        level: Share of the values inside.
    """
    defined = values[~np.isnan(values)]
    if not defined.size:
        return Interval(np.nan, np.nan)
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def _draws(n: int, resamples: int, seed: int | Sequence[int]) -> Iterator[Floats]:
    """How often each of n is drawn in n draws with replacement: some of the resamples at a time, (some, n)."""
    rng = np.random.default_rng(seed)
    rows = max(1, CELLS // n)
    for start in range(0, resamples, rows):
        some = min(rows, resamples - start)
        drawn = rng.integers(n, size=(some, n)) + n * np.arange(some)[:, None]
        yield np.bincount(drawn.reshape(-1), minlength=some * n).reshape(some, n).astype(np.float64)
