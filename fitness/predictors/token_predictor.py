"""What predictors that embed token sequences share: EmProx, NAO and SemiNAS."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from fitness.predictors.base import FeaturePredictor, Floats
from fitness.predictors.features import Columns
from fitness.predictors.features.tokens import Tokens
from fitness.predictors.sequence_autoencoder import Recipe, SequenceAutoencoder
from fitness.probing.source import usable_device
from spaces.errors import UsageError
from spaces.space import Space

__all__ = ["TokenPredictor", "at_least"]


class TokenPredictor(FeaturePredictor):
    """A predictor with an auto-encoder of the space's token sequences; a subclass says how it is trained and asked.

    Equal seeds give equal numbers on a processor; a GPU sums in no fixed order, so last digits move.

    Args:
        space: Of the networks.
        scores: Columns of further features, which tokens do without.
        seed: Of initial weights, dropout and batches.
        target: See `FeaturePredictor`.
        hidden: Length of an embedding.
        epochs: Passes over the known networks.
        device: "cpu", "cuda", "cuda:N" or "auto".
    """

    def __init__(
        self, *, space: Space, scores: Columns | None, seed: int, target: str, hidden: int, epochs: int, device: str
    ) -> None:
        super().__init__(space=space, scores=scores, seed=seed, features="tokens", target=target)
        at_least(1, hidden=hidden, epochs=epochs)
        self.hidden, self.recipe = hidden, Recipe(epochs=epochs)
        self.device = usable_device(device)

    def new_model(self, head: tuple[int, ...] = ()) -> SequenceAutoencoder:
        """An untrained auto-encoder on the device; draws from torch's own state."""
        vocabulary = cast(Tokens, self.features.kinds["tokens"]).vocabulary
        return SequenceAutoencoder(vocabulary, self.hidden, head=head).to(self.device)

    def tokens(self, rows: Floats) -> Tensor:
        """(n, T) rows of features as int64 on the device."""
        return torch.from_numpy(rows.astype("int64")).to(self.device)


def at_least(least: int, **options: int) -> None:
    """Refuse options of a predictor that are too small.

    Raises:
        UsageError: One is below `least`.
    """
    for name, value in options.items():
        if value < least:
            raise UsageError(f"{name} is {value}; expected a whole number of at least {least}")
