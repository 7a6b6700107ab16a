"""Ridge regression on standardised columns: Bayesian, so that it tells its doubt.

MacKay: Bayesian Interpolation, Neural Computation 4, 1992, by scikit-learn's BayesianRidge, which finds penalty and
noise by their evidence.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fitness.predictors.base import FeaturePredictor, Floats
from fitness.predictors.features import Columns
from fitness.predictors.scaling import Scaling
from spaces.space import Space

__all__ = ["Ridge"]


class Ridge(FeaturePredictor):
    """Bayesian ridge regression (MacKay 1992); the doubt is that about its weights and the noise together.

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
        features: str = "onehot+scores",
        target: str = "gap",
    ) -> None:
        super().__init__(space=space, scores=scores, seed=seed, features=features, target=target)
        self._model: Any = None

    def learn(self, rows: Floats, values: Floats) -> None:
        """See `FeaturePredictor.learn`."""
        from sklearn.linear_model import BayesianRidge  # type: ignore[import-untyped]

        self._scaling = Scaling(rows)
        self._model = BayesianRidge().fit(self._scaled(rows), values)

    def judge(self, rows: Floats) -> tuple[Floats, Floats]:
        """See `FeaturePredictor.judge`."""
        mean, deviation = self._model.predict(self._scaled(rows), return_std=True)
        return mean, deviation

    def _scaled(self, rows: Floats) -> Floats:
        """With a column of zeros, that says nothing: known rows that do not differ would leave none at all."""
        return np.pad(self._scaling(rows), ((0, 0), (0, 1)))
