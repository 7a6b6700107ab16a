"""The images that the candidates of a run are trained on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from engine.training.plan import TrainingPlan
from fitness.data import load_images
from fitness.data.splits import load_splits
from fitness.training.images import Splits
from spaces.errors import UsageError
from spaces.space import Space

__all__ = ["check", "load"]

_SPLIT_SEED = 0  # the same test images for every training, whatever its seed


def load(plan: TrainingPlan, space: Space, on_image: Callable[[int, int], None]) -> Splits:
    """The images of a plan, as the networks of a space take them.

    Raises:
        UsageError: See `load_splits`; or there are more classes than the networks tell apart, or fewer images
            than the plan trains on.
        RunError: See `load_splits`.
    """
    splits = load_splits(plan.data, space.channels_first, _SPLIT_SEED, on_image=on_image)
    _check_classes(plan.data, splits.classes, space)
    count = plan.train_images
    if count is None:
        return splits
    if count > len(splits.train):
        raise UsageError(
            f"{plan.data} has {len(splits.train):,} images for training and {count:,} were asked for; ask for no "
            "more than it has"
        )
    return replace(splits, train=splits.train.first(count))


def check(plan: TrainingPlan, space: Space) -> None:
    """Find out before a search, at the price of one image, that candidates could not be trained after it.

    Raises:
        UsageError: There are no such images, they have no labels, or too many classes.
        RunError: They cannot be read.
    """
    images = load_images(plan.data, space.channels_first, 1, 0)
    if images.labels is None:
        raise UsageError(f"{plan.data} has no class labels to train on; expected a source with labels, e.g. digits")
    _check_classes(plan.data, images.classes, space)


def _check_classes(source: str, classes: int, space: Space) -> None:
    if classes > space.num_classes:
        raise UsageError(
            f"{source} has {classes} classes and the networks of this run tell {space.num_classes} apart; "
            f"expected a run with --classes {classes}"
        )
