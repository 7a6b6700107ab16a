"""Which of many points no other point beats."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_BLOCK = 512


def non_dominated(merits: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Mask of the points that no other point dominates.

    A point dominates another if it is at least as good in every objective and better in one, so equal points
    are both kept.

    Args:
        merits: (N, M), larger is better; -inf allowed, nan not.

    Returns:
        (N,) booleans.
    """
    count = len(merits)
    mask = np.zeros(count, dtype=bool)
    if not count:
        return mask
    # In descending lexicographic order a point can only be dominated by an earlier one, and, dominance being
    # transitive, by an earlier one that is itself on the front.
    order = np.lexsort(tuple(-merits[:, m] for m in range(merits.shape[1] - 1, -1, -1)))
    front = np.empty((0, merits.shape[1]))
    for start in range(0, count, _BLOCK):
        block = order[start : start + _BLOCK]
        points = merits[block]
        points_left = ~_dominated(points, front)
        block, points = block[points_left], points[points_left]
        keep = ~_dominated(points, points)
        mask[block[keep]] = True
        front = np.concatenate([front, points[keep]])
    return mask


def _dominated(points: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether each of (N, M) points is dominated by one of (K, M) others."""
    result = np.zeros(len(points), dtype=bool)
    for start in range(0, len(others), _BLOCK):
        chunk = others[start : start + _BLOCK]
        at_least = np.all(chunk[None] >= points[:, None], axis=2)
        better = np.any(chunk[None] > points[:, None], axis=2)
        result |= np.any(at_least & better, axis=1)
    return result
