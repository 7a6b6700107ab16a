"""`engine export` of networks that forecast: the same numbers in torch's own layers and in ONNX's."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine.config import RunConfig
from engine.results.export import as_onnx, as_torch
from engine.results.export.source import module_of
from engine.results.export.subject import Subject
from fitness.series import SeriesSource, load_series
from fitness.training.checkpoint import save_weights
from fitness.training.fit import lower_seeded
from spaces import SPACES
from spaces.layers import Dense, Flatten, Recurrent, Sigmoid, Tanh
from spaces.network import Network, NetworkBuilder
from spaces.space import Genotype, Space


def stacked(*kinds: Any, steps: int = 6, features: int = 3, outputs: int = 2) -> Network:
    """Layers of some kinds, then a dense one; widths that no other number is equal to."""
    net = NetworkBuilder((steps, features))
    x = net.input
    for place, kind in enumerate(kinds):
        x = net.add(Recurrent(kind, 5 + 2 * place, place < len(kinds) - 1), x)
    return net.build(net.add(Tanh(), net.add(Dense(outputs), x)))


def subject_of(network: Network, series: str | None = None, name: str = "network_1") -> Subject:
    source = SeriesSource(series) if series else None
    return Subject(name, "A network", RunConfig(), Genotype({}), network, {}, Path(), 0, series=source)


def outputs_of(subject: Subject, windows: torch.Tensor) -> np.ndarray:
    with torch.no_grad():
        found: np.ndarray = subject.module(windows).numpy()
    return found


@pytest.fixture
def load(tmp_path: Path) -> str:
    """A series of two columns, one of them foretold."""
    rows = [f"{20 + 5 * np.sin(row):.4f},{3 * row}" for row in range(60)]
    (tmp_path / "load.csv").write_text("\n".join(["T (degC),load", *rows]) + "\n")
    return f'csv(column="T (degC)"+load,target=load,scale=standard):{tmp_path / "load.csv"}'


# --- PyTorch ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kinds", [("lstm",), ("gru",), ("rnn",), ("lstm", "gru", "rnn", "lstm")])
def test_torchs_own_layers_compute_the_same_numbers(kinds: tuple[str, ...]) -> None:
    subject = subject_of(stacked(*kinds))
    module = as_torch.written(subject)[1]
    windows = torch.randn(3, 6, 3, generator=torch.Generator().manual_seed(1))
    assert np.array_equal(module(windows).detach().numpy(), outputs_of(subject, windows))
    state = module.state_dict()
    for name in {key.split(".")[0] for key in state} - {"dense1"}:
        second = state[f"{name}.bias_hh_l0"]
        assert bool(second.any()) == name.startswith("gru"), "the others have one bias, torch's second is zero"


def test_a_forward_of_a_forecast_reads_like_one() -> None:
    net = NetworkBuilder((6, 3))
    x = net.add(Recurrent("lstm", 4, True), net.input)
    x = net.add(Recurrent("gru", 5), net.add(Recurrent("lstm", 4, True), x))
    text = module_of(net.build(net.add(Sigmoid(), net.add(Dense(2), x))), "Net", ["A network."]).text
    assert '"""Map windows (N, 6, 3) to forecasts (N, 2)."""' in text
    built, function = (
        next(node for node in ast.walk(ast.parse(text)) if getattr(node, "name", "") == name)
        for name in ("__init__", "forward")
    )
    assert isinstance(built, ast.FunctionDef)
    assert isinstance(function, ast.FunctionDef)
    assert [ast.unparse(line) for line in built.body[2:]] == [
        "self.lstm1 = nn.LSTM(3, 4, batch_first=True)",
        "self.lstm2 = nn.LSTM(4, 4, batch_first=True)",
        "self.gru1 = nn.GRU(4, 5, batch_first=True)",
        "self.dense1 = nn.Linear(5, 2)",
    ]
    assert [ast.unparse(line) for line in function.body[1:]] == [
        "x = self.lstm1(windows)[0]",
        "x = self.lstm2(x)[0]",
        "x = self.gru1(x)[0][:, -1]",
        "return torch.sigmoid(self.dense1(x))",
    ]


_ALONE = """
import sys, torch
for name in ("engine", "fitness", "spaces"):
    sys.modules[name] = None  # importing it is an error
import network_1
torch.save(network_1.load()(torch.load("windows.pt")), "outputs.pt")
"""


@pytest.mark.slow
def test_the_file_needs_torch_alone(tmp_path: Path) -> None:
    subject = subject_of(stacked("lstm", "gru"))
    for ending, content in as_torch.make(subject).files.items():
        (tmp_path / f"network_1{ending}").write_bytes(content)
    windows = torch.randn(3, 6, 3)
    torch.save(windows, tmp_path / "windows.pt")
    subprocess.run([sys.executable, "-c", _ALONE], cwd=tmp_path, check=True, timeout=120)
    assert np.array_equal(torch.load(tmp_path / "outputs.pt").detach().numpy(), outputs_of(subject, windows))
    for command in (["check", "--select=E,F,I,B,UP,D,N,RUF", "--ignore=D107,D203,D213"], ["format", "--check"]):
        subprocess.run(["ruff", command[0], "--isolated", "--no-cache", *command[1:], str(tmp_path)], check=True)


# --- ONNX -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kinds", [("lstm",), ("gru",), ("rnn",), ("gru", "lstm", "rnn")])
def test_onnxs_own_operators_mean_the_same_for_any_number_of_windows(kinds: tuple[str, ...]) -> None:
    onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
    from onnx.reference import ReferenceEvaluator

    subject = subject_of(stacked(*kinds))
    made = as_onnx.make(subject)
    model = onnx.load_from_string(made.files[".onnx"])
    evaluator = ReferenceEvaluator(model)
    for count in (1, 4):
        windows = torch.randn(count, 6, 3, generator=torch.Generator().manual_seed(count))
        found = evaluator.run(["forecasts"], {"windows": windows.numpy()})[0]
        np.testing.assert_allclose(found, outputs_of(subject, windows), rtol=1e-5, atol=1e-6)
    operators = [node.op_type for node in model.graph.node]
    assert [operator for operator in operators if operator in ("LSTM", "GRU", "RNN")] == [k.upper() for k in kinds]
    assert operators.count("Transpose") == 1, "from layer to layer steps stay before windows"
    shape = [each.dim_param or each.dim_value for each in model.graph.input[0].type.tensor_type.shape.dim]
    assert shape == ["batch", 6, 3]


def test_a_sequence_that_something_else_reads_has_windows_before_steps_again() -> None:
    onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
    from onnx.reference import ReferenceEvaluator

    net = NetworkBuilder((4, 3))
    every = net.add(Recurrent("lstm", 5, True), net.input)
    network = net.build(net.add(Dense(2), net.add(Flatten(), every)))
    subject = subject_of(network)
    model = onnx.load_from_string(as_onnx.make(subject).files[".onnx"])
    windows = torch.randn(2, 4, 3)
    found = ReferenceEvaluator(model).run(None, {"windows": windows.numpy()})[0]
    np.testing.assert_allclose(found, outputs_of(subject, windows), rtol=1e-5, atol=1e-6)


# --- the command ---------------------------------------------------------------------------------


@pytest.fixture
def run(engine: Any, load: str, tmp_path: Path) -> Path:
    """A run that forecasts one of two columns."""
    bounds = "max_layers=2,max_units=4,max_look_back=5,cell=any"
    flags = ("--objective=params:min", "--objective=step_macs:max", "--strategy=random", "--budget=6", "--quiet")
    assert engine("run", f"--space=rnn({bounds})", f"--data={load}", *flags, "--out=run").code == 0
    return tmp_path / "run"


def test_a_network_of_a_run_is_compared_on_the_windows_of_its_series(
    engine: Any, run: Path, records_of: Any
) -> None:
    answer = engine("export", "run:3", "--format=torch")
    assert (
        "network_3: weights untrained, seed 0; the module computes the same numbers as the network on "
        in answer.out
    )
    look_back = records_of(run)[3]["genotype"]["look_back"]
    assert (
        f"\n  input: {look_back} rows of T (degC), load, oldest first; output: the row that follows\n" in answer.out
    )
    found = json.loads(engine("export", "run:3", "--format=json", "--json").out)["exports"][0]
    told = json.loads((run / "exported" / "network_3.json").read_text())
    assert (told["look_back"], told["features"], told["outputs"]) == (look_back, 2, 1)
    assert told["series"] == found["checks"]["series"]
    assert told["figures"]["step_macs"]["value"] == records_of(run)[3]["scores"]["step_macs"]
    assert told["figures"]["state_bytes"]["value"] > 0
    assert not {"input_shape", "classes"} & set(told), "which are of images"


def trained(run: Path, series: str) -> Any:
    """What a training of network 3 on a series leaves behind; returns the module."""
    line = json.loads((run / "records.jsonl").read_text().splitlines()[3])
    (run / "trained.jsonl").write_text(json.dumps(line | {"number": 0, "parent": 3}) + "\n")
    folder = run / "trained" / "0"
    folder.mkdir(parents=True)
    (folder / "recipe.json").write_text(json.dumps({"plan": {"data": series}, "recipe": {}}))
    space = SPACES.create("rnn", {"cell": "any"}, {"features": 2, "outputs": 1})
    assert isinstance(space, Space)
    module = lower_seeded(space.decode(Genotype(line["genotype"])), 7)
    save_weights(folder / "weights.npz", module)
    return module


def test_trained_weights_come_with_the_series_they_were_trained_on(engine: Any, run: Path, load: str) -> None:
    module = trained(run, load.replace("standard", "unit"))
    (entry,) = json.loads(engine("export", "run:3", "--format=torch", "--json").out)["exports"]
    assert entry["weights"] == "trained, run/trained/0/weights.npz"
    assert entry["checks"]["series"]["scale"] == "unit", "the run's own is standard"
    state = torch.load(run / "exported" / "network_3.pt", weights_only=True)
    (dense,) = [layer for layer in module.layers if isinstance(layer, torch.nn.Linear)]
    assert torch.equal(state["dense1.weight"], dense.weight)


def test_a_network_of_no_run_is_compared_on_a_series_that_is_named(engine: Any, load: str) -> None:
    text = '{"look_back":5,"layers":1,"l0.units":3}'
    named = engine("export", text, "--space=rnn", f"--data={load}", "--out=a.pt").out
    assert "6 rows" not in named
    assert "undo on outputs: load = output[0] * " in named
    assert "on 4 windows of noise" in engine("export", text, "--space=rnn(features=2)", "--out=b.pt").out


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (
            ["--format=tflite"],
            "has recurrent layers, which are not written as .tflite; expected --format onnx or torch",
        ),
        (["--format=torch", "--data=sine"], "sine has 1 input columns and the networks of space 'rnn' 2; expected"),
        (["--format=torch", "--data=digits"], "format torch needs no images; leave out --data"),
        (["--format=torch", "--scale=unit"], "--scale is of a time series and --data is 'auto'; expected"),
        (["--format=torch", "--data=csv:none.csv"], "none.csv"),
    ],
)
def test_what_cannot_be_written_is_said_in_one_line(
    arguments: list[str], complaint: str, engine: Any, run: Path
) -> None:
    assert complaint in engine("export", "run:3", *arguments).complaint
    assert not (run / "exported").exists()


def test_trained_weights_are_not_told_of_another_scaling(engine: Any, run: Path, load: str, tmp_path: Path) -> None:
    trained(run, load)
    (tmp_path / "load.csv").rename(tmp_path / "moved.csv")
    assert "load.csv" in engine("export", "run:3", "--format=torch").complaint
    moved = load.replace("load.csv", "moved.csv")
    assert "weights trained" in engine("export", "run:3", "--format=torch", f"--data={moved}").out
    other = ("export", "run:3", "--format=torch", "--force", f"--data={moved.replace('standard', 'unit')}")
    assert "is not what network 3 was trained on, csv(" in engine(*other).complaint
    assert "weights untrained, seed 0" in engine(*other, "--seed=0").out


# --- the series -------------------------------------------------------------------------------------


def test_what_is_said_of_a_series_scales_its_rows_and_undoes_it(load: str, tmp_path: Path) -> None:
    """Rows of the file through the printed shift and factor are the windows; forecasts come back likewise."""
    subject = subject_of(stacked("gru", features=2, outputs=1), load)
    made = as_torch.make(subject)
    told: Any = made.checks["series"]
    assert [column["name"] for column in told["inputs"]] == ["T (degC)", "load"]
    assert [column["name"] for column in told["outputs"]] == ["load"]
    rows = np.loadtxt(tmp_path / "load.csv", delimiter=",", skiprows=1)
    scaled = (rows - [c["shift"] for c in told["inputs"]]) / [c["factor"] for c in told["inputs"]]
    series = load_series(load)
    windows = series.windows(6, "all")
    np.testing.assert_allclose(scaled[:6], windows.inputs[0], rtol=1e-6)
    (column,) = told["outputs"]
    assert windows.targets[0, 0] * column["factor"] + column["shift"] == pytest.approx(rows[6, 1], rel=1e-5)
    assert "on 6 windows of csv(" in made.said, "those of the test part"
    assert f"undo on outputs: load = output[0] * {column['factor']:.9g} + {column['shift']:.9g}" in made.said
    documentation = ast.get_docstring(ast.parse(made.files[".py"].decode()))
    assert documentation is not None
    assert "(load - " in " ".join(documentation.split())


def test_json_and_onnx_tell_of_the_series(load: str) -> None:
    onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
    subject = subject_of(stacked("rnn", features=2, outputs=1), load)
    made = as_onnx.make(subject)
    (property_,) = onnx.load_from_string(made.files[".onnx"]).metadata_props
    assert property_.key == "series"
    assert json.loads(property_.value) == made.checks["series"]


def test_columns_cannot_become_code(tmp_path: Path) -> None:
    rows = "\n".join(f"{row % 7},{row % 5}" for row in range(40))
    (tmp_path / "a.csv").write_text('x""" + 1/0 + """,y\\N\n' + rows + "\n")
    subject = subject_of(stacked("rnn", features=2, outputs=2), f"csv:{tmp_path / 'a.csv'}")
    documentation = ast.get_docstring(ast.parse(as_torch.make(subject).files[".py"].decode()))
    assert documentation is not None
    assert 'x""" + 1/0 + """' in documentation
    assert "y\\N" in documentation
