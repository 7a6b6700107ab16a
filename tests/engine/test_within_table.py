"""Networks that were trained of a space too large to train: the table that comes with the package, and own ones."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
from scipy import stats

from engine.api import reopen, search
from engine.config import RunConfig
from engine.setup import Setup
from engine.strategies import STRATEGIES
from engine.strategies.random import RandomSearch
from fitness import figures
from fitness.benchmarks import SHIPPED, shipped_table
from fitness.table import Table
from spaces import SPACES
from spaces.munas import MunasSpace
from spaces.nds import NdsDarts
from spaces.registry import takes
from spaces.space import Genotype, Space
from spaces.tabular import Sampled
from tests.engine.toys import WORTH, drive, judged
from tests.small import refused

METRIC = "--metric=cifar10_test_6ep_pct"


@pytest.fixture(params=list(SHIPPED))
def shipped(request: pytest.FixtureRequest) -> tuple[Space, Table, dict[str, Any]]:
    """Every table of the package: its space, itself and its recipe."""
    found, space = shipped_table(request.param), SPACES.create(request.param, {})
    assert found is not None
    assert isinstance(space, Space)
    return space, Table.open(found.path), json.loads(found.path.with_suffix(".json").read_text())


@pytest.fixture
def own(tmp_path: Path) -> tuple[Path, list[str]]:
    """A user's own networks, their JSON spelled as nobody else does, one accuracy unknown."""
    space, path, rng = MunasSpace(), tmp_path / "own.csv", Random(3)
    texts = [json.dumps(dict(sorted(space.sample(rng).items()))) for _ in range(20)]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["index", "arch_str", "board_pct"])
        writer.writerows([index, text, "" if index == 4 else 50 + index] for index, text in enumerate(texts))
    return path, texts


def test_shipped_tables_are_what_their_recipes_say(shipped: tuple[Space, Table, dict[str, Any]]) -> None:
    space, table, recipe = shipped
    assert recipe["space"] == space.name
    assert recipe["rows"] == len(table)
    assert list(recipe["columns"]) == list(table.columns)
    networks = [space.decode(space.parse(text)) for text in table.architectures]
    assert len({network.key for network in networks}) == len(table)
    assert [figures.flash_bytes(network) for network in networks] == list(table.column("flash_bytes"))
    low, *_, high = recipe["bands"]
    assert all(low <= size < high for size in table.column("flash_bytes"))
    for column in table.columns:
        known = [value for value in table.column(column) if value == value]
        if column.endswith("_pct"):
            assert all(5 < value < 95 for value in known)
        if column.endswith("_s"):
            assert all(value > 0 for value in known)
    assert not any(value != value for value in table.column("cifar10_test_6ep_pct"))


def test_no_column_of_a_shipped_table_is_empty(shipped: tuple[Space, Table, dict[str, Any]]) -> None:
    _, table, _ = shipped
    empty = [column for column in table.columns if all(value != value for value in table.column(column))]
    assert not empty, f"columns of {table.path.name} without a value: {', '.join(empty)}"


@pytest.mark.parametrize(
    ("again", "column"), [("seed 1", "cifar10_test_6ep_seed1_pct"), ("24 epochs", "cifar10_test_24ep_pct")]
)
def test_the_noise_that_a_shipped_table_tells_follows_from_its_columns(
    again: str, column: str, shipped: tuple[Space, Table, dict[str, Any]]
) -> None:
    _, table, recipe = shipped
    noise, name = recipe["noise"], table.path.with_suffix(".json").name
    pairs = zip(table.column("cifar10_test_6ep_pct"), table.column(column), strict=True)
    known = [(first, other) for first, other in pairs if other == other]
    assert f"networks trained again, {again}" in noise, f"the noise of {name} says nothing of {again}"
    assert noise[f"networks trained again, {again}"] == len(known) > 1
    assert noise[f"tau of test accuracies, {again}"] == pytest.approx(
        stats.kendalltau(*zip(*known, strict=True)).statistic, abs=0.002
    )
    gains = [other - first for first, other in known]
    if again == "seed 1":
        half = sum(gain**2 / 2 for gain in gains) / len(gains)
        assert noise["standard deviation of a test accuracy between seeds, points"] == pytest.approx(
            half**0.5, abs=0.01
        )
    else:
        mean = sum(gains) / len(gains)
        assert noise["mean gain in test accuracy by 24 epochs, points"] == pytest.approx(mean, abs=0.01)


@pytest.mark.parametrize("strategy", list(STRATEGIES))
def test_every_strategy_searches_the_table_or_refuses(
    strategy: str, engine: Any, records_of: Any, own: tuple[Path, list[str]]
) -> None:
    path, texts = own
    command = ("run", "--space=munas", "--within-table", f"--table={path}", f"--strategy={strategy}", "--quiet")
    ranked = ["--rank=trace"] if takes(STRATEGIES.load(strategy), "rank") else []  # by default a dear score
    answer = engine(
        *command, *ranked, "--fitness=params", "--target=none", "--budget=16", "--open=3", "--out=found"
    )
    config = RunConfig(strategy=strategy, fitness="params", target="none", table=(str(path),), within_table=True)
    if refused(Setup(config)):
        assert answer.code == 2
        why = ("space 'munas' does not offer", "of space 'munas' differ in what choices they have")
        assert any(says in answer.complaint for says in why)
        return
    assert answer.code == 0
    assert len(records := records_of(Path("found"))) == 16
    listed = [MunasSpace().parse(text) for text in texts]
    assert all(Genotype(record["genotype"]) in listed for record in records)
    assert len({record["key"] for record in records}) > 5


@pytest.mark.parametrize("strategy", ["tpe", "bo", "nsga2"])
def test_most_asks_after_the_start_are_the_models_not_random_ones(strategy: str) -> None:
    """Where answers lead to few members, a model's next answer mostly leads to one that was asked before."""
    whole, rng = MunasSpace(), Random(5)
    space = Sampled(whole, [whole.describe(whole.sample(rng)) for _ in range(80)])
    options = {"population": 10} if strategy == "nsga2" else {}
    made: Any = STRATEGIES.load(strategy)(space, WORTH, 0, **options)
    asked = drive(made, 25, judged(lambda genotype: float(len(genotype))))
    at_random = drive(RandomSearch(space, WORTH, 0), 25, judged(lambda genotype: 0.0))
    same = [one.genotype == other.genotype for one, other in zip(asked, at_random, strict=True)]
    assert sum(same[10:]) < 4
    assert len({record.genotype for record in asked}) == 25


def test_a_table_is_searched_to_its_end_and_known_again(
    engine: Any, records_of: Any, own: tuple[Path, list[str]]
) -> None:
    path, _ = own
    command = ("run", "--space=munas", "--within-table", f"--table={path}", "--strategy=random", "--quiet")
    answer = engine(
        *command,
        "--fitness=table:board_pct",
        "--target=none",
        "--bound=bottleneck>=1",
        "--budget=99",
        "--out=found",
    )
    assert answer.code == 0
    records = records_of(Path("found"))
    assert len(records) == 20
    (failed,) = (record for record in records if record["status"] == "failed")
    assert "knows no 'board_pct' of architecture 4: the cell is empty" in failed["reason"]
    _, setup = reopen(Path("found"))
    assert setup.config.table == (str(path),)
    assert setup.space.size == 20


def test_a_space_of_ones_own_is_cut_down_to_a_table(own: tuple[Path, list[str]]) -> None:
    class Mine(MunasSpace):
        name = "mine"

    path, texts = own
    found = search(Mine(), "random", "params", table=path, within_table=True, target="none", budget=50)
    assert len(found.records) == 20
    listed = [MunasSpace().parse(text) for text in texts]
    assert all(record.genotype in listed for record in found.records)


@pytest.mark.parametrize("given", ["--fitness=table:board_pct", "--bound=table:board_pct>=50"])
def test_a_whole_space_is_not_searched_by_a_table_of_some_of_it(
    given: str, engine: Any, own: tuple[Path, list[str]], tmp_path: Path
) -> None:
    answer = engine("run", "--space=munas", given, f"--table={own[0]}", "--budget=5", "--out=found")
    assert answer.code == 2
    assert answer.complaint == (
        "table:board_pct is known only of the networks in the table, and the whole space 'munas' is searched; "
        "add --within-table, in Python within_table=True"
    )
    assert not (tmp_path / "found").exists()


def test_a_table_of_another_space_is_refused(engine: Any, own: tuple[Path, list[str]]) -> None:
    answer = engine("run", "--space=nats-tss", "--within-table", f"--table={own[0]}", "--budget=5")
    assert answer.code == 2
    assert "does not hold architectures of space 'nats-tss'" in answer.complaint


def test_strategies_are_compared_on_the_shipped_table(engine: Any) -> None:
    found = shipped_table("munas")
    assert found is not None
    table = Table.open(found.path)
    truth = dict(zip(table.architectures, table.column("cifar10_test_6ep_pct"), strict=True))
    options = ("--strategies=random,aging(population=5,tournament=2)", "--runs=2", "--budget=12", "--quiet")
    answer = engine("compare", "--space=munas", *options, "--fitness=params", METRIC, "--out=cmp", "--json")
    (space,) = json.loads(answer.out)["spaces"]
    assert space["networks_of_the_table"] == len(table)
    for run in (run for method in space["methods"] for run in method["runs"]):
        assert run["values"]["cifar10_test_6ep_pct"] == truth[run["architecture"]]
    references = {item["name"]: item["values"]["cifar10_test_6ep_pct"] for item in space["references"]}
    assert references["optimum"] == max(truth.values())
    assert references["random architecture"] == pytest.approx(sum(truth.values()) / len(truth))
    params = {text: figures.params(MunasSpace().decode(MunasSpace().parse(text))) for text in truth}
    assert references["most params"] == truth[max(params, key=lambda text: params[text])]
    assert f"space munas, the {len(table)} networks of the table, 12 evaluations" in engine("compare", "cmp").out


def test_an_own_table_is_compared_on(engine: Any, own: tuple[Path, list[str]]) -> None:
    path, texts = own
    answer = engine(
        *("compare", "--space=munas", f"--table={path}", "--metric=board_pct", "--strategies=exhaustive,random"),
        *("--fitness=table:board_pct", "--bound=bottleneck>=1", "--runs=2", "--budget=30", "--quiet", "--json"),
    )
    (space,) = json.loads(answer.out)["spaces"]
    for run in (run for method in space["methods"] for run in method["runs"]):
        assert run["values"]["board_pct"] == 69
        assert run["architecture"] == texts[19]
        assert run["records"] == 20


def test_scores_are_correlated_on_the_shipped_table(engine: Any) -> None:
    answer = engine("correlate", "--space=munas", "--fitness=log_capacity", METRIC, "--json", "--quiet")
    found = json.loads(answer.out)
    table = shipped_table("munas")
    assert table is not None
    assert found["networks"] == len(Table.open(table.path))
    assert found["missing"] == 0


def test_other_images_than_the_shipped_tables_are_refused(engine: Any) -> None:
    answer = engine("correlate", "--space=munas", "--input-shape=28x28x1", METRIC)
    assert answer.code == 2
    assert "is of 32x32x3 images and 10 classes, got 28x28x1 images and 10 classes" in answer.complaint


def test_shipped_tables_are_listed(engine: Any) -> None:
    rows = json.loads(engine("list", "tables", "--json").out)
    (row,) = (row for row in rows if row["space"] == "munas")
    assert row["about"] == f"built in: {SHIPPED['munas']}"
    assert row["architectures"] > 30


def test_large_networks_are_compared_without_building_those_of_the_table(engine: Any, tmp_path: Path) -> None:
    space, path, rng = NdsDarts(depth=4), tmp_path / "nds.csv", Random(1)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["index", "arch_str", "test_pct"])
        writer.writerows([index, space.describe(space.sample(rng)), 80 + index] for index in range(12))
    answer = engine(
        *("compare", "--space=nds-darts(depth=4)", f"--table={path}", "--metric=test_pct", "--strategies=random"),
        *("--fitness=table:test_pct", "--runs=1", "--budget=30", "--quiet", "--json"),
    )
    (found,) = json.loads(answer.out)["spaces"]
    assert found["networks_of_the_table"] == 12
    assert [item["name"] for item in found["references"]] == ["optimum", "random architecture"]
    (run,) = found["methods"][0]["runs"]
    assert (run["records"], run["values"]["test_pct"]) == (12, 91)
