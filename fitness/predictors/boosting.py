"""Gradient boosting of regression trees.

Friedman: Greedy function approximation: a gradient boosting machine, Annals of Statistics 29, 2001; with rows drawn
for each tree as in his Stochastic gradient boosting, 2002. scikit-learn's GradientBoostingRegressor and not its
HistGradientBoostingRegressor: a few hundred known networks need no histograms, whose leaves of 20 by default are
made for thousands.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fitness.predictors.base import FeaturePredictor, Floats
from fitness.predictors.features import Columns
from spaces.errors import UsageError
from spaces.space import Space

__all__ = ["Boosting"]

_COLUMNS = 0.1  # share of the columns tried at each split
_ROWS = 0.5  # share of the known networks that a tree sees


class Boosting(FeaturePredictor):
    """Gradient boosting of regression trees (Friedman 2001): several ensembles, whose spread is the doubt.

    Args:
        space: Of the networks.
        scores: See `make_predictor`.
        seed: Of the draws of rows and columns.
        features: See `FeaturePredictor`.
        target: See `FeaturePredictor`.
        trees: Trees of each ensemble.
        rate: What share of a tree's correction is taken.
        depth: Of a tree.
        ensembles: How many.
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
        rate: float = 0.06,
        depth: int = 4,
        ensembles: int = 3,
    ) -> None:
        super().__init__(space=space, scores=scores, seed=seed, features=features, target=target)
        for name, value in (("trees", trees), ("depth", depth), ("ensembles", ensembles)):
            if value < 1:
                raise UsageError(f"predictor boosting: {name} is {value}; expected a whole number of at least 1")
        if not 0 < rate <= 1:
            raise UsageError(f"predictor boosting: rate is {rate}; expected a share above 0 and up to 1")
        self._trees, self._rate, self._depth, self._ensembles = trees, rate, depth, ensembles
        self._models: list[Any] = []

    def learn(self, rows: Floats, values: Floats) -> None:
        """See `FeaturePredictor.learn`."""
        from sklearn.ensemble import GradientBoostingRegressor  # type: ignore[import-untyped]

        seeds = np.random.SeedSequence(self.seed).generate_state(self._ensembles)
        self._models = [
            GradientBoostingRegressor(
                n_estimators=self._trees,
                learning_rate=self._rate,
                max_depth=self._depth,
                max_features=_COLUMNS,
                subsample=_ROWS,
                min_samples_leaf=2,
                random_state=int(seed),
            ).fit(rows, values)
            for seed in seeds
        ]

    def judge(self, rows: Floats) -> tuple[Floats, Floats]:
        """See `FeaturePredictor.judge`."""
        votes = np.array([model.predict(rows) for model in self._models])
        return votes.mean(axis=0), votes.std(axis=0)
