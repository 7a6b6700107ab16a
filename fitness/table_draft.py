"""A benchmark table under way: rows appended to a file beside its place, and moved there when all is right.

Knows CSV rows and files; nothing of where the numbers come from.
"""

from __future__ import annotations

import csv
import fcntl
import hashlib
import io
import json
import math
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from spaces.errors import EngineError, RunError

__all__ = ["Draft", "copy_table"]


class Draft:
    """The rows of a table, in index order from 0; what another import of the same origin left is gone on with.

    The file `<table>.part` begins with a line that says where the rows come from, and is locked while it is
    written: a second import of the same table is refused. A last line that a crash tore is cut off.

    Attributes:
        rows: how many rows are there.
    """

    def __init__(self, path: Path, origin: Mapping[str, object], columns: Sequence[str]) -> None:
        """Begin a table, or go on with it.

        Args:
            path: the table in the end.
            origin: what the rows are made from; rows of another origin are dropped.
            columns: names of the number columns.

        Raises:
            RunError: the draft cannot be written, or another process writes it.
        """
        self._path = path
        self._part = path.with_name(path.name + ".part")
        self._header = _line(["index", "arch_str", *columns])
        made_from = json.dumps([origin, columns], sort_keys=True)
        self._first = f"# rows made from {hashlib.sha256(made_from.encode()).hexdigest()}\n".encode()
        with self._writing():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._part.open("a+b")
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # gone with the process, however it ends
                self.rows, end = self._held()
                self._file.truncate(end)
                if not end:
                    self._file.write(self._first)
                    self._file.flush()
            except BlockingIOError:
                self._file.close()
                raise RunError(
                    f"{self._part} is being written by another import; wait until it ends, or stop it first"
                ) from None
            except BaseException:
                self._file.close()
                raise

    def append(self, architecture: str, numbers: Sequence[float]) -> None:
        """Add the next row.

        Args:
            architecture: its string.
            numbers: one for every column; nan makes an empty cell.

        Raises:
            RunError: it cannot be written.
        """
        cells = ["" if math.isnan(number) else repr(float(number)) for number in numbers]
        with self._writing():
            self._file.write(_line([str(self.rows), architecture, *cells]))
            self._file.flush()
        self.rows += 1

    def finish(self, check: Callable[[Path], None]) -> None:
        """Make the table of the rows.

        Args:
            check: raises an EngineError for a table that is not to be kept; is given its file. The rows are
                dropped too then.

        Raises:
            RunError: it cannot be written, or what `check` raises.
        """
        self._file.seek(len(self._first))
        with self._writing(), _replaced(self._path) as (new, table):
            table.write(self._header)
            shutil.copyfileobj(self._file, table)
            table.flush()
            try:
                check(new)
            except EngineError:  # the rows are wrong; whatever else goes wrong is no fault of theirs
                self._part.unlink()
                raise
        with self._writing():
            self._part.unlink()

    def close(self) -> None:
        """Let go of the file; rows that are there stay for the next try."""
        with suppress(OSError):  # of a full disk, which was told of when the row was written
            self._file.close()

    def _held(self) -> tuple[int, int]:
        """Whole rows that the file holds, and where the last of them ends; 0, 0 for one of another origin."""
        self._file.seek(0)
        if self._file.readline() != self._first:
            return 0, 0
        rows, end = 0, len(self._first)
        for line in self._file:
            if not (line.endswith(b"\n") and line.startswith(b"%d," % rows)):
                break
            rows, end = rows + 1, end + len(line)
        return rows, end

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with _named_errors(self._path, "; rows that were read are kept, so run the same command again"):
            yield


def copy_table(source: Path, path: Path) -> None:
    """Put a copy of a table in its place.

    Args:
        source: a CSV file.
        path: where it is to lie.

    Raises:
        RunError: it cannot be read or written.
    """
    with _named_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with source.open("rb") as original, _replaced(path) as (_, table):
            shutil.copyfileobj(original, table)


@contextmanager
def _replaced(path: Path) -> Iterator[tuple[Path, io.BufferedWriter]]:
    """A file that takes the place of another at the end, whole or not at all."""
    new = path.with_name(path.name + ".new")
    try:
        with new.open("wb") as file:
            yield new, file
            file.flush()
            os.fsync(file.fileno())  # or a power failure might leave the name on an empty file
        os.replace(new, path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


@contextmanager
def _named_errors(path: Path, more: str = "") -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RunError(
            f"cannot write {path}: {error.strerror or error}; make room or name a folder that can be written in "
            f"NAS_ENGINE_DATA{more}"
        ) from error


def _line(cells: Sequence[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue().encode()
