"""Live figures, depth and bottleneck against walking every path of small graphs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from random import Random

import pytest

from fitness import figures
from spaces import SPACES
from spaces.layers import Add, BatchNorm, Conv, Dense, Flatten, Pool, Recurrent, ReLU, Zero
from spaces.network import Network, NetworkBuilder

Networks = Callable[..., list[Network]]
Path = tuple[int, ...]


def _random_network(rng: Random) -> Network:
    """A small graph of maps with blocked and dead branches, flattened and classified at the end."""
    channels = rng.choice([1, 2, 4])
    builder = NetworkBuilder((channels, 8, 8))
    same_shape = {(channels, 8, 8): [0]}
    for _ in range(rng.randint(2, 9)):
        shape = rng.choice(sorted(same_shape))
        nodes = same_shape[shape]
        source = rng.choice(nodes)
        match rng.randrange(8):
            case 0:
                made = builder.add(Zero(), source)
            case 1:
                made = builder.add(ReLU(), source)
            case 2:
                made = builder.add(BatchNorm(), source)
            case 3 if min(shape[1:]) > 2:
                made = builder.add(Pool("max", (2, 2), (2, 2)), source)
            case 4 | 5:
                made = builder.add(
                    Conv(rng.choice([1, 2, 4]), (3, 3), padding=(1, 1), bias=rng.random() < 0.5), source
                )
            case _:
                made = builder.add(Add(), *rng.choices(nodes, k=rng.randint(2, 3)))
        same_shape.setdefault(builder.shape(made), []).append(made)
    x = builder.add(Dense(5), builder.add(Flatten(), made))
    return builder.build(builder.add(Dense(3), builder.add(ReLU(), x)))


def _paths(network: Network, through_zeros: bool = False) -> Iterator[Path]:
    """Every path from input to output; information does not pass a `Zero`."""

    def backwards(path: Path) -> Iterator[Path]:
        op, inputs, _ = network.nodes[path[0]]
        if isinstance(op, Zero) and not through_zeros:
            return
        if not inputs:
            yield path
        for source in set(inputs):
            yield from backwards((source, *path))

    yield from backwards((len(network) - 1,))


def _volume(network: Network, node: int) -> int:
    return math.prod(network.shapes[node])


@pytest.fixture(scope="module")
def graphs() -> list[Network]:
    rng = Random(0)
    return [_random_network(rng) for _ in range(600)]


def test_live_counts_are_those_of_nodes_on_a_path(graphs: list[Network]) -> None:
    differ = blocked = 0
    for network in graphs:
        on_path = {node for path in _paths(network) for node in path}
        counted = _counts(network, on_path)
        assert {name: figure(network, live=True) for name, figure in COUNTS.items()} == pytest.approx(counted)
        everything = _counts(network, set(range(len(network))))
        assert {name: figure(network) for name, figure in COUNTS.items()} == pytest.approx(everything)
        differ += counted != everything
        blocked += not on_path
    assert differ > 100
    assert blocked > 20


COUNTS: dict[str, Callable[..., float]] = {
    "n_relu": figures.n_relu,
    "params": figures.params,
    "macs": figures.macs,
    "aleph": figures.aleph,
    "log_capacity": figures.log_capacity,
}


def _counts(network: Network, nodes: set[int]) -> dict[str, float]:
    total = dict.fromkeys(COUNTS, 0.0)
    for index in nodes:
        op, inputs, shape = network.nodes[index]
        if isinstance(op, ReLU):
            total["n_relu"] += math.prod(shape)
        elif isinstance(op, BatchNorm):
            total["params"] += 2 * shape[0]
            total["aleph"] += 2
        elif isinstance(op, Conv | Dense):
            fan_in = network.shapes[inputs[0]][0]
            if isinstance(op, Conv):
                fan_in = fan_in // op.groups * op.kernel[0] * op.kernel[1]
            weights = shape[0] * fan_in
            total["params"] += weights + shape[0] * op.bias
            total["aleph"] += 1 + op.bias
            total["macs"] += weights * math.prod(shape[1:])
            total["log_capacity"] += math.log(weights)
        elif isinstance(op, Recurrent):
            steps, features = network.shapes[inputs[0]]
            weights, biases = RECURRENT[op.kind](op.units, features)
            total["params"] += weights + biases
            total["aleph"] += 4 if op.kind == "gru" else 3
            total["macs"] += weights * steps
            total["log_capacity"] += math.log(weights)
    return total


RECURRENT: dict[str, Callable[[int, int], tuple[int, int]]] = {  # weights and biases of u units and d features
    "lstm": lambda u, d: (4 * u * d + 4 * u * u, 4 * u),
    "gru": lambda u, d: (3 * u * d + 3 * u * u, 6 * u),
    "rnn": lambda u, d: (u * d + u * u, u),
}


def test_depth_is_the_longest_path_in_layers_with_weights(graphs: list[Network]) -> None:
    for network in graphs:
        longest = max(_layers(network, path) for path in _paths(network, through_zeros=True))
        assert figures.depth(network) == longest
        assert figures.depth(network, live=True) == max((_layers(network, p) for p in _paths(network)), default=0)


def _layers(network: Network, path: Path) -> int:
    return sum(isinstance(network.ops[node], Conv | Dense) for node in path)


def test_bottleneck_is_the_narrowest_map_of_the_widest_path(graphs: list[Network]) -> None:
    positive = 0
    for network in graphs:
        assert figures.bottleneck(network) == _widest(network)
        # A sum with one live term is that term, so what is left can be the image itself, which does not count.
        assert figures.bottleneck(network, live=True) == _widest(network.live) >= figures.bottleneck(network)
        positive += figures.bottleneck(network) > 0
    assert 200 < positive < len(graphs)


def _widest(network: Network) -> int:
    return max((_narrowest(network, path) for path in _paths(network)), default=0)


def _narrowest(network: Network, path: Path) -> int:
    """The smallest feature map of a path; the image itself counts only where there is no other."""
    maps = [_volume(network, node) for node in path[1:] if len(network.shapes[node]) == 3]
    return min(maps, default=_volume(network, 0))


@pytest.mark.parametrize("name", list(SPACES))
def test_live_networks_of_every_space_keep_what_is_on_a_path(networks: Networks, name: str) -> None:
    """Liveness from both ends: reached from the input, and reaching the output."""
    for network in networks(name, 200)[:60]:
        forward = [False] * len(network)
        for index, (op, inputs, _) in enumerate(network.nodes):
            reached = index == 0 or any(forward[source] for source in inputs)
            forward[index] = reached and not isinstance(op, Zero)
        back = [False] * len(network)
        back[-1] = True
        for index in range(len(network) - 1, -1, -1):
            if back[index] and not isinstance(network.ops[index], Zero):
                for source in network.inputs[index]:
                    back[source] = True
        on_path = {index for index in range(len(network)) if forward[index] and back[index]}
        counted = _counts(network, on_path)
        assert {key: figure(network, live=True) for key, figure in COUNTS.items()} == pytest.approx(counted)


def test_nothing_live_counts_nothing() -> None:
    builder = NetworkBuilder((1, 4, 4))
    x = builder.add(Conv(2, (3, 3)), builder.add(Zero(), builder.add(ReLU(), builder.input)))
    network = builder.build(builder.add(Dense(2), builder.add(Flatten(), x)))
    assert {figure(network, live=True) for figure in COUNTS.values()} == {0}
    assert figures.n_relu(network) == 16
    assert figures.depth(network) == 2
    assert (figures.depth(network, live=True), figures.bottleneck(network)) == (0, 0)


def test_images_that_are_flattened_at_once_are_their_own_bottleneck() -> None:
    builder = NetworkBuilder((3, 4, 5))
    network = builder.build(builder.add(Dense(2), builder.add(Flatten(), builder.input)))
    assert figures.bottleneck(network) == 60


def test_the_widest_branch_of_a_join_counts() -> None:
    builder = NetworkBuilder((4, 8, 8))
    narrow = builder.add(Conv(4, (1, 1)), builder.add(Conv(1, (8, 8)), builder.input))
    wide = builder.add(Conv(4, (1, 1)), builder.add(Conv(2, (3, 3)), builder.input))
    total = builder.add(Add(), narrow, wide)
    network = builder.build(builder.add(Dense(2), builder.add(Flatten(), total)))
    assert figures.bottleneck(network) == 2 * 6 * 6
