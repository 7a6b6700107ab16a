"""A run depends on its seed and its open asks: not on the process, the hash seed, workers or interruptions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine import resume, search
from engine.strategies import STRATEGIES
from tests.small import deterministic

PLAIN = ("random", "aging", "tpe", "prune", "predictor")  # the contracts try every strategy without a command line
EVERY_STRATEGY = pytest.mark.parametrize(
    "strategy", [name if name in PLAIN else pytest.param(name, marks=pytest.mark.slow) for name in STRATEGIES]
)


@EVERY_STRATEGY
def test_four_workers_make_the_records_of_one(
    strategy: str, engine: Any, tmp_path: Path, small_run: Any, whole_run: Any, lines_of: Any
) -> None:
    assert engine(*small_run(strategy), "--out=four", "--workers=4").code == 0
    assert lines_of(tmp_path / "four") == lines_of(whole_run(small_run(strategy)))


@EVERY_STRATEGY
@pytest.mark.parametrize("first", [3, 40])
def test_a_run_resumed_to_a_larger_budget_has_the_records_of_a_longer_run(
    strategy: str, first: int, engine: Any, tmp_path: Path, small_run: Any, whole_run: Any, lines_of: Any
) -> None:
    # nothing feasible among the first few records is a failed run, and one that can go on
    assert engine(*small_run(strategy), "--out=short", f"--budget={first}").code in (0, 1)
    assert len(lines_of(tmp_path / "short")) == first
    assert engine("resume", "short", "--budget=60").code == 0
    assert lines_of(tmp_path / "short") == lines_of(whole_run(small_run(strategy)))


@EVERY_STRATEGY
def test_resuming_a_finished_run_changes_nothing(
    strategy: str, engine: Any, small_run: Any, whole_run: Any
) -> None:
    run = whole_run(small_run(strategy))
    before = {file.name: file.read_bytes() for file in run.iterdir()}
    assert engine("resume", run).code == 0
    assert {file.name: file.read_bytes() for file in run.iterdir()} == before


@EVERY_STRATEGY
def test_another_seed_makes_another_run(
    strategy: str, engine: Any, tmp_path: Path, small_run: Any, whole_run: Any, records_of: Any
) -> None:
    assert engine(*small_run(strategy), "--out=other", "--seed=4", "--budget=30").code in (0, 1)
    pairs = zip(records_of(tmp_path / "other"), records_of(whole_run(small_run(strategy)))[:30], strict=True)
    same = sum(one["genotype"] == other["genotype"] for one, other in pairs)
    assert same == 30 if deterministic(strategy) else same <= 3


def test_open_asks_are_part_of_what_a_run_is(
    engine: Any, tmp_path: Path, small_run: Any, whole_run: Any, lines_of: Any
) -> None:
    assert engine(*small_run("aging"), "--out=one", "--open=1").code == 0
    assert lines_of(tmp_path / "one") != lines_of(whole_run(small_run("aging")))


@pytest.mark.slow
@EVERY_STRATEGY
def test_a_run_on_munas_is_the_same_in_parts_with_workers_and_in_another_process(
    strategy: str, engine: Any, program: Any, tmp_path: Path, small_run: Any, whole_run: Any, lines_of: Any
) -> None:
    arguments = small_run(strategy, "--budget=90", "--open=8", space="munas")
    assert program(*arguments, "--budget=60", "--out=parts", environment={"PYTHONHASHSEED": "99"}).code == 0
    assert engine("resume", "parts", "--budget=61").code == 0
    assert program("resume", "parts", "--budget=90", "--workers=3").code == 0
    assert lines_of(tmp_path / "parts") == lines_of(whole_run(arguments))


def test_scores_measured_against_the_reference_sample_are_the_same_after_a_resume(
    engine: Any, tmp_path: Path, lines_of: Any
) -> None:
    run = ("run", "--space=nats-sss", "--strategy=aging", "--fitness=trace+params+gdf", "--population=5")
    assert engine(*run, "--out=long", "--budget=80").code == 0
    assert engine(*run, "--out=short", "--budget=30").code == 0
    assert engine("resume", "short", "--budget=80").code == 0
    assert lines_of(tmp_path / "short") == lines_of(tmp_path / "long")
    best = [engine("resume", run, "--json").out.partition('"value": ')[2][:20] for run in ("short", "long")]
    assert best[0] == best[1] != ""


def test_a_search_without_a_folder_finds_what_a_kept_one_finds(tmp_path: Path) -> None:
    kept = search("nats-sss", "aging", "trace", budget=50, out=tmp_path / "run")
    loose = search("nats-sss", "aging", "trace", budget=50)
    again = resume(tmp_path / "run")
    for record, one, other in zip(kept.records, loose.records, again.records, strict=True):
        assert record._replace(seconds=0) == one._replace(seconds=0) == other._replace(seconds=0)
    assert loose.path is None
