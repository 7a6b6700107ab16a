"""NSGA-II: who survives, who is a parent, and that it learns; what any strategy does is in the contracts."""

from __future__ import annotations

import math
from random import Random

import numpy as np
import pytest

from engine.api import search
from engine.objectives import Objective, Objectives
from engine.pareto import hypervolume
from engine.records import Candidate, Record
from engine.strategies.nsga2 import NonDominatedSorting
from engine.strategies.random import RandomSearch
from fitness.expression import Expression
from spaces.errors import NoNeighbour, UsageError
from spaces.space import Genotype
from tests.engine.toys import WORTH, Grid, Stack, best_of, drive, judged, make, near, numbers, told

TWO = Objectives(tuple(Objective(Expression(name, make), "max") for name in ("a", "b")))
THREE = Objectives(
    tuple(Objective(Expression(name, make), way) for name, way in zip("abc", ("max", "min", "max"), strict=True))
)


def _corners(candidate: Candidate) -> Record:
    """Two hills at opposite corners of the first two choices; of the others, small values are better for both."""
    x, y, *rest = numbers(candidate.genotype)
    loss = sum(value**2 for value in rest)
    scores = {"a": -float((x - 31) ** 2 + y**2 + loss), "b": -float((y - 31) ** 2 + x**2 + loss), "c": float(x)}
    return told(candidate)._replace(scores=scores)


def _sorted(merits: dict[int, tuple[float, ...]]) -> dict[int, tuple[int, float]]:
    """Rank and negated crowding distance, smaller lives longer: Deb et al., sections III-A and III-B."""
    left, places = dict(merits), dict[int, tuple[int, float]]()
    for rank in range(len(merits)):
        front = [
            one
            for one, mine in left.items()
            if not any(all(a >= b for a, b in zip(o, mine, strict=True)) and o != mine for o in left.values())
        ]
        distance = dict.fromkeys(front, 0.0)
        for m in range(len(next(iter(merits.values())))):
            line = sorted(front, key=lambda one: merits[one][m])
            span = merits[line[-1]][m] - merits[line[0]][m] if line else 0
            for before, one, after in zip(line, line[1:], line[2:], strict=False):
                distance[one] += (merits[after][m] - merits[before][m]) / span
            for end in line[:1] + line[-1:]:
                distance[end] = math.inf
        places |= {one: (rank, -round(distance[one], 9)) for one in front}
        left = {one: merit for one, merit in left.items() if one not in places}
    return places


@pytest.mark.parametrize("width", [1, 2, 3])
def test_survivors_of_every_generation_are_those_of_the_paper(width: int) -> None:
    rng, size = Random(width), 20
    objectives = Objectives(tuple(Objective(Expression(f"s{i}", make), "max") for i in range(width)))
    merits: dict[int, tuple[float, ...]] = {}
    strategy = NonDominatedSorting(Grid(4, 31), objectives, 0, population=size)
    parents: set[int] = set()
    for generation in range(6):
        for _ in range(size):
            candidate = strategy.ask()
            assert candidate.parent in parents if parents else candidate.parent is None
            merits[candidate.number] = tuple(rng.random() for _ in range(width))
            scores = {f"s{i}": merit for i, merit in enumerate(merits[candidate.number])}
            strategy.tell(told(candidate)._replace(scores=scores))
        children = range(generation * size, (generation + 1) * size)
        places = _sorted({number: merits[number] for number in [*sorted(parents), *children]})
        parents = {one.number for one in strategy._parents}
        assert sorted(places[number] for number in parents) == sorted(places.values())[:size]


@pytest.mark.parametrize(("objectives", "open_asks"), [(TWO, 1), (TWO, 7), (THREE, 7), (WORTH, 3)])
def test_children_come_of_the_living_with_any_number_open(objectives: Objectives, open_asks: int) -> None:
    def judge(candidate: Candidate) -> Record:
        record = _corners(candidate)
        return record._replace(scores={**record.scores, "worth": record.scores["a"]})

    strategy = NonDominatedSorting(Grid(4, 31), objectives, 5, population=8)
    records = drive(strategy, 120, judge, open_asks)
    assert len({record.genotype for record in records}) == 120
    first = next(record.number for record in records if record.parent is not None)
    assert first == 8 + open_asks - 1, "as soon as eight are told"
    assert all(record.parent is not None for record in records[first:])


def test_what_is_rejected_fails_or_has_no_finite_merit_is_no_parent_and_does_not_count() -> None:
    def judge(candidate: Candidate) -> Record:
        bad = candidate.number % 4
        if bad in (1, 2):
            return told(candidate, status="failed" if bad == 1 else "infeasible")
        return _corners(candidate) if bad else told(candidate)._replace(scores={"a": -math.inf, "b": 1e9})

    records = drive(NonDominatedSorting(Grid(4, 31), TWO, 0, population=8), 200, judge)
    parents = {record.parent for record in records if record.parent is not None}
    assert parents
    assert all(number % 4 == 3 for number in parents)
    assert [record.parent for record in records[:32]] == [None] * 32, "of which eight are good"


def _covered(strategy: NonDominatedSorting | RandomSearch) -> float:
    records = drive(strategy, 240, _corners, open_asks=4)
    points = np.array([[record.scores["a"], record.scores["b"]] for record in records])
    return hypervolume(points, (-2000, -2000))


def test_covers_more_than_random_search() -> None:
    found = [_covered(NonDominatedSorting(Grid(6, 31), TWO, seed, population=20)) for seed in range(2)]
    drawn = [_covered(RandomSearch(Grid(6, 31), TWO, seed)) for seed in range(2)]
    assert min(found) > 1.2 * max(drawn), (found, drawn)


def test_one_objective_is_climbed() -> None:
    space, judge = Grid(6, 31), judged(near(3, 9, 27, 1, 14, 20))
    found = best_of(drive(NonDominatedSorting(space, WORTH, 0, population=10), 200, judge, open_asks=4))
    assert found > 0.5 * best_of(drive(RandomSearch(space, WORTH, 0), 200, judge))


def test_choices_that_come_and_go_are_crossed() -> None:
    strategy = NonDominatedSorting(Stack(), WORTH, 0, population=6)
    records = drive(strategy, 60, judged(lambda genotype: float(len(genotype))), open_asks=3)
    for record in records:
        Stack().decode(record.genotype)


def test_a_finite_space_is_asked_once_over_and_then_at_its_end() -> None:
    records = drive(NonDominatedSorting(Grid(2, 7), WORTH, 0, population=10), 100, judged(near(5, 5)), open_asks=3)
    assert len(records) == len({record.genotype for record in records}) == 64


def test_where_no_move_leads_anywhere_the_rest_is_drawn() -> None:
    class _Stuck(Grid):
        def mutate(self, genotype: Genotype, rng: Random) -> Genotype:
            raise NoNeighbour("stuck")

    judge = judged(near(9, 9))
    stuck = drive(NonDominatedSorting(_Stuck(2, 9), WORTH, 4, population=5), 60, judge)
    assert [r.genotype for r in stuck] == [r.genotype for r in drive(RandomSearch(Grid(2, 9), WORTH, 4), 60, judge)]


@pytest.mark.parametrize("population", [0, 3, 2_000_000])
def test_a_population_has_room_for_two_tournaments(population: int) -> None:
    with pytest.raises(
        UsageError, match=f"population is {population}; expected a whole number from 4 to 1,000,000"
    ):
        search("nats-tss", f"nsga2(population={population})", "params", budget=1)
