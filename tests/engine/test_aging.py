"""Aging evolution where it has nowhere to go; what it does elsewhere is in the contracts of strategies."""

from __future__ import annotations

import math
from random import Random

import pytest

from engine.api import search
from engine.config import RunConfig
from engine.records import Record
from engine.setup import Setup
from engine.strategies.aging import AgingEvolution
from engine.strategies.base import Exhausted
from spaces.errors import NoNeighbour, NothingFeasible, UsageError
from spaces.layers import Dense
from spaces.network import Network, NetworkBuilder
from spaces.space import Choose, Genotype, Integer, Space
from tests.engine.toys import WORTH, Grid, drive, judged, near, numbers


class _OneNetwork(Space):
    """Every genotype builds the same network.

    Args:
        genotypes: How many there are; one is of no choices.
        listed: Whether the space says so.
    """

    name = "one-network"

    def __init__(self, genotypes: int, listed: bool) -> None:
        super().__init__()
        self.genotypes, self.size = genotypes, genotypes if listed else None

    def build(self, choose: Choose) -> Network:
        if self.genotypes > 1:
            choose("any", Integer(1, self.genotypes))
        net = NetworkBuilder((3,))
        return net.build(net.add(Dense(2), net.input))


@pytest.mark.parametrize(("genotypes", "listed"), [(1, True), (1, False), (9, True), (9, False)])
@pytest.mark.parametrize(
    ("strategy", "records"), [("aging(population=4)", 4), ("area(population=4)", 4), ("local(starts=1)", None)]
)
def test_in_a_space_of_one_network_a_search_ends_with_what_it_found(
    genotypes: int, listed: bool, strategy: str, records: int | None
) -> None:
    rank = "params" if strategy.startswith("area") else None
    found = search(_OneNetwork(genotypes, listed), strategy, "params", budget=60, open=1, rank=rank)
    assert found.exhausted
    assert len(found.records) == (records or genotypes)
    assert found.best.scores == {"params": 8}


def test_a_parent_that_no_move_leads_away_from_leaves_the_field_to_others() -> None:
    class _Trap(Grid):
        def mutate(self, genotype: Genotype, rng: Random) -> Genotype:
            if numbers(genotype)[0] >= 5:
                raise NoNeighbour("trapped")
            return super().mutate(genotype, rng)

    strategy = AgingEvolution(_Trap(2, 9), WORTH, 0, population=20, tournament=5)
    records = drive(strategy, 60, judged(near(9, 9)))
    parents = {record.parent for record in records} - {None}
    assert len(records) == 60
    assert all(numbers(records[parent or 0].genotype)[0] < 5 for parent in parents)
    assert any(numbers(record.genotype)[0] >= 5 for record in records[:20])


def test_without_any_parent_to_move_from_it_is_at_its_end() -> None:
    class _Stuck(Grid):
        def mutate(self, genotype: Genotype, rng: Random) -> Genotype:
            raise NoNeighbour("stuck")

    strategy = AgingEvolution(_Stuck(2, 9), WORTH, 0, population=5, tournament=2)
    assert len(drive(strategy, 60, judged(near(9, 9)))) == 5
    for _ in range(2):
        with pytest.raises(Exhausted):
            strategy.ask()


@pytest.mark.parametrize("name", ["population", "tournament"])
@pytest.mark.parametrize("value", [0, 2_000_000])
def test_options_are_bounded_in_parentheses_as_in_the_config(name: str, value: int) -> None:
    with pytest.raises(UsageError, match=f"{name} is {value}; expected a whole number from 1 to 1,000,000"):
        search("nats-tss", f"aging({name}={value})", "params", budget=1)


TIGHT = ["munas_size<=685", "munas_peak_memory<=909", "munas_macs<=41200"]


@pytest.mark.slow  # two thousand candidates without a feasible one
def test_repair_reaches_bounds_that_no_random_candidate_keeps() -> None:
    settings = {"fitness": "params", "bounds": TIGHT, "target": "none", "budget": 2_500}
    with pytest.raises(NothingFeasible):
        search("munas", "aging", **settings)
    found = search("munas", "aging(repair=true)", **settings)
    assert sum(record.status == "ok" for record in found.records) > 100
    assert all(record.parent is not None for record in found.records[200:])


def test_what_breaks_fewer_bounds_by_less_is_the_better_parent() -> None:
    objectives = Setup(RunConfig(space="munas", target="none", bounds=("params<=100", "macs>=10"))).objectives

    def infeasible(**scores: float) -> Record:
        return Record(0, Genotype({"a": 1}), None, "0" * 32, scores, "infeasible", "", False, 0.0)

    order = [infeasible(params=400.0), infeasible(params=200.0), infeasible(params=50.0, macs=1.0)]
    near = [objectives.shortfall(one) for one in order]
    assert near == [
        (0, pytest.approx(-math.log(4))),
        (0, pytest.approx(-math.log(2))),
        (1, pytest.approx(-math.log(10))),
    ]
    assert sorted(near) == near  # type: ignore[type-var]
    assert objectives.shortfall(infeasible(params=50.0)) is None


@pytest.mark.parametrize(
    ("strategy", "objectives", "message"),
    [
        ("aging(repair=2)", ["params"], "repair is 2; expected true or false"),
        ("aging(repair=true)", ["params", "trace"], "repair is for one objective"),
    ],
)
def test_what_repair_cannot_be(strategy: str, objectives: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        search("munas", strategy, objectives=objectives, budget=5)
