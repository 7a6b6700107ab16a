"""Figures of a network that its layer graph alone decides, as plain functions without torch.

With `live=True` a figure counts only what lies on a path from input to output; otherwise everything that is
executed. A figure is a function of `Network.key`. Bytes are those of an int8 deployment.
"""

from __future__ import annotations

from functools import lru_cache
from math import log
from typing import NamedTuple

from fitness.deploy import fused, greedy_arena_bytes, live_bytes
from fitness.schedule import PeakMemory, Step, minimum_peak
from fitness.stream import planned_tensors, state_sizes
from spaces.layers import Add, Conv, Dense, Pool, Recurrent, Zero
from spaces.network import Network

_UNLIMITED = 1 << 62


class _Totals(NamedTuple):
    n_relu: int
    params: int
    macs: int
    depthwise_macs: int  # of these
    dense_macs: int  # of these, recurrent ones included
    repeated_macs: int  # of these, what later steps repeat of the first
    state_bytes: int
    weight_bytes: int  # int8 numbers after folding
    biases: int  # int32 numbers after folding
    tensors: int
    log_capacity: float


@lru_cache(maxsize=8)
def _totals(network: Network) -> _Totals:
    n_relu = params = macs = depthwise_macs = dense_macs = weight_bytes = biases = tensors = 0
    repeated_macs = state_bytes = 0
    log_capacity = 0.0
    kernels = fused(network)
    for op, inputs, shape, elements, norms, relus in kernels:
        kind = type(op)
        channels = shape[0]
        n_relu += relus * elements
        if kind is Conv or kind is Dense:
            if kind is Conv:
                (height, width), groups = op.kernel, op.groups  # type: ignore[union-attr]
                entering = kernels[inputs[0]].shape[0]
                weights = channels * (entering // groups) * height * width
                work = weights * shape[1] * shape[2]
                macs += work
                if 1 < groups == entering:
                    depthwise_macs += work
            else:
                weights = channels * kernels[inputs[0]].elements
                macs += weights
                dense_macs += weights
            params += weights
            weight_bytes += weights
            tensors += 1
            log_capacity += log(weights)
            if op.bias:  # type: ignore[union-attr]
                params += channels
                tensors += 1
            if norms:
                params += 2 * channels * norms
                tensors += 2 * norms
                biases += channels
            elif op.bias:  # type: ignore[union-attr]
                biases += channels
        elif kind is Recurrent:
            steps, features = kernels[inputs[0]].shape
            weights, vectors = op.weights(features), op.biases  # type: ignore[union-attr]
            repeated_macs += weights * (steps - 1)
            macs += weights * steps
            dense_macs += weights * steps
            state_bytes += sum(state_sizes(op))  # type: ignore[arg-type]
            weight_bytes += weights
            biases += vectors * op.gates * op.units  # type: ignore[union-attr]
            params += weights + vectors * op.gates * op.units  # type: ignore[union-attr]
            tensors += 2 + vectors
            log_capacity += log(weights)
        elif norms:  # a scale and a shift that no layer can take in: a depthwise convolution of one pixel
            params += 2 * channels
            weight_bytes += channels
            biases += channels
            tensors += 2
    return _Totals(
        n_relu,
        params,
        macs,
        depthwise_macs,
        dense_macs,
        repeated_macs,
        state_bytes,
        weight_bytes,
        biases,
        tensors,
        log_capacity,
    )


def n_relu(network: Network, live: bool = False) -> int:
    """Number of ReLU activations one image passes through (N_A; Fernandes 2022, eq. 13)."""
    return _totals(network.live if live else network).n_relu


def params(network: Network, live: bool = False) -> int:
    """Learnable numbers, batch norm's scale and shift included: `sum(p.numel())` of the torch module."""
    return _totals(network.live if live else network).params


def macs(network: Network, live: bool = False) -> int:
    """Multiply-accumulates of convolution, dense and recurrent layers for one image or window; nothing else."""
    return _totals(network.live if live else network).macs


def step_macs(network: Network, live: bool = False) -> int:
    """Multiply-accumulates per time step of a recurrent network run as a stream, output layer included; else 0."""
    totals = _totals(network.live if live else network)
    return totals.macs - totals.repeated_macs if totals.state_bytes else 0


def state_bytes(network: Network, live: bool = False) -> int:
    """Bytes an int8 recurrent network keeps between time steps: hidden states, and LSTMs' int16 cells; else 0."""
    return _totals(network.live if live else network).state_bytes


def macs_by_kind(network: Network, live: bool = False) -> tuple[int, int, int]:
    """`macs` of standard (and grouped), depthwise and dense layers, in this order; recurrent ones are dense.

    A convolution is depthwise if every channel of its input is a group of its own and there are several.
    """
    totals = _totals(network.live if live else network)
    return totals.macs - totals.depthwise_macs - totals.dense_macs, totals.depthwise_macs, totals.dense_macs


def model_bytes(network: Network, live: bool = False) -> int:
    """Weights and biases after folding batch norm, one byte each."""
    totals = _totals(network.live if live else network)
    return totals.weight_bytes + totals.biases


def flash_bytes(network: Network, live: bool = False) -> int:
    """Bytes of int8 weights and int32 biases after folding batch norm; no file overhead."""
    totals = _totals(network.live if live else network)
    return totals.weight_bytes + 4 * totals.biases


def aleph(network: Network, live: bool = False) -> int:
    """Number of parameter tensors, batch norm's two included."""
    return _totals(network.live if live else network).tensors


def log_capacity(network: Network, live: bool = False) -> float:
    """Sum over convolution, dense and recurrent layers of ln(number of weights), biases not counted."""
    return _totals(network.live if live else network).log_capacity


def depth(network: Network, live: bool = False) -> int:
    """Largest number of convolution, dense and recurrent layers on one path from input to output."""
    depths: list[int] = []
    for op, inputs, _, _, _, _ in fused(network.live if live else network):
        below = depths[inputs[0]] if len(inputs) == 1 else max([depths[source] for source in inputs], default=0)
        kind = type(op)
        depths.append(below + 1 if kind is Conv or kind is Dense or kind is Recurrent else below)
    return depths[-1]


def bottleneck(network: Network, live: bool = False) -> int:
    """Elements of the smallest feature map on the widest path from input to flattening.

    Maximum over the branches of a sum or concatenation, minimum along a chain; the input and dense layers do
    not count. Zero if no information passes. A network that flattens its input at once, or reads a series, has that
    input for its only map.
    """
    kernels = fused(network.live if live else network)
    widths: list[int] = []
    for op, inputs, shape, elements, _, _ in kernels:
        if len(inputs) == 1:
            width = widths[inputs[0]]
            if elements < width and len(shape) == 3:
                width = elements
            widths.append(0 if type(op) is Zero else width)
        elif inputs:
            widest = max([widths[source] for source in inputs])
            widths.append(min(widest, elements) if len(shape) == 3 else widest)
        else:
            widths.append(_UNLIMITED)  # the input itself does not count
    return kernels[0].elements if widths[-1] == _UNLIMITED else widths[-1]


def peak_ram_bytes(network: Network, live: bool = False) -> int:
    """Arena for the tensors of an int8 network under TensorFlow Lite Micro's greedy planner, input counted.

    The interpreter's own bookkeeping comes on top (`fitness.tflite_overhead`). Of a recurrent network: the window,
    the states and the scratch of the widest step (`fitness.stream`).
    """
    return greedy_arena_bytes(planned_tensors(network.live if live else network))


def peak_live_bytes(network: Network, live: bool = False) -> int:
    """Largest sum of tensors alive at one step: what no planner can get below in this order."""
    return live_bytes(planned_tensors(network.live if live else network))


def munas_size(network: Network, live: bool = False) -> int:
    """Model size as μNAS counts it: every weight and bias one byte, batch norm folded."""
    return model_bytes(network, live)


def munas_macs(network: Network, live: bool = False) -> int:
    """Operations as μNAS counts them: macs, one per pooled element, terms - 1 per element of a sum."""
    network = network.live if live else network
    total = _totals(network).macs
    for op, inputs, _, elements, _, _ in fused(network):
        if isinstance(op, Pool):
            total += elements * op.kernel[0] * op.kernel[1]
        elif type(op) is Add:
            total += elements * (len(inputs) - 1)
    return total


def munas_peak_memory(network: Network, live: bool = False, input: bool = False) -> int:
    """Peak memory as μNAS counts it: bytes of live tensors in the best execution order.

    A sum takes over the buffer of a term of its own shape that nothing else needs; padding is free. Sequences count
    whole: μNAS knows layers, no steps.

    Args:
        network: Any network.
        live: Leave out what does not reach the output.
        input: Count the network input too; the authors' search does not.
    """
    return munas_peak(network.live if live else network, input).bytes


def munas_peak(network: Network, input: bool = False) -> PeakMemory:
    """`munas_peak_memory`, and whether it is exact or an upper bound (state cap reached)."""
    kernels = fused(network)
    steps: list[Step] = []
    for op, inputs, _, elements, _, _ in kernels:
        if type(op) is Add:
            fitting = tuple([source for source in inputs if kernels[source].elements == elements])
            steps.append(Step(inputs, elements, fitting))
        else:
            steps.append(Step(inputs, elements if inputs or input else 0))
    return minimum_peak(steps)


__all__ = [
    "aleph",
    "bottleneck",
    "depth",
    "flash_bytes",
    "log_capacity",
    "macs",
    "macs_by_kind",
    "model_bytes",
    "munas_macs",
    "munas_peak",
    "munas_peak_memory",
    "munas_size",
    "n_relu",
    "params",
    "peak_live_bytes",
    "peak_ram_bytes",
    "state_bytes",
    "step_macs",
]
