"""Forecasting: a recurrent network fitted to the windows of a series, as published with MAE random sampling.

Camero, Toutouh, Alba: "Random error sampling-based recurrent neural network architecture optimization",
arXiv:1909.02425; the recipe is that of their program dlopt, `nn.TrainGradientBased`.

Differs from it: weights are drawn by torch and not by Keras, so numbers agree in distribution only; no test row is
looked at before the best epoch is chosen.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from math import isfinite
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from fitness.lower import LoweredNetwork
from fitness.training.fit import lower_seeded
from fitness.training.loop import Epoch, EpochLoop
from spaces.errors import UsageError
from spaces.layers import Recurrent
from spaces.network import Network

if TYPE_CHECKING:
    from fitness.series import Series

__all__ = ["Errors", "ForecastRecipe", "Forecasting", "forecasts"]

_JUDGED_AT_ONCE = 4096  # windows of a forward without gradients
_NEAR_ZERO = 1e-6  # of the largest target: a share of what is smaller says nothing


@dataclass(frozen=True, kw_only=True)
class ForecastRecipe:
    """How a network learns to forecast: Adam at a constant rate on the mean squared error.

    Args:
        epochs: Passes over the training windows, at most; published 100 for sine, 1000 for the others.
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
        if not (isfinite(self.learning_rate) and self.learning_rate > 0):
            raise UsageError(f"learning_rate is {self.learning_rate!r}; expected a number above 0")
        if not 0 <= self.dropout < 1:
            raise UsageError(f"dropout is {self.dropout!r}; expected a share of at least 0 and below 1")
        for name in ("weight_range", "min_delta"):
            value = getattr(self, name)
            if not (isfinite(value) and value >= 0):
                raise UsageError(f"{name} is {value!r}; expected a number of 0 or more")

    def to_dict(self) -> dict[str, object]:
        """Its fields, for JSON."""
        return asdict(self)


@dataclass
class Forecasting(EpochLoop):
    """A network on its way to forecast the row after a window; see `EpochLoop`.

    Args:
        network: What is trained; it reads windows (look-back, features).
        series: On what.
        recipe: How; the published one if not given.
        seed: Of weights, dropout and order.
        device: Where.

    Attributes:
        module: The network with its weights of now.
        epochs: Those done; their `validation` is the mean squared error on the validation windows.
        best: State of the module after the epoch of lowest validation error.

    Raises:
        UsageError: The networks' look-back, features or outputs do not suit the series.
    """

    sign: ClassVar[int] = -1
    network: Network
    series: Series
    recipe: ForecastRecipe = field(default_factory=ForecastRecipe)
    seed: int = 0
    device: str = "cpu"
    module: LoweredNetwork = field(init=False)
    epochs: list[Epoch] = field(init=False, default_factory=list)
    best: dict[str, Tensor] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.least_gain = self.recipe.min_delta
        self.module = lower_seeded(self.network, self.seed)
        if self.recipe.weight_range:
            _draw(self.module, self.recipe.weight_range, self.seed)
        self.module.to(self.device)
        self._masks = torch.Generator(self.device)
        for node, layer in zip(self.network.nodes, self.module.layers, strict=True):
            if isinstance(node.op, Recurrent):
                layer.register_forward_hook(self._dropped)
        # One kernel for a step of all weights: small networks spend their time on calls.
        self.optimizer = torch.optim.Adam(self.module.parameters(), lr=self.recipe.learning_rate, fused=True)
        self._inputs, self._targets = self._windows("train")

    @property
    def steps(self) -> int:
        """Steps of an epoch; the last one may have fewer windows."""
        return -(-len(self._inputs) // self.recipe.batch)

    def errors(self, part: str = "test") -> Errors:
        """How far the module as it is now is off.

        Args:
            part: "train", "validation" or "test".
        """
        inputs, targets = self._windows(part)
        return Errors.between(forecasts(self.module, inputs), targets.cpu().numpy())

    def _windows(self, part: str) -> tuple[Tensor, Tensor]:
        """Inputs (n, L, F) and targets (n, O) of all windows of a part, on the device."""
        windows = self.series.windows(self.network.shapes[0][0], part)
        return tuple(torch.from_numpy(rows).to(self.device) for rows in (windows.inputs, windows.targets))  # type: ignore[return-value]

    def _batches(self, number: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The windows of an epoch, in the order of time or shuffled; the masks of dropout start anew."""
        self._masks.manual_seed(self._seed_of(number))
        inputs, targets = self._inputs, self._targets
        if self.recipe.shuffle:
            order = torch.randperm(len(inputs), generator=self._masks, device=self.device)
            inputs, targets = inputs[order], targets[order]
        return zip(inputs.split(self.recipe.batch), targets.split(self.recipe.batch), strict=True)

    def _dropped(self, layer: nn.Module, _inputs: object, outputs: Tensor) -> Tensor:
        """Outputs of a recurrent layer, in training some of them zero and the others as much larger."""
        share = self.recipe.dropout
        if not (layer.training and share):
            return outputs
        kept = torch.empty_like(outputs).bernoulli_(1 - share, generator=self._masks)
        return outputs * kept.div_(1 - share)

    def _rate(self, step: int) -> float:
        return self.recipe.learning_rate

    def _loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return functional.mse_loss(outputs, targets)

    def _validated(self) -> float:
        return self.errors("validation").mse


@dataclass(frozen=True, slots=True)
class Errors:
    """How far forecasts are off, over all windows and outputs, in the units of the targets.

    Attributes:
        mae: Mean absolute error.
        mse: Mean squared error.
        msle: Mean squared difference of ln(1 + y); None where a forecast or a target is -1 or less.
        mape: Mean absolute error as a share of the target, in percent; None where a target is zero, or next to it.
    """

    mae: float
    mse: float
    msle: float | None
    mape: float | None

    @classmethod
    def between(cls, found: NDArray[np.floating], wanted: NDArray[np.floating]) -> Errors:
        """Those of forecasts (n, O) for targets (n, O)."""
        found, wanted = found.astype(np.float64), wanted.astype(np.float64)
        off, sizes = np.abs(found - wanted), np.abs(wanted)
        msle = mape = None
        if min(found.min(), wanted.min()) > -1:
            msle = float(np.square(np.log1p(found) - np.log1p(wanted)).mean())
        if sizes.min() > _NEAR_ZERO * sizes.max():
            mape = float(100 * (off / sizes).mean())
        return cls(float(off.mean()), float(np.square(off).mean()), msle, mape)


@torch.no_grad()
def forecasts(module: nn.Module, inputs: Tensor) -> NDArray[np.float32]:
    """(n, O) that a module, put into evaluation mode, makes of windows (n, L, F) on its device."""
    module.eval()
    return torch.cat([module(some) for some in inputs.split(_JUDGED_AT_ONCE)]).cpu().numpy()


def _draw(module: nn.Module, reach: float, seed: int) -> None:
    """Draw every weight and bias uniformly from plus or minus `reach`, in the order of the state dictionary."""
    generator = torch.Generator().manual_seed(seed)
    for weight in module.parameters():
        nn.init.uniform_(weight, -reach, reach, generator)
