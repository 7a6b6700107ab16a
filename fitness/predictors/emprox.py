"""EmProx. Franken, Singh, Vanschoren: Faster Performance Estimation for NAS with Embedding Proximity Score, 2022.

ECML-PKDD Meta-KnowTransfer 2022, PMLR 191:51-61, arXiv:2206.05972. Architectures are embedded by a sequence
auto-encoder that sees no accuracies; the estimate is the mean of the k nearest known ones weighted by 1 / distance.

`mode=clean`, the default, differs from the authors' program, which `mode=reference` follows. Theirs keeps the
embeddings of every batch of all 50 epochs as they were at that moment, dropout included: 121 networks become 6,050
rows, and k = 60 of them are about 32 networks. Clean keeps one embedding of every distinct known network, taken
after training and without dropout, as queries are; a network that is known is told its own accuracy. Known means
the same genotype: in spaces with choices of many values, different networks may have equal tokens. Clean trains for
10 epochs, not 50: tau is the same on NAS-Bench-201 (experiments/predictors/RESULTS.md) for a fifth of the time.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from fitness.predictors.base import Floats, Prediction
from fitness.predictors.features import Columns
from fitness.predictors.sequence_autoencoder import embed, fit, seeded
from fitness.predictors.token_predictor import TokenPredictor, at_least
from spaces.errors import UsageError
from spaces.space import Genotype, Space

__all__ = ["EmProx", "untrained"]

_NEIGHBOURS = {"clean": 10, "reference": 60}
_EPOCHS = {"clean": 10, "reference": 50}
_NEAREST = 1e-5  # least distance: embeddings have length one, in 32 bits, and nearer ones differ by rounding only
_PAIRS = 4_000_000  # distances held at once: 32 MB


class EmProx(TokenPredictor):
    """EmProx (Franken et al. 2022): the nearest known networks in the embedding of an auto-encoder.

    Adding a network embeds it and trains nothing. The doubt is the weighted standard deviation of the neighbours'
    accuracies: 0 for a known network in clean mode.

    Args:
        space: Of the networks.
        scores: Unused: architectures are all that is embedded.
        seed: Of initial weights, dropout and batches.
        target: Scale on which accuracies are averaged; see `FeaturePredictor`. Published: plain.
        mode: "clean" or "reference".
        k: Neighbours, fewer where fewer are known; 0 is 10, in reference mode 60.
        hidden: Length of an embedding.
        epochs: Passes over the known networks; 0 is 10, in reference mode the published 50.
        trained: False leaves the encoder as it was drawn: what training it adds is then seen.
        device: "cpu", "cuda", "cuda:N" or "auto".

    Raises:
        UsageError: No such mode, or an untrained encoder in reference mode, whose memory is what training leaves.
    """

    def __init__(
        self,
        *,
        space: Space,
        scores: Columns | None = None,
        seed: int = 0,
        target: str = "plain",
        mode: str = "clean",
        k: int = 0,
        hidden: int = 32,
        epochs: int = 0,
        trained: bool = True,
        device: str = "cpu",
    ) -> None:
        at_least(0, k=k, epochs=epochs)
        if mode not in _NEIGHBOURS:
            raise UsageError(f"mode is {mode!r}; expected {' or '.join(_NEIGHBOURS)}")
        epochs = epochs or _EPOCHS[mode]
        super().__init__(
            space=space, scores=scores, seed=seed, target=target, hidden=hidden, epochs=epochs, device=device
        )
        if mode == "reference" and not trained:
            raise UsageError("mode=reference remembers what training leaves; expected it with trained=true")
        self._mode, self._k, self._trained = mode, k or _NEIGHBOURS[mode], trained

    def learn(self, rows: Floats, values: Floats) -> None:
        """See `FeaturePredictor.learn`."""
        stale: list[tuple[Tensor, Tensor]] = []
        with seeded(self.seed, self.device) as generator:
            self._model = self.new_model()
            if self._trained:
                fit(
                    self._model,
                    self.tokens(rows),
                    None,
                    self.recipe,
                    generator,
                    (lambda places, embeddings: stale.append((places, embeddings))) if self._stale else None,
                )
        self._numbers: dict[Genotype, int] = {}
        self._values = values
        if self._stale:
            self._owners = torch.cat([places for places, _ in stale])
            self._embeddings = torch.cat([embeddings for _, embeddings in stale]).double()
            self._groups = np.arange(len(rows))
        else:
            self._owners, self._groups = torch.empty(0, dtype=torch.int64), np.empty(0, dtype=np.int64)
            self._embeddings = torch.empty(0, self.hidden, dtype=torch.float64, device=self.device)
            self._remember(self._known.networks)

    def add(self, networks: Sequence[Genotype], accuracies: Sequence[float]) -> None:
        """See `Predictor.add`; embeds these networks and leaves the encoder as it is."""
        if not self._known.networks:
            self.fit(networks, accuracies)
            return
        self._known.extend(networks, accuracies)
        self._remember(networks)
        self._values = self._target.learn(self._known.accuracies)

    def predict(self, networks: Sequence[Genotype]) -> Prediction:
        """See `Predictor.predict`."""
        mean, std = super().predict(networks)
        places = np.array([at for at, each in enumerate(networks) if each in self._numbers], dtype=np.int64)
        own = self._group_values()[[self._numbers[networks[at]] for at in places]]
        mean[places], std[places] = self._target.back(own, np.zeros(len(own)))
        return Prediction(mean, std)

    def judge(self, rows: Floats) -> tuple[Floats, Floats]:
        """See `FeaturePredictor.judge`; of networks as if they were not known."""
        of_memory = torch.from_numpy(self._group_values()).to(self.device)[self._owners.to(self.device)]
        queries = embed(self._model, self.tokens(rows)).double()
        means, stds = nearest_mean(queries, self._embeddings, of_memory, self._k)
        return means.cpu().numpy(), stds.cpu().numpy()

    @property
    def memory_rows(self) -> int:
        """Embeddings that queries are compared with."""
        return len(self._embeddings)

    @property
    def _stale(self) -> bool:
        return self._mode == "reference"

    def _group_values(self) -> Floats:
        """The mean value of what is known of each network of the memory."""
        return np.asarray(np.bincount(self._groups, self._values) / np.bincount(self._groups))

    def _remember(self, networks: Sequence[Genotype]) -> None:
        """Append to the memory: in clean mode networks that it has not yet, in reference mode all."""
        first = 1 + int(self._groups.max(initial=-1))
        if self._stale:
            groups = np.arange(first, first + len(networks))
        else:
            groups = np.array(
                [self._numbers.setdefault(each, len(self._numbers)) for each in networks], dtype=np.int64
            )
        new, places = np.unique(groups, return_index=True)
        places, new = places[new >= first], new[new >= first]
        self._groups = np.concatenate([self._groups, groups])
        if len(new):
            self._owners = torch.cat([self._owners, torch.from_numpy(new)])
            rows = self.features.matrix([networks[place] for place in places])
            fresh = embed(self._model, self.tokens(rows)).double()
            self._embeddings = torch.cat([self._embeddings, fresh])


def untrained(
    *,
    space: Space,
    scores: Columns | None = None,
    seed: int = 0,
    target: str = "plain",
    k: int = 0,
    hidden: int = 32,
    device: str = "cpu",
) -> EmProx:
    """EmProx whose encoder stays as it was drawn: what training it adds is then seen.

    The arguments are those of `EmProx`.
    """
    return EmProx(
        space=space, scores=scores, seed=seed, target=target, k=k, hidden=hidden, trained=False, device=device
    )


def nearest_mean(queries: Tensor, memory: Tensor, values: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Means and standard deviations of the values of the k nearest rows, weighted by 1 / distance.

    Args:
        queries: (n, H).
        memory: (m, H).
        values: (m,), of the rows of the memory.
        k: Neighbours; all of them if there are fewer.

    Returns:
        (n,) and (n,).
    """
    means, stds = [], []
    for part in torch.split(queries, max(1, _PAIRS // len(memory))):
        distances, places = torch.cdist(part, memory).topk(min(k, len(memory)), largest=False)
        weights = 1 / distances.clamp_min(_NEAREST)
        weights = weights / weights.sum(1, keepdim=True)
        near = values[places]
        mean = (weights * near).sum(1)
        means.append(mean)
        stds.append((weights * (near - mean.unsqueeze(1)) ** 2).sum(1).sqrt())
    return torch.cat(means), torch.cat(stds)
