"""Concatenation and channel slices: shapes, order, identity, liveness, modules and memory."""

from __future__ import annotations

from itertools import permutations
from random import Random

import pytest
import torch

from fitness import figures
from fitness.deploy import arena_tensors
from fitness.lower import lower
from spaces.layers import Add, Concat, Conv, Dense, Flatten, Op, Pool, ReLU, ShapeError, Slice, Zero
from spaces.network import Network, NetworkBuilder, chain


def _joined(*branches: Op) -> Network:
    """The concatenation of operations on one image of 3x8x8."""
    builder = NetworkBuilder((3, 8, 8))
    return builder.build(builder.add(Concat(), *[builder.add(op, builder.input) for op in branches]))


CONV, POOL = Conv(4, (1, 1), bias=False), Pool("max", (3, 3), (1, 1), (1, 1))


def test_channels_add_up_and_a_slice_keeps_the_first() -> None:
    assert Concat().out_shape((3, 8, 8), (4, 8, 8), (1, 8, 8)) == (8, 8, 8)
    assert Slice(2).out_shape((3, 8, 8)) == (2, 8, 8)
    assert _joined(CONV, POOL).shapes[-1] == (7, 8, 8)


def test_modules_compute_them() -> None:
    builder = NetworkBuilder((3, 8, 8))
    bent, x = builder.add(ReLU(), builder.input), builder.input
    network = builder.build(builder.add(Slice(5), builder.add(Concat(), bent, x)))
    image = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    expected = torch.cat([image.relu(), image], dim=1)[:, :5]
    assert torch.equal(lower(network)(image), expected)


@pytest.mark.parametrize(
    ("op", "shapes", "message"),
    [
        (Concat(), [(3, 8, 8)], "at least two"),
        (Concat(), [(3, 8, 8), (3, 8, 4)], "equal height and width"),
        (Concat(), [(3, 8, 8), (3,)], "equal height and width"),
        (Slice(4), [(3, 8, 8)], "at most as many"),
        (Slice(1), [(3,)], "expected a map"),
    ],
)
def test_what_does_not_fit_is_refused(op: Concat | Slice, shapes: list[tuple[int, ...]], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        op.out_shape(*shapes)  # type: ignore[call-arg]


def test_a_slice_of_no_channels_is_refused() -> None:
    with pytest.raises(ShapeError, match="at least 1"):
        Slice(0)


def test_a_concatenation_is_no_part_of_a_chain() -> None:
    with pytest.raises(ShapeError, match="one input"):
        chain((3, 8, 8), ReLU(), Concat())


def test_the_order_of_the_inputs_is_part_of_the_network() -> None:
    """A slice behind a concatenation tells its orders apart, and so does the key."""
    keys = {_joined(*order).key for order in permutations((CONV, POOL, ReLU()))}
    assert len(keys) == 6
    terms = {_summed(*order).key for order in permutations((POOL, ReLU(), Zero()))}
    assert len(terms) == 1


def _summed(*branches: Op) -> Network:
    builder = NetworkBuilder((3, 8, 8))
    return builder.build(builder.add(Add(), *[builder.add(op, builder.input) for op in branches]))


def _random_graph(rng: Random) -> Network:
    """Concatenations, sums and slices of a few maps; many of them alike, so that symmetry has to be settled."""
    builder = NetworkBuilder((2, 4, 4))
    nodes = [builder.input]
    for _ in range(rng.randint(3, 12)):
        source = rng.choice(nodes)
        alike = [node for node in nodes if builder.shape(node) == builder.shape(source)]
        drawn = rng.randrange(6)
        if drawn == 0 and builder.shape(source)[0] > 2:
            nodes.append(builder.add(Slice(2), source))
        elif drawn == 1:
            nodes.append(builder.add(Add(), *rng.choices(alike, k=2)))
        elif drawn in (2, 3):
            nodes.append(builder.add(Concat(), *rng.choices(nodes, k=rng.randint(2, 3))))
        else:
            nodes.append(builder.add(Conv(2, (1, 1), bias=False) if drawn == 4 else ReLU(), source))
    ends = [node for node in nodes if not any(node in inputs for inputs in builder._inputs)]
    x = builder.add(Concat(), *ends) if len(ends) > 1 else ends[0]
    return builder.build(builder.add(Dense(2), builder.add(Flatten(), x)))


def test_keys_do_not_depend_on_how_a_graph_was_written_down() -> None:
    rng, keys = Random(0), set()
    for _ in range(150):
        network = _random_graph(rng)
        keys.add(network.key)
        assert {_rewritten(network, rng).key for _ in range(4)} == {network.key}
    assert len(keys) > 100


def _rewritten(network: Network, rng: Random) -> Network:
    """The same graph in another order; terms of sums shuffled, parts of concatenations left in their places."""
    builder, place = NetworkBuilder(network.shapes[0]), {0: 0}
    while len(place) < len(network):
        ready = [
            index
            for index, inputs in enumerate(network.inputs)
            if index not in place and all(source in place for source in inputs)
        ]
        index = rng.choice(ready)
        inputs = [place[source] for source in network.inputs[index]]
        if network.ops[index].commutative:
            rng.shuffle(inputs)
        place[index] = builder.add(network.ops[index], *inputs)
    return builder.build(place[len(network) - 1])


def test_random_graphs_keep_their_function_when_simplified() -> None:
    rng = Random(1)
    for _ in range(60):
        network = _random_graph(rng)
        image = torch.randn(3, 2, 4, 4, generator=torch.Generator().manual_seed(2))
        outputs = [_output(each, image) for each in (network, network.live, network.simplified())]
        torch.testing.assert_close(outputs[1], outputs[0])
        torch.testing.assert_close(outputs[2], outputs[0])


def _output(network: Network, image: torch.Tensor) -> torch.Tensor:
    """All weights 0.5, so that one graph written in two orders has the same output."""
    module = lower(network)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.fill_(0.5)
        return module(image)


def test_dead_channels_stay_in_their_place() -> None:
    builder = NetworkBuilder((3, 8, 8))
    dead, live = builder.add(Zero(), builder.input), builder.add(CONV, builder.input)
    network = builder.build(builder.add(Concat(), dead, live))
    assert network.live == network
    builder = NetworkBuilder((3, 8, 8))
    dead = builder.add(Zero(), builder.input)
    blocked = builder.build(builder.add(Concat(), dead, builder.add(Zero(), builder.input)))
    assert blocked.live.ops[-1] == Zero()


def test_networks_with_them_survive_json() -> None:
    builder = NetworkBuilder((3, 8, 8))
    joined = builder.add(Concat(), builder.add(CONV, builder.input), builder.input)
    network = builder.build(builder.add(Slice(6), joined))
    again = Network.from_json(network.to_json())
    assert again == network
    assert again.nodes == network.nodes


def test_a_concatenation_is_one_kernel_whose_inputs_and_output_are_alive_at_once() -> None:
    builder = NetworkBuilder((1, 4, 4))
    parts = [builder.add(Conv(channels, (1, 1)), builder.input) for channels in (1, 2, 3)]
    network = builder.build(builder.add(Slice(2), builder.add(Concat(), *parts)))
    assert sorted(tensor.size for tensor in arena_tensors(network)) == [16, 16, 32, 32, 48, 96]
    assert figures.peak_live_bytes(network) == 16 + 32 + 48 + 96
    assert figures.munas_peak_memory(network) == 16 + 32 + 48 + 96
    assert figures.macs(network) == figures.munas_macs(network) == 16 * (1 + 2 + 3)


@pytest.mark.parametrize("op", [Concat(), Slice(2)])
def test_a_relu_behind_what_only_moves_numbers_is_a_kernel_of_its_own(op: Op) -> None:
    builder = NetworkBuilder((4, 4, 4))
    convs = [builder.add(Conv(4, (1, 1)), builder.input) for _ in range(2)]
    moved = builder.add(op, *convs) if isinstance(op, Concat) else builder.add(op, convs[0])
    without = builder.build(moved)
    network = builder.build(builder.add(ReLU(), moved))
    assert len(arena_tensors(network)) == len(arena_tensors(without)) + 1
    assert figures.n_relu(network) == network.volumes[-1]


def test_the_widest_path_leads_through_one_part() -> None:
    assert figures.bottleneck(_joined(CONV, Pool("max", (3, 3), (1, 1), (1, 1)))) == 4 * 8 * 8


def test_alike_parts_are_made_in_the_order_in_which_they_are_joined() -> None:
    network = _joined(*[CONV] * 50)
    assert network.inputs[-1] == tuple(range(1, 51))
