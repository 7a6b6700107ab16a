"""Trainings survive being killed at any moment: the same command ends with what an undisturbed one comes to."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import time
from collections.abc import Callable
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


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_trainings_killed_again_and_again_come_to_the_same(
    workers: int, engine: Any, spawn: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    search = ["run", "--space=nats-tss(channels=8, cells=1)", "--input-shape=8x8x1", "--strategy=random"]
    search += ["--fitness=trace", "--target=none", "--budget=5", "--seed=1", "--quiet"]
    ask = ["--data=digits", "--train-images=400", "--pick", "1", "2", "3", "--epochs=6", "--shift=1", "--quiet"]
    for name in ("whole", "victim"):
        assert engine(*search, f"--out={name}").code == 0
    began = time.monotonic()
    assert spawn("train", "whole", *ask, f"--workers={workers}").wait() == 0
    took, chance, kills = time.monotonic() - began, random.Random(workers), 0
    while True:
        process = spawn("train", "victim", *ask, f"--workers={workers}")
        try:
            process.wait(timeout=took * (0.2 + 0.5 * chance.random()) if kills < 6 else None)
        except subprocess.TimeoutExpired:
            process.kill()
        code = process.wait()
        if code == 0:
            break
        assert code == -signal.SIGKILL
        kills += 1
    assert kills >= 2
    assert results(tmp_path / "victim") == results(tmp_path / "whole")
    assert not list((tmp_path / "victim" / "trained").glob("of-*"))
