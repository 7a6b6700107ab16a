"""`engine predict`: what networks are worth, learnt from those whose worth is known."""

from __future__ import annotations

import argparse

from engine.commands.options import add_format, add_problem, given, whole
from spaces.errors import UsageError

__all__ = ["add", "call"]

_FORMATS = ("table", "csv", "json")


def add(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument(
        "asked",
        nargs="*",
        metavar="RUN|ARCH",
        help="a run folder whose trained candidates are known, then architectures or numbers of its records; "
        "without a run, architectures as `engine score` takes them (default: all there are)",
    )
    parser.set_defaults(gathered="asked")
    add_problem(parser)
    parser.add_argument(
        "--metric",
        metavar="COLUMN[:min|max]",
        help="what is learnt: a column of the table, or of a run a score of its trainings (default: "
        "validation_accuracy, of series validation_mae: what is chosen by it is judged by test scores)",
    )
    parser.add_argument(
        "--known", type=whole, metavar="N", help="learn from N random networks of the table (default: all)"
    )
    parser.add_argument("--predictor", metavar="NAME", help="options in parentheses (default: blend)")
    parser.add_argument("--list", metavar="FILE", help="predict the architectures in a file, one a line")
    parser.add_argument("--sample", type=whole, metavar="N", help="predict N random networks")
    parser.add_argument("--seed", type=whole, metavar="N", help="of everything random (default: 0)")
    parser.add_argument("--top", type=whole, metavar="N", help="show the N best (default: of a table 20, else all)")
    add_format(parser, _FORMATS, "--out")
    parser.add_argument("--out", dest="file", metavar="FILE", help="write to a file instead of standard output")


def call(options: argparse.Namespace) -> str:
    """The predictions as text, or where they were written to."""
    import os
    from dataclasses import replace

    from engine.config import load_config
    from engine.prediction import DEFAULT
    from engine.prediction.predicting import predict_for
    from engine.prediction.text import format_predicted
    from engine.results.output import check_places, write_text
    from engine.results.tabular import format_of
    from engine.run_folder import RunFolder
    from engine.setup import Setup

    kind = format_of(options.format, options.file, {".txt": "table", ".csv": "csv", ".json": "json"})
    check_places(options.file)
    if options.top is not None and options.top < 1:
        raise UsageError(f"--top is {options.top}; expected how many to show, 1 or more")
    flags = given(options)
    predictor = str(flags.pop("predictor", DEFAULT))
    run = options.asked[0] if options.asked and os.path.isdir(options.asked[0]) else None
    architectures = [*options.asked[run is not None :], *_listed(options.list)]
    if run is None:
        if options.asked and options.metric is None:
            raise UsageError(
                f"there is no run folder {options.asked[0][:80]!r}; expected one with trained candidates, or "
                "--metric COLUMN of a table to learn from"
            )
        config = load_config(None, {"target": "none", **flags})
    else:
        from pathlib import Path

        if wrong := flags.keys() - {"metric", "seed"}:
            flag = min(wrong).replace("_", "-")
            raise UsageError(
                f"--{flag} is of a table, and {run!r} is a run, which knows its space; give one of them"
            )
        config = RunFolder.read(Path(run)).config
        config = replace(config, known=None, known_run=run, known_digest=None, metric=options.metric)
        config = replace(config, seed=options.seed or 0)
    found = predict_for(Setup(config), predictor, architectures, options.sample)
    text = format_predicted(found, kind, options.top)
    if not options.file:
        return text
    write_text(text, options.file)
    return f"predictions of {len(found.networks):,} networks written to {options.file}"


def _listed(path: str | None) -> list[str]:
    """The lines of a file.

    Raises:
        UsageError: It cannot be read, or has none.
    """
    if path is None:
        return []
    from pathlib import Path

    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read the list {path!r}: {error}") from error
    found = [line.strip() for line in lines if line.strip()]
    if not found:
        raise UsageError(f"the list {path!r} is empty; expected an architecture a line")
    return found
