"""A time series, scaled and cut into parts, and the windows that a recurrent network sees of it.

Windows are those of Camero, Toutouh and Alba (acamero/dlopt): `look_back` rows in a row are the input, and
the row after them is the target.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from spaces.errors import UnknownName, UsageError

__all__ = ["PARTS", "Scaling", "Series", "Windows", "persistence"]

#: What windows may be cut from: the three parts in order of time, both that are learnt from, and everything.
PARTS: Final = ("train", "validation", "test", "learning", "all")


@dataclass(frozen=True, slots=True)
class Scaling:
    """An affine map per column: scaled = (value - shift) / factor.

    Attributes:
        kind: "none", "minmax", "unit" or "standard".
        shift: One number per column, in the unit of the data.
        factor: Likewise; above 0.
    """

    kind: str
    shift: tuple[float, ...]
    factor: tuple[float, ...]

    def apply(self, values: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Values (..., columns) in the unit of the data, scaled."""
        return np.asarray((values - np.array(self.shift)) / np.array(self.factor))

    def undo(self, scaled: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Scaled values (..., columns) in the unit of the data."""
        return np.asarray(scaled * np.array(self.factor) + np.array(self.shift))


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """Inputs and targets of a network.

    Attributes:
        inputs: (windows, look-back, F), in order of time.
        targets: (windows, O): the row after each window.
    """

    inputs: NDArray[np.float32]
    targets: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.inputs)


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """A time series, one row per step of time.

    Attributes:
        source: The text that it was loaded from.
        names: Of the input columns.
        target_names: Of the target columns.
        inputs: (T, F), scaled.
        targets: (T, O), scaled.
        parts: Rows of "train", "validation" and "test", which follow each other in this order.
        scaling: Of the targets, to undo it.
        input_scaling: Of the inputs.
        error_bound: Where the law of a random network's mean absolute error is truncated (`hi` of the papers):
            2 for the sine and for columns scaled to [-1, 1], 1 for [0, 1], 100 for standardised ones. Other columns
            that are not scaled have 1 + max |target| of the training rows, which no network that ends in a tanh or
            sigmoid can exceed there.
        digest: Of the columns as they were read: tells a file that has changed.
    """

    source: str
    names: tuple[str, ...]
    target_names: tuple[str, ...]
    inputs: NDArray[np.float64]
    targets: NDArray[np.float64]
    parts: Mapping[str, range]
    scaling: Scaling
    input_scaling: Scaling
    error_bound: float
    digest: str

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def features(self) -> int:
        """Number of input columns."""
        return int(self.inputs.shape[1])

    @property
    def outputs(self) -> int:
        """Number of target columns."""
        return int(self.targets.shape[1])

    def rows(self, part: str) -> range:
        """The rows of one of `PARTS`.

        Raises:
            UnknownName: No such part.
        """
        if part == "learning":
            return range(self.parts["train"].start, self.parts["validation"].stop)
        if part == "all":
            return range(len(self))
        if part not in self.parts:
            raise UnknownName("part of a series", part, PARTS)
        return self.parts[part]

    def windows(self, look_back: int, part: str) -> Windows:
        """Every window of a part; none reaches into another part.

        Raises:
            UsageError: The part has too few rows for one window and its target.
        """
        rows = self.window_rows(look_back, part)
        seen = np.lib.stride_tricks.sliding_window_view(self.inputs[rows.start : rows.stop - 1], look_back, axis=0)
        return Windows(
            np.ascontiguousarray(seen.transpose(0, 2, 1), dtype=np.float32),
            self.targets[rows.start + look_back : rows.stop].astype(np.float32),
        )

    def window_rows(self, look_back: int, part: str) -> range:
        """The rows of a part, which are enough for one window and its target.

        Raises:
            UsageError: They are too few.
        """
        rows = self.rows(part)
        if look_back < 1:
            raise UsageError(f"look-back {look_back}; expected 1 row or more")
        if len(rows) <= look_back:
            where = f"the {part} part" if part != "all" else "all"
            raise UsageError(
                f"{where} of {self.source} has {len(rows)} rows, and look-back {look_back} needs {look_back + 1}; "
                "expected a smaller look-back, a longer series or another split"
            )
        return rows


def persistence(series: Series, part: str, look_back: int) -> float:
    """Mean absolute error of the forecast that every target is as the row before it, on the targets of `windows`.

    In scaled units, over all windows and outputs; the baseline that a trained network has to beat.

    Raises:
        UsageError: See `Series.windows`.
    """
    rows = series.window_rows(look_back, part)
    steps = np.diff(series.targets[rows.start + look_back - 1 : rows.stop], axis=0)
    return float(np.abs(steps).mean())
