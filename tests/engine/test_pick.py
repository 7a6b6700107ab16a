"""Picks: knees against plane geometry, spreads against their definition, and what is refused."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine import search
from engine.config import RunConfig
from engine.records import Record, RecordStore
from engine.results.front import Front, front_of
from engine.results.pick import knee, leaders, picked, spread
from engine.setup import Setup
from spaces.errors import RunError, UnknownName, UsageError
from spaces.space import Genotype

NAMES = ("trace", "flash_bytes", "peak_ram_bytes")


def front(*points: tuple[float, ...]) -> Front:
    """The front of such scores: the first the larger the better, the others the smaller."""
    setup = Setup(RunConfig())
    objectives = tuple(setup.objective(name) for name in NAMES[: len(points[0]) if points else 2])
    records = [
        Record(
            number,
            Genotype({"a": number}),
            None,
            f"{number:032x}",
            dict(zip(NAMES, point, strict=False)),
            "ok",
            None,
            False,
            0.0,
        )
        for number, point in enumerate(points)
    ]
    return Front(objectives, records, len(records))


def test_the_knee_of_two_objectives_is_farthest_from_the_line_through_the_extremes() -> None:
    generator = np.random.default_rng(0)
    angles = np.sort(generator.uniform(0, np.pi / 2, 30))
    angles[[0, -1]] = 0, np.pi / 2
    trace = 5000 + 3000 * np.cos(angles) ** 0.7
    flash = 100 + 40 * (1 - np.sin(angles) ** 0.4)
    found = knee(front(*zip(trace, flash, strict=True))).number
    ends = np.array([[trace[0] / 3000, flash[0] / 40], [trace[-1] / 3000, flash[-1] / 40]])
    along = ends[1] - ends[0]
    away = [
        abs(along[0] * (f / 40 - ends[0, 1]) - along[1] * (t / 3000 - ends[0, 0]))
        for t, f in zip(trace, flash, strict=True)
    ]
    assert found == int(np.argmax(away))
    assert 0 < found < 29


def test_the_knee_of_three_objectives_is_nearest_to_the_best_of_each() -> None:
    # Scaled: (1, 1, 0), (1, 0, 1), (0, 1, 1) are 1 from the ideal, (.5, .5, .5) is .87, (.6, .6, .4) is .82.
    points = [(10, 0, 10), (10, 10, 0), (0, 0, 0), (5, 5, 5), (6, 4, 6)]
    assert knee(front(*points)).number == 4
    assert knee(front(*[(1000 + t, 7 * f, r) for t, f, r in points])).number == 4, "units make no difference"


def test_a_knee_lies_between_the_extremes_even_where_the_front_bulges_the_other_way() -> None:
    assert knee(front((10, 10), (2, 8), (0, 0))).number == 1


@pytest.mark.parametrize(
    ("points", "number"),
    [
        ([(3.0,)], 0),
        ([(1, 2)], 0),
        ([(5, 5), (5, 5)], 0),
        ([(9, 9), (1, 1)], 0),
        ([(9, 9, 4), (8, 2, 4), (1, 1, 4)], 1),
    ],
    ids=["one objective", "one member", "equal members", "extremes only", "an objective that does not vary"],
)
def test_small_fronts_have_knees_too(points: list[tuple[float, ...]], number: int) -> None:
    assert knee(front(*points)).number == number


def test_a_spread_has_knee_and_extremes_and_then_fills_the_widest_gap() -> None:
    # Scaled x = t / 100; the knee is the corner (.9, .9) of two straight legs.
    legs = [(100 - t / 10, 100 - t) for t in range(0, 91, 3)] + [(90 - t, 10 - t / 9) for t in range(3, 91, 3)]
    legs[-1] = (0, 0)
    whole = front(*legs)
    numbers = [record.number for record in spread(whole, 9)]
    assert numbers[:3] == [knee(whole).number, 0, len(legs) - 1]
    assert knee(whole).number == 30
    for count in range(1, 10):
        assert [record.number for record in spread(whole, count)] == numbers[:count]
    points = np.array(legs) / 100
    gaps = [float(np.linalg.norm(points[a] - points[b])) for a, b in pairwise(sorted(numbers))]
    assert max(gaps) <= 2 * min(gaps) + 0.05, "of nine along 1.8 none is far from evenly spread"


def test_a_spread_of_more_than_there_are_is_everything_once() -> None:
    whole = front((5, 5), (5, 5), (5, 5), (1, 1))
    assert sorted(record.number for record in spread(whole, 99)) == [0, 1, 2, 3]


def test_an_empty_front_and_no_members_are_refused() -> None:
    with pytest.raises(RunError, match="the front is empty"):
        knee(front())
    with pytest.raises(RunError, match="the front is empty"):
        spread(front(), 3)
    with pytest.raises(UsageError, match="0 members of a front; expected"):
        spread(front((1, 1)), 0)


@pytest.fixture
def run(engine: Any, tmp_path: Path) -> tuple[RecordStore, Setup]:
    """A run under a target, some of its records infeasible."""
    assert engine("run", "--strategy=random", "--budget=60", "--out=run", "--quiet").code == 0
    return RecordStore(tmp_path / "run" / "records.jsonl"), Setup(RunConfig())


def test_picks_are_what_front_and_run_show(run: tuple[RecordStore, Setup], engine: Any, records_of: Any) -> None:
    store, setup = run
    shown = [row["number"] for row in json.loads(engine("front", "run", "--json").out)["front"]]
    assert len(shown) > 3
    best = picked(store, setup, ["best"])[0]
    feasible = [record for record in store if record.status == "ok"]
    assert all(setup.objectives.merits(best) >= setup.objectives.merits(record) for record in feasible)  # type: ignore[operator]
    top = picked(store, setup, top=3)
    assert {record.number for record in top} <= set(shown)
    assert picked(store, setup, ["knee"])[0] == top[0] == knee(front_of(store, setup))
    number = feasible[-1].number
    again = picked(store, setup, [str(number), "knee", str(number)], top=3)
    assert [record.number for record in again] == list(dict.fromkeys([number, *(r.number for r in top)]))


def test_picks_that_name_no_feasible_record_are_refused(run: tuple[RecordStore, Setup]) -> None:
    store, setup = run
    infeasible = next(record for record in store if record.status == "infeasible")
    with pytest.raises(UsageError, match=f"record {infeasible.number} is infeasible: .*; expected a feasible one"):
        picked(store, setup, [str(infeasible.number)])
    with pytest.raises(UsageError, match=r"has no record 60; expected one of 0\.\.59"):
        picked(store, setup, ["60"])
    with pytest.raises(UnknownName, match="unknown pick 'kneee'; did you mean 'knee'"):
        picked(store, setup, ["kneee"])
    with pytest.raises(UsageError, match="pick '-1'; expected a record's number, from 0"):
        picked(store, setup, ["-1"])
    with pytest.raises(UsageError, match="no candidate is picked"):
        picked(store, setup)


def test_leaders_are_of_greatest_fitness_and_of_equals_the_earliest() -> None:
    found = search("nats-sss", "random", "n_relu", budget=200, seed=3)
    best: dict[float, Record] = {}
    for record in sorted(found.records, key=lambda record: (-record.scores["n_relu"], record.number)):
        best.setdefault(record.scores["n_relu"], record)
    assert 10 < len(best) < 200  # some are equal
    assert leaders(found._store, found.setup, 5) == list(best.values())[:5]
    assert leaders(found._store, found.setup, 1) == [found.best]
    assert leaders(found._store, found.setup, 1000) == list(best.values())
    with pytest.raises(UsageError, match="the 0 best; expected a whole number of at least 1"):
        leaders(found._store, found.setup, 0)


def test_leaders_of_several_objectives_lie_along_the_front() -> None:
    found = search("nats-sss", "random", objectives=["trace", "params:min"], budget=60)
    assert leaders(found._store, found.setup, 4) == spread(found.front_over(), 4)
