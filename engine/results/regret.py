"""What is lost by training only the few networks that a score ranks first, under limits on their size.

The table is cut down to pools of 60 % of its networks, drawn without replacement. In a pool, of the networks
within a limit, the k best scored are trained and the best of them is kept: its regret is how far it lies below the
best of all within the limit. The mean over many pools does not hang on one network as that of the whole table does;
but it still contains that the best of noisy accuracies is partly lucky.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["mean_regrets", "regrets_of_random"]

Floats = NDArray[np.float64]

SHARE = 0.6  # of the networks in a pool
POOLS = 400


def mean_regrets(
    ranking: Floats, merits: Floats, figure: Floats, limits: Sequence[float], trained: Sequence[int], seed: int
) -> Floats:
    """Mean regret of training the best scored; equal scores are in random order, failures come last.

    The same seed gives the same pools, so that scores of the same networks can be compared.

    Args:
        ranking: (n,) larger is better, -inf for failures. A network that is never to be trained has -inf too.
        merits: (n,) of the trained networks, finite, larger is better.
        figure: (n,) what the limits are on; nan is within none.
        limits: Largest figures allowed.
        trained: Numbers of networks trained; where a pool has fewer, all of them are.
        seed: Of the pools.

    Returns:
        (limits, trained) means over the pools with a network within the limit, in the merits' unit; nan without
        any.
    """
    totals, pools = np.zeros((len(limits), len(trained))), np.zeros((len(limits), 1))
    for pool in _pools(len(merits), seed):
        order = pool[np.argsort(-ranking[pool], kind="stable")]
        for place, inside in enumerate(_within(merits, figure, order, limits)):
            if len(inside):
                found = np.maximum.accumulate(inside)
                totals[place] += [found[-1] - found[min(k, len(found)) - 1] for k in trained]
                pools[place] += 1
    return _mean(totals, pools)


def regrets_of_random(
    merits: Floats, figure: Floats, limits: Sequence[float], trained: Sequence[int], seed: int
) -> Floats:
    """What `mean_regrets` of a score that knows nothing are expected to be, over the same pools.

    Args:
        merits: See `mean_regrets`; likewise the others.
        figure: See `merits`.
        limits: See `merits`.
        trained: See `merits`.
        seed: See `merits`.

    Returns:
        (limits, trained), see `mean_regrets`.
    """
    totals, pools = np.zeros((len(limits), len(trained))), np.zeros((len(limits), 1))
    for pool in _pools(len(merits), seed):
        for place, inside in enumerate(_within(merits, figure, pool, limits)):
            if len(inside):
                best_first = -np.sort(-inside)
                totals[place] += [best_first[0] - _expected_best(best_first, k) for k in trained]
                pools[place] += 1
    return _mean(totals, pools)


def _pools(n: int, seed: int) -> Iterator[NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    for _ in range(POOLS):
        yield rng.permutation(n)[: max(1, round(SHARE * n))]


def _within(merits: Floats, figure: Floats, order: NDArray[np.int64], limits: Sequence[float]) -> Iterator[Floats]:
    for limit in limits:
        yield merits[order[figure[order] <= limit]]


def _expected_best(best_first: Floats, k: int) -> float:
    """Of the largest of k values drawn without replacement from m.

    The i-th largest is the largest drawn with probability C(m - i, k - 1) / C(m, k); the first k / m, and each next
    one (m - i - k + 1) / (m - i) of the one before.
    """
    m = len(best_first)
    k = min(k, m)
    left = m - np.arange(1, m - k + 1)
    chances = np.cumprod(np.concatenate([[k / m], (left - k + 1) / left]))
    return float(chances @ best_first[: m - k + 1])


def _mean(totals: Floats, pools: Floats) -> Floats:
    mean: Floats = np.divide(totals, pools, out=np.full_like(totals, np.nan), where=pools > 0)
    return mean
