"""A sequence auto-encoder with attention. Luo et al.: Neural Architecture Optimization, NeurIPS 2018.

arXiv:1808.07233, sections 3.1 to 3.3, by Luo, Tian, Qin, Chen, Liu; in the form of SemiNAS (arXiv:2002.10389) and
NASLib: what EmProx, NAO and SemiNAS embed architectures with. It knows sequences of whole numbers only, neither
networks nor the unit of accuracies.

An architecture is a row of T tokens in 0 .. V - 1. The encoder turns it into T vectors and one embedding of unit
length; the decoder, started from the embedding and attending to the vectors, must give the row back; a head may
learn a number from the embedding at the same time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from math import sqrt

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Recipe", "ResidualHead", "SequenceAutoencoder", "embed", "fit", "seeded"]

_START = 0
"""The token that opens what the decoder reads; no architecture's own tokens but padding are 0."""
_HALVE = sqrt(0.5)
"""Keeps the variance of a sum of two terms."""
_AT_ONCE = 4096
"""Rows embedded in one pass: bounds the memory of a query over a whole space."""

Watch = Callable[[Tensor, Tensor], None]
"""Told of every batch of the training: the rows' places (B,) and their embeddings (B, H) at that moment."""


@dataclass(frozen=True)
class Recipe:
    """How an auto-encoder is trained; the defaults are those of NASLib's SemiNAS and of EmProx.

    Attributes:
        epochs: Passes over the rows.
        batch: Rows per step of Adam.
        learning_rate: Of Adam.
        weight_decay: L2 penalty within Adam.
        clip: Largest norm of a step's gradient.
        trade_off: Share λ of the head's squared error in the loss, the rest being reconstruction.
    """

    epochs: int = 50
    batch: int = 100
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    clip: float = 5.0
    trade_off: float = 0.8


class Encoder(nn.Module):
    """(n, T) tokens to n × T vectors and n embeddings, all of length one."""

    def __init__(self, vocabulary: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, hidden)
        self.dropout = nn.Dropout(dropout)
        self.recurrent = nn.LSTM(hidden, hidden, batch_first=True, bidirectional=True)
        self.project = nn.Linear(2 * hidden, hidden)

    def forward(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """(n, T, H) vectors and (n, H) embeddings."""
        x = self.dropout(self.tokens(rows))
        vectors = functional.normalize(x + self.project(self.recurrent(x)[0]), dim=-1)
        return vectors, functional.normalize(vectors.mean(1), dim=-1)


class Decoder(nn.Module):
    """The log probability of every token, given the ones before it, the embedding and the encoder's vectors."""

    def __init__(self, vocabulary: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, hidden)
        self.dropout = nn.Dropout(dropout)
        self.recurrent = nn.LSTM(hidden, hidden, batch_first=True)
        self.ask = nn.Linear(hidden, hidden, bias=False)
        self.combine = nn.Linear(2 * hidden, hidden, bias=False)
        self.score = nn.Linear(hidden, vocabulary)

    def forward(self, rows: Tensor, vectors: Tensor, embedding: Tensor) -> Tensor:
        """(n, T, V) log probabilities; the decoder reads the true tokens, one place behind (teacher forcing)."""
        x = self.dropout(self.tokens(functional.pad(rows[:, :-1], (1, 0), value=_START)))
        start = embedding.unsqueeze(0)
        x = (x + self.recurrent(x, (start, start))[0]) * _HALVE
        attention = torch.softmax(self.ask(x) @ vectors.transpose(1, 2), dim=-1)  # (n, T, T)
        x = (x + torch.tanh(self.combine(torch.cat((attention @ vectors, x), dim=-1)))) * _HALVE
        return torch.log_softmax(self.score(x), dim=-1)


class ResidualHead(nn.Module):
    """NAO's performance predictor as in SemiNAS: an MLP with dropout around which the embedding is carried."""

    def __init__(self, hidden: int, widths: tuple[int, ...], dropout: float) -> None:
        super().__init__()
        sizes = (hidden, *widths, hidden)
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.dropout = nn.Dropout(dropout)
        self.value = nn.Linear(hidden, 1)

    def forward(self, embedding: Tensor) -> Tensor:
        """(n,) predictions from (n, H) embeddings."""
        x = embedding
        for layer in self.layers:
            x = self.dropout(torch.relu(layer(x)))
        value: Tensor = self.value((embedding + x) * _HALVE).squeeze(-1)
        return value


class SequenceAutoencoder(nn.Module):
    """Encoder, decoder and, for NAO and SemiNAS, a head that predicts from the embedding.

    Args:
        vocabulary: Number V of different tokens, padding included.
        hidden: Length H of every vector and of the embedding.
        dropout: Share of the token embeddings, and of the head's activations, set to zero in training.
        head: Widths of the head's hidden layers; none without them.
    """

    def __init__(self, vocabulary: int, hidden: int, dropout: float = 0.1, head: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.encoder = Encoder(vocabulary, hidden, dropout)
        self.decoder = Decoder(vocabulary, hidden, dropout)
        self.head = ResidualHead(hidden, head, dropout) if head else None


@contextmanager
def seeded(seed: int, device: str) -> Iterator[torch.Generator]:
    """Torch's own randomness (initial weights, dropout) from a seed, and put back as it was afterwards.

    Yields:
        A generator on the processor, for what else is drawn.
    """
    with torch.random.fork_rng([] if device == "cpu" else [device]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed every GPU, and none is put back
        if device != "cpu":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield torch.Generator().manual_seed(seed)


def fit(
    model: SequenceAutoencoder,
    rows: Tensor,
    targets: Tensor | None,
    recipe: Recipe,
    generator: torch.Generator,
    watch: Watch | None = None,
) -> None:
    """Train on architectures; leaves the model in evaluation mode.

    Args:
        model: On the device of `rows`; call within `seeded`, for dropout draws from torch's own state.
        rows: (n, T) int64 tokens.
        targets: (n,) standardised accuracies that the head learns; None learns to reconstruct only.
        recipe: Epochs, steps, loss.
        generator: Draws the batches.
        watch: Sees the embeddings of every batch as training meets them, dropout and all.
    """
    optimiser = torch.optim.Adam(model.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay)
    model.train()
    for _ in range(recipe.epochs):
        for places in torch.split(torch.randperm(len(rows), generator=generator), recipe.batch):
            chosen = places.to(rows.device)
            batch = rows[chosen]
            vectors, embedding = model.encoder(batch)
            if watch:
                watch(places, embedding.detach())
            log_probability = model.decoder(batch, vectors, embedding)
            loss = functional.nll_loss(log_probability.flatten(0, 1), batch.flatten())
            if targets is not None and model.head is not None:
                error = functional.mse_loss(model.head(embedding), targets[chosen])
                loss = recipe.trade_off * error + (1 - recipe.trade_off) * loss  # NAO, section 3.3
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
            optimiser.step()
    model.eval()


@torch.no_grad()
def embed(model: SequenceAutoencoder, rows: Tensor) -> Tensor:
    """(n, H) embeddings of (n, T) tokens, without dropout."""
    model.eval()
    return torch.cat([model.encoder(part)[1] for part in torch.split(rows, _AT_ONCE)])
