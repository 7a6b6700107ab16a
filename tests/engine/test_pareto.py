"""Fronts and hypervolumes against what follows from their definitions."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.pareto import hypervolume, non_dominated


def _sphere(count: int, width: int, seed: int = 0) -> NDArray[np.float64]:
    """Points of which none dominates another."""
    points = np.abs(np.random.default_rng(seed).normal(size=(count, width)))
    return points / np.linalg.norm(points, axis=1, keepdims=True)  # type: ignore[no-any-return]


@pytest.mark.parametrize("width", [2, 3, 4])
def test_a_front_of_a_hundred_thousand_is_told_from_what_it_beats(width: int) -> None:
    front = _sphere(100_000, width)
    assert non_dominated(front).all()
    beaten = 0.999 * front[::100]
    mask = non_dominated(np.concatenate([beaten, front]))
    assert not mask[: len(beaten)].any()
    assert mask[len(beaten) :].all()


@pytest.mark.parametrize("width", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("count", [1, 2, 9])
def test_a_hypervolume_is_the_inclusion_exclusion_of_boxes(width: int, count: int) -> None:
    """The volume of a union: that of every one, less that of every two together, and so on."""
    rng = np.random.default_rng(10 * width + count)
    points, reference = rng.integers(-3, 9, (count, width)).astype(float), rng.integers(-2, 2, width).astype(float)
    expected = 0.0
    for size in range(1, count + 1):
        for chosen in combinations(points, size):
            sides = np.maximum(np.min(chosen, axis=0) - reference, 0)
            expected += (-1) ** (size + 1) * np.prod(sides)
    assert hypervolume(points, reference) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("width", [2, 3, 4])
def test_the_hypervolume_of_a_long_front_is_the_share_of_random_points_that_it_beats(width: int) -> None:
    front, draws = _sphere(1000, width), np.random.default_rng(1).random((4000, width))
    share = np.mean([np.any(np.all(front >= draw, axis=1)) for draw in draws])
    assert hypervolume(front, np.zeros(width)) == pytest.approx(share, abs=4 * 0.5 / 4000**0.5)


def test_dominated_equal_and_infinitely_bad_points_add_nothing() -> None:
    front = _sphere(50, 3)
    more = np.concatenate([front, front[:9], 0.9 * front, [[-np.inf, 2.0, 2.0]], [[2.0, 2.0, 0.0]]])
    assert hypervolume(more, (0, 0, 0)) == pytest.approx(hypervolume(front, (0, 0, 0)), rel=1e-12)


def test_without_a_point_that_beats_the_reference_it_is_nothing() -> None:
    assert hypervolume(np.empty((0, 2)), (0, 0)) == 0
    assert hypervolume(np.array([[0.0, 5.0], [5.0, -1.0]]), (0, 0)) == 0
