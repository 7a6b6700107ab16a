"""Forests of regression trees; their doubt is the spread over the trees.

Breiman: Random Forests, Machine Learning 45, 2001; Geurts, Ernst, Wehenkel: Extremely randomized trees, Machine
Learning 63, 2006. The doubt: Hutter, Hoos, Leyton-Brown 2011, section 4.1.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fitness.predictors.base import FeaturePredictor, Floats
from fitness.predictors.features import Columns
from spaces.errors import UsageError
from spaces.space import Space

__all__ = ["ExtraTrees", "Forest"]


class Forest(FeaturePredictor):
    """A random forest (Breiman 2001); the doubt is the spread over the trees.

    Args:
        space: Of the networks.
        scores: See `make_predictor`.
        seed: Of the draws of rows and columns.
        features: See `FeaturePredictor`.
        target: See `FeaturePredictor`.
        trees: Number of trees.
        columns: Share of the columns that are tried at each split.
        leaf: Least number of known networks in a leaf.
    """

    registered = "forest"
    model = "RandomForestRegressor"

    def __init__(
        self,
        *,
        space: Space,
        scores: Columns | None = None,
        seed: int = 0,
        features: str = "graph+scores",
        target: str = "gap",
        trees: int = 200,
        columns: float = 0.33,
        leaf: int = 1,
    ) -> None:
        super().__init__(space=space, scores=scores, seed=seed, features=features, target=target)
        for name, value in (("trees", trees), ("leaf", leaf)):
            if value < 1:
                raise UsageError(
                    f"predictor {self.registered}: {name} is {value}; expected a whole number of at least 1"
                )
        if not 0 < columns <= 1:
            raise UsageError(
                f"predictor {self.registered}: columns is {columns}; expected a share above 0 and up to 1"
            )
        self._trees, self._columns, self._leaf = trees, columns, leaf
        self._model: Any = None

    def learn(self, rows: Floats, values: Floats) -> None:
        """See `FeaturePredictor.learn`."""
        from sklearn import ensemble  # type: ignore[import-untyped]

        self._model = getattr(ensemble, self.model)(
            self._trees, max_features=self._columns, min_samples_leaf=self._leaf, random_state=self.seed
        ).fit(rows, values)

    def judge(self, rows: Floats) -> tuple[Floats, Floats]:
        """See `FeaturePredictor.judge`."""
        exact = rows.astype(np.float32)  # what trees compare; saves a conversion for each
        votes = np.array([tree.predict(exact) for tree in self._model.estimators_])
        return votes.mean(axis=0), votes.std(axis=0)


class ExtraTrees(Forest):
    """Extremely randomised trees (Geurts et al. 2006): splits are drawn, and each tree sees all networks."""

    registered = "extra_trees"
    model = "ExtraTreesRegressor"
