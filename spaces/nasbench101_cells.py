"""The cells of NAS-Bench-101: pruning, one representative per class, listing all of them, notation, hash.

Ying, Klein, Christiansen, Real, Murphy, Hutter: NAS-Bench-101: Towards Reproducible Neural Architecture Search,
ICML 2019, arXiv:1902.09635, section 2; code google-research/nasbench. Knows graphs, not networks.

A class of cells that differ by the numbering of their inner vertices is represented as in the published table:
by the lowest edge number, then the lowest labels (`conv3x3-bn-relu` < `conv1x1-bn-relu` < `maxpool3x3`). It
matters beyond names: where channels do not divide evenly, the first vertices get one more.
"""

from __future__ import annotations

import re
from bisect import bisect
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from hashlib import md5
from itertools import accumulate, permutations, product
from random import Random
from typing import NamedTuple

from spaces.errors import InvalidGenotype, UnknownName

Labels = tuple[int, ...]

OPERATIONS = ("conv3x3-bn-relu", "conv1x1-bn-relu", "maxpool3x3")  # in the order of the benchmark's labels
MOST_VERTICES, MOST_EDGES = 7, 9
COUNT = 423_624  # distinct cells; section 2.1 of the paper
FORM = re.compile(r"[01]+(-[01]+)*(:[a-z0-9-]+)*")
_EXAMPLE = "11-1:conv3x3-bn-relu"
_REMEMBERED = 4096


class Cell(NamedTuple):
    """A labelled graph; vertex 0 is the input, the last one the output.

    Attributes:
        vertices: Number of vertices, 2 or more.
        edges: Bit `edge_bit(source, target)` is set for every edge; a source has a lower number than its target.
        labels: Of every inner vertex, the index of its operation in `OPERATIONS`.
    """

    vertices: int
    edges: int
    labels: Labels

    def sources(self, target: int) -> tuple[int, ...]:
        """The vertices with an edge to `target`, ascending."""
        return tuple(source for source in range(target) if self.edges & edge_bit(source, target))


def edge_bit(source: int, target: int) -> int:
    """The bit of an edge: the upper triangle of the adjacency matrix is numbered column by column."""
    return 1 << (source + target * (target - 1) // 2)


def pruned(cell: Cell) -> Cell | None:
    """The vertices on a path from input to output, or None if the benchmark calls the cell invalid.

    Invalid are cells without such a path, and those with more than 9 edges on such paths.

    Args:
        cell: At most 7 vertices.
    """
    last = cell.vertices - 1
    fed, used = 1, 1 << last  # bit sets of vertices
    for target in range(1, cell.vertices):
        if any(fed >> source & 1 for source in cell.sources(target)):
            fed |= 1 << target
    for target in range(last, 0, -1):
        if used >> target & 1:
            for source in cell.sources(target):
                used |= 1 << source
    kept = [vertex for vertex in range(cell.vertices) if fed & used & (1 << vertex)]
    if not kept or kept[0] != 0 or kept[-1] != last:
        return None
    place = {vertex: new for new, vertex in enumerate(kept)}
    edges = sum(
        edge_bit(place[source], place[target])
        for target in kept
        for source in cell.sources(target)
        if source in place
    )
    if edges.bit_count() > MOST_EDGES:
        return None
    return Cell(len(kept), edges, tuple(cell.labels[vertex - 1] for vertex in kept[1:-1]))


@lru_cache(maxsize=_REMEMBERED)
def representative(cell: Cell) -> Cell:
    """The cell that stands for all cells isomorphic to a pruned one, as in the published table."""
    present = _indices(cell.edges)
    best = (cell.edges, cell.labels)
    for inner, moved in _renumberings(cell.vertices):
        edges = _moved(present, moved)
        if edges and edges <= best[0]:
            best = min(best, (edges, tuple([cell.labels[old] for old in inner])))
    return Cell(cell.vertices, *best)


def all_cells(most_vertices: int = MOST_VERTICES) -> Iterator[Cell]:
    """Every representative once, by number of vertices, then edge number, then labels.

    Graphs up to renumbering come first, then their labelings up to symmetry, so no cell is made twice.
    """
    for vertices in range(2, most_vertices + 1):
        for edges, symmetries in _graphs(vertices):
            for labels in product(range(len(OPERATIONS)), repeat=vertices - 2):
                if _is_least(labels, symmetries):
                    yield Cell(vertices, edges, labels)


def uniform_cell(rng: Random) -> Cell:
    """A representative, each with the same probability."""
    graphs, ends = _weighted_graphs()
    vertices, edges, symmetries = graphs[bisect(ends, int(rng.random() * ends[-1]))]
    while True:
        labels = tuple([int(rng.random() * len(OPERATIONS)) for _ in range(vertices - 2)])
        if _is_least(labels, symmetries):
            return Cell(vertices, edges, labels)


def module_hash(cell: Cell) -> str:
    """The benchmark's hash of a pruned cell, equal for isomorphic ones: 32 hexadecimal digits.

    Every vertex starts from its degrees and label and is hashed with its neighbours as many times as there are
    vertices (Weisfeiler and Lehman's refinement); `hash_module` of the authors' graph_util.py.
    """
    count = cell.vertices
    below = [cell.sources(vertex) for vertex in range(count)]
    above = [[user for user in range(count) if vertex in below[user]] for vertex in range(count)]
    labels = (-1, *cell.labels, -2)
    hashes = [_md5(str((len(above[v]), len(below[v]), labels[v]))) for v in range(count)]
    for _ in range(count):
        hashes = [
            _md5(
                "|".join(
                    (
                        "".join(sorted(hashes[s] for s in below[v])),
                        "".join(sorted(hashes[u] for u in above[v])),
                        hashes[v],
                    )
                )
            )
            for v in range(count)
        ]
    return _md5(str(sorted(hashes)))


def write(cell: Cell) -> str:
    """`111-10-1:op:op`: to which later vertices each vertex leads, then the operations of the inner ones."""
    count = cell.vertices
    rows = [
        "".join("1" if cell.edges & edge_bit(source, target) else "0" for target in range(source + 1, count))
        for source in range(count - 1)
    ]
    return ":".join(("-".join(rows), *(OPERATIONS[label] for label in cell.labels)))


def read(text: str) -> Cell:
    """The representative of a cell in the notation of `write`, which may be any numbering and not yet pruned.

    Raises:
        InvalidGenotype: Not the notation, or not a valid cell.
        UnknownName: No such operation.
    """
    triangle, *operations = text.split(":")
    rows = triangle.split("-")
    count = len(rows) + 1
    if any(len(row) != count - 1 - source or set(row) - {"0", "1"} for source, row in enumerate(rows)):
        raise InvalidGenotype(
            f"cell {text[:80]!r}: rows of {', '.join(str(len(row)) for row in rows)[:40]} digits; expected for its "
            f"{count} vertices {count - 1}, ..., 1 digits 0 or 1, to which later ones each leads, e.g. {_EXAMPLE}"
        )
    matrix = [[0] * (source + 1) + [int(digit) for digit in row] for source, row in enumerate(rows)] + [[0] * count]
    return from_matrix(matrix, operations)


def from_matrix(matrix: Sequence[Sequence[int]], operations: Sequence[str]) -> Cell:
    """The representative of a cell given by its adjacency matrix, pruned as the benchmark's queries are.

    Args:
        matrix: Rows of 0 and 1, zero on and below the diagonal.
        operations: Of the inner vertices, in the order of the matrix.

    Raises:
        InvalidGenotype: Not such a matrix, as many operations as inner vertices are lacking, or the benchmark
            calls the cell invalid.
        UnknownName: No such operation.
    """
    count = len(matrix)
    upper = all(
        len(row) == count
        and all(entry in (0, 1) and (entry == 0 or source < target) for target, entry in enumerate(row))
        for source, row in enumerate(matrix)
    )
    if not 2 <= count <= MOST_VERTICES or not upper:
        raise InvalidGenotype(
            f"adjacency matrix {str(matrix)[:200]}; expected a square one of 0 and 1 with 2 to {MOST_VERTICES} "
            "rows, zero on and below the diagonal"
        )
    if len(operations) != count - 2:
        raise InvalidGenotype(
            f"{len(operations)} operations for {count} vertices; expected {count - 2}, one for each inner vertex"
        )
    for name in operations:
        if name not in OPERATIONS:
            raise UnknownName("operation", str(name)[:80], OPERATIONS)
    edges = sum(
        edge_bit(source, target) for source, row in enumerate(matrix) for target, entry in enumerate(row) if entry
    )
    cell = pruned(Cell(count, edges, tuple(map(OPERATIONS.index, operations))))
    if cell is None:
        raise InvalidGenotype(
            f"the cell of {count} vertices and {edges.bit_count()} edges is none of the benchmark's; expected a "
            f"path from the first to the last vertex, and at most {MOST_EDGES} edges on such paths"
        )
    return representative(cell)


def _is_least(labels: Labels, symmetries: Sequence[Labels]) -> bool:
    """Whether no symmetry of a graph makes lower labels of these: one of those that it makes alike."""
    return all([labels <= tuple([labels[old] for old in inner]) for inner in symmetries])


@cache
def _weighted_graphs() -> tuple[list[tuple[int, int, list[Labels]]], list[int]]:
    """Vertices, edges and symmetries of every graph, and how many cells there are up to and including it.

    By Burnside's lemma a graph has as many labelings up to symmetry as its symmetries leave alone on average; one
    leaves alone those that are constant on each of its cycles.
    """
    graphs = [(count, *graph) for count in range(2, MOST_VERTICES + 1) for graph in _graphs(count)]
    labelings = [
        sum([len(OPERATIONS) ** _cycles(inner) for inner in symmetries]) // len(symmetries)
        for _, _, symmetries in graphs
    ]
    return graphs, list(accumulate(labelings))


def _cycles(inner: Labels) -> int:
    left, count = set(range(len(inner))), 0
    while left:
        at, count = min(left), count + 1
        while at in left:
            left.remove(at)
            at = inner[at]
    return count


def _graphs(vertices: int) -> Iterator[tuple[int, list[Labels]]]:
    """Graphs without labels whose vertices all lie on a path, up to renumbering, and their symmetries."""
    for edges in _edge_sets(vertices - 1, 1 << (vertices - 1), MOST_EDGES):
        present, symmetries = _indices(edges), []
        for inner, moved in _renumberings(vertices):
            other = _moved(present, moved)
            if other == edges:
                symmetries.append(inner)
            elif other and other < edges:
                break
        else:
            yield edges, symmetries


def _edge_sets(target: int, leads_on: int, room: int) -> Iterator[int]:
    """Edges to the vertices up to `target`, ascending, such that all of these lie on a path; at most `room`.

    Args:
        target: The last vertex whose sources are open; those of later ones have been chosen.
        leads_on: Bit set of the vertices known to have an edge to a later one, and of the output.
        room: Edges that may still be chosen.
    """
    if target == 0:
        yield 0
    elif leads_on >> target & 1:
        for sources in range(1, 1 << target):
            left = room - sources.bit_count()
            if left >= target - 1:
                for rest in _edge_sets(target - 1, leads_on | sources, left):
                    yield sources << target * (target - 1) // 2 | rest


@cache
def _renumberings(vertices: int) -> list[tuple[Labels, list[int]]]:
    """For every order of the inner vertices, which of them comes where, and the bit each edge moves to.

    The bit is 0 for an edge that would point backwards.
    """
    made = []
    for inner in permutations(range(vertices - 2)):
        place = [0, *[1 + inner.index(old) for old in range(vertices - 2)], vertices - 1]
        moved = [
            edge_bit(place[source], place[target]) if place[source] < place[target] else 0
            for target in range(1, vertices)
            for source in range(target)
        ]
        made.append((inner, moved))
    return made


def _moved(present: Sequence[int], moved: Sequence[int]) -> int:
    """The edges under a renumbering, or 0 if one would point backwards."""
    edges = 0
    for index in present:
        bit = moved[index]
        if not bit:
            return 0
        edges |= bit
    return edges


def _indices(edges: int) -> list[int]:
    return [index for index in range(edges.bit_length()) if edges >> index & 1]


def _md5(text: str) -> str:
    return md5(text.encode(), usedforsecurity=False).hexdigest()
