"""Benchmark tables that come with the package: networks that this project trained itself.

A table is a CSV file as `fitness.table` reads it and a JSON file of the same name with its recipe: the data, how
the networks were chosen and trained, what each column holds, and the noise between trainings of the same network.
`experiments/mcu/make_table.py` writes both. A table is never changed: a correction is a new version beside it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from spaces.errors import RunError

__all__ = ["SHIPPED", "Shipped", "shipped_table"]

SHIPPED: Final[Mapping[str, str]] = {"munas": "munas-v1"}
"""The newest table by space."""

_HERE: Final = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Shipped:
    """A table that comes with the package, and what its networks were trained for.

    Attributes:
        path: the CSV file.
        input_shape: height, width and channels of the images.
        classes: number of classes.
    """

    path: Path
    input_shape: tuple[int, int, int]
    classes: int


def shipped_table(space: str) -> Shipped | None:
    """The table of a space that comes with the package; None if there is none.

    Args:
        space: its name without options.

    Raises:
        RunError: its recipe cannot be read.
    """
    if space not in SHIPPED:
        return None
    path = _HERE / f"{SHIPPED[space]}.json"
    try:
        recipe = json.loads(path.read_text(encoding="utf-8"))
        height, width, channels = recipe["input_shape"]
        return Shipped(path.with_suffix(".csv"), (height, width, channels), recipe["classes"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"cannot read {path}, which comes with the package ({error}); install it again") from error
