"""Columns on one scale, as models that measure distances want them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["Scaling"]

Floats = NDArray[np.float64]

_FARTHEST = 4.0  # standard deviations; what lies beyond the known networks is not taken at its word


class Scaling:
    """Standardises columns by known rows; those in which these do not differ are dropped.

    Args:
        rows: (n, d), the known ones.
    """

    def __init__(self, rows: Floats) -> None:
        spread = rows.std(axis=0)
        self._kept = spread > 1e-9
        self._mean, self._spread = rows.mean(axis=0)[self._kept], spread[self._kept]

    def __call__(self, rows: Floats) -> Floats:
        """(m, columns kept), each value within 4 standard deviations."""
        return np.asarray(np.clip((rows[:, self._kept] - self._mean) / self._spread, -_FARTHEST, _FARTHEST))
