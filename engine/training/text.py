"""What trainings came to, as text."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path

from engine.records import Record
from engine.results.tabular import aligned, format_number
from engine.training.store import trained_folder

__all__ = ["ACCURACIES", "format_trained"]

ACCURACIES = ("test_accuracy", "int8_test_accuracy", "validation_accuracy")
"""What trainings measure, in percent."""


def format_trained(run: Path, trained: Sequence[Record], sizes: Sequence[str], as_json: bool) -> str:
    """A table of trainings, the best first, or JSON.

    Args:
        run: The run folder.
        trained: The records.
        sizes: Which recorded scores of the candidates to show beside the accuracies.
        as_json: Whether to write JSON.
    """
    if as_json:
        return json.dumps({"run": str(run), "trained": [record.to_dict() for record in trained]}, indent=1)
    whole = [record for record in trained if record.status == "ok"]
    titles = [*ACCURACIES, *sizes]
    cells = [["training", "candidate", *titles]]
    for record in sorted(whole, key=lambda record: -record.scores["int8_test_accuracy"]):
        values = [f"{record.scores[name]:.2f}" for name in ACCURACIES]
        values += [format_number(record.scores[name]) if name in record.scores else "" for name in sizes]
        cells.append([str(record.number), str(record.parent), *values])
    lines = aligned(cells, 0) if whole else []
    lines += [f"candidate {one.parent} failed: {one.reason}" for one in trained if one.status != "ok"]
    where = shlex.quote(str(run))
    shown = "".join(f" --objective {name}:min" for name in sizes[:1])
    lines.append(
        f"weights in {trained_folder(run)}; show all trainings with: "
        f"engine front {where} --objective int8_test_accuracy{shown}"
    )
    return "\n".join(lines)
