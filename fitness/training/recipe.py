"""How a network is trained."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import isfinite

from spaces.errors import UnknownName, UsageError

__all__ = ["OPTIMIZERS", "Recipe"]

#: Names of the optimizers and what `learning_rate` they start from.
OPTIMIZERS = {"adamw": 2e-3, "sgd": 0.05}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A training schedule: cosine learning rate after a linear warm-up of a twentieth of the steps.

    Args:
        epochs: Passes over the training images, at most.
        batch: Images of a step.
        optimizer: "adamw" (Loshchilov, Hutter, arXiv:1711.05101) or "sgd" with Nesterov's momentum .9.
        learning_rate: Largest of the schedule; None for the optimizer's own.
        weight_decay: Of all weights with two or more dimensions.
        flip: Mirror half of the images, left to right.
        shift: Move images by up to that many pixels, zeros entering.
        patience: Stop after that many epochs without a better validation accuracy; None never stops early.

    Raises:
        UsageError: A value that makes no schedule.
    """

    epochs: int = 30
    batch: int = 128
    optimizer: str = "adamw"
    learning_rate: float | None = None
    weight_decay: float = 1e-4
    flip: bool = True
    shift: int = 0
    patience: int | None = None

    def __post_init__(self) -> None:
        if self.optimizer not in OPTIMIZERS:
            raise UnknownName("optimizer", self.optimizer, OPTIMIZERS)
        for name, least in (("epochs", 1), ("batch", 2), ("shift", 0), ("patience", 1)):
            value = getattr(self, name)
            if not (value is None and name == "patience") and (type(value) is not int or value < least):
                raise UsageError(f"{name} is {value!r}; expected a whole number of {least} or more")
        for name, value in (("learning_rate", self.peak_rate), ("weight_decay", self.weight_decay)):
            if not (isfinite(value) and (value > 0 or (value == 0 and name == "weight_decay"))):
                raise UsageError(f"{name} is {value!r}; expected a number above 0")

    @property
    def peak_rate(self) -> float:
        """The largest learning rate."""
        return OPTIMIZERS[self.optimizer] if self.learning_rate is None else self.learning_rate

    def to_dict(self) -> dict[str, object]:
        """Its fields, for JSON."""
        return asdict(self)
