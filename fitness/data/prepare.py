"""From a data set to a batch: draw, convert channels, resize, normalise; and noise, which needs none of that.

Knows no files. Everything depends on the seed and the set alone, so that every score sees the same images.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from spaces.errors import RunError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from fitness.data.image_set import ImageSet, Pixels

__all__ = ["draw", "draw_noise", "whole"]

_LUMA: Final = (0.299, 0.587, 0.114)  # ITU-R BT.601: how bright red, green and blue look
_STATISTICS_IMAGES: Final = 1000
_STATISTICS_SEED: Final = 0


def draw_noise(shape: tuple[int, int, int], count: int, seed: int) -> NDArray[np.float32]:
    """(count, C, H, W) independent draws from N(0, 1)."""
    import numpy as np

    return np.random.default_rng(seed).standard_normal((count, *shape), dtype=np.float32)


def draw(
    images: ImageSet, source: str, shape: tuple[int, int, int], count: int, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.int64] | None]:
    """Images and labels at the first `count` places of a permutation that the seed fixes.

    Args:
        images: The set.
        source: What it is called, for messages.
        shape: (C, H, W) of the result.
        count: Number of images.
        seed: Of the permutation.

    Returns:
        (count, C, H, W) normalised pixels and (count,) labels, or None.

    Raises:
        UsageError: The set holds fewer images, or its channels cannot be converted.
        RunError: An image is damaged or holds values that are not finite.
    """
    import numpy as np

    if count > images.count:
        raise UsageError(
            f"{source} holds {images.count:,} images and {count:,} were asked for; ask for no more than it holds"
        )
    drawn = np.random.default_rng(seed).permutation(images.count)[:count]
    batch = np.empty((count, *shape), dtype=np.float32)
    raw = False
    for index, pixels in enumerate(images.pick(drawn.tolist())):
        raw = pixels.dtype == np.uint8
        batch[index] = _resize(_channels(pixels, shape[0], source), shape[1:])
    if raw:
        mean, deviation = _statistics(images, shape[0], source)
        batch -= mean[:, None, None]
        batch /= deviation[:, None, None]
    if not np.isfinite(batch).all():
        raise _not_finite(source)
    return batch, None if images.labels is None else images.labels[drawn]


def whole(
    images: ImageSet, source: str, shape: tuple[int, int, int], on_image: Callable[[int], None]
) -> NDArray[np.uint8] | NDArray[np.float32]:
    """All images of a set in its order, as stored: bytes where it has bytes, rounded if they had to be converted.

    Args:
        images: The set.
        source: What it is called, for messages.
        shape: (C, H, W) of every image of the result.
        on_image: Told how many are done.

    Returns:
        (N, C, H, W) pixels, not normalised.

    Raises:
        UsageError: Channels cannot be converted.
        RunError: An image is damaged or holds values that are not finite.
    """
    import numpy as np

    made: NDArray[np.uint8] | NDArray[np.float32] | None = None
    for index, pixels in enumerate(images.pick(range(images.count))):
        if made is None:
            made = np.empty((images.count, *shape), dtype=pixels.dtype)
        planes = np.atleast_3d(pixels).transpose(2, 0, 1)
        if planes.shape != shape:
            planes = _resize(_channels(pixels, shape[0], source), shape[1:])
            if pixels.dtype == np.uint8:
                planes = np.rint(planes * 255).clip(0, 255)
        made[index] = planes
        on_image(index + 1)
    assert made is not None, "no set is empty"
    if made.dtype != np.uint8 and not np.isfinite(made).all():
        raise _not_finite(source)
    return made


def _not_finite(source: str) -> RunError:
    return RunError(f"{source} holds pixels that are not finite; expected numbers: mend the array")


def _channels(pixels: Pixels, channels: int, source: str) -> NDArray[np.float32]:
    """One image as (C, H, W): 8 bits scaled to [0, 1], grey from colour or colour from grey."""
    import numpy as np

    scaled = pixels.astype(np.float32) / np.float32(255) if pixels.dtype == np.uint8 else pixels
    planes = np.atleast_3d(scaled).transpose(2, 0, 1)
    match len(planes), channels:
        case have, want if have == want:
            return planes
        case 1, 3:
            return np.repeat(planes, 3, axis=0)
        case 3, 1:
            return np.tensordot(np.array([_LUMA], dtype=np.float32), planes, axes=1)
        case have, want:
            raise UsageError(
                f"images of {source} have {have} channels and the network takes {want}; only 1 and 3 are "
                "converted into each other: choose another source or network"
            )


def _resize(planes: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """(C, H, W) at another height and width; Pillow's filters widen when they shrink, so nothing aliases."""
    import numpy as np
    from PIL import Image

    if planes.shape[1:] == size:
        return planes
    height, width = size
    # plane by plane in floating point: any number of channels, and no rounding to 8 bits
    return np.stack(
        [np.asarray(Image.fromarray(plane).resize((width, height), Image.Resampling.BILINEAR)) for plane in planes]
    )


def _statistics(images: ImageSet, channels: int, source: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(C,) mean and standard deviation of the whole set's pixels in [0, 1], at the size the images come in.

    The published ones describe colour images; a grey image's cannot be derived from them.
    """
    import numpy as np

    if images.published and channels == len(images.published.mean):
        published = np.array([images.published.mean, images.published.deviation], dtype=np.float32)
        return published[0], published[1]
    sample = np.random.default_rng(_STATISTICS_SEED).permutation(images.count)[:_STATISTICS_IMAGES]
    first, second = np.zeros(channels), np.zeros(channels)
    for pixels in images.pick(sample.tolist()):  # images may differ in size: each has the same weight
        planes = _channels(pixels, channels, source).astype(np.float64)
        first += planes.mean(axis=(1, 2)) / len(sample)
        second += np.square(planes).mean(axis=(1, 2)) / len(sample)
    deviation = np.sqrt(np.maximum(second - first**2, 0.0))
    deviation[deviation < 1e-6] = 1.0  # a channel that is the same everywhere becomes 0, not infinite
    return first.astype(np.float32), deviation.astype(np.float32)
