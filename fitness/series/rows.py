"""What is read of a series before it is scaled: named columns of numbers."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Rows"]

_DIGITS = 16  # files that are others by chance are told apart, whoever wants to be deceived is


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

    @property
    def digest(self) -> str:
        """Of the values and what they are for."""
        found = hashlib.sha256(f"{self.values.shape} {self.inputs} {self.targets}".encode())
        found.update(np.ascontiguousarray(self.values, dtype="<f8").data)
        return found.hexdigest()[:_DIGITS]
