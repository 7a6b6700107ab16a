"""A Gaussian process and extremely randomised trees together: the predictor to take if nothing speaks against it.

Their errors differ: the one is smooth in all columns, the other splits on a few. The mean of both orders networks
better than either.
"""

from __future__ import annotations

import numpy as np

from fitness.predictors.base import FeaturePredictor, Floats
from fitness.predictors.features import Columns
from fitness.predictors.forest import ExtraTrees
from fitness.predictors.gp import GaussianProcess
from spaces.space import Space

__all__ = ["Blend"]


class Blend(FeaturePredictor):
    """The mean of gp and extra_trees: the predictor to take if nothing speaks against it.

    The doubt is the root of both's mean variance and of the variance between them.

    Args:
        space: Of the networks.
        scores: See `make_predictor`.
        seed: Of the trees' draws.
        features: See `FeaturePredictor`.
        target: See `FeaturePredictor`.
        trees: Number of trees.
    """

    def __init__(
        self,
        *,
        space: Space,
        scores: Columns | None = None,
        seed: int = 0,
        features: str = "graph+scores",
        target: str = "gap",
        trees: int = 150,
    ) -> None:
        super().__init__(space=space, scores=scores, seed=seed, features=features, target=target)
        self._models: tuple[FeaturePredictor, ...] = (
            GaussianProcess(space=space, scores=scores, seed=seed, features=features, target=target),
            ExtraTrees(
                space=space, scores=scores, seed=seed, features=features, target=target, trees=trees, columns=1.0
            ),
        )

    def learn(self, rows: Floats, values: Floats) -> None:
        """See `FeaturePredictor.learn`."""
        for model in self._models:
            model.learn(rows, values)

    def judge(self, rows: Floats) -> tuple[Floats, Floats]:
        """See `FeaturePredictor.judge`."""
        means, deviations = map(np.array, zip(*(model.judge(rows) for model in self._models), strict=True))
        return means.mean(axis=0), np.sqrt((deviations**2).mean(axis=0) + means.var(axis=0))
