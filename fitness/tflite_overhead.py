"""What TensorFlow Lite Micro and its file format need beside tensors and weights.

Measured on 239 networks of all spaces, written by `fitness.tflite_file` and loaded by the interpreter of the
tflite-micro wheel; least squares, rounded. `tests/oracles/test_tflite_arena.py` measures again, on others too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from fitness.deploy import Kernel, RuntimeOp, aligned, fused, runtime_ops, without_file
from fitness.figures import peak_ram_bytes
from spaces.layers import BatchNorm, Conv, Dense
from spaces.network import Network

__all__ = ["arena_bytes", "arena_overhead_bytes", "tflite_file_bytes"]


class _Cost(NamedTuple):
    """Of one operation: bytes of its state in the arena, bytes it takes in the file, bytes of its constants."""

    state: int
    file: int
    constants: tuple[int, ...] = ()


_COSTS = {
    "ADD": _Cost(72, 128),
    "AVERAGE_POOL_2D": _Cost(72, 133),
    "CONCATENATION": _Cost(88, 127),
    "CONV_2D": _Cost(108, 271),
    "DEPTHWISE_CONV_2D": _Cost(108, 284),
    "FULLY_CONNECTED": _Cost(112, 253),
    "MAX_POOL_2D": _Cost(72, 142),
    "MUL": _Cost(52, 209, (1,)),
    "PAD": _Cost(64, 159, (32,)),
    "PADV2": _Cost(64, 224, (32, 1)),
    "RELU": _Cost(32, 111),
    "STRIDED_SLICE": _Cost(120, 219, (16, 16, 16)),
}
_INTERPRETER_BYTES, _TENSOR_BYTES, _OPERATION_BYTES = 728, 24, 64
_FILE_BYTES, _CODE_BYTES = 356, 31
_SCALE_BYTES = 4 + 8  # scale and zero point of one channel


class _Layer(NamedTuple):
    """An operation with parameters; one scale for all of them where it is dense, else one per channel."""

    weights: int
    channels: int
    dense: bool


def arena_bytes(network: Network, live: bool = False) -> int:
    """What to reserve for TensorFlow Lite Micro's arena: `peak_ram_bytes` and `arena_overhead_bytes`."""
    return peak_ram_bytes(network, live) + arena_overhead_bytes(network, live)


def arena_overhead_bytes(network: Network, live: bool = False) -> int:
    """Bytes of the arena beside the tensors: the interpreter's own, a multiplier and shift per channel.

    Interpreter 728 + 24 per tensor + 64 per operation + its state (32 to 120) + twice 4 per output channel of a
    convolution, rounded up to 16; the one multiplier of a dense layer is in its state. Measured on x86-64, off by
    at most 32 bytes; an upper bound where a pointer takes 4 bytes, as on every microcontroller here.
    """
    kernels = fused(network.live if live else network)
    ops = _written(kernels)
    total, tensors = _INTERPRETER_BYTES, len(ops)
    for op in ops[1:]:
        cost = _COSTS[op.code]
        total += _OPERATION_BYTES + cost.state
        tensors += len(cost.constants)
    for layer in _layers(kernels):
        if not layer.dense:
            total += 2 * aligned(4 * layer.channels)
        tensors += 2
    return total + _TENSOR_BYTES * tensors


def tflite_file_bytes(network: Network, live: bool = False) -> int:
    """Bytes of the .tflite file of an int8 network, as `engine export` writes it; what the flash has to hold.

    Weights and biases, zeros where a layer has none, each aligned to 16 bytes; 12 per scale of them; 111 to 284
    per operation and 4 per map that is joined; 31 per kind of operation; 356 for the rest. Within 1 % of the file,
    and 200 bytes.
    """
    kernels = fused(network.live if live else network)
    ops = _written(kernels)
    total = _FILE_BYTES + _CODE_BYTES * (len({op.code for op in ops}) - 2)  # the input, and the first
    for op in ops[1:]:
        cost = _COSTS[op.code]
        total += cost.file + sum(map(_buffer_bytes, cost.constants))
        if op.code == "CONCATENATION":
            total += 4 * len(op.inputs)
    for layer in _layers(kernels):
        total += _buffer_bytes(layer.weights) + _buffer_bytes(4 * layer.channels)
        total += 2 * _SCALE_BYTES * (1 if layer.dense else layer.channels)
    return total


def _written(kernels: tuple[Kernel, ...]) -> tuple[RuntimeOp, ...]:
    """The operations in a file.

    Raises:
        ScoreFailed: One that no file has here.
    """
    ops = runtime_ops(kernels)
    for op in ops[1:]:
        if op.code not in _COSTS:
            raise without_file(kernels[op.kernel].op)
    return ops


def _layers(kernels: tuple[Kernel, ...]) -> Iterator[_Layer]:
    for op, inputs, shape, *_ in kernels:
        if isinstance(op, Conv):
            weights = shape[0] * (kernels[inputs[0]].shape[0] // op.groups) * op.kernel[0] * op.kernel[1]
        elif isinstance(op, Dense):
            weights = shape[0] * kernels[inputs[0]].elements
        elif isinstance(op, BatchNorm):
            weights = shape[0]
        else:
            continue
        yield _Layer(weights, shape[0], isinstance(op, Dense))


def _buffer_bytes(size: int) -> int:
    """Data with its length and its table, aligned to 16."""
    return aligned(size + 12)
