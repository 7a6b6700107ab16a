"""A space cut down to listed networks: those that a benchmark trained of a space too large to train.

Gower: A General Coefficient of Similarity and Some of Its Properties, Biometrics 27, 1971, eq. 1: the distance of
two genotypes. Knows listed genotypes; where they are from, and what is known of them, is not its business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from functools import cached_property
from random import Random

import numpy as np
from numpy.typing import NDArray

from spaces.errors import InvalidGenotype, UsageError
from spaces.network import Network
from spaces.space import Choose, Domain, Genotype, Integer, Space, Value

__all__ = ["Sampled"]

Floats = NDArray[np.float64]
REACH = 8  # nearest members that are neighbours


class Sampled(Space):
    """Some members of a space, under its name, with its genotypes, networks and notation.

    Whatever answers the choices of `build` gets the listed member nearest to what the answers describe, or with
    `record_new` the nearest not seen; so every strategy searches the list, also one that draws single choices from
    a model of them.

    The distance of two genotypes is the mean over the choices that either has: for a number the difference as a
    share of its range, for anything else 0 or 1, and 1 where only one of them has the choice. Neighbours are the
    eight nearest members and those that have the member among their eight, so that being a neighbour is mutual.
    Moves go to neighbours. A child of two parents is the member, other than they, nearest to the child that the
    whole space makes of them. Of equally near members the one listed first is taken.

    Args:
        whole: The space.
        texts: Its listed members in the notation that it parses, without repeats.

    Raises:
        UsageError: Fewer than two, one that is not of the space, or one that is listed twice.
    """

    def __init__(self, whole: Space, texts: Sequence[str]) -> None:
        super().__init__(whole.input_shape, whole.num_classes)
        self.whole, self.name, self.reads = whole, whole.name, whole.reads
        if len(texts) < 2:
            raise UsageError(f"{len(texts)} listed networks of space {self.name!r}; expected at least 2")
        self._texts: dict[Genotype, str] = {}
        for row, text in enumerate(texts):
            try:
                genotype = self._ordered(whole.parse(text))
            except UsageError as error:
                raise UsageError(f"listed network {row}: {error}") from error
            if genotype in self._texts:
                raise UsageError(
                    f"listed network {row} is the same as network {list(self._texts).index(genotype)}: "
                    f"{text[:80]}; expected every network once"
                )
            self._texts[genotype] = text
        self._members = tuple(self._texts)
        self._places = {genotype: place for place, genotype in enumerate(self._members)}
        self.size = len(self._members)

    def _check_ends(self, input_shape: tuple[int, ...], num_classes: int) -> None:
        """The whole space has checked them."""

    def build(self, choose: Choose) -> Network:
        """See `Space.build`; any network of the whole space, listed or not."""
        return self.whole.build(choose)

    def ask(self, choose: Choose) -> Network | None:
        """See `Space.ask`."""
        return self.whole.ask(choose)

    def decode(self, genotype: Genotype) -> Network:
        """The network of a listed genotype.

        Raises:
            InvalidGenotype: Not of the whole space, or not listed.
        """
        network = self.whole.decode(genotype)
        if genotype not in self._texts:
            raise InvalidGenotype(
                f"space {self.name!r}: {self.whole.describe(genotype)[:120]} is not among the {self.size:,} listed "
                "networks; expected one of them"
            )
        return network

    def record(self, choose: Callable[[str, Domain], Value]) -> Genotype:
        """The member nearest to what `choose` answers."""
        return self._nearest(self.whole.record(choose))

    def record_new(self, choose: Callable[[str, Domain], Value], seen: AbstractSet[int]) -> Genotype:
        """The member nearest to what `choose` answers among those not seen; among all once all are."""
        described = self.whole.record(choose)
        member = self._nearest(described)
        if hash(member) not in seen:
            return member
        old = np.array([hash(member) in seen for member in self._members])
        if old.all():
            return member
        return self._members[int(np.argmin(np.where(old, np.inf, self.distances(described))))]

    def sample(self, rng: Random) -> Genotype:
        """A random member, each equally likely."""
        return self._members[int(rng.random() * len(self._members))]

    def move(self, genotype: Genotype, rng: Random) -> Genotype:
        """A random neighbour; see the class."""
        near = self._near[self._places[genotype]]
        return self._members[near[int(rng.random() * len(near))]]

    def crossover(self, one: Genotype, other: Genotype, rng: Random) -> Genotype:
        """The member nearest to a child in the whole space and different from its parents, if there is one."""
        if one == other:
            return one
        return self._nearest(self.whole.crossover(one, other, rng), (one, other))

    def enumerate(self) -> Iterator[Genotype]:
        """Every member once, in the order listed."""
        return iter(self._members)

    def neighbours(self, genotype: Genotype) -> Iterator[Genotype]:
        """The neighbours of a member, in the order listed; see the class."""
        return (self._members[place] for place in self._near[self._places[genotype]])

    def parse(self, text: str) -> Genotype:
        """Read a member in the notation of the whole space.

        Raises:
            UsageError: Not a member.
        """
        genotype = self.whole.parse(text)
        self.decode(genotype)
        return self._members[self._places[genotype]]

    def describe(self, genotype: Genotype) -> str:
        """A member as it was listed: what a table of the members is asked by."""
        return self._texts[genotype]

    def distances(self, genotype: Genotype) -> Floats:
        """(members,) from a genotype of the whole space to every member, 0 to 1."""
        codes = np.full(len(self._columns), np.nan)
        unknown = 0  # choices that no member has
        for name, value in genotype.items():
            if name in self._columns:
                column, codes_of = self._columns[name]
                codes[column] = codes_of[value]
            else:
                unknown += 1
        differences = np.minimum(np.abs(self._codes - codes), 1.0)
        mine, theirs = ~np.isnan(codes), ~np.isnan(self._codes)
        apart = np.where(mine & theirs, differences, mine ^ theirs).sum(axis=1) + unknown
        mean: Floats = apart / ((mine | theirs).sum(axis=1) + unknown)
        return mean

    @cached_property
    def _columns(self) -> dict[str, tuple[int, dict[Value, float]]]:
        """By choice of any member, its column and every value's place on an axis where 1 is far apart."""
        columns: dict[str, tuple[int, dict[Value, float]]] = {}

        def note(name: str, domain: Domain) -> Value:
            if name not in columns:
                step = 1 / max(domain.count - 1, 1) if isinstance(domain, Integer) else 1.0
                columns[name] = len(columns), {value: step * place for place, value in enumerate(domain.values())}
            return member[name]

        for member in self._members:
            if any(name not in columns for name in member):
                self.whole.record(note)
        return columns

    @cached_property
    def _codes(self) -> Floats:
        """(members, choices) places on the axes of `_columns`, nan where a member lacks a choice."""
        codes = np.full((len(self._members), len(self._columns)), np.nan)
        for row, member in enumerate(self._members):
            for name, value in member.items():
                column, codes_of = self._columns[name]
                codes[row, column] = codes_of[value]
        return codes

    @cached_property
    def _near(self) -> list[list[int]]:
        """Places of every member's neighbours, ascending."""
        near: list[set[int]] = [set() for _ in self._members]
        for place, member in enumerate(self._members):
            apart = self.distances(member)
            apart[place] = np.inf
            for other in np.argsort(apart, kind="stable")[: min(REACH, len(self._members) - 1)].tolist():
                near[place].add(other)
                near[other].add(place)
        return [sorted(places) for places in near]

    def _nearest(self, genotype: Genotype, other_than: Sequence[Genotype] = ()) -> Genotype:
        if not other_than and genotype in self._places:
            return self._members[self._places[genotype]]
        apart = self.distances(genotype)
        if len(self._members) > len(other_than):
            apart[[self._places[member] for member in other_than]] = np.inf
        return self._members[int(np.argmin(apart))]

    def _ordered(self, genotype: Genotype) -> Genotype:
        """The same choices in the order in which they are asked for, whatever the order they were written in."""
        return self.whole.record(lambda name, domain: genotype[name])
