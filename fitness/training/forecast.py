"""Forecasting: a recurrent network fitted to the windows of a series, as published with MAE random sampling.

Camero, Toutouh, Alba: "Random error sampling-based recurrent neural network architecture optimization",
arXiv:1909.02425; the recipe is that of their program dlopt, `nn.TrainGradientBased`.

Differs from it: weights are drawn by torch and not by Keras, so numbers agree in distribution only; shares and
logarithms of errors are of the data as they are and not as they are scaled.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from fitness.lower import LoweredNetwork
from fitness.training.fit import lower_seeded
from fitness.training.loop import Epoch, EpochLoop
from fitness.training.recipe import ForecastRecipe
from spaces.layers import Recurrent
from spaces.network import Network

if TYPE_CHECKING:
    from fitness.series import Scaling, Series

__all__ = ["Errors", "Forecasting", "errors", "forecasts"]

_JUDGED_AT_ONCE = 4096  # windows of a forward without gradients
_NEAR_ZERO = 1e-6  # of the largest target: a share of what is smaller says nothing


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
        UsageError: A part of the series is too short for the network's look-back.
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
        for part in self.series.parts:  # one too short is found before the training and not after it
            self.series.window_rows(self.network.shapes[0][0], part)
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
        self._inputs, self._targets = _windows(self.network, self.series, "train", self.device)

    @property
    def steps(self) -> int:
        """Steps of an epoch; the last one may have fewer windows."""
        return -(-len(self._inputs) // self.recipe.batch)

    def _batches(self, number: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The windows of an epoch, in the order of time or shuffled; the masks of dropout start anew."""
        self._masks.manual_seed(self._seed_of(number + 1))  # not what seed 0 draws weights from
        inputs, targets = self._inputs, self._targets
        if self.recipe.shuffle:
            order = torch.randperm(len(inputs), generator=self._masks, device=self.device)
            inputs, targets = inputs[order], targets[order]
        size = self.recipe.batch
        return zip(inputs.split(size), targets.split(size), strict=True)  # type: ignore[no-untyped-call]

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
        return errors(self.module, self.series, "validation", self.device).mse


@dataclass(frozen=True, slots=True)
class Errors:
    """How far forecasts are off, over all windows and outputs.

    Attributes:
        mae: Mean absolute error, scaled as the series is.
        mse: Mean squared error, scaled as the series is.
        msle: Mean squared difference of ln(1 + y), y in the units of the data; None where a forecast or a target is
            -1 or less.
        mape: Mean absolute error as a share of the target, in percent, in the units of the data: scaled, a target
            may be zero that is none; None where a target is zero, or next to it.
    """

    mae: float
    mse: float
    msle: float | None
    mape: float | None

    @classmethod
    def between(cls, found: NDArray[np.floating], wanted: NDArray[np.floating], scaling: Scaling) -> Errors:
        """Those of forecasts (n, O) for targets (n, O), both scaled."""
        found, wanted = found.astype(np.float64), wanted.astype(np.float64)
        off = found - wanted
        mae, mse = float(np.abs(off).mean()), float(np.square(off).mean())
        found, wanted = scaling.undo(found), scaling.undo(wanted)
        sizes = np.abs(wanted)
        msle = mape = None
        if min(found.min(), wanted.min()) > -1:
            msle = float(np.square(np.log1p(found) - np.log1p(wanted)).mean())
        if sizes.min() > _NEAR_ZERO * sizes.max():
            mape = float(100 * (np.abs(found - wanted) / sizes).mean())
        return cls(mae, mse, msle, mape)


def errors(module: LoweredNetwork, series: Series, part: str, device: str = "cpu") -> Errors:
    """How far the forecasts of a module are off on all windows of a part of a series; see `Series.windows`."""
    inputs, targets = _windows(module.network, series, part, device)
    return Errors.between(forecasts(module, inputs), targets.cpu().numpy(), series.scaling)


@torch.no_grad()
def forecasts(module: nn.Module, inputs: Tensor) -> NDArray[np.float32]:
    """(n, O) that a module, put into evaluation mode, makes of windows (n, L, F) on its device."""
    module.eval()
    parts = inputs.split(_JUDGED_AT_ONCE)  # type: ignore[no-untyped-call]
    found: NDArray[np.float32] = torch.cat([module(part) for part in parts]).cpu().numpy()
    return found


def _windows(network: Network, series: Series, part: str, device: str) -> tuple[Tensor, Tensor]:
    """Inputs (n, L, F) and targets (n, O) of all windows of a part that a network reads."""
    windows = series.windows(network.shapes[0][0], part)
    return torch.from_numpy(windows.inputs).to(device), torch.from_numpy(windows.targets).to(device)


def _draw(module: nn.Module, reach: float, seed: int) -> None:
    """Draw every weight and bias uniformly from plus or minus `reach`, in the order of the state dictionary."""
    generator = torch.Generator().manual_seed(seed)
    for weight in module.parameters():
        nn.init.uniform_(weight, -reach, reach, generator)
