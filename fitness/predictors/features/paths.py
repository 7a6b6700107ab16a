"""The path encoding: one column per path of operations from a cell's input to its output, 1 where there is one.

White, Neiswanger, Savani: BANANAS, AAAI 2021, arXiv:1910.11858, section 3, "path encoding", on NAS-Bench-101: a
path is the operations on it in order, whichever vertices they are at, so 3^0 + 3^1 + ... + 3^5 = 364 columns. In
NATS-Bench's topology space paths that the operation `none` blocks are no paths: 4^0 + ... + 4^3 = 85 columns.

Where there would be more than 512 columns (NDS), they are the 512 paths that most of 200 random members have; the
paper truncates too, by length. Spaces without cells differ from the paper, which has none: their columns are runs
of one to three layers that follow one another, each layer told by kind and width, from 64 random members.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property, partial
from itertools import product
from math import log2
from random import Random

import numpy as np
from numpy.typing import NDArray

from fitness.predictors.features.cells import CellForm, LabelledCell, cell_form
from fitness.predictors.features.layers import kind_of, width_of
from spaces.layers import Conv, Dense, Pool, Recurrent
from spaces.space import Genotype, Space

__all__ = ["Paths"]

Path = tuple[str, ...]

_COLUMNS = 512  # at most
_MEMBERS = 200  # random ones, looked at where all paths would be too many
_BUILT = 64  # of spaces without cells: each is built for it
_RUN = 3  # layers


class Paths:
    """Indicators of paths.

    Args:
        space: Of the networks.
    """

    def __init__(self, space: Space) -> None:
        self._space = space
        self._form = cell_form(space)
        form = self._form
        self._read: Callable[[Genotype], set[Path]] = partial(_of_cells, form) if form else self._of_layers

    @cached_property
    def _places(self) -> dict[Path, int]:
        """Path -> its column."""
        form = self._form
        if form and len(form.cells) == 1:
            labels = [operation for code, operation in enumerate(form.operations) if code != form.nothing]
            if sum(len(labels) ** length for length in range(form.longest + 1)) <= _COLUMNS:
                lengths = range(form.longest + 1)
                every = (path for length in lengths for path in product(labels, repeat=length))
                return {(*form.cells, *path): place for place, path in enumerate(every)}
        rng = Random(0)
        members = _MEMBERS if form else _BUILT
        counts = Counter(path for _ in range(members) for path in self._read(self._space.sample(rng)))
        chosen = sorted(counts, key=lambda path: (-counts[path], path))[:_COLUMNS]
        return {path: place for place, path in enumerate(chosen)}

    @property
    def names(self) -> tuple[str, ...]:
        """See `Features.names`."""
        return tuple(" > ".join(path) for path in self._places)

    def matrix(self, genotypes: Sequence[Genotype]) -> NDArray[np.float64]:
        """See `Features.matrix`."""
        places = self._places
        rows = np.zeros((len(genotypes), len(places)))
        for row, genotype in zip(rows, genotypes, strict=True):
            row[[places[path] for path in self._read(genotype) if path in places]] = 1
        return rows

    def _of_layers(self, genotype: Genotype) -> set[Path]:
        """All runs of a few layers; what computes no map of its own, such as ReLU, is passed over."""
        network = self._space.decode(genotype).live
        ending: list[set[Path]] = []  # of every node, the runs that end there
        for op, inputs, shape in zip(network.ops, network.inputs, network.shapes, strict=True):
            before = set[Path]().union(*(ending[source] for source in inputs))
            if isinstance(op, Conv | Dense | Pool | Recurrent):
                label = f"{kind_of(op, network.shapes[inputs[0]])} {round(2 * log2(width_of(shape)))}"
                before = {(label,), *((*run, label) for run in before if len(run) < _RUN)}
            ending.append(before)
        return set[Path]().union(*ending)


def _of_cells(form: CellForm, genotype: Genotype) -> set[Path]:
    """The paths of every cell, each behind the name of the cell."""
    cells = zip(form.cells, form.read(genotype), strict=True)
    return {
        (name, *(form.operations[label] for label in path)) for name, cell in cells for path in _paths(form, cell)
    }


def _paths(form: CellForm, cell: LabelledCell) -> Iterable[tuple[int, ...]]:
    """The different sequences of labels from the first vertex to the last."""
    reaching: list[set[tuple[int, ...]]] = [{()}]
    for vertex, sources in enumerate(cell.inputs, start=1):
        paths = set[tuple[int, ...]]().union(*(reaching[source] for source in sources))
        if vertex <= len(cell.labels):
            label = cell.labels[vertex - 1]
            paths = set() if label == form.nothing else {(*path, label) for path in paths}
        reaching.append(paths)
    return reaching[-1]
