"""`engine train` and `--train-top`: what is trained is recorded, once, and is the same however it came about."""

from __future__ import annotations

import json
import os
import re
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
from engine.training import TrainingPlan, trained_store
from fitness.data.splits import load_splits
from fitness.training.checkpoint import load_weights
from fitness.training.fit import Training, accuracy
from fitness.training.recipe import Recipe
from spaces import SPACES
from spaces.errors import UsageError

SEARCH = [
    "run",
    "--space=nats-tss(channels=4, cells=1)",
    "--input-shape=8x8x3",
    "--classes=3",
    "--strategy=random",
    "--objective=trace",
    "--objective=params:min",
    "--budget=12",
    "--quiet",
]
QUICK = ["--epochs=1", "--batch=20", "--quiet"]
MEASURED = ["--objective=int8_test_accuracy", "--objective=params:min"]


def put_pictures(path: Path, seed: int = 0, **less: str) -> str:
    """Small pictures of three classes, some kept apart for testing, without the arrays that are named."""
    rng = np.random.default_rng(seed)
    arrays: dict[str, Any] = {}
    for part, count in (("train", 60), ("test", 30)):
        arrays[f"{part}_images"] = rng.integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
        arrays[f"{part}_labels"] = np.arange(count) % 3
    np.savez(path, **{name: array for name, array in arrays.items() if name not in less.values()})
    return f"npz:{path}"


@pytest.fixture
def data(tmp_path: Path) -> str:
    """A source of such pictures."""
    return put_pictures(tmp_path / "pictures.npz")


@pytest.fixture(scope="module")
def search_done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search that all tests start from."""
    folder = tmp_path_factory.mktemp("search") / "found"
    assert main([*SEARCH, f"--out={folder}"]) == 0
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


def test_a_training_is_recorded_with_the_candidate_and_what_was_measured(
    engine: Any, searched: Path, data: str, records_of: Any
) -> None:
    assert engine("train", searched, "--pick", 3, 7, f"--data={data}", *QUICK).code == 0
    candidates = records_of(searched)
    for number, (made, of) in enumerate(zip(lines(searched), (3, 7), strict=True)):
        assert (made["number"], made["parent"], made["status"]) == (number, of, "ok")
        assert made["key"] == candidates[of]["key"]
        assert made["genotype"] == candidates[of]["genotype"]
        measured = {name: made["scores"][name] for name in made["scores"].keys() - candidates[of]["scores"].keys()}
        assert measured.pop("epochs") == 1
        assert measured.pop("tflite_bytes", 1) > 0
        assert measured.keys() == {"test_accuracy", "validation_accuracy", "int8_test_accuracy"}
        assert all(0 <= value <= 100 for value in measured.values())
        assert made["scores"].items() >= candidates[of]["scores"].items()
        assert sorted(os.listdir(searched / "trained" / str(number))) == [
            "recipe.json",
            "result.json",
            "weights.npz",
        ]
    assert [record.parent for record in trained_store(searched)] == [3, 7]


def test_the_accuracies_are_those_of_the_training_loop_and_of_the_weights_kept(
    engine: Any, searched: Path, data: str, records_of: Any
) -> None:
    assert (
        engine(
            "train", searched, "--pick=5", f"--data={data}", *QUICK[1:], "--epochs=2", "--seed=4", "--no-flip"
        ).code
        == 0
    )
    space = SPACES.create("nats-tss", {"channels": 4, "cells": 1}, {"input_shape": (8, 8, 3), "num_classes": 3})
    network = space.decode(trained_store(searched).read(0).genotype)
    splits = load_splits(data, (3, 8, 8))
    training = Training(network, splits, Recipe(epochs=2, batch=20, flip=False), seed=4)
    while not training.done:
        training.run_epoch()
    scores = lines(searched)[0]["scores"]
    assert scores["validation_accuracy"] == training.best_epoch.validation
    assert scores["test_accuracy"] == accuracy(training.take_best(), splits.test, splits.normalisation)
    module = load_weights(searched / "trained" / "0" / "weights.npz", network)
    assert scores["test_accuracy"] == accuracy(module, splits.test, splits.normalisation)


def test_what_is_trained_is_not_trained_again_unless_otherwise(engine: Any, searched: Path, data: str) -> None:
    ask = ["train", searched, "--pick", 2, 4, f"--data={data}", *QUICK]
    first = engine(*ask)
    before = (searched / "trained.jsonl").read_bytes()
    assert engine(*ask) == first
    assert (searched / "trained.jsonl").read_bytes() == before
    assert engine(*ask[:3], 4, f"--data={data}", *QUICK, "--epochs=2").code == 0
    assert [(one["parent"], one["scores"]["epochs"]) for one in lines(searched)] == [(2, 1), (4, 1), (4, 2)]


@pytest.mark.slow
def test_processes_change_nothing(engine: Any, searched: Path, data: str, tmp_path: Path) -> None:
    ask = [f"--data={data}", "--pick", 1, 2, 3, *QUICK]
    assert engine("train", searched, *ask).code == 0
    alone = lines(searched)
    (searched / "trained.jsonl").unlink()
    (searched / "trained").rename(tmp_path / "before")
    assert engine("train", searched, *ask, "--workers=2").code == 0
    assert lines(searched) == alone


@pytest.mark.parametrize("half_done", ["renamed", "judged"])
def test_a_training_that_was_finished_and_not_recorded_is_recorded(
    half_done: str, engine: Any, searched: Path, data: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = ["train", searched, "--pick", 6, 8, f"--data={data}", *QUICK]
    assert engine(*ask).code == 0
    whole = lines(searched)
    (searched / "trained.jsonl").write_bytes((searched / "trained.jsonl").read_bytes().splitlines(True)[0])
    if half_done == "judged":
        plan = TrainingPlan(data=data, epochs=1, batch=20, device="cpu")
        from engine.training.carrying_out import _draft

        os.rename(
            searched / "trained" / "1", _draft(searched, trained_store(searched).read(0)._replace(number=8), plan)
        )
    monkeypatch.setattr("fitness.training.fit.Training.run_epoch", None)
    assert engine(*ask).code == 0
    assert lines(searched) == whole


@pytest.mark.parametrize(
    ("batch", "reason"),
    [
        (20, r"the loss of epoch 1 is (nan|inf)"),
        (1000, r"after epoch 1: weights or outputs of the network are not finite"),  # seen by the only step: none
    ],
)
def test_a_training_that_diverges_is_a_failed_record_and_the_others_go_on(
    batch: int, reason: str, engine: Any, searched: Path, data: str
) -> None:
    ask = ["train", searched, "--pick", 0, 1, f"--data={data}", "--epochs=1", f"--batch={batch}", "--quiet"]
    answer = engine(*ask, "--learning-rate=1e30", "--optimizer=sgd")
    assert answer.code == 0, answer.err
    for number, made in enumerate(lines(searched)):
        assert re.search(rf"candidate {number} failed: {reason}; a lower learning rate may help", answer.out)
        assert made["status"] == "failed"
        assert "test_accuracy" not in made["scores"]
        assert not (searched / "trained" / str(number) / "weights.npz").exists()


def test_the_front_goes_over_what_was_measured(engine: Any, searched: Path, data: str) -> None:
    over = ["front", searched, *MEASURED, "--json"]
    assert "first `engine train" in engine(*over).complaint
    assert engine("train", searched, "--pick", *range(4), f"--data={data}", *QUICK).code == 0
    trained = [
        (one["parent"], one["scores"]["int8_test_accuracy"], one["scores"]["params"]) for one in lines(searched)
    ]
    best = {
        number
        for number, accurate, large in trained
        if not any(a >= accurate and b <= large and (a, b) != (accurate, large) for _, a, b in trained)
    }
    found = json.loads(engine(*over).out)
    assert {one["number"] for one in found["front"]} == best
    assert (found["considered"], found["left_out"]) == (4, 0)
    joined = engine("front", searched, "--objective=int8_test_accuracy+trace").complaint
    assert "'int8_test_accuracy+trace' joins int8_test_accuracy, which only training measures" in joined
    top = json.loads(engine("train", searched, *MEASURED, "--top=9", f"--data={data}", *QUICK, "--json").out)
    assert {one["parent"] for one in top["trained"]} == best
    assert len(lines(searched)) == 4  # all of them are known
    assert "unknown recorded score 'macs'" in engine("front", searched, "--objective=macs:min").complaint


def test_the_front_holds_each_candidate_once_and_only_what_can_be_compared(
    engine: Any, searched: Path, data: str, tmp_path: Path
) -> None:
    """0 and 1 by the newest recipe with two seeds, 2 by another, 1 also on other images."""
    over = ["front", searched, "--objective=test_accuracy", "--objective=params:min"]
    other = put_pictures(tmp_path / "other.npz", seed=1)
    for source, *ask in (
        (data, "--pick=2", "--epochs=2"),
        (other, "--pick=1"),
        (data, "--pick", 0, 1),
        (data, "--pick=1", "--seed=1"),
    ):
        assert engine("train", searched, f"--data={source}", *QUICK, *ask).code == 0
    found = json.loads(engine(*over, "--json").out)
    assert (found["considered"], found["left_out"]) == (2, 1)
    newest = {one["parent"]: one["scores"]["test_accuracy"] for one in lines(searched)[2:]}
    shown = {one["number"]: one["values"]["test_accuracy"] for one in found["front"]}
    assert shown.items() <= newest.items()
    said = "1 candidate was trained only on other data or by another recipe than the newest, and left out"
    assert engine(*over).out.splitlines()[-1] == said


def test_other_images_at_the_same_place_make_another_training(
    engine: Any, searched: Path, data: str, tmp_path: Path
) -> None:
    ask = ["train", searched, "--pick=3", f"--data={data}", *QUICK[:-1]]
    assert engine(*ask).code == 0
    assert "changed" not in engine(*ask).err
    put_pictures(tmp_path / "pictures.npz", seed=1)
    assert "the data have changed since: 1 training does not count" in engine(*ask).err
    assert [one["parent"] for one in lines(searched)] == [3, 3]
    assert len(json.loads(engine("front", searched, *MEASURED, "--json").out)["front"]) == 1


def test_what_was_begun_on_other_images_does_not_go_on(
    engine: Any, searched: Path, data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = ["train", searched, "--pick=3", f"--data={data}", *QUICK]
    with monkeypatch.context() as patch:
        patch.setattr("fitness.training.fit.Training.take_best", None)
        with pytest.raises(TypeError):
            engine(*ask)
    begun = next((searched / "trained").glob("of-3-*/checkpoint.npz"))
    put_pictures(tmp_path / "pictures.npz", seed=1)
    monkeypatch.setattr("fitness.training.fit.Training.restore", None)
    assert begun.exists()
    assert engine(*ask).code == 0


def test_a_search_trains_its_top(engine: Any, data: str, tmp_path: Path) -> None:
    answer = engine(*SEARCH, "--out=found", "--train-top=2", f"--data={data}", "--epochs=1")
    assert answer.code == 0, answer.err
    assert "front of the trained over int8_test_accuracy:max, params:min: " in answer.out
    again = engine("train", "found", "--best=2", f"--data={data}", "--epochs=1", "--quiet")
    assert again.out.splitlines()[:3] == answer.out.splitlines()[-5:-2]
    assert len(lines(tmp_path / "found")) == 2
    front = json.loads(engine("front", "found", "--json").out)
    assert {one["parent"] for one in lines(tmp_path / "found")} <= {one["number"] for one in front["front"]}


def test_a_search_that_trains_has_a_fitness_of_its_own_and_prints_one_json(
    engine: Any, data: str, tmp_path: Path
) -> None:
    plain = [flag for flag in SEARCH if not flag.startswith("--objective")]
    answer = engine(*plain, "--out=found", "--train-top=1", f"--data={data}", "--epochs=1", "--json")
    found = json.loads(answer.out)
    assert found["trained"][0]["scores"]["epochs"] == 1
    assert found["records"] == 12
    config = json.loads((tmp_path / "found" / "study.json").read_text())["config"]
    assert config["fitness"] == "params+macs+bottleneck"
    assert "macs<=5000000" in config["bounds"]
    assert found["trained"][0]["parent"] == found["best"]["number"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--pick=3"], "--data"),
        (["--data=digits"], "no candidate is picked"),
        (["--data=digits", "--pick=3", "--epochs=0"], "epochs is 0; expected a whole number of 1 or more"),
        (["--data=digits", "--pick=3", "--optimizer=adam"], "unknown optimizer 'adam'; did you mean 'adamw'?"),
        (["--data=digits", "--pick=3", "--learning-rate=x"], "'x'; expected a number, e.g. 0.001"),
        (["--data=digits", "--pick=3", "--workers=0"], "workers is 0; expected a whole number"),
        (["--data=digits", "--pick=3"], "digits has 10 classes and the networks of this run tell 3 apart"),
        (["--data=noise", "--pick=3"], "'noise' has no class labels to train on"),
        (["--data=nose", "--pick=3"], "did you mean 'noise'?"),
        (["--data=digits", "--pick=99"], "has no record 99"),
        (["--data=digits", "--top=0"], "expected a whole number of at least 1"),
        (["--data=digits", "--pick=3", "--device=tpu"], "device 'tpu' cannot be used"),
    ],
)
def test_what_cannot_be_trained_is_said(arguments: list[str], complaint: str, engine: Any, searched: Path) -> None:
    assert complaint in engine("train", searched, "--quiet", *arguments).complaint
    assert not list((searched / "trained").glob("*"))


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--epochs=3"], "--epochs is of training and nothing is to be trained; add --train-top"),
        (["--no-flip"], "--flip is of training"),
        (["--train-top=2"], "--train-top needs images with labels to train on; add --data"),
        (["--train-top=2", "--data=noise"], "--train-top needs images with labels"),
        (["--train-top=0", "--data=digits"], "--train-top is 0; expected how many to train"),
        (["--train-top=2", "--data=digits"], "digits has 10 classes and the networks of this run tell 3 apart"),
        (["--train-top=2", "--data=npz:nowhere.npz"], "there is no file"),
        (["--train-top=2", "--data=npz:pictures.npz", "--train-images=55"], "54 images for training and 55 were"),
        (["--train-top=2", "--data=npz:unlabelled.npz"], "unlabelled.npz have no class labels"),
        (["--train-top=2", "--data=npz:pictures.npz", "--device=tpu"], "device 'tpu' cannot be used"),
    ],
)
def test_a_search_that_could_not_train_does_not_begin(
    arguments: list[str], complaint: str, engine: Any, tmp_path: Path
) -> None:
    put_pictures(tmp_path / "pictures.npz")
    put_pictures(tmp_path / "unlabelled.npz", less="test_labels")
    assert complaint in engine(*SEARCH, "--out=found", *arguments).complaint
    assert not (tmp_path / "found").exists()


def test_a_run_that_is_searched_or_trained_now_is_refused(engine: Any, searched: Path, data: str) -> None:
    from engine.records import RecordStore

    for store in (RecordStore(searched / "records.jsonl", write=True), trained_store(searched, write=True)):
        answer = engine("train", searched, "--pick=3", f"--data={data}", *QUICK)
        assert "is being written by another process; wait until it ends" in answer.complaint
        store.finish()


@pytest.mark.parametrize(("source", "flip", "shift"), [("npz", True, 0), ("digits", False, 0)])
def test_colour_is_mirrored_and_digits_are_not(source: str, flip: bool, shift: int, data: str) -> None:
    plan = TrainingPlan(data=data if source == "npz" else source)
    recipe = plan.recipe(load_splits(plan.data, (3, 8, 8)))
    assert (recipe.flip, recipe.shift) == (flip, shift)
    assert plan.recipe(load_splits(plan.data, (3, 32, 32))).shift == 2
    assert TrainingPlan(data=plan.data, flip=not flip, shift=3).recipe(load_splits(plan.data, (3, 8, 8))).shift == 3


def test_a_plan_says_which_flags_ask_for_it() -> None:
    plan = TrainingPlan(data="digits", epochs=5, flip=False, learning_rate=0.01)
    assert plan.flags == ["--data", "digits", "--epochs", "5", "--learning-rate", "0.01", "--no-flip"]


def test_more_images_than_there_are_are_refused_with_both_numbers(engine: Any, searched: Path, data: str) -> None:
    ask = ["train", searched, "--pick=3", f"--data={data}", "--train-images=55", "--quiet"]
    assert "54 images for training and 55 were asked for" in engine(*ask).complaint


def test_python_trains_too(searched: Path, data: str) -> None:
    first, *others = package.train(searched, picks=[2], top=1, data=data, epochs=1)
    assert first.parent == 2
    assert first.scores["test_accuracy"] == lines(searched)[0]["scores"]["test_accuracy"]
    assert len(others) <= 1
    with pytest.raises(UsageError, match="unknown option of training 'epoch'; did you mean 'epochs'"):
        package.train(searched, best=1, data=data, epoch=1)
    with pytest.raises(UsageError, match="seed is -1; expected a whole number"):
        TrainingPlan(data=data, seed=-1)


@pytest.mark.slow  # each starts a process that loads torch
@pytest.mark.parametrize("command", ["train", "run"])
def test_ctrl_c_says_how_to_go_on(
    command: str,
    engine: Any,
    searched: Path,
    data: str,
    spawn: Callable[..., subprocess.Popen[str]],
    tmp_path: Path,
) -> None:
    ask = ["train", "found", "--pick=3"] if command == "train" else [*SEARCH, "--out=other", "--train-top=2"]
    process = spawn(*ask, f"--data={data}", "--epochs=100000", "--quiet")
    folder = tmp_path / ("found" if command == "train" else "other") / "trained"
    deadline = time.monotonic() + 60
    while not list(folder.glob("*/checkpoint.npz")):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    expected = (
        "; the same command goes on after the last whole epoch"
        if command == "train"
        else f"; the search is done, train on with `engine train other --best 2 --data {data} --epochs 100000`"
    )
    assert err == f"engine: interrupted{expected}\n"


def test_ctrl_c_in_a_search_says_how_its_top_is_trained(
    engine: Any, data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("engine.records.RecordStore.append", stop)
    answer = engine(*SEARCH, "--out=other", "--train-top=2", f"--data={data}", "--epochs=3")
    assert answer.code == 130
    again = f"engine train other --best 2 --data {data} --epochs 3"
    assert answer.err == f"engine: interrupted; continue with `engine resume other`, then `{again}`\n"
