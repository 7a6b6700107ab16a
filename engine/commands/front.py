"""`engine front`: the networks of a run that no other beats."""

from __future__ import annotations

import argparse

from engine.commands.options import add_format, add_objectives
from spaces.errors import UsageError

__all__ = ["add", "call"]

_FORMATS = ("table", "csv", "json", "png")


def add(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("run", metavar="DIR", help="run folder")
    add_objectives(parser, "over these recorded scores (default: the run's scores against its sizes)")
    add_format(parser, _FORMATS, "--out")
    parser.add_argument("--out", metavar="FILE", help="write to a file instead of standard output")


def call(options: argparse.Namespace) -> str:
    """The front as text, or where it was written to."""
    from pathlib import Path

    from engine.results.front import draw_front, format_front, front_of, parse_objectives, recorded_names
    from engine.results.output import write_text
    from engine.run_folder import RunFolder
    from engine.setup import Setup

    folder = RunFolder.read(Path(options.run))
    setup = Setup(folder.config)
    setup.refer(folder.reference)
    ending = Path(options.out or "").suffix[1:]
    kind = options.format or (ending if ending in ("csv", "json", "png") else "table")
    if kind == "png" and not options.out:
        raise UsageError("--format png needs a file to write to; add --out FILE.png")
    store = folder.records()
    found = front_of(store, setup, parse_objectives(setup, options.objectives or ()))
    if kind == "png":
        draw_front(found, store, Path(options.out))
    else:
        text = format_front(found, recorded_names(setup), kind, setup.space.describe)
        if not options.out:
            return text
        write_text(text, options.out)
    return f"front of {len(found.records)} among {found.considered:,} networks written to {options.out}"
