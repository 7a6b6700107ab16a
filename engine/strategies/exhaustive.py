"""Every architecture of a finite space, once, in the order of its list."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from engine.objectives import Objectives
from engine.records import Candidate, Record
from engine.strategies.base import Exhausted
from spaces.errors import UsageError
from spaces.space import Genotype, Space


class ExhaustiveSearch:
    """Asks what `space.enumerate()` lists, in its order, less what was adopted from elsewhere.

    Adopting only takes a note. The first ask after it walks over what is known: 0.04 s for the 15,625 genotypes
    of nats-tss, whose list builds no network.

    Args:
        space: A finite one.
        objectives: Any number; not used, part of the contract.
        seed: Not used; part of the contract.

    Raises:
        UsageError: The space is not finite, or too large to list.
    """

    max_objectives: ClassVar[int | None] = None
    deterministic: ClassVar[bool] = True
    thorough: ClassVar[bool] = True

    def __init__(self, space: Space, objectives: Objectives, seed: int) -> None:
        if space.size is None:
            raise UsageError(
                f"strategy 'exhaustive': space {space.name!r} cannot be listed; expected one with a number of "
                "genotypes in `engine list spaces`"
            )
        self._listed: Iterator[Genotype] = space.enumerate()
        self._asked = 0
        self._seen: set[Genotype] = set()  # what was adopted and the list has not come to yet

    def ask(self) -> Candidate:
        """See `Strategy.ask`."""
        for genotype in self._listed:
            if genotype not in self._seen:
                self._asked += 1
                return Candidate(self._asked - 1, genotype)
            self._seen.remove(genotype)
        raise Exhausted

    def tell(self, record: Record) -> None:
        """Nothing to learn."""

    def adopt(self, candidate: Candidate) -> None:
        """See `Strategy.adopt`."""
        self._seen.add(candidate.genotype)
        self._asked += 1
