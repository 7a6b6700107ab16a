"""Windows of a series of which none is computed twice.

A periodic series shows a network the same windows again and again: the sine of 10 points per period has 10. Windows
are run once if in each column they round to the same multiples of float32's spacing at the largest value that they
have there, and the forecast of the first of them is compared with the target of each.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fitness.series.source import SeriesSource

__all__ = ["Distinct", "distinct", "windows_of"]

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Distinct:
    """Windows to run, and what their forecasts are compared with.

    Attributes:
        inputs: (distinct windows, look-back, F).
        targets: (windows, O).
        places: (windows,): which of the inputs each is.
    """

    inputs: Floats
    targets: Floats
    places: NDArray[np.intp]

    def errors(self, forecasts: Floats | NDArray[np.float64]) -> NDArray[np.float64]:
        """Mean absolute errors (samples,) of forecasts (samples, distinct windows, O)."""
        gaps = np.empty(self.targets.shape)
        found = np.empty(len(forecasts))
        for sample, each in enumerate(forecasts):
            np.subtract(each if len(each) == len(gaps) else each[self.places], self.targets, out=gaps)
            found[sample] = np.abs(gaps, out=gaps).mean()
        return found


def distinct(inputs: Floats, targets: Floats, *, merge: bool = True) -> Distinct:
    """The distinct ones of windows (windows, look-back, F), in the order in which they first occur.

    Args:
        inputs: Of the windows.
        targets: (windows, O).
        merge: Whether to look for equal ones at all.
    """
    if not merge:
        return Distinct(inputs, targets, np.arange(len(inputs)))
    spacing = np.spacing(np.abs(inputs).max(axis=1, keepdims=True)).astype(np.float64)  # a power of 2
    rounded = np.rint(inputs / spacing) * spacing + 0.0  # no -0
    found: dict[bytes, int] = {}
    places = np.array([found.setdefault(row.tobytes(), len(found)) for row in rounded], dtype=np.intp)
    first = np.unique(places, return_index=True)[1]
    return Distinct(np.ascontiguousarray(inputs[first]), targets, places)


@lru_cache(maxsize=32)  # one per look-back
def windows_of(source: SeriesSource, part: str, look_back: int) -> Distinct:
    """The distinct windows of a part of a series.

    Raises:
        UsageError: The part is too short for the look-back, or there is no such series.
        RunError: The series cannot be read.
    """
    windows = source.open().windows(look_back, part)
    return distinct(windows.inputs, windows.targets)
