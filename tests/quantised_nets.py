"""Int8 networks with random numbers: enough to be written, run and measured without training anything."""

from __future__ import annotations

import numpy as np

from fitness.deploy import fused
from fitness.quantised import QuantisedKernel, QuantisedNetwork, Scheme
from spaces.layers import Add, BatchNorm, Concat, Conv, Dense, ReLU
from spaces.network import Network


def random_quantised(network: Network, seed: int = 0) -> QuantisedNetwork:
    """A network with random int8 weights, and schemes under which few activations overflow."""
    rng = np.random.default_rng(seed)
    made: list[QuantisedKernel] = []
    kernels = fused(network)
    shared = {source for kernel in kernels if isinstance(kernel.op, Concat) for source in kernel.inputs}
    common = Scheme(float(np.float32(0.05)), 3)  # of everything that is concatenated, and what that comes from
    for kernel in reversed(range(len(kernels))):  # what only moves numbers passes the demand on to what it reads
        if kernel in shared and not isinstance(kernels[kernel].op, _CHANGING):
            shared |= set(kernels[kernel].inputs)
    for index, kernel in enumerate(kernels):
        weights = scales = biases = None
        output = Scheme(float(np.float32(rng.uniform(0.02, 0.1))), int(rng.integers(-20, 20)))
        if index in shared:
            output = common
        elif (
            index
            and not isinstance(kernel.op, _CHANGING)
            and not (isinstance(kernel.op, Add) and len(kernel.inputs) > 1)
        ):
            output = made[kernel.inputs[0]].output
        if isinstance(kernel.op, Conv | Dense | BatchNorm):
            shape = _weight_shape(kernel.op, kernels[kernel.inputs[0]].shape)
            weights = rng.integers(-127, 128, shape).astype(np.int8)
            fan_in = weights[0].size
            scales = rng.uniform(0.005, 0.01, len(weights)).astype(np.float32).astype(np.float64) / np.sqrt(fan_in)
            scales = scales.astype(np.float32).astype(np.float64)
            biases = rng.integers(-2000, 2000, len(weights)).astype(np.int32)
            if not kernel.norms and not getattr(kernel.op, "bias", True):
                biases[:] = 0
        partial = tuple(
            Scheme(float(np.float32(rng.uniform(0.05, 0.1))), int(rng.integers(-20, 20)))
            for _ in kernel.inputs[2:]
            if isinstance(kernel.op, Add)
        )
        made.append(QuantisedKernel(kernel, output, weights, scales, biases, partial))
    return QuantisedNetwork(tuple(made))


_CHANGING = (Add, BatchNorm, Conv, Dense, ReLU)  # kernels whose output has a scheme of its own


def _weight_shape(op: Conv | Dense | BatchNorm, shape: tuple[int, ...]) -> tuple[int, ...]:
    if isinstance(op, Conv):
        return op.channels, shape[0] // op.groups, *op.kernel
    if isinstance(op, Dense):
        return op.units, int(np.prod(shape))
    return shape[0], 1, 1, 1
