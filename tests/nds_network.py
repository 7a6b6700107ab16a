"""The network of two cells of NDS a second time, in plain torch: what the layers of the space must equal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn


def _conv_bn(*convolutions: nn.Module, out: int) -> list[nn.Module]:
    return [nn.ReLU(), *convolutions, nn.BatchNorm2d(out)]


def _separable(c: int, k: int, stride: int, dilation: int, times: int) -> nn.Module:
    layers: list[nn.Module] = []
    for i in range(times):
        wide = nn.Conv2d(c, c, k, stride if i == 0 else 1, dilation * (k - 1) // 2, dilation, groups=c, bias=False)
        layers += _conv_bn(wide, nn.Conv2d(c, c, 1, bias=False), out=c)
    return nn.Sequential(*layers)


class Halved(nn.Module):
    """Two 1x1 convolutions with stride 2, the second one on the map without its first row and column."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.even = nn.Conv2d(c_in, c_out // 2, 1, 2, bias=False)
        self.odd = nn.Conv2d(c_in, c_out // 2, 1, 2, bias=False)
        self.relu, self.norm = nn.ReLU(), nn.BatchNorm2d(c_out)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(x)
        shifted = torch.zeros_like(x)
        shifted[:, :, :-1, :-1] = x[:, :, 1:, 1:]
        return self.norm(torch.cat([self.even(x), self.odd(shifted)], 1))


class Nothing(nn.Module):
    """Zeros in the place of every `stride`-th pixel."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, :: self.stride, :: self.stride] * 0


def _operation(name: str, c: int, stride: int) -> nn.Module:
    kind, _, size = name.rpartition("_")
    k = int(size[0]) if size[0].isdigit() else 0
    match kind:
        case "":
            return Nothing(stride)
        case "skip":
            return nn.Identity() if stride == 1 else Halved(c, c)
        case "max_pool":
            return nn.MaxPool2d(k, stride, k // 2)
        case "avg_pool":
            return nn.AvgPool2d(k, stride, k // 2, count_include_pad=False)
        case "conv":
            return nn.Sequential(*_conv_bn(nn.Conv2d(c, c, k, stride, k // 2, bias=False), out=c))
        case "conv_3x1" | "conv_7x1":
            k = int(kind[5])
            row = nn.Conv2d(c, c, (1, k), (1, stride), (0, k // 2), bias=False)
            return nn.Sequential(
                *_conv_bn(row, nn.Conv2d(c, c, (k, 1), (stride, 1), (k // 2, 0), bias=False), out=c)
            )
        case _:
            return _separable(c, k, stride, 2 if kind.startswith("dil") else 1, 2 if "sep" in kind else 1)


class CellNetwork(nn.Module):
    """The published network for CIFAR of a genotype, without auxiliary head and drop path.

    Args:
        net: `width`, `depth` and `genotype`, in the authors' form.
        classes: Number of classes.
        image_channels: Of the images.
    """

    def __init__(self, net: Mapping[str, Any], classes: int = 10, image_channels: int = 3) -> None:
        super().__init__()
        c, depth, self.genotype = net["width"], net["depth"], net["genotype"]
        self.stem = nn.Sequential(nn.Conv2d(image_channels, 3 * c, 3, 1, 1, bias=False), nn.BatchNorm2d(3 * c))
        widths, reduced = [3 * c, 3 * c], False
        self.cells = nn.ModuleList()
        self.kinds: list[str] = []
        for i in range(depth):
            kind = "reduce" if i in (depth // 3, 2 * depth // 3) else "normal"
            c = 2 * c if kind == "reduce" else c
            plain = [nn.Sequential(*_conv_bn(nn.Conv2d(w, c, 1, bias=False), out=c)) for w in widths]
            operations = [
                _operation(name, c, 2 if kind == "reduce" and source < 2 else 1)
                for name, source in self.genotype[kind]
            ]
            first = Halved(widths[0], c) if reduced else plain[0]
            self.cells.append(nn.ModuleList([first, plain[1], *operations]))
            self.kinds.append(kind)
            widths, reduced = [widths[1], c * len(self.genotype[f"{kind}_concat"])], kind == "reduce"
        self.classifier = nn.Linear(widths[1], classes)

    def forward(self, images: Tensor) -> Tensor:
        before = last = self.stem(images)
        for cell, kind in zip(self.cells, self.kinds, strict=True):
            states = [cell[0](before), cell[1](last)]
            sources: Sequence[int] = [source for _, source in self.genotype[kind]]
            for i in range(0, len(sources), 2):
                states.append(cell[2 + i](states[sources[i]]) + cell[3 + i](states[sources[i + 1]]))
            before, last = last, torch.cat([states[i] for i in self.genotype[f"{kind}_concat"]], 1)
        return self.classifier(last.mean((2, 3)))
