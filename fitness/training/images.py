"""What networks are trained and judged on: images as they are stored, split three ways.

Pixels stay bytes until a batch is made, a quarter of the memory; knows neither files nor networks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["LabelledImages", "Normalisation", "Splits"]


@dataclass(frozen=True, slots=True, eq=False)
class LabelledImages:
    """Images with their classes.

    Args:
        pixels: (N, C, H, W) uint8, or float32 used as they are.
        labels: (N,) class numbers.
    """

    pixels: NDArray[np.uint8] | NDArray[np.float32]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def first(self, count: int) -> LabelledImages:
        """The first `count` images."""
        return LabelledImages(self.pixels[:count], self.labels[:count])


@dataclass(frozen=True, slots=True)
class Normalisation:
    """Mean and standard deviation of every channel, of pixels scaled to [0, 1]; stored floats are left alone."""

    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    def __call__(self, pixels: Tensor) -> Tensor:
        """(N, C, H, W) float32 that a network takes, of stored pixels."""
        if pixels.dtype != torch.uint8:
            return pixels
        mean = torch.tensor(self.mean, device=pixels.device)[:, None, None]
        deviation = torch.tensor(self.deviation, device=pixels.device)[:, None, None]
        return (pixels.float() / 255 - mean) / deviation


@dataclass(frozen=True, slots=True, eq=False)
class Splits:
    """A data set, split; no image is in two parts.

    Args:
        train: What weights are fitted to.
        validation: What epochs and networks are chosen by.
        test: What accuracies are reported on. No training looks at it; who picks among trained networks by a test
            accuracy has chosen by it, and the one picked looks better than it is.
        normalisation: Of the training images.
        classes: Number of classes.
        source: What was asked for, and how it was split.
    """

    train: LabelledImages
    validation: LabelledImages
    test: LabelledImages
    normalisation: Normalisation
    classes: int
    source: str
