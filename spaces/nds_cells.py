"""Cells of the design spaces NASNet, Amoeba, PNAS, ENAS and DARTS as layers, in one frame for all five.

Radosavovic, Johnson, Xie, Lo, Dollar: On Network Design Spaces for Visual Recognition (NDS), ICCV 2019,
arXiv:1905.13214, Table 1. Operations, cell and network are those of the published networks' code (`pycls`), which
has them from Liu, Simonyan, Yang: DARTS, ICLR 2019, arXiv:1806.09055. Knows nothing of choices and notations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Literal, NamedTuple

from spaces.layers import Add, BatchNorm, Concat, Conv, Dense, Flatten, Op, Pool, ReLU, Shape, Shift, Zero
from spaces.network import Chain, Network, NetworkBuilder, chain

INPUTS = 2  # states 0 and 1 of a cell: the outputs of the cell before the last and of the last one


class Edge(NamedTuple):
    """One of the two terms of a node: an operation on an earlier state of the cell."""

    operation: str
    source: int


Cell = Sequence[Sequence[Edge]]  # two edges for every node


class Family(NamedTuple):
    """A design space of Table 1.

    Attributes:
        operations: What an edge may do, in the order of the published lists.
        nodes: Nodes of a cell; node i, counted from 2, reads any two states before it, or one of them twice.
        loose_ends: Whether a cell puts out the nodes that no other node reads, or else all of its nodes.
    """

    operations: tuple[str, ...]
    nodes: int
    loose_ends: bool

    @property
    def states(self) -> range:
        """The states that are nodes; 0 and 1 are the inputs."""
        return range(INPUTS, INPUTS + self.nodes)

    def output(self, cell: Cell) -> list[int]:
        """The states of a cell that are concatenated to its output."""
        read = {edge.source for node in cell for edge in node} if self.loose_ends else set()
        return [state for state in self.states if state not in read]


FAMILIES = {
    "nds-nasnet": Family(
        operations=(
            *("skip_connect", "conv_3x1_1x3", "conv_7x1_1x7", "dil_conv_3x3", "avg_pool_3x3", "max_pool_3x3"),
            *(
                "max_pool_5x5",
                "max_pool_7x7",
                "conv_1x1",
                "conv_3x3",
                "sep_conv_3x3",
                "sep_conv_5x5",
                "sep_conv_7x7",
            ),
        ),
        nodes=5,
        loose_ends=True,
    ),
    "nds-amoeba": Family(
        operations=(
            *("skip_connect", "sep_conv_3x3", "sep_conv_5x5", "sep_conv_7x7", "avg_pool_3x3", "max_pool_3x3"),
            *("dil_sep_conv_3x3", "conv_7x1_1x7"),
        ),
        nodes=5,
        loose_ends=True,
    ),
    "nds-pnas": Family(
        operations=(
            *("sep_conv_3x3", "sep_conv_5x5", "sep_conv_7x7", "conv_7x1_1x7", "skip_connect", "avg_pool_3x3"),
            *("max_pool_3x3", "dil_conv_3x3"),
        ),
        nodes=5,
        loose_ends=False,
    ),
    "nds-enas": Family(
        operations=("skip_connect", "sep_conv_3x3", "sep_conv_5x5", "avg_pool_3x3", "max_pool_3x3"),
        nodes=5,
        loose_ends=True,
    ),
    "nds-darts": Family(
        operations=(
            *("none", "max_pool_3x3", "avg_pool_3x3", "skip_connect", "sep_conv_3x3", "sep_conv_5x5"),
            *("dil_conv_3x3", "dil_conv_5x5"),
        ),
        nodes=4,
        loose_ends=False,
    ),
}

_RELU, _NORM, _SUM, _CONCAT = ReLU(), BatchNorm(), Add(), Concat()
_SHIFT, _ZERO, _FLATTEN = Shift(), Zero(), Flatten()


def stack(
    net: NetworkBuilder, classes: int, family: Family, normal: Cell, reduction: Cell, width: int, depth: int
) -> Network:
    """The published network for CIFAR made of two cells.

    Args:
        net: Where to build it; holds the input and nothing else.
        classes: Number of classes.
        family: Says what a cell puts out.
        normal: The cell of stride 1.
        reduction: The cell that halves the map and doubles the channels, at one and at two thirds of the depth.
        width: Channels of a node before the first reduction.
        depth: Number of cells.
    """
    before = last = _extend(net, net.input, "stem", 3 * width, 1)
    channels, halved = width, False  # whether `before` is twice as high and wide as `last`
    for index in range(depth):
        reduces = index in (depth // 3, 2 * depth // 3)
        if reduces:
            channels *= 2
        cell = reduction if reduces else normal
        first = _halve(net, before, channels) if halved else _extend(net, before, "conv_1x1", channels, 1)
        states = [first, _extend(net, last, "conv_1x1", channels, 1)]
        for node in cell:
            terms = [_apply(net, states, edge, 2 if reduces and edge.source < INPUTS else 1) for edge in node]
            states.append(net.add(_SUM, *terms))
        ends = [states[state] for state in family.output(cell)]
        before, last = last, net.add(_CONCAT, *ends) if len(ends) > 1 else ends[0]
        halved = reduces
    _, height, width = net.shape(last)
    pooled = net.add(Pool("avg", (height, width), (height, width)), last)
    return net.build(net.add(Dense(classes), net.add(_FLATTEN, pooled)))


def _apply(net: NetworkBuilder, states: Sequence[int], edge: Edge, stride: int) -> int:
    x = states[edge.source]
    channels = net.shape(x)[0]
    if edge.operation == "skip_connect":
        return x if stride == 1 else _halve(net, x, channels)
    return _extend(net, x, edge.operation, channels, stride)


def _halve(net: NetworkBuilder, x: int, channels: int) -> int:
    """`FactorizedReduce`: two 1x1 convolutions of stride 2, one on the even and one on the odd pixels."""
    x = net.add(_RELU, x)
    half = Conv(channels // 2, (1, 1), (2, 2), bias=False)
    return net.add(_NORM, net.add(_CONCAT, net.add(half, x), net.add(half, net.add(_SHIFT, x))))


def _extend(net: NetworkBuilder, x: int, operation: str, channels: int, stride: int) -> int:
    return net.extend(x, _chain(net.shape(x), operation, channels, stride))


@cache  # as many as there are operations, for every width and size of a map
def _chain(shape: Shape, operation: str, channels: int, stride: int) -> Chain:
    return chain(shape, *_LAYERS[operation](channels, stride))


def _pool(kind: Literal["max", "avg"], size: int) -> Callable[[int, int], tuple[Op, ...]]:
    return lambda _, stride: (Pool(kind, (size, size), (stride, stride), (size // 2, size // 2)),)


def _plain(size: int) -> Callable[[int, int], tuple[Op, ...]]:
    return lambda channels, stride: (_RELU, _square(channels, size, stride), _NORM)


def _crossed(size: int) -> Callable[[int, int], tuple[Op, ...]]:
    """A row and then a column of weights: 1 x size and size x 1."""
    return lambda channels, stride: (
        _RELU,
        Conv(channels, (1, size), (1, stride), (0, size // 2), bias=False),
        Conv(channels, (size, 1), (stride, 1), (size // 2, 0), bias=False),
        _NORM,
    )


def _depthwise(size: int, dilation: int = 1, times: int = 1) -> Callable[[int, int], tuple[Op, ...]]:
    """Depthwise and pointwise convolution, once or twice; only the first one strides."""

    def layers(channels: int, stride: int) -> tuple[Op, ...]:
        made: list[Op] = []
        for step in (stride, 1)[:times]:
            wide = _square(channels, size, step, channels, dilation)
            made += (_RELU, wide, _square(channels, 1), _NORM)
        return tuple(made)

    return layers


def _square(channels: int, size: int, stride: int = 1, groups: int = 1, dilation: int = 1) -> Conv:
    """A convolution without bias that keeps the size of the map when its stride is 1."""
    padding = size // 2 * dilation
    return Conv(channels, (size, size), (stride, stride), (padding, padding), groups, False, (dilation, dilation))


_LAYERS: dict[str, Callable[[int, int], tuple[Op, ...]]] = {
    "stem": lambda channels, _: (_square(channels, 3), _NORM),
    # x[:, :, ::2, ::2] * 0 in the published code: a pixel of each window, times zero
    "none": lambda _, stride: (_ZERO,) if stride == 1 else (Pool("max", (1, 1), (stride, stride)), _ZERO),
    "avg_pool_3x3": _pool("avg", 3),
    "max_pool_3x3": _pool("max", 3),
    "max_pool_5x5": _pool("max", 5),
    "max_pool_7x7": _pool("max", 7),
    "conv_1x1": _plain(1),
    "conv_3x3": _plain(3),
    "conv_3x1_1x3": _crossed(3),
    "conv_7x1_1x7": _crossed(7),
    "sep_conv_3x3": _depthwise(3, times=2),
    "sep_conv_5x5": _depthwise(5, times=2),
    "sep_conv_7x7": _depthwise(7, times=2),
    "dil_conv_3x3": _depthwise(3, dilation=2),
    "dil_conv_5x5": _depthwise(5, dilation=2),
    "dil_sep_conv_3x3": _depthwise(3, dilation=2, times=2),
}
