"""The search table of EPE-NAS beside NAS-WOT on the same networks, and what both cost.

    python experiments/epe_nas/run.py --data npz:cifar10_small.npz --tss nats_tss.csv --sss nats_sss.csv

Lopes, Alirezazadeh, Alexandre: EPE-NAS: Efficient Performance Estimation Without Training for Neural Architecture
Search, ICANN 2021, arXiv:2102.08099. Prints the tables of RESULTS.md. Searches are simulated from scores of a pool
computed once; seconds are measured fresh, the scores in turn on the same networks.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from functools import partial
from pathlib import Path
from random import Random

import numpy as np
import torch
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "speed"))

from common import (
    METRICS,
    SPACES,
    SSS,
    TSS,
    Floats,
    Pool,
    arguments,
    best_of_random,
    error_of_pool,
    markdown,
    pool_of,
    spread,
    table_of,
)
from scores import tasks_of
from shipped.network import AuthorsNetwork
from torch import Tensor, nn

from engine.results.statistics import kendall_tau_b
from spaces.nats import NatsTss

EPE, V2, V1 = "epe_nas", "naswot", "jacob_cov(batch=256)"
NAMES = {EPE: "EPE-NAS", V2: "NAS-WOT", V1: "NAS-WOT, first version", "params": "params", "macs": "macs"}
# Columns as in METRICS. EPE-NAS: the authors' readme, 3 runs; its two CIFAR-10 columns are of separate searches.
# NAS-WOT: Mellor et al., ICML 2021, table 2a, and the readme of the first version, 500 runs.
PUBLISHED = {
    (EPE, 10): ("89.90 ± 0.21", "92.63 ± 0.32", "69.78 ± 2.44", "70.10 ± 1.71"),
    (EPE, 100): ("88.74 ± 3.16", "91.59 ± 0.87", "67.28 ± 3.68", "67.19 ± 3.82"),
    (EPE, 500): ("88.17 ± 1.35", "92.27 ± 1.75", "69.23 ± 0.62", "69.33 ± 0.66"),
    (V2, 10): ("89.14 ± 1.14", "92.44 ± 1.13", "68.50 ± 2.03", "68.62 ± 2.04"),
    (V2, 100): ("89.55 ± 0.89", "92.81 ± 0.99", "69.35 ± 1.70", "69.48 ± 1.70"),
    (V1, 10): ("88.61", "91.58", "67.03", "67.15"),
    (V1, 100): ("88.43", "91.24", "67.04", "67.12"),
}
FEW = 3  # runs behind a published number


def options_of() -> argparse.Namespace:
    parser = arguments(__doc__)
    parser.add_argument("--pool", type=int, default=1000, help="random networks of a space with all scores")
    parser.add_argument("--runs", type=int, default=500, help="random searches for every N")
    parser.add_argument("--timed", type=int, default=10, help="networks that seconds are measured on; 0 for none")
    parser.add_argument(
        "--beside", nargs="*", choices=tuple(NAMES)[1:], default=tuple(NAMES)[1:], help="other scores"
    )
    options = parser.parse_args()
    options.scores, options.counts = (EPE, *options.beside), (10, 100, 500)
    if options.quick:
        options.scores, options.counts = (EPE, V2, "params", "macs"), (3, 6)
        options.pool, options.runs, options.timed = 6, 30, 1
    return options


def searched(pool: Pool, scores: tuple[str, ...], counts: tuple[int, ...], runs: int) -> str:
    """What keeping the best of N finds; the last N is the whole pool, which has one outcome."""
    space = pool.setup.space.name
    columns, size = METRICS[space], len(pool.architectures)
    lines = [["", "N", *(title for column in columns for title in (_short(column), "published"))]]
    for score in scores:
        for count in [n for n in counts if n < size]:
            cells = [spread(pool.known[column][winners(pool, score, count, runs)]) for column in columns]
            theirs = PUBLISHED.get((score, count), ("",) * len(cells)) if space == TSS else ("",) * len(cells)
            pairs = (cell for pair in zip(cells, theirs, strict=True) for cell in pair)
            lines.append([NAMES[score] + " *" * (2 * count > size), str(count), *pairs])
        place = int(np.argmax(pool.merits[score]))
        alone = (cell for column in columns for cell in (f"{pool.known[column][place]:.2f}", ""))
        lines.append([NAMES[score], f"{size}, the pool", *alone])
    return markdown(lines)


def errors(pool: Pool, scores: tuple[str, ...], counts: tuple[int, ...]) -> str:
    """By how much the means would differ in another pool."""
    columns = METRICS[pool.setup.space.name]
    lines = [["standard error of the mean from the pool", "N", *map(_short, columns)]]
    for score in scores:
        for count in [n for n in counts if n < len(pool.architectures)]:
            found = (error_of_pool(pool.merits[score], pool.known[column], count) for column in columns)
            lines.append([NAMES[score], str(count), *(f"{error:.2f}" for error in found)])
    return markdown(lines)


def winners(pool: Pool, score: str, count: int, runs: int) -> NDArray[np.int64]:
    """The same draws for every score."""
    return best_of_random(pool.merits[score], count, runs)


def _short(column: str) -> str:
    data, split, *_ = column.split("_")
    return f"{data.replace('cifar', 'C')} {split}"


def means_of_few(pool: Pool, counts: tuple[int, ...], runs: int) -> str:
    """Between what the mean of three searches lies, beside the published mean of three."""
    columns = METRICS[TSS]
    lines = [["N", *(title for column in columns for title in (_short(column), "published"))]]
    for count in [n for n in counts if (EPE, n) in PUBLISHED and n < len(pool.architectures)]:
        found = winners(pool, EPE, count, runs - runs % FEW)
        cells = []
        for column, theirs in zip(columns, PUBLISHED[EPE, count], strict=True):
            low, high = np.quantile(pool.known[column][found].reshape(-1, FEW).mean(1), (0.025, 0.975))
            inside = low <= float(theirs.split()[0]) <= high
            cells += [f"{low:.2f} - {high:.2f}", f"{theirs.split()[0]}{'' if inside else ', outside'}"]
        lines.append([str(count), *cells])
    return markdown(lines)


def agreement(pool: Pool, scores: tuple[str, ...]) -> str:
    """Rank correlation with accuracy of the whole pool and of its better half, and with EPE-NAS."""
    columns = METRICS[pool.setup.space.name]
    halves = [f"{_short(column)}{half}" for half in ("", ", better half") for column in columns]
    lines = [["tau-b", *halves, "with EPE-NAS, where it is finite"]]
    scored = pool.merits[EPE] > -np.inf
    for score in scores:
        every = [kendall_tau_b(pool.merits[score], pool.known[column]) for column in columns]
        better = [_among_better(pool.merits[score], pool.known[column]) for column in columns]
        shared = kendall_tau_b(pool.merits[score][scored], pool.merits[EPE][scored])
        lines.append([NAMES[score], *(f"{tau:.3f}" for tau in [*every, *better, shared])])
    return markdown(lines)


def _among_better(merits: Floats, known: Floats) -> float:
    chosen = known >= np.median(known)
    return kendall_tau_b(merits[chosen], known[chosen])


def first_version(network: nn.Module, images: Tensor) -> float:
    """NAS-WOT's first version, as EPE-NAS's program holds it for comparison: what that score is quicker than."""
    network.zero_grad()
    x = images.clone().requires_grad_(True)
    y = network(x)
    y.backward(torch.ones_like(y))
    assert x.grad is not None
    eigenvalues, _ = np.linalg.eig(np.corrcoef(x.grad.reshape(len(x), -1).numpy()))
    return float(-np.sum(np.log(eigenvalues + 1e-5) + 1.0 / (eigenvalues + 1e-5)).real)


SHIPPED = {
    "EPE-NAS as shipped": "epe_nas shipped",
    "NAS-WOT as shipped": "naswot shipped",
    "NAS-WOT by one plain forward": "naswot one forward",
    "EPE-NAS": "epe_nas",
    "NAS-WOT": "naswot",
}


def seconds(count: int, warm_up: int = 1) -> str:
    """CPU seconds of one thread a network, in turn on random cells; building the module is not in it."""
    torch.set_num_threads(1)
    first = "NAS-WOT, first version, as shipped"
    taken: dict[str, list[float]] = {name: [] for name in (*SHIPPED, first)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # the authors' hooks are of torch's old kind
        for number in range(count + warm_up):  # what comes first pays for first calls
            tasks = tasks_of(number)
            every = {name: tasks[key] for name, key in SHIPPED.items()}
            every[first] = partial(first_version, *_like_theirs(number))
            for name, task in every.items():
                started = time.process_time()
                task()
                if number >= warm_up:
                    taken[name].append(time.process_time() - started)
    epe = np.array(taken[peer := "EPE-NAS as shipped"])
    lines = [["", "s a network", f"{peer} saves, median", "least", "greatest"]]
    for name, values in taken.items():
        saved = 100 * (1 - epe / np.array(values))
        cells = [] if name == peer else [f"{each(saved):.1f} %" for each in (np.median, np.min, np.max)]
        lines.append([name, f"{np.mean(values):.3f}", *(cells or ["", "", ""])])
    return markdown(lines)


def _like_theirs(seed: int) -> tuple[nn.Module, Tensor]:
    """The network and images that `tasks_of` makes."""
    space = NatsTss()
    torch.manual_seed(seed)
    return AuthorsNetwork(space.describe(space.sample(Random(seed)))).train(), torch.randn(256, 3, 32, 32)


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
        pool = pool_of(options, space, options.scores, options.pool)
        failed = int(np.isnan(pool.values[EPE]).sum())
        print(
            f"## {SPACES[space]}\n\n{options.runs} searches among {len(pool.architectures):,} networks; "
            f"EPE-NAS fails for {failed}; * where searches share most of their networks\n"
        )
        print(searched(pool, options.scores, options.counts, options.runs), end="\n\n")
        print(errors(pool, options.scores, options.counts), end="\n\n")
        if space == TSS and not options.quick:
            print(f"Mean of {FEW} searches with EPE-NAS, 95 % of them:\n")
            print(means_of_few(pool, options.counts, options.runs), end="\n\n")
        print(agreement(pool, options.scores))
        print(f"\n{time.perf_counter() - started:.0f} s\n", flush=True)
    if options.timed:
        started = time.perf_counter()
        print(f"## Seconds, {options.timed} random cells, one thread\n")
        print(seconds(options.timed, warm_up=0 if options.quick else 1))
        print(f"\n{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
