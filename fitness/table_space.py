"""Which space a table is of, and which of the imported and shipped tables a command on a space reads.

A benchmark's files may hold networks of several options of a space, as NDS's do of several widths and depths; such
tables are read to the end, of others the first architecture stands for all.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from random import Random

from fitness.benchmarks import shipped_table
from fitness.table import Table
from fitness.table_store import BENCHMARKS, find_tables, missing_table, whole_space
from spaces import SPACES
from spaces.errors import UsageError
from spaces.space import Space
from spaces.supernet import SupernetSpace

__all__ = ["check_holds", "check_looked_up", "holds", "is_sample", "tables_of"]


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


def is_sample(space: Space) -> bool:
    """Whether a table of a space can hold no more than some of its networks: no one can train or list them all."""
    return space.size is None


def check_looked_up(space: Space, scores: Iterable[str]) -> None:
    """Refuse to search a whole space by a table that holds only some of its networks: hardly any would be known.

    Args:
        space: What is searched.
        scores: Names of all scores that are computed for it.

    Raises:
        UsageError: One is looked up in a table, and the space is too large for any table to list.
    """
    looked_up = [name for name in scores if name.startswith("table:")]
    if looked_up and is_sample(space) and not isinstance(space, SupernetSpace):
        raise UsageError(
            f"{looked_up[0]} is known only of the networks in the table, and the whole space {space.name!r} is "
            "searched; add --within-table, in Python within_table=True"
        )


def tables_of(space: Space) -> tuple[Path, ...]:
    """The imported tables of a space, to be read as one; if there are none, the one that comes with the package.

    Raises:
        UsageError: There is none, or none of networks for such images and classes; or several know the same column
            of different architectures.
        RunError: One cannot be read.
    """
    found = find_tables(space.name)
    if not found:
        return (_shipped(space),)
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


def _shipped(space: Space) -> Path:
    """The table that comes with the package, if its networks are for the space's images and classes."""
    shipped = shipped_table(space.name)
    if shipped is None:
        raise missing_table(space.name)
    if (shipped.input_shape, shipped.classes) != (tuple(space.input_shape), space.num_classes):
        of, got = (
            f"{'x'.join(map(str, each.input_shape))} images and {classes} classes"
            for each, classes in ((shipped, shipped.classes), (space, space.num_classes))
        )
        raise UsageError(
            f"the table of space {space.name!r} that comes with the package is of {of}, got {got}; ask for those, "
            "or name a CSV file 'index,arch_str,…' with --table FILE"
        )
    return shipped.path


def _stranger(table: Table, space: Space) -> str | None:
    """The first architecture that is not of a space."""
    read = table.architectures if whole_space(space.name) else table.architectures[:1]
    for text in read:
        try:
            if space.describe(space.parse(text)) != text and not text.startswith("{"):
                return text  # JSON of the choices may be in any order, with any spaces
        except UsageError:
            return text
    return None
