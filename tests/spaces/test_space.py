"""What a space of one's own gets for defining `build` alone."""

from __future__ import annotations

from random import Random

import pytest

from spaces.errors import InvalidGenotype, RunError, UsageError
from spaces.layers import Dense, ReLU
from spaces.network import Network, NetworkBuilder
from spaces.space import REDRAWS, Choice, Choose, Domain, Flag, Genotype, Integer, Space, Value

COUNT, UNITS, BEND, TAIL = Integer(1, 3), Integer(2, 6, 2), Flag(0.5), Choice("none", "relu")


class Chains(Space):
    """One to three layers of 2, 4 or 6 units; a ReLU behind each or not; with three layers, a tail."""

    name = "chains"
    size = 6 + 6**2 + 6**3 * 2

    def build(self, choose: Choose) -> Network:
        net = NetworkBuilder((4,))
        x = net.input
        count = int(choose("layers", COUNT))
        for layer in range(count):
            x = net.add(Dense(int(choose(f"units{layer}", UNITS))), x)
            if choose(f"bend{layer}", BEND):
                x = net.add(ReLU(), x)
        if count == 3 and choose("tail", TAIL) == "relu":
            x = net.add(ReLU(), x)
        return net.build(net.add(Dense(self.num_classes), x))


class Lonely(Space):
    """A choice of three, all the same."""

    name = "lonely"

    def build(self, choose: Choose) -> Network:
        choose("nothing", Integer(1, 3))
        net = NetworkBuilder((2,))
        return net.build(net.add(Dense(1), net.input))


@pytest.fixture
def chains() -> Chains:
    return Chains()


def test_enumeration_lists_every_genotype_once_the_last_choice_first(chains: Chains) -> None:
    listed = list(chains.enumerate())
    assert len(listed) == len(set(listed)) == Chains.size
    assert listed[0] == Genotype({"layers": 1, "units0": 2, "bend0": False})
    assert listed[1] == Genotype({"layers": 1, "units0": 2, "bend0": True})
    assert listed[-1]["tail"] == "relu"
    assert {chains.sample(rng) for rng in [Random(0)] for _ in range(3000)} <= set(listed)


def test_samples_reach_everything(chains: Chains) -> None:
    rng = Random(0)
    assert len({chains.sample(rng) for _ in range(6000)}) > 0.99 * Chains.size


def test_default_mutation_redraws_one_choice(chains: Chains) -> None:
    rng, changed_names = Random(1), set()
    for _ in range(300):
        parent = chains.sample(rng)
        child = chains.mutate(parent, rng)
        changed = [name for name in parent if name in child and child[name] != parent[name]]
        assert len(changed) == 1
        changed_names.add(changed[0])
        if changed[0] != "layers":
            assert list(child) == list(parent)
    assert changed_names >= {"layers", "units0", "bend0", "units1", "bend2", "tail"}


def test_default_crossover_takes_every_choice_from_a_parent_that_has_it(chains: Chains) -> None:
    rng = Random(2)
    sides = [0, 0]
    for _ in range(300):
        one, other = chains.sample(rng), chains.sample(rng)
        child = chains.crossover(one, other, rng)
        for name, value in child.items():
            given = [parent[name] for parent in (one, other) if name in parent]
            assert not given or value in given
        sides[0] += child["units0"] == one["units0"] != other["units0"]
        sides[1] += child["units0"] == other["units0"] != one["units0"]
    assert min(sides) > 60


def test_a_space_without_neighbours_says_so_instead_of_trying_for_ever() -> None:
    space = Lonely()
    with pytest.raises(RunError, match=f"'lonely': {REDRAWS} moves from .* changed nothing"):
        space.mutate(space.sample(Random(0)), Random(0))


def test_a_choice_asked_twice_is_answered_once() -> None:
    class Twice(Space):
        def build(self, choose: Choose) -> Network:
            units = [int(choose("units", Integer(1, 100))) for _ in range(2)]
            assert units[0] == units[1]
            net = NetworkBuilder((2,))
            return net.build(net.add(Dense(units[0]), net.input))

    for seed in range(20):
        genotype = Twice().sample(Random(seed))
        assert list(genotype) == ["units"]
        Twice().decode(genotype)


def test_decoding_names_what_is_wrong(chains: Chains) -> None:
    for choices, message in (
        ({}, "choice 'layers' is missing; expected one of 1..3"),
        ({"layers": 4}, "choice 'layers' is 4; expected one of 1..3"),
        ({"layers": 1, "units0": 3}, "choice 'units0' is 3; expected one of 2..6 step 2"),
        ({"layers": 1, "units0": 2, "bend0": 1}, r"choice 'bend0' is 1; expected one of true \| false"),
        ({"layers": 1, "units0": 2, "bend0": True, "tail": "none"}, "choice 'tail' has no meaning"),
    ):
        with pytest.raises(InvalidGenotype, match=message):
            chains.decode(Genotype(choices))


def test_parsing_wants_json_of_the_choices(chains: Chains) -> None:
    assert chains.parse('{"layers": 1, "units0": 2, "bend0": true}') == Genotype(
        {"layers": 1, "units0": 2, "bend0": True}
    )
    with pytest.raises(UsageError, match="is not JSON"):
        chains.parse("layers=1")
    with pytest.raises(UsageError, match="expected a JSON object"):
        chains.parse("[1]")


def test_decoding_many_networks_forgets_the_oldest(chains: Chains) -> None:
    rng = Random(3)
    first = chains.sample(rng)
    network = chains.decode(first)
    assert chains.decode(first) is network
    for genotype in chains.enumerate():
        chains.decode(genotype)
    assert chains.decode(first) == network


@pytest.mark.parametrize(
    ("domain", "values"),
    [
        (Integer(2, 9, 3), (2, 5, 8)),
        (Integer(4, 4), (4,)),
        (Flag(0.3), (False, True)),
        (Choice("a", "b", "c"), ("a", "b", "c")),
    ],
)
def test_domains_hold_their_values_and_nothing_else(domain: Domain, values: tuple[Value, ...]) -> None:
    assert domain.values() == values
    assert domain.count == len(values)
    assert [value for value in (*range(-1, 12), True, False, "a", "c", "d", 2.0, None) if value in domain] == [
        value for value in (*range(-1, 12), True, False, "a", "c", "d", 2.0) if any(value is v for v in values)
    ]


def test_probabilities_of_draws() -> None:
    grid = [(i + 0.5) / 10_000 for i in range(10_000)]
    assert sum(Flag(0.3).draw(u) for u in grid) == 3000
    drawn = [Choice("a", "b", "c", probabilities=(0.1, 0.2, 0.7)).draw(u) for u in grid]
    assert [drawn.count(option) for option in "abc"] == [1000, 2000, 7000]
    assert [[Integer(1, 4).draw(u) for u in grid].count(value) for value in (1, 2, 3, 4)] == [2500] * 4
