"""The images that training-free scores are computed on: `load_images("cifar10:DIR", (3, 32, 32), 64, seed=0)`.

Owns the names of the sources. The readers know files and no shapes, `prepare` shapes and no files; scores and
networks are known to neither.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from spaces.errors import RunError, UnknownName, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fitness.data.image_set import ImageSet

__all__ = ["SOURCES", "Images", "absolute_source", "check_source", "load_images", "reading"]

#: Every form of a source and what it stands for, for the command line.
SOURCES: Final[Mapping[str, str]] = {
    "noise": "draw every pixel from N(0, 1); no labels",
    "digits": "1,797 handwritten digits that come with scikit-learn, 8x8 grey, 10 classes",
    "npz:FILE": "arrays 'images' and 'labels' written by numpy.savez; uint8, or floats used as they are",
    "cifar10:DIR": "CIFAR-10's training images: the unpacked folder, its parent, or cifar-10-python.tar.gz",
    "cifar100:DIR": "CIFAR-100's training images: the unpacked folder, its parent, or cifar-100-python.tar.gz",
    "imagenet16:DIR": "ImageNet16-120's training images: the folder of ImageNet16's batches, or its archive",
    "folder:DIR": "image files in one folder per class, perhaps inside train/; a folder or a .zip of one",
    "idx:DIR": "MNIST's format: train-images-idx3-ubyte[.gz] and labels, else t10k-…; a folder or a file",
}
_FORMS: Final = {form.partition(":")[0]: form for form in SOURCES}
_READERS: Final = {
    "digits": "fitness.data.arrays:read_digits",
    "npz": "fitness.data.arrays:read_npz",
    "cifar10": "fitness.data.cifar:read_cifar10",
    "cifar100": "fitness.data.cifar:read_cifar100",
    "imagenet16": "fitness.data.cifar:read_imagenet16",
    "folder": "fitness.data.folder:read_folder",
    "idx": "fitness.data.idx:read_idx",
}


@dataclass(frozen=True, slots=True, eq=False)
class Images:
    """A batch of images, ready for a network.

    Args:
        images: (N, C, H, W) pixels, normalised per channel.
        labels: (N,) class numbers, or None where the source has no labels.
        classes: Number of classes of the whole data set; 0 without labels.
        source: What was asked for, as `load_images` was given it.
    """

    images: NDArray[np.float32]
    labels: NDArray[np.int64] | None
    classes: int
    source: str


def check_source(source: str) -> None:
    """Refuse a source that is not of one of the forms in `SOURCES`; nothing is read.

    Raises:
        UsageError: The name is unknown (UnknownName), or the path is missing or one too many.
    """
    _split(source)


def absolute_source(source: str) -> str:
    """A source whose path is the same from every folder."""
    name, colon, path = source.partition(":")
    return f"{name}:{os.path.realpath(os.path.expanduser(path))}" if colon and path else source


def load_images(source: str, shape: tuple[int, ...], count: int, seed: int) -> Images:
    """The same images for the same arguments, and the first of these for a smaller count.

    Pixels of 8 bits are scaled to [0, 1] and normalised per channel: with the published mean and standard
    deviation for CIFAR and ImageNet16 in colour, with those of up to 1,000 of its images for every other set.
    Floating-point pixels, which only an .npz can hold, are used as they are. Between one channel and three,
    images are converted; to another height and width they are resized (bilinear, antialiased).

    Args:
        source: One of the forms in `SOURCES`.
        shape: (C, H, W) that the network takes.
        count: Number of images.
        seed: Chooses the images, or the noise.

    Raises:
        UsageError: The source, shape, count or seed is wrong, or the set does not hold that many images.
        UntrustedFile: A pickle that asks for more than the official files hold.
        RunError: The files are damaged or cannot be read.
    """
    _split(source)
    if len(shape) != 3 or min(shape) < 1:
        raise UsageError(f"images cannot have the shape {shape}; expected channels, height and width above 0")
    if count < 1:
        raise UsageError(f"cannot load {count} images from {source}; expected a count of 1 or more")
    if seed < 0:
        raise UsageError(f"images cannot be drawn with the seed {seed}; expected 0 or more")
    from fitness.data.prepare import draw, draw_noise

    with reading(source) as found:
        if found is None:
            return Images(draw_noise(shape, count, seed), None, 0, source)
        return Images(*draw(found, source, shape, count, seed), found.classes, source)


@contextmanager
def reading(source: str) -> Iterator[ImageSet | None]:
    """The set of a source, None for noise; while it is used, what goes wrong with its files is said in one line.

    Raises:
        UsageError: The source is wrong.
        UntrustedFile: A pickle that asks for more than the official files hold.
        RunError: The files are damaged or cannot be read, or do not fit into memory.
    """
    name, path = _split(source)
    try:
        yield None if name == "noise" else _reader(name)(os.path.expanduser(path))
    except OSError as error:
        place = f" ({error.filename})" if error.filename else ""
        reason = error.strerror or " ".join(str(error).split())
        raise RunError(f"{source} cannot be read: {reason}{place}; allow reading it or get it again") from error
    except MemoryError as error:
        raise RunError(f"{source} does not fit into memory; ask for fewer or smaller images") from error


def _split(source: str) -> tuple[str, str]:
    """Name and path of a source; the path is empty for those that need none."""
    name, _, path = source.partition(":")
    if name not in _FORMS:
        raise UnknownName("image source", name, _FORMS)
    form = _FORMS[name]
    if ":" not in form and name != source:
        raise UsageError(f"{source!r} has a path too many; expected just {form!r}: {SOURCES[form]}")
    if ":" in form and not path:
        raise UsageError(f"{source!r} lacks its path; expected {form!r}: {SOURCES[form]}")
    return name, path


def _reader(name: str) -> Callable[[str], ImageSet]:
    """The function that reads a kind of source; its module is imported only now."""
    module, _, function = _READERS[name].partition(":")
    reader: Callable[[str], ImageSet] = getattr(importlib.import_module(module), function)
    return reader
