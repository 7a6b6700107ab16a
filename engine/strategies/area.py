"""Aging evolution that starts from the best of a random pool by a score that needs no training.

Mellor, Turner, Storkey, Crowley: Neural Architecture Search without Training, ICML 2021, arXiv:2006.04647,
Algorithm 2 (assisted regularised evolutionary algorithm, AREA); its evolution is `engine.strategies.aging`.

Differs from the paper: while candidates that break a bound or fail leave the population incomplete, the next
best of the pool are asked, then random ones. With several asks open, none is made while those under way may
complete the population: the best of the pool start the evolution, however many are evaluated at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import ClassVar

from engine.objectives import Objectives
from engine.records import Candidate, Record
from engine.strategies.aging import AgingEvolution
from engine.strategies.base import Waiting, check_count, stream
from spaces.errors import RunError
from spaces.space import Genotype, Space

_POOL_STREAM = 2**64 - 1  # the pool's random numbers are those of an ask that never comes


class AssistedEvolution:
    """See the module.

    The pool is drawn and ranked when an ask first needs it, all of it at once; a resumed run whose population is
    complete ranks nothing.

    Args:
        space: As for aging evolution.
        objectives: Exactly one objective.
        seed: Of the run.
        rank: Scores of genotypes, larger is better, -inf for those that have none; these are not asked.
        population: As for aging evolution; 10, as in the paper's experiments on NAS-Bench-201.
        tournament: As for aging evolution; 3, as in that benchmark's own baseline (AutoDL-Projects).
        pool: Number of random architectures that are ranked; twice the population if not given, as in the paper,
            and never more than a finite space holds.
    """

    max_objectives: ClassVar[int | None] = 1

    def __init__(
        self,
        space: Space,
        objectives: Objectives,
        seed: int,
        rank: Callable[[Sequence[Genotype]], Sequence[float]],
        population: int = 10,
        tournament: int = 3,
        pool: int | None = None,
    ) -> None:
        self._evolution = AgingEvolution(space, objectives, seed, population, tournament)
        if pool is None:
            pool = 2 * population
        else:
            check_count(f"pool for a population of {population:,}", pool, least=population)
        self._space, self._seed, self._rank = space, seed, rank
        self._size = pool if space.size is None else min(pool, space.size)
        self._ranked: list[Genotype] | None = None  # the pool, best first
        self._asked = self._told = 0

    def ask(self) -> Candidate:
        """See `Strategy.ask`."""
        self._wait()
        if self._evolution.missing and self._asked < self._size:
            if self._ranked is None:
                self._ranked = self._rank_pool()
            if self._asked < len(self._ranked):
                candidate = Candidate(self._asked, self._ranked[self._asked])
                self.adopt(candidate)
                return candidate
        self._asked += 1
        return self._evolution.ask()

    def tell(self, record: Record) -> None:
        """See `Strategy.tell`."""
        self._told += 1
        self._evolution.tell(record)

    def adopt(self, candidate: Candidate) -> None:
        """See `Strategy.adopt`."""
        self._wait()
        self._asked += 1
        self._evolution.adopt(candidate)

    def _wait(self) -> None:
        missing = self._evolution.missing
        if missing and self._asked - self._told >= missing:
            raise Waiting

    def _rank_pool(self) -> list[Genotype]:
        rng = stream(self._seed, _POOL_STREAM)
        pool = list(dict.fromkeys(self._space.sample(rng) for _ in range(self._size)))
        scores = self._rank(pool)
        if len(scores) != len(pool):
            raise RunError(f"rank gave {len(scores)} scores for {len(pool)} architectures; expected one for each")
        known = [place for place, score in enumerate(scores) if score > -math.inf]
        if not known:
            raise RunError(f"rank has no score for any of the {len(pool)} architectures of the pool")
        return [pool[place] for place in sorted(known, key=lambda place: -scores[place])]
