"""The golden networks of `../shared/golden/scores`: the authors' weights in our lowered networks.

The weights are named by cell and edge, our nodes stand in canonical order. So the network is written down once
more, here, with an operation object of its own for every named layer; building reorders the objects without
copying them, and where an object stands afterwards is where its weights belong.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fitness.lower import LoweredNetwork, lower
from spaces.layers import Add, BatchNorm, Conv, Dense, Flatten, Op, Pool, ReLU, Zero
from spaces.nats import EDGES, NatsTss
from spaces.network import Network, NetworkBuilder
from spaces.space import Genotype

GOLDEN_NAMES = ("a0_best_c10", "a2_pool", "a5_allnone")
_SCORES = Path(__file__).parents[1] / ".." / "shared" / "golden" / "scores"
_OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")


def golden_network(name: str) -> tuple[LoweredNetwork, dict[str, Any]]:
    """The NAS-Bench-201 network `name` in train mode with the authors' weights, and its record in scores.json."""
    record, genotype = record_of(name)
    named = _Named((3, 32, 32))
    x = named.conv_norm("stem.0", "stem.1", named.net.input, 16, 3)
    for k in range(17):
        width = 16 << (k + 1) // 6
        x = named.reduction(f"cells.{k}", x, width) if k in (5, 11) else named.cell(k, x, genotype, width)
    x = named.net.add(ReLU(), named.add("lastact.0", BatchNorm(), x))
    x = named.net.add(Flatten(), named.net.add(Pool("avg", (8, 8), (8, 8)), x))
    network = named.net.build(named.add("classifier", Dense(10), x))
    assert network == NatsTss().decode(genotype)
    return named.load(network, arrays_of(f"weights_{name}")), record


def golden_thin_network(name: str) -> tuple[LoweredNetwork, dict[str, Any]]:
    """TE-NAS's one-cell network of the same architecture, in train mode, and the record."""
    record, genotype = record_of(name)
    named = _Named((1, 3, 3))
    x = named.thin_cell(named.net.input, genotype)
    network = named.net.build(named.net.add(ReLU(), named.add("lastact.0", BatchNorm(), x)))
    assert network == NatsTss().thin_networks(genotype).regions.network
    return named.load(network, arrays_of(f"thin_{name}")), record


def golden_inputs() -> dict[str, Tensor]:
    """Images x (256, 3, 32, 32), labels y10 and y120 (256,), patches (3000, 1, 3, 3)."""
    return {key: torch.from_numpy(value) for key, value in arrays_of("inputs").items()}


def golden_arrays(name: str) -> dict[str, np.ndarray]:
    """K_repo_hooks and K_relu_only (128, 128), jacobian_b64_rows_0_3 (4, 3072) of a network."""
    return arrays_of(f"arrays_{name}")


class _Named:
    """A builder that remembers which operation object carries which name in the authors' state_dict."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.net = NetworkBuilder(shape)
        self._names: dict[int, str] = {}

    def add(self, name: str, op: Op, x: int) -> int:
        self._names[id(op)] = name
        return self.net.add(op, x)

    def conv_norm(self, conv: str, norm: str, x: int, width: int, kernel: int, stride: int = 1) -> int:
        op = Conv(width, (kernel, kernel), (stride, stride), (kernel // 2, kernel // 2), bias=False)
        return self.add(norm, BatchNorm(), self.add(conv, op, x))

    def relu_conv_norm(self, name: str, x: int, width: int, kernel: int, stride: int = 1) -> int:
        x = self.net.add(ReLU(), x)
        return self.conv_norm(f"{name}.op.1", f"{name}.op.2", x, width, kernel, stride)

    def reduction(self, name: str, x: int, width: int) -> int:
        y = self.relu_conv_norm(f"{name}.conv_a", x, width, 3, stride=2)
        y = self.relu_conv_norm(f"{name}.conv_b", y, width, 3)
        halved = self.net.add(Pool("avg", (2, 2), (2, 2)), x)
        return self.net.add(Add(), y, self.add(f"{name}.downsample.1", Conv(width, (1, 1), bias=False), halved))

    def cell(self, k: int, x: int, genotype: Genotype, width: int) -> int:
        return self._cell({edge: f"cells.{k}.layers.{e}" for e, edge in enumerate(EDGES)}, x, genotype, width)

    def thin_cell(self, x: int, genotype: Genotype) -> int:
        names = {}
        for edge in EDGES:
            source, target = edge.split("->")
            chosen = _OPERATIONS.index(str(genotype[edge]))
            names[edge] = f"cells.0.edges.{target}<-{source}.{chosen}"
        return self._cell(names, x, genotype, 1)

    def _cell(self, names: Mapping[str, str], x: int, genotype: Genotype, width: int) -> int:
        nodes = [x]
        for target in (1, 2, 3):
            terms = []
            for source in range(target):
                edge, value = f"{source}->{target}", nodes[source]
                match genotype[edge]:
                    case "none":
                        value = self.net.add(Zero(), value)
                    case "avg_pool_3x3":
                        value = self.net.add(Pool("avg", (3, 3), (1, 1), (1, 1)), value)
                    case "nor_conv_1x1":
                        value = self.relu_conv_norm(names[edge], value, width, 1)
                    case "nor_conv_3x3":
                        value = self.relu_conv_norm(names[edge], value, width, 3)
                terms.append(value)
            nodes.append(self.net.add(Add(), *terms) if len(terms) > 1 else terms[0])
        return nodes[-1]

    def load(self, network: Network, weights: Mapping[str, np.ndarray]) -> LoweredNetwork:
        module = lower(network)
        for op, layer in zip(network.ops, module.layers, strict=True):
            name = self._names.get(id(op))
            if name is not None:
                layer.load_state_dict(
                    {key: torch.from_numpy(weights[f"{name}.{key}"]) for key in layer.state_dict()}
                )
        return module


def record_of(name: str) -> tuple[dict[str, Any], Genotype]:
    record = json.loads(_shared(_SCORES.with_suffix(".json")).read_text())["archs"][name]
    return record, NatsTss().parse(record["arch"])


def arrays_of(name: str) -> dict[str, np.ndarray]:
    with np.load(_shared(_SCORES / f"{name}.npz")) as arrays:
        return dict(arrays)


def _shared(path: Path) -> Path:
    if not path.exists():
        pytest.skip(f"no {path.name} at {path.parent}")
    return path
