"""A Gaussian process on rows of features.

Rasmussen, Williams: Gaussian Processes for Machine Learning, MIT Press 2006: eqs. 2.25 and 2.26 for the prediction,
2.30 for the likelihood, 4.17 for the kernel, Matérn 5/2. Length and noise are the likeliest of a grid; for each the
kernel's variance has its likeliest value in closed form.
"""

from __future__ import annotations

import numpy as np

from fitness.predictors.base import FeaturePredictor, Floats
from fitness.predictors.features import Columns
from fitness.predictors.scaling import Scaling
from spaces.space import Space

__all__ = ["GaussianProcess"]

_LENGTHS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)  # in units of the median distance of two known networks
_NOISES = (1e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0)  # variances, in units of the kernel's
_JUDGED = 4096  # rows at once


class GaussianProcess(FeaturePredictor):
    """A Gaussian process, Matérn 5/2, of the likeliest length and noise, on standardised columns.

    The doubt is that about the worth, without the noise of an observation.

    Args:
        space: Of the networks.
        scores: See `make_predictor`.
        seed: Not used: nothing is drawn.
        features: See `FeaturePredictor`.
        target: See `FeaturePredictor`.
    """

    def __init__(
        self,
        *,
        space: Space,
        scores: Columns | None = None,
        seed: int = 0,
        features: str = "graph+scores",
        target: str = "gap",
    ) -> None:
        super().__init__(space=space, scores=scores, seed=seed, features=features, target=target)

    def learn(self, rows: Floats, values: Floats) -> None:
        """See `FeaturePredictor.learn`."""
        from scipy.linalg import cho_factor, cho_solve

        self._scaling = Scaling(rows)
        known = self._scaling(rows)
        self._mean = float(values.mean())
        rest = values - self._mean
        squares = _squared_distances(known, known)
        apart = squares[squares > 1e-9]
        unit = float(np.median(apart)) if len(apart) else 1.0
        likeliest = -np.inf
        for length in _LENGTHS:
            kernel = _matern(squares / (unit * length**2))
            for noise in _NOISES:
                factor = cho_factor(kernel + noise * np.eye(len(rest)), lower=True)
                weights = cho_solve(factor, rest)
                variance = max(float(rest @ weights) / len(rest), 1e-12)
                likelihood = -0.5 * len(rest) * np.log(variance) - np.log(np.diag(factor[0])).sum()
                if likelihood > likeliest:
                    likeliest = likelihood
                    self._weights, self._factor, self._variance = weights, factor, variance
                    self._rows, self._unit = known, unit * length**2

    def judge(self, rows: Floats) -> tuple[Floats, Floats]:
        """See `FeaturePredictor.judge`."""
        from scipy.linalg import solve_triangular

        scaled = self._scaling(rows)
        means, deviations = [np.empty(0)], [np.empty(0)]
        for first in range(0, len(scaled), _JUDGED):
            cross = _matern(_squared_distances(scaled[first : first + _JUDGED], self._rows) / self._unit)
            means.append(self._mean + cross @ self._weights)
            explained = (solve_triangular(self._factor[0], cross.T, lower=True) ** 2).sum(axis=0)
            deviations.append(np.sqrt(self._variance * np.maximum(1.0 - explained, 0.0)))
        return np.concatenate(means), np.concatenate(deviations)


def _squared_distances(one: Floats, other: Floats) -> Floats:
    """(n, m), at least 0."""
    squares = (one**2).sum(axis=1)[:, None] + (other**2).sum(axis=1)[None] - 2 * one @ other.T
    return np.asarray(np.maximum(squares, 0.0))


def _matern(squares: Floats) -> Floats:
    """The kernel of squared distances in units of the squared length."""
    distance = np.sqrt(5 * squares)
    return np.asarray((1 + distance + distance**2 / 3) * np.exp(-distance))
