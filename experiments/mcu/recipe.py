"""What a search and a few trainings come to under a budget of flash: recipes beside each other.

    python experiments/mcu/recipe.py --data folder:cifar10_jpeg.zip

Every recipe looks at 20,000 candidates of at most 5 million macs and 64 kB of RAM under a budget of flash, and
trains the three that it ranks first like the networks of the benchmark (10,000 images, 6 epochs). The network of
greatest validation accuracy is kept; regret is how far its test accuracy lies below the best that any recipe or the
benchmark has under the same budget. Trainings are kept in OUT/recipes.jsonl; interrupted, the same command goes on.
"""

from __future__ import annotations

import json
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from math import nan
from multiprocessing import get_context
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import arguments, markdown, setup_of, tell
from train_networks import MACS, SPACE, Job, train

from engine import search
from fitness.figures import flash_bytes

BUDGETS = (8_192, 32_768, 131_072)
CANDIDATES, TRAINED, RAM = 20_000, 3, 65_536
# Strategy, fitness with the budget in MB for {mu} and half of it for {sigma}.
RECIPES = (
    ("aging", "params+macs"),
    ("aging", "params+macs+bottleneck"),
    ("random", "params+macs+bottleneck"),
    ("aging", "trace+gdf(mu={mu},sigma={sigma},side=both)"),
    ("random", ""),  # the first that fit
)


def picks(strategy: str, fitness: str, budget: int, seed: int, candidates: int) -> tuple[list[Job], float]:
    """What a recipe trains, and the seconds of its search."""
    mega = budget / 1e6
    text = fitness.format(mu=mega, sigma=mega / 2) or "params"
    started = time.perf_counter()
    result = search(
        *("munas", strategy, text),
        **{"bounds": [f"flash_bytes<={budget}", f"peak_ram_bytes<={RAM}", f"macs<={MACS[1]}"], "target": "none"},
        **{"budget": candidates if fitness else 50 * TRAINED, "seed": seed},
    )
    found = [record for record in result.records if record.status == "ok" and not record.cached]
    if fitness:
        objective = result.setup.objectives.objectives[0]
        found.sort(key=lambda record: -objective.merit(record.scores))
    taken = time.perf_counter() - started
    return [Job(dict(record.genotype), f"{strategy}:{fitness}", budget, seed) for record in found[:TRAINED]], taken


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--runs", type=int, default=1, help="searches of each recipe, from other seeds")
    parser.add_argument("--budgets", type=int, nargs="+", default=list(BUDGETS), help="bytes of flash")
    options = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": "1", "MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "1000000000"}
    options.out.mkdir(parents=True, exist_ok=True)
    file = options.out / "recipes.jsonl"
    done = {}
    for line in file.read_text().splitlines() if file.exists() else []:
        known = json.loads(line)
        done[Job(**{name: known[name] for name in Job.__dataclass_fields__}).name] = known
    wanted = {}
    for budget in options.budgets:
        for recipe in RECIPES:
            for seed in range(options.runs):
                jobs, taken = picks(*recipe, budget, seed, 300 if options.quick else CANDIDATES)
                wanted[recipe, budget, seed] = (jobs, taken)
                tell(f"{recipe[0]} {recipe[1] or 'first'}, {budget} B, seed {seed}: {taken:.0f} s")
    open_jobs = list(
        {job.name: job for jobs, _ in wanted.values() for job in jobs if job.name not in done}.values()
    )
    with (
        ProcessPoolExecutor(options.workers, get_context("forkserver")) as pool,
        file.open("a") as out,
    ):
        for found in pool.map(train, open_jobs, [options.data] * len(open_jobs)):
            out.write(json.dumps(found) + "\n")
            out.flush()
            done[Job(**{name: found[name] for name in Job.__dataclass_fields__}).name] = found
    print(report(options, wanted, done))


def report(options, wanted, done) -> str:
    """Test accuracy of what each recipe keeps, and its regret."""
    table = setup_of(options, "munas").table
    accuracies = np.array(table.column("cifar10_test_6ep_pct"))
    sizes = np.array([flash_bytes(SPACE.decode(SPACE.parse(text))) for text in table.architectures])
    best = {}
    kept: dict[tuple[str, str], dict[int, list[float]]] = {}
    for (recipe, budget, _), (jobs, _) in wanted.items():
        trained = [done[job.name] for job in jobs]
        best[budget] = max(
            best.get(budget, nan_to_low(accuracies, sizes <= budget)), *(one["test"] for one in trained)
        )
        chosen = max(trained, key=lambda one: one["validation"])
        kept.setdefault(recipe, {}).setdefault(budget, []).append(chosen["test"])
    lines = [
        [
            "search",
            "fitness",
            *(f"<= {budget // 1024} kB" for budget in options.budgets),
            "mean regret",
            "search seconds",
        ]
    ]
    for recipe, found in kept.items():
        regret = np.mean([best[budget] - np.mean(found[budget]) for budget in options.budgets])
        seconds = np.mean([taken for (other, _, _), (_, taken) in wanted.items() if other == recipe])
        cells = [f"{np.mean(found[budget]):.1f}" for budget in options.budgets]
        lines.append([recipe[0], recipe[1] or "none: the first", *cells, f"{regret:.1f}", f"{seconds:.0f}"])
    lines.append(["best known", "", *(f"{best[budget]:.1f}" for budget in options.budgets), "0.0", ""])
    return markdown(lines)


def nan_to_low(values: np.ndarray, inside: np.ndarray) -> float:
    """The best of those inside that are known."""
    return float(np.nanmax(np.where(inside, values, nan)))


if __name__ == "__main__":
    main()
