"""A network as an int8 .tflite file for microcontrollers, run in the interpreters that are installed."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engine.results.export import Made, interpret
from engine.results.export.subject import Subject
from engine.results.output import tell
from engine.setup import Setup
from engine.training.calibration import CALIBRATION_IMAGES, calibration
from engine.training.candidate import described
from fitness.figures import macs
from fitness.tflite_overhead import arena_bytes
from spaces.errors import RunError, UsageError
from spaces.layers import Recurrent

if TYPE_CHECKING:
    from torch import Tensor

    from fitness.quantised import QuantisedNetwork

__all__ = ["make"]

_CHECKED, _LEAST_CHECKED = 200, 10  # images that the interpreters classify; fewer of a large network
_WORK = 2_000_000_000  # multiply-accumulates that an interpreter is given, half a minute of the slowest
_LONG = 400_000_000  # so many take long enough to say what is under way
_CALLED = {"ai_edge_litert": "LiteRT", "tflite_micro": "TFLite Micro"}
_ARENA = re.compile(r"Arena allocation total (\d+) bytes")


@dataclass(frozen=True)
class _Source:
    """Where images come from.

    Attributes:
        name: One of `fitness.data.SOURCES`.
        train_images: So many of those for training are used; None for all.
        note: What is to be said about the choice.
    """

    name: str
    train_images: int | None = None
    note: str = ""


@dataclass(frozen=True)
class _Images:
    """Normalised float32 images (N, C, H, W).

    Attributes:
        calibration: Ranges are taken from them.
        checked: Others, that networks are compared on.
        mean: Of every channel, subtracted from pixels in [0, 1]; None if pixels are used as they are.
        deviation: Of every channel, divided by.
    """

    calibration: Tensor
    checked: NDArray[np.float32]
    mean: tuple[float, ...] | None = None
    deviation: tuple[float, ...] | None = None


def make(subject: Subject, data: str | None) -> Made:
    """The file of one network: int8 in and out, one image (1, H, W, C) at a time.

    Args:
        subject: The network.
        data: Images to take ranges from: the first of those for training, as `engine train` does; None for those
            that the network is trained on. Others, of those for testing if they have labels, are classified by
            PyTorch and by every interpreter: 200, or fewer of a network that takes long.

    Raises:
        UsageError: No images are named or known, or they do not suit the network, or it has recurrent layers.
        MissingExtra: flatbuffers is not installed.
        RunError: An interpreter does not take the file.
    """
    import torch

    from fitness.quantise import quantise
    from fitness.quantising.run import run_quantised
    from fitness.tflite_file import write_tflite
    from fitness.training.fit import classes_of

    if any(isinstance(op, Recurrent) for op in subject.network.ops):
        raise UsageError(
            f"{subject.title} has recurrent layers, which are not written as .tflite; "
            "expected --format onnx or torch"
        )
    source = _source(subject, data)
    work = max(1, macs(subject.network))
    images = _images(source, subject.network.shapes[0], min(_CHECKED, max(_LEAST_CHECKED, _WORK // work)))
    module, count = subject.module, len(images.checked)
    quantised = quantise(module, images.calibration)
    content = write_tflite(quantised)
    with torch.no_grad():
        classes = classes_of(module(torch.from_numpy(images.checked))).numpy()
    _tell_of(subject, "int8", count, work)
    agreement = {"int8": _agreement(run_quantised(quantised, images.checked), classes)}
    arena = None
    for name in interpret.PROGRAMS:
        if importlib.util.find_spec(name) is not None:
            _tell_of(subject, _CALLED[name], count, work)
            outputs, told = _run(name, content, quantised, images.checked)
            agreement[_CALLED[name]] = _agreement(outputs, classes)
            if found := _ARENA.search(told):
                arena = int(found[1])
    distinct, scheme = len(np.unique(classes)), quantised.kernels[0].output
    checks: dict[str, object] = {"images": source.name, "checked_images": count}
    checks |= {} if arena is None else {"arena_bytes": arena}
    checks |= {
        "float_classes": distinct,
        "same_class_pct": agreement,
        "input": {"scale": scheme.scale, "zero_point": scheme.zero_point, "mean": images.mean,
                  "deviation": images.deviation},
    }  # fmt: skip
    missing = [_CALLED[name] for name in interpret.PROGRAMS if _CALLED[name] not in agreement]
    lines = [
        f"ranges of {len(images.calibration)} images of {source.name}{source.note}",
        _sizes(subject, len(content), arena),
        _compared(agreement, distinct, f"{count} images of {source.name}")
        + (f"; {' and '.join(missing)} not installed, not asked" if missing else ""),
        _input(images, scheme.scale, scheme.zero_point),
    ]
    return Made({".tflite": content}, checks, "\n  ".join(lines))


def _source(subject: Subject, data: str | None) -> _Source:
    """The images asked for, or those that the weights were trained on.

    Raises:
        UsageError: Neither is known.
        DamagedRun: What the training wrote cannot be read.
    """
    from fitness.data import absolute_source

    training = described(subject.trained.parent) if subject.trained is not None else None
    if training is None:
        if data is None:
            raise UsageError(
                "int8 needs images to take ranges from; add --data SOURCE, the images that the network is "
                "trained on"
            )
        return _Source(data)
    own = str(training.plan.get("data"))
    if data is not None and absolute_source(data) != own:
        return _Source(data, note=f"; its int8_test_accuracy was recorded with ranges of {own}")
    count = training.plan.get("train_images")
    return _Source(own, count if isinstance(count, int) else None)


def _images(source: _Source, shape: tuple[int, ...], checked: int) -> _Images:
    """Images of a source; where they have labels, split as `engine train` splits them."""
    import torch

    from fitness.data import load_images, reading
    from fitness.data.splits import load_splits

    if len(shape) != 3:
        raise UsageError(f"the network reads vectors {shape}; expected one that reads images, to take ranges from")
    channels, height, width = shape
    with reading(source.name) as found:
        labelled = found is not None and found.labels is not None
        wanted = CALIBRATION_IMAGES + checked
        count = wanted if found is None else min(found.count, wanted)
    if not labelled:
        loaded = load_images(source.name, (channels, height, width), count, 0).images
        return _Images(torch.from_numpy(loaded[: max(1, count - checked)]), loaded[-checked:])
    splits = load_splits(source.name, (channels, height, width))
    if source.train_images is not None:
        splits = replace(splits, train=splits.train.first(source.train_images))
    normalise = splits.normalisation
    judged = normalise(torch.from_numpy(splits.test.pixels[:checked])).numpy()
    return _Images(calibration(splits), judged, normalise.mean, normalise.deviation)


def _tell_of(subject: Subject, name: str, images: int, work: int) -> None:
    """Say on standard error what is under way if it takes long; `work` is per image."""
    if images * work >= _LONG:
        tell(f"{subject.name}: {images} images by {name}, {images * work / 1e9:.1f} G multiply-accumulates")


def _sizes(subject: Subject, file: int, arena: int | None) -> str:
    """File and arena, the latter estimated where it was not measured, against what the target leaves to a model."""
    target = Setup(subject.config).target
    title = "arena" if arena is not None else "arena (estimated)"
    sizes = {"file": file, title: arena_bytes(subject.network) if arena is None else arena}
    limits = (target.flash_budget_bytes, target.ram_budget_bytes) if target else (None, None)
    return "; ".join(
        f"{title} {size:,} B"
        + ("" if limit is None else f", {'above' if size > limit else 'within'} the target's {limit:,} B")
        for (title, size), limit in zip(sizes.items(), limits, strict=True)
    )


def _compared(agreement: dict[str, float], distinct: int, images: str) -> str:
    shares = ", ".join(f"{name} {share:.1f} %" for name, share in agreement.items())
    if distinct == 1:
        return f"the float network puts all {images} into one class, so the same class says nothing: {shares}"
    return f"same class as the float network on {images}, which it puts into {distinct} classes: {shares}"


def _input(images: _Images, scale: float, zero_point: int) -> str:
    """How pixels become the file's input."""
    sign = "-" if zero_point < 0 else "+"
    stored = f" / {scale:.6g} {sign} {abs(zero_point)}, rounded"
    if images.mean is None or images.deviation is None:
        return f"input int8 = normalised{stored}"
    if set(images.mean) == {0.0} and set(images.deviation) == {1.0}:
        return f"input int8 = pixel{stored}; pixels as the images have them"
    mean, deviation = map(_per_channel, (images.mean, images.deviation))
    return f"input int8 = (pixel - {mean}) / {deviation}{stored}; pixels from 0 to 1"


def _per_channel(values: tuple[float, ...]) -> str:
    texts = [f"{value:.6g}" for value in values]
    return texts[0] if len(texts) == 1 else f"({', '.join(texts)})"


def _agreement(outputs: NDArray[np.float32], classes: NDArray[np.int64]) -> float:
    """Share of outputs (N, units) that say the class of the float network, in percent."""
    import torch

    from fitness.training.fit import classes_of

    return float(100 * (classes_of(torch.from_numpy(outputs)).numpy() == classes).mean())


def _run(
    name: str, content: bytes, quantised: QuantisedNetwork, images: NDArray[np.float32]
) -> tuple[NDArray[np.float32], str]:
    """Outputs of an interpreter as real numbers, and what it said on standard error.

    Raises:
        RunError: It does not take the file.
    """
    stored = quantised.kernels[0].output.quantised(images).transpose(0, 2, 3, 1)[:, None]
    with tempfile.TemporaryDirectory() as folder:
        model, given, made = (Path(folder) / file for file in ("model.tflite", "images.npy", "outputs.npy"))
        model.write_bytes(content)
        np.save(given, np.ascontiguousarray(stored))
        program = [sys.executable, "-P", interpret.__file__, name, str(model), str(given), str(made)]
        done = subprocess.run(program, capture_output=True, text=True, errors="replace", check=False)
        if done.returncode:
            last = (done.stderr.strip() or f"it ended with {done.returncode}").splitlines()[-1]
            raise RunError(f"{_CALLED[name]} does not run the file: {last}; please report it, with the network")
        outputs = quantised.kernels[-1].output.reals(np.load(made))
    return outputs, done.stderr
