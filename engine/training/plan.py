"""How candidates learn to tell images apart, and what of it is left to the images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

from engine.training.measured import CLASSIFICATION, Kind
from engine.training.task import Material, Plan
from fitness.data import absolute_source, check_source
from fitness.training.recipe import Recipe
from spaces.errors import UsageError
from spaces.space import Space

if TYPE_CHECKING:
    from fitness.training.images import Splits

__all__ = ["TrainingPlan"]

#: Sources of handwriting and print: mirrored, a digit is none or another one.
_NOT_MIRRORED: Final = ("digits", "idx")
_SHIFT_SHARE: Final = 16  # 2 pixels of 32, as is usual for CIFAR in half
_LOOKED_AT: Final = 100  # images that tell whether a set is of colour


@dataclass(frozen=True, kw_only=True)
class TrainingPlan(Plan):
    """How candidates learn to tell images apart; see `Plan`.

    Args:
        data: One of `fitness.data.SOURCES` that has labels.
        epochs: See `fitness.training.recipe.Recipe`, as those that follow.
        batch: Images of a step.
        learning_rate: Largest of the schedule; None for the optimizer's own.
        patience: Stop after that many epochs without a better validation accuracy; None never stops early.
        optimizer: "adamw" or "sgd".
        weight_decay: Of kernels and matrices.
        flip: Mirror half of the images; None does so for colour images.
        shift: Move images by up to that many pixels; None is a sixteenth of their height.
        train_images: Train on that many images; None for all.

    Raises:
        UsageError: A value that makes no training.
    """

    kind: ClassVar[Kind] = CLASSIFICATION

    epochs: int = Recipe.epochs
    batch: int = Recipe.batch
    learning_rate: float | None = None
    patience: int | None = None
    optimizer: str = Recipe.optimizer
    weight_decay: float = Recipe.weight_decay
    flip: bool | None = None
    shift: int | None = None
    train_images: int | None = None

    def __post_init__(self) -> None:
        check_source(self.data)
        object.__setattr__(self, "data", absolute_source(self.data))  # a training goes on from other folders too
        if self.data == "noise":
            raise UsageError("data 'noise' has no class labels to train on; expected a source with labels: digits")
        self._recipe(flip=False if self.flip is None else self.flip, shift=self.shift or 0)
        if self.train_images is not None:
            self._check_whole("train_images", 2, 10**9)
        super().__post_init__()

    def check(self, space: Space) -> None:
        """See `Plan.check`; reads one image."""
        from engine.training.images import check

        check(self, space)

    def load(self, space: Space, on_item: Callable[[int, int], None]) -> Material:
        """See `Plan.load`."""
        from engine.training.images import load

        return load(self, space, on_item)

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
