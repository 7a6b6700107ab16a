"""Runs that were damaged, are in use or hit a limit of the machine: named clearly, and nothing recorded is lost."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SMALL = ("run", "--strategy=random", "--fitness=trace", "--target=none", "--quiet")


# --- run folders --------------------------------------------------------------------------------------


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.mark.parametrize("option", ["--budget=0", "--budget=-1", "--budget=1e12", "--workers=0", "--workers=x"])
def test_a_count_that_is_none_is_refused_by_resume_too(option: str, engine: Any, run: Path) -> None:
    before = contents(run)
    assert "expected a whole number" in engine("resume", "run", option).complaint
    assert contents(run) == before


@pytest.mark.parametrize("command", ["resume", "front"])
@pytest.mark.parametrize("name", ["missing", ".", "file", "x" * 5000, ""])
def test_a_folder_that_is_no_run_is_refused(command: str, name: str, engine: Any, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    answer = engine(command, name)
    assert "is not a run" in answer.complaint
    assert answer.code == 2


def test_a_folder_in_use_is_not_written_to(engine: Any, run: Path, tmp_path: Path) -> None:
    before = contents(run)
    assert "it holds a run" in engine(*SMALL, "--out=run").complaint
    assert "continue with `engine resume run`" in engine(*SMALL, "--out=run").complaint
    assert contents(run) == before
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter").write_text("dear")
    assert "it holds other files; expected a new folder" in engine(*SMALL, "--out=other").complaint
    assert contents(tmp_path / "other") == {"letter": b"dear"}


def test_a_folder_that_cannot_be_made_is_named(engine: Any, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for out in ("file", "file/run", "/proc/run", "/dev/null", "x" * 5000):
        answer = engine(*SMALL, f"--out={out}")
        assert out in answer.complaint
        assert answer.code == 1


def test_a_budget_below_what_is_recorded_is_refused(engine: Any, run: Path) -> None:
    before = contents(run)
    answer = engine("resume", "run", "--budget=29")
    assert answer.complaint == "budget 29, but run holds 30 records; expected at least 30"
    assert answer.code == 2
    assert contents(run) == before


def replaced(run: Path, number: int, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change one record of a run."""
    file = run / "records.jsonl"
    lines = file.read_text().splitlines()
    entry = json.loads(lines[number])
    changed = change(entry)
    lines[number] = changed if isinstance(changed, str) else json.dumps(entry, separators=(",", ":"))
    file.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(
    ("change", "column", "says"),
    [
        (lambda entry: "not a record", 1, "not JSON"),
        (lambda entry: "", 1, "not JSON"),
        (lambda entry: json.dumps(entry)[:-1], None, "not JSON"),
        (lambda entry: json.dumps(entry) + "}", None, "not JSON"),
        (lambda entry: "[" * 100_000, 1, "not JSON that a run writes"),
        (lambda entry: "9" * 5000, 1, "not JSON that a run writes"),
        (lambda entry: "[]", 1, "not a record; expected the fields number, parent"),
        (lambda entry: "null", 1, "not a record"),
        (lambda entry: entry.pop("scores") and None, 1, "not a record"),
        (lambda entry: entry.update(number=12), 2, "number is 12; expected 11"),
        (lambda entry: entry.update(number="11"), 2, "number is '11'; expected 11"),
        (lambda entry: entry.update(parent=11), 14, "parent is 11; expected null or the number of an earlier"),
        (lambda entry: entry.update(parent="x"), 14, "parent is 'x'"),
        (lambda entry: entry.update(status="fine"), 28, "status is 'fine'; expected ok, infeasible, failed"),
        (lambda entry: entry.update(status=[]), 28, "status is []"),
        (lambda entry: entry.update(reason=3), 42, "reason is 3; expected null or text"),
        (lambda entry: entry.update(cached=0), 56, "cached is 0; expected true or false"),
        (lambda entry: entry.update(key="x" * 32), 71, "expected 32 hexadecimal digits"),
        (lambda entry: entry.update(key=5), 71, "key is 5"),
        (lambda entry: entry.update(scores={"trace": "many"}), 112, "expected finite numbers by name"),
        (lambda entry: entry.update(scores={"trace": float("nan")}), 112, "expected finite numbers by name"),
        (lambda entry: entry.update(scores=[1]), 112, "expected finite numbers by name"),
        (lambda entry: entry.update(genotype={"c1": None}), None, "genotype is {'c1': None}"),
        (lambda entry: entry.update(genotype={"c1": []}), None, "genotype is {'c1': []}"),
        (lambda entry: entry.update(seconds="long"), None, "seconds is 'long'"),
    ],
)
def test_a_damaged_record_is_named_by_line_and_column_and_nothing_is_lost(
    change: Callable[[dict[str, Any]], Any], column: int | None, says: str, engine: Any, run: Path
) -> None:
    replaced(run, 11, change)
    damaged = (run / "records.jsonl").read_bytes()
    resume = ["resume", "run", "--budget=40", "--quiet"]
    for command in (resume, ["front", "run"], ["score", "run:11"], ["score", "run:best"]):
        answer = engine(*command)
        assert "records.jsonl line 12 column " in answer.complaint
        assert says in answer.complaint
        assert "the 11 records before it are whole" in answer.complaint
        if column is not None:
            assert f"line 12 column {column}:" in answer.complaint
        assert answer.code == 1
        assert (run / "records.jsonl").read_bytes() == damaged
    assert engine("score", "run:10").code == 0


def test_the_remedy_for_a_damaged_record_works(engine: Any, run: Path, lines_of: Any) -> None:
    whole = lines_of(run)
    replaced(run, 11, lambda entry: "garbage")
    assert "delete it and all after it and `engine resume` makes them again" in engine("front", "run").complaint
    lines = (run / "records.jsonl").read_bytes().splitlines(keepends=True)
    (run / "records.jsonl").write_bytes(b"".join(lines[:11]))
    assert engine("resume", "run").code == 0
    assert lines_of(run) == whole


def test_a_missing_line_is_noticed_where_it_was(engine: Any, run: Path) -> None:
    lines = (run / "records.jsonl").read_bytes().splitlines(keepends=True)
    (run / "records.jsonl").write_bytes(b"".join(lines[:7] + lines[8:]))
    answer = engine("resume", "run", "--quiet")
    assert (
        "line 8 column 2: number is 8; expected 7: a line before it is missing or out of order" in answer.complaint
    )
    assert (run / "records.jsonl").read_bytes() == b"".join(lines[:7] + lines[8:])


@pytest.mark.parametrize(
    "garbage", [b"\x00" * 300 + b"\n", b"\xff\xfe\x80\n", os.urandom(300).replace(b"\n", b"") + b"\n"]
)
def test_binary_garbage_is_named(garbage: bytes, engine: Any, run: Path) -> None:
    lines = (run / "records.jsonl").read_bytes().splitlines(keepends=True)
    damaged = b"".join([*lines[:5], garbage, *lines[5:]])
    (run / "records.jsonl").write_bytes(damaged)
    for command in (["resume", "run", "--quiet", "--budget=40"], ["front", "run"]):
        assert "records.jsonl line 6 column " in engine(*command).complaint
    assert (run / "records.jsonl").read_bytes() == damaged


def test_a_torn_last_line_does_not_count_and_is_replaced(engine: Any, run: Path, lines_of: Any) -> None:
    whole = lines_of(run)
    text = (run / "records.jsonl").read_bytes()
    for torn in (text[:-1], text[:-50], text + b'{"number":30', text + b"\x00\xff", text + b"x" * 5000):
        (run / "records.jsonl").write_bytes(torn)
        assert engine("front", "run").code == 0
        assert (run / "records.jsonl").read_bytes() == torn, "reading cuts nothing off"
        assert engine("resume", "run", "--budget=31").code == 0
        assert lines_of(run)[:30] == whole
        assert len(lines_of(run)) == 31
        (run / "records.jsonl").write_bytes(text)


def test_a_torn_line_behind_a_damaged_one_stays_for_whoever_mends_it(engine: Any, run: Path) -> None:
    replaced(run, 11, lambda entry: "garbage")
    with (run / "records.jsonl").open("ab") as file:
        file.write(b'{"number":30,')
    damaged = (run / "records.jsonl").read_bytes()
    assert "line 12 column 1" in engine("resume", "run", "--budget=40", "--quiet").complaint
    assert (run / "records.jsonl").read_bytes() == damaged


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "study.json line 1 column 1: not JSON"),
        ('{"format": 1,\n "state" "x"}', "study.json line 2 column 10: not JSON"),
        ("[" * 100_000, "not JSON that a run writes"),
        ("[]", "has format []; expected 1"),
        ("{}", "has format None; expected 1"),
        ('{"format": 2}', "has format 2; expected 1: open it with the version that wrote it"),
        ('{"format": 1}', "state is missing"),
    ],
)
def test_a_damaged_study_is_named(content: str, says: str, engine: Any, run: Path) -> None:
    records = (run / "records.jsonl").read_bytes()
    (run / "study.json").write_text(content)
    for command in (["resume", "run"], ["front", "run"], ["score", "run:3"]):
        answer = engine(*command)
        assert says in answer.complaint
        assert answer.code == 1
    assert contents(run) == {"study.json": content.encode(), "records.jsonl": records}


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("state", "sleeping", "state is 'sleeping'"),
        ("state", [], "state is []"),
        ("config", [], "config is []"),
        ("config", {"budget": "many"}, "budget is 'many'; expected a whole number"),
        ("config", {"budgte": 5}, "unknown field 'budgte'; did you mean 'budget'?"),
        ("config", {"table": 5}, "table is 5"),
        ("versions", 5, "versions is 5"),
        ("versions", {"python": 3}, "versions is {'python': 3}"),
        ("reference", [1], "reference is [1]"),
        ("reference", {"trace": [None]}, "reference is"),
    ],
)
def test_a_study_of_other_things_is_named(field: str, value: object, says: str, engine: Any, run: Path) -> None:
    study = json.loads((run / "study.json").read_text())
    (run / "study.json").write_text(json.dumps(study | {field: value}))
    for command in ("resume", "front"):
        answer = engine(command, "run")
        assert says in answer.complaint
        assert "study.json" in answer.complaint
        assert answer.code == 1


def test_a_study_without_its_reference_sample_is_named(engine: Any, tmp_path: Path) -> None:
    assert engine(*SMALL, "--space=nats-sss", "--fitness=trace+params", "--budget=5", "--out=run").code == 0
    study = json.loads((tmp_path / "run" / "study.json").read_text())
    (tmp_path / "run" / "study.json").write_text(json.dumps(study | {"reference": {"trace": [1.0, 2.0]}}))
    for command in ("resume", "front"):
        assert "no reference sample of 'params'" in engine(command, "run").complaint


def test_a_lost_records_file_is_named_or_made_again(engine: Any, run: Path, lines_of: Any) -> None:
    whole = lines_of(run)
    (run / "records.jsonl").unlink()
    assert "cannot open run/records.jsonl: No such file" in engine("front", "run").complaint
    assert engine("resume", "run").code == 0
    assert lines_of(run) == whole


# --- the machine: disks, other processes, signals -----------------------------------------------------

# The command line with files limited to so many bytes, as on a disk that is nearly full.
SMALL_DISK = """
import resource
import signal
import sys

from engine.cli import script

if __name__ == "__main__":
    limit = int(sys.argv.pop(1))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    script()
"""


@pytest.mark.parametrize("limit", [1000, 1500, 5000])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_full_disk_leaves_whole_records_and_a_run_that_can_go_on(
    limit: int, workers: int, program: Any, engine: Any, run: Path, tmp_path: Path, lines_of: Any
) -> None:
    (tmp_path / "small_disk.py").write_text(SMALL_DISK)
    answer = program(
        limit, *SMALL, "--space=nats-sss", "--budget=30", "--out=full", f"--workers={workers}",
        program=tmp_path / "small_disk.py",
    )  # fmt: skip
    assert answer.code == 1
    assert answer.err.count("\n") == 1
    written = (tmp_path / "full" / "records.jsonl").read_bytes()
    count = written.count(b"\n")
    assert f"cannot write record {count} to full/records.jsonl: File too large; the {count} records" in answer.err
    assert written.endswith(b"\n") or not written
    assert json.loads((tmp_path / "full" / "study.json").read_text())["state"] == "failed"
    assert engine("resume", "full").code == 0
    assert lines_of(tmp_path / "full") == lines_of(run)


def test_what_ended_a_run_is_said_even_if_its_folder_cannot_be_told(
    engine: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, lines_of: Any
) -> None:
    calls = {"pwrite": 5, "replace": 1}  # that succeed before the disk is full

    def until_full(name: str) -> Callable[..., Any]:
        whole = getattr(os, name)

        def limited(*arguments: Any) -> Any:
            calls[name] -= 1
            if calls[name] < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return whole(*arguments)

        return limited

    with monkeypatch.context() as patch:
        for name in calls:
            patch.setattr(os, name, until_full(name))
        answer = engine(*SMALL, "--space=nats-sss", "--out=run", "--budget=9")
    assert answer.complaint == (
        "cannot write record 5 to run/records.jsonl: No space left on device; the 5 records before it are whole: "
        "make room, then `engine resume`"
    )
    assert len(lines_of(tmp_path / "run")) == 5
    assert engine("resume", "run").code == 0
    assert len(lines_of(tmp_path / "run")) == 9
    assert sorted(contents(tmp_path / "run")) == ["records.jsonl", "study.json"]


def test_a_disk_without_room_for_the_study_is_named(program: Any, tmp_path: Path) -> None:
    (tmp_path / "small_disk.py").write_text(SMALL_DISK)
    answer = program(100, *SMALL, "--out=full", program=tmp_path / "small_disk.py")
    assert answer.complaint == "cannot write full/study.json: File too large"
    assert program(*SMALL, "--budget=3", "--out=full").code == 0


def test_a_full_disk_at_the_end_of_a_pipe_is_named(program: Any, run: Path) -> None:
    with open("/dev/full", "w") as full:
        answers = [
            program(*command, stdout=full) for command in (("front", "run"), ("list", "spaces"), ("--help",))
        ]
    for answer in answers:
        assert answer.complaint == "cannot write to standard output: No space left on device"
    assert "cannot write" in program("front", "run", "--out=/dev/full").complaint
    assert "cannot write" in program("front", "run", "--out=/proc/front.csv").complaint
    assert "cannot write" in program("front", "run", "--out=missing/front.csv").complaint


def test_a_reader_that_has_seen_enough_is_no_error(program: Any, engine: Any, run: Path, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as closed:
        assert program("front", "run", stdout=closed)[::2] == (0, "")
        assert program("list", "fitness", stdout=closed)[::2] == (0, "")
        assert program("run", "--help", stdout=closed)[::2] == (0, "")
        answer = program("run", "--budget=50", "--out=deaf", stdout=closed, stderr=closed)
        assert answer.code == 0
        assert program("run", "--budget=none", stderr=closed).code == 2
    assert json.loads((tmp_path / "deaf" / "study.json").read_text())["state"] == "finished"


def test_a_terminal_that_knows_only_ascii_is_served(program: Any) -> None:
    answer = program("list", "fitness", environment={"PYTHONIOENCODING": "ascii"})
    assert answer.code == 0
    answer = program("run", "--space=ä€", environment={"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "1"})
    assert "unknown space" in answer.complaint


# The command line with a score that takes its time, so that a run can be met while it is under way.
PATIENT = """
import sys
import time

from engine import api, cli, setup
from fitness.trace import Trace

class Patient(Trace):
    def __call__(self, network):
        time.sleep(0.001)
        return super().__call__(network)

def with_patience(config, *own):
    return whole(config, *own, own_scores=(Patient(),))

if __name__ == "__main__":
    whole, setup.Setup = setup.Setup, with_patience
    cli.script()
"""


@pytest.fixture
def patient(tmp_path: Path) -> Path:
    """The command line with a score that takes its time."""
    (tmp_path / "patient.py").write_text(PATIENT)
    return tmp_path / "patient.py"


def under_way(process: subprocess.Popen[str], file: Path) -> None:
    """Wait until a run has some records."""
    while process.poll() is None and not (file.exists() and file.stat().st_size > 2000):
        time.sleep(0.01)
    assert process.poll() is None, process.communicate()


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_says_how_to_go_on(
    workers: int, how: signal.Signals, spawn: Any, patient: Path, engine: Any, tmp_path: Path, lines_of: Any
) -> None:
    arguments = [*SMALL, "--space=nats-sss", "--out=my run", "--budget=100000", f"--workers={workers}"]
    process = spawn(*arguments, program=patient)
    under_way(process, tmp_path / "my run" / "records.jsonl")
    os.killpg(process.pid, how) if how == signal.SIGINT else process.send_signal(how)  # as a terminal does
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (
        130,
        "",
        "engine: interrupted; continue with `engine resume 'my run'`\n",
    )
    assert json.loads((tmp_path / "my run" / "study.json").read_text())["state"] == "interrupted"
    count = len(lines_of(tmp_path / "my run"))
    assert engine("resume", "my run", f"--budget={count + 10}").code == 0
    assert engine(*SMALL, "--space=nats-sss", "--out=whole", f"--budget={count + 10}").code == 0
    assert lines_of(tmp_path / "my run") == lines_of(tmp_path / "whole")


def test_ctrl_c_does_not_wait_for_evaluations_under_way(spawn: Any, tmp_path: Path) -> None:
    driver = tmp_path / "endless.py"
    driver.write_text(PATIENT.replace("time.sleep(0.001)", "open('begun', 'w').close(); time.sleep(3600)"))
    process = spawn(*SMALL, "--space=nats-sss", "--out=run", "--workers=2", program=driver)
    while not (tmp_path / "begun").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err == "engine: interrupted; continue with `engine resume run`\n"


def test_only_one_process_writes_to_a_run(
    spawn: Any, patient: Path, program: Any, engine: Any, tmp_path: Path, lines_of: Any
) -> None:
    process = spawn(*SMALL, "--space=nats-sss", "--out=run", "--budget=100000", program=patient)
    under_way(process, tmp_path / "run" / "records.jsonl")
    for second in (program("resume", "run"), program("resume", "run", "--workers=2"), engine("resume", "run")):
        assert second.complaint == (
            "run/records.jsonl is being written by another process; wait until it ends, or stop it first"
        )
        assert second.code == 1
    assert "it holds a run" in program(*SMALL, "--out=run").complaint
    assert program("front", "run").code == 0, "reading is free"
    assert process.poll() is None
    process.kill()
    process.communicate()
    count = (tmp_path / "run" / "records.jsonl").read_bytes().count(b"\n")
    assert engine("resume", "run", f"--budget={count + 5}").code == 0
    assert len(lines_of(tmp_path / "run")) == count + 5
