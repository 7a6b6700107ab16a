"""TensorFlow Lite Micro's own interpreter, from the tflite-micro wheel: what a file needs and what it computes."""

from __future__ import annotations

import os
import re
import tempfile
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

runtime = pytest.importorskip("tflite_micro", reason="tflite-micro is not installed: no real interpreter").runtime

_ARENA_BYTES = 1 << 23


class Arena(NamedTuple):
    """Bytes of tensors and of everything else, as the interpreter's recording allocator counts them."""

    head: int
    tail: int


class Micro:
    """A file in the interpreter."""

    def __init__(self, file: bytes) -> None:
        self._interpreter = runtime.Interpreter.from_bytes(file, arena_size=_ARENA_BYTES)

    def arena(self) -> Arena:
        """What the interpreter took of its arena; it tells the process's standard error only."""
        with tempfile.TemporaryFile() as told:
            kept = os.dup(2)
            os.dup2(told.fileno(), 2)
            try:
                self._interpreter.print_allocations()
            finally:
                os.dup2(kept, 2)
                os.close(kept)
            told.seek(0)
            text = told.read().decode()
        found = dict(re.findall(r"Arena allocation (head|tail) (\d+) bytes", text))
        return Arena(int(found["head"]), int(found["tail"]))

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(1, H, W, C) or (1, F)."""
        return tuple(map(int, self._interpreter.get_input_details(0)["shape"]))

    def run(self, image: NDArray[np.int8]) -> NDArray[np.int8]:
        """The stored output of a stored image."""
        self._interpreter.set_input(image, 0)
        self._interpreter.invoke()
        return np.array(self._interpreter.get_output(0))
