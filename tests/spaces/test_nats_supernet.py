"""Supernets of the topology space: the plain space within them, their notation, their thin networks."""

from __future__ import annotations

import json
from random import Random

import pytest

from spaces.errors import InvalidGenotype, UsageError
from spaces.layers import Add, Conv, ReLU
from spaces.nats import EDGES, OPERATIONS, NatsSss, NatsTss
from spaces.nats_supernet import NatsTssSupernet
from spaces.space import Genotype
from spaces.supernet import Subsets, spaces_that_offer

PLAIN = NatsTss(channels=4, cells=1)
SUPERNETS = PLAIN.relaxed()
TEXT = (
    "|skip_connect+nor_conv_1x1~0|+|nor_conv_3x3~0|none+avg_pool_3x3~1|+"
    "|none+skip_connect+nor_conv_1x1+nor_conv_3x3+avg_pool_3x3~0|none~1|skip_connect~2|"
)


# --- the plain space --------------------------------------------------------------------------------


def test_one_operation_on_every_edge_is_the_plain_genotype_network_and_text() -> None:
    rng = Random(0)
    for _ in range(100):
        genotype = PLAIN.sample(rng)
        network = PLAIN.decode(genotype)
        again = SUPERNETS.parse(PLAIN.describe(genotype))
        assert again == genotype
        assert SUPERNETS.decode(again).key == network.key
        assert SUPERNETS.decode(again).nodes == network.nodes
        assert SUPERNETS.describe(genotype) == PLAIN.describe(genotype)
        assert SUPERNETS.undecided(genotype) == 0


def test_only_spaces_with_supernets_offer_them() -> None:
    assert "nats-tss" in spaces_that_offer("relaxed")
    assert "nats-sss" not in spaces_that_offer("relaxed")
    assert not hasattr(NatsSss(), "relaxed")
    assert SUPERNETS.relaxed() is SUPERNETS


def test_supernets_take_images_channels_and_cells_of_their_space() -> None:
    plain = NatsTss((16, 12, 1), 7, channels=5, cells=2)
    genotype = plain.sample(Random(1))
    assert plain.relaxed().decode(genotype) == plain.decode(genotype)
    assert (plain.relaxed().input_shape, plain.relaxed().num_classes) == ((16, 12, 1), 7)


# --- supernets --------------------------------------------------------------------------------------


def test_a_node_sums_every_operation_of_its_edges() -> None:
    """Of the whole cell: 1, 2 and 3 edges of 5 operations, of which `none` and the identity are terms too."""
    cell = SUPERNETS.thin_networks(SUPERNETS.whole).regions.network
    sums = [len(inputs) for op, inputs in zip(cell.ops, cell.inputs, strict=True) if isinstance(op, Add)]
    assert sorted(sums) == [5, 10, 15]
    convolutions = [op.kernel for op in cell.ops if isinstance(op, Conv)]
    assert (convolutions.count((1, 1)), convolutions.count((3, 3))) == (6, 6)
    assert sum(isinstance(op, ReLU) for op in cell.ops) == 12 + 1


def test_options_are_taken_away_one_by_one() -> None:
    genotype, rng = SUPERNETS.whole, Random(2)
    for left in range(24, 0, -1):
        assert SUPERNETS.undecided(genotype) == left
        edge = rng.choice([edge for edge, options in SUPERNETS.left(genotype).items() if len(options) > 1])
        option = rng.choice(SUPERNETS.left(genotype)[edge])
        smaller = SUPERNETS.without(genotype, edge, option)
        expected = SUPERNETS.left(genotype) | {
            edge: tuple(each for each in SUPERNETS.left(genotype)[edge] if each != option)
        }
        assert SUPERNETS.left(smaller) == expected
        assert SUPERNETS.decode(smaller) != SUPERNETS.decode(genotype)
        genotype = smaller
    assert PLAIN.decode(genotype) == SUPERNETS.decode(genotype)


def test_subsets_are_all_there_in_the_order_of_the_operations() -> None:
    subsets = Subsets(OPERATIONS)
    assert len(set(subsets.values())) == subsets.count == 2**5 - 1
    assert subsets.values()[:5] == OPERATIONS
    assert subsets.values()[-1] == "+".join(OPERATIONS)
    assert {subsets.draw(i / 31) for i in range(31)} == set(subsets.values())
    for value in ("", "+", "nor_conv_1x1+skip_connect", "none+none", 3, None, ["none"]):
        assert value not in subsets


# --- the notation -----------------------------------------------------------------------------------


def test_texts_and_json_are_read_back() -> None:
    assert dict(SUPERNETS.parse(TEXT)) == {
        "0->1": "skip_connect+nor_conv_1x1",
        "0->2": "nor_conv_3x3",
        "1->2": "none+avg_pool_3x3",
        "0->3": "+".join(OPERATIONS),
        "1->3": "none",
        "2->3": "skip_connect",
    }
    rng = Random(3)
    for _ in range(50):
        genotype = SUPERNETS.sample(rng)
        assert SUPERNETS.parse(SUPERNETS.describe(genotype)) == genotype
        assert SUPERNETS.parse(json.dumps(genotype.to_dict())) == genotype


@pytest.mark.parametrize(
    "text",
    [
        TEXT[:-1],
        TEXT[1:],
        TEXT + "|",
        TEXT.replace("skip_connect+nor_conv_1x1", "nor_conv_1x1+skip_connect"),
        TEXT.replace("skip_connect+nor_conv_1x1", "skip_connect+skip_connect"),
        TEXT.replace("none+avg_pool_3x3", "none+max_pool_3x3"),
        TEXT.replace("none+avg_pool_3x3~1", "none+avg_pool_3x3~0"),
        TEXT.replace("none~1", "~1"),
        TEXT.replace("|none~1", ""),
        "||",
    ],
)
def test_texts_that_are_no_supernet_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        SUPERNETS.parse(text)


def test_the_plain_space_refuses_supernets_in_one_line() -> None:
    with pytest.raises(InvalidGenotype):
        PLAIN.decode(SUPERNETS.parse(TEXT))
    with pytest.raises(InvalidGenotype, match="several of them in this order joined by") as refusal:
        SUPERNETS.decode(Genotype(dict.fromkeys(EDGES, "nor_conv_5x5")))
    assert "\n" not in str(refusal.value)


# --- thin networks ----------------------------------------------------------------------------------


def test_thin_networks_do_not_depend_on_the_spaces_own_width_and_depth() -> None:
    genotype = SUPERNETS.sample(Random(4))
    thin = NatsTss(channels=3, cells=1).relaxed()
    assert SUPERNETS.thin_networks(genotype) == thin.thin_networks(genotype)
    assert SUPERNETS.thin_networks(genotype).ntk.network == thin.decode(genotype)


def test_what_is_left_stays_in_its_place() -> None:
    """Every layer of a smaller supernet has the name, shape and operation that it has in the whole one."""
    whole = SUPERNETS.thin_networks(SUPERNETS.whole)
    rng = Random(5)
    for _ in range(20):
        for found, of in zip(SUPERNETS.thin_networks(SUPERNETS.sample(rng)), whole, strict=True):
            known = _places(of.network, of.places)
            own = _places(found.network, found.places)
            assert len(own) == len(found.network)
            for place, layer in own.items():
                if not isinstance(layer[0], Add):
                    assert known[place] == layer


def _places(network: object, places: tuple[str, ...]) -> dict[str, tuple[object, object]]:
    ops, shapes = network.ops, network.shapes  # type: ignore[attr-defined]
    return {place: (op, shape) for place, op, shape in zip(places, ops, shapes, strict=True)}


def test_made_by_the_plain_space_alone() -> None:
    assert isinstance(NatsTss().relaxed(), NatsTssSupernet)
    assert NatsTssSupernet(PLAIN).name == "nats-tss-supernet"
