"""An int8 network as data: what quantisation makes, and what is written to a file, run and judged.

The scheme is TensorFlow Lite's (Jacob et al., arXiv:1712.05877; the int8 specification): real = scale * (q -
zero_point); activations int8 with one scale and zero point per tensor, kernels int8 with zero point 0 and one
scale per output channel, biases int32 with the scale of input times kernel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fitness.deploy import Kernel

__all__ = ["QuantisedKernel", "QuantisedNetwork", "Scheme"]


@dataclass(frozen=True, slots=True)
class Scheme:
    """How one tensor of activations is stored: real = scale * (q - zero_point), q from -128 to 127."""

    scale: float
    zero_point: int


@dataclass(frozen=True, slots=True, eq=False)
class QuantisedKernel:
    """One kernel of `fitness.deploy.fused` with its numbers.

    Args:
        kernel: What it computes, batch norm folded and ReLU fused.
        output: How its output is stored. What only moves numbers (max pooling, slices, padding) has its input's
            scheme, as TensorFlow Lite demands.
        weights: int8, (channels, inputs per group, height, width) of a convolution, (units, inputs) of a dense
            layer whose inputs count through (C, H, W) in torch's order; None for others.
        scales: (channels,) scale of every output channel of the weights.
        biases: (channels,) int32 with scale `input scale * scales`; zeros where the layer has no bias.
        partial: Schemes of the n - 2 intermediate sums of a sum of n > 2 terms, taken in order, pairwise.
    """

    kernel: Kernel
    output: Scheme
    weights: NDArray[np.int8] | None = None
    scales: NDArray[np.float64] | None = None
    biases: NDArray[np.int32] | None = None
    partial: tuple[Scheme, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class QuantisedNetwork:
    """The kernels of a network in execution order, the input first."""

    kernels: tuple[QuantisedKernel, ...]
