"""Networks as files: `subject` says which and with what weights, `as_…` make the bytes, one file per format.

`source` writes a network as a PyTorch module; `writing` puts files on disk and says what was written.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.results.export.subject import Subject

__all__ = ["FORMATS", "Format", "Made"]


@dataclass(frozen=True)
class Made:
    """What a format makes of a network.

    Attributes:
        files: Bytes by ending of the file, in the order of `Format.endings`.
        checks: What was compared or measured before anything was written, by name.
        said: The same in words, for people.
    """

    files: Mapping[str, bytes]
    checks: Mapping[str, object]
    said: str


@dataclass(frozen=True)
class Format:
    """A kind of file.

    Attributes:
        endings: Of the files that belong together.
        where: "module:function" that makes them of a `Subject` and a source of images or None.
        images: Whether it takes a source of images.
        weights: Whether weights are in the file.
    """

    endings: tuple[str, ...]
    where: str
    images: bool = False
    weights: bool = True

    def make(self, subject: Subject, data: str | None) -> Made:
        """The files of one network."""
        module, _, name = self.where.partition(":")
        function: Callable[..., Made] = getattr(importlib.import_module(module), name)
        return function(subject, data) if self.images else function(subject)


FORMATS = {
    "torch": Format((".pt", ".py"), "engine.results.export.as_torch:make"),
    "onnx": Format((".onnx",), "engine.results.export.as_onnx:make"),
    "tflite": Format((".tflite",), "engine.results.export.as_tflite:make", images=True),
    "json": Format((".json",), "engine.results.export.as_json:make", weights=False),
}
"""Name and what it is."""
