"""`engine run`: search a space."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

from engine.commands.options import (
    add_bounds,
    add_images,
    add_objectives,
    add_problem,
    add_running,
    add_simulation,
    given,
    whole,
)

if TYPE_CHECKING:
    from engine.api import Result
    from engine.progress import Progress
    from engine.setup import Setup

__all__ = ["add", "call", "search"]


def add(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    add_problem(parser)
    parser.add_argument(
        "--within-table", action="store_true", default=None, help="search only networks that the table holds"
    )
    add_bounds(parser)
    parser.add_argument("--strategy", metavar="NAME", help="how to search, options in parentheses (default: aging)")
    parser.add_argument("--fitness", metavar="EXPR", help="scores and penalties joined by + (default: trace+gdf)")
    add_objectives(parser, "pursue these instead of the fitness")
    parser.add_argument("--budget", type=whole, metavar="N", help="number of records (default: 1000)")
    add_simulation(parser)
    parser.add_argument(
        "--open", type=whole, metavar="N", help="asks kept open, part of the run's identity (default: 8)"
    )
    parser.add_argument("--population", type=whole, metavar="N", help="of aging and nsga2 (default: 100)")
    parser.add_argument("--tournament", type=whole, metavar="N", help="of aging (default: 25)")
    parser.add_argument("--rank", metavar="EXPR", help="scores by which area picks its start (default: naswot)")
    parser.add_argument("--seed", type=whole, metavar="N", help="of every random choice (default: 0)")
    parser.add_argument("--out", metavar="DIR", help="run folder (default: a new one under runs/)")
    parser.add_argument("--config", metavar="FILE", help="TOML file with the same fields; flags win")
    add_images(parser)
    add_running(parser)


def call(options: argparse.Namespace) -> str:
    """Run it and say what came out."""
    from dataclasses import replace

    from engine.api import run
    from engine.config import load_config
    from engine.results.output import tell
    from engine.run_folder import default_path
    from engine.setup import Setup
    from fitness.reference import SAMPLE

    config = load_config(options.config, given(options))
    if config.out is None:
        config = replace(config, out=str(default_path(config)))
    setup = Setup(config)
    if setup.sampled and not options.quiet:
        tell(f"first {', '.join(setup.sampled)} of the {SAMPLE} reference networks of space {setup.space.name} ...")
    return search(options, setup, lambda progress, start: run(setup, progress, start))


def search(
    options: argparse.Namespace, setup: Setup, search: Callable[[Progress, Callable[[], None]], Result]
) -> str:
    """Say what is about to run, run it, and say what came out."""
    import os
    import shlex
    from contextlib import closing

    from engine.progress import Progress
    from engine.results.output import tell
    from engine.results.summary import announce, summarise

    folder = str(setup.config.out)

    try:
        with closing(Progress(setup, setup.config.budget, options.quiet)) as progress:

            def start() -> None:
                if not options.quiet:
                    tell(announce(setup))
                progress.start()

            result = search(progress, start)
    except KeyboardInterrupt:
        if not os.path.exists(os.path.join(folder, "study.json")):
            raise KeyboardInterrupt(" before the first record; run the same command again") from None
        raise KeyboardInterrupt(f"; continue with `engine resume {shlex.quote(folder)}`") from None
    return summarise(result, progress, options.json)
