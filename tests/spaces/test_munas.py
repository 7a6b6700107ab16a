"""The μNAS space: what its sampler reaches, how blocks are joined, and the authors' own genotypes."""

from __future__ import annotations

import copy
from collections import Counter
from random import Random
from typing import Any

import pytest

from spaces.errors import InvalidGenotype, UsageError
from spaces.layers import Add, BatchNorm, Conv, Dense, Flatten, Pool, ReLU
from spaces.munas import MunasSpace
from spaces.network import Network
from spaces.space import Genotype, Value

Layer = dict[str, Value]
PLAIN: Layer = {"kind": "conv", "kernel": 3, "filters": 8, "stride2": False, "prepool": False, "bn": False}


# --- the sampler ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def samples() -> list[Genotype]:
    space, rng = MunasSpace(), Random(0)
    return [space.sample(rng) for _ in range(1500)]


def _drawn(samples: list[Genotype], field: str) -> Counter[Value]:
    return Counter(v for genotype in samples for name, v in genotype.items() if name.split(".")[-1] == field)


def test_sampler_reaches_every_bound_of_the_paper(samples: list[Genotype]) -> None:
    """Facts, section 1: bounds of the genotype, tops included (the authors' sampler never draws those)."""
    assert set(_drawn(samples, "blocks")) == set(range(1, 11))
    assert set(_drawn(samples, "layers")) == {1, 2, 3}
    assert set(_drawn(samples, "kind")) == {"conv", "conv1x1", "dwconv"}
    assert set(_drawn(samples, "kernel")) == {3, 5, 7}
    assert set(_drawn(samples, "filters")) == set(range(1, 129))
    assert {(g["pool"], g.get("pool.size")) for g in samples} == {("none", None)} | {
        (kind, size) for kind in ("avg", "max") for size in (2, 4, 6)
    }
    assert set(_drawn(samples, "dense")) == {1, 2, 3}
    assert set(_drawn(samples, "units")) == set(range(10, 257))
    for flag in ("branch", "stride2", "prepool", "bn", "relu"):
        assert set(_drawn(samples, flag)) == {False, True}
    assert max(len(g) for g in samples) > 180  # ten blocks of three layers occur together


@pytest.mark.parametrize(
    ("field", "value", "probability"),
    [
        ("branch", True, 0.5),
        ("stride2", True, 0.5),
        ("prepool", True, 0.25),
        ("bn", True, 0.5),
        ("relu", True, 0.9),
        ("kind", "conv", 1 / 3),
        ("kind", "dwconv", 1 / 3),
        ("pool", "none", 0.1),
        ("pool", "avg", 0.45),
        ("blocks", 10, 0.1),
        ("layers", 3, 1 / 3),
        ("dense", 1, 1 / 3),
    ],
)
def test_sampler_keeps_the_authors_probabilities(
    samples: list[Genotype], field: str, value: Value, probability: float
) -> None:
    drawn = _drawn(samples, field)
    total = sum(drawn.values())
    deviation = (probability * (1 - probability) / total) ** 0.5
    assert abs(drawn[value] / total - probability) < 4 * deviation


# --- building ---------------------------------------------------------------------------------------


def _genotype(*blocks: list[Layer], branches: tuple[int, ...] = (), **rest: Value) -> Genotype:
    choices: dict[str, Value] = {"blocks": len(blocks)}
    for b, layers in enumerate(blocks):
        if b:
            choices[f"b{b}.branch"] = b in branches
        choices[f"b{b}.layers"] = len(layers)
        for index, layer in enumerate(layers):
            choices |= {f"b{b}.l{index}.{field}": value for field, value in ({"relu": True} | layer).items()}
    return Genotype(choices | {"pool": "none", "dense": 1, "d0.units": 10} | rest)


def _ops(network: Network) -> list[str]:
    return [type(op).__name__ for op in network.ops]


def _without(layer: Layer, *fields: str) -> Layer:
    return {field: value for field, value in layer.items() if field not in fields}


DEPTHWISE = _without(PLAIN, "filters") | {"kind": "dwconv"}
TAIL = _without(PLAIN, "filters")


def test_a_layer_is_pool_convolution_norm_relu() -> None:
    network = MunasSpace().decode(_genotype([PLAIN | {"prepool": True, "bn": True, "stride2": True}]))
    assert _ops(network) == [
        *("Input", "Pool", "Conv", "BatchNorm", "ReLU", "Flatten", "Dense", "ReLU", "Dense"),
    ]
    assert network.ops[1] == Pool("max", (2, 2), (2, 2))
    assert network.ops[2] == Conv(8, (3, 3), (2, 2))
    assert network.shapes[2] == (8, 7, 7)
    assert network.ops[-3:] == (Dense(10), ReLU(), Dense(10))


def test_branches_start_at_the_last_serial_blocks_input_and_are_added_once() -> None:
    first = [PLAIN | {"kernel": 7, "filters": 12}]
    network = MunasSpace().decode(_genotype(first, [PLAIN], [TAIL], [PLAIN, TAIL], branches=(2, 3)))
    (total,) = [node for node in network.nodes if isinstance(node.op, Add)]
    fork = next(i for i, op in enumerate(network.ops) if op == Conv(12, (7, 7))) + 1  # behind its ReLU
    assert len(total.inputs) == 3
    starts = [index for index, node in enumerate(network.nodes) if node.inputs == (fork,)]
    assert len(starts) == 3
    assert [network.shapes[source][0] for source in total.inputs] == [8, 8, 8]
    # 24x24 twice and 22x22: the factors round to one, so nothing is pooled, and the sum pads to the larger.
    assert total.shape == (8, 24, 24)


def test_joins_pool_larger_maps_by_the_rounded_factor() -> None:
    strided = TAIL | {"stride2": True}
    network = MunasSpace().decode(_genotype([PLAIN], [strided], branches=(1,)))
    pools = [node for node in network.nodes if isinstance(node.op, Pool)]
    assert [pool.op for pool in pools] == [Pool("max", (2, 2), (2, 2))]  # 30x30 against 15x15
    assert network.shapes[_ops(network).index("Add")] == (8, 15, 15)


def test_rounding_is_pythons_half_to_even() -> None:
    """5x5 against 2x2: round(2.5) is 2, so the larger is halved to 2x2."""
    wide = _without(PLAIN, "kernel", "stride2") | {"kind": "conv1x1"}
    network = MunasSpace((5, 5, 1)).decode(_genotype([wide], [TAIL | {"stride2": True}], branches=(1,)))
    (pool,) = [node for node in network.nodes if isinstance(node.op, Pool)]
    assert (pool.op, pool.shape) == (Pool("max", (2, 2), (2, 2)), (8, 2, 2))


def test_depthwise_branch_tails_get_a_pointwise_convolution_to_the_serial_width() -> None:
    network = MunasSpace().decode(_genotype([PLAIN], [DEPTHWISE], branches=(1,)))
    added = [node for node in network.nodes if isinstance(node.op, Conv) and node.op.kernel == (1, 1)]
    assert [node.op for node in added] == [Conv(8, (1, 1))]
    assert network.ops[added[0].inputs[0]] == ReLU()
    depthwise = next(op for op in network.ops if isinstance(op, Conv) and op.groups > 1)
    assert depthwise == Conv(3, (3, 3), groups=3)


def test_windows_and_kernels_are_cut_to_the_map() -> None:
    tall = MunasSpace((1, 6, 2)).decode(
        _genotype([PLAIN | {"kernel": 7, "prepool": True}], **{"pool": "avg", "pool.size": 6})
    )
    assert tall.ops[1] == Pool("max", (1, 2), (1, 2))
    assert tall.ops[2] == Conv(8, (1, 1))
    assert tall.ops[4] == Pool("avg", (1, 3), (1, 3))
    dot = MunasSpace((1, 1, 2)).decode(_genotype([PLAIN | {"prepool": True, "stride2": True}]))
    assert _ops(dot)[1:4] == ["Conv", "ReLU", "Flatten"]
    assert dot.shapes[1] == (8, 1, 1)


@pytest.mark.parametrize("image", [(1, 1, 1), (2, 3, 1), (5, 7, 2), (49, 40, 1), (3, 64, 1), (17, 1, 4)])
@pytest.mark.parametrize("rounding", ["floor", "ceil"])
def test_every_sample_fits_any_image(image: tuple[int, int, int], rounding: Any) -> None:
    space, rng = MunasSpace(image, 3, rounding), Random(1)
    for _ in range(80):
        child = space.mutate(space.sample(rng), rng)
        assert MunasSpace(image, 3, rounding).decode(child).shapes[-1] == (3,)


def test_pool_rounding_is_part_of_the_operation() -> None:
    genotype = _genotype([PLAIN | {"prepool": True}])
    floor, ceil = (MunasSpace((31, 31, 3), 10, rounding).decode(genotype) for rounding in ("floor", "ceil"))
    assert (floor.shapes[1], ceil.shapes[1]) == ((3, 15, 15), (3, 16, 16))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pool_rounding": "round"}, "pool rounding"),
        ({"binary_output": True, "num_classes": 3}, "one output unit for 3 classes"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        MunasSpace(**options)


# --- choices that cannot matter ---------------------------------------------------------------------


def test_swapped_parallel_branches_are_one_network() -> None:
    space = MunasSpace()
    a, b = [PLAIN, TAIL], [DEPTHWISE | {"bn": True}, TAIL | {"kernel": 5}]
    one = space.decode(_genotype([PLAIN], a, b, branches=(1, 2)))
    other = space.decode(_genotype([PLAIN], b, a, branches=(1, 2)))
    assert one.key == other.key
    assert one.nodes == other.nodes


@pytest.mark.parametrize(
    ("layer", "other"),
    [
        (PLAIN | {"kernel": 5}, PLAIN | {"kernel": 7}),  # cut to 3x3
        (DEPTHWISE | {"kernel": 3}, DEPTHWISE | {"kernel": 7}),
    ],
)
def test_choices_that_the_map_overrules_do_not_make_networks_differ(layer: Layer, other: Layer) -> None:
    space = MunasSpace((3, 3, 4))
    assert space.decode(_genotype([layer])).key == space.decode(_genotype([other])).key


@pytest.mark.parametrize(
    ("dead", "value"),
    [
        ("b0.branch", False),
        ("b0.l0.filters", 8),  # of a depthwise layer
        ("b0.l1.kind", "conv"),
        ("b1.l0.filters", 8),  # of a branch's last layer
        ("b2.layers", 1),
        ("pool.size", 2),  # without pooling
        ("d1.units", 10),
    ],
)
def test_choices_without_meaning_are_not_part_of_a_genotype(dead: str, value: Value) -> None:
    genotype = _genotype([DEPTHWISE], [TAIL], branches=(1,))
    MunasSpace().decode(genotype)
    with pytest.raises(InvalidGenotype, match=f"{dead}.*has no meaning"):
        MunasSpace().decode(Genotype(genotype.to_dict() | {dead: value}))


# --- genotypes of the authors -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def unas_cases(golden: dict[str, Any]) -> list[dict[str, Any]]:
    return [case for case in golden["cases"] if case["space"] == "cnn"]


def test_dead_genes_of_the_authors_make_no_difference(unas_cases: list[dict[str, Any]]) -> None:
    """is_branch of block 0, filters of a branch's last layer, kernel and stride of a 1x1 convolution."""
    changed = 0
    for case in unas_cases:
        read = [case["genotype"], _with_dead_genes_changed(case["genotype"])]
        changed += read[0] != read[1]
        spaces = [MunasSpace.from_unas(g, tuple(case["input_shape"]), case["num_classes"]) for g in read]
        assert spaces[0][1] == spaces[1][1]
        assert len({space.decode(genotype).key for space, genotype in spaces}) == 1
    assert changed == len(unas_cases)


def _with_dead_genes_changed(genotype: dict[str, Any]) -> dict[str, Any]:
    other = copy.deepcopy(genotype)
    other["conv_blocks"][0]["is_branch"] = not other["conv_blocks"][0]["is_branch"]
    for block in other["conv_blocks"][1:]:
        tail = block["layers"][-1]
        if block["is_branch"] and "filters" in tail:
            tail["filters"] = tail["filters"] % 128 + 1
    for layer in (layer for block in other["conv_blocks"] for layer in block["layers"]):
        if layer["type"] == "1x1Conv2D":
            layer |= {"ker_size": 7, "2x_stride": True}
    return other


def test_reading_leaves_the_authors_genotype_alone(unas_cases: list[dict[str, Any]]) -> None:
    for case in unas_cases:
        before = copy.deepcopy(case["genotype"])
        space, genotype = MunasSpace.from_unas(before, tuple(case["input_shape"]), case["num_classes"])
        assert before == case["genotype"]
        assert space.parse(space.describe(genotype)) == genotype


def test_two_classes_are_one_output_unit_for_the_authors() -> None:
    space, genotype = MunasSpace.from_unas([{"units": 20}], (8, 8, 1), 2)
    assert space.decode(genotype).ops[-1] == Dense(1)
    assert MunasSpace((8, 8, 1), 2).decode(_genotype([PLAIN])).ops[-1] == Dense(2)


def test_multilayer_perceptrons_flatten_first() -> None:
    space, genotype = MunasSpace.from_unas([{"units": 20}, {"units": 30}], (8, 8, 1), 5)
    network = space.decode(genotype)
    assert network.ops[1:] == (Flatten(), Dense(20), ReLU(), Dense(30), ReLU(), Dense(5))


def _edited(**changes: Any) -> dict[str, Any]:
    layer = {"type": "Conv2D", "ker_size": 3, "filters": 8, "2x_stride": False}
    layer |= {"has_bn": False, "has_relu": True, "has_prepool": False}
    whole = {
        "conv_blocks": [{"is_branch": False, "layers": [layer | changes.pop("layer", {})]}],
        "pooling": None,
        "dense_blocks": [{"units": 10}],
    }
    return whole | changes


@pytest.mark.parametrize(
    "genotype",
    [
        _edited(layer={"filters": 129}),
        _edited(layer={"filters": 0}),
        _edited(layer={"ker_size": 4}),
        _edited(layer={"type": "Conv3D"}),
        _edited(conv_blocks=[]),
        _edited(conv_blocks=_edited()["conv_blocks"] * 11),
        _edited(dense_blocks=[{"units": 10}] * 4),
        _edited(dense_blocks=[{"units": 9}]),
        _edited(dense_blocks=[{}]),
        _edited(dense_blocks=[{"units": "many"}]),
        _edited(dense_blocks=[{"units": 20.5}]),
        _edited(dense_blocks=[20]),
        _edited(layer={"filters": 8.9}),
        _edited(layer={"filters": "8"}),
        _edited(layer={"ker_size": None}),
        _edited(pooling={"type": "avg", "pool_size": 3}),
        _edited(pooling={"type": "sum", "pool_size": 2}),
        {"conv_blocks": []},
        [{"units": 257}],
        [{"units": 20}] * 8,
        [],
        [3],
        "cnn",
        7,
        None,
    ],
)
def test_genotypes_outside_the_bounds_are_refused(genotype: Any) -> None:
    with pytest.raises(UsageError):
        MunasSpace.from_unas(genotype, (32, 32, 3), 10)


def test_norms_follow_their_convolution(samples: list[Genotype]) -> None:
    network = MunasSpace().decode(max(samples, key=len))
    for node in network.nodes:
        if isinstance(node.op, BatchNorm):
            assert isinstance(network.ops[node.inputs[0]], Conv)
