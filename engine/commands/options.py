"""Options that several commands share, and how their values are read."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence
from math import inf

from spaces.errors import UnknownName

__all__ = [
    "add_bounds",
    "add_format",
    "add_images",
    "add_objectives",
    "add_problem",
    "add_running",
    "add_simulation",
    "given",
    "one_of",
    "seconds",
    "whole",
]


def add_problem(parser: argparse.ArgumentParser, space: str = "munas") -> None:
    """Which networks, under which target, and what is known of them."""
    parser.add_argument(
        "--space", metavar="NAME", help=f"which networks, options in parentheses (default: {space})"
    )
    parser.add_argument("--input-shape", metavar="HxWxC", help="height, width, channels (default: 32x32x3)")
    parser.add_argument("--classes", type=whole, metavar="N", help="number of classes (default: 10)")
    parser.add_argument("--target", metavar="NAME", help="microcontroller that bounds memory, or none")
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
        help="images that scores of weights see, see `engine list data` (default: digits if labels are needed, "
        "else noise)",
    )
    parser.add_argument("--batch", type=whole, metavar="N", help="number of images (default: each score's own)")
    parser.add_argument("--score-seed", type=whole, metavar="N", help="of images and weights (default: 0)")
    parser.add_argument("--device", metavar="NAME", help="cpu or cuda (default: cuda if there is one)")
    parser.add_argument("--threads", type=whole, metavar="N", help="of torch in each process (default: 1)")


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
    from dataclasses import fields

    from engine.config import RunConfig

    names = {item.name for item in fields(RunConfig)}
    return {name: value for name, value in vars(options).items() if name in names and value is not None}
