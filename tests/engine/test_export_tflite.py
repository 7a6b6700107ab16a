"""`engine export --format tflite`: files that real interpreters run, and what is said about them."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fitness.data.splits import load_splits
from fitness.training.fit import lower_seeded
from spaces import SPACES

pytest.importorskip("flatbuffers", reason="the extra tflite is not installed")

ARCHITECTURE = "8:8:8:8:8"
PROBLEM = ("--space=nats-sss", "--input-shape=8x8x1")
EXPORT = ("export", ARCHITECTURE, *PROBLEM, "--seed=2")
RUNTIMES = {"LiteRT": "ai_edge_litert", "TFLite Micro": "tflite_micro"}


def installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def test_the_interpreters_give_real_images_the_classes_of_the_float_network(engine: Any) -> None:
    (entry,) = json.loads(engine(*EXPORT, "--data=digits", "--out=net.tflite", "--json").out)["exports"]
    checks, content = entry["checks"], Path("net.tflite").read_bytes()
    assert entry["files"] == [{"path": "net.tflite", "bytes": len(content)}]
    assert content[4:8] == b"TFL3"
    assert set(checks["same_class_pct"]) == {"int8", *(name for name, of in RUNTIMES.items() if installed(of))}
    space: Any = SPACES.create("nats-sss", {}, {"input_shape": (8, 8, 1), "num_classes": 10})
    module = lower_seeded(space.decode(space.parse(ARCHITECTURE)), 2).eval()
    splits = load_splits("digits", (1, 8, 8))
    images = splits.normalisation(torch.from_numpy(splits.test.pixels[:200]))
    with torch.no_grad():
        classes = module(images).argmax(1).numpy()
    assert len(set(classes.tolist())) > 1, "or agreement would be cheap"
    assert checks["checked_images"] == len(classes)
    for share in checks["same_class_pct"].values():
        assert 90 < share <= 100
    if installed("tflite_micro"):
        from tests.oracles.micro import Micro

        interpreter, told = Micro(content), checks["input"]
        arena = interpreter.arena()
        assert checks["arena_bytes"] == arena.head + arena.tail
        pixels = splits.test.pixels[:200] / 255
        reals = (pixels - np.array(told["mean"])[:, None, None]) / np.array(told["deviation"])[:, None, None]
        stored = np.clip(np.rint(reals / told["scale"]) + told["zero_point"], -128, 127).astype(np.int8)
        found = [int(interpreter.run(image).argmax()) for image in stored.transpose(0, 2, 3, 1)[:, None]]
        assert checks["same_class_pct"]["TFLite Micro"] == pytest.approx(100 * np.mean(found == classes), abs=1)


def test_images_without_labels_do(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.results.export.interpret.PROGRAMS", {})
    answer = engine(*EXPORT, "--data=noise", "--out=net.tflite").out.splitlines()
    assert answer[1].split() == ["net.tflite", f"{Path('net.tflite').stat().st_size:,}"]
    assert "weights untrained, seed 2; same class as the float network on 200 images of noise: int8 " in answer[2]


def test_interpreters_that_are_missing_are_said_to_be(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    answer = engine(*EXPORT, "--data=noise", "--out=net.tflite").out
    assert "; LiteRT and TFLite Micro not installed, not asked; input int8 = " in answer


def test_an_interpreter_that_fails_is_an_error(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.results.export.interpret.PROGRAMS", {"tflite_micro": None})
    monkeypatch.setattr("importlib.util.find_spec", lambda name: "there")
    monkeypatch.setattr("fitness.tflite_file.write_tflite", lambda net: b"not a model")
    complaint = engine(*EXPORT, "--data=noise", "--out=net.tflite").complaint
    assert complaint.startswith("TFLite Micro does not run the file: ")
    assert not Path("net.tflite").exists()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((*EXPORT, "--format=tflite"), "int8 needs images to take ranges from; add --data SOURCE"),
        ((*EXPORT, "--format=tflite", "--data=digit"), "unknown image source 'digit'; did you mean 'digits'?"),
        ((*EXPORT, "--format=json", "--data=digits"), "format json needs no images; leave out --data"),
    ],
)
def test_wrong_images_get_one_clear_line(arguments: tuple[str, ...], complaint: str, engine: Any) -> None:
    assert complaint in engine(*arguments).complaint
    assert not Path("exported").exists()
