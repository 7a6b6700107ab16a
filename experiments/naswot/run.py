"""The search tables of NAS-WOT: best of N random networks on both NATS-Bench spaces, and AREA beside REA.

    python experiments/naswot/run.py --data npz:cifar10_small.npz --tss nats_tss.csv --sss nats_sss.csv

Mellor, Turner, Storkey, Crowley: Neural Architecture Search without Training, ICML 2021, arXiv:2006.04647, tables
2a and 2b. Prints the tables of RESULTS.md. Random searches are simulated from scores of a pool computed once; AREA,
REA and random search are runs of the engine under `--out`, which go on where they were.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import (
    METRICS,
    SPACES,
    SSS,
    TSS,
    Pool,
    arguments,
    best_of_random,
    error_of_pool,
    markdown,
    pool_of,
    setup_of,
    spread,
    table_of,
    tell,
)

from engine.comparison import Comparison, Plan, carry_out, compared
from engine.comparison.outcome import Reference, references
from engine.comparison.plan import FILE
from engine.results.statistics import kendall_tau_b
from engine.score_cache import ScoreCache, default_folder, scores_of

# Columns as in METRICS; the size space's table at hand has no test accuracies.
PUBLISHED = {
    TSS: {
        "NAS-WOT N=10": ("89.14 ± 1.14", "92.44 ± 1.13", "68.50 ± 2.03", "68.62 ± 2.04"),
        "NAS-WOT N=100": ("89.55 ± 0.89", "92.81 ± 0.99", "69.35 ± 1.70", "69.48 ± 1.70"),
        "NAS-WOT N=1000": ("89.69 ± 0.73", "92.96 ± 0.81", "69.86 ± 1.21", "69.98 ± 1.22"),
        "best of N=10, trained": ("89.92", "93.06", "69.61", "69.76"),
        "best of N=100, trained": ("91.05", "93.84", "71.45", "71.56"),
        "random architecture": ("83.20 ± 13.28", "86.61 ± 13.46", "60.70 ± 12.55", "60.83 ± 12.58"),
        "area": ("91.20 ± 0.27", "", "71.95 ± 0.99", ""),
        "aging": ("91.19 ± 0.31", "93.92 ± 0.30", "71.81 ± 1.12", "71.84 ± 0.99"),
        "random": ("90.93 ± 0.36", "93.70 ± 0.36", "70.93 ± 1.09", "71.04 ± 1.07"),
        "optimum": ("91.61", "94.37", "73.49", "73.51"),
    },
    SSS: {
        "NAS-WOT N=10": ("88.95 ± 0.88", "64.55 ± 4.57"),
        "NAS-WOT N=100": ("89.68 ± 0.51", "66.71 ± 3.05"),
        "NAS-WOT N=1000": ("90.14 ± 0.30", "68.96 ± 1.54"),
    },
}
# REA, RS and the rest train for this long; the proxy is an accuracy after 12 epochs.
SIMULATED_SECONDS, PROXY = 12_000.0, "table:cifar10_valid_12ep_pct"
TEST = ("cifar10_test_200ep_pct", "cifar100_test_200ep_pct", "cifar10_valid_200ep_pct", "cifar100_valid_200ep_pct")
MOMENTS = (1_500.0, 3_000.0, 6_000.0, SIMULATED_SECONDS)
NAMES = {"area": "AREA", "aging": "REA", "random": "random search"}
MANY_RECORDS = 2_000  # the simulated seconds end a run long before


def options_of() -> argparse.Namespace:
    parser = arguments(__doc__)
    parser.add_argument("--pool", type=int, default=2500, help="random networks of a space with NAS-WOT")
    parser.add_argument("--runs", type=int, default=500, help="random searches for every N")
    parser.add_argument(
        "--redrawn", type=int, default=300, help="of these scored again with other weights and images"
    )
    parser.add_argument("--seeds", type=int, default=50, help="of AREA, REA and random search; 0 for none")
    options = parser.parse_args()
    options.score, options.counts, options.population = "naswot", (10, 100, 1000), 10
    if options.quick:
        options.score, options.counts, options.population = "naswot(batch=16)", (3, 10), 4
        options.pool, options.redrawn, options.runs, options.seeds = 12, 6, 20, 2
    return options


def searched(pool: Pool, score: str, counts: Sequence[int], runs: int) -> list[list[str]]:
    """Best by the score, and best if all N were trained, for every N."""
    columns = METRICS[pool.setup.space.name]
    published = PUBLISHED[pool.setup.space.name]
    lines = []
    for count in (n for n in counts if n <= len(pool.architectures)):
        winners = best_of_random(pool.merits[score], count, runs)
        cells = [spread(pool.known[column][winners]) for column in columns]
        seconds = f"{count * pool.seconds[score].mean():.1f}"
        lines.append(_line(f"NAS-WOT N={count}", seconds, cells, published))
    place = int(np.argmax(pool.merits[score]))
    alone = [f"{pool.known[column][place]:.2f}" for column in columns]
    everything = f"{pool.seconds[score].sum():.1f}"
    lines.append(_line(f"NAS-WOT, all {len(pool.architectures):,}: one outcome", everything, alone, published))
    for count in (n for n in counts if n <= len(pool.architectures)):
        best = [pool.known[column][best_of_random(pool.known[column], count, runs)] for column in columns]
        lines.append(_line(f"best of N={count}, trained", "", [spread(values) for values in best], published))
    return lines


def errors(pool: Pool, score: str, counts: Sequence[int]) -> str:
    """By how much the means would differ in another pool."""
    columns = METRICS[pool.setup.space.name]
    lines = [["standard error of the mean from the pool", *map(_short, columns)]]
    for count in (n for n in counts if n <= len(pool.architectures)):
        found = (error_of_pool(pool.merits[score], pool.known[column], count) for column in columns)
        lines.append([f"NAS-WOT N={count}", *(f"{error:.2f}" for error in found)])
    return markdown(lines)


def redrawn(options: argparse.Namespace, pool: Pool) -> str:
    """What one draw of weights and images for all networks does; published runs draw weights for each network."""
    space, count = pool.setup.space, min(options.redrawn, len(pool.architectures))
    setup = replace(pool.setup, config=replace(pool.setup.config, score_seed=1))
    score = setup.expression(options.score).scores[0]
    genotypes = [space.parse(architecture) for architecture in pool.architectures[:count]]
    values = scores_of(setup, [score], genotypes, workers=options.workers)[score.name].values
    first = pool.merits[options.score][:count]
    second = np.array([-np.inf if value is None else value for value in values])
    scored = first > -np.inf
    mixed = np.where(np.random.default_rng(0).random(count) < 0.5, first, second)
    columns, counts = METRICS[space.name], [n for n in options.counts if 2 * n <= count]
    lines = [["", "tau with the first", *(f"{_short(column)}, N={n}" for column in columns for n in counts)]]
    for name, merits in (("first draw", first), ("second draw", second), ("of either, for each network", mixed)):
        cells = [f"{kendall_tau_b(merits[scored], first[scored]):.3f}"]
        for known in (pool.known[column][:count] for column in columns):
            cells += [spread(known[best_of_random(merits, n, options.runs)]) for n in counts]
        lines.append([name, *cells])
    return f"Scores of {count} of the networks drawn again:\n\n{markdown(lines)}"


def _line(name: str, seconds: str, cells: Sequence[str], published: Mapping[str, Sequence[str]]) -> list[str]:
    theirs = published.get(name, ("",) * len(cells))
    return [name, seconds, *(cell for pair in zip(cells, theirs, strict=True) for cell in pair)]


def unsearched(options: argparse.Namespace, space: str) -> list[list[str]]:
    """What the space gives without a search."""
    columns = METRICS[space]
    plan = Plan(options.out, setup_of(options, space).config, (space,), ("random",), ("params",), columns, 1)
    return [
        _line(reference.name, "", [_shown(reference, column) for column in columns], PUBLISHED[space])
        for reference in references(plan, space)
    ]


def _shown(reference: Reference, column: str) -> str:
    value, deviation = reference.values[column], reference.spread[column]
    return f"{value:.2f}" if np.isnan(deviation) else f"{value:.2f} ± {deviation:.2f}"


def titles(space: str) -> list[str]:
    return ["", "search, s", *(title for column in METRICS[space] for title in (_short(column), "published"))]


def _short(column: str) -> str:
    data, split, *_ = column.split("_")
    return f"{data.replace('cifar', 'C')} {split}"


def trained(options: argparse.Namespace) -> Comparison:
    """AREA, REA and random search with the 12-epoch proxy; runs that are done are not done again."""
    population = options.population
    base = setup_of(
        options,
        TSS,
        strategy="area",
        fitness=PROXY,
        rank=options.score,
        simulated_seconds=SIMULATED_SECONDS / (10 if options.quick else 1),
        budget=MANY_RECORDS,
        open=1,
        population=population,
        tournament=3,
    ).config
    path = options.out / f"naswot-{population}-{options.seeds}"
    plan = Plan(path, base, (TSS,), ("area", "aging", "random"), (PROXY,), TEST, options.seeds)
    if not (path / FILE).exists():
        plan.check()
        plan.create()
    elif Plan.read(path) != plan:
        sys.exit(f"{path} holds other runs; choose another --out")
    started = time.perf_counter()
    carry_out(plan, workers=options.workers, cache=ScoreCache(default_folder()))
    tell(f"{options.seeds} seeds of AREA, REA and random search: {time.perf_counter() - started:.0f} s")
    return compared(plan)


def judged(found: Comparison) -> str:
    """The methods, best first, beside the published numbers."""
    lines = [["", "p", "rank", "records", *titles(TSS)[2:]]]
    for row in found.spaces[0].rows:
        cells = [spread(row.values(column)) for column in METRICS[TSS]]
        name, _, *pairs = _line(row.method.strategy, "", cells, PUBLISHED[TSS])
        records = np.mean([run.evaluations for run in row.runs])
        p = "best" if np.isnan(row.p) else f"{row.p:.3f}" if row.p >= 0.001 else "< 0.001"
        lines.append([NAMES[name], p, f"{row.rank:.2f}", f"{records:.0f}", *pairs])
    return markdown(lines)


def over_time(found: Comparison, population: int) -> str:
    """Accuracy of the best so far, by the proxy, once a population is trained and as the simulated seconds pass."""
    column = TEST[0]
    end = found.plan.base.simulated_seconds or SIMULATED_SECONDS
    moments = np.array([moment for moment in MOMENTS if moment <= end] or [end])
    lines = [["", f"{population} trained", *(f"{moment:,.0f} s" for moment in moments)]]
    for row in found.spaces[0].rows:
        first = np.array([run.curve(column, run.evaluations)[population - 1] for run in row.runs])
        curves = np.array([run.curve_over(column, moments) for run in row.runs])
        lines.append([NAMES[row.method.strategy], *(spread(values) for values in (first, *curves.T))])
    return markdown(lines)


def main() -> None:
    options = options_of()
    given = [space for space in (TSS, SSS) if table_of(options, space) is not None]
    if not given:
        sys.exit("no table given; expected --tss or --sss, or both")
    for space in (TSS, SSS):
        if space not in given:
            print(f"## {space}: no table given, skipped\n")
            continue
        started = time.perf_counter()
        pool = pool_of(options, space, [options.score], options.pool)
        failed = int(np.isnan(pool.values[options.score]).sum())
        print(
            f"## {SPACES[space]}\n\n{options.runs} searches among {len(pool.architectures):,} networks; "
            f"the score of {failed} fails\n"
        )
        found = searched(pool, options.score, options.counts, options.runs)
        print(markdown([titles(space), *found, *unsearched(options, space)]), end="\n\n")
        print(errors(pool, options.score, options.counts), end="\n\n")
        if space == TSS and options.redrawn:
            print(redrawn(options, pool), flush=True)
        print(f"\n{time.perf_counter() - started:.0f} s\n")
    if TSS in given and options.seeds:
        started = time.perf_counter()
        found = trained(options)
        spent = found.plan.base.simulated_seconds
        print(f"## AREA, {spent:,.0f} simulated seconds, {options.seeds} seeds\n\n{judged(found)}\n")
        print(over_time(found, options.population))
        print(f"\n{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
