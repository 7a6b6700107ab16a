"""The share of its box that a run's front covers, against shares worked out by hand."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engine.objectives import Bound, Objective, Objectives
from engine.records import Candidate, Record
from engine.results.hypervolume import MOST_OBJECTIVES, Coverage, coverage
from fitness.expression import Expression
from spaces.space import Genotype
from tests.engine.toys import make, told


def _objectives(*ways: tuple[str, str], limit: float | None = None) -> Objectives:
    bounds = () if limit is None else (Bound(make("size", {}), "<=", limit),)
    return Objectives(tuple(Objective(Expression(name, make), way) for name, way in ways), bounds)


def _records(*points: tuple[float, float] | None) -> list[Record]:
    """Feasible ones of (worth, size), and infeasible ones."""
    return [
        told(Candidate(number, Genotype({})), status="infeasible")
        if point is None
        else told(Candidate(number, Genotype({})))._replace(scores={"worth": point[0], "size": point[1]})
        for number, point in enumerate(points)
    ]


def _covered(records: list[Record], objectives: Objectives, steps: int = 50) -> Coverage:
    found = coverage(records, objectives, steps)
    assert found is not None
    return found


BOTH = (("worth", "max"), ("size", "min"))


def test_the_reference_is_nothing_and_the_bound() -> None:
    """Of 8 x 80: 4 x 80 is covered by one, 8 x 20 by the other, 4 x 20 by both."""
    found = _covered(_records((4.0, 20.0), None, (8.0, 80.0), (2.0, 90.0)), _objectives(*BOTH, limit=100.0))
    assert (found.reference, found.ideal) == ((0.0, 100.0), (8.0, 20.0))
    assert [number for number, _ in found.steps] == [0, 1, 2, 3]
    assert [share for _, share in found.steps] == pytest.approx([0.5, 0.5, 0.625, 0.625])
    assert str(found) == "hypervolume 0.625 of the box to (worth 0; size 100)"


def test_without_a_bound_or_with_a_worth_below_zero_it_is_the_worst_that_is_feasible() -> None:
    found = _covered(_records((-4.0, 20.0), (4.0, 80.0), (0.0, 40.0)), _objectives(*BOTH))
    assert (found.reference, found.ideal) == ((-4.0, 80.0), (4.0, 20.0))
    assert found.share == pytest.approx(0.5 * 40 / 60)


def test_a_run_is_divided_into_equal_steps_that_only_grow() -> None:
    records = _records(*((float(1 + 7 * i % 1000), float(1 + 11 * i % 997)) for i in range(1000)))
    found = _covered(records, _objectives(*BOTH), steps=20)
    assert len(found.steps) == 20
    assert found.steps[-1][0] == 999
    shares = [share for _, share in found.steps]
    assert shares == sorted(shares)
    half = [record for record in records if record.number <= found.steps[9][0]]
    assert shares[9] < shares[-1] <= 1
    assert _covered([*half, *records], _objectives(*BOTH)).share == pytest.approx(shares[-1])


def test_what_does_not_differ_covers_nothing() -> None:
    assert _covered(_records((-1.0, 5.0), (-1.0, 3.0)), _objectives(*BOTH)).share == 0


def test_there_is_none_of_one_objective_of_too_many_or_without_a_feasible_record() -> None:
    assert coverage(_records((1.0, 2.0)), _objectives(BOTH[0])) is None
    many = tuple((f"s{i}", "max") for i in range(MOST_OBJECTIVES + 1))
    assert coverage(_records((1.0, 2.0)), _objectives(*many)) is None
    assert coverage(_records(None, None), _objectives(*BOTH)) is None


def test_a_run_of_several_objectives_says_what_it_covers(engine: Any) -> None:
    run = ("run", "--strategy=nsga2", "--objective=trace", "--objective=flash_bytes:min", "--budget=60", "--quiet")
    shown, told = engine(*run).out, json.loads(engine(*run, "--json").out)["hypervolume"]
    assert f"hypervolume {told['share']:.3f} of the box to (trace 0; flash_bytes 262,144)\n" in shown
    assert told["reference"] == {"trace": 0, "flash_bytes": 262144}
    lone = engine("run", "--strategy=random", "--fitness=trace", "--budget=20", "--quiet", "--json")
    assert json.loads(lone.out)["hypervolume"] is None
