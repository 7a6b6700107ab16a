"""A network as an int8 .tflite file for microcontrollers, run in the interpreters that are installed."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engine.results.export import Made, interpret
from engine.results.export.subject import Subject
from spaces.errors import RunError, UsageError

if TYPE_CHECKING:
    from fitness.quantised import QuantisedNetwork

__all__ = ["make"]

_CALIBRATION = 512  # training images that ranges are taken from, as `engine train` does
_CHECKED = 200  # images that the interpreters classify
_CALLED = {"ai_edge_litert": "LiteRT", "tflite_micro": "TFLite Micro"}
_ARENA = re.compile(r"Arena allocation total (\d+) bytes")


@dataclass(frozen=True)
class _Images:
    """Normalised float32 images (N, C, H, W).

    Attributes:
        calibration: Ranges are taken from them.
        checked: Others, that networks are compared on.
        mean: Of every channel, subtracted from pixels in [0, 1]; None if pixels are used as they are.
        deviation: Of every channel, divided by.
    """

    calibration: NDArray[np.float32]
    checked: NDArray[np.float32]
    mean: tuple[float, ...] | None = None
    deviation: tuple[float, ...] | None = None


def make(subject: Subject, data: str | None) -> Made:
    """The file of one network: int8 in and out, one image (1, H, W, C) at a time.

    Args:
        subject: The network.
        data: Images to take ranges from: 512 of those for training. Another 200, of those for testing if they
            have labels, are classified by PyTorch and by every interpreter.

    Raises:
        UsageError: No images are named, or they do not suit the network.
        MissingExtra: flatbuffers is not installed.
        RunError: An interpreter does not take the file.
    """
    import torch

    from fitness.quantise import quantise
    from fitness.quantising.run import run_quantised
    from fitness.tflite_file import write_tflite
    from fitness.training.fit import classes_of

    if data is None:
        raise UsageError(
            "int8 needs images to take ranges from; add --data SOURCE, the images that the network is trained on"
        )
    images = _images(data, subject.network.shapes[0])
    module = subject.module
    quantised = quantise(module, torch.from_numpy(images.calibration))
    content = write_tflite(quantised)
    with torch.no_grad():
        classes = classes_of(module(torch.from_numpy(images.checked))).numpy()
    agreement = {"int8": _agreement(run_quantised(quantised, images.checked), classes)}
    checks: dict[str, object] = {"images": data, "checked_images": len(classes)}
    measured = ""
    for name in interpret.PROGRAMS:
        if importlib.util.find_spec(name) is not None:
            outputs, told = _run(name, content, quantised, images.checked)
            agreement[_CALLED[name]] = _agreement(outputs, classes)
            if arena := _ARENA.search(told):
                checks["arena_bytes"] = int(arena[1])
                measured = f", arena {int(arena[1]):,} B"
    scheme = quantised.kernels[0].output
    checks |= {
        "same_class_pct": agreement,
        "input": {"scale": scheme.scale, "zero_point": scheme.zero_point, "mean": images.mean,
                  "deviation": images.deviation},
    }  # fmt: skip
    missing = [_CALLED[name] for name in interpret.PROGRAMS if _CALLED[name] not in agreement]
    said = ", ".join(f"{name} {share:.1f} %" for name, share in agreement.items())
    return Made(
        {".tflite": content},
        checks,
        f"same class as the float network on {len(classes)} images of {data}: {said}{measured}"
        + (f"; {' and '.join(missing)} not installed, not asked" if missing else "")
        + f"; input int8 = normalised / {scheme.scale:.6g} + {scheme.zero_point}",
    )


def _images(data: str, shape: tuple[int, ...]) -> _Images:
    """Images of a source; where they have labels, split as `engine train` splits them."""
    import torch

    from fitness.data import load_images, reading
    from fitness.data.splits import load_splits

    if len(shape) != 3:
        raise UsageError(f"the network reads vectors {shape}; expected one that reads images, to take ranges from")
    channels, height, width = shape
    with reading(data) as found:
        labelled = found is not None and found.labels is not None
        count = _CALIBRATION + _CHECKED if found is None else min(found.count, _CALIBRATION + _CHECKED)
    if not labelled:
        loaded = load_images(data, (channels, height, width), count, 0).images
        calibration = max(1, count - _CHECKED)
        return _Images(loaded[:calibration], loaded[-_CHECKED:])
    splits = load_splits(data, (channels, height, width))
    normalise = splits.normalisation
    parts = (splits.train.pixels[:_CALIBRATION], splits.test.pixels[:_CHECKED])
    calibration_images, checked = (normalise(torch.from_numpy(pixels)).numpy() for pixels in parts)
    return _Images(calibration_images, checked, normalise.mean, normalise.deviation)


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
