"""The contract of a predictor: it learns the accuracies of known networks and tells those of others.

Owns the protocol, the reading of `forest(features=onehot+graph, trees=300)` and what predictors on rows of
features share. Knows no model and no kind of feature.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple, Protocol, cast, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from fitness.expression import parse
from fitness.predictors import PREDICTORS
from fitness.predictors.features import Columns, make_features
from fitness.predictors.target import make_target
from spaces.errors import RunError, UsageError
from spaces.space import Genotype, Space

__all__ = ["FeaturePredictor", "Floats", "Known", "Prediction", "Predictor", "make_predictor"]

Floats = NDArray[np.float64]


class Prediction(NamedTuple):
    """What a predictor expects of n networks, in the unit of the accuracies that it was fitted on.

    Attributes:
        mean: (n,), the expected accuracies.
        std: (n,), one standard deviation of its doubt about each; at least 0.
    """

    mean: Floats
    std: Floats


@runtime_checkable
class Predictor(Protocol):
    """Anything with these members is a predictor; no base class is needed.

    A registered one is made by `factory(space=..., scores=..., seed=..., **options)`: the space of the networks,
    further columns of theirs for its features (None if there are none), a seed, and what a user wrote in
    parentheses. Equal arguments and data give equal predictions in every process.
    """

    def fit(self, networks: Sequence[Genotype], accuracies: Sequence[float]) -> None:
        """Forget what was known and learn these networks' accuracies.

        Args:
            networks: n genotypes of the space, at least 2; the same one twice is two observations.
            accuracies: (n,), finite; higher is better; any unit.

        Raises:
            UsageError: Too few networks, not as many accuracies, or one that is not finite.
        """

    def add(self, networks: Sequence[Genotype], accuracies: Sequence[float]) -> None:
        """Learn more networks on top of what is known; the arguments are those of `fit`."""

    def predict(self, networks: Sequence[Genotype]) -> Prediction:
        """What is expected of networks, known ones included; empty arrays of none.

        Raises:
            RuntimeError: Nothing was fitted yet.
            RunError: A prediction is not finite.
        """


def make_predictor(text: str, space: Space, *, scores: Columns | None = None, seed: int = 0) -> Predictor:
    """The predictor that a text names.

    Args:
        text: A registered name, perhaps with options: `blend`, `forest(features=onehot+graph, trees=300)`.
        space: Of the networks.
        scores: See `fitness.predictors.features.Columns`.
        seed: Of whatever it draws.

    Raises:
        UnknownName: There is no such predictor or kind of feature.
        UsageError: Not of that form, or an option that the predictor does not take.
    """
    terms = parse("".join(text.split()), "predictor")
    if len(terms) != 1:
        raise UsageError(
            f"predictor {text!r} names {len(terms)}; expected one, as in forest(features=onehot+graph,trees=300)"
        )
    (term,) = terms
    parts: dict[str, object] = {"space": space, "scores": scores, "seed": seed}
    predictor = cast(Predictor, PREDICTORS.create(term.name, term.options, parts))
    if isinstance(predictor, FeaturePredictor):
        predictor.name = text
    return predictor


class Known:
    """Networks with their accuracies: the checked memory of a predictor."""

    def __init__(self) -> None:
        self.networks: list[Genotype] = []
        self.accuracies: Floats = np.empty(0)

    def replace(self, networks: Sequence[Genotype], accuracies: Sequence[float]) -> None:
        """Hold these only; see `Predictor.fit`."""
        self._checked(networks, accuracies, least=2)
        self.networks, self.accuracies = list(networks), np.asarray(accuracies, dtype=np.float64).copy()

    def extend(self, networks: Sequence[Genotype], accuracies: Sequence[float]) -> None:
        """Hold these too; see `Predictor.add`."""
        self._checked(networks, accuracies, least=max(0, 2 - len(self.networks)))
        self.networks += networks
        self.accuracies = np.concatenate([self.accuracies, np.asarray(accuracies, dtype=np.float64)])

    @staticmethod
    def _checked(networks: Sequence[Genotype], accuracies: Sequence[float], least: int) -> None:
        if len(networks) != len(accuracies):
            raise UsageError(f"{len(networks)} networks and {len(accuracies)} accuracies; expected as many")
        if len(networks) < least:
            raise UsageError(f"a predictor was given {len(networks)} known networks; expected at least {least}")
        for value in accuracies:
            if not np.isfinite(value):
                raise UsageError(f"accuracy {value!r} of a known network; expected finite numbers only")


class FeaturePredictor(ABC):
    """A predictor on rows of features that learns anew whenever networks are added.

    A subclass says how rows are learnt and judged; values are on a scale of its target.

    Args:
        space: Of the networks.
        scores: See `make_predictor`.
        seed: Of whatever it draws.
        features: Kinds of features joined with +.
        target: On what scale it learns: `gap`, `rank` or `plain`; see `fitness.predictors.target`.

    Attributes:
        name: What messages call it: the text that it was made of, or else its class.
    """

    def __init__(self, *, space: Space, scores: Columns | None, seed: int, features: str, target: str) -> None:
        self.name = type(self).__name__
        self.features = make_features(features, space, scores)
        self.seed = seed
        self._known = Known()
        self._target = make_target(target)

    def fit(self, networks: Sequence[Genotype], accuracies: Sequence[float]) -> None:
        """See `Predictor.fit`."""
        self._known.replace(networks, accuracies)
        self._refit()

    def add(self, networks: Sequence[Genotype], accuracies: Sequence[float]) -> None:
        """See `Predictor.add`; fits again."""
        self._known.extend(networks, accuracies)
        self._refit()

    def predict(self, networks: Sequence[Genotype]) -> Prediction:
        """See `Predictor.predict`."""
        if not self._known.networks:
            raise RuntimeError("predict was called before fit; expected known networks first")
        if not networks:
            return Prediction(np.empty(0), np.empty(0))
        judged = self.judge(self.features.matrix(networks))
        with np.errstate(over="ignore", invalid="ignore"):  # told below
            found = Prediction(*self._target.back(*judged))
        for values in found:
            wrong = values[~np.isfinite(values)]
            if len(wrong):
                raise RunError(
                    f"predictor {self.name}: a prediction is {wrong[0]}; expected finite numbers; its training "
                    "diverged: use milder options, such as a smaller learning rate, or another predictor"
                )
        return found

    def _refit(self) -> None:
        rows = self.features.matrix(self._known.networks)
        self.learn(rows, self._target.learn(self._known.accuracies))

    @abstractmethod
    def learn(self, rows: Floats, values: Floats) -> None:
        """Learn values (n,) of about zero mean and unit variance of rows (n, d)."""

    @abstractmethod
    def judge(self, rows: Floats) -> tuple[Floats, Floats]:
        """Expected values of rows (n, d), n > 0, and the standard deviations of the doubt: (n,) and (n,)."""
