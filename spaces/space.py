"""A space of architectures: one definition, `build`, driven by different choosers.

A random generator, a recorded genotype, an Optuna trial or an enumeration answers the choices that `build` asks
for, so sampling, decoding, validation and search strategies cannot drift apart. Knows choices and networks;
scores, bounds and records are not its business.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from random import Random
from typing import ClassVar, Literal, Protocol, cast, overload

from spaces.errors import InvalidGenotype, NoNeighbour, UsageError
from spaces.layers import Shape
from spaces.network import Network
from spaces.notation import json_object

Value = int | str | bool
REDRAWS = 1000  # moves tried before a space is said to have no other network within reach
_REMEMBERED = 256


class Domain(Protocol):
    """The values a choice may take, and the law by which a random network draws them."""

    @property
    def count(self) -> int:
        """Number of values."""

    def values(self) -> tuple[Value, ...]:
        """Every value, in a fixed order."""

    def draw(self, uniform: float) -> Value:
        """The value at quantile `uniform` in [0, 1)."""

    def __contains__(self, value: object) -> bool: ...


class Integer:
    """low, low + step, ... up to and including high, drawn uniformly."""

    def __init__(self, low: int, high: int, step: int = 1) -> None:
        self.low, self.high, self.step = low, high, step
        self.count = (high - low) // step + 1

    def values(self) -> tuple[Value, ...]:
        """See `Domain`."""
        return tuple(range(self.low, self.high + 1, self.step))

    def draw(self, uniform: float) -> int:
        """See `Domain`."""
        return self.low + self.step * int(uniform * self.count)

    def __contains__(self, value: object) -> bool:
        return type(value) is int and self.low <= value <= self.high and (value - self.low) % self.step == 0

    def __repr__(self) -> str:
        return f"{self.low}..{self.high}" + (f" step {self.step}" if self.step != 1 else "")


class Choice:
    """Named alternatives, drawn uniformly or with the given probabilities."""

    def __init__(self, *options: str, probabilities: tuple[float, ...] | None = None) -> None:
        self.options, self.count = options, len(options)
        weights = probabilities or (1 / len(options),) * len(options)
        self._bounds = [sum(weights[: i + 1]) for i in range(len(options) - 1)]

    def values(self) -> tuple[Value, ...]:
        """See `Domain`."""
        return self.options

    def draw(self, uniform: float) -> str:
        """See `Domain`."""
        for option, bound in zip(self.options, self._bounds, strict=False):
            if uniform < bound:
                return option
        return self.options[-1]

    def __contains__(self, value: object) -> bool:
        return type(value) is str and value in self.options

    def __repr__(self) -> str:
        return " | ".join(self.options)


class Flag:
    """True with probability `p`."""

    count = 2

    def __init__(self, p: float) -> None:
        self.p = p

    def values(self) -> tuple[Value, ...]:
        """See `Domain`."""
        return (False, True)

    def draw(self, uniform: float) -> bool:
        """See `Domain`."""
        return uniform < self.p

    def __contains__(self, value: object) -> bool:
        return value is True or value is False

    def __repr__(self) -> str:
        return "true | false"


class Choose(Protocol):
    """Answers one choice of a space. A name must always come with the same domain."""

    @overload
    def __call__(self, name: str, domain: Integer, /) -> int: ...
    @overload
    def __call__(self, name: str, domain: Flag, /) -> bool: ...
    @overload
    def __call__(self, name: str, domain: Choice, /) -> str: ...
    @overload
    def __call__(self, name: str, domain: Domain, /) -> Value: ...


class Genotype(Mapping[str, Value]):
    """An immutable mapping from choice name to value: all that is stored of an architecture."""

    __slots__ = ("_choices", "_hash")

    def __init__(self, choices: Mapping[str, Value]) -> None:
        self._choices = dict(choices)
        self._hash: int | None = None

    @classmethod
    def adopt(cls, choices: dict[str, Value]) -> Genotype:
        """Wrap a dictionary that nobody else holds, without copying it."""
        genotype = cls.__new__(cls)
        genotype._choices = choices
        genotype._hash = None
        return genotype

    def __getitem__(self, name: str) -> Value:
        return self._choices[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._choices)

    def __len__(self) -> int:
        return len(self._choices)

    def __contains__(self, name: object) -> bool:
        return name in self._choices

    def __eq__(self, other: object) -> bool:
        return self._choices == other._choices if isinstance(other, Genotype) else NotImplemented

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = hash(frozenset(self._choices.items()))
        return self._hash

    def __repr__(self) -> str:
        return f"Genotype({self._choices})"

    def __reduce__(self) -> tuple[object, ...]:
        return Genotype, (self._choices,)

    def to_dict(self) -> dict[str, Value]:
        """A new dictionary of the choices, in order."""
        return dict(self._choices)


@dataclass(frozen=True)
class Layered:
    """Says that a list of whole numbers of variable length is among the choices: widths of layers.

    Attributes:
        count: Name of the choice that says how many there are.
        width: Name of the choice of each, with `{}` for its index, from 0.
    """

    count: str
    width: str


class Space(ABC):
    """Subclass and define `build`; everything else has a default.

    Args:
        input_shape: Height, width and channels of the images; of a space that reads series, the features of a step.
        num_classes: Number of classes; of a space that reads series, of the values foretold.

    Attributes:
        name: What the registry calls it.
        size: Number of genotypes if the space is finite and small enough to enumerate, else None.
        reads: What its networks read: "images", or "series", windows of whose steps enter as (L, F).
        layered: Where a list of widths is among the choices; None if none is.
    """

    name: str = "custom"
    size: int | None = None
    reads: Literal["images", "series"] = "images"
    layered: ClassVar[Layered | None] = None

    def __init__(self, input_shape: tuple[int, ...] = (32, 32, 3), num_classes: int = 10) -> None:
        self._check_ends(input_shape, num_classes)
        self.input_shape, self.num_classes = tuple(input_shape), num_classes
        self._networks: dict[int, tuple[Genotype, Network]] = {}  # by identity: True equals 1, and hashing costs

    def _check_ends(self, input_shape: tuple[int, ...], num_classes: int) -> None:
        """Refuse what no network of the space can read or tell apart; a space of series has bounds of its own."""
        if len(input_shape) != 3 or any(type(size) is not int or size < 1 for size in input_shape):
            raise UsageError(
                f"input shape {'x'.join(map(str, input_shape))}; expected HEIGHTxWIDTHxCHANNELS, "
                "three whole numbers of at least 1, e.g. 32x32x3"
            )
        if type(num_classes) is not int or num_classes < 2:
            raise UsageError(f"{num_classes!r} classes; expected a whole number of at least 2")

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_networks": {}}  # what was built here is not worth sending to a worker

    @abstractmethod
    def build(self, choose: Choose) -> Network:
        """The network that the answers of `choose` describe: the one definition of the space."""

    def ask(self, choose: Choose) -> Network | None:
        """Ask for the choices that `build` asks for, in its order.

        Returns:
            The network, as it costs nothing more; None from a space of large networks, which asks without building.
        """
        return self.build(choose)

    @property
    def channels_first(self) -> Shape:
        """The input shape as layers want it: (C, H, W) of an image, (F,) of a step of a series."""
        return self.input_shape[-1], *self.input_shape[:-1]

    def sample(self, rng: Random) -> Genotype:
        """A random member of the space."""
        uniform = rng.random
        return self.record(lambda name, domain: domain.draw(uniform()))

    def decode(self, genotype: Genotype) -> Network:
        """The network of a genotype.

        Raises:
            InvalidGenotype: A choice is missing, unknown or outside its domain.
        """
        known = self._networks.get(id(genotype))
        if known is not None and known[0] is genotype:
            return known[1]
        choices = genotype.to_dict()
        asked: set[str] = set()

        def choose(name: str, domain: Domain) -> Value:
            asked.add(name)
            value = choices.get(name)
            if value not in domain:
                what = "is missing" if name not in choices else f"is {value!r:.80}"
                raise InvalidGenotype(f"space {self.name!r}: choice {name!r} {what}; expected one of {domain}")
            return value  # type: ignore[return-value]

        network = self.build(cast(Choose, choose))
        if len(asked) != len(genotype):
            extra = next(name for name in genotype if name not in asked)
            raise InvalidGenotype(
                f"space {self.name!r}: choice {extra!r:.80} has no meaning in this architecture; remove it"
            )
        return self._remember(genotype, network)

    def replay(self, choices: dict[str, Value]) -> Genotype:
        """Make a genotype of choices known to be complete and right; for a space's own moves."""
        genotype = Genotype.adopt(choices)
        self._remember(genotype, self.build(cast(Choose, lambda name, domain: choices[name])))
        return genotype

    def record(self, choose: Callable[[str, Domain], Value]) -> Genotype:
        """Ask `choose` and keep its answers."""
        made: dict[str, Value] = {}

        def noted(name: str, domain: Domain) -> Value:
            if name not in made:
                made[name] = choose(name, domain)
            return made[name]

        network = self.ask(cast(Choose, noted))
        genotype = Genotype.adopt(made)
        if network is not None:
            self._remember(genotype, network)
        return genotype

    def record_new(self, choose: Callable[[str, Domain], Value], seen: AbstractSet[int]) -> Genotype:
        """`record`, but a space in which many answers lead to one member may take another one nearby.

        Args:
            choose: See `record`.
            seen: Hashes of genotypes that are not wanted again.

        Returns:
            Perhaps one of these all the same.
        """
        return self.record(choose)

    def repair(self, choices: Mapping[str, Value], rng: Random) -> Genotype:
        """The member nearest to `choices`: what fits is kept, the rest is drawn at random."""

        def choose(name: str, domain: Domain) -> Value:
            value = choices.get(name)
            return value if value is not None and value in domain else domain.draw(rng.random())

        return self.record(choose)

    def mutate(self, genotype: Genotype, rng: Random) -> Genotype:
        """A neighbour whose network differs; the default redraws one choice.

        Raises:
            NoNeighbour: A thousand moves in a row led to the same network.
        """
        key = self.decode(genotype).key
        for _ in range(REDRAWS):
            child = self.move(genotype, rng)
            if self.decode(child).key != key:
                return child
        raise NoNeighbour(f"space {self.name!r}: {REDRAWS} moves from {genotype.to_dict()} changed nothing")

    def move(self, genotype: Genotype, rng: Random) -> Genotype:
        """One random step; it need not change the network, and is cheap where asking builds none."""
        if not genotype:
            return genotype
        target = list(genotype)[int(rng.random() * len(genotype))]

        def choose(name: str, domain: Domain) -> Value:
            if name == target:
                others = [value for value in domain.values() if value != genotype[name]]
                return others[int(rng.random() * len(others))] if others else genotype[name]
            return genotype[name] if name in genotype else domain.draw(rng.random())

        return self.record(choose)

    def crossover(self, one: Genotype, other: Genotype, rng: Random) -> Genotype:
        """A child that takes every choice from one of its parents, where one has it."""

        def choose(name: str, domain: Domain) -> Value:
            first, second = (one, other) if rng.random() < 0.5 else (other, one)
            for parent in (first, second):
                if name in parent:
                    return parent[name]
            return domain.draw(rng.random())

        return self.record(choose)

    def enumerate(self) -> Iterator[Genotype]:
        """Every genotype once, the last choice changing fastest; for spaces small enough to list."""
        return self._complete({})

    def neighbours(self, genotype: Genotype) -> Iterator[Genotype]:
        """Every genotype with another value of exactly one of its choices; for spaces small enough to list.

        Where the new value takes choices away, these are dropped; where it brings some, they take all their values.
        """
        domains: dict[str, Domain] = {}

        def choose(name: str, domain: Domain) -> Value:
            domains[name] = domain
            return genotype[name]

        self.record(choose)
        for name, domain in domains.items():
            for value in domain.values():
                if value != genotype[name]:
                    yield from self._complete({**genotype, name: value})

    def _complete(self, fixed: Mapping[str, Value]) -> Iterator[Genotype]:
        """Every genotype in which choices named in `fixed` have that value, the last choice changing fastest."""
        path: list[tuple[tuple[Value, ...], int]] = []
        while True:
            depth = 0

            def choose(name: str, domain: Domain) -> Value:
                nonlocal depth
                if name in fixed:
                    return fixed[name]
                if depth == len(path):
                    path.append((domain.values(), 0))
                values, index = path[depth]
                depth += 1
                return values[index]

            yield self.record(choose)
            while path and path[-1][1] + 1 == len(path[-1][0]):
                path.pop()
            if not path:
                return
            values, index = path[-1]
            path[-1] = (values, index + 1)

    def parse(self, text: str) -> Genotype:
        """Read an architecture as a user writes it: JSON of the choices, or the space's own notation.

        Raises:
            UsageError: Not JSON of choices.
            InvalidGenotype: Not a member of the space.
        """
        return self._member(json_object(text))

    def _member(self, choices: Mapping[str, object]) -> Genotype:
        """The genotype of choices that a user named.

        Raises:
            InvalidGenotype: Not a member of the space.
        """
        genotype = Genotype(cast(Mapping[str, Value], choices))
        self.decode(genotype)
        return genotype

    def describe(self, genotype: Genotype) -> str:
        """The architecture in the notation that `parse` reads."""
        return json.dumps(genotype.to_dict(), separators=(",", ":"))

    def _remember(self, genotype: Genotype, network: Network) -> Network:
        """Keep the last few networks: a child is built to be compared, then evaluated."""
        networks = self._networks
        networks[id(genotype)] = genotype, network
        if len(networks) > _REMEMBERED:
            del networks[next(iter(networks))]
        return network


@dataclass(frozen=True)
class Additive:
    """Says that layer-wise sums split over small groups of choices, chained by what neighbours share.

    Attributes:
        groups: Names of the choices in each group; a sum over layers is a sum of one term per group.
    """

    groups: tuple[tuple[str, ...], ...]
