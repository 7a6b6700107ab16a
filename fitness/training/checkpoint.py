"""Weights and trainings under way as .npz files: arrays and JSON, no pickle, so that a file can be trusted.

A file is written whole or not at all. Tensors come back in the layout in memory that they had: operations on
another layout may round differently, and a training that goes on must not differ from one that was never stopped.
"""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fitness.lower import LoweredNetwork, lower
from spaces.errors import RunError
from spaces.network import Network

__all__ = ["load_state", "load_weights", "save_state", "save_weights", "writing_whole"]

_OUTLINE: Final = "outline"  # the name of the member that holds everything but tensors
_FAULTS: Final = (EOFError, KeyError, OSError, TypeError, ValueError, zipfile.BadZipFile, zlib.error)


def save_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write a tree of dictionaries, lists, tensors and plain JSON values, such as `Training.state()`.

    Raises:
        RunError: The disk is full or the folder read-only.
    """
    arrays: dict[str, NDArray[Any]] = {}
    outline = json.dumps(_outlined(state, arrays))
    _write(path, {**arrays, _OUTLINE: np.frombuffer(outline.encode(), dtype=np.uint8)})


def load_state(path: Path) -> dict[str, Any]:
    """The tree that `save_state` wrote; tuples come back as lists.

    Raises:
        RunError: The file cannot be read or is not one that `save_state` wrote.
    """
    arrays = _read(path)
    try:
        state: dict[str, Any] = _restored(json.loads(arrays[_OUTLINE].tobytes()), arrays)
    except _FAULTS as error:
        raise _damaged(path, error) from error
    return state


def save_weights(path: Path, module: torch.nn.Module) -> None:
    """Write the state dictionary of a module, an array for each name.

    Raises:
        RunError: The disk is full or the folder read-only.
    """
    _write(path, {name: value.detach().cpu().numpy() for name, value in module.state_dict().items()})


def load_weights(path: Path, network: Network) -> LoweredNetwork:
    """A network with the weights that `save_weights` wrote, in evaluation mode.

    Raises:
        RunError: The file cannot be read, or holds weights of another network.
    """
    arrays = _read(path)
    module = lower(network)
    try:
        module.load_state_dict({name: torch.from_numpy(value) for name, value in arrays.items()})
    except RuntimeError as error:  # torch names every tensor that is missing or of another shape
        raise _damaged(path, "its weights are those of another network") from error
    return module.eval()


def _outlined(value: object, arrays: dict[str, NDArray[Any]]) -> object:
    """A value for JSON, its tensors put among the arrays."""
    if isinstance(value, Tensor):
        name = f"tensor{len(arrays)}"
        arrays[name] = value.detach().cpu().numpy()
        return {"tensor": name, "channels_last": _is_channels_last(value)}
    if isinstance(value, Mapping):
        return {"entries": [[key, _outlined(item, arrays)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        return [_outlined(item, arrays) for item in value]
    return value


def _restored(value: Any, arrays: Mapping[str, NDArray[Any]]) -> Any:
    if isinstance(value, list):
        return [_restored(item, arrays) for item in value]
    if not isinstance(value, dict):
        return value
    if "entries" in value:
        return {key: _restored(item, arrays) for key, item in value["entries"]}
    tensor = torch.from_numpy(arrays[value["tensor"]])
    return tensor.contiguous(memory_format=torch.channels_last) if value["channels_last"] else tensor


def _is_channels_last(value: Tensor) -> bool:
    return value.ndim == 4 and value.is_contiguous(memory_format=torch.channels_last) and not value.is_contiguous()


def _write(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    with writing_whole(path) as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


@contextmanager
def writing_whole(path: Path) -> Iterator[IO[bytes]]:
    """A file that takes its name only when all of it is on the disk.

    Raises:
        RunError: The disk is full or the folder read-only.
    """
    draft = path.with_name(path.name + ".new")
    try:
        with draft.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # or a power failure might leave the new name on an empty file
        os.replace(draft, path)
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror or error}; make room, then the same again") from error


def _read(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return {name: np.ascontiguousarray(arrays[name]).reshape(arrays[name].shape) for name in arrays.files}
    except _FAULTS as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, why: str | Exception) -> RunError:
    reason = " ".join(str(why).split())[:200] or "it ends too early"
    return RunError(f"{path} cannot be used: {reason}; remove {path.parent}, and the network is trained anew")
