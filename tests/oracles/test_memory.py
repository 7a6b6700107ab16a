"""Memory figures against slower, plainer ways to the same numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import NamedTuple

import pytest

from fitness import figures
from fitness.deploy import Tensor, arena_tensors, greedy_arena_bytes, live_bytes
from spaces.layers import Add, BatchNorm, Concat, Conv, Dense, Flatten, Input, Pool, ReLU, Shift, Slice
from spaces.network import Network, NetworkBuilder
from tests.small import IMAGE_SPACES, each_build

Networks = Callable[..., list[Network]]


# --- the greedy planner -----------------------------------------------------------------------------


class _Entry:
    """An entry of the planner's linked list, ordered by offset."""

    def __init__(self, buffer: int, offset: int) -> None:
        self.buffer, self.offset = buffer, offset
        self.next: _Entry | None = None


def _planned_arena(buffers: Sequence[Tensor]) -> int:
    """TensorFlow Lite Micro's GreedyMemoryPlanner, step by step, with its linked list and its bubble sort."""
    ids = list(reversed(range(len(buffers))))  # it fills its array from the tail
    swapped = True
    while swapped:
        swapped = False
        for i in range(len(ids) - 1):
            if buffers[ids[i]].size < buffers[ids[i + 1]].size:
                ids[i], ids[i + 1] = ids[i + 1], ids[i]
                swapped = True

    def next_active(after: _Entry | None, wanted: Tensor) -> _Entry | None:
        entry = first if after is None else after.next
        while entry is not None:
            placed = buffers[entry.buffer]
            if not (placed.first > wanted.last or wanted.first > placed.last):
                return entry
            entry = entry.next
        return None

    first = _Entry(ids[0], 0)
    offsets = {ids[0]: 0}
    for buffer in ids[1:]:
        wanted = buffers[buffer]
        offset, prior = 0, None
        while True:
            following = next_active(prior, wanted)
            if prior is not None:
                offset = max(offset, prior.offset + buffers[prior.buffer].size)
            if following is None or following.offset - offset >= wanted.size:
                break
            prior = following
        offsets[buffer] = offset
        entry = _Entry(buffer, offset)
        if first.offset > offset:
            entry.next, first = first, entry
            continue
        current = first
        while current.next is not None and current.next.offset <= offset:
            current = current.next
        entry.next, current.next = current.next, entry
    return max(offset + buffers[buffer].size for buffer, offset in offsets.items())


def _most_alive(buffers: Sequence[Tensor]) -> int:
    steps = range(max(buffer.last for buffer in buffers) + 1)
    return max(sum(b.size for b in buffers if b.first <= step <= b.last) for step in steps)


@pytest.mark.parametrize("sizes", [(16, 32, 48), tuple(range(0, 2000, 16)), (1, 2, 3, 5, 8, 13)], ids=str)
def test_planner_and_liveness_on_random_buffers(sizes: tuple[int, ...]) -> None:
    rng, above = Random(0), 0
    for _ in range(600):
        buffers = []
        for _ in range(rng.randint(1, 14)):
            first = rng.randrange(12)
            buffers.append(Tensor(rng.choice(sizes), first, min(11, first + rng.randrange(6))))
        assert greedy_arena_bytes(buffers) == _planned_arena(buffers)
        assert live_bytes(buffers) == _most_alive(buffers)
        above += greedy_arena_bytes(buffers) > live_bytes(buffers)
    assert above, "some plans must be worse than the bound, or nothing was tried"


@pytest.mark.parametrize("name", each_build(IMAGE_SPACES))
def test_planner_and_liveness_on_networks(networks: Networks, name: str) -> None:
    for network in networks(name, 200)[:100]:
        buffers = arena_tensors(network)
        assert figures.peak_ram_bytes(network) == _planned_arena(buffers)
        assert figures.peak_live_bytes(network) == _most_alive(buffers)


@pytest.mark.parametrize("name", each_build(IMAGE_SPACES))
def test_arena_is_at_least_the_liveness_bound_and_that_at_least_the_best_order(
    networks: Networks, name: str
) -> None:
    sample = networks(name, 200)
    for network in sample[: 200 if len(sample[0]) < 150 else 5]:  # the best order of more takes 0.1 s to find
        live = figures.peak_live_bytes(network)
        assert figures.peak_ram_bytes(network) >= live
        assert live >= figures.munas_peak_memory(network, input=True) >= figures.munas_peak_memory(network)
        assert all(tensor.size % 16 == 0 for tensor in arena_tensors(network))


# --- the deployed list of operations ----------------------------------------------------------------


_MOVING = (Concat, Slice, Shift)  # kernels that apply no activation


class _Kernel(NamedTuple):
    bytes: int
    reads: tuple[int, ...]


def _deployed(network: Network) -> list[_Kernel]:
    """What runs on the device, derived from the nodes one by one; kernels name the kernels they read."""
    kernels: list[_Kernel] = []
    value: dict[int, int] = {}  # kernel whose output is the value of a node

    def run(shape: tuple[int, ...], *reads: int) -> int:
        elements = 1
        for length in shape:
            elements *= length
        kernels.append(_Kernel(-(-elements // 16) * 16, reads))
        return len(kernels) - 1

    for index, (op, inputs, shape) in enumerate(network.nodes):
        sources = [value[source] for source in inputs]
        alone = all(len(network.consumers[source]) == 1 for source in inputs)
        if isinstance(op, Input):
            value[index] = run(shape)
        elif isinstance(op, Flatten):
            value[index] = sources[0]
        elif isinstance(op, ReLU) and alone and inputs[0] and not isinstance(network.ops[inputs[0]], _MOVING):
            value[index] = sources[0]
        elif isinstance(op, BatchNorm) and alone and isinstance(network.ops[inputs[0]], Conv | Dense):
            value[index] = sources[0]
        elif isinstance(op, Add):
            for place, source in enumerate(inputs):
                if network.shapes[source] != shape:
                    sources[place] = run(shape, sources[place])
            value[index] = sources[0]
            for source in sources[1:]:
                value[index] = run(shape, value[index], source)
        else:
            if isinstance(op, Conv | Pool):
                channels, height, width = network.shapes[inputs[0]]
                borders = [_border(op, size, shape[1 + axis], axis) for axis, size in enumerate((height, width))]
                if any(border != (0, 0) for border in borders) and not all(
                    _is_same(op, size, shape[1 + axis], axis) for axis, size in enumerate((height, width))
                ):
                    (top, bottom), (left, right) = borders
                    around = (channels, top + height + bottom, left + width + right)
                    if (
                        isinstance(op, Pool)
                        and op.kind == "avg"
                        and all(k in (2 * p + 1, 2 * p + 2) for k, p in zip(op.kernel, op.padding, strict=True))
                        and all(
                            range(0, size, step)[out - 1 : out]  # the pixel that the last window lies around
                            for size, out, step in zip((height, width), shape[1:], op.stride, strict=True)
                        )
                    ):
                        around = (channels, height, width)  # averages at every pixel
                    sources = [run(around, *sources)]
            if isinstance(op, Shift):
                sources = [run((shape[0], shape[1] + 1, shape[2] + 1), *sources)]
            value[index] = run(shape, *sources)
    return kernels


def _pixels(op: Conv | Pool, start: int, axis: int) -> range:
    """Pixels along an axis that the window starting there looks at."""
    step = op.dilation[axis] if isinstance(op, Conv) else 1
    return range(start, start + op.kernel[axis] * step, step)


def _border(op: Conv | Pool, size: int, out: int, axis: int) -> tuple[int, int]:
    """Rows to put before and after a map: PyTorch's, and more after it where a last window would find none."""
    last = max(max(_pixels(op, step * op.stride[axis] - op.padding[axis], axis)) for step in range(out))
    return op.padding[axis], max(last - (size - 1), op.padding[axis])


def _is_same(op: Conv | Pool, size: int, out: int, axis: int) -> bool:
    """Whether TensorFlow's SAME padding makes the same output: the odd row goes after the map."""
    starts = range(0, size, op.stride[axis])
    missing = max(max(_pixels(op, starts[-1], axis)) - (size - 1), 0)
    return len(starts) == out and missing // 2 == op.padding[axis]


def _peak(kernels: list[_Kernel]) -> int:
    """Bytes of outputs made and still needed, the running kernel's own included; most over all steps."""
    needed_until = list(range(len(kernels)))
    for index, kernel in enumerate(kernels):
        for source in kernel.reads:
            needed_until[source] = index
    needed_until[-1] = len(kernels)
    return max(
        sum(kernel.bytes for index, kernel in enumerate(kernels[: now + 1]) if needed_until[index] >= now)
        for now in range(len(kernels))
    )


@pytest.mark.parametrize("name", each_build(IMAGE_SPACES))
def test_live_bytes_follow_from_the_deployed_operations(networks: Networks, name: str) -> None:
    for network in networks(name, 200)[:100]:
        kernels = _deployed(network)
        buffers = arena_tensors(network)
        assert sorted(buffer.size for buffer in buffers) == sorted(kernel.bytes for kernel in kernels)
        assert figures.peak_live_bytes(network) == _peak(kernels)


# --- by hand ----------------------------------------------------------------------------------------


def test_the_whole_input_counts() -> None:
    builder = NetworkBuilder((3, 10, 10))
    network = builder.build(builder.add(Conv(4, (3, 3)), builder.input))
    assert figures.peak_ram_bytes(network) == 304 + 256  # 300 and 4 * 8 * 8, rounded up to 16


def test_norms_and_relus_are_fused_and_flattening_is_free() -> None:
    builder = NetworkBuilder((1, 8, 8))
    x = builder.add(ReLU(), builder.add(BatchNorm(), builder.add(Conv(1, (1, 1)), builder.input)))
    network = builder.build(builder.add(Dense(16), builder.add(Flatten(), x)))
    assert [tensor.size for tensor in arena_tensors(network)] == [64, 64, 16]
    assert figures.peak_ram_bytes(network) == 128


def test_a_relu_of_a_value_that_others_read_is_a_kernel_of_its_own() -> None:
    builder = NetworkBuilder((1, 8, 8))
    x = builder.add(Conv(1, (1, 1)), builder.input)
    network = builder.build(builder.add(Add(), x, builder.add(ReLU(), x)))
    assert len(arena_tensors(network)) == 4
    assert figures.peak_ram_bytes(network) == 3 * 64  # pairwise and not in place


def test_a_relu_behind_a_flattening_fuses_only_into_a_kernel_that_nothing_else_reads() -> None:
    builder = NetworkBuilder((1, 8, 8))
    x = builder.add(Conv(1, (1, 1)), builder.input)
    bent, straight = builder.add(ReLU(), builder.add(Flatten(), x)), builder.add(Flatten(), x)
    network = builder.build(builder.add(Add(), bent, straight))
    assert len(arena_tensors(network)) == 4
    assert figures.peak_ram_bytes(network) == 3 * 64


def test_a_relu_of_the_flattened_image_is_a_kernel() -> None:
    builder = NetworkBuilder((1, 8, 8))
    network = builder.build(builder.add(ReLU(), builder.add(Flatten(), builder.input)))
    assert [tensor.size for tensor in arena_tensors(network)] == [64, 64]


def test_sums_of_three_run_as_two_additions() -> None:
    builder = NetworkBuilder((1, 8, 8))
    terms = [builder.add(Conv(1, (1, 1)), builder.input) for _ in range(3)]
    network = builder.build(builder.add(Add(), *terms))
    assert len(arena_tensors(network)) == 1 + 3 + 2
    assert figures.peak_ram_bytes(network) == 4 * 64  # input and three maps; the sums find room in what ended


def test_same_padding_is_free_and_other_padding_is_a_kernel() -> None:
    for kernel, stride, padding, tensors in (
        (3, 1, 1, 2),  # SAME: one row before, one after
        (3, 2, 1, 3),  # SAME would put the only row after a map of even size
        (3, 1, 2, 3),  # more than SAME
        (3, 1, 0, 2),
    ):
        builder = NetworkBuilder((1, 8, 8))
        op = Conv(1, (kernel, kernel), (stride, stride), (padding, padding))
        network = builder.build(builder.add(op, builder.input))
        assert len(arena_tensors(network)) == tensors, op
