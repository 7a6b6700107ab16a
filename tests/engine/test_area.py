"""Assisted evolution: that a score picks the first population, when it is asked to, and aging evolution follows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import pytest

from engine.records import Candidate, Record
from engine.strategies.aging import AgingEvolution
from engine.strategies.area import AssistedEvolution
from spaces.errors import RunError, UsageError
from spaces.space import Genotype
from tests.engine.toys import WORTH, Grid, drive, judged, near, numbers, told

SPACE = Grid(4, 9)
TOWARDS = near(9, 9, 9, 9)
ONWARDS = judged(near(0, 0, 0, 0))


class _Rank:
    """Scores by a function, and remembers what it was asked."""

    def __init__(self, worth: Callable[[Genotype], float] = TOWARDS) -> None:
        self.worth, self.pools = worth, list[list[Genotype]]()

    def __call__(self, genotypes: Sequence[Genotype]) -> list[float]:
        self.pools.append(list(genotypes))
        return [self.worth(genotype) for genotype in genotypes]


def _area(rank: Any, seed: int = 0, **options: Any) -> AssistedEvolution:
    return AssistedEvolution(SPACE, WORTH, seed, rank, **options)


@pytest.mark.parametrize("open_asks", [1, 4])
def test_the_best_of_the_pool_are_the_first_population(open_asks: int) -> None:
    rank = _Rank()
    records = drive(_area(rank, population=6, pool=30), 40, ONWARDS, open_asks)
    (pool,) = rank.pools
    assert len(pool) == len(set(pool)) == 30
    best = sorted(pool, key=TOWARDS, reverse=True)
    started = 6 + open_asks - 1  # asks before the sixth answer
    assert [record.genotype for record in records[:started]] == best[:started]
    assert {record.parent for record in records[:started]} == {None}
    assert None not in {record.parent for record in records[started:]}


def test_children_are_those_of_aging_evolution_told_the_same() -> None:
    records = drive(_area(_Rank(), seed=3, population=6, tournament=2), 60, ONWARDS, 4)
    aging = AgingEvolution(SPACE, WORTH, 3, population=6, tournament=2)
    assert drive(aging, 60, ONWARDS, 4, known=records[:12]) == records


def test_by_default_ten_of_twenty() -> None:
    rank = _Rank()
    records = drive(_area(rank), 30, ONWARDS)
    assert [len(pool) for pool in rank.pools] == [20]
    assert [record.parent is None for record in records] == [True] * 10 + [False] * 20


def test_nothing_is_ranked_until_an_ask_needs_it() -> None:
    records = drive(_area(_Rank(), population=5), 30, ONWARDS)
    for known in (2, 10, 29):
        again = _Rank()
        strategy = _area(again, population=5)
        for record in records[:known]:
            strategy.adopt(record.candidate)
            strategy.tell(record)
        assert again.pools == []
        assert strategy.ask() == records[known].candidate
        assert len(again.pools) == (known < 5)
    assert drive(_area(_Rank(), population=5), 30, ONWARDS, known=records[:3]) == records


def test_rejected_ones_are_replaced_from_the_pool_then_at_random() -> None:
    def judge(candidate: Candidate) -> Record:
        return told(candidate, 1.0) if candidate.number >= 15 else told(candidate, status="infeasible")

    rank = _Rank()
    records = drive(_area(rank, population=4, pool=12), 30, judge)
    assert [record.genotype for record in records[:12]] == sorted(rank.pools[0], key=TOWARDS, reverse=True)
    assert not {record.genotype for record in records[12:19]} & set(rank.pools[0])
    assert [record.parent is None for record in records] == [True] * 19 + [False] * 11


@pytest.mark.parametrize("missing", [-math.inf, math.nan])
def test_what_has_no_score_is_not_asked(missing: float) -> None:
    def worth(genotype: Genotype) -> float:
        return missing if numbers(genotype)[0] % 2 else TOWARDS(genotype)

    rank = _Rank(worth)
    records = drive(_area(rank, population=4, pool=12), 20, ONWARDS)
    first = [record.genotype for record in records[:4]]
    assert all(numbers(genotype)[0] % 2 == 0 for genotype in first)
    assert all(TOWARDS(one) >= TOWARDS(other) for one, other in pairwise(first))


def test_without_any_score_it_is_aging_evolution() -> None:
    records = drive(_area(_Rank(lambda genotype: -math.inf), seed=2), 40, ONWARDS, 3)
    assert drive(AgingEvolution(SPACE, WORTH, 2, 10, 3), 40, ONWARDS, 3) == records


def test_as_many_scores_as_architectures_are_expected() -> None:
    with pytest.raises(RunError, match="rank gave 2 scores for 20 architectures; expected one for each"):
        _area(lambda genotypes: [1.0, 2.0]).ask()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"population": 0}, "population 0, tournament 3; expected both at least 1"),
        ({"pool": 9}, "pool 9; expected a whole number of at least the population, 10"),
        ({"pool": 20.5}, "pool 20.5; expected a whole number of at least the population, 10"),
    ],
)
def test_options_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        _area(_Rank(), **options)
