"""NAO's performance predictor. Luo, Tian, Qin, Chen, Liu: Neural Architecture Optimization, NeurIPS 2018.

arXiv:1808.07233, section 3.2: an MLP on the mean of the encoder's outputs, trained together with the auto-encoder
(section 3.3). Encoder, decoder, the residual MLP and 50 epochs are those of NASLib's `nao`, which EmProx was
compared with. The paper's own controller (1-layer LSTM of 96, MLP 3 x 200, 1,000 epochs) is near
`nao(hidden=96,layers=3,width=200,epochs=1000)`. Its other half, moving an embedding uphill and decoding it, is not
here: a predictor judges only.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from fitness.predictors.base import Floats
from fitness.predictors.features import Columns
from fitness.predictors.sequence_autoencoder import SequenceAutoencoder, embed, fit, seeded
from fitness.predictors.token_predictor import TokenPredictor, at_least
from spaces.space import Space

__all__ = ["Nao"]


class Nao(TokenPredictor):
    """NAO's predictor (Luo et al. 2018): an auto-encoder with an MLP that learns accuracies from the embedding.

    One model has no doubt of its own: the standard deviation told is the root mean squared error on the known
    networks, the same for all.

    Args:
        space: Of the networks.
        scores: Unused: architectures are all that is embedded.
        seed: Of initial weights, dropout and batches.
        target: See `FeaturePredictor`. Published: plain.
        hidden: Length of an embedding.
        layers: Hidden layers of the MLP.
        width: Of each of them.
        epochs: Passes over the known networks.
        device: "cpu", "cuda", "cuda:N" or "auto".
    """

    def __init__(
        self,
        *,
        space: Space,
        scores: Columns | None = None,
        seed: int = 0,
        target: str = "plain",
        hidden: int = 64,
        layers: int = 1,
        width: int = 16,
        epochs: int = 50,
        device: str = "cpu",
    ) -> None:
        super().__init__(
            space=space, scores=scores, seed=seed, target=target, hidden=hidden, epochs=epochs, device=device
        )
        at_least(1, layers=layers, width=width)
        self._head = (width,) * layers

    def learn(self, rows: Floats, values: Floats) -> None:
        """See `FeaturePredictor.learn`."""
        known, targets = self.tokens(rows), torch.from_numpy(values).float().to(self.device)
        with seeded(self.seed, self.device) as generator:
            self._model = self.new_model(self._head)
            self.train(self._model, known, targets, generator)
        self._error = float((self._predicted(known) - targets).square().mean().sqrt())

    def train(self, model: SequenceAutoencoder, known: Tensor, targets: Tensor, generator: torch.Generator) -> None:
        """Train a fresh model on (n, T) tokens and their (n,) targets, within `seeded`."""
        fit(model, known, targets, self.recipe, generator)

    def judge(self, rows: Floats) -> tuple[Floats, Floats]:
        """See `FeaturePredictor.judge`."""
        mean = self._predicted(self.tokens(rows)).double().cpu().numpy()
        return mean, np.full(len(mean), self._error)

    def _predicted(self, tokens: Tensor) -> Tensor:
        return predicted(self._model, tokens)


@torch.no_grad()
def predicted(model: SequenceAutoencoder, tokens: Tensor) -> Tensor:
    """(n,) values that the head of a model gives (n, T) tokens."""
    assert model.head is not None
    value: Tensor = model.head(embed(model, tokens))
    return value
