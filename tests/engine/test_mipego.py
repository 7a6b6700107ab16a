"""Bayesian search of vectors: the codes of lists, the evolution strategy, and what is asked of the model."""

from __future__ import annotations

import math
from random import Random
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import RandomForestRegressor

from engine.records import Candidate, Record
from engine.strategies import mipego
from engine.strategies.base import Exhausted, stream
from engine.strategies.bo import expected_improvement
from engine.strategies.mipego import MixedIntegerBayes
from engine.strategies.mixed.layer_list import LayerList
from engine.strategies.mixed.mies import _reflected, maximise
from engine.strategies.mixed.vectors import ENCODINGS, Codes, FixedNames, LayerVectors, Variable, columns
from engine.strategies.random import RandomSearch
from engine.strategies.surrogate import grow
from spaces.errors import RunError, UnknownName, UsageError
from spaces.network import Network
from spaces.rnn import RnnSpace
from spaces.space import Choice, Choose, Flag, Genotype, Integer, Space
from tests.engine.toys import WORTH, Grid, Stack, best_of, drive, judged, near, numbers, told

FAST: dict[str, Any] = {"startup": 6, "trees": 3, "inner": 140}
WAVES = RnnSpace(cell="any", min_layers=2, max_layers=4, min_units=10, max_units=30)
PLAIN = RnnSpace()

each_encoding = pytest.mark.parametrize("encoding", ENCODINGS)


def _mipego(space: Space, seed: int = 0, **options: Any) -> MixedIntegerBayes:
    return MixedIntegerBayes(space, WORTH, seed, **FAST | options)


def _vectors(encoding: str, space: RnnSpace = WAVES) -> LayerVectors:
    return LayerVectors(LayerList(space, space.layered), encoding)  # type: ignore[arg-type]


def _drawn(vectors: LayerVectors, count: int) -> Codes:
    sizes = [variable.size for variable in vectors.variables]
    return np.random.default_rng(1).integers(0, sizes, (count, len(sizes)))


def _units(genotype: Genotype) -> float:
    """Best at three widths of 80, 20 and 50 and a look-back of 9."""
    widths = [int(value) for name, value in genotype.items() if name.endswith(".units")]
    off = sum(abs(one - other) for one, other in zip([*widths, 0, 0], (80, 20, 50), strict=False))
    return -float(off + abs(int(genotype["look_back"]) - 9))


# --- codes of lists ---------------------------------------------------------------------------------


@each_encoding
@pytest.mark.parametrize("space", [WAVES, PLAIN])
def test_every_architecture_has_a_vector_of_its_own(encoding: str, space: RnnSpace) -> None:
    vectors = _vectors(encoding, space)
    genotypes = {space.sample(Random(seed)) for seed in range(150)}
    codes = {genotype: tuple(vectors.encode(genotype)) for genotype in genotypes}
    assert len(set(codes.values())) == len(genotypes)
    for genotype, code in codes.items():
        assert Genotype(vectors.decode(code)) == genotype
        assert len(code) == len(vectors.variables)
        assert all(0 <= entry < variable.size for entry, variable in zip(code, vectors.variables, strict=True))


@each_encoding
def test_a_repaired_vector_is_that_of_its_architecture(encoding: str) -> None:
    vectors = _vectors(encoding)
    codes = _drawn(vectors, 200)
    repaired, (_, member) = vectors.repaired(codes), vectors.gaps(codes)
    assert 20 < member.sum() <= 200
    for code, clean in zip(codes[member], repaired[member], strict=True):
        genotype = Genotype(vectors.decode(code))
        WAVES.decode(genotype)
        assert vectors.encode(genotype) == clean.tolist()
    np.testing.assert_array_equal(vectors.repaired(repaired), repaired)
    assert not vectors.gaps(repaired)[0].any()


def test_the_three_codes_of_one_list() -> None:
    genotype = Genotype({"look_back": 9, "layers": 2, "l0.units": 80, "l1.units": 20})
    assert _vectors("flag", PLAIN).encode(genotype) == [79, 19, 0, 1, 1, 0, 7]
    assert _vectors("size", PLAIN).encode(genotype) == [79, 19, 0, 1, 7]
    assert _vectors("plain", PLAIN).encode(genotype) == [80, 20, 0, 7]


def test_gaps_are_absent_layers_before_present_ones() -> None:
    """The sum over present layers of their distance to the present one before, less one."""
    plain = _vectors("plain", RnnSpace(max_layers=4))
    widths = [[1, 0, 1, 0], [0, 0, 1, 0], [0, 1, 0, 1], [1, 1, 1, 1], [1, 1, 0, 0], [0, 0, 0, 0]]
    gaps, member = plain.gaps(np.array([[*row, 0] for row in widths]))
    assert gaps.tolist() == [1, 2, 2, 0, 0, 0]
    assert member.tolist() == [True] * 5 + [False]
    flag = _vectors("flag", RnnSpace(max_layers=4))
    np.testing.assert_array_equal(flag.gaps(np.array([[5, 5, 5, 5, *row, 0] for row in widths]))[0], gaps)


def test_a_model_sees_numbers_as_they_are_and_a_column_for_every_other_value() -> None:
    rows = columns([Variable(9, True), Variable(3, False)], np.array([[7, 0], [2, 2]]))
    assert rows.tolist() == [[7, 1, 0, 0], [2, 0, 0, 1]]


# --- other spaces -----------------------------------------------------------------------------------


class _Mixed(Grid):
    """Two numbers in steps of two, a name and a flag; one genotype of thousands has a choice more."""

    def build(self, choose: Choose) -> Network:
        kind, odd = choose("kind", Choice("once", "twice", "thrice")), choose("odd", Flag(0.5))
        width, depth = choose("width", Integer(2, 20, 2)), choose("depth", Integer(0, 18, 2))
        if (kind, odd, width, depth) == ("twice", True, 20, 18):
            choose("rare", Flag(0.5))
        return super().build(lambda name, domain: width)


def test_choices_that_are_always_there_are_entries() -> None:
    space = _Mixed(1, 20)
    vectors = FixedNames(space)
    assert vectors.variables == (Variable(3, False), Variable(2, False), Variable(10, True), Variable(10, True))
    for seed in range(20):
        genotype = space.sample(Random(seed))
        assert Genotype(vectors.decode(vectors.encode(genotype))) == genotype
    genotype = Genotype({"kind": "thrice", "odd": True, "width": 6, "depth": 0})
    assert vectors.encode(genotype) == [2, 1, 2, 0]


def test_spaces_of_changing_choices_are_refused() -> None:
    with pytest.raises(UsageError, match=r"^strategy 'mipego': .* space 'stack' differ .* expected [^\n]*$"):
        _mipego(Stack())
    rare = Genotype({"kind": "twice", "odd": True, "width": 20, "depth": 18, "rare": True})
    with pytest.raises(RunError, match=r"^strategy 'mipego': .* other choices than the first 50; expected [^\n]*$"):
        _mipego(_Mixed(1, 20)).adopt(Candidate(0, rare))


# --- the evolution strategy -------------------------------------------------------------------------


def test_numbers_beyond_their_bounds_are_as_far_inside() -> None:
    codes = np.array([-1, 0, 4, 5, 9, -6, 13, 3])
    assert _reflected(codes, np.full(8, 5)).tolist() == [1, 0, 4, 3, 1, 2, 3, 3]
    assert _reflected(codes, np.ones(8, dtype=int)).tolist() == [0] * 8


MIXED = [Variable(101, True), Variable(7, False), Variable(101, True), Variable(2, False), Variable(1, True)]


def _hill(codes: Codes) -> Any:
    target = np.array([93, 5, 7, 1, 0])
    cost = np.abs(codes - target)[:, [0, 2]].sum(axis=1) + 20 * (codes != target)[:, [1, 3]].sum(axis=1)
    return -cost.astype(np.float64), np.ones(len(codes), dtype=bool)


def test_it_finds_the_top_of_a_mixed_hill() -> None:
    found = [maximise(MIXED, _hill, 4000, np.random.default_rng(seed)) for seed in range(4)]
    assert found.count([93, 5, 7, 1, 0]) >= 3
    assert maximise(MIXED, _hill, 4000, np.random.default_rng(2)) == found[2]


def test_only_what_is_allowed_is_the_answer() -> None:
    def odd(codes: Codes) -> Any:
        return _hill(codes)[0], codes[:, 0] % 2 == 0

    answer = maximise(MIXED, odd, 3000, np.random.default_rng(0))
    assert answer is not None
    assert answer[0] in (92, 94)
    assert maximise(MIXED, lambda codes: (_hill(codes)[0], codes[:, 0] > 200), 99, np.random.default_rng(0)) is None


def test_about_as_many_vectors_are_tried_as_are_to_be() -> None:
    tried: list[Codes] = []

    def note(codes: Codes) -> Any:
        tried.append(codes)
        return _hill(codes)

    for evaluations, expected in ((2000, 1940), (1, 140)):
        tried.clear()
        maximise(MIXED, note, evaluations, np.random.default_rng(0))
        assert sum(map(len, tried)) == expected
        assert all(((codes >= 0) & (codes < [v.size for v in MIXED])).all() for codes in tried)


# --- what is asked ----------------------------------------------------------------------------------


def test_a_forest_doubts_by_the_sample_variance_of_its_trees() -> None:
    rng = np.random.default_rng(0)
    known, asked = rng.integers(0, 9, (30, 4)).astype(float), rng.integers(0, 9, (12, 4)).astype(float)
    values = known[:, 0] - known[:, 1] + rng.random(30)
    mean, deviation = grow(known, values, 3, trees=20, min_samples_leaf=2, ddof=1)(asked)
    forest = RandomForestRegressor(20, max_features=5 / 6, min_samples_leaf=2, random_state=3).fit(known, values)
    votes = np.array([tree.predict(asked) for tree in forest.estimators_])
    np.testing.assert_allclose(mean, forest.predict(asked))
    np.testing.assert_allclose(deviation**2, ((votes - votes.mean(axis=0)) ** 2).sum(axis=0) / 19, atol=1e-12)


def test_the_largest_expected_improvement_is_asked_for() -> None:
    """A second way, over a whole space of fifty members, which the search sees all of."""
    records = drive(_mipego(Grid(1, 49), inner=3000, startup=10, trees=5), 13, judged(near(31)))
    for number in range(10, 13):
        known = np.array([numbers(record.genotype) for record in records[:number]], dtype=float)
        values = np.array([record.scores["worth"] for record in records[:number]])
        seed = int(np.random.default_rng(stream(0, number).getrandbits(64)).integers(2**32))
        forest = RandomForestRegressor(5, max_features=5 / 6, min_samples_leaf=2, random_state=seed)
        forest.fit(known, values)
        votes = np.array([tree.predict(np.arange(50.0)[:, None]) for tree in forest.estimators_])
        deviation = votes.std(axis=0, ddof=1)
        gain = expected_improvement(votes.mean(axis=0), deviation, values.max())
        gain = np.where(deviation < 1e-10, 0, gain)
        gain[known[:, 0].astype(int)] = -1
        assert gain[numbers(records[number].genotype)[0]] == pytest.approx(gain.max())


def test_merits_are_learnt_as_they_are() -> None:
    """Not by their ranks: another scale of merits is another model."""
    hill = near(31, 7)
    plain = drive(_mipego(Grid(2, 49)), 16, judged(hill))
    bent = drive(_mipego(Grid(2, 49)), 16, judged(lambda genotype: -math.exp(-hill(genotype) / 99)))
    assert [record.candidate for record in plain[:6]] == [record.candidate for record in bent[:6]]
    assert [record.candidate for record in plain] != [record.candidate for record in bent]


def test_what_has_no_merit_is_taken_for_the_worst_told() -> None:
    """Failed, rejected and worth minus infinity alike."""

    def run(status: Any = None) -> list[Candidate]:
        merits: list[float] = []

        def judge(candidate: Candidate) -> Record:
            if candidate.number > 8 and candidate.number % 2:
                return told(candidate, -math.inf, status) if status else told(candidate, min(merits))
            merits.append(near(31, 7)(candidate.genotype) if candidate.number else -5000.0)  # the worst comes first
            return told(candidate, merits[-1])

        return [record.candidate for record in drive(_mipego(Grid(2, 49)), 14, judge)]

    expected = run()
    assert [run(status) for status in ("failed", "infeasible", "ok")] == [expected] * 3


@pytest.mark.parametrize("most", [1e200, math.nextafter(math.inf, 0)])
def test_merits_as_large_as_numbers_go_are_merits(most: float) -> None:
    """Warnings are errors here; squares of such numbers are beyond a float."""
    judge = judged(lambda genotype: math.copysign(most, numbers(genotype)[0] - 25))
    assert len(drive(_mipego(Grid(2, 49)), 9, judge)) == 9


def test_gaps_and_what_is_known_are_charged_where_nothing_is_repaired(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a model that expects nothing, minus the worth is the charge: gaps, or H(H+1)/2 = 6."""
    kept: list[Any] = []

    def keep(variables: Any, worth: Any, evaluations: int, rng: Any) -> None:
        kept.append(worth)

    def nothing(*arguments: Any, **options: Any) -> Any:
        return lambda asked: (np.full(len(asked), -1e9), np.zeros(len(asked)))

    monkeypatch.setattr(mipego, "maximise", keep)
    monkeypatch.setattr(mipego, "grow", nothing)
    codes = np.array([[80, 20, 0, 7], [0, 20, 0, 7], [9, 0, 3, 0], [0, 0, 0, 7], [0, 80, 20, 7]])
    expected = {False: [-6, -1, -1, -6, -6], True: [0, 0, 0, 0, 0]}
    for repair, worths in expected.items():
        strategy = _mipego(PLAIN, encoding="plain", repair=repair, startup=1)
        known = Candidate(0, Genotype({"look_back": 9, "layers": 2, "l0.units": 80, "l1.units": 20}))
        strategy.adopt(known)
        strategy.tell(told(known, 1.0))
        strategy.ask()
        values, allowed = kept.pop()(codes)
        assert values.tolist() == worths
        assert allowed.tolist() == [False, True, True, False, False]


@pytest.mark.parametrize(
    ("options", "open_asks"), [({"encoding": "size"}, 4), ({"encoding": "plain", "repair": False}, 3), ({}, 1)]
)
def test_resuming_goes_on_as_before(options: dict[str, Any], open_asks: int) -> None:
    def run(known: list[Record]) -> list[Record]:
        return drive(_mipego(WAVES, **options), 16, judged(_units), open_asks, known)

    whole = run([])
    assert len({record.genotype for record in whole}) == 16
    assert [record.candidate for record in run(whole[:13])] == [record.candidate for record in whole]


def test_every_member_is_asked_once() -> None:
    strategy = _mipego(Grid(2, 3))
    records = drive(strategy, 100, judged(near(3, 1)), 3)
    assert len(records) == len({record.genotype for record in records}) == 16
    with pytest.raises(Exhausted):
        strategy.ask()


@pytest.mark.slow
@pytest.mark.parametrize(("encoding", "seed"), [("size", 1), ("plain", 2)])
def test_it_finds_better_lists_than_random_search(encoding: str, seed: int) -> None:
    found = drive(_mipego(PLAIN, seed, encoding=encoding, trees=10, inner=500), 32, judged(_units))
    drawn = [best_of(drive(RandomSearch(PLAIN, WORTH, each), 32, judged(_units))) for each in range(10)]
    assert best_of(found) > sum(drawn) / 10 + 15


@pytest.mark.parametrize(
    ("space", "options", "message"),
    [
        (PLAIN, {"repair": 1}, "repair is 1; expected true or false"),
        (PLAIN, {"startup": 0}, "startup is 0; expected a whole number from 1"),
        (PLAIN, {"trees": 1}, "trees is 1; expected a whole number from 2"),
        (PLAIN, {"inner": 0}, "inner is 0; expected a whole number from 1"),
        (Grid(2, 4), {"encoding": "size"}, "strategy 'mipego': encoding is for lists of layers, .* 'grid'"),
        (Grid(2, 4), {"repair": False}, "strategy 'mipego': repair is for lists of layers, .* 'grid'"),
    ],
)
def test_wrong_options_are_one_line(space: Space, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=f"^{message}[^\n]*$"):
        _mipego(space, **options)


def test_an_unknown_encoding_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="unknown encoding of strategy 'mipego' 'flags'; did you mean 'flag'"):
        _mipego(PLAIN, encoding="flags")
