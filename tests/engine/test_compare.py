"""`engine compare`: methods side by side under one budget, judged by a table, interrupted and resumed."""

from __future__ import annotations

import csv
import io
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
from scipy import stats

from engine.comparison import Plan, carry_out, compared
from engine.comparison.carrying_out import finished
from engine.comparison.plot import figure_of
from spaces.nats import NatsTss

METHODS = ("--strategies=random,aging(population=4,tournament=2)", "--fitness=trace,params")
FEW = ("--budget=12", "--runs=3", "--quiet", "--out=cmp")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made-up accuracies, latencies and costs of the whole topology space."""
    path, rng = tmp_path_factory.mktemp("table") / "tss.csv", numpy.random.default_rng(0)
    space = NatsTss()
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            [
                "index",
                "arch_str",
                "test_acc_pct",
                "phone_latency",
                "cifar10_valid_12ep_pct",
                "cifar10_train12_cost_s",
            ]
        )
        for index, genotype in enumerate(space.enumerate()):
            wide = sum(str(value).startswith("nor_conv") for value in genotype.values())
            accuracy = round(70 + 3 * wide + float(rng.normal()), 3)
            latency = round(1 + wide + float(rng.random()), 3)
            writer.writerow([index, space.describe(genotype), accuracy, latency, accuracy - 5, 60 + 10 * wide])
    return path


@pytest.fixture
def compare(engine: Any, table: Path) -> Callable[..., Any]:
    return lambda *more: engine(
        "compare", "--space=nats-tss", f"--table={table}", "--metric=test_acc_pct", *METHODS, *FEW, *more
    )


def _rows(table: Path) -> dict[str, dict[str, str]]:
    with table.open(newline="") as file:
        return {row["arch_str"]: row for row in csv.DictReader(file)}


def test_every_number_follows_from_the_records(compare: Any, table: Path, records_of: Any) -> None:
    found = json.loads(compare("--json").out)
    rows = _rows(table)
    (space,) = found["spaces"]
    best = max(float(row["test_acc_pct"]) for row in rows.values())
    assert len(space["methods"]) == 4
    assert found["finished"] == found["wanted"] == 12
    folders = sorted(Path("cmp/runs").iterdir())
    assert len(folders) == 12
    for method in space["methods"]:
        values = []
        for run in method["runs"]:
            (folder,) = (f for f in folders if _is(f, method, run["seed"]))
            records = records_of(folder)
            assert len(records) == run["records"] == 12
            chosen = max(records, key=lambda record: (record["scores"][method["fitness"]], -record["number"]))
            architecture = NatsTss().describe(chosen["genotype"])
            assert run["architecture"] == architecture
            values.append(float(rows[architecture]["test_acc_pct"]))
            assert run["values"]["test_acc_pct"] == values[-1]
            assert run["search_seconds"] >= sum(record["seconds"] for record in records)
        metric = method["metrics"]["test_acc_pct"]
        assert metric["mean"] == pytest.approx(numpy.mean(values))
        assert metric["std"] == pytest.approx(numpy.std(values, ddof=1))
        assert metric["regret"] == pytest.approx(best - numpy.mean(values))


def _is(folder: Path, method: dict[str, Any], seed: int) -> bool:
    config = json.loads((folder / "study.json").read_text())["config"]
    return all(config[name] == method[name] for name in ("strategy", "fitness")) and config["seed"] == seed


def test_ranks_and_tests_are_scipys(compare: Any) -> None:
    (space,) = json.loads(compare("--json", "--runs=8").out)["spaces"]
    methods = space["methods"]
    table = numpy.array([[run["values"]["test_acc_pct"] for run in method["runs"]] for method in methods])
    assert list(table.mean(axis=1)) == sorted(table.mean(axis=1), reverse=True)  # the best first
    ranks = stats.rankdata(-table, axis=0).mean(axis=1)
    assert [method["rank"] for method in methods] == pytest.approx(list(ranks))
    assert methods[0]["p"] is None
    raw = []
    for row in table[1:]:
        differences = row - table[0]
        raw.append(1.0 if not differences.any() else stats.wilcoxon(differences[differences != 0]).pvalue)
    order = sorted(range(3), key=lambda place: raw[place])
    holm, most = {}, 0.0
    for step, place in enumerate(order):
        most = max(most, min(1.0, raw[place] * (3 - step)))
        holm[place] = most
    for place, method in enumerate(methods[1:]):
        assert method["p"] == pytest.approx(holm[place], abs=0.05)  # scipy's choice of exact or normal may differ


def test_references_stand_beside(compare: Any, table: Path) -> None:
    (space,) = json.loads(compare("--json").out)["spaces"]
    references = {item["name"]: item["values"]["test_acc_pct"] for item in space["references"]}
    rows, made = _rows(table), NatsTss()
    accuracy = {text: float(row["test_acc_pct"]) for text, row in rows.items()}
    assert references["optimum"] == max(accuracy.values())
    assert references["random architecture"] == pytest.approx(numpy.mean([*accuracy.values()]))
    heaviest = made.describe(
        made.parse(
            "|"
            + "|+|".join(
                ["nor_conv_3x3~0", "nor_conv_3x3~0|nor_conv_3x3~1", "nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2"]
            )
            + "|"
        )
    )
    assert references["most macs"] == accuracy[heaviest]
    assert references["best of the 20 with most macs"] >= accuracy[heaviest]


def test_interrupted_and_resumed_it_ends_with_the_same(
    compare: Any, engine: Any, lines_of: Any, table: Path
) -> None:
    whole = compare("--json")
    expected = {folder.name: lines_of(folder) for folder in Path("cmp/runs").iterdir()}
    lines = Path("cmp/finished.jsonl").read_text().splitlines(keepends=True)
    Path("cmp/finished.jsonl").write_text("".join(lines[:5]) + lines[5][:9])  # killed while writing the sixth
    shutil.rmtree(Path("cmp/runs") / json.loads(lines[9])["name"])  # not begun
    torn = Path("cmp/runs") / json.loads(lines[7])["name"] / "records.jsonl"
    torn.write_bytes(torn.read_bytes()[:900])  # half done
    partial = engine("compare", "cmp", "--json")
    assert json.loads(partial.out)["finished"] == 5
    again = engine("resume", "cmp", "--quiet", "--json")
    assert again.code == 0
    assert {folder.name: lines_of(folder) for folder in Path("cmp/runs").iterdir()} == expected
    assert _without_seconds(json.loads(again.out)) == _without_seconds(json.loads(whole.out))


def _without_seconds(found: Any) -> Any:
    if isinstance(found, dict):
        return {name: _without_seconds(value) for name, value in found.items() if name != "search_seconds"}
    return [_without_seconds(item) for item in found] if isinstance(found, list) else found


def test_workers_change_nothing_but_the_time(compare: Any, lines_of: Any) -> None:
    assert compare().code == 0
    serial = {folder.name: lines_of(folder) for folder in Path("cmp/runs").iterdir()}
    assert compare("--workers=2", "--out=side").code == 0
    assert {folder.name: lines_of(folder) for folder in Path("side/runs").iterdir()} == serial


def test_every_form_holds_the_same_numbers(compare: Any, engine: Any) -> None:
    found = json.loads(compare("--json").out)
    (space,) = found["spaces"]
    text = engine("compare", "cmp").out
    latex = engine("compare", "cmp", "--format=latex").out
    rows = list(csv.DictReader(io.StringIO(engine("compare", "cmp", "--format=csv").out)))
    for method in space["methods"]:
        metric = method["metrics"]["test_acc_pct"]
        shown = f"{metric['mean']:.2f} ± {metric['std']:.2f}"
        assert shown in text
        assert shown.replace("±", r"$\pm$") in latex
        values = [
            float(r["value"])
            for r in rows
            if [r["strategy"], r["fitness"]] == [method["strategy"], method["fitness"]]
        ]
        assert values == [run["values"]["test_acc_pct"] for run in method["runs"]]
    assert latex.count(r"\begin{tabular}") == latex.count(r"\end{tabular}") == 1
    assert "_" not in latex.split(r"\toprule")[1].split(r"\bottomrule")[0].replace(r"\_", "")


def test_curves_are_of_the_best_so_far(compare: Any, table: Path, records_of: Any) -> None:
    compare()
    found = compared(Plan.read(Path("cmp")))
    (space,) = found.spaces
    rows = _rows(table)
    row = next(row for row in space.rows if row.method.fitness == "trace")
    run = row.runs[0]
    (folder,) = (f for f in Path("cmp/runs").iterdir() if _is(f, row.method._asdict(), run.seed))
    best, expected = -math.inf, []
    for record in records_of(folder):
        if record["scores"]["trace"] > best:
            best, chosen = record["scores"]["trace"], record["genotype"]
        expected.append(float(rows[NatsTss().describe(chosen)]["test_acc_pct"]))
    assert list(run.curve("test_acc_pct", 12)) == expected
    panels = figure_of(found).axes
    assert len(panels) == 1
    assert {line.get_label() for line in panels[0].lines} >= {"optimum", "most macs", "random, trace"}


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_pictures_are_written(compare: Any, ending: str) -> None:
    answer = compare(f"--plot=curves.{ending}")
    assert answer.code == 0
    assert Path(f"curves.{ending}").stat().st_size > 5000


def test_simulated_seconds_are_the_budget(engine: Any, table: Path, records_of: Any) -> None:
    answer = engine(
        *("compare", "--space=nats-tss", f"--table={table}", "--metric=test_acc_pct", "--strategies=random"),
        *(
            "--fitness=table:cifar10_valid_12ep_pct",
            "--simulated-seconds=900",
            "--budget=1000",
            "--runs=2",
            "--json",
        ),
        *("--quiet", "--out=cmp", "--plot=curves.png"),
    )
    (space,) = json.loads(answer.out)["spaces"]
    rows = _rows(table)
    for run, folder in zip(space["methods"][0]["runs"], sorted(Path("cmp/runs").iterdir()), strict=True):
        costs = [
            float(rows[NatsTss().describe(r["genotype"])]["cifar10_train12_cost_s"]) for r in records_of(folder)
        ]
        assert sum(costs) >= 900 > sum(costs[:-1])
        assert run["simulated_seconds"] == sum(costs)


def test_a_metric_that_is_better_when_smaller(engine: Any, table: Path) -> None:
    answer = engine(
        *("compare", f"--table={table}", "--metric=phone_latency", "--strategies=random", "--fitness=params,macs"),
        *("--runs=2", "--budget=5", "--json", "--quiet", "--out=cmp"),
    )
    (space,) = json.loads(answer.out)["spaces"]
    latencies = [float(row["phone_latency"]) for row in _rows(table).values()]
    assert space["references"][0]["values"]["phone_latency"] == min(latencies)
    means = [method["metrics"]["phone_latency"]["mean"] for method in space["methods"]]
    assert means == sorted(means)


def test_a_run_that_fails_is_told_and_the_others_count(engine: Any, table: Path) -> None:
    few = table.with_name("few.csv")
    lines = table.read_text().splitlines(keepends=True)
    few.write_text("".join([lines[0], *(line if i % 3 else _emptied(line) for i, line in enumerate(lines[1:]))]))
    answer = engine(
        *("compare", f"--table={few}", "--metric=phone_latency", "--strategies=random", "--budget=1", "--runs=6"),
        *("--fitness=table:test_acc_pct,trace", "--json", "--quiet", "--out=cmp"),
    )
    assert answer.code == 0
    (space,) = json.loads(answer.out)["spaces"]
    looked_up = next(method for method in space["methods"] if method["fitness"] != "trace")
    assert looked_up["failures"]
    assert len(looked_up["failures"]) + len(looked_up["runs"]) == 6
    assert "1 failed (table:test_acc_pct raised RunError: " in looked_up["failures"][0]
    assert ": none of 1 candidates is feasible" in engine("compare", "cmp").out


def test_a_failure_that_may_pass_is_tried_again(compare: Any, engine: Any) -> None:
    nobody = compare("--runs=1", "--budget=2", "--cluster=tcp://127.0.0.1:1")
    assert nobody.code == 1
    assert "all 4 runs failed" in nobody.complaint
    assert engine("resume", "cmp", "--quiet").code == 0
    assert len(compared(Plan.read(Path("cmp"))).spaces[0].rows[0].runs) == 1


def test_a_lost_run_is_made_again(compare: Any, engine: Any) -> None:
    compare("--runs=1", "--budget=3")
    lost = next(Path("cmp/runs").iterdir())
    shutil.rmtree(lost)
    assert json.loads(engine("compare", "cmp", "--json").out)["finished"] == 3
    assert json.loads(engine("resume", "cmp", "--quiet", "--json").out)["finished"] == 4
    assert lost.exists()


@pytest.mark.parametrize("line", ['{"name": "x", "seconds": "long"}', '{"name": 3, "seconds": 1}', "[]", "7", "{"])
def test_damaged_lines_of_results_are_passed_over(compare: Any, engine: Any, line: str) -> None:
    compare("--runs=1", "--budget=2")
    with Path("cmp/finished.jsonl").open("a") as file:
        file.write(line + "\n")
    assert json.loads(engine("compare", "cmp", "--json").out)["finished"] == 4


def test_a_run_that_lost_its_records_is_named(compare: Any, engine: Any) -> None:
    compare("--runs=1", "--budget=2")
    run = next(Path("cmp/runs").iterdir())
    (run / "records.jsonl").write_text("")
    assert f"{run} is finished but has no feasible record" in engine("compare", "cmp").complaint


def test_a_table_of_some_architectures_judges_what_it_knows(engine: Any, table: Path) -> None:
    part = table.with_name("part.csv")
    lines = table.read_text().splitlines(keepends=True)
    rows = [line.partition(",")[2] for line in lines[1::2]]
    part.write_text(lines[0] + "".join(f"{index},{row}" for index, row in enumerate(rows)))
    asked = ("--metric=test_acc_pct", "--runs=8", "--strategies=random", "--fitness=trace,params,depth")
    answer = engine("compare", f"--table={part}", *asked, "--budget=3", "--quiet", "--out=cmp")
    found = compared(Plan.read(Path("cmp"))).spaces[0]
    assert answer.code == 0
    assert "the table does not know test_acc_pct of" in answer.out
    for row in found.rows:
        known = [run.values["test_acc_pct"] for run in row.runs if not math.isnan(run.values["test_acc_pct"])]
        assert list(row.values("test_acc_pct")) == known
    complete = [
        seed
        for seed in range(8)
        if not any(math.isnan(row.runs[seed].values["test_acc_pct"]) for row in found.rows)
    ]
    assert found.complete == len(complete)


def test_the_direction_of_a_metric_can_be_said(engine: Any, table: Path) -> None:
    asked = ("compare", f"--table={table}", "--strategies=random", "--runs=1", "--budget=3", "--quiet")
    worst = engine(*asked, "--metric=test_acc_pct:min", "--out=cmp")
    lowest = min(float(row["test_acc_pct"]) for row in _rows(table).values())
    assert f"{lowest:.2f}" in worst.out
    assert "smaller is better" in worst.out


def test_a_cache_that_cannot_be_used_is_found_before_anything_runs(
    compare: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("NAS_ENGINE_CACHE", str(tmp_path / "file" / "cache"))
    assert "cannot write to the score cache" in compare("--fitness=naswot").complaint


def _emptied(line: str) -> str:
    cells = line.split(",")
    return ",".join([*cells[:2], "", *cells[3:]])


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["--metric=test_ac_pct"], "unknown metric of space nats-tss 'test_ac_pct'; did you mean 'test_acc_pct'"),
        (["--strategies=random,agin"], "unknown strategy 'agin'; did you mean 'aging'"),
        (["--strategies=random,random"], "strategies lists 'random' twice"),
        (["--fitness=trac"], "unknown fitness 'trac'; did you mean 'trace'"),
        (["--space=nats-sss"], "none of the tables holds architectures of space 'nats-sss'"),
        (["--space=nats-ts"], "unknown space 'nats-ts'; did you mean 'nats-tss'"),
        (["--runs=0"], "runs is 0; expected a whole number from 1"),
        (["--budget=0"], "budget is 0"),
        (["--strategies=random", "--population=5"], "population is given, but none of random takes it"),
        (["--plot=curves.pdf"], "expected a name ending in .png or .svg"),
        (["--strategies="], "unknown strategy ''"),
        (["--fitness="], "fitness ''"),
        (["--workers=0"], "workers is 0"),
        (["--workers=-1"], "workers is -1"),
        (["--cluster=here"], "cluster"),
        (["--file=nowhere/found.csv"], "there is no folder 'nowhere'"),
        (["--file=found.pdf"], "no format has files named 'found.pdf'; expected .txt, .csv, .json, .tex, or add"),
        (["--plot=nowhere/found.png"], "there is no folder 'nowhere'"),
        (["--strategies=aging(size=3)"], "takes no option 'size'"),
        (["--simulated-seconds=100"], "nothing is looked up"),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_bad_input_is_found_before_anything_runs(compare: Any, wrong: list[str], said: str) -> None:
    answer = compare(*wrong)
    assert answer.code == 2
    assert said in answer.complaint
    assert not Path("cmp").exists()


def test_without_a_metric_there_is_nothing_to_judge_by(engine: Any) -> None:
    assert "--metric" in engine("compare", "--space=nats-tss").complaint


def test_a_used_folder_is_refused(compare: Any, engine: Any) -> None:
    compare()
    assert "engine resume cmp" in compare().complaint
    assert "keep one budget" in engine("resume", "cmp", "--budget=20").complaint
    assert "--runs changes nothing" in engine("compare", "cmp", "--runs=20").complaint


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 9}', '{"format": 1, "base": {}}'])
def test_a_damaged_plan_is_named(compare: Any, engine: Any, text: str) -> None:
    compare("--runs=1", "--budget=2")
    Path("cmp/comparison.json").write_text(text)
    answer = engine("compare", "cmp")
    assert answer.code == 1
    assert "comparison.json is not what a comparison writes" in answer.complaint


def test_what_is_no_comparison_says_so(engine: Any) -> None:
    assert "is not a comparison" in engine("compare", "nowhere").complaint


def test_two_processes_do_not_make_the_same_runs(compare: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    compare("--runs=1", "--budget=2")
    plan = Plan.read(Path("cmp"))
    held = []

    def meanwhile(done: int, wanted: int) -> None:
        with pytest.raises(Exception, match="another process is making the runs"):
            carry_out(plan)
        held.append(done)

    carry_out(plan, on_finished=meanwhile)
    assert held == [4]
    assert len(finished(plan)) == 4
