"""`engine run`, `resume` and `list`: what is run, what is said and where, and what is written."""

from __future__ import annotations

import csv
import io
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.strategies import STRATEGIES
from fitness import FITNESS
from spaces import SPACES
from tests.small import space_for

TOY = ("run", "--space=toy", "--strategy=in-order", "--fitness=width", "--out=run")


def test_the_main_job_runs_from_its_names_alone(program: Any, tmp_path: Path, records_of: Any) -> None:
    answer = program("run", "--budget=120")
    assert answer.code == 0, answer.err
    announced, said = answer.err.splitlines(), answer.out.splitlines()
    assert announced[:5] == [
        "space munas 32x32x3, 10 classes; strategy aging; budget 120, open 8, seed 0",
        "objective trace+gdf:max; gdf(mu=0.262144, sigma=0.131072, side=both) on flash_bytes in MB",
        "target mcu-256k: flash 262,144 B, RAM 65,536 B for the model",
        "bounds flash_bytes<=262144, peak_ram_bytes<=65536, bottleneck>=5",
        "run folder runs/munas-aging-0",
    ]
    assert announced[-1].startswith("#120/120  trace+gdf ")
    assert "\x1b" not in answer.out + answer.err, "no colour and no redrawing in a pipe"
    assert said[-1] == "run in runs/munas-aging-0; show it with: engine front runs/munas-aging-0"
    records = records_of(tmp_path / "runs" / "munas-aging-0")
    statuses = [record["status"] for record in records]
    assert said[0] == (
        f"120 records: {statuses.count('ok')} feasible, {statuses.count('infeasible')} rejected by a bound, "
        f"0 failed; {sum(record['cached'] for record in records)} answered from the cache"
    )
    for record in records:
        scores = record["scores"]
        if record["status"] == "ok":
            assert list(scores) == ["flash_bytes", "bottleneck", "peak_ram_bytes", "trace"]
            assert scores["flash_bytes"] <= 262_144
            assert scores["peak_ram_bytes"] <= 65_536
            assert scores["bottleneck"] >= 5
        else:
            assert "trace" not in scores, "a bound rejects before anything dearer is computed"
            assert record["reason"].partition("; bound ")[2] in announced[3]


def test_the_best_is_the_feasible_record_of_greatest_merit(engine: Any, tmp_path: Path, records_of: Any) -> None:
    answer = engine("run", "--budget=150", "--strategy=random", "--out=run", "--json", "--quiet")
    assert answer.err == ""
    result = json.loads(answer.out)
    feasible = [record for record in records_of(tmp_path / "run") if record["status"] == "ok"]

    def merit(record: dict[str, Any]) -> float:
        away = (record["scores"]["flash_bytes"] / 1e6 - 0.262144) / 0.131072
        return record["scores"]["trace"] * math.exp(-away * away / 2)

    best = max(feasible, key=merit)
    assert result["best"]["number"] == best["number"]
    assert result["best"]["value"] == pytest.approx(merit(best))
    assert {name: result["best"][name] for name in best} == best
    assert result["run"] == "run"
    assert (result["records"], result["feasible"], result["exhausted"]) == (150, len(feasible), False)
    assert result["records"] == result["feasible"] + result["rejected"] + result["failed"]
    assert best["number"] in result["front"]
    assert engine("score", "run:best", "--json").out == engine("score", f"run:{best['number']}", "--json").out


def test_the_study_says_what_was_run_before_the_first_record(engine: Any, tmp_path: Path) -> None:
    assert engine("run", "--budget=40", "--seed=7", "--bound=depth<=9", "--out=run").code == 0
    study = json.loads((tmp_path / "run" / "study.json").read_text())
    assert study["state"] == "finished"
    assert study["config"]["target"] == "mcu-256k", "the default is named, so that the run outlives it"
    assert (study["config"]["seed"], study["config"]["bounds"]) == (7, ["depth<=9"])
    assert {"python", "nas-engine", "deap", "optuna", "numpy", "torch"} <= study["versions"].keys()


def test_flags_win_over_the_config_file(engine: Any, tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text(
        'space = "nats-sss"\nstrategy = "random"\nfitness = "params"\nbudget = 7\nbounds = ["params<=300000"]\n'
        'out = "elsewhere"\n'
    )
    assert engine("run", "--config=run.toml", "--budget=9", "--out=run").code == 0
    config = json.loads((tmp_path / "run" / "study.json").read_text())["config"]
    assert (config["space"], config["budget"], config["bounds"]) == ("nats-sss", 9, ["params<=300000"])
    assert not (tmp_path / "elsewhere").exists()


def test_every_run_without_a_folder_gets_a_new_one(engine: Any, tmp_path: Path) -> None:
    for _ in range(3):
        assert engine("run", "--space=nats-sss", "--strategy=random", "--fitness=trace", "--budget=3").code == 0
    made = sorted(folder.name for folder in (tmp_path / "runs").iterdir())
    assert made == ["nats-sss-random-0", "nats-sss-random-0-2", "nats-sss-random-0-3"]


def test_resume_notes_that_versions_have_changed(engine: Any, tmp_path: Path) -> None:
    assert engine("run", "--space=nats-sss", "--strategy=random", "--budget=3", "--out=run").code == 0
    study = json.loads((tmp_path / "run" / "study.json").read_text())
    study["versions"]["optuna"] = "4.0.0"
    (tmp_path / "run" / "study.json").write_text(json.dumps(study))
    answer = engine("resume", "run", "--budget=5")
    assert "note: since the run began optuna 4.0.0 became " in answer.err
    assert engine("resume", "run", "--budget=6", "--quiet").err == ""


@pytest.mark.parametrize(
    "strategy", [name for name in STRATEGIES if getattr(STRATEGIES.load(name), "max_objectives", 1) is None]
)
def test_several_objectives_are_pursued_together(
    strategy: str, engine: Any, tmp_path: Path, records_of: Any
) -> None:
    objectives = ["--objective=trace", "--objective=flash_bytes:min"]
    space = f"--space={space_for(strategy)}"
    answer = engine("run", f"--strategy={strategy}", space, "--budget=60", *objectives, "--out=run", "--json")
    assert answer.code == 0, answer.err
    records = records_of(tmp_path / "run")
    points = {
        record["number"]: (-record["scores"]["trace"], record["scores"]["flash_bytes"])
        for record in records
        if record["status"] == "ok" and not record["cached"]
    }
    front = [
        number
        for number, (a, b) in points.items()
        if not any(c <= a and d <= b and (c, d) != (a, b) for c, d in points.values())
    ]
    assert sorted(json.loads(answer.out)["front"]) == front


def test_a_fitness_beside_objectives_is_said_to_be_replaced(engine: Any) -> None:
    flags = ("--strategy=random", "--budget=40", "--objective=trace", "--objective=depth")
    assert "fitness params is neither pursued nor recorded" in engine("run", "--fitness=params", *flags).err
    assert "neither" not in engine("run", *flags).err


def test_only_an_explicit_lower_bound_replaces_the_bottleneck_bound(engine: Any) -> None:
    flags = ("run", "--strategy=random", "--budget=60", "--fitness=trace")
    assert "bottleneck>=5" in engine(*flags, "--bound=bottleneck<=900").err
    announced = engine(*flags, "--bound=bottleneck>=2").err.splitlines()[3]
    assert announced == "bounds flash_bytes<=262144, peak_ram_bytes<=65536, bottleneck>=2"


@pytest.mark.parametrize("target", ["none", "nucleo-f446re", "nucleo-f746zg", "raspberry-pi-pico"])
def test_every_target_is_searched_with_its_own_budgets(target: str, engine: Any) -> None:
    answer = engine("run", f"--target={target}", "--strategy=random", "--budget=40")
    assert answer.code == 0, answer.err
    assert (f"target {target}: flash" in answer.err) == (target != "none")


# --- plug-ins and finite spaces -----------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
def test_spaces_scores_and_strategies_of_other_distributions_are_found(
    workers: int, plugin: Any, engine: Any, tmp_path: Path, records_of: Any
) -> None:
    answer = engine(*TOY, "--budget=10", "--population=5", f"--workers={workers}")
    assert answer.code == 0, answer.err
    records = records_of(tmp_path / "run")
    assert [record["scores"]["width"] for record in records] == [1] * 6 + [2] * 4
    assert engine("resume", "run", "--budget=12").code == 0
    assert engine("front", "run", "--format=csv").out.splitlines()[0] == "number,width,architecture"
    assert "width" in engine("score", "run:best", "--fitness=width,width(power=3)").out


def test_what_other_distributions_bring_is_listed_and_what_is_broken_says_why(plugin: Any, engine: Any) -> None:
    spaces, strategies, fitness = (
        {next(iter(row.values())): row for row in json.loads(engine("list", what, "--json").out)}
        for what in ("spaces", "strategies", "fitness")
    )
    assert spaces["toy"] == {"space": "toy", "genotypes": 24, "about": "One convolution."}
    assert strategies["in-order"]["about"] == "Goes through a space in the order of its choices."
    assert fitness["width"]["unit"] == "channels"
    assert fitness["trace"]["unit"] == "activations per batch of 128", "built-in names win"
    assert (
        "cannot be imported: ModuleNotFoundError: No module named 'no_such_module'" in strategies["gone"]["about"]
    )
    assert "cannot be imported: AttributeError" in fitness["absent"]["about"]
    assert "direction is 'up'; expected 'max' or 'min'" in fitness["upwards"]["about"]
    assert "cannot be used" in engine("list", "fitness").out


def test_a_broken_plug_in_is_named_when_it_is_used(plugin: Any, engine: Any, tmp_path: Path) -> None:
    assert "'gone' is announced by an installed distribution" in engine("run", "--strategy=gone").complaint
    assert "direction is 'up'" in engine("run", "--fitness=upwards").complaint
    assert "power is 'x'; expected a whole number" in engine("run", "--fitness=width(power=x)").complaint
    assert "takes no option 'size'; its options: power" in engine("run", "--fitness=width(size=3)").complaint
    assert "did you mean 'width'?" in engine("run", "--fitness=widht").complaint
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("strategy", ["random", "in-order"])
def test_a_finite_space_ends_early_and_says_so(
    strategy: str, plugin: Any, engine: Any, tmp_path: Path, records_of: Any
) -> None:
    answer = engine(*TOY, f"--strategy={strategy}", "--budget=100")
    assert answer.code == 0, answer.err
    assert "24 records: 24 feasible" in answer.out
    assert "the space is exhausted: every architecture has been asked" in answer.out
    genotypes = {json.dumps(record["genotype"], sort_keys=True) for record in records_of(tmp_path / "run")}
    assert len(genotypes) == 24
    again = engine("resume", "run", "--budget=200", "--json")
    assert (json.loads(again.out)["records"], json.loads(again.out)["exhausted"]) == (24, True)


def test_a_network_met_before_is_answered_from_the_cache(
    plugin: Any, engine: Any, tmp_path: Path, records_of: Any
) -> None:
    answer = engine(*TOY, "--strategy=aging", "--population=4", "--budget=60")
    assert answer.code == 0, answer.err
    records, first = records_of(tmp_path / "run"), {}
    for record in records:
        assert record["cached"] == (record["key"] in first)
        twin = first.setdefault(record["key"], record)
        assert (record["scores"], record["status"]) == (twin["scores"], twin["status"])
    cached = sum(record["cached"] for record in records)
    assert cached >= 36
    assert f"{cached} answered from the cache" in answer.out
    front = json.loads(engine("front", "run", "--json", "--objective=width").out)
    assert front["considered"] == len(first)
    assert len({row["key"] for row in front["front"]}) == len(front["front"])


# --- scores that go wrong -----------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
def test_a_score_that_goes_wrong_fails_its_candidate_with_the_reason(
    workers: int, plugin: Any, engine: Any, tmp_path: Path, records_of: Any
) -> None:
    answer = engine(*TOY, "--fitness=moody", "--budget=24", f"--workers={workers}")
    assert answer.code == 1
    assert (
        "none of 24 candidates is feasible: 6 failed (moody raised ValueError: one is not enough), 6 failed (moody "
        in answer.err
    )
    assert "mend or replace the score" in answer.err
    records = records_of(tmp_path / "run")
    assert {record["status"] for record in records} == {"failed"}
    assert [record["reason"] for record in records[::6]] == [
        "moody raised ValueError: one is not enough",
        "moody is nan",
        "moody raised TypeError: float() argument must be a string or a real number, not 'NoneType'",
        "moody raised OverflowError: int too large to convert to float",
    ]
    assert engine("front", "run").code == 0


def test_a_worker_that_dies_fails_its_candidate_alone(
    plugin: Any, engine: Any, tmp_path: Path, records_of: Any
) -> None:
    answer = engine(*TOY, "--fitness=deadly", "--workers=2", "--budget=22", "--open=8")
    assert answer.code == 0, answer.err
    records = records_of(tmp_path / "run")
    for record in records:
        if record["genotype"]["width"] == 3:
            assert record["status"] == "failed"
            assert record["reason"] == "the worker process died twice: killed, or out of memory"
        else:
            assert record["scores"] == {"deadly": record["genotype"]["width"]}
    assert len(records) == 22


# --- tables -------------------------------------------------------------------------------------------


def test_numbers_of_a_table_are_never_shared_between_equal_networks(
    engine: Any, tmp_path: Path, records_of: Any, tss_rows: list[dict[str, str]], tss_table: Path
) -> None:
    column = "cifar10_test_200ep_pct"
    known = {row["arch_str"]: float(row[column]) for row in tss_rows}
    answer = engine(
        "run", "--space=nats-tss", "--strategy=random", f"--objective=table:{column}", "--objective=trace",
        f"--table={tss_table}", "--budget=1000", "--out=run",
    )  # fmt: skip
    assert answer.code == 0, answer.err
    space, differ = SPACES.create("nats-tss", {}), 0
    first: dict[str, float] = {}
    for record in records_of(tmp_path / "run"):
        value = record["scores"][f"table:{column}"]
        assert value == known[space.describe(record["genotype"])]  # type: ignore[attr-defined]
        assert record["cached"] == (record["key"] in first)
        differ += value != first.setdefault(record["key"], value)
    assert differ >= 3, "the seed should meet networks of one key that were trained to different accuracies"


def test_a_run_on_a_table_is_the_same_with_workers(
    engine: Any, tmp_path: Path, lines_of: Any, tss_table: Path
) -> None:
    run = (
        "run", "--space=nats-tss", "--strategy=aging", "--fitness=table:cifar10_test_12ep_pct", "--population=10",
        f"--table={tss_table}", "--budget=60",
    )  # fmt: skip
    assert engine(*run, "--out=one").code == 0
    assert engine(*run, "--out=two", "--workers=2").code == 0
    assert lines_of(tmp_path / "one") == lines_of(tmp_path / "two")


def test_a_table_of_some_architectures_serves_those(engine: Any, tmp_path: Path, records_of: Any) -> None:
    (tmp_path / "some.csv").write_text("index,arch_str,power_mw\n0,8:8:8:8:8,5\n1,8:8:8:8:16,6.5\n")
    (tmp_path / "elsewhere").mkdir()
    score = engine("score", "1", "--space=nats-sss", "--fitness=table:power_mw", "--table=some.csv", "--json")
    assert json.loads(score.out)["scores"] == {"table:power_mw": 6.5}
    objectives = ("--objective=table:power_mw:min", "--objective=params:min")
    answer = engine("run", "--space=nats-sss", "--strategy=random", *objectives, "--table=some.csv", "--budget=5")
    assert answer.code == 1
    reasons = [record["reason"] for record in records_of(tmp_path / "runs" / "nats-sss-random-0")]
    assert all("table:power_mw raised UsageError: unknown architecture" in reason for reason in reasons)


# --- list and help ------------------------------------------------------------------------------------


def test_everything_registered_is_listed(engine: Any) -> None:
    for what, names in (
        ("spaces", [*SPACES]),
        ("strategies", [*STRATEGIES]),
        ("fitness", [*FITNESS, "table:COLUMN", "gdf", "hsdf", "rdf"]),
        ("targets", ["mcu-256k", "nucleo-f746zg"]),
    ):
        text, rows = engine("list", what).out, json.loads(engine("list", what, "--json").out)
        shown = [next(iter(row.values())) for row in rows]
        assert set(names) <= set(shown)
        about = "board" if what == "targets" else "about"
        assert all(row[about] and "cannot be used" not in row[about] for row in rows)
        assert [line.split()[0] for line in text.splitlines()[1:]][: len(shown)] == shown


@pytest.mark.parametrize("command", ["", "run", "resume", "front", "score", "list"])
def test_help_names_every_option_and_imports_nothing_heavy(command: str, program: Any) -> None:
    answer = program(*command.split(), "--help")
    assert answer.code == 0
    assert answer.err == ""
    assert f"usage: engine {command}".rstrip() in answer.out
    probe = (
        "import sys\nfrom engine.cli import main\nassert main(sys.argv[1:]) == 0\n"
        "heavy = {'numpy', 'torch', 'optuna', 'deap', 'matplotlib', 'inspect', 'importlib.metadata'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run(
        [sys.executable, "-c", probe, *command.split(), "--help"],
        check=True,
        stdout=subprocess.DEVNULL,
        env={"PYTHONPATH": str(Path(__file__).parents[2])},
    )


def test_no_command_is_a_question_for_help(engine: Any) -> None:
    assert engine().out.startswith("usage: engine")
    assert "python 3" in engine("--version").out


def test_a_run_with_trace_imports_neither_torch_nor_optuna(program: Any, tmp_path: Path) -> None:
    driver = tmp_path / "probe.py"
    driver.write_text(
        "import sys\nfrom engine.cli import main\nassert main() == 0\n"
        "assert not {'torch', 'optuna', 'matplotlib', 'nats_bench'} & set(sys.modules)\n"
    )
    answer = program("run", "--strategy=aging", "--fitness=trace+gdf", "--budget=60", program=driver)
    assert answer.code == 0, answer.err


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_one_line_is_redrawn_and_never_wraps(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.progress._REDRAW_SECONDS", 0.0)
    monkeypatch.setenv("COLUMNS", "50")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert engine("run", "--space=nats-sss", "--strategy=random", "--fitness=trace", "--budget=30").code == 0
    lines = terminal.getvalue().partition("\r")[2].rstrip("\n").split("\r")
    assert len(lines) == 31
    for number, line in enumerate(lines, start=1):
        assert line.startswith(f"\x1b[K#{min(number, 30)}/30  trace ")
        assert len(line) <= 49 + len("\x1b[K")
        assert "\n" not in line


def test_csv_of_a_front_reads_back(engine: Any, tmp_path: Path, records_of: Any) -> None:
    assert engine("run", "--space=nats-sss", "--strategy=random", "--budget=50", "--out=run").code == 0
    rows = list(csv.DictReader(engine("front", "run", "--format=csv").out.splitlines()))
    records = records_of(tmp_path / "run")
    for row in rows:
        scores = records[int(row["number"])]["scores"]
        assert (float(row["trace"]), float(row["params"])) == (scores["trace"], scores["params"])
