"""A space cut down to listed networks: members, distances, and what moves and model-based answers reach."""

from __future__ import annotations

import json
import pickle
from functools import partial
from itertools import pairwise
from random import Random

import numpy
import pytest

from spaces.errors import InvalidGenotype, UsageError
from spaces.munas import MunasSpace
from spaces.nds import NdsDarts
from spaces.space import Domain, Genotype, Integer, Space, Value
from spaces.tabular import REACH, Sampled

COUNT = 40


def _texts(space: Space, count: int = COUNT) -> list[str]:
    rng = Random(7)
    return [space.describe(space.sample(rng)) for _ in range(count)]


@pytest.fixture(scope="module", params=[MunasSpace, partial(NdsDarts, depth=4)], ids=["munas", "nds-darts"])
def whole(request: pytest.FixtureRequest) -> Space:
    return request.param()  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def texts(whole: Space) -> list[str]:
    return _texts(whole)


@pytest.fixture(scope="module")
def space(whole: Space, texts: list[str]) -> Sampled:
    return Sampled(whole, texts)


def test_it_holds_what_was_listed_in_that_order(space: Sampled, whole: Space, texts: list[str]) -> None:
    listed = list(space.enumerate())
    assert len(listed) == len(set(listed)) == space.size == COUNT
    assert [space.describe(genotype) for genotype in listed] == texts
    assert [space.parse(text) for text in texts] == listed
    for genotype in listed[:5]:
        assert space.decode(genotype).key == whole.decode(genotype).key
    assert (space.name, space.input_shape, space.num_classes) == (whole.name, whole.input_shape, whole.num_classes)


def test_samples_are_every_member_about_as_often(space: Sampled) -> None:
    rng = Random(0)
    drawn = [space.sample(rng) for _ in range(100 * COUNT)]
    counts = [drawn.count(genotype) for genotype in space.enumerate()]
    assert 60 < min(counts) <= max(counts) < 150


def test_others_are_no_members(space: Sampled, whole: Space) -> None:
    other = whole.sample(Random(1000))
    with pytest.raises(InvalidGenotype, match=f"is not among the {COUNT} listed networks"):
        space.decode(other)
    with pytest.raises(InvalidGenotype, match="is not among"):
        space.parse(whole.describe(other))
    with pytest.raises(InvalidGenotype, match="no such choice"):
        space.decode(Genotype({**space.sample(Random(0)), "no such choice": 1}))


def test_distances_are_gowers(space: Sampled, whole: Space) -> None:
    """Choice by choice, as the class says it."""
    domains: dict[str, Domain] = {}
    members = list(space.enumerate())
    others = [whole.sample(Random(seed)) for seed in range(3)]
    for genotype in (*members, *others):

        def note(name: str, domain: Domain, genotype: Genotype = genotype) -> Value:
            domains[name] = domain
            return genotype[name]

        whole.record(note)

    def apart(one: Genotype, other: Genotype) -> float:
        names = sorted({*one, *other})
        total = 0.0
        for name in names:
            domain = domains[name]
            if name not in one or name not in other:
                total += 1
            elif isinstance(domain, Integer):
                total += abs(int(one[name]) - int(other[name])) / max(domain.high - domain.low, 1)
            else:
                total += one[name] != other[name]
        return total / len(names)

    for genotype in (*members[:4], *others):
        expected = [apart(genotype, member) for member in members]
        assert space.distances(genotype) == pytest.approx(expected, abs=1e-12)
    assert space.distances(members[0])[0] == 0


def test_neighbours_are_the_nearest_and_mutual(space: Sampled) -> None:
    members = list(space.enumerate())
    for genotype in members:
        near = list(space.neighbours(genotype))
        assert len(near) == len(set(near)) >= REACH
        assert genotype not in near
        assert all(genotype in space.neighbours(other) for other in near)
        order = numpy.argsort(space.distances(genotype), kind="stable")
        assert {members[place] for place in order[1 : REACH + 1]} <= set(near)


def test_moves_go_to_neighbours_and_change_the_network(space: Sampled) -> None:
    rng = Random(1)
    genotype = space.sample(rng)
    seen = set()
    for _ in range(60):
        child = space.mutate(genotype, rng)
        assert child in space.neighbours(genotype)
        assert space.decode(child).key != space.decode(genotype).key
        seen.add(genotype := child)
    assert len(seen) > COUNT / 3


def test_children_are_near_their_parents_and_neither_of_them(space: Sampled) -> None:
    rng = Random(2)
    far: list[float] = []
    for _ in range(60):
        one, other = space.sample(rng), space.sample(rng)
        child = space.crossover(one, other, rng)
        if one == other:
            assert child == one
            continue
        assert child in set(space.enumerate()) - {one, other}
        apart = space.distances(child)
        far.append(min(apart[list(space.enumerate()).index(parent)] for parent in (one, other)))
    everywhere = [space.distances(genotype).mean() for genotype in space.enumerate()]
    assert numpy.mean(far) < numpy.mean(everywhere)


def test_answers_lead_to_the_member_nearest_to_them(space: Sampled, whole: Space) -> None:
    members = list(space.enumerate())
    for genotype in members[:5]:
        assert space.record(lambda name, domain, genotype=genotype: genotype[name]) == genotype
        assert space.repair(genotype.to_dict(), Random(0)) == genotype
    for seed in range(5):
        uniform = Random(seed).random
        found = space.record(lambda name, domain, uniform=uniform: domain.draw(uniform()))
        assert found == members[int(numpy.argmin(space.distances(whole.sample(Random(seed)))))]


def test_new_answers_lead_to_the_nearest_member_not_seen(space: Sampled, whole: Space) -> None:
    members = list(space.enumerate())
    uniform = Random(4).random
    wanted = whole.record(lambda name, domain: domain.draw(uniform()))
    order = numpy.argsort(space.distances(wanted), kind="stable").tolist()
    found, seen = [], set[int]()
    for _ in members:
        found.append(space.record_new(lambda name, domain: wanted[name], seen))
        seen.add(hash(found[-1]))
    assert found == [members[place] for place in order]
    assert space.record_new(lambda name, domain: wanted[name], seen) == found[0]
    assert whole.record_new(lambda name, domain: wanted[name], {hash(wanted)}) == wanted


def test_draws_depend_on_the_given_generator_only(whole: Space, texts: list[str]) -> None:
    def draw(seed: int) -> list[Genotype]:
        space, rng = Sampled(whole, texts), Random(seed)
        made = [space.sample(rng) for _ in range(10)]
        made += [space.mutate(genotype, rng) for genotype in made]
        return made + [space.crossover(one, other, rng) for one, other in pairwise(made)]

    assert draw(0) == draw(0) != draw(1)


def test_it_survives_pickling(space: Sampled) -> None:
    again = pickle.loads(pickle.dumps(space))
    genotype = space.sample(Random(0))
    assert again.describe(genotype) == space.describe(genotype)
    assert list(again.neighbours(genotype)) == list(space.neighbours(genotype))


def test_json_in_any_order_is_described_as_it_was_listed() -> None:
    whole = MunasSpace()
    genotypes = [whole.sample(Random(seed)) for seed in range(3)]
    texts = [json.dumps(dict(reversed(list(genotype.items()))), indent=1) for genotype in genotypes]
    space = Sampled(whole, texts)
    assert [space.describe(genotype) for genotype in genotypes] == texts
    assert [list(member) for member in space.enumerate()] == [list(genotype) for genotype in genotypes]


def test_a_pair_has_one_neighbour_each() -> None:
    whole = MunasSpace()
    space = Sampled(whole, _texts(whole, 2))
    one, other = space.enumerate()
    assert space.mutate(one, Random(0)) == other
    assert space.crossover(one, other, Random(0)) in (one, other)


def test_bad_lists_are_refused() -> None:
    whole = MunasSpace()
    texts = _texts(whole, 3)
    with pytest.raises(UsageError, match="1 listed networks of space 'munas'; expected at least 2"):
        Sampled(whole, texts[:1])
    with pytest.raises(UsageError, match="listed network 3 is the same as network 1: "):
        Sampled(whole, [*texts, json.dumps(json.loads(texts[1]), indent=2)])
    with pytest.raises(UsageError, match=r"listed network 3: .*'blocks' is 11"):
        Sampled(whole, [*texts, '{"blocks":11}'])
