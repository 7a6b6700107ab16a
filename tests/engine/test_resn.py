"""Evolution of lists of layers: generations as published, lengths without the look-back, strengths and restarts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from random import Random
from typing import Any

import pytest

from engine.records import Candidate, Record
from engine.strategies.base import Exhausted
from engine.strategies.mixed.layer_list import LayerList
from engine.strategies.random import RandomSearch
from engine.strategies.resn import LayerEvolution, Strengths
from spaces.errors import UsageError
from spaces.mlp import MlpSpace
from spaces.rnn import RnnSpace
from spaces.space import Genotype, Integer, Space
from tests.engine.toys import WORTH, Grid, Stack, best_of, drive, judged, near, numbers, told

WAVES = RnnSpace(cell="any", max_layers=5)


def _resn(space: Space, seed: int = 0, **options: Any) -> LayerEvolution:
    return LayerEvolution(space, WORTH, seed, **options)


def _units(genotype: Genotype) -> float:
    return float(sum(int(value) for name, value in genotype.items() if name.endswith(".units")))


def _layers(genotype: Genotype) -> list[tuple[int, str]]:
    return [(int(genotype[f"l{i}.units"]), str(genotype[f"l{i}.cell"])) for i in range(int(genotype["layers"]))]


def _asked(records: Sequence[Record]) -> list[Candidate]:
    return [record.candidate for record in records]


def _children(records: Sequence[Record]) -> list[tuple[Genotype, Genotype]]:
    """Parent and child."""
    return [(records[r.parent].genotype, r.genotype) for r in records if r.parent is not None]


# --- lists of layers --------------------------------------------------------------------------------


@pytest.mark.parametrize("space", [MlpSpace(), RnnSpace(), WAVES])
def test_a_list_of_layers_is_taken_apart_and_put_together(space: Space) -> None:
    assert space.layered is not None
    layers = LayerList(space, space.layered)
    for seed in range(50):
        genotype = space.sample(Random(seed))
        rest, parts = layers.split(genotype)
        assert len(parts) == genotype["layers"]
        assert Genotype(layers.join(rest, parts)) == genotype
        assert rest.keys() == genotype.keys() & {"look_back"}


def test_a_list_knows_what_its_layers_are_made_of() -> None:
    layers = LayerList(WAVES, RnnSpace.layered)  # type: ignore[arg-type]
    assert (layers.least, layers.most, list(layers.parts), list(layers.rest)) == (
        1,
        5,
        [".units", ".cell"],
        ["look_back"],
    )


# --- generations ------------------------------------------------------------------------------------


def test_with_one_ask_open_parents_are_the_best_of_all_up_to_the_last_generation() -> None:
    """(mu + lambda) keeps the best mu of everything; children come in generations of lambda."""
    records = drive(_resn(MlpSpace(), population=4, offspring=6, step=30), 64, judged(_units))
    merits = [record.scores["worth"] for record in records]
    assert {record.parent for record in records[:4]} == {None}
    for start in range(4, 64, 6):
        best = sorted(range(start), key=lambda number: (-merits[number], number))[:4]
        assert {record.parent for record in records[start : start + 6]} <= {*best, None}
    assert len(_children(records)) > 50


def test_the_first_asks_follow_the_law_of_the_space() -> None:
    strategy, drawn = _resn(WAVES, 7, population=5), RandomSearch(WAVES, WORTH, 7)
    assert [strategy.ask() for _ in range(9)] == [drawn.ask() for _ in range(9)]


def test_the_fitter_of_two_is_a_parent_three_times_of_four() -> None:
    space = Grid(6, 99, listed=False)
    records = drive(_resn(space, population=2, offspring=1000), 400, lambda c: told(c, -c.number))
    parents = [record.parent for record in records if record.parent is not None]
    assert parents.count(0) / len(parents) == pytest.approx(0.75, abs=0.06)


def test_nothing_is_asked_twice_and_a_small_space_comes_to_its_end() -> None:
    strategy = _resn(Grid(2, 4))
    records = drive(strategy, 1000, judged(near(3, 1)), 3)
    assert len(records) == len({record.genotype for record in records}) == 25
    with pytest.raises(Exhausted):
        strategy.ask()


@pytest.mark.slow
@pytest.mark.parametrize("open_asks", [1, 5])
def test_it_climbs_where_random_search_strays(open_asks: int) -> None:
    hill = judged(near(70, 20, 50, 90))
    space = Grid(4, 99, listed=False)
    found = [best_of(drive(_resn(space, seed), 150, hill, open_asks)) for seed in range(4)]
    drawn = [best_of(drive(RandomSearch(space, WORTH, seed), 150, hill)) for seed in range(4)]
    assert min(found) > max(drawn)


# --- mutation ---------------------------------------------------------------------------------------


def test_the_length_changes_by_one_layer_left_out_or_doubled_and_nothing_else_does() -> None:
    options: dict[str, Any] = {"p_gene": 1e-12, "p_length": 1.0, "adapt": False}
    pairs = _children(drive(_resn(WAVES, **options), 60, judged(_units)))
    kinds = set()
    for parent, child in pairs:
        assert child["look_back"] == parent["look_back"]
        one, other = _layers(parent), _layers(child)
        shorter = [one[:i] + one[i + 1 :] for i in range(len(one))]
        longer = [one[: i + 1] + one[i:] for i in range(len(one))]
        assert other in shorter + longer
        assert 1 <= len(other) <= 5
        kinds.add(len(other) - len(one))
    assert kinds == {-1, 1}


def test_without_a_chance_of_its_own_the_length_stays() -> None:
    pairs = _children(drive(_resn(WAVES, p_length=0.0), 60, judged(_units)))
    assert len(pairs) > 50
    assert all(parent["layers"] == child["layers"] for parent, child in pairs)


def test_a_vanishing_probability_still_changes_one_choice_by_less_than_a_step() -> None:
    options: dict[str, Any] = {"p_gene": 1e-12, "p_length": 0.0, "adapt": False, "step": 4.9}
    pairs = _children(drive(_resn(WAVES, **options), 80, judged(_units)))
    steps = set()
    for parent, child in pairs:
        (name,) = [name for name in parent if parent[name] != child[name]]
        if not name.endswith(".cell"):
            steps.add(abs(int(child[name]) - int(parent[name])))
    assert steps == {1, 2, 3}


def test_steps_of_a_choice_are_in_its_own_unit_and_new_choices_are_drawn() -> None:
    pairs = _children(
        drive(_resn(Stack(), p_gene=0.5, step=9, adapt=False), 60, judged(lambda genotype: -len(genotype)))
    )
    assert len(pairs) > 40
    assert all(Stack().decode(child) for _, child in pairs)
    assert any(len(child) > len(parent) for parent, child in pairs)


def test_gaussian_steps_are_rounded_to_the_nearest() -> None:
    """Cut off towards zero, as in the authors' program, 38 of 100 steps of deviation 2 would be none; so are 20."""
    strategy, rng = _resn(Grid(1, 9), mutation="gaussian", step=2), Random(0)
    steps = [int(strategy._changed(500, Integer(0, 1000), rng)) - 500 for _ in range(4000)]
    assert steps.count(0) / 4000 == pytest.approx(math.erf(0.25 / math.sqrt(2)), abs=0.02)
    assert sum(steps) / 4000 == pytest.approx(0, abs=0.1)
    assert sum(step**2 for step in steps) / 4000 == pytest.approx(4 + 1 / 12, abs=0.3)


# --- strengths --------------------------------------------------------------------------------------


def test_strengths_grow_by_half_or_fall_to_a_quarter_within_their_limits() -> None:
    assert Strengths(0.2, 0.8, 4).adapted(True) == pytest.approx((0.3, 1.0, 6))
    assert Strengths(0.2, 0.8, 4).adapted(False) == pytest.approx((0.05, 0.2, 1.0))
    assert Strengths(2e-9, 0.0, 3).adapted(False) == pytest.approx((1e-9, 0.0, 1.0))
    assert Strengths(1.0, 0.0, 9e5).adapted(True) == (1.0, 0.0, 1e6)


def test_a_gaussian_step_below_one_never_grows_by_standstill() -> None:
    strategy = _resn(MlpSpace(), mutation="gaussian", step=0.6)
    drive(strategy, 20, judged(lambda genotype: 0.0))
    assert strategy.strengths.step == 0.6


@pytest.mark.parametrize(
    ("worth", "adapt", "expected"),
    [
        (1, True, (0.1 * 1.5**3, 0.2 * 1.5**3, 6 * 1.5**3)),
        (0, True, (0.1 / 64, 0.2 / 64, 1)),
        (-1, True, (0.1 / 64, 0.2 / 64, 1)),
        (1, False, (0.1, 0.2, 6)),
    ],
)
def test_a_better_generation_widens_the_search_and_standstill_narrows_it(
    worth: int, adapt: bool, expected: tuple[float, ...]
) -> None:
    """Three generations of which every child is better than all before, the same, or worse."""
    strategy = _resn(WAVES, population=3, offspring=4, p_gene=0.1, p_length=0.2, step=6, adapt=adapt)
    drive(strategy, 3 + 3 * 4, lambda candidate: told(candidate, worth * candidate.number))
    assert strategy.strengths == pytest.approx(expected)


# --- restarts ---------------------------------------------------------------------------------------

ANEW: dict[str, Any] = {"population": 4, "offspring": 3, "restarts": 2, "max_eval": 20, "migrate": 1}


def test_a_restart_keeps_the_best_and_fills_up_with_random_ones() -> None:
    strategy = _resn(MlpSpace(), **ANEW)
    records = drive(strategy, 80, judged(_units))
    fresh = [record.number for record in records if record.parent is None]
    assert fresh == [0, 1, 2, 3, 20, 21, 22, 40, 41, 42]  # and no third time at 60
    for start, end in ((23, 40), (43, 80)):
        best = max(records[: start - 3], key=lambda record: record.scores["worth"])
        assert best.number in {record.parent for record in records[start:end]} or any(
            record.scores["worth"] > best.scores["worth"] for record in records[start - 3 : start]
        )


def test_a_restart_resets_the_strengths() -> None:
    strategy = _resn(MlpSpace(), **ANEW | {"step": 40.0})
    records = drive(strategy, 19, judged(lambda genotype: 0.0))
    assert strategy.strengths.step == 1
    strategy.adopt(candidate := RandomSearch(MlpSpace(), WORTH, 5).ask()._replace(number=19))
    strategy.tell(told(candidate, 0.0))
    assert (len(records), strategy.strengths) == (19, (0.2, 0.2, 40.0))


@pytest.mark.parametrize("open_asks", [1, 4])
def test_a_restart_keeps_only_who_migrates_whatever_is_open(open_asks: int) -> None:
    """What was asked before a start and told after it is neither parent nor child, nor counted; here it is best."""
    strategy, starts = _resn(MlpSpace(), **ANEW), [0]

    def judge(candidate: Candidate) -> Record:
        if strategy._start > starts[-1]:
            starts.append(strategy._start)
        return told(candidate, -candidate.number)

    records = drive(strategy, 100, judge, open_asks)
    assert len(starts) == 3
    assert all(later - start >= 20 for start, later in pairwise(starts))
    for start, end in pairwise([*starts, 100]):
        parents = {record.parent for record in records[start:end] if record.parent is not None}
        assert parents - set(range(start, end)) <= {0}  # the best of all, which migrates
        assert len(parents) > 1
        assert [record.parent for record in records[start : start + 3]] == [None] * 3


@pytest.mark.parametrize("open_asks", [1, 4])
def test_resuming_with_restarts_goes_on_as_before(open_asks: int) -> None:
    whole = drive(_resn(WAVES, **ANEW), 60, judged(_units), open_asks)
    for cut in (19, 22, 41):
        assert _asked(drive(_resn(WAVES, **ANEW), 60, judged(_units), open_asks, whole[:cut])) == _asked(whole)


# --- options ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"population": 0}, "population is 0; expected a whole number from 1"),
        ({"offspring": 0}, "offspring is 0"),
        ({"mutation": "normal"}, "mutation 'normal'; expected 'uniform' or 'gaussian'"),
        ({"p_gene": 0.0}, "p_gene is 0.0; expected a probability above 0"),
        ({"p_gene": math.nan}, "p_gene is nan; expected a probability"),
        ({"p_length": 1.5}, "p_length is 1.5; expected a probability"),
        ({"p_length": "a"}, "p_length is 'a'; expected a probability"),
        ({"p_length": True}, "p_length is True; expected a probability"),
        ({"step": 0.0}, "step is 0.0; expected a number at least 1"),
        ({"step": 0.9}, "step is 0.9; expected a number at least 1"),
        ({"step": 0.0, "mutation": "gaussian"}, "step is 0.0; expected a number above 0"),
        ({"step": math.nan}, "step is nan"),
        ({"adapt": 1}, "adapt is 1; expected true or false"),
        ({"restarts": -1}, "restarts is -1"),
        ({"max_eval": 50}, "max_eval is 50, but restarts is 0; expected restarts from 1, or no max_eval"),
        ({"migrate": 0}, "migrate is 0, but restarts is 0; expected restarts from 1, or no migrate"),
        ({"restarts": 1, "max_eval": 0}, "max_eval is 0; expected a whole number from 1"),
        ({"restarts": 1, "migrate": 3}, "migrate for a population of 3 is 3; expected a whole number from 0 to 2"),
    ],
)
def test_wrong_options_are_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=f"^{message}[^\n]*$"):
        _resn(WAVES, **options)


@pytest.mark.parametrize("space", [Grid(2, 4), RnnSpace(min_layers=2, max_layers=2)])
def test_a_chance_of_the_length_is_refused_where_there_is_but_one(space: Space) -> None:
    with pytest.raises(
        UsageError, match=f"^strategy 'resn': p_length is for lists .* '{space.name}' has none [^\n]*$"
    ):
        _resn(space, p_length=0.2)


def test_a_population_of_one_starts_anew_with_nobody() -> None:
    records = drive(_resn(MlpSpace(), population=1, restarts=1, max_eval=10), 30, judged(_units))
    assert [record.number for record in records if record.parent is None] == [0, 10]


@pytest.mark.parametrize("most", [1e308, math.nextafter(math.inf, 0)])
def test_merits_as_large_as_numbers_go_are_merits(most: float) -> None:
    strategy = _resn(MlpSpace(), population=3, offspring=3, step=40)
    drive(strategy, 12, lambda candidate: told(candidate, most if candidate.number > 2 else -most))
    assert strategy.strengths.step == 40 * 1.5 / 16  # better once, then the same twice


def test_children_keep_the_numbers_of_a_space_without_lists_within_bounds() -> None:
    records = drive(_resn(Grid(3, 9, listed=False), step=50), 60, judged(near(9, 0, 9)))
    assert all(0 <= value <= 9 for record in records for value in numbers(record.genotype))
