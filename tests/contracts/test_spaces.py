"""What holds for every registered space, whatever its networks."""

from __future__ import annotations

import json
import pickle
import random
from collections.abc import Callable, Iterator
from itertools import pairwise
from random import Random
from typing import Any

import numpy
import pytest

from spaces import SPACES
from spaces.errors import InvalidGenotype, UsageError
from spaces.layers import Dense
from spaces.network import Network, NetworkBuilder
from spaces.space import Choose, Domain, Genotype, Integer, Space, Value

MakeSpace = Callable[..., Space]
WRONG_VALUES = ("no such value", -1, 10**6, None, 1.5, "", [], float("nan"))


def _each(accepts: Callable[[type[Space]], bool]) -> pytest.MarkDecorator:
    """Tries the spaces that a contract is about, and no others."""
    chosen = [name for name in SPACES if accepts(SPACES.load(name))]  # type: ignore[arg-type]
    assert chosen
    return pytest.mark.parametrize("make_space", chosen, indirect=True)


def _is_listed(space: type[Space]) -> bool:
    """Whether all genotypes can be listed in no time; listing hundreds of thousands has a slow test of its own."""
    return space.size is not None and space.size <= 100_000


each_finite = _each(lambda space: space.size is not None)
each_listed = _each(_is_listed)
each_listed_with_plain_neighbours = _each(
    lambda space: _is_listed(space) and space.neighbours is Space.neighbours  # others have steps of their own
)


def _genotypes(space: Space, count: int, seed: int = 0) -> Iterator[Genotype]:
    """Random members; of a space of large networks, which take longer to build, fewer."""
    rng = Random(seed)
    for _ in range(min(count, max(20, 100 * count // len(space.decode(space.sample(Random(0))))))):
        yield space.sample(rng)


def _read_back(genotype: Genotype) -> Genotype:
    return Genotype(json.loads(json.dumps(genotype.to_dict())))


# --- the same genotype, the same network ------------------------------------------------------------


def test_registered_under_its_own_name() -> None:
    for name in SPACES:
        space = SPACES.create(name, {})
        assert isinstance(space, Space)
        assert space.name == name


def test_json_of_a_sample_rebuilds_the_same_network(make_space: MakeSpace) -> None:
    space, fresh = make_space(), make_space()
    for genotype in _genotypes(space, 100):
        again = _read_back(genotype)
        assert again == genotype
        assert list(again) == list(genotype)
        assert hash(again) == hash(genotype)
        rebuilt = fresh.decode(again)
        assert rebuilt.key == space.decode(genotype).key
        assert rebuilt.nodes == space.decode(genotype).nodes


def test_order_of_choices_does_not_matter(make_space: MakeSpace) -> None:
    space, fresh, rng = make_space(), make_space(), Random(0)
    for genotype in _genotypes(space, 50):
        choices = list(genotype.items())
        rng.shuffle(choices)
        shuffled = Genotype(dict(choices))
        assert shuffled == genotype
        assert fresh.decode(shuffled).key == space.decode(genotype).key


def test_descriptions_are_read_back(make_space: MakeSpace) -> None:
    space, fresh = make_space(), make_space()
    for genotype in _genotypes(space, 100):
        assert fresh.parse(space.describe(genotype)) == genotype
        assert fresh.parse(json.dumps(genotype.to_dict())) == genotype


def test_networks_survive_json(space: Space) -> None:
    for genotype in _genotypes(space, 50):
        network = space.decode(genotype)
        again = Network.from_json(json.loads(json.dumps(network.to_json())))
        assert again.key == network.key
        assert again.nodes == network.nodes
        assert again == network


def test_genotypes_networks_and_spaces_survive_pickling(space: Space) -> None:
    for genotype in _genotypes(space, 20):
        network = space.decode(genotype)
        other_space, other_genotype, other_network = pickle.loads(pickle.dumps((space, genotype, network)))
        assert other_genotype == genotype
        assert other_network.nodes == network.nodes
        assert other_space.decode(other_genotype).key == other_network.key == network.key
        assert other_space.sample(Random(1)) == space.sample(Random(1))


def test_genotypes_cannot_be_changed(space: Space) -> None:
    genotype = space.sample(Random(0))
    before = genotype.to_dict()
    genotype.to_dict().clear()
    with pytest.raises(TypeError):
        genotype[next(iter(genotype))] = 1  # type: ignore[index]
    assert genotype.to_dict() == before


# --- every sample is a network ----------------------------------------------------------------------


def test_a_thousand_random_builds_are_valid(make_space: MakeSpace) -> None:
    space, fresh = make_space(), make_space()
    for number, genotype in enumerate(_genotypes(space, 1000, seed=1)):
        network = fresh.decode(genotype)
        assert (
            network.shapes[0][-len(space.channels_first) :] == space.channels_first
        )  # behind the steps of a series
        assert network.shapes[-1] == (space.num_classes,)
        for node in network.nodes[1:] if number % 5 == 0 else ():
            assert node.shape == node.op.out_shape(*[network.shapes[source] for source in node.inputs])
            assert all(type(size) is int and size >= 1 for size in node.shape)


ENDS: dict[str, list[tuple[Any, int]]] = {
    "images": [((32, 32, 1), 2), ((28, 28, 1), 10), ((16, 16, 3), 120), ((48, 64, 3), 5), ((96, 96, 3), 100)],
    "series": [(1, 1), (2, 1), (30, 28), (1, 5)],
}
WRONG_ENDS: dict[str, list[tuple[str, tuple[Any, ...]]]] = {
    "images": [
        *(
            ("input shape", (shape,))
            for shape in [(0, 32, 3), (32, -1, 3), (32, 32, 0), (32, 32), (32.0, 32, 3), (True, 1, 1)]
        ),
        *(("classes", ((32, 32, 3), classes)) for classes in [1, 0, -3, 2.0, True]),
    ],
    "series": [
        *(("features", (features,)) for features in [-1, 2.0, True, (32, 32, 3)]),
        *(("outputs", (1, outputs)) for outputs in [-3, 2.0, True]),
    ],
}


def test_other_inputs_and_outputs(make_space: MakeSpace) -> None:
    for given, outputs in ENDS[make_space().reads]:
        space, fresh, rng = make_space(given, outputs), make_space(given, outputs), Random(2)
        *sides, channels = given if isinstance(given, tuple) else (given,)
        assert space.channels_first == (channels, *sides)
        for genotype in _genotypes(space, 30):
            network = fresh.decode(space.mutate(genotype, rng))
            assert network.shapes[0][-len(space.channels_first) :] == space.channels_first
            assert network.shapes[-1] == (outputs,)


def test_impossible_inputs_and_outputs_are_refused(make_space: MakeSpace) -> None:
    for what, ends in WRONG_ENDS[make_space().reads]:
        with pytest.raises(UsageError, match=what):
            make_space(*ends)


# --- choices and their domains ----------------------------------------------------------------------


def test_the_domain_of_a_choice_depends_on_its_name_only(make_space: MakeSpace) -> None:
    domains: dict[str, tuple[Value, ...]] = {}
    laws: dict[str, list[Value]] = {}
    grid = [i / 97 for i in range(97)]
    for ends in ENDS[make_space().reads][:2]:
        space, rng = make_space(*ends), Random(3)

        def choose(name: str, domain: Domain, rng: Random = rng) -> Value:
            assert domains.setdefault(name, domain.values()) == domain.values()
            assert laws.setdefault(name, [domain.draw(u) for u in grid]) == [domain.draw(u) for u in grid]
            return domain.draw(rng.random())

        for _ in range(60):
            space.record(choose)


def test_domains_list_draw_and_recognise_the_same_values(space: Space) -> None:
    domains: dict[str, Domain] = {}

    def choose(name: str, domain: Domain) -> Value:
        domains[name] = domain
        return domain.draw(rng.random())

    rng = Random(4)
    for _ in range(150):
        space.record(choose)
    for domain in domains.values():
        values = domain.values()
        assert domain.count == len(values) == len(set(values)) >= 1
        assert {domain.draw(u / 5_000) for u in range(5_000)} == set(values)
        assert domain.draw(0.0) in values
        assert domain.draw(1 - 2**-53) in values
        assert all(value in domain for value in values)
        assert not any(value in domain for value in WRONG_VALUES)
        assert json.loads(json.dumps(values)) == list(values)


@each_listed
def test_finite_spaces_enumerate_every_genotype_once(make_space: MakeSpace) -> None:
    space, fresh = make_space(), make_space()
    listed = list(space.enumerate())
    assert len(listed) == len(set(listed)) == space.size
    for genotype in Random(5).sample(listed, 50):
        fresh.decode(genotype)
    assert set(_genotypes(space, 50)) <= set(listed)


# --- what is not a member ---------------------------------------------------------------------------


def test_missing_wrong_and_extra_choices_are_refused(make_space: MakeSpace) -> None:
    space, fresh = make_space(), make_space()
    for genotype in _genotypes(space, 5):
        choices = genotype.to_dict()
        for name in choices:
            missing = {other: value for other, value in choices.items() if other != name}
            with pytest.raises(InvalidGenotype, match=name):
                fresh.decode(Genotype(missing))
            for wrong in ("no such value", -1, 1.5):
                with pytest.raises(InvalidGenotype, match=name):
                    fresh.decode(Genotype(choices | {name: wrong}))
        with pytest.raises(InvalidGenotype, match="no such choice"):
            fresh.decode(Genotype(choices | {"no such choice": 1}))
    with pytest.raises(InvalidGenotype):
        fresh.decode(Genotype({}))


def test_values_of_another_type_are_refused_even_when_equal(make_space: MakeSpace) -> None:
    """1, 1.0 and True are equal and hash alike; a space that met the right one must not take the others."""
    space = make_space()
    for genotype in _genotypes(space, 20):
        space.decode(genotype)
        for name, value in genotype.items():
            if isinstance(value, bool | int):
                with pytest.raises(InvalidGenotype, match=name):
                    space.decode(Genotype(genotype.to_dict() | {name: float(value)}))


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null", '"x"', '{"no such choice": 1}', "a:b", "|a~0|", "😀"])
def test_texts_that_describe_nothing_are_refused(space: Space, text: str) -> None:
    with pytest.raises(UsageError):
        space.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 200_000,
        '{"normal":' + "[" * 992 + "]" * 992 + "}",  # read, but too deep to be shown
        "1" * 5_000 + ",",
        '{"normal":' + "9" * 5_000 + "}",
        '{"matrix":' + "9" * 5_000 + ',"ops":[]}',
        '{"' + "x" * 10_000 + '":1}',
        "11-1:" + "-" * 10_000,
        "8:8:8:8:" + "9" * 5_000,
    ],
)
def test_deep_and_long_texts_are_refused_in_a_short_line(space: Space, text: str) -> None:
    with pytest.raises(UsageError) as refusal:
        space.parse(text)
    assert len(str(refusal.value)) < 600
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("value", [[1], {"a": 1}, None, 1.5, float("nan"), 10**30, "\x00"])
def test_json_values_of_another_kind_are_refused(space: Space, value: object) -> None:
    genotype = space.sample(Random(0))
    for name in genotype:
        with pytest.raises(UsageError, match=name):
            space.parse(json.dumps(genotype.to_dict() | {name: value}))


# --- moves ------------------------------------------------------------------------------------------


def test_mutation_changes_the_network_and_not_its_parent(make_space: MakeSpace) -> None:
    space, fresh, rng = make_space(), make_space(), Random(6)
    for genotype in _genotypes(space, 80):
        before = list(genotype.items())
        child = space.mutate(genotype, rng)
        assert list(genotype.items()) == before
        assert fresh.decode(child).key != fresh.decode(genotype).key
        assert fresh.decode(_read_back(child)).key == space.decode(child).key
        assert _asked(make_space().build, child) == list(child), "choices are kept in the order they are asked in"


def test_lines_of_mutants_stay_in_the_space(make_space: MakeSpace) -> None:
    space, fresh, rng = make_space(), make_space(), Random(7)
    genotype = space.sample(rng)
    for _ in range(100):
        genotype = space.mutate(genotype, rng)
        fresh.decode(genotype)


def test_crossover_makes_members_and_leaves_the_parents(make_space: MakeSpace) -> None:
    space, fresh, rng = make_space(), make_space(), Random(8)
    for genotype in _genotypes(space, 100):
        other = space.sample(rng)
        before = list(genotype.items()), list(other.items())
        child = space.crossover(genotype, other, rng)
        assert (list(genotype.items()), list(other.items())) == before
        assert fresh.decode(_read_back(child)).key == space.decode(child).key
        assert space.crossover(genotype, genotype, rng) == genotype


def test_repair_keeps_what_fits(make_space: MakeSpace) -> None:
    space, fresh, rng = make_space(), make_space(), Random(9)
    for genotype in _genotypes(space, 50):
        assert space.repair(genotype.to_dict(), rng) == genotype
        kept = {name: value for name, value in genotype.items() if rng.random() < 0.5}
        broken = kept | {"no such choice": 3} | {n: "wrong" for n in genotype if n not in kept}
        repaired = space.repair(broken, rng)
        fresh.decode(repaired)
        assert all(repaired[name] == value for name, value in kept.items() if name in repaired)


@each_finite
def test_neighbours_are_other_genotypes_and_mutual(make_space: MakeSpace) -> None:
    space, fresh = make_space(), make_space()
    for genotype in _genotypes(space, 3, seed=10):
        before = list(genotype.items())
        neighbours = list(space.neighbours(genotype))
        assert list(genotype.items()) == before
        assert len(neighbours) == len(set(neighbours)) > 0
        assert genotype not in neighbours
        for other in neighbours[::5]:
            assert genotype in set(fresh.neighbours(other))
            assert _asked(fresh.build, other) == list(other)


@each_listed_with_plain_neighbours
def test_neighbours_are_all_that_differ_in_one_choice(make_space: MakeSpace) -> None:
    space = make_space()
    listed = list(space.enumerate())
    for genotype in _genotypes(space, 3, seed=10):
        assert set(space.neighbours(genotype)) == {other for other in listed if _differences(genotype, other) == 1}


class _Conditional(Space):
    """Up to three layers, each with a width of its own: 3 + 9 + 27 genotypes."""

    name, size = "conditional", 39

    def build(self, choose: Choose) -> Network:
        net = NetworkBuilder((3,))
        x = net.input
        for layer in range(choose("layers", Integer(1, 3))):
            x = net.add(Dense(choose(f"{layer}.units", Integer(1, 3))), x)
        return net.build(x)


def test_neighbours_bring_the_choices_that_a_new_value_needs() -> None:
    space = _Conditional()
    listed = list(space.enumerate())
    assert len(listed) == len(set(listed)) == space.size
    for genotype in listed:
        neighbours = list(space.neighbours(genotype))
        assert len(neighbours) == len(set(neighbours))
        assert set(neighbours) == {other for other in listed if _differences(genotype, other) == 1}


def _differences(one: Genotype, other: Genotype) -> int:
    """Number of choices that both have, with different values."""
    return sum(one[name] != other[name] for name in one if name in other)


# --- randomness -------------------------------------------------------------------------------------


def test_samples_and_moves_depend_on_the_given_generator_only(make_space: MakeSpace) -> None:
    def draw(seed: int) -> list[Genotype]:
        space, rng = make_space(), Random(seed)
        made = [space.sample(rng) for _ in range(20)]
        made += [space.mutate(genotype, rng) for genotype in made]
        made += [space.crossover(one, other, rng) for one, other in pairwise(made)]
        return [*made, *(space.repair({}, rng) for _ in range(5))]

    random.seed(1)
    numpy.random.seed(1)
    states = random.getstate(), numpy.random.get_state()[1].tolist()
    first = draw(0)
    assert (random.getstate(), numpy.random.get_state()[1].tolist()) == states
    random.seed(2)
    numpy.random.seed(2)
    assert draw(0) == first
    assert draw(1) != first


def test_samples_do_not_depend_on_what_the_space_did_before(make_space: MakeSpace) -> None:
    used = make_space()
    for genotype in _genotypes(used, 100, seed=11):
        used.mutate(genotype, Random(0))
    assert list(_genotypes(used, 50)) == list(_genotypes(make_space(), 50))


def test_what_is_asked_for_is_what_building_asks_for(make_space: MakeSpace) -> None:
    space = make_space()
    for genotype in _genotypes(space, 5):
        assert _asked(space.ask, genotype) == _asked(space.build, genotype)


def _asked(ask: Callable[[Choose], object], genotype: Genotype) -> list[str]:
    names: list[str] = []

    def choose(name: str, domain: Domain) -> Value:
        names.append(name)
        return genotype[name]

    ask(choose)
    return list(dict.fromkeys(names))
