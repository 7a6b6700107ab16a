"""What a predictor expects of an architecture, as fitness: `predict:forest(features=onehot+graph)`."""

from __future__ import annotations

from collections.abc import Sequence

from fitness.base import Direction, Needs
from fitness.predictors.base import Predictor, make_predictor
from spaces.space import Genotype, Space

__all__ = ["PredictedFitness"]

_LISTED = 100_000  # size up to which all of a finite space is predicted at once
_REMEMBERED = 10_000  # of other spaces


class PredictedFitness:
    """The mean that a predictor expects; fitted when a value is first asked for, in every process on its own.

    A finite space is predicted whole then, since a predictor asked of thousands answers thousands of times as fast.

    Args:
        predictor: Its text; see `make_predictor`.
        space: Of the networks.
        networks: Those known.
        values: What is known of each, in its own unit.
        direction: Whether larger values are better.
        unit: Of the values.
        seed: Of the predictor.
    """

    def __init__(
        self,
        predictor: str,
        space: Space,
        networks: Sequence[Genotype],
        values: Sequence[float],
        direction: Direction,
        unit: str,
        seed: int,
    ) -> None:
        self.name = f"predict:{predictor}"
        self.direction: Direction = direction
        self.needs: Needs = "genotype"
        self.unit = unit
        self._predictor, self._space, self._seed = predictor, space, seed
        self._networks, self._values = tuple(networks), tuple(values)
        self._fitted: Predictor | None = None
        self._known: dict[Genotype, float] = {}

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_fitted": None, "_known": {}}  # a worker fits its own

    def __call__(self, genotype: Genotype) -> float:
        """The expected value of an architecture."""
        if genotype not in self._known:
            self._predict(genotype)
        return self._known[genotype]

    def _predict(self, genotype: Genotype) -> None:
        listed = self._space.size is not None and self._space.size <= _LISTED
        asked = [genotype]
        if self._fitted is None:
            self._fitted = make_predictor(self._predictor, self._space, seed=self._seed)
            sign = 1.0 if self.direction == "max" else -1.0
            self._fitted.fit(self._networks, [sign * value for value in self._values])
            if listed:
                asked = list(dict.fromkeys([genotype, *self._space.enumerate()]))
        if not listed and len(self._known) >= _REMEMBERED:
            self._known.clear()
        mean = self._fitted.predict(asked).mean
        self._known |= zip(asked, (mean if self.direction == "max" else -mean).tolist(), strict=True)
