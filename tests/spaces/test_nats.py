"""The NATS-Bench spaces: their notations and the benchmark's own networks, layer by layer."""

from __future__ import annotations

import re
from collections import Counter
from random import Random

import pytest

from spaces.errors import InvalidGenotype, UsageError
from spaces.layers import Add, BatchNorm, Conv, Dense, Flatten, Pool, ReLU, Zero
from spaces.nats import EDGES, OPERATIONS, NatsSss, NatsTss
from spaces.space import Genotype

BEST = "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|"


# --- notations --------------------------------------------------------------------------------------


def test_architecture_strings_name_the_edges() -> None:
    assert dict(NatsTss().parse(BEST)) == {
        "0->1": "nor_conv_3x3",
        "0->2": "nor_conv_3x3",
        "1->2": "avg_pool_3x3",
        "0->3": "skip_connect",
        "1->3": "nor_conv_3x3",
        "2->3": "skip_connect",
    }
    assert dict(NatsSss().parse("8:16:24:32:64")) == {"c1": 8, "c2": 16, "c3": 24, "c4": 32, "c5": 64}


@pytest.mark.parametrize(
    "text",
    [
        BEST[:-1],
        BEST + "|",
        BEST[1:],
        BEST.replace("avg_pool_3x3", "max_pool_3x3"),
        BEST.replace("avg_pool_3x3~1", "avg_pool_3x3~0"),
        BEST.replace("skip_connect~2", "skip_connect~3"),
        BEST.replace("+", "", 1),
        BEST.replace("~", "-"),
        BEST.upper(),
        BEST + "+|none~0|none~1|none~2|none~3|",
        "|none~0|+|none~0|none~1|",
        "||",
    ],
)
def test_strings_that_are_no_cell_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        NatsTss().parse(text)


@pytest.mark.parametrize(
    "text",
    [
        *("8:16:24:32", "8:16:24:32:64:8", "8:16:24:32:65", "8:16:24:32:72", "8:16:24:32:0", "8:16:24:32:4"),
        *("8:16:24:32:-8", "8:16:24:32:", "8:16:24:32:8.0", "08:16:24:32:64", "8:16:24:32:64 ", "8:16:24:32:٨"),
    ],
)
def test_widths_that_are_not_in_the_space_are_refused(text: str) -> None:
    with pytest.raises((InvalidGenotype, UsageError)):
        NatsSss().parse(text)


def test_enumeration_is_lexicographic() -> None:
    sss = list(NatsSss().enumerate())
    assert [NatsSss().describe(g) for g in (sss[0], sss[1], sss[8], sss[-1])] == [
        *("8:8:8:8:8", "8:8:8:8:16", "8:8:8:16:8", "64:64:64:64:64"),
    ]
    assert len(list(NatsTss().enumerate())) == len(OPERATIONS) ** len(EDGES) == 15_625


# --- the topology space -----------------------------------------------------------------------------


def test_topology_networks_are_stem_three_stages_of_five_cells_and_classifier() -> None:
    """NAS-Bench-201: 3x3 stem to 16 channels, 5 cells each at 16, 32, 64, residual blocks of stride 2 between."""
    network = NatsTss().decode(_cell("nor_conv_3x3"))
    convs = [(op, network.shapes[i]) for i, op in enumerate(network.ops) if isinstance(op, Conv)]
    expected = Counter({(Conv(16, (3, 3), padding=(1, 1), bias=False), (16, 32, 32)): 1 + 30})
    for channels, size in ((32, 16), (64, 8)):
        plain = Conv(channels, (3, 3), padding=(1, 1), bias=False)
        expected[plain, (channels, size, size)] = 30 + 1
        expected[Conv(channels, (3, 3), (2, 2), (1, 1), bias=False), (channels, size, size)] = 1
        expected[Conv(channels, (1, 1), bias=False), (channels, size, size)] = 1
    assert Counter(convs) == expected
    kinds = Counter(type(op) for op in network.ops)
    assert kinds[BatchNorm] == 1 + 90 + 4 + 1  # stem, cells, residual blocks (none on their shortcuts), last
    assert kinds[ReLU] == 15 * 6 + 4 + 1
    assert kinds[Add] == 15 * 2 + 2  # a cell's first node has one term only
    assert kinds[Dense] == kinds[Flatten] == 1
    assert network.ops[-3:] == (Pool("avg", (8, 8), (8, 8)), Flatten(), Dense(10))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_operation_is_the_benchmarks(operation: str) -> None:
    network = NatsTss().decode(_cell(operation))
    bare = NatsTss().decode(_cell("skip_connect"))
    added = Counter(network.ops) - Counter(bare.ops)
    per_stage = {
        "none": Counter({Zero(): 90}),
        "skip_connect": Counter(),
        "avg_pool_3x3": Counter({Pool("avg", (3, 3), (1, 1), (1, 1)): 90}),
    }
    for kernel in (1, 3):
        counts = Counter({BatchNorm(): 90, ReLU(): 90})
        for channels in (16, 32, 64):
            pad = (kernel // 2, kernel // 2)
            counts[Conv(channels, (kernel, kernel), padding=pad, bias=False)] = 30
        per_stage[f"nor_conv_{kernel}x{kernel}"] = counts
    assert added == per_stage[operation]


def test_convolutions_of_a_cell_are_relu_convolution_norm() -> None:
    network = NatsTss().decode(_cell("nor_conv_1x1"))
    for index, op in enumerate(network.ops):
        if isinstance(op, Conv) and op.kernel == (1, 1) and network.reads[index] == 1:
            (user,) = network.consumers[index]
            if isinstance(network.ops[user], BatchNorm):
                assert network.ops[network.inputs[index][0]] == ReLU()


# --- the size space ---------------------------------------------------------------------------------


def test_size_networks_take_their_widths_in_turn() -> None:
    network = NatsSss().decode(NatsSss().parse("8:16:24:32:40"))
    channels = [shape[0] for op, shape in zip(network.ops, network.shapes, strict=True) if isinstance(op, Conv)]
    # One cell per stage: five 3x3 convolutions, and a projection where the widths differ; residual blocks of three.
    assert Counter(channels) == {8: 1 + 5, 16: 3, 24: 5 + 1, 32: 3, 40: 5 + 1}
    assert [op for op in network.ops if isinstance(op, Dense)] == [Dense(10)]
    same = NatsSss().decode(NatsSss().parse("8:8:8:8:8"))
    assert Counter(type(op) for op in same.ops)[Conv] == 1 + 15 + 6


def test_skips_between_widths_are_projected_without_relu() -> None:
    network = NatsSss().decode(NatsSss().parse("8:16:24:32:32"))
    projections = [
        node for node in network.nodes if isinstance(node.op, Conv) and node.op == Conv(24, (1, 1), bias=False)
    ]
    (projection,) = projections
    assert not isinstance(network.ops[projection.inputs[0]], ReLU)
    (user,) = network.consumers[network.nodes.index(projection)]
    assert network.ops[user] == BatchNorm()


# --- both -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("space", [NatsTss, NatsSss])
def test_genotypes_of_other_spaces_are_refused(space: type[NatsTss | NatsSss]) -> None:
    other = (NatsSss if space is NatsTss else NatsTss)().sample(Random(0))
    with pytest.raises(InvalidGenotype):
        space().decode(other)


@pytest.mark.parametrize("space", [NatsTss, NatsSss])
@pytest.mark.parametrize("size", [1, 2])
def test_images_too_small_to_be_halved_twice_are_refused(space: type[NatsTss | NatsSss], size: int) -> None:
    with pytest.raises(UsageError, match="does not fit"):
        space((size, size, 3)).sample(Random(0))


def test_strings_of_all_members_are_different() -> None:
    strings = {NatsTss().describe(genotype) for genotype in NatsTss().enumerate()}
    assert len(strings) == 15_625
    assert all(re.fullmatch(r"\|\w+~0\|\+\|\w+~0\|\w+~1\|\+\|\w+~0\|\w+~1\|\w+~2\|", text) for text in strings)


def _cell(operation: str) -> Genotype:
    return Genotype(dict.fromkeys(EDGES, operation))
