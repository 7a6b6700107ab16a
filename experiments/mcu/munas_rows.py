"""From nothing to int8 models at the sizes of μNAS's published networks, by the same definitions of size.

    python experiments/mcu/munas_rows.py --data folder:cifar10_jpeg.zip --mnist idx:mnist_t10k --epochs 30

For every row of μNAS's table (arXiv:2010.14246): a search among 20,000 candidates within its model size, RAM and
operations, as μNAS counts them, then the best three are trained on all training images and quantised. The one of
greatest validation accuracy is the row. Interrupted, the same command goes on: runs and trainings are kept in OUT.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import arguments, markdown, tell

from engine import resume, search
from engine.training import TrainingPlan
from engine.training.of_run import train_run
from engine.training.spectator import Shown
from fitness.data.splits import load_splits
from spaces.munas import MunasSpace

FITNESS, STRATEGY, CANDIDATES, TRAINED = "params+macs+bottleneck", "aging(repair=true)", 20_000, 3
DAY = 86_400


@dataclass(frozen=True)
class Row:
    """One of μNAS's networks: accuracy in percent, bytes, bytes, operations, days of one GPU."""

    name: str
    shape: tuple[int, int, int]
    classes: int
    accuracy: float
    size: int
    ram: int
    operations: int
    days: float

    @property
    def folder(self) -> str:
        """Where its run is kept."""
        return self.name.lower().replace(" ", "-")


ROWS = (
    Row("CIFAR-10", (32, 32, 3), 10, 86.49, 11_400, 15_400, 384_000, 23),
    Row("CIFAR-10 binary", (32, 32, 3), 2, 77.49, 685, 909, 41_200, 2),
    Row("MNIST", (28, 28, 1), 10, 99.19, 480, 488, 28_600, 1),
)


def binary(source: str, out: Path) -> str:
    """The set with classes 0 to 4 against 5 to 9, as a file."""
    file = out / "binary.npz"
    if not file.exists():
        splits = load_splits(source, (3, 32, 32))
        train = [splits.train, splits.validation]
        np.savez(
            file,
            train_images=np.concatenate([part.pixels for part in train]).transpose(0, 2, 3, 1),
            train_labels=np.concatenate([part.labels for part in train]) // 5,
            test_images=splits.test.pixels.transpose(0, 2, 3, 1),
            test_labels=splits.test.labels // 5,
        )
    return f"npz:{file}"


def reach(row: Row, data: str, options) -> list[str]:
    """One line of the table."""
    run, started = options.out / row.folder, time.perf_counter()
    if (run / "study.json").exists():
        found = resume(run)
    else:
        found = search(
            *(MunasSpace(row.shape, row.classes), STRATEGY, FITNESS),
            **{
                "bounds": [
                    f"munas_size<={row.size}",
                    f"munas_peak_memory<={row.ram}",
                    f"munas_macs<={row.operations}",
                ]
            },
            **{"target": "none", "out": run},
            **{"budget": 600 if options.quick else CANDIDATES, "workers": options.workers},
        )
    searched = time.perf_counter() - started
    tell(f"{row.name}: {len(found.records):,} candidates in {searched:.0f} s")
    plan = TrainingPlan(data=data, epochs=options.epochs)
    trained = train_run(run, plan, best=TRAINED, workers=options.workers, spectator=Shown())
    best = max((one for one in trained if one.status == "ok"), key=lambda one: one.scores["validation_accuracy"])
    seconds = sum(one.scores["train_seconds"] for one in trained)
    scores = best.scores
    return [
        row.name,
        f"{scores['test_accuracy']:.2f}",
        f"{scores['int8_test_accuracy']:.2f}",
        *(f"{scores[name]:,.0f}" for name in ("munas_size", "munas_peak_memory", "munas_macs")),
        f"{searched:.0f}",
        f"{seconds:,.0f}",
        f"{row.accuracy:.2f}",
        f"{row.size:,}; {row.ram:,}; {row.operations:,}",
        f"{row.days:g}",
        f"{row.days * DAY / (searched + seconds):,.0f}",
    ]


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--mnist", help="MNIST, e.g. idx:DIR; left out if not given")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--rows", nargs="+", choices=[row.folder for row in ROWS], help="these only")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    titles = [
        "data",
        "test %",
        "int8 test %",
        "model bytes",
        "RAM bytes",
        "operations",
        "search s",
        "training CPU s",
    ]
    titles += ["μNAS %", "μNAS bytes; RAM; operations", "μNAS GPU days", "its seconds / ours"]
    lines = [titles]
    for row in ROWS:
        if options.rows and row.folder not in options.rows:
            continue
        data = options.mnist if row.name == "MNIST" else options.data
        if data is None:
            continue
        lines.append(reach(row, binary(data, options.out) if row.classes == 2 else data, options))
        print(markdown(lines), flush=True)


if __name__ == "__main__":
    main()
