"""The Parzen estimator: its window, its resumes around rebuilds, and that it learns."""

from __future__ import annotations

import math
import random
import statistics

import numpy
import pytest

from engine.objectives import Objective, Objectives
from engine.records import Candidate, Record
from engine.strategies.tpe import TreeParzen
from fitness.expression import Expression
from spaces.errors import UsageError
from spaces.layers import Dense, Flatten
from spaces.network import Network, NetworkBuilder
from spaces.space import Choice, Choose, Flag, Genotype, Integer, Space


class Dials(Space):
    """Six numbers, a word and a flag that opens a further number; how good they are is up to the test."""

    name = "dials"

    def build(self, choose: Choose) -> Network:
        for i in range(6):
            choose(f"x{i}", Integer(0, 30))
        choose("word", Choice("a", "b", "c"))
        if choose("open", Flag(0.5)):
            choose("y", Integer(0, 10, 2))
        net = NetworkBuilder((1, 1, 1))
        return net.build(net.add(Dense(2), net.add(Flatten(), net.input)))


class Value:
    name, direction, unit, needs = "value", "max", "", "genotype"

    def __call__(self, genotype: Genotype) -> float:
        distance = sum(abs(int(genotype[f"x{i}"]) - 5 * i) for i in range(6))
        return -distance + 10 * (genotype["word"] == "b") + int(genotype.get("y", 0))


VALUE = Objectives((Objective(Expression("value", lambda name, options: Value()), "max"),))


def told(strategy: TreeParzen, candidate: Candidate, value: float | None) -> None:
    status = "infeasible" if value is None else "ok"
    scores = {} if value is None else {"value": value}
    strategy.tell(Record(*candidate[:2], None, "0" * 32, scores, status, None, False, 0.0))  # type: ignore[arg-type]


def value_of(number: int, genotype: Genotype) -> float | None:
    """Every seventh breaks a bound, every eleventh has a score of minus infinity."""
    if number % 7 == 3:
        return None
    return -math.inf if number % 11 == 5 else Value()(genotype)


def sequence(seed: int, count: int, open_asks: int, cut: int = 0, window: int = 60) -> list[Genotype]:
    """What is asked; the first `cut` candidates are adopted from a run before, as a resume does."""
    before = sequence(seed, count, open_asks, 0, window)[:cut] if cut else []
    strategy = TreeParzen(Dials(), VALUE, seed, window=window)
    asked: list[Candidate] = []
    for number in range(count):
        while len(asked) < min(number + open_asks, count):
            if len(asked) < len(before):
                candidate = Candidate(len(asked), before[len(asked)])
                strategy.adopt(candidate)
            else:
                candidate = strategy.ask()
            asked.append(candidate)
        told(strategy, asked[number], value_of(number, asked[number].genotype))
    return [candidate.genotype for candidate in asked]


@pytest.mark.parametrize("open_asks", [1, 4])
@pytest.mark.parametrize("cut", [1, 30, 60, 61, 75])
def test_a_resume_around_a_cut_back_goes_on_as_if_nothing_had_happened(cut: int, open_asks: int) -> None:
    assert sequence(0, 85, open_asks, cut) == sequence(0, 85, open_asks)


def test_open_asks_differ() -> None:
    strategy = TreeParzen(Dials(), VALUE, 0)
    asked = [strategy.ask().genotype for _ in range(40)]
    assert len(set(asked)) == 40


def test_the_estimator_sees_no_more_than_its_window() -> None:
    strategy = TreeParzen(Dials(), VALUE, 0, window=50)
    for number in range(90):
        candidate = strategy.ask()
        told(strategy, candidate, value_of(number, candidate.genotype))
        assert strategy._study is None or len(strategy._study.get_trials(deepcopy=False)) < 50 + 4 * 50


def test_a_window_smaller_than_the_good_side_is_refused() -> None:
    with pytest.raises(UsageError, match="window 10; expected at least 50"):
        TreeParzen(Dials(), VALUE, 0, window=10)


def test_it_beats_random_search() -> None:
    def best(seed: int) -> float:
        return max(Value()(genotype) for genotype in sequence(seed, 120, 1, window=200))

    def luck(seed: int) -> float:
        space, rng = Dials(), random.Random(seed)
        return max(Value()(space.sample(rng)) for _ in range(120))

    assert statistics.mean(map(best, range(3))) > statistics.mean(map(luck, range(3))) + 5


def test_global_generators_are_left_alone() -> None:
    state, legacy = random.getstate(), numpy.random.get_state()[1].copy()  # type: ignore[index,union-attr]
    sequence(0, 30, 2)
    assert random.getstate() == state
    assert (numpy.random.get_state()[1] == legacy).all()  # type: ignore[index]
