"""Random Chebyshev scalarisation: the published formula, and what stands in for a bound where there is none."""

from __future__ import annotations

import math
from random import Random

import numpy as np
import pytest

from engine.objectives import Bound, Objective, Objectives
from engine.records import Candidate, Record
from engine.strategies.aging import AgingEvolution
from engine.strategies.base import stream
from engine.strategies.chebyshev import CAP, Chebyshev
from fitness.expression import Expression
from tests.engine.toys import Grid, drive, make, numbers, told

LIMITS = {"error": 0.18, "peak": 75_000.0, "size": 70_000.0, "macs": 3e7}


def _objectives(bounds: dict[str, float], **directions: str) -> Objectives:
    return Objectives(
        tuple(Objective(Expression(name, make), direction) for name, direction in directions.items()),
        tuple(Bound(make(name, {}), "<=", limit) for name, limit in bounds.items()),
    )


def _figures(candidate: Candidate) -> Record:
    """Four figures within their bounds, each of another choice."""
    shares = [(1 + value) / 10 for value in numbers(candidate.genotype)]
    scores = {name: share * limit for share, (name, limit) in zip(shares, LIMITS.items(), strict=True)}
    return told(candidate)._replace(scores=scores)


def test_parents_are_those_of_the_published_formula() -> None:
    """An independent writing of it, on the same random numbers: weights first, then the tournament's entrants."""
    seed, population, tournament = 3, 10, 4
    objectives = _objectives(LIMITS, error="min", peak="min", size="min", macs="min")
    strategy = AgingEvolution(Grid(4, 9), objectives, seed, population, tournament)
    records = drive(strategy, 80, _figures)
    assert len({record.parent for record in records}) > 20
    for record in records[population:]:
        rng = stream(seed, record.number)
        weights = {name: 1 - rng.random() for name in LIMITS}
        alive = records[record.number - population : record.number]
        entrants = [rng.choice(alive) for _ in range(tournament)]
        fitness = [
            -max(min(one.scores[name] / limit, 10) / weights[name] for name, limit in LIMITS.items())
            for one in entrants
        ]
        assert record.parent == entrants[fitness.index(max(fitness))].number


def test_a_ratio_is_to_the_tightest_upper_bound_and_capped() -> None:
    objectives = _objectives({"size": 50.0}, size="min", macs="min")
    tight = Objectives(objectives.objectives, (*objectives.bounds, Bound(make("size", {}), "<=", 20.0)))
    merits = np.array([[-10.0, -1.0], [-300.0, -1.0], [-math.inf, -1.0]])
    assert Chebyshev(objectives).ratios(merits)[:, 0].tolist() == [0.2, 6.0, CAP]
    assert Chebyshev(tight).ratios(merits)[:, 0].tolist() == [0.5, CAP, CAP]


@pytest.mark.parametrize("limit", [None, 0.0, -5.0])
def test_without_a_bound_that_is_a_scale_the_range_of_those_compared_is(limit: float | None) -> None:
    bounds = {} if limit is None else {"size": limit}
    objectives = _objectives(bounds | {"worth": 9.0}, size="min", worth="max", same="min")
    merits = np.array([[-6.0, -3.0, 7.0], [-10.0, 5.0, 7.0], [-8.0, -math.inf, 7.0]])
    expected = [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.5, CAP, 0.0]]
    assert Chebyshev(objectives).ratios(merits).tolist() == expected


def test_where_nothing_is_finite_everything_is_as_bad_as_can_be() -> None:
    ratios = Chebyshev(_objectives({}, a="max", b="max")).ratios(np.full((3, 2), -math.inf))
    assert (ratios == CAP).all()


def test_the_best_at_everything_always_wins_and_the_others_by_turns() -> None:
    scalarisation, rng = Chebyshev(_objectives({}, a="max", b="max")), Random(0)
    corners = np.array([[9.0, 0.0], [0.0, 9.0], [6.0, 6.0]])
    assert {int(np.argmax(scalarisation.fitness(corners, rng))) for _ in range(100)} == {0, 1, 2}
    with_best = np.concatenate([corners, [[9.0, 9.0]]])
    assert {int(np.argmax(scalarisation.fitness(with_best, rng))) for _ in range(100)} == {3}
