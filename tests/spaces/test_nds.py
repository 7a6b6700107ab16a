"""The NDS families: published sizes, the published networks layer by layer, genotypes and their notations."""

from __future__ import annotations

import json
from collections import Counter
from math import prod
from random import Random
from typing import Any

import pytest
import torch
from torch import nn

from fitness import figures
from fitness.lower import lower
from spaces.errors import InvalidGenotype, UsageError
from spaces.layers import Zero
from spaces.nds import NdsAmoeba, NdsDarts, NdsEnas, NdsNasNet, NdsPnas, NdsSpace
from spaces.space import Domain, Genotype, Value
from tests.nds_network import CellNetwork

FAMILIES: tuple[type[NdsSpace], ...] = (NdsNasNet, NdsAmoeba, NdsPnas, NdsEnas, NdsDarts)
DARTS_V2 = {
    "normal": [
        *(["sep_conv_3x3", 0], ["sep_conv_3x3", 1], ["sep_conv_3x3", 0], ["sep_conv_3x3", 1]),
        *(["sep_conv_3x3", 1], ["skip_connect", 0], ["skip_connect", 0], ["dil_conv_3x3", 2]),
    ],
    "normal_concat": [2, 3, 4, 5],
    "reduce": [
        *(["max_pool_3x3", 0], ["max_pool_3x3", 1], ["skip_connect", 2], ["max_pool_3x3", 1]),
        *(["max_pool_3x3", 0], ["skip_connect", 2], ["skip_connect", 2], ["max_pool_3x3", 1]),
    ],
    "reduce_concat": [2, 3, 4, 5],
}
# A record of Amoeba.json as NNI's documentation prints it (tutorial "Use NAS Benchmarks as Datasets"): 4.190314 M
# parameters at width 32 and depth 12.
AMOEBA = {
    "normal": [
        *(["avg_pool_3x3", 0], ["conv_7x1_1x7", 1], ["sep_conv_3x3", 2], ["sep_conv_5x5", 0]),
        *(["dil_sep_conv_3x3", 2], ["dil_sep_conv_3x3", 2], ["skip_connect", 4], ["dil_sep_conv_3x3", 4]),
        *(["conv_7x1_1x7", 2], ["sep_conv_3x3", 4]),
    ],
    "normal_concat": [3, 5, 6],
    "reduce": [
        *(["avg_pool_3x3", 0], ["dil_sep_conv_3x3", 1], ["sep_conv_3x3", 0], ["sep_conv_3x3", 0]),
        *(["skip_connect", 2], ["sep_conv_7x7", 0], ["conv_7x1_1x7", 4], ["skip_connect", 4]),
        *(["conv_7x1_1x7", 0], ["conv_7x1_1x7", 5]),
    ],
    "reduce_concat": [3, 6],
}


# --- what is published ------------------------------------------------------------------------------


def test_a_published_record_has_its_number_of_parameters() -> None:
    space = NdsAmoeba(width=32, depth=12)
    assert figures.params(space.decode(space.genotype_of(AMOEBA))) == 4_190_314


def test_darts_v2_has_its_number_of_parameters() -> None:
    """3.3 M in the DARTS paper; 3.349342 MB is what the authors' program prints, without the auxiliary head."""
    space = NdsDarts(width=36, depth=20)
    assert figures.params(space.decode(space.genotype_of(DARTS_V2))) == 3_349_342


@pytest.mark.parametrize(
    ("make", "billions"),
    [(NdsNasNet, 71_465_842), (NdsAmoeba, 556_628), (NdsPnas, 556_628), (NdsEnas, 5_063), (NdsDarts, 242)],
)
def test_cells_are_as_many_as_published(make: type[NdsSpace], billions: int) -> None:
    """NDS, Table 1, counts possible cells in billions: o^2k ((k+1)!)^2 of o operations and k nodes."""
    counts: dict[str, int] = {}

    def choose(name: str, domain: Domain) -> Value:
        counts[name] = domain.count
        return domain.values()[0]

    make().record(choose)
    cells = {cell: prod(n for name, n in counts.items() if name.startswith(cell)) for cell in ("normal", "reduce")}
    assert cells["normal"] == cells["reduce"]
    assert (cells["normal"] + 5 * 10**8) // 10**9 == billions  # ENAS is 5,062.5


def test_loose_ends_are_put_out_where_the_family_says_so() -> None:
    for make, concats in ((NdsAmoeba, ([3, 5, 6], [3, 6])), (NdsPnas, ([2, 3, 4, 5, 6],) * 2)):
        operations = {"dil_sep_conv_3x3": "dil_conv_3x3"} if make is NdsPnas else {}
        cells = {
            cell: [[operations.get(str(op), op), source] for op, source in AMOEBA[cell]]  # type: ignore[misc]
            for cell in ("normal", "reduce")
        }
        space = make()
        genotype: Any = space.published(space.genotype_of(cells))["genotype"]
        assert (genotype["normal_concat"], genotype["reduce_concat"]) == concats


# --- the network --------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", FAMILIES)
@pytest.mark.parametrize(("size", "depth"), [(12, 5), (9, 4)])
def test_networks_compute_what_the_published_ones_compute(make: type[NdsSpace], size: int, depth: int) -> None:
    """Equal weights, equal output: also with odd maps, whose last pixels are halved alone."""
    space, rng = make((size, size, 3), width=2, depth=depth), Random(depth)
    images = torch.randn(3, 3, size, size, generator=torch.Generator().manual_seed(0))
    for _ in range(2):
        genotype = space.sample(rng)
        published, module = CellNetwork(space.published(genotype)), lower(space.decode(genotype))  # type: ignore[arg-type]
        for network in (published, module):
            for parameter in network.parameters():
                _fill(parameter)
        with torch.no_grad():
            torch.testing.assert_close(module(images), published(images), rtol=1e-4, atol=1e-5)


def _fill(weights: nn.Parameter) -> None:
    """Numbers that the shape alone decides, so that layers need not be matched; no two channels alike."""
    with torch.no_grad():
        line = torch.sin(torch.arange(weights.numel(), dtype=torch.float32) + 1.0)
        weights.copy_(line.reshape(weights.shape) + (1.5 if weights.dim() == 1 else 0.0))


@pytest.mark.parametrize("make", FAMILIES)
def test_networks_have_the_layers_of_the_published_ones(make: type[NdsSpace]) -> None:
    """Until every operation has come up: ReLUs and layers with parameters, as often and with the same fields."""
    space, rng, seen = make(width=2, depth=5), Random(1), set[str]()
    while len(seen) < len(space.family.operations):
        genotype = space.sample(rng)
        seen |= {str(value) for name, value in genotype.items() if ".op" in name}
        published = CellNetwork(space.published(genotype))  # type: ignore[arg-type]
        assert _layers(lower(space.decode(genotype))) == _layers(published)


def _layers(module: nn.Module) -> Counter[str]:
    kinds = (nn.Conv2d, nn.BatchNorm2d, nn.Linear, nn.ReLU)
    return Counter(str(layer) for layer in module.modules() if isinstance(layer, kinds))


# --- notations ----------------------------------------------------------------------------------------


def test_architectures_read_as_width_depth_and_nodes() -> None:
    space = NdsDarts()
    text = (
        "w16|d20|normal|sep_conv_3x3~0+sep_conv_3x3~1|sep_conv_3x3~0+sep_conv_3x3~1|sep_conv_3x3~1+skip_connect~0"
        "|skip_connect~0+dil_conv_3x3~2|reduce|max_pool_3x3~0+max_pool_3x3~1|skip_connect~2+max_pool_3x3~1"
        "|max_pool_3x3~0+skip_connect~2|skip_connect~2+max_pool_3x3~1"
    )
    genotype = space.genotype_of(DARTS_V2)
    assert space.describe(genotype) == text
    assert space.parse(text) == genotype
    assert space.parse(json.dumps(DARTS_V2)) == genotype
    assert space.parse(json.dumps(space.published(genotype))) == genotype
    assert genotype["normal5.op2"] == "dil_conv_3x3"
    assert genotype["normal5.in2"] == 2


@pytest.mark.parametrize("make", FAMILIES)
def test_published_forms_are_read_back(make: type[NdsSpace]) -> None:
    for space in (make(), make(width=0, depth=0), make(width=24), make(depth=8)):
        for genotype in (space.sample(Random(seed)) for seed in range(5)):
            assert space.genotype_of(json.loads(json.dumps(space.published(genotype)))) == genotype
            assert space.parse(space.describe(genotype)) == genotype


def test_width_and_depth_are_choices_where_the_space_leaves_them_open() -> None:
    space = NdsEnas(width=0, depth=0)
    drawn = [space.sample(Random(seed)) for seed in range(60)]
    assert {genotype["width"] for genotype in drawn} == {16, 24, 32}
    assert {genotype["depth"] for genotype in drawn} == {4, 8, 12, 16, 20}
    genotype = drawn[0]
    cells = {name: value for name, value in genotype.items() if name not in ("width", "depth")}
    fixed = NdsEnas(width=int(genotype["width"]), depth=int(genotype["depth"]))
    assert fixed.decode(Genotype(cells)) == space.decode(genotype)


@pytest.mark.parametrize(("what", "value"), [("width", -1), ("depth", True), ("depth", 10_000), ("width", 16.0)])
def test_impossible_widths_and_depths_are_refused(what: str, value: object) -> None:
    with pytest.raises(UsageError, match=f"{what} is"):
        NdsDarts(**{what: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"normal": DARTS_V2["normal"][:6]}, "normal is .*expected 8 pairs"),
        ({"normal": None}, "expected 8 pairs"),
        ({"normal": ["sep_conv_3x3"] * 8}, "expected 8 pairs"),
        (
            {"normal": [["sep_conv_7x7", 0], *DARTS_V2["normal"][1:]]},
            "normal2.op1 is 'sep_conv_7x7'; expected",
        ),
        ({"normal": [["sep_conv_3x3", 2], *DARTS_V2["normal"][1:]]}, "normal2.in1 is '2'; expected 0..1"),
        ({"normal": [["sep_conv_3x3", True], *DARTS_V2["normal"][1:]]}, "normal2.in1 is 'True'"),
        ({"normal": [[["sep_conv_3x3"], 0], *DARTS_V2["normal"][1:]]}, "normal2.op1 is"),
        ({"reduce_concat": [3, 4, 5]}, r"reduce_concat is \[3, 4, 5\]; expected \[2, 3, 4, 5\], all nodes"),
        ({"reduce_concat": 5}, "reduce_concat is 5"),
        ({"width": 32}, "width of the network is 32; expected 16"),
        ({"depth": "20"}, "depth of the network is '20'"),
        ({"genotype": 3}, "genotype '3'; expected an object"),
    ],
)
def test_published_forms_that_are_no_cells_are_refused(changed: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        NdsDarts().genotype_of(DARTS_V2 | changed)


def test_open_spaces_ask_for_width_and_depth() -> None:
    with pytest.raises(InvalidGenotype, match=r"width is 'None'; expected 16\.\.32 step 8"):
        NdsDarts(width=0).genotype_of(DARTS_V2)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        *(("w16", "w016"), ("w16", "w32"), ("d20|", "d20||"), ("~0+", "~0+skip_connect~1+"), ("skip", "jump")),
        *(("reduce", "normal"), ("dil_conv_3x3~2", "dil_conv_3x3~5"), ("+", "|"), ("~0", "~٠")),
    ],
)
def test_texts_that_are_no_architecture_are_refused(old: str, new: str) -> None:
    text = NdsDarts().describe(NdsDarts().genotype_of(DARTS_V2))
    with pytest.raises(UsageError):
        NdsDarts().parse(text.replace(old, new, 1))


# --- what does not reach the output -------------------------------------------------------------------


def test_zeros_stand_in_for_nodes_that_nothing_reaches() -> None:
    """A node of two `none` keeps its place in the output, but what feeds it is not counted as live."""
    text = NdsDarts().describe(NdsDarts().genotype_of(DARTS_V2)).replace("w16|d20", "w16|d4")
    space, last = NdsDarts(depth=4), "skip_connect~0+dil_conv_3x3~2"
    dead = [
        space.decode(space.parse(text.replace(last, f"none~{source}+none~{source}", 1))).live for source in (1, 2)
    ]
    whole = space.decode(space.parse(text)).live
    assert dead[0] == dead[1] == dead[0].live
    assert figures.params(dead[0]) < figures.params(whole)
    assert [node.shape for node in dead[0].nodes if isinstance(node.op, Zero)] == [(16, 32, 32), (64, 8, 8)]
