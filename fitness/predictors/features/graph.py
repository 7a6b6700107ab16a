"""Graph features: how often operations occur, and how many of them lie on the paths through a cell.

Kadlecová, Lukasik, Pilát, Vidnerová, Safari, Neruda, Hutter: Surprisingly Strong Performance Prediction with Neural
Graph Features, ICML 2024, arXiv:2404.16551, section 3: counts, path lengths and degrees, for subsets of the
operations. Only what lies on a path from the cell's input to its output counts.

Differs from the paper: not the lengths of paths of a subset's operations only, but how many such paths there are,
and how many of the subset lie on any path (least, most, mean); degrees of the cell's ends only; and the number of
paths that hold none, one, ... of some operations, or that start or end with one, identities aside. Cells of more
than four operations take subsets of one, and all but one. Spaces without cells: see `features.layers`.
The members of a batch go through the vertices together: about 0.1 ms each.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from fitness.predictors.features import Features
from fitness.predictors.features.cells import CellForm, LabelledCell, cell_form
from fitness.predictors.features.layers import LayerGraph
from spaces.space import Genotype, Space

__all__ = ["CellGraph", "graph"]

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

_FEW = 4  # operations of which every subset is looked at: 15 subsets
_PASSING = -1  # label of the ends of a cell and of places that a cell lacks
_MOST = 3  # operations on a path that are told apart; more are counted as that many


def graph(space: Space) -> Features:
    """The graph features of a space: of its cells, or if it has none of its layers."""
    form = cell_form(space)
    return CellGraph(form) if form else LayerGraph(space)


class CellGraph:
    """Graph features of the cells of a space.

    Args:
        form: What its cells are like.
    """

    def __init__(self, form: CellForm) -> None:
        self._form = form
        labels = [label for label in range(len(form.operations)) if label != form.nothing]
        if len(labels) <= _FEW:
            sizes: Sequence[int] = range(1, len(labels) + 1)
        else:
            sizes = (1, len(labels) - 1, len(labels))
        self._subsets = [subset for size in sizes for subset in combinations(labels, size)]
        self._singles = [column for column, subset in enumerate(self._subsets) if len(subset) == 1]
        changing = [label for label in labels if label != form.same]
        weighted = tuple(label for label in changing if "conv" in form.operations[label])
        self._counted = [*((label,) for label in changing), weighted, tuple(changing)]
        self._inside = self._members(self._subsets)
        self._inside_counted = self._members(self._counted)
        self._changing = self._members([(label,) for label in changing])

    @property
    def names(self) -> tuple[str, ...]:
        """See `Features.names`."""
        operations = self._form.operations
        subsets, counted = (
            ["|".join(operations[label] for label in subset) for subset in each]
            for each in (self._subsets, self._counted)
        )
        singles = [subsets[column] for column in self._singles]
        ends = [*counted[:-2], "identity"]
        each = ["vertices", "paths"]
        each += [f"{what} {name}" for what in ("number", "enters", "leaves") for name in singles]
        each += [f"{what} {name}" for what in _MEASURES for name in subsets]
        each += [f"paths with {count} {name}" for name in counted for count in range(_MOST + 1)]
        each += [f"paths {what} {name}" for what in ("from", "to") for name in ends]
        return tuple(f"{cell} {name}" for cell in self._form.cells for name in each)

    def matrix(self, genotypes: Sequence[Genotype]) -> Floats:
        """See `Features.matrix`."""
        cells = [self._form.read(genotype) for genotype in genotypes]
        return np.concatenate(
            [self._of([each[place] for each in cells]) for place in range(len(self._form.cells))], axis=1
        )

    def _members(self, subsets: Sequence[Sequence[int]]) -> Flags:
        """(operations + 1, subsets): whether a label is in a subset; the last row, of label -1, is never."""
        inside = np.zeros((len(self._form.operations) + 1, len(subsets)), dtype=bool)
        for column, subset in enumerate(subsets):
            inside[list(subset), column] = True
        return inside

    def _of(self, cells: Sequence[LabelledCell]) -> Floats:
        """(n, columns) of one cell of each of n genotypes."""
        labels, reads = _padded(cells, self._form.most)
        live = _live(labels, reads, self._form.nothing)
        reads &= live[:, :, None] & live[:, None, :]
        inside = self._inside[labels] & live[:, :, None]  # (n, vertices, subsets)
        single = inside[:, :, self._singles]
        only = inside.copy()
        only[:, [0, -1]] = live[:, [0, -1], None]
        paths = _paths(reads, live[:, :, None])
        most, least = (_extreme(reads, inside, live, better) for better in (np.maximum, np.minimum))
        counted = _histogram(reads, self._inside_counted[labels] & live[:, :, None], live)
        changing = self._changing[labels] & live[:, :, None]
        columns = [
            live[:, 1:-1].sum(axis=1, keepdims=True),
            paths,
            single.sum(axis=1),
            (single & reads[:, :, :1]).sum(axis=1),
            (single & reads[:, -1, :, None]).sum(axis=1),
            _paths(reads, only),
            np.where(paths > 0, most, -1.0),
            np.where(paths > 0, least, -1.0),
            _total(reads, inside, live) / np.maximum(paths, 1),
            counted.reshape(len(cells), -1),
            _ends(reads, changing, live, first=True),
            _ends(reads, changing, live, first=False),
        ]
        return np.concatenate(columns, axis=1).astype(np.float64)


_MEASURES = ("paths of", "most on a path", "least on a path", "mean on a path")


def _padded(cells: Sequence[LabelledCell], most: int) -> tuple[NDArray[np.int64], Flags]:
    """Labels (n, most) and who reads whom (n, most, most); a smaller cell lacks the places before the last."""
    labels = np.full((len(cells), most), _PASSING)
    reads = np.zeros((len(cells), most, most), dtype=bool)
    for row, cell in enumerate(cells):
        labels[row, 1 : len(cell.labels) + 1] = cell.labels
        places = [*range(1, len(cell.labels) + 1), most - 1]
        for place, inputs in zip(places, cell.inputs, strict=True):
            reads[row, place, list(inputs)] = True
    return labels, reads


def _live(labels: NDArray[np.int64], reads: Flags, nothing: int) -> Flags:
    """(n, vertices): whether a vertex lies on a path from input to output that no operation blocks."""
    count = labels.shape[1]
    passes = (labels != nothing) | (labels == _PASSING)
    fed = np.zeros_like(passes)
    fed[:, 0] = True
    for vertex in range(1, count):
        fed[:, vertex] = passes[:, vertex] & (reads[:, vertex] & fed).any(axis=1)
    used = np.zeros_like(passes)
    used[:, -1] = True
    for vertex in range(count - 2, -1, -1):
        used[:, vertex] = passes[:, vertex] & (reads[:, :, vertex] & used).any(axis=1)
    return np.asarray(fed & used)


def _paths(reads: Flags, allowed: Flags) -> Floats:
    """(n, subsets): the number of paths from input to output through allowed (n, vertices, subsets) vertices."""
    ways = np.zeros(allowed.shape)
    ways[:, 0] = allowed[:, 0]
    for vertex in range(1, allowed.shape[1]):
        ways[:, vertex] = np.einsum("nu,nus->ns", reads[:, vertex, :vertex], ways[:, :vertex]) * allowed[:, vertex]
    return ways[:, -1]


def _total(reads: Flags, inside: Flags, live: Flags) -> Floats:
    """(n, subsets): how many vertices of a subset all paths have together."""
    ways = np.zeros(live.shape)
    total = np.zeros(inside.shape)
    ways[:, 0] = live[:, 0]
    for vertex in range(1, live.shape[1]):
        below = reads[:, vertex, :vertex]
        ways[:, vertex] = (below * ways[:, :vertex]).sum(axis=1)
        total[:, vertex] = np.einsum("nu,nus->ns", below, total[:, :vertex])
        total[:, vertex] += ways[:, vertex, None] * inside[:, vertex]
    return total[:, -1]


def _extreme(reads: Flags, inside: Flags, live: Flags, better: np.ufunc) -> Floats:
    """(n, subsets): the fewest or most vertices of a subset on a path; infinite if there is none."""
    none = np.inf if better is np.minimum else -np.inf
    best = np.full(inside.shape, none)
    best[:, 0] = np.where(live[:, :1], 0.0, none)
    for vertex in range(1, inside.shape[1]):
        below = np.where(reads[:, vertex, :vertex, None], best[:, :vertex], none)
        best[:, vertex] = better.reduce(below, axis=1) + inside[:, vertex]
    return best[:, -1]


def _histogram(reads: Flags, inside: Flags, live: Flags) -> Floats:
    """(n, subsets, counts): paths with 0, 1, ... vertices of a subset; the last is that many or more."""
    count, vertices, subsets = inside.shape
    ways = np.zeros((count, vertices, subsets, _MOST + 1))
    ways[:, 0, :, 0] = live[:, :1]
    for vertex in range(1, vertices):
        below = np.einsum("nu,nusk->nsk", reads[:, vertex, :vertex], ways[:, :vertex])
        more = np.concatenate([np.zeros((count, subsets, 1)), below[:, :, :-1]], axis=2)
        more[:, :, -1] += below[:, :, -1]
        ways[:, vertex] = np.where(inside[:, vertex, :, None], more, below)
    return np.asarray(ways[:, -1])


def _ends(reads: Flags, changing: Flags, live: Flags, first: bool) -> Floats:
    """(n, operations + 1): paths by their first or last operation but the identity; last, those with none."""
    count, vertices, operations = changing.shape
    ways = np.zeros((count, vertices, operations + 1))
    ways[:, 0, -1] = live[:, 0]
    for vertex in range(1, vertices):
        below = np.einsum("nu,nuo->no", reads[:, vertex, :vertex], ways[:, :vertex])
        own = changing[:, vertex]
        moved = below[:, -1] if first else below.sum(axis=1)
        changes = own.any(axis=1)
        kept = np.where(changes, 0.0, 1.0)[:, None]
        ways[:, vertex, :-1] = own * moved[:, None] + below[:, :-1] * (1.0 if first else kept)
        ways[:, vertex, -1] = np.where(changes, 0.0, below[:, -1])
    return np.asarray(ways[:, -1])
