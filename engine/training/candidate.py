"""One candidate trained in a folder of its own: what is done is not done again, however it was stopped."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial
from itertools import count
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.records import Record
from engine.run_folder import current_versions
from engine.training.calibration import calibration
from engine.training.plan import TrainingPlan
from engine.training.spectator import Spectator
from spaces.errors import DamagedRun, MissingExtra, RunError, ScoreFailed, UsageError
from spaces.network import Network
from spaces.space import Genotype

if TYPE_CHECKING:
    from fitness.training.fit import Training
    from fitness.training.images import Splits
    from fitness.training.recipe import Recipe

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
        data: On what; see `engine.training.data.fingerprint`.
    """

    record: Record
    network: Network
    plan: TrainingPlan
    folder: Path
    data: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Description:
    """What a training says of itself.

    Attributes:
        plan: The fields of its `TrainingPlan`.
        recipe: Those of its `Recipe`: what the plan leaves to the data is decided.
        data: See `Candidate`; None in what was trained before that was kept.
    """

    plan: Mapping[str, object]
    recipe: object
    data: object

    def on(self, data: object) -> bool:
        """Whether it is of these data, as far as is known."""
        return self.data is None or self.data == data

    def like(self, other: Description) -> bool:
        """Whether accuracies can be compared: the same data and recipe, whatever the seed and the machine."""
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


def train(candidate: Candidate, splits: Splits, spectator: Spectator) -> None:
    """Train a candidate, or what is left of it, and judge it, quantised too; `finished` reads what came out.

    After every epoch all that going on needs is on the disk.

    Raises:
        RunError: A file cannot be written or read.
    """
    from fitness.training.checkpoint import load_state, save_state
    from fitness.training.fit import Training

    folder, plan, record = candidate.folder, candidate.plan, candidate.record
    begun = described(folder)
    if begun is not None and not begun.on(candidate.data):
        shutil.rmtree(folder)  # what was begun on other data cannot go on
    if (folder / _RESULT).exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    recipe = plan.recipe(splits)
    _write(folder / _RECIPE, _described(candidate, recipe, splits))
    with _threads(plan.threads):
        training = Training(candidate.network, splits, recipe, plan.seed, plan.device)
        seconds = 0.0
        if (folder / _CHECKPOINT).exists():
            state = load_state(folder / _CHECKPOINT)
            training.restore(state["training"])
            seconds = state["seconds"]
        while not training.done and _finite(training):
            started = time.perf_counter()
            epoch = training.run_epoch(partial(_step, record.number, training, count(1), spectator))
            seconds += time.perf_counter() - started
            save_state(folder / _CHECKPOINT, {"training": training.state(), "seconds": seconds})
            spectator.epoch(record.number, epoch.number, epoch.loss, epoch.validation)
        scores, reason = dict(record.scores), None
        last = training.epochs[-1]
        if _finite(training):
            try:
                scores |= _judged(training, splits, folder / _WEIGHTS)
                scores |= {"epochs": len(training.epochs), "train_seconds": round(seconds, 3)}
            except ScoreFailed as error:
                reason = f"after epoch {last.number}: {error}; a lower learning rate may help"
        else:
            reason = f"the loss of epoch {last.number} is {last.loss}; a lower learning rate may help"
    result = {
        "parent": record.number,
        "key": record.key,
        "genotype": record.genotype.to_dict(),
        "status": "failed" if reason else "ok",
        "reason": reason,
        "scores": scores,
        "seconds": round(seconds, 3),
        "epochs": [asdict(epoch) for epoch in training.epochs if isfinite(epoch.loss)],
    }
    _write(folder / _RESULT, result)
    (folder / _CHECKPOINT).unlink(missing_ok=True)


def _step(number: int, training: Training, steps: Iterator[int], spectator: Spectator) -> None:
    spectator.step(number, len(training.epochs) + next(steps) / training.steps)


def epochs_done(candidate: Candidate) -> list[list[float]]:
    """Number, loss and validation accuracy of every epoch that a training under way has done."""
    from fitness.training.checkpoint import load_state

    path = candidate.folder / _CHECKPOINT
    try:
        epochs: list[list[float]] = load_state(path)["training"]["epochs"]
    except RunError:
        if path.exists():
            raise
        return []  # not there yet, or gone because the training has just ended
    return epochs


def _judged(training: Training, splits: Splits, weights: Path) -> dict[str, float]:
    """Accuracies in percent of the best epoch's weights, which are kept, as floats and quantised.

    Raises:
        ScoreFailed: The network has diverged.
    """
    from fitness.quantise import int8_accuracy, quantise
    from fitness.tflite_file import write_tflite
    from fitness.training.checkpoint import save_weights
    from fitness.training.fit import accuracy, lower_seeded

    module, normalise = training.take_best(), splits.normalisation
    scores = {
        "test_accuracy": accuracy(module, splits.test, normalise, training.device),
        "validation_accuracy": training.best_epoch.validation,
    }
    kept = lower_seeded(module.network, 0)  # laid out in memory as when it is read back: rounding depends on it
    kept.load_state_dict(module.state_dict())
    try:
        quantised = quantise(kept, calibration(splits))
    except UsageError as error:  # the images suit the network, so a loss that was finite hid what is not
        raise ScoreFailed("weights or outputs of the network are not finite") from error
    save_weights(weights, module)
    scores["int8_test_accuracy"] = int8_accuracy(quantised, splits.test, normalise)
    with suppress(MissingExtra, UsageError):  # not installed, or an operation that the runtime does not have
        scores["tflite_bytes"] = len(write_tflite(quantised))
    return scores


def _finite(training: Training) -> bool:
    return not training.epochs or isfinite(training.epochs[-1].loss)


def _described(candidate: Candidate, recipe: Recipe, splits: Splits) -> dict[str, object]:
    return {
        "candidate": candidate.record.number,
        "key": candidate.record.key,
        "plan": asdict(candidate.plan),
        "recipe": recipe.to_dict(),
        "split": splits.source,
        "data": dict(candidate.data),
        "normalisation": asdict(splits.normalisation),
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
