"""The shipped benchmark of `munas` from the raw lines of its trainings.

    python experiments/mcu/make_table.py trained.jsonl fitness/benchmarks/munas-v1

Writes munas-v1.csv, one line for every network that was trained once for 6 epochs, and munas-v1.json with the
recipe, the meaning of the columns and the noise between seeds. Lines are those of train_networks.py.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import statistics
from collections import Counter, defaultdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from engine.results.statistics import kendall_tau_b
from fitness.figures import flash_bytes
from spaces import SPACES
from spaces.space import Genotype, Space

Trained = dict[str, Any]  # one line
EPOCHS, LONGER = 6, 24
ORIGINS = ("random", "evolved:trace", "evolved:params+macs", "evolved:log_capacity")
BANDS = (2048, 8192, 32768, 131072)
COLUMNS = {
    "cifar10_test_6ep_pct": "accuracy on the 10,000 test images after 6 epochs, seed 0",
    "cifar10_valid_6ep_pct": "accuracy on the 5,000 validation images after the same training",
    "cifar10_test_6ep_seed1_pct": "test accuracy of a second training with seed 1: other weights, order and flips",
    "cifar10_valid_6ep_seed1_pct": "validation accuracy of the second training",
    "cifar10_test_24ep_pct": "test accuracy of a training of 24 epochs, seed 0",
    "cifar10_valid_24ep_pct": "validation accuracy of the training of 24 epochs",
    "cifar10_train6_cost_s": "CPU seconds of the training of 6 epochs, one thread, with the accuracies in it",
    "cifar10_train24_cost_s": "CPU seconds of the training of 24 epochs, likewise",
    "flash_bytes": "int8 weights and 32 bit biases in bytes, the figure of that name",
    "evolved": "where the network is from: " + ", ".join(f"{place} {name}" for place, name in enumerate(ORIGINS)),
}
PARTS = (  # accuracy and cost columns, and the training that they are of
    (("cifar10_test_6ep_pct", "cifar10_valid_6ep_pct", "cifar10_train6_cost_s"), (EPOCHS, 0)),
    (("cifar10_test_6ep_seed1_pct", "cifar10_valid_6ep_seed1_pct"), (EPOCHS, 1)),
    (("cifar10_test_24ep_pct", "cifar10_valid_24ep_pct", "cifar10_train24_cost_s"), (LONGER, 0)),
)
FIELDS = ("test", "validation", "cpu_s")
RECIPE = {
    "space": "munas",
    "input_shape": [32, 32, 3],
    "classes": 10,
    "data": "CIFAR-10, kept as JPEG images; 10,000 images trained on and 5,000 for validation, drawn from the "
    "50,000 of the training set by numpy.random.default_rng(0).permutation: its first 10,000 and last 5,000; all "
    "10,000 test images; channels normalised by mean .4914 .4822 .4465 and deviation .247 .2435 .2616",
    "training": "AdamW, learning rate 0.002 falling as a cosine to 0, weight decay 0.0001, batches of 128, random "
    "horizontal flips, PyTorch's default weights; fitness.training.recipe.Recipe with its other defaults",
    "networks": "a third evolved (aging evolution of 5,000 networks for trace, params+macs or log_capacity, "
    "population 40, tournament 10, under the upper end of the band; not the first 1,000), the others random; 0.05 "
    "to 5 million multiply-accumulates; as many of each in every band of flash_bytes",
    "bands": list(BANDS),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("trained", type=Path, help="raw lines of the trainings")
    parser.add_argument("table", type=Path, help="the table without .csv and .json")
    options = parser.parse_args()
    lines = [json.loads(line) for line in options.trained.read_text(encoding="utf-8").splitlines()]
    networks = by_network(lines)
    rows = [row_of(trainings) for trainings in networks.values()]
    with options.table.with_suffix(".csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["index", "arch_str", *COLUMNS])
        writer.writerows([index, *row] for index, row in enumerate(rows))
    recipe = RECIPE | {
        "version": options.table.name.rpartition("-")[2],
        "rows": len(rows),
        "columns": COLUMNS,
        "noise": noise(list(networks.values())),
        "made_with": {name: version(name) for name in ("torch", "numpy")},
    }
    options.table.with_suffix(".json").write_text(json.dumps(recipe, indent=1) + "\n", encoding="utf-8")
    counts = Counter(key for trainings in networks.values() for key in trainings)
    print(f"{len(rows)} networks; trainings by epochs and seed: {dict(sorted(counts.items()))}")


def by_network(lines: list[Trained]) -> dict[str, dict[tuple[int, int], Trained]]:
    """Trainings by network, then by epochs and seed, in the order of the jobs; networks with a first one only."""
    networks: dict[str, dict[tuple[int, int], Trained]] = defaultdict(dict)
    for line in sorted(lines, key=lambda line: line["index"]):
        training = line["epochs"], line["seed"]
        if training in networks[line["key"]]:
            raise SystemExit(
                f"network {line['key']} was trained twice for {training[0]} epochs, seed {training[1]}"
            )
        networks[line["key"]][training] = line
    return {key: trainings for key, trainings in networks.items() if (EPOCHS, 0) in trainings}


def row_of(trainings: dict[tuple[int, int], Trained]) -> list[object]:
    """The cells of a network, its text first."""
    space = SPACES.create("munas", {})
    assert isinstance(space, Space)
    first = trainings[EPOCHS, 0]
    genotype = Genotype(first["genotype"])
    network = space.decode(genotype)
    if network.key != first["key"]:
        raise SystemExit(f"line {first['index']}: the genotype is not of network {first['key']}")
    cells: dict[str, object] = {"flash_bytes": flash_bytes(network), "evolved": ORIGINS.index(first["origin"])}
    for columns, training in PARTS:
        for column, field in zip(columns, FIELDS, strict=False):
            cells[column] = round(trainings[training][field], 2) if training in trainings else ""
    return [space.describe(genotype), *(cells[column] for column in COLUMNS)]


def noise(networks: list[dict[tuple[int, int], Trained]]) -> dict[str, object]:
    """How far two trainings of the same network are apart."""
    found: dict[str, object] = {}
    for name, other in (("seed 1", (EPOCHS, 1)), ("24 epochs", (LONGER, 0))):
        pairs = [(each[EPOCHS, 0]["test"], each[other]["test"]) for each in networks if other in each]
        if len(pairs) < 2:
            continue
        gains = [after - before for before, after in pairs]
        found[f"networks trained again, {name}"] = len(pairs)
        found[f"tau of test accuracies, {name}"] = round(kendall_tau_b(*zip(*pairs, strict=True)), 3)
        if name == "seed 1":  # the variance of a difference is twice that of one training
            deviation = math.sqrt(statistics.fmean(gain**2 for gain in gains) / 2)
            found["standard deviation of a test accuracy between seeds, points"] = round(deviation, 2)
        else:
            found["mean gain in test accuracy by 24 epochs, points"] = round(statistics.fmean(gains), 2)
    return found


if __name__ == "__main__":
    main()
