"""Integer arithmetic of TensorFlow Lite's int8 reference kernels, bit for bit, on many elements at once.

Jacob et al., Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference,
arXiv:1712.05877, eqs. (5) to (7): a real factor is a mantissa of 31 bits and a power of two.
"""

from __future__ import annotations

from math import floor, frexp
from typing import NamedTuple

import torch
from torch import Tensor

from fitness.quantised import HIGHEST, LOWEST, Scheme

__all__ = ["Factors", "clamped", "factors", "rounded_quotient", "scaled"]


class Factors(NamedTuple):
    """Real factors as integers: mantissa * 2**(shift - 31), one per channel or a single one."""

    mantissas: Tensor
    shifts: Tensor


def factors(*reals: float) -> Factors:
    """The nearest factors to non-negative real numbers.

    The mantissa lies in [2**30, 2**31), or is 0 for a number below 2**-32.
    """
    mantissas, shifts = [], []
    for real in reals:
        part, shift = frexp(real)
        mantissa = floor(part * 2**31 + 0.5)
        if mantissa == 2**31:
            mantissa, shift = 2**30, shift + 1
        if shift < -31:
            mantissa = shift = 0
        mantissas.append(mantissa)
        shifts.append(shift)
    return Factors(torch.tensor(mantissas), torch.tensor(shifts))


def scaled(values: Tensor, by: Factors) -> Tensor:
    """The products, rounded twice: in the high half of the product, ties up, then at the shift, ties from zero.

    Args:
        values: int64, each within 32 bits; (N, C, ...) or any shape for a single factor. Overwritten.
        by: One factor per channel, or a single one.

    Returns:
        int64 of the shape of `values`.
    """
    trailing = (1,) * (values.ndim - 2) if len(by.mantissas) > 1 else ()
    mantissas, shifts = by.mantissas.view(-1, *trailing), by.shifts.view(-1, *trailing)
    if bool((shifts > 0).any()):
        values <<= shifts.clamp(min=0)
    values *= mantissas
    values += 1 << 30
    values >>= 31
    right = (-shifts).clamp(min=0)
    half = (1 << right) >> 1
    values += (values >> 63) * (half > 0)  # one less where negative: ties go away from zero
    values += half
    values >>= right
    return values


def clamped(values: Tensor, scheme: Scheme, relu: bool) -> Tensor:
    """int8 of integers that already count from the zero point; below zero nothing is left where a ReLU applies."""
    values += scheme.zero_point
    return values.clamp_(scheme.zero_point if relu else LOWEST, HIGHEST).to(torch.int8)


def rounded_quotient(sums: Tensor, counts: Tensor) -> Tensor:
    """Integer means, ties away from zero.

    Args:
        sums: int64.
        counts: Positive int64, of a shape that fits.
    """
    half = counts // 2
    return torch.div(torch.where(sums > 0, sums + half, sums - half), counts, rounding_mode="trunc")
