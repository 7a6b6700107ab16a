"""One row of a benchmark as its authors published it, before it is part of a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """An architecture and what is known of it.

    Attributes:
        architecture: As the space's `describe` writes it, which `parse` reads.
        numbers: The number of every column, nan where it is not known; every row of a file has the same columns.
    """

    architecture: str
    numbers: Mapping[str, float]
