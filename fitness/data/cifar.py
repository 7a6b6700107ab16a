"""CIFAR-10, CIFAR-100 and ImageNet16-120 as their authors distribute them: batches of flat rows, by plane.

Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images. Chrabaszcz et al. 2017, A Downsampled
Variant of ImageNet as an Alternative to the CIFAR datasets (arXiv:1707.08819); its first 120 classes as in Dong and
Yang 2020, NAS-Bench-201 (arXiv:2001.00326), whose statistics are used (AutoDL-Projects, get_datasets).
"""

from __future__ import annotations

import os
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import IO, TYPE_CHECKING, Final

from fitness.data.batch_pickle import damaged, read_batch
from fitness.data.image_set import ImageSet, Statistics, class_numbers, in_memory
from fitness.data.zips import ZIP_FAULTS
from spaces.errors import RunError, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["read_cifar10", "read_cifar100", "read_imagenet16"]

_LARGEST_BATCH_BYTES: Final = 512 * 1024**2  # the largest official one, CIFAR-100's, has 155 MB


@dataclass(frozen=True, slots=True)
class _Form:
    """How a set is distributed.

    Args:
        name: What its authors call it.
        side: Height and width of the images; 3 channels.
        batches: Pickled files that together are the images.
        tests: Those that together are the test images.
        labels: Key of their labels.
        first_label: The number of the first class in the files.
        all_classes: How many classes the files have.
        classes: How many of these, from the first, belong to the set.
        downloads: Files to download, which are read as they are.
        folders: What these unpack to.
        mean: Of every channel, for pixels from 0 to 255.
        deviation: Standard deviation likewise.
        test_downloads: Files to download that hold the test images, where these are others.
        label_bytes: Labels before every image in the binary version, the last of which counts; 0 if there is none.
    """

    name: str
    side: int
    batches: tuple[str, ...]
    labels: str
    first_label: int
    all_classes: int
    classes: int
    downloads: tuple[str, ...]
    folders: tuple[str, ...]
    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]
    tests: tuple[str, ...] = ()
    test_downloads: tuple[str, ...] = ()
    label_bytes: int = 0

    @property
    def binaries(self) -> tuple[str, ...]:
        """The files of the binary version."""
        return tuple(f"{batch}.bin" for batch in self.batches) if self.label_bytes else ()

    @property
    def expected(self) -> str:
        """Which files belong to the set, for messages."""
        return self.batches[0] if len(self.batches) == 1 else f"{self.batches[0]} to {self.batches[-1]}"


_CIFAR10: Final = _Form(
    name="CIFAR-10",
    side=32,
    batches=tuple(f"data_batch_{number}" for number in range(1, 6)),
    labels="labels",
    first_label=0,
    all_classes=10,
    classes=10,
    downloads=("cifar-10-python.tar.gz", "cifar-10-binary.tar.gz"),
    folders=("cifar-10-batches-py", "cifar-10-batches-bin"),
    mean=(125.3, 123.0, 113.9),
    deviation=(63.0, 62.1, 66.7),
    tests=("test_batch",),
    label_bytes=1,
)
_CIFAR100: Final = _Form(
    name="CIFAR-100",
    side=32,
    batches=("train",),
    labels="fine_labels",
    first_label=0,
    all_classes=100,
    classes=100,
    downloads=("cifar-100-python.tar.gz", "cifar-100-binary.tar.gz"),
    folders=("cifar-100-python", "cifar-100-binary"),
    mean=(129.3, 124.1, 112.4),
    deviation=(68.2, 65.4, 70.4),
    tests=("test",),
    label_bytes=2,  # coarse, fine
)
_IMAGENET16: Final = _Form(
    name="ImageNet16",
    side=16,
    batches=tuple(f"train_data_batch_{number}" for number in range(1, 11)),
    labels="labels",
    first_label=1,
    all_classes=1000,
    classes=120,
    downloads=("Imagenet16_train.zip",),
    folders=("ImageNet16", "Imagenet16_train"),
    mean=(122.68, 116.66, 104.01),
    deviation=(63.22, 61.26, 65.09),
    tests=("val_data",),
    test_downloads=("Imagenet16_val.zip",),
)


def read_cifar10(path: str) -> ImageSet:
    """CIFAR-10's 50,000 training images in 10 classes; see `_read`."""
    return _read(path, _CIFAR10)


def read_cifar100(path: str) -> ImageSet:
    """CIFAR-100's 50,000 training images in 100 (fine) classes; see `_read`."""
    return _read(path, _CIFAR100)


def read_imagenet16(path: str) -> ImageSet:
    """ImageNet16-120's 151,700 training images: the first 120 of ImageNet16's 1,000 classes; see `_read`."""
    return _read(path, _IMAGENET16)


def _read(path: str, form: _Form) -> ImageSet:
    """The images of a set in the order of its files.

    Args:
        path: The folder of the batches, its parent, or what is distributed (.tar.gz or .zip), read in place.
        form: How the set is distributed.

    Raises:
        UsageError: There is no such path, or the batches are not there, or not all.
        UntrustedFile: A batch is a pickle that asks for more than the official ones hold.
        RunError: A batch is damaged.
    """
    import numpy as np

    found = _locate(path, form)
    files = _files_of_folder(found, form) if os.path.isdir(found) else _files_of_archive(found, form)
    batches = {name: _batch(name, data, os.path.join(found, name), form) for name, data in files}
    complete = next(
        (names for names in (form.batches, form.binaries) if names and batches.keys() >= {*names}), None
    )
    if complete is None:
        wanted = form.binaries if batches.keys() & {*form.binaries} else form.batches
        missing = ", ".join(name for name in wanted if name not in batches) if batches else "all batches"
        raise UsageError(f"{found} lacks {missing} of {form.name}; {_remedy(form)}")
    images = np.concatenate([batches[name][0] for name in complete])
    labels = np.concatenate([batches[name][1] for name in complete])
    if not len(images):
        raise RunError(f"{found} holds no image of {form.name}'s {form.classes} classes; {_remedy(form)}")
    scaled = Statistics(tuple(v / 255 for v in form.mean), tuple(v / 255 for v in form.deviation))
    planes = images.reshape(-1, 3, form.side, form.side)
    test = partial(_read_tests, path, form) if form.tests else None
    return in_memory(planes.transpose(0, 2, 3, 1), labels, form.classes, scaled, test)


def _read_tests(path: str, form: _Form) -> ImageSet:
    """The test images, which lie with the others or, if they are downloaded by themselves, beside these."""
    downloads = form.test_downloads or form.downloads
    if form.test_downloads and os.path.isfile(path):
        path = os.path.dirname(path)
    return _read(path, replace(form, batches=form.tests, downloads=downloads, tests=()))


def _remedy(form: _Form) -> str:
    downloads = " or ".join(form.downloads)
    return f"expected {form.expected}: download {downloads} and name it or the folder it unpacks to"


def _locate(path: str, form: _Form) -> str:
    """The folder that holds batches, or the archive."""
    if os.path.isfile(path):
        return path
    if not os.path.isdir(path):
        raise UsageError(f"there is no folder or file {path!r} with {form.name}; {_remedy(form)}")
    for folder in (path, *(os.path.join(path, name) for name in form.folders)):
        if any(os.path.isfile(os.path.join(folder, name)) for name in (*form.batches, *form.binaries)):
            return folder
    for archive in (os.path.join(path, name) for name in form.downloads):
        if os.path.isfile(archive):
            return archive
    raise UsageError(f"{path} holds no batches of {form.name}; {_remedy(form)}")


def _files_of_folder(folder: str, form: _Form) -> Iterator[tuple[str, bytes]]:
    """Name and content of the pickled batches, or else of the binary ones."""
    here = {name for name in (*form.batches, *form.binaries) if os.path.isfile(os.path.join(folder, name))}
    for name in form.batches if here & {*form.batches} else form.binaries:
        if name in here:
            path = os.path.join(folder, name)
            with open(path, "rb") as file:
                yield name, _content(file, os.path.getsize(path), path)


def _files_of_archive(path: str, form: _Form) -> Iterator[tuple[str, bytes]]:
    """Name and content of the batches in an archive, wherever they lie in it; nothing is unpacked to disk."""
    wanted = {*form.batches, *form.binaries}
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as unzipped:
                for info in unzipped.infolist():
                    if (name := os.path.basename(info.filename)) in wanted:
                        if info.flag_bits & 1:
                            raise damaged(f"{path}/{name}", "it is encrypted")
                        with unzipped.open(info) as file:
                            yield name, _content(file, info.file_size, f"{path}/{name}")
        else:
            with tarfile.open(path) as tar:
                for member in tar:
                    name = os.path.basename(member.name)
                    if name in wanted and member.isfile() and (batch := tar.extractfile(member)):
                        with batch:
                            yield name, _content(batch, member.size, f"{path}/{name}")
    except tarfile.ReadError as error:
        raise RunError(f"{path} is neither a folder nor a whole .tar.gz or .zip; {_remedy(form)}") from error
    except ZIP_FAULTS as error:  # and what a damaged .tar.gz raises, which is some of it
        raise damaged(path, error) from error


def _content(file: IO[bytes], size: int, where: str) -> bytes:
    """All bytes of a file, unless there are more than any batch has."""
    if size > _LARGEST_BATCH_BYTES:
        raise damaged(where, f"it has {size:,} bytes, and no official batch has over {_LARGEST_BATCH_BYTES:,}")
    return file.read()


def _batch(name: str, data: bytes, where: str, form: _Form) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """(N, 3 * side * side) pixels and (N,) labels from 0 of the images in the set's classes."""
    import numpy as np

    pixels, labels = (_binary if name.endswith(".bin") else _pickled)(data, where, form)
    if pixels.dtype != np.uint8 or pixels.ndim != 2 or pixels.shape[1] != 3 * form.side**2:
        what = f"pixels of type {pixels.dtype} and shape {pixels.shape}"
        raise damaged(where, f"{what}, where {form.name} has uint8 (N, {3 * form.side**2})")
    numbers = class_numbers(labels, len(pixels), where) - form.first_label
    if len(numbers) and not 0 <= numbers.min() <= numbers.max() < form.all_classes:
        raise damaged(where, f"a label that is none of {form.name}'s {form.all_classes} classes")
    inside = numbers < form.classes
    return pixels[inside], numbers[inside]


def _binary(data: bytes, where: str, form: _Form) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    import numpy as np

    record = form.label_bytes + 3 * form.side**2
    if len(data) % record:
        raise damaged(where, f"{len(data):,} bytes are not whole images of {record:,}")
    records = np.frombuffer(data, dtype=np.uint8).reshape(-1, record)
    return records[:, form.label_bytes :], records[:, form.label_bytes - 1]


def _pickled(data: bytes, where: str, form: _Form) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    import numpy as np

    fields = read_batch(data, where)
    pixels, labels = fields.get("data"), fields.get(form.labels)
    if not isinstance(pixels, np.ndarray) or not isinstance(labels, np.ndarray | list):
        raise damaged(where, f"no arrays 'data' and {form.labels!r} in it, as {form.name} has them")
    if isinstance(labels, list):
        if not all(type(label) is int and 0 <= label <= form.all_classes for label in labels):
            raise damaged(where, f"a label that is none of {form.name}'s {form.all_classes} classes")
        labels = np.array(labels, dtype=np.int64)
    return pixels, labels
