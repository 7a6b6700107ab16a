"""BANANAS' ensemble of MLPs. White, Neiswanger, Savani: BANANAS, AAAI 2021, arXiv:1910.11858, section 4.

Five MLPs of ten layers of 20 units on path encodings, 200 epochs of Adam at 0.01: the paper's settings. They differ
in initial weights and batches only. Differs from the paper: the loss is the mean absolute error on standardised
accuracies, as in NASLib (the paper's relative error needs a known least error).
"""

from __future__ import annotations

from itertools import pairwise
from math import sqrt

import torch
from torch import Tensor, nn

from fitness.predictors.base import FeaturePredictor, Floats
from fitness.predictors.features import Columns
from fitness.predictors.scaling import Scaling
from fitness.predictors.sequence_autoencoder import seeded
from fitness.predictors.token_predictor import at_least
from fitness.probing.source import usable_device
from spaces.errors import UsageError
from spaces.space import Space

__all__ = ["MlpEnsemble", "single"]


class Members(nn.Module):
    """MLPs of equal shape, all run at once: (E, n, d) to (E, n); Glorot uniform weights, biases 0."""

    def __init__(self, members: int, inputs: int, layers: int, width: int) -> None:
        super().__init__()
        sizes = (inputs, *(width,) * layers, 1)
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for before, after in pairwise(sizes):
            bound = sqrt(6 / (before + after))
            self.weights.append(nn.Parameter(torch.empty(members, before, after).uniform_(-bound, bound)))
            self.biases.append(nn.Parameter(torch.zeros(members, 1, after)))

    def forward(self, x: Tensor) -> Tensor:
        """Every member's values (E, n) of its own rows (E, n, d)."""
        last = len(self.weights) - 1
        for number, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = torch.baddbmm(bias, x, weight)
            if number < last:
                x = torch.relu(x)
        return x.squeeze(-1)


class MlpEnsemble(FeaturePredictor):
    """BANANAS' ensemble of MLPs on paths (White et al. 2021); the doubt is their spread, of one MLP 0.

    Args:
        space: Of the networks.
        scores: See `make_predictor`.
        seed: Of initial weights and batches.
        features: See `FeaturePredictor`.
        target: See `FeaturePredictor`. Published: plain.
        members: MLPs.
        layers: Hidden layers of each.
        width: Units of a hidden layer.
        epochs: Passes over the known networks.
        batch: Networks per step of Adam.
        learning_rate: Of Adam.
        device: "cpu", "cuda", "cuda:N" or "auto".
    """

    def __init__(
        self,
        *,
        space: Space,
        scores: Columns | None = None,
        seed: int = 0,
        features: str = "path",
        target: str = "plain",
        members: int = 5,
        layers: int = 10,
        width: int = 20,
        epochs: int = 200,
        batch: int = 32,
        learning_rate: float = 0.01,
        device: str = "cpu",
    ) -> None:
        super().__init__(space=space, scores=scores, seed=seed, features=features, target=target)
        at_least(1, members=members, layers=layers, width=width, epochs=epochs, batch=batch)
        if not learning_rate > 0:
            raise UsageError(f"learning_rate is {learning_rate}; expected a number above 0")
        self._shape = (members, layers, width)
        self._epochs, self._batch, self._rate = epochs, batch, learning_rate
        self._device = usable_device(device)

    def learn(self, rows: Floats, values: Floats) -> None:
        """See `FeaturePredictor.learn`."""
        members, layers, width = self._shape
        self._scaling = Scaling(rows)
        x, y = self._scaled(rows), torch.from_numpy(values).float().to(self._device)
        with seeded(self.seed, self._device) as generator:
            self._model = Members(members, x.shape[1], layers, width).to(self._device)
            optimiser = torch.optim.Adam(self._model.parameters(), self._rate, betas=(0.9, 0.99))
            for _ in range(self._epochs):
                order = torch.rand(members, len(x), generator=generator).argsort(1).to(self._device)
                for places in torch.split(order, self._batch, dim=1):
                    loss = (self._model(x[places]) - y[places]).abs().mean(1).sum()  # each member its own mean
                    optimiser.zero_grad()
                    loss.backward()
                    optimiser.step()

    @torch.no_grad()
    def judge(self, rows: Floats) -> tuple[Floats, Floats]:
        """See `FeaturePredictor.judge`."""
        x = self._scaled(rows)
        votes = self._model(x.expand(self._shape[0], *x.shape)).double().cpu().numpy()
        return votes.mean(0), votes.std(0)

    def _scaled(self, rows: Floats) -> Tensor:
        """(n, d) columns as the model reads them, on the device."""
        return torch.from_numpy(self._scaling(rows)).float().to(self._device)


def single(
    *,
    space: Space,
    scores: Columns | None = None,
    seed: int = 0,
    features: str = "onehot",
    target: str = "plain",
    layers: int = 3,
    width: int = 64,
    epochs: int = 200,
    batch: int = 32,
    learning_rate: float = 0.01,
    device: str = "cpu",
) -> MlpEnsemble:
    """One MLP on the choices themselves, which tells no doubt; the arguments are those of `MlpEnsemble`."""
    return MlpEnsemble(
        space=space,
        scores=scores,
        seed=seed,
        features=features,
        target=target,
        members=1,
        layers=layers,
        width=width,
        epochs=epochs,
        batch=batch,
        learning_rate=learning_rate,
        device=device,
    )
