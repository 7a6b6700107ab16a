"""Supernets as genotypes: every choice holds one or several of its options at once.

A space that can be relaxed offers `relaxed()`, which returns its `SupernetSpace`. A genotype with one option left
everywhere is a genotype of the plain space, with the same network; a search that prunes ends at one. A space whose
supernets TE-NAS can score is `Thinned` too.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from contextlib import suppress
from itertools import combinations
from typing import NamedTuple, Protocol, runtime_checkable

from spaces.errors import EngineError
from spaces.network import Network
from spaces.space import Genotype, Space, Value

_JOIN = "+"


class Subsets:
    """Non-empty subsets of some options, as text: options in their order, joined by `+`; drawn uniformly."""

    def __init__(self, options: tuple[str, ...]) -> None:
        self.options = options
        sizes = range(1, len(options) + 1)
        self._values = tuple(joined(subset) for size in sizes for subset in combinations(options, size))
        self._known = frozenset(self._values)
        self.count = len(self._values)

    def values(self) -> tuple[Value, ...]:
        """See `Domain`; smaller subsets first."""
        return self._values

    def draw(self, uniform: float) -> str:
        """See `Domain`."""
        return self._values[int(uniform * self.count)]

    def __contains__(self, value: object) -> bool:
        return type(value) is str and value in self._known

    def __repr__(self) -> str:
        return f"{' | '.join(self.options)}, or several of them in this order joined by {_JOIN}"


class SupernetSpace(Space):
    """Subclass and define `build` and `options`; choices are `Subsets`."""

    @property
    @abstractmethod
    def options(self) -> Mapping[str, tuple[str, ...]]:
        """What every choice can hold, by its name."""

    @property
    def whole(self) -> Genotype:
        """The supernet of all options."""
        return Genotype({name: joined(options) for name, options in self.options.items()})

    def left(self, genotype: Genotype) -> dict[str, tuple[str, ...]]:
        """The options that a supernet still has, by choice."""
        return {name: split(genotype[name]) for name in self.options}

    def without(self, genotype: Genotype, name: str, option: str) -> Genotype:
        """A supernet less one option of one choice, which keeps at least one other."""
        kept = joined(each for each in split(genotype[name]) if each != option)
        return Genotype(genotype.to_dict() | {name: kept})

    def undecided(self, genotype: Genotype) -> int:
        """How many options are to be pruned before one is left everywhere; 0 for an architecture."""
        return sum(len(options) - 1 for options in self.left(genotype).values())

    def relaxed(self) -> SupernetSpace:
        """The space itself."""
        return self


class Placed(NamedTuple):
    """A network that is part of a supernet.

    Attributes:
        network: Operations, places and shares are those of its nodes.
        places: Of every node a name that no other has. What stands for the same operation on the same edge of the
            same cell has the same one, whatever else has been pruned, so that networks can share weights.
        shares: Of every node, with what factor it takes each of its inputs: on an edge of n operations 1/n.
    """

    network: Network
    places: tuple[str, ...]
    shares: tuple[tuple[float, ...], ...]


class ThinNetworks(NamedTuple):
    """What TE-NAS measures instead of a network.

    Attributes:
        ntk: The network with 3 channels and one cell a stage, on the space's images.
        regions: One cell with one channel on (1, 3, 3) patches, then batch norm and ReLU.
    """

    ntk: Placed
    regions: Placed


@runtime_checkable
class Thinned(Protocol):
    """A space that offers the networks of TE-NAS; its supernets offer them too."""

    def thin_networks(self, genotype: Genotype) -> ThinNetworks:
        """The small networks that TE-NAS measures instead of an architecture or supernet of this space.

        They do not depend on how wide and deep the space's own networks are.
        """


def joined(options: Iterable[str]) -> str:
    """Options as the value of a choice."""
    return _JOIN.join(options)


def split(value: Value) -> tuple[str, ...]:
    """The options that a value holds; of a plain space's value that one."""
    return tuple(str(value).split(_JOIN))


def spaces_that_offer(method: str) -> list[str]:
    """Names of the registered spaces with a method of that name; plug-ins that cannot be imported have none."""
    from spaces import SPACES

    names = []
    for name in SPACES:
        with suppress(EngineError):
            if hasattr(SPACES.load(name), method):
                names.append(name)
    return names
