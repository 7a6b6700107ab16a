"""An int8 network as data: what quantisation makes, and what is written to a file, run and judged.

The scheme is TensorFlow Lite's (Jacob et al., arXiv:1712.05877; the int8 specification): real = scale * (q -
zero_point); activations int8 with one scale and zero point per tensor, weights int8 with zero point 0 and one
scale per output channel of a convolution, one in all of a dense layer, biases int32 with the scale of input times
weights. All scales are float32 numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fitness.deploy import Kernel

__all__ = ["HIGHEST", "LOWEST", "QuantisedKernel", "QuantisedNetwork", "Scheme"]

LOWEST, HIGHEST = -128, 127


@dataclass(frozen=True, slots=True)
class Scheme:
    """How one tensor of activations is stored: real = scale * (q - zero_point), q from -128 to 127."""

    scale: float
    zero_point: int

    def quantised(self, reals: NDArray[np.float32]) -> NDArray[np.int8]:
        """The nearest stored numbers, ties away from zero, in the float32 arithmetic of the QUANTIZE kernel."""
        counts = reals.astype(np.float32) / np.float32(self.scale)
        whole = np.trunc(counts)
        whole += np.sign(counts) * (np.abs(counts - whole) >= 0.5)  # exact: np.rint would send ties to even
        stored: NDArray[np.int8] = np.clip(whole + self.zero_point, LOWEST, HIGHEST).astype(np.int8)
        return stored

    def reals(self, stored: NDArray[np.int8]) -> NDArray[np.float32]:
        """What stored numbers stand for, in the float32 arithmetic of the DEQUANTIZE kernel."""
        return (stored.astype(np.int32) - self.zero_point).astype(np.float32) * np.float32(self.scale)


@dataclass(frozen=True, slots=True, eq=False)
class QuantisedKernel:
    """One kernel of `fitness.deploy.fused` with its numbers.

    A batch norm that no convolution precedes is a depthwise convolution of 1x1, DEPTHWISE_CONV_2D: one factor
    and one bias per channel.

    Args:
        kernel: What it computes, batch norm folded and ReLU fused.
        output: How its output is stored. What only moves or averages numbers (pooling, slices, shifts, `Zero`,
            concatenation, a sum of one term) has its inputs' scheme, as TensorFlow Lite demands.
        weights: int8, (channels, inputs per group, height, width) of a convolution, (units, inputs) of a dense
            layer whose inputs count through (C, H, W) in torch's order, (channels, 1, 1, 1) of a batch norm of
            its own; None for others.
        scales: (channels,) scale of every output channel of the weights; (1,) of a dense layer, as the int8
            specification says: runtimes of before 2024 read no further ones of FULLY_CONNECTED.
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
