"""The command line: parse, call, print; nothing else. Heavy modules are imported by the command that needs them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, NoReturn

from spaces.errors import EngineError, UsageError

if TYPE_CHECKING:
    from contextlib import closing

    from engine.progress import Progress
    from engine.setup import Setup


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see `{self.prog} --help`")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    try:
        options = _parser().parse_args(arguments)
        options.command(options)
        sys.stdout.flush()
        return 0
    except EngineError as error:
        message = " ".join(str(error).split())
        print(f"engine: error: {message}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("engine: interrupted; continue with `engine resume DIR`", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has seen enough
        sys.stdout = None
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="engine",
        description="Find good neural architectures without training them.",
        epilog="`engine COMMAND --help` shows the options of a command.",
    )
    parser.add_argument("--version", action="store_true", help="show versions and exit")
    parser.set_defaults(command=_versions_or_help, parser=parser)
    commands = parser.add_subparsers(metavar="COMMAND")

    run = commands.add_parser("run", help="search a space with a training-free score")
    run.set_defaults(command=_run)
    _add_problem(run)
    run.add_argument("--strategy", metavar="NAME", help="how to search (default: aging)")
    run.add_argument("--fitness", metavar="EXPR", help="scores and penalties joined by + (default: trace+gdf)")
    run.add_argument(
        "--objective",
        dest="objectives",
        action="append",
        metavar="EXPR[:min|max]",
        help="pursue these instead of the fitness; repeatable",
    )
    run.add_argument("--budget", type=int, metavar="N", help="number of records (default: 1000)")
    run.add_argument(
        "--open", type=int, metavar="N", help="asks kept open, part of the run's identity (default: 8)"
    )
    run.add_argument("--population", type=int, metavar="N", help="of aging evolution (default: 100)")
    run.add_argument("--tournament", type=int, metavar="N", help="of aging evolution (default: 25)")
    run.add_argument("--seed", type=int, metavar="N", help="of every random choice (default: 0)")
    run.add_argument("--out", metavar="DIR", help="run folder (default: a new one under runs/)")
    run.add_argument("--config", metavar="FILE", help="TOML file with the same fields; flags win")
    _add_running(run)

    resume = commands.add_parser("resume", help="continue a run that was stopped, or give it a larger budget")
    resume.set_defaults(command=_resume)
    resume.add_argument("run", metavar="DIR", help="run folder")
    resume.add_argument("--budget", type=int, metavar="N", help="new total number of records (default: the run's)")
    _add_running(resume)

    front = commands.add_parser("front", help="show the networks of a run that no other beats")
    front.set_defaults(command=_front)
    front.add_argument("run", metavar="DIR", help="run folder")
    front.add_argument(
        "--objective",
        dest="objectives",
        action="append",
        metavar="EXPR[:min|max]",
        help="over these recorded scores (default: the run's scores against its sizes); repeatable",
    )
    front.add_argument(
        "--format", choices=("table", "csv", "json", "png"), help="default: table, or --out's ending"
    )
    front.add_argument("--out", metavar="FILE", help="write to a file instead of standard output")
    front.add_argument("--json", action="store_true", help="same as --format json")

    score = commands.add_parser("score", help="score one architecture")
    score.set_defaults(command=_score)
    score.add_argument(
        "architecture",
        metavar="ARCH",
        help="genotype JSON, benchmark string, index (with --table), DIR:NUMBER or DIR:best of a run",
    )
    _add_problem(score)
    score.add_argument("--fitness", metavar="F[,F...]", help="scores or expressions (default: every figure)")
    score.add_argument("--json", action="store_true", help="print JSON")

    listing = commands.add_parser("list", help="list what is there to choose from")
    listing.set_defaults(command=_list)
    listing.add_argument("what", choices=("spaces", "strategies", "fitness", "targets"), help="what to list")
    listing.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _add_problem(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--space", metavar="NAME", help="which networks (default: munas)")
    parser.add_argument("--input-shape", metavar="HxWxC", help="height, width, channels (default: 32x32x3)")
    parser.add_argument("--classes", type=int, metavar="N", help="number of classes (default: 10)")
    parser.add_argument("--target", metavar="NAME", help="microcontroller that bounds memory, or none")
    parser.add_argument(
        "--bound",
        dest="bounds",
        action="append",
        metavar="'NAME<=N'",
        help="reject networks that break it; repeatable",
    )
    parser.add_argument("--table", metavar="FILE", help="benchmark table (CSV) or official archive folder")


def _add_running(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--workers", type=int, metavar="N", help="processes that evaluate (default: 1)")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--quiet", action="store_true", help="no progress on standard error")


def _versions_or_help(options: argparse.Namespace) -> None:
    if options.version:
        from engine.run_folder import current_versions

        for name, version in current_versions().items():
            print(f"{name} {version}")
    else:
        options.parser.print_help()


def _flags(options: argparse.Namespace) -> dict[str, object]:
    """The flags that were given and are fields of a config."""
    from pathlib import Path

    from engine.config import RunConfig

    names = {item.name for item in fields(RunConfig)}
    given = {name: value for name, value in vars(options).items() if name in names and value is not None}
    if "table" in given:
        given["table"] = str(Path(given["table"]).resolve())
    return {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}


def _run(options: argparse.Namespace) -> None:
    from engine.api import run
    from engine.config import load_config
    from engine.results.summary import announce, summarise
    from engine.run_folder import default_path
    from engine.setup import Setup

    config = load_config(options.config, _flags(options))
    if config.out is None:
        config = replace(config, out=str(default_path(config)))
    setup = Setup(config)
    if not options.quiet:
        print(announce(setup), file=sys.stderr)
    with _progress(setup, options.quiet) as progress:
        result = run(setup, progress)
    print(summarise(result, progress, options.json))


def _resume(options: argparse.Namespace) -> None:
    from pathlib import Path

    from engine.api import resume
    from engine.results.summary import announce, summarise
    from engine.run_folder import RunFolder
    from engine.setup import Setup

    folder = RunFolder.read(Path(options.run))
    config = folder.config if options.budget is None else replace(folder.config, budget=options.budget)
    setup = Setup(config)
    if not options.quiet:
        print(announce(setup), file=sys.stderr)
    setup.refer(folder.reference)
    workers = 1 if options.workers is None else options.workers
    with _progress(setup, options.quiet) as progress:
        result = resume(options.run, options.budget, workers=workers, on_record=progress)
    print(summarise(result, progress, options.json))


def _front(options: argparse.Namespace) -> None:
    from pathlib import Path

    from engine.results.front import draw_front, format_front, front_of, parse_objectives, recorded_names
    from engine.results.output import write_text
    from engine.run_folder import RunFolder
    from engine.setup import Setup

    folder = RunFolder.read(Path(options.run))
    setup = Setup(folder.config)
    setup.refer(folder.reference)
    kind = "json" if options.json else options.format
    if kind is None:
        ending = Path(options.out or "").suffix[1:]
        kind = ending if ending in ("csv", "json", "png") else "table"
    if kind == "png" and not options.out:
        raise UsageError("--format png needs a file to write to; add --out FILE.png")
    objectives = parse_objectives(setup, options.objectives) if options.objectives else None
    store = folder.records()
    found = front_of(store, setup, objectives)
    if kind == "png":
        draw_front(found, store, Path(options.out))
    else:
        text = format_front(found, recorded_names(setup), kind, setup.space.describe)
        write_text(text, options.out)
    if options.out:
        print(f"front of {len(found.records)} among {found.considered:,} networks written to {options.out}")


def _score(options: argparse.Namespace) -> None:
    from engine.config import load_config
    from engine.results.scores import format_scores, score_architecture

    flags = _flags(options) | {"fitness": "trace"}
    fitness = options.fitness
    given = {name for name in ("space", "input_shape", "classes", "target", "table") if name in flags}
    config = load_config(None, {"target": "none", **flags})
    print(format_scores(score_architecture(options.architecture, config, given, fitness), options.json))


def _list(options: argparse.Namespace) -> None:
    from engine.results.listing import listing

    print(listing(options.what, options.json))


def _progress(setup: Setup, quiet: bool) -> closing[Progress]:
    from contextlib import closing

    from engine.progress import Progress

    return closing(Progress(setup, setup.config.budget, quiet))


def script() -> None:
    """Entry point of the `engine` console script."""
    sys.exit(main())


if __name__ == "__main__":
    script()
