"""Data sets that are arrays already: files of numpy.savez, and scikit-learn's digits."""

from __future__ import annotations

import os
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable, Set
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from fitness.data.image_set import ImageSet, class_numbers, in_memory
from fitness.pickle_check import quote
from spaces.errors import RunError, UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fitness.data.image_set import Pixels

__all__ = ["read_digits", "read_npz"]

#: What the arrays are called, most telling names first; Keras and NumPy users write the others.
_NAMES: Final = {
    "images": "labels",
    "train_images": "train_labels",
    "x_train": "y_train",
    "x": "y",
    "data": "labels",
}
#: What the arrays of images kept apart for testing are called beside these, and their labels.
_TEST_NAMES: Final = {"test_images": "test_labels", "x_test": "y_test"}

#: What numpy and zipfile raise: ValueError for a pickle, an object array or another kind of file, others by damage.
_FAULTS: Final = (
    ArithmeticError,
    EOFError,
    LookupError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)


def read_digits(_: str) -> ImageSet:
    """The 1,797 digits of scikit-learn's `load_digits`: 8x8 grey, 10 classes.

    Alpaydin and Kaynak 1998, Optical Recognition of Handwritten Digits (test set), UCI repository.
    """
    import numpy as np
    from sklearn.datasets import load_digits  # type: ignore[import-untyped]

    digits = load_digits()  # ink from 0 to 16
    images = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    return in_memory(images, digits.target.astype(np.int64), 10)


def read_npz(path: str) -> ImageSet:
    """Images and, if there are any, labels of a file that `numpy.savez` wrote.

    Integers from 0 to 255 become uint8, to be normalised; floats are taken to be normalised already.

    Args:
        path: File with images (N, H, W), (N, H, W, C) or (N, C, H, W) under one of the usual names.

    Raises:
        UsageError: There is no such file, or no array with a usual name in it.
        RunError: It is no .npz, is damaged, or its arrays are not images and class numbers.
    """
    if not os.path.isfile(path):
        raise UsageError(f"there is no file {path!r}; expected an .npz that numpy.savez wrote")
    arrays = _load(path)
    name = next((name for name in _NAMES if name in arrays), None)
    if name is None:
        held = ", ".join(map(quote, sorted(arrays)[:10])) or "nothing"
        raise UsageError(
            f"{path} holds {held}; expected images under one of the names {', '.join(_NAMES)}: rename them"
        )
    test_name = next((name for name in _TEST_NAMES if name in arrays), None)
    test = partial(_test_part, path, test_name) if test_name else None
    return _set_of(arrays, name, _NAMES[name], path, test)


def _test_part(path: str, name: str) -> ImageSet:
    """The images kept apart for testing; read only when they are asked for."""
    labels = _TEST_NAMES[name]
    return _set_of(_load(path, {name, labels}), name, labels, path, None)


def _set_of(
    arrays: dict[str, NDArray[Any]], name: str, labelled: str, path: str, test: Callable[[], ImageSet] | None
) -> ImageSet:
    images = _pixels(arrays[name], f"{name!r} of {path}")
    if labelled not in arrays:
        return in_memory(images, None, 0, test=test)
    labels = class_numbers(arrays[labelled], len(images), f"{labelled!r} of {path}")
    return in_memory(images, labels, int(labels.max()) + 1, test=test)


def _load(path: str, usual: Set[str] = frozenset((*_NAMES, *_NAMES.values()))) -> dict[str, NDArray[Any]]:
    """The arrays of an .npz that have a usual name; others are not even read."""
    import numpy as np

    if not zipfile.is_zipfile(path):  # numpy would take it for a pickle, and advise to trust it
        raise RunError(
            f"{path} cannot be read: it is no whole .npz; expected named arrays: write it with numpy.savez"
        )
    try:
        with open(path, "rb") as file:  # np.load itself leaves some damaged files open
            arrays = np.load(file, allow_pickle=False)
            with arrays:
                return {name: arrays[name] if name in usual else np.empty(0) for name in arrays.files}
    except _FAULTS as error:
        reason = " ".join(str(error).split())
        raise RunError(
            f"{path} cannot be read: {reason[:200]}; expected plain arrays: write it with numpy.savez"
        ) from error


def _pixels(images: NDArray[Any], where: str) -> Pixels:
    """Images as (N, H, W) or (N, H, W, C), uint8 or float32."""
    import numpy as np

    if images.ndim not in (3, 4) or not images.size:
        what = "expected at least one, as (N, H, W), (N, H, W, C) or (N, C, H, W)"
        raise RunError(f"images {where} have the shape {images.shape}; {what}")
    if images.ndim == 4 and _channels_come_first(*images.shape[1:]):
        images = images.transpose(0, 2, 3, 1)
    if images.dtype.kind == "f":
        return images.astype(np.float32)
    if images.dtype.kind not in "iu":
        raise RunError(f"images {where} have the type {images.dtype}; expected uint8 or floats: convert them")
    if images.dtype != np.uint8 and not 0 <= images.min() <= images.max() <= 255:
        what = f"integers from {images.min()} to {images.max()}"
        raise RunError(f"images {where} hold {what}; expected 0 to 255, or floats that are normalised")
    return images.astype(np.uint8, copy=False)


def _channels_come_first(first: int, _: int, last: int) -> bool:
    """Whether axes after N are (C, H, W): grey or colour decide, else there are fewer channels than pixels."""
    if last in (1, 3):
        return False
    return first in (1, 3) or first < last
