"""A network as a sequence of whole numbers, as encoders of natural language read it.

Franken, Singh, Vanschoren: Faster Performance Estimation for NAS with Embedding Proximity Score, ECML-PKDD Meta-
KnowTransfer 2022, arXiv:2206.05972, whose sequences are those of SemiNAS (Luo et al. 2020, arXiv:2002.10389): for
every vertex of a cell but the first, a bit for each earlier vertex, 1 or 2, then its operation; 0 fills what a cell
lacks. NATS-Bench's topology space: length 35, vocabulary 9; NAS-Bench-101: 27 and 7.

Spaces without cells differ from the paper, which has none: one token per choice, in the order of the space.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fitness.predictors.features.cells import CellForm, cell_form
from spaces.encoding import Encoding
from spaces.space import Genotype, Space, Value

__all__ = ["Tokens"]

_ABSENT, _PRESENT, _FIRST_LABEL = 1, 2, 3  # tokens; 0 is padding, and starts a decoder
_LEVELS = 16  # tokens that a choice of many values may take


class Tokens:
    """Sequences of equal length.

    Args:
        space: Of the networks.

    Attributes:
        length: Tokens of a sequence.
        vocabulary: One more than the largest token; token 0 is padding.
    """

    def __init__(self, space: Space) -> None:
        form = cell_form(space)
        self._writer = _CellWriter(form) if form else _ChoiceWriter(space)
        self.length, self.vocabulary = self._writer.length, self._writer.vocabulary

    @property
    def names(self) -> tuple[str, ...]:
        """See `Features.names`."""
        return tuple(f"token{place}" for place in range(self.length))

    def tokens(self, genotypes: Sequence[Genotype]) -> NDArray[np.int64]:
        """(n, length), each from 0 to vocabulary - 1."""
        return self._writer.write(genotypes)

    def matrix(self, genotypes: Sequence[Genotype]) -> NDArray[np.float64]:
        """See `Features.matrix`."""
        return self.tokens(genotypes).astype(np.float64)


class _CellWriter:
    """Bits and operations of every vertex of every cell."""

    def __init__(self, form: CellForm) -> None:
        self._form = form
        self.length = len(form.cells) * sum(vertex + 1 for vertex in range(1, form.most))
        self.vocabulary = _FIRST_LABEL + len(form.operations) + 1  # the last one is what leaves the cell

    def write(self, genotypes: Sequence[Genotype]) -> NDArray[np.int64]:
        tokens = np.zeros((len(genotypes), self.length), dtype=np.int64)
        each = self.length // len(self._form.cells)
        for row, genotype in zip(tokens, genotypes, strict=True):
            for number, cell in enumerate(self._form.read(genotype)):
                at = number * each
                labels = (*cell.labels, len(self._form.operations))
                for vertex, (label, inputs) in enumerate(zip(labels, cell.inputs, strict=True), start=1):
                    row[at : at + vertex] = _ABSENT
                    row[[at + source for source in inputs]] = _PRESENT
                    row[at + vertex] = _FIRST_LABEL + label
                    at += vertex + 1
        return tokens


class _ChoiceWriter:
    """One token per choice; equal domains share their tokens, and many values are put into 16 levels."""

    def __init__(self, space: Space) -> None:
        self._encoding = Encoding(space)
        self.length = len(self._encoding.names)
        self.vocabulary = 1
        first: dict[tuple[Value, ...], int] = {}
        self._levels: list[tuple[int, int, int]] = []  # of every choice: first token, levels, values
        for name in self._encoding.names:
            domain = self._encoding.domain(name)
            levels = min(domain.count, _LEVELS)
            if domain.values() not in first:
                first[domain.values()] = self.vocabulary
                self.vocabulary += levels
            self._levels.append((first[domain.values()], levels, domain.count))

    def write(self, genotypes: Sequence[Genotype]) -> NDArray[np.int64]:
        codes = self._encoding.codes(genotypes, self._encoding.names)
        start, levels, counts = np.array(self._levels, dtype=np.int64).reshape(-1, 3).T
        return np.where(codes < 0, 0, start + codes * levels // counts)
