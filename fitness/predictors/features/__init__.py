"""Features: what a predictor sees of a network, apart from the model that learns from it.

Owns the protocol, the registry and the joining of several kinds with +; one file beside this one per kind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, cast, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from spaces.errors import UsageError
from spaces.registry import Registry, takes
from spaces.space import Genotype, Space

__all__ = ["FEATURES", "Columns", "Features", "Joined", "make_features"]

Floats = NDArray[np.float64]

Columns = Mapping[Genotype, Mapping[str, float]] | Callable[[Genotype], Mapping[str, float]]
"""Further columns that a caller knows of networks, such as training-free scores: name -> value, finite, the same
names of each genotype."""

FEATURES = Registry(
    "kind of features",
    {
        "graph": "fitness.predictors.features.graph:graph",
        "onehot": "fitness.predictors.features.onehot:OneHot",
        "path": "fitness.predictors.features.paths:Paths",
        "scores": "fitness.predictors.features.scores:Scores",
        "tokens": "fitness.predictors.features.tokens:Tokens",
    },
    "nas_engine.features",
)

_AT_ONCE = 250  # rows; a space remembers as many networks, so that kinds which need them do not build each again
_REMEMBERED = 100_000  # rows; a tenth of a gigabyte or so


@runtime_checkable
class Features(Protocol):
    """A kind of features: a pure function of the genotype, whatever the networks beside it.

    A registered one is made by `factory(space)`, or `factory(space, scores)` if it has such a parameter.
    """

    @property
    def names(self) -> tuple[str, ...]:
        """What the d columns are."""

    def matrix(self, genotypes: Sequence[Genotype]) -> Floats:
        """(n, d): one row per genotype of the space, all finite."""


class Joined:
    """Several kinds of features side by side; rows once made are remembered.

    Args:
        kinds: Name -> features; column names become `kind:name`.
    """

    def __init__(self, kinds: Mapping[str, Features]) -> None:
        self.kinds = dict(kinds)
        self._rows: dict[Genotype, Floats] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """See `Features.names`."""
        return tuple(f"{kind}:{name}" for kind, features in self.kinds.items() for name in features.names)

    def matrix(self, genotypes: Sequence[Genotype]) -> Floats:
        """See `Features.matrix`."""
        known = self._rows
        new = [genotype for genotype in dict.fromkeys(genotypes) if genotype not in known]
        if new:
            blocks = (new[first : first + _AT_ONCE] for first in range(0, len(new), _AT_ONCE))
            made = np.concatenate([self._made(block) for block in blocks])
            if len(known) + len(new) > _REMEMBERED:
                held = {genotype: known[genotype] for genotype in genotypes if genotype in known}
                known.clear()
                known |= held
            known |= zip(new, made, strict=True)
        if not genotypes:
            return np.empty((0, len(self.names)))
        return np.stack([known[genotype] for genotype in genotypes])

    def _made(self, genotypes: Sequence[Genotype]) -> Floats:
        return np.concatenate([features.matrix(genotypes) for features in self.kinds.values()], axis=1)


def make_features(text: str, space: Space, scores: Columns | None = None) -> Joined:
    """The features that a text names.

    Args:
        text: Kinds joined with +: `onehot`, `onehot+graph+scores`.
        space: Of the networks.
        scores: Further columns for the kind `scores`.

    Raises:
        UnknownName: There is no such kind.
        UsageError: The same kind twice.
    """
    kinds: dict[str, Features] = {}
    for name in text.replace(" ", "").split("+"):
        if name in kinds:
            raise UsageError(f"features {text!r} name {name!r} twice; expected each kind once")
        parts: dict[str, object] = {"space": space}
        if takes(FEATURES.load(name), "scores"):
            parts["scores"] = scores
        kinds[name] = cast(Features, FEATURES.create(name, {}, parts))
    return Joined(kinds)
