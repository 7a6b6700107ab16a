"""Regularised (aging) evolution.

Real, Aggarwal, Huang, Le: Regularized Evolution for Image Classifier Architecture Search, AAAI 2019,
arXiv:1802.01548, Algorithm 1: a population of the P newest; the best of S drawn at random has a child by
mutation; the oldest dies. Tournaments are DEAP's (Fortin et al., JMLR 2012), drawn with replacement as in μNAS.
Several objectives are pursued as in μNAS: each tournament is for another random direction (`chebyshev.py`).

Differs from the paper: several children may be under way at once; candidates that break a bound or fail never
enter the population unless `repair` lets them, and random ones are drawn until it is full.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from random import Random
from typing import ClassVar, NamedTuple

import numpy as np
from deap import base
from deap.tools import selection

from engine.objectives import Objectives
from engine.records import Candidate, Record
from engine.strategies.base import Exhausted, check_count, drawing_from, stream
from engine.strategies.chebyshev import Chebyshev
from spaces.errors import NoNeighbour, UsageError
from spaces.space import Genotype, Space


class _Individual(NamedTuple):
    """What a tournament compares, by `merit`: that of a lone objective, or one drawn from several.

    The merit of a lone objective comes after a number that is greater than that of any that breaks a bound.
    """

    number: int
    genotype: Genotype
    merits: tuple[float, ...]
    merit: tuple[float, ...]


class AgingEvolution:
    """See the module.

    Args:
        space: Whose `mutate` makes the children.
        objectives: Any number.
        seed: Of the run.
        population: P, the number of individuals that can be parents.
        tournament: S, drawn with replacement for every parent.
        repair: Let candidates that break a bound be parents too, below all that break none, the nearer to keeping
            the bounds the better (Deb, Computer Methods in Applied Mechanics and Engineering 186, 2000). For bounds
            that hardly any random candidate keeps; of one objective only.

    Raises:
        UsageError: An option out of its range.
    """

    max_objectives: ClassVar[int | None] = None

    def __init__(
        self,
        space: Space,
        objectives: Objectives,
        seed: int,
        population: int = 100,
        tournament: int = 25,
        repair: bool = False,
    ) -> None:
        if type(repair) is not bool:
            raise UsageError(f"repair is {repair!r}; expected true or false")
        if repair and len(objectives.objectives) > 1:
            raise UsageError("repair is for one objective; leave it out, or join the objectives to one fitness")
        check_count("population", population)
        check_count("tournament", tournament)
        self._space, self._objectives, self._seed = space, objectives, seed
        self._scalarisation = Chebyshev(objectives) if len(objectives.objectives) > 1 else None
        self._asked = 0
        self._population: deque[_Individual] = deque(maxlen=population)
        self._size, self._repair = population, repair
        self._toolbox = base.Toolbox()
        self._toolbox.register("select", selection.selTournament, k=1, tournsize=tournament, fit_attr="merit")
        self._toolbox.register("mutate", space.mutate)

    @property
    def missing(self) -> int:
        """How many individuals the population lacks; an ask makes a child once it is complete."""
        return self._size - len(self._population)

    def ask(self) -> Candidate:
        """See `Strategy.ask`."""
        rng = stream(self._seed, self._asked)
        candidate = Candidate(self._asked, self._space.sample(rng)) if self.missing else self._child(rng)
        self._asked += 1
        return candidate

    def tell(self, record: Record) -> None:
        """See `Strategy.tell`."""
        merits = self._objectives.merits(record)
        if merits is not None:
            self._population.append(_Individual(record.number, record.genotype, merits, (math.inf, merits[0])))
        elif self._repair and (near := self._objectives.shortfall(record)) is not None:
            self._population.append(_Individual(record.number, record.genotype, (), near))

    def adopt(self, candidate: Candidate) -> None:
        """See `Strategy.adopt`."""
        self._asked += 1

    def _child(self, rng: Random) -> Candidate:
        """A mutant of a tournament's winner; one from which no move leads anywhere leaves the field to others."""
        field: Sequence[_Individual] = self._population
        while field:
            entrants = self._weighed(field, rng)
            with drawing_from(rng, selection):
                (parent,) = self._toolbox.select(entrants)
            try:
                return Candidate(self._asked, self._toolbox.mutate(parent.genotype, rng), parent.number)
            except NoNeighbour:
                field = [other for other in field if other.genotype != parent.genotype]
        raise Exhausted

    def _weighed(self, field: Sequence[_Individual], rng: Random) -> Sequence[_Individual]:
        """The field, with one merit made of several."""
        if self._scalarisation is None:
            return field
        fitness = self._scalarisation.fitness(np.array([one.merits for one in field]), rng)
        return [one._replace(merit=(merit,)) for one, merit in zip(field, fitness.tolist(), strict=True)]
