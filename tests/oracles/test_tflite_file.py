"""Files against the schema that the tflite-micro wheel was generated from, and against other interpreters."""

from __future__ import annotations

import sys
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fitness import figures, tflite_schema
from fitness.deploy import arena_tensors, fused
from fitness.quantised import QuantisedNetwork
from fitness.quantising.run import run_stored
from fitness.tflite_file import write_tflite
from spaces import SPACES
from spaces.errors import MissingExtra, UsageError
from spaces.layers import Add, BatchNorm, Concat, Conv, Dense, Flatten, Op, Pool, ReLU, Shape, Shift, Slice, Zero
from spaces.network import Network, NetworkBuilder
from tests.oracles.micro import Micro
from tests.quantised_nets import random_quantised
from tests.small import short

schema: Any = pytest.importorskip(
    "tflite_micro.tensorflow.lite.micro.python.schema_py_generated", reason="tflite-micro is not installed"
)


def _chain(shape: Shape, *ops: Op) -> Network:
    builder = NetworkBuilder(shape)
    x = builder.input
    for op in ops:
        x = builder.add(op, x)
    return builder.build(x)


def _sum(*heights: int) -> Network:
    """Maps of several heights, from one image, summed."""
    builder = NetworkBuilder((3, max(heights), 6))
    maps = [builder.add(Conv(4, (1 + max(heights) - height, 3)), builder.input) for height in heights]
    return builder.build(builder.add(ReLU(), builder.add(Add(), *maps)))


def _joined() -> Network:
    builder = NetworkBuilder((2, 5, 6))
    a, b = (builder.add(Conv(width, (1, 1)), builder.input) for width in (3, 4))
    x = builder.add(Concat(), builder.add(ReLU(), a), b, builder.add(Pool("max", (3, 3), (1, 1), (1, 1)), a))
    return builder.build(builder.add(Add(), builder.add(Slice(4), x), b))


def _halves_of(bent: bool) -> Network:
    builder = NetworkBuilder((4, 2, 2))
    x = builder.add(Conv(4, (1, 1)), builder.input)
    flat = builder.add(Flatten(), x)
    other = builder.add(Dense(16), flat) if bent else builder.add(ReLU(), builder.add(Flatten(), x))
    return builder.build(builder.add(Dense(5), builder.add(Add(), flat, other)))


EACH = {
    "conv": _chain((3, 7, 6), Conv(5, (3, 3), (2, 2), (1, 1)), ReLU()),
    "conv without a bias": _chain((3, 7, 6), Conv(5, (3, 2), bias=False)),
    "conv, border not SAME": _chain((3, 8, 8), Conv(5, (3, 3), (2, 2), (1, 1))),
    "dilated": _chain((3, 9, 9), Conv(4, (3, 3), (1, 1), (2, 2), dilation=(2, 2))),
    "grouped": _chain((6, 5, 5), Conv(4, (3, 3), groups=2)),
    "depthwise": _chain((4, 7, 7), Conv(4, (3, 3), (2, 2), (1, 1), groups=4), BatchNorm(), ReLU()),
    "depthwise, two filters each": _chain((3, 5, 5), Conv(6, (3, 3), groups=3)),
    "depthwise of one channel": _chain((1, 5, 5), Conv(1, (3, 3), groups=1)),
    "norm of an image": _chain((3, 5, 5), BatchNorm(), ReLU(), Conv(2, (1, 1))),
    "max": _chain((3, 7, 7), Pool("max", (2, 2), (2, 2))),
    "max, border not SAME": _chain((3, 8, 8), Pool("max", (3, 3), (2, 2), (1, 1))),
    "max, rounded up": _chain((3, 9, 9), Pool("max", (4, 4), (4, 4), rounding="ceil")),
    "average": _chain((3, 7, 7), Conv(3, (1, 1)), Pool("avg", (3, 3), (1, 1), (1, 1)), ReLU()),
    "average, border not SAME": _chain((3, 8, 8), Conv(3, (1, 1)), Pool("avg", (3, 3), (2, 2), (1, 1)), ReLU()),
    "average, rounded up": _chain((3, 9, 9), Pool("avg", (2, 2), (2, 2), rounding="ceil")),
    "shift": _chain((3, 4, 5), Shift()),
    "zero": _chain((3, 4, 5), Conv(2, (1, 1)), Zero()),
    "relu": _chain((3, 4, 5), ReLU()),
    "flattened": _chain((3, 4, 5), ReLU(), Flatten(), Dense(7), ReLU(), Dense(4, bias=False)),
    "flattened, then relu": _chain((3, 4, 5), Flatten(), ReLU(), Dense(7)),
    "vectors": _chain((9,), Dense(7), ReLU(), Dense(4)),
    "sum of two": _sum(5, 5),
    "sum of three of different heights": _sum(5, 3, 4),
    "sum of four": _sum(4, 4, 4, 3),
    "sum of flattened maps": _halves_of(bent=False),
    "joined": _joined(),
}


def _images(net: QuantisedNetwork, count: int = 4) -> NDArray[np.int8]:
    shape = net.kernels[0].kernel.shape
    return np.random.default_rng(0).integers(-128, 128, (count, *shape)).astype(np.int8)


def _in_micro(net: QuantisedNetwork) -> Callable[[NDArray[np.int8]], NDArray[np.int8]]:
    return Micro(write_tflite(net)).run


def _outputs(run: Callable[[NDArray[np.int8]], NDArray[np.int8]], images: NDArray[np.int8]) -> NDArray[np.int8]:
    """Outputs of images given as (N, C, H, W), in that order of axes too."""
    last = images.ndim == 4
    found = [
        run(np.ascontiguousarray(np.moveaxis(image[None], 1, -1) if last else image[None])) for image in images
    ]
    return np.concatenate([np.moveaxis(each, -1, 1) if each.ndim == 4 else each for each in found])


def _agrees(network: Network, seed: int = 0) -> None:
    net = random_quantised(network, seed)
    images = _images(net)
    ours = run_stored(net, torch.from_numpy(images)).numpy()
    np.testing.assert_array_equal(_outputs(_in_micro(net), images), ours)
    assert len(np.unique(ours)) > 1 or isinstance(network.ops[-1], Zero), (
        "an output that never varies tests nothing"
    )


@pytest.mark.parametrize("network", EACH.values(), ids=EACH)
def test_the_interpreter_computes_what_our_arithmetic_computes(network: Network) -> None:
    _agrees(network)
    net = random_quantised(network)
    assert Micro(write_tflite(net)).arena().head == figures.peak_ram_bytes(network)


def _small(name: str, seed: int) -> Network:
    space = SPACES.create(name, short(name) | {"input_shape": (12, 12, 3)})
    network: Network = space.decode(space.sample(Random(seed)))
    return network


@pytest.mark.parametrize("name", ["munas", "munas-mlp"])
def test_whole_networks_compute_the_same(name: str) -> None:
    for seed in range(4):
        _agrees(_small(name, seed), seed)


@pytest.mark.slow
def test_many_networks_compute_the_same() -> None:
    for seed in range(4, 60):
        _agrees(_small("munas", seed), seed)


def test_litert_computes_the_same_up_to_rounding() -> None:
    """Its kernels round once where the reference kernels of microcontrollers round twice."""
    litert = pytest.importorskip("ai_edge_litert.interpreter", reason="ai-edge-litert is not installed")
    whole = [_small("munas", seed) for seed in range(4)]
    for alone, network in (*((True, each) for each in EACH.values()), *((False, each) for each in whole)):
        net = random_quantised(network)
        interpreter = litert.Interpreter(
            model_content=write_tflite(net),
            experimental_op_resolver_type=litert.OpResolverType.BUILTIN_REF,
        )
        interpreter.allocate_tensors()
        entry, result = interpreter.get_input_details()[0], interpreter.get_output_details()[0]

        def run(image: NDArray[np.int8]) -> NDArray[np.int8]:
            interpreter.set_tensor(entry["index"], image)  # noqa: B023
            interpreter.invoke()  # noqa: B023
            return np.array(interpreter.get_tensor(result["index"]))  # noqa: B023

        images = _images(net)
        theirs, micro = _outputs(run, images), _outputs(_in_micro(net), images)
        np.testing.assert_allclose(theirs.astype(int), micro.astype(int), rtol=0, atol=0 if alone else 2)


# --- the file itself --------------------------------------------------------------------------------


def _read(file: bytes) -> Any:
    return schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(file, 0))


def test_numbers_of_the_schema_are_its_own() -> None:
    for name, number in tflite_schema.CODES.items():
        assert getattr(schema.BuiltinOperator, name) == number
    for name, number in tflite_schema.OPTIONS.items():
        assert getattr(schema.BuiltinOptions, name) == number
    types, padding = schema.TensorType, schema.Padding
    assert (types.INT32, types.INT8) == (tflite_schema.INT32, tflite_schema.INT8)
    assert (padding.SAME, padding.VALID) == (tflite_schema.SAME, tflite_schema.VALID)
    assert schema.ActivationFunctionType.RELU == tflite_schema.RELU


def test_fields_arrive_under_their_names() -> None:
    """Each number that is told differs from the others near it, so that no two places can be confused."""
    network = _chain((4, 20, 20), Conv(8, (5, 3), (2, 1), groups=4, dilation=(1, 3)), Pool("max", (4, 2), (3, 1)))
    model = _read(write_tflite(random_quantised(network)))
    graph = model.subgraphs[0]
    conv, pool = graph.operators
    assert model.version == 3
    assert [each.builtinCode for each in model.operatorCodes] == [4, 17]
    assert [each.deprecatedBuiltinCode for each in model.operatorCodes] == [4, 17]
    assert (conv.builtinOptions.strideH, conv.builtinOptions.strideW) == (2, 1)
    assert (conv.builtinOptions.dilationHFactor, conv.builtinOptions.dilationWFactor) == (1, 3)
    assert (conv.builtinOptions.depthMultiplier, conv.builtinOptions.padding) == (2, schema.Padding.VALID)
    assert (pool.builtinOptions.filterHeight, pool.builtinOptions.filterWidth) == (4, 2)
    assert (pool.builtinOptions.strideH, pool.builtinOptions.strideW) == (3, 1)
    assert list(graph.inputs) == [0]
    assert list(graph.outputs) == [2]
    _, weights, biases = (graph.tensors[number] for number in conv.inputs)
    assert list(weights.shape) == [1, 5, 3, 8]
    assert weights.quantization.quantizedDimension == 3
    assert biases.quantization.quantizedDimension == 0
    scheme = random_quantised(network).kernels[0].output
    np.testing.assert_allclose(biases.quantization.scale, scheme.scale * weights.quantization.scale, rtol=1e-6)
    assert (graph.tensors[0].quantization.scale[0], graph.tensors[0].quantization.zeroPoint[0]) == (
        np.float32(scheme.scale),
        scheme.zero_point,
    )


@pytest.mark.parametrize("network", [*EACH.values(), _small("munas", 3)], ids=[*EACH, "munas"])
def test_weights_and_biases_take_exactly_the_flash_of_the_figure(network: Network) -> None:
    model = _read(write_tflite(random_quantised(network)))
    graph = model.subgraphs[0]
    with_weights = [tflite_schema.CODES[f"{kind}_2D"] for kind in ("CONV", "DEPTHWISE_CONV")]
    with_weights.append(tflite_schema.CODES["FULLY_CONNECTED"])
    held = sum(
        len(model.buffers[graph.tensors[number].buffer].data)
        for operator in graph.operators
        if model.operatorCodes[operator.opcodeIndex].builtinCode in with_weights
        for number in operator.inputs[1:]
    )
    unbiased = [
        kernel.shape[0] for kernel in fused(network) if not getattr(kernel.op, "bias", True) and not kernel.norms
    ]
    assert held == figures.flash_bytes(network) + 4 * sum(unbiased)  # zeros, for who cannot do without


def test_data_lie_at_multiples_of_16() -> None:
    net = random_quantised(_small("munas", 0))
    file = write_tflite(net)
    assert file[4:8] == b"TFL3"
    read = schema.Model.GetRootAsModel(file, 0)
    for number in range(1, read.BuffersLength()):
        data = read.Buffers(number).DataAsNumpy()
        assert (data.ctypes.data - np.frombuffer(file, np.uint8).ctypes.data) % 16 == 0


def test_only_operations_that_the_memory_figure_counts_are_written() -> None:
    for network in EACH.values():
        graph = _read(write_tflite(random_quantised(network))).subgraphs[0]
        assert len(graph.operators) == len(arena_tensors(network)) - 1


# --- what cannot be written -------------------------------------------------------------------------


def test_unequal_schemes_of_what_is_joined_are_refused() -> None:
    net = random_quantised(_joined())
    kernels = list(net.kernels)
    at = next(index for index, each in enumerate(kernels) if isinstance(each.kernel.op, Concat))
    source = kernels[at].kernel.inputs[0]
    kernels[source] = type(kernels[source])(
        kernels[source].kernel,
        kernels[0].output,
        kernels[source].weights,
        kernels[source].scales,
        kernels[source].biases,
    )
    with pytest.raises(
        UsageError, match="CONCATENATION changes no scheme: quantise its inputs and its output alike"
    ):
        write_tflite(QuantisedNetwork(tuple(kernels)))


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (_chain((3, 9, 9), Pool("avg", (4, 4), (4, 4), rounding="ceil")), "averages that leave out a border"),
        (
            _chain((3, 4, 5), Pool("avg", (3, 2), (2, 2), (1, 0), "ceil")),
            "a pool without padding, rounded down, can",
        ),
        (_chain((3, 8, 8), Pool("avg", (3, 3), (2, 2), (1, 1), "ceil")), "averages that leave out a border"),
        (_chain((9,), Dense(4), ReLU(), BatchNorm()), r"BatchNorm\(\) of a vector \(4,\)"),
        (_halves_of(bent=True), "ADD of vectors that lie in memory in different orders"),
    ],
    ids=["average", "around no pixel", "likewise in both directions", "norm of a vector", "two orders"],
)
def test_what_no_operation_can_do_is_refused(network: Network, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        write_tflite(random_quantised(network))


def test_the_extra_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "flatbuffers", None)
    with pytest.raises(MissingExtra, match=r"pip install 'nas-engine\[tflite\]'"):
        write_tflite(random_quantised(EACH["relu"]))
