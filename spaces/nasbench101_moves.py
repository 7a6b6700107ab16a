"""The cells of NAS-Bench-101 that are one step away from a cell.

A step changes one operation, puts in or takes away one edge, or puts in or takes away a vertex that has one edge
in and one out. It does not depend on how a cell is numbered, and every step can be taken back. The authors
(google-research/nasbench, `NASBench.ipynb`) flip edges of seven vertices, some of which lead nowhere; since those
are not kept here, a vertex comes and goes with both its edges.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

from spaces.nasbench101_cells import (
    MOST_EDGES,
    MOST_VERTICES,
    OPERATIONS,
    Cell,
    Labels,
    edge_bit,
    pruned,
    representative,
)

Edge = tuple[int, int]
_REMEMBERED = 256  # parents of evolution are mutated again and again


@lru_cache(maxsize=_REMEMBERED)
def one_step_away(cell: Cell) -> tuple[Cell, ...]:
    """Representatives of all cells one step away from a pruned cell, each once, never the cell itself."""
    found = dict.fromkeys(representative(other) for other in _steps(cell))
    found.pop(representative(cell), None)
    return tuple(found)


def _steps(cell: Cell) -> Iterator[Cell]:
    for at, label in enumerate(cell.labels):
        for other in range(len(OPERATIONS)):
            if other != label:
                yield cell._replace(labels=(*cell.labels[:at], other, *cell.labels[at + 1 :]))
    edges = [(source, target) for target in range(1, cell.vertices) for source in cell.sources(target)]
    below = _below(cell)
    for before, after in _pairs(cell.vertices, below):
        if (before, after) in edges:
            less = pruned(cell._replace(edges=cell.edges ^ edge_bit(before, after)))
            if less is not None and _can_be_taken_back(cell, less):
                yield less
        elif len(edges) < MOST_EDGES:
            yield _numbered([*edges, (before, after)], cell.labels)
        if cell.vertices < MOST_VERTICES and len(edges) + 2 <= MOST_EDGES:
            for label in range(len(OPERATIONS)):
                yield _with_vertex(cell, edges, before, after, label)


def _pairs(vertices: int, below: list[int]) -> Iterator[Edge]:
    """Two vertices between which an edge may lie, in its direction: no path leads back."""
    for before in range(vertices - 1):
        for after in range(1, vertices):
            if before != after and not below[before] >> after & 1:
                yield before, after


def _below(cell: Cell) -> list[int]:
    """For every vertex, the bit set of those from which a path leads to it."""
    below = [0] * cell.vertices
    for target in range(1, cell.vertices):
        for source in cell.sources(target):
            below[target] |= below[source] | 1 << source
    return below


def _can_be_taken_back(cell: Cell, less: Cell) -> bool:
    """Whether an edge was taken away alone, or with a vertex and the one other edge of it."""
    lost = cell.edges.bit_count() - less.edges.bit_count()
    return (cell.vertices - less.vertices, lost) in ((0, 1), (1, 2))


def _with_vertex(cell: Cell, edges: list[Edge], before: int, after: int, label: int) -> Cell:
    """The cell with a new vertex on a new path from one vertex to another; the output stays the last one."""
    last = cell.vertices - 1

    def moved(vertex: int) -> int:
        return vertex + (vertex == last)

    shifted = [(source, moved(target)) for source, target in edges]
    return _numbered([*shifted, (before, last), (last, moved(after))], (*cell.labels, label))


def _numbered(edges: Iterable[Edge], labels: Labels) -> Cell:
    """A cell of vertices in any order, but input first and output last, numbered so that edges point forward."""
    edges = list(edges)
    depth = [0] * (len(labels) + 2)
    for _ in depth:
        for source, target in edges:
            depth[target] = max(depth[target], depth[source] + 1)
    order = sorted(range(1, len(labels) + 1), key=depth.__getitem__)
    place = {old: new for new, old in enumerate([0, *order, len(labels) + 1])}
    return Cell(
        len(labels) + 2,
        sum(edge_bit(place[source], place[target]) for source, target in edges),
        tuple(labels[old - 1] for old in order),
    )
