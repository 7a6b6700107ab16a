"""Run a .tflite file in one interpreter: a program of its own, as they write to standard error what they like.

    python interpret.py ai_edge_litert|tflite_micro MODEL IMAGES.npy OUTPUTS.npy

Imports nothing of this project. IMAGES is (N, 1, H, W, C) int8, OUTPUTS becomes (N, units) int8.
"""

from __future__ import annotations

import sys

import numpy as np
from numpy.typing import NDArray

__all__ = ["PROGRAMS"]

_ARENA_BYTES = 1 << 26  # enough for any network that could fit a microcontroller, and many that could not

Stored = NDArray[np.int8]


def lite(model: str, images: Stored) -> list[Stored]:
    """TensorFlow Lite as it runs on phones and computers."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model, num_threads=1)
    interpreter.allocate_tensors()
    source, result = (details[0]["index"] for details in (
        interpreter.get_input_details(), interpreter.get_output_details()
    ))  # fmt: skip
    found = []
    for image in images:
        interpreter.set_tensor(source, image)
        interpreter.invoke()
        found.append(interpreter.get_tensor(result).flatten())
    return found


def micro(model: str, images: Stored) -> list[Stored]:
    """TensorFlow Lite Micro, which says on standard error what it took of its arena."""
    from tflite_micro import runtime

    interpreter = runtime.Interpreter.from_file(model, arena_size=_ARENA_BYTES)
    found = []
    for image in images:
        interpreter.set_input(image, 0)
        interpreter.invoke()
        found.append(np.array(interpreter.get_output(0)).flatten())
    interpreter.print_allocations()
    return found


PROGRAMS = {"ai_edge_litert": lite, "tflite_micro": micro}
"""What runs a file, by the package that has it."""

if __name__ == "__main__":
    name, model, images, outputs = sys.argv[1:]
    np.save(outputs, np.stack(PROGRAMS[name](model, np.load(images))))
