"""The five design spaces of NDS that are made of cells: NASNet, Amoeba, PNAS, ENAS and DARTS.

Radosavovic, Johnson, Xie, Lo, Dollar: On Network Design Spaces for Visual Recognition, ICCV 2019,
arXiv:1905.13214. Owns choices and notations; `nds_cells` has the operations and the network.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar, cast

from spaces.errors import InvalidGenotype, UsageError
from spaces.nds_cells import FAMILIES, Cell, Edge, Family, stack
from spaces.network import Network, NetworkBuilder
from spaces.notation import json_object
from spaces.space import Choice, Choose, Domain, Genotype, Integer, Space, Value

CELLS = ("normal", "reduce")
_WIDTH, _DEPTH = Integer(16, 32, 8), Integer(4, 20, 4)  # of the published networks for CIFAR
_TEXT = re.compile(r"w(\d{1,4})\|d(\d{1,4})\|normal\|(.+)\|reduce\|(.+)", re.ASCII)
_EDGE = re.compile(r"(\w+)~(\d)", re.ASCII)


class NdsSpace(Space):
    """A normal and a reduction cell, stacked to a network for CIFAR; a subclass for every family.

    A node of a cell makes four choices: two operations, and the earlier states that they read. Width and depth
    are by default those of the published `fix-w-d` networks.

    Args:
        input_shape: Height, width and channels of the images.
        num_classes: Number of classes.
        width: Channels of a node before the first reduction; 0 makes it a choice of every network: 16, 24 or 32.
        depth: Number of cells; 0 makes it a choice of every network: 4, 8, 12, 16 or 20.

    Attributes:
        family: Its operations, number of nodes and rule of output.
    """

    family: ClassVar[Family]

    def __init__(
        self,
        input_shape: tuple[int, int, int] = (32, 32, 3),
        num_classes: int = 10,
        *,
        width: int = 16,
        depth: int = 20,
    ) -> None:
        super().__init__(input_shape, num_classes)
        for what, count in (("width", width), ("depth", depth)):
            if type(count) is not int or not 0 <= count < 10_000:
                raise UsageError(
                    f"space {self.name!r}: {what} is {count!r}; expected a whole number from 1 to 9999, or 0 to "
                    "leave the choice to every network"
                )
        self.width, self.depth = width, depth
        operations = Choice(*self.family.operations)
        self._questions = {
            cell: [
                [(_op(cell, state, k), operations, _in(cell, state, k), Integer(0, state - 1)) for k in (1, 2)]
                for state in self.family.states
            ]
            for cell in CELLS
        }

    def build(self, choose: Choose) -> Network:
        """See `Space.build`."""
        width, depth, normal, reduction = self._answers(choose)
        net = NetworkBuilder(self.channels_first)
        return stack(net, self.num_classes, self.family, normal, reduction, width, depth)

    def ask(self, choose: Choose) -> None:
        """See `Space.ask`; building takes a hundred times as long."""
        self._answers(choose)

    def genotype_of(self, published: Mapping[str, object]) -> Genotype:
        """The member that a published record names.

        Args:
            published: `normal` and `reduce`, each a list of pairs (operation, state), two for every node, with
                `normal_concat` and `reduce_concat`, which are checked where they are given; or a mapping that holds
                all that under `genotype`, beside `width` and `depth`, as the authors' files do under `net`.

        Raises:
            UsageError: Another form; a width or depth that is not this space's, or none where it has no own one.
            InvalidGenotype: No cells of this family.
        """
        cells = published.get("genotype", published)
        if not isinstance(cells, Mapping):
            raise UsageError(f"genotype {str(cells)[:80]!r}; expected an object with {' and '.join(CELLS)}")
        choices: dict[str, Value] = {}
        for what, own, domain in (("width", self.width, _WIDTH), ("depth", self.depth, _DEPTH)):
            given = published.get(what, own or None)
            if own and given != own:
                raise UsageError(
                    f"space {self.name!r}: {what} of the network is {given!r}; expected {own}, or a space made "
                    f"with another {what}"
                )
            if not own:
                choices[what] = self._checked(what, given, domain)
        for cell in CELLS:
            choices |= self._read_cell(cell, cells.get(cell))
        genotype = Genotype(choices)
        for cell in CELLS:
            self._check_output(genotype, cell, cells.get(f"{cell}_concat"))
        return genotype

    def published(self, genotype: Genotype) -> dict[str, object]:
        """What `genotype_of` reads, in the form of the authors' files: width, depth and genotype."""
        cells: dict[str, object] = {}
        for cell in CELLS:
            nodes = self._nodes(genotype, cell)
            cells[cell] = [list(edge) for node in nodes for edge in node]
            cells[f"{cell}_concat"] = self.family.output(nodes)
        width, depth = self._scale(genotype)
        return {"width": width, "depth": depth, "genotype": cells}

    def describe(self, genotype: Genotype) -> str:
        """Width, depth and the nodes of both cells: `w16|d20|normal|op~state+op~state|...|reduce|...`."""
        width, depth = self._scale(genotype)
        parts = [f"w{width}", f"d{depth}"]
        for cell in CELLS:
            nodes = self._nodes(genotype, cell)
            parts += [cell, *("+".join(f"{edge.operation}~{edge.source}" for edge in node) for node in nodes)]
        return "|".join(parts)

    def parse(self, text: str) -> Genotype:
        """Read what `describe` writes, JSON of what `genotype_of` reads, or JSON of the choices."""
        if match := _TEXT.fullmatch(text):
            width, depth, *cells = match.groups()
            edges = {
                cell: [(operation, int(source)) for operation, source in _EDGE.findall(nodes)]
                for cell, nodes in zip(CELLS, cells, strict=True)
            }
            genotype = self.genotype_of({"width": int(width), "depth": int(depth), "genotype": edges})
            if (right := self.describe(genotype)) != text:
                raise UsageError(f"architecture {text[:200]!r}; expected {right!r}, which it resembles")
            return genotype
        given = json_object(text)
        return self.genotype_of(given) if {"genotype", CELLS[0]} & given.keys() else self._member(given)

    def _answers(self, choose: Choose) -> tuple[int, int, Cell, Cell]:
        """Width, depth, normal and reduction cell."""
        width = self.width or choose("width", _WIDTH)
        depth = self.depth or choose("depth", _DEPTH)
        normal, reduction = (
            [
                [Edge(choose(op, operations), choose(source, states)) for op, operations, source, states in node]
                for node in self._questions[cell]
            ]
            for cell in CELLS
        )
        return width, depth, normal, reduction

    def _scale(self, genotype: Genotype) -> tuple[Value, Value]:
        return self.width or genotype["width"], self.depth or genotype["depth"]

    def _nodes(self, genotype: Genotype, cell: str) -> Cell:
        return [
            [Edge(str(genotype[op]), int(genotype[source])) for op, _, source, _ in node]
            for node in self._questions[cell]
        ]

    def _read_cell(self, cell: str, edges: object) -> dict[str, Value]:
        """The choices of one published cell."""
        count = 2 * self.family.nodes
        pairs = edges if isinstance(edges, (list, tuple)) else ()
        if len(pairs) != count or any(not isinstance(pair, (list, tuple)) or len(pair) != 2 for pair in pairs):
            raise UsageError(
                f"space {self.name!r}: {cell} is {str(edges)[:120]}; expected {count} pairs (operation, state), "
                f"two for each of {self.family.nodes} nodes"
            )
        asked = [question for node in self._questions[cell] for question in node]
        choices: dict[str, Value] = {}
        for (op, operations, source, states), pair in zip(asked, pairs, strict=True):
            choices[op] = self._checked(op, pair[0], operations)
            choices[source] = self._checked(source, pair[1], states)
        return choices

    def _checked(self, name: str, value: object, domain: Domain) -> Value:
        if value not in domain:
            raise InvalidGenotype(f"space {self.name!r}: {name} is {str(value)[:80]!r}; expected {domain!r}")
        return cast(Value, value)

    def _check_output(self, genotype: Genotype, cell: str, given: object) -> None:
        output = self.family.output(self._nodes(genotype, cell))
        if given is not None and (not isinstance(given, (list, tuple, range)) or sorted(given, key=str) != output):
            what = "the nodes that no other reads" if self.family.loose_ends else "all nodes"
            raise InvalidGenotype(
                f"space {self.name!r}: {cell}_concat is {str(given)[:80]}; expected {output}, {what}"
            )


def _op(cell: str, state: int, term: int) -> str:
    return f"{cell}{state}.op{term}"


def _in(cell: str, state: int, term: int) -> str:
    return f"{cell}{state}.in{term}"


class NdsNasNet(NdsSpace):
    """NASNet cells of NDS: thirteen operations, five nodes, loose ends."""

    name, family = "nds-nasnet", FAMILIES["nds-nasnet"]


class NdsAmoeba(NdsSpace):
    """Amoeba cells of NDS: eight operations, five nodes, loose ends."""

    name, family = "nds-amoeba", FAMILIES["nds-amoeba"]


class NdsPnas(NdsSpace):
    """PNAS cells of NDS: eight operations, five nodes, all of them put out."""

    name, family = "nds-pnas", FAMILIES["nds-pnas"]


class NdsEnas(NdsSpace):
    """ENAS cells of NDS: five operations, five nodes, loose ends."""

    name, family = "nds-enas", FAMILIES["nds-enas"]


class NdsDarts(NdsSpace):
    """DARTS cells of NDS: eight operations, four nodes, all of them put out."""

    name, family = "nds-darts", FAMILIES["nds-darts"]
