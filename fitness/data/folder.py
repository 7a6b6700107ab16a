"""Image files in one folder per class, as torchvision's ImageFolder reads them, in a folder or a .zip."""

from __future__ import annotations

import io
import os
import struct
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final, NoReturn, TypeAlias

from fitness.data.image_set import ImageSet
from fitness.data.zips import ZIP_FAULTS
from fitness.pickle_check import quote
from spaces.errors import RunError, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["read_folder"]

#: File name → its path below the folder that holds the classes: (class, …, file) or (file,).
_Paths: TypeAlias = dict[str, tuple[str, ...]]

_SUFFIXES: Final = frozenset((".png", ".jpg", ".jpeg", ".bmp", ".webp", ".ppm", ".gif"))
_FORMATS: Final = ("PNG", "JPEG", "BMP", "WEBP", "PPM", "GIF")  # of Pillow's, which would also start ghostscript
_SPLITS: Final = ("train", "training", "val", "valid", "validation", "test", "testing")
_TESTS: Final = ("test", "testing", "val", "valid", "validation")  # the first of these that is another one
_LARGEST_FILE_BYTES: Final = 256 * 1024**2
#: What Pillow raises besides OSError, by format and fault; then zipfile, for a wrong checksum, method or password.
_FAULTS: Final = (
    EOFError,
    LookupError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
)


def read_folder(path: str) -> ImageSet:
    """Images of a folder or .zip in the order of their names; every one is decoded when it is picked.

    Classes are the subfolders by name. If these lie in folders named for splits, those in `train` are taken (or
    of the one that there is); a single folder around everything does not matter. Images that lie in no subfolder
    have no labels, and are left out when others do.

    Raises:
        UsageError: There is no such folder or .zip, or no image in it.
        RunError: The .zip is damaged, or, when it is picked, an image is.
    """
    if not (os.path.isdir(path) or os.path.isfile(path)):
        raise UsageError(f"there is no folder or file {path!r}; expected images in one folder per class, or a .zip")
    if not os.path.isdir(path) and not zipfile.is_zipfile(path):
        raise UsageError(
            f"{path} is neither a folder nor a .zip; expected images in one folder per class: unpack it"
        )
    names = _names(path)
    if not names:
        endings = ", ".join(sorted(_SUFFIXES))
        raise UsageError(f"{path} holds no images; expected DIR/<class>/<image> with the endings {endings}")
    first, kept_apart = _inside(names)
    training = _Labelled.of(first)
    test = partial(_test_part, path, training, _Labelled.of(kept_apart)) if kept_apart else None
    return replace(_image_set(path, training), test=test)


@dataclass(frozen=True, slots=True)
class _Labelled:
    """Images in the order of their names.

    Args:
        files: Their names.
        classes: Names of the classes in order; none if the images lie in no folder of a class.
        labels: Class number of every image.
    """

    files: tuple[str, ...]
    classes: tuple[str, ...]
    labels: tuple[int, ...]

    @staticmethod
    def of(paths: _Paths) -> _Labelled:
        """The images at some paths."""
        with_class = {name: parts for name, parts in paths.items() if len(parts) > 1}
        files = tuple(sorted(with_class or paths, key=lambda name: paths[name]))
        if not with_class:
            return _Labelled(files, (), ())
        classes = tuple(sorted({parts[0] for parts in with_class.values()}))
        numbers = {name: number for number, name in enumerate(classes)}
        return _Labelled(files, classes, tuple(numbers[with_class[name][0]] for name in files))


def _test_part(path: str, training: _Labelled, testing: _Labelled) -> ImageSet:
    """The images for testing.

    Raises:
        UsageError: They are of other classes than those for training.
    """
    if training.classes != testing.classes:
        which = ((training, testing, "testing"), (testing, training, "training"))
        missing = [
            f"no {', '.join(map(quote, sorted({*one.classes} - {*other.classes})[:5]))} for {purpose}"
            for one, other, purpose in which
            if {*one.classes} - {*other.classes}
        ]
        raise UsageError(
            f"{path} has {' and '.join(missing)}; expected the same folders of classes in both: mend the folders"
        )
    return _image_set(path, testing)


def _image_set(path: str, images: _Labelled) -> ImageSet:
    files = images.files

    def pick(places: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
        with nullcontext() if os.path.isdir(path) else zipfile.ZipFile(path) as archive:
            for place in places:
                yield _decode(files[place], path, archive)

    if not images.classes:
        return ImageSet(len(files), pick, None, 0)
    import numpy as np

    return ImageSet(len(files), pick, np.array(images.labels, dtype=np.int64), len(images.classes))


def _names(path: str) -> list[str]:
    """Every visible image file under a folder or in a .zip, relative and with slashes."""
    if os.path.isdir(path):
        names = [os.path.relpath(file, path).replace(os.sep, "/") for file in _walk(path)]
    else:
        try:
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
        except ZIP_FAULTS as error:
            raise RunError(f"{path} is damaged: {error}; expected a .zip of images: get it again") from error
    return [
        name
        for name in dict.fromkeys(names)
        if os.path.splitext(name)[1].lower() in _SUFFIXES
        and not any(part.startswith((".", "__MACOSX")) for part in name.split("/"))
    ]


def _walk(top: str) -> Iterator[str]:
    """Every file under a folder; links are followed, as people link data together, but no folder entered twice."""

    def fail(error: OSError) -> NoReturn:
        raise error

    entered: set[str] = set()
    for folder, folders, files in os.walk(top, onerror=fail, followlinks=True):
        entered.add(os.path.realpath(folder))
        folders[:] = [name for name in folders if os.path.realpath(os.path.join(folder, name)) not in entered]
        yield from (os.path.join(folder, name) for name in files)


def _inside(names: Sequence[str]) -> tuple[_Paths, _Paths]:
    """The images to take and those kept apart for testing, if there are folders named for splits."""
    paths = {name: tuple(name.split("/")) for name in names}
    while True:
        tops = {parts[0] for parts in paths.values() if len(parts) > 1}
        deep = {parts[0] for parts in paths.values() if len(parts) > 2}
        splits = sorted((top for top in tops if top.lower() in _SPLITS), key=lambda top: _SPLITS.index(top.lower()))
        # a class may well be called train: it is a split if classes lie in it, or nothing but splits beside it
        if splits and (len(splits) == len(tops) or splits[0] in deep):
            tests = [top for test in _TESTS for top in splits[1:] if top.lower() == test]
            return _below(splits[0], paths), _below(tests[0], paths) if tests else {}
        if not (len(tops) == 1 and deep and all(parts[0] in tops for parts in paths.values())):
            return paths, {}
        paths = {name: parts[1:] for name, parts in paths.items()}


def _below(top: str, paths: _Paths) -> _Paths:
    return {name: parts[1:] for name, parts in paths.items() if parts[0] == top and len(parts) > 1}


def _decode(name: str, path: str, archive: zipfile.ZipFile | None) -> NDArray[np.uint8]:
    """(H, W, 3) of one image file: always colour, as torchvision loads them."""
    import numpy as np
    from PIL import Image, UnidentifiedImageError

    try:
        data = _content(name, path, archive)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about odd palettes and metadata
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
                if image.mode.startswith("I"):  # 16 bits, which Pillow would clip
                    return np.repeat((np.asarray(image) >> 8).astype(np.uint8)[:, :, None], 3, axis=2)
                return np.asarray(image.convert("RGB"))
    except UnidentifiedImageError as error:
        raise _damaged(name, path, f"nothing that can be decoded as {', '.join(_FORMATS)}") from error
    except OSError as error:
        if error.errno:  # of the disk, not of Pillow
            raise
        raise _damaged(name, path, error) from error
    except _FAULTS as error:
        raise _damaged(name, path, error) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _damaged(name, path, error) from error


def _content(name: str, path: str, archive: zipfile.ZipFile | None) -> bytes:
    if not archive:
        with open(os.path.join(path, name), "rb") as file:
            return file.read()
    if archive.getinfo(name).file_size > _LARGEST_FILE_BYTES:
        raise ValueError(f"it unpacks to more than {_LARGEST_FILE_BYTES:,} bytes")
    return archive.read(name)


def _damaged(name: str, path: str, why: str | Exception) -> RunError:
    reason = " ".join(str(why).split())
    return RunError(
        f"{quote(name)} in {path} is no whole image: {reason[:200] or 'it ends too early'}; expected one that can "
        "be decoded: replace or remove it"
    )
