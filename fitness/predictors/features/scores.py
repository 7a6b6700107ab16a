"""Numbers known of a network without training it: figures of its layer graph, and whatever columns a caller adds.

Kinds of size enter as logarithms. Only what lies on a path from input to output counts. Networks are built one by
one, about a millisecond each; in NATS-Bench's topology space only one of all that share their figures.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from math import log1p
from random import Random

import numpy as np
from numpy.typing import NDArray

from fitness import figures
from fitness.predictors.features import Columns
from fitness.predictors.features.cells import figures_key
from spaces.errors import UsageError
from spaces.space import Genotype, Space

__all__ = ["Scores"]

_SIZES = {
    "params": figures.params,
    "macs": figures.macs,
    "n_relu": figures.n_relu,
    "bottleneck": figures.bottleneck,
}
_FIGURES = {"log_capacity": figures.log_capacity, "depth": figures.depth, "aleph": figures.aleph}


class Scores:
    """Figures, and the columns handed in.

    Args:
        space: Of the networks.
        scores: See `fitness.predictors.features.Columns`; None if there are none.
    """

    def __init__(self, space: Space, scores: Columns | None = None) -> None:
        self._space = space
        self._lookup = scores if scores is None or callable(scores) else scores.__getitem__
        self._further: tuple[str, ...] | None = () if scores is None else None
        if isinstance(scores, Mapping):
            self._further = tuple(next(iter(scores.values()), ()))
        self._key = figures_key(space)
        self._figures: dict[Hashable, list[float]] = {}  # of every key so far

    @property
    def names(self) -> tuple[str, ...]:
        """See `Features.names`; a callable that was not asked yet is asked for the columns of a random member."""
        if self._further is None:
            self._columns(self._space.sample(Random(0)))
        return (*(f"log {name}" for name in _SIZES), *_FIGURES, *(self._further or ()))

    def matrix(self, genotypes: Sequence[Genotype]) -> NDArray[np.float64]:
        """See `Features.matrix`.

        Raises:
            UsageError: A further column of a network is missing or not finite.
        """
        rows = [self._row(genotype) + self._columns(genotype) for genotype in genotypes]
        return np.array(rows, dtype=np.float64).reshape(len(rows), -1)

    def _row(self, genotype: Genotype) -> list[float]:
        if self._key is None:
            return self._measured(genotype)
        key = self._key(genotype)
        if key not in self._figures:
            self._figures[key] = self._measured(genotype)
        return self._figures[key]

    def _measured(self, genotype: Genotype) -> list[float]:
        network = self._space.decode(genotype).live
        row = [log1p(figure(network)) for figure in _SIZES.values()]
        return row + [float(figure(network)) for figure in _FIGURES.values()]

    def _columns(self, genotype: Genotype) -> list[float]:
        if self._lookup is None:
            return []
        try:
            found = self._lookup(genotype)
        except KeyError:
            found = {}
        if self._further is None:
            self._further = tuple(found)
        values = [float(found.get(name, np.nan)) for name in self._further]
        if not np.isfinite(values).all() or not self._further or len(found) != len(values):
            raise UsageError(
                f"scores of {self._space.describe(genotype)[:80]} are {dict(found)}; expected finite "
                f"{', '.join(self._further) or 'numbers by name'}"
            )
        return values
