"""Numbers and cells as text: aligned for people, CSV, JSON, LaTeX."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from math import inf, isfinite
from pathlib import PurePath

from spaces.errors import UsageError

__all__ = [
    "ENDINGS",
    "FORMATS",
    "aligned",
    "as_csv",
    "as_latex",
    "counted",
    "escaped",
    "format_number",
    "format_of",
    "json_number",
]

FORMATS = ("table", "csv", "json", "latex")
ENDINGS = {".txt": "table", ".csv": "csv", ".json": "json", ".tex": "latex"}
"""Which of them a file has whose name ends so."""

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


def format_of(asked: str | None, path: str | None, endings: Mapping[str, str] = ENDINGS) -> str:
    """The format asked for, or what a file's ending says: a table if there is none.

    Raises:
        UsageError: Neither says.
    """
    ending = PurePath(path or "").suffix
    if asked:
        return asked
    if not ending:
        return FORMATS[0]
    if ending.lower() not in endings:
        raise UsageError(f"no format has files named {path!r:.80}; expected {', '.join(endings)}, or add --format")
    return endings[ending.lower()]


def counted(number: int, what: str) -> str:
    """A number of things: "1 run", "2 runs"."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def escaped(text: str) -> str:
    """Text for LaTeX, with a sign for a minus and for plus-minus."""
    text = "".join(f"\\{letter}" if letter in "_%&#$" else letter for letter in text)
    return text.replace("±", r"$\pm$").replace("<", "$<$").replace("≥", r"$\ge$")


def format_number(value: float) -> str:
    """Whole numbers with thousands separators, others with six significant digits."""
    if value != value or value in (inf, -inf):
        return str(value)
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.6g}" if abs(value) < 1e6 else f"{value:,.1f}"


def json_number(value: float) -> float | None:
    """JSON has no infinities: null stands for them, as for a value that is not known."""
    return value if isfinite(value) else None
