"""`engine train`: train candidates of a run and measure how good they are."""

from __future__ import annotations

import argparse

from engine.commands.options import add_objectives, add_series, add_training, training_asked, whole, with_series

__all__ = ["add", "call"]


def add(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("run", metavar="DIR", help="run folder")
    parser.add_argument(
        "--pick", nargs="+", default=[], metavar="knee|best|NUMBER", help="which candidates of the run"
    )
    parser.add_argument("--best", type=whole, metavar="N", help="also the N best by the run's fitness")
    parser.add_argument("--top", type=whole, metavar="N", help="also N candidates spread along the run's front")
    add_objectives(parser, "the front is over these recorded scores (default: the run's scores against its sizes)")
    parser.add_argument(
        "--data",
        metavar="SOURCE",
        help="images with labels, or a time series (default: the run's), see `engine list data`",
    )
    add_series(parser)
    add_training(parser)
    parser.add_argument(
        "--batch", type=whole, metavar="N", help="images of a step (default: 128), or windows (default: 5)"
    )
    parser.add_argument(
        "--seed", type=whole, metavar="N", help="of weights, order, augmentation and dropout (default: 0)"
    )
    parser.add_argument(
        "--device", metavar="NAME", help="cpu or cuda (default: for images cuda if there is one, else cpu)"
    )
    parser.add_argument("--threads", type=whole, metavar="N", help="of torch in each process (default: 1)")
    parser.add_argument(
        "--workers", type=whole, default=1, metavar="N", help="processes that each train a candidate (default: 1)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--quiet", action="store_true", help="no progress on standard error")


def call(options: argparse.Namespace) -> str:
    """Train them and say how good they are."""
    import json
    from pathlib import Path

    from engine.run_folder import RunFolder
    from engine.training.of_run import format_trained, plan_of, train_run
    from engine.training.spectator import Shown, Spectator

    run, asked = Path(options.run), training_asked(options)
    own = options.data or RunFolder.read(run).config.data
    if options.data or with_series(own, options) != own:
        asked["data"] = with_series(own, options)
    plan = plan_of(run, asked)
    try:
        trained = train_run(
            run,
            plan,
            options.pick,
            options.top,
            options.best,
            objectives=options.objectives or (),
            workers=options.workers,
            spectator=Spectator() if options.quiet else Shown(),
        )
    except KeyboardInterrupt:
        raise KeyboardInterrupt("; the same command goes on after the last whole epoch") from None
    if options.json:
        return json.dumps({"run": str(run), "trained": [record.to_dict() for record in trained]}, indent=1)
    return format_trained(run, trained)
