"""A run survives being killed at any moment: killed and resumed, its records are those of an uninterrupted one."""

from __future__ import annotations

import random
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.strategies import STRATEGIES

Spawn = Callable[..., subprocess.Popen[str]]

# The command line, writing every line in two halves: a kill between them leaves a torn line on the disk.
SLOW_WRITER = """
import os
import time

whole = os.pwrite

def in_halves(descriptor, line, offset):
    half = len(line) // 2
    written = whole(descriptor, line[:half], offset)
    time.sleep(0.003)
    return written + whole(descriptor, line[half:], offset + half)

os.pwrite = in_halves

if __name__ == "__main__":
    from engine.cli import script

    script()
"""

# Kills itself where a run folder is half made.
SUICIDE = """
import os
import signal

from engine import records, run_folder
from engine.cli import script

def die(*arguments, **settings):
    os.kill(os.getpid(), signal.SIGKILL)

{point} = die
script()
"""

# A run whose candidates take for ever, in two workers.
ENDLESS = """
import time
from pathlib import Path

from engine import search

class Endless:
    name, direction, unit, needs = "endless", "max", "", "network"

    def __call__(self, network):
        Path(f"evaluating-{id(self)}").touch()
        time.sleep(3600)

if __name__ == "__main__":
    search("nats-sss", "random", Endless(), workers=2, out="run")
"""


class Victim:
    """A run that is killed again and again, and where the kills landed."""

    def __init__(self, spawn: Spawn, folder: Path, arguments: list[str], workers: int, seed: int) -> None:
        self.driver = folder / "driver.py"
        self.driver.write_text(SLOW_WRITER)
        self.run = folder / "run"
        self.spawn, self.arguments, self.workers = spawn, arguments, workers
        self.random = random.Random(seed)
        self.counts: list[int] = []
        self.torn = 0

    def start(self) -> subprocess.Popen[str]:
        """Begin or continue, whichever the folder is ready for."""
        begun = (self.run / "study.json").exists()
        command = ["resume", self.run] if begun else [*self.arguments, f"--out={self.run}"]
        with (self.run.parent / "errors").open("w") as errors:  # a pipe would wait for workers that live on
            return self.spawn(*command, f"--workers={self.workers}", "--quiet", program=self.driver, stderr=errors)

    def end(self, process: subprocess.Popen[str], *codes: int) -> None:
        """Wait for a process that is about to end."""
        assert process.wait(timeout=300) in codes, (self.run.parent / "errors").read_text()

    def kill(self, size: float) -> None:
        """Kill as soon as the records have grown to a size, give or take two milliseconds."""
        process, file = self.start(), self.run / "records.jsonl"
        while process.poll() is None and not (file.exists() and file.stat().st_size >= size):
            time.sleep(0.0005)
        time.sleep(self.random.random() * 0.002)
        process.kill()
        self.end(process, -signal.SIGKILL, 0)
        text = file.read_bytes() if file.exists() else b""
        self.counts.append(text.count(b"\n"))
        self.torn += not text.endswith(b"\n") and bool(text)

    def finish(self) -> None:
        """Let it come to its own end."""
        self.end(self.start(), 0)


def killed_run(spawn: Spawn, folder: Path, arguments: list[str], workers: int, kills: int, whole: Path) -> Victim:
    """A run killed that many times, at random sizes of its records, then ended."""
    victim = Victim(spawn, folder, arguments, workers, seed=kills + workers)
    total = (whole / "records.jsonl").stat().st_size
    for share in sorted(victim.random.random() for _ in range(kills)):
        victim.kill(share * 0.95 * total)
    victim.finish()
    return victim


# What a kill can tear does not depend on the strategy; the slow test below kills them all.
@pytest.mark.parametrize(("strategy", "workers"), [("aging", 2), ("tpe", 1), ("prune", 1)])
def test_a_run_killed_three_times_has_the_records_of_an_uninterrupted_one(
    strategy: str, workers: int, spawn: Spawn, tmp_path: Path, small_run: Any, whole_run: Any, lines_of: Any
) -> None:
    whole = whole_run(small_run(strategy))
    victim = killed_run(spawn, tmp_path, small_run(strategy), workers, 3, whole)
    assert lines_of(victim.run) == lines_of(whole)


@pytest.mark.slow
def test_kills_land_at_many_record_counts_and_inside_a_line(
    spawn: Spawn, tmp_path: Path, small_run: Any, whole_run: Any, lines_of: Any
) -> None:
    whole = whole_run(small_run("random"))
    victim = killed_run(spawn, tmp_path, small_run("random"), 1, 12, whole)
    assert lines_of(victim.run) == lines_of(whole)
    assert len(set(victim.counts)) >= 8
    assert victim.torn >= 1


# What those with a model adopt is tried by the contracts.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("strategy", "workers", "kills"),
    [
        ("random", 1, 20),
        ("aging", 2, 20),
        *((name, 1 + place % 2, 3) for place, name in enumerate(STRATEGIES) if name not in ("predictor", "mipego")),
    ],
)
def test_a_run_killed_many_times_has_the_records_of_an_uninterrupted_one(
    strategy: str,
    workers: int,
    kills: int,
    spawn: Spawn,
    tmp_path: Path,
    small_run: Any,
    whole_run: Any,
    lines_of: Any,
) -> None:
    arguments = small_run(strategy, "--budget=120", space="munas")
    whole = whole_run(arguments)
    victim = killed_run(spawn, tmp_path, arguments, workers, kills, whole)
    assert lines_of(victim.run) == lines_of(whole)
    assert len(set(victim.counts)) >= kills // 2
    assert victim.torn >= 1 or kills < 20


@pytest.mark.parametrize(
    "point", ["records._open", "run_folder.RunFolder.save", "os.replace", "engine.study.Study.run"]
)
def test_a_run_killed_while_its_folder_is_made_needs_only_its_command_or_resume(
    point: str, program: Any, tmp_path: Path, small_run: Any, whole_run: Any, lines_of: Any
) -> None:
    whole, run = whole_run(small_run("random")), tmp_path / "run"
    driver = tmp_path / "suicide.py"
    module = point.rpartition(".")[0].partition(".Study")[0]
    imports = f"import {module}\n" if module.startswith("engine") else ""
    driver.write_text(imports + SUICIDE.format(point=point))
    arguments = [*small_run("random"), f"--out={run}"]
    assert program(*arguments, program=driver).code == -signal.SIGKILL
    assert run.is_dir()
    begun = (run / "study.json").exists()
    assert begun == (point == "engine.study.Study.run")
    answer = program(*(["resume", run] if begun else arguments))
    assert answer.code == 0, answer.err
    assert lines_of(run) == lines_of(whole)
    assert sorted(file.name for file in run.iterdir()) == ["records.jsonl", "study.json"]


def test_a_run_killed_at_any_time_of_its_start_can_be_repeated_or_resumed(
    program: Any, spawn: Spawn, tmp_path: Path, small_run: Any, whole_run: Any, lines_of: Any
) -> None:
    whole, chance = whole_run(small_run("random")), random.Random(0)
    for attempt in range(4):
        run = tmp_path / f"run-{attempt}"
        process = spawn(*small_run("random"), f"--out={run}")
        time.sleep(chance.random() * 0.4)
        process.kill()
        process.communicate()
        begun = (run / "study.json").exists()
        answer = program(*(["resume", run] if begun else [*small_run("random"), f"--out={run}"]))
        assert answer.code == 0, answer.err
        assert lines_of(run) == lines_of(whole)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc to list processes")
def test_workers_do_not_survive_their_killed_parent(spawn: Spawn, tmp_path: Path) -> None:
    driver = tmp_path / "endless.py"
    driver.write_text(ENDLESS)
    process = spawn(program=driver, stderr=subprocess.DEVNULL)
    wait_until(lambda: process.poll() is not None or len(list(tmp_path.glob("evaluating-*"))) >= 1)
    family = members(process.pid)
    assert len(family) >= 4, "the run, the fork server, and two workers"
    process.kill()  # the run alone, not its group
    process.wait()
    wait_until(lambda: not members(process.pid))


def members(session: int) -> list[int]:
    """The processes of a session that are not dead; every descendant of its leader is one."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                state, _, _, of = re.sub(r".*\)", "", (entry / "stat").read_text()).split()[:4]
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(of) == session and state != "Z":
                found.append(int(entry.name))
    return found


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for what must come; a minute is for ever."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
