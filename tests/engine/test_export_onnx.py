"""`engine export --format onnx`: what a runtime computes from the file is what the network computes."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch

from engine.config import RunConfig
from engine.results.export.as_onnx import make
from engine.results.export.subject import Subject
from spaces import SPACES
from spaces.network import Network
from spaces.space import Genotype
from tests.engine.operations import every_operation
from tests.small import each_build, short

onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")


def subject_of(network: Network) -> Subject:
    """A network with weights and statistics that are not those it begins with."""
    made = Subject("network_1", "A network", RunConfig(), Genotype({}), network, {}, Path(), 0)
    generator = torch.Generator().manual_seed(1)
    for module in made.module.modules():
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            module.running_mean.normal_(generator=generator)  # type: ignore[union-attr,operator]
            module.running_var.uniform_(0.5, 2, generator=generator)  # type: ignore[union-attr,operator]
    return made


def evaluated(content: bytes, images: torch.Tensor) -> np.ndarray:
    """Outputs by the definitions that come with the format, whatever runtime is installed."""
    from onnx.reference import ReferenceEvaluator

    found: np.ndarray = ReferenceEvaluator(onnx.load_from_string(content)).run(None, {"images": images.numpy()})[0]
    return found


def test_every_operation_means_the_same_for_any_number_of_images() -> None:
    subject = subject_of(every_operation())
    made = make(subject)
    for count in (1, 3):
        images = torch.randn(count, *subject.network.shapes[0], generator=torch.Generator().manual_seed(count))
        with torch.no_grad():
            expected = subject.module(images).numpy()
        np.testing.assert_allclose(evaluated(made.files[".onnx"], images), expected, rtol=1e-4, atol=1e-5)
    assert 0 <= float(made.checks["largest_difference"]) < 1e-4 * (1 + float(made.checks["largest_output"]))
    model = onnx.load_from_string(made.files[".onnx"])
    assert [each.dim_param or each.dim_value for each in model.graph.input[0].type.tensor_type.shape.dim] == [
        "batch", *subject.network.shapes[0],
    ]  # fmt: skip
    weights = {each.name for each in model.graph.initializer}
    assert {"conv1.weight", "dense1.weight"} <= weights
    assert "conv1.bias" not in weights, "that layer has none"


@pytest.mark.slow
@pytest.mark.parametrize("name", each_build())
def test_networks_of_every_space_mean_the_same(name: str) -> None:
    pytest.importorskip("onnxruntime", reason="the extra onnx is not installed: its runtime takes 80 MB")
    space: Any = SPACES.create(name, short(name))
    for seed in range(3):
        checks = make(subject_of(space.decode(space.sample(Random(seed))))).checks
        assert str(checks["runtime"]).startswith("onnxruntime")


def test_a_file_that_computes_something_else_is_not_written(monkeypatch: pytest.MonkeyPatch, engine: Any) -> None:
    found = (np.ones((4, 10)), "runtime 1")
    monkeypatch.setattr("engine.results.export.as_onnx._run", lambda content, name, inputs: found)
    complaint = engine("export", "8:16:24:32:64", "--space=nats-sss", "--format=onnx").complaint
    assert complaint.startswith("runtime 1 computes outputs from the ONNX file of Network ")
    assert not Path("exported").exists()


def test_without_onnx_the_extra_is_named(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    complaint = engine("export", "8:16:24:32:64", "--space=nats-sss", "--out=a.onnx").complaint
    assert complaint == "ONNX files need onnx, which is not installed; pip install 'nas-engine[onnx]'"


def test_what_was_found_is_said(engine: Any) -> None:
    export = ("export", "8:8:8:8:8", "--space=nats-sss", "--input-shape=8x8x3", "--out=small.onnx")
    (entry,) = json.loads(engine(*export, "--json").out)["exports"]
    assert entry["files"] == [{"path": "small.onnx", "bytes": Path("small.onnx").stat().st_size}]
    assert entry["checks"]["largest_difference"] < 1e-5
    lines = engine(*export, "--force").out.splitlines()
    assert lines[1].split() == ["small.onnx", f"{Path('small.onnx').stat().st_size:,}"]
    assert f"weights untrained, seed 0; {entry['checks']['runtime']}, largest difference " in lines[2]
