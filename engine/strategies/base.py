"""The contract of a strategy.

A strategy is pure in its seed and the sequence of calls: the randomness of ask i comes from (seed, i). It sees
records, objectives and the space's choices; never layers, scores' meanings, files or the clock.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from types import ModuleType
from typing import Any, Protocol

from engine.records import Candidate, Record
from spaces.errors import UsageError

MOST = 1_000_000  # of whatever an option counts, as in a run's config; more is a slip of the finger


class Exhausted(Exception):
    """Nothing more to ask: every architecture of a finite space has been, or the search is at its end."""


class Waiting(Exception):
    """Nothing to ask until a candidate that is open has been told."""


class Strategy(Protocol):
    """Made as `factory(space, objectives, seed, **options)`; several asks may be open.

    Attributes:
        max_objectives: How many objectives it can pursue; None for any number.

    Optional attributes of the class: `relaxes = True` says that it searches supernets, those of `space.relaxed()`;
    `deterministic = True` that nothing depends on the seed; `thorough = True` that it asks every architecture, so
    that what turned the first ones down says nothing of the rest.
    """

    max_objectives: int | None

    def ask(self) -> Candidate:
        """The next candidate.

        Raises:
            Exhausted: There is none left.
            Waiting: There is none until an open candidate is told. Never raised with none open.
        """
        ...

    def tell(self, record: Record) -> None:
        """Learn the outcome of a candidate asked or adopted before, whatever its status."""
        ...

    def adopt(self, candidate: Candidate) -> None:
        """Take the place of one ask, with the answer known: what resuming and seeding do.

        Raises:
            Waiting: Where `ask` would.
        """
        ...


def check_count(name: str, value: int, least: int = 1, most: int = MOST) -> None:
    """Refuse an option that counts nothing or too much.

    Raises:
        UsageError: Not a whole number from `least` to `most`.
    """
    if type(value) is not int or not least <= value <= most:
        raise UsageError(f"{name} is {value!r}; expected a whole number from {least:,} to {most:,}")


def stream(seed: int, number: int) -> Random:
    """The random numbers of ask `number`."""
    return Random(seed << 64 | number)


@contextmanager
def drawing_from(rng: Random, module: ModuleType) -> Iterator[None]:
    """Let a module that draws from the global generator, as DEAP's do, draw from `rng` instead."""
    borrower: Any = module
    generator, borrower.random = borrower.random, rng
    try:
        yield
    finally:
        borrower.random = generator
