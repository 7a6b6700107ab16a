"""What the experiments share: arguments, cached scores of random networks, simulated random searches, tables.

Scores are computed once and kept in the user's score cache (`engine.score_cache`), so a second experiment that asks
for the same ones starts at once.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf, isnan, nan
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.comparison import Plan
from engine.comparison.outcome import references
from engine.config import RunConfig
from engine.records import Candidate
from engine.results.statistics import mean_std
from engine.score_cache import ScoreCache, default_folder, scores_of
from engine.setup import Setup
from engine.strategies.base import Exhausted, Strategy

Floats = NDArray[np.float64]

TSS, SSS = "nats-tss", "nats-sss"
SPACES = {TSS: "topology space", SSS: "size space"}
# What a search on a space is judged by; the size space's table at hand has validation accuracies only.
METRICS = {
    TSS: (
        "cifar10_valid_200ep_pct",
        "cifar10_test_200ep_pct",
        "cifar100_valid_200ep_pct",
        "cifar100_test_200ep_pct",
    ),
    SSS: ("cifar10_valid_90ep_pct", "cifar100_valid_90ep_pct"),
}
# Published beside: seconds of the search on the authors' machine, accuracies on CIFAR-10 and CIFAR-100 in percent,
# of tests on the topology space, of validation on the size space. Mellor et al. 2021, tables 2 and 2b (500 runs,
# GTX 1080 Ti; REA and random search train for 12,000 simulated seconds); Chen et al. 2021; Lee, Ham 2024.
ANCHORS = {
    TSS: (
        ("REA", "12,000", "93.92 ± 0.30", "71.84 ± 0.99"),
        ("random search, trained", "12,000", "93.70 ± 0.36", "71.04 ± 1.07"),
        ("NAS-WOT N=100", "30", "92.81 ± 0.99", "69.48 ± 1.70"),
        ("NAS-WOT N=1000", "306", "92.96 ± 0.81", "69.98 ± 1.22"),
        ("TE-NAS", "1,558", "93.9 ± 0.47", "71.24 ± 0.56"),
        ("AZ-NAS N=3000", "128", "93.53 ± 0.15", "70.75 ± 0.48"),
    ),
    SSS: (
        ("REA", "12,000", "90.37 ± 0.20", "70.23 ± 0.50"),
        ("random search, trained", "12,000", "90.10 ± 0.26", "69.57 ± 0.57"),
        ("NAS-WOT N=100", "32", "89.68 ± 0.51", "66.71 ± 3.05"),
        ("NAS-WOT N=1000", "248", "90.14 ± 0.30", "68.96 ± 1.54"),
    ),
}


def arguments(description: str | None) -> argparse.ArgumentParser:
    """The options of every experiment."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="digits", help="images, as for `engine score` (published: CIFAR-10)")
    parser.add_argument("--tss", type=Path, help="table of the topology space (CSV, or an imported one)")
    parser.add_argument("--sss", type=Path, help="table of the size space (CSV, or an imported one)")
    parser.add_argument("--workers", type=int, default=2, help="processes that score and search")
    parser.add_argument(
        "--quick", action="store_true", help="few networks and runs: shows that it works, in seconds"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/experiments"), help="where runs and plots are kept")
    return parser


def table_of(options: argparse.Namespace, space: str) -> Path | None:
    """The table of a space, if one was given; munas has one in the package."""
    path: Path | None = {TSS: options.tss, SSS: options.sss}.get(space)
    return path


def setup_of(options: argparse.Namespace, space: str, **fields: object) -> Setup:
    """Names, images and tables as the engine takes them, with the user's score cache."""
    path = table_of(options, space)
    table = () if path is None else (str(path.resolve()),)
    source, colon, where = str(options.data).partition(":")
    data = f"{source}:{Path(where).expanduser().resolve()}" if colon else source
    config = RunConfig(space=space, target="none", data=data, table=table, workers=options.workers, **fields)  # type: ignore[arg-type]
    return Setup(config, cache=ScoreCache(default_folder()))


@dataclass(frozen=True)
class Pool:
    """Random networks of a space, without repeats, with scores and what a table knows of them.

    Attributes:
        setup: What they were scored with.
        architectures: In the benchmark's notation, in the order drawn.
        values: By score, as recorded; nan where it failed.
        merits: By score, larger is better; -inf where it failed.
        seconds: By score, of each network alone.
        known: By column of the table.
    """

    setup: Setup
    architectures: list[str]
    values: Mapping[str, Floats]
    merits: Mapping[str, Floats]
    seconds: Mapping[str, Floats]
    known: Mapping[str, Floats]


def pool_of(options: argparse.Namespace, space: str, scores: Sequence[str], count: int) -> Pool:
    """`count` random networks of seed 0, all of the space if it has no more; scores come from the cache."""
    setup = setup_of(options, space, strategy="random")
    genotypes = [candidate.genotype for candidate in _asked(setup.strategy(), count)]
    values, merits, seconds = {}, {}, {}
    for name in scores:
        score = setup.expression(name).scores[0]
        started = time.perf_counter()
        column = scores_of(setup, [score], genotypes, workers=options.workers)[score.name]
        tell(f"{name} of {len(genotypes):,} networks of {space}: {time.perf_counter() - started:.0f} s")
        values[name] = np.array([nan if value is None else value for value in column.values])
        merits[name] = np.where(
            np.isnan(values[name]), -inf, values[name] if score.direction == "max" else -values[name]
        )
        seconds[name] = np.array(column.seconds)
    architectures = [setup.space.describe(genotype) for genotype in genotypes]
    table = setup.table
    rows = [table.index_of(architecture) for architecture in architectures]
    known = {column: np.array(table.column(column))[rows] for column in METRICS[space]}
    return Pool(setup, architectures, values, merits, seconds, known)


def _asked(strategy: Strategy, count: int) -> Iterator[Candidate]:
    for _ in range(count):
        try:
            yield strategy.ask()
        except Exhausted:
            return


def best_of_random(merits: Floats, count: int, runs: int, seed: int = 0) -> NDArray[np.int64]:
    """(runs,) places of the winners of random searches: of `count` networks drawn without repeats the best.

    Ties go to whichever was drawn first, as in a search; nothing else than the order is random.
    """
    rng = np.random.default_rng(seed)
    chosen = np.empty(runs, dtype=np.int64)
    for run in range(runs):
        drawn = rng.permutation(len(merits))[:count]
        chosen[run] = drawn[np.argmax(merits[drawn])]
    return chosen


def reference_rows(options: argparse.Namespace, space: str, columns: Sequence[str]) -> list[tuple[str, list[str]]]:
    """What a space gives without a search, by column: its best, a random network, the largest."""
    config = setup_of(options, space).config
    plan = Plan(options.out, config, (space,), ("random",), ("params",), tuple(columns), 1)
    return [
        (found.name, [with_deviation(found.values[column], found.spread[column]) for column in columns])
        for found in references(plan, space)
    ]


def error_of_pool(merits: Floats, known: Floats, count: int, resamples: int = 200, seed: int = 0) -> float:
    """Standard error, from the choice of the pool, of what the best of `count` networks has on average.

    Searches among one pool share their winners, so their own deviation does not show it. Bootstrap over the pool's
    networks; the mean over all searches of one is exact: the k-th best wins where it is drawn and none before it.
    """
    size = len(merits)
    rest = np.arange(size, 1, -1)  # networks left when those before the k-th are not drawn
    wins = count / size * np.cumprod(np.concatenate([[1.0], np.maximum(rest - count, 0) / (rest - 1)]))
    rng = np.random.default_rng(seed)
    means = []
    for _ in range(resamples):
        again = rng.integers(size, size=size)
        means.append(known[again[np.argsort(-merits[again], kind="stable")]] @ wins)
    return float(np.std(means, ddof=1))


def spread(values: Floats, digits: int = 2) -> str:
    """Mean ± standard deviation, if there is one."""
    mean, std = mean_std(values)
    return with_deviation(mean, std, digits)


def with_deviation(mean: float, deviation: float, digits: int = 2) -> str:
    """As text; a deviation that is not known is left out."""
    return f"{mean:.{digits}f}" + ("" if isnan(deviation) else f" ± {deviation:.{digits}f}")


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table, titles first."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def tell(text: str) -> None:
    """Progress, on standard error."""
    print(text, file=sys.stderr, flush=True)
