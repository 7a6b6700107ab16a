"""Turns raw scores of any scale into comparable ones, against a fixed sample of the space.

The sample is 256 random networks drawn with seed 0, whatever the run's own seed, bounds and target, so that the
values are absolute: comparable across runs and never re-ranked.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from math import isfinite, log

from spaces.errors import RunError

SAMPLE = 256
SEED = 0


class Quantiles:
    """ln q(x) of one score, q = (number of sample values below x + 1/2) / (n + 1).

    Linear in q between sample points; beyond them ln q goes on with the slope of the outer tenth, so that two
    values beyond the sample's ends never tie.

    Args:
        name: Of the score, for messages.
        sample: Its finite raw values, better ones larger.
    """

    def __init__(self, name: str, sample: Sequence[float]) -> None:
        values = sorted(value for value in sample if isfinite(value))
        if not values:
            raise RunError(f"score {name!r} is finite for none of {len(sample)} reference networks")
        self.sample = tuple(values)
        self._points: list[float] = []
        self._q: list[float] = []
        for below, value in enumerate(values):
            if not self._points or value > self._points[-1]:
                self._points.append(value)
                self._q.append((below + 0.5) / (len(values) + 1))
        tenth = min(max(1, len(values) // 10), len(values) - 1)
        self._low_slope = self._slope(0, bisect_right(self._points, values[tenth]) - 1)
        self._high_slope = self._slope(bisect_right(self._points, values[-1 - tenth]) - 1, len(self._points) - 1)

    def log_q(self, value: float) -> float:
        """The ln q of a raw value, larger for better."""
        points, q = self._points, self._q
        if value <= points[0]:
            return log(q[0]) + self._low_slope * (value - points[0])
        if value >= points[-1]:
            return log(q[-1]) + self._high_slope * (value - points[-1])
        right = bisect_right(points, value)
        left = right - 1
        share = (value - points[left]) / (points[right] - points[left])
        return log(q[left] + share * (q[right] - q[left]))

    def _slope(self, left: int, right: int) -> float:
        """Slope of ln q between two points, or between the nearest two that differ."""
        if left == right:
            left, right = (left, left + 1) if left == 0 else (left - 1, left)
        if right >= len(self._points):  # the whole sample is one value
            return 1 / max(abs(self._points[0]), 1.0)
        rise = log(self._q[right]) - log(self._q[left])
        return rise / (self._points[right] - self._points[left])
