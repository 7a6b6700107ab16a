"""Between what values the activations of a float network lie, and the int8 schemes that follow.

Knows kernels and which of them must store their output alike; not weights.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from fitness.deploy import Kernel, fused
from fitness.lower import LoweredNetwork, PaddedSum
from fitness.quantised import HIGHEST, LOWEST, Scheme
from spaces.errors import UsageError
from spaces.layers import Add, BatchNorm, Concat, Flatten, Pool, ReLU, Shift, Slice, Zero
from spaces.network import Network

__all__ = ["nodes_of", "observed_schemes", "scheme_of"]

_AT_ONCE = 100  # images
_KEEPS_SCHEME = (Pool, Slice, Shift, Zero, Concat)

Place = tuple[int, int]  # a kernel, and which of its values: 0 its output, k > 0 its k-th intermediate sum


def nodes_of(network: Network) -> list[list[int]]:
    """The nodes that each kernel of `fused` computes, in order: itself, its batch norm, its ReLUs."""
    kernels = fused(network)
    nodes: list[list[int]] = []
    place: list[int] = []  # kernel that holds the value of each node
    waiting: list[dict[type, int]] = []  # batch norms and ReLUs that each kernel still takes in
    for node, (op, inputs) in enumerate(zip(network.ops, network.inputs, strict=True)):
        kind = type(op)
        if kind is Flatten:
            place.append(place[inputs[0]])
        elif inputs and waiting[place[inputs[0]]].get(kind, 0):
            place.append(place[inputs[0]])
            nodes[place[-1]].append(node)
            waiting[place[-1]][kind] -= 1
        else:
            place.append(len(nodes))
            kernel = kernels[len(nodes)]
            nodes.append([node])
            waiting.append({BatchNorm: kernel.norms, ReLU: kernel.relus})
            if kind in waiting[-1]:
                waiting[-1][kind] -= 1
    return nodes


def scheme_of(low: float, high: float) -> Scheme:
    """The scheme that covers a range and zero; zero is stored exactly."""
    low, high = min(low, 0.0), max(high, 0.0)
    if low == high:
        high = 1.0  # only zeros were seen
    scale = float(np.float32((high - low) / (HIGHEST - LOWEST)))
    return Scheme(scale, int(np.clip(round(LOWEST - low / scale), LOWEST, HIGHEST)))


def observed_schemes(module: LoweredNetwork, images: Tensor) -> dict[Place, Scheme]:
    """The scheme of every kernel's output and of every intermediate sum.

    Args:
        module: The float network, in evaluation mode.
        images: (N, C, H, W) or (N, F) calibration images, normalised.

    Raises:
        UsageError: A value that is not finite.
    """
    lows: dict[Place, float] = {}
    highs: dict[Place, float] = {}
    for start in range(0, len(images), _AT_ONCE):
        for place, values in _values(module, images[start : start + _AT_ONCE]):
            low, high = torch.stack(torch.aminmax(values)).tolist()
            if not np.isfinite(high - low):
                raise UsageError(f"kernel {place[0]} gives values from {low} to {high}; int8 needs finite ones")
            lows[place] = min(lows.get(place, 0.0), low)
            highs[place] = max(highs.get(place, 0.0), high)
    groups = _alike(fused(module.network))
    members: dict[Place, list[Place]] = {}
    for place in lows:
        members.setdefault((groups[place[0]], 0) if place[1] == 0 else place, []).append(place)
    schemes: dict[Place, Scheme] = {}
    for places in members.values():
        scheme = scheme_of(min(lows[place] for place in places), max(highs[place] for place in places))
        schemes |= dict.fromkeys(places, scheme)
    return schemes


@torch.no_grad()
def _values(module: LoweredNetwork, images: Tensor) -> Iterator[tuple[Place, Tensor]]:
    """The outputs of all kernels, after what is fused into them, and the intermediate sums."""
    network = module.network
    ends = {nodes[-1]: kernel for kernel, nodes in enumerate(nodes_of(network))}
    heads = {nodes[0]: kernel for kernel, nodes in enumerate(nodes_of(network))}
    values: dict[int, Tensor] = {}
    for node, (op, inputs) in enumerate(zip(network.ops, network.inputs, strict=True)):
        terms = [values[source] for source in inputs]
        values[node] = module.layers[node](*terms) if terms else images
        if node in ends:
            yield (ends[node], 0), values[node]
        if isinstance(op, Add):
            for count in range(2, len(terms)):
                yield (heads[node], count - 1), PaddedSum()(*terms[:count])


def _alike(kernels: tuple[Kernel, ...]) -> list[int]:
    """For every kernel, the first one whose output must have the same scheme."""
    groups = list(range(len(kernels)))
    for index, kernel in enumerate(kernels):
        if isinstance(kernel.op, _KEEPS_SCHEME) or (isinstance(kernel.op, Add) and len(kernel.inputs) == 1):
            joined = {groups[index], *(groups[source] for source in kernel.inputs)}
            groups = [min(joined) if group in joined else group for group in groups]
    return groups
