"""A board of one's own: what is taken for a file, and that runs and comparisons keep what it said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine import search
from engine.config import RunConfig
from engine.setup import Setup
from engine.targets import TARGETS, find_target, kept_target
from spaces.errors import UsageError
from tests.engine.test_targets import OWN, own

SMALLER = OWN.replace("flash_kb = 512", "flash_kb = 200").replace("conv = 30", "conv = 3")
FLAGS = ("--strategy=random", "--objective=latency_ms:min", "--seed=3", "--quiet")


def target_in(file: str) -> str:
    study = json.loads(Path(file).read_text(encoding="utf-8"))
    kept: str = study["base" if "base" in study else "config"]["target"]
    return kept


@pytest.mark.parametrize("later", [SMALLER, None], ids=["changed", "gone"])
def test_a_run_goes_on_under_the_board_that_it_began_under(
    later: str | None, engine: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    path = Path(own(tmp_path))
    assert engine("run", "--target=my-board.toml", *FLAGS, "--budget=20", "--out=run").code == 0
    assert engine("run", "--target=my-board.toml", *FLAGS, "--budget=25", "--out=whole").code == 0
    path.unlink()
    if later is not None:
        own(tmp_path, later)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    answer = engine("resume", "../run", "--budget=25")
    assert answer.code == 0, answer.err
    assert kept_target(target_in("../run/study.json")) == f"{OWN}\n"
    assert engine("front", "../run", "--json").out == engine("front", "../whole", "--json").out


def test_a_run_that_kept_the_path_alone_is_read_and_keeps_the_text_when_resumed(
    engine: Any, tmp_path: Path
) -> None:
    path = own(tmp_path)
    assert engine("run", "--target=my-board.toml", *FLAGS, "--budget=20", "--out=run").code == 0
    study = json.loads(Path("run/study.json").read_text(encoding="utf-8"))
    study["config"]["target"] = path
    Path("run/study.json").write_text(json.dumps(study), encoding="utf-8")
    assert engine("front", "run").code == 0
    assert engine("resume", "run", "--budget=25").code == 0
    assert target_in("run/study.json") == f"{OWN}\n"


def test_a_search_keeps_the_text_too(tmp_path: Path) -> None:
    search("munas", "random", fitness="trace", target=own(tmp_path), budget=5, out=tmp_path / "run")
    assert target_in(str(tmp_path / "run/study.json")) == f"{OWN}\n"


def test_a_comparison_goes_on_from_another_folder_without_the_file(
    engine: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    path = Path(own(tmp_path))
    given = ("--space=munas", "--strategies=random", "--metric=cifar10_test_6ep_pct", "--target=my-board.toml")
    made = engine("compare", *given, "--runs=2", "--budget=3", "--out=compared")
    assert made.code == 0, made.err
    path.unlink()
    for study in Path("compared/runs").glob("*1/study.json"):  # as if that run had not been begun
        study.unlink()
        (study.parent / "records.jsonl").unlink()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert engine("resume", "../compared").code == 0
    assert [target_in(str(file)) for file in Path("../compared").rglob("*.json")] == [f"{OWN}\n"] * 3


def test_every_board_stays_what_it_is_however_often_it_is_kept(tmp_path: Path) -> None:
    once = kept_target(own(tmp_path))
    assert kept_target(once) == once
    assert find_target(once) == find_target(own(tmp_path))
    one_line = 'small = { board = "Small", flash_kb = 512, ram_kb = 96 }'
    found = find_target(kept_target(own(tmp_path, one_line)))
    assert found
    assert (found.name, found.ram_budget_bytes) == ("small", 86 * 1024)
    for name in (*TARGETS, "none", "default"):
        assert kept_target(name) == name


def test_the_ending_may_be_in_capitals(tmp_path: Path) -> None:
    (tmp_path / "BOARD.TOML").write_text(OWN, encoding="utf-8")
    found = find_target(str(tmp_path / "BOARD.TOML"))
    assert found
    assert found.name == "my-board"


def test_a_name_that_is_neither_a_board_nor_a_file_is_told_what_it_may_be(tmp_path: Path) -> None:
    (tmp_path / "board.txt").write_text(OWN, encoding="utf-8")
    for name in (str(tmp_path / "board.txt"), "boards/mine"):
        with pytest.raises(
            UsageError, match=r"is no board and no file that ends in \.toml; expected a file of one"
        ):
            find_target(name)
    with pytest.raises(UsageError, match=r"did you mean 'esp32'\? known: .*; or a file of your own, FILE\.toml$"):
        find_target("esp33")
    with pytest.raises(UsageError) as caught:
        find_target("file.tml")
    assert "did you mean 'FILE" not in str(caught.value)


def test_what_is_wrong_with_a_kept_board_is_told() -> None:
    config = RunConfig(target=OWN.replace("flash_kb", "flash"))
    with pytest.raises(UsageError, match=r"the target's profile: \[my-board\]: unknown field 'flash'"):
        _ = Setup(config).target
