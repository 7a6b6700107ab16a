"""The list of kernels an int8 runtime executes for a network, and the memory its tensors need.

Fusing: batch norm folds into the convolution or dense layer before it, a ReLU that directly follows an
operation belongs to it unless that only moves numbers, flattening only renames a tensor. Knows shapes and
lifetimes, not weights.

The arena was measured in TensorFlow Lite Micro's interpreter on 200 random `munas` networks of six input shapes and
60 of all spaces: its tensors took exactly the bytes planned here in all 260 (`tests/oracles/test_tflite_arena.py`).
Kernels made for a processor, such as CMSIS-NN's, may ask for scratch buffers on top.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from spaces.errors import ScoreFailed
from spaces.layers import (
    Add,
    BatchNorm,
    Concat,
    Conv,
    Dense,
    Flatten,
    Input,
    Op,
    Pool,
    Recurrent,
    ReLU,
    Shape,
    Shift,
    Sigmoid,
    Slice,
    Tanh,
    Zero,
    reach_of,
    volume,
)
from spaces.network import Network

_FOLDING = (Conv, Dense)
_WITHOUT_RELU = (  # CONCATENATION and STRIDED_SLICE apply no activation; the others are all activation
    Flatten,
    Concat,
    Slice,
    Shift,
    Tanh,
    Sigmoid,
    Recurrent,
)
_CODES: dict[type, str] = {
    Input: "INPUT",
    Dense: "FULLY_CONNECTED",
    BatchNorm: "DEPTHWISE_CONV_2D",  # of one pixel: a scale and a shift per channel
    ReLU: "RELU",
    Concat: "CONCATENATION",
    Slice: "STRIDED_SLICE",
    Zero: "MUL",
    Tanh: "TANH",
    Sigmoid: "LOGISTIC",
}
_ALIGNMENT_BYTES = 16  # of a tensor in TensorFlow Lite Micro's arena


class Kernel(NamedTuple):
    """One fused operation.

    Attributes:
        op: The operation that names it.
        inputs: Kernels it reads.
        shape: Its output shape.
        elements: Number of elements of that.
        norms: Batch norms folded into it.
        relus: ReLUs it applies.
    """

    op: Op
    inputs: tuple[int, ...]
    shape: Shape
    elements: int
    norms: int
    relus: int


class RuntimeOp(NamedTuple):
    """One operation as TensorFlow Lite Micro executes it; the first stands for the network's input.

    Attributes:
        code: TensorFlow Lite's name of it.
        kernel: The kernel of `fused` it belongs to.
        inputs: Operations whose outputs it reads.
        shape: Its output shape.
        elements: Number of elements of that.
        same: Whether its windows slide under TensorFlow's SAME padding, not VALID.
    """

    code: str
    kernel: int
    inputs: tuple[int, ...]
    shape: Shape
    elements: int
    same: bool = False


class Tensor(NamedTuple):
    """Bytes of one arena buffer and the first and last step (inclusive) at which it must hold."""

    size: int
    first: int
    last: int


@lru_cache(maxsize=8)
def fused(network: Network) -> tuple[Kernel, ...]:
    """The kernels of a network in execution order, the input first."""
    ops, reads = network.ops, network.reads
    norms = [0] * len(ops)
    relus = [0] * len(ops)
    heads: list[int] = []  # the node that names each kernel
    place: list[int] = []  # kernel that holds the value of each node
    for node, (op, inputs) in enumerate(zip(ops, network.inputs, strict=True)):
        kind = type(op)
        if kind is ReLU or kind is BatchNorm or kind is Flatten:
            source = inputs[0]
            if kind is Flatten:
                place.append(place[source])
                continue
            if reads[source] == 1:
                kernel = place[source]
                if kind is ReLU:
                    if source and type(ops[source]) not in _WITHOUT_RELU:
                        relus[kernel] += 1
                        place.append(kernel)
                        continue
                elif type(ops[source]) in _FOLDING:
                    norms[kernel] += 1
                    place.append(kernel)
                    continue
            if kind is ReLU:
                relus[len(heads)] += 1
            else:
                norms[len(heads)] += 1
        place.append(len(heads))
        heads.append(node)
    all_inputs, shapes, volumes = network.inputs, network.shapes, network.volumes
    return tuple(
        [
            Kernel(
                ops[node],
                (place[sources[0]],)
                if len(sources := all_inputs[node]) == 1
                else tuple([place[s] for s in sources]),
                shapes[node],
                volumes[node],
                norms[kernel],
                relus[kernel],
            )
            for kernel, node in enumerate(heads)
        ]
    )


def runtime_ops(kernels: tuple[Kernel, ...]) -> tuple[RuntimeOp, ...]:
    """What TensorFlow Lite Micro executes for the kernels of an int8 network, in order, the input first.

    A sum of n maps runs as n - 1 pairwise additions, none in place. A border is an operation of its own, PAD,
    wherever neither of TensorFlow's paddings, VALID and SAME, gives it; on both sides, as PyTorch pads. An
    average must not count a border, so it is taken at every pixel and the strides come after it.

    Raises:
        ScoreFailed: A layer is recurrent.
    """
    ops: list[RuntimeOp] = []
    place: list[int] = []  # runtime operation that holds the output of each kernel
    for index, (op, inputs, shape, elements, _, relus) in enumerate(kernels):
        kind = type(op)
        if kind is Add:
            total = -1
            for source in inputs:
                buffer = place[source]
                if kernels[source].elements != elements:  # a smaller map; a flattened one is whole
                    ops.append(RuntimeOp("PAD", index, (buffer,), shape, elements))
                    buffer = len(ops) - 1
                if total < 0:
                    total = buffer
                else:
                    ops.append(RuntimeOp("ADD", index, (total, buffer), shape, elements))
                    total = len(ops) - 1
            if relus and len(inputs) == 1:
                ops.append(RuntimeOp("RELU", index, (total,), shape, elements))
                total = len(ops) - 1
            place.append(total)
            continue
        sources = (place[inputs[0]],) if len(inputs) == 1 else tuple([place[source] for source in inputs])
        same = False
        if kind is Conv or kind is Pool:
            around = None
            if op.padding != (0, 0) or (kind is Pool and op.rounding == "ceil"):  # type: ignore[union-attr]
                around, same = _border(op, kernels[inputs[0]].shape, shape)  # type: ignore[arg-type]
            if kind is Pool:
                code = "MAX_POOL_2D" if op.kind == "max" else "AVERAGE_POOL_2D"  # type: ignore[union-attr]
            else:
                depthwise = op.groups > 1 and op.groups == kernels[inputs[0]].shape[0]  # type: ignore[union-attr]
                code = "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D"
            if around is not None:
                whole = kernels[inputs[0]]
                if code == "AVERAGE_POOL_2D" and _centred(op, whole.shape, shape):  # type: ignore[arg-type]
                    ops.append(RuntimeOp(code, index, sources, whole.shape, whole.elements, True))
                    code = "STRIDED_SLICE"
                else:
                    pad = "PADV2" if code == "MAX_POOL_2D" else "PAD"
                    ops.append(RuntimeOp(pad, index, sources, around, volume(around)))
                sources = (len(ops) - 1,)
        elif kind is Shift:
            around = (shape[0], shape[1] + 1, shape[2] + 1)
            ops.append(RuntimeOp("PAD", index, sources, around, volume(around)))
            sources, code = (len(ops) - 1,), "STRIDED_SLICE"
        elif kind is Recurrent:
            raise without_file(op)
        else:
            code = _CODES[kind]
        ops.append(RuntimeOp(code, index, sources, shape, elements, same))
        place.append(len(ops) - 1)
    return tuple(ops)


def without_file(op: Op) -> ScoreFailed:
    """Why there are no figures of a file with such an operation."""
    return ScoreFailed(f"{op.token} has no place in a .tflite file here; use flash_bytes and peak_ram_bytes")


@lru_cache(maxsize=8)
def arena_tensors(network: Network) -> tuple[Tensor, ...]:
    """The buffers TensorFlow Lite Micro plans for an int8 network, input counted.

    Raises:
        ScoreFailed: A layer is recurrent.
    """
    ops = runtime_ops(fused(network))
    last = list(range(len(ops)))
    for step, op in enumerate(ops):
        for source in op.inputs:
            last[source] = step
    last[-1] = len(ops) - 1
    return tuple([Tensor(aligned(op.elements), step, last[step]) for step, op in enumerate(ops)])


def aligned(size: int) -> int:
    """Bytes that a buffer of `size` bytes takes in the arena."""
    return (size + _ALIGNMENT_BYTES - 1) // _ALIGNMENT_BYTES * _ALIGNMENT_BYTES


def greedy_arena_bytes(tensors: Sequence[Tensor]) -> int:
    """Arena that TensorFlow Lite Micro's greedy-by-size planner needs.

    Buffers are placed from large to small (equal sizes: the last created first), each at the lowest offset
    where it overlaps no buffer placed before it that is alive at the same time.
    """
    offsets: list[int] = []  # of the buffers placed so far, ascending, equal ones in order of placing
    placed: list[tuple[int, int, int, int]] = []  # offset, end, first, last of each
    top = 0
    for size, first, last in sorted(reversed(tensors), key=_by_size):
        offset = 0
        for other_offset, other_end, other_first, other_last in placed:
            if other_first <= last and first <= other_last:
                if other_offset - offset >= size:
                    break
                if other_end > offset:
                    offset = other_end
        at = bisect_right(offsets, offset)
        offsets.insert(at, offset)
        placed.insert(at, (offset, offset + size, first, last))
        if offset + size > top:
            top = offset + size
    return top


def live_bytes(tensors: Sequence[Tensor]) -> int:
    """The largest sum of buffers alive at one step: no planner can need less."""
    change = [0] * (max(tensor.last for tensor in tensors) + 2)
    for size, first, last in tensors:
        change[first] += size
        change[last + 1] -= size
    live = peak = 0
    for delta in change:
        live += delta
        peak = max(peak, live)
    return peak


def _by_size(tensor: Tensor) -> int:
    return -tensor.size


def _border(op: Conv | Pool, shape: Shape, out_shape: Shape) -> tuple[Shape | None, bool]:
    """What is to be laid around a map before windows slide over it.

    Returns:
        The shape of the padded map, None where a padding of TensorFlow's does it; and whether that is SAME
        rather than VALID.
    """
    reach = reach_of(op)
    valid = same = True
    padded = [shape[0]]
    for size, steps, window, stride, before in zip(
        shape[1:], out_shape[1:], reach, op.stride, op.padding, strict=True
    ):
        needed = max((steps - 1) * stride + window - size, 0)  # pixels beyond the map that windows reach
        valid &= needed == before == 0
        same &= steps == -(-size // stride) and needed // 2 == before
        padded.append(size + before + max(needed - before, before))
    return (None, not valid) if valid or same else (tuple(padded), False)


def _centred(op: Pool, shape: Shape, out_shape: Shape) -> bool:
    """Whether SAME padding gives the windows of `op` among others, if only they move by one pixel.

    It puts (window - 1) // 2 pixels before a map, and one window around each of the map's own pixels.
    """
    return all(
        (window - 1) // 2 == before and (steps - 1) * stride < size
        for window, before, stride, size, steps in zip(
            op.kernel, op.padding, op.stride, shape[1:], out_shape[1:], strict=True
        )
    )
