"""`engine export`: the same networks as in the records, in files that work without this project."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch

from engine.results.export.source import module_of
from engine.results.export.weights import named_weights
from fitness.training.checkpoint import save_weights
from fitness.training.fit import lower_seeded
from spaces import SPACES
from spaces.layers import Add, Conv, Dense, Flatten, Pool, ReLU
from spaces.network import Network, NetworkBuilder
from tests.engine.operations import every_operation
from tests.small import each_build, short

PROBLEM = {"input_shape": (16, 16, 1), "num_classes": 4}


@pytest.fixture(scope="module")
def made_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on small images, made once."""
    from engine.cli import main

    folder = tmp_path_factory.mktemp("made") / "run"
    problem = ("--input-shape=16x16x1", "--classes=4", "--target=none", "--bound=flash_bytes<=200000")
    assert main(["run", *problem, "--strategy=random", "--budget=40", f"--out={folder}", "--quiet"]) == 0
    return folder


@pytest.fixture
def run(made_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A copy of it as `run` in the test's own folder."""
    import shutil

    capsys.readouterr()
    return Path(shutil.copytree(made_run, tmp_path / "run"))


def lowered(network: Network, seed: int = 0) -> Any:
    return lower_seeded(network, seed).eval()


def written(network: Network, reference: Any) -> torch.nn.Module:
    """The module that is written of a network, with the weights of its lowered one."""
    text = module_of(network, "Written", ["A network."])
    scope: dict[str, Any] = {"__name__": "written", "__file__": "written.py"}
    exec(compile(text.text, "written.py", "exec"), scope)
    module: torch.nn.Module = scope["Written"]()
    state = {
        f"{name}.{key}": value
        for name, node in text.layers.items()
        for key, value in named_weights(network.ops[node], reference.layers[node]).items()
    }
    module.load_state_dict(state)
    return module.eval()


# --- JSON -------------------------------------------------------------------------------------------


def test_json_has_the_layers_figures_and_scores_of_the_record(engine: Any, run: Path, records_of: Any) -> None:
    assert engine("export", "run", "--pick", "best", "--format=json").code == 0
    (path,) = (run / "exported").iterdir()
    found = json.loads(path.read_text())
    record = records_of(run)[int(path.stem.partition("_")[2])]
    assert found["genotype"] == record["genotype"]
    assert found["key"] == record["key"]
    assert found["scores"] == record["scores"]
    network = Network.from_json(found["layers"])
    assert network.key == record["key"]
    assert found["shapes"] == [list(shape) for shape in network.shapes]
    assert found["figures"]["flash_bytes"] == {"value": record["scores"]["flash_bytes"], "unit": "bytes"}


# --- PyTorch ----------------------------------------------------------------------------------------

_ALONE = """
import sys, torch
for name in ("engine", "fitness", "spaces"):
    sys.modules[name] = None  # importing it is an error
sys.path.insert(0, sys.argv[1])
module = __import__(sys.argv[2]).load()
torch.save(module(torch.load(sys.argv[3])), sys.argv[4])
"""


def test_the_written_module_gives_the_outputs_of_the_network_without_this_project(
    engine: Any, run: Path, tmp_path: Path, records_of: Any
) -> None:
    answer = engine("export", "run", "--pick", "best", "--format=torch", "--seed=3", "--json")
    (entry,) = json.loads(answer.out)["exports"]
    assert entry["weights"] == "untrained, seed 3"
    assert entry["checks"] == {"inputs": "4 images of noise", "largest_difference": 0.0}
    number = int(entry["name"].partition("_")[2])
    space = SPACES.create("munas", {}, PROBLEM)
    network = space.decode(space.parse(json.dumps(records_of(run)[number]["genotype"])))  # type: ignore[attr-defined]
    assert network.key == entry["key"]
    images = torch.randn(3, 1, 16, 16)
    torch.save(images, tmp_path / "images.pt")
    program = [sys.executable, "-I", "-c", _ALONE, "run/exported", entry["name"], "images.pt", "outputs.pt"]
    subprocess.run(program, cwd=tmp_path, check=True, timeout=120)
    assert torch.equal(torch.load(tmp_path / "outputs.pt"), lowered(network, 3)(images))
    state = torch.load(run / "exported" / f"{entry['name']}.pt", weights_only=True)
    assert all(type(value) is torch.Tensor for value in state.values())


@pytest.mark.parametrize("name", each_build())
def test_written_modules_compute_what_networks_compute_on_every_space(name: str, tmp_path: Path) -> None:
    space: Any = SPACES.create(name, short(name))
    for seed in range(2):
        network = space.decode(space.sample(Random(seed)))
        reference = lowered(network, seed)
        torch.manual_seed(seed)
        for module in reference.modules():
            if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
                module.running_mean.normal_()  # type: ignore[union-attr,operator]
                module.running_var.uniform_(0.5, 2)  # type: ignore[union-attr,operator]
        images = torch.randn(2, *network.shapes[0])
        assert torch.equal(written(network, reference)(images), reference(images))
        (tmp_path / f"network_{seed}.py").write_text(module_of(network, "Written", ["One.", "More."]).text)
    for command in (["check", "--select=E,F,I,B,UP,D,N,RUF", "--ignore=D107,D203,D213"], ["format", "--check"]):
        subprocess.run(["ruff", command[0], "--isolated", "--no-cache", *command[1:], str(tmp_path)], check=True)


def test_written_modules_know_every_operation() -> None:
    network = every_operation()
    reference = lowered(network)
    images = torch.randn(2, 3, 11, 9)
    module = written(network, reference)
    assert torch.equal(module(images), reference(images))
    convolutions = sum(isinstance(layer, torch.nn.Conv2d) for layer in module.modules())
    assert convolutions == 1, "what nothing depends on is left out"


def test_a_forward_reads_like_one(engine: Any, tmp_path: Path) -> None:
    """Layers by name, activations said where they are applied, one line for what belongs together."""
    net = NetworkBuilder((3, 8, 8))
    x = net.add(ReLU(), net.add(Conv(4, (3, 3), (1, 1), (1, 1)), net.input))
    y = net.add(ReLU(), net.add(Conv(4, (3, 3), (1, 1), (1, 1)), x))
    pooled = net.add(Pool("max", (2, 2), (2, 2)), net.add(ReLU(), net.add(Add(), x, y)))
    text = module_of(net.build(net.add(Dense(10), net.add(Flatten(), pooled))), "Net", ["A network."]).text
    function = next(node for node in ast.walk(ast.parse(text)) if getattr(node, "name", "") == "forward")
    assert isinstance(function, ast.FunctionDef)
    assert [ast.unparse(line) for line in function.body[1:]] == [
        "x = functional.relu(self.conv1(images))",
        "y = functional.relu(self.conv2(x))",
        "x = functional.relu(x + y)",
        "x = self.pool1(x)",
        "return self.dense1(x.flatten(1))",
    ]


# --- weights ----------------------------------------------------------------------------------------


def train(run: Path, number: int, seed: int, status: str = "ok") -> Any:
    """What a training of a candidate leaves behind: its line and its weights; returns the module."""
    line = json.loads((run / "records.jsonl").read_text().splitlines()[number])
    before = (run / "trained.jsonl").read_text() if (run / "trained.jsonl").exists() else ""
    place = before.count("\n")
    line |= {"number": place, "parent": number, "status": status, "cached": False}
    line["scores"] |= {"test_accuracy": 80.0 + seed}
    (run / "trained.jsonl").write_text(before + json.dumps(line) + "\n")
    space: Any = SPACES.create("munas", {}, PROBLEM)
    module = lowered(space.decode(space.parse(json.dumps(line["genotype"]))), seed)
    (run / "trained" / str(place)).mkdir(parents=True)
    save_weights(run / "trained" / str(place) / "weights.npz", module)
    return module


def test_trained_weights_are_taken_where_there_are_any(engine: Any, run: Path) -> None:
    network = json.loads(engine("export", "run", "--pick=best", "--format=torch", "--json").out)["exports"][0]
    number = int(network["name"].partition("_")[2])
    assert network["weights"] == "untrained, seed 0"
    train(run, number, 6)
    trained = train(run, number, 7)
    train(run, number, 8, "failed")
    answer = engine("export", "run", "--pick", number, "--format=torch", "--force")
    assert f"network_{number}: weights trained, run/trained/1/weights.npz; " in answer.out
    state = torch.load(run / "exported" / f"network_{number}.pt", weights_only=True)
    weights = [value for key, value in trained.state_dict().items() if not key.endswith("num_batches_tracked")]
    saved = [value for key, value in state.items() if not key.endswith("num_batches_tracked")]
    assert all(torch.equal(a, b) for a, b in zip(weights, saved, strict=True))
    assert engine("export", "run", "--pick", number, "--format=json").code == 0
    scores = json.loads((run / "exported" / f"network_{number}.json").read_text())["scores"]
    assert scores["test_accuracy"] == 87.0
    fresh = engine("export", "run", "--pick", number, "--format=torch", "--seed=0", "--out=fresh")
    assert "weights untrained, seed 0" in fresh.out
    (run / "trained" / "1" / "weights.npz").write_bytes(b"PK")
    damaged = engine("export", "run", "--pick", number, "--format=torch", "--force").complaint
    assert damaged.startswith("run/trained/1/weights.npz cannot be used: ")


# --- what is asked for ------------------------------------------------------------------------------


def test_several_picks_are_several_files(engine: Any, run: Path) -> None:
    answer = json.loads(engine("export", "run", "--pick", "knee", "best", "--top=3", "--format=json", "--json").out)
    paths = [file["path"] for each in answer["exports"] for file in each["files"]]
    assert len(paths) == len(set(paths)) == 3, "knee and best in the first objective are among three of a front"
    for each in answer["exports"]:
        assert each["files"] == [
            {"path": f"run/exported/{each['name']}.json", "bytes": Path(each["files"][0]["path"]).stat().st_size}
        ]
    knee = engine("export", "run", "--pick=knee", "--format=json", "--out=new/folder").out.splitlines()
    assert knee[1].startswith(f"new/folder/{answer['exports'][0]['name']}.json ")


@pytest.mark.parametrize(
    ("architecture", "space"),
    [("|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|none~1|avg_pool_3x3~2|", "nats-tss"),
     ("8:16:24:32:64", "nats-sss")],
)  # fmt: skip
def test_an_architecture_of_no_run_is_exported(architecture: str, space: str, engine: Any) -> None:
    answer = engine("export", architecture, "--space", space, "--format=json", "--json")
    (entry,) = json.loads(answer.out)["exports"]
    found = json.loads(Path(entry["files"][0]["path"]).read_text())
    assert Network.from_json(found["layers"]).key == entry["key"]
    again = engine("export", json.dumps(found["genotype"]), "--space", space, "--out=again.json", "--json")
    assert json.loads(again.out)["exports"][0]["key"] == entry["key"]
    assert Path("again.json").exists()


def test_a_record_is_named_as_by_score(engine: Any, run: Path) -> None:
    by_pick = json.loads(engine("export", "run", "--pick=best", "--out=a.json", "--json").out)["exports"][0]
    by_name = json.loads(engine("export", "run:best", "--out=b.json", "--json").out)["exports"][0]
    assert by_pick["key"] == by_name["key"]
    assert Path("a.json").read_bytes() == Path("b.json").read_bytes()


def test_files_that_are_there_are_kept(engine: Any, run: Path) -> None:
    Path("mine.py").write_text("mine")
    export = ("export", "run", "--pick=best", "--out=mine.pt")
    assert engine(*export).complaint == "mine.py is there already; add --force to write it anew"
    assert not Path("mine.pt").exists()
    assert engine(*export, "--force").code == 0
    assert "class Network" in Path("mine.py").read_text()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["run", "--format=json"], "no candidate is picked; expected knee, best, a record's number"),
        (["run", "--pick=best"], "no format is asked for; expected --format torch|"),
        (["run", "--pick=best", "--out=best.xyz"], "no format is asked for; expected --format torch|"),
        (["run", "--pick=best", "--format=pickle"], "unknown format 'pickle'; "),
        (["run", "--pick=99", "--format=json"], "has no record 99; expected one of 0..39"),
        (["run", "--pick", "knee", "best", "--out=one.json"], "2 networks do not go into one file one.json"),
        (["run", "--pick=best", "--format=json", "--out=run/study.json"], "run/study.json is there already"),
        (["run", "--pick=best", "--format=json", "--out=run/records.jsonl"], "records.jsonl is a file; expected a"),
        (["run", "--pick=best", "--format=json", "--space=nats-tss"], "--space changes nothing about the networks"),
        (["run:3", "--pick=best", "--format=json"], "run:3 names a record, and so do --pick and --top"),
        (["8:16:24:32:64", "--space=nats-sss", "--pick=best", "--format=json"], "is not a run folder"),
        (["8:16:24", "--space=nats-sss", "--format=json"], "8:16:24"),
        (["nowhere", "--format=json"], "nowhere"),
        (["run", "--pick=best", "--format=torch", "--seed=-1"], "seed is -1; expected"),
        (["run", "--pick=best", "--format=json", "--seed=7"], "format json has no weights that --seed could draw"),
        (
            ["run", "--pick=best", "--format=torch", "--out=net.onnx"],
            "net.onnx is a name for format onnx; expected a folder, or a name ending in .pt or .py",
        ),
        (
            ["run", "--pick=best", "--format=json", "--out=a.py"],
            "a.py is a name for format torch; expected a folder",
        ),
        (["run", "--pick=knee", "--objective=naswot", "--format=json"], "unknown recorded score 'naswot'"),
    ],
)
def test_wrong_requests_get_one_clear_line(arguments: list[str], complaint: str, engine: Any, run: Path) -> None:
    assert complaint in engine("export", *arguments).complaint
