"""`engine correlate`: against scipy on the figures themselves, whole-space anchors, and what goes wrong."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy
import pytest
from scipy import stats

from engine.config import RunConfig
from engine.results import benchmark_sample
from engine.results.correlate import BASELINES, Asked, Correlation, correlate
from engine.results.correlation_plots import draw_correlation, figure_of
from engine.results.ticker import Ticker
from engine.setup import Setup
from fitness import figures
from spaces.nats import NatsTss
from spaces.network import Network
from tests.shared_data import DATA, SAMPLE, needs_data, needs_sample

NETWORKS = 40


class Picky:
    """Fails where there are few ReLUs."""

    name, direction, unit, needs = "picky", "max", "", "network"

    def __call__(self, network: Network) -> float:
        count = figures.n_relu(network)
        if count < 400_000:
            raise ValueError("too few")
        return -float(count)


class Huge:
    """Spans more than anybody wants to see on a linear axis."""

    name, direction, unit, needs = "huge", "min", "", "network"

    def __call__(self, network: Network) -> float:
        return math.exp(figures.n_relu(network) / 50_000)


@pytest.fixture(scope="module")
def networks() -> list[tuple[str, Network]]:
    space, rng = NatsTss(), Random(5)
    drawn = {space.describe(genotype): genotype for genotype in (space.sample(rng) for _ in range(60))}
    return [(text, space.decode(genotype)) for text, genotype in list(drawn.items())[:NETWORKS]]


@pytest.fixture(scope="module")
def table(networks: list[tuple[str, Network]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Accuracies that grow with the depth, a column with gaps, a constant, and a latency."""
    path, rng = tmp_path_factory.mktemp("table") / "table.csv", Random(1)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["index", "arch_str", "test_acc_pct", "gaps_pct", "flat_pct", "phone_latency"])
        for index, (text, network) in enumerate(networks):
            accuracy = round(60 + figures.depth(network) / 2 + 5 * rng.random(), 2)
            latency = round(figures.macs(network) / 1e6 + rng.random(), 3)
            writer.writerow([index, text, accuracy, "" if index % 4 else accuracy, 10, latency])
    return path


@pytest.fixture
def found(table: Path) -> Callable[..., Correlation]:
    """Correlations of own and known scores with a column of the table."""

    def call(metric: str, *scores: str, seed: int = 0, **asked: Any) -> Correlation:
        config = RunConfig(space="nats-tss", target="none", table=(str(table),), objectives=scores, seed=seed)
        asked = {"sample": None, "resamples": 0} | asked
        return correlate(Setup(config, own_scores=(Picky(), Huge())), Asked(metric, **asked))

    return call


def _column(table: Path, name: str) -> list[float]:
    with table.open(newline="") as file:
        return [float(row[name] or "nan") for row in csv.DictReader(file)]


def _rows(found: Correlation) -> dict[str, Any]:
    return {row.name: row for row in found.rows}


def test_correlations_are_scipys_of_the_figures(
    found: Callable[..., Correlation], table: Path, networks: list[tuple[str, Network]]
) -> None:
    rows = _rows(found("test_acc_pct", "depth", "peak_ram_bytes"))
    truth = _column(table, "test_acc_pct")
    assert set(rows) == {"depth", "peak_ram_bytes", *BASELINES}
    for name, row in rows.items():
        sign = -1 if name == "peak_ram_bytes" else 1
        values = [sign * getattr(figures, name)(network) for _, network in networks]
        assert row.measures["tau"].value == pytest.approx(stats.kendalltau(values, truth).statistic, abs=1e-12)
        assert row.measures["rho"].value == pytest.approx(stats.spearmanr(values, truth).statistic, abs=1e-12)
        assert row.kind == ("baseline" if name in BASELINES else "score")
        assert (sign * row.values).tolist() == values


def test_without_objectives_the_fitness_of_the_config_is_correlated(found: Callable[..., Correlation]) -> None:
    assert [row.name for row in found("test_acc_pct").rows if row.kind == "score"] == ["trace+gdf"]


def test_rows_come_with_the_best_first(found: Callable[..., Correlation]) -> None:
    taus = [row.measures["tau"].value for row in found("test_acc_pct", "depth", "picky").rows]
    assert taus == sorted(taus, reverse=True)


def test_failures_rank_last_and_are_counted(
    found: Callable[..., Correlation], table: Path, networks: list[tuple[str, Network]]
) -> None:
    row = _rows(found("test_acc_pct", "picky"))["picky"]
    counts = [figures.n_relu(network) for _, network in networks]
    failed = [count < 400_000 for count in counts]
    worse_than_all = [-1e9 if bad else -count for bad, count in zip(failed, counts, strict=True)]
    expected = stats.kendalltau(worse_than_all, _column(table, "test_acc_pct")).statistic
    assert 0 < row.failed == sum(failed) < NETWORKS
    assert numpy.isnan(row.values).tolist() == failed
    assert row.measures["tau"].value == pytest.approx(expected, abs=1e-12)
    assert row.reason == "picky raised ValueError: too few"


def test_for_a_cost_the_baselines_are_costs(found: Callable[..., Correlation]) -> None:
    cost = found("phone_latency", "macs", "trace")
    rows = _rows(cost)
    assert cost.direction == "min"
    assert set(rows) == {"macs", "trace", *(f"{name}:min" for name in BASELINES if name != "macs")}
    assert rows["macs"].measures["tau"].value < -0.9  # asked for as it is, where more is better
    assert rows["n_relu:min"].measures["tau"].value == -rows["trace"].measures["tau"].value > 0
    turned = _rows(found("phone_latency:max", "macs"))
    assert turned["macs"].measures["tau"].value == -rows["macs"].measures["tau"].value


def test_expressions_are_ranked_by_what_they_are_worth(found: Callable[..., Correlation], table: Path) -> None:
    rows = _rows(found("test_acc_pct", "trace+gdf", "n_relu+params"))
    penalised, both = rows["trace+gdf"], rows["n_relu+params"]
    megabytes = rows["params"].values / 1e6
    factor = numpy.where(megabytes < 0.2, 1, numpy.exp(-((megabytes - 0.2) ** 2) / (2 * 0.4**2)))
    assert penalised.values == pytest.approx(128 * rows["n_relu"].values * factor)
    ranks = [stats.rankdata(rows[name].values) for name in ("n_relu", "params")]
    assert stats.spearmanr(both.values, ranks[0] + ranks[1]).statistic > 0.98


def test_what_the_table_does_not_know_is_left_out_and_counted(
    found: Callable[..., Correlation], table: Path
) -> None:
    known = [value for value in _column(table, "gaps_pct") if value == value]
    whole = found("gaps_pct", "trace")
    assert whole.truth.tolist() == known
    assert whole.missing == NETWORKS - len(known)
    some = found("gaps_pct", "trace", sample=5)
    assert len(set(some.truth) & set(known)) == 5


def test_a_smaller_sample_is_the_beginning_of_a_larger_one(found: Callable[..., Correlation]) -> None:
    few, more = (found("test_acc_pct", "trace", sample=count, seed=7).truth.tolist() for count in (6, 12))
    other = found("test_acc_pct", "trace", sample=12, seed=8).truth.tolist()
    assert more[:6] == few
    assert more != other
    assert len(set(more)) == 12
    assert len(found("test_acc_pct", "trace", sample=1000).truth) == NETWORKS


def test_sums_of_the_whole_space_are_the_networks_own(
    found: Callable[..., Correlation], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("trace", "flash_bytes", "log_capacity")
    one_by_one = found("test_acc_pct", *names)
    monkeypatch.setattr(benchmark_sample, "_MANY", 2)
    added = found("test_acc_pct", *names)
    assert [row.name for row in added.rows] == [row.name for row in one_by_one.rows]
    for row, same in zip(added.rows, one_by_one.rows, strict=True):
        assert row.values.tolist() == same.values.tolist()


@needs_data
@pytest.mark.parametrize(
    ("metric", "taus"),
    [
        ("cifar10_test_200ep_pct", {"params": 0.578, "trace": 0.580}),
        pytest.param("cifar100_test_200ep_pct", {"params": 0.553, "trace": 0.594}, marks=pytest.mark.slow),
    ],
)
def test_anchors_on_the_whole_topology_space(metric: str, taus: dict[str, float]) -> None:
    _compare("nats-tss", metric, taus)


@needs_data
@pytest.mark.slow
@pytest.mark.parametrize(
    ("metric", "taus"),
    [
        ("cifar10_valid_90ep_pct", {"params": 0.697, "trace": 0.420, "macs": 0.440}),
        ("cifar100_valid_90ep_pct", {"params": 0.541, "trace": 0.190, "macs": 0.206}),
    ],
)
def test_anchors_on_the_whole_size_space(metric: str, taus: dict[str, float]) -> None:
    _compare("nats-sss", metric, taus)


def _compare(space: str, metric: str, taus: dict[str, float]) -> None:
    """Correlations noted beside the tables, with three digits."""
    file = str(DATA / f"{space.replace('-', '_')}.csv")
    config = RunConfig(space=space, target="none", table=(file,), objectives=("trace",))
    whole = correlate(Setup(config), Asked(metric, sample=None))
    rows = _rows(whole)
    for name, tau in taus.items():
        assert rows[name].measures["tau"].value == pytest.approx(tau, abs=5e-4)
        assert rows[name].measures["tau"].interval is None  # nothing was sampled
    assert whole.whole


@needs_sample
def test_an_archive_that_holds_three_results_gives_three_networks() -> None:
    archive = str(next(SAMPLE.glob("*tss*")))
    config = RunConfig(space="nats-tss", target="none", table=(archive,), objectives=("trace",))
    setup = Setup(config)
    column = next(name for name in setup.table.columns if "cifar10_test" in name)
    few = correlate(setup, Asked(column, sample=3))
    assert len(few.truth) == 3
    assert few.missing > 0


def _ask(engine: Callable[..., Any], table: Path, *more: object) -> Any:
    options = ["--space=nats-tss", f"--table={table}", "--metric=test_acc_pct", "--resamples=50", "--quiet"]
    return engine("correlate", *options, *more)


def test_all_formats_tell_the_same(engine: Callable[..., Any], table: Path, tmp_path: Path) -> None:
    asked = ["--fitness=depth,trace+gdf", "--sample=30", "--k=6"]
    text = _ask(engine, table, *asked).out
    found = json.loads(_ask(engine, table, *asked, "--json").out)
    rows = list(csv.DictReader(io.StringIO(_ask(engine, table, *asked, "--format=csv").out)))
    answer = _ask(engine, table, *asked, "--out=out.tex")
    latex = (tmp_path / "out.tex").read_text()
    assert answer.out == "correlations of 6 scores on 30 networks written to out.tex\n"
    assert (found["networks"], found["k"], found["level"], found["resamples"]) == (30, 6, 0.95, 50)
    assert len(found["scores"]) == len(rows) == 6
    for score, row in zip(found["scores"], rows, strict=True):
        tau = score["tau"]
        assert row["score"] == score["name"]
        assert float(row["tau"]) == tau["value"]
        assert tau["low"] <= tau["value"] <= tau["high"]
        cell = f"{tau['value']:.3f} [{tau['low']:.2f}, {tau['high']:.2f}]"
        assert any(line.startswith(score["name"]) and cell in line for line in text.splitlines())
        assert f"{score['name'].replace('_', chr(92) + '_')}" in latex
        assert cell.replace("-", "$-$") in latex
    assert latex.count(r"\\") == 7
    assert "top-6: share of the 6 best scored that are truly among them; chance 0.2" in text


def test_the_seed_decides_all(engine: Callable[..., Any], table: Path) -> None:
    one, same, other = (
        json.loads(_ask(engine, table, "--sample=15", f"--seed={seed}", "--json").out) for seed in (3, 3, 4)
    )
    for answer in (one, same, other):
        for score in answer["scores"]:
            del score["seconds_per_network"]
    assert one == same != other


def test_constant_scores_are_all_equal(engine: Callable[..., Any], tmp_path: Path) -> None:
    rows = ["index,arch_str,acc_pct", "0,8:8:8:8:8,70", "1,8:8:8:8:16,75", "2,8:8:8:8:24,72"]
    (tmp_path / "sss.csv").write_text("\n".join(rows))
    options = ["--space=nats-sss", "--table=sss.csv", "--metric=acc_pct", "--sample=all", "--fitness=depth"]
    assert "all equal" in engine("correlate", *options).out
    tau = json.loads(engine("correlate", *options, "--json").out)["scores"][-1]["tau"]
    assert tau == {"value": None, "low": None, "high": None}


@pytest.mark.parametrize(
    ("options", "code", "complaint"),
    [
        (["--metric=test_acc_pc"], 2, "unknown table column 'test_acc_pc'; did you mean 'test_acc_pct'?"),
        (["--metric=flat_pct"], 1, "flat_pct is 10 for all 40 networks: nothing to rank; choose another column"),
        (["--sample=1"], 2, "sample of 1 networks; expected at least 2, or all"),
        (["--sample=some"], 2, "'some'; expected a whole number"),
        (["--sample=10", "--k=11"], 2, "k is 11; expected at most the 10 networks of the sample"),
        (["--k=0"], 2, "k is 0; expected at least 1"),
        (["--k=120%"], 2, "k is '120%'; expected a share from 0% to 100%"),
        (["--k=few"], 2, "k is 'few'; expected a number such as 100 or a share such as 10%"),
        (["--k=nan%"], 2, "k is 'nan%'"),
        (["--level=95"], 2, "level 95; expected a share between 0 and 1"),
        (["--level=nan"], 2, "level nan"),
        (["--resamples=5"], 2, "5 resamples; expected 10 to 100,000, or 0 for no intervals"),
        (["--fitness=naswt"], 2, "did you mean 'naswot'?"),
        (["--fitness=trace,,depth"], 2, "expected a name"),
        (["--plot=plot.pdf"], 2, "plot 'plot.pdf'; expected a name ending in .png or .svg"),
        (["--plot=nowhere/plot.png"], 2, "cannot write nowhere/plot.png: there is no folder 'nowhere'"),
        (["--out=nowhere/text.csv"], 2, "cannot write nowhere/text.csv: there is no folder 'nowhere'"),
        (["--out=text.pdf"], 2, "no format has files named 'text.pdf'; expected .txt, .csv, .json, .tex, or add"),
        (["--space=nats-sss"], 2, "does not hold architectures of space 'nats-sss'"),
        (["--metric=gaps_pct", "--table=no.csv"], 2, "no.csv"),
    ],
)
def test_bad_input_is_answered_in_one_line(
    engine: Callable[..., Any], table: Path, options: list[str], code: int, complaint: str
) -> None:
    first = [] if any(option.startswith("--table") for option in options) else [f"--table={table}"]
    usual = ["--space=nats-tss", "--metric=test_acc_pct", "--sample=all", "--resamples=0"]
    answer = engine("correlate", *usual, *first, *options)
    assert complaint in answer.complaint
    assert answer.code == code


def test_metric_and_table_are_asked_for(engine: Callable[..., Any], table: Path, tmp_path: Path) -> None:
    assert "--metric" in engine("correlate", f"--table={table}").complaint
    (tmp_path / "one.csv").write_text("index,arch_str,acc_pct\n0,8:8:8:8:8,70\n1,8:8:8:8:16,\n")
    answer = engine("correlate", "--space=nats-sss", "--table=one.csv", "--metric=acc_pct")
    assert "knows acc_pct of 1 architectures; expected at least 2" in answer.complaint


def test_scores_that_all_fail_are_an_error(engine: Callable[..., Any], plugin: Any, table: Path) -> None:
    answer = _ask(engine, table, "--fitness=moody")
    assert answer.code == 1
    assert "moody failed for all 40 networks" in answer.complaint


def test_a_panel_for_every_score(found: Callable[..., Correlation]) -> None:
    correlation = found("test_acc_pct", "picky", "huge", "trace+gdf", "depth", "log_capacity")
    figure = figure_of(correlation)
    panels = dict(zip([row.name for row in correlation.rows], figure.axes, strict=True))
    for row in correlation.rows:
        title = panels[row.name].get_title()
        assert title.startswith(row.name)
        assert f"τ {row.measures['tau'].value:.3f}" in title
        assert ("(baseline)" in title) == (row.name in BASELINES)
        drawn = sum(len(points.get_offsets()) for points in panels[row.name].collections)
        assert drawn == len(correlation.truth)
    assert panels["huge"].get_xscale() == "log"
    assert "smaller is better" in panels["huge"].get_title()
    assert panels["depth"].get_xscale() == "linear"
    failed = _rows(correlation)["picky"].failed
    assert f"{failed} failed (×)" in panels["picky"].get_title()


def test_networks_that_learnt_nothing_do_not_press_the_others_into_a_line(
    found: Callable[..., Correlation],
) -> None:
    correlation = found("test_acc_pct", "trace")
    correlation.truth[:2] = 10.0
    low, high = figure_of(correlation).axes[0].get_ylim()
    assert 50 < low < high < 90
    offsets = [points.get_offsets() for points in figure_of(correlation).axes[0].collections]
    assert [len(points) for points in offsets] == [NETWORKS - 2, 2]


def test_pictures_are_written(engine: Callable[..., Any], table: Path, tmp_path: Path) -> None:
    assert _ask(engine, table, "--plot=plot.PNG").code == 0
    assert (tmp_path / "plot.PNG").read_bytes().startswith(b"\x89PNG")


def test_a_picture_of_one_score_as_svg(found: Callable[..., Correlation], tmp_path: Path) -> None:
    correlation = found("test_acc_pct", "trace")
    draw_correlation(replace(correlation, rows=correlation.rows[:1]), tmp_path / "one.svg")
    assert (tmp_path / "one.svg").read_bytes().startswith(b"<?xml")


def test_ticker_counts_on_standard_error(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.results.ticker._LINE_SECONDS", 0.0)
    for quiet in (False, True):
        ticker = Ticker("scores", quiet)
        ticker(1, 2000)
        ticker.close()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("1 of 2,000 scores  ")
