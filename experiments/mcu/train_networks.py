"""Train the networks of the munas benchmark: what `make_table.py` makes the shipped table of.

    python experiments/mcu/train_networks.py --data folder:cifar10_jpeg.zip --workers 2

216 random networks, 72 of each of three bands of flash (2 to 8, 8 to 32, 32 to 128 kB), and 108 evolved ones, 36 of
each band, a third each from searches for trace, for params + macs and for log_capacity. 50 thousand to 5 million
macs. Networks that squeeze the image through fewer numbers than half the classes are left in: whether to reject
them is one of the questions. 40 networks are trained again from another seed, and 6 of at most a million macs for
four times the epochs.

Every training is one line of OUT/trained.jsonl, in the order of finishing; interrupted, the same command goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import tell

from engine import search
from fitness.figures import flash_bytes, macs
from spaces.munas import MunasSpace
from spaces.network import Network
from spaces.space import Genotype

BANDS = ((2_048, 8_192), (8_192, 32_768), (32_768, 131_072))  # flash_bytes, the upper end left out
MACS = (50_000, 5_000_000)
RANDOM, EVOLVED = 72, 36  # networks of a band
SEARCHES = ("trace", "params+macs", "log_capacity")
SAMPLE_SEED = 20261122
TRAINING_IMAGES, EPOCHS, LONG_EPOCHS = 10_000, 6, 24
LONG, LONG_MACS = 2, 1_000_000  # of each band; dearer ones would take hours
SPACE = MunasSpace()


@dataclass(frozen=True)
class Job:
    """One training."""

    genotype: dict[str, int | str | bool]
    origin: str
    band: int
    seed: int = 0
    epochs: int = EPOCHS

    @property
    def name(self) -> str:
        """What tells it from the others."""
        return json.dumps([self.genotype, self.seed, self.epochs], sort_keys=True)


def jobs(random: int = RANDOM, evolved: int = EVOLVED) -> list[Job]:
    """All trainings: single ones, the second seeds, the long ones; of any prefix the bands are equally full."""
    seen: set[str] = set()
    drawn = random_networks(random, seen)
    bred = evolved_networks(evolved, seen)
    singles = []
    for place in range(random):
        for band in range(len(BANDS)):
            singles.append(Job(dict(drawn[band][place]), "random", band))
            if place % 2 == 0 and place // 2 < evolved:
                origin, genotype = bred[band][place // 2]
                singles.append(Job(dict(genotype), f"evolved:{origin}", band))
    again = [replace(job, seed=1) for job in singles[:: max(1, len(singles) // 60)]][: max(1, len(singles) // 8)]
    cheap = [job for job in singles if macs(SPACE.decode(Genotype(job.genotype))) <= LONG_MACS]
    longer = [
        replace(job, epochs=LONG_EPOCHS)
        for band in range(len(BANDS))
        for job in [job for job in cheap if job.band == band][:LONG]
    ]
    return singles + again + longer


def random_networks(count: int, seen: set[str]) -> list[list[Genotype]]:
    """`count` of every band, by rejection."""
    rng = Random(SAMPLE_SEED)
    found: list[list[Genotype]] = [[] for _ in BANDS]
    while min(map(len, found)) < count:
        genotype = SPACE.sample(rng)
        network = SPACE.decode(genotype)
        for band, (low, high) in enumerate(BANDS):
            if low <= flash_bytes(network) < high and MACS[0] <= macs(network) <= MACS[1]:
                if len(found[band]) < count and network.key not in seen:
                    seen.add(network.key)
                    found[band].append(genotype)
    return found


def evolved_networks(count: int, seen: set[str]) -> list[list[tuple[str, Genotype]]]:
    """`count` of every band from the later part of searches for different scores in turn, lineages mixed."""
    found: list[list[tuple[str, Genotype]]] = [[] for _ in BANDS]
    for band, (low, high) in enumerate(BANDS):
        pools = [_late(fitness, low, high, seed) for seed, fitness in enumerate(SEARCHES)]
        while len(found[band]) < count:
            for fitness, pool in zip(SEARCHES, pools, strict=True):
                genotype, network = next(pool)
                if len(found[band]) < count and network.key not in seen:
                    seen.add(network.key)
                    found[band].append((fitness, genotype))
    return found


def _late(fitness: str, low: int, high: int, seed: int) -> Iterator[tuple[Genotype, Network]]:
    """What a search under a budget of flash has come to after a thousand records, in random order."""
    bounds = [f"flash_bytes<={high - 1}", f"macs<={MACS[1]}", "peak_ram_bytes<=65536"]
    result = search(
        *("munas", "aging", fitness),
        **{"bounds": bounds, "target": "none", "budget": 5_000, "seed": seed, "population": 40, "tournament": 10},
    )
    late = []
    for record in result.records[1_000:]:
        if record.status == "ok" and not record.cached:
            network = SPACE.decode(record.genotype)
            if flash_bytes(network) >= low and macs(network) >= MACS[0]:
                late.append((record.genotype, network))
    Random(seed).shuffle(late)
    return iter(reversed(late))


@cache
def _splits(data: str):
    from fitness.data.splits import load_splits

    splits = load_splits(data, (3, 32, 32))
    return replace(splits, train=splits.train.first(TRAINING_IMAGES))


def train(job: Job, data: str) -> dict[str, object]:
    """One training; the accuracy is that of the last epoch, so that nothing was chosen."""
    import torch

    from fitness.training.fit import Training, accuracy
    from fitness.training.recipe import Recipe

    torch.set_num_threads(1)
    splits = _splits(data)
    network = SPACE.decode(Genotype(job.genotype))
    started = time.process_time()
    training = Training(network, splits, Recipe(epochs=job.epochs), job.seed)
    while not training.done:
        training.run_epoch()
    test = accuracy(training.module, splits.test, splits.normalisation)
    return asdict(job) | {
        "key": network.key,
        "validation": training.epochs[-1].validation,
        "test": test,
        "loss": training.epochs[-1].loss,
        "history": [epoch.validation for epoch in training.epochs],
        "cpu_s": time.process_time() - started,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="CIFAR-10: cifar10:DIR, or folder:FILE.zip")
    parser.add_argument("--workers", type=int, default=2, help="processes that train")
    parser.add_argument(
        "--out", type=Path, default=Path("runs/experiments/mcu"), help="where trained.jsonl is kept"
    )
    parser.add_argument("--limit", type=int, help="the first N trainings only")
    options = parser.parse_args()
    # Freed memory is kept by the process: a fifth of the time otherwise goes into getting it back.
    os.environ |= {"OMP_NUM_THREADS": "1", "MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "1000000000"}
    options.out.mkdir(parents=True, exist_ok=True)
    file = options.out / "trained.jsonl"
    lines = file.read_text().splitlines() if file.exists() else []
    fields = Job.__dataclass_fields__
    done = {Job(**{name: each[name] for name in fields}).name for each in map(json.loads, lines)}
    wanted = jobs()[: options.limit]
    open_jobs = [job for job in wanted if job.name not in done]
    tell(f"{len(wanted)} trainings, {len(wanted) - len(open_jobs)} of them done before")
    with ProcessPoolExecutor(options.workers, get_context("forkserver")) as pool, file.open("a") as out:
        for future in as_completed([pool.submit(train, job, options.data) for job in open_jobs]):
            out.write(json.dumps(future.result()) + "\n")
            out.flush()


if __name__ == "__main__":
    main()
