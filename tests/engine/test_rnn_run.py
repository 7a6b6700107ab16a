"""Runs of networks that forecast time series, wired like those of images; what does not go together is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine import search
from engine.config import RunConfig
from engine.results.summary import announce
from engine.setup import Setup
from fitness.series import load_series
from spaces.errors import UsageError
from spaces.rnn import RnnSpace

SPACE = "rnn(max_units=4,max_layers=2,max_look_back=4)"
RUN = ("run", f"--space={SPACE}", "--strategy=random", "--fitness=mrs(samples=3)", "--quiet")
ROWS = "day,load,temp\n" + "".join(f"d{row},{row * row % 7},{row % 5}\n" for row in range(60))
CSV = ("--data=csv:load.csv", "--column=load", "--column=temp", "--target-column=load", "--split=0.7")


@pytest.fixture
def load(tmp_path: Path) -> Path:
    """A file of a series, where commands run."""
    path = tmp_path / "load.csv"
    path.write_text(ROWS)
    return path


def test_a_run_on_a_file_goes_on_from_anywhere_as_if_it_had_not_ended(
    engine: Any, load: Path, tmp_path: Path, lines_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert engine(*RUN, *CSV, "--budget=5", "--out=short").code == 0
    assert engine(*RUN, *CSV, "--budget=9", "--out=whole").code == 0
    config = json.loads((tmp_path / "short/study.json").read_text())["config"]
    assert config["space"] == f"{SPACE[:-1]},features=2,outputs=1)"
    digest = load_series(config["data"]).digest
    assert config["data"] == f"csv(column=load+temp,target=load,split=0.7,digest={digest}):{load.resolve()}"
    assert config["device"] in ("cpu", "cuda")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert engine("resume", tmp_path / "short", "--budget=9", "--quiet").code == 0
    assert lines_of(tmp_path / "short") == lines_of(tmp_path / "whole")


def test_what_a_run_found_is_shown_without_its_file_but_not_carried_on_with_another(
    engine: Any, load: Path
) -> None:
    assert engine(*RUN, *CSV, "--budget=4", "--out=run").code == 0
    best = json.loads(engine("front", "run", "--json").out)["front"][0]
    load.write_text(ROWS.replace(",4\n", ",3\n"))
    refused = engine("resume", "run", "--budget=6", "--quiet").complaint
    assert "load.csv has changed since it was first read" in refused
    assert "load.csv has changed" in engine("score", "run:best", "--fitness=mrs(samples=3)").complaint
    load.unlink()
    assert json.loads(engine("front", "run", "--json").out)["front"][0] == best
    assert engine("score", "run:best", "--fitness=params").code == 0


def test_an_architecture_is_scored_as_in_the_run(engine: Any, load: Path) -> None:
    assert engine(*RUN, *CSV, "--budget=4", "--out=run").code == 0
    value = json.loads(engine("front", "run", "--json").out)["front"][0]["values"]["mrs(samples=3)"]
    again = json.loads(engine("score", "run:best", "--fitness=mrs(samples=3),params", "--json").out)
    assert again["scores"]["mrs(samples=3)"] == value
    alone = ("--space=rnn", "--fitness=mrs(samples=3)", *CSV, "--json")
    assert json.loads(engine("score", again["architecture"], *alone).out)["scores"]["mrs(samples=3)"] == value


def test_a_search_says_what_it_reads_and_reads_the_sine_by_itself(engine: Any) -> None:
    setup = Setup(RunConfig(space=SPACE, strategy="random", fitness="mrs"))
    said = announce(setup).splitlines()
    assert said[0].startswith("space rnn 1 column -> 1; strategy random; ")
    assert said[-1].startswith(
        "series sine: 1,000 rows of sine, 640 for train, 160 for validation, 200 for test; scale none;"
    )
    listed = {row["data"] for row in json.loads(engine("list", "data", "--json").out)}
    assert {"noise", "sine", "sunspots", "co2", "csv:FILE"} < listed


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--data=digits"], "reads a time series, and 'digits' are images; expected sine, sunspots, co2, csv:FILE"),
        (["--data=sin"], "unknown time series 'sin'; did you mean 'sine'"),
        (["--data=csv:none.csv"], "none.csv cannot be read: No such file or directory"),
        (["--classes=3"], "input shape 32x32x3 with 3 classes is of images; leave them out"),
        (["--fitness=naswot"], "naswot is computed on images, and space 'rnn' reads a time series; expected mrs"),
        (["--fitness=trace"], "trace counts ReLUs, and networks of space 'rnn' have none; expected --fitness mrs"),
        (["--column=load"], "--column is of csv:FILE, and sine has one column"),
        (["--split=2"], "split is 2; expected a share of the rows"),
        (["--batch=5"], "batch 5 is a number of images, and space 'rnn(max_look_back=5)' reads a time series"),
        (["--fitness=mrs(threshold=2)"], "threshold is 2; expected a number above lower=0 and below upper=2"),
        (["--fitness=arena_bytes"], "arena_bytes is of a .tflite file, and networks of space 'rnn' have none"),
        (["--space=rnn(cell)"], "space 'rnn(cell)': 'cell' is not an option; expected name=value"),
        (["--data=sine", "--target-column=load"], "--target-column is of csv:FILE, and sine has one column"),
        (["--data=sine", "--scale=half"], "unknown scale 'half'"),
        (["--data=sine(stop=3)"], "the validation part of sine(stop=3) has 5 rows"),
        ([*CSV, "--column=tmp"], "unknown column 'tmp'; did you mean 'temp'"),
        ([*CSV, "--space=rnn(features=1,outputs=1,max_look_back=3)"], "has 2 input columns and the networks of"),
    ],
)
def test_what_a_space_of_series_cannot_do_is_refused_before_it_runs(
    arguments: list[str], says: str, engine: Any, load: Path, tmp_path: Path
) -> None:
    answer = engine(*RUN, "--space=rnn(max_look_back=5)", "--budget=2", "--out=run", *arguments)
    assert says in answer.complaint
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--data=sine", "--fitness=params"], "reads images, and 'sine' is a time series; expected images"),
        (
            ["--fitness=mrs"],
            "mrs is computed on a time series, and space 'munas' reads images; expected --space rnn",
        ),
        (["--split=0.7", "--data=digits"], "--split is of a time series and --data is 'digits'"),
    ],
)
def test_a_space_of_images_reads_no_series(arguments: list[str], says: str, engine: Any) -> None:
    assert says in engine("run", "--budget=2", *arguments).complaint


def test_the_longest_look_back_has_to_fit_into_every_part(load: Path) -> None:
    with pytest.raises(UsageError, match=r"has 10 rows, .* up to 30, which needs 31; .* max_look_back=9 or less"):
        search("rnn", "random", "mrs", data=f"csv(column=load):{load}", budget=1)


def test_a_look_back_below_the_presets_least_needs_both_bounds(load: Path) -> None:
    few = f"csv(column=load,validation=0.04):{load}"
    with pytest.raises(UsageError, match=r"has 2 rows, .* needs 31; .* min_look_back=1, max_look_back=1 or less"):
        search("rnn", "random", "mrs", data=few, budget=1)
    search("rnn(min_look_back=1,max_look_back=1)", "random", "mrs(samples=2)", data=few, budget=1)


@pytest.mark.parametrize("space", ["rnn()", " rnn ( ) ", "rnn", "rnn(max_look_back=3)"])
def test_a_run_says_the_columns_of_its_space_so_that_it_can_be_opened(
    space: str, engine: Any, tmp_path: Path
) -> None:
    assert engine("run", f"--space={space}", "--fitness=params", "--budget=1", "--out=run", "--quiet").code == 0
    assert "features=1,outputs=1)" in json.loads((tmp_path / "run" / "study.json").read_text())["config"]["space"]
    assert engine("front", "run").code == 0


def test_options_of_a_series_without_its_name_are_of_the_sine(engine: Any, tmp_path: Path) -> None:
    assert engine(*RUN, "--split=0.7", "--scale=unit", "--budget=1", "--out=run").code == 0
    config = json.loads((tmp_path / "run" / "study.json").read_text())["config"]
    assert config["data"] == "sine(split=0.7,scale=unit)"


def test_columns_are_said_before_a_run(load: Path) -> None:
    def said(columns: str) -> str:
        data = f"csv({columns}):{load}"
        return announce(Setup(RunConfig(space=SPACE, strategy="random", fitness="mrs", data=data))).splitlines()[-1]

    assert "60 rows of load, temp -> load, 38 for train" in said("column=load+temp,target=load")
    assert "60 rows of load, 38 for train" in said("column=load")
    load.write_text(",".join(map(str, range(9))) + "\n" + "1,2,3,4,5,6,7,8,9\n" * 20)
    assert "21 rows of 0, 1, 2, 3, 4, ... (9 columns) -> 7, 14 for" in said("target=7,scale=none")


@pytest.mark.parametrize("command", ["compare", "correlate"])
def test_recurrent_networks_have_no_benchmark(command: str, engine: Any) -> None:
    for metric in ([], ["--metric=test_mae:min"]):
        complaint = engine(command, f"--space={SPACE}", "--fitness=params", *metric).complaint
        assert "there is no benchmark of recurrent networks here" in complaint
        assert "compare by `engine run` with each strategy or by experiments/rnn" in complaint


@pytest.mark.slow
def test_scores_are_correlated_with_ones_own_file_of_recurrent_networks(engine: Any, tmp_path: Path) -> None:
    rows = [f'{row},"{{""look_back"":2,""layers"":1,""l0.units"":{row + 1}}}",{row * 3 % 4}' for row in range(4)]
    (tmp_path / "own.csv").write_text("\n".join(["index,arch_str,test_mae", *rows, ""]))
    own = ["--table=own.csv", "--metric=test_mae:min", f"--space={SPACE}", "--fitness=params"]
    assert "all 4 networks of the table" in engine("correlate", *own, "--resamples=0", "--quiet").out


def test_the_figures_of_an_architecture_are_those_that_it_has(engine: Any) -> None:
    answer = engine("score", "--space=rnn", '{"look_back":2,"layers":1,"l0.units":4}', "--json")
    scored = json.loads(answer.out)
    assert "failed" not in scored
    assert {"params", "flash_bytes", "state_bytes"} < set(scored["scores"])
    assert not any("munas" in name or "tflite" in name or "arena" in name for name in scored["scores"])


def test_ones_own_space_forecasts_too(load: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(load.parent)
    space = RnnSpace(features=2, outputs=1, max_units=3, max_layers=1, max_look_back=3)
    found = search(space, "random", "mrs(samples=3)", data="csv(column=load+temp,target=load):load.csv", budget=3)
    assert found.setup.config.data == f"csv(column=load+temp,target=load):{load.resolve()}"
    named = search(
        "rnn(max_units=3,max_layers=1,max_look_back=3)",
        "random",
        "mrs(samples=3)",
        data=found.setup.config.data,
        budget=3,
    )
    assert [record.scores for record in named.records] == [record.scores for record in found.records]


def test_a_target_bounds_recurrent_networks_by_weights_and_state(engine: Any) -> None:
    answer = engine(*RUN, "--target=mcu-256k", "--budget=3", "--out=run", "--json")
    assert {"flash_bytes", "peak_ram_bytes"} < set(json.loads(answer.out)["best"]["scores"])


def test_a_file_that_changes_between_two_searches_is_read_anew(load: Path) -> None:
    what = {"space": SPACE, "strategy": "random", "fitness": "mrs(samples=3)", "data": f"csv(column=load):{load}"}
    before = search(**what, budget=2).best.scores
    load.write_text(ROWS.replace(",4,", ",3,"))
    assert search(**what, budget=2).best.scores != before
