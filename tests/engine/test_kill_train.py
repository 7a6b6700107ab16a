"""Trainings survive being killed at any moment: the same command ends with what an undisturbed one comes to."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest


def results(run: Path) -> list[Any]:
    """Records without what the clock decides, and the weights."""
    found: list[Any] = [json.loads(line) for line in (run / "trained.jsonl").read_text().splitlines()]
    for one in found:
        del one["seconds"], one["scores"]["train_seconds"]
    for number in range(len(found)):
        with np.load(run / "trained" / str(number) / "weights.npz", allow_pickle=False) as arrays:
            found += [(name, arrays[name].tobytes()) for name in sorted(arrays.files)]
    return found


def after_some_epochs(trained: Path, count: int, process: subprocess.Popen[str]) -> None:
    """Wait until checkpoints have been written so often, or, on a machine too busy to look in time, all is done."""
    seen: set[tuple[Path, int]] = {(path, path.stat().st_mtime_ns) for path in trained.glob("*/checkpoint.npz")}
    wanted = len(seen) + count
    while len(seen) < wanted and process.poll() is None:
        for path in trained.glob("*/checkpoint.npz"):
            with suppress(FileNotFoundError):
                seen.add((path, path.stat().st_mtime_ns))
        time.sleep(0.001)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_trainings_killed_again_and_again_come_to_the_same(
    workers: int, engine: Any, spawn: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    search = ["run", "--space=nats-tss(channels=8, cells=1)", "--input-shape=8x8x1", "--strategy=random"]
    search += ["--fitness=trace", "--target=none", "--budget=5", "--seed=1", "--quiet"]
    rng = np.random.default_rng(0)  # not digits: what reads these takes each process longer than the training
    np.savez("noise.npz", images=rng.integers(0, 256, (200, 8, 8), dtype=np.uint8), labels=np.arange(200) % 10)
    ask = ["--data=npz:noise.npz", "--pick", "1", "2", "3", "--epochs=20", "--shift=1", "--quiet"]
    for name in ("whole", "victim"):
        assert engine(*search, f"--out={name}").code == 0
    assert engine("train", "whole", *ask).code == 0
    chance = random.Random(workers)
    codes = []
    for _ in range(3):
        process = spawn("train", "victim", *ask, f"--workers={workers}")
        after_some_epochs(tmp_path / "victim" / "trained", 1 + chance.randrange(3), process)
        time.sleep(chance.random() * 0.02)
        process.kill()
        codes.append(process.wait())
    assert codes[0] == -signal.SIGKILL, "60 epochs were done before the test saw 3 of them"
    assert set(codes) <= {-signal.SIGKILL, 0}
    assert spawn("train", "victim", *ask, f"--workers={workers}").wait() == 0
    assert results(tmp_path / "victim") == results(tmp_path / "whole")
    assert not list((tmp_path / "victim" / "trained").glob("of-*"))
