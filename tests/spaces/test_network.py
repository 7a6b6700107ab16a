"""Networks as values: building, reading back, equality, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from spaces.errors import UsageError
from spaces.layers import Add, BatchNorm, Conv, Dense, Flatten, Op, Pool, ReLU, ShapeError, Zero
from spaces.network import Network, NetworkBuilder


def _network() -> Network:
    builder = NetworkBuilder((3, 8, 8))
    x = builder.add(ReLU(), builder.add(BatchNorm(), builder.add(Conv(4, (3, 3)), builder.input)))
    y = builder.add(Pool("avg", (3, 3), (1, 1)), builder.input)
    y = builder.add(Conv(4, (1, 1), bias=False), y)
    x = builder.add(Flatten(), builder.add(Add(), x, y))
    return builder.build(builder.add(Dense(2), x))


def test_nodes_hold_operation_inputs_and_shape() -> None:
    network = _network()
    assert len(network) == len(network.nodes) == 9
    assert network.nodes[0].op.out_shape() == network.nodes[0].shape == (3, 8, 8)  # type: ignore[call-arg]
    assert network.nodes[-1] == (Dense(2), (7,), (2,))
    assert network.nodes[7].shape == (144,)
    assert [network.consumers[i] for i in (0, 8)] == [(1, 3), ()] or len(network.consumers[0]) == 2


def test_networks_are_equal_by_what_they_are() -> None:
    one, other = _network(), _network()
    assert one is not other
    assert one == other
    assert hash(one) == hash(other)
    assert len({one, other}) == 1
    builder = NetworkBuilder((1,))
    assert one != builder.build(builder.add(ReLU(), builder.input))
    assert one != "network"


def test_networks_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        _network().key = "0"  # type: ignore[misc]


def test_drawing_shows_every_node() -> None:
    drawing = str(_network()).splitlines()
    assert len(drawing) == 9
    assert "Input" in drawing[0]
    assert "[3x8x8]" in drawing[0]
    assert drawing[-1].strip().startswith("8")
    assert "<- 7" in drawing[-1]
    assert "[2]" in drawing[-1]


def test_a_repeated_term_is_read_repeatedly() -> None:
    builder = NetworkBuilder((2,))
    network = builder.build(builder.add(Add(), builder.input, builder.input))
    assert network.consumers[0] == (1, 1)
    assert network.reads == (2, 0)


def test_json_is_plain() -> None:
    listed = _network().to_json()
    assert listed[0] == {"op": "Input", "shape": [3, 8, 8], "inputs": []}
    assert {"op": "Dense", "units": 2, "bias": True, "inputs": [7]} == listed[-1]
    assert Network.from_json(listed) == _network()


def _changed(index: int, **changes: Any) -> list[dict[str, Any]]:
    listed = [dict(entry) for entry in _network().to_json()]
    listed[index] |= changes
    return listed


CONV = next(i for i, op in enumerate(_network().ops) if op == Conv(4, (3, 3)))


@pytest.mark.parametrize(
    "listed",
    [
        [],
        _changed(0, op="Dense"),
        _changed(1, op="Input"),
        _changed(3, op="Softmax"),
        _changed(3, op=None),
        _network().to_json()[1:],
        _changed(-1, units=None),
        _changed(-1, units="two"),
        _changed(-1, units=0),
        _changed(-1, units=-2),
        _changed(-1, units=2.5),
        _changed(-1, inputs=[]),
        _changed(-1, inputs=[8]),
        _changed(-1, inputs=[99]),
        _changed(-1, inputs=[-1]),
        _changed(-1, inputs=[0]),
        _changed(-1, inputs=None),
        _changed(-1, inputs=["x"]),
        _changed(-1, color="red"),
        _changed(0, shape=[3, 8]),
        _changed(0, shape=[3, 8, 0]),
        _changed(0, shape="3x8x8"),
        _changed(CONV, kernel=[9, 9]),
        _changed(CONV, kernel=3),
        _changed(CONV, stride=[0, 1]),
        _changed(CONV, groups=2),
        _changed(CONV, groups=0),
        _changed(CONV, padding=[-1, 0]),
        _changed(CONV, channels=0),
        [3],
        ["Input"],
    ],
)
def test_damaged_descriptions_are_refused(listed: Any) -> None:
    with pytest.raises(UsageError):
        Network.from_json(listed)


@pytest.mark.parametrize(
    ("op", "count", "message"),
    [
        (Dense(3), 1, "expected a vector"),
        (Conv(4, (9, 9)), 1, "does not fit a map of 8x8"),
        (Conv(4, (3, 3), groups=2), 1, "groups must divide"),
        (Conv(5, (3, 3), groups=3), 1, "groups must divide"),
        (Pool("max", (9, 1), (1, 1)), 1, "does not fit"),
        (ReLU(), 2, "expected exactly one"),
        (ReLU(), 0, "expected exactly one"),
        (Add(), 0, "expected"),
        (Zero(), 3, "expected exactly one"),
    ],
)
def test_operations_that_do_not_fit_are_refused(op: Op, count: int, message: str) -> None:
    builder = NetworkBuilder((3, 8, 8))
    with pytest.raises(ShapeError, match=message):
        builder.add(op, *[builder.input] * count)


def test_sums_need_equal_channels_and_vectors_equal_lengths() -> None:
    builder = NetworkBuilder((3, 8, 8))
    wide = builder.add(Conv(4, (1, 1)), builder.input)
    flat = builder.add(Flatten(), builder.input)
    with pytest.raises(ShapeError, match="equal channels"):
        builder.add(Add(), builder.input, wide)
    with pytest.raises(ShapeError):
        builder.add(Add(), builder.input, flat)
    with pytest.raises(ShapeError, match="equal lengths"):
        builder.add(Add(), flat, builder.add(Dense(3), flat))
    assert builder.shape(builder.add(Add(), builder.input, builder.add(Conv(3, (3, 3)), builder.input))) == (
        3,
        8,
        8,
    )


def test_layers_that_want_maps_refuse_vectors() -> None:
    builder = NetworkBuilder((5,))
    for op in (Conv(1, (1, 1)), Pool("max", (1, 1), (1, 1))):
        with pytest.raises(ShapeError, match="expected a map"):
            builder.add(op, builder.input)


@pytest.mark.parametrize("handle", [-1, 2, 99])
def test_handles_must_have_been_given_out(handle: int) -> None:
    builder = NetworkBuilder((3, 8, 8))
    builder.add(ReLU(), builder.input)
    with pytest.raises(ShapeError, match=r"expected a handle in 0\.\.1"):
        builder.add(ReLU(), handle)
    with pytest.raises(ShapeError, match=r"expected a handle in 0\.\.1"):
        builder.build(handle)


def test_the_output_must_not_be_read() -> None:
    builder = NetworkBuilder((3, 8, 8))
    x = builder.add(ReLU(), builder.input)
    builder.add(ReLU(), x)
    with pytest.raises(ShapeError, match="it must be last"):
        builder.build(x)


@pytest.mark.parametrize("shape", [(), (3, 0), (3, 8, 0), (1, 1, 1, 1), (0,), (3.0,), (True,), (-1, 2, 2), ("a",)])
def test_inputs_are_maps_or_vectors_of_positive_sizes(shape: Any) -> None:
    with pytest.raises(ShapeError, match="expected"):
        NetworkBuilder(shape)


def test_a_builder_can_go_on_after_building() -> None:
    builder = NetworkBuilder((4,))
    first = builder.build(builder.add(Dense(2), builder.input))
    key, nodes = first.key, first.nodes
    builder.add(Dense(3), builder.input)
    second = builder.build(builder.add(Dense(4), builder.input))
    assert (first.key, first.nodes, len(first)) == (key, nodes, 2)
    assert len(second) == 4
