"""Random search without repeats."""

from __future__ import annotations

from random import Random

from engine.objectives import Objectives
from engine.records import Candidate, Record
from engine.strategies.base import Exhausted, stream
from spaces.space import Genotype, Space

_LISTED = 0.9  # used-up share of a finite space from which on the rest is listed
_PATIENCE = 10_000  # repeats in a row before drawing is given up


class RandomSearch:
    """Draws from the space's own law and never asks the same genotype twice.

    In a finite space that is nearly used up, drawing would hardly ever hit a new genotype: then the rest is
    listed and drawn from uniformly. Which of the two happens depends on how many were asked, so resuming changes
    nothing.

    Args:
        space: What to draw from.
        objectives: Not used; part of the contract.
        seed: Of the run.

    Attributes:
        asked: How many candidates were asked or adopted.
        fingerprints: Hashes of their genotypes.
    """

    max_objectives: int | None = None

    def __init__(self, space: Space, objectives: Objectives, seed: int) -> None:
        self._space, self._seed = space, seed
        self.asked = 0
        self.fingerprints: set[int] = set()
        self._unseen: list[Genotype] | None = None  # once drawing no longer pays

    def ask(self) -> Candidate:
        """See `Strategy.ask`."""
        rng = stream(self._seed, self.asked)
        drawn = self._draw(rng)
        candidate = Candidate(self.asked, self._pick(rng) if drawn is None else drawn)  # one of no choices is false
        self.adopt(candidate)
        return candidate

    def ask_unless(self, candidate: Candidate | None) -> Candidate:
        """Take a candidate that another strategy has thought of for asked; draw one if it has none.

        Raises:
            Exhausted: There is none to draw.
        """
        if candidate is None:
            return self.ask()
        self.adopt(candidate)
        return candidate

    def tell(self, record: Record) -> None:
        """Nothing to learn."""

    def adopt(self, candidate: Candidate) -> None:
        """See `Strategy.adopt`."""
        self.fingerprints.add(_fingerprint(candidate.genotype))
        if self._unseen is not None and candidate.genotype in self._unseen:
            self._unseen.remove(candidate.genotype)
        self.asked += 1

    def _draw(self, rng: Random) -> Genotype | None:
        """A genotype that is new, while there is a fair chance to hit one."""
        size = self._space.size
        if size is None or len(self.fingerprints) < _LISTED * size:
            for _ in range(_PATIENCE):
                genotype = self._space.sample(rng)
                if _fingerprint(genotype) not in self.fingerprints:
                    return genotype
        return None

    def _pick(self, rng: Random) -> Genotype:
        """One of the genotypes that are left, in the order of the space's list."""
        if self._unseen is None:
            listed = self._space.enumerate() if self._space.size is not None else ()
            self._unseen = [genotype for genotype in listed if _fingerprint(genotype) not in self.fingerprints]
        if not self._unseen:
            raise Exhausted
        return self._unseen[int(rng.random() * len(self._unseen))]


def _fingerprint(genotype: Genotype) -> int:
    """64 bits: a run of a million meets a false repeat with a chance of 3 in 10^8, and then only redraws."""
    return hash(genotype)
