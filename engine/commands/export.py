"""`engine export`: networks as files for other programs."""

from __future__ import annotations

import argparse

from engine.commands.options import add_objectives, add_problem, add_series, given, one_of, whole, with_series
from spaces.errors import UsageError

__all__ = ["add", "call"]


def add(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    from engine.results.export import FORMATS

    parser.add_argument(
        "architecture", metavar="DIR|ARCH", help="run folder, or one architecture as in `engine score`"
    )
    parser.add_argument(
        "--pick", nargs="+", default=[], metavar="knee|best|NUMBER", help="which candidates of the run"
    )
    parser.add_argument("--top", type=whole, metavar="N", help="also N candidates spread along the run's front")
    add_objectives(parser, "the front is over these recorded scores (default: the run's scores against its sizes)")
    parser.add_argument(
        "--format", type=one_of("format", FORMATS), metavar="|".join(FORMATS), help="default: the ending of --out"
    )
    parser.add_argument("--out", metavar="DIR|FILE", help="where files go (default: DIR/exported)")
    parser.add_argument("--force", action="store_true", help="write files anew that are there")
    parser.add_argument(
        "--seed", type=whole, metavar="N", help="fresh weights of this seed (default: trained ones if any, else 0)"
    )
    parser.add_argument(
        "--data",
        metavar="SOURCE",
        help="images that tflite takes its ranges from, or the time series that is forecast, see `engine list "
        "data` (default: those of the training, the series of the run)",
    )
    add_problem(parser)
    add_series(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")


def call(options: argparse.Namespace) -> str:
    """What was written, and what was found when it was checked."""
    from engine.config import load_config
    from engine.results.export import FORMATS
    from engine.results.export.subject import Wanted, subjects
    from engine.results.export.writing import export, format_exports, format_for
    from fitness.series import is_series

    flags = given(options)
    for name in ("objectives", "seed", "out", "data"):  # they mean the export's own here
        flags.pop(name, None)
    kind = format_for(options.format, options.out)
    if options.seed is not None and not FORMATS[kind].weights:
        raise UsageError(f"format {kind} has no weights that --seed could draw; leave it out")
    data = with_series(options.data or "auto", options, options.space)
    config = load_config(None, {"target": "none", **flags, **({"data": data} if is_series(data) else {})})
    wanted = Wanted(options.architecture, options.pick, options.top, options.objectives or (), options.seed)
    return format_exports(
        export(subjects(wanted, config, flags), kind, options.out, options.data, options.force), options.json
    )
