"""NSGA-II: non-dominated sorting and crowding distance.

Deb, Pratap, Agarwal, Meyarivan: A Fast and Elitist Multiobjective Genetic Algorithm: NSGA-II, IEEE TEC 6(2), 2002:
parents and as many children compete; whole fronts live on, of the last one the least crowded. Sorting and
tournaments are DEAP's, the fronts in O(N log^(M-1) N) (Fortin, Grenier, Parizeau, GECCO 2013).

Differs from the paper: several children may be under way at once, and one told after its generation has ended
counts in the next. Candidates that break a bound, fail or have no finite merit are neither parents nor counted, so
a generation lasts until there are as many good children as parents. A child mixes the choices of two parents in
nine cases of ten, is mutated, and is drawn anew if its genotype was asked before.

Measured on munas under mcu-256k, trace, flash and RAM, 2,000 records, mean of 3 seeds: the front covers .353 of
the box between (0, 262,144, 65,536) and (4e7, 0, 0) with 50 parents, .301 with 100; with 100 and crossover in 6, 3
and 0 cases of ten .276, .266 and .233. Aging's random directions cover .329 with 100, random search .200.
"""

from __future__ import annotations

import math
from random import Random
from typing import ClassVar

from deap import base
from deap.tools import emo

from engine.objectives import Objectives
from engine.records import Candidate, Record
from engine.strategies.base import check_count, drawing_from, stream
from engine.strategies.random import RandomSearch
from spaces.errors import NoNeighbour
from spaces.space import Genotype, Space

_CROSSOVER = 0.9  # p_c of the paper
_FIELD = 4  # entrants of two tournaments of two
_TRIES = 10  # children asked before, or without any, until a random candidate is asked


class _Individual:
    """What DEAP compares: larger values are better, and `crowding_dist` is set where it sorts."""

    def __init__(self, number: int, genotype: Genotype, fitness: base.Fitness) -> None:
        self.number, self.genotype, self.fitness = number, genotype, fitness


class NonDominatedSorting:
    """See the module.

    Args:
        space: Whose `crossover` and `mutate` make the children.
        objectives: Any number; with one, fronts are the levels of equal merit: the best of parents and children
            live on.
        seed: Of the run.
        population: Number of parents, and of good children in a generation; at least four. The paper's 100 are for
            25,000 evaluations.
    """

    max_objectives: ClassVar[int | None] = None

    def __init__(self, space: Space, objectives: Objectives, seed: int, population: int = 50) -> None:
        check_count("population", population, least=_FIELD)
        self._space, self._objectives, self._seed = space, objectives, seed
        self._size = population
        self._random = RandomSearch(space, objectives, seed)
        count = len(objectives.objectives)
        self._fitness = type("_Fitness", (base.Fitness,), {"weights": (1.0,) * count})
        self._toolbox = base.Toolbox()
        # The faster sorting knows no single objective.
        self._toolbox.register("survive", emo.selNSGA2, k=population, nd="log" if count > 1 else "standard")
        self._toolbox.register("select", emo.selTournamentDCD, k=_FIELD)
        self._toolbox.register("mate", space.crossover)
        self._toolbox.register("mutate", space.mutate)
        self._parents: list[_Individual] = []
        self._children: list[_Individual] = []  # and before there are parents, the first candidates

    def ask(self) -> Candidate:
        """See `Strategy.ask`."""
        return self._random.ask_unless(self._child() if self._parents else None)

    def tell(self, record: Record) -> None:
        """See `Strategy.tell`."""
        merits = self._objectives.merits(record)
        if merits is None or not all(map(math.isfinite, merits)):
            return
        self._children.append(_Individual(record.number, record.genotype, self._fitness(merits)))
        if len(self._children) == self._size:
            self._parents = self._toolbox.survive(self._parents + self._children)
            self._children = []

    def adopt(self, candidate: Candidate) -> None:
        """See `Strategy.adopt`."""
        self._random.adopt(candidate)

    def _child(self) -> Candidate | None:
        """One that was not asked before, of the first of its two parents; None if there seems to be none."""
        rng = stream(self._seed, self._random.asked)
        for _ in range(_TRIES):
            one, other = self._pair(rng)
            genotype = one.genotype
            if rng.random() < _CROSSOVER:
                genotype = self._toolbox.mate(genotype, other.genotype, rng)
            try:
                genotype = self._toolbox.mutate(genotype, rng)
            except NoNeighbour:
                continue
            if hash(genotype) not in self._random.fingerprints:
                return Candidate(self._random.asked, genotype, one.number)
        return None

    def _pair(self, rng: Random) -> tuple[_Individual, _Individual]:
        """The winners of two tournaments among four different parents."""
        entrants = rng.sample(self._parents, _FIELD)
        with drawing_from(rng, emo):
            one, other, *_ = self._toolbox.select(entrants)
        return one, other
