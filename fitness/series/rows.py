"""What is read of a series before it is scaled: named columns of numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Rows"]


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Columns of finite numbers, one row per step of time.

    Attributes:
        names: Of the columns.
        values: (T, columns), in the unit of the data.
        inputs: Which columns a network sees.
        targets: Which columns it forecasts.
    """

    names: tuple[str, ...]
    values: NDArray[np.float64]
    inputs: tuple[int, ...]
    targets: tuple[int, ...]
