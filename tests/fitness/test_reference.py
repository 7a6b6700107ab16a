"""Quantiles in a reference sample, against the definition computed another way."""

from __future__ import annotations

from itertools import pairwise
from math import exp, inf, log, nan
from random import Random

import numpy
import pytest

from engine.config import RunConfig
from engine.preparation import sample_scores
from engine.setup import Setup
from fitness.reference import SAMPLE, SEED, Quantiles
from spaces import SPACES
from spaces.errors import RunError
from spaces.space import Space


def _samples() -> list[list[float]]:
    rng = Random(0)
    return [
        [rng.gauss(0, 1) for _ in range(256)],
        [rng.lognormvariate(10, 3) for _ in range(256)],
        [float(rng.randrange(7)) for _ in range(256)],  # many ties, as trace has on the topology space
        [rng.random() for _ in range(11)],
        [3.0, 1.0, 2.0],
        [-5.0, 5.0],
    ]


@pytest.mark.parametrize("sample", _samples(), ids=len)
def test_quantiles_at_and_between_sample_points(sample: list[float]) -> None:
    """At a sample point q = (number below + 1/2) / (n + 1), between two it is linear."""
    quantiles = Quantiles("score", sample)
    points = numpy.unique(sample)
    q = numpy.array([(sum(value < point for value in sample) + 0.5) / (len(sample) + 1) for point in points])
    for x in numpy.linspace(points[0], points[-1], 301):
        assert exp(quantiles.log_q(float(x))) == pytest.approx(float(numpy.interp(x, points, q)), rel=1e-9)


@pytest.mark.parametrize("sample", _samples(), ids=len)
def test_quantiles_rise_strictly_everywhere(sample: list[float]) -> None:
    quantiles = Quantiles("score", sample)
    low, high = min(sample), max(sample)
    width = high - low
    at = [quantiles.log_q(float(x)) for x in numpy.linspace(low - 3 * width, high + 3 * width, 2001)]
    assert all(a < b for a, b in pairwise(at))


def test_beyond_the_ends_the_slope_is_that_of_the_outer_tenth() -> None:
    """Of 200 evenly spread values, the outer tenth are the last 20 steps."""
    sample = [float(value) for value in range(201)]
    quantiles = Quantiles("score", sample)
    q = [(below + 0.5) / 202 for below in range(201)]
    upper = (log(q[200]) - log(q[180])) / 20
    lower = (log(q[20]) - log(q[0])) / 20
    for distance in (1, 10, 1e6):
        assert quantiles.log_q(200 + distance) - log(q[200]) == pytest.approx(upper * distance, rel=1e-9)
        assert log(q[0]) - quantiles.log_q(-distance) == pytest.approx(lower * distance, rel=1e-9)


def test_values_beyond_the_ends_are_kept_apart_however_many_tie_there() -> None:
    for sample in ([1.0] * 100 + [2.0], [1.0] + [2.0] * 100, [4.0] * 256, [0.0]):
        quantiles = Quantiles("score", sample)
        high, low = max(sample), min(sample)
        assert quantiles.log_q(high) < quantiles.log_q(high + 1) < quantiles.log_q(high + 2)
        assert quantiles.log_q(low) > quantiles.log_q(low - 1) > quantiles.log_q(low - 2)


def test_order_of_the_sample_does_not_matter_and_non_finite_values_are_left_out() -> None:
    sample = _samples()[0]
    shuffled = [nan, inf, -inf, *reversed(sample)]
    assert Quantiles("score", shuffled).sample == Quantiles("score", sample).sample == tuple(sorted(sample))


@pytest.mark.parametrize("sample", [[], [nan, inf]])
def test_a_score_that_is_never_finite_has_no_quantiles(sample: list[float]) -> None:
    with pytest.raises(RunError, match=f"'score' is finite for none of {len(sample)}"):
        Quantiles("score", sample)


def test_the_reference_sample_is_256_networks_of_seed_0_whatever_the_run() -> None:
    assert (SAMPLE, SEED) == (256, 0)
    made = [
        Setup(RunConfig(fitness="trace+macs", seed=seed, target=target, bounds=bounds)).reference()
        for seed, target, bounds in ((0, "none", ()), (7, "default", ()), (1, "none", ("params<=1000",)))
    ]
    assert made[0] == made[1] == made[2]
    assert {name: len(values) for name, values in made[0].items()} == {"trace": 256, "macs": 256}
    space, rng = SPACES.create("munas", {}), Random(0)
    assert isinstance(space, Space)
    trace = Setup(RunConfig()).fitness("trace")
    assert made[0]["trace"] == [trace(space.decode(space.sample(rng))) for _ in range(256)]


def test_no_score_needs_no_sample() -> None:
    assert sample_scores(Setup(RunConfig(space="nats-sss")), []) == {}
