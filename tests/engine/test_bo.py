"""Bayesian optimisation: its formulas a second way, what its models see, and that it learns."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from sklearn.gaussian_process.kernels import Matern

from engine.records import Candidate, Record
from engine.strategies.base import Exhausted
from engine.strategies.bo import BayesianOptimisation, expected_improvement
from engine.strategies.random import RandomSearch
from engine.strategies.surrogate import SURROGATES, gp
from spaces.encoding import Encoding
from spaces.errors import UnknownName, UsageError
from spaces.network import Network
from spaces.space import Choose, Genotype, Space
from tests.engine.toys import WORTH, Grid, Stack, Worth, best_of, drive, judged, near, numbers, told

each_model = pytest.mark.parametrize("model", list(SURROGATES))


def _bo(space: Space, seed: int = 0, **options: Any) -> BayesianOptimisation:
    return BayesianOptimisation(space, WORTH, seed, **{"candidates": 60} | options)


# --- formulas ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mean", "deviation", "best"), [(0.3, 0.5, 0.0), (-1.0, 0.7, 0.5), (2.0, 0.1, 1.0)])
def test_expected_improvement_is_the_integral_of_the_improvement(
    mean: float, deviation: float, best: float
) -> None:
    law = NormalDist(mean, deviation)
    middles = [law.inv_cdf((i + 0.5) / 200_000) for i in range(200_000)]
    integral = sum(max(value - best, 0.0) for value in middles) / len(middles)
    (found,) = expected_improvement(np.array([mean]), np.array([deviation]), best)
    assert found == pytest.approx(integral, rel=1e-3)


def test_expected_improvement_without_doubt_is_the_improvement() -> None:
    found = expected_improvement(np.array([1.0, 3.0, 2.0]), np.zeros(3), 2.0)
    assert found.tolist() == [0.0, 1.0, 0.0]


def test_the_process_predicts_what_its_equations_say_at_one_point_of_the_grid() -> None:
    """Mean k'A y and variance 1 - k'A k, A = (K + noise I)^-1, of the likeliest length and noise."""
    rng = np.random.default_rng(0)
    known, asked = rng.random((25, 4)), rng.random((6, 4))
    values = np.sin(5 * known[:, 0]) + known[:, 1]
    values = (values - values.mean()) / values.std()
    widest = math.sqrt(2 * known.var(axis=0).sum())
    fits = []
    for length in (0.25, 0.5, 1.0, 2.0, 4.0):
        kernel = Matern(length * widest, nu=2.5)
        for noise in (1e-3, 1e-2, 1e-1, 1.0):
            covariance = kernel(known) + noise * np.eye(25)
            inverse = np.linalg.inv(covariance)
            likelihood = -values @ inverse @ values / 2 - np.linalg.slogdet(covariance)[1] / 2
            across = kernel(asked, known)
            variance = 1 - np.einsum("ij,jk,ik->i", across, inverse, across)
            fits.append((likelihood, across @ inverse @ values, np.sqrt(variance)))
    _, mean, deviation = max(fits, key=lambda fit: fit[0])
    found = gp(known, values, asked, 0)
    np.testing.assert_allclose(found[0], mean, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(found[1], deviation, rtol=1e-6)


@each_model
def test_models_follow_what_they_are_shown_and_doubt_the_rest(model: str) -> None:
    rng = np.random.default_rng(1)
    known, asked = rng.random((120, 3)) * [1, 1, 0.5], rng.random((200, 3)) * [1, 1, 0.5]
    values = known[:, 0] * 2 - 1
    mean, deviation = SURROGATES[model](known, values, asked, 0)
    assert np.corrcoef(mean, asked[:, 0])[0, 1] > 0.95
    assert (deviation >= 0).all()
    far = SURROGATES[model](known[known[:, 0] < 0.5], values[known[:, 0] < 0.5], asked, 0)[1]
    assert far[asked[:, 0] > 0.8].mean() > deviation[asked[:, 0] > 0.8].mean()


# --- what the models see ----------------------------------------------------------------------------


def test_choices_become_places_flags_and_one_column_per_value() -> None:
    shallow = {"layers": 1, "0.units": 4, "0.kind": "thrice", "0.odd": True, "0.only": 5}
    deep = {"layers": 2, **{name: value for name, value in shallow.items() if name != "layers"}}
    deep |= {"1.units": 64, "1.kind": "once", "1.odd": False, "1.only": 5}
    names = ["layers", "0.kind", "0.odd", "0.only", "1.units", "1.kind", "1.odd"]
    rows = Encoding(Stack()).rows([Genotype(shallow), Genotype(deep)], names)
    assert rows.tolist() == [
        [0.0, 1.0, 0, 0, 1, 0, 1, 0.0, 1.0, 0.0, 0.0, 0, 0, 0, 0, 0],
        [0.25, 1.0, 0, 0, 1, 0, 1, 0.0, 1.0, 1.0, 1.0, 1, 0, 0, 1, 0],
    ]


@each_model
def test_only_the_order_of_merits_counts(model: str) -> None:
    target = near(7, 2, 5)
    plain = drive(_bo(Grid(3, 9), model=model), 20, judged(target), 3)
    bent = drive(_bo(Grid(3, 9), model=model), 20, judged(lambda genotype: -math.exp(-target(genotype) / 9)), 3)
    assert [record.candidate for record in bent] == [record.candidate for record in plain]


def test_bad_records_are_taken_for_the_worst() -> None:
    """Whether something failed, broke a bound or is worth nothing at all is the same to the models."""

    def judge(how: Any) -> Any:
        def tell(candidate: Candidate) -> Record:
            if numbers(candidate.genotype)[0] > 4:
                return told(candidate, -math.inf) if how == "least" else told(candidate, status=how)
            return told(candidate, near(4, 2, 5)(candidate.genotype))

        return tell

    runs = [drive(_bo(Grid(3, 9)), 45, judge(how), 2) for how in ("failed", "infeasible", "least")]
    first, *others = [[record.candidate for record in run] for run in runs]
    assert others == [first, first]
    assert sum(record.status == "ok" for record in runs[0][25:]) > 14  # of 20, at random: half


def test_the_window_keeps_the_best_and_the_newest() -> None:
    strategy = _bo(Grid(3, 9), window=16)
    records = drive(strategy, 50, judged(near(3, 3, 3)), 2)
    assert len(strategy._told) <= 20
    best = sorted(records, key=lambda record: -record.scores["worth"])[:4]
    assert {record.number for record in [*best, *records[-12:]]} <= strategy._told.keys()


# --- asks -------------------------------------------------------------------------------------------


@each_model
@pytest.mark.parametrize("open_asks", [1, 5])
def test_every_member_is_asked_once(model: str, open_asks: int) -> None:
    strategy = _bo(Grid(2, 4), model=model)
    records = drive(strategy, 1000, judged(near(3, 1)), open_asks)
    assert len(records) == len({record.genotype for record in records}) == 25
    with pytest.raises(Exhausted):
        strategy.ask()


@pytest.mark.parametrize("listed", [True, False])
def test_parents_are_neighbours_among_the_best(listed: bool) -> None:
    records = drive(_bo(Grid(3, 9, listed), candidates=30), 40, judged(near(3, 3, 3)))
    children = [record for record in records if record.parent is not None]
    assert len(children) > 10
    for record in children:
        parent = records[record.parent or 0]
        assert sum(a != b for a, b in zip(numbers(record.genotype), numbers(parent.genotype), strict=True)) == 1
        best = sorted((other.scores["worth"] for other in records[: record.number]), reverse=True)
        assert parent.scores["worth"] >= best[9]


def test_a_listed_space_builds_nothing_for_its_candidates() -> None:
    space = Grid(3, 9)
    drive(_bo(space, candidates=400), 25, judged(near(3, 3, 3)))
    assert space.built < 1000 + 15  # the list, once, and the first ten


class _Asked(Grid):
    """Asks without building; its last choice makes no difference."""

    def ask(self, choose: Choose) -> None:
        for name in self.names:
            choose(name, self.domain)

    def build(self, choose: Choose) -> Network:
        return super().build(lambda name, domain: min(choose(name, domain), 0 if name == self.names[-1] else 9))


def test_a_space_that_asks_without_building_builds_next_to_nothing_for_its_candidates() -> None:
    space = _Asked(5, 9, listed=False)
    strategy = _bo(space, candidates=400)
    records = drive(strategy, 30, judged(near(3, 3, 3, 3, 3)))
    assert space.built < 200
    children = [record for record in records if record.parent is not None]
    assert children
    for child in children:
        assert space.decode(child.genotype).key != space.decode(records[child.parent or 0].genotype).key


def test_moves_to_the_parents_own_network_are_no_candidates() -> None:
    strategy = _bo(space := _Asked(1, 30, listed=False), candidates=20)
    records = drive(strategy, 25, judged(near(7)))
    assert {record.parent for record in records} == {None}
    assert len({space.decode(record.genotype).key for record in records}) == 1


def test_the_first_asks_follow_the_law_of_the_space() -> None:
    space = Stack()
    strategy, drawn = _bo(space, 9), RandomSearch(space, WORTH, 9)
    assert [strategy.ask() for _ in range(15)] == [drawn.ask() for _ in range(15)]


# --- learning ---------------------------------------------------------------------------------------


def _deep_and_odd(genotype: Genotype) -> float:
    layers = int(genotype["layers"])
    units = [abs(int(genotype[f"{layer}.units"]) - 32) for layer in range(layers)]
    kinds = [genotype[f"{layer}.kind"] == "twice" for layer in range(layers)]
    return sum(kinds) - sum(units) / 20 + layers


@pytest.mark.slow
@each_model
@pytest.mark.parametrize(
    ("space", "worth"),
    [
        (Grid(3, 9), near(7, 1, 4)),
        (Grid(6, 15, listed=False), near(7, 1, 4, 9, 15, 0)),
        (Stack(), _deep_and_odd),
    ],
    ids=["listed", "drawn", "conditional"],
)
def test_beats_random_search_by_far(model: str, space: Space, worth: Worth) -> None:
    found = drive(_bo(space, model=model), 50, judged(worth), 4)
    drawn = drive(RandomSearch(space, WORTH, 0), 50, judged(worth), 4)
    ideal = 10.0 if isinstance(space, Stack) else 0.0
    assert ideal - best_of(found) < 0.7 * (ideal - best_of(drawn))


# --- bad input --------------------------------------------------------------------------------------


def test_options_are_checked() -> None:
    with pytest.raises(UnknownName, match="unknown model of strategy 'bo' 'forrest'; did you mean 'forest'"):
        _bo(Stack(), model="forrest")
    for name, value, least in (("candidates", 0, 1), ("window", 9, 10), ("candidates", 1_000_001, 1)):
        with pytest.raises(UsageError, match=f"{name} is {value}; expected a whole number from {least} to 1,0"):
            _bo(Stack(), **{name: value})
