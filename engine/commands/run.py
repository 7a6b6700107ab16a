"""`engine run`: search a space."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

from engine.commands.options import (
    add_bounds,
    add_images,
    add_objectives,
    add_prediction,
    add_problem,
    add_running,
    add_series,
    add_simulation,
    add_training,
    given,
    training_asked,
    whole,
    with_series,
)
from spaces.errors import UsageError

if TYPE_CHECKING:
    from engine.api import Result
    from engine.config import RunConfig
    from engine.progress import Progress
    from engine.setup import Setup
    from engine.training.task import Plan

__all__ = ["add", "call", "search"]

# What a search for networks to be trained looks for unless told (experiments/mcu/RESULTS.md), and how far it may
# go: nothing was trained beyond, and without a limit it ends at networks that a board takes seconds for.
_RECOMMENDED = {"fitness": "params+macs+bottleneck", "budget": 20_000}
_COMPUTE = "macs<=5000000"
_OF_SEARCH = ("data", "batch", "seed", "device", "threads")  # flags that a search and a training both have


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
    parser.add_argument("--population", type=whole, metavar="N", help="of aging (100), nsga2 (50), resn (3)")
    parser.add_argument("--tournament", type=whole, metavar="N", help="of aging (default: 25)")
    parser.add_argument(
        "--rank",
        metavar="EXPR",
        help="scores by which area picks its start (default: naswot; of series mrs), or predictor (params+macs)",
    )
    add_prediction(parser)
    parser.add_argument("--seed", type=whole, metavar="N", help="of every random choice (default: 0)")
    parser.add_argument("--out", metavar="DIR", help="run folder (default: a new one under runs/)")
    parser.add_argument("--config", metavar="FILE", help="TOML file with the same fields; flags win")
    add_images(parser)
    add_series(parser)
    add_running(parser)
    parser.add_argument(
        "--train-top",
        type=whole,
        metavar="N",
        help="then train the N best on --data; without a fitness of yours the search is for "
        f"{_RECOMMENDED['fitness']} among {_RECOMMENDED['budget']} candidates with {_COMPUTE}, or "
        "in space rnn for mrs, where --batch is windows of a step of training",
    )
    add_training(parser)


def call(options: argparse.Namespace) -> str:
    """Run it and say what came out."""
    from dataclasses import replace

    from engine.api import run
    from engine.config import load_config
    from engine.prediction.wiring import check_learnt
    from engine.reading import reads_of
    from engine.results.output import tell
    from engine.run_folder import default_path
    from engine.setup import Setup
    from fitness.reference import SAMPLE

    config = load_config(options.config, _recommended(options) | given(options))
    config, windows = replace(config, data=with_series(config.data, options, config.space)), None
    if options.train_top is not None and reads_of(config.space) == "series":
        config, windows = replace(config, batch=None), config.batch  # of a step; nothing else of series has a batch
    if config.out is None:
        config = replace(config, out=str(default_path(config)))
    setup = Setup(config)
    check_learnt(setup)
    plan = _training(options, setup, windows)
    if plan is not None:
        plan.check(setup.space)
    if setup.sampled and not options.quiet:
        tell(f"first {', '.join(setup.sampled)} of the {SAMPLE} reference networks of space {setup.space.name} ...")
    then = "" if plan is None else f", then `{_train_command(options, config, plan)}`"
    found = search(options, setup, lambda progress, start: run(setup, progress, start), then)
    return found if plan is None else _with_trainings(found, options, config, plan)


def _recommended(options: argparse.Namespace) -> dict[str, object]:
    """What a search for networks to be trained does if nobody says what it is after."""
    if options.train_top is None or options.config or options.fitness or options.objectives:
        return {}
    from engine.config import RunConfig
    from engine.reading import reads_of

    if reads_of(options.space or RunConfig.space) == "series":
        return {"fitness": "mrs"}
    bounds = options.bounds or []
    if not any(bound.strip().startswith(("macs", "munas_macs", "latency_ms")) for bound in bounds):
        options.bounds = [*bounds, _COMPUTE]
    return dict(_RECOMMENDED)


def _training(options: argparse.Namespace, setup: Setup, windows: int | None) -> Plan | None:
    """How the best are to be trained afterwards, if they are; on series by steps of so many windows."""
    asked = {name: value for name, value in training_asked(options).items() if name not in _OF_SEARCH}
    if options.train_top is None:
        if asked:
            flag = min(asked).replace("_", "-")
            raise UsageError(
                f"--{flag} is of training and nothing is to be trained; add --train-top 3, or leave it out"
            )
        return None
    if options.train_top < 1:
        raise UsageError(f"--train-top is {options.train_top}; expected how many to train, 1 or more")
    from engine.training.kinds import plan_for

    config = setup.config
    if setup.space.reads == "images" and config.data in ("auto", "noise"):
        raise UsageError("--train-top needs images with labels to train on; add --data, see `engine list data`")
    shared = {"data": config.data, "seed": config.seed, "device": config.device, "threads": config.threads}
    if setup.space.reads == "series":
        shared |= {"data": setup.data, "device": "cpu" if config.device == "auto" else config.device}
        shared |= {} if windows is None else {"batch": windows}
    return plan_for(setup, shared | asked)


def _with_trainings(found: str, options: argparse.Namespace, config: RunConfig, plan: Plan) -> str:
    """Train the top and say what came out, after what the search found."""
    import json
    from pathlib import Path

    from engine.training.of_run import format_trained, train_run
    from engine.training.spectator import Shown, Spectator

    folder = Path(str(config.out))
    try:
        trained = train_run(
            folder,
            plan,
            best=options.train_top,
            workers=config.workers,
            spectator=Spectator() if options.quiet else Shown(),
        )
    except KeyboardInterrupt:
        again = _train_command(options, config, plan)
        raise KeyboardInterrupt(f"; the search is done, train on with `{again}`") from None
    if options.json:
        return json.dumps(json.loads(found) | {"trained": [record.to_dict() for record in trained]}, indent=1)
    return f"{found}\n{format_trained(folder, trained)}"


def _train_command(options: argparse.Namespace, config: RunConfig, plan: Plan) -> str:
    """What trains the top of the search, or goes on with it."""
    import shlex

    words = ["engine", "train", str(config.out), "--best", str(options.train_top), *plan.flags]
    return shlex.join(words + (["--workers", str(config.workers)] if config.workers != 1 else []))


def search(
    options: argparse.Namespace,
    setup: Setup,
    search: Callable[[Progress, Callable[[], None]], Result],
    then: str = "",
) -> str:
    """Say what is about to run, run it, and say what came out, or how to go on: resume, `then` what is said."""
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
        raise KeyboardInterrupt(f"; continue with `engine resume {shlex.quote(folder)}`{then}") from None
    return summarise(result, progress, options.json)
