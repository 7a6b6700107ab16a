"""`engine train`: train candidates of a run and measure their accuracy."""

from __future__ import annotations

import argparse

from engine.commands.options import add_objectives, add_training, given_to, whole

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
        "--data", required=True, metavar="SOURCE", help="images with labels, see `engine list data`"
    )
    add_training(parser)
    parser.add_argument("--batch", type=whole, metavar="N", help="images of a step (default: 128)")
    parser.add_argument("--seed", type=whole, metavar="N", help="of weights, order and augmentation (default: 0)")
    parser.add_argument("--device", metavar="NAME", help="cpu or cuda (default: cuda if there is one)")
    parser.add_argument("--threads", type=whole, metavar="N", help="of torch in each process (default: 1)")
    parser.add_argument(
        "--workers", type=whole, default=1, metavar="N", help="processes that each train a candidate (default: 1)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--quiet", action="store_true", help="no progress on standard error")


def call(options: argparse.Namespace) -> str:
    """Train them and say how accurate they are."""
    import json
    from pathlib import Path

    from engine.training import TrainingPlan
    from engine.training.of_run import format_trained, train_run
    from engine.training.spectator import Shown, Spectator

    run, plan = Path(options.run), TrainingPlan(**given_to(TrainingPlan, options))
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
