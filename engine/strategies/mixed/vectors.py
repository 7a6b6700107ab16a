"""Genotypes as vectors of one fixed length: whole numbers, from 0, that are the places of values in their domains.

Camero, Wang, Alba, Bäck: Bayesian neural architecture search using a training-free performance metric, Applied Soft
Computing 106, 2021, arXiv:2001.10726: three codes for a list of up to H layers, "flag", "size" and "plain".
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from engine.strategies.mixed.layer_list import Layer, LayerList, domains_of
from spaces.errors import RunError, UsageError
from spaces.space import Domain, Genotype, Integer, Space, Value

Codes = NDArray[np.int64]
Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]

ENCODINGS = ("flag", "size", "plain")
_PROBES = 50  # random members that have to have the same choices


class Variable(NamedTuple):
    """One entry of a vector: 0 to size - 1, in an order that means something or in none."""

    size: int
    ordinal: bool


class Vectors(Protocol):
    """A code of a space's genotypes.

    Attributes:
        variables: What the entries of a vector are.
        layers: H, the most layers of a list; 0 where there is none.
    """

    variables: tuple[Variable, ...]
    layers: int

    def encode(self, genotype: Genotype) -> list[int]:
        """The vector of a member, one without gaps."""
        ...

    def decode(self, vector: Sequence[int]) -> dict[str, Value]:
        """The choices that a vector stands for, in any order."""
        ...

    def repaired(self, codes: Codes) -> Codes:
        """(n, d): vectors that stand for the same members, those that `encode` would give."""
        ...

    def gaps(self, codes: Codes) -> tuple[Codes, Flags]:
        """(n,) absent layers before the last present one, and (n,) whether a vector stands for a member at all."""
        ...


def columns(variables: Sequence[Variable], codes: Codes) -> Floats:
    """(n, columns) what a model sees of (n, d) vectors: ordinal entries as they are, one column per other value."""
    parts = [
        codes[:, [place]] if variable.ordinal else codes[:, [place]] == np.arange(variable.size)
        for place, variable in enumerate(variables)
    ]
    return np.concatenate(parts, axis=1).astype(np.float64)


class FixedNames:
    """Every choice is an entry: whole numbers are ordinal, all others are not.

    Args:
        space: One whose genotypes all have the same choices.

    Raises:
        UsageError: They have not.
    """

    layers = 0

    def __init__(self, space: Space) -> None:
        rng = Random(0)
        members = [space.sample(rng) for _ in range(_PROBES)]
        self._domains = domains_of(space, members[0])
        if not self._domains or any(member.keys() != self._domains.keys() for member in members):
            raise UsageError(
                f"strategy 'mipego': architectures of space {space.name!r} differ in what choices they have; "
                "expected the same for all, or lists of layers; bo and tpe search any space"
            )
        self._name = space.name
        self._places = {name: _places(domain) for name, domain in self._domains.items()}
        self.variables = tuple(_variable(domain) for domain in self._domains.values())

    def encode(self, genotype: Genotype) -> list[int]:
        """See `Vectors`.

        Raises:
            RunError: It has other choices than the others.
        """
        if genotype.keys() != self._domains.keys():
            raise RunError(
                f"strategy 'mipego': an architecture of space {self._name!r} has other choices than the first "
                f"{_PROBES}; expected the same for all: use bo or tpe"
            )
        return [self._places[name][genotype[name]] for name in self._domains]

    def decode(self, vector: Sequence[int]) -> dict[str, Value]:
        """See `Vectors`."""
        entries = zip(self._domains.items(), vector, strict=True)
        return {name: domain.values()[code] for (name, domain), code in entries}

    def repaired(self, codes: Codes) -> Codes:
        """See `Vectors`: every vector is its member's only one."""
        return codes

    def gaps(self, codes: Codes) -> tuple[Codes, Flags]:
        """See `Vectors`: there are none, and every vector stands for a member."""
        return np.zeros(len(codes), dtype=np.int64), np.ones(len(codes), dtype=np.bool_)


class LayerVectors:
    """A list of up to H layers: entries for H layers, then those that say which are there, then all other choices.

    * flag: an entry for each layer, 1 if it is there; not ordinal.
    * size: one entry, how many layers there are: the first ones. Ordinal.
    * plain: none; a layer whose width is 0 is not there, so that of widths 0 means none and i the (i-1)th value.

    Args:
        layer_list: The layers of a space.
        encoding: One of `ENCODINGS`.
    """

    def __init__(self, layer_list: LayerList, encoding: str) -> None:
        self._list, self._encoding = layer_list, encoding
        self.layers = layer_list.most
        self._ends = list(layer_list.parts)
        self._parts, self._rest = list(layer_list.parts.values()), list(layer_list.rest.values())
        self._places = {
            name: _places(domain) for name, domain in (*layer_list.parts.items(), *layer_list.rest.items())
        }
        plain = encoding == "plain"
        layer = [_variable(domain) for domain in self._parts]
        layer[0] = Variable(layer[0].size + plain, True)
        which = {
            "flag": [Variable(2, False)] * self.layers,
            "size": [Variable(self.layers - layer_list.least + 1, True)],
            "plain": [],
        }[encoding]
        self.variables = (*layer * self.layers, *which, *(_variable(domain) for domain in self._rest))

    def encode(self, genotype: Genotype) -> list[int]:
        """See `Vectors`."""
        rest, layers = self._list.split(genotype)
        parts = np.zeros((1, self.layers, len(self._ends)), dtype=np.int64)
        for place, layer in enumerate(layers):
            parts[0, place] = [self._places[end][layer[end]] for end in self._ends]
        present = np.arange(self.layers)[None] < len(layers)
        others = np.array([[self._places[name][value] for name, value in rest.items()]], dtype=np.int64)
        vector: list[int] = self._joined(present, parts, others.reshape(1, -1))[0].tolist()
        return vector

    def decode(self, vector: Sequence[int]) -> dict[str, Value]:
        """See `Vectors`; gaps are closed."""
        present, parts, others = self._split(np.array([vector]))
        layers: list[Layer] = [
            {end: domain.values()[code] for end, domain, code in zip(self._ends, self._parts, layer, strict=True)}
            for layer in parts[0][present[0]].tolist()
        ]
        entries = zip(self._list.rest.items(), others[0].tolist(), strict=True)
        return self._list.join({name: domain.values()[code] for (name, domain), code in entries}, layers)

    def repaired(self, codes: Codes) -> Codes:
        """See `Vectors`: gaps are closed, and entries of layers that are not there are 0."""
        present, parts, others = self._split(codes)
        order = np.argsort(~present, axis=1, kind="stable")
        parts = np.take_along_axis(np.where(present[..., None], parts, 0), order[..., None], axis=1)
        return self._joined(np.take_along_axis(present, order, axis=1), parts, others)

    def gaps(self, codes: Codes) -> tuple[Codes, Flags]:
        """See `Vectors`: too few layers make no member."""
        present, *_ = self._split(codes)
        count = present.sum(axis=1)
        span = np.where(present, np.arange(1, self.layers + 1), 0).max(axis=1)
        return span - count, count >= self._list.least

    def _split(self, codes: Codes) -> tuple[Flags, Codes, Codes]:
        """(n, H) which layers are there, (n, H, choices of a layer) their values' places, (n, rest) all others'."""
        bounds = [self.layers * len(self._ends), len(self.variables) - len(self._rest)]
        parts, which, others = np.split(codes, bounds, axis=1)
        parts = parts.reshape(len(codes), self.layers, -1)
        if self._encoding == "flag":
            return which == 1, parts, others
        if self._encoding == "size":
            return np.arange(self.layers) < which + self._list.least, parts, others
        present = parts[..., 0] > 0
        return present, parts - present[..., None] * (np.arange(len(self._ends)) == 0), others

    def _joined(self, present: Flags, parts: Codes, others: Codes) -> Codes:
        """Undo `_split`."""
        if self._encoding == "flag":
            which = present.astype(np.int64)
        elif self._encoding == "size":
            which = present.sum(axis=1, keepdims=True) - self._list.least
        else:
            which = np.empty((len(parts), 0), dtype=np.int64)
            parts = parts + present[..., None] * (np.arange(len(self._ends)) == 0)
        return np.concatenate([parts.reshape(len(parts), -1), which, others], axis=1)


def _variable(domain: Domain) -> Variable:
    return Variable(domain.count, isinstance(domain, Integer))


def _places(domain: Domain) -> dict[Value, int]:
    return {value: place for place, value in enumerate(domain.values())}
