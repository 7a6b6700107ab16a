"""How a run hands a series to scores: small, and the same rows in every process."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from fitness.series.load import load_series
from fitness.series.series import Series

__all__ = ["SeriesSource"]


@dataclass(frozen=True)
class SeriesSource:
    """Where a series comes from and what weights are drawn from.

    Args:
        text: See `load_series`.
        seed: Of the weights.
        device: "cpu", "cuda", "cuda:N", or "auto": a GPU if there is one.
        threads: Of torch while it computes.
    """

    text: str
    seed: int = 0
    device: str = "auto"
    threads: int = 1

    def open(self) -> Series:
        """The series; read once in a process.

        Raises:
            UsageError: See `load_series`.
            RunError: Likewise.
        """
        return _opened(self.text)


_opened = lru_cache(maxsize=8)(load_series)
