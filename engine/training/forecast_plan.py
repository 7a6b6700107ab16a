"""How candidates learn to forecast a series."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from engine.training.measured import FORECASTING, Kind
from engine.training.task import Material, Plan
from fitness.series import SeriesText
from fitness.training.recipe import ForecastRecipe
from spaces.space import Space

__all__ = ["ForecastPlan"]


@dataclass(frozen=True, kw_only=True)
class ForecastPlan(Plan):
    """How candidates learn to forecast a series; see `Plan`.

    Args:
        data: A series; see `fitness.series.load_series`.
        epochs: See `fitness.training.recipe.ForecastRecipe`, as those that follow.
        batch: Windows of a step.
        learning_rate: Of Adam; None for the recipe's own.
        patience: Stop after that many epochs without a lower validation error; None never stops early.
        dropout: Share of the outputs of every recurrent layer that are zeroed in training.
        weight_range: Initial weights are uniform in plus or minus this; 0 for PyTorch's own.
        min_delta: By how much the validation error must be lower to count for `patience`.
        shuffle: Whether every epoch has an order of its own, or that of time.
        device: See `Plan`; networks this small are faster on a CPU.

    Raises:
        UsageError: A value that makes no training.
    """

    kind: ClassVar[Kind] = FORECASTING

    epochs: int = ForecastRecipe.epochs
    batch: int = ForecastRecipe.batch
    learning_rate: float | None = ForecastRecipe.learning_rate
    patience: int | None = ForecastRecipe.patience
    dropout: float = ForecastRecipe.dropout
    weight_range: float = ForecastRecipe.weight_range
    min_delta: float = ForecastRecipe.min_delta
    shuffle: bool = ForecastRecipe.shuffle
    device: str = "cpu"

    def __post_init__(self) -> None:
        # A training goes on from other folders too, and a series is the same however its text is written.
        object.__setattr__(self, "data", str(SeriesText.parse(self.data).absolute))
        if self.learning_rate is None:  # the same plan as the one that names it
            object.__setattr__(self, "learning_rate", ForecastRecipe.learning_rate)
        _ = self.recipe
        super().__post_init__()

    @property
    def recipe(self) -> ForecastRecipe:
        """How networks are trained."""
        assert self.learning_rate is not None, "the plan has named it"
        return ForecastRecipe(
            epochs=self.epochs,
            batch=self.batch,
            learning_rate=self.learning_rate,
            dropout=self.dropout,
            weight_range=self.weight_range,
            patience=self.patience,
            min_delta=self.min_delta,
            shuffle=self.shuffle,
        )

    def check(self, space: Space) -> None:
        """See `Plan.check`; reads the series."""
        from engine.training.forecast import check

        check(self, space)

    def load(self, space: Space, on_item: Callable[[int, int], None]) -> Material:
        """See `Plan.load`."""
        from engine.training.forecast import load

        return load(self, space)
