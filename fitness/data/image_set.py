"""A data set as a reader leaves it: how many images and classes it has, and how to get at single images.

Knows neither files nor the shapes that networks take.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from spaces.errors import RunError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Pixels: TypeAlias = NDArray[np.uint8] | NDArray[np.float32]

__all__ = ["ImageSet", "Statistics", "class_numbers", "in_memory"]

_MOST_CLASSES: Final = 100_000  # a larger class number is no class number; ImageNet-21k has 21,841


@dataclass(frozen=True, slots=True)
class Statistics:
    """Mean and standard deviation of every channel, of pixels in [0, 1]."""

    mean: tuple[float, ...]
    deviation: tuple[float, ...]


@dataclass(frozen=True, slots=True, eq=False)
class ImageSet:
    """A data set whose pixels are fetched when they are asked for.

    Args:
        count: Number of images, at least 1.
        pick: Yields the images at the given places: (H, W) or (H, W, C), either uint8 to be normalised or
            float32 that already is.
        labels: (count,) class numbers from 0, or None.
        classes: Number of classes; 0 without labels.
        published: Statistics of the red, green and blue channel, where the set comes with them.
        test: Reads the images kept apart for testing, of the same classes; None where the set has no such part.
    """

    count: int
    pick: Callable[[Sequence[int]], Iterator[Pixels]]
    labels: NDArray[np.int64] | None
    classes: int
    published: Statistics | None = None
    test: Callable[[], ImageSet] | None = None


def in_memory(
    images: Pixels,
    labels: NDArray[np.int64] | None,
    classes: int,
    published: Statistics | None = None,
    test: Callable[[], ImageSet] | None = None,
) -> ImageSet:
    """The set of an array (N, H, W) or (N, H, W, C) that has been read."""

    def pick(places: Sequence[int]) -> Iterator[Pixels]:
        return (images[place] for place in places)

    return ImageSet(len(images), pick, labels, classes, published, test)


def class_numbers(labels: NDArray[Any], count: int, where: str) -> NDArray[np.int64]:
    """Labels as a file holds them, checked: one class number from 0 per image.

    Args:
        labels: (N,) or (N, 1) integers.
        count: Number of images.
        where: The file, for messages.

    Raises:
        RunError: Another number of labels than of images, or labels that are no class numbers.
    """
    import numpy as np

    if labels.dtype.kind not in "iu" or labels.shape not in {(len(labels),), (len(labels), 1)}:
        what = f"{labels.dtype} labels of shape {labels.shape}"
        raise RunError(f"{where} holds {what}; expected one integer per image: write class numbers from 0")
    if len(labels) != count:
        raise RunError(
            f"{where} holds {len(labels):,} labels for {count:,} images; expected one for each: get it again"
        )
    if count and not 0 <= int(labels.min()) <= int(labels.max()) < _MOST_CLASSES:
        what = f"labels from {labels.min()} to {labels.max()}"
        raise RunError(f"{where} holds {what}; expected class numbers from 0 to at most {_MOST_CLASSES - 1:,}")
    return labels.reshape(count).astype(np.int64)
