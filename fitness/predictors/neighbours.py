"""The nearest known networks by their features: the plainest predictor that uses any.

Weights are inverse distances, as in EmProx (Franken, Singh, Vanschoren 2022, arXiv:2206.05972), which measures them
in an embedding.
"""

from __future__ import annotations

import numpy as np

from fitness.predictors.base import FeaturePredictor, Floats
from fitness.predictors.features import Columns
from spaces.errors import UsageError
from spaces.space import Space

__all__ = ["Neighbours"]


class Neighbours(FeaturePredictor):
    """The nearest known networks by their features, weighted by inverse distance: the plainest predictor.

    The doubt is their weighted standard deviation. Known networks at no distance at all decide alone.

    Args:
        space: Of the networks.
        scores: See `make_predictor`.
        seed: Not used: nothing is drawn.
        features: See `FeaturePredictor`.
        target: See `FeaturePredictor`.
        k: How many, or all if fewer are known.
    """

    def __init__(
        self,
        *,
        space: Space,
        scores: Columns | None = None,
        seed: int = 0,
        features: str = "onehot",
        target: str = "plain",
        k: int = 10,
    ) -> None:
        super().__init__(space=space, scores=scores, seed=seed, features=features, target=target)
        if k < 1:
            raise UsageError(f"predictor knn: k is {k}; expected a whole number of at least 1")
        self._k = k

    def learn(self, rows: Floats, values: Floats) -> None:
        """See `FeaturePredictor.learn`."""
        self._rows, self._values = rows, values

    def judge(self, rows: Floats) -> tuple[Floats, Floats]:
        """See `FeaturePredictor.judge`."""
        from scipy.spatial.distance import cdist

        distances = cdist(rows, self._rows)
        nearest = np.argsort(distances, axis=1, kind="stable")[:, : self._k]
        near = np.take_along_axis(distances, nearest, axis=1)
        values = self._values[nearest]
        exact = near == 0.0
        weights = np.where(exact.any(axis=1, keepdims=True), exact, 1.0 / np.where(exact, 1.0, near))
        weights /= weights.sum(axis=1, keepdims=True)
        mean = (weights * values).sum(axis=1)
        return mean, np.sqrt((weights * (values - mean[:, None]) ** 2).sum(axis=1))
