"""The choices of a genotype as columns: one per value of a named choice, two per whole number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from spaces.encoding import Encoding
from spaces.space import Genotype, Space

__all__ = ["OneHot"]


class OneHot:
    """`spaces.encoding.Encoding` of the choices that members of the space commonly have.

    Args:
        space: Whose choices they are; one that is not among the encoding's names gets no column.
    """

    def __init__(self, space: Space) -> None:
        self._encoding = Encoding(space)

    @property
    def names(self) -> tuple[str, ...]:
        """See `Features.names`."""
        return self._encoding.columns(self._encoding.names)

    def matrix(self, genotypes: Sequence[Genotype]) -> NDArray[np.float64]:
        """See `Features.matrix`."""
        return self._encoding.rows(genotypes, self._encoding.names)
