"""Equal keys of simplified networks say that two networks compute the same function."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from itertools import permutations, product
from random import Random

import numpy
import pytest

from spaces.layers import Add, BatchNorm, Conv, Dense, Flatten, Pool, ReLU, Zero
from spaces.nats import EDGES, OPERATIONS, NatsTss
from spaces.network import Network, NetworkBuilder
from spaces.space import Genotype, Space

Cell = Mapping[str, str]
DIFFERENT_FUNCTIONS = 5_260


# --- small cases by hand ----------------------------------------------------------------------------


def _built(write: Callable[[NetworkBuilder], int]) -> Network:
    builder = NetworkBuilder((4, 8, 8))
    return builder.build(write(builder))


def test_sums_of_sums_are_flattened() -> None:
    def nested(net: NetworkBuilder) -> int:
        a, b, c = (net.add(Conv(4, (k, k), padding=(k // 2, k // 2)), net.input) for k in (1, 3, 5))
        return net.add(Add(), net.add(Add(), a, b), c)

    def flat(net: NetworkBuilder) -> int:
        return net.add(Add(), *[net.add(Conv(4, (k, k), padding=(k // 2, k // 2)), net.input) for k in (1, 3, 5)])

    assert _built(nested) != _built(flat)
    assert _built(nested).simplified() == _built(flat).simplified()


def test_equal_operations_without_weights_merge_and_convolutions_do_not() -> None:
    def twice(net: NetworkBuilder) -> int:
        relus = [net.add(ReLU(), net.input) for _ in range(2)]
        return net.add(Add(), *[net.add(Conv(4, (1, 1)), relu) for relu in relus])

    simple = _built(twice).simplified()
    assert Counter(type(op).__name__ for op in simple.ops) == {"Input": 1, "ReLU": 1, "Conv": 2, "Add": 1}


def test_a_sum_of_a_node_with_itself_is_not_that_node() -> None:
    doubled = _built(lambda net: net.add(Add(), net.input, net.input)).simplified()
    tripled = _built(lambda net: net.add(Add(), net.input, net.input, net.input)).simplified()
    assert len({doubled.key, tripled.key, _built(lambda net: net.add(ReLU(), net.input)).key}) == 3


def test_what_zero_blocks_is_dropped() -> None:
    def blocked(net: NetworkBuilder) -> int:
        dead = net.add(Conv(4, (3, 3), padding=(1, 1)), net.add(Zero(), net.input))
        return net.add(ReLU(), net.add(Add(), dead, net.add(Conv(4, (1, 1)), net.input)))

    assert _built(blocked).simplified() == _built(lambda net: net.add(ReLU(), net.add(Conv(4, (1, 1)), net.input)))


def test_a_network_through_which_nothing_passes_is_one_zero_whatever_its_size() -> None:
    def nothing(net: NetworkBuilder) -> int:
        return net.add(Dense(10), net.add(Flatten(), net.add(Zero(), net.input)))

    simple = _built(nothing).simplified()
    assert simple.ops[1:] == (Zero(),)
    assert simple == _built(lambda net: net.add(Zero(), net.add(ReLU(), net.input))).simplified()


def test_padding_sums_keep_their_shape() -> None:
    """A sum that enlarges its only live term is not that term."""

    def padded(net: NetworkBuilder) -> int:
        small = net.add(Conv(4, (3, 3)), net.input)
        return net.add(Add(), net.add(Zero(), net.input), small)

    simple = _built(padded).simplified()
    assert simple.shapes[-1] == (4, 8, 8) != simple.shapes[-2]


def test_simplifying_twice_changes_nothing_more(space: Space) -> None:
    rng = Random(0)
    for _ in range(40):
        simple = space.decode(space.sample(rng)).simplified()
        assert simple.simplified().key == simple.key
        assert simple.live.key == simple.key


def test_simplifying_keeps_every_live_layer_with_weights(space: Space) -> None:
    rng = Random(1)
    for _ in range(40):
        network = space.decode(space.sample(rng))
        kept = [[op for op in n.ops if isinstance(op, Conv | Dense | BatchNorm)] for n in _forms(network)]
        assert Counter(kept[0]) == Counter(kept[1])


def _forms(network: Network) -> tuple[Network, Network]:
    return network.live, network.simplified()


# --- the topology space, whole ----------------------------------------------------------------------


def test_the_papers_string_rule_finds_6466_cells() -> None:
    """Dong and Yang, NAS-Bench-201, ICLR 2020 (arXiv:2001.00326), section 3.1: 6,466 unique topologies."""
    assert len({_unique_string(cell) for cell in _cells()}) == 6_466


@pytest.mark.slow
def test_one_cell_has_5260_simplified_forms_that_the_whole_network_shares(one_cell_keys: dict[str, str]) -> None:
    assert len(one_cell_keys) == 15_625
    assert len(set(one_cell_keys.values())) == DIFFERENT_FUNCTIONS
    space, rng = NatsTss(), Random(2)
    genotypes = [space.sample(rng) for _ in range(60)]
    mates = defaultdict(list)  # genotypes whose cells have the same form, so that equality is tried too
    for text, key in one_cell_keys.items():
        mates[key].append(text)
    genotypes += [space.parse(rng.choice(mates[one_cell_keys[space.describe(g)]])) for g in genotypes]
    keys = {space.describe(g): space.decode(g).simplified().key for g in genotypes}
    assert _partition(keys) == _partition({text: one_cell_keys[text] for text in keys})


@pytest.mark.slow
def test_whole_networks_have_5260_simplified_forms(one_cell_keys: dict[str, str]) -> None:
    space = NatsTss(cells=1)  # three stages of one cell: every kind of neighbour that a cell has
    keys = {space.describe(g): space.decode(g).simplified().key for g in space.enumerate()}
    assert len(set(keys.values())) == DIFFERENT_FUNCTIONS
    assert _partition(keys) == _partition(one_cell_keys)


@pytest.mark.slow
@pytest.mark.slow
@pytest.mark.parametrize(
    ("power", "functions"),
    [
        pytest.param(3, DIFFERENT_FUNCTIONS, id="pooling not linear"),
        # Average pooling is linear, pool(a + b) = pool(a) + pool(b), which simplifying does not use.
        pytest.param(1, 5_044, id="average pooling"),
    ],
)
def test_forms_are_functions(one_cell_keys: dict[str, str], power: int, functions: int) -> None:
    """Cells of equal form compute equal functions, cells of different form different ones.

    Every cell is run with every assignment of the same six random weights to its edges, so that cells that are
    the same but for the names of their edges give the same 720 outputs.
    """
    outputs = _cell_outputs(power)
    forms = defaultdict(list)
    for text, key in one_cell_keys.items():
        forms[key].append(outputs[text])
    assert max(numpy.ptp(numpy.array(same), axis=0).max() for same in forms.values()) < 1e-9
    seen = numpy.array([same[0] for same in forms.values()])
    near = {tuple(row) for row in numpy.round(seen, 7)}
    assert len(near) == functions


# --- helpers ----------------------------------------------------------------------------------------


def _cells() -> Iterator[Cell]:
    for operations in product(OPERATIONS, repeat=len(EDGES)):
        yield dict(zip(EDGES, operations, strict=True))


def _unique_string(cell: Cell) -> str:
    """The paper's name of a cell: what its last node computes, written as a string.

    The input is "0". A node is the sorted, +-joined list of its terms, repeats kept. The term of an edge from a
    node called s is "#" if the edge is none or s is "#", s itself if the edge is a skip connection, and
    "(s)@operation" else. A "#" stays in the list, so a node whose terms are all "#" passes on "#+#", not "#".
    """
    names = {0: "0"}
    for target in (1, 2, 3):
        terms = []
        for source in range(target):
            operation, name = cell[f"{source}->{target}"], names[source]
            if operation == "none" or name == "#":
                terms.append("#")
            else:
                terms.append(name if operation == "skip_connect" else f"({name})@{operation}")
        names[target] = "+".join(sorted(terms))
    return names[3]


@pytest.fixture(scope="module")
def one_cell_keys() -> dict[str, str]:
    """For every architecture string, the simplified key of its cell alone, built here from its definition."""
    describe = NatsTss().describe
    return {describe(Genotype(cell)): _one_cell(cell).simplified().key for cell in _cells()}


def _one_cell(cell: Cell) -> Network:
    net = NetworkBuilder((2, 5, 5))
    nodes = [net.add(BatchNorm(), net.input)]
    for target in (1, 2, 3):
        terms = []
        for source in range(target):
            operation, x = cell[f"{source}->{target}"], nodes[source]
            if operation == "none":
                x = net.add(Zero(), x)
            elif operation == "avg_pool_3x3":
                x = net.add(Pool("avg", (3, 3), (1, 1), (1, 1)), x)
            elif operation != "skip_connect":
                kernel = int(operation[-1])
                conv = Conv(2, (kernel, kernel), padding=(kernel // 2, kernel // 2), bias=False)
                x = net.add(BatchNorm(), net.add(conv, net.add(ReLU(), x)))
            terms.append(x)
        nodes.append(net.add(Add(), *terms) if len(terms) > 1 else terms[0])
    return net.build(net.add(ReLU(), nodes[3]))


def _partition(keys: Mapping[str, str]) -> set[frozenset[str]]:
    classes = defaultdict(set)
    for member, key in keys.items():
        classes[key].add(member)
    return {frozenset(members) for members in classes.values()}


Maps = numpy.ndarray  # (720, 18): a 2x3x3 map for each assignment of weights to edges


def _cell_outputs(power: int) -> dict[str, numpy.ndarray]:
    """Symmetric functions of one output number under all 720 assignments, for every architecture string.

    Written with matrices: a layer on 2x3x3 maps is an 18x18 matrix. Batch norm uses the statistics of the one
    image and shifts by zero, as at the start of training; pooling is followed by x -> x^power.
    """
    rng = numpy.random.default_rng(0)
    assignments = numpy.array(list(permutations(range(6))))
    near = numpy.array([[max(abs(a - c), abs(b - d)) < 2 for c, d in _grid()] for a, b in _grid()])
    average = numpy.kron(numpy.eye(2), near / near.sum(axis=1, keepdims=True))
    weights = {
        "nor_conv_1x1": [numpy.kron(rng.normal(size=(2, 2)), numpy.eye(9)) for _ in EDGES],
        "nor_conv_3x3": [_convolution(rng.normal(size=(2, 2, 3, 3))) for _ in EDGES],
    }
    image, read_out = rng.normal(size=18), rng.normal(size=18)

    def run(operation: str, edge: str, x: Maps | float) -> Maps | float:
        if operation == "none" or isinstance(x, float):
            return 0.0
        if operation == "skip_connect":
            return x
        if operation == "avg_pool_3x3":
            return (x @ average.T) ** power
        y = numpy.empty_like(x)
        for weight, matrix in enumerate(weights[operation]):
            where = assignments[:, EDGES.index(edge)] == weight
            y[where] = numpy.maximum(x[where], 0) @ matrix.T
        channels = y.reshape(-1, 2, 9)
        centred = channels - channels.mean(axis=2, keepdims=True)
        normal = centred / numpy.sqrt(centred.var(axis=2, keepdims=True) + 0.1)
        return normal.reshape(-1, 18)

    def number(x: Maps | float) -> Maps:
        return numpy.zeros(720) if isinstance(x, float) else x @ read_out

    start = numpy.tile(image, (720, 1))
    to_1 = {a: run(a, "0->1", start) for a in OPERATIONS}
    to_2 = {c: run(c, "0->2", start) for c in OPERATIONS}
    from_0 = {d: number(run(d, "0->3", start)) for d in OPERATIONS}
    outputs = {}
    describe = NatsTss().describe
    for a, b, c in product(OPERATIONS, repeat=3):
        second = to_2[b] + run(c, "1->2", to_1[a])
        from_1 = {e: number(run(e, "1->3", to_1[a])) for e in OPERATIONS}
        from_2 = {f: number(run(f, "2->3", second)) for f in OPERATIONS}
        for d, e, f in product(OPERATIONS, repeat=3):
            y = from_0[d] + from_1[e] + from_2[f]
            cell = Genotype(dict(zip(EDGES, (a, b, c, d, e, f), strict=True)))
            outputs[describe(cell)] = numpy.array([numpy.sin(y).mean(), numpy.cos(y).mean(), y.mean()])
    return outputs


def _grid() -> list[tuple[int, int]]:
    return list(product(range(3), repeat=2))


def _convolution(kernel: numpy.ndarray) -> numpy.ndarray:
    """The 18x18 matrix of a 3x3 convolution with a zero border; `kernel` is (2, 2, 3, 3)."""
    matrix = numpy.zeros((2, 3, 3, 2, 3, 3))
    for (a, b), (c, d) in product(_grid(), repeat=2):
        if max(abs(a - c), abs(b - d)) < 2:
            matrix[:, a, b, :, c, d] = kernel[:, :, c - a + 1, d - b + 1]
    return matrix.reshape(18, 18)
