"""`engine resume`: continue a run or a comparison."""

from __future__ import annotations

import argparse
import os

from engine.commands.options import add_running, seconds, whole
from engine.commands.run import search
from spaces.errors import UsageError

__all__ = ["add", "call"]


def add(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("run", metavar="DIR", help="folder of the run or comparison")
    parser.add_argument(
        "--budget", type=whole, metavar="N", help="new total number of records (default: the run's)"
    )
    parser.add_argument(
        "--simulated-seconds", type=seconds, metavar="S", help="likewise of simulated training (default: the run's)"
    )
    add_running(parser)


def call(options: argparse.Namespace) -> str:
    """Continue it and say what came out."""
    from pathlib import Path

    from engine.comparison.plan import FILE

    if os.path.isfile(os.path.join(options.run, FILE)):  # any text may be asked about, as pathlib's may not
        return _comparison(options)
    from engine.api import go_on, reopen
    from engine.results.output import tell

    workers = 1 if options.workers is None else options.workers
    folder, setup = reopen(Path(options.run), options.budget, options.simulated_seconds, workers, options.cluster)
    changes = folder.version_changes()
    if changes and not options.quiet:
        tell(
            f"note: since the run began {', '.join(changes)}; its next records may not be what they would have been"
        )
    return search(options, setup, lambda progress, start: go_on(folder, setup, progress, start))


def _comparison(options: argparse.Namespace) -> str:
    from pathlib import Path

    from engine.commands.compare import carry_on, text_of
    from engine.comparison import Plan, compared

    if options.budget is not None or options.simulated_seconds is not None:
        raise UsageError(f"{options.run} is a comparison: all its runs keep one budget; compare again with another")
    plan = Plan.read(Path(options.run))
    carry_on(plan, options.workers, options.cluster, options.quiet)
    return text_of(compared(plan), "json" if options.json else "table")
