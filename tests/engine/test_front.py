"""`engine front` and `engine score`: the same networks and numbers as computed anew from the records."""

from __future__ import annotations

import csv
import json
import math
import re
import sys
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest

from engine.pareto import non_dominated
from engine.reading import of_series
from fitness import FITNESS

RUN = (
    "run", "--strategy=random", "--budget=200", "--seed=5", "--target=none", "--out=run", "--quiet",
    *(f"--objective={name}" for name in ("trace", "flash_bytes", "depth", "macs", "peak_ram_bytes")),
)  # fmt: skip


@pytest.fixture
def run(engine: Any, tmp_path: Path) -> Path:
    """A run on munas with five recorded scores."""
    assert engine(*RUN).code == 0
    return tmp_path / "run"


def front_by_hand(records: list[dict[str, Any]], objectives: list[tuple[str, int]]) -> set[int]:
    """Numbers of the feasible, distinct records that no other is at least as good as everywhere and better once."""
    points = {
        record["number"]: [sign * record["scores"][name] for name, sign in objectives]
        for record in records
        if record["status"] == "ok" and not record["cached"]
    }
    return {
        number
        for number, mine in points.items()
        if not any(
            all(a >= b for a, b in zip(other, mine, strict=True)) and other != mine for other in points.values()
        )
    }


@pytest.mark.parametrize(
    "objectives",
    [
        [("trace", 1)],
        [("trace", 1), ("flash_bytes", -1)],
        [("depth", -1), ("trace", 1)],
        [("depth", 1), ("macs", -1)],
        [("macs", 1), ("peak_ram_bytes", -1), ("depth", -1)],
        [("bottleneck", 1), ("flash_bytes", -1)],
        [("trace", 1), ("flash_bytes", -1), ("depth", -1), ("macs", 1), ("peak_ram_bytes", -1)],
    ],
)
def test_a_front_is_what_no_record_beats(
    objectives: list[tuple[str, int]], engine: Any, run: Path, records_of: Any
) -> None:
    flags = [f"--objective={name}:{'max' if sign > 0 else 'min'}" for name, sign in objectives]
    records = records_of(run)
    answer = json.loads(engine("front", "run", "--json", *flags).out)
    assert {row["number"] for row in answer["front"]} == front_by_hand(records, objectives)
    assert answer["considered"] == len({r["key"] for r in records if r["status"] == "ok"})
    name, sign = objectives[0]
    first = [sign * row["values"][name] for row in answer["front"]]
    assert first == sorted(first, reverse=True), "best in the first objective first"
    for row in answer["front"]:
        record = records[row["number"]]
        assert (row["key"], row["genotype"]) == (record["key"], record["genotype"])
        assert row["values"] == {name: record["scores"][name] for name in row["values"]}


def test_a_front_over_a_penalised_score_is_computed_from_raw_ones(engine: Any, run: Path, records_of: Any) -> None:
    flags = ("--objective=trace+gdf(mu=0.1,sigma=0.05)", "--objective=peak_ram_bytes:min", "--json")
    assert "unknown recorded score 'params'" in engine("front", "run", *flags).complaint
    assert engine(*[flag.replace("macs", "params") for flag in RUN if "--out" not in flag], "--out=other").code == 0
    answer = json.loads(engine("front", "other", *flags).out)
    records = records_of(run.parent / "other")
    for record in records:
        if record["status"] == "ok":
            away = max(0.0, record["scores"]["params"] / 1e6 - 0.1) / 0.05
            record["scores"]["merit"] = math.log(record["scores"]["trace"]) - away * away / 2
    expected = front_by_hand(records, [("merit", 1), ("peak_ram_bytes", -1)])
    assert {row["number"] for row in answer["front"]} == expected


def test_the_front_of_an_objective_that_was_turned_round_is_its_best(
    engine: Any, records_of: Any, tmp_path: Path
) -> None:
    command = ("run", "--space=nats-sss", "--target=none", "--strategy=random", "--objective=params:min", "--quiet")
    assert engine(*command, "--budget=30", "--out=turned").code == 0
    least = min(record["scores"]["params"] for record in records_of(tmp_path / "turned"))
    answer = json.loads(engine("front", "turned", "--json").out)
    assert answer["objectives"] == [{"name": "params", "direction": "min"}]
    assert {row["values"]["params"] for row in answer["front"]} == {least}


def test_every_format_shows_the_same_front(engine: Any, run: Path, tmp_path: Path) -> None:
    rows = json.loads(engine("front", "run", "--json").out)["front"]
    assert engine("front", "run", "--format=json").out == engine("front", "run", "--json").out
    table = engine("front", "run").out.splitlines()
    assert table[0].split() == ["number", *rows[0]["values"]]
    read = list(csv.DictReader(engine("front", "run", "--format=csv").out.splitlines()))
    for row, line, shown in zip(rows, read, table[1:], strict=True):
        assert line["number"] == shown.split()[0] == str(row["number"])
        assert {name: float(line[name]) for name in row["values"]} == row["values"]
        assert [float(cell.replace(",", "")) for cell in shown.split()[1:]] == list(row["values"].values())
        assert json.loads(line["architecture"]) == row["genotype"]


@pytest.mark.parametrize("name", ["front.csv", "front.json", "front.txt", "front.png", "front.svg", "front"])
def test_a_front_is_written_in_the_format_of_its_file(name: str, engine: Any, run: Path, tmp_path: Path) -> None:
    answer = engine("front", "run", f"--out={name}")
    count = len(json.loads(engine("front", "run", "--json").out)["front"])
    assert answer.out.startswith(f"front of {count} among ")
    assert answer.out.endswith(f"networks written to {name}\n")
    if name.endswith("png"):
        picture = matplotlib.image.imread(tmp_path / name)
        assert picture.ndim == 3
        assert len(np.unique(picture)) > 10
    elif name.endswith("svg"):
        drawn = (tmp_path / name).read_text()
        assert f"front ({count}, over 5 objectives)" in drawn, "text is text"
        assert engine("front", "run", f"--out={name}").code == 0
        assert (tmp_path / name).read_text() == drawn, "equal fronts make equal files"
    else:
        kind = name.partition(".")[2] if name in ("front.csv", "front.json") else "table"
        assert (tmp_path / name).read_text() == engine("front", "run", f"--format={kind}").out


def test_the_format_asked_for_wins_over_the_ending(engine: Any, run: Path, tmp_path: Path) -> None:
    assert engine("front", "run", "--out=front.dat", "--format=png").code == 0
    assert (tmp_path / "front.dat").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", ["front.xyz", "front.tex", "front.v2"])
def test_an_ending_of_no_format_is_refused(name: str, engine: Any, run: Path, tmp_path: Path) -> None:
    complaint = engine("front", "run", f"--out={name}").complaint
    known = ".txt, .csv, .json, .png, .svg, .parquet"
    assert complaint == f"no format has files named '{name}'; expected {known}, or add --format"
    assert not (tmp_path / name).exists()
    assert engine("front", "run", f"--out={name}", "--format=table").code == 0
    assert engine("front", "run", "--out=FRONT.CSV").code == 0
    assert (tmp_path / "FRONT.CSV").read_text().startswith("number,")


def test_the_knee_and_the_limits_of_the_run_are_drawn(engine: Any, tmp_path: Path) -> None:
    flags = ("--budget=40", "--strategy=random", "--bound=macs<=90000000", "--bound=params<=5000000", "--quiet")
    assert engine("run", "--out=board", *flags).code == 0

    def texts(*objectives: str) -> list[str]:
        assert engine("front", "board", "--out=f.svg", *(f"--objective={text}" for text in objectives)).code == 0
        return re.findall(r"<text[^>]*>([^<]*)</text>", (tmp_path / "f.svg").read_text())

    shown = texts("flash_bytes", "peak_ram_bytes")
    assert "mcu-256k: flash_bytes ≤ 262,144" in shown
    assert "mcu-256k: peak_ram_bytes ≤ 65,536" in shown
    front = json.loads(engine("front", "board", "--objective=trace", "--objective=macs", "--json").out)["front"]
    shown = texts("trace", "macs")
    knee = next(text for text in shown if text.startswith("knee (#"))
    assert int(knee[7:-1]) in [row["number"] for row in front]
    assert [text for text in shown if text.endswith("macs ≤ 90,000,000")], "drawn, or told if out of sight"
    assert "limit not in sight: params ≤ 5,000,000" in texts("trace", "params")


def test_a_front_as_parquet_reads_back_as_it_was(engine: Any, run: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="no pyarrow", exc_type=ImportError)
    assert engine("front", "run", "--out=front.parquet").code == 0
    table = parquet.read_table(tmp_path / "front.parquet")
    rows = json.loads(engine("front", "run", "--json").out)["front"]
    names = [*rows[0]["values"]]
    kinds = {"number": "int64", "key": "string", **dict.fromkeys(names, "double"), "architecture": "string"}
    assert {field.name: str(field.type) for field in table.schema} == kinds
    read = table.to_pylist()
    assert [(line["number"], line["key"]) for line in read] == [(row["number"], row["key"]) for row in rows]
    assert [{name: line[name] for name in names} for line in read] == [row["values"] for row in rows]
    assert [json.loads(line["architecture"]) for line in read] == [row["genotype"] for row in rows]


def test_parquet_without_its_extra_names_it(engine: Any, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    answer = engine("front", "run", "--out=front.parquet")
    assert answer.code == 1
    assert 'pip install "nas-engine[parquet]"' in answer.complaint
    assert "add --out FILE.parquet" in engine("front", "run", "--format=parquet").complaint


def test_a_picture_of_one_objective_is_refused(engine: Any, run: Path, tmp_path: Path) -> None:
    answer = engine("front", "run", "--objective=trace", "--out=front.png")
    assert "a picture needs two objectives" in answer.complaint
    assert not (tmp_path / "front.png").exists()


def test_a_front_of_what_was_not_recorded_is_refused(engine: Any, run: Path) -> None:
    assert "unknown recorded score 'params'" in engine("front", "run", "--objective=params").complaint
    assert "unknown fitness 'trac'" in engine("front", "run", "--objective=trac").complaint
    assert "expected a name" in engine("front", "run", "--objective=").complaint


@pytest.mark.parametrize("count", [0, 1, 2, 300, 700])
@pytest.mark.parametrize("width", [1, 2, 4])
def test_the_mask_of_a_front_is_right_with_ties_and_infinities(count: int, width: int) -> None:
    merits = np.random.default_rng(count + width).integers(0, 12, (count, width)).astype(float)
    merits[merits == 3] = -np.inf
    expected = [
        not any(np.all(other >= mine) and np.any(other > mine) for other in np.unique(merits, axis=0))
        for mine in merits
    ]
    assert non_dominated(merits).tolist() == expected


# --- score --------------------------------------------------------------------------------------------


def test_an_architecture_is_scored_alike_however_it_is_named(engine: Any, tss_table: Path) -> None:
    text = "|nor_conv_3x3~0|+|nor_conv_3x3~0|none~1|+|skip_connect~0|avg_pool_3x3~1|nor_conv_1x1~2|"
    space = ("--space=nats-tss", f"--table={tss_table}", "--json")
    by_text = engine("score", text, *space).out
    answer = json.loads(by_text)
    assert answer["architecture"] == text
    cell = {"0->1": "nor_conv_3x3", "0->2": "nor_conv_3x3", "1->2": "none", "0->3": "skip_connect",
            "1->3": "avg_pool_3x3", "2->3": "nor_conv_1x1"}  # fmt: skip
    assert engine("score", json.dumps(cell), *space).out == by_text
    index = next(line.split(",")[0] for line in tss_table.read_text().splitlines() if text in line)
    assert engine("score", index, *space).out == by_text
    assert answer["scores"]["n_relu"] == 40_960 + 143_360 * 3
    assert answer["scores"]["trace"] == 128 * answer["scores"]["n_relu"]


def test_a_size_is_scored_as_published(engine: Any) -> None:
    shared = Path(__file__).parents[3] / "shared" / "data" / "nats_sss.csv"
    if not shared.exists():
        pytest.skip(f"no {shared}")
    row = next(csv.DictReader(shared.read_text().splitlines()))
    name = "cifar10_valid_90ep_pct"
    fitness = f"--fitness=params,macs,table:{name}"
    answer = engine("score", row["arch_str"], "--space=nats-sss", fitness, f"--table={shared}", "--json")
    scores = json.loads(answer.out)["scores"]
    assert scores["params"] == round(1e6 * float(row["params_cifar10_M_derived"]))
    assert scores["macs"] + 10 == round(1e6 * float(row["macs_cifar10_M_derived"]))
    assert scores[f"table:{name}"] == float(row[name])
    assert json.loads(engine("score", "0", "--space=nats-sss", fitness, f"--table={shared}", "--json").out) == (
        json.loads(answer.out)
    )


def test_without_a_fitness_every_figure_is_shown(engine: Any) -> None:
    answer = engine("score", "8:16:24:32:64", "--space=nats-sss")
    shown = [line.split()[0] for line in answer.out.splitlines()[1:]]
    made = {name: FITNESS.create(name, {}) for name in FITNESS}
    figures = {name for name, fitness in made.items() if fitness.needs == "network" and not of_series(fitness)}
    assert set(shown) == figures - {"latency_ms"}, "which needs a board"
    answer = engine("score", "8:16:24:32:64", "--space=nats-sss", "--target=nucleo-f746zg", "--json")
    assert set(json.loads(answer.out)["scores"]) == figures
    slow = engine("score", "8:16:24:32:64", "--space=nats-sss", "--target=mcu-256k", "--json")
    assert set(json.loads(slow.out)["scores"]) == figures - {"latency_ms"}, "of a board whose speed is not known"


def test_a_record_of_a_run_is_scored_as_it_was_recorded(engine: Any, run: Path, records_of: Any) -> None:
    record = next(record for record in records_of(run) if record["status"] == "ok")
    names = ",".join(record["scores"])
    answer = json.loads(engine("score", f"run:{record['number']}", f"--fitness={names}", "--json").out)
    assert answer["scores"] == record["scores"]
    assert answer["key"] == record["key"]
    genotype = json.dumps(record["genotype"])
    assert json.loads(engine("score", genotype, f"--fitness={names}", "--json").out) == answer


def test_expressions_are_scored_under_the_target(engine: Any, run: Path, records_of: Any) -> None:
    scores = next(record["scores"] for record in records_of(run) if record["status"] == "ok")
    number = next(record["number"] for record in records_of(run) if record["status"] == "ok")

    def value(*flags: str) -> float:
        answer = engine("score", f"run:{number}", "--fitness=trace+gdf", "--json", *flags)
        return json.loads(answer.out)["scores"]["trace+gdf"]

    away = (scores["flash_bytes"] / 1e6 - 0.262144) / 0.131072
    assert value("--target=mcu-256k") == pytest.approx(scores["trace"] * math.exp(-away * away / 2))
    params = json.loads(engine("score", f"run:{number}", "--fitness=params", "--json").out)["scores"]["params"]
    away = max(0.0, params / 1e6 - 0.2) / 0.4
    assert value() == pytest.approx(scores["trace"] * math.exp(-away * away / 2))


def test_combined_scores_need_no_run_to_be_absolute(engine: Any) -> None:
    small, large = (
        json.loads(engine("score", text, "--space=nats-sss", "--fitness=trace+params", "--json").out)["scores"]
        for text in ("8:8:8:8:8", "64:64:64:64:64")
    )
    assert small["trace+params"] < 0 < large["trace+params"]
