"""Benchmark tables: known numbers of architectures, from CSV files or official archives.

Owns the look-up by architecture string or index; the CSV format is `fitness.table_csv`'s, archives are
`fitness.archive`'s.
Standard library only: neither torch nor numpy; nats_bench only when an archive folder is opened.
"""

from __future__ import annotations

import math
import os
from array import array
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, overload

from fitness.table_csv import CsvSource
from spaces.errors import RunError, UnknownName, UsageError

if TYPE_CHECKING:
    from fitness.archive import Archive

__all__ = ["Table"]


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
        return cls(path, CsvSource(path))

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
