"""Assisted evolution: that a score picks the first population, when it is asked to, and aging evolution follows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import pytest

from engine.api import search
from engine.config import RunConfig
from engine.records import Candidate, Record
from engine.results.summary import announce
from engine.setup import Setup
from engine.strategies.aging import AgingEvolution
from engine.strategies.area import AssistedEvolution
from engine.strategies.base import Waiting
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
    assert [record.genotype for record in records[:6]] == best[:6]
    assert {record.parent for record in records[:6]} == {None}
    assert None not in {record.parent for record in records[6:]}


def test_it_waits_while_those_under_way_may_complete_the_population() -> None:
    """Asked or adopted; one that is turned down makes room for the next best."""
    strategy, resumed = _area(rank := _Rank(), population=3), _area(_Rank(), population=3)
    candidates = [strategy.ask() for _ in range(3)]
    for candidate in candidates:
        resumed.adopt(candidate)
    records = [told(candidates[0], 1.0), told(candidates[1], status="failed"), told(candidates[2], 2.0)]
    for record, waits in zip(records, (True, False, True), strict=True):
        for each in (strategy, resumed):
            with pytest.raises(Waiting):
                each.ask()
            with pytest.raises(Waiting):
                each.adopt(record.candidate)
            each.tell(record)
        if not waits:
            candidates.append(fourth := strategy.ask())
            assert resumed.ask() == fourth
    best = sorted(rank.pools[0], key=TOWARDS, reverse=True)
    assert [candidate.genotype for candidate in candidates] == best[:4]
    for each in (strategy, resumed):
        each.tell(told(candidates[3], 0.0))
        assert each.ask().parent is not None


def test_children_are_those_of_aging_evolution_told_the_same() -> None:
    records = drive(_area(_Rank(), seed=3, population=6, tournament=2), 60, ONWARDS, 4)
    aging = AgingEvolution(SPACE, WORTH, 3, population=6, tournament=2)
    for record in records[:6]:
        aging.adopt(record.candidate)
        aging.tell(record)
    asked = [aging.ask() for _ in range(4)]
    for record in records[6:-4]:
        aging.tell(record)
        asked.append(aging.ask())
    assert asked == [record.candidate for record in records[6:]]


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


def test_a_rank_that_ranks_nothing_is_an_error() -> None:
    with pytest.raises(RunError, match="rank has no score for any of the 20 architectures of the pool"):
        _area(_Rank(lambda genotype: -math.inf)).ask()


def test_a_rank_that_fails_everywhere_ends_the_run_with_its_first_reason() -> None:
    with pytest.raises(RunError, match=r"none of 8 candidates can be ranked by own: .*not today"):
        search("nats-tss", "area(population=4)", "n_relu", rank="own", scores=[_Broken()], budget=12)


class _Broken:
    """A score that no architecture has."""

    name, direction, unit, needs = "own", "max", "", "genotype"

    def __call__(self, subject: object) -> float:
        raise ValueError("not today")


def test_a_pool_is_no_larger_than_its_space() -> None:
    rank = _Rank(near(1, 1))
    AssistedEvolution(Grid(2, 1), WORTH, 0, rank, population=2, pool=1_000_000).ask()
    assert len(rank.pools[0]) <= 4


def test_the_ranking_is_part_of_the_run_and_of_what_it_says() -> None:
    setup = Setup(RunConfig(space="nats-tss", strategy="area", fitness="params"))
    assert setup.resolved.rank == "naswot"
    said = announce(setup)
    assert "ranked by naswot:max" in said
    assert "naswot 128" in said
    least = Setup(RunConfig(space="nats-tss", strategy="area", fitness="params", rank="macs:min"))
    assert least.resolved.rank == "macs:min"
    assert "ranked by macs:min" in announce(least)
    plain = Setup(RunConfig(space="nats-tss", strategy="aging", fitness="params"))
    assert plain.resolved.rank is None
    assert "ranked" not in announce(plain)


def test_as_many_scores_as_architectures_are_expected() -> None:
    with pytest.raises(RunError, match="rank gave 2 scores for 20 architectures; expected one for each"):
        _area(lambda genotypes: [1.0, 2.0]).ask()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"population": 0}, "population is 0; expected a whole number from 1 to 1,000,000"),
        ({"population": 2_000_000}, "population is 2000000; expected"),
        ({"tournament": 2_000_000}, "tournament is 2000000; expected"),
        ({"pool": 9}, "pool for a population of 10 is 9; expected a whole number from 10 to 1,000,000"),
        ({"pool": 20.5}, r"pool for a population of 10 is 20\.5; expected"),
        ({"pool": 100_000_000}, "pool for a population of 10 is 100000000; expected"),
    ],
)
def test_options_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        _area(_Rank(), **options)
