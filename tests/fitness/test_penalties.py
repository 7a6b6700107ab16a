"""Size penalties: one up to the transition, then smoothly to zero, as the dissertation's text and Figure 14 say."""

from __future__ import annotations

from itertools import pairwise
from math import cosh, exp, log, pi, sqrt

import pytest

from fitness.penalties import PENALTY_NAMES, Penalty, penalty
from spaces.errors import UnknownName, UsageError

MB = 1_000_000
BUDGET = 262_144


@pytest.mark.parametrize(
    ("kind", "values"),
    [  # Fernandes 2022, equations 15 to 17 without their densities' constants; x in MB: the value there
        ("gdf", {0.0: 1, 0.2: 1, 0.6: exp(-0.5), 1.0: exp(-2), 1.8: exp(-8)}),
        ("hsdf", {0.0: 1, 0.2: 1, 0.6: 1 / cosh(pi / 2), 1.0: 1 / cosh(pi)}),
        ("rdf", {0.0: 1, 0.1: 1, 0.2: 1, 0.4: 2 * exp(0.5 - 2), 0.6: 3 * exp(0.5 - 4.5)}),
    ],
)
def test_values_by_hand(kind: str, values: dict[float, float]) -> None:
    made = penalty(kind, {})
    for x, expected in values.items():
        assert made(x * MB) == pytest.approx(expected, rel=1e-12)
        assert made.log(x * MB) == pytest.approx(log(expected), rel=1e-12, abs=1e-12)


def test_parameters_are_in_megabytes_of_a_million_bytes() -> None:
    assert penalty("gdf", {"mu": 0.5, "sigma": 0.25})(MB) == pytest.approx(exp(-2))
    assert penalty("hsdf", {"mu": 0.5, "s": 0.25})(MB) == pytest.approx(1 / cosh(pi))
    assert penalty("rdf", {"sigma": 0.5})(MB) == pytest.approx(2 * exp(0.5 - 2))
    assert penalty("gdf", {"sigma": sqrt(0.4)})(MB) == pytest.approx(exp(-0.8))  # "sigma squared is 0.4"
    assert penalty("gdf", {"mu": 0})(0) == 1


@pytest.mark.parametrize("kind", PENALTY_NAMES)
def test_starts_at_one_falls_smoothly_and_reaches_zero(kind: str) -> None:
    made = penalty(kind, {})
    transition = made.scale if kind == "rdf" else made.mu
    sizes = [i * 1000 for i in range(4001)]
    factors = [made(size) for size in sizes]
    assert factors[0] == 1
    assert all(factor == 1 for size, factor in zip(sizes, factors, strict=True) if size <= transition * MB)
    beyond = [factor for size, factor in zip(sizes, factors, strict=True) if size > transition * MB]
    assert all(a > b for a, b in pairwise(beyond))
    assert 0 < factors[-1] < 1e-5
    # Neither a jump nor a kink at the transition: the factor is one and its slope zero there.
    step = 10
    assert made(transition * MB + step) == pytest.approx(1, abs=1e-7)
    assert made(1e9 * MB) == 0  # the factor underflows,
    assert made.log(2e9 * MB) < made.log(1e9 * MB) < -1e8  # its logarithm does not


def test_two_sided_penalties_fall_on_both_sides() -> None:
    gdf = penalty("gdf", {"side": "both"})
    assert gdf(0) == pytest.approx(exp(-0.125))
    assert gdf(0.2 * MB) == 1
    assert gdf(0.1 * MB) == gdf(0.3 * MB) < 1
    hsdf = penalty("hsdf", {"side": "both"})
    assert hsdf(0) == pytest.approx(1 / cosh(pi / 4)) == pytest.approx(hsdf(0.4 * MB))
    assert penalty("gdf", {"side": "upper"}) == penalty("gdf", {})


def test_literal_equations_are_densities_that_jump_at_the_transition() -> None:
    """Equations 15 to 17 as printed; below the transition the score is unchanged."""
    gdf = penalty("gdf", {"literal": True})
    assert gdf(0.6 * MB) == pytest.approx(exp(-0.5) / (0.4 * sqrt(2 * pi)))
    assert gdf(0.2 * MB) == pytest.approx(1 / (0.4 * sqrt(2 * pi)))
    assert gdf(0.2 * MB - 1) == 1
    hsdf = penalty("hsdf", {"literal": True})
    assert hsdf(0.6 * MB) == pytest.approx(0.5 / cosh(pi / 2 * 0.4))
    assert hsdf(0.2 * MB) == pytest.approx(0.5)
    rdf = penalty("rdf", {"literal": True})
    assert rdf(0.4 * MB) == pytest.approx(0.4 / 0.04 * exp(-2))


def test_order_of_options_does_not_matter() -> None:
    shifted = {"literal": True, "mu": 0.1}
    assert penalty("rdf", shifted) == penalty("rdf", dict(reversed(shifted.items())))


@pytest.mark.parametrize("kind", PENALTY_NAMES)
@pytest.mark.parametrize("literal", [True, False])
def test_a_network_of_one_weight_has_a_factor(kind: str, literal: bool) -> None:
    for options in ({}, {"mu": 0.0}):
        if kind != "rdf" or literal or not options:
            assert 0 <= penalty(kind, {"literal": literal} | options)(1) <= 1


def test_without_a_target_size_is_one_byte_per_parameter() -> None:
    assert {penalty(kind, {}).figure for kind in PENALTY_NAMES} == {"params"}
    assert penalty("gdf", {}) == Penalty("gdf", "params", 0.2, 0.4)
    assert penalty("hsdf", {}) == Penalty("hsdf", "params", 0.2, 0.4)
    assert penalty("rdf", {}) == Penalty("rdf", "params", 0.2, 0.2)


def test_under_a_target_bare_penalties_say_use_the_budget() -> None:
    gdf = penalty("gdf", {}, BUDGET)
    assert (gdf.figure, gdf.mu, gdf.scale, gdf.side) == ("flash_bytes", 0.262144, 0.131072, "both")
    assert gdf(BUDGET) == 1
    assert gdf(BUDGET / 2) == pytest.approx(exp(-0.5)) == pytest.approx(gdf(BUDGET * 1.5))
    rdf = penalty("rdf", {}, BUDGET)
    assert rdf(BUDGET) == 1
    assert rdf(2 * BUDGET) == pytest.approx(2 * exp(0.5 - 2))


def test_under_a_target_a_penalty_with_options_is_the_published_one() -> None:
    assert penalty("gdf", {"side": "upper"}, BUDGET) == Penalty("gdf", "flash_bytes", 0.2, 0.4)
    assert penalty("gdf", {"mu": 0.1}, BUDGET) == Penalty("gdf", "flash_bytes", 0.1, 0.4)
    assert penalty("rdf", {"sigma": 0.1}, BUDGET) == Penalty("rdf", "flash_bytes", 0.1, 0.1)


def test_what_was_chosen_is_said() -> None:
    assert str(penalty("gdf", {})) == "gdf(mu=0.2, sigma=0.4) on params in MB"
    assert str(penalty("gdf", {}, BUDGET)) == "gdf(mu=0.262144, sigma=0.131072, side=both) on flash_bytes in MB"
    assert str(penalty("rdf", {"literal": True})) == "rdf(sigma=0.2, literal=true) on params in MB"


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("gdf", {"s": 0.4}, "takes no option 's'"),
        ("hsdf", {"sigma": 0.4}, "takes no option 'sigma'"),
        ("rdf", {"mu": 0.4}, "takes no option 'mu'"),
        ("rdf", {"side": "both"}, "takes no option 'side'"),
        ("gdf", {"side": "lower"}, "expected upper or both"),
        ("gdf", {"side": True}, "expected upper or both"),
        ("gdf", {"literal": 1}, "expected true or false"),
        ("gdf", {"sigma": 0}, "sigma > 0"),
        ("gdf", {"sigma": -1}, "sigma > 0"),
        ("gdf", {"mu": -0.1}, "mu >= 0"),
        ("gdf", {"mu": True}, "expected a finite number"),
        ("gdf", {"mu": "much"}, "expected a finite number"),
        ("gdf", {"mu": float("nan")}, "expected a finite number"),
        ("rdf", {"sigma": float("inf")}, "expected a finite number"),
    ],
)
def test_options_that_make_no_sense_are_refused(kind: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        penalty(kind, options)


def test_unknown_penalties_are_named_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean 'hsdf'"):
        penalty("hsfd", {})
