"""Benchmark tables made from what users download: checked, written as CSV, kept in the user's data folder.

Owns what makes a download the benchmark that it claims to be. An import that is interrupted goes on where it was,
and its table appears only when it is whole and holds what the authors published.
"""

from __future__ import annotations

import csv
import math
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Final

from fitness.archive import Archive
from fitness.archive_rows import read_rows, result_files
from fitness.benchmark_row import Row
from fitness.table import Table
from fitness.table_draft import Draft, copy_table
from fitness.table_space import check_holds
from fitness.table_store import BENCHMARKS, Optimum, how_to_get, table_path
from spaces.errors import RunError, UsageError
from spaces.nds import NdsSpace
from spaces.space import Space

__all__ = ["Imported", "OnRows", "import_archive", "import_csv", "import_records", "import_table"]

OnRows = Callable[[int, int], None]
"""Called with the number of rows that are done and that of all."""

_ARCHIVES: Final = ("nats-tss", "nats-sss")
_PRINTED_DIGITS: Final = 2  # optima are published in percent to two decimals


def _ignore(done: int, total: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import came to.

    Attributes:
        path: the table.
        rows: architectures in it.
        known: architectures of which it holds any number.
        columns: names of its number columns.
        empty_cells: cells without a number among the known architectures.
        optima: the published optima that were found in it.
        repeated: trainings left out because their architecture had been trained before.
    """

    path: Path
    rows: int
    known: int
    columns: tuple[str, ...]
    empty_cells: int
    optima: tuple[Optimum, ...]
    repeated: int = 0


def import_table(
    space: Space, source: Path, partial: bool = False, workers: int = 1, on_rows: OnRows = _ignore
) -> Imported:
    """Make the table of a space from what its user has: see `import_archive`, `import_records` and `import_csv`.

    Args:
        space: a benchmark's, made with its `options`.
        source: folder of an archive, file of a benchmark that is one, or CSV file.
        partial: see `import_archive`; likewise workers and on_rows.
        workers: see `partial`.
        on_rows: see `partial`.

    Raises:
        UsageError: there is no such file or folder, or see `import_archive`.
        RunError: see `import_archive`.
    """
    folders = space.name in _ARCHIVES
    if not (os.path.isfile(source) or (folders and os.path.isdir(source))):
        what = "is a folder" if os.path.isdir(source) else "is not there"
        raise UsageError(f"{source} {what}; {how_to_get(space.name)}")
    if os.path.isdir(source):
        return import_archive(space, source, partial=partial, workers=workers, on_rows=on_rows)
    if partial:
        raise UsageError(f"--partial is for archive folders, {source} is a file; leave it out")
    if folders or source.suffix == ".csv":
        return import_csv(space, source)
    return import_records(space, source, on_rows)


def import_archive(
    space: Space, folder: Path, *, partial: bool = False, workers: int = 1, on_rows: OnRows = _ignore
) -> Imported:
    """Make the table of a space from the folder of an official NATS-Bench archive.

    Args:
        space: "nats-tss" or "nats-sss".
        folder: the archive's folder (`…-simple`).
        partial: take an archive that lacks result files; their rows have empty cells, and no optima are looked for.
        workers: processes that read; the table is the same for any number.
        on_rows: told of the progress.

    Raises:
        UsageError: the archive is of another space.
        UntrustedFile: a file asks for more than data.
        RunError: the archive lacks files, one is damaged, it is not what its authors published, or the table
            cannot be written. Rows that were read are kept for the next try, except those of a wrong archive.
    """
    archive = Archive(folder)
    held = f"nats-{archive.space}"
    if held != space.name:
        raise UsageError(f"{folder} holds space {held!r}, not {space.name!r}; use `engine table import {held} DIR`")
    _check_architectures(space, archive.architectures, folder)
    present = result_files(archive)
    if len(present) < len(archive.architectures) and not partial:
        raise _incomplete(space.name, archive, present)
    path, count = table_path(space.name), len(archive.architectures)
    origin = {"folder": str(folder.absolute()), "architectures": archive.architectures, "present": present}
    optima = () if len(present) < count else BENCHMARKS[space.name].optima
    with closing(Draft(path, origin, archive.columns)) as draft:
        on_rows(draft.rows, count)
        with closing(read_rows(archive, range(draft.rows, count), partial, workers)) as rows:
            for numbers in rows:
                draft.append(archive.architectures[draft.rows], numbers)
                on_rows(draft.rows, count)
        draft.finish(lambda file: _check_optima(Table.open(file), optima, space.name))
    return _summary(path, optima)


def import_records(space: Space, file: Path, on_bytes: OnRows = _ignore) -> Imported:
    """Make the table of a space from the file of records that its benchmark's authors published.

    Args:
        space: "nas-bench-101", or a family of NDS made with width 0 and depth 0, whose files each make a table.
        file: such as `nasbench_only108.tfrecord` or `DARTS.json`.
        on_bytes: told of the bytes read and of all.

    Raises:
        UsageError: it is not a file of that space.
        RunError: it cannot be read, is damaged or not what its authors published, or the table cannot be written.
    """
    rows = _records(space, file, on_bytes)
    first = next(rows)
    columns = tuple(first.numbers)
    benchmark, state = BENCHMARKS[space.name], file.stat()
    # Where a benchmark has several files, each makes a table of its own: their networks were trained in other ways.
    path = table_path(space.name, "" if benchmark.rows is not None else _part(file))
    origin = {"file": str(file.absolute()), "bytes": state.st_size, "changed": state.st_mtime_ns}
    seen: set[str] = set()
    repeated = 0
    with closing(Draft(path, origin, columns)) as draft:
        held = draft.rows
        for row in chain((first,), rows):
            if row.architecture in seen:  # trained more than once: the first one counts
                repeated += 1
                continue
            seen.add(row.architecture)
            if len(seen) > held:
                draft.append(row.architecture, [row.numbers[column] for column in columns])
        if benchmark.rows not in (None, draft.rows):
            raise RunError(
                f"{file} holds {draft.rows:,} architectures; expected the {benchmark.rows:,} of {space.name!r}: "
                "download it again"
            )
        draft.finish(lambda table: _check_optima(Table.open(table), benchmark.optima, space.name))
    return _summary(path, benchmark.optima, repeated)


def _records(space: Space, file: Path, on_bytes: OnRows) -> Iterator[Row]:
    if isinstance(space, NdsSpace):
        from fitness.nds_archive import read_records as read_nds

        return read_nds(file, space, on_bytes)
    from fitness.nasbench101_archive import read_records as read_101

    return read_101(file, lambda records, done, total: on_bytes(done, total))


def import_csv(space: Space, file: Path) -> Imported:
    """Keep a CSV table of a space, beside the benchmark's own table if there is one.

    Args:
        space: a benchmark's, made with its `options`. Of one that can be listed the file is to hold all networks.
        file: a CSV file as `Table.open` reads it; its name tells its columns from those of other files.

    Raises:
        UsageError: it is of another space.
        RunError: it cannot be read or written, or its columns are not what the benchmark's authors published.
    """
    table = Table.open(file)
    if space.size is None:
        check_holds(table, space)
    else:
        _check_architectures(space, table.architectures, file)
    for column in table.columns:
        table.column(column)  # raises for a cell that is no number
    known = BENCHMARKS[space.name].optima if space.name in BENCHMARKS else ()
    optima = tuple(optimum for optimum in known if optimum.column in table.columns)
    _check_optima(table, optima, space.name)
    path = table_path(space.name, _part(file))
    copy_table(file, path)
    return _summary(path, optima)


def _part(file: Path) -> str:
    """What tells the table of a file from those of others of its space."""
    return re.sub(r"[^\w-]+", "_", file.stem)


def _check_architectures(space: Space, architectures: Sequence[str], source: Path) -> None:
    """Refuse a benchmark that does not hold just the networks of a space."""
    expected = {space.describe(genotype) for genotype in space.enumerate()}
    strange = next((name for name in architectures if name not in expected), None)
    if strange is not None:
        raise UsageError(
            f"{source} holds architecture {strange[:120]!r}, which is not in space {space.name!r}; expected the "
            f"{len(expected):,} spelled like {min(expected)!r}"
        )
    if len(architectures) != len(expected):
        raise RunError(
            f"{source} names {len(architectures):,} architectures; expected all {len(expected):,} of space "
            f"{space.name!r}: download it again"
        )


def _incomplete(space: str, archive: Archive, present: Sequence[int]) -> RunError:
    total = len(archive.architectures)
    there = set(present)
    missing = [archive.result_file(index).name for index in range(total) if index not in there]
    first = ", ".join(missing[:3]) + (", …" if len(missing) > 3 else "")
    return RunError(
        f"{archive.path} lacks {len(missing):,} of {total:,} result files: {first}; {how_to_get(space)}; or import "
        "what is there with --partial"
    )


def _check_optima(table: Table, optima: Sequence[Optimum], space: str) -> None:
    """Refuse a table whose best accuracies are not the published ones, as printed with two decimals."""
    for optimum in optima:
        numbers = table.column(optimum.column)
        known = [index for index, number in enumerate(numbers) if not math.isnan(number)]
        best = max(known, key=numbers.__getitem__, default=None)
        if best is None:
            found = "no number in it"
        elif f"{numbers[best]:.{_PRINTED_DIGITS}f}" != f"{optimum.value:.{_PRINTED_DIGITS}f}":
            found = f"{numbers[best]:g} at index {best}"
        elif optimum.index is not None and numbers[optimum.index] != numbers[best]:
            found = f"it at index {best}"
        else:
            continue
        where = "" if optimum.index is None else f" at index {optimum.index}"
        raise RunError(
            f"the best {optimum.column} of space {space!r} is published as {optimum.value}{where}, found {found}; "
            f"this is not the official benchmark: {how_to_get(space)}"
        )


def _summary(path: Path, optima: tuple[Optimum, ...], repeated: int = 0) -> Imported:
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file)
        columns = tuple(name for name in next(rows) if name not in ("index", "arch_str"))
        gaps = [cells.count("") for cells in rows if cells]
    known = [gap for gap in gaps if gap < len(columns)]
    return Imported(path, len(gaps), len(known), columns, sum(known), optima, repeated)
