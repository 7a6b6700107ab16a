"""TPE: what the contract of strategies does not cover: its window, bad records, and that it learns."""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Callable, Sequence

import numpy as np
import optuna
import pytest
from optuna.samplers._tpe.sampler import _split_trials

from engine.objectives import Objective, Objectives
from engine.records import Candidate, Record
from engine.strategies.random import RandomSearch
from engine.strategies.tpe import TreeParzen
from fitness.expression import Expression
from spaces.errors import UsageError
from spaces.layers import Dense
from spaces.network import Network, NetworkBuilder
from spaces.space import Choice, Choose, Flag, Genotype, Integer, Space, Value
from tests.engine.toys import make

WINDOW = 24  # forgets, and makes its study again, about every eighth record


def _objectives(*names: str) -> Objectives:
    return Objectives(tuple(Objective(Expression(name, make), "max") for name in names))


class _Even:
    """A domain of one's own."""

    count = 3

    def values(self) -> tuple[Value, ...]:
        return (2, 4, 6)

    def draw(self, uniform: float) -> Value:
        return 2 + 2 * int(3 * uniform)

    def __contains__(self, value: object) -> bool:
        return value in (2, 4, 6)


class _Stack(Space):
    """Up to six dense layers with choices of every kind; most choices are only there in deep networks."""

    name = "stack"

    def build(self, choose: Choose) -> Network:
        net = NetworkBuilder((3,))
        x = net.input
        for layer in range(int(choose("layers", Integer(1, 6)))):
            units = int(choose(f"{layer}.units", Integer(8, 65, 8))) + int(choose(f"{layer}.more", _Even()))
            if choose(f"{layer}.kind", Choice("plain", "double")) == "double":
                units *= 2
            choose(f"{layer}.only", Integer(5, 5))
            x = net.add(Dense(units + int(choose(f"{layer}.odd", Flag(0.3)))), x)
        return net.build(x)


class _Grid(Space):
    """Independent whole numbers, all of them always there."""

    def __init__(self, choices: int, high: int) -> None:
        super().__init__()
        self.names, self.domain = [f"x{i}" for i in range(choices)], Integer(0, high)

    def build(self, choose: Choose) -> Network:
        net = NetworkBuilder((3,))
        x = net.input
        for name in self.names:
            x = net.add(Dense(1 + int(choose(name, self.domain))), x)
        return net.build(x)


Judge = Callable[[Candidate], Record]


def _told(candidate: Candidate, scores: dict[str, float] | None = None, status: str = "ok") -> Record:
    number, genotype, parent = candidate
    reason = None if status == "ok" else "told so"
    return Record(number, genotype, parent, "", scores or {}, status, reason, False, 0.0)  # type: ignore[arg-type]


def _units(genotype: Genotype) -> float:
    return float(sum(int(value) for name, value in genotype.items() if name.endswith("units")))


def _judge(candidate: Candidate) -> Record:
    """Every kind of answer."""
    if candidate.number % 11 == 5:
        return _told(candidate, status="failed")
    if candidate.number % 7 == 2:
        return _told(candidate, status="infeasible")
    units = -math.inf if candidate.number % 13 == 6 else _units(candidate.genotype)
    return _told(candidate, {"a": units, "b": -float(len(candidate.genotype))})


def _drive(
    strategy: TreeParzen | RandomSearch,
    asks: int,
    judge: Judge = _judge,
    open_asks: int = 1,
    known: Sequence[Record] = (),
    shuffled: bool = False,
) -> list[Record]:
    """Keep asks open; tell them in ask order, or in a fixed other one; adopt what is known."""
    pending: deque[Candidate] = deque()
    records: list[Record] = []
    asked = 0
    while len(records) < asks:
        while asked < asks and len(pending) < open_asks:
            if asked < len(known):
                strategy.adopt(known[asked].candidate)
                pending.append(known[asked].candidate)
            else:
                pending.append(strategy.ask())
            asked += 1
        if shuffled:
            pending.rotate(len(records) % 3)
        candidate = pending.popleft()
        records.append(judge(candidate))
        strategy.tell(records[-1])
    return sorted(records)


def _tpe(seed: int = 0, names: Sequence[str] = ("a",), window: int = WINDOW, **options: int) -> TreeParzen:
    return TreeParzen(_Stack(), _objectives(*names), seed, window=window, **options)


# --- the sequence -----------------------------------------------------------------------------------


@pytest.mark.parametrize("names", [("a",), ("a", "b")])
def test_a_seed_and_the_calls_make_the_sequence(names: tuple[str, ...]) -> None:
    first = _drive(_tpe(3, names), 45)
    random.seed(5)
    np.random.seed(5)
    states = random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index]
    assert _drive(_tpe(3, names), 45) == first
    assert (random.getstate(), np.random.get_state()[1].tolist()) == states  # type: ignore[index]
    assert _drive(_tpe(4, names), 45) != first


@pytest.mark.parametrize("names", [("a",), ("a", "b")])
@pytest.mark.parametrize(("open_asks", "shuffled"), [(1, False), (8, False), (5, True)])
def test_replaying_continues_as_if_nothing_had_happened(
    names: tuple[str, ...], open_asks: int, shuffled: bool
) -> None:
    """At every cut around several rebuilds of the study, with the open asks adopted too."""

    def drive(asks: int, known: Sequence[Record] = ()) -> list[Candidate]:
        records = _drive(_tpe(1, names), asks, open_asks=open_asks, known=known, shuffled=shuffled)
        return [record.candidate for record in records]

    whole = _drive(_tpe(1, names), 60, open_asks=open_asks, shuffled=shuffled)
    for cut in (1, 15, *range(31, 40)):
        resumed = drive(60 if cut == 33 else cut + 3, whole[:cut])
        assert resumed == [record.candidate for record in whole[: len(resumed)]]


def test_the_window_bounds_what_optuna_sees() -> None:
    strategy = _tpe()
    for _ in range(10):
        _drive_on(strategy, 20)
        assert strategy._study is None or len(_shown(strategy)) <= WINDOW
        assert len(strategy._shown) <= WINDOW


def _drive_on(strategy: TreeParzen, asks: int) -> None:
    for _ in range(asks):
        strategy.tell(_judge(strategy.ask()))


def _shown(strategy: TreeParzen) -> list[optuna.trial.FrozenTrial]:
    assert strategy._study is not None
    states = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)
    return strategy._study.get_trials(deepcopy=False, states=states)


def test_the_best_outlive_the_window() -> None:
    strategy = _tpe()
    best: dict[int, float] = {}
    for _ in range(120):
        record = _judge(strategy.ask())
        strategy.tell(record)
        if record.status == "ok":
            best[record.number] = record.scores["a"]
        assert max(best, key=lambda number: best[number], default=None) in {*strategy._shown, None}


def test_open_asks_differ_and_nothing_is_asked_twice() -> None:
    strategy = _tpe()
    _drive_on(strategy, 30)
    candidates = [strategy.ask() for _ in range(8)]
    assert len({candidate.genotype for candidate in candidates}) == 8
    records = _drive(TreeParzen(_Grid(2, 9), _objectives("a"), 0), 90, _distance([3, 7]), open_asks=4)
    assert len({record.genotype for record in records}) == 90


def test_members_only_and_parents_are_good_records() -> None:
    space, records = _Stack(), _drive(_tpe(redrawn=3), 80, open_asks=3)
    for record in records:
        space.decode(record.genotype)
        assert all(type(value) in (int, str, bool) for value in record.genotype.values())
        assert record.parent is None or records[record.parent].scores["a"] > -math.inf
    assert any(record.parent is not None for record in records)


def test_the_first_asks_follow_the_law_of_the_space() -> None:
    strategy, drawn = _tpe(9), RandomSearch(_Stack(), _objectives("a"), 9)
    assert [strategy.ask() for _ in range(20)] == [drawn.ask() for _ in range(20)]


# --- bad records ------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", [("a",), ("a", "b"), ("a", "b", "c")])
@pytest.mark.parametrize("bad", ["failed", "infeasible", "low", "high"])
def test_bad_records_are_survived(names: tuple[str, ...], bad: str) -> None:
    def judge(candidate: Candidate) -> Record:
        scores = {name: float((candidate.number * (i + 3)) % 17) for i, name in enumerate(names)}
        if candidate.number % 2:
            return _told(candidate, scores)
        if bad in ("failed", "infeasible"):
            return _told(candidate, status=bad)
        return _told(candidate, scores | {names[-1]: -math.inf if bad == "low" else math.inf})

    assert len(_drive(_tpe(0, names), 45, judge, open_asks=2)) == 45


@pytest.mark.parametrize("bad", ["failed", "infeasible"])
def test_while_nothing_succeeds_draws_are_random(bad: str) -> None:
    drawn = _drive(RandomSearch(_Stack(), _objectives("a"), 0), 50, lambda c: _told(c, status=bad))
    assert _drive(_tpe(), 50, lambda c: _told(c, status=bad)) == drawn


def test_rejected_ones_never_count_as_good() -> None:
    """Optuna takes up to a tenth for good, rejected ones too if there are too few others."""
    strategy = _tpe(window=200)
    for _ in range(200):
        candidate = strategy.ask()
        ok = candidate.number % 16 == 0
        strategy.tell(_told(candidate, {"a": 1.0}) if ok else _told(candidate, status="infeasible"))
        merits = [merits for _, merits in strategy._shown.values()]
        oks = sum(entry is not None for entry in merits)
        assert len(merits) <= 10 * max(oks, 1)


def test_infeasible_regions_are_left() -> None:
    def judge(candidate: Candidate) -> Record:
        if any(int(value) > 15 for value in candidate.genotype.values()):
            return _told(candidate, status="infeasible")
        return _told(candidate, {"a": 1.0})

    records = _drive(TreeParzen(_Grid(3, 31), _objectives("a"), 0), 200, judge)
    assert sum(record.status == "ok" for record in records[150:]) > 25  # at random: one in eight


# --- learning ---------------------------------------------------------------------------------------


def _distance(target: Sequence[int]) -> Judge:
    def judge(candidate: Candidate) -> Record:
        pairs = zip(candidate.genotype.values(), target, strict=True)
        return _told(candidate, {"a": -float(sum((int(value) - at) ** 2 for value, at in pairs))})

    return judge


@pytest.mark.slow
@pytest.mark.parametrize("choices", [4, 25])
def test_beats_random_search_by_far(choices: int) -> None:
    """With few choices plain TPE, with many ten drawn anew per ask."""
    target = [(7 * i) % 32 for i in range(choices)]

    def regret(strategy: TreeParzen | RandomSearch) -> float:
        return -max(record.scores["a"] for record in _drive(strategy, 120, _distance(target), open_asks=4))

    space, objectives = _Grid(choices, 31), _objectives("a")
    regrets = [
        (regret(TreeParzen(space, objectives, seed)), regret(RandomSearch(space, objectives, seed)))
        for seed in range(2)
    ]
    assert sum(tpe for tpe, _ in regrets) < 0.75 * sum(drawn for _, drawn in regrets), regrets


def test_two_objectives_are_both_pursued() -> None:
    def judge(candidate: Candidate) -> Record:
        x, y, *rest = (int(value) for value in candidate.genotype.values())
        loss = float(sum(value**2 for value in rest))
        return _told(candidate, {"a": -((x - 31) ** 2) - y**2 - loss, "b": -((y - 31) ** 2) - x**2 - loss})

    def losses(strategy: TreeParzen | RandomSearch) -> list[float]:
        records = _drive(strategy, 120, judge, open_asks=4)
        return [-max(record.scores[name] for record in records) for name in ("a", "b")]

    space, objectives = _Grid(6, 31), _objectives("a", "b")
    found = np.mean([losses(TreeParzen(space, objectives, seed)) for seed in range(2)], axis=0)
    drawn = np.mean([losses(RandomSearch(space, objectives, seed)) for seed in range(2)], axis=0)
    assert (found < drawn).all(), (found, drawn)
    assert found.sum() < 0.75 * drawn.sum(), (found, drawn)


# --- manners ----------------------------------------------------------------------------------------


def test_optuna_is_silent_and_left_as_it_was(capfd: pytest.CaptureFixture[str]) -> None:
    before = optuna.logging.get_verbosity()
    _drive(_tpe(), 40)
    assert optuna.logging.get_verbosity() == before
    assert capfd.readouterr() == ("", "")


def test_optuna_ranks_pruned_trials_last() -> None:
    """What infeasible and failed records rely on."""
    strategy = _tpe()
    _drive_on(strategy, 31)
    strategy.ask()
    assert {trial.state.name for trial in _shown(strategy)} == {"COMPLETE", "PRUNED"}
    assert strategy._study is not None
    trials = _shown(strategy)
    below, above = _split_trials(strategy._study, trials, math.ceil(len(trials) / 10))
    assert {trial.state.name for trial in below} == {"COMPLETE"}
    assert min(trial.value or 0.0 for trial in below) >= max(
        trial.value for trial in above if trial.value is not None
    )


@pytest.mark.parametrize(("window", "redrawn"), [(9, 10), (200, 0)])
def test_options_are_checked(window: int, redrawn: int) -> None:
    wrong = f"window is {window}" if window == 9 else f"redrawn is {redrawn}"
    with pytest.raises(UsageError, match=f"{wrong}; expected"):
        _tpe(window=window, redrawn=redrawn)
