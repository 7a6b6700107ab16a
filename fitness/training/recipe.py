"""How a network is trained: to tell images apart, or to forecast a series."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import isfinite

from spaces.errors import UnknownName, UsageError

__all__ = ["OPTIMIZERS", "ForecastRecipe", "Recipe"]

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
            if not (_is_number(value) and (value > 0 or (value == 0 and name == "weight_decay"))):
                raise UsageError(f"{name} is {value!r}; expected a number above 0")
        _check_yes_or_no("flip", self.flip)

    @property
    def peak_rate(self) -> float:
        """The largest learning rate."""
        return OPTIMIZERS[self.optimizer] if self.learning_rate is None else self.learning_rate

    def to_dict(self) -> dict[str, object]:
        """Its fields, for JSON."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class ForecastRecipe:
    """How a network learns to forecast: Adam at a constant rate on the mean squared error.

    Args:
        epochs: Passes over the training windows, at most. Published 100 for the sine, 1000 for other series, which
            is not the default for them: a thousand take a CPU ten times as long.
        batch: Windows of a step.
        learning_rate: Of Adam (Kingma, Ba, arXiv:1412.6980), without weight decay.
        dropout: Share of the outputs of every recurrent layer that are zeroed in training.
        weight_range: Initial weights and biases are uniform in plus or minus this; 0 for PyTorch's own.
        patience: Stop after that many epochs without a lower validation error; None never stops early.
        min_delta: By how much the error must be lower to count for `patience`; the best epoch is the lowest, by
            however little.
        shuffle: Whether every epoch has an order of its own; published in the order of time.

    Raises:
        UsageError: A value that makes no training.
    """

    epochs: int = 100
    batch: int = 5
    learning_rate: float = 5e-5
    dropout: float = 0.5
    weight_range: float = 0.5
    patience: int | None = 50
    min_delta: float = 1e-5
    shuffle: bool = False

    def __post_init__(self) -> None:
        for name in ("epochs", "batch", "patience"):
            value = getattr(self, name)
            if not (value is None and name == "patience") and (type(value) is not int or value < 1):
                raise UsageError(f"{name} is {value!r}; expected a whole number of 1 or more")
        if not (_is_number(self.learning_rate) and self.learning_rate > 0):
            raise UsageError(f"learning_rate is {self.learning_rate!r}; expected a number above 0")
        if not (_is_number(self.dropout) and 0 <= self.dropout < 1):
            raise UsageError(f"dropout is {self.dropout!r}; expected a share of at least 0 and below 1")
        for name in ("weight_range", "min_delta"):
            value = getattr(self, name)
            if not (_is_number(value) and value >= 0):
                raise UsageError(f"{name} is {value!r}; expected a number of 0 or more")
        _check_yes_or_no("shuffle", self.shuffle)

    def to_dict(self) -> dict[str, object]:
        """Its fields, for JSON."""
        return asdict(self)


def _is_number(value: object) -> bool:
    """Whether it is a finite number, and no text, truth value or nothing."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and isfinite(value)


def _check_yes_or_no(name: str, value: object) -> None:
    if type(value) is not bool:
        raise UsageError(f"{name} is {value!r}; expected True or False")
