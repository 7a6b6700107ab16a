"""The IDX files of MNIST and its family (LeCun, Cortes and Burges 1998): big-endian header, then bytes."""

from __future__ import annotations

import gzip
import math
import os
import zlib
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Final

from fitness.data.image_set import ImageSet, class_numbers, in_memory
from spaces.errors import RunError, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["read_idx"]

_UNSIGNED_BYTES: Final = 0x08  # the only type of the family; its code is the third byte of a file
_MOST_BYTES: Final = 1024**3  # EMNIST, the largest of the family, has 0.6 GB


def read_idx(path: str) -> ImageSet:
    """Images and, if they lie beside them, labels: those for training, else the test set's.

    Args:
        path: A folder as distributed, or one file of images.

    Raises:
        UsageError: There is no such path, or no file of images in it.
        RunError: A file is damaged, or labels do not match the images.
    """
    images_path = _images_path(path)
    images = _read(images_path, dimensions=3)
    if not images.size:
        raise RunError(f"{images_path} holds no pixels; expected at least one image: download it again")
    tests = _tests_path(images_path)
    test = partial(read_idx, tests) if tests else None
    labels_path = _labels_path(images_path)
    if labels_path is None:
        return in_memory(images, None, 0, test=test)
    labels = class_numbers(_read(labels_path, dimensions=1), len(images), labels_path)
    return in_memory(images, labels, int(labels.max()) + 1, test=test)


def _images_path(path: str) -> str:
    if os.path.isfile(path):
        return path
    if not os.path.isdir(path):
        raise UsageError(f"there is no folder or file {path!r}; expected that of train-images-idx3-ubyte.gz")
    for split in ("train", "t10k"):
        if found := _find(path, split):
            return found
    raise UsageError(
        f"{path} holds no images in IDX format; expected train-images-idx3-ubyte[.gz] or "
        "t10k-images-idx3-ubyte[.gz]: download these, or name the file of images itself"
    )


def _find(folder: str, split: str) -> str | None:
    """The file of a split's images, packed or not."""
    files = (os.path.join(folder, f"{split}-images{dot}idx3-ubyte{end}") for dot, end in product("-.", ("", ".gz")))
    return next(filter(os.path.isfile, files), None)


def _tests_path(images: str) -> str | None:
    """The test set's images beside those for training."""
    folder, name = os.path.split(images)
    return _find(folder, "t10k") if name.startswith("train-") else None


def _labels_path(images: str) -> str | None:
    """Where the labels lie: as the images, packed or not."""
    folder, name = os.path.split(images)
    labels = name.replace("images", "labels").replace("idx3", "idx1").removesuffix(".gz")
    files = (os.path.join(folder, labels + end) for end in ("", ".gz"))
    return next((file for file in files if labels not in name and os.path.isfile(file)), None)


def _read(path: str, dimensions: int) -> NDArray[np.uint8]:
    """The array of a file, which must be of exactly the length that its header announces."""
    import numpy as np

    with open(path, "rb") as plain:
        packed = plain.read(2) == b"\x1f\x8b"
    try:
        with gzip.open(path) if packed else open(path, "rb") as file:
            header = file.read(4 + 4 * dimensions)
            if header[:4] != bytes([0, 0, _UNSIGNED_BYTES, dimensions]):
                expected = f"0000{_UNSIGNED_BYTES:02x}{dimensions:02x}"
                raise _damaged(path, f"it begins with {header[:4].hex() or 'nothing'}, not {expected}")
            shape = [int.from_bytes(header[at : at + 4]) for at in range(4, len(header), 4)]
            length = math.prod(shape)
            if len(header) < 4 + 4 * dimensions or length > _MOST_BYTES:
                raise _damaged(path, f"its header announces {'x'.join(map(str, shape)) or 'nothing'}")
            data = file.read(length + 1)  # one more, to see the end
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _damaged(path, str(error)) from error
    if len(data) != length:
        held = f"{len(data):,}" if len(data) < length else "more"
        raise _damaged(path, f"its header announces {length:,} bytes and it holds {held}")
    return np.frombuffer(data, dtype=np.uint8).reshape(shape)


def _damaged(path: str, why: str) -> RunError:
    return RunError(f"{path} is damaged: {why}; expected a file of the MNIST family: download it again")
