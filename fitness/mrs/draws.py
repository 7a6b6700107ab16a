"""Random weights as one stream of numbers per seed: `numpy.random.RandomState(seed)`, float32.

Each sample of a network takes the next numbers, so with one seed for all networks each reads a prefix of the same
stream. Its first `KEPT` numbers are drawn once in a process and kept: drawing costs more than using them.
"""

from __future__ import annotations

import threading
from functools import lru_cache

import numpy as np
from numpy.random import RandomState
from numpy.typing import NDArray

from fitness.mrs.stack import Law

__all__ = ["KEPT", "Draws"]

KEPT = 2**24  # 64 MB
_LEAST = 2**16  # drawn at a time
_MOST = 2**20  # likewise; NumPy makes float64 first

Floats = NDArray[np.float32]


class Draws:
    """Standard draws of a law, one after the other: N(0, 1), or U(-1, 1) for "uniform" and "glorot".

    Args:
        seed: Of the stream; taken modulo 2**32.
        law: What is drawn.
        keep: Read from, and extend, the part of the stream that the process keeps. For seeds used once, do not.
    """

    def __init__(self, seed: int, law: Law, *, keep: bool) -> None:
        normal, seed = law == "normal", seed % 2**32
        self._kept = _prefix(seed, normal) if keep else None
        self._own = None if keep else _Source(seed, normal)
        self._at = 0

    def growth(self, count: int) -> int:
        """Bytes that the process keeps more when that many more numbers have been taken."""
        kept = self._kept
        return 0 if kept is None else 4 * max(0, min(KEPT, self._at + count) - kept.count)

    def take(self, count: int) -> Floats:
        """The next numbers, (count,); not to be written to."""
        if self._own is not None:
            return self._own.draw(count)
        assert self._kept is not None
        first, self._at = self._at, self._at + count
        if self._at <= KEPT:
            return self._kept.upto(self._at)[first:]
        held = self._kept.upto(KEPT)[first:]
        self._own = self._kept.beyond()
        return np.concatenate([held, self._own.draw(count - len(held))])


class _Source:
    """A generator that draws in float64 and gives float32."""

    def __init__(self, seed: int, normal: bool) -> None:
        self._random, self._normal = RandomState(seed), normal

    def copy(self) -> _Source:
        twin = _Source(0, self._normal)
        twin._random.set_state(self._random.get_state())
        return twin

    def draw(self, count: int) -> Floats:
        numbers = np.empty(count, np.float32)
        self.fill(numbers)
        return numbers

    def fill(self, numbers: Floats) -> None:
        for first in range(0, len(numbers), _MOST):
            part = numbers[first : first + _MOST]
            part[:] = (
                self._random.normal(size=len(part)) if self._normal else self._random.uniform(-1, 1, len(part))
            )


class _Prefix:
    """The first numbers of a stream, `count` of them: as many as were ever asked for."""

    def __init__(self, seed: int, normal: bool) -> None:
        self._source = _Source(seed, normal)
        self._numbers = np.empty(KEPT, np.float32)  # the system gives pages when they are written to
        self.count = 0
        self._lock = threading.Lock()

    def upto(self, count: int) -> Floats:
        with self._lock:
            if count > self.count:
                end = min(KEPT, max(count, self.count + _LEAST))
                self._source.fill(self._numbers[self.count : end])
                self.count = end
        return self._numbers[:count]

    def beyond(self) -> _Source:
        """What draws the numbers behind the kept ones, all of which have been drawn."""
        assert self.count == KEPT
        return self._source.copy()


@lru_cache(maxsize=1)
def _prefix(seed: int, normal: bool) -> _Prefix:
    return _Prefix(seed, normal)
