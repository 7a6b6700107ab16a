"""ZiCo. Li, Yang, Bhardwaj, Marculescu, ICLR 2023, arXiv:2301.11300.

ZiCo: Zero-shot NAS via Inverse Coefficient of Variation on Gradients.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite, log
from typing import ClassVar

import torch

from fitness.probing.passes import Pass
from fitness.scores.base import PassScore, equal_spans
from spaces.errors import ScoreFailed, UsageError

__all__ = ["ZiCo"]


@dataclass(frozen=True, kw_only=True)
class ZiCo(PassScore):
    """Sum over layers of ln sum mean|g| / std(g), g the gradients of one weight in several mini-batches (eq. 17).

    Weights whose gradients do not differ, and layers of such weights only, are left out. 2 mini-batches of 128
    images in the paper. With 2, a few weights whose gradients nearly agree dominate a layer, so that the value
    moves by a percent when the order of additions does: another processor, number of threads or memory layout.

    Args:
        batches: How many mini-batches the images are split into.
    """

    batches: int = 2
    title: ClassVar[str] = "zico"
    unit: ClassVar[str] = "nats"
    published_batch: ClassVar[int] = 256
    needs_labels: ClassVar[bool] = True
    gradients: ClassVar[bool] = True
    ignores_dead: ClassVar[bool] = True
    cost: ClassVar[str] = "2 forwards, 2 backwards"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.batches < 2:
            raise UsageError(f"zico: batches is {self.batches}; expected at least 2, whose gradients can differ")

    def spans(self, count: int) -> tuple[tuple[int, int], ...]:
        """See `Score.spans`."""
        return equal_spans(self.name, count, self.batches)

    def value(self, *passes: Pass) -> float:
        """See `PassScore.value`."""
        total = 0.0
        if not passes[0].weights:
            raise ScoreFailed(
                "the module has no convolution and no dense layer, whose gradients the score compares"
            )
        for weights in zip(*(done.weights for done in passes), strict=True):
            grads = [done.gradients.get(weight) for weight, done in zip(weights, passes, strict=True)]
            if any(grad is None for grad in grads):
                continue
            stacked = torch.stack([grad for grad in grads if grad is not None])
            spread = stacked.std(dim=0, correction=0)
            moving = spread != 0
            ratio = float((stacked.abs().mean(dim=0)[moving] / spread[moving]).sum())
            if not isfinite(ratio):
                raise ScoreFailed("the gradient of the loss to the weights is inf or nan")
            total += log(ratio) if ratio else 0.0
        return total
