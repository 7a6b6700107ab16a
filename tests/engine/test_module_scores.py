"""Training-free scores of weights from the command line: images, batches, failures, workers, resume."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import pytest

from engine import search
from engine.config import RunConfig
from engine.setup import Setup
from fitness.probing.measure import measure
from fitness.probing.passes import Pass
from fitness.probing.probe import Probed
from fitness.scores import PassScore
from spaces.nats import NatsTss

SMALL = ("--space=nats-sss", "--input-shape=8x8x3", "--batch=8")
RUN = ("run", *SMALL, "--strategy=random", "--quiet", "--out=run")


@pytest.fixture
def images(tmp_path: Path) -> str:
    rng = numpy.random.default_rng(0)
    pixels = rng.integers(0, 256, (40, 8, 8, 3), dtype=numpy.uint8)
    numpy.savez(tmp_path / "images.npz", images=pixels, labels=numpy.arange(40) % 10)
    numpy.savez(tmp_path / "unlabelled.npz", images=pixels)
    return f"npz:{tmp_path / 'images.npz'}"


def scores(engine: Any, *arguments: str) -> dict[str, Any]:
    answer = engine("score", *arguments, "--json")
    assert answer.code == 0, answer.err
    found = json.loads(answer.out)
    assert isinstance(found, dict)
    return found


def test_scores_of_an_architecture_on_a_users_images(engine: Any, images: str) -> None:
    names = "naswot,epe_nas,snip,synflow,params"
    first = scores(engine, "8:16:24:32:64", *SMALL, f"--data={images}", f"--fitness={names}")["scores"]
    assert list(first) == names.split(",")
    assert first == scores(engine, "8:16:24:32:64", *SMALL, f"--data={images}", f"--fitness={names}")["scores"]
    other = scores(engine, "8:16:24:32:64", *SMALL, "--data=digits", f"--fitness={names}")["scores"]
    assert other["params"] == first["params"]
    assert other["synflow"] == first["synflow"]  # reads no images
    assert other["naswot"] != first["naswot"]
    seeded = scores(engine, "8:16:24:32:64", *SMALL, f"--data={images}", f"--fitness={names}", "--score-seed=1")
    assert seeded["scores"]["synflow"] != first["synflow"]


def test_repeats_show_their_spread(engine: Any, images: str) -> None:
    found = scores(engine, "8:8:8:8:8", *SMALL, f"--data={images}", "--fitness=naswot(repeats=3)")
    assert found["std"]["naswot(repeats=3)"] > 0
    shown = engine("score", "8:8:8:8:8", *SMALL, f"--data={images}", "--fitness=naswot(repeats=3)").out
    assert "±" in shown


def test_a_score_that_fails_says_why_beside_those_that_do_not(engine: Any) -> None:
    cell = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
    arguments = ("score", cell, "--space=nats-tss", "--input-shape=8x8x3", "--batch=8")
    answer = engine(*arguments, "--fitness=naswot,snip,trace")
    assert answer.code == 0
    line = next(line for line in answer.out.splitlines() if line.startswith("naswot"))
    assert "failed" in line
    assert "singular" in line
    found = json.loads(engine(*arguments, "--fitness=naswot,snip,trace", "--json").out)
    assert found["scores"]["naswot"] is None
    assert "singular" in found["failed"]["naswot"]
    assert found["scores"]["snip"] == 0
    alone = engine(*arguments, "--fitness=naswot")
    assert alone.code == 1
    assert "singular" in alone.complaint


def test_a_run_records_all_scores_and_resumes_to_the_same_records(
    engine: Any, images: str, records_of: Any, tmp_path: Path
) -> None:
    flags = ("--fitness=naswot", f"--data={images}", "--seed=3")
    assert engine(*RUN, *flags, "--budget=6").code == 0
    whole = [(r["scores"], r["status"]) for r in records_of(tmp_path / "run")]
    assert all("naswot" in found for found, _ in whole)
    assert engine(*RUN[:-1], "--out=half", *flags, "--budget=3").code == 0
    assert engine("resume", "half", "--budget=6", "--workers=2", "--quiet").code == 0
    assert [(r["scores"], r["status"]) for r in records_of(tmp_path / "half")] == whole
    study = json.loads((tmp_path / "run" / "study.json").read_text())
    assert study["config"]["data"] == images
    number = next(r["number"] for r in records_of(tmp_path / "run"))
    again = scores(engine, f"run:{number}", "--fitness=naswot")["scores"]["naswot"]
    assert again == whole[number][0]["naswot"]


def test_networks_that_compute_the_same_are_scored_once(monkeypatch: Any) -> None:
    runs = []

    def counted(*arguments: Any) -> Any:
        runs.append(1)
        return measure(*arguments)

    monkeypatch.setattr("fitness.probing.measure.measure", counted)
    space = NatsTss((8, 8, 3), 10)
    cells = ["|none~0|+|none~0|nor_conv_1x1~1|+|skip_connect~0|none~1|none~2|"] + [
        f"|{dead}~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|" for dead in ("nor_conv_3x3", "avg_pool_3x3")
    ]
    genotypes = [space.parse(cell) for cell in cells]
    assert len({space.decode(genotype).key for genotype in genotypes}) == 3
    setup = Setup(RunConfig(space="nats-tss", input_shape="8x8x3", batch=8, target="none", data="digits"))
    evaluate = setup.evaluator_of([setup.fitness("snip"), setup.fitness("synflow")])
    outcomes = [evaluate(genotype) for genotype in genotypes]
    assert len(runs) == 1
    assert outcomes[0].scores == outcomes[1].scores == outcomes[2].scores
    evaluate = setup.evaluator_of([setup.fitness("naswot")])  # counts dead branches, as published
    values = {evaluate(genotype).scores.get("naswot") for genotype in genotypes[:2]}
    assert len(runs) == 3
    assert len(values) == 2


def test_a_score_that_raises_costs_no_other_its_value() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Broken(PassScore):
        title = "broken"

        def value(self, *passes: Pass) -> float:
            raise KeyError("no such thing")

    setup = Setup(RunConfig(space="nats-sss", input_shape="8x8x3", batch=8, target="none"), own_scores=(Broken(),))
    evaluate = setup.evaluator_of([setup.fitness("broken"), setup.fitness("naswot"), setup.fitness("swap")])
    outcome = evaluate(setup.space.parse("8:8:8:8:8"))
    assert outcome.scores.keys() == {"naswot", "swap"}
    assert outcome.status == "failed"
    assert outcome.reason == "broken: raised KeyError: 'no such thing'"


def test_any_fitness_may_ask_for_images() -> None:
    class Brightness:
        name, direction, unit, needs = "brightness", "max", "", "images"

        def __call__(self, subject: Probed) -> float:
            return float(subject.module(subject.probe.images).detach().mean())

    result = search("nats-sss", "random", Brightness(), target="none", budget=2)  # type: ignore[arg-type]
    assert len({record.scores["brightness"] for record in result.records}) == 2


def test_a_network_without_a_path_is_scored_as_it_is() -> None:
    """Without its dead branches nothing would be left of it but a constant."""
    setup = Setup(RunConfig(space="nats-tss", input_shape="8x8x3", batch=8, target="none", data="digits"))
    names = ["grasp", "snip", "grad_norm", "plain", "zico", "fisher"]
    evaluate = setup.evaluator_of([setup.fitness(name) for name in names])
    outcome = evaluate(setup.space.parse("|none~0|+|none~0|nor_conv_1x1~1|+|none~0|none~1|nor_conv_3x3~2|"))
    assert outcome.status == "ok"
    assert outcome.scores.pop("fisher") > 0  # of the bias that is the output
    assert set(outcome.scores.values()) == {0.0}


def test_combined_scores_use_the_reference_sample(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("engine.preparation.SAMPLE", 5)
    result = search(
        "nats-sss",
        "random",
        "naswot+synflow",
        target="none",
        budget=3,
        batch=8,
        out=tmp_path / "run",
    )
    assert result.best.scores.keys() == {"naswot", "synflow"}
    reference = json.loads((tmp_path / "run" / "study.json").read_text())["reference"]
    assert {name: len(values) for name, values in reference.items()} == {"naswot": 5, "synflow": 5}


@pytest.mark.parametrize(
    ("flags", "says", "code"),
    [
        (("--fitness=snip", "--data=noise"), "snip needs class labels, which noise has not; use --data digits", 2),
        (("--fitness=snip", "--data=npz:unlabelled.npz"), "needs class labels", 2),
        (("--fitness=naswot", "--data=niose"), "did you mean 'noise'", 2),
        (("--fitness=naswot", "--data=npz"), "npz:FILE", 2),
        (("--fitness=naswot", "--data=npz:absent.npz"), "absent.npz", 2),
        (("--fitness=naswot", "--data=cifar10:."), "cifar-10", 2),
        (("--fitness=snip", "--data=digits", "--classes=5"), "add --classes 10", 2),
        (("--fitness=naswot", "--device=tpu9"), "device 'tpu9' cannot be used", 2),
        (("--fitness=naswot", "--batch=0"), "batch is 0", 2),
        (("--fitness=naswot", "--threads=0"), "threads is 0", 2),
        (("--fitness=naswot(batch=100000)", "--data=digits"), "100,000 were asked for", 2),
        (("--fitness=naswot(batch=x)",), "batch is 'x'; expected a whole number", 2),
        (("--fitness=naswot(speed=1)",), "takes no option 'speed'; its options: batch, repeats, compat", 2),
    ],
)
@pytest.mark.parametrize("command", ["score", "run"])
def test_wrong_images_are_found_before_anything_runs(
    command: str, flags: tuple[str, ...], says: str, code: int, engine: Any, images: str, tmp_path: Path
) -> None:
    small = [flag for flag in SMALL if not any(flag.partition("=")[0] == f.partition("=")[0] for f in flags)]
    start = ["score", "8:8:8:8:8"] if command == "score" else ["run", "--out=run", "--budget=3", "--quiet"]
    answer = engine(*start, *small, *flags)
    assert says in answer.complaint
    assert answer.code == code
    assert not (tmp_path / "run").exists()


def test_a_space_takes_options(engine: Any) -> None:
    cell = "|nor_conv_3x3~0|+|nor_conv_3x3~0|none~1|+|none~0|none~1|nor_conv_3x3~2|"
    small = scores(engine, cell, "--space=nats-tss(channels=3, cells=1)", "--fitness=params,ntk(batch=6)")["scores"]
    whole = scores(engine, cell, "--space=nats-tss", "--fitness=params")["scores"]
    assert small["params"] < whole["params"] / 20
    assert small["ntk(batch=6)"] >= 1
    for space, says in (
        ("nats-tss(channel=3)", "takes no option 'channel'"),
        ("nats-tss(channels=0)", "channels"),
        ("nats-tss(channels=3)+munas", "expected one space"),
        ("nats-tsss(channels=3)", "did you mean 'nats-tss'"),
    ):
        answer = engine("score", cell, f"--space={space}", "--fitness=params")
        assert says in answer.complaint
        assert answer.code == 2


def test_the_header_names_images_and_batches(engine: Any) -> None:
    arguments = [flag for flag in RUN if flag != "--quiet"]
    answer = engine(*arguments, "--budget=2", "--fitness=epe_nas(batch=12)")
    assert "images digits: epe_nas(batch=12) 12; images and weights of seed 0" in answer.err


def test_lists_say_what_scores_need_and_cost(engine: Any) -> None:
    rows = {row["fitness"]: row for row in json.loads(engine("list", "fitness", "--json").out)}
    assert rows["snip"]["needs"] == "images, labels"
    assert rows["ntk"]["better"] == "min"
    assert rows["ntk"]["cost"] == "1 forward, B backwards"
    assert "folder:DIR" in engine("list", "data").out
