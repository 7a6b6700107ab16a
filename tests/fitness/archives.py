"""Archives made by hand, for the tests of tables and of pickles."""

from __future__ import annotations

import bz2
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy

FIRST, SECOND, THIRD = (f"|{op}~0|+|none~0|none~1|+|none~0|none~1|none~2|" for op in ("a", "b", "c_3x3"))


def trial(accuracy: float, epochs: int, splits: tuple[str, ...]) -> dict[str, Any]:
    """One training in the official form."""
    return {
        "name": "…",
        "net_state_dict": None,
        "train_acc1es": {epochs - 1: 99.0},
        "train_losses": {epochs - 1: 0.1},
        "train_times": OrderedDict((epoch, 2.0) for epoch in range(epochs)),
        "params": numpy.float64(0.5),
        "flop": 7.0,
        "seed": "0777",
        "epochs": epochs,
        "latency": [numpy.float64(0.25)],
        "eval_names": list(splits),
        "eval_acc1es": {f"{split}@{epochs - 1}": accuracy + at for at, split in enumerate(splits)},
        "eval_losses": {f"{split}@{epochs - 1}": 0.1 for split in splits},
        "eval_times": {},
    }


def results(index: int, architecture: str) -> OrderedDict[str, dict[str, Any]]:
    """A result file of the topology space in the official form: two seeds, ten apart, after 200 epochs."""
    states: OrderedDict[str, dict[str, Any]] = OrderedDict()
    for epochs, seeds in ((12, (111,)), (200, (777, 888))):
        trials = {}
        for seed in seeds:
            accuracy = 60.0 + 10 * (seed == 888) + index
            trials["cifar10-valid", seed] = trial(accuracy, epochs, ("x-valid", "ori-test"))
            trials["cifar10", seed] = trial(accuracy + 5, epochs, ("ori-test",))
            trials["cifar100", seed] = trial(accuracy - 30, epochs, ("x-valid", "x-test", "ori-test"))
        names = {name for name, _ in trials}
        states[str(epochs)] = {
            "arch_index": index,
            "arch_str": architecture,
            "all_results": trials,
            "dataset_seed": {name: sorted(seeds) for name in sorted(names)},
            "clear_net_done": True,
        }
    return states


def put(file: Path, content: object) -> None:
    """Write pickle bytes, or pickle an object as the authors did, compressed."""
    file.write_bytes(bz2.compress(content if isinstance(content, bytes) else pickle.dumps(content, 4)))
