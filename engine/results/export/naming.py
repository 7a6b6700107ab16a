"""What the parts of a network are called in files: its input and output, and the layers that have weights."""

from __future__ import annotations

from itertools import count
from typing import NamedTuple

from spaces.layers import BatchNorm, Conv, Dense, Op, Pool, Recurrent
from spaces.network import Network

__all__ = ["Words", "layer_names", "needed", "reads_series", "words_of"]

_NAMED = {Conv: "conv", Dense: "dense", Pool: "pool"}


class Words(NamedTuple):
    """What a network reads and gives, and how people say so."""

    inputs: str
    outputs: str
    returned: str
    task: str


_IMAGES = Words("images", "scores", "the scores, before any softmax", "judge images")
_SERIES = Words("windows", "forecasts", "what follows each window, scaled as the windows are", "forecast")


def reads_series(network: Network) -> bool:
    """Whether a network reads windows of a series (L, F) rather than images (C, H, W) or vectors (F,)."""
    return len(network.shapes[0]) == 2


def words_of(network: Network) -> Words:
    """The words for a network."""
    return _SERIES if reads_series(network) else _IMAGES


def needed(network: Network) -> list[bool]:
    """Whether the output depends on each node."""
    found = [False] * len(network)
    found[-1] = True
    for node in range(len(network) - 1, -1, -1):
        if found[node]:
            for source in network.inputs[node]:
                found[source] = True
    return found


def layer_names(network: Network) -> dict[int, str]:
    """Names of needed layers by node, counted by kind; a batch norm has the number of what it follows."""
    wanted = needed(network)
    counts: dict[str, count[int]] = {}
    names: dict[int, str] = {}
    for node, op in enumerate(network.ops):
        if not wanted[node]:
            continue
        if word := _word(op):
            names[node] = f"{word}{next(counts.setdefault(word, count(1)))}"
        elif isinstance(op, BatchNorm):
            before = names.get(network.inputs[node][0], "pool")
            name = before.replace("conv", "norm").replace("dense", "dense_norm")
            if name.startswith("pool") or name in names.values():
                # It follows no layer that it could be named after.
                name = f"own_norm{next(counts.setdefault('norm', count(1)))}"
            names[node] = name
    return names


def _word(op: Op) -> str | None:
    """What layers of a kind are called; None of an operation that gets no name of its own."""
    return op.kind if isinstance(op, Recurrent) else _NAMED.get(type(op))
