"""`engine dashboard`: the study says what the records say."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sys
import urllib.request
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

STATES = {"ok": TrialState.COMPLETE, "infeasible": TrialState.PRUNED, "failed": TrialState.FAIL}


@pytest.fixture
def board(engine: Any, tmp_path: Path) -> Path:
    """A run of munas in which some networks are rejected."""
    flags = ("--strategy=random", "--fitness=trace", "--budget=60", "--seed=1", "--quiet", "--out=board")
    assert engine("run", *flags).code == 0
    return tmp_path / "board"


def study_in(path: Path) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.load_study(study_name="board", storage=JournalStorage(JournalFileBackend(str(path))))


def test_every_record_is_a_trial(engine: Any, board: Path, records_of: Any, tmp_path: Path) -> None:
    answer = engine("dashboard", "board", "--export=study.log")
    assert answer.out == "60 of 60 records written to study.log; show them with: optuna-dashboard study.log\n"
    study = study_in(tmp_path / "study.log")
    front = json.loads(engine("front", "board", "--json").out)
    names = [objective["name"] for objective in front["objectives"]]
    assert study.metric_names == names
    assert [direction.name.lower()[:3] for direction in study.directions] == [
        objective["direction"] for objective in front["objectives"]
    ]
    records = records_of(board)
    assert {record["status"] for record in records} == {"ok", "infeasible"}
    for trial, record in zip(study.trials, records, strict=True):
        assert trial.state == STATES[record["status"]]
        assert trial.params == record["genotype"]
        assert trial.values == ([record["scores"][name] for name in names] if record["status"] == "ok" else None)
        told = trial.user_attrs
        assert {name: told[name] for name in record["scores"]} == record["scores"]
        assert (told["record"], told["key"], told.get("reason")) == (
            record["number"], record["key"], record["reason"],
        )  # fmt: skip
        broken = [amount > 0 for amount in trial.system_attrs["constraints"]]
        assert any(broken) == (record["status"] == "infeasible")
        seconds = (trial.datetime_complete - trial.datetime_start).total_seconds()
        assert seconds == pytest.approx(record["seconds"], abs=2e-6)
    members = {row["number"] for row in front["front"]}
    assert {trial.user_attrs["record"] for trial in study.trials if trial.user_attrs["front"]} == members
    assert {trial.user_attrs["record"] for trial in study.best_trials} == members, "Optuna finds the same front"


def test_a_failed_record_is_a_failed_trial(engine: Any, plugin: Any, tmp_path: Path) -> None:
    engine(
        "run",
        "--space=toy",
        "--strategy=in-order",
        "--fitness=moody",
        "--budget=12",
        "--quiet",
        "--out=board",
    )
    lines = (tmp_path / "board" / "records.jsonl").read_text().splitlines()
    assert engine("dashboard", "board", "--export=study.log").code == 0
    states = [trial.state for trial in study_in(tmp_path / "study.log").trials]
    assert states == [STATES[json.loads(line)["status"]] for line in lines]
    assert states == [TrialState.FAIL] * len(lines)
    assert lines


def test_a_long_run_shows_its_front_and_an_even_part_of_the_rest(engine: Any, board: Path, tmp_path: Path) -> None:
    members = {row["number"] for row in json.loads(engine("front", "board", "--json").out)["front"]}
    most = len(members) + 8
    answer = engine("dashboard", "board", f"--most={most}", "--export=study.log")
    assert answer.out.startswith(f"{most} of 60 records written")
    numbers = [trial.user_attrs["record"] for trial in study_in(tmp_path / "study.log").trials]
    assert numbers == sorted(set(numbers))
    assert members <= set(numbers)
    assert min(set(numbers) - members) < 20
    assert max(set(numbers) - members) > 40
    assert engine("dashboard", "board", "--most=3", "--export=few.log").out.startswith("3 of 60 records")
    shown = [trial.user_attrs["front"] for trial in study_in(tmp_path / "few.log").trials]
    assert shown == [True] * 3


def test_bad_wishes_are_refused(engine: Any, board: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "there.log").touch()
    assert "there.log is there already" in engine("dashboard", "board", "--export=there.log").complaint
    assert "no folder 'nowhere'" in engine("dashboard", "board", "--export=nowhere/study.log").complaint
    assert "--port is 70000" in engine("dashboard", "board", "--port=70000").complaint
    assert "--most is 0" in engine("dashboard", "board", "--most=0").complaint
    assert "unknown recorded score 'depth'" in engine("dashboard", "board", "--objective=depth").complaint
    monkeypatch.setitem(sys.modules, "optuna_dashboard", None)
    answer = engine("dashboard", "board")
    assert answer.code == 1
    assert 'pip install "nas-engine[dashboard]"' in answer.complaint


def test_the_dashboard_answers_and_ends_when_interrupted(spawn: Any, board: Path) -> None:
    pytest.importorskip("optuna_dashboard", reason="no optuna-dashboard", exc_type=ImportError)
    where = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}  # wherever the extra lies
    process = spawn("dashboard", "board", "--port=0", environment=where)
    line = process.stderr.readline()
    found = re.fullmatch(r"(http://127\.0\.0\.1:(\d+)/) shows 60 of 60 records; Ctrl-C ends\n", line)
    assert found, line
    with urllib.request.urlopen(f"{found[1]}api/studies", timeout=30) as answer:
        assert [study["study_name"] for study in json.load(answer)["study_summaries"]] == ["board"]
    taken = spawn("dashboard", "board", f"--port={found[2]}", environment=where)
    assert "choose another with --port" in taken.communicate(timeout=60)[1]
    assert taken.returncode == 1
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60)[0] == "dashboard of board closed\n"
    assert process.returncode == 0
    with socket.socket() as free:
        assert free.connect_ex(("127.0.0.1", int(found[2]))) != 0


def test_layers_that_only_some_networks_have_are_parameters_of_their_trials(
    engine: Any, tmp_path: Path, records_of: Any
) -> None:
    flags = ("--strategy=random", "--fitness=step_macs", "--budget=6", "--quiet", "--out=board")
    assert engine("run", "--space=rnn(cell=any,max_units=5)", *flags).code == 0
    assert engine("dashboard", "board", "--export=study.log").code == 0
    study = study_in(tmp_path / "study.log")
    records = records_of(tmp_path / "board")
    assert {"l0.cell" in trial.params and "l2.cell" in trial.params for trial in study.trials} == {True, False}
    for trial, record in zip(study.trials, records, strict=True):
        assert trial.params == record["genotype"]
        assert trial.distributions["l0.cell"] == optuna.distributions.CategoricalDistribution(
            ("lstm", "gru", "rnn")
        )
        assert trial.distributions["l0.units"] == optuna.distributions.IntDistribution(1, 5)
