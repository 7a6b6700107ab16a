"""`engine front`: the networks of a run that no other beats."""

from __future__ import annotations

import argparse

from engine.commands.options import add_format, add_objectives
from spaces.errors import UsageError

__all__ = ["add", "call"]

_FORMATS = ("table", "csv", "json", "png", "svg", "parquet")
_ENDINGS = {f".{'txt' if name == 'table' else name}": name for name in _FORMATS}
_FILES = ("png", "svg", "parquet")
"""Formats that are no text."""


def add(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("run", metavar="DIR", help="run folder")
    add_objectives(parser, "over these recorded scores (default: the run's scores against its sizes)")
    add_format(parser, _FORMATS, "--out")
    parser.add_argument("--out", metavar="FILE", help="write to a file instead of standard output")


def call(options: argparse.Namespace) -> str:
    """The front as text, or where it was written to."""
    from pathlib import Path

    from engine.results.front import format_front, front_in, recorded_names, write_parquet
    from engine.results.output import write_text
    from engine.results.tabular import format_of
    from engine.run_folder import RunFolder
    from engine.setup import Setup
    from engine.training.measured import MEASURED

    kind = format_of(options.format, options.out, _ENDINGS)
    if kind in _FILES and not options.out:
        raise UsageError(f"--format {kind} needs a file to write to; add --out FILE.{kind}")
    folder = RunFolder.read(Path(options.run))
    setup = Setup(folder.config, own_scores=MEASURED)
    setup.refer(folder.reference)
    store, found = front_in(folder, setup, options.objectives or ())
    names = recorded_names(setup)
    if kind in ("png", "svg"):
        from engine.results.front_plot import draw_front

        draw_front(found, store, setup, Path(options.out), kind)
    elif kind == "parquet":
        write_parquet(found, names, Path(options.out), setup.space.describe)
    else:
        text = format_front(found, names, kind, setup.space.describe)
        if not options.out:
            return text
        write_text(text, options.out)
    remark = f"; {found.remark}" if found.remark else ""
    return f"front of {len(found.records)} among {found.considered:,} networks written to {options.out}{remark}"
