"""The CSV form of benchmark tables: a header `index,arch_str,<number columns>` and one line per architecture.

Standard library only: neither torch nor numpy.
"""

from __future__ import annotations

import csv
import io
import math
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from spaces.errors import RunError, UsageError

__all__ = ["CsvSource"]

_KEYS: Final = ("index", "arch_str")


class CsvSource:
    """A CSV file, kept as text; columns become arrays of numbers when they are asked for.

    Args:
        path: the file.

    Attributes:
        architectures: the architecture strings in index order.
        columns: the names of the number columns.

    Raises:
        UsageError: it is a file of an archive.
        RunError: it cannot be read or is not such a table; the message names the line.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._text = _read_text(path)
        # Without quotes a comma is a comma: lines are then split only as far as needed, several times as fast.
        plain = not any(mark in self._text for mark in '"\r\0')
        self._plain = plain and max(map(len, self._text.split("\n"))) < csv.field_size_limit()
        self._loaded: dict[str, array[float]] = {}
        line, header, _ = next(self._rows(), (1, [], 0))
        if not header:
            raise RunError(f"{path} is empty; expected a header 'index,arch_str,…' and a line per architecture")
        for name in _KEYS:
            if name not in header:
                raise self._wrong(line, f"no column {name!r} in the header {','.join(header)[:200]!r}")
        for name in header:
            if not name or header.count(name) > 1:
                raise self._wrong(line, f"the column name {name!r} is empty or occurs {header.count(name)} times")
        self.columns = tuple(name for name in header if name not in _KEYS)
        if not self.columns:
            raise self._wrong(line, "no number column beside 'index' and 'arch_str'")
        self._header = header
        self._indexes, self.architectures = self._read_keys()

    def numbers(self, column: str) -> Sequence[float]:
        """A column in index order, nan where a cell is empty."""
        if column not in self._loaded:
            self._loaded[column] = self._read_numbers(column)
        return self._loaded[column]

    def path_of(self, column: str) -> Path:
        """The file, whatever the column."""
        return self._path

    def _read_keys(self) -> tuple[array[int], tuple[str, ...]]:
        """The index of every row in file order, and the architectures in index order."""
        width = len(self._header)
        index_at, architecture_at = (self._header.index(name) for name in _KEYS)
        indexes = array("l")
        by_index: dict[int, str] = {}
        seen: set[str] = set()
        rows = self._rows(max(index_at, architecture_at) + 1)
        next(rows)
        for line, cells, count in rows:
            if count != width:
                raise self._wrong(line, f"{count} fields where the header has {width}")
            index_cell, architecture = cells[index_at], cells[architecture_at]
            if not (index_cell.isascii() and index_cell.isdigit() and len(index_cell) < 10):
                raise self._wrong(line, f"the index {index_cell[:100]!r} is not a whole number from 0")
            index = int(index_cell)
            if index in by_index:
                raise self._wrong(line, f"index {index} occurs a second time")
            if not architecture or architecture in seen:
                raise self._wrong(line, f"architecture {architecture[:200]!r} is empty or not the first such")
            indexes.append(index)
            by_index[index] = architecture
            seen.add(architecture)
        if not indexes:
            raise RunError(f"{self._path} holds only a header; expected a line per architecture")
        try:
            return indexes, tuple(by_index[index] for index in range(len(indexes)))
        except KeyError as error:
            raise RunError(
                f"{self._path} has no line with index {error.args[0]}, though it holds {len(indexes):,} "
                f"architectures; expected every index from 0 to {len(indexes) - 1}"
            ) from error

    def _read_numbers(self, column: str) -> array[float]:
        """A column in index order; nan where the cell is empty."""
        at = self._header.index(column)
        rows = self._rows(at + 1)
        next(rows)
        numbers = array("d", bytes(8 * len(self._indexes)))
        for index, (line, cells, _) in zip(self._indexes, rows, strict=True):
            cell = cells[at]
            try:
                number = float(cell) if cell else math.nan
            except ValueError:
                number = math.inf  # reported below, with text that merely reads as a number, such as 'inf'
            if cell and not math.isfinite(number):
                what = "not a finite number; leave the cell empty if it is not known"
                raise self._wrong(line, f"{column} is {cell[:100]!r}, {what}")
            numbers[index] = number
        return numbers

    def _rows(self, needed: int = -1) -> Iterator[tuple[int, list[str], int]]:
        """Of every row that is not blank, header first: its (last) line, the cells needed or more, their number.

        Args:
            needed: how many cells, all if negative; what follows them may be one cell unsplit.
        """
        if self._plain:
            for number, line in enumerate(self._text.split("\n"), start=1):
                if line:
                    yield number, line.split(",", needed), line.count(",") + 1
            return
        reader = csv.reader(io.StringIO(self._text, newline=""), strict=True)
        try:
            for cells in reader:
                if cells:
                    yield reader.line_num, cells, len(cells)
        except csv.Error as error:
            raise self._wrong(reader.line_num, str(error)) from error

    def _wrong(self, line: int, what: str) -> RunError:
        return RunError(
            f"{self._path}, line {line}: {what}; expected comma-separated 'index,arch_str,<numbers>', "
            "one line per architecture"
        )


def _read_text(path: Path) -> str:
    """The text of a file in UTF-8, with or without a byte order mark."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise RunError(f"{path} cannot be read ({error.strerror}); expected a readable CSV file") from error
    if data.startswith(b"BZh"):
        raise UsageError(f"{path} is a file of an official archive, not a CSV table; give its folder ('…-simple')")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise RunError(
            f"{path}, line {line}: byte 0x{data[error.start]:02x} is not UTF-8 text; expected a CSV file "
            "'index,arch_str,…': save it as UTF-8"
        ) from error
