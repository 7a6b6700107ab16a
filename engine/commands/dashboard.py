"""`engine dashboard`: a run in optuna-dashboard."""

from __future__ import annotations

import argparse

from engine.commands.options import add_objectives, whole
from spaces.errors import UsageError

__all__ = ["add", "call"]


def add(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("run", metavar="DIR", help="run folder")
    add_objectives(parser, "values of the trials (default: the run's scores against its sizes)")
    parser.add_argument("--port", type=whole, default=8080, metavar="N", help="of 127.0.0.1 (default: 8080)")
    parser.add_argument(
        "--most",
        type=whole,
        default=1000,
        metavar="N",
        help="show that many records, the front first (default: 1000; more slow the browser down)",
    )
    parser.add_argument(
        "--export", metavar="FILE", help="write the study as a journal file of Optuna instead of showing it"
    )


def call(options: argparse.Namespace) -> str:
    """Show it until somebody interrupts, or write the file."""
    from pathlib import Path

    from engine.results.dashboard import chosen, export_study, serve_study
    from engine.results.front import front_in
    from engine.results.output import check_places
    from engine.run_folder import RunFolder
    from engine.setup import Setup
    from engine.training.measured import MEASURED

    if not 0 <= options.port <= 65535:
        raise UsageError(f"--port is {options.port}; expected a number from 0, any free one, to 65535")
    if options.most < 1:
        raise UsageError(f"--most is {options.most}; expected a whole number of at least 1")
    check_places(options.export)
    folder = RunFolder.read(Path(options.run))
    setup = Setup(folder.config, own_scores=MEASURED)
    setup.refer(folder.reference)
    store, front = front_in(folder, setup, options.objectives or ())
    numbers = chosen(store, front, options.most)
    name, shown = folder.path.resolve().name, f"{len(numbers):,} of {len(store):,} records"
    if options.export:
        export_study(Path(options.export), name, store, setup, front, numbers)
        return f"{shown} written to {options.export}; show them with: optuna-dashboard {options.export}"
    serve_study(options.port, name, store, setup, front, numbers)
    return f"dashboard of {options.run} closed"
