"""Random search without repeats."""

from __future__ import annotations

from engine.objectives import Objectives
from engine.records import Candidate, Record
from engine.strategies.base import Exhausted, stream
from spaces.space import Genotype, Space

_PATIENCE = 100  # repeats in a row before the unseen part of a finite space is listed


class RandomSearch:
    """Draws from the space's own law and never asks the same genotype twice.

    In a finite space that is nearly used up, drawing would hardly ever hit a new genotype: then the rest is
    listed and drawn from uniformly.

    Args:
        space: What to draw from.
        objectives: Not used; part of the contract.
        seed: Of the run.
    """

    max_objectives: int | None = None

    def __init__(self, space: Space, objectives: Objectives, seed: int) -> None:
        self._space, self._seed = space, seed
        self._asked = 0
        self._seen: set[int] = set()

    def ask(self) -> Candidate:
        """See `Strategy.ask`."""
        rng = stream(self._seed, self._asked)
        for _ in range(_PATIENCE):
            genotype = self._space.sample(rng)
            if _fingerprint(genotype) not in self._seen:
                break
        else:
            unseen = (
                [g for g in self._space.enumerate() if _fingerprint(g) not in self._seen]
                if (self._space.size is not None)
                else []
            )
            if not unseen:
                raise Exhausted
            genotype = unseen[int(rng.random() * len(unseen))]
        candidate = Candidate(self._asked, genotype)
        self.adopt(candidate)
        return candidate

    def tell(self, record: Record) -> None:
        """Nothing to learn."""

    def adopt(self, candidate: Candidate) -> None:
        """See `Strategy.adopt`."""
        self._seen.add(_fingerprint(candidate.genotype))
        self._asked += 1


def _fingerprint(genotype: Genotype) -> int:
    """64 bits: a run of a million meets a false repeat with a chance of 3 in 10^8, and then only redraws."""
    return hash(genotype)
