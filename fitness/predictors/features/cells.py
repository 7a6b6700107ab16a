"""Cells as labelled graphs in one form, whatever space they come from: operations at the vertices.

Knows which of our spaces are made of cells. An operation on an edge becomes a vertex of its own, as EmProx and
others have it for NAS-Bench-201.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import partial

from spaces.nasbench101 import NasBench101, cell_of
from spaces.nasbench101_cells import MOST_VERTICES
from spaces.nasbench101_cells import OPERATIONS as VERTEX_OPERATIONS
from spaces.nats import EDGES, OPERATIONS, NatsTss
from spaces.nds import CELLS, NdsSpace
from spaces.nds_cells import INPUTS, Edge
from spaces.space import Genotype, Space

__all__ = ["CellForm", "LabelledCell", "cell_form", "figures_key"]


@dataclass(frozen=True)
class LabelledCell:
    """A cell: vertex 0 is what enters, the last one what leaves, between them operations.

    Attributes:
        labels: Of every inner vertex, the index of its operation.
        inputs: Of every vertex but the first, the vertices that it reads, all of them before it.
    """

    labels: tuple[int, ...]
    inputs: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class CellForm:
    """What the cells of a space are like.

    Attributes:
        cells: Names of the cells of a genotype.
        operations: What labels stand for.
        most: Vertices of its largest cell, the first and the last included.
        longest: Operations on the longest path through a cell.
        read: The cells of a genotype, in the order of `cells`.
        nothing: Label of the operation that passes nothing on; -1 if there is none.
        same: Label of the operation that passes on what it reads; -1 if there is none.
    """

    cells: tuple[str, ...]
    operations: tuple[str, ...]
    most: int
    longest: int
    read: Callable[[Genotype], tuple[LabelledCell, ...]]
    nothing: int = -1
    same: int = -1


def cell_form(space: Space) -> CellForm | None:
    """What the cells of a space are like; None if its networks are not made of cells that it chooses."""
    if isinstance(space, NatsTss):
        nothing, same = OPERATIONS.index("none"), OPERATIONS.index("skip_connect")
        return CellForm(("cell",), OPERATIONS, len(EDGES) + 2, 3, _of_edges, nothing, same)
    if isinstance(space, NasBench101):
        return CellForm(("cell",), VERTEX_OPERATIONS, MOST_VERTICES, MOST_VERTICES - 2, _of_vertices)
    if isinstance(space, NdsSpace):
        known = space.family.operations
        return CellForm(
            CELLS,
            (*known, "before", "last"),
            1 + INPUTS + 2 * space.family.nodes + 1,
            1 + space.family.nodes,
            partial(_of_states, space),
            known.index("none") if "none" in known else -1,
            known.index("skip_connect"),
        )
    return None


def figures_key(space: Space) -> Callable[[Genotype], Hashable] | None:
    """What decides sizes and depth of a genotype's live network; None where only the network itself does.

    In NATS-Bench's topology space all vertices of a cell are equally wide, so it is the convolutions on live paths
    and the most on one of them: 56 keys for 15,625 cells.
    """
    return _convolutions if isinstance(space, NatsTss) else None


_WEIGHTED = {"nor_conv_1x1", "nor_conv_3x3"}


def _convolutions(genotype: Genotype) -> Hashable:
    operations = [str(genotype[edge]) for edge in EDGES]
    depths = {0: 0}  # of vertices that something reaches
    for operation, (source, end) in zip(operations, _ENDS, strict=True):
        if operation != "none" and source in depths:
            depths[end] = max(depths.get(end, 0), depths[source] + (operation in _WEIGHTED))
    used = {3}
    live = []
    for operation, (source, end) in zip(reversed(operations), reversed(_ENDS), strict=True):
        if operation != "none" and source in depths and end in used:
            used.add(source)
            live.append(operation)
    last = depths.get(3)
    return last if last is None else (live.count("nor_conv_1x1"), live.count("nor_conv_3x3"), last)


_ENDS = [tuple(map(int, edge.split("->"))) for edge in EDGES]
_EDGE_INPUTS = (
    *(tuple(i for i, (_, end) in enumerate(_ENDS, 1) if end == source) or (0,) for source, _ in _ENDS),
    tuple(i for i, (_, end) in enumerate(_ENDS, 1) if end == max(end for _, end in _ENDS)),
)
_CODES = {operation: code for code, operation in enumerate(OPERATIONS)}


def _of_edges(genotype: Genotype) -> tuple[LabelledCell, ...]:
    """Each edge of NAS-Bench-201 is a vertex that reads all edges into its source."""
    return (LabelledCell(tuple(_CODES[str(genotype[edge])] for edge in EDGES), _EDGE_INPUTS),)


def _of_vertices(genotype: Genotype) -> tuple[LabelledCell, ...]:
    cell = cell_of(genotype)
    return (LabelledCell(cell.labels, tuple(cell.sources(vertex) for vertex in range(1, cell.vertices))),)


def _of_states(space: NdsSpace, genotype: Genotype) -> tuple[LabelledCell, ...]:
    """Each term of a node is a vertex; the two states that enter a cell are vertices behind one input."""
    operations = (*space.family.operations, "before", "last")
    codes = {operation: code for code, operation in enumerate(operations)}
    cells = []
    for name in CELLS:
        labels = [codes["before"], codes["last"]]
        inputs: list[tuple[int, ...]] = [(0,), (0,)]
        states: list[tuple[int, ...]] = [(1,), (2,)]  # the vertices whose sum each state is
        nodes = [
            [
                Edge(str(genotype[f"{name}{state}.op{term}"]), int(genotype[f"{name}{state}.in{term}"]))
                for term in (1, 2)
            ]
            for state in space.family.states
        ]
        for node in nodes:
            first = len(labels) + 1
            labels += [codes[edge.operation] for edge in node]
            inputs += [states[edge.source] for edge in node]
            states.append((first, first + 1))
        inputs.append(tuple(vertex for state in space.family.output(nodes) for vertex in states[state]))
        cells.append(LabelledCell(tuple(labels), tuple(inputs)))
    return tuple(cells)
