"""Data sets split for training: which images land where, as they are stored, for every source with labels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fitness.data import load_images
from fitness.data.splits import load_splits
from fitness.training.images import Splits
from spaces.errors import EngineError, RunError, UsageError
from tests.fitness.image_files import idx, pixels, put_batches, put_idx, put_images, put_npz, zipped
from tests.shared_data import DATA, needs_data


def batches(folder: Path, names: list[str], tests: list[str], key: str, side: int, labels: list[int]) -> Path:
    put_batches(folder, [*names, *tests], key, side, labels)
    return folder


def cifar10(tmp: Path) -> str:
    names = [f"data_batch_{n}" for n in range(1, 6)]
    return f"cifar10:{batches(tmp / 'c', names, ['test_batch'], 'labels', 32, [0, 1, 1, 0])}"


def imagenet16(tmp: Path) -> str:
    names = [f"train_data_batch_{n}" for n in range(1, 11)]
    return f"imagenet16:{put_batches(tmp / 'i', [*names, 'val_data'], 'labels', 16, [*range(1, 21)])}"


def idx_pair(tmp: Path) -> str:
    folder = put_idx(tmp / "m", "train-images-idx3-ubyte", "train-labels-idx1-ubyte", 20)
    (folder / "t10k-images-idx3-ubyte").write_bytes(idx(pixels(6, 9, 7, seed=1)))
    (folder / "t10k-labels-idx1-ubyte").write_bytes(idx(np.arange(6, dtype=np.uint8) % 4))
    return f"idx:{folder}"


def npz_pair(tmp: Path) -> str:
    parts = {"train_images": pixels(20, 8, 8, 3), "train_labels": np.arange(20) % 3}
    tests = {"test_images": pixels(6, 8, 8, 3, seed=1), "test_labels": np.arange(6) % 3}
    return f"npz:{put_npz(tmp / 'a.npz', **parts, **tests)}"


def folder(tmp: Path) -> str:
    names = [f"{part}/{n % 2}/{n:02}.png" for part, count in (("train", 20), ("test", 6)) for n in range(count)]
    return f"folder:{put_images(tmp / 'f', names)}"


#: Sources that keep images apart: what makes one, and how many images it has for training and for testing.
APART: dict[str, tuple[Callable[[Path], str], int, int]] = {
    "cifar10": (cifar10, 20, 4),
    "cifar100": (
        lambda tmp: f"cifar100:{batches(tmp / 'c', ['train'], ['test'], 'fine_labels', 32, [*range(100)] * 2)}",
        200,
        200,
    ),
    "imagenet16": (imagenet16, 200, 20),
    "idx": (idx_pair, 20, 6),
    "npz": (npz_pair, 20, 6),
    "folder": (folder, 20, 6),
    "zip": (lambda tmp: f"folder:{zipped(Path(folder(tmp)[7:]), tmp / 'f.zip')}", 20, 6),
}


def everything(parts: Splits) -> set[bytes]:
    return {image.tobytes() for part in (parts.train, parts.validation, parts.test) for image in part.pixels}


@pytest.mark.parametrize("name", list(APART))
def test_a_set_that_keeps_images_apart_is_tested_on_these(name: str, tmp_path: Path) -> None:
    make, count, tests = APART[name]
    source = make(tmp_path)
    found = load_splits(source, (3, 16, 16))
    assert (len(found.train), len(found.validation), len(found.test)) == (count - count // 10, count // 10, tests)
    assert found.source == (
        f"{source}: {count - count // 10} images for training, {count // 10} for validation, {tests} for "
        "testing, kept apart by the set"
    )
    for part in (found.train, found.validation, found.test):
        assert part.pixels.dtype == np.uint8
        assert part.pixels.shape == (len(part), 3, 16, 16)
        assert part.labels.dtype == np.int64
        assert 0 <= part.labels.min() <= part.labels.max() < found.classes
    assert len(everything(found)) == count + tests


def test_the_images_are_those_that_scores_see(tmp_path: Path) -> None:
    source = npz_pair(tmp_path)
    found, seen = load_splits(source, (1, 8, 8), seed=3), load_images(source, (1, 8, 8), 18, 3)
    np.testing.assert_array_equal(found.train.labels, seen.labels)
    normalised = found.normalisation(torch.from_numpy(found.train.pixels)).numpy()
    np.testing.assert_allclose(normalised, seen.images, atol=0.05)  # bytes are rounded, statistics of other images


def test_places_follow_the_permutation_of_the_seed(tmp_path: Path) -> None:
    images, labels = pixels(50, 4, 4, 3), np.arange(50) % 5
    tests = {"test_images": pixels(7, 4, 4, 3, seed=1), "test_labels": np.arange(7) % 5}
    path = put_npz(tmp_path / "a.npz", train_images=images, train_labels=labels, **tests)
    found = load_splits(f"npz:{path}", (3, 4, 4), seed=9, validation=0.2)
    order = np.random.default_rng(9).permutation(50)
    for part, places in ((found.train, order[:40]), (found.validation, order[40:])):
        np.testing.assert_array_equal(part.pixels, images[places].transpose(0, 3, 1, 2))
        np.testing.assert_array_equal(part.labels, labels[places])
    np.testing.assert_array_equal(found.test.pixels, tests["test_images"].transpose(0, 3, 1, 2))


@pytest.mark.parametrize("only", ["train", "t10k"])
def test_a_set_without_test_images_is_split_in_three(only: str, tmp_path: Path) -> None:
    path = put_idx(tmp_path / "m", f"{only}-images-idx3-ubyte", f"{only}-labels-idx1-ubyte", 50)
    found = load_splits(f"idx:{path}", (1, 9, 7))
    order = np.random.default_rng(0).permutation(50)
    for part, places in ((found.train, order[:40]), (found.test, order[40:45]), (found.validation, order[45:])):
        np.testing.assert_array_equal(part.pixels[:, 0], pixels(50, 9, 7)[places])
    assert found.source.endswith("40 images for training, 5 for validation, 5 for testing, split here as the set "
                                 "keeps none apart")  # fmt: skip


def test_digits_are_split_in_three() -> None:
    found = load_splits("digits", (1, 8, 8))
    assert (len(found.train), len(found.validation), len(found.test)) == (1437, 180, 180)
    assert found.classes == 10


def test_pictures_of_a_val_folder_are_for_testing_if_there_is_no_other(tmp_path: Path) -> None:
    names = [f"{part}/{n % 2}/{n}.png" for part, count in (("train", 20), ("val", 4)) for n in range(count)]
    assert len(load_splits(f"folder:{put_images(tmp_path / 'f', names)}", (3, 5, 6)).test) == 4
    more = [
        f"{part}/{n % 2}/{n}.png" for part, count in (("train", 20), ("val", 4), ("test", 6)) for n in range(count)
    ]
    assert len(load_splits(f"folder:{put_images(tmp_path / 'g', more)}", (3, 5, 6)).test) == 6


def test_cifar_is_normalised_as_published_and_other_sets_by_their_training_images(tmp_path: Path) -> None:
    published = load_splits(cifar10(tmp_path), (3, 32, 32)).normalisation
    assert published.mean == pytest.approx((125.3 / 255, 123.0 / 255, 113.9 / 255))
    found = load_splits(npz_pair(tmp_path), (3, 8, 8))
    values = found.train.pixels.transpose(1, 0, 2, 3).reshape(3, -1) / 255
    assert found.normalisation.mean == pytest.approx(values.mean(1))
    assert found.normalisation.deviation == pytest.approx(values.std(1))


def test_floats_stay_as_they_are(tmp_path: Path) -> None:
    images = np.random.default_rng(0).normal(3, 7, (20, 4, 4)).astype(np.float32)
    found = load_splits(f"npz:{put_npz(tmp_path / 'a.npz', images=images, labels=np.arange(20) % 2)}", (1, 4, 4))
    place = np.random.default_rng(0).permutation(20)[0]
    np.testing.assert_array_equal(found.train.pixels[0, 0], images[place])
    np.testing.assert_array_equal(found.normalisation(torch.from_numpy(found.train.pixels)), found.train.pixels)


def test_converted_pixels_are_rounded_to_the_nearest_byte(tmp_path: Path) -> None:
    images = np.zeros((20, 1, 1, 3), dtype=np.uint8)
    images[:] = 10, 20, 30
    found = load_splits(f"npz:{put_npz(tmp_path / 'a.npz', images=images, labels=np.arange(20) % 2)}", (1, 1, 1))
    assert np.unique(found.train.pixels) == [round(0.299 * 10 + 0.587 * 20 + 0.114 * 30)]


def test_progress_counts_every_image(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    load_splits(folder(tmp_path), (3, 6, 5), on_image=lambda done, wanted: told.append((done, wanted)))
    assert told == [(done, 26) for done in range(1, 27)]


def no_labels(tmp: Path) -> str:
    return f"npz:{put_npz(tmp / 'a.npz', images=pixels(20, 4, 4, 3))}"


def unlabelled_tests(tmp: Path) -> str:
    parts = {"images": pixels(20, 4, 4, 3), "labels": np.arange(20) % 2, "test_images": pixels(20, 4, 4, 3)}
    return f"npz:{put_npz(tmp / 'a.npz', **parts)}"


def more_test_classes(tmp: Path) -> str:
    tests = {"test_images": pixels(5, 4, 4, 3), "test_labels": np.arange(5)}
    return f"npz:{put_npz(tmp / 'a.npz', images=pixels(20, 4, 4, 3), labels=np.arange(20) % 2, **tests)}"


def other_classes(tmp: Path) -> str:
    names = ["train/cat/1.png", "train/dog/2.png", "test/cat/3.png", "test/cow/4.png"]
    return f"folder:{put_images(tmp / 'f', names)}"


def few(tmp: Path) -> str:
    return f"npz:{put_npz(tmp / 'a.npz', images=pixels(10, 4, 4, 3), labels=np.arange(10))}"


def no_test_batch(tmp: Path) -> str:
    return f"cifar10:{put_batches(tmp / 'c', [f'data_batch_{n}' for n in range(1, 6)], 'labels', 32, [1, 2])}"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda tmp: "noise", "noise has no class labels to train on"),
        (no_labels, "a.npz has no class labels to train on; expected a source with labels"),
        (unlabelled_tests, "the test images of .*a.npz have no class labels"),
        (more_test_classes, "are of 5 classes, those for training of 2; expected the same"),
        (other_classes, "no 'dog' for testing and no 'cow' for training; expected the same folders"),
        (few, "10 images of 10 classes, too few to train on a part"),
        (no_test_batch, "test_batch"),
    ],
)
def test_what_cannot_be_trained_on_is_said(make: Callable[[Path], str], message: str, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=message):
        load_splits(make(tmp_path), (3, 4, 4))


@pytest.mark.parametrize("validation", [0.0, 1.0, -0.1, 0.95])
def test_impossible_shares_are_refused(validation: float) -> None:
    with pytest.raises(UsageError, match=r"validation is .*; expected a share"):
        load_splits("digits", (1, 8, 8), validation=validation)


def test_a_damaged_image_is_named(tmp_path: Path) -> None:
    source = folder(tmp_path)
    (tmp_path / "f" / "test" / "0" / "00.png").write_bytes(b"no picture")
    with pytest.raises(RunError, match=r"test/0/00\.png.* is no whole image"):
        load_splits(source, (3, 6, 5))


def test_pixels_of_pictures_are_the_bytes_of_the_files(tmp_path: Path) -> None:
    found = load_splits(folder(tmp_path), (3, 6, 5))
    first = np.asarray(Image.open(tmp_path / "f" / "test" / "0" / "00.png"))
    np.testing.assert_array_equal(found.test.pixels[0], first.transpose(2, 0, 1))


@needs_data
def test_shared_sets_are_split_as_their_readme_says() -> None:
    small = load_splits(f"npz:{DATA / 'cifar10_small.npz'}", (3, 32, 32))
    assert (len(small.train), len(small.validation), len(small.test)) == (900, 100, 1000)
    assert np.bincount(small.test.labels).tolist() == [100] * 10
