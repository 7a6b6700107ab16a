"""A network's key and order depend on the graph alone, and different graphs have different keys."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations, permutations, product
from random import Random

import pytest

from spaces.layers import Add, BatchNorm, Conv, Dense, Flatten, Op, Pool, ReLU, Sigmoid, Tanh, Zero
from spaces.network import Network, NetworkBuilder
from spaces.space import Space

Rewrite = Callable[[Network, Random], Network]
Edges = list[tuple[int, int]]


# --- any way to write a graph down ------------------------------------------------------------------


def test_reordered_networks_of_every_space_are_equal(space: Space, rewrite: Rewrite) -> None:
    rng = Random(0)
    for _ in range(60):
        network = space.decode(space.sample(rng))
        again = rewrite(network, rng)
        assert again.key == network.key
        assert again.nodes == network.nodes
        assert again.consumers == network.consumers


def test_order_puts_every_node_after_its_inputs_and_the_output_last(space: Space) -> None:
    rng = Random(1)
    for _ in range(60):
        network = space.decode(space.sample(rng))
        assert all(source < index for index, inputs in enumerate(network.inputs) for source in inputs)
        assert network.reads == tuple(map(len, network.consumers))
        assert network.reads[-1] == 0


def test_reordered_random_graphs_are_equal(rewrite: Rewrite) -> None:
    rng = Random(2)
    for _ in range(400):
        network = _random_graph(rng, rng.randint(3, 25))
        again = rewrite(network, rng)
        assert again.key == network.key
        assert again.nodes == network.nodes


# --- graphs with symmetries -------------------------------------------------------------------------

PETERSEN = [(i, (i + 1) % 5) for i in range(5)] + [(i, i + 5) for i in range(5)]
PETERSEN += [(5 + i, 5 + (i + 2) % 5) for i in range(5)]
PRISM = [(i, (i + 1) % 5) for i in range(5)] + [(i, i + 5) for i in range(5)]
PRISM += [(5 + i, 5 + (i + 1) % 5) for i in range(5)]
CELLS = list(product(range(4), repeat=2))
ROOK = [(4 * a + b, 4 * c + d) for (a, b), (c, d) in combinations(CELLS, 2) if a == c or b == d]
SHRIKHANDE = [
    (4 * a + b, 4 * c + d)
    for (a, b), (c, d) in combinations(CELLS, 2)
    if ((a - c) % 4, (b - d) % 4) in {(0, 1), (0, 3), (1, 0), (3, 0), (1, 1), (3, 3)}
]
SIX_CYCLE = [(i, (i + 1) % 6) for i in range(6)]
TWO_TRIANGLES = [(0, 1), (1, 2), (2, 0), (3, 4), (4, 5), (5, 3)]
THREE_SQUARES = [(4 * s + i, 4 * s + (i + 1) % 4) for s in range(3) for i in range(4)]
TWELVE_CYCLE = [(i, (i + 1) % 12) for i in range(12)]


@pytest.mark.parametrize(
    ("one", "other", "writings"),
    [  # no local refinement of colours tells the graphs of a pair apart
        pytest.param(SIX_CYCLE, TWO_TRIANGLES, 30, id="6-cycle, two 3-cycles"),
        pytest.param(TWELVE_CYCLE, THREE_SQUARES, 4, id="12-cycle, three 4-cycles"),
        pytest.param(PETERSEN, PRISM, 10, id="Petersen graph, pentagonal prism"),
        pytest.param(ROOK, SHRIKHANDE, 2, id="rook's graph, Shrikhande graph"),
    ],
)
def test_regular_graphs_that_look_alike_keep_their_own_key(one: Edges, other: Edges, writings: int) -> None:
    keys = [{_sums_of_pairs(edges, Random(i)).key for i in range(writings)} for edges in (one, other)]
    assert len(keys[0]) == len(keys[1]) == 1
    assert keys[0] != keys[1]


def test_twin_branches_have_one_order(rewrite: Rewrite) -> None:
    builder = NetworkBuilder((4, 8, 8))
    branches = []
    for _ in range(5):
        x = builder.add(Conv(4, (3, 3), padding=(1, 1)), builder.input)
        branches.append(builder.add(ReLU(), builder.add(BatchNorm(), x)))
    network = builder.build(builder.add(Add(), *branches))
    for seed in range(20):
        assert rewrite(network, Random(seed)).nodes == network.nodes


def test_crossed_and_parallel_twins_differ() -> None:
    """Two convolutions read by two sums: each by its own, or each by both."""
    keys = set()
    for pairs in ([(0, 0), (1, 1)], [(0, 1), (0, 1)]):
        builder = NetworkBuilder((1, 4, 4))
        convs = [builder.add(Conv(1, (1, 1)), builder.input) for _ in range(2)]
        sums = [builder.add(ReLU(), builder.add(Add(), convs[a], convs[b])) for a, b in pairs]
        keys.add(builder.build(builder.add(Add(), *sums)).key)
    assert len(keys) == 2


# --- dead ends --------------------------------------------------------------------------------------


def test_dead_ends_count_and_have_one_order(rewrite: Rewrite) -> None:
    builder = NetworkBuilder((1, 4, 4))
    alone = builder.build(builder.add(ReLU(), builder.input))
    keys = set()
    for dead in ([], [1], [1, 1], [2], [1, 2], [2, 1]):
        builder = NetworkBuilder((1, 4, 4))
        for length in dead:
            x = builder.input
            for _ in range(length):
                x = builder.add(Conv(1, (3, 3), padding=(1, 1)), x)
        network = builder.build(builder.add(ReLU(), builder.input))
        keys.add(network.key)
        assert network.ops[-1] == ReLU()
        assert network.live == alone
        for seed in range(5):
            assert rewrite(network, Random(seed)).nodes == network.nodes
    assert len(keys) == 5  # [1, 2] and [2, 1] are one graph


def test_a_dead_end_like_the_output_is_told_from_it(rewrite: Rewrite) -> None:
    builder = NetworkBuilder((1, 4, 4))
    for op in (ReLU(), Zero(), BatchNorm(), Flatten(), Pool("max", (2, 2), (2, 2))):
        builder.add(op, builder.input)
    network = builder.build(builder.add(ReLU(), builder.input))
    assert {rewrite(network, Random(seed)).key for seed in range(20)} == {network.key}


def test_an_output_that_is_added_before_other_nodes_is_still_last() -> None:
    builder = NetworkBuilder((1, 4, 4))
    output = builder.add(ReLU(), builder.input)
    builder.add(Zero(), builder.input)
    network = builder.build(output)
    assert network.ops[-1] == ReLU()
    assert len(network) == 3


# --- different graphs, different keys ---------------------------------------------------------------


def test_keys_agree_with_trying_every_numbering() -> None:
    """Equal keys if and only if some renumbering makes the graphs equal, over 700 graphs of up to 7 nodes."""
    rng = Random(3)
    keys: dict[str, object] = {}
    forms: dict[object, str] = {}
    for _ in range(700):
        network = _random_graph(rng, rng.randint(2, 5))
        form = _smallest_form(network)
        assert keys.setdefault(network.key, form) == form
        assert forms.setdefault(form, network.key) == network.key
    assert len(keys) > 150


@pytest.mark.parametrize(
    "ops",
    [
        [Conv(4, (3, 3)), Conv(5, (3, 3))],
        [Conv(4, (3, 1)), Conv(4, (1, 3))],
        [Conv(4, (3, 3), (2, 2), (1, 1)), Conv(4, (3, 3), (1, 1), (1, 1))],
        [Conv(4, (3, 3), padding=(1, 1)), Conv(4, (3, 3), padding=(0, 0))],
        [Conv(4, (3, 3), groups=4), Conv(4, (3, 3), groups=2), Conv(4, (3, 3), groups=1)],
        [Conv(4, (3, 3), bias=True), Conv(4, (3, 3), bias=False)],
        [Pool("max", (2, 2), (2, 2)), Pool("avg", (2, 2), (2, 2)), Pool("max", (2, 2), (1, 1))],
        [Pool("max", (2, 2), (2, 2), rounding="floor"), Pool("max", (2, 2), (2, 2), rounding="ceil")],
        [ReLU(), BatchNorm(), Zero(), Flatten(), Tanh(), Sigmoid()],
    ],
    ids=lambda ops: ops[0].token,
)
def test_every_field_of_an_operation_is_part_of_the_key(ops: Sequence[Op]) -> None:
    keys = set()
    for op in ops:
        builder = NetworkBuilder((4, 8, 8))
        keys.add(builder.build(builder.add(op, builder.input)).key)
    assert len(keys) == len(ops)


def test_the_input_shape_and_dense_layers_are_part_of_the_key() -> None:
    keys = set()
    for length, op in product((8, 9), (Dense(3), Dense(3, bias=False), Dense(4), ReLU())):
        builder = NetworkBuilder((length,))
        keys.add(builder.build(builder.add(op, builder.input)).key)
    assert len(keys) == 8


# --- helpers ----------------------------------------------------------------------------------------


def _random_graph(rng: Random, count: int) -> Network:
    """A graph of shape-preserving nodes on a (1, 4, 4) map, dead ends included; few kinds, so many symmetries."""
    builder = NetworkBuilder((1, 4, 4))
    for here in range(1, count + 1):
        source = rng.randrange(here)
        match rng.randrange(4):
            case 0:
                builder.add(ReLU(), source)
            case 1:
                builder.add(Conv(1, (1, 1)), source)
            case _:
                builder.add(Add(), *[rng.randrange(here) for _ in range(rng.randint(2, 3))])
    return builder.build(builder.add(ReLU(), count))


def _sums_of_pairs(edges: Edges, rng: Random) -> Network:
    """A convolution per vertex and a sum per edge, all sums added, written down in random order."""
    builder = NetworkBuilder((1, 4, 4))
    vertices, edges = sorted({v for edge in edges for v in edge}), list(edges)
    rng.shuffle(vertices)
    rng.shuffle(edges)
    place = {vertex: builder.add(Conv(1, (1, 1)), builder.input) for vertex in vertices}
    sums = [builder.add(Add(), *[place[v] for v in rng.sample(edge, 2)]) for edge in edges]
    return builder.build(builder.add(Add(), *sums))


def _smallest_form(network: Network) -> object:
    """The least of all descriptions of a graph: equal for isomorphic graphs and for no others."""
    last = len(network) - 1
    forms = []
    for middle in permutations(range(1, last)):
        name = (0, *middle, last)
        form = sorted(
            (name[index], node.op.token, tuple(sorted(name[source] for source in node.inputs)))
            for index, node in enumerate(network.nodes)
        )
        forms.append(form)
    return str(min(forms))
