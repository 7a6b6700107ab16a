"""Features of the layer graph of any network: how many layers of each kind, how deep, how wide.

Only what lies on a path from input to output counts. Networks are built one by one: about a millisecond each.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log

import numpy as np
from numpy.typing import NDArray

from spaces.layers import OPS, Conv, Op, Pool, Shape
from spaces.network import Network
from spaces.space import Genotype, Space

__all__ = ["LayerGraph", "kind_of", "width_of"]

_CONVOLUTIONS = ("pointwise", "conv", "large conv", "depthwise")  # one pixel, up to 3x3, beyond, channel by channel
_POOLS = ("max pool", "avg pool")
_OTHERS = tuple(sorted(set(OPS) - {"Conv", "Pool", "Input"}))
_KINDS = (*_CONVOLUTIONS, *_POOLS, *_OTHERS)
_WIDTHS = ("least", "mean", "greatest", "last")


class LayerGraph:
    """Counts of layers by kind, strides and depth; logarithms of widths and of map sizes.

    Args:
        space: Of the networks.
    """

    names: tuple[str, ...] = (
        *(f"number {kind}" for kind in _KINDS),
        "strided",
        "longest path",
        "shortest path",
        *(f"{which} log width" for which in _WIDTHS),
        *(f"{which} log volume" for which in _WIDTHS),
    )

    def __init__(self, space: Space) -> None:
        self._space = space

    def matrix(self, genotypes: Sequence[Genotype]) -> NDArray[np.float64]:
        """See `Features.matrix`."""
        rows = [_row(self._space.decode(genotype).live) for genotype in genotypes]
        return np.array(rows, dtype=np.float64).reshape(len(rows), len(self.names))


def _row(network: Network) -> list[float]:
    counts = dict.fromkeys(_KINDS, 0)
    strided = 0
    widths, volumes = [], []
    longest: list[int] = []
    shortest: list[int] = []
    for op, inputs, shape, volume in zip(network.ops, network.inputs, network.shapes, network.volumes, strict=True):
        weighs = type(op).__name__ in ("Conv", "Dense", "Recurrent")
        longest.append(max((longest[source] for source in inputs), default=0) + weighs)
        shortest.append(min((shortest[source] for source in inputs), default=0) + weighs)
        if not inputs:
            continue
        counts[kind_of(op, network.shapes[inputs[0]])] += 1
        strided += isinstance(op, Conv | Pool) and max(op.stride) > 1
        if weighs:
            widths.append(log(width_of(shape)))
            volumes.append(log(volume))
    return [*counts.values(), strided, longest[-1], shortest[-1], *_summary(widths), *_summary(volumes)]


def kind_of(op: Op, shape: Shape) -> str:
    """What a layer that reads a map of this shape is called among the features."""
    if isinstance(op, Conv):
        if 1 < op.groups == shape[0]:
            return "depthwise"
        return _CONVOLUTIONS[0 if max(op.kernel) == 1 else 1 if max(op.kernel) <= 3 else 2]
    return f"{op.kind} pool" if isinstance(op, Pool) else type(op).__name__


def width_of(shape: Shape) -> int:
    """Channels of a map, features of a vector or of each step of a series."""
    return shape[1] if len(shape) == 2 else shape[0]


def _summary(values: Sequence[float]) -> tuple[float, ...]:
    return (min(values), sum(values) / len(values), max(values), values[-1]) if values else (0.0,) * len(_WIDTHS)
