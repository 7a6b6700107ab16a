"""`engine correlate`: how well scores rank the architectures of a benchmark."""

from __future__ import annotations

import argparse

from engine.commands.options import add_format, add_images, add_problem, given, whole
from engine.results.tabular import FORMATS, format_of
from spaces.errors import UsageError

__all__ = ["add", "call"]


def add(parser: argparse.ArgumentParser) -> None:
    """Its options."""
    add_problem(parser, "nats-tss")
    parser.add_argument(
        "--fitness",
        dest="scores",
        metavar="F[,F...]",
        default="trace",
        help="scores or expressions, each with an optional :min or :max (default: trace); "
        "params, macs, n_relu and aleph are always beside, and more of munas",
    )
    parser.add_argument("--metric", metavar="COLUMN[:min|max]", help="column of the table to rank by")
    parser.add_argument(
        "--sample", type=_sample, default=1000, metavar="N|all", help="number of random networks (default: 1000)"
    )
    parser.add_argument("--seed", type=whole, metavar="N", help="of the sample and the resamples (default: 0)")
    parser.add_argument(
        "--k", default="10%", metavar="N|P%", help="networks at the top, for overlap and nDCG (default: 10%%)"
    )
    parser.add_argument("--level", type=_share, default=0.95, metavar="P", help="of the intervals (default: 0.95)")
    parser.add_argument(
        "--resamples",
        type=whole,
        default=1000,
        metavar="N",
        help="of the bootstrap, 0 for no intervals (default: 1000)",
    )
    parser.add_argument(
        "--by",
        metavar="FIGURE=N,N[,N...]",
        help="tau also within bands of a figure, e.g. flash_bytes=2048,8192,32768",
    )
    parser.add_argument(
        "--regret",
        metavar="FIGURE=N[,N...]",
        help="what is lost by training only the best scored within each limit, e.g. flash_bytes=8192,32768",
    )
    parser.add_argument(
        "--train-top",
        type=_counts,
        metavar="N[,N...]",
        help="how many of them are trained, for --regret (default: 1,3)",
    )
    add_images(parser)
    parser.add_argument("--workers", type=whole, metavar="N", help="processes that evaluate (default: 1)")
    add_format(parser, FORMATS, "--out")
    parser.add_argument("--out", dest="file", metavar="FILE", help="write to a file instead of standard output")
    parser.add_argument("--plot", metavar="FILE", help="draw a scatter plot of every score, PNG or SVG")
    parser.add_argument("--quiet", action="store_true", help="no progress on standard error")


def call(options: argparse.Namespace) -> str:
    """The correlations as text, or where they were written to."""
    from contextlib import closing
    from pathlib import Path

    from engine.config import load_config
    from engine.reading import check_benchmark
    from engine.results.correlate import Asked, correlate
    from engine.results.correlation_text import format_correlation
    from engine.results.limits import Limits
    from engine.results.output import check_places, tell, write_text
    from engine.results.ticker import Ticker
    from engine.score_cache import ScoreCache, default_folder
    from engine.setup import Setup
    from fitness.expression import split_list

    check_benchmark(options.space or "nats-tss", options.table or ())
    if options.metric is None:
        raise UsageError("nothing to correlate with; name a column of the table with --metric")
    if options.train_top is not None and options.regret is None:
        raise UsageError("--train-top is for --regret, which is not given; give both")
    kind = format_of(options.format, options.file)
    asked = Asked(
        options.metric,
        options.sample,
        options.k,
        options.level,
        options.resamples,
        None if options.by is None else Limits.read("--by", options.by, least=2),
        None if options.regret is None else Limits.read("--regret", options.regret, least=1),
        options.train_top or (1, 3),
    )
    if options.plot:
        from engine.results.pictures import check_ending

        check_ending(Path(options.plot))
    check_places(options.plot, options.file)
    scores = tuple(dict.fromkeys(split_list(options.scores)))
    config = load_config(None, {"space": "nats-tss", "target": "none", **given(options), "objectives": scores})
    cache = ScoreCache(default_folder())
    cache.check()
    try:
        with closing(Ticker("scores", options.quiet)) as ticker:
            found = correlate(Setup(config, cache=cache), asked, ticker)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("; what was scored is kept, run the same command again to go on") from None
    if options.plot:
        from engine.results.correlation_plots import draw_correlation

        draw_correlation(found, Path(options.plot))
        if not options.quiet:
            tell(f"plot of {len(found.rows)} scores written to {options.plot}")
    text = format_correlation(found, kind)
    if not options.file:
        return text
    write_text(text, options.file)
    return f"correlations of {len(found.rows)} scores on {len(found.truth):,} networks written to {options.file}"


def _sample(text: str) -> int | None:
    return None if text == "all" else whole(text)


def _counts(text: str) -> tuple[int, ...]:
    return tuple(whole(part) for part in text.split(","))


def _share(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text[:40]!r}; expected a number, e.g. 0.95") from None
