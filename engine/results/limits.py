"""Limits on a figure of networks, and how well a score ranks the networks between them.

Among networks of all sizes any score that grows with the size ranks well; between two limits that are close it has
to know more.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from engine.results.bootstrap import Interval, resampled_taus, spread_of
from engine.results.statistics import kendall_tau_b
from engine.results.tabular import format_number
from spaces.errors import UsageError

__all__ = ["Band", "Banded", "Estimate", "Limits", "ranked_in_bands"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Limits:
    """Ascending numbers on the axis of a figure.

    Attributes:
        figure: Name of a raw score, such as flash_bytes.
        numbers: The limits, in its unit.
    """

    figure: str
    numbers: tuple[float, ...]

    @classmethod
    def read(cls, what: str, text: str, least: int) -> Limits:
        """Read FIGURE=N,N,...

        Args:
            what: Name of the option, for messages.
            text: What was given.
            least: Fewest numbers.

        Raises:
            UsageError: Of another form, fewer numbers, or not ascending.
        """
        figure, _, listed = text.rpartition("=")
        try:
            numbers = tuple(float(number) for number in listed.split(","))
        except ValueError:
            numbers = ()
        ascending = all(low < high for low, high in pairwise(numbers))
        if not figure.strip() or len(numbers) < least or not ascending or not all(map(isfinite, numbers)):
            raise UsageError(
                f"{what} {text[:80]!r}; expected a figure and {least} or more ascending numbers, e.g. "
                "flash_bytes=2048,8192,32768"
            )
        return cls(figure.strip(), numbers)

    @property
    def between(self) -> list[tuple[float, float]]:
        """Each limit with the next."""
        return list(pairwise(self.numbers))

    def in_bands(self, figure: Floats) -> list[int]:
        """How many of (n,) figures are between each limit and the next; nan never is."""
        return [int(((figure >= low) & (figure < high)).sum()) for low, high in self.between]

    def within(self, figure: Floats) -> list[int]:
        """How many of (n,) figures keep each limit; nan never does."""
        return [int((figure <= limit).sum()) for limit in self.numbers]

    def without(self, figure: Floats, *, bands: bool) -> list[str]:
        """A line for each band or limit in which no network is."""
        known = figure[~np.isnan(figure)]
        have = (
            f"they have {format_number(known.min())} to {format_number(known.max())}" if known.size else "none has"
        )
        if bands:
            named = [f"from {format_number(low)} to below {format_number(high)}" for low, high in self.between]
        else:
            named = [f"<= {format_number(number)}" for number in self.numbers]
        counts = self.in_bands(figure) if bands else self.within(figure)
        return [
            f"no network has {self.figure} {where}; {have}"
            for where, count in zip(named, counts, strict=True)
            if not count
        ]


@dataclass(frozen=True)
class Estimate:
    """One measure.

    Attributes:
        value: nan where all scores are equal.
        interval: None if there is none: no resamples were asked for, or nothing was sampled.
    """

    value: float
    interval: Interval | None


@dataclass(frozen=True)
class Band:
    """Kendall's tau_b of a score between two limits.

    Attributes:
        low: Least figure.
        high: All figures are below it.
        networks: Number of networks in between.
        tau: nan where it is not defined.
    """

    low: float
    high: float
    networks: int
    tau: Estimate


@dataclass(frozen=True)
class Banded:
    """Kendall's tau_b of a score in every band.

    Attributes:
        bands: From the lowest.
        mean: Over the bands in which it is defined.
    """

    bands: tuple[Band, ...]
    mean: Estimate


def ranked_in_bands(
    ranking: Floats, truth: Floats, figure: Floats, limits: Limits, *, level: float, resamples: int, seed: int
) -> Banded:
    """How well a score ranks the networks of every band, low <= figure < high, and on average.

    The interval of the mean is of resamples that draw from each band as many networks as it has.

    Args:
        ranking: (n,) larger is better, -inf for failures.
        truth: (n,) finite, larger is better.
        figure: (n,) nan where it is not known: in no band.
        limits: Of the bands.
        level: Of the intervals.
        resamples: Of the bootstrap; 0 for no intervals.
        seed: Of the draws.
    """
    bands, drawn = [], []
    for number, (low, high) in enumerate(limits.between):
        inside = (figure >= low) & (figure < high)
        count = int(inside.sum())
        tau = kendall_tau_b(ranking[inside], truth[inside]) if count > 1 else float("nan")
        interval = None
        if resamples and not np.isnan(tau):
            drawn.append(resampled_taus(ranking[inside], truth[inside], resamples, [seed, number]))
            interval = spread_of(drawn[-1], level)
        bands.append(Band(low, high, count, Estimate(tau, interval)))
    known = [band.tau.value for band in bands if not np.isnan(band.tau.value)]
    mean = float(np.mean(known)) if known else float("nan")
    return Banded(tuple(bands), Estimate(mean, spread_of(np.mean(drawn, axis=0), level) if drawn else None))
