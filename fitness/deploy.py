"""The list of kernels an int8 runtime executes for a network, and the memory its tensors need.

Fusing: batch norm folds into the convolution or dense layer before it, a ReLU that directly follows an
operation belongs to it unless that only moves numbers, flattening only renames a tensor. Knows shapes and
lifetimes, not weights.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

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
    ReLU,
    Shape,
    Shift,
    Slice,
    reach_of,
)
from spaces.network import Network

_FOLDING = (Conv, Dense)
_WITHOUT_RELU = (Flatten, Concat, Slice, Shift)  # CONCATENATION and STRIDED_SLICE apply no activation
ALIGNMENT_BYTES = 16  # of a tensor in TensorFlow Lite Micro's arena


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


@lru_cache(maxsize=8)
def arena_tensors(network: Network) -> tuple[Tensor, ...]:
    """The buffers TensorFlow Lite Micro plans for an int8 network, input counted.

    A sum of n maps runs as n - 1 pairwise additions, none in place; explicit padding is a kernel of its own
    wherever TensorFlow's SAME rule does not give the same border.
    """
    sizes: list[int] = []
    first: list[int] = []
    last: list[int] = []
    place: list[int] = []  # buffer that holds the output of each kernel
    step = -1

    def run(elements: int, *sources: int) -> int:
        """One kernel of the runtime; returns its output buffer."""
        nonlocal step
        step += 1
        for source in sources:
            last[source] = step
        sizes.append((elements + ALIGNMENT_BYTES - 1) // ALIGNMENT_BYTES * ALIGNMENT_BYTES)
        first.append(step)
        last.append(step)
        return len(sizes) - 1

    kernels = fused(network)
    for op, inputs, shape, elements, _, _ in kernels:
        kind = type(op)
        if kind is Input:
            place.append(run(elements))
        elif kind is Add:
            total = -1
            for source in inputs:
                buffer = place[source]
                if kernels[source].elements != elements:  # a smaller map; a flattened one is whole
                    buffer = run(elements, buffer)
                total = buffer if total < 0 else run(elements, total, buffer)
            place.append(total)
        elif kind is Concat:
            place.append(run(elements, *[place[source] for source in inputs]))
        else:
            buffer = place[inputs[0]]
            if kind is Shift:  # PAD below and at the right, then STRIDED_SLICE
                buffer = run(shape[0] * (shape[1] + 1) * (shape[2] + 1), buffer)
            elif (kind is Conv or kind is Pool) and op.padding != (0, 0):  # type: ignore[union-attr]
                channels, height, width = kernels[inputs[0]].shape
                if not _same_covers(op, height, width, shape):  # type: ignore[arg-type]
                    pad_h, pad_w = op.padding  # type: ignore[union-attr]
                    buffer = run(channels * (height + 2 * pad_h) * (width + 2 * pad_w), buffer)
            place.append(run(elements, buffer))
    last[place[-1]] = step
    return tuple(map(Tensor, sizes, first, last))


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


def _same_covers(op: Conv | Pool, height: int, width: int, shape: Shape) -> bool:
    """Whether TensorFlow's SAME padding puts the same border around the map as `op.padding`."""
    reach = reach_of(op)
    for axis, size in enumerate((height, width)):
        kernel, stride, padding = reach[axis], op.stride[axis], op.padding[axis]
        steps = -(-size // stride)
        border = max((steps - 1) * stride + kernel - size, 0)
        if steps != shape[1 + axis] or border // 2 != padding:
            return False
    return True
