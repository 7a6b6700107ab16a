"""Figures of uNAS genotypes, made by the authors' own program (golden/munas.json), in both pool roundings."""

from __future__ import annotations

import json
from collections import Counter
from math import prod
from pathlib import Path
from typing import Any

import pytest

from fitness import figures
from spaces.layers import Add, BatchNorm, Conv, Dense, Pool
from spaces.munas import MunasSpace
from spaces.network import Network

GOLDEN = Path(__file__).parents[3] / "shared" / "golden" / "munas.json"
CASES = json.loads(GOLDEN.read_text())["cases"] if GOLDEN.exists() else []
DEPLOYED = [case for case in CASES if "tflite_int8" in case]
# Here the authors' own field counts the input twice (golden/README.md).
COUNTED_TWICE = ("random_023", "random_057", "random_078")

pytestmark = pytest.mark.skipif(not CASES, reason=f"no golden values at {GOLDEN}")
each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
each_deployed = pytest.mark.parametrize("case", DEPLOYED, ids=lambda case: case["name"])


def _network(case: dict[str, Any], rounding: str) -> Network:
    shape = tuple(case["input_shape"])
    space, genotype = MunasSpace.from_unas(case["genotype"], shape, case["num_classes"], rounding)  # type: ignore[arg-type]
    return space.decode(genotype)


@each_case
@pytest.mark.parametrize(("rounding", "field"), [("ceil", "authors"), ("floor", "floor_pooling")])
def test_size_macs_and_peak_are_the_authors(case: dict[str, Any], rounding: str, field: str) -> None:
    network, expected = _network(case, rounding), case[field]
    assert figures.munas_size(network) == expected["model_size_bytes"]
    assert figures.munas_macs(network) == expected["macs"]
    assert figures.munas_peak(network).exact
    assert figures.munas_peak_memory(network) == expected["peak_memory_bytes"]


@each_case
def test_peak_is_that_of_a_second_implementation(case: dict[str, Any]) -> None:
    network = _network(case, "ceil")
    assert figures.munas_peak_memory(network) == case["independent_pmu"]["excl_input"]
    assert figures.munas_peak_memory(network, input=True) == case["independent_pmu"]["incl_input"]


@each_case
def test_peak_with_input_and_floor_pooling_is_the_authors(case: dict[str, Any]) -> None:
    peak = figures.munas_peak_memory(_network(case, "floor"), input=True)
    authors = case["floor_pooling"]["peak_memory_incl_input_bytes"]
    assert peak <= authors if case["name"] in COUNTED_TWICE else peak == authors


@each_case
def test_parameters_without_batch_norm_are_keras_own(case: dict[str, Any]) -> None:
    network = _network(case, "floor")
    norms = sum(2 * node.shape[0] for node in network.nodes if isinstance(node.op, BatchNorm))
    assert figures.params(network) - norms == case["keras_params_excl_bn"]
    assert figures.model_bytes(network) == figures.munas_size(network)


@each_case
def test_operations_have_the_authors_shapes_and_macs(case: dict[str, Any]) -> None:
    if not case["ops"]:
        pytest.skip("no operator list in this case")
    network = _network(case, "ceil")
    ours: Counter[object] = Counter()
    for op, inputs, shape in network.nodes[1:]:
        fan_in = network.shapes[inputs[0]]
        if isinstance(op, Dense):
            ours["Dense", shape, prod(fan_in) * op.units] += 1
        elif isinstance(op, Conv):
            weights = op.kernel[0] * op.kernel[1] * fan_in[0] // op.groups
            ours["Conv", shape, weights * prod(shape)] += 1
        elif isinstance(op, Pool):
            ours["Pool", shape, op.kernel[0] * op.kernel[1] * prod(shape)] += 1
        elif isinstance(op, Add):
            ours["Add", shape, (len(inputs) - 1) * prod(shape)] += 1
    authors: Counter[object] = Counter()
    for listed in case["ops"]:
        _, *shape = listed["out_shape"]
        kind = "Conv" if "Conv" in listed["kind"] else listed["kind"]
        authors[kind, (shape[-1], *shape[:-1]), listed["macs"]] += 1
    assert ours == authors


@each_deployed
def test_flash_is_what_the_int8_file_holds(case: dict[str, Any]) -> None:
    """Sum of int8 weights and int32 biases in the converted TFLite file."""
    network = _network(case, "floor")
    expected = case["tflite_int8"]
    assert figures.flash_bytes(network) == expected["weight_and_bias_bytes"]
    assert figures.flash_bytes(network) == expected["int8_weight_elems"] + 4 * expected["int32_bias_elems"]
    assert figures.flash_bytes(network) == figures.munas_size(network) + 3 * expected["int32_bias_elems"]
    assert figures.macs(network) == expected["conv_dense_macs"]


def test_best_order_is_at_most_the_files_and_mostly_equal() -> None:
    """Facts, section 2: equal in 17 of 23; the others pad a sum, or add three terms in pairs."""
    ours = [figures.munas_peak_memory(_network(case, "floor"), input=True) for case in DEPLOYED]
    files = [case["tflite_int8"]["peak_activation_bytes_reshape_aliased"] for case in DEPLOYED]
    assert all(our <= file for our, file in zip(ours, files, strict=True))
    assert sum(our == file for our, file in zip(ours, files, strict=True)) >= 17


def test_the_cases_cover_what_they_should() -> None:
    assert len(CASES) >= 60
    assert len(DEPLOYED) >= 20
    assert {case["space"] for case in CASES} == {"cnn", "mlp"}
