"""The images that the candidates of a run are trained on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from engine.training.plan import TrainingPlan
from fitness.data.splits import load_splits
from fitness.training.images import Splits
from spaces.errors import UsageError
from spaces.space import Space

__all__ = ["load"]

_SPLIT_SEED = 0  # the same test images for every training, whatever its seed


def load(plan: TrainingPlan, space: Space, on_image: Callable[[int, int], None]) -> Splits:
    """The images of a plan, as the networks of a space take them.

    Raises:
        UsageError: See `load_splits`; or there are more classes than the networks tell apart, or fewer images
            than the plan trains on.
        RunError: See `load_splits`.
    """
    splits = load_splits(plan.data, space.channels_first, _SPLIT_SEED, on_image=on_image)
    if splits.classes > space.num_classes:
        raise UsageError(
            f"{plan.data} has {splits.classes} classes and the networks of this run tell {space.num_classes} "
            f"apart; expected a run with --classes {splits.classes}"
        )
    count = plan.train_images
    if count is None:
        return splits
    if count > len(splits.train):
        raise UsageError(
            f"{plan.data} has {len(splits.train):,} images for training and {count:,} were asked for; ask for no "
            "more than it has"
        )
    return replace(splits, train=splits.train.first(count))
