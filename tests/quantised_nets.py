"""Int8 networks with random numbers: enough to be written, run and measured without training anything."""

from __future__ import annotations

from math import sqrt

import numpy as np

from fitness.deploy import Kernel, fused
from fitness.quantised import QuantisedKernel, QuantisedNetwork, Scheme
from spaces.layers import Add, BatchNorm, Concat, Conv, Dense, ReLU, Shape
from spaces.network import Network

_WEIGHT_SPREAD = 73.0  # standard deviation of the stored weights


def random_quantised(network: Network, seed: int = 0) -> QuantisedNetwork:
    """A network with random weights, and schemes under which its activations use most of int8's range."""
    rng = np.random.default_rng(seed)
    kernels = fused(network)
    joined = _joined(kernels)
    made: list[QuantisedKernel] = []
    for index, kernel in enumerate(kernels):
        sources = [made[source].output for source in kernel.inputs]
        scale = max([source.scale for source in sources], default=0.05)
        weights = scales = biases = None
        partial: tuple[Scheme, ...] = ()
        if isinstance(kernel.op, Conv | Dense | BatchNorm):
            weights = rng.integers(-127, 128, _weight_shape(kernel.op, kernels[kernel.inputs[0]].shape)).astype(
                np.int8
            )
            differing = 1 if isinstance(kernel.op, Dense) else len(weights)
            gains = rng.uniform(0.5, 1.5, differing) / (_WEIGHT_SPREAD * sqrt(weights[0].size))
            scales = gains.astype(np.float32).astype(np.float64)
            biased = kernel.norms > 0 or getattr(kernel.op, "bias", False)
            biases = (rng.integers(-2000, 2000, len(weights)) * biased).astype(np.int32)
        elif isinstance(kernel.op, Add):
            partial = tuple(_scheme(rng, 1.2 * scale) for _ in kernel.inputs[2:])
        keeps = index and not _sets_scheme(kernel)
        output = joined.get(index) or (sources[0] if keeps else _scheme(rng, scale))
        made.append(QuantisedKernel(kernel, output, weights, scales, biases, partial))
    return QuantisedNetwork(tuple(made))


def _scheme(rng: np.random.Generator, scale: float) -> Scheme:
    return Scheme(float(np.float32(scale * rng.uniform(0.8, 1.6))), int(rng.integers(-20, 20)))


def _sets_scheme(kernel: Kernel) -> bool:
    """Whether its output may be stored in another way than what it reads."""
    return isinstance(kernel.op, BatchNorm | Conv | Dense | ReLU) or len(kernel.inputs) > 1


def _joined(kernels: tuple[Kernel, ...]) -> dict[int, Scheme]:
    """The one scheme of all that is concatenated, by kernel, back to where it may be set."""
    common = Scheme(float(np.float32(0.05)), 3)
    joined: dict[int, Scheme] = {}
    for index in reversed(range(len(kernels))):
        if isinstance(kernels[index].op, Concat):
            joined[index] = common
        if index in joined and (isinstance(kernels[index].op, Concat) or not _sets_scheme(kernels[index])):
            joined |= dict.fromkeys(kernels[index].inputs, common)
    return joined


def _weight_shape(op: Conv | Dense | BatchNorm, shape: Shape) -> Shape:
    if isinstance(op, Conv):
        return op.channels, shape[0] // op.groups, *op.kernel
    if isinstance(op, Dense):
        return op.units, int(np.prod(shape))
    return shape[0], 1, 1, 1
