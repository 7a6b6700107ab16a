"""Search by a predictor: what it is told, what it asks next, and that nothing but seed and calls decides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import numpy as np
import pytest

from engine.api import search
from engine.config import RunConfig
from engine.records import Candidate, Record
from engine.setup import Setup
from engine.strategies.base import Waiting
from engine.strategies.predictor import PredictorSearch
from spaces.errors import RunError, UnknownName, UsageError
from spaces.layers import Dense
from spaces.network import Network, NetworkBuilder
from spaces.space import Choose, Flag, Genotype, Integer, Space
from tests.engine.toys import WORTH, Grid, Stack, drive, judged, near, numbers, told

SPACE = Grid(2, 9)
HILL, ORIGIN = near(7, 3), near(0, 0)


class _Oracle:
    """Predicts by a function, doubts by another, and remembers what it was taught."""

    def __init__(
        self, mean: Callable[[Genotype], float] = HILL, std: Callable[[Genotype], float] = lambda genotype: 0.0
    ) -> None:
        self.mean, self.std = mean, std
        self.lessons: list[dict[Genotype, float]] = []

    def fit(self, networks: Sequence[Genotype], accuracies: Sequence[float]) -> None:
        self.lessons.append(dict(zip(networks, accuracies, strict=True)))

    def predict(self, networks: Sequence[Genotype]) -> tuple[Any, Any]:
        return np.array([*map(self.mean, networks)]), np.array([*map(self.std, networks)])


class _Nearest(_Oracle):
    """What the nearest known one is worth."""

    def predict(self, networks: Sequence[Genotype]) -> tuple[Any, Any]:
        known = np.array([numbers(genotype) for genotype in self.lessons[-1]])
        asked = np.array([numbers(genotype) for genotype in networks])
        apart = ((asked[:, None] - known) ** 2).sum(axis=2)
        return np.array(list(self.lessons[-1].values()))[apart.argmin(axis=1)], np.sqrt(apart.min(axis=1))


def _strategy(
    oracle: _Oracle | None = None,
    space: Space = SPACE,
    seed: int = 0,
    rank: Callable[[Genotype], float] = ORIGIN,
    **options: Any,
) -> PredictorSearch:
    def merits(genotypes: Sequence[Genotype]) -> list[float]:
        return [rank(genotype) for genotype in genotypes]

    made = oracle or _Oracle()
    return PredictorSearch(space, WORTH, seed, lambda seed: made, merits, **{"startup": 6, "warm": 3} | options)


def _asked(records: Sequence[Record]) -> list[list[int]]:
    return [numbers(record.genotype) for record in records]


@pytest.mark.parametrize("open_asks", [1, 4, 20])
def test_the_first_are_the_best_by_rank_and_the_one_after_the_start_the_best_predicted(open_asks: int) -> None:
    records = drive(_strategy(ranked=100), 10, judged(HILL), open_asks)
    assert _asked(records)[:3] == [[0, 0], [0, 1], [1, 0]]
    assert [7, 3] not in _asked(records)[:6]
    assert _asked(records)[6] == [7, 3]
    assert sorted(_asked(records)[7:]) == [[6, 3], [7, 2], [7, 4]]


def test_what_is_ranked_is_a_sample_of_a_larger_space() -> None:
    ranked: list[Genotype] = []

    def rank(genotype: Genotype) -> float:
        ranked.append(genotype)
        return ORIGIN(genotype)

    (first,) = drive(_strategy(rank=rank, ranked=20), 1, judged(HILL))
    assert len(ranked) <= 20
    assert ORIGIN(first.genotype) == max(map(ORIGIN, ranked))


def test_what_has_no_rank_is_not_among_the_first_and_a_rank_of_none_is_an_error() -> None:
    records = drive(_strategy(rank=lambda g: -np.inf if g["x0"] == 0 else ORIGIN(g), ranked=100), 3, judged(HILL))
    assert _asked(records) == [[1, 0], [1, 1], [2, 0]]
    broken = PredictorSearch(SPACE, WORTH, 0, lambda seed: _Oracle(), lambda genotypes: [1.0])
    with pytest.raises(RunError, match="rank gave 1 scores for 100 architectures"):
        broken.ask()


@pytest.mark.parametrize("acquisition", ["ucb", "thompson"])
def test_doubt_is_worth_kappa_standard_deviations(acquisition: str) -> None:
    """All are expected to be worth the same; one is in doubt."""
    doubtful = _Oracle(lambda genotype: 0.0, lambda genotype: float(numbers(genotype) == [4, 4]))
    strategy = _strategy(doubtful, acquisition=acquisition, kappa=2.0, warm=0, refit=100)
    drive(strategy, 6, judged(ORIGIN))
    asked = [numbers(strategy.ask().genotype) for _ in range(20)]
    assert asked[0] == [4, 4] if acquisition == "ucb" else [4, 4] in asked


def test_thompson_draws_anew_for_every_ask() -> None:
    oracle = _Oracle(lambda genotype: 0.0, lambda genotype: 1.0)
    runs = [drive(_strategy(oracle, acquisition="thompson", seed=seed), 30, judged(HILL)) for seed in (0, 0, 1)]
    assert _asked(runs[0]) == _asked(runs[1]) != _asked(runs[2])
    plain = drive(_strategy(oracle), 30, judged(HILL))
    assert _asked(plain)[:6] == _asked(runs[0])[:6]
    assert _asked(plain) != _asked(runs[0])


def test_it_learns_again_after_refit_records_and_rarely_in_long_searches() -> None:
    oracle = _Oracle()
    drive(_strategy(oracle, startup=10, refit=4), 30, judged(HILL))
    assert [len(lesson) for lesson in oracle.lessons] == [10, 14, 18, 22, 26]
    oracle = _Oracle()
    drive(_strategy(oracle, Grid(2, 19), startup=10, refit=1), 100, judged(HILL))
    assert [len(lesson) for lesson in oracle.lessons][-3:] == [89, 93, 97]  # from 81 on every 4


def test_what_failed_is_learnt_as_the_worst_of_what_was_told() -> None:
    def judge(candidate: Candidate) -> Record:
        if candidate.number % 3 == 0:
            return told(candidate, status="failed")
        return told(candidate, HILL(candidate.genotype))

    oracle = _Oracle()
    records = drive(_strategy(oracle, warm=0), 12, judge)
    (lesson, *_) = oracle.lessons
    ok = [record.scores["worth"] for record in records[: len(lesson)] if record.status == "ok"]
    assert len(ok) == 6 < len(lesson)
    assert sorted(lesson.values()) == sorted(ok + [min(ok)] * (len(lesson) - 6))


def test_it_waits_while_those_under_way_may_complete_the_start() -> None:
    strategy = _strategy(startup=3, warm=0)
    candidates = [strategy.ask() for _ in range(3)]
    with pytest.raises(Waiting):
        strategy.ask()
    with pytest.raises(Waiting):
        strategy.adopt(Candidate(3, candidates[0].genotype))
    strategy.tell(told(candidates[0], status="failed"))
    strategy.ask()


@pytest.mark.parametrize("space", [SPACE, Grid(2, 9, listed=False), Stack()])
@pytest.mark.parametrize("acquisition", ["ucb", "thompson"])
def test_resumed_anywhere_it_asks_the_same(space: Space, acquisition: str) -> None:
    def fresh() -> PredictorSearch:
        oracle = _Oracle(lambda g: float(sum(numbers_of(g)) % 7), lambda g: 1.0)
        return _strategy(oracle, space, rank=lambda g: float(len(g)), acquisition=acquisition, pool=30, ranked=30)

    def numbers_of(genotype: Genotype) -> list[int]:
        return [value for value in genotype.values() if type(value) is int]

    judge = judged(lambda genotype: float(sum(numbers_of(genotype))))
    whole = drive(fresh(), 30, judge, 3)
    for cut in (1, 5, 8, 13, 29):
        resumed = drive(fresh(), 30, judge, 3, whole[:cut])
        assert [record.candidate for record in resumed] == [record.candidate for record in whole]


def test_where_a_space_cannot_be_listed_moves_from_the_best_have_them_as_parents() -> None:
    space = Grid(2, 9, listed=False)
    records = drive(_strategy(_Nearest(), space, pool=200), 40, judged(HILL))
    later = [record for record in records[6:] if record.parent is not None]
    assert later
    for record in later:
        parent = records[record.parent or 0]
        assert sum(a != b for a, b in zip(numbers(parent.genotype), numbers(record.genotype), strict=True)) == 1
    assert max(record.scores["worth"] for record in records) == 0.0


class _Twins(Space):
    """Twenty networks, each with two genotypes."""

    name, size = "twins", 40

    def build(self, choose: Choose) -> Network:
        choose("twin", Flag(0.5))
        net = NetworkBuilder((3,))
        return net.build(net.add(Dense(int(choose("units", Integer(1, 20)))), net.input))


def test_what_computes_the_same_is_asked_when_nothing_else_is_left() -> None:
    def units(genotype: Genotype) -> float:
        return float(genotype["units"])

    strategy = _strategy(_Oracle(units), _Twins(), rank=units, startup=2, warm=2, ranked=40)
    records = drive(strategy, 60, judged(units))
    assert [units(record.genotype) for record in records[:20]] == [float(each) for each in range(20, 0, -1)]
    assert len({record.genotype for record in records}) == len(records) == 40


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"acquisition": "ucbb"}, "did you mean 'ucb'"),
        ({"kappa": -1.0}, "kappa is -1.0; expected a number of at least 0"),
        ({"startup": 1}, "startup is 1; expected a whole number from 2"),
        ({"warm": 7}, "warm is 7; expected a whole number from 0 to 6"),
        ({"ranked": 2}, "ranked is 2; expected a whole number from 3"),
        ({"refit": 0}, "refit is 0"),
        ({"pool": 0}, "pool is 0"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        _strategy(**options)


def test_the_predictor_is_a_field_of_the_run() -> None:
    result = search(
        "nats-tss", "predictor(startup=4, warm=2, ranked=20)", "params", predictor="knn(k=3)", budget=12
    )
    assert result.setup.resolved.predictor == "knn(k=3)"
    assert result.setup.resolved.rank == "params+macs"
    plain = search("nats-tss", "random", "params", budget=12)
    assert result.best.scores["params"] >= plain.best.scores["params"]
    with pytest.raises(UnknownName, match="unknown predictor 'knnn'; did you mean 'knn'"):
        search("nats-tss", "predictor", "params", predictor="knnn", budget=3)
    with pytest.raises(UsageError, match="strategy 'random' learns nothing; leave out predictor 'knn'"):
        search("nats-tss", "random", "params", predictor="knn", budget=3)


def test_the_first_keep_the_bounds_on_figures() -> None:
    setup = Setup(RunConfig(strategy="predictor(warm=4, ranked=20)", fitness="params"))

    def keeps(genotype: Genotype) -> bool:
        network = setup.space.decode(genotype)
        return all(bound.holds(bound.fitness(network)) for bound in setup.bounds)

    genotypes = [setup.space.sample(Random(seed)) for seed in range(20)]
    assert 0 < sum(map(keeps, genotypes)) < 20
    assert [merit > -np.inf for merit in setup.rank(genotypes)] == [*map(keeps, genotypes)]
    strategy = setup.strategy()
    assert all(keeps(strategy.ask().genotype) for _ in range(4))
