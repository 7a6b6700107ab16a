"""The images that the candidates of a run are trained on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from engine.training.plan import TrainingPlan
from fitness.data import load_images
from fitness.data.splits import load_splits, split_sizes
from fitness.probing.source import usable_device
from fitness.training.images import Splits
from spaces.errors import UsageError
from spaces.space import Space

__all__ = ["check", "fingerprint", "load"]

_SPLIT_SEED = 0  # the same test images for every training, whatever its seed
_DIGITS = 16  # of a digest: data that are others by chance are told apart, whoever wants to be deceived is


def load(plan: TrainingPlan, space: Space, on_image: Callable[[int, int], None]) -> Splits:
    """The images of a plan, as the networks of a space take them.

    Raises:
        UsageError: See `load_splits`; or there are more classes than the networks tell apart, or fewer images
            than the plan trains on.
        RunError: See `load_splits`.
    """
    splits = load_splits(plan.data, space.channels_first, _SPLIT_SEED, on_image=on_image)
    _check_classes(plan.data, splits.classes, space)
    _check_count(plan, len(splits.train))
    return splits if plan.train_images is None else replace(splits, train=splits.train.first(plan.train_images))


def fingerprint(splits: Splits) -> dict[str, object]:
    """What tells these images from others: how many each part has, and a digest of their classes and pixels."""
    counts: dict[str, object] = {}
    digest = hashlib.sha256()
    for name in ("train", "validation", "test"):
        part = getattr(splits, name)
        counts[name] = len(part)
        digest.update(f"{name} {part.pixels.shape} {part.pixels.dtype}".encode())
        digest.update(np.ascontiguousarray(part.labels).data)
        digest.update(np.ascontiguousarray(part.pixels).data)
    return counts | {"digest": digest.hexdigest()[:_DIGITS]}


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
