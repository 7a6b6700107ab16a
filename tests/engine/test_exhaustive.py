"""Exhaustive search: the whole list, once, whatever was known before."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from engine import study
from engine.api import search
from engine.records import Candidate
from engine.strategies.base import Exhausted
from engine.strategies.exhaustive import ExhaustiveSearch
from spaces import SPACES
from spaces.errors import NothingFeasible, UsageError
from spaces.space import Genotype, Space
from tests.engine.toys import WORTH, Grid, Stack, drive, judged, near, numbers


class _Listed(Grid):
    """Lists its members without building them, as the NATS-Bench spaces do."""

    def enumerate(self) -> Iterator[Genotype]:
        for value in range(self.domain.count):
            yield Genotype({"x0": value})


@pytest.mark.parametrize("open_asks", [1, 7])
def test_every_member_is_asked_in_the_order_of_the_list(open_asks: int) -> None:
    space = Grid(3, 3)
    strategy = ExhaustiveSearch(space, WORTH, seed=0)
    records = drive(strategy, 1000, judged(near(1, 2, 3)), open_asks)
    assert [record.genotype for record in records] == list(space.enumerate())
    assert [record.number for record in records] == list(range(64))
    for _ in range(2):
        with pytest.raises(Exhausted):
            strategy.ask()


def test_a_resumed_list_goes_on_and_nothing_is_built_for_what_is_known() -> None:
    space = _Listed(1, 99)
    known = drive(ExhaustiveSearch(space, WORTH, seed=0), 60, judged(near(4)))
    resumed = ExhaustiveSearch(space, WORTH, seed=0)
    records = drive(resumed, 1000, judged(near(4)), known=known)
    assert space.built == 0
    assert [record.genotype["x0"] for record in records] == list(range(100))


def test_what_was_adopted_from_elsewhere_is_not_asked_again() -> None:
    space = Grid(2, 4)
    members = list(space.enumerate())
    seeds = Random(0).sample(members, 6)
    strategy = ExhaustiveSearch(space, WORTH, seed=0)
    for number, genotype in enumerate(seeds):
        strategy.adopt(Candidate(number, genotype))
    asked = [strategy.ask() for _ in range(len(members) - len(seeds))]
    assert [candidate.number for candidate in asked] == list(range(6, 25))
    assert [candidate.genotype for candidate in asked] == [each for each in members if each not in seeds]
    with pytest.raises(Exhausted):
        strategy.ask()


def test_the_whole_topology_space_is_listed() -> None:
    space = SPACES.create("nats-tss", {})
    assert isinstance(space, Space)
    strategy = ExhaustiveSearch(space, WORTH, seed=0)
    asked = {strategy.ask().genotype for _ in range(15_625)}
    assert len(asked) == space.size
    with pytest.raises(Exhausted):
        strategy.ask()


class _High:
    """A score that is the first choice."""

    name, direction, unit, needs = "high", "max", "", "genotype"

    def __call__(self, subject: Genotype) -> float:
        return float(numbers(subject)[0])


def test_the_list_is_gone_through_however_few_are_feasible_and_however_late(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(study, "PATIENCE", 20)
    few: dict[str, Any] = {"scores": [_High()], "bounds": ["high>=9"], "budget": 100}
    found = search(Grid(2, 9), "exhaustive", "high", **few)
    assert [record.number for record in found.records if record.status == "ok"] == list(range(90, 100))
    with pytest.raises(NothingFeasible, match=r"none of 100 candidates is feasible.*high>=10 turned down 100"):
        search(Grid(2, 9), "exhaustive", "high", **few | {"bounds": ["high>=10"]})
    with pytest.raises(NothingFeasible, match="none of 20 candidates is feasible"):
        search(Grid(2, 9), "random", "high", **few | {"bounds": ["high>=10"]})


def test_a_space_that_cannot_be_listed_is_refused_with_those_that_can() -> None:
    message = "strategy 'exhaustive': space 'stack' cannot be listed; expected one with a number of"
    with pytest.raises(UsageError, match=message) as refusal:
        ExhaustiveSearch(Stack(), WORTH, seed=0)
    assert "munas" not in str(refusal.value)
