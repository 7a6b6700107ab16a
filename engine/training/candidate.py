"""One candidate trained in a folder of its own: what is done is not done again, however it was stopped."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from itertools import count
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.records import Record
from engine.run_folder import current_versions
from engine.training.spectator import Spectator
from engine.training.task import Material, Plan
from spaces.errors import DamagedRun, RunError, ScoreFailed
from spaces.network import Network
from spaces.space import Genotype

if TYPE_CHECKING:
    from fitness.training.loop import EpochLoop

__all__ = ["Candidate", "Description", "described", "epochs_done", "finished", "train"]

_RECIPE, _RESULT, _WEIGHTS, _CHECKPOINT = "recipe.json", "result.json", "weights.npz", "checkpoint.npz"


@dataclass(frozen=True, slots=True)
class Candidate:
    """What is trained, and where.

    Args:
        record: Of the search.
        network: What its genotype stands for.
        plan: How; its device is one that is there.
        folder: Of its own: `recipe.json`, `result.json`, `weights.npz` and, under way, `checkpoint.npz`.
        data: On what; see `Material.fingerprint`.
    """

    record: Record
    network: Network
    plan: Plan
    folder: Path
    data: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Description:
    """What a training says of itself.

    Attributes:
        plan: The fields of its `Plan`.
        recipe: Those of its recipe: what the plan leaves to the data is decided.
        data: See `Candidate`; None in what was trained before that was kept.
    """

    plan: Mapping[str, object]
    recipe: object
    data: object

    def on(self, data: object) -> bool:
        """Whether it is of these data, as far as is known."""
        return self.data is None or self.data == data

    def like(self, other: Description) -> bool:
        """Whether scores can be compared: the same data and recipe, whatever the seed and the machine."""
        same = all(self.plan.get(name) == other.plan.get(name) for name in ("data", "train_images"))
        return same and self.recipe == other.recipe and (other.data is None or self.on(other.data))


def described(folder: Path) -> Description | None:
    """What was trained there and how; None if nothing was begun.

    Raises:
        DamagedRun: The file is not what a training writes.
    """
    kept = _read(folder / _RECIPE)
    if kept is None:
        return None
    plan = kept.get("plan")
    if not isinstance(plan, dict):
        raise _damaged(folder / _RECIPE, "it lacks a plan")
    return Description(plan, kept.get("recipe"), kept.get("data"))


def finished(folder: Path, number: int) -> Record | None:
    """The record of what was trained there, under that number; None if nothing is finished.

    Raises:
        DamagedRun: The file is not what a training writes.
    """
    result = _read(folder / _RESULT)
    if result is None:
        return None
    try:
        made = {name: result[name] for name in ("parent", "key", "scores", "status", "reason", "seconds")}
        return Record(number=number, genotype=Genotype.adopt(result["genotype"]), cached=False, **made)
    except KeyError as error:
        raise _damaged(folder / _RESULT, f"it lacks {error}") from error


def train(candidate: Candidate, material: Material, spectator: Spectator) -> None:
    """Train a candidate, or what is left of it, and judge it; `finished` reads what came out.

    After every epoch all that going on needs is on the disk.

    Raises:
        UsageError: The data do not suit the network.
        RunError: A file cannot be written or read.
    """
    from fitness.training.checkpoint import load_state, save_state

    folder, plan, record = candidate.folder, candidate.plan, candidate.record
    begun = described(folder)
    if begun is not None and not begun.on(candidate.data):
        shutil.rmtree(folder)  # what was begun on other data cannot go on
    if (folder / _RESULT).exists():
        return
    with _threads(plan.threads):
        training = material.begin(candidate.network)  # before anything is written: it may be refused
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder / _RECIPE, _described(candidate, material))
        seconds = 0.0
        if (folder / _CHECKPOINT).exists():
            state = load_state(folder / _CHECKPOINT)
            training.restore(state["training"])
            seconds = state["seconds"]
        while not (training.done or training.diverged):
            started = time.perf_counter()
            epoch = training.run_epoch(partial(_step, record.number, training, count(1), spectator))
            seconds += time.perf_counter() - started
            save_state(folder / _CHECKPOINT, {"training": training.state(), "seconds": seconds})
            spectator.epoch(record.number, epoch.number, epoch.loss, epoch.validation)
        scores, reason = dict(record.scores), None
        last = training.epochs[-1]
        if training.diverged:
            what, value = ("validation", last.validation) if isfinite(last.loss) else ("loss", last.loss)
            reason = f"the {what} of epoch {last.number} is {value}; a lower learning rate may help"
        else:
            try:
                scores |= material.judged(training, folder / _WEIGHTS)
                scores |= {"epochs": len(training.epochs), "train_seconds": round(seconds, 3)}
            except ScoreFailed as error:
                reason = f"after epoch {last.number}: {error}; a lower learning rate may help"
    result = {
        "parent": record.number,
        "key": record.key,
        "genotype": record.genotype.to_dict(),
        "status": "failed" if reason else "ok",
        "reason": reason,
        "scores": scores,
        "seconds": round(seconds, 3),
        "epochs": [asdict(epoch) for epoch in training.epochs[: -1 if training.diverged else None]],
    }
    _write(folder / _RESULT, result)
    (folder / _CHECKPOINT).unlink(missing_ok=True)


def _step(number: int, training: EpochLoop, steps: Iterator[int], spectator: Spectator) -> None:
    spectator.step(number, len(training.epochs) + next(steps) / training.steps)


def epochs_done(candidate: Candidate) -> list[list[float]]:
    """Number, loss and validation of every epoch that a training under way has done."""
    from fitness.training.checkpoint import load_state

    path = candidate.folder / _CHECKPOINT
    try:
        epochs: list[list[float]] = load_state(path)["training"]["epochs"]
    except RunError:
        if path.exists():
            raise
        return []  # not there yet, or gone because the training has just ended
    return epochs


def _described(candidate: Candidate, material: Material) -> dict[str, object]:
    return {
        "candidate": candidate.record.number,
        "key": candidate.record.key,
        "plan": asdict(candidate.plan),
        **material.described(),
        "data": dict(candidate.data),
        "versions": current_versions(),
    }


@contextmanager
def _threads(count: int) -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _write(path: Path, value: Mapping[str, object]) -> None:
    from fitness.training.checkpoint import writing_whole

    with writing_whole(path) as file:
        file.write((json.dumps(value, indent=1) + "\n").encode())


def _read(path: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(path, error) from error
    if not isinstance(value, dict):
        raise _damaged(path, "it is no JSON object")
    return value


def _damaged(path: Path, why: str | Exception) -> DamagedRun:
    return DamagedRun(f"{path} cannot be used: {why}; remove {path.parent}, and the candidate is trained anew")
