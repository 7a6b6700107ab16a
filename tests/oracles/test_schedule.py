"""`minimum_peak` against a dynamic programme over all down-sets that knows none of its shortcuts."""

from collections.abc import Callable, Sequence
from random import Random

import pytest

from fitness.schedule import PeakMemory, Step, minimum_peak


def brute_force(steps: Sequence[Step]) -> int:
    """Return the minimum peak by visiting every set of steps that may have run."""
    count = len(steps)
    consumers = [{reader for reader in range(count) if tensor in steps[reader].inputs} for tensor in range(count)]

    def live_bytes(done: frozenset[int]) -> int:
        return sum(steps[step].size for step in done if step == count - 1 or consumers[step] - done)

    there = frozenset(index for index in range(count) if not steps[index].inputs)
    layer = {there: live_bytes(there)}
    for _ in range(count - len(there)):
        following: dict[frozenset[int], int] = {}
        for done, peak in layer.items():
            for index in set(range(count)) - done:
                if set(steps[index].inputs) <= done:
                    overwrites = any(consumers[tensor] - done == {index} for tensor in steps[index].in_place)
                    running = live_bytes(done) + (0 if overwrites else steps[index].size)
                    after = done | {index}
                    reached = max(peak, running, live_bytes(after))
                    following[after] = min(reached, following.get(after, reached))
        layer = following
    return layer[frozenset(range(count))]


def sizes(random: Random, count: int) -> list[int]:
    """Return tensor sizes of one of several kinds; ties, zeros, slopes and saw teeth included."""
    kind = random.choice(("any", "equal", "rising", "falling", "saw", "teeth", "tiny", "wide"))
    drawn = [random.randint(1, 1000) for _ in range(count)]
    return {
        "any": drawn,
        "equal": [7] * count,
        "rising": sorted(drawn),
        "falling": sorted(drawn, reverse=True),
        "saw": [size if place % 2 else size % 90 for place, size in enumerate(drawn)],
        "teeth": [size if place % 2 else (place + 1) * 12 for place, size in enumerate(sorted(drawn))],
        "tiny": [size % 4 for size in drawn],
        "wide": [int(2 ** (size / 80)) for size in drawn],
    }[kind]


def add_fork(random: Random, steps: list[Step], widths: Sequence[int], twins: bool = False) -> None:
    """Append parallel chains of these lengths on the last step, and the sum that joins them."""
    source = len(steps) - 1
    ends = []
    same = sizes(random, max(widths))
    for width in widths:
        end = source
        for size in same[:width] if twins else sizes(random, width):
            steps.append(Step((end,), size))
            end = len(steps) - 1
        ends.append(end)
    if random.random() < 0.2:
        ends.append(source)
    random.shuffle(ends)
    size = random.choice([steps[end].size for end in ends] + [random.randint(0, 1000)])
    in_place = tuple(end for end in ends if steps[end].size == size) if random.random() < 0.5 else ()
    steps.append(Step(tuple(ends), size, in_place))


def any_graph(random: Random) -> list[Step]:
    """Return up to nine steps with repeated inputs, dead ends, several inputs and odd in-place lists."""
    most = random.choice((2, 5, 20, 1000))
    steps = [Step((), random.choice((0, random.randint(0, most))))]
    for index in range(1, random.randint(2, 9)):
        if random.random() < 0.05:
            steps.append(Step((), random.randint(0, most)))
            continue
        reach = random.choice((2, 3, index))
        count = random.choice((1, 1, 1, 2, 2, 3))
        inputs = tuple(random.randrange(max(0, index - reach), index) for _ in range(count))
        in_place = tuple(tensor for tensor in set(inputs) if random.random() < 0.3)
        size = steps[in_place[0]].size if in_place and random.random() < 0.7 else random.randint(0, most)
        steps.append(Step(inputs, size, in_place))
    if not steps[-1].inputs:
        steps.append(Step((len(steps) - 1,), random.randint(0, most)))
    return steps


def one_fork(random: Random) -> list[Step]:
    """Return two to four chains between a tensor of any weight and a sum, up to seven steps long."""
    steps = [Step((), 0), Step((0,), random.choice((0, 1, 30, 300, 1000, 3000, 10_000)))]
    count, longest = random.choice(((2, 7), (2, 3), (3, 3), (3, 5), (4, 2)))
    add_fork(random, steps, [random.randint(1, longest) for _ in range(count)], random.random() < 0.2)
    return steps


def fork_of(shared: int, chains: Sequence[Sequence[int]]) -> list[Step]:
    """Return chains of these sizes between a tensor of `shared` bytes and a sum of none."""
    steps = [Step((), 0), Step((0,), shared)]
    ends = []
    for chain in chains:
        end = 1
        for size in chain:
            steps.append(Step((end,), size))
            end = len(steps) - 1
        ends.append(end)
    return [*steps, Step(tuple(ends), 0)]


def jagged_fork(random: Random) -> list[Step]:
    """Return a fork in which it can pay to stop a chain early, between two of its peaks."""
    chains = []
    for _ in range(3):
        low = sorted((random.randint(0, 30) for _ in range(3)), reverse=random.random() < 0.75)
        high = sorted((random.randint(1, 60) for _ in range(2)), reverse=random.random() < 0.3)
        chains.append([low[0], high[0], low[1], high[1], low[2]][: random.choice((3, 5))])
    return fork_of(random.choice((10, 30, 60, 120)), chains)


def two_sources(random: Random) -> list[Step]:
    """Return parallel chains that start from one of two tensors, either of which may weigh nothing."""
    steps = [Step((), random.choice((0, 50, 500))), Step((), random.choice((0, 50, 500)))]
    ends = []
    for _ in range(random.choice((2, 3, 4))):
        end = random.randrange(2)
        for size in sizes(random, random.randint(1, 3)):
            steps.append(Step((end,), size))
            end = len(steps) - 1
        ends.append(end)
    steps.append(Step(tuple(ends), random.randint(0, 1000)))
    return steps


def series_of_forks(random: Random) -> list[Step]:
    """Return blocks as in uNAS: branches hang on the input of a serial block, perhaps the network's."""
    steps = [Step((), random.choice((0, random.randint(1, 2000))))]
    for _ in range(random.choice((1, 2, 3))):
        add_fork(random, steps, [random.randint(1, 2) for _ in range(random.choice((2, 2, 3)))])
        if random.random() < 0.5:
            steps.append(Step((len(steps) - 1,), random.randint(0, 1000)))
    return steps


def cell(random: Random) -> list[Step]:
    """Return a NAS-Bench-201 cell: four nodes that sum edges; a skip reads the earlier node itself."""
    size = random.choice((1, 64))
    steps = [Step((), 0), Step((0,), size)]
    nodes = [1]
    for _ in range(3):
        terms = []
        for node in nodes:
            kind = random.choice(("none", "skip", "convolution", "convolution"))
            if kind == "convolution":
                steps.append(Step((node,), random.choice((size, size, size + 1))))
            if kind != "none":
                terms.append(len(steps) - 1 if kind == "convolution" else node)
        terms = terms or [nodes[-1]]
        in_place = tuple(term for term in set(terms) if steps[term].size == size)
        steps.append(Step(tuple(terms), size, in_place))
        nodes.append(len(steps) - 1)
    return steps


def nested_forks(random: Random) -> list[Step]:
    """Return a fork one of whose branches forks again, with a skip over it at times."""
    steps = [Step((), 0), Step((0,), random.choice((1, 100, 1000, 3000)))]
    inner = [random.randint(1, 2) for _ in range(2)]
    add_fork(random, steps, inner)
    joined = len(steps) - 1
    ends = [joined]
    for _ in range(random.choice((1, 2))):
        end = 1
        for size in sizes(random, random.randint(1, 2)):
            steps.append(Step((end,), size))
            end = len(steps) - 1
        ends.append(end)
    steps.append(Step(tuple(ends), random.randint(0, 1000)))
    return steps


@pytest.mark.parametrize(
    ("draw", "seeds"),
    [
        (any_graph, 4000),
        (one_fork, 4000),
        (jagged_fork, 800),
        (two_sources, 1500),
        (series_of_forks, 2000),
        (cell, 1500),
        (nested_forks, 1500),
    ],
)
def test_agrees_with_brute_force(draw: Callable[[Random], list[Step]], seeds: int) -> None:
    for seed in range(seeds):
        steps = draw(Random(seed))
        assert minimum_peak(steps) == (brute_force(steps), True), (seed, steps)


@pytest.mark.parametrize(
    ("shared", "chains"),
    [
        # each of these needs one particular part of the search over raised chains, found by breaking it
        (120, [[29, 35, 28], [25, 34, 20], [30, 18, 10]]),
        (30, [[25, 40, 16], [30, 41, 15], [24, 36, 8]]),
        (30, [[8, 39, 5, 54, 3], [27, 4, 25], [24, 34, 11]]),
        (30, [[16, 38, 15], [14, 28, 10], [27, 20, 18, 31, 13]]),
        (120, [[22, 20, 17, 28, 7], [25, 23, 11], [23, 50, 12]]),
        (30, [[27, 8, 9, 28, 6], [22, 23, 14], [28, 23, 10]]),
        (30, [[24, 41, 22], [25, 24, 17, 37, 11], [24, 1, 22]]),
        (30, [[22, 1, 14], [29, 13, 23, 31, 12], [24, 42, 20]]),
        (120, [[16, 17, 14, 41, 10], [30, 10, 28], [14, 21, 13, 47, 8]]),
        (60, [[30, 26, 27, 33, 8], [0, 47, 2], [22, 32, 18, 41, 5], [22, 23, 16, 17, 4]]),
        (30, [[10, 35, 15, 50, 21], [26, 27, 25, 31, 18], [20, 36, 17, 43, 13], [23, 19, 8, 37, 7]]),
    ],
)
def test_chains_that_must_stop_early(shared: int, chains: list[list[int]]) -> None:
    steps = fork_of(shared, chains)
    assert minimum_peak(steps) == (brute_force(steps), True)


@pytest.mark.parametrize("draw", [one_fork, series_of_forks, cell, nested_forks, any_graph])
def test_cap_gives_an_upper_bound(draw: Callable[[Random], list[Step]]) -> None:
    capped = 0
    for seed in range(300):
        steps = draw(Random(seed))
        best = minimum_peak(steps)
        for cap in (0, 1, 3):
            rough = minimum_peak(steps, max_states=cap)
            assert rough.bytes >= best.bytes, seed
            assert rough.bytes == best.bytes or not rough.exact, seed
            capped += not rough.exact
    assert capped > 0


def test_ten_chains_of_seven_need_few_states() -> None:
    for seed in range(150):
        random = Random(seed)
        steps = [Step((), 0), Step((0,), random.choice((0, 1, 100, 1000, 3000, 100_000)))]
        add_fork(random, steps, [7] * 10, twins=seed % 3 == 0)
        assert minimum_peak(steps, max_states=2000).exact, seed


def test_order_of_the_steps_does_not_matter() -> None:
    """Ten chains are beyond brute force, so at least every given order must lead to the same peak."""
    for seed in range(30):
        random = Random(seed)
        steps = [Step((), 0), Step((0,), random.choice((1, 300, 3000)))]
        add_fork(random, steps, [random.randint(1, 7) for _ in range(10)])
        order: list[int] = []
        while len(order) < len(steps):
            ready = set(range(len(steps))) - set(order)
            order.append(random.choice([v for v in sorted(ready) if not set(steps[v].inputs) & ready]))
        place = {index: rank for rank, index in enumerate(order)}
        moved = [
            Step(
                tuple(place[tensor] for tensor in steps[index].inputs),
                steps[index].size,
                tuple(place[tensor] for tensor in steps[index].in_place),
            )
            for index in order
        ]
        assert minimum_peak(moved) == minimum_peak(steps), seed


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([Step((), 5)], 5),
        ([Step((), 5), Step((0,), 3)], 8),
        ([Step((), 0), Step((0,), 3), Step((1,), 4), Step((2,), 1)], 7),
        # a residual block: the skipped tensor stays, and the sum overwrites one of its terms
        ([Step((), 0), Step((0,), 4), Step((1,), 6), Step((2,), 4), Step((1, 3), 4, (1, 3))], 14),
        ([Step((), 0), Step((0,), 4), Step((1,), 1), Step((2,), 4), Step((1, 3), 4)], 12),
        # the branch that shrinks goes first: at most 9 + 8 + 1; the other way round 9 + 2 + 8
        ([Step((), 0), Step((0,), 9), Step((1,), 8), Step((2,), 1), Step((1,), 2), Step((3, 4), 1)], 18),
    ],
)
def test_by_hand(steps: list[Step], expected: int) -> None:
    assert minimum_peak(steps) == PeakMemory(expected, True)


def test_a_long_chain_is_no_search() -> None:
    random = Random(0)
    held = [random.randint(1, 1000) for _ in range(3000)]
    steps = [Step((), 0)] + [Step((index,), size) for index, size in enumerate(held)]
    expected = max(before + after for before, after in zip([0, *held], held, strict=False))
    assert minimum_peak(steps, max_states=0) == PeakMemory(expected, True)


def test_rejects_steps_that_are_not_in_order() -> None:
    with pytest.raises(ValueError, match="step 1 reads 2"):
        minimum_peak([Step((), 0), Step((2,), 1), Step((0,), 1)])
