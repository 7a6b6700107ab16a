"""How much faster than TE-NAS's own procedures ours are: medians of ratios over random cells.

    python experiments/speed/te_nas.py [--quick] [--threads N]

Theirs and ours alternate on the same network in one process, so that another job on the machine slows both.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from random import Random

import torch
from shipped import te_nas as shipped
from torch import Tensor, nn

from fitness.lower import lower
from fitness.probing.ntk_gram import ntk_gram
from fitness.probing.probe import Probe, Probed
from fitness.scores.linear_regions import LinearRegions
from spaces.nats import NatsTss

Task = Callable[[], object]
NTK_CASES = {"NTK, C=3 N=1, B=72": (3, 1, 72), "NTK, C=16 N=5, B=16": (16, 5, 16)}


def ratio(theirs: Task, ours: Task, repeats: int) -> tuple[float, float, float]:
    """Seconds of both, the least of `repeats` alternating runs, and their ratio."""
    seconds: dict[Task, float] = {}
    for _ in range(repeats):
        for task in (theirs, ours):
            started = time.perf_counter()
            task()
            seconds[task] = min(seconds.get(task, float("inf")), time.perf_counter() - started)
    return seconds[theirs], seconds[ours], seconds[theirs] / seconds[ours]


def ntk(seed: int, channels: int, cells: int, batch: int) -> tuple[Task, Task]:
    """Both ways to the Gram matrix of a random topology."""
    space = NatsTss(channels=channels, cells=cells)
    torch.manual_seed(seed)
    module = lower(space.decode(space.sample(Random(seed))))
    images = torch.randn(batch, 3, 32, 32)
    return lambda: shipped.ntk_gram(module, images), lambda: ntk_gram(module, images)


def regions(seed: int) -> tuple[Task, Task]:
    """Both ways from 3 x 1000 patches to the regions of the one-cell network of a random topology."""
    torch.manual_seed(seed)
    space = NatsTss()
    module = lower(space.thin_networks(space.sample(Random(seed))).regions.network).train()
    patches = torch.randn(3000, 1, 3, 3)
    probe = Probe(patches, batch=3000)
    ours = LinearRegions(batches=3)
    batches = patches.split(1000)
    theirs = lambda: shipped.count_regions(shipped.sign_patterns(module, batches))  # noqa: E731
    assert ours(Probed(module, probe)) == round(theirs())
    return theirs, lambda: ours(Probed(module, probe))


def row(name: str, results: Sequence[tuple[float, float, float]]) -> str:
    theirs, ours, ratios = zip(*results, strict=True)
    cells = [f"{1e3 * statistics.median(seconds):.1f}" for seconds in (theirs, ours)]
    cells += [f"{number:.2f}" for number in (statistics.median(ratios), min(ratios), max(ratios))]
    return f"| {name} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare TE-NAS's procedures as shipped with ours.")
    parser.add_argument("--quick", action="store_true", help="3 cells once instead of 8 cells three times")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="default: as torch chooses")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    cells, repeats = (3, 1) if arguments.quick else (8, 3)
    ntk_gram(nn.Linear(3, 2), Tensor([[1.0, 2.0, 3.0]]))  # what torch does once, in nobody's time
    print(f"{cells} random cells, best of {repeats}, torch {torch.__version__}, {arguments.threads} threads\n")
    print("| | as shipped, ms | ours, ms | median ratio | least | greatest |\n|---|---|---|---|---|---|")
    for name, case in NTK_CASES.items():
        print(row(name, [ratio(*ntk(seed, *case), repeats) for seed in range(cells)]), flush=True)
    print(row("linear regions, 3 x 1000 patches", [ratio(*regions(seed), repeats) for seed in range(cells)]))


if __name__ == "__main__":
    main()
