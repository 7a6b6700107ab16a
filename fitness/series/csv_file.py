"""Series from a text file: one row per step of time, cells between commas or semicolons."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Sequence

import numpy as np

from fitness.series.rows import Rows
from spaces.errors import UnknownName, UsageError

__all__ = ["read_csv"]

Line = tuple[int, list[str]]  # its number in the file, from 1, and its cells


def read_csv(path: str, content: bytes, columns: Sequence[str], targets: Sequence[str]) -> Rows:
    """Read some columns of a file.

    The first row is a header if none of its cells is a number, be it one with a decimal comma; columns of a file
    without one are called by their indices. Empty lines before it and at the end are left out, others are gaps.

    Args:
        path: Of the file, for messages.
        content: Its bytes, text in UTF-8.
        columns: Names or 0-based indices of the inputs; none for every column.
        targets: Likewise of what is forecast; none for the inputs.

    Raises:
        UsageError: The file holds no such series; says where and what to do.
    """
    lines = _lines(path, content)
    if not lines:
        raise UsageError(f"{path} is empty; expected one row per step of time")
    first = lines[0][1]
    named = all(_number(cell.replace(",", ".")) is None for cell in first)
    body = lines[1:] if named else lines
    width = _width(path, lines, "header" if named else "first row")
    names = [cell.strip() if named else str(index) for index, cell in enumerate(first[:width])]
    if not body:
        raise UsageError(f"{path} has a header and nothing below it; expected one row per step of time")
    inputs = [_index(path, names, column) for column in columns] or list(range(len(names)))
    wanted = [_index(path, names, column) for column in targets] or inputs
    used = list(dict.fromkeys([*inputs, *wanted]))
    for chosen in (inputs, wanted):
        for index in chosen:
            if chosen.count(index) > 1:
                raise UsageError(f"column {names[index]!r} of {path} is named twice; expected it once")
    values = np.array([[_cell(path, line, names, index) for index in used] for line in body], dtype=np.float64)
    place = {index: position for position, index in enumerate(used)}
    return Rows(
        tuple(names[index] for index in used),
        values,
        tuple(place[index] for index in inputs),
        tuple(place[index] for index in wanted),
    )


def _lines(path: str, content: bytes) -> list[Line]:
    """The rows from the first to the last one that is not an empty line."""
    try:
        text = content.decode().removeprefix("\ufeff")
        first = next((line for line in text.splitlines() if line.strip()), "")
        unquoted = re.sub(
            r"\"[^\"]*\"|(?<=\d),(?=\d)", "", first
        )  # a comma in a name or a decimal one delimits nothing
        delimiter = ";" if unquoted.count(";") > unquoted.count(",") else ","
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        lines = [(reader.line_num, cells) for cells in reader]
    except UnicodeDecodeError as error:
        raise UsageError(
            f"series {path} is not UTF-8 text: byte {error.start + 1} of the file is {content[error.start]:#04x}; "
            "save it as UTF-8"
        ) from error
    except csv.Error as error:
        raise UsageError(f"series {path} is not CSV: {error}; expected cells delimited by , or ;") from error
    full = [place for place, (_, cells) in enumerate(lines) if not _is_blank(cells)]
    return lines[full[0] : full[-1] + 1] if full else []


def _is_blank(cells: Sequence[str]) -> bool:
    """Whether a line has nothing in it; one with an empty cell in quotes has."""
    return not cells or (len(cells) == 1 and cells[0].isspace())


def _width(path: str, lines: Sequence[Line], above: str) -> int:
    """How many columns a file has: as many as its first row, but for a last one without a name and numbers.

    Raises:
        UsageError: A row has more or fewer cells; one empty cell more, after a last comma, is none.
    """
    width = len(lines[0][1])
    if width > 1 and not any("".join(cells[width - 1 :]).strip() for _, cells in lines):
        width -= 1
    for number, cells in lines:
        if _is_blank(cells):  # a gap, which is told by the column that lacks a number
            continue
        if len(cells) != width and (len(cells) != width + 1 or cells[-1].strip()):
            raise UsageError(
                f"line {number} of {path} has {len(cells)} cell{'s' * (len(cells) != 1)}, the {above} {width}; "
                "expected as many in every line: write decimals with a point, texts with a comma in double quotes"
            )
    return width


def _index(path: str, names: Sequence[str], column: str) -> int:
    """Where a column is that a user named."""
    if (times := names.count(column)) == 1:
        return names.index(column)
    if times:
        raise UsageError(
            f"{times} columns of {path} are called {column!r}; expected an index, 0 to {len(names) - 1}"
        )
    if re.fullmatch(r"[+-]?\d{1,9}", column, re.ASCII):
        if 0 <= int(column) < len(names):
            return int(column)
        raise UsageError(
            f"unknown column {column!r} of {path}; columns are counted from 0 to {len(names) - 1}: "
            + ", ".join(names)
        )
    raise UnknownName("column", column, names)


def _cell(path: str, line: Line, names: Sequence[str], index: int) -> float:
    """One number."""
    number, cells = line
    value = _number(cells[index]) if index < len(cells) else None
    if value is not None and math.isfinite(value):
        return value
    where = f"column {names[index]!r} in line {number} of {path}"
    gap = "fill the gap, or cut the series before or after it"
    if index >= len(cells) or not cells[index].strip():
        raise UsageError(f"{where} is empty; expected a number: {gap}")
    if value is not None:
        raise UsageError(f"{where} is {value}; expected a finite number: {gap}")
    hint = (
        "fill gaps, remove lines that are no rows, or choose columns of numbers (--column, --target-column; there "
        f"are {', '.join(names)})"
    )
    if _number(cells[index].replace(",", ".")) is not None:
        hint = "write decimals with a point"
    elif "\t" in cells[index]:
        hint = "delimit cells by , or ; and not by tabs"
    raise UsageError(f"{where} is {cells[index][:40]!r}; expected a number: {hint}")


def _number(text: str) -> float | None:
    try:
        return None if "_" in text else float(text)  # Python's own 1_000 is a slip of the finger here
    except ValueError:
        return None
