"""Images that the candidates of a run are trained to tell apart."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from engine.training.calibration import calibration
from engine.training.plan import TrainingPlan
from engine.training.task import DIGITS, Material
from fitness.data import load_images
from fitness.data.splits import load_splits, split_sizes
from fitness.probing.source import usable_device
from fitness.training.images import LabelledImages, Normalisation, Splits
from spaces.errors import MissingExtra, RunError, ScoreFailed, UsageError
from spaces.network import Network
from spaces.space import Space

if TYPE_CHECKING:
    from fitness.training.loop import EpochLoop

__all__ = ["LabelledMaterial", "check", "load"]

_SPLIT_SEED = 0  # the same test images for every training, whatever its seed
_PARTS: Final = ("train", "validation", "test")


@dataclass(frozen=True)
class LabelledMaterial:
    """Images that are told apart by a plan; see `Material`."""

    plan: TrainingPlan
    splits: Splits

    def fingerprint(self) -> Mapping[str, object]:
        """How many images each part has, and a digest of their classes and pixels."""
        counts: dict[str, object] = {}
        digest = hashlib.sha256()
        for name in _PARTS:
            part = getattr(self.splits, name)
            counts[name] = len(part)
            digest.update(f"{name} {part.pixels.shape} {part.pixels.dtype}".encode())
            digest.update(np.ascontiguousarray(part.labels).data)
            digest.update(np.ascontiguousarray(part.pixels).data)
        return counts | {"digest": digest.hexdigest()[:DIGITS]}

    def described(self) -> Mapping[str, object]:
        """See `Material.described`."""
        splits = self.splits
        return {
            "recipe": self.plan.recipe(splits).to_dict(),
            "split": splits.source,
            "normalisation": asdict(splits.normalisation),
        }

    def begin(self, network: Network) -> EpochLoop:
        """See `Material.begin`."""
        from fitness.training.fit import Training

        plan = self.plan
        return Training(network, self.splits, plan.recipe(self.splits), plan.seed, plan.device)

    def judged(self, training: EpochLoop, weights: Path) -> Mapping[str, float]:
        """Accuracies in percent, as floats and quantised; see `Material.judged`."""
        from fitness.quantise import int8_accuracy, quantise
        from fitness.tflite_file import write_tflite
        from fitness.training.checkpoint import save_weights
        from fitness.training.fit import accuracy, lower_seeded

        module, splits, normalise = training.take_best(), self.splits, self.splits.normalisation
        scores = {
            "test_accuracy": accuracy(module, splits.test, normalise, self.plan.device),
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

    def shared(self, folder: Path) -> Callable[[], Material]:
        """The images in files that all processes map; see `Material.shared`."""
        splits = self.splits
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for part in _PARTS:
                images: LabelledImages = getattr(splits, part)
                np.save(folder / f"{part}-pixels.npy", images.pixels)
                np.save(folder / f"{part}-labels.npy", images.labels)
        except OSError as error:
            raise RunError(
                f"cannot write {folder}: {error.strerror or error}; make room, or use 1 worker"
            ) from error
        return partial(_opened, self.plan, str(folder), splits.normalisation, splits.classes, splits.source)


@cache
def _opened(
    plan: TrainingPlan, folder: str, normalisation: Normalisation, classes: int, source: str
) -> LabelledMaterial:
    """The material, read from memory that all processes share; copied where it is written to, which it never is."""
    train, validation, test = (_opened_part(Path(folder), part) for part in _PARTS)
    return LabelledMaterial(plan, Splits(train, validation, test, normalisation, classes, source))


def _opened_part(folder: Path, part: str) -> LabelledImages:
    pixels, labels = (np.load(folder / f"{part}-{what}.npy", mmap_mode="c") for what in ("pixels", "labels"))
    return LabelledImages(pixels, labels)


def load(plan: TrainingPlan, space: Space, on_image: Callable[[int, int], None]) -> LabelledMaterial:
    """The images of a plan, as the networks of a space take them.

    Raises:
        UsageError: See `load_splits`; or there are more classes than the networks tell apart, or fewer images
            than the plan trains on.
        RunError: See `load_splits`.
    """
    splits = load_splits(plan.data, space.channels_first, _SPLIT_SEED, on_image=on_image)
    _check_classes(plan.data, splits.classes, space)
    _check_count(plan, len(splits.train))
    if plan.train_images is not None:
        splits = replace(splits, train=splits.train.first(plan.train_images))
    return LabelledMaterial(plan, splits)


def check(plan: TrainingPlan, space: Space) -> None:
    """Find out before a search, at the price of one image, that candidates could not be trained after it.

    Raises:
        UsageError: See `load`, or there is no such device.
        RunError: The images cannot be read.
    """
    sizes = split_sizes(plan.data)
    _check_classes(plan.data, sizes.classes, space)
    _check_count(plan, sizes.train)
    load_images(plan.data, space.channels_first, 1, _SPLIT_SEED)  # floats, for one, cannot be of another shape
    if plan.device != "auto":
        usable_device(plan.device)


def _check_count(plan: TrainingPlan, has: int) -> None:
    if plan.train_images is not None and plan.train_images > has:
        raise UsageError(
            f"{plan.data} has {has:,} images for training and {plan.train_images:,} were asked for; ask for no "
            "more than it has"
        )


def _check_classes(source: str, classes: int, space: Space) -> None:
    if classes > space.num_classes:
        raise UsageError(
            f"{source} has {classes} classes and the networks of this run tell {space.num_classes} apart; "
            f"expected a run with --classes {classes}"
        )
