"""`engine compare`: strategies and fitness side by side, judged by a benchmark."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from engine.commands.options import (
    add_bounds,
    add_format,
    add_images,
    add_problem,
    add_simulation,
    add_workers,
    given,
    whole,
)
from engine.results.tabular import FORMATS, format_of
from spaces.errors import UsageError

if TYPE_CHECKING:
    from engine.comparison import Comparison, Plan

__all__ = ["add", "call", "carry_on", "text_of"]


def add(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    parser.add_argument("comparison", metavar="DIR", nargs="?", help="show what a comparison in a folder found")
    add_problem(parser, "nats-tss")
    add_bounds(parser)
    parser.add_argument("--strategies", metavar="S[,S...]", help="how to search (default: random,aging,tpe)")
    parser.add_argument(
        "--fitness", dest="scores", metavar="F[,F...]", help="what each of them pursues (default: trace)"
    )
    parser.add_argument(
        "--metric", metavar="COLUMN[,COLUMN...]", help="columns of the table that judge what was chosen"
    )
    parser.add_argument("--runs", type=whole, metavar="N", help="seeds of every method (default: 10)")
    parser.add_argument("--budget", type=whole, metavar="N", help="records of every run (default: 100)")
    add_simulation(parser)
    parser.add_argument("--open", type=whole, metavar="N", help="asks kept open in a run (default: 1)")
    parser.add_argument("--population", type=whole, metavar="N", help="of the strategies that have one")
    parser.add_argument("--tournament", type=whole, metavar="N", help="of the strategies that have one")
    parser.add_argument("--rank", metavar="EXPR", help="scores by which area picks its start (default: naswot)")
    parser.add_argument("--seed", type=whole, metavar="N", help="of the first run (default: 0)")
    parser.add_argument("--out", metavar="DIR", help="folder of the comparison (default: a new one under runs/)")
    add_images(parser)
    add_workers(parser)
    add_format(parser, FORMATS, "--file")
    parser.add_argument("--file", metavar="FILE", help="write the comparison to a file")
    parser.add_argument("--plot", metavar="FILE", help="draw curves of the best found so far, PNG or SVG")
    parser.add_argument("--quiet", action="store_true", help="no progress on standard error")


def call(options: argparse.Namespace) -> str:
    """Make the runs and show what they found."""
    from engine.comparison import Plan
    from engine.results.output import check_places

    check_places(options.plot, options.file)
    format_of(options.format, options.file)  # refused before an hour's work
    if options.plot:
        from engine.results.pictures import check_ending

        check_ending(Path(options.plot))
    if options.comparison is not None:
        _refuse_more(options)
        return _show(Plan.read(Path(options.comparison)), options)
    plan = _plan(options)
    plan.check()
    plan.create()
    carry_on(plan, options.workers, options.cluster, options.quiet)
    return _show(plan, options)


_SHOWING = ("comparison", "format", "file", "plot", "quiet", "call", "parser")


def _refuse_more(options: argparse.Namespace) -> None:
    """What was made is shown as it is: options of runs would do nothing."""
    for name, value in vars(options).items():
        if name not in _SHOWING and value is not None and value is not False:
            flag = "--" + {"scores": "fitness", "bounds": "bound"}.get(name, name).replace("_", "-")
            raise UsageError(f"{flag} changes nothing about the comparison in {options.comparison}; leave it out")


def _plan(options: argparse.Namespace) -> Plan:
    from dataclasses import replace

    from engine.comparison import Plan
    from engine.config import load_config
    from engine.reading import check_benchmark
    from fitness.expression import split_list

    flags = {"budget": 100, "open": 1, "target": "none", **given(options)}
    spaces = str(flags.pop("space", "nats-tss"))
    for space in split_list(spaces):
        check_benchmark(space, options.table or ())
    if options.metric is None:
        raise UsageError("nothing to judge by; name a column of the table with --metric")
    base = replace(load_config(None, flags), workers=1, cluster=None, out=None)  # these are not the runs' own

    def listed(text: str | None, default: str) -> tuple[str, ...]:
        return tuple(split_list(default if text is None else text))

    return Plan(
        Path(options.out) if options.out else _default_path(),
        base,
        tuple(split_list(spaces)),
        listed(options.strategies, "random,aging,tpe"),
        listed(options.scores, "trace"),
        tuple(split_list(options.metric)),
        10 if options.runs is None else options.runs,
    )


def _default_path(parent: Path = Path("runs")) -> Path:
    number = 1
    while (path := parent / f"compare-{number}").exists():
        number += 1
    return path


def carry_on(plan: Plan, workers: int | None, cluster: str | None, quiet: bool) -> None:
    """Make the runs that are not finished.

    Raises:
        KeyboardInterrupt: It says how to continue.
    """
    import os
    import shlex
    from contextlib import closing

    from engine.comparison import carry_out
    from engine.config import RunConfig
    from engine.results.output import tell
    from engine.results.tabular import counted
    from engine.results.ticker import Ticker
    from engine.score_cache import ScoreCache, default_folder

    count = RunConfig(workers=1 if workers is None else workers, cluster=cluster).workers  # checks them
    if cluster is not None:
        count = os.cpu_count() or 1  # processes here that ask; what they ask for is evaluated there
    cache = ScoreCache(default_folder())
    cache.check()
    if not quiet:
        runs = counted(plan.runs * len(plan.methods), "run")
        tell(f"{runs} of {counted(len(plan.methods), 'method')} in {plan.path}")
    try:
        with closing(Ticker("runs", quiet)) as ticker:
            carry_out(plan, workers=count, cluster=cluster, cache=cache, on_finished=ticker)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"; continue with `engine resume {shlex.quote(str(plan.path))}`") from None


def text_of(found: Comparison, kind: str) -> str:
    """What the finished runs found, and where they lie."""
    import shlex

    from engine.comparison.table import format_comparison

    text, path = format_comparison(found, kind), found.plan.path
    if kind != "table":
        return text
    return f"{text}\n\ncomparison in {path}; show it with: engine compare {shlex.quote(str(path))}"


def _show(plan: Plan, options: argparse.Namespace) -> str:
    """As text, with a picture and to a file if asked for."""
    from engine.comparison import compared
    from engine.results.output import tell, write_text
    from engine.results.tabular import counted

    found = compared(plan)
    if options.plot:
        from engine.comparison.plot import draw_comparison

        draw_comparison(found, Path(options.plot))
        if not options.quiet:
            tell(f"curves written to {options.plot}")
    text = text_of(found, format_of(options.format, options.file))
    if not options.file:
        return text
    write_text(text, options.file)
    return f"comparison of {counted(len(plan.methods), 'method')} written to {options.file}"
