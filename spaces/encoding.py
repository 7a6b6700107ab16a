"""Choices as numbers: what models that learn from genotypes read.

Knows choices and domains; networks and models are not its business.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from random import Random
from typing import TYPE_CHECKING

import numpy as np

from spaces.space import Domain, Genotype, Integer, Space, Value

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["Encoding"]

_VAIN = 64  # random members in a row that bring no further choice, after which none is looked for


class Encoding:
    """Genotypes as rows of numbers, whatever choices each of them has.

    A whole number becomes two columns: its place in its domain from 0 to 1, and whether the choice is there at all;
    any other choice becomes one column per value. Where a choice is absent its columns are 0. Two genotypes that
    differ in one choice are at most a distance of sqrt(2) apart.

    Args:
        space: Whose choices they are.
    """

    def __init__(self, space: Space) -> None:
        self._space = space
        self._domains: dict[str, Domain] = {}  # a choice's domain depends on its name only

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the choices that members of the space have, always the same, in order.

        Random members are looked at until 64 in a row bring nothing new: rarer choices are not among the names.
        """
        rng = Random(0)
        names: dict[str, None] = {}
        vain = 0
        while vain < _VAIN:
            genotype = self._space.sample(rng)
            vain += 1
            if not names.keys() >= genotype.keys():
                names |= dict.fromkeys(genotype)
                self._learn(genotype)
                vain = 0
        return tuple(names)

    def domain(self, name: str, genotypes: Sequence[Genotype] = ()) -> Domain:
        """The values that a choice may take.

        Args:
            name: Of the choice.
            genotypes: Where to look for one that has it, unless it is among `names`.
        """
        if name not in self._domains:
            self._learn(next(genotype for genotype in genotypes if name in genotype))
        return self._domains[name]

    def codes(self, genotypes: Sequence[Genotype], names: Sequence[str]) -> NDArray[np.int64]:
        """(genotypes, names): the place of each value in its domain, -1 where a genotype has no such choice."""
        rows = [genotype.to_dict() for genotype in genotypes]
        codes = np.empty((len(rows), len(names)), dtype=np.int64)
        for column, name in enumerate(names):
            places = {value: place for place, value in enumerate(self.domain(name, genotypes).values())}
            codes[:, column] = [places[row[name]] if name in row else -1 for row in rows]
        return codes

    def rows(self, genotypes: Sequence[Genotype], names: Sequence[str]) -> Floats:
        """(genotypes, columns): the named choices as models want them; the columns depend on the names only."""
        columns: list[Floats] = []
        for code, name in zip(self.codes(genotypes, names).T, names, strict=True):
            domain = self._domains[name]
            if isinstance(domain, Integer):
                columns += [
                    np.where(code < 0, 0.0, code / max(domain.count - 1, 1)),
                    (code >= 0).astype(np.float64),
                ]
            else:
                columns += [(code == place).astype(np.float64) for place in range(domain.count)]
        return np.stack(columns, axis=1)

    def columns(self, names: Sequence[str]) -> tuple[str, ...]:
        """What the columns of `rows` are: `0->1=none`, or `c1` and `c1?` (whether it is there)."""
        columns: list[str] = []
        for name in names:
            domain = self._domains[name]
            if isinstance(domain, Integer):
                columns += [name, f"{name}?"]
            else:
                columns += [f"{name}={value}" for value in domain.values()]
        return tuple(columns)

    def _learn(self, genotype: Genotype) -> None:
        def note(name: str, domain: Domain) -> Value:
            self._domains[name] = domain
            return genotype[name]

        self._space.record(note)
