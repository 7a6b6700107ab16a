"""Network -> torch module: one `match` over the operations, PyTorch's default initialisation.

The module computes exactly the graph, dead branches included, so that what is counted is what runs.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from fitness.recurrent import RecurrentLayer
from spaces.layers import (
    Add,
    BatchNorm,
    Concat,
    Conv,
    Dense,
    Flatten,
    Input,
    Op,
    Pool,
    Recurrent,
    ReLU,
    Shape,
    Shift,
    Sigmoid,
    Slice,
    Tanh,
    Zero,
)
from spaces.network import Network


class LoweredNetwork(nn.Module):
    """A network as a module; maps (N, C, H, W), (N, L, F) or (N, F) to the output of the last node.

    Args:
        network: What to build. Weights come from torch's global generator, drawn in execution order.

    Attributes:
        layers: One module per node; `layers[i]` computes node i of the network.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        nodes = network.nodes
        self.layers = nn.ModuleList(
            _module(node.op, [nodes[source].shape for source in node.inputs]) for node in nodes
        )
        # After which node a value is last read, so that a forward holds no more than it needs.
        last = [max(users, default=index) for index, users in enumerate(network.consumers)]
        self._frees = [
            [source for source in set(node.inputs) if last[source] == index] for index, node in enumerate(nodes)
        ]

    def forward(self, images: Tensor) -> Tensor:
        """The output for a batch."""
        values: dict[int, Tensor] = {0: images}
        for index, node in enumerate(self.network.nodes):
            if index:
                values[index] = self.layers[index](*[values[source] for source in node.inputs])
                for source in self._frees[index]:
                    del values[source]
        return values[len(self.network.nodes) - 1]


def lower(network: Network) -> LoweredNetwork:
    """The torch module of a network, in training mode on the CPU."""
    return LoweredNetwork(network)


class PaddedSum(nn.Module):
    """Sum of maps, smaller ones zero-padded at the bottom and right."""

    def forward(self, *maps: Tensor) -> Tensor:
        """Sum of (N, C, H_i, W_i), or of sequences or vectors of equal shape."""
        total = maps[0]
        if any(m.shape != total.shape for m in maps):
            height, width = max(m.shape[2] for m in maps), max(m.shape[3] for m in maps)
            padded = [functional.pad(m, (0, width - m.shape[3], 0, height - m.shape[2])) for m in maps]
            maps, total = tuple(padded), padded[0]
        for term in maps[1:]:
            total = total + term
        return total


class Concatenation(nn.Module):
    """Maps one behind the other along the channels."""

    def forward(self, *maps: Tensor) -> Tensor:
        """(N, C_1 + ... + C_n, H, W) of maps (N, C_i, H, W)."""
        return torch.cat(maps, dim=1)


class FirstChannels(nn.Module):
    """The first `channels` channels of a map."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) of a map (N, C, H, W)."""
        return x[:, : self.channels]


class Shifted(nn.Module):
    """A map moved up and left by one pixel, zeros entering below and at the right."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) of a map of that shape."""
        return functional.pad(x, (0, 1, 0, 1))[:, :, 1:, 1:]


class Zeroed(nn.Module):
    """x * 0; keeps the gradient graph, as NAS-Bench-201's `none` does."""

    def forward(self, x: Tensor) -> Tensor:
        """Zeros of the input's shape."""
        return x * 0.0


def _module(op: Op, shapes: list[Shape]) -> nn.Module:
    """The torch module of one operation on inputs of the given batch-free shapes."""
    match op:
        case Input():
            return nn.Identity()
        case Conv(channels, kernel, stride, padding, groups, bias, dilation):
            return nn.Conv2d(shapes[0][0], channels, kernel, stride, padding, dilation, groups, bias)
        case Pool("max", kernel, stride, padding, rounding):
            return nn.MaxPool2d(kernel, stride, padding, ceil_mode=rounding == "ceil")
        case Pool(_, kernel, stride, padding, rounding):
            return nn.AvgPool2d(kernel, stride, padding, ceil_mode=rounding == "ceil", count_include_pad=False)
        case BatchNorm():
            return nn.BatchNorm2d(shapes[0][0]) if len(shapes[0]) == 3 else nn.BatchNorm1d(shapes[0][0])
        case ReLU():
            return nn.ReLU()
        case Tanh():
            return nn.Tanh()
        case Sigmoid():
            return nn.Sigmoid()
        case Add():
            return PaddedSum()
        case Concat():
            return Concatenation()
        case Slice(channels):
            return FirstChannels(channels)
        case Shift():
            return Shifted()
        case Zero():
            return Zeroed()
        case Flatten():
            return nn.Flatten()
        case Dense(units, bias):
            return nn.Linear(shapes[0][0], units, bias=bias)
        case Recurrent():
            return RecurrentLayer(op, shapes[0][1])
