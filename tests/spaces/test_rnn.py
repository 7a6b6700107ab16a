"""The space of recurrent networks: bounds of the presets, options, and moves that leave the look-back alone."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from spaces import SPACES
from spaces.errors import InvalidGenotype, NoNeighbour, UsageError
from spaces.layers import (
    Add,
    BatchNorm,
    Concat,
    Dense,
    Flatten,
    Input,
    Recurrent,
    ReLU,
    ShapeError,
    Sigmoid,
    Tanh,
    Zero,
)
from spaces.mlp import MlpSpace
from spaces.network import Network, NetworkBuilder
from spaces.rnn import RnnSpace
from spaces.space import Genotype, Value
from spaces.tabular import Sampled

# acamero/dlopt @4f7cac9: features, outputs, layers, units, look-back, activation of the output.
PUBLISHED = {
    "sine": (1, 1, (1, 3), (1, 100), (2, 30), Tanh),
    "waste": (217, 217, (1, 8), (10, 300), (2, 30), Sigmoid),
    "eunite": (52, 1, (1, 8), (10, 100), (2, 30), Dense),
}


def _widths(genotype: Genotype) -> list[int]:
    return [int(genotype[f"l{i}.units"]) for i in range(int(genotype["layers"]))]


@pytest.mark.parametrize("preset", PUBLISHED)
def test_presets_are_the_published_problems(preset: str) -> None:
    features, outputs, layers, units, look_back, last = PUBLISHED[preset]
    space, rng = RnnSpace(preset=preset), Random(0)
    assert (space.features, space.outputs, space.reads) == (features, outputs, "series")
    for domain, bounds in ((space.layers, layers), (space.units, units), (space.look_back, look_back)):
        assert (domain.low, domain.high) == bounds
    for _ in range(50):
        genotype = space.sample(rng)
        network = space.decode(genotype)
        assert network.shapes[0] == (genotype["look_back"], features)
        assert network.shapes[-1] == (outputs,)
        assert type(network.ops[-1]) is last
        assert list(genotype)[:3] == ["look_back", "layers", "l0.units"]


def test_a_network_is_a_stack_of_layers_of_which_the_last_hands_on_one_step() -> None:
    space = RnnSpace(3, 2, cell="any", activation="sigmoid")
    choices: dict[str, Value] = {
        "look_back": 7,
        "layers": 2,
        "l0.units": 5,
        "l0.cell": "gru",
        "l1.units": 4,
        "l1.cell": "rnn",
    }
    network = space.decode(Genotype(choices))
    stack = (Input((7, 3)), Recurrent("gru", 5, True), Recurrent("rnn", 4), Dense(2), Sigmoid())
    assert network.ops == stack
    assert network.shapes == ((7, 3), (7, 5), (4,), (2,), (2,))
    assert network.volumes == (21, 35, 4, 2, 2)
    assert str(network).splitlines()[1] == "   1  Recurrent(kind='gru', units=5, sequences=True) <- 0  [7x5]"


def test_keys_are_stable() -> None:
    """They are written to disk: of networks before there were recurrent ones, and of those."""
    network = MlpSpace((8, 8, 1), 2).decode(Genotype({"layers": 1, "d0.units": 10}))
    assert network.key == "9e4b3bf2122bc0e3f623a7dd91dcc87c"
    network = RnnSpace().decode(Genotype({"look_back": 2, "layers": 1, "l0.units": 3}))
    assert network.key == "f14f9c44b625ef9e3d7877286f25ed4e"


def test_the_look_back_and_every_field_of_a_layer_make_another_network() -> None:
    space = RnnSpace(cell="any")
    base: dict[str, Any] = {"look_back": 5, "layers": 1, "l0.units": 6, "l0.cell": "lstm"}
    others: list[dict[str, Any]] = [{}, {"look_back": 6}, {"l0.units": 7}, {"l0.cell": "gru"}, {"l0.cell": "rnn"}]
    assert len({space.decode(Genotype(base | other)).key for other in others}) == len(others)


def test_moves_change_one_thing_and_shift_the_other_layers() -> None:
    space, rng = RnnSpace(preset="eunite", max_layers=4), Random(1)
    genotype, seen = space.sample(rng), set()
    for _ in range(400):
        child = space.move(genotype, rng)
        before, after = _widths(genotype), _widths(child)
        if child["look_back"] != genotype["look_back"]:
            assert after == before
            assert abs(int(child["look_back"]) - int(genotype["look_back"])) in (1, 5)
            seen.add("look-back")
        elif len(after) == len(before):
            changed = [abs(a - b) for a, b in zip(after, before, strict=True) if a != b]
            assert len(changed) == 1
            assert changed[0] in (1, 5, 25)
            seen.add("width")
        elif len(after) > len(before):
            assert any(after == [*before[: i + 1], *before[i:]] for i in range(len(before)))
            seen.add("copy")
        else:
            assert any(after == before[:i] + before[i + 1 :] for i in range(len(before)))
            seen.add("remove")
        genotype = child
    assert seen == {"look-back", "width", "copy", "remove"}


def test_cells_change_too_and_move_with_their_layers() -> None:
    space, rng = RnnSpace(cell="any", min_layers=2, max_layers=2, min_units=9, max_units=9), Random(2)
    genotype = space.sample(rng)
    found = set()
    for _ in range(100):
        genotype = space.mutate(genotype, rng)
        found.add((genotype["l0.cell"], genotype["l1.cell"]))
    assert len(found) == 9
    wide = RnnSpace(cell="any", min_units=1, max_units=3)
    both = [(1, "lstm"), (2, "gru"), (3, "rnn")]
    start: dict[str, Value] = {"look_back": 2, "layers": 3}
    for i, (units, cell) in enumerate(both):
        start |= {f"l{i}.units": units, f"l{i}.cell": cell}
    shorter = [child for _ in range(60) if (child := wide.move(Genotype(start), rng))["layers"] == 2]
    assert shorter
    for child in shorter:
        assert [(child[f"l{i}.units"], child[f"l{i}.cell"]) for i in range(2)] in (both[1:], both[:2], both[::2])


def test_a_space_of_one_network_has_no_neighbour() -> None:
    bounds = {f"{end}_{what}": 2 for end in ("min", "max") for what in ("layers", "units", "look_back")}
    space = RnnSpace(**bounds)  # type: ignore[arg-type]
    with pytest.raises(NoNeighbour):
        space.mutate(space.sample(Random(0)), Random(0))


def test_the_list_of_widths_is_named() -> None:
    for space in (RnnSpace(), MlpSpace()):
        layered, genotype = space.layered, space.sample(Random(3))
        assert layered is not None
        names = [layered.width.format(i) for i in range(int(genotype[layered.count]))]
        assert set(names) <= set(genotype)
        assert layered.width.format(len(names)) not in genotype
    assert SPACES.create("munas", {}).layered is None  # type: ignore[attr-defined]


def test_some_listed_networks_are_a_space_of_series_too() -> None:
    whole, rng = RnnSpace(), Random(4)
    some = Sampled(whole, [whole.describe(whole.sample(rng)) for _ in range(5)])
    assert some.reads == "series"
    assert some.channels_first == (1,)
    assert some.sample(rng) in [whole.parse(text) for text in some._texts.values()]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"preset": "coal"}, "preset 'coal'; expected sine, waste, eunite"),
        ({"cell": "LSTM"}, "cell 'LSTM'; expected lstm, gru, rnn, any"),
        ({"activation": "relu"}, "activation 'relu'; expected tanh, sigmoid, linear"),
        ({"max_layers": -1}, "max_layers is -1; expected a whole number from 1 to 100"),
        ({"max_units": 10**6}, "max_units is 1000000; expected a whole number from 1 to 10,000"),
        ({"preset": "waste", "max_units": 5}, "units from 10 to 5; give both min_units and max_units"),
        ({"min_look_back": 40}, "look_back from 40 to 30"),
    ],
)
def test_impossible_options_are_told_in_one_line(options: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError) as refusal:
        RnnSpace(**options)
    assert told in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_architectures_outside_the_bounds_are_refused() -> None:
    with pytest.raises(InvalidGenotype, match=r"'l0\.units' is 101; expected one of 1\.\.100"):
        RnnSpace().parse('{"look_back": 2, "layers": 1, "l0.units": 101}')


# --- the operations ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "op", "told"),
    [
        ((4,), Recurrent("lstm", 3), "on a vector"),
        ((3, 8, 8), Recurrent("lstm", 3), "on a map"),
        ((5, 4), Dense(3), "on a sequence .* flatten first"),
    ],
)
def test_layers_refuse_shapes_of_another_kind(shape: tuple[int, ...], op: Any, told: str) -> None:
    builder = NetworkBuilder(shape)
    with pytest.raises(ShapeError, match=told):
        builder.add(op, builder.input)


@pytest.mark.parametrize("fields", [("LSTM", 3), ("lstm", 0), ("lstm", 2.0), ("gru", 3, "last"), ("gru", 3, 1)])
def test_recurrent_layers_refuse_what_none_can_have(fields: tuple[Any, ...]) -> None:
    with pytest.raises(ShapeError, match=r"Recurrent: .* expected"):
        Recurrent(*fields)


def test_norms_sums_and_vectors_of_sequences() -> None:
    builder = NetworkBuilder((5, 4))
    for refused in (BatchNorm(), Concat()):
        with pytest.raises(ShapeError):
            builder.add(refused, *[builder.input] * (1 + (refused == Concat())))
    narrow = builder.add(Recurrent("rnn", 3, sequences=True), builder.input)
    with pytest.raises(ShapeError, match="equal shape"):
        builder.add(Add(), builder.input, narrow)
    total = builder.add(Add(), narrow, builder.add(ReLU(), narrow), builder.add(Zero(), narrow))
    assert builder.shape(total) == (5, 3)
    assert builder.shape(builder.add(Flatten(), total)) == (15,)


def test_recurrent_layers_that_look_the_same_have_weights_of_their_own() -> None:
    builder = NetworkBuilder((5, 4))
    twins = [builder.add(Tanh(), builder.add(Recurrent("gru", 3), builder.input)) for _ in range(2)]
    network = builder.build(builder.add(Add(), *twins))
    assert network.simplified().key == network.key
    builder = NetworkBuilder((5, 4))
    one = builder.add(Recurrent("gru", 3), builder.input)
    network = builder.build(builder.add(Add(), *[builder.add(Tanh(), one) for _ in range(2)]))
    assert len(network.simplified()) == len(network) - 1
    assert Network.from_json(network.to_json()) == network
