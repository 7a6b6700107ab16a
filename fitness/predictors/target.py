"""Scales on which accuracies are learnt, and the way back to their own unit.

Accuracies bunch: most networks are within a few percent of the best, some stay at chance. On a stretched scale a
model spends its effort where an order is to be found.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from spaces.errors import UnknownName

__all__ = ["Target", "make_target"]

Floats = NDArray[np.float64]


class Target(Protocol):
    """A scale of about zero mean and unit variance, fitted on known accuracies."""

    def learn(self, accuracies: Floats) -> Floats:
        """Fit the scale; returns the accuracies (n,) on it."""

    def back(self, mean: Floats, std: Floats) -> tuple[Floats, Floats]:
        """Means and standard deviations (n,) on the scale as accuracies and theirs."""


class Plain:
    """Accuracies less their mean, over their standard deviation."""

    def learn(self, accuracies: Floats) -> Floats:
        """See `Target.learn`."""
        self._mean, self._spread = accuracies.mean(), accuracies.std() or 1.0
        return np.asarray((accuracies - self._mean) / self._spread)

    def back(self, mean: Floats, std: Floats) -> tuple[Floats, Floats]:
        """See `Target.back`."""
        return self._mean + self._spread * mean, self._spread * std


class Rank:
    """Normal quantiles of the ranks, equal accuracies sharing theirs.

    Between known accuracies the way back is linear; beyond them it goes on, so that order is kept: below the least
    and above the greatest with the mean slope of all.
    """

    def learn(self, accuracies: Floats) -> Floats:
        """See `Target.learn`."""
        from scipy.special import ndtri
        from scipy.stats import rankdata

        scores = ndtri((rankdata(accuracies) - 0.5) / len(accuracies))
        spread = scores.std() or 1.0
        self._accuracies, first = np.unique(accuracies, return_index=True)
        self._scores = scores[first] / spread
        return np.asarray(scores / spread)

    def back(self, mean: Floats, std: Floats) -> tuple[Floats, Floats]:
        """See `Target.back`; a deviation is half of what lies between one below and one above the mean."""
        low, middle, high = (self._accuracy(scores) for scores in (mean - std, mean, mean + std))
        return middle, (high - low) / 2

    def _accuracy(self, scores: Floats) -> Floats:
        known, accuracies = self._scores, self._accuracies
        inside = np.interp(scores, known, accuracies)
        if len(known) == 1:
            return inside
        slope = (accuracies[-1] - accuracies[0]) / (known[-1] - known[0])
        return np.asarray(inside + slope * (scores - np.clip(scores, known[0], known[-1])))


class Gap:
    """Minus the logarithm of what an accuracy lacks to a goal: one percent more counts most near the best.

    The goal is as far above the best known accuracy as the median lies below it, so that any unit will do.
    """

    def learn(self, accuracies: Floats) -> Floats:
        """See `Target.learn`."""
        best = float(accuracies.max())
        margin = best - float(np.median(accuracies)) or best - float(accuracies.min()) or 1.0
        self._goal = best + margin
        scores = -np.log(self._goal - accuracies)
        self._mean, self._spread = scores.mean(), scores.std() or 1.0
        return np.asarray((scores - self._mean) / self._spread)

    def back(self, mean: Floats, std: Floats) -> tuple[Floats, Floats]:
        """See `Target.back`; a deviation is half of what lies between one below and one above the mean."""
        low, middle, high = (
            self._goal - np.exp(-(self._mean + self._spread * scores)) for scores in (mean - std, mean, mean + std)
        )
        return middle, (high - low) / 2


_TARGETS: dict[str, type[Plain] | type[Rank] | type[Gap]] = {"gap": Gap, "plain": Plain, "rank": Rank}


def make_target(name: str) -> Target:
    """A fresh scale of that name.

    Raises:
        UnknownName: There is none.
    """
    if name not in _TARGETS:
        raise UnknownName("target", name, _TARGETS)
    return _TARGETS[name]()
