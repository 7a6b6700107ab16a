"""Supernets of NATS-Bench's topology space, and TE-NAS's thin networks of them.

Chen, Gong, Wang: Neural Architecture Search on ImageNet in Four GPU Hours: A Theoretically Inspired Perspective
(TE-NAS), ICLR 2021, arXiv:2102.11535. Built by the code of the plain space (`spaces.nats`), whose nodes sum all
operations of their edges; in the thin networks every edge is the mean of its operations, as in the authors' code.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from spaces.errors import InvalidGenotype
from spaces.layers import BatchNorm, Op, ReLU, Shape
from spaces.nats import EDGES, OPERATIONS, OPERATORS, NatsTss, Operator, join_cell
from spaces.network import Chain, Network, NetworkBuilder
from spaces.space import Choose, Genotype
from spaces.supernet import Placed, Subsets, SupernetSpace, ThinNetworks, split

_OPERATIONS = Subsets(OPERATIONS)
_THIN_CHANNELS = 3
_BODY = "body"  # the place of what no edge holds


class NatsTssSupernet(SupernetSpace):
    """Cells of six edges with one to five operations each; made by `NatsTss.relaxed`.

    Args:
        plain: The space of those with one operation on every edge.
    """

    name = "nats-tss-supernet"

    def __init__(self, plain: NatsTss) -> None:
        channels, height, width = plain.channels_first
        super().__init__((height, width, channels), plain.num_classes)
        self._plain = plain

    @property
    def options(self) -> Mapping[str, tuple[str, ...]]:
        """See `SupernetSpace.options`."""
        return dict.fromkeys(EDGES, OPERATIONS)

    def build(self, choose: Choose) -> Network:
        """See `Space.build`."""
        cell = {edge: _operators(split(choose(edge, _OPERATIONS))) for edge in EDGES}
        return self._plain.assemble(NetworkBuilder(self.channels_first), cell)

    def parse(self, text: str) -> Genotype:
        """Read `|nor_conv_3x3~0|+|skip_connect+nor_conv_1x1~0|none~1|+|...|`, or JSON of the choices."""
        if not text.startswith("|"):
            return super().parse(text)
        found = re.findall(r"(?<=\|)([^|~]+)~\d+(?=\|)", text)
        genotype = Genotype(dict(zip(EDGES, found, strict=False)))
        if len(found) != len(EDGES) or self.describe(genotype) != text:
            raise InvalidGenotype(
                f"architecture {text[:120]!r}; expected |ops~0|+|ops~0|ops~1|+|ops~0|ops~1|ops~2| with each ops "
                f"{_OPERATIONS}"
            )
        self.decode(genotype)
        return genotype

    def describe(self, genotype: Genotype) -> str:
        """The benchmark's architecture string, the operations of an edge joined by `+`."""
        return self._plain.describe(genotype)

    def thin_networks(self, genotype: Genotype) -> ThinNetworks:
        """See `Thinned.thin_networks`."""
        return self._plain.thin_networks(genotype)


def thin_networks(plain: NatsTss, genotype: Genotype) -> ThinNetworks:
    """The thin networks of an architecture or supernet; see `Thinned.thin_networks`."""
    channels, height, width = plain.channels_first
    small = NatsTss((height, width, channels), plain.num_classes, channels=_THIN_CHANNELS, cells=1)
    wide = _PlacedBuilder(small.channels_first)
    narrow = _PlacedBuilder((1, 3, 3))
    body = small.assemble(wide, wide.operators(genotype))
    end = narrow.add(BatchNorm(), join_cell(narrow, narrow.input, narrow.operators(genotype), 1))
    cell = narrow.build(narrow.add(ReLU(), end))  # the authors' classifier is left out: it has no ReLU
    return ThinNetworks(wide.placed(body), narrow.placed(cell))


class _PlacedBuilder(NetworkBuilder):
    """Remembers where every node stands: its operation becomes an object of its own, which building keeps."""

    def __init__(self, input_shape: Shape) -> None:
        super().__init__(input_shape)
        self._where = _BODY
        self._target = ""  # the node of a cell whose terms are being added, and their shares so far
        self._terms: list[float] = []
        self._counts: dict[str, int] = {}
        self._places: dict[int, str] = {id(self._ops[0]): "input"}
        self._shares: dict[int, tuple[float, ...]] = {}

    def operators(self, genotype: Genotype) -> dict[str, tuple[Operator, ...]]:
        """The operators of every edge, which say where they are while they add their nodes."""
        made = {}
        for edge in EDGES:
            names = split(genotype[edge])
            made[edge] = tuple(self._placing(edge, name, 1 / len(names)) for name in names)
        return made

    def _placing(self, edge: str, name: str, share: float) -> Operator:
        target = edge.partition("->")[2]

        def operator(net: NetworkBuilder, x: int, channels: int) -> int:
            self._where = f"{edge} {name}"
            made = OPERATORS[name](net, x, channels)
            self._where = _BODY
            self._terms = [*self._terms, share] if target == self._target else [share]
            self._target = target
            return made

        return operator

    def add(self, op: Op, *inputs: int) -> int:
        """See `NetworkBuilder.add`."""
        own = replace(op)
        what = f"{self._where} {type(op).__name__}"  # counted by kind: sums come and go with what is pruned
        count = self._counts[what] = self._counts.get(what, 0) + 1
        self._places[id(own)] = f"{what} {count}"
        if len(inputs) > 1 and self._target:
            self._shares[id(own)] = tuple(self._terms)
            self._target = ""
        return super().add(own, *inputs)

    def extend(self, source: int, chain: Chain) -> int:
        """See `NetworkBuilder.extend`."""
        for op in chain.ops:
            source = self.add(op, source)
        return source

    def placed(self, network: Network) -> Placed:
        """The network built here, with its places and shares."""
        index = {id(op): place for place, op in enumerate(network.ops)}
        shares = [(1.0,) * len(inputs) for inputs in network.inputs]
        for own, inputs in zip(self._ops, self._inputs, strict=True):
            if id(own) in self._shares:
                sources = [index[id(self._ops[handle])] for handle in inputs]
                terms = sorted(zip(sources, self._shares[id(own)], strict=True))  # as building sorts the inputs
                shares[index[id(own)]] = tuple(share for _, share in terms)
        return Placed(network, tuple(self._places[id(op)] for op in network.ops), tuple(shares))


def _operators(names: tuple[str, ...]) -> tuple[Operator, ...]:
    return tuple(OPERATORS[name] for name in names)
