"""Series from a text file: one row per step of time, cells between commas or semicolons."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence

import numpy as np

from fitness.series.rows import Rows
from spaces.errors import RunError, UnknownName, UsageError

__all__ = ["read_csv"]

Line = tuple[int, list[str]]  # its number in the file, from 1, and its cells


def read_csv(path: str, columns: Sequence[str], targets: Sequence[str]) -> Rows:
    """Read some columns of a file.

    The first row is a header if a text in it stands over a number or an empty cell in the second; columns of a file
    without one are called by their indices.

    Args:
        path: Of a file in UTF-8.
        columns: Names or 0-based indices of the inputs; none for every column.
        targets: Likewise of what is forecast; none for the inputs.

    Raises:
        UsageError: The file holds no such series; says where and what to do.
        RunError: It cannot be read.
    """
    lines = _lines(path)
    if not lines:
        raise UsageError(f"{path} is empty; expected one row per step of time")
    header = lines[0][1]
    named = len(lines) > 1 and _is_header(header, lines[1][1])
    names = [name.strip() for name in header] if named else [str(index) for index in range(len(header))]
    body = lines[1:] if named else lines
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


def _lines(path: str) -> list[Line]:
    """The rows that are not blank."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            first = next((line for line in file if line.strip()), "")
            file.seek(0)
            reader = csv.reader(file, delimiter=";" if first.count(";") > first.count(",") else ",")
            return [(reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells)]
    except OSError as error:
        raise RunError(f"series {path} cannot be read: {error.strerror or error}; expected a text file") from error
    except UnicodeDecodeError as error:
        raise UsageError(
            f"series {path} is not UTF-8 text: byte {error.start} of a block is {error.object[error.start]:#04x}; "
            "save it as CSV in UTF-8"
        ) from error
    except (csv.Error, ValueError) as error:  # ValueError: a path with a NUL
        raise UsageError(f"series {path} is not CSV: {error}; expected cells delimited by , or ;") from error


def _is_header(first: Sequence[str], second: Sequence[str]) -> bool:
    return any(
        above.strip() and _number(above) is None and (not below.strip() or _number(below) is not None)
        for above, below in zip(first, second, strict=False)
    )


def _index(path: str, names: Sequence[str], column: str) -> int:
    """Where a column is that a user named."""
    if (times := names.count(column)) == 1:
        return names.index(column)
    if times:
        raise UsageError(
            f"{times} columns of {path} are called {column!r}; expected an index, 0 to {len(names) - 1}"
        )
    if column.isdecimal() and len(column) < 10 and int(column) < len(names):
        return int(column)
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
    hint = f"choose columns of numbers (--column, --target-column; there are {', '.join(names)})"
    if _number(cells[index].replace(",", ".")) is not None:
        hint = "write decimals with a point"
    raise UsageError(f"{where} is {cells[index][:40]!r}; expected a number: {hint}")


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
