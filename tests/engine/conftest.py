"""What tests of the engine share: the command line in this process and in others, and records to compare."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from inspect import signature
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from engine.cli import main
from engine.strategies import STRATEGIES

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
        if process.poll() is None:
            process.kill()
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
def small_run() -> Callable[[str], list[str]]:
    """Arguments of a run of sixty records in which a strategy does more than begin."""

    def arguments(strategy: str) -> list[str]:
        options = ["--population=10", "--tournament=3"]
        taken = signature(STRATEGIES.load(strategy)).parameters  # type: ignore[arg-type]
        chosen = [option for option in options if option[2:].partition("=")[0] in taken]
        return ["run", f"--strategy={strategy}", "--budget=60", "--open=4", "--seed=3", *chosen]

    return arguments
