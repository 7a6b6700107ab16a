"""Benchmark tables: known numbers of architectures, from CSV files or official archives.

Owns the CSV format `index,arch_str,<number columns>` and the look-up by architecture string or index.
Standard library only: neither torch nor numpy; nats_bench only when an archive folder is opened.
"""

from __future__ import annotations

import csv
import io
import math
import os
from array import array
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, overload

from spaces.errors import RunError, UnknownName, UsageError

if TYPE_CHECKING:
    from fitness.archive import Archive

__all__ = ["Table"]

_KEYS: Final = ("index", "arch_str")


class _Source(Protocol):
    """Where a table's numbers come from."""

    @property
    def architectures(self) -> tuple[str, ...]: ...
    @property
    def columns(self) -> tuple[str, ...]: ...
    def numbers(self, column: str) -> Sequence[float]:
        """A known column in index order, nan where the value is not known; not to be written to."""

    def path_of(self, column: str) -> Path:
        """The file or folder that a known column is read from, for messages."""


class Table:
    """Known numbers of every architecture of a benchmark, such as accuracies in percent.

    Units are what the column's name ends with (`_pct`, `_s`, `_M`). Look-ups never share between
    architectures that compute the same function: a benchmark trained each index separately.

    Attributes:
        path: the CSV file or archive folder; of joined tables the first one's.
        architectures: the benchmark's architecture strings in index order.
        columns: the names of the number columns.
    """

    def __init__(self, path: Path, source: _Source) -> None:
        """Look up in a source; `Table.open` makes one from a path.

        Args:
            path: where the source lies, for messages.
            source: the architectures, columns and numbers.
        """
        self.path = path
        self.architectures = source.architectures
        self.columns = source.columns
        self._source = source
        self._indexes = {architecture: index for index, architecture in enumerate(self.architectures)}

    @classmethod
    def open(cls, path: str | Path) -> Table:
        """The table in a CSV file or in the folder of an official NATS-Bench archive.

        A CSV file has a header line with `index`, `arch_str` and one or more number columns, and one line
        per architecture in any order. The indexes are 0 to the number of architectures - 1; an empty
        number cell means that the value is not known. The numbers of a column are read when it is asked for.

        Args:
            path: the file or folder.

        Raises:
            UsageError: there is no such file or folder, or it is a pickle instead of its folder.
            UntrustedFile: a pickle of the archive asks for more than data.
            RunError: the file cannot be read or is not such a table; the message names the line.
        """
        path = Path(path)
        if os.path.isdir(path):  # os.path, because Path.is_dir raises on names that cannot be looked up
            from fitness.archive import Archive

            return cls(path, _ArchiveSource(Archive(path)))
        if not os.path.isfile(path):
            raise UsageError(
                f"there is no table {str(path)!r}; expected a CSV file 'index,arch_str,…' or the folder of "
                "an official NATS-Bench archive"
            )
        return cls(path, _CsvSource(path))

    @classmethod
    def join(cls, tables: Sequence[Table]) -> Table:
        """Several tables of one space as one.

        A column is read from the first table that has it; indexes are those of the first table, whatever the
        order of the others.

        Args:
            tables: one or more; architectures that a later one lacks are not known in its columns.

        Raises:
            UsageError: a table shares no architecture with the first.
        """
        first, *others = tables
        for other in others:
            if first._indexes.keys().isdisjoint(other._indexes):
                raise UsageError(
                    f"{other.path} and {first.path} share no architecture: one spells them "
                    f"{other.architectures[0][:80]!r}, the other {first.architectures[0][:80]!r}; expected tables "
                    "of the same space"
                )
        return cls(first.path, _JoinedSource(tables)) if others else first

    def __len__(self) -> int:
        """The number of architectures."""
        return len(self.architectures)

    def index_of(self, architecture: str) -> int:
        """The index of an architecture string.

        Args:
            architecture: spelled as in the benchmark.

        Raises:
            UsageError: the table holds no such architecture.
        """
        index = self._indexes.get(architecture)
        if index is None:
            raise UsageError(
                f"unknown architecture {architecture!r}; {self.path} holds {len(self):,} architectures "
                f"spelled like {self.architectures[0]!r}"
            )
        return index

    def architecture(self, index: int) -> str:
        """The architecture string at an index.

        Args:
            index: 0 <= index < len(table).

        Raises:
            UsageError: the index is out of range.
        """
        if not 0 <= index < len(self):
            raise UsageError(
                f"architecture index {index} is out of range; {self.path} has indexes 0 to {len(self) - 1}"
            )
        return self.architectures[index]

    def value(self, index_or_architecture: int | str, column: str) -> float:
        """One known number.

        Args:
            index_or_architecture: an index or an architecture string.
            column: one of `columns`; its name ends with the unit.

        Raises:
            UsageError: no such architecture or index.
            UnknownName: no such column.
            RunError: the number is not known, or the file that holds it is missing or damaged.
            UntrustedFile: that file asks for more than data.
        """
        if isinstance(index_or_architecture, str):
            index = self.index_of(index_or_architecture)
        else:
            self.architecture(index := index_or_architecture)
        number = self._numbers(column)[index]
        if math.isnan(number):
            raise RunError(
                f"{self._source.path_of(column)} knows no {column!r} of architecture {index}: the cell is empty; "
                "choose another architecture or column"
            )
        return number

    def column(self, name: str) -> Sequence[float]:
        """All numbers of a column in index order, `(len(table),)`; nan where a CSV cell is empty.

        Of an archive each item is read from its result file when it is asked for (0.03 to 0.06 s the first
        time), and a number that is not known raises a RunError as in `value`.

        Args:
            name: one of `columns`; its name ends with the unit.

        Raises:
            UnknownName: no such column.
            RunError: a cell is not a number; the message names the line.
        """
        numbers = self._numbers(name)
        return numbers[:] if isinstance(numbers, array) else numbers  # the source's own array stays as it is

    def _numbers(self, column: str) -> Sequence[float]:
        if column not in self.columns:
            raise UnknownName("table column", column, self.columns)
        return self._source.numbers(column)


class _ArchiveSource:
    """An official archive behind the interface of a table."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self.architectures = archive.architectures
        self.columns = archive.columns

    def numbers(self, column: str) -> Sequence[float]:
        return _LazyColumn(len(self.architectures), lambda index: self._archive.accuracy(index, column))

    def path_of(self, column: str) -> Path:
        return self._archive.path


class _JoinedSource:
    """Tables of one space, each column from the first that has it, in the index order of the first."""

    def __init__(self, tables: Sequence[Table]) -> None:
        self.architectures = tables[0].architectures
        self.columns = tuple(dict.fromkeys(column for table in tables for column in table.columns))
        self._owners: dict[str, tuple[Table, list[int | None]]] = {}
        for table in tables:
            same = table.architectures == self.architectures
            positions = [] if same else [table._indexes.get(name) for name in self.architectures]
            self._owners = dict.fromkeys(table.columns, (table, positions)) | self._owners

    def numbers(self, column: str) -> Sequence[float]:
        owner, positions = self._owners[column]
        numbers = owner._numbers(column)
        if not positions:
            return numbers

        def number(index: int) -> float:
            position = positions[index]
            return math.nan if position is None else numbers[position]

        return _LazyColumn(len(positions), number)

    def path_of(self, column: str) -> Path:
        return self._owners[column][0]._source.path_of(column)


class _LazyColumn(Sequence[float]):
    """A column whose numbers are read when they are asked for.

    Args:
        length: how many there are.
        number: gives the one at an index.
    """

    def __init__(self, length: int, number: Callable[[int], float]) -> None:
        self._length = length
        self._number = number

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> float: ...
    @overload
    def __getitem__(self, index: slice) -> list[float]: ...
    def __getitem__(self, index: int | slice) -> float | list[float]:
        positions = range(len(self))[index]
        return list(map(self._number, positions)) if isinstance(positions, range) else self._number(positions)


class _CsvSource:
    """A CSV file, kept as text; columns become arrays of numbers when they are asked for."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._text = _read_text(path)
        self._loaded: dict[str, array[float]] = {}
        rows = self._rows()
        line, header = next(rows, (1, []))
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
        self._indexes, self.architectures = self._read_keys(rows)

    def numbers(self, column: str) -> Sequence[float]:
        if column not in self._loaded:
            self._loaded[column] = self._read_numbers(column)
        return self._loaded[column]

    def path_of(self, column: str) -> Path:
        return self._path

    def _read_keys(self, rows: Iterator[tuple[int, list[str]]]) -> tuple[array[int], tuple[str, ...]]:
        """The index of every row in file order, and the architectures in index order."""
        width = len(self._header)
        index_at, architecture_at = (self._header.index(name) for name in _KEYS)
        indexes = array("l")
        by_index: dict[int, str] = {}
        seen: set[str] = set()
        for line, cells in rows:
            if len(cells) != width:
                raise self._wrong(line, f"{len(cells)} fields where the header has {width}")
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
        rows = self._rows()
        next(rows)
        numbers = array("d", bytes(8 * len(self._indexes)))
        for index, (line, cells) in zip(self._indexes, rows, strict=True):
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

    def _rows(self) -> Iterator[tuple[int, list[str]]]:
        """Line number (the last one of the row) and cells of every row that is not blank, header first."""
        reader = csv.reader(io.StringIO(self._text, newline=""), strict=True)
        try:
            for cells in reader:
                if cells:
                    yield reader.line_num, cells
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
