"""Cells as text: aligned for people, CSV, LaTeX."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

__all__ = ["FORMATS", "aligned", "as_csv", "as_latex", "escaped"]

FORMATS = ("table", "csv", "json", "latex")

Cells = Sequence[Sequence[str]]


def aligned(cells: Cells, left: int = 1) -> list[str]:
    """Lines of cells under each other; the first `left` columns begin, the others end in line."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if place < left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in cells
    ]


def as_csv(rows: Sequence[Sequence[object]]) -> str:
    """Rows, titles first, without a newline at the end."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().rstrip("\n")


def as_latex(cells: Cells, left: int = 1, rules: Sequence[int] = ()) -> list[str]:
    r"""Lines of a tabular of booktabs, titles first.

    Args:
        cells: LaTeX already; see `escaped`.
        left: Number of columns that begin in line.
        rules: Rows, counted from 1 below the titles, after which a \midrule comes.
    """
    columns = "l" * left + "r" * (len(cells[0]) - left)
    lines = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule"]
    for number, line in enumerate(cells):
        lines.append(" & ".join(line) + r" \\")
        if number == 0 or number in rules:
            lines.append(r"\midrule")
    return [*lines, r"\bottomrule", r"\end{tabular}"]


def escaped(text: str) -> str:
    """Text for LaTeX, with a sign for a minus and for plus-minus."""
    text = "".join(f"\\{letter}" if letter in "_%&#$" else letter for letter in text)
    return text.replace("±", r"$\pm$").replace("<", "$<$").replace("≥", r"$\ge$")
