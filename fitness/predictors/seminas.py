"""SemiNAS. Luo, Tan, Wang, Qin, Chen, Liu: Semi-Supervised Neural Architecture Search, NeurIPS 2020.

arXiv:2002.10389, section 3.2: NAO's predictor trained on the known networks labels random networks, and is trained
on with both. As in NASLib: as many random networks as known ones, each known network ten times, 50 + 50 epochs; the
paper has 1,000 + 1,000 epochs and 10,000 random networks.
"""

from __future__ import annotations

from random import Random

import torch
from torch import Tensor

from fitness.predictors.features import Columns
from fitness.predictors.nao import Nao, predicted
from fitness.predictors.sequence_autoencoder import SequenceAutoencoder, fit
from fitness.predictors.token_predictor import at_least
from spaces.space import Space

__all__ = ["SemiNas"]


class SemiNas(Nao):
    """SemiNAS (Luo et al. 2020): NAO's predictor, trained on with random networks that it has labelled itself.

    Args:
        space: Of the networks; the random ones are its samples.
        scores: Unused: architectures are all that is embedded.
        seed: Of initial weights, dropout, batches and random networks.
        target: See `FeaturePredictor`. Published: plain.
        hidden: See `Nao`.
        layers: See `Nao`.
        width: See `Nao`.
        epochs: Passes over the known networks, and again over known and random ones.
        device: See `Nao`.
        pool: Random networks per known one.
        repeats: How often each known network is among those of the second training.
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
        pool: int = 1,
        repeats: int = 10,
    ) -> None:
        super().__init__(
            space=space,
            scores=scores,
            seed=seed,
            target=target,
            hidden=hidden,
            layers=layers,
            width=width,
            epochs=epochs,
            device=device,
        )
        at_least(1, pool=pool, repeats=repeats)
        self._space, self._pool, self._repeats = space, pool, repeats

    def train(self, model: SequenceAutoencoder, known: Tensor, targets: Tensor, generator: torch.Generator) -> None:
        """See `Nao.train`."""
        super().train(model, known, targets, generator)
        rng = Random(self.seed)
        drawn = [self._space.sample(rng) for _ in range(self._pool * len(known))]
        random = self.tokens(self.features.matrix(drawn))
        rows = torch.cat([known.repeat(self._repeats, 1), random])
        labels = torch.cat([targets.repeat(self._repeats), predicted(model, random)])
        fit(model, rows, labels, self.recipe, generator)
