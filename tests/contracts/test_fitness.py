"""What holds for every registered fitness on every registered space."""

from __future__ import annotations

import contextlib
import csv
import inspect
import math
import pickle
import random
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from random import Random
from typing import Any, NamedTuple, get_args

import numpy
import pytest
import torch
from torch import nn

from fitness import FITNESS
from fitness.base import Direction, Fitness, Needs
from fitness.latency import Rates
from fitness.lower import lower
from fitness.probing.probe import Probe, Probed
from fitness.series import SeriesSource
from fitness.table import Table
from spaces import SPACES
from spaces.errors import EngineError
from spaces.network import Network
from spaces.registry import takes
from spaces.space import Genotype, Space
from tests.small import each_build, short

Rewrite = Callable[[Network, Random], Network]
each_fitness = pytest.mark.parametrize("name", list(FITNESS))


class Sample(NamedTuple):
    """Members of a space, and what a fitness may be made with."""

    space: Space
    small: Space  # the same for small images, on which modules are run
    genotypes: list[Genotype]
    networks: list[Network]
    rewritten: list[Network]  # the same networks, written down in another order
    parts: dict[str, object]
    probed: list[Probed]  # modules of the small space; every score gives them back as they were

    def create(self, name: str, **options: object) -> Fitness:
        """A fitness, with those of the parts that its factory takes, by the parameter's name."""
        taken = {part: value for part, value in self.parts.items() if part in _parameters(name)}
        made = FITNESS.create(name, taken | options)
        assert isinstance(made, Fitness)
        return made

    def subjects(self, fitness: Fitness, count: int) -> Iterator[object]:
        """What the fitness asks to be given, one by one; fewer than `count` where modules are run."""
        if fitness.needs == "genotype":
            yield from self.genotypes[:count]
        elif fitness.needs == "network":
            yield from self.networks[:count]
        elif fitness.needs == "module":
            yield from map(_lowered, self.networks[:count])
        else:
            yield from self.probed[: 2 if count == len(self.genotypes) else 1]

    def score(self, fitness: Fitness, subjects: Iterable[object] = ()) -> list[float | None]:
        """The scores of members, or of what is given; None where there is none and an error says so."""
        scores: list[float | None] = []
        for subject in subjects or self.subjects(fitness, len(self.genotypes)):
            try:
                score = fitness(subject)
            except EngineError:
                scores.append(None)
            else:
                assert isinstance(score, int | float)
                scores.append(score if math.isfinite(score) else None)
        return scores


def _lowered(network: Network) -> nn.Module:
    torch.manual_seed(0)
    return lower(network)


def _probe(space: Space) -> Probe:
    torch.manual_seed(2)
    return Probe(torch.randn(12, *space.channels_first), torch.arange(12) % 3, 10, batch=12)


def _parameters(name: str) -> dict[str, inspect.Parameter]:
    factory = FITNESS.load(name)
    assert callable(factory)
    return dict(inspect.signature(factory).parameters)


@pytest.fixture(scope="module", params=each_build())
def sample(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, rewrite: Rewrite) -> Sample:
    narrow = {"max_units": 12, "max_look_back": 8} if takes(SPACES.load(request.param), "max_units") else {}
    space, rng = SPACES.create(request.param, short(request.param) | narrow), Random(0)
    assert isinstance(space, Space)
    # More networks lie between the first scoring of one and its second than any cache remembers.
    count = 100 if len(space.decode(space.sample(rng))) < 150 and space.reads == "images" else 9
    genotypes = [space.sample(rng) for _ in range(count)]
    networks = [space.decode(genotype) for genotype in genotypes]
    file = tmp_path_factory.mktemp("table") / "table.csv"
    texts = dict.fromkeys(space.describe(genotype) for genotype in genotypes)
    with file.open("w", newline="") as opened:
        rows = csv.writer(opened)
        rows.writerow(["index", "arch_str", "accuracy_pct"])
        rows.writerows([index, text, rng.uniform(10, 90)] for index, text in enumerate(texts))
    parts = {"column": "accuracy_pct", "table": Table.open(file), "describe": space.describe}
    parts["rates"] = Rates(conv=2e7, depthwise=5e6, dense=1e7)
    parts["series"] = SeriesSource("sine(stop=20)", device="cpu")
    thin: dict[str, object] = {"channels": 8} if takes(SPACES.load(request.param), "channels") else {}
    image = {"input_shape": (8, 8, 3), "num_classes": 10}
    small, probed = space, []
    if space.reads == "images":
        made = SPACES.create(request.param, short(request.param) | thin, image)
        assert isinstance(made, Space)
        small = made
        probed = [Probed(_lowered(small.decode(small.sample(rng))), _probe(small)) for _ in range(2)]
    rewritten = [rewrite(network, rng) for network in networks]
    return Sample(space, small, genotypes, networks, rewritten, parts, probed)


@each_fitness
def test_says_what_it_is(sample: Sample, name: str) -> None:
    fitness = sample.create(name)
    assert fitness.name.partition(":")[0] == name
    assert fitness.direction in get_args(Direction)
    assert fitness.needs in get_args(Needs)
    assert fitness.unit
    assert fitness.unit.strip() == fitness.unit
    assert inspect.getdoc(FITNESS.load(name)), "shown by `engine list fitness`"


@each_fitness
def test_scores_are_finite_or_said_to_be_missing_and_the_same_twice(sample: Sample, name: str) -> None:
    fitness = sample.create(name)
    scores = sample.score(fitness)
    kind = "series" if "series" in _parameters(name) else "images"  # of the networks that it has to have a score of
    assert any(score is not None for score in scores) or fitness.needs == "images" or kind != sample.space.reads
    assert sample.score(fitness) == scores
    assert sample.score(pickle.loads(pickle.dumps(fitness))) == scores
    if getattr(fitness, "positive", False):
        assert all(score is None or score >= 0 for score in scores)


@each_fitness
def test_networks_and_genotypes_are_left_as_they_were(sample: Sample, name: str) -> None:
    fitness = sample.create(name)
    every = zip(sample.genotypes, sample.networks, sample.subjects(fitness, 5), strict=False)
    for genotype, network, subject in every:
        choices = list(genotype.items())
        before = network.to_json(), network.key, network.nodes
        with contextlib.suppress(EngineError):
            fitness(subject)
        assert (network.to_json(), network.key, network.nodes) == before
        assert Network.from_json(before[0]).key == network.key
        assert list(genotype.items()) == choices


@each_fitness
def test_modules_are_left_as_they_were(sample: Sample, name: str) -> None:
    fitness = sample.create(name)
    for subject in sample.subjects(fitness, 3):
        before = _module_state(subject)
        with contextlib.suppress(EngineError):
            fitness(subject)
        assert _module_state(subject) == before


def _module_state(subject: object) -> list[object]:
    """Weights, gradients, modes and hooks; nothing for what is no module."""
    if isinstance(subject, Probed):
        images, labels = subject.probe.images, subject.probe.labels
        assert labels is not None
        return [*_module_state(subject.module), images.numpy().tobytes(), images.requires_grad, labels.tolist()]
    if not isinstance(subject, nn.Module):
        return []
    state: list[object] = [(key, value.numpy().tobytes()) for key, value in subject.state_dict().items()]
    state += [(parameter.grad is None, parameter.requires_grad) for parameter in subject.parameters()]
    hooks = [(len(m._forward_hooks), len(m._forward_pre_hooks), "forward" in vars(m)) for m in subject.modules()]
    return [*state, *hooks, *(module.training for module in subject.modules())]


@each_fitness
def test_global_state_is_left_as_found(sample: Sample, name: str) -> None:
    fitness = sample.create(name)
    random.seed(1)
    numpy.random.seed(1)
    torch.manual_seed(1)
    subjects = list(sample.subjects(fitness, 5))
    before = _global_state()
    for subject in subjects:
        with contextlib.suppress(EngineError):
            fitness(subject)
        assert _global_state() == before


def _global_state() -> tuple[Any, ...]:
    backends = torch.backends
    return (
        random.getstate(),
        [part.tolist() if isinstance(part, numpy.ndarray) else part for part in numpy.random.get_state()],
        torch.get_rng_state().tolist(),
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
        torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(),
        (backends.cudnn.benchmark, backends.cudnn.deterministic, backends.cudnn.enabled),
        numpy.geterr(),
    )


@each_fitness
def test_networks_of_one_key_share_their_score(sample: Sample, name: str) -> None:
    fitness = sample.create(name)
    if fitness.needs == "network":
        scores = sample.score(fitness)  # all of them first, so that nothing is answered from a cache
        assert sample.score(fitness, sample.rewritten) == scores


@each_fitness
def test_live_scores_never_exceed_plain_ones(sample: Sample, name: str) -> None:
    if "live" not in _parameters(name):
        return
    plain, live = sample.create(name), sample.create(name, live=True)
    assert (live.direction, live.unit, live.needs) == (plain.direction, plain.unit, plain.needs)
    assert live.name == f"{plain.name}(live=true)"
    assert sample.create(name, live=False).name == plain.name
    if plain.unit == "bytes":
        return  # another graph has another order, and a greedy plan of less can need more
    for score, live_score in zip(sample.score(plain), sample.score(live), strict=True):
        assert score is not None
        assert live_score is not None
        assert live_score <= score or live_score == pytest.approx(score, rel=1e-12)


def test_every_name_says_what_it_computes(sample: Sample) -> None:
    names = []
    for name in FITNESS:
        names.append(sample.create(name).name)
        if "live" in _parameters(name):
            names.append(sample.create(name, live=True).name)
    assert len(names) == len(set(names))


def test_tables_written_for_one_space_serve_it(sample: Sample, tmp_path: Path) -> None:
    table = sample.parts["table"]
    assert isinstance(table, Table)
    assert {sample.space.parse(text) for text in table.architectures} == set(sample.genotypes)
