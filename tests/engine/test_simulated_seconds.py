"""A budget in seconds of training that a table knows."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from fitness.table_fitness import cost_column
from spaces.nats import NatsTss

SEARCH = ("run", "--space=nats-tss", "--strategy=aging", "--population=4", "--tournament=2", "--quiet")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path, space = tmp_path_factory.mktemp("table") / "tss.csv", NatsTss()
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["index", "arch_str", "cifar10_valid_12ep_pct", "cifar10_train12_cost_s", "my_seconds", "other_pct"]
        )
        for index, genotype in enumerate(space.enumerate()):
            writer.writerow([index, space.describe(genotype), index % 997 / 10, 50 + index % 7, 10, 1])
    return path


@pytest.fixture
def run(engine: Any, table: Path) -> Any:
    def call(*more: object, fitness: str = "table:cifar10_valid_12ep_pct") -> Any:
        return engine(*SEARCH, f"--table={table}", f"--fitness={fitness}", *more)

    return call


def test_a_search_ends_with_the_record_that_spends_the_last_second(run: Any, records_of: Any) -> None:
    answer = run("--simulated-seconds=1000", "--out=run")
    costs = [record["scores"]["table:cifar10_train12_cost_s"] for record in records_of(Path("run"))]
    assert sum(costs) >= 1000 > sum(costs[:-1])
    assert f"training them would have taken {sum(costs):,.0f} s" in answer.out


def test_the_budget_may_end_it_before(run: Any, records_of: Any) -> None:
    assert run("--simulated-seconds=1e6", "--budget=5", "--out=run").code == 0
    assert len(records_of(Path("run"))) == 5


def test_more_seconds_continue_it_as_if_given_at_once(run: Any, engine: Any, lines_of: Any) -> None:
    run("--simulated-seconds=2000", "--out=whole")
    run("--simulated-seconds=700", "--out=part")
    assert len(lines_of(Path("part"))) < len(lines_of(Path("whole")))
    assert engine("resume", "part", "--simulated-seconds=2000", "--quiet").code == 0
    assert lines_of(Path("part")) == lines_of(Path("whole"))


def test_a_column_of_ones_own_may_be_the_cost(run: Any, records_of: Any) -> None:
    run("--simulated-seconds=95", "--cost=my_seconds", "--out=run")
    assert len(records_of(Path("run"))) == 10


def test_what_was_found_is_scored_by_any_column(run: Any, engine: Any) -> None:
    run("--simulated-seconds=300", "--out=run")
    assert "table:other_pct" in engine("score", "run:best", "--fitness=table:other_pct").out


@pytest.mark.parametrize(
    ("accuracy", "columns", "cost"),
    [
        ("cifar10_valid_12ep_pct", ("cifar10_train12_cost_s",), "cifar10_train12_cost_s"),
        ("cifar10_valid_12ep_pct", ("cifar10_train12_cost_s", "cifar10_query12_cost_s"), "cifar10_query12_cost_s"),
        ("cifar10valid_test_200ep_pct", ("cifar10_train200_cost_s",), "cifar10_train200_cost_s"),
        ("cifar100_test_200ep_pct", ("cifar10_train200_cost_s",), None),
        ("cifar100_valid_12ep_pct", ("cifar100_query12_cost_s",), "cifar100_query12_cost_s"),
        ("cifar10_valid_108ep_pct", ("train_108ep_cost_s",), "train_108ep_cost_s"),
        ("phone_latency", ("cifar10_train12_cost_s",), None),
    ],
)
def test_the_cost_of_an_accuracy(accuracy: str, columns: tuple[str, ...], cost: str | None) -> None:
    assert cost_column(accuracy, columns) == cost


@pytest.mark.parametrize(
    ("options", "fitness", "said"),
    [
        (["--simulated-seconds=9"], "trace", "9 simulated seconds, but nothing is looked up"),
        (["--simulated-seconds=9"], "table:other_pct", "name a column of seconds as cost: cifar10_train12_cost_s"),
        (["--simulated-seconds=9", "--cost=mine_seconds"], "table:other_pct", "did you mean 'my_seconds'"),
        (["--cost=my_seconds"], "table:other_pct", "without simulated seconds"),
        (["--simulated-seconds=0"], "table:other_pct", "expected a number of seconds above 0"),
        (["--simulated-seconds=many"], "table:other_pct", "'many'"),
        (["--simulated-seconds=nan"], "table:other_pct", "'nan'"),
    ],
)
def test_bad_input_is_one_clear_line(run: Any, options: list[str], fitness: str, said: str) -> None:
    answer = run(*options, "--out=run", fitness=fitness)
    assert answer.code == 2
    assert said in answer.complaint
    assert not Path("run").exists()
