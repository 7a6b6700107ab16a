"""The four experiments of Fernandes 2022 on NATS-Bench: the trace against NAS-WOT, and with size penalties.

    python experiments/fernandes2022/run.py --data npz:cifar10_small.npz --tss nats_tss.csv --sss nats_sss.csv

Fernandes: Efficient Trainingless Metric for Performance Evaluation in the Context of Neural Architecture Search,
UFSC 2022. Prints the tables of RESULTS.md; plots go to `--out`. Scores of weights come from the user's score cache
where it has them.
"""

from __future__ import annotations

import argparse
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import costs
import plots
import searches
from common import (
    METRICS,
    SPACES,
    SSS,
    TSS,
    Floats,
    Pool,
    arguments,
    best_of_random,
    markdown,
    pool_of,
    table_of,
    tell,
)
from correlations import SCORES, Whole, among_themselves, levels, whole_of, with_accuracy
from searches import Method, of_pool

COUNTS, QUICK_COUNTS = (10, 100, 1000), (1, 5)
PENALISED_COUNT = 100
LIMIT = 200_000  # bytes: the 200 kB that the dissertation's penalties target
TE_NAS = ("te_nas_ntk", "te_nas_regions")


def options_of() -> argparse.Namespace:
    parser = arguments(__doc__)
    parser.add_argument("--pool", type=int, default=2500, help="random networks of a space with NAS-WOT")
    parser.add_argument(
        "--epe",
        type=int,
        nargs=2,
        default=(1000, 1000),
        metavar=("TSS", "SSS"),
        help="of these with EPE-NAS, on either space; 0 for none",
    )
    parser.add_argument(
        "--te-nas", type=int, default=150, help="of the topology space with TE-NAS's scores; 0 for none"
    )
    parser.add_argument("--sample", type=int, default=1000, help="networks whose scores are correlated")
    parser.add_argument("--timed", type=int, default=10, help="networks that seconds are measured on")
    parser.add_argument("--runs", type=int, default=500, help="searches of the second block")
    parser.add_argument("--resamples", type=int, default=500, help="of the bootstrap intervals")
    options = parser.parse_args()
    if options.quick:
        options.pool = options.sample = 10
        options.epe, options.te_nas, options.timed, options.runs, options.resamples = (2, 2), 2, 1, 20, 50
    options.sample = min(options.sample, options.pool)
    return options


def te_nas(options: argparse.Namespace, seconds: float) -> Method | None:
    """TE-NAS's rank sum of its two scores, on a few networks."""
    count = options.te_nas
    if not count:
        return None
    pool = pool_of(options, TSS, TE_NAS, count)
    winners = searches.rank_sum_winners([pool.merits[name] for name in TE_NAS])
    return Method("TE-NAS's rank sum", winners, pool.known, np.full(count, np.nan), count, seconds)


def four_experiments(options: argparse.Namespace, space: str) -> tuple[Pool, list[str]]:
    """Prints the tables of one space; its row of experiment 3 is for a table of both."""
    started = time.perf_counter()
    pool = pool_of(options, space, SCORES, options.pool)
    whole = whole_of(pool.setup)
    print(f"\n## {SPACES[space].capitalize()}\n\n### 1. Kendall's tau with accuracy\n", flush=True)
    print(with_accuracy(pool, whole, options.sample, options.resamples))
    print(f"\n{options.sample:,} networks, {100 * 0.95:.0f} % bootstrap intervals. {levels(whole)}\n", flush=True)
    taken = costs.costs(options, space, options.timed)
    print(f"### 2. Random search\n\n{costs.speed_up(taken)}\n", flush=True)
    counts = QUICK_COUNTS if options.quick else COUNTS
    print(
        searches.searched(space, methods_of(options, pool, taken, whole), counts, options.runs, whole), flush=True
    )
    print(f"\n{searches.published(space)}\n\n### 4. Penalised search, N = {min(PENALISED_COUNT, options.pool)}\n")
    print(penalised(options, pool, taken), flush=True)
    plots.scatter(
        pool, options.sample, [m for m in METRICS[space] if "valid" in m], options.out / f"scatter-{space}.png"
    )
    plots.penalised(pool, options.sample, options.out / f"penalised-{space}.png")
    tell(f"{space}: {time.perf_counter() - started:.0f} s")
    return pool, among_themselves(pool, whole, options.sample, options.resamples)


def methods_of(options: argparse.Namespace, pool: Pool, taken: dict[str, Floats], whole: Whole) -> list[Method]:
    """The methods of experiment 2 with their seconds a network, of our own programs."""
    space = pool.setup.space.name
    walk = float(taken[costs.TRACE].mean())
    counted = whole.figures["n_relu"]
    everywhere = partial(best_of_random, counted)
    methods = [
        of_pool(pool, "trace", pool.merits["trace"], walk),
        Method(
            "trace, drawn from the whole space",
            everywhere,
            whole.known,
            whole.figures["params"],
            len(counted),
            walk,
        ),
    ]
    methods.append(of_pool(pool, "NAS-WOT", pool.merits["naswot"], float(taken[costs.OURS].mean())))
    if count := options.epe[0 if space == TSS else 1]:
        scored = pool_of(options, space, ["epe_nas"], count)
        methods.append(of_pool(scored, "EPE-NAS", scored.merits["epe_nas"], float(taken["EPE-NAS"].mean())))
    if space == TSS:
        both = sum(float(taken[name].mean()) for name in ("TE-NAS's NTK", "TE-NAS's regions"))
        methods += [method for method in [te_nas(options, both)] if method]
    methods += [of_pool(pool, name, pool.merits[name], walk) for name in ("params", "macs", "log_capacity")]
    perfect = METRICS[space][0]
    return [*methods, of_pool(pool, f"{perfect} itself", pool.known[perfect])]


def penalised(options: argparse.Namespace, pool: Pool, taken: dict[str, Floats]) -> str:
    """Experiment 4 with the plain alternatives."""
    methods = [of_pool(pool, text, searches.merits_of(pool, text)) for text in searches.PENALISED]
    methods.append(of_pool(pool, "NAS-WOT", pool.merits["naswot"], float(taken[costs.OURS].mean())))
    walk = float(taken[costs.PENALISED].mean())
    for figure in ("trace", "params", "log_capacity"):
        merits = searches.limited(pool, LIMIT, figure)
        methods.append(of_pool(pool, f"most {figure} within 200 kB", merits, walk))
    flat = np.zeros(len(pool.architectures))
    methods.append(of_pool(pool, "the first one drawn", flat))
    count = min(PENALISED_COUNT, len(flat))
    seconds = costs.search_seconds(pool.setup.space.name, searches.PENALISED, count, 2 if options.quick else 10)
    return searches.penalised(pool.setup.space.name, methods, count, options.runs, seconds)


def main() -> None:
    options = options_of()
    options.out = options.out / "fernandes2022"
    options.out.mkdir(parents=True, exist_ok=True)
    given = [space for space in (TSS, SSS) if table_of(options, space) is not None]
    for space in (TSS, SSS):
        if space not in given:
            tell(f"no table of {space}: skipped; give one with --{space.removeprefix('nats-')}")
    if not given:
        sys.exit(1)
    found = [four_experiments(options, space) for space in given]
    print("\n## 3. Kendall's tau among themselves\n")
    title = ["", "trace, size", "NAS-WOT, size", "trace, NAS-WOT", "trace, size; all networks"]
    print(markdown([title, *(row for _, row in found)]))
    plots.histograms([pool for pool, _ in found], options.sample, options.out / "histograms.png")
    plots.penalties(options.out / "penalties.png")


if __name__ == "__main__":
    main()
