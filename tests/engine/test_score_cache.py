"""Scores that are kept between runs: what they depend on, processes side by side, damage."""

from __future__ import annotations

import json
import multiprocessing
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from engine.api import run
from engine.config import RunConfig
from engine.score_cache import Known, ScoreCache, ScoreFile, default_folder, scores_of
from engine.setup import Setup
from fitness.probing.measure import measure
from fitness.probing.passes import Pass
from fitness.scores import PassScore
from spaces.errors import RunError
from spaces.space import Genotype

SMALL = RunConfig(
    space="nats-tss(channels=2,cells=1)", input_shape="8x8x3", target="none", fitness="naswot", batch=8
)
HEADER = {"space": "here", "score": "naswot(batch=8)"}


def _setup(folder: Path, **fields: Any) -> Setup:
    return Setup(replace(SMALL, **fields), cache=ScoreCache(folder))


def _drawn(setup: Setup, count: int) -> list[Genotype]:
    rng = Random(0)
    return [setup.space.sample(rng) for _ in range(count)]


def _scores(setup: Setup, *names: str, count: int = 4, workers: int = 1) -> dict[str, Any]:
    asked = [setup.expression(name).scores[0] for name in names]
    return scores_of(setup, asked, _drawn(setup, count), workers=workers)


def test_what_is_known_is_not_computed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = _scores(_setup(tmp_path), "naswot", "synflow", "params")
    monkeypatch.setattr("fitness.probing.measure.measure", _nobody_measures)
    again = _scores(_setup(tmp_path), "naswot", "synflow", "params")
    for name in ("naswot", "synflow"):
        assert again[name].values == first[name].values
        assert again[name].reasons == first[name].reasons
        assert again[name].seconds == pytest.approx(first[name].seconds, rel=0.5)  # what computing it took
    assert again["params"].values == first["params"].values


def _nobody_measures(*_: Any, **__: Any) -> Any:
    raise AssertionError("measured, though it is known")


@pytest.mark.parametrize(
    "change",
    [
        {"score_seed": 1},
        {"data": "digits"},
        {"batch": 9},
        {"threads": 2},
        {"input_shape": "9x9x3"},
        {"space": "nats-tss(channels=3,cells=1)"},
    ],
    ids=str,
)
def test_whatever_a_score_depends_on_keeps_its_values_apart(tmp_path: Path, change: dict[str, Any]) -> None:
    _scores(_setup(tmp_path), "naswot")
    cached = _scores(_setup(tmp_path, **change), "naswot")["naswot"].values
    assert cached == _scores(_setup(tmp_path / "empty", **change), "naswot")["naswot"].values
    if change != {"threads": 2}:  # which may round alike
        assert cached != _scores(_setup(tmp_path), "naswot")["naswot"].values


def test_scores_of_genotypes_are_kept_by_genotype(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("te_nas_regions(batch=60)", "te_nas_ntk(batch=6)")  # on thin networks, not on the genotype's own
    first = _scores(_setup(tmp_path, batch=None), *names)
    monkeypatch.setattr("fitness.probing.measure.measure", _nobody_measures)
    again = _scores(_setup(tmp_path, batch=None), *names)
    assert [again[name].values for name in again] == [first[name].values for name in first]


def test_failures_are_kept_with_their_reason(tmp_path: Path) -> None:
    setup = _setup(tmp_path)
    dead = setup.space.parse("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|")
    columns = [scores_of(setup, [setup.fitness("synflow")], [dead])["synflow"] for _ in range(2)]
    assert columns[0].values == columns[1].values == [None]
    assert columns[0].reasons == columns[1].reasons
    assert columns[0].reasons[0] is not None


def test_a_run_with_a_cache_has_the_records_of_one_without(tmp_path: Path) -> None:
    fields = {"strategy": "random", "budget": 6, "objectives": ("naswot(repeats=2)", "synflow")}
    plain = run(Setup(replace(SMALL, **fields))).records
    for _ in range(2):
        kept = run(_setup(tmp_path, **fields)).records
        assert [record._replace(seconds=0) for record in kept] == [record._replace(seconds=0) for record in plain]


def test_processes_side_by_side_fill_one_cache(tmp_path: Path) -> None:
    alone = _scores(_setup(tmp_path / "alone"), "naswot", count=6)["naswot"]
    together = _scores(_setup(tmp_path / "both"), "naswot", count=6, workers=2)["naswot"]
    assert together.values == alone.values
    assert sum(len(file.read_text().splitlines()) for file in (tmp_path / "both").rglob("*.jsonl")) == 1 + 6


def test_writers_at_once_leave_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "file.jsonl"
    context = multiprocessing.get_context("forkserver")
    writers = [context.Process(target=_write, args=(path, name)) for name in "ab"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines[0] == HEADER
    assert sorted(line["key"] for line in lines[1:]) == sorted(f"{name}{i}" for name in "ab" for i in range(100))


def _write(path: Path, name: str) -> None:
    file = ScoreFile(path, HEADER)
    for number in range(100):
        file.put(f"{name}{number}", Known(float(number), None, None, 0.1))


def test_what_another_process_found_is_seen(tmp_path: Path) -> None:
    mine, theirs = (ScoreFile(tmp_path / "file.jsonl", HEADER) for _ in range(2))
    assert mine.get("k") is None
    theirs.put("k", Known(1.5, 0.25, None, 2.0))
    assert mine.get("k") == Known(1.5, 0.25, None, 2.0)


@pytest.mark.parametrize("torn", [b'{"key": "b", "val', b"\xff\x00 no text", b'["a list"]', b"7"])
def test_a_torn_line_costs_only_itself(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "file.jsonl"
    ScoreFile(path, HEADER).put("a", Known(1.0, None, None, 0.1))
    with path.open("ab") as file:
        file.write(torn)
    ScoreFile(path, HEADER).put("b", Known(2.0, None, None, 0.1))
    read = ScoreFile(path, HEADER)
    assert read.get("a") == Known(1.0, None, None, 0.1)
    assert read.get("b") == Known(2.0, None, None, 0.1)


@dataclass(frozen=True, kw_only=True)
class Mine(PassScore):
    title, unit, positive = "mine", "", True
    published_batch = 8

    def value(self, *passes: Pass) -> float:
        return float(passes[0].logits.std())


def test_somebodys_own_score_is_never_kept(tmp_path: Path) -> None:
    setup = Setup(replace(SMALL, fitness="mine"), own_scores=(Mine(),), cache=ScoreCache(tmp_path))
    scores_of(setup, [Mine()], _drawn(setup, 2))
    assert not list(tmp_path.rglob("*.jsonl"))


def test_too_little_memory_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as scarce:
        scarce.setattr("fitness.probing.probe.available_bytes", lambda device: 1)
        refused = _scores(_setup(tmp_path), "naswot", count=1)["naswot"]
    assert "memory" in str(refused.reasons[0])
    assert _scores(_setup(tmp_path), "naswot", count=1)["naswot"].values != [None]


def test_a_cache_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RunError, match=r"cannot write to the score cache .*file"):
        ScoreFile(tmp_path / "file" / "naswot.jsonl", HEADER).put("a", Known(1.0, None, None, 0.1))


def test_the_users_folder_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAS_ENGINE_CACHE", str(tmp_path / "score-cache"))
    assert default_folder() == tmp_path / "score-cache"
    monkeypatch.delenv("NAS_ENGINE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "nas-engine" / "scores"


def test_measure_is_what_scores_go_through() -> None:
    assert measure.__module__ == "fitness.probing.measure"  # the name that the first test replaces
