"""Everything that decides what training a candidate comes to, and what of it is left to the data."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Final

from fitness.data import absolute_source, check_source
from fitness.training.recipe import Recipe
from spaces.errors import UsageError

if TYPE_CHECKING:
    from fitness.training.images import Splits

__all__ = ["TrainingPlan"]

#: Sources of handwriting and print: mirrored, a digit is none or another one.
_NOT_MIRRORED: Final = ("digits", "idx")
_SHIFT_SHARE: Final = 16  # 2 pixels of 32, as is usual for CIFAR in half
_LOOKED_AT: Final = 100  # images that tell whether a set is of colour


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """How candidates are trained.

    Args:
        data: One of `fitness.data.SOURCES` that has labels.
        epochs: See `fitness.training.recipe.Recipe`, as those that follow.
        batch: Images of a step.
        optimizer: "adamw" or "sgd".
        learning_rate: Largest of the schedule; None for the optimizer's own.
        weight_decay: Of kernels and matrices.
        flip: Mirror half of the images; None does so for colour images.
        shift: Move images by up to that many pixels; None is a sixteenth of their height.
        patience: Stop after that many epochs without a better validation accuracy; None never stops early.
        train_images: Train on that many images; None for all.
        seed: Of weights, order and augmentation; how the data are split does not depend on it.
        device: "cpu", "cuda", "cuda:N", or "auto": a GPU if there is one.
        threads: Of torch in each process; rounding depends on it.

    Raises:
        UsageError: A value that makes no training.
    """

    data: str
    epochs: int = Recipe.epochs
    batch: int = Recipe.batch
    optimizer: str = Recipe.optimizer
    learning_rate: float | None = None
    weight_decay: float = Recipe.weight_decay
    flip: bool | None = None
    shift: int | None = None
    patience: int | None = None
    train_images: int | None = None
    seed: int = 0
    device: str = "auto"
    threads: int = 1

    def __post_init__(self) -> None:
        check_source(self.data)
        object.__setattr__(self, "data", absolute_source(self.data))  # a training goes on from other folders too
        if self.data == "noise":
            raise UsageError("data 'noise' has no class labels to train on; expected a source with labels: digits")
        self._recipe(flip=bool(self.flip), shift=self.shift or 0)
        for name, least, most in (("train_images", 2, 10**9), ("seed", 0, 2**63 - 1), ("threads", 1, 1024)):
            value = getattr(self, name)
            if not (value is None and name == "train_images") and (
                type(value) is not int or not least <= value <= most
            ):
                raise UsageError(f"{name} is {value!r}; expected a whole number from {least} to {most:,}")

    @property
    def flags(self) -> list[str]:
        """What asks `engine train` for this plan; defaults are left out."""
        flags = []
        for item in fields(self):
            value, flag = getattr(self, item.name), "--" + item.name.replace("_", "-")
            if item.name == "flip" and value is not None:
                flags.append(flag if value else f"--no-{item.name}")
            elif value != item.default:
                flags += [flag, str(value)]
        return flags

    def recipe(self, splits: Splits) -> Recipe:
        """How networks are trained on these images."""
        flip = self._shows_things(splits) if self.flip is None else self.flip
        shift = splits.train.pixels.shape[2] // _SHIFT_SHARE if self.shift is None else self.shift
        return self._recipe(flip, shift)

    def _recipe(self, flip: bool, shift: int) -> Recipe:
        return Recipe(
            epochs=self.epochs,
            batch=self.batch,
            optimizer=self.optimizer,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            flip=flip,
            shift=shift,
            patience=self.patience,
        )

    def _shows_things(self, splits: Splits) -> bool:
        """Whether images are of colour, and so of things that are the same in a mirror."""
        seen = splits.train.pixels[:_LOOKED_AT]
        return self.data.partition(":")[0] not in _NOT_MIRRORED and bool((seen != seen[:, :1]).any())
