"""The probability that a truncated normal law gives to small errors, as a logarithm that never underflows.

Camero, Toutouh and Alba: "Low-cost recurrent neural network expected performance evaluation" (2018,
arXiv 1805.07159), as their program acamero/dlopt computes it: mean and standard deviation of the errors are taken
as location and scale of the law before truncation; it is not a maximum-likelihood fit of a truncated one.

Differs from the program: where its probability is below the least float it returns ln 1e-300 for every network;
here the order is kept.
"""

from __future__ import annotations

from math import exp, log, log1p, pi

import numpy as np

__all__ = ["log_p"]

_LOG_ROOT_2PI = 0.5 * log(2 * pi)
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(12)


def log_p(mean: float, std: float, threshold: float, lower: float, upper: float) -> float:
    """Ln P(error <= threshold) of a normal law truncated to [lower, upper]; at most 0.

    Args:
        mean: Location before truncation; may lie outside the bounds.
        std: Scale before truncation, above 0.
        threshold: Between the bounds, and not one of them.
        lower: Of the errors.
        upper: Of the errors.
    """
    start = (lower - mean) / std
    return _log_mass(start, (threshold - lower) / std) - _log_mass(start, (upper - lower) / std)


def _log_mass(start: float, width: float) -> float:
    """Ln of the integral of the standard normal density from `start` on, over `width` > 0."""
    from scipy.special import log_ndtr, ndtr

    low, high = start, start + width
    if low + high > 0:  # the same mass on the other side, where the distribution function is small and exact
        low, high = -high, -low
    if width * (1 + abs(low)) < 1:
        # Narrow: a difference of distribution functions would cancel. Gauss-Legendre about the middle is exact.
        middle = 0.5 * (low + high)
        steps = 0.5 * width * _NODES
        mean = 0.5 * float(_WEIGHTS @ np.exp(-steps * (middle + 0.5 * steps)))
        return log(width) + log(mean) - 0.5 * middle * middle - _LOG_ROOT_2PI
    if high > 0:
        return log1p(-float(ndtr(low)) - float(ndtr(-high)))
    greater = float(log_ndtr(high))
    return greater + log1p(-exp(float(log_ndtr(low)) - greater))
