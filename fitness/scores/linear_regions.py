"""Linear regions. Chen, Gong, Wang, ICLR 2021, arXiv:2102.11535.

Neural Architecture Search on ImageNet in Four GPU Hours: A Theoretically Inspired Perspective (TE-NAS).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fitness.probing.passes import Pass
from fitness.probing.sign_kernel import ReluOutput
from fitness.scores.base import Observer, PassScore, equal_spans
from spaces.errors import ScoreFailed, UsageError

__all__ = ["LinearRegions"]


@dataclass(frozen=True, kw_only=True)
class LinearRegions(PassScore):
    """In how many different linear regions of the network a batch's images lie: distinct patterns of all its ReLUs.

    At most the number of images, which networks of full width reach. TE-NAS counts the regions of 3 batches of 1000
    patches of 3 x 3 pixels in a one-cell network of width one (`te_nas_regions`, `batches=3`).

    Args:
        batches: How many mini-batches the images are split into, each with its own pass.
    """

    batches: int = 1
    title: ClassVar[str] = "linear_regions"
    unit: ClassVar[str] = "regions"
    positive: ClassVar[bool] = True
    published_batch: ClassVar[int] = 1000

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.batches < 1:
            raise UsageError(f"linear_regions: batches is {self.batches}; expected a whole number of at least 1")

    def spans(self, count: int) -> tuple[tuple[int, int], ...]:
        """See `Score.spans`."""
        return equal_spans(self.name, count, self.batches)

    def observer(self) -> ImagePatterns:
        """See `PassScore.observer`."""
        return ImagePatterns()

    def value(self, *passes: Pass) -> float:
        """See `PassScore.value`."""
        packed = []
        for done in passes:
            watched = done.observers[self]
            assert isinstance(watched, ImagePatterns)
            packed.append(watched.packed())
        return count_rows(np.concatenate(packed))


class ImagePatterns(Observer):
    """Per image, the signs of all ReLU units, eight to a byte."""

    def __init__(self) -> None:
        self._bytes: list[NDArray[np.uint8]] = []

    def relu(self, output: ReluOutput) -> None:
        """Note the patterns of one ReLU."""
        self._bytes.append(np.packbits(output.codes.cpu().numpy(), axis=1))

    def packed(self) -> NDArray[np.uint8]:
        """(B, V/8 or more), the same for images of the same pattern.

        Raises:
            ScoreFailed: No ReLU was called.
        """
        if not self._bytes:
            raise ScoreFailed("the module calls no ReLU, whose patterns the score counts")
        return np.concatenate(self._bytes, axis=1)


def count_rows(rows: NDArray[np.uint8]) -> int:
    """Number of distinct rows; TE-NAS's sum_i 1 / #{j: row j equals row i}, for which no pairs are needed."""
    return len({row.tobytes() for row in rows})
