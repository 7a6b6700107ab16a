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
from fitness.figures import macs
from fitness.training.fit import lower_seeded
from spaces import SPACES

pytest.importorskip("flatbuffers", reason="the extra tflite is not installed")

ARCHITECTURE = "8:8:8:8:8"
PROBLEM = ("--space=nats-sss", "--input-shape=8x8x1")
write_tflite = importlib.import_module("fitness.tflite_file").write_tflite
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


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No interpreter is asked."""
    monkeypatch.setattr("engine.results.export.interpret.PROGRAMS", {})


def test_images_without_labels_do(engine: Any, alone: None) -> None:
    answer = engine(*EXPORT, "--data=noise", "--out=net.tflite").out.splitlines()
    assert answer[1].split() == ["net.tflite", f"{Path('net.tflite').stat().st_size:,}"]
    assert answer[2].endswith("weights untrained, seed 2; ranges of 512 images of noise")
    assert "200 images of noise" in answer[4]
    assert answer[5].startswith("  input int8 = normalised / ")
    assert len(answer) == 6


def test_the_input_is_told_with_normalisation_and_sign(engine: Any, alone: None) -> None:
    told = json.loads(engine(*EXPORT, "--data=digits", "--out=a.tflite", "--json").out)["exports"][0]["checks"][
        "input"
    ]
    mean, deviation, zero = told["mean"][0], told["deviation"][0], told["zero_point"]
    assert zero < 0
    last = engine(*EXPORT, "--data=digits", "--out=b.tflite").out.splitlines()[-1]
    stored = f"(pixel - {mean:.6g}) / {deviation:.6g} / {told['scale']:.6g} - {-zero}, rounded"
    assert last == f"  input int8 = {stored}; pixels from 0 to 1"


def test_classes_are_counted_as_a_network_of_one_class_agrees_with_anything(
    engine: Any, alone: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = engine(*EXPORT, "--data=digits", "--out=a.tflite").out
    space: Any = SPACES.create("nats-sss", {}, {"input_shape": (8, 8, 1), "num_classes": 10})
    splits = load_splits("digits", (1, 8, 8))
    with torch.no_grad():
        module = lower_seeded(space.decode(space.parse(ARCHITECTURE)), 2).eval()
        found = module(splits.normalisation(torch.from_numpy(splits.test.pixels[:180]))).argmax(1).unique()
    assert f"on 180 images of digits, which it puts into {len(found)} classes: int8 " in answer
    monkeypatch.setattr("fitness.training.fit.classes_of", lambda outputs: outputs.argmax(1) * 0)
    entry = json.loads(engine(*EXPORT, "--data=digits", "--out=b.tflite", "--json").out)["exports"][0]
    assert entry["checks"]["float_classes"] == 1
    one = engine(*EXPORT, "--data=digits", "--out=c.tflite").out
    assert "puts all 180 images of digits into one class, so the same class says nothing: int8 100.0 %" in one


def test_sizes_are_compared_with_what_the_target_has(engine: Any, alone: None) -> None:
    assert "within" not in engine(*EXPORT, "--data=noise", "--out=a.tflite").out
    fits = engine(*EXPORT, "--data=noise", "--out=b.tflite", "--target=mcu-256k").out.splitlines()[3]
    size = Path("b.tflite").stat().st_size
    assert fits.startswith(f"  file {size:,} B, within the target's 262,144 B; arena (estimated) ")
    assert fits.endswith(" B, within the target's 65,536 B")
    board = "[tiny]\nboard = 'x'\nflash_kb = 8\nram_kb = 8\nruntime_flash_kb = 0\napplication_ram_kb = 0\n"
    Path("tiny.toml").write_text(board, encoding="utf-8")
    beyond = engine(*EXPORT, "--data=noise", "--out=c.tflite", "--target=tiny.toml").out.splitlines()[3]
    assert beyond.startswith(f"  file {size:,} B, above the target's 8,192 B; arena (estimated) ")
    assert " B, above the target's " in beyond.partition(";")[2]


def test_the_arena_is_the_measured_one_where_it_can_be(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tflite_micro", reason="built for Linux on x86-64 alone, where .ci/run has it")
    from tests.oracles.micro import Micro

    monkeypatch.setattr("engine.results.export.as_tflite._WORK", 1)
    lines = engine(*EXPORT, "--data=noise", "--out=a.tflite", "--target=mcu-256k").out.splitlines()
    arena = Micro(Path("a.tflite").read_bytes()).arena()
    assert lines[3].endswith(f"; arena {arena.head + arena.tail:,} B, within the target's 65,536 B")


def test_large_networks_are_checked_on_fewer_images_and_said_to_take_long(
    engine: Any, alone: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    space: Any = SPACES.create("nats-sss", {}, {"input_shape": (8, 8, 1), "num_classes": 10})
    work = macs(space.decode(space.parse(ARCHITECTURE)))
    for limit, images in ((30 * work, 30), (work, 10)):
        monkeypatch.setattr("engine.results.export.as_tflite._WORK", limit)
        monkeypatch.setattr("engine.results.export.as_tflite._LONG", 20 * work)
        answer = engine(*EXPORT, "--data=noise", f"--out={images}.tflite", "--json")
        assert json.loads(answer.out)["exports"][0]["checks"]["checked_images"] == images
        assert (f"{images} images by int8, " in answer.err) == (images == 30)


def test_trained_weights_take_ranges_as_their_training_did(
    engine: Any, alone: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Byte for byte: from the same of the training images, without being told which."""
    files: list[bytes] = []

    def write(net: Any) -> bytes:
        files.append(write_tflite(net))
        return files[-1]

    monkeypatch.setattr("fitness.tflite_file.write_tflite", write)
    search = ("run", "--space=nats-tss(channels=4, cells=1)", PROBLEM[1], "--strategy=random", "--budget=2")
    assert engine(*search, "--target=none", "--out=run", "--quiet").code == 0
    training = ("--data=digits", "--epochs=1", "--train-images=100", "--pick=0", "--quiet")
    assert engine("train", "run", *training).code == 0
    export = ("export", "run", "--pick=0")
    answer = engine(*export, "--out=own.tflite")
    assert "; ranges of 100 images of digits\n" in answer.out
    assert engine(*export, "--out=named.tflite", "--data=digits").code == 0
    assert (
        engine(*export, "--out=other.tflite", "--data=noise")
        .out.splitlines()[2]
        .endswith("; ranges of 512 images of noise; its int8_test_accuracy was recorded with ranges of digits")
    )
    judged, *exported = files
    assert [judged == file for file in exported] == [True, True, False]
    assert Path("own.tflite").read_bytes() == judged
    assert "add --data SOURCE" in engine(*export, "--out=fresh.tflite", "--seed=1").complaint


def test_interpreters_that_are_missing_are_said_to_be(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    answer = engine(*EXPORT, "--data=noise", "--out=net.tflite").out
    assert "; LiteRT and TFLite Micro not installed, not asked\n  input int8 = " in answer


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
        ((*EXPORT[:-1], "--format=json", "--data=digits"), "format json needs no images; leave out --data"),
    ],
)
def test_wrong_images_get_one_clear_line(arguments: tuple[str, ...], complaint: str, engine: Any) -> None:
    assert complaint in engine(*arguments).complaint
    assert not Path("exported").exists()
