"""`engine train` on runs of space rnn: networks forecast the run's series, as published unless told otherwise."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import engine as package
from engine.cli import main
from engine.training import ForecastPlan, TrainingPlan, trained_store
from engine.training.kinds import PLANS
from engine.training.measured import KINDS
from fitness.series import load_series, persistence
from fitness.training.checkpoint import load_weights
from fitness.training.forecast import Forecasting, errors
from fitness.training.recipe import ForecastRecipe
from spaces import SPACES
from spaces.errors import UsageError

SPACE = "rnn(cell=rnn,max_layers=2,max_units=3,max_look_back=4)"
SERIES = "sine(stop=5)"
SEARCH = ["run", f"--space={SPACE}", "--strategy=random", "--objective=mrs(samples=5)", "--objective=params:min"]
SEARCH += ["--budget=6", "--seed=2", "--quiet"]
QUICK = ["--epochs=1", "--quiet"]


@pytest.fixture(scope="module")
def search_done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search that all tests start from."""
    folder = tmp_path_factory.mktemp("search") / "found"
    assert main([*SEARCH, f"--data={SERIES}", f"--out={folder}"]) == 0
    return folder


@pytest.fixture
def searched(search_done: Path, engine: Any, tmp_path: Path) -> Path:
    """A finished search, to be trained in."""
    shutil.copytree(search_done, tmp_path / "found")
    return tmp_path / "found"


def lines(run: Path) -> list[dict[str, Any]]:
    """The trainings without what the clock decides."""
    found = [json.loads(line) for line in (run / "trained.jsonl").read_text().splitlines()]
    for one in found:
        assert one.pop("seconds") == one["scores"].pop("train_seconds", None) or one["status"] == "failed"
    return found


def test_a_training_is_recorded_with_its_errors_which_are_those_of_the_weights_kept(
    engine: Any, searched: Path, records_of: Any
) -> None:
    answer = engine("train", searched, "--pick=3", "--epochs=2", "--learning-rate=0.01", "--seed=4", "--quiet")
    assert answer.code == 0, answer.err
    [made] = lines(searched)
    network = SPACES.create("rnn", {"cell": "rnn", "max_layers": 2, "max_units": 3, "max_look_back": 4}).decode(
        trained_store(searched).read(0).genotype
    )
    series, look_back = load_series(SERIES), network.shapes[0][0]
    training = Forecasting(network, series, ForecastRecipe(epochs=2, learning_rate=0.01), seed=4)
    while not training.done:
        training.run_epoch()
    test = errors(training.take_best(), series, "test")
    expected = {
        "test_mae": test.mae,
        "test_mse": test.mse,
        "test_msle": test.msle,
        "validation_mae": errors(training.module, series, "validation").mae,
        "persistence_mae": persistence(series, "test", look_back),
        "epochs": 2,
    }
    assert made["scores"] == {**records_of(searched)[3]["scores"], **expected}
    kept = load_weights(searched / "trained" / "0" / "weights.npz", network)
    assert errors(kept, series, "test") == test
    assert (made["parent"], made["status"]) == (3, "ok")
    better = "1 of 1 beat persistence, the forecast that every row is as the one before it: 3"
    said = better if test.mae < expected["persistence_mae"] else better.replace("1 of", "0 of").partition(":")[0]
    assert said in answer.out
    assert "unscaled" not in answer.out


def test_what_is_trained_is_not_trained_again_and_the_front_goes_over_it(engine: Any, searched: Path) -> None:
    ask = ["train", searched, "--pick", 1, 2, *QUICK]
    first = engine(*ask)
    assert first.code == 0, first.err
    assert engine(*ask) == first
    assert engine(*ask, f"--data={SERIES}") == first  # its own series
    trained = lines(searched)
    assert [one["parent"] for one in trained] == [1, 2]
    over = ["--objective=test_mae", "--objective=params:min"]
    shown = json.loads(engine("front", searched, *over, "--json").out)
    best = {
        one["parent"]
        for one in trained
        if not any(
            other is not one
            and all(other["scores"][name] <= one["scores"][name] for name in ("test_mae", "params"))
            for other in trained
        )
    }
    assert {one["number"] for one in shown["front"]} == best
    assert shown["objectives"][0] == {"name": "test_mae", "direction": "min"}
    assert engine("train", searched, "--pick=1", "--data=sine", *QUICK).code == 0
    shown = json.loads(engine("front", searched, *over, "--json").out)
    assert (shown["considered"], shown["left_out"]) == (1, 1)


def test_an_untrained_run_says_how_to_train(engine: Any, searched: Path) -> None:
    answer = engine("front", searched, "--objective=test_mae")
    assert answer.complaint.endswith(f"first `engine train {searched} --top 5`")


def test_a_file_is_forecast_in_its_own_units_too_and_trained_anew_when_it_changes(
    engine: Any, searched: Path, tmp_path: Path
) -> None:
    def put(level: float) -> None:
        np.savetxt(tmp_path / "load.csv", level + 100 * load_series(SERIES).inputs, header="load", comments="")

    put(500)
    ask = ["train", searched, "--pick=0", "--data=csv:load.csv", *QUICK]
    answer = engine(*ask)
    assert answer.code == 0, answer.err
    scores = lines(searched)[0]["scores"]
    assert scores["test_mae_unscaled"] == pytest.approx(100 * np.sin(0.4 * np.pi) * scores["test_mae"], rel=1e-9)
    assert 0 < scores["test_mape"] < 100
    assert "test_mae_unscaled in the units of the data" in answer.out
    put(600)
    assert "the data have changed since: 1 training does not count" in engine(*ask[:-1]).err
    assert len(lines(searched)) == 2
    assert engine(*ask, "--scale=unit").code == 0
    assert lines(searched)[2]["scores"]["test_mae_unscaled"] > 2 * lines(searched)[2]["scores"]["test_mae"]


def test_a_training_that_diverges_is_a_failed_record(engine: Any, searched: Path) -> None:
    answer = engine("train", searched, "--pick=0", *QUICK, "--learning-rate=1e300")
    assert answer.code == 0, answer.err
    [made] = lines(searched)
    assert made["status"] == "failed"
    assert "candidate 0 failed: the" in answer.out
    assert "of epoch 1 is" in made["reason"]
    assert not (searched / "trained" / "0" / "weights.npz").exists()


def test_a_search_of_series_trains_its_top(engine: Any, tmp_path: Path) -> None:
    plain = [flag for flag in SEARCH if not flag.startswith("--objective")]
    answer = engine(*plain, f"--data={SERIES}", "--out=new", "--train-top=1", "--epochs=1", "--batch=9", "--json")
    assert answer.code == 0, answer.err
    found = json.loads(answer.out)
    assert json.loads((tmp_path / "new" / "study.json").read_text())["config"]["fitness"] == "mrs"
    assert found["trained"][0]["parent"] == found["best"]["number"]
    described = json.loads((tmp_path / "new" / "trained" / "0" / "recipe.json").read_text())
    assert described["plan"]["batch"] == 9
    again = engine(
        "train", "new", "--best=1", "--batch=9", "--seed=2", *QUICK
    )  # a search's seed is its trainings' too
    assert again.code == 0
    assert len(lines(tmp_path / "new")) == 1


def test_python_trains_too(searched: Path) -> None:
    [made] = package.train(searched, picks=[2], epochs=1, shuffle=True)
    assert made.scores["test_mae"] > 0
    with pytest.raises(UsageError, match="unknown option of training 'epoch'; did you mean 'epochs'"):
        package.train(searched, best=1, epoch=1)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (
            ["--flip"],
            "flip (--flip) is of networks that read images, and those of this run read series; leave it out",
        ),
        (["--train-images=9"], "train_images (--train-images) is of networks that read images"),
        (["--optimizer=sgd"], "optimizer (--optimizer) is of networks that read images"),
        (["--dropout=1"], "dropout is 1.0; expected a share of at least 0 and below 1"),
        (["--epochs=0"], "epochs is 0; expected a whole number of 1 or more"),
        (["--data=digits"], "reads a time series, and 'digits' are images"),
        (["--data=sin"], "unknown time series 'sin'; did you mean 'sine'?"),
        (["--data=csv:load.csv"], "load.csv"),
        (["--data=sine(stop=1)"], "the validation part of sine(stop=1) has 2 rows, and look-back"),
        (["--split=0.999"], "expected at least 2 in every part"),
        (["--device=tpu"], "device 'tpu' cannot be used"),
    ],
)
def test_what_cannot_be_trained_is_said(arguments: list[str], complaint: str, engine: Any, searched: Path) -> None:
    assert complaint in engine("train", searched, "--pick=3", "--quiet", *arguments).complaint
    assert not list((searched / "trained").glob("*"))


def test_a_plan_says_which_flags_ask_for_it() -> None:
    plan = ForecastPlan(data="sine", shuffle=True, weight_range=0.1, patience=9)
    assert plan.flags == ["--data", "sine", "--patience", "9", "--weight-range", "0.1", "--shuffle"]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"dropout": "x"}, "dropout is 'x'; expected a share"),
        ({"learning_rate": "x"}, "learning_rate is 'x'; expected a number above 0"),
        ({"weight_range": None}, "weight_range is None; expected a number of 0 or more"),
        ({"min_delta": True}, "min_delta is True; expected a number of 0 or more"),
        ({"shuffle": 1}, "shuffle is 1; expected True or False"),
        ({"batch": "5"}, "batch is '5'; expected a whole number of 1 or more"),
    ],
)
def test_values_of_a_wrong_type_make_no_plan(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        ForecastPlan(data="sine", **wrong)


def test_no_learning_rate_is_that_of_the_recipe() -> None:
    assert ForecastPlan(data="sine", learning_rate=None) == ForecastPlan(data="sine")


def test_other_columns_of_a_runs_file_are_no_change_of_it(engine: Any, tmp_path: Path) -> None:
    series = load_series(SERIES).inputs[:, 0]
    rows = np.column_stack([series, np.roll(series, 2)])
    np.savetxt(tmp_path / "two.csv", rows, header="load,temp", comments="", delimiter=",")
    search = [*SEARCH, "--data=csv:two.csv", "--column=load", "--out=two"]
    assert engine(*search).code == 0
    answer = engine("train", "two", "--pick=0", "--column=temp", *QUICK)
    assert answer.code == 0, answer.err
    described = json.loads((tmp_path / "two" / "trained" / "0" / "recipe.json").read_text())
    assert described["inputs"] == described["targets"] == ["temp"]


def test_every_kind_of_network_has_a_plan() -> None:
    assert {plan.kind.reads for plan in PLANS} == set(KINDS) == {SPACES.load(name).reads for name in SPACES}  # type: ignore[attr-defined]
    assert PLANS == (TrainingPlan, ForecastPlan)


def results(run: Path) -> list[Any]:
    """Records and weights."""
    found: list[Any] = lines(run)
    for number in range(len(found)):
        with np.load(run / "trained" / str(number) / "weights.npz", allow_pickle=False) as arrays:
            found += [(name, arrays[name].tobytes()) for name in sorted(arrays.files)]
    return found


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_trainings_killed_come_to_the_same_with_any_number_of_processes(
    workers: int, engine: Any, searched: Path, spawn: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    ask = ["--pick", "0", "1", "--epochs=15", "--learning-rate=0.001", "--quiet"]
    shutil.copytree(searched, tmp_path / "whole")
    assert engine("train", "whole", *ask).code == 0
    process = spawn("train", "found", *ask, f"--workers={workers}")
    deadline = time.monotonic() + 60
    while not list((searched / "trained").glob("*/checkpoint.npz")):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.002)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert engine("train", "found", *ask, f"--workers={workers}").code == 0
    assert results(searched) == results(tmp_path / "whole")
