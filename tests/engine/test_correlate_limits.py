"""`engine correlate --by` and `--regret`: against loops over the same networks, in every form; what is refused."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from random import Random
from typing import Any

import numpy
import pytest
from scipy import stats

from engine.results.limits import Limits, ranked_in_bands
from engine.results.regret import POOLS, SHARE, mean_regrets, regrets_of_random
from fitness import figures
from spaces.errors import UsageError
from spaces.nats import NatsTss
from spaces.network import Network

BY = Limits("params", (0, 1, 2, 3))


def _made_up(n: int = 60) -> tuple[Any, Any, Any]:
    """A ranking with ties and failures, the truth, and a figure that both grow with."""
    rng = numpy.random.default_rng(4)
    figure = rng.uniform(0, 3, n)
    truth = 50 + 5 * figure + rng.normal(0, 2, n)
    ranking = numpy.round(figure + rng.normal(0, 1, n), 1)
    ranking[::11] = -math.inf
    return ranking, truth, figure


# --- bands ------------------------------------------------------------------------------------------


def test_tau_in_a_band_is_scipys_of_its_networks() -> None:
    ranking, truth, figure = _made_up()
    found = ranked_in_bands(ranking, truth, figure, BY, level=0.95, resamples=0, seed=0)
    expected = []
    for low, high in ((0, 1), (1, 2), (2, 3)):
        inside = [number for number in range(60) if low <= figure[number] < high]
        ranks = [ranking[number] if math.isfinite(ranking[number]) else -99 for number in inside]
        expected.append(stats.kendalltau(ranks, truth[inside]).statistic)
    assert [band.tau.value for band in found.bands] == pytest.approx(expected)
    assert [band.networks for band in found.bands] == [
        int(((figure >= n) & (figure < n + 1)).sum()) for n in range(3)
    ]
    assert found.mean.value == pytest.approx(numpy.mean(expected))
    assert found.mean.interval is None


def test_the_interval_of_the_mean_is_narrower_than_those_of_the_bands_and_holds_it() -> None:
    ranking, truth, figure = _made_up(300)
    found = ranked_in_bands(ranking, truth, figure, BY, level=0.9, resamples=400, seed=0)
    widths = []
    for estimate in (found.mean, *(band.tau for band in found.bands)):
        assert estimate.interval is not None
        low, high = estimate.interval
        assert low < estimate.value < high
        widths.append(high - low)
    assert widths[0] < min(widths[1:])
    assert ranked_in_bands(ranking, truth, figure, BY, level=0.9, resamples=400, seed=0) == found
    assert ranked_in_bands(ranking, truth, figure, BY, level=0.9, resamples=400, seed=1) != found


def test_bands_of_fewer_than_two_networks_and_unknown_figures_count_for_nothing() -> None:
    ranking, truth, figure = _made_up()
    figure[figure >= 2] = math.nan
    figure[0] = 2.5
    found = ranked_in_bands(ranking, truth, figure, BY, level=0.9, resamples=50, seed=0)
    assert found.bands[2].networks == 1
    assert math.isnan(found.bands[2].tau.value)
    assert found.bands[2].tau.interval is None
    assert found.mean.value == pytest.approx(numpy.mean([band.tau.value for band in found.bands[:2]]))
    nothing = ranked_in_bands(ranking, truth, figure + 9, BY, level=0.9, resamples=50, seed=0)
    assert math.isnan(nothing.mean.value)
    assert nothing.mean.interval is None


# --- regret -----------------------------------------------------------------------------------------


def _pools(n: int, seed: int) -> list[list[int]]:
    rng = numpy.random.default_rng(seed)
    return [rng.permutation(n)[: round(SHARE * n)].tolist() for _ in range(POOLS)]


def test_regrets_are_those_of_a_plain_loop() -> None:
    ranking, truth, figure = _made_up()
    budgets, trained = (0.5, 1.5, 3.0), (1, 3, 100)
    found = mean_regrets(ranking, truth, figure, budgets, trained, seed=5)
    for row, budget in enumerate(budgets):
        for column, k in enumerate(trained):
            regrets = []
            for pool in _pools(60, seed=5):
                inside = [number for number in pool if figure[number] <= budget]
                if inside:
                    picked = sorted(inside, key=lambda number: -ranking[number])[:k]
                    regrets.append(max(truth[inside]) - max(truth[picked]))
            assert found[row, column] == pytest.approx(numpy.mean(regrets))
    assert (found[:, 2] == 0).all()
    assert (numpy.diff(found, axis=1) <= 0).all()


def test_regret_of_random_networks_is_the_mean_over_all_choices() -> None:
    _, truth, figure = _made_up(12)
    found = regrets_of_random(truth, figure, (1.0, 3.0), (1, 3), seed=2)
    for row, budget in enumerate((1.0, 3.0)):
        for column, k in enumerate((1, 3)):
            regrets = []
            for pool in _pools(12, seed=2):
                inside = [truth[number] for number in pool if figure[number] <= budget]
                if inside:
                    choices = list(combinations(inside, min(k, len(inside))))
                    regrets.append(max(inside) - numpy.mean([max(choice) for choice in choices]))
            assert found[row, column] == pytest.approx(numpy.mean(regrets))


def test_who_knows_the_truth_regrets_nothing_and_who_knows_nothing_what_is_expected() -> None:
    _, truth, figure = _made_up()
    assert (mean_regrets(truth, truth, figure, (1.0, 3.0), (1,), seed=0) == 0).all()
    indifferent = mean_regrets(numpy.zeros(60), truth, figure, (1.0, 3.0), (1, 3), seed=0)
    expected = regrets_of_random(truth, figure, (1.0, 3.0), (1, 3), seed=0)
    assert indifferent == pytest.approx(expected, rel=0.15)


def test_limits_that_no_network_keeps_have_no_regret() -> None:
    ranking, truth, figure = _made_up()
    assert numpy.isnan(mean_regrets(ranking, truth, figure, (-1.0,), (1,), seed=0)).all()
    assert numpy.isnan(regrets_of_random(truth, figure, (-1.0,), (1,), seed=0)).all()


# --- the command ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def networks() -> list[Network]:
    space, rng = NatsTss(), Random(5)
    return [space.decode(genotype) for genotype in {space.sample(rng): None for _ in range(50)}]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Accuracies that grow with the depth, and every fourth one unknown."""
    path, space, rng = tmp_path_factory.mktemp("table") / "table.csv", NatsTss(), Random(5)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["index", "arch_str", "test_acc_pct"])
        for index, genotype in enumerate({space.sample(rng): None for _ in range(50)}):
            accuracy = 60 + figures.depth(space.decode(genotype)) / 2 + 5 * rng.random()
            writer.writerow([index, space.describe(genotype), "" if index % 4 == 0 else round(accuracy, 2)])
    return path


@pytest.fixture
def correlate(engine: Any, table: Path) -> Callable[..., Any]:
    limits = (
        "--by=params=0,300000,700000,2000000",
        "--regret=params=300000,2000000",
        "--train-top=1,2,5",
        "--resamples=50",
    )
    return lambda *more: engine(
        "correlate",
        "--space=nats-tss",
        f"--table={table}",
        "--metric=test_acc_pct",
        "--fitness=trace",
        *limits,
        *more,
    )


def test_every_form_holds_the_same_numbers(correlate: Any, networks: list[Network]) -> None:
    found = json.loads(correlate("--json").out)
    lines = {line["score"]: line for line in csv.DictReader(io.StringIO(correlate("--format=csv").out))}
    text, latex = correlate().out, correlate("--format=latex").out
    assert found["missing"] == 13
    known = [figures.params(network) for index, network in enumerate(networks) if index % 4]
    for score in found["scores"]:
        line, (low, middle, high) = lines[score["name"]], score["bands"]["tau"]
        assert low["networks"] == sum(count < 300_000 for count in known)
        assert (middle["from"], middle["below"]) == (300_000, 700_000)
        for band in (low, middle, high):
            column = f"tau_params_{band['from']:.12g}_{band['below']:.12g}"
            cells = [line[column], line[f"{column}_low"], line[f"{column}_high"]]
            assert [float(cell) if cell else None for cell in cells] == [band["value"], band["low"], band["high"]]
        assert float(line["tau_in_band"]) == score["bands"]["mean"]["value"]
        shown = f"{score['bands']['mean']['value']:.3f}"
        assert shown in text
        assert shown.replace("-", "$-$") in latex
        for regret in score["regret"]:
            within = regret["within"]
            assert float(line[f"regret_params_300000_train_{regret['train']}"]) == within["params<=300000"]
            assert regret["mean"] == pytest.approx(sum(within.values()) / 2)
    assert [regret["train"] for regret in found["random"]["regret"]] == [1, 2, 5]
    assert "regret in test_acc_pct when the 5 best scored are trained" in text
    assert latex.count(r"\begin{tabular}") == 5
    assert "13 networks left out: the table does not know their test_acc_pct" in text


def test_networks_are_counted_within_limits_and_limits_in_means(correlate: Any, networks: list[Network]) -> None:
    """The band from 0 to 10 is empty; so is the limit of 10, and few networks keep the next one."""
    known = [figures.params(network) for index, network in enumerate(networks) if index % 4]
    few = sorted(known)[1]
    more = ("--by=params=0,10,700000,2000000", f"--regret=params=10,{few},2000000", "--train-top=5")
    text, found = correlate(*more).out, json.loads(correlate(*more, "--json").out)
    within = [sum(count <= limit for count in known) for limit in (10, few, 2_000_000)]
    assert within[0] == 0
    assert list(found["networks_within"].values()) == within
    assert all(score["bands"]["mean_of"] == 2 for score in found["scores"])
    assert all(regret["mean_of"] == 2 for score in found["scores"] for regret in score["regret"])
    assert [line.split()[-1] for line in text.splitlines() if line.startswith("score ")][1:] == ["2", "2"]
    rows = [line.split() for line in text.splitlines() if line.startswith("networks ")]
    small = sum(count < 700_000 for count in known)
    assert rows[0] == ["networks", "0", str(small), str(len(known) - small)]
    assert rows[1] == ["networks", *map(str, within)]
    have = f"they have {min(known):,} to {max(known):,}"
    assert f"no network has params from 0 to below 10; {have}" in text
    assert f"no network has params <= 10; {have}" in text
    kept = f"params<={few:,} is kept by {within[1]} networks, about {0.6 * within[1]:.1f} in a pool"
    assert f"{kept}: to train 5 is to train nearly all" in text


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("--by=params=0,5,10", "no network has params from 0 to below 5; they have "),
        ("--regret=params=5,10", "no network has params <= 10; they have "),
    ],
)
def test_limits_with_no_network_at_all_are_refused(correlate: Any, wrong: str, said: str) -> None:
    answer = correlate(wrong)
    assert answer.code == 2
    assert said in answer.complaint


@pytest.mark.parametrize(
    "text", ["flash_bytes", "=1,2", "params=", "params=1", "params=2,1", "params=a,b", "params=1,inf"]
)
def test_limits_of_another_form_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"--by .*; expected a figure and 2 or more ascending numbers"):
        Limits.read("--by", text, least=2)


def test_limits_are_read_with_their_scores_options() -> None:
    assert Limits.read("--by", "n_relu(live=true)=1,2e3", least=2) == Limits("n_relu(live=true)", (1.0, 2000.0))
    assert Limits.read("--by", "params=1,2,4", least=2).between == [(1, 2), (2, 4)]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("--by=flash=1,2", "unknown fitness 'flash'"),
        ("--regret=params", "expected a figure and 1 or more ascending numbers"),
        ("--train-top=0", "number of networks to train is 0; expected 1 or more"),
        ("--train-top=1,x", "expected a whole number"),
    ],
)
def test_bad_limits_are_refused(correlate: Any, wrong: str, said: str) -> None:
    answer = correlate(wrong)
    assert answer.code == 2
    assert said in answer.complaint


def test_numbers_to_train_without_limits_are_refused(engine: Any, table: Path) -> None:
    answer = engine("correlate", f"--table={table}", "--metric=test_acc_pct", "--train-top=3")
    assert "--train-top is for --regret" in answer.complaint
