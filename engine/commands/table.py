"""`engine table import`: a benchmark's download as a table that later commands find."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from engine.commands.options import one_of, whole

if TYPE_CHECKING:
    from fitness.table_import import Imported

__all__ = ["add", "call"]


def add(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    from fitness.table_store import BENCHMARKS

    parser.add_argument("action", type=one_of("table command", ["import"]), metavar="import", help="what to do")
    parser.add_argument(
        "space", type=one_of("benchmark", BENCHMARKS), metavar="SPACE", help=f"one of {', '.join(BENCHMARKS)}"
    )
    parser.add_argument(
        "source",
        metavar="DIR|FILE",
        help="folder or file of the official archive, or CSV file 'index,arch_str,<numbers>'",
    )
    parser.add_argument("--partial", action="store_true", help="take an archive that lacks result files")
    parser.add_argument(
        "--workers",
        type=whole,
        metavar="N",
        help="processes that read the archive (default: one for every processor)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--quiet", action="store_true", help="no progress on standard error")


def call(options: argparse.Namespace) -> str:
    """What was imported, and where it lies."""
    import json
    import os
    from contextlib import closing
    from dataclasses import asdict
    from pathlib import Path

    from engine.results.ticker import Ticker
    from fitness.table_import import import_table
    from fitness.table_store import BENCHMARKS
    from spaces import SPACES
    from spaces.errors import RunError, UsageError
    from spaces.space import Space

    workers = (os.cpu_count() or 1) if options.workers is None else options.workers
    if not 1 <= workers <= 1024:
        raise UsageError(f"workers is {workers}; expected a whole number from 1 to 1,024")
    space = SPACES.create(options.space, BENCHMARKS[options.space].options)
    if not isinstance(space, Space):
        raise RunError(f"space {options.space!r} makes {space!r}; expected a spaces.space.Space")
    try:
        source = Path(options.source)
        with closing(Ticker("architectures" if os.path.isdir(source) else "bytes", options.quiet)) as ticker:
            made = import_table(space, source, options.partial, workers, ticker)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("; the same command goes on where it was") from None
    if options.json:
        return json.dumps({**asdict(made), "path": str(made.path)}, indent=1)
    return _told(options.space, made)


def _told(space: str, made: Imported) -> str:
    lines = [f"{space}: {made.rows:,} architectures, {len(made.columns)} columns: {', '.join(made.columns)}"]
    if made.known < made.rows:
        lines.append(f"numbers of {made.known:,} architectures only, so the published optima were not looked for")
    if made.empty_cells:
        lines.append(f"{made.empty_cells:,} numbers of these are not known")
    if made.repeated:
        lines.append(f"{made.repeated:,} further trainings of architectures that were trained before are left out")
    if made.optima:
        lines.append("published optima found: " + ", ".join(f"{each.column} {each.value}" for each in made.optima))
    size = made.path.stat().st_size / 1e6
    lines.append(f"table of {size:.1f} MB in {made.path}; {_found(space, made)}")
    return "\n".join(lines)


def _found(name: str, made: Imported) -> str:
    """On which space commands find a table, or why they do not."""
    import shlex

    from engine.config import RunConfig
    from engine.setup import Setup
    from fitness.table_store import whole_space
    from spaces.errors import UsageError

    refused = ""
    for space in filter(None, (name, whole_space(name))):
        try:
            if str(made.path) in Setup(RunConfig(space=space)).table_paths:
                return f"commands on --space {shlex.quote(space)} find it there"
        except UsageError as error:
            refused = str(error)
    return refused
