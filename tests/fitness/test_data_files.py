"""Images in .npz files, folders and MNIST's format: what is read, and what wrong files say."""

from __future__ import annotations

import gzip
import pickle
import re
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spaces.errors import RunError, UsageError
from tests.fitness.image_files import idx, load, pixels, put_idx, put_images, put_npz, zipped

# --- npz ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        ("images", "labels"),
        ("x", "y"),
        ("x_train", "y_train"),
        ("train_images", "train_labels"),
        ("data", "labels"),
    ],
)
def test_arrays_have_the_usual_names(images: str, labels: str, tmp_path: Path) -> None:
    arrays = {images: np.ones((5, 4, 4)), labels: np.array([[2], [0], [1], [2], [5]]), "names": np.array(["a"])}
    found = load(put_npz(tmp_path / "a.npz", **arrays), (1, 4, 4), 5)
    assert found.labels is not None
    assert sorted(found.labels) == [0, 1, 2, 2, 5]
    assert found.classes == 6


@pytest.mark.parametrize("layout", [(0, 1, 2, 3), (0, 3, 1, 2)], ids=["(N, H, W, C)", "(N, C, H, W)"])
@pytest.mark.parametrize("channels", [1, 3, 5])
def test_channels_may_come_first_or_last(layout: tuple[int, ...], channels: int, tmp_path: Path) -> None:
    images = np.random.default_rng(0).normal(size=(2, 8, 7, channels)).astype(np.float32)
    found = load(put_npz(tmp_path / "a.npz", x=images.transpose(layout)), (channels, 8, 7), 2).images
    expected = images.transpose(0, 3, 1, 2)[np.random.default_rng(0).permutation(2)]
    np.testing.assert_array_equal(found, expected)


def test_any_integers_from_0_to_255_are_pixels(tmp_path: Path) -> None:
    images = pixels(4, 8, 8)
    narrow = load(put_npz(tmp_path / "a.npz", x=images), (1, 8, 8), 4).images
    wide = load(put_npz(tmp_path / "b.npz", x=images.astype(np.int64)), (1, 8, 8), 4).images
    np.testing.assert_array_equal(narrow, wide)


ONE = np.zeros((2, 4, 4))


@pytest.mark.parametrize(
    ("arrays", "error", "message"),
    [
        (
            {"pictures": ONE},
            UsageError,
            "holds 'pictures'; expected images under one of the names images, train_images",
        ),
        ({"x": np.zeros((2, 4))}, RunError, r"have the shape \(2, 4\); expected at least one, as \(N, H, W\)"),
        ({"x": np.zeros((0, 4, 4))}, RunError, r"have the shape \(0, 4, 4\)"),
        ({"x": ONE > 0}, RunError, "have the type bool; expected uint8 or floats"),
        ({"x": ONE.astype(int) - 1}, RunError, "hold integers from -1 to -1; expected 0 to 255"),
        ({"x": ONE + np.nan}, RunError, "pixels that are not finite"),
        ({"x": ONE, "y": np.zeros(3, int)}, RunError, "holds 3 labels for 2 images"),
        ({"x": ONE, "y": np.zeros(2)}, RunError, r"float64 labels of shape \(2,\); expected one integer per image"),
        ({"x": ONE, "y": np.eye(2, 5, dtype=int)}, RunError, r"labels of shape \(2, 5\)"),
        ({"x": ONE, "y": np.array([0, -1])}, RunError, "labels from -1 to 0; expected class numbers from 0"),
        ({"x": ONE, "y": np.array([0, 10**9])}, RunError, "to at most 99,999"),
        ({"x": np.array([{}, None], dtype=object)}, RunError, "allow_pickle=False; expected plain arrays"),
    ],
)
def test_wrong_arrays_are_said_to_be(
    arrays: dict[str, np.ndarray], error: type[Exception], message: str, tmp_path: Path
) -> None:
    path = put_npz(tmp_path / "a.npz", **arrays)
    with pytest.raises(error, match=message) as caught:
        load(path, (1, 4, 4), 2)
    assert str(path) in str(caught.value)


def test_files_that_are_no_npz_are_said_to_be(tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("nothing")
    (tmp_path / "pickle.npz").write_bytes(pickle.dumps({"x": ONE}))
    (tmp_path / "empty.npz").write_bytes(b"")
    np.save(tmp_path / "single.npy", ONE)
    for name in ("text.npz", "pickle.npz", "empty.npz", "single.npy"):
        with pytest.raises(RunError, match=rf"{name} cannot be read: .*: write it with numpy\.savez"):
            load(tmp_path / name, (1, 4, 4))


# --- folders of images ---------------------------------------------------------------------------------------


def classes_of(path: Path) -> tuple[list[int], int]:
    """Labels of all images in the order of drawing, and the number of classes."""
    count = int(re.findall(r"holds (\d+) images", str(_too_many(path)))[0])
    found = load(path, (3, 6, 5), count, "folder")
    return ([] if found.labels is None else sorted(found.labels.tolist())), found.classes


def _too_many(path: Path) -> UsageError:
    with pytest.raises(UsageError) as caught:
        load(path, (3, 6, 5), 10_000, "folder")
    return caught.value


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (["cat/1.png", "ant/2.png", "ant/sub/3.png"], [0, 0, 1]),
        (["train/cat/1.png", "train/ant/2.png", "test/ant/3.png"], [0, 1]),
        (["Train/cat/1.png", "Train/ant/2.png", "extra/ant/3.png"], [0, 1]),
        (["wrap/train/cat/1.png", "wrap/train/ant/2.png", "wrap/test/dog/3.png"], [0, 1]),
        (["wrap/cat/1.png", "wrap/ant/2.png", "wrap/cover.png"], [0, 1]),
        (["bus/1.png", "train/2.png", "tram/3.png"], [0, 1, 2]),  # a class that is called train
        (["train/1.png", "train/2.png", "test/3.png"], []),
        (["validation/a/1.png", "test/b/2.png"], [0]),
        (["1.png", "2.png"], []),
        (["cat/1.png", "stray.png", ".hidden/2.png", "cat/._1.png", "__MACOSX/cat/1.png"], [0]),
    ],
    ids=lambda value: " ".join(map(str, value)),
)
def test_classes_are_found_however_folders_are_nested(names: list[str], labels: list[int], tmp_path: Path) -> None:
    folder = put_images(tmp_path / "f", names)
    (folder / "notes.txt").write_text("no image")
    archive = zipped(folder, tmp_path / "f.zip")
    for path in (folder, archive):
        assert classes_of(path) == (labels, len(set(labels)))
    count = len(labels) or 2
    inside, outside = (load(path, (3, 6, 5), count, "folder").images for path in (folder, archive))
    np.testing.assert_array_equal(inside, outside)


@pytest.mark.parametrize("ending", ["png", "bmp", "ppm", "gif", "jpg", "JPG", "webp"])
def test_formats_are_decoded_to_the_same_picture(ending: str, tmp_path: Path) -> None:
    picture = np.broadcast_to(np.array([200, 100, 50], dtype=np.uint8), (8, 8, 3)).copy()
    picture[:4] = 20
    (tmp_path / "a").mkdir()
    best = {"lossless": True, "quality": 100, "subsampling": 0}  # of which each format takes what it knows
    Image.fromarray(picture).save(tmp_path / "a" / f"x.{ending}", **best)
    found = load(tmp_path, (3, 8, 8), name="folder").images
    exact = load(put_npz(tmp_path / "a.npz", x=picture[None]), (3, 8, 8)).images
    np.testing.assert_allclose(found, exact, atol=0.05 if ending.lower() == "jpg" else 1e-6)


def test_pixels_of_16_bits_grey_palettes_and_transparency_are_read(tmp_path: Path) -> None:
    grey = pixels(6, 6)
    variants = {
        "8bit": Image.fromarray(grey),
        "16bit": Image.fromarray(grey.astype(np.uint16) * 257),
        "palette": Image.fromarray(grey).convert("P"),
        "transparent": Image.fromarray(grey).convert("RGBA"),
    }
    found = []
    for name, image in variants.items():
        (tmp_path / name).mkdir()
        image.save(tmp_path / name / "x.png")
        found.append(load(tmp_path / name, (1, 6, 6), name="folder").images)
    for images in found[1:]:
        np.testing.assert_allclose(images, found[0], atol=1e-5)


def test_only_drawn_images_are_decoded(tmp_path: Path) -> None:
    """Of 1,200 files with one that is no image, only a draw that hits it (or the sample of 1,000) fails."""
    folder = put_images(tmp_path, ["a/0.png"])
    good = (folder / "a" / "0.png").read_bytes()
    for number in range(1, 1200):
        (folder / "a" / f"{number}.png").write_bytes(good)
    order = sorted(f"{number}.png" for number in range(1200))
    never = order[np.random.default_rng(0).permutation(1200)[1100]]  # seed 0 draws as the sample does
    (folder / "a" / never).write_text("no image")
    load(folder, (3, 6, 5), 10, "folder")
    with pytest.raises(RunError, match=rf"a/{never}' in .* is no whole image: nothing that can be decoded as PNG"):
        load(folder, (3, 6, 5), 1200, "folder")


def png(width: int, height: int) -> bytes:
    """The beginning of a PNG of any size."""
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(99)))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "nothing that can be decoded"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "nothing that can be decoded"),
        (png(12_000, 12_000), "exceeds limit .* decompression bomb"),
        (png(100_000, 100_000), "exceeds limit .* decompression bomb"),
        (png(10, 10)[:-30], "is no whole image"),
        (png(10, 10), "is no whole image"),
    ],
    ids=["empty", "postscript", "large", "larger", "cut", "too few pixels"],
)
def test_images_that_cannot_be_decoded_are_named(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "f" / "a").mkdir(parents=True)
    (tmp_path / "f" / "a" / "x.png").write_bytes(content)
    for path in (tmp_path / "f", zipped(tmp_path / "f", tmp_path / "f.zip")):
        with pytest.raises(RunError, match=message) as caught:
            load(path, (3, 8, 8), name="folder")
        assert str(caught.value).startswith(f"'a/x.png' in {path} is no whole image: ")
        assert "\n" not in str(caught.value)


def test_linked_folders_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    put_images(tmp_path / "elsewhere", ["1.png", "2.png"])
    folder = put_images(tmp_path / "f", ["a/3.png"])
    (folder / "b").symlink_to(tmp_path / "elsewhere")
    (folder / "a" / "round").symlink_to(folder)
    assert classes_of(folder) == ([0, 1, 1], 2)


def test_wrong_folders_are_said_to_be(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(UsageError, match=r"holds no images; expected DIR/<class>/<image> with the endings \.bmp"):
        load(tmp_path, (3, 8, 8), name="folder")
    with pytest.raises(UsageError, match=r"notes\.txt is neither a folder nor a \.zip"):
        load(tmp_path / "notes.txt", (3, 8, 8), name="folder")


# --- idx -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
        ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
        ("train-images.idx3-ubyte", "train-labels.idx1-ubyte.gz"),
        ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte"),
        ("t10k-images.idx3-ubyte.gz", ""),
        ("emnist-letters-test-images-idx3-ubyte", "emnist-letters-test-labels-idx1-ubyte"),
    ],
)
def test_mnist_files_are_found_under_any_of_their_names(images: str, labels: str, tmp_path: Path) -> None:
    folder = put_idx(tmp_path / "m", images, labels)
    for path in (folder, folder / images) if not images.startswith("emnist") else (folder / images,):
        found = load(path, (1, 9, 7), 12, "idx")
        order = np.random.default_rng(0).permutation(12)
        flat = pixels(12, 9, 7)[order] / 255
        np.testing.assert_allclose(found.images[:, 0], (flat - flat.mean()) / flat.std(), atol=1e-5)
        assert found.classes == (4 if labels else 0)
        if labels:
            np.testing.assert_array_equal(found.labels, order % 4)


def test_training_images_come_before_the_tests(tmp_path: Path) -> None:
    folder = put_idx(tmp_path / "m", "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz")
    (folder / "t10k-images-idx3-ubyte").write_bytes(idx(pixels(3, 9, 7)))
    load(folder, (1, 9, 7), 12, "idx")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it begins with nothing, not 00000803"),
        (idx(pixels(4)), "it begins with 00000801, not 00000803"),
        (b"\x00\x00\x0d\x03" + bytes(12), "it begins with 00000d03"),
        (idx(pixels(2, 3, 3))[:10], "its header announces"),
        (b"\x00\x00\x08\x03" + b"\xff" * 12, "its header announces 4294967295x4294967295x4294967295"),
        (idx(pixels(2, 3, 3))[:-1], "its header announces 18 bytes and it holds 17"),
        (idx(pixels(2, 3, 3)) + b"x", "its header announces 18 bytes and it holds more"),
        (gzip.compress(idx(pixels(2, 3, 3)), mtime=0)[:-9], "is damaged"),
        (idx(pixels(0, 3, 3)), "holds no pixels"),
    ],
)
def test_damaged_idx_files_are_named(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(content)
    with pytest.raises(RunError, match=message) as caught:
        load(tmp_path, (1, 3, 3), name="idx")
    assert str(caught.value).startswith(str(path))


def test_idx_folders_without_files_and_labels_of_other_images_are_said_to_be(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"holds no images in IDX format; expected train-images-idx3-ubyte\[\.gz\]"
    ):
        load(tmp_path, (1, 3, 3), name="idx")
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(pixels(2, 3, 3)))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(pixels(3)))
    with pytest.raises(RunError, match="train-labels-idx1-ubyte holds 3 labels for 2 images"):
        load(tmp_path, (1, 3, 3), name="idx")
