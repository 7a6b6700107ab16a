"""The share of its box that a run's front covers, against shares worked out by hand."""

from __future__ import annotations

import json
import math
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
    assert [volume for _, volume in found.steps] == pytest.approx([320, 320, 400, 400])
    assert found.volume == found.steps[-1][1]
    assert found.share == pytest.approx(0.625)
    assert str(found) == (
        "hypervolume 400 from (worth 0; size 100); compares with runs of the same objectives and bounds\n"
        "  0.625 of the box from there to this run's best (worth 8; size 20); of this run alone"
    )


def test_volumes_rank_runs_and_shares_do_not() -> None:
    """The poorer run comes nearer to its own best, and the better one covers all that it does and more."""
    poorer = _covered(_records((4.0, 50.0)), _objectives(*BOTH, limit=100.0))
    better = _covered(_records((4.0, 50.0), (8.0, 90.0)), _objectives(*BOTH, limit=100.0))
    assert poorer.comparable
    assert better.comparable
    assert poorer.reference == better.reference
    assert (poorer.share, better.share) == (1, pytest.approx(0.6))
    assert (poorer.volume, better.volume) == (pytest.approx(200), pytest.approx(240))


def test_without_a_bound_or_with_no_worth_above_zero_it_is_the_worst_that_is_feasible() -> None:
    found = _covered(_records((-4.0, 20.0), (4.0, 80.0), (2.0, 40.0)), _objectives(*BOTH))
    assert (found.reference, found.ideal) == ((0.0, 80.0), (4.0, 20.0))
    assert found.share == pytest.approx(0.5 * 40 / 60)
    assert found.own == ("size",)
    assert "hypervolume 80 from (worth 0; size 80); of this run alone, its worst size being" in str(found)
    below = _covered(_records((-4.0, 20.0), (-2.0, 80.0)), _objectives(*BOTH, limit=90.0))
    assert (below.reference, below.own, below.comparable) == ((-4.0, 90.0), ("worth",), False)
    assert below.volume == pytest.approx(20)


def test_what_is_infinite_covers_nothing() -> None:
    found = _covered(_records((-math.inf, 1.0), (8.0, 80.0)), _objectives(*BOTH, limit=100.0))
    assert (found.ideal, found.volume) == ((8.0, 80.0), pytest.approx(160))


def test_a_run_is_divided_into_equal_steps_that_only_grow() -> None:
    records = _records(*((float(1 + 7 * i % 1000), float(1 + 11 * i % 997)) for i in range(1000)))
    found = _covered(records, _objectives(*BOTH), steps=20)
    assert len(found.steps) == 20
    assert found.steps[-1][0] == 999
    volumes = [volume for _, volume in found.steps]
    assert volumes == sorted(volumes)
    half = [record for record in records if record.number <= found.steps[9][0]]
    assert volumes[9] < volumes[-1]
    assert found.share <= 1
    assert _covered([*half, *records], _objectives(*BOTH)).volume == pytest.approx(volumes[-1])


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
    assert f"hypervolume {told['volume']:.4g} from (trace 0; flash_bytes 262,144); compares with runs" in shown
    assert f"  {told['share']:.3f} of the box from there to this run's best (trace " in shown
    assert told["reference"] == {"trace": 0, "flash_bytes": 262144}
    assert told["comparable"] is True
    assert told["steps"][-1] == [59, told["volume"]]
    box = told["ideal"]["trace"] * (262144 - told["ideal"]["flash_bytes"])
    assert told["share"] == pytest.approx(told["volume"] / box)
    lone = engine("run", "--strategy=random", "--fitness=trace", "--budget=20", "--quiet", "--json")
    assert json.loads(lone.out)["hypervolume"] is None
