"""What tests of the engine share: the command line in this process and in others, and records to compare."""

from __future__ import annotations

import importlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from engine.cli import main
from engine.strategies import STRATEGIES
from spaces.registry import takes
from tests.small import space_for

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"


class Answer(NamedTuple):
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The one line of a command that was refused."""
        assert self.code in (1, 2), (self.code, self.err)
        assert self.out == ""
        assert self.err.startswith("engine: error: ")
        assert self.err.count("\n") == 1
        assert self.err.endswith("\n")
        return self.err.removeprefix("engine: error: ").rstrip("\n")


@pytest.fixture
def engine(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., Answer]:
    """The command line, called in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> Answer:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        return Answer(code, *capsys.readouterr())

    return call


@pytest.fixture
def spawn(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a Python program, or the command line itself, in a session of its own; what is left over is ended."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: object, program: Path | None = None, **changes: Any) -> subprocess.Popen[str]:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), **changes.pop("environment", {})}
        what = [str(program)] if program else ["-m", "engine.cli"]
        settings: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "cwd": tmp_path} | changes
        process = subprocess.Popen(
            [sys.executable, *what, *map(str, arguments)],
            env=environment,
            text=True,
            start_new_session=True,
            **settings,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.fixture
def program(spawn: Callable[..., subprocess.Popen[str]]) -> Callable[..., Answer]:
    """The command line as a program of its own, run to its end."""

    def call(*arguments: object, **changes: Any) -> Answer:
        process = spawn(*arguments, **changes)
        out, err = process.communicate(timeout=300)
        return Answer(process.returncode, out or "", err or "")

    return call


@pytest.fixture
def lines_of() -> Callable[[Path], list[bytes]]:
    """The lines of a run's records, without the time each took."""

    def lines(run: Path) -> list[bytes]:
        text = (run / "records.jsonl").read_bytes()
        assert not text or text.endswith(b"\n")
        return [re.sub(rb'"seconds":[^,}]*}$', b"}", line) for line in text.splitlines()]

    return lines


@pytest.fixture
def records_of() -> Callable[[Path], list[dict[str, Any]]]:
    """The records of a run as JSON, read without the engine."""
    return lambda run: [json.loads(line) for line in (run / "records.jsonl").read_text().splitlines()]


@pytest.fixture
def tss_table() -> Path:
    """The file of the NATS-Bench topology space's table."""
    path = DATA / "nats_tss.csv"
    if not path.exists():
        pytest.skip(f"no {path}")
    return path


@pytest.fixture(scope="session")
def small_run() -> Callable[..., list[str]]:
    """Arguments of a run of sixty records, or of all there are, in which a strategy does more than begin.

    Of the space given first, if the strategy takes it.
    """

    def arguments(strategy: str, *more: str, space: str = "nats-sss") -> list[str]:
        options = {"population": "10", "tournament": "3", "rank": "trace", "predictor": "knn"}
        factory = STRATEGIES.load(strategy)
        chosen = [f"--{name}={value}" for name, value in options.items() if takes(factory, name)]
        problem = [f"--space={space_for(strategy, space, 'nats-sss')}", "--bound=params<=250000"]
        cheap = [
            option for option in ("trees=5", "inner=100", "candidates=60") if takes(factory, option.split("=")[0])
        ]
        named = f"{strategy}({','.join(cheap)})" if cheap else strategy
        return ["run", f"--strategy={named}", *problem, "--budget=60", "--open=4", "--seed=3", *chosen, *more]

    return arguments


@pytest.fixture(scope="session")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> Callable[[list[str]], Path]:
    """The run of a command that nothing interrupts, made once."""

    @cache
    def run(*arguments: str) -> Path:
        folder = tmp_path_factory.mktemp("whole") / "run"
        assert main([*arguments, "--quiet", f"--out={folder}"]) == 0
        return folder

    return lambda arguments: run(*arguments)


# What another distribution may bring: a space of 4 x 3 x 2 networks, scores, and a strategy.
PLUGIN = '''
"""Goes through a space in the order of its choices."""

import os

from engine.records import Candidate
from engine.strategies.base import Exhausted
from spaces.layers import Conv, Dense, Flatten, ReLU
from spaces.network import NetworkBuilder
from spaces.space import Choice, Flag, Integer, Space


class ToySpace(Space):
    """One convolution."""

    name, size = "toy", 24

    def build(self, choose):
        net = NetworkBuilder(self.channels_first)
        width = choose("width", Integer(1, 4))
        kernel = {"small": 1, "middle": 3, "large": 5}[choose("kernel", Choice("small", "middle", "large"))]
        x = net.add(Conv(width, (kernel, kernel)), net.input)
        if choose("relu", Flag(0.5)):
            x = net.add(ReLU(), x)
        return net.build(net.add(Dense(self.num_classes), net.add(Flatten(), x)))


class Width:
    """Channels of the first layer."""

    name, direction, unit, needs = "width", "max", "channels", "network"

    def __init__(self, power: int = 1):
        self.power = power
        self.name = "width" if power == 1 else f"width(power={power})"

    def __call__(self, network):
        return network.shapes[1][0] ** self.power


class Deadly(Width):
    """Ends the process for networks of three channels."""

    name = "deadly"

    def __init__(self):
        pass

    def __call__(self, network):
        if network.shapes[1][0] == 3:
            os._exit(7)
        return network.shapes[1][0]


class Moody:
    """Goes wrong in a way of its own for every width."""

    name, direction, unit, needs = "moody", "max", "", "network"

    def __call__(self, network):
        width = network.shapes[1][0]
        if width == 1:
            raise ValueError("one is\\n  not enough")
        return {2: float("nan"), 3: None, 4: 10**400}[width]


class Upwards(Width):
    name, direction = "upwards", "up"

    def __init__(self):
        pass


class InOrder:
    max_objectives = None

    def __init__(self, space, objectives, seed, population: int = 3):
        self.asked, self.space = 0, space

    def ask(self):
        genotypes = list(self.space.enumerate())
        if self.asked == len(genotypes):
            raise Exhausted
        self.asked += 1
        return Candidate(self.asked - 1, genotypes[self.asked - 1])

    def tell(self, record):
        pass

    def adopt(self, candidate):
        self.asked += 1
'''

ENTRY_POINTS = """
[nas_engine.spaces]
toy = toy_plugin:ToySpace

[nas_engine.fitness]
width = toy_plugin:Width
deadly = toy_plugin:Deadly
moody = toy_plugin:Moody
upwards = toy_plugin:Upwards
absent = toy_plugin:Absent
trace = toy_plugin:Width

[nas_engine.strategies]
in-order = toy_plugin:InOrder
gone = no_such_module:Gone
"""


@pytest.fixture
def plugin(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The module of an installed distribution that adds a space, scores and strategies by entry points."""
    site = tmp_path_factory.mktemp("site")
    (site / "toy_plugin.py").write_text(PLUGIN)
    info = site / "toy_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    monkeypatch.syspath_prepend(str(site))
    yield importlib.import_module("toy_plugin")
    sys.modules.pop("toy_plugin")


@pytest.fixture
def run(engine: Any, tmp_path: Path) -> Path:
    """A finished run of thirty records."""
    assert (
        engine(
            "run",
            "--strategy=random",
            "--fitness=trace",
            "--target=none",
            "--quiet",
            "--space=nats-sss",
            "--budget=30",
            "--out=run",
        ).code
        == 0
    )
    return tmp_path / "run"
