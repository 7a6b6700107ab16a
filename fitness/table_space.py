"""Which space a table is of, and which of the imported tables a command on a space reads.

A benchmark's files may hold networks of several options of a space, as NDS's do of several widths and depths; such
tables are read to the end, of others the first architecture stands for all.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

from fitness.table import Table
from fitness.table_store import BENCHMARKS, find_tables, missing_table, whole_space
from spaces import SPACES
from spaces.errors import UsageError
from spaces.space import Space

__all__ = ["check_holds", "holds", "tables_of"]


def holds(table: Table, space: Space) -> bool:
    """Whether a table's architectures are of a space, in its notation."""
    return _stranger(table, space) is None


def check_holds(table: Table, space: Space) -> None:
    """Refuse a table with architectures that are not of a space.

    Raises:
        UsageError: It has some; names one, and the space that the table is of where the benchmark has another.
    """
    strange = _stranger(table, space)
    if strange is None:
        return
    example = space.describe(space.sample(Random(0)))
    remedy = ""
    if name := whole_space(space.name):
        whole = SPACES.create(space.name, BENCHMARKS[space.name].options)
        if isinstance(whole, Space) and holds(table, whole):
            remedy = f"; it is a table of --space {name!r}"
    raise UsageError(
        f"table {table.path} does not hold architectures of space {space.name!r}, e.g. {example[:80]}; "
        f"it has {strange[:80]}{remedy}"
    )


def tables_of(space: Space) -> tuple[Path, ...]:
    """The imported tables of a space, to be read as one.

    Raises:
        UsageError: There is none, or several know the same column of different architectures.
        RunError: One cannot be read.
    """
    found = find_tables(space.name)
    if not found:
        raise missing_table(space.name)
    if not whole_space(space.name):
        return found
    tables = [Table.open(path) for path in found]
    own = [table for table in tables if holds(table, space)]
    if not own:
        check_holds(tables[0], space)
    for column in dict.fromkeys(column for table in own for column in table.columns):
        paths = [str(table.path) for table in own if column in table.columns]
        if len(paths) > 1:
            raise UsageError(
                f"{len(paths)} imported tables of space {space.name!r} have a column {column!r}: "
                f"{', '.join(paths)}; name one with --table"
            )
    return tuple(table.path for table in own)


def _stranger(table: Table, space: Space) -> str | None:
    """The first architecture that is not of a space."""
    read = table.architectures if whole_space(space.name) else table.architectures[:1]
    for text in read:
        try:
            if space.describe(space.parse(text)) != text:
                return text
        except UsageError:
            return text
    return None
