"""The list of kernels an int8 runtime executes for a network, and the memory its tensors need.

Fusing: batch norm folds into the convolution or dense layer before it, a ReLU that directly follows an
operation belongs to it, flattening only renames a tensor. Knows shapes and lifetimes, not weights.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from spaces.layers import Add, BatchNorm, Conv, Dense, Flatten, Input, Op, Pool, ReLU, Shape
from spaces.network import Network

ALIGNMENT_BYTES = 16  # of a tensor in TensorFlow Lite Micro's arena


class Kernel(NamedTuple):
    """One fused operation: the operation that names it, the kernels it reads, its output shape."""

    op: Op
    inputs: tuple[int, ...]
    shape: Shape


class Tensor(NamedTuple):
    """Bytes of one arena buffer and the first and last step (inclusive) at which it must hold."""

    size: int
    first: int
    last: int


@lru_cache(maxsize=64)
def fused(network: Network) -> tuple[Kernel, ...]:
    """The kernels of a network in execution order, the input first."""
    nodes, consumers = network.nodes, network.consumers
    kernels: list[Kernel] = []
    place: list[int] = []  # kernel that holds the value of each node
    for op, inputs, shape in nodes:
        kind = type(op)
        if kind is Flatten:
            place.append(place[inputs[0]])
            continue
        if kind is ReLU or kind is BatchNorm:
            source = inputs[0]
            before = type(nodes[source].op)
            foldable = before is Conv or before is Dense if kind is BatchNorm else before is not Input
            if foldable and len(consumers[source]) == 1:
                place.append(place[source])
                continue
        place.append(len(kernels))
        kernels.append(Kernel(op, tuple([place[source] for source in inputs]), shape))
    return tuple(kernels)


def volume(shape: Shape) -> int:
    """Number of elements of a shape."""
    return shape[0] * shape[1] * shape[2] if len(shape) == 3 else shape[0]


@lru_cache(maxsize=64)
def arena_tensors(network: Network) -> tuple[Tensor, ...]:
    """The buffers TensorFlow Lite Micro plans for an int8 network, input counted.

    A sum of n maps runs as n - 1 pairwise additions, none in place; explicit padding is a kernel of its own
    wherever TensorFlow's SAME rule does not give the same border.
    """
    sizes: list[int] = []
    first: list[int] = []
    last: list[int] = []
    place: list[int] = []  # buffer that holds the output of each kernel
    step = 0

    def run(sources: Sequence[int], elements: int) -> int:
        nonlocal step
        step += 1
        for source in sources:
            last[source] = step
        sizes.append(-(-elements // ALIGNMENT_BYTES) * ALIGNMENT_BYTES)
        first.append(step)
        last.append(step)
        return len(sizes) - 1

    kernels = fused(network)
    for op, inputs, shape in kernels:
        kind = type(op)
        if kind is Input:
            place.append(run((), volume(shape)))
            first[0] = last[0] = step = 0
        elif kind is Add:
            total = -1
            for source in inputs:
                buffer = place[source]
                if kernels[source].shape != shape:
                    buffer = run((buffer,), volume(shape))
                total = buffer if total < 0 else run((total, buffer), volume(shape))
            place.append(total)
        else:
            buffer = place[inputs[0]]
            if (kind is Conv or kind is Pool) and op.padding != (0, 0):  # type: ignore[union-attr]
                channels, height, width = kernels[inputs[0]].shape
                if not _same_covers(op, height, width, shape):  # type: ignore[arg-type]
                    pad_h, pad_w = op.padding  # type: ignore[union-attr]
                    buffer = run((buffer,), channels * (height + 2 * pad_h) * (width + 2 * pad_w))
            place.append(run((buffer,), volume(shape)))
    last[place[-1]] = step
    return tuple(map(Tensor, sizes, first, last))


def greedy_arena_bytes(tensors: Sequence[Tensor]) -> int:
    """Arena that TensorFlow Lite Micro's greedy-by-size planner needs.

    Buffers are placed from large to small (equal sizes: the last created first), each at the lowest offset
    where it overlaps no buffer placed before it that is alive at the same time.
    """
    placed: list[tuple[int, int, int, int]] = []  # offset, end, first, last; by offset, equal ones in order
    top = 0
    for size, first, last in sorted(reversed(tensors), key=lambda tensor: -tensor.size):
        offset = 0
        for other_offset, other_end, other_first, other_last in placed:
            if other_first <= last and first <= other_last:
                if other_offset - offset >= size:
                    break
                if other_end > offset:
                    offset = other_end
        insort(placed, (offset, offset + size, first, last), key=_offset)
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


def _offset(entry: tuple[int, int, int, int]) -> int:
    return entry[0]


def _same_covers(op: Conv | Pool, height: int, width: int, shape: Shape) -> bool:
    """Whether TensorFlow's SAME padding puts the same border around the map as `op.padding`."""
    for axis, size in enumerate((height, width)):
        kernel, stride, padding = op.kernel[axis], op.stride[axis], op.padding[axis]
        steps = -(-size // stride)
        border = max((steps - 1) * stride + kernel - size, 0)
        if steps != shape[1 + axis] or border // 2 != padding:
            return False
    return True
