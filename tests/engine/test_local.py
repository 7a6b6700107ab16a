"""Local search: that it climbs, stops where nothing is better, and starts again."""

from __future__ import annotations

import math
from itertools import pairwise
from random import Random
from typing import Any

import pytest

from engine.records import Candidate, Record
from engine.strategies.base import Exhausted
from engine.strategies.local import LocalSearch
from spaces.errors import UsageError
from spaces.space import Genotype
from tests.engine.toys import WORTH, Grid, best_of, drive, judged, near, numbers, told


def _local(space: Grid, seed: int = 0, **options: Any) -> LocalSearch:
    return LocalSearch(space, WORTH, seed, **options)


def _rugged(genotype: Genotype) -> float:
    """Many hills: a fixed random number for every member."""
    return Random(str(numbers(genotype))).random()


def _climbs(records: list[Record]) -> dict[int, list[Record]]:
    """Records by the start that they descend from."""
    roots: dict[int, int] = {}
    climbs: dict[int, list[Record]] = {}
    for record in records:
        root = record.number if record.parent is None else roots[record.parent]
        roots[record.number] = root
        climbs.setdefault(root, []).append(record)
    return {root: climb for root, climb in climbs.items() if len(climb) > 1}


@pytest.mark.parametrize("move", ["first", "best"])
@pytest.mark.parametrize("open_asks", [1, 4])
def test_a_single_hill_is_climbed_to_its_top(move: str, open_asks: int) -> None:
    records = drive(_local(Grid(3, 9), move=move), 200, judged(near(3, 8, 0)), open_asks)
    assert best_of(records) == 0
    assert len(_climbs(records)) >= 1


@pytest.mark.parametrize("move", ["first", "best"])
@pytest.mark.parametrize("open_asks", [1, 5])
def test_every_member_is_asked_once(move: str, open_asks: int) -> None:
    strategy = _local(Grid(3, 3), starts=2, move=move)
    records = drive(strategy, 1000, judged(_rugged), open_asks)
    assert len(records) == len({record.genotype for record in records}) == 64
    with pytest.raises(Exhausted):
        strategy.ask()


@pytest.mark.parametrize("move", ["first", "best"])
@pytest.mark.parametrize("open_asks", [1, 5])
def test_a_climb_ends_only_where_no_neighbour_is_better(move: str, open_asks: int) -> None:
    space = Grid(3, 9)
    records = drive(_local(space, starts=3, move=move), 250, judged(_rugged), open_asks)
    climbs = list(_climbs(records).values())
    assert len(climbs) > 2
    for climb in climbs[:-1]:
        top = max(climb, key=lambda record: record.scores["worth"])
        asked = {record.genotype for record in records[: climb[-1].number + open_asks]}
        neighbours = set(space.neighbours(top.genotype))
        assert neighbours <= asked
        assert max(map(_rugged, neighbours & {record.genotype for record in climb})) <= top.scores["worth"]


@pytest.mark.parametrize("open_asks", [1, 5])
def test_the_first_better_neighbour_is_the_next_centre(open_asks: int) -> None:
    """A parent is the best of its climb that was told when the child was asked."""
    for climb in _climbs(drive(_local(Grid(3, 9)), 300, judged(_rugged), open_asks)).values():
        for record in climb[1:]:
            known = [other for other in climb if other.number <= record.number - open_asks]
            assert record.parent == max(known, key=lambda other: other.scores["worth"]).number


def test_the_best_neighbour_is_taken_when_all_are_known() -> None:
    space = Grid(3, 9)
    records = drive(_local(space, starts=2, move="best"), 300, judged(_rugged))
    moves = 0
    for climb in list(_climbs(records).values())[:-1]:
        parents = list(dict.fromkeys(record.parent for record in climb[1:]))
        for earlier, later in pairwise(parents):
            asked = {record.genotype for record in records[: min(r.number for r in climb if r.parent == later)]}
            assert set(space.neighbours(records[earlier or 0].genotype)) <= asked
            family = [record for record in climb if record.parent == earlier]
            assert max(family, key=lambda record: record.scores["worth"]).number == later
            moves += 1
    assert moves > 2


@pytest.mark.parametrize("open_asks", [1, 5])
def test_a_climb_starts_from_the_best_start_not_weighed_before(open_asks: int) -> None:
    records = drive(_local(Grid(3, 9), starts=4), 300, judged(_rugged), open_asks)
    weighed = -1
    for root, climb in _climbs(records).items():
        waiting = [r for r in records[weighed + 1 : climb[1].number - open_asks + 1] if r.parent is None]
        assert len(waiting) >= 4
        assert max(waiting, key=lambda record: record.scores["worth"]).number == root
        weighed = waiting[-1].number


@pytest.mark.parametrize("listed", [True, False])
def test_neighbours_differ_in_one_choice_and_are_limited(listed: bool) -> None:
    records = drive(_local(Grid(5, 9, listed), starts=2, neighbours=6), 200, judged(lambda genotype: 0.0), 3)
    children: dict[int, int] = {}
    for record in records:
        if record.parent is not None:
            pairs = zip(numbers(record.genotype), numbers(records[record.parent].genotype), strict=True)
            assert sum(a != b for a, b in pairs) == 1
            children[record.parent] = children.get(record.parent, 0) + 1
    assert set(list(children.values())[:-1]) == {6}


def test_moves_of_a_space_that_leads_nowhere_new_are_given_up() -> None:
    records = drive(_local(Grid(1, 40, listed=False), starts=1), 41, judged(lambda genotype: 0.0))
    assert len({record.genotype for record in records}) == 41
    assert {record.parent for record in records} > {None}


@pytest.mark.parametrize("bad", ["failed", "infeasible", "least"])
def test_what_is_not_ok_is_never_a_centre(bad: Any) -> None:
    def judge(candidate: Candidate) -> Record:
        if candidate.number % 3:
            return told(candidate, -math.inf) if bad == "least" else told(candidate, status=bad)
        return told(candidate, _rugged(candidate.genotype))

    records = drive(_local(Grid(3, 9), starts=2), 200, judge, 3)
    assert {record.parent for record in records if record.parent is not None and record.parent % 3} == set()
    assert len(_climbs(records)) > 1


@pytest.mark.parametrize(
    "options", [{"starts": 0}, {"neighbours": 0}, {"move": "worst"}], ids=lambda options: next(iter(options))
)
def test_options_are_checked(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"{next(iter(options))}.*expected"):
        _local(Grid(2, 3), **options)
