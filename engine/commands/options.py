"""Options that several commands share, and how their values are read."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence
from math import inf
from typing import TYPE_CHECKING, Any

from spaces.errors import UnknownName, UsageError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = [
    "add_bounds",
    "add_format",
    "add_images",
    "add_known",
    "add_objectives",
    "add_prediction",
    "add_problem",
    "add_running",
    "add_series",
    "add_simulation",
    "add_training",
    "given",
    "given_to",
    "number",
    "one_of",
    "seconds",
    "training_asked",
    "whole",
    "with_series",
]


def add_problem(parser: argparse.ArgumentParser, space: str = "munas") -> None:
    """Which networks, under which target, and what is known of them."""
    parser.add_argument(
        "--space", metavar="NAME", help=f"which networks, options in parentheses (default: {space})"
    )
    parser.add_argument("--input-shape", metavar="HxWxC", help="height, width, channels (default: 32x32x3)")
    parser.add_argument("--classes", type=whole, metavar="N", help="number of classes (default: 10)")
    parser.add_argument("--target", metavar="NAME|FILE.toml", help="microcontroller that bounds memory, or none")
    parser.add_argument(
        "--table",
        action="append",
        metavar="FILE",
        help="benchmark table (CSV) or official archive folder; repeatable (default: the space's imported one)",
    )


def add_images(parser: argparse.ArgumentParser) -> None:
    """What scores of weights are computed on."""
    parser.add_argument(
        "--data",
        metavar="SOURCE",
        help="images that scores of weights see, or the time series of space rnn, see `engine list data` (default: "
        "digits if labels are needed, else noise; sine)",
    )
    parser.add_argument("--batch", type=whole, metavar="N", help="number of images (default: each score's own)")
    parser.add_argument("--score-seed", type=whole, metavar="N", help="of images and weights (default: 0)")
    parser.add_argument("--device", metavar="NAME", help="cpu or cuda (default: cuda if there is one)")
    parser.add_argument("--threads", type=whole, metavar="N", help="of torch in each process (default: 1)")


def add_series(parser: argparse.ArgumentParser) -> None:
    """How a time series is read; see `with_series`."""
    group = parser.add_argument_group("time series")
    group.add_argument(
        "--column",
        action="append",
        metavar="NAME|INDEX",
        help="of csv:FILE, what networks see; repeatable (default: every column)",
    )
    group.add_argument(
        "--target-column",
        action="append",
        metavar="NAME|INDEX",
        help="of csv:FILE, what they forecast; repeatable (default: what they see)",
    )
    group.add_argument(
        "--split", type=number, metavar="X", help="share of the rows before the test part (default: 0.8)"
    )
    group.add_argument(
        "--scale",
        metavar="none|minmax|unit|standard",
        help="how columns are scaled, fitted on the training rows (default: minmax, sine none)",
    )


def with_series(data: str, options: argparse.Namespace, space: str | None = None) -> str:
    """A source of data with what the flags of `add_series` say of it; they win over its own options.

    Args:
        data: The source; "auto" is the sine for networks that read series.
        options: Of the command line.
        space: Whose networks read it, if that is known.

    Raises:
        UsageError: They were given, and the data are no time series, or one without columns to choose.
    """
    flags = {
        "--column": options.column,
        "--target-column": options.target_column,
        "--split": options.split,
        "--scale": options.scale,
    }
    given = [flag for flag, value in flags.items() if value is not None]
    if not given:
        return data
    from dataclasses import replace

    from engine.reading import reads_of
    from fitness.series import SERIES, SeriesText, is_series

    if data == "auto" and space is not None and reads_of(space) == "series":
        data = "sine"
    if not is_series(data):
        raise UsageError(
            f"{given[0]} is of a time series and --data is {data!r}; expected one of {', '.join(SERIES)}, "
            f"or no {given[0]}"
        )
    text = SeriesText.parse(data)
    if text.name != "csv" and given[0] in ("--column", "--target-column"):
        raise UsageError(f"{given[0]} is of csv:FILE, and {text.name} has one column; leave it out")
    columns, targets = tuple(options.column or text.columns), tuple(options.target_column or text.targets)
    return str(
        replace(
            text,
            columns=columns,
            targets=targets,
            split=text.split if options.split is None else options.split,
            scale=options.scale or text.scale,
            digest=text.digest if (columns, targets) == (text.columns, text.targets) else "",  # of other columns
        )
    )


def add_bounds(parser: argparse.ArgumentParser) -> None:
    """`--bound`, repeatable."""
    parser.add_argument(
        "--bound",
        dest="bounds",
        action="append",
        metavar="'NAME<=N'",
        help="reject networks that break it; repeatable",
    )


def add_format(parser: argparse.ArgumentParser, formats: Sequence[str], file: str) -> None:
    """`--format` and `--json`, one of which says how a result is shown; the ending of option `file` does else."""
    form = parser.add_mutually_exclusive_group()
    form.add_argument(
        "--format",
        type=one_of("format", formats),
        metavar="|".join(formats),
        help=f"default: {formats[0]}, or the ending of {file}",
    )
    form.add_argument("--json", dest="format", action="store_const", const="json", help="same as --format json")


def add_objectives(parser: argparse.ArgumentParser, purpose: str) -> None:
    """`--objective`, repeatable."""
    parser.add_argument(
        "--objective", dest="objectives", action="append", metavar="EXPR[:min|max]", help=f"{purpose}; repeatable"
    )


def add_prediction(parser: argparse.ArgumentParser) -> None:
    """What predictions of a search are learnt from."""
    parser.add_argument(
        "--predictor",
        metavar="NAME",
        help="what strategy predictor learns by, options in parentheses (default: blend)",
    )
    add_known(parser)


def add_known(parser: argparse.ArgumentParser) -> None:
    """What the fitness predict:PREDICTOR is told."""
    group = parser.add_argument_group("fitness predict:PREDICTOR")
    group.add_argument(
        "--metric",
        metavar="NAME",
        help="what is learnt: a column of --table, or a score of "
        "trainings (default: their validation_accuracy, of series validation_mae)",
    )
    group.add_argument(
        "--known", type=whole, metavar="N", help="learn from N random networks of the table (default: all)"
    )
    group.add_argument("--known-run", metavar="DIR", help="learn from the trained candidates of a run instead")


def add_running(parser: argparse.ArgumentParser) -> None:
    """How a search is carried out and reported."""
    add_workers(parser)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--quiet", action="store_true", help="no progress on standard error")


def add_workers(parser: argparse.ArgumentParser) -> None:
    """Where evaluations run."""
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--workers", type=whole, metavar="N", help="processes that evaluate (default: 1)")
    where.add_argument("--cluster", metavar="ADDRESS", help="evaluate on a Dask cluster instead: tcp://HOST:PORT")


def add_simulation(parser: argparse.ArgumentParser) -> None:
    """A budget in seconds of training that a table knows."""
    parser.add_argument(
        "--simulated-seconds",
        type=seconds,
        metavar="S",
        help="end when training what was looked up would have taken that long, even within the budget",
    )
    parser.add_argument(
        "--cost",
        metavar="COLUMN",
        help="column of the table that holds those seconds (default: that of the looked-up accuracy)",
    )


def add_training(parser: argparse.ArgumentParser) -> None:
    """How picked candidates are trained; see `training_asked`."""
    group = parser.add_argument_group("training", "a flag that the networks of the run have no use for is refused")
    group.add_argument(
        "--epochs",
        type=whole,
        metavar="N",
        help="passes over the data (default: 30; series 100, published for the sine; for other series 1000)",
    )
    group.add_argument("--optimizer", metavar="adamw|sgd", help="how weights are fitted (default: adamw)")
    group.add_argument(
        "--learning-rate",
        type=number,
        metavar="X",
        help="largest of the schedule (default: 0.002, sgd 0.05; series 0.00005 throughout)",
    )
    group.add_argument("--weight-decay", type=number, metavar="X", help="of kernels and matrices (default: 0.0001)")
    group.add_argument(
        "--flip",
        action=argparse.BooleanOptionalAction,
        help="mirror half of the images (default: those of colour, but no digits)",
    )
    group.add_argument(
        "--shift", type=whole, metavar="N", help="move images by up to N pixels (default: a 16th of their height)"
    )
    group.add_argument(
        "--patience", type=whole, metavar="N", help="stop N epochs after the best one (default: never; series 50)"
    )
    group.add_argument("--train-images", type=whole, metavar="N", help="train on so many (default: all)")
    series = parser.add_argument_group("training on series")
    series.add_argument(
        "--dropout", type=number, metavar="X", help="share of recurrent outputs zeroed in training (default: 0.5)"
    )
    series.add_argument(
        "--weight-range", type=number, metavar="X", help="initial weights are uniform in +-X (default: 0.5)"
    )
    series.add_argument(
        "--min-delta", type=number, metavar="X", help="least gain that --patience counts (default: 0.00001)"
    )
    series.add_argument(
        "--shuffle", action="store_true", default=None, help="a new order of windows in every epoch"
    )


def training_asked(options: argparse.Namespace) -> dict[str, Any]:
    """The flags of training that were given, by the fields of plans, without --data."""
    from engine.training.kinds import PLANS

    asked = {name: value for plan in PLANS for name, value in given_to(plan, options).items()}
    asked.pop("data", None)
    return asked


def number(text: str) -> float:
    """A number; argparse reports what is not one."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text[:40]!r}; expected a number, e.g. 0.001") from None


def seconds(text: str) -> float:
    """A number above 0; argparse reports what is not one."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < inf:
        raise argparse.ArgumentTypeError(f"{text[:40]!r}; expected a number of seconds above 0, e.g. 12000")
    return value


def whole(text: str) -> int:
    """A whole number; argparse reports what is not one."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text[:40]!r}; expected a whole number, e.g. 1000") from None


def one_of(kind: str, names: Iterable[str]) -> Callable[[str], str]:
    """A reader of one of some names; argparse reports other ones."""

    def check(text: str) -> str:
        if text not in names:
            raise argparse.ArgumentTypeError(str(UnknownName(kind, text, names)))
        return text

    return check


def given(options: argparse.Namespace) -> dict[str, object]:
    """The flags that were given and are fields of a config."""
    from engine.config import RunConfig

    return given_to(RunConfig, options)


def given_to(kind: type[DataclassInstance], options: argparse.Namespace) -> dict[str, Any]:
    """The flags that were given and are fields of a dataclass."""
    from dataclasses import fields

    names = {item.name for item in fields(kind)}
    return {name: value for name, value in vars(options).items() if name in names and value is not None}
