"""The law of truncated errors against decimal arithmetic of 450 digits."""

from __future__ import annotations

from decimal import Decimal, localcontext
from functools import cache
from math import inf, isfinite

import pytest

from fitness.mrs import log_p

DIGITS = 450  # the series below cancels about x^2 / 2.3 of them


@cache
def distribution(x: Decimal) -> Decimal:
    """The integral of exp(-t^2 / 2) from 0 to x, by its power series."""
    with localcontext(prec=DIGITS):
        term, total, n = x, x, 0
        while abs(term) > Decimal(10) ** -(DIGITS - 20):
            n += 1
            term *= -x * x / (2 * n)
            total += term / (2 * n + 1)
        return total


def exactly(mean: float, std: float, threshold: float, lower: float, upper: float) -> float:
    with localcontext(prec=DIGITS):
        low, middle, high = ((Decimal(x) - Decimal(mean)) / Decimal(std) for x in (lower, threshold, upper))
        small = distribution(middle) - distribution(low)
        return float((small / (distribution(high) - distribution(low))).ln())


@pytest.mark.parametrize(
    ("mean", "std", "threshold", "lower", "upper"),
    [
        (0.8060571, 0.104602, 0.01, 0.0, 2.0),
        (0.0, 1.0, 0.5, -1.0, 1.0),
        (0.5, 100.0, 0.01, 0.0, 2.0),  # nearly uniform: both masses are narrow
        (0.5, 1e7, 0.01, 0.0, 2.0),
        (0.8, 0.04, 0.01, 0.0, 2.0),  # 20 standard deviations away
        (0.8, 0.04, 1e-9, 0.0, 2.0),  # likewise, and a narrow mass
        (-0.1, 0.02, 0.01, 0.0, 0.2),  # mean below the bounds
        (2.5, 0.15, 0.01, 0.0, 2.0),  # and above
        (0.01, 0.005, 0.01, 0.0, 0.1),
        (1.0, 0.3, 1.9999999, 0.0, 2.0),  # nearly all of it
        (50.0, 12.0, 0.01, 0.0, 100.0),
    ],
)
def test_log_p_is_exact(mean: float, std: float, threshold: float, lower: float, upper: float) -> None:
    found = log_p(mean, std, threshold, lower, upper)
    assert found == pytest.approx(exactly(mean, std, threshold, lower, upper), rel=1e-11, abs=1e-13)


def test_order_is_kept_where_the_authors_program_has_a_floor() -> None:
    """Theirs is ln 1e-300 = -690.8 for all of these."""
    spreads = [1e-6, 1e-4, 1e-3, 0.01, 0.02]
    values = [log_p(0.8, std, 0.01, 0, 2) for std in spreads]
    assert values == sorted(set(values))
    assert all(-inf < value < -690.8 for value in values)
    means = [log_p(mean, 1e-3, 0.01, 0, 2) for mean in (3.0, 1.9, 1.0, 0.5)]
    assert means == sorted(set(means))


def test_extremes_stay_numbers_at_most_zero() -> None:
    for mean in (-1e6, -1.0, 0.0, 0.5, 3.0, 1e6):
        for std in (1e-12, 1e-3, 1.0, 1e6, 1e12):
            value = log_p(mean, std, 0.01, 0, 2)
            assert isfinite(value)
            assert value <= 1e-15
