"""The two spaces of NATS-Bench, built exactly as the benchmark's networks.

Dong, Liu, Musial, Gabrys: NATS-Bench: Benchmarking NAS Algorithms for Architecture Topology and Size,
IEEE TPAMI 2021, arXiv:2009.00437. The index of an architecture is a property of the benchmark's files, read
from a table or archive (`fitness.table`), never computed here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from itertools import product
from typing import TYPE_CHECKING

from spaces.errors import InvalidGenotype, UsageError
from spaces.layers import Add, BatchNorm, Conv, Dense, Flatten, Pool, ReLU, Shape, Zero
from spaces.network import Chain, Network, NetworkBuilder, chain
from spaces.space import Additive, Choice, Choose, Genotype, Integer, Space, Value

if TYPE_CHECKING:
    from spaces.nats_supernet import NatsTssSupernet
    from spaces.supernet import ThinNetworks

Operator = Callable[[NetworkBuilder, int, int], int]
"""Adds an operation behind a node, for a number of channels; returns the handle of its output."""

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
EDGES = ("0->1", "0->2", "1->2", "0->3", "1->3", "2->3")

_SSS_CELL = dict(
    zip(
        EDGES,
        ("nor_conv_3x3", "nor_conv_3x3", "nor_conv_3x3", "skip_connect", "nor_conv_3x3", "nor_conv_3x3"),
        strict=True,
    )
)
_OPERATION = Choice(*OPERATIONS)
_WIDTH = Integer(8, 64, 8)
_NORM, _RELU, _SUM, _ZERO, _FLATTEN = BatchNorm(), ReLU(), Add(), Zero(), Flatten()
_AVERAGE_3X3 = Pool("avg", (3, 3), (1, 1), (1, 1))
_HALVE = Pool("avg", (2, 2), (2, 2))
_CONVOLUTIONS: dict[tuple[Shape, int, int, int], Chain] = {}


class NatsTss(Space):
    """Topology space: a cell of six edges with five operations each, 15,625 genotypes.

    Args:
        input_shape: Height, width and channels of the images.
        num_classes: Number of classes.
        channels: Channels of the first stage; they double in the second and again in the third.
        cells: Cells per stage. The benchmark's networks have 16 channels and 5 cells.
    """

    name = "nats-tss"
    size = 5**6
    additive = Additive(tuple((edge,) for edge in EDGES))

    def __init__(
        self,
        input_shape: tuple[int, int, int] = (32, 32, 3),
        num_classes: int = 10,
        *,
        channels: int = 16,
        cells: int = 5,
    ) -> None:
        super().__init__(input_shape, num_classes)
        for what, count in (("channels", channels), ("cells", cells)):
            if type(count) is not int or count < 1:
                raise UsageError(f"space {self.name!r}: {what} is {count!r}; expected a whole number of at least 1")
        self.channels, self.cells = channels, cells

    def build(self, choose: Choose) -> Network:
        """See `Space.build`."""
        cell = {edge: (OPERATORS[choose(edge, _OPERATION)],) for edge in EDGES}
        return self.assemble(NetworkBuilder(self.channels_first), cell)

    def assemble(self, net: NetworkBuilder, cell: Mapping[str, tuple[Operator, ...]]) -> Network:
        """The network of a cell whose edges may hold several operations.

        Args:
            net: A fresh builder for images of the space.
            cell: The operators of every edge.
        """
        x = _convolve(net, net.input, self.channels, 3)
        for stage in range(3):
            channels = self.channels * 2**stage
            if stage:
                x = _reduce(net, x, channels)
            for _ in range(self.cells):
                x = join_cell(net, x, cell, channels)
        return _classify(net, x, self.num_classes)

    def relaxed(self) -> NatsTssSupernet:
        """The space of supernets: several operations on an edge."""
        from spaces.nats_supernet import NatsTssSupernet

        return NatsTssSupernet(self)

    def thin_networks(self, genotype: Genotype) -> ThinNetworks:
        """See `spaces.supernet.Thinned.thin_networks`."""
        from spaces.nats_supernet import thin_networks

        return thin_networks(self, genotype)

    def parse(self, text: str) -> Genotype:
        """Read `|nor_conv_3x3~0|+|skip_connect~0|none~1|+|...|`, or JSON of the choices."""
        if not text.startswith("|"):
            return super().parse(text)
        choices: dict[str, Value] = {}
        for target, part in enumerate(text.split("+"), start=1):
            for operation, source in re.findall(r"\|([^|~]+)~(\d+)(?=\|)", part):
                choices[f"{source}->{target}"] = operation
        genotype = Genotype({edge: choices[edge] for edge in EDGES if edge in choices})
        if len(genotype) != len(choices) or set(genotype) != set(EDGES) or self.describe(genotype) != text:
            raise InvalidGenotype(
                f"architecture {text[:120]!r}; expected |op~0|+|op~0|op~1|+|op~0|op~1|op~2| "
                f"with each op one of {', '.join(OPERATIONS)}"
            )
        self.decode(genotype)
        return genotype

    def describe(self, genotype: Genotype) -> str:
        """The benchmark's architecture string."""
        nodes = [
            "|" + "".join(f"{genotype[f'{source}->{target}']}~{source}|" for source in range(target))
            for target in (1, 2, 3)
        ]
        return "+".join(nodes)

    def enumerate(self) -> Iterator[Genotype]:
        """All genotypes in lexicographic order of the choices; this is not the benchmark's order."""
        for operations in product(OPERATIONS, repeat=len(EDGES)):
            yield Genotype(dict(zip(EDGES, operations, strict=True)))


class NatsSss(Space):
    """Size space: five widths of 8, 16, ... 64 channels on one cell, 32,768 genotypes."""

    name = "nats-sss"
    size = 8**5
    additive = Additive((("c1", "c2"), ("c2", "c3"), ("c3", "c4"), ("c4", "c5")))

    def build(self, choose: Choose) -> Network:
        """See `Space.build`."""
        c1, c2, c3, c4, c5 = (choose(f"c{i}", _WIDTH) for i in range(1, 6))
        cell = {edge: (OPERATORS[operation],) for edge, operation in _SSS_CELL.items()}
        net = NetworkBuilder(self.channels_first)
        x = _convolve(net, net.input, c1, 3)
        x = join_cell(net, x, cell, c1)
        x = _reduce(net, x, c2)
        x = join_cell(net, x, cell, c3)
        x = _reduce(net, x, c4)
        x = join_cell(net, x, cell, c5)
        return _classify(net, x, self.num_classes)

    def parse(self, text: str) -> Genotype:
        """Read `8:16:24:32:64`, or JSON of the choices."""
        if ":" not in text or text.lstrip().startswith("{"):
            return super().parse(text)
        parts = text.split(":")
        if len(parts) != 5 or not all(re.fullmatch(r"[1-9][0-9]{0,3}", part) for part in parts):
            raise UsageError(f"architecture {text[:80]!r}; expected five widths, e.g. 8:16:24:32:64")
        genotype = Genotype({f"c{i}": int(part) for i, part in enumerate(parts, start=1)})
        self.decode(genotype)
        return genotype

    def describe(self, genotype: Genotype) -> str:
        """The benchmark's architecture string."""
        return ":".join(str(genotype[f"c{i}"]) for i in range(1, 6))

    def enumerate(self) -> Iterator[Genotype]:
        """All genotypes in lexicographic order, which for this space is the benchmark's too."""
        for widths in product(_WIDTH.values(), repeat=5):
            yield Genotype({f"c{i}": width for i, width in enumerate(widths, start=1)})


def join_cell(net: NetworkBuilder, x: int, cell: Mapping[str, tuple[Operator, ...]], channels: int) -> int:
    """Node j is the sum over i < j of the operations i->j, each applied to node i; returns node 3."""
    nodes = [x]
    for target in (1, 2, 3):
        terms = [
            operator(net, nodes[source], channels)
            for source in range(target)
            for operator in cell[f"{source}->{target}"]
        ]
        nodes.append(net.add(_SUM, *terms) if len(terms) > 1 else terms[0])
    return nodes[-1]


def _skip(net: NetworkBuilder, x: int, channels: int) -> int:
    """The identity; between widths a projection without ReLU."""
    return x if net.shape(x)[0] == channels else _convolve(net, x, channels, 1)


def _relu_convolve(kernel: int) -> Operator:
    return lambda net, x, channels: _convolve(net, net.add(_RELU, x), channels, kernel)


OPERATORS: dict[str, Operator] = {
    "none": lambda net, x, channels: net.add(_ZERO, x),
    "skip_connect": _skip,
    "nor_conv_1x1": _relu_convolve(1),
    "nor_conv_3x3": _relu_convolve(3),
    "avg_pool_3x3": lambda net, x, channels: net.add(_AVERAGE_3X3, x),
}


def _reduce(net: NetworkBuilder, x: int, channels: int) -> int:
    """A basic residual block of stride 2 whose shortcut has neither batch norm nor ReLU."""
    y = _convolve(net, net.add(_RELU, x), channels, 3, stride=2)
    y = _convolve(net, net.add(_RELU, y), channels, 3)
    shortcut = net.add(Conv(channels, (1, 1), bias=False), net.add(_HALVE, x))
    return net.add(_SUM, y, shortcut)


def _classify(net: NetworkBuilder, x: int, classes: int) -> Network:
    x = net.add(_RELU, net.add(_NORM, x))
    _, height, width = net.shape(x)
    x = net.add(Pool("avg", (height, width), (height, width)), x)
    return net.build(net.add(Dense(classes), net.add(_FLATTEN, x)))


def _convolve(net: NetworkBuilder, x: int, channels: int, kernel: int, stride: int = 1) -> int:
    shape = net.shape(x)
    made = _CONVOLUTIONS.get((shape, channels, kernel, stride))
    if made is None:
        padding = kernel // 2
        op = Conv(channels, (kernel, kernel), (stride, stride), (padding, padding), bias=False)
        made = _CONVOLUTIONS[shape, channels, kernel, stride] = chain(shape, op, _NORM)
    return net.extend(x, made)


__all__ = [
    "EDGES",
    "OPERATIONS",
    "OPERATORS",
    "NatsSss",
    "NatsTss",
    "Operator",
    "join_cell",
]
