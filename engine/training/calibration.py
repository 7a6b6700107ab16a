"""Images that quantisation takes its ranges from, the same wherever a network is quantised."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from torch import Tensor

    from fitness.training.images import Splits

__all__ = ["CALIBRATION_IMAGES", "calibration"]

CALIBRATION_IMAGES: Final = 512
"""So many, or all if there are fewer."""


def calibration(splits: Splits) -> Tensor:
    """The first of the images for training, normalised, (N, C, H, W) float32."""
    import torch

    return splits.normalisation(torch.from_numpy(splits.train.pixels[:CALIBRATION_IMAGES]))
