"""What a user gets wrong is answered by one clear line and the right exit code, and leaves runs as they were."""

from __future__ import annotations

import bz2
import errno
import json
import os
import pickle
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SMALL = ("run", "--strategy=random", "--fitness=trace", "--target=none", "--quiet")
TABLE = "index,arch_str,accuracy_pct\n0,8:8:8:8:8,50\n1,8:8:8:8:16,60\n"


# --- the command line ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("rnu", "unknown command 'rnu'; did you mean 'run'? known: front, list, resume, run, score"),
        ("--bogus", "unknown option '--bogus'"),
        ("run --bugdet 5", "unknown option '--bugdet'; did you mean '--budget'?"),
        ("run --budge 5", "unknown option '--budge'; did you mean '--budget'?"),
        ("score 1 --bound a<=1", "unknown option '--bound'"),
        ("run munas", "'munas' is one argument too many"),
        ("front", "required: DIR; see `engine front --help`"),
        ("list", "required: spaces|strategies|fitness|targets"),
        ("list spces", "unknown list 'spces'; did you mean 'spaces'?"),
        ("front . --format cvs", "unknown format 'cvs'; did you mean 'csv'?"),
        ("front . --format csv --json", "not allowed with"),
        ("run --budget", "expected one argument"),
        ("run --space muna", "unknown space 'muna'; did you mean 'munas'? known: munas"),
        ("run --space MUNAS", "did you mean 'munas'?"),
        ("run --strategy agin", "unknown strategy 'agin'; did you mean 'aging'? known: aging, random, tpe"),
        ("run --strategy ''", "unknown strategy ''"),
        ("run --fitness trac", "unknown fitness 'trac'; did you mean 'trace'?"),
        ("run --fitness table", "fitness 'table' names no column; expected table:COLUMN"),
        ("run --objective trace:maximum", "unknown fitness 'trace:maximum'; did you mean 'trace'?"),
        ("run --target nucleo-f746", "unknown target 'nucleo-f746'; did you mean 'nucleo-f746zg'?"),
        ("run --bound flash<=3", "unknown fitness 'flash'; did you mean 'flash_bytes'?"),
        ("score 8:8:8:8:8 --space nats-sss --fitness depht", "unknown fitness 'depht'; did you mean 'depth'?"),
    ],
)
def test_unknown_names_are_answered_with_the_nearest_right_one(command: str, says: str, engine: Any) -> None:
    answer = engine(*[word if word != "''" else "" for word in command.split()])
    assert says in answer.complaint
    assert answer.code == 2


@pytest.mark.parametrize("value", ["0", "-1", "1000000000000", "1e12", "abc", "", "1.5", "nan", "9" * 5000])
@pytest.mark.parametrize("option", ["budget", "open", "population", "tournament", "workers"])
def test_a_count_that_is_none_is_refused(option: str, value: str, engine: Any, tmp_path: Path) -> None:
    answer = engine("run", f"--{option}={value}")
    assert option in answer.complaint
    assert "expected a whole number" in answer.complaint
    assert answer.code == 2
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("option", ["--budget=0", "--budget=-1", "--budget=1e12", "--workers=0", "--workers=x"])
def test_a_count_that_is_none_is_refused_by_resume_too(option: str, engine: Any, run: Path) -> None:
    before = contents(run)
    assert "expected a whole number" in engine("resume", "run", option).complaint
    assert contents(run) == before


@pytest.mark.parametrize("seed", ["-1", "x", "9223372036854775808"])
def test_a_seed_out_of_range_is_refused(seed: str, engine: Any) -> None:
    answer = engine("run", f"--seed={seed}")
    assert "seed" in answer.complaint
    assert "expected a whole number" in answer.complaint


@pytest.mark.parametrize("classes", ["0", "1", "-3", "ten"])
def test_fewer_than_two_classes_are_refused(classes: str, engine: Any) -> None:
    answer = engine(*SMALL, f"--classes={classes}")
    assert "classes" in answer.complaint
    assert "expected a whole number" in answer.complaint
    assert answer.code == 2


@pytest.mark.parametrize(
    "shape", ["32x32", "0x3", "0x0x3", "", "axbxc", "-1x3x3", "1e3x3x3", "200000x3x3", "9" * 9000]
)
def test_an_input_shape_that_is_none_is_refused(shape: str, engine: Any) -> None:
    answer = engine(*SMALL, f"--input-shape={shape}")
    assert f"input shape '{shape[:80]}'; expected HEIGHTxWIDTHxCHANNELS, each from 1 to" in answer.complaint
    assert answer.code == 2


@pytest.mark.parametrize("space", ["munas", "munas-mlp", "nats-tss", "nats-sss"])
@pytest.mark.parametrize("shape", ["1x1x1", "1x1x3", "2x7x1", "100000x100000x100000"])
def test_an_odd_input_shape_works_or_is_refused_by_name(space: str, shape: str, engine: Any) -> None:
    answer = engine(*SMALL, f"--space={space}", f"--input-shape={shape}", "--budget=5", "--bound=bottleneck>=0")
    if answer.code:
        assert f"space {space!r} has no network for input shape {shape}" in answer.complaint
    else:
        assert "5 records: 5 feasible" in answer.out


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("", "expected a name"),
        ("+", "expected a name"),
        ("trace+", "expected a name"),
        ("trace gdf", "unknown fitness 'tracegdf'"),
        ("trace(live=true", "expected ')'"),
        ("trace(live)", "'live' is not an option; expected name=value"),
        ("trace(live=5)", "live is 5; expected true or false"),
        ("trace(deep=true)", "fitness 'trace' takes no option 'deep'; its options: live"),
        ("trace+trace", "names 'trace' twice"),
        ("gdf", "has only penalties"),
        ("trace+gdf(mu=nan)", "nan is not a number that can be used; expected a finite one"),
        ("trace+gdf(sigma=inf)", "inf is not a number"),
        ("trace+gdf(mu=1e999)", "1e999 is not a number"),
        ("trace+gdf(sigma=0)", "expected mu >= 0 and sigma > 0"),
        ("trace+gdf(mu=x)", "mu=x; expected a finite number"),
        ("trace+gdf(s=1)", "gdf takes no option 's'"),
        ("table:accuracy_pct", "needs a benchmark table"),
    ],
)
def test_an_expression_that_means_nothing_is_refused(
    expression: str, says: str, engine: Any, tmp_path: Path
) -> None:
    answer = engine("run", f"--fitness={expression}")
    assert says in answer.complaint
    assert answer.code == 2
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("bounds", "says"),
    [
        (["params"], "bound 'params'; expected NAME<=NUMBER or NAME>=NUMBER"),
        (["params<5"], "bound 'params<5'; expected NAME<=NUMBER"),
        (["params<=lots"], "the limit is 'lots'; expected a finite number"),
        (["params<=nan"], "the limit is 'nan'; expected a finite number"),
        (["params>=inf"], "the limit is 'inf'; expected a finite number"),
        (["params<=1e999"], "the limit is '1e999'; expected a finite number"),
        (["<=5"], "bound '<=5'"),
        (["trace+params<=5"], "expected a bound on one score"),
        (["gdf<=1"], "expected a bound on one score"),
        (["params>=10", "params<=5"], "bounds params>=10 and params<=5 leave nothing"),
        (["bottleneck<=3"], "bounds bottleneck>=5 and bottleneck<=3 leave nothing"),
        (["flash_bytes>=300000"], "bounds flash_bytes>=300000 and flash_bytes<=262144 leave nothing"),
    ],
)
def test_a_bound_that_means_nothing_is_refused(bounds: list[str], says: str, engine: Any, tmp_path: Path) -> None:
    answer = engine("run", *[f"--bound={bound}" for bound in bounds])
    assert says in answer.complaint
    assert answer.code == 2
    assert not list(tmp_path.iterdir())


def test_bounds_that_no_network_keeps_end_the_run_and_are_named(engine: Any) -> None:
    answer = engine(*SMALL, "--budget=100000", "--bound=params<=100", "--bound=bottleneck>=0")
    assert answer.code == 1
    complaint = answer.err.splitlines()[-1]
    assert "none of 2,000 candidates is feasible: bound params<=100 turned down 2,000" in complaint
    assert "loosen the bound" in complaint


def test_fewer_candidates_than_patience_and_none_feasible_is_a_failed_run(engine: Any) -> None:
    answer = engine(*SMALL, "--space=nats-sss", "--budget=10", "--bound=params<=100", "--out=run")
    assert answer.code == 1
    assert "none of 10 candidates is feasible: bound params<=100 turned down 10" in answer.err
    assert engine("front", "run").out.startswith("no feasible network")
    assert "none of the 10 records is feasible" in engine("score", "run:best").complaint


def test_a_picture_needs_a_file(engine: Any) -> None:
    assert engine(*SMALL, "--budget=5", "--out=run").code == 0
    assert "needs a file to write to; add --out FILE.png" in engine("front", "run", "--format=png").complaint


def test_an_option_that_the_strategy_does_not_take_is_refused(engine: Any, tmp_path: Path) -> None:
    answer = engine(*SMALL, "--population=5")
    assert answer.complaint == "strategy 'random' takes no option 'population'; its options: none"
    assert not list(tmp_path.iterdir())


def test_two_objectives_are_too_many_for_aging(engine: Any, tmp_path: Path) -> None:
    answer = engine("run", "--objective=trace", "--objective=params:min")
    assert "strategy 'aging' pursues at most 1 objective, got 2; use tpe or random" in answer.complaint
    assert not list(tmp_path.iterdir())


# --- config files -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("budgte = 5", "unknown field 'budgte'; did you mean 'budget'?"),
        ("budget = '5'", "budget is '5'; expected a whole number"),
        ("budget = nan", "budget is nan; expected a whole number"),
        ("budget = true", "budget is True; expected a whole number"),
        ("bounds = 'params<=5'", "expected a list of texts"),
        ("bounds = [5]", "expected a list of texts"),
        ("objectives = 5", "expected a list of texts"),
        ("table = 5", "table is 5; expected text"),
        ("out = []", "out is []; expected text"),
        ("space = {a = 1}", "expected text"),
        ("budget 5", "is not TOML"),
        ("budget = " + "9" * 5000, "is not TOML"),
        ("\x00", "is not TOML"),
    ],
)
def test_a_config_of_other_things_is_refused(content: str, says: str, engine: Any, tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text(content)
    answer = engine("run", "--config=run.toml")
    assert "config 'run.toml'" in answer.complaint
    assert says in answer.complaint
    assert answer.code == 2


def test_a_config_that_cannot_be_read_is_named(engine: Any, tmp_path: Path) -> None:
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    assert "'none.toml': No such file" in engine("run", "--config=none.toml").complaint
    assert "Is a directory" in engine("run", "--config=.").complaint
    assert "is not TOML" in engine("run", "--config=bytes.toml").complaint


# --- run folders --------------------------------------------------------------------------------------


@pytest.fixture
def run(engine: Any, tmp_path: Path) -> Path:
    """A finished run of thirty records."""
    assert engine(*SMALL, "--space=nats-sss", "--budget=30", "--out=run").code == 0
    return tmp_path / "run"


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


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


# --- tables -------------------------------------------------------------------------------------------


class Bomb:
    """What a malicious pickle does when it is read."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.target,)


def test_a_malicious_pickle_is_refused_and_does_nothing(engine: Any, tmp_path: Path) -> None:
    target = tmp_path / "exploded"
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive" / "meta.pickle.pbz2").write_bytes(bz2.compress(pickle.dumps(Bomb(target))))
    (tmp_path / "plain.pickle").write_bytes(pickle.dumps(Bomb(target)))
    for table in ("archive", "archive/meta.pickle.pbz2", "plain.pickle"):
        for command in (
            [*SMALL[:2], "--fitness=table:cifar10_test_200ep_pct", "--space=nats-tss"],
            ["score", "0", "--space=nats-tss", "--fitness=trace"],
            ["score", "0", "--space=nats-tss", "--fitness=table:cifar10_test_200ep_pct"],
        ):
            answer = engine(*command, f"--table={table}")
            assert table.partition("/")[0] in answer.complaint
            assert not target.exists()
    assert not (tmp_path / "runs").exists()


def test_a_table_that_is_not_there_or_of_another_space_is_named(engine: Any, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text(TABLE)
    fitness = "--fitness=table:accuracy_pct"
    assert "there is no table" in engine("run", "--space=nats-sss", fitness, "--table=no.csv").complaint
    assert "there is no table" in engine("run", "--space=nats-sss", "--table=no.csv").complaint
    answer = engine("run", "--space=nats-tss", fitness, "--table=table.csv")
    assert "does not hold architectures of space 'nats-tss', e.g. |" in answer.complaint
    assert "it starts with 8:8:8:8:8" in answer.complaint
    answer = engine("run", "--space=nats-sss", "--fitness=table:acuracy_pct", "--table=table.csv")
    assert "unknown table column 'acuracy_pct'; did you mean 'accuracy_pct'?" in answer.complaint
    assert not (tmp_path / "runs").exists()


# --- score --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["{"], "is not JSON"),
        (["[]"], "expected a JSON object of choices"),
        (["[" * 100_000], "cannot be read: maximum recursion depth"),
        (["nonsense"], "is not JSON"),
        ([""], "is not JSON"),
        (["{}"], "choice 'blocks' is missing; expected one of 1..10"),
        (['{"blocks": 1e999}'], "choice 'blocks' is inf"),
        (['{"blocks": []}'], "choice 'blocks' is []"),
        (["3"], "index 3 has a meaning in a benchmark table only; name it with --table"),
        (["8:8:8:8", "--space=nats-sss"], "expected five widths"),
        (["8:8:8:8:9", "--space=nats-sss"], "choice 'c5' is 9; expected one of 8..64 step 8"),
        (["8:8:8:8:" + "9" * 5000, "--space=nats-sss"], "expected"),
        (["|nor_conv~0|", "--space=nats-tss"], "expected |op~0|+|op~0|op~1|"),
        (["2", "--space=nats-sss", "--table=table.csv"], "architecture index 2 is out of range"),
        (["9" * 5000, "--space=nats-sss", "--table=table.csv"], "expected"),
        (["run:30"], "run/records.jsonl has no record 30; expected one of 0..29"),
        (["run:-1"], "'-1' of run run; expected a record's number, or best"),
        (["run:worst"], "'worst' of run run; expected a record's number, or best"),
        (["run:"], "'' of run run; expected a record's number, or best"),
        (["none:best"], "none is not a run: it is not a folder"),
        (["none:3"], "architecture 'none:3' is not JSON"),
        (["run:3", "--fitness=table:accuracy_pct"], "needs a benchmark table"),
        (["run:3", "--fitness=trace,"], "expected a name"),
    ],
)
def test_an_architecture_or_score_that_is_none_is_refused(
    arguments: list[str], says: str, engine: Any, run: Path, tmp_path: Path
) -> None:
    (tmp_path / "table.csv").write_text(TABLE)
    answer = engine("score", *arguments)
    assert says in answer.complaint
    assert answer.code == 2


def test_a_score_that_cannot_be_computed_is_a_failure(engine: Any, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text(TABLE + "2,8:8:8:8:24,\n")
    answer = engine("score", "2", "--space=nats-sss", "--fitness=table:accuracy_pct", "--table=table.csv")
    assert "the cell is empty" in answer.complaint
    assert answer.code == 1
