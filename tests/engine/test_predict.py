"""`engine predict` and the fitness predict:PREDICTOR: what is learnt, what is predicted, and what is refused."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
from scipy import stats

import engine as nas
from engine.api import resume, search
from engine.prediction.known import function_of
from engine.prediction.predicting import predict
from engine.training.store import trained_store
from fitness.predictors.base import make_predictor
from spaces.errors import RunError, UnknownName, UsageError
from spaces.nats import NatsTss
from spaces.space import Genotype

SMALL = "nats-tss(cells=1)"
SPACE = NatsTss(cells=1)
ACCURACY = "cifar10_valid_12ep_pct"


def _worth(genotype: Genotype) -> float:
    """More convolutions are better, as are early ones."""
    return 50 + sum(5 + place for place, operation in enumerate(genotype.values()) if "conv" in str(operation))


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """70 cells, among them some that compute the same; one accuracy is not known."""
    rng = Random(3)
    cells = list(dict.fromkeys(SPACE.sample(rng) for _ in range(70)))
    path = tmp_path_factory.mktemp("table") / "cells.csv"
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["index", "arch_str", ACCURACY, "energy_mJ"])
        for index, cell in enumerate(cells):
            accuracy = "" if index == 7 else _worth(cell)
            rows.writerow([index, SPACE.describe(cell), accuracy, 200 - _worth(cell)])
    return path


def _cells(table: Path) -> list[str]:
    return [row["arch_str"] for row in csv.DictReader(table.read_text().splitlines())]


def _function(genotype: Genotype) -> str:
    return SPACE.decode(genotype).simplified().key


def test_what_computes_the_same_is_told_from_cells_repeated_once() -> None:
    rng, twice = Random(0), NatsTss(cells=2)
    cells = [twice.sample(rng) for _ in range(80)]
    own = [twice.decode(cell).simplified().key for cell in cells]
    short = [function_of(twice, cell) for cell in cells]
    assert own != short
    assert len({*own}) == len({*short}) == len({*zip(own, short, strict=True)}) < 80


def test_random_networks_of_a_table_are_learnt_of_which_no_two_compute_the_same(table: Path) -> None:
    found = predict(space=SMALL, table=table, metric=ACCURACY, known=30, predictor="knn", sample=5, seed=1)
    known = found.known
    assert len({_function(genotype) for genotype in known.networks}) == len(known.networks) == 30
    assert list(known.values) == [_worth(genotype) for genotype in known.networks]
    fewer = predict(space=SMALL, table=table, metric=ACCURACY, known=10, predictor="knn", sample=5, seed=1)
    assert fewer.known.networks == known.networks[:10]
    other = predict(space=SMALL, table=table, metric=ACCURACY, known=30, predictor="knn", sample=5, seed=2)
    assert set(other.known.networks) != set(known.networks)
    every = predict(space=SMALL, table=table, metric=ACCURACY, predictor="knn", sample=5)
    assert len(every.known.networks) == 69


def test_predictions_are_the_predictors_own_and_the_agreement_leaves_out_what_is_known(table: Path) -> None:
    found = predict(
        space=SMALL, table=table, metric=ACCURACY, known=35, predictor="knn(k=3)", architectures=_cells(table)
    )
    own = make_predictor("knn(k=3)", SPACE)
    own.fit(found.known.networks, found.known.values)
    mean, std = own.predict([one.genotype for one in found.networks])
    assert [one.mean for one in found.networks] == pytest.approx(mean.tolist(), rel=1e-12)
    assert [one.std for one in found.networks] == pytest.approx(std.tolist(), rel=1e-12)
    assert [one.mean for one in found.networks] == sorted((one.mean for one in found.networks), reverse=True)
    assert sum(one.known is not None for one in found.networks) == 35
    assert all(one.known in (None, one.mean) for one in found.networks)  # at no distance it is told
    functions = {_function(genotype) for genotype in found.known.networks}
    hidden = SPACE.parse(_cells(table)[7])
    judged = [one for one in found.networks if _function(one.genotype) not in functions and one.genotype != hidden]
    truth, means = [_worth(one.genotype) for one in judged], [one.mean for one in judged]
    of = found.agreement
    assert of is not None
    assert of.networks == len(judged) < 35
    assert of.kendall == pytest.approx(stats.kendalltau(means, truth).statistic)
    assert of.spearman == pytest.approx(stats.spearmanr(means, truth).statistic)
    assert of.pearson == pytest.approx(stats.pearsonr(means, truth).statistic)
    assert of.mae == pytest.approx(sum(abs(a - b) for a, b in zip(means, truth, strict=True)) / len(truth))


def test_of_what_costs_less_is_better(table: Path) -> None:
    energy, accuracy = (
        predict(space=SMALL, table=table, metric=metric, known=30, predictor="knn", architectures=_cells(table))
        for metric in ("energy_mJ", "energy_mJ:max")
    )
    assert energy.known.direction == "min"
    assert [one.mean for one in energy.networks] == sorted(one.mean for one in energy.networks)
    assert energy.networks[0].genotype == accuracy.networks[-1].genotype
    assert energy.networks[0].mean == pytest.approx(accuracy.networks[-1].mean)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of which six candidates are said to have been trained; the dear ones learnt best."""
    path = tmp_path_factory.mktemp("runs") / "found"
    result = search(SMALL, "random", "params", budget=12, out=path)
    store = trained_store(path, write=True)
    for number, record in enumerate(result.records[:6]):
        scores = {"params": record.scores["params"], "test_accuracy": _worth(record.genotype)}
        store.append(record._replace(number=number, parent=record.number, scores=scores))
    store.finish()
    return path


def test_the_trained_candidates_of_a_run_tell_what_to_train_next(trained: Path) -> None:
    found = nas.predict(trained, metric="test_accuracy", predictor="knn")
    assert [one.number for one in found.networks if one.known is not None] != []
    assert {one.number for one in found.networks if one.known is not None} == set(range(6))
    assert {one.number for one in found.networks} == set(range(12))
    assert found.agreement is None
    two = nas.predict(trained, metric="test_accuracy", predictor="knn", architectures=["7", "3"])
    assert {one.number: one.mean for one in two.networks} == {
        one.number: one.mean for one in found.networks if one.number in (3, 7)
    }


def test_what_a_run_cannot_tell_is_refused(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(
        UnknownName, match="unknown score of trainings 'test_acuracy'; did you mean 'test_accuracy'"
    ):
        nas.predict(trained, metric="test_acuracy", predictor="knn")
    search(SMALL, "random", "params", budget=2, out=tmp_path / "bare")
    with pytest.raises(UsageError, match="has no trained candidates to learn from; first `engine train"):
        nas.predict(tmp_path / "bare", predictor="knn")


@pytest.mark.parametrize("kind", ["table", "csv", "json"])
def test_the_command_shows_the_best_first(engine: Any, table: Path, kind: str) -> None:
    answer = engine(
        *("predict", "--space", SMALL, "--table", table, "--metric", ACCURACY, "--known", "30"),
        *("--predictor", "knn", "--sample", "40", "--top", "3", "--format", kind),
    )
    assert answer.code == 0, answer.err
    if kind == "table":
        assert "knn learnt cifar10_valid_12ep_pct (larger is better) of 30 networks" in answer.out
        assert "and predicted 40 networks" in answer.out
        assert "... and 37 more" in answer.out
        return
    rows: list[dict[str, Any]]
    rows = list(csv.DictReader(io.StringIO(answer.out))) if kind == "csv" else json.loads(answer.out)["networks"]
    means = [float(row["mean"]) for row in rows]
    assert len(rows) == 3
    assert means == sorted(means, reverse=True)
    assert all(SPACE.describe(SPACE.parse(row["architecture"])) == row["architecture"] for row in rows)


def test_the_command_takes_runs_lists_and_files(engine: Any, trained: Path, table: Path, tmp_path: Path) -> None:
    out = tmp_path / "next.csv"
    flags = ("--metric", "test_accuracy", "--predictor", "knn")
    answer = engine("predict", trained, *flags, "--out", out)
    assert answer.out.strip() == f"predictions of 12 networks written to {out}"
    assert next(csv.DictReader(out.read_text().splitlines())).keys() == {
        "number",
        "mean",
        "std",
        "known",
        "architecture",
    }
    listed = tmp_path / "some.txt"
    listed.write_text("\n".join(_cells(table)[:4]) + "\n")
    answer = engine(
        *("predict", "--space", SMALL, "--table", table, "--metric", ACCURACY, "--predictor", "knn"),
        *("--list", listed, "--json"),
    )
    assert json.loads(answer.out)["predicted"] == 4


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["--metric", "cifar10_valid_12ep"], "unknown table column 'cifar10_valid_12ep'; did you mean"),
        (["--metric", ACCURACY, "--known", "1"], "known is 1; expected a whole number from 2"),
        (["--metric", ACCURACY, "--known", "70"], "networks that differ; expected no more"),
        (["--metric", ACCURACY, "--known", "71"], "known is 71, and"),
        (["--metric", ACCURACY, "--predictor", "knnn"], "unknown predictor 'knnn'; did you mean 'knn'"),
        (["--metric", ACCURACY, "--predictor", "knn", "--sample", "0"], "sample of 0 random networks"),
        (["--metric", ACCURACY, "--predictor", "knn", "--list", "none.txt"], "cannot read the list 'none.txt'"),
        ([], "predictions need a metric to learn; expected --metric COLUMN"),
        (["--metric", ACCURACY, "--top", "0"], "--top is 0"),
    ],
)
def test_wrong_requests_are_refused_in_a_line(engine: Any, table: Path, flags: list[str], complaint: str) -> None:
    answer = engine("predict", "--space", SMALL, "--table", table, *flags)
    assert complaint in answer.complaint


def test_numbers_may_come_behind_options_and_points_stand_under_each_other(engine: Any, trained: Path) -> None:
    answer = engine("predict", trained, "3", "--metric", "test_accuracy", "--predictor", "knn(k=2)", "0", "7", "5")
    assert answer.code == 0, answer.err
    rows = [line.split() for line in answer.out.splitlines()[4:]]
    assert {int(row[0]) for row in rows} == {0, 3, 5, 7}
    assert len({(line.index("."), line.index("|")) for line in answer.out.splitlines()[4:]}) == 1
    assert "unknown option '--nosuch'" in engine("predict", trained, "--nosuch", "5").complaint


def test_what_does_not_fit_what_is_learnt_from_is_refused(engine: Any, trained: Path, table: Path) -> None:
    assert "there is no run folder 'nosuch'" in engine("predict", "nosuch").complaint
    with pytest.raises(UsageError, match=r"space is of a table, and .* is a run"):
        nas.predict(trained, space=SMALL, predictor="knn")
    with pytest.raises(UsageError, match=r"is a run of space 'nats-tss\(cells=1\)', expected one of 'nats-sss'"):
        search("nats-sss", "random", "predict:knn", known_run=str(trained), metric="test_accuracy", budget=2)


def test_a_run_knows_its_space_and_a_table_has_to_be_there(engine: Any, trained: Path, tmp_path: Path) -> None:
    answer = engine("predict", trained, "--space", SMALL)
    assert "--space is of a table" in answer.complaint
    answer = engine("predict", "--space", SMALL, "--table", tmp_path / "no.csv", "--metric", ACCURACY)
    assert "there is no table" in answer.complaint


# --- as fitness ---------------------------------------------------------------------------------------


def _predicted_search(table: Path, out: Path | None = None, **options: Any) -> Any:
    given: dict[str, Any] = {"table": table, "metric": ACCURACY, "known": 30, "budget": 12, "seed": 4, "out": out}
    return search(SMALL, "random", "predict:knn(k=3)", **given | options)


@pytest.mark.slow
def test_any_strategy_searches_on_predictions(table: Path) -> None:
    result = _predicted_search(table)
    found = predict(space=SMALL, table=table, metric=ACCURACY, known=30, predictor="knn(k=3)", seed=4)
    expected = {one.genotype: one.mean for one in found.networks}
    assert len(expected) == 15_625
    for record in result.records:
        assert record.scores["predict:knn(k=3)"] == pytest.approx(expected[record.genotype], rel=1e-9)
    assert result.best.scores["predict:knn(k=3)"] == max(r.scores["predict:knn(k=3)"] for r in result.records)


def test_an_architecture_is_scored_by_what_a_run_or_a_table_tells(engine: Any, table: Path, trained: Path) -> None:
    cell = _cells(table)[3]
    told = ("--space", SMALL, "--table", table, "--metric", ACCURACY, "--known", "30")
    answer = engine("score", cell, "--fitness", "predict:knn(k=3)", "--json", *told)
    found = predict(space=SMALL, table=table, metric=ACCURACY, known=30, predictor="knn(k=3)", architectures=[cell])
    assert json.loads(answer.out)["scores"] == {"predict:knn(k=3)": pytest.approx(found.networks[0].mean)}
    told = ("--known-run", trained, "--metric", "test_accuracy")
    answer = engine("score", f"{trained}:7", "--fitness", "predict:knn(k=3)", "--json", *told)
    (best,) = nas.predict(trained, metric="test_accuracy", predictor="knn(k=3)", architectures=["7"]).networks
    assert json.loads(answer.out)["scores"] == {"predict:knn(k=3)": pytest.approx(best.mean)}


@pytest.mark.parametrize("given", [{"known": 5}, {"metric": ACCURACY}, {"known_run": "found"}])
def test_what_nothing_learns_is_refused(given: dict[str, Any], engine: Any, table: Path) -> None:
    with pytest.raises(UsageError, match="is what predict:PREDICTOR learns, and nothing is predicted"):
        search(SMALL, "random", "params", budget=2, **given)
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in given.items()]
    for command in (("score", _cells(table)[0]), ("run", "--strategy=random", "--budget=2")):
        answer = engine(*command, "--space", SMALL, "--fitness=params", *flags)
        assert "is what predict:PREDICTOR learns" in answer.complaint


def test_a_predicted_cost_is_better_when_less(table: Path) -> None:
    result = _predicted_search(table, metric="energy_mJ")
    assert result.best.scores["predict:knn(k=3)"] == min(r.scores["predict:knn(k=3)"] for r in result.records)
    assert min(record.scores["predict:knn(k=3)"] for record in result.records) > 0


@pytest.mark.slow
def test_a_run_is_resumed_with_what_it_knew(table: Path, trained: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.csv"
    own.write_text(table.read_text())
    whole = [r.scores for r in _predicted_search(own, tmp_path / "whole", budget=16).records]
    _predicted_search(own, tmp_path / "cut", budget=9)
    assert [r.scores for r in resume(tmp_path / "cut", 16).records] == whole
    own.write_text("\n".join(_shifted(table)) + "\n")
    with pytest.raises(RunError, match="are not those that this run began with"):
        resume(tmp_path / "cut", 20)
    with pytest.raises(UsageError, match="expected one of them"):
        _predicted_search(table, known_run=trained)
    scored = _predicted_search(table, known=None, known_run=trained, metric="test_accuracy")
    assert {"predict:knn(k=3)"} == scored.best.scores.keys()


def _shifted(table: Path) -> list[str]:
    """The table with every accuracy one higher."""
    rows = list(csv.reader(table.read_text().splitlines()))
    for row in rows[1:]:
        row[2] = row[2] and str(float(row[2]) + 1)
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().splitlines()
