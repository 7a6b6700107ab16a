"""A data set split three ways, for training: `load_splits("cifar10:DIR", (3, 32, 32))`.

The test images are those that the set keeps apart; they choose nothing. Where it keeps none, a tenth is taken out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from fitness.data import reading
from fitness.data.prepare import whole
from fitness.training.images import LabelledImages, Normalisation, Splits
from spaces.errors import UsageError

if TYPE_CHECKING:
    from fitness.data.image_set import ImageSet

__all__ = ["OnImage", "Sizes", "load_splits", "split_sizes"]

OnImage = Callable[[int, int], None]
"""Told how many images are read, and of how many."""

_TEST_SHARE: Final = 0.1  # of a set that keeps no images apart
_LEAST_DEVIATION: Final = 1e-6  # a channel that is the same everywhere becomes 0, not infinite


class Sizes(NamedTuple):
    """How many images each part of a set gets, and how many classes there are."""

    train: int
    validation: int
    test: int
    classes: int


def load_splits(
    source: str,
    shape: tuple[int, ...],
    seed: int = 0,
    validation: float = 0.1,
    on_image: OnImage = lambda done, wanted: None,
) -> Splits:
    """All images of a source, as networks of one input shape take them.

    With p a permutation of the places of the training images, `numpy.random.default_rng(seed).permutation(n)`, the
    last `round(validation * n)` of p are for validation and the others, in that order, for training. Of a set
    without test images, `round(0.1 * n)` places of p before those for validation are for testing instead.

    Pixels are converted and resized as scores see them (`fitness.data.load_images`), and stay bytes. They are
    normalised with published statistics where scores take these, else with those of the training images.

    Args:
        source: One of the forms in `fitness.data.SOURCES` that has labels.
        shape: (C, H, W) that the networks take.
        seed: Of the permutation.
        validation: Share of the images that come for training.
        on_image: Told of progress: image files take a while.

    Raises:
        UsageError: The source is none, has no labels, or too few images to be split.
        UntrustedFile: A pickle that asks for more than the official files hold.
        RunError: The files are damaged or cannot be read.
    """
    if len(shape) != 3 or min(shape) < 1:
        raise UsageError(f"images cannot have the shape {shape}; expected channels, height and width above 0")
    with reading(source) as read:
        found, test_set, sizes = _parts(read, source, validation)
        wanted = found.count + (test_set.count if test_set else 0)
        everything = _all(found, source, shape, lambda done: on_image(done, wanted))
        kept_apart = (
            _all(test_set, source, shape, lambda done: on_image(found.count + done, wanted)) if test_set else None
        )
    order = np.random.default_rng(seed).permutation(found.count)
    parts = np.split(order, [sizes.train, found.count - sizes.validation])
    train, split_test, validated = (LabelledImages(everything.pixels[p], everything.labels[p]) for p in parts)
    test = kept_apart or split_test
    how = f"{source}: {len(train):,} images for training, {len(validated):,} for validation, {len(test):,} for " + (
        "testing, kept apart by the set" if kept_apart else "testing, split here as the set keeps none apart"
    )
    return Splits(train, validated, test, _normalisation(found, train), found.classes, how)


def split_sizes(source: str, validation: float = 0.1) -> Sizes:
    """How `load_splits` would split a source; no image is converted.

    Raises:
        UsageError: See `load_splits`, as those that follow.
        UntrustedFile: A pickle that asks for more than the official files hold.
        RunError: The files are damaged or cannot be read.
    """
    with reading(source) as found:
        return _parts(found, source, validation)[2]


def _parts(found: ImageSet | None, source: str, validation: float) -> tuple[ImageSet, ImageSet | None, Sizes]:
    """A set, the images that it keeps apart, and how many each part gets."""
    if not 0 < validation < 1 - _TEST_SHARE:
        raise UsageError(f"validation is {validation}; expected a share of the images between 0 and 0.9")
    if found is None or found.labels is None:
        raise UsageError(f"{source} has no class labels to train on; expected a source with labels, e.g. digits")
    tests = found.test() if found.test else None
    if tests is not None:
        _check_tests(found, tests, source)
    held_back = round(validation * found.count)
    tested = 0 if tests else round(_TEST_SHARE * found.count)
    sizes = Sizes(found.count - held_back - tested, held_back, tests.count if tests else tested, found.classes)
    if not (sizes.validation and sizes.test and sizes.train >= found.classes):
        raise UsageError(
            f"{source} holds {found.count:,} images of {found.classes} classes, too few to train on a part and "
            "judge by the rest; expected at least one of every class for training and ten in all"
        )
    return found, tests, sizes


def _check_tests(found: ImageSet, tests: ImageSet, source: str) -> None:
    if tests.labels is None:
        raise UsageError(f"the test images of {source} have no class labels; expected one for each: add them")
    if tests.classes > found.classes:
        raise UsageError(
            f"the test images of {source} are of {tests.classes} classes, those for training of {found.classes}; "
            "expected the same classes"
        )


def _all(
    images: ImageSet, source: str, shape: tuple[int, int, int], on_image: Callable[[int], None]
) -> LabelledImages:
    assert images.labels is not None, "checked by who calls"
    return LabelledImages(whole(images, source, shape, on_image), images.labels)


def _normalisation(found: ImageSet, train: LabelledImages) -> Normalisation:
    """What scores normalise with if it is published, else mean and deviation of the training images' pixels."""
    channels = train.pixels.shape[1]
    if train.pixels.dtype != np.uint8:  # used as they are
        return Normalisation((0.0,) * channels, (1.0,) * channels)
    if found.published and channels == len(found.published.mean):
        return Normalisation(found.published.mean, found.published.deviation)
    values = np.arange(256) / 255
    means, deviations = [], []
    for channel in range(channels):
        counts = np.bincount(train.pixels[:, channel].ravel(), minlength=256)
        mean = float(np.average(values, weights=counts))
        deviation = float(np.average((values - mean) ** 2, weights=counts) ** 0.5)
        means.append(mean)
        deviations.append(deviation if deviation >= _LEAST_DEVIATION else 1.0)
    return Normalisation(tuple(means), tuple(deviations))
