"""NAS-Bench-101: which cells there are, what the published table says of some, and how networks are built."""

from __future__ import annotations

import json
from collections import Counter
from itertools import islice, permutations, product
from random import Random

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from fitness import figures
from fitness.lower import lower
from spaces.errors import UsageError
from spaces.layers import Slice
from spaces.nasbench101 import NasBench101, cell_of, genotype_of, vertex_channels
from spaces.nasbench101_cells import (
    COUNT,
    OPERATIONS,
    Cell,
    all_cells,
    edge_bit,
    from_matrix,
    module_hash,
    pruned,
    read,
    representative,
    uniform_cell,
    write,
)
from spaces.nasbench101_moves import one_step_away
from spaces.space import Domain, Genotype, Value

C3, C1, MP = OPERATIONS
SPACE = NasBench101()

# `NASBench.ipynb` of google-research/nasbench: the Inception-like cell asked for, and what the table answers.
INCEPTION = {
    "matrix": [
        [0, 1, 1, 1, 0, 1, 0],
        [0, 0, 0, 0, 0, 0, 1],
        [0, 0, 0, 0, 0, 0, 1],
        [0, 0, 0, 0, 1, 0, 0],
        [0, 0, 0, 0, 0, 0, 1],
        [0, 0, 0, 0, 0, 0, 1],
        [0, 0, 0, 0, 0, 0, 0],
    ],
    "ops": ["input", C1, C3, C3, C3, MP, "output"],
}
INCEPTION_IN_TABLE = f"111100-00001-0001-001-10-1:{C3}:{C1}:{MP}:{C3}:{C3}"
# The table's first cell as NNI's documentation shows it ("NAS Benchmarks: example usages"), and a later one, whose
# source lacks the last digit of the hash (the table as printed in code of tum-dlr-automl-for-eo).
FIRST = f"100110-10000-1001-010-10-1:{C3}:{MP}:{C3}:{C3}:{C1}"
SECOND = f"101000-10110-0001-100-10-1:{MP}:{C3}:{MP}:{C1}:{MP}"
PUBLISHED = [(INCEPTION_IN_TABLE, 2_694_282), (FIRST, 8_555_530), (SECOND, 3_468_426)]


# --- the published table ----------------------------------------------------------------------------


@pytest.mark.parametrize(("cell", "trainable_parameters"), PUBLISHED)
def test_networks_have_the_published_number_of_parameters(cell: str, trainable_parameters: int) -> None:
    assert figures.params(SPACE.decode(SPACE.parse(cell))) == trainable_parameters


@pytest.mark.parametrize("cell", [cell for cell, _ in PUBLISHED])
def test_representatives_are_those_of_the_table(cell: str) -> None:
    assert SPACE.describe(SPACE.parse(cell)) == cell


def test_a_query_finds_the_table_s_numbering_of_the_cell() -> None:
    assert SPACE.describe(SPACE.parse(json.dumps(INCEPTION))) == INCEPTION_IN_TABLE


def test_hashes_are_the_published_ones() -> None:
    assert module_hash(read(FIRST)) == "00005c142e6f48ac74fdcf73e3439874"
    assert module_hash(read(SECOND)).startswith("00019e2cbab0bc93ca1a7816a099b2b")


@pytest.mark.slow
def test_the_largest_network_is_the_published_one() -> None:
    """49,979,274: the largest number of trainable parameters of the table, as predictors scale by it."""
    most = 0
    for cell in all_cells():
        if cell.vertices == 7 and not any(cell.labels):  # nothing but 3x3 convolutions
            most = max(most, figures.params(SPACE.decode(genotype_of(cell))))
    assert most == 49_979_274


# --- which cells there are --------------------------------------------------------------------------


def _by_brute_force(vertices: int) -> set[str]:
    """Hashes of every labelled matrix whose vertices are all on a path, as `generate_graphs.py` goes about it."""
    places = [(source, target) for target in range(1, vertices) for source in range(target)]
    hashes = set()
    for flags in product((0, 1), repeat=len(places)):
        edges = [place for place, flag in zip(places, flags, strict=True) if flag]
        sources, targets = {edge[0] for edge in edges}, {edge[1] for edge in edges}
        if sources == set(range(vertices - 1)) and targets == set(range(1, vertices)) and len(edges) <= 9:
            number = sum(edge_bit(*edge) for edge in edges)
            for labels in product(range(3), repeat=vertices - 2):
                hashes.add(module_hash(Cell(vertices, number, labels)))
    return hashes


@pytest.mark.parametrize("vertices", [2, 3, 4])
def test_small_cells_are_those_of_a_brute_force_search(vertices: int) -> None:
    listed = [module_hash(cell) for cell in all_cells(vertices) if cell.vertices == vertices]
    assert len(listed) == len(set(listed))
    assert set(listed) == _by_brute_force(vertices)


@pytest.mark.slow
def test_cells_of_five_vertices_are_those_of_a_brute_force_search() -> None:
    listed = [module_hash(cell) for cell in all_cells(5) if cell.vertices == 5]
    assert len(listed) == len(set(listed)) == 2441
    assert set(listed) == _by_brute_force(5)


def test_cells_up_to_five_vertices() -> None:
    cells = list(all_cells(5))
    assert Counter(cell.vertices for cell in cells) == {2: 1, 3: 6, 4: 84, 5: 2441}
    assert cells == sorted(set(cells))
    assert all(representative(cell) == cell == pruned(cell) for cell in cells)


@pytest.mark.slow
def test_all_cells_are_listed_once() -> None:
    """423,624 distinct cells: section 2.1 of the paper."""
    listed = list(SPACE.enumerate())
    assert len(listed) == len(set(listed)) == COUNT == SPACE.size == 423_624
    assert Counter(genotype["vertices"] for genotype in listed)[7] == 359_082
    known, rng = set(listed), Random(0)
    for sampling in ("uniform", "authors"):
        space = NasBench101(sampling=sampling)
        assert {space.sample(rng) for _ in range(500)} <= known
    for genotype in rng.sample(listed, 200):
        assert set(SPACE.neighbours(genotype)) <= known
        assert SPACE.parse(SPACE.describe(genotype)) == genotype
        assert list(SPACE.parse(json.dumps(genotype.to_dict()))) == list(genotype)


def test_enumeration_follows_the_order_of_the_cells() -> None:
    space = NasBench101()
    listed = list(islice(space.enumerate(), 400))
    assert [cell_of(genotype) for genotype in listed] == list(all_cells(5))[:400]
    assert listed == [genotype_of(cell_of(genotype)) for genotype in listed]
    assert not space._networks  # none of these networks was built


def _renumbered(cell: Cell, rng: Random) -> Cell:
    """The same cell with its inner vertices in another order that keeps edges pointing forward."""
    orders = []
    for order in permutations(range(1, cell.vertices - 1)):
        place = {0: 0, cell.vertices - 1: cell.vertices - 1} | {old: new for new, old in enumerate(order, start=1)}
        edges = [(place[s], place[t]) for t in range(cell.vertices) for s in cell.sources(t)]
        if all(source < target for source, target in edges):
            labels = tuple(cell.labels[old - 1] for old in order)
            orders.append(Cell(cell.vertices, sum(edge_bit(*edge) for edge in edges), labels))
    return rng.choice(orders)


def test_isomorphic_cells_have_one_hash_one_representative_and_one_network() -> None:
    rng = Random(1)
    small = NasBench101(channels=5, stacks=1, cells=1)
    for _ in range(25):
        cell = uniform_cell(rng)
        other = _renumbered(cell, rng)
        assert representative(other) == cell
        assert module_hash(other) == module_hash(cell)
        chosen = _choices(other)
        assert cell_of(chosen) == other
        assert small.decode(chosen).key == small.decode(genotype_of(cell)).key
        assert small.describe(chosen) == write(cell)


def _choices(cell: Cell) -> Genotype:
    """A genotype with the cell's own numbering: what is asked for is looked up in the cell."""
    last = cell.vertices - 1
    wanted: dict[str, bool | int | str] = {"vertices": cell.vertices}
    for target in range(1, cell.vertices):
        for source in range(target):
            name = f"{source}->{'out' if target == last else target}"
            wanted[name] = bool(cell.edges & edge_bit(source, target))
    wanted |= {f"op{vertex}": OPERATIONS[label] for vertex, label in enumerate(cell.labels, start=1)}
    return NasBench101(channels=5, stacks=1, cells=1).record(lambda name, domain: wanted[name])


# --- sampling and moves -----------------------------------------------------------------------------


def test_any_answers_are_a_cell() -> None:
    """Also those of a strategy that knows nothing of cells: every vertex is on a path, at most nine edges."""
    rng = Random(2)
    small, seen = NasBench101(channels=5, stacks=1, cells=1), set()
    for likely in (0.1, 0.5, 0.9):

        def choose(name: str, domain: Domain, likely: float = likely) -> Value:
            return rng.random() < likely if domain.values() == (False, True) else rng.choice(domain.values())

        for _ in range(150):
            cell = cell_of(small.record(choose))
            assert pruned(cell) == cell
            seen.add(cell)
    assert len(seen) > 200
    assert {cell.vertices for cell in seen} == set(range(2, 8))
    assert {cell.edges.bit_count() for cell in seen if cell.vertices == 7} == {6, 7, 8, 9}


def test_uniform_sampling_is_uniform() -> None:
    """Chi-square against the counts of section 2.1 by number of vertices: 1% point for 2 degrees of freedom."""
    rng, draws = Random(3), 4000
    count = Counter(uniform_cell(rng).vertices for _ in range(draws))
    expected = {7: 359_082 / COUNT, 6: 62_010 / COUNT, 5: 2_532 / COUNT}
    got = {7: count[7], 6: count[6], 5: draws - count[7] - count[6]}
    assert sum((got[n] - draws * p) ** 2 / (draws * p) for n, p in expected.items()) < 9.21


def test_the_authors_sampling_is_that_of_random_matrices() -> None:
    space, rng, other = NasBench101(sampling="authors"), Random(4), Random(5)
    drawn = Counter(cell_of(space.sample(rng)).vertices for _ in range(1000))
    wanted: Counter[int] = Counter()
    while wanted.total() < 1000:
        matrix = [[int(s < t and other.random() < 0.5) for t in range(7)] for s in range(7)]
        try:
            wanted[from_matrix(matrix, other.choices(OPERATIONS, k=5)).vertices] += 1
        except UsageError:
            continue
    for vertices in range(2, 7):
        assert abs(drawn[vertices] - wanted[vertices]) < 4 * (2 * max(wanted[vertices], 10)) ** 0.5


def test_steps_lead_to_other_cells_and_back() -> None:
    rng = Random(6)
    for _ in range(30):
        cell = uniform_cell(rng)
        near = one_step_away(cell)
        assert len(near) == len(set(near))
        assert cell not in near
        assert all(representative(other) == other == pruned(other) for other in near)
        assert all(cell in one_step_away(other) for other in rng.sample(near, 3))
        assert set(near) == set(map(representative, one_step_away(_renumbered(cell, rng))))


def test_steps_reach_every_cell() -> None:
    reached = {read("1")}
    left = list(reached)
    while left:
        for other in one_step_away(left.pop()):
            if other.vertices <= 4 and other not in reached:
                reached.add(other)
                left.append(other)
    assert reached == set(all_cells(4))


def test_the_steps_from_the_smallest_cell() -> None:
    assert set(map(write, one_step_away(read("1")))) == {f"11-1:{name}" for name in OPERATIONS}
    steps = set(map(write, one_step_away(read(f"11-1:{C3}"))))
    assert {"1", f"11-1:{C1}", f"11-1:{MP}", f"10-1:{C3}", f"111-01-1:{C3}:{MP}"} <= steps


# --- networks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "channels", "expected"),
    [  # `model_builder_test.py` of the authors, input channels left out
        ("100-10-1", 16, [16, 16, 16]),
        ("1", 5, [5]),
        ("1100-010-10-1", 16, [16, 16, 16, 16]),
        ("110-01-1", 8, [4, 4, 8]),
        ("110-01-1", 15, [8, 7, 15]),
        ("1110-001-01-1", 8, [3, 3, 2, 8]),
        ("1110-001-01-1", 15, [5, 5, 5, 15]),
        ("1000-110-01-1", 9, [5, 5, 4, 9]),
        ("1010-101-10-1", 8, [4, 4, 4, 8]),
        ("1010-101-10-1", 15, [8, 7, 7, 15]),
    ],
)
def test_vertices_have_the_authors_channels(rows: str, channels: int, expected: list[int]) -> None:
    parts = rows.split("-")
    count = len(parts) + 1
    sources = [
        [source for source in range(target) if parts[source][target - source - 1] == "1"] for target in range(count)
    ]
    assert vertex_channels(sources, channels)[1:] == expected


def _by_hand(cell: Cell, image: Tensor, channels: int, classes: int) -> Tensor:
    """Two stacks of one cell as section 2 and supplement S1 describe them, with every weight 0.01."""

    def conv(x: Tensor, width: int, kernel: int) -> Tensor:
        weight = torch.full((width, x.shape[1], kernel, kernel), 0.01, dtype=x.dtype)
        return functional.relu(functional.conv2d(x, weight, padding="same") / (1 + 1e-5) ** 0.5)

    def module(x: Tensor, total: int) -> Tensor:
        last = cell.vertices - 1
        widths = vertex_channels([cell.sources(vertex) for vertex in range(last + 1)], total)
        values = [x]
        for vertex in range(1, last):
            kind = OPERATIONS[cell.labels[vertex - 1]]
            value = torch.zeros(x.shape[0], widths[vertex], *x.shape[2:], dtype=x.dtype)
            for source in cell.sources(vertex):
                value = value + (values[source][:, : widths[vertex]] if source else conv(x, widths[vertex], 1))
            if kind == MP:
                values.append(functional.max_pool2d(value, 3, 1, 1))
            else:
                values.append(conv(value, widths[vertex], 3 if kind == C3 else 1))
        inner = [values[source] for source in cell.sources(last) if source]
        out = torch.cat(inner, 1) if inner else torch.zeros(x.shape[0], total, *x.shape[2:], dtype=x.dtype)
        return out + conv(x, total, 1) if 0 in cell.sources(last) else out

    x = module(conv(image, channels, 3), channels)
    x = module(functional.max_pool2d(x, 2, 2, ceil_mode=True), 2 * channels)
    return (x.mean((2, 3)).sum(1, keepdim=True) * 0.01 + 0.01).expand(-1, classes)


def test_networks_compute_what_the_paper_describes() -> None:
    rng, sliced = Random(7), 0
    small = NasBench101((6, 5, 3), 4, channels=11, stacks=2, cells=1)
    image = torch.rand(2, 3, 6, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    cells = [read("1"), *(uniform_cell(rng) for _ in range(15))]
    for cell in cells:
        network = small.decode(genotype_of(cell))
        sliced += any(isinstance(op, Slice) for op in network.ops)
        module = lower(network).double().eval()
        with torch.no_grad():
            for layer in module.layers:
                for parameter in layer.parameters() if isinstance(layer, nn.Conv2d | nn.Linear) else ():
                    parameter.fill_(0.01)
            torch.testing.assert_close(module(image), _by_hand(cell, image, 11, 4))
    assert sliced >= 3


def test_the_networks_of_the_benchmark() -> None:
    network = SPACE.decode(SPACE.parse(f"10-1:{C3}"))
    maps = [(3, 32, 32), (128, 32, 32), (128, 16, 16), (256, 16, 16), (256, 8, 8), (512, 8, 8), (512, 1, 1)]
    assert list(dict.fromkeys(network.shapes)) == [*maps, (512,), (10,)]
    assert figures.depth(network) == 1 + 9 * 2 + 1
    thin = NasBench101(channels=16)
    assert max(shape[0] for shape in thin.decode(thin.parse("1")).shapes[1:-1]) == 64


# --- what is refused --------------------------------------------------------------------------------


def test_vertices_that_lead_nowhere_or_come_from_nowhere_are_pruned() -> None:
    assert SPACE.describe(SPACE.parse(f"11-0:{C3}")) == "1"
    assert SPACE.describe(SPACE.parse(f"1010-111-00-1:{C3}:{C1}:{MP}")) == f"110-11-1:{C3}:{MP}"
    assert SPACE.describe(SPACE.parse(f"0101-010-01-1:{MP}:{C3}:{C1}")) == f"11-1:{C3}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0", "path from the first to the last"),
        ("11-1", "0 operations for 3 vertices; expected 1"),
        ("11-1:conv3x3-bn-relu:conv3x3-bn-relu", "2 operations"),
        ("11-1:conv5x5-bn-relu", "did you mean 'conv"),
        ("1-1:conv3x3-bn-relu", "rows of 1, 1 digits"),
        ("1111111-111111-11111-1111-111-11-1" + ":maxpool3x3" * 6, "2 to 7"),
        ("1111-111-11-1:maxpool3x3:maxpool3x3:maxpool3x3", "10 edges"),
        ('{"matrix": 3, "ops": []}', "list of rows"),
        ('{"matrix": [[0, 1], [0, 0]], "ops": 3}', "list of operations"),
        ('{"matrix": [[0, 1], [1, 0]], "ops": []}', "below the diagonal"),
        ('{"matrix": [[0, 2], [0, 0]], "ops": []}', "of 0 and 1"),
        ('{"matrix": [[0, 1]], "ops": []}', "square"),
        ('{"matrix": [], "ops": []}', "2 to 7 rows"),
        ('{"matrix": [[0, 1, 0], [0, 0, 1], [0, 0, 0]], "ops": [[]]}', "unknown operation"),
    ],
)
def test_texts_that_are_no_cell_are_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        SPACE.parse(text)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": 4}, "at least 5"),
        ({"stacks": 0}, "stacks"),
        ({"cells": True}, "cells"),
        ({"sampling": "random"}, "'uniform' or 'authors'"),
    ],
)
def test_options_that_no_network_has_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        NasBench101(**options)  # type: ignore[arg-type]
