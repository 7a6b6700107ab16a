"""What tests share: golden values and benchmark tables where they are present, random members of spaces."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from functools import cache, partial
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch

from spaces import SPACES
from spaces.network import Network, NetworkBuilder
from spaces.space import Space
from tests.small import each_build, short

SHARED = Path(__file__).parents[2] / "shared"


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """Networks of tests are small: they gain nothing from more threads, and lose much on a busy machine."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def same_weights() -> None:
    """Modules that a test makes have the same weights every time, whichever tests ran before in its process."""
    torch.manual_seed(0)


@pytest.fixture(autouse=True, scope="session")
def nothing_of_the_users(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests, and processes they start, neither see nor touch tables and scores that whoever runs them has kept."""
    here = tmp_path_factory.getbasetemp()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NAS_ENGINE_DATA", str(here / "no-data"))
        patch.setenv("NAS_ENGINE_CACHE", str(here / "score-caches" / "shared"))
        yield


_caches = count()


@pytest.fixture(autouse=True)
def own_score_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test meets another one's scores. Not `tmp_path`, which is slow to make where thousands have been made."""
    folder = tmp_path_factory.getbasetemp() / "score-caches" / str(next(_caches))
    monkeypatch.setenv("NAS_ENGINE_CACHE", str(folder))


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> str:
    """Every device that modules run on; what holds for one is tried on the CPU wherever the tests run."""
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device here; run `pytest -m gpu` on a machine that has one")
    return str(request.param)


@pytest.fixture(scope="session")
def golden() -> dict[str, Any]:
    """Figures made with the authors' own programs."""
    return json.loads(_shared("golden/munas.json").read_text())


@pytest.fixture(scope="session")
def mrs_golden() -> list[dict[str, Any]]:
    """Cases of MAE random sampling by the authors' own program."""
    cases: list[dict[str, Any]] = json.loads(_shared("golden/mrs.json").read_text())["cases"]
    return cases


@pytest.fixture(scope="session")
def tss_rows() -> list[dict[str, str]]:
    """The table of the NATS-Bench topology space."""
    return _rows("data/nats_tss.csv")


@pytest.fixture(scope="session")
def sss_rows() -> list[dict[str, str]]:
    """The table of the NATS-Bench size space."""
    return _rows("data/nats_sss.csv")


@pytest.fixture(params=each_build())
def make_space(request: pytest.FixtureRequest) -> Callable[..., Space]:
    """What makes a space, for every registered one; of those that share a `build`, all but one are slow."""
    return partial(SPACES.load(request.param), **short(request.param))  # type: ignore[arg-type]


@pytest.fixture
def space(make_space: Callable[..., Space]) -> Space:
    """Every registered space."""
    return make_space()


@pytest.fixture(scope="session")
def networks() -> Callable[..., list[Network]]:
    """`networks(space name, count, seed)`: random networks of a registered space, made once."""

    @cache
    def sample(name: str, count: int, seed: int = 0) -> list[Network]:
        space, rng = SPACES.create(name, short(name)), Random(seed)
        assert isinstance(space, Space)
        return [space.decode(space.sample(rng)) for _ in range(count)]

    return sample


@pytest.fixture(scope="session")
def rewrite() -> Callable[[Network, Random], Network]:
    """The same graph written down in another random order, the terms of its sums shuffled."""

    def reordered(network: Network, rng: Random) -> Network:
        builder, place = NetworkBuilder(network.shapes[0]), {0: 0}
        left = [list(node.inputs) for node in network.nodes]
        ready = [user for user, inputs in enumerate(left) if inputs and set(inputs) == {0}]
        while ready:
            index = ready.pop(rng.randrange(len(ready)))
            inputs = [place[source] for source in network.inputs[index]]
            if network.ops[index].commutative:
                rng.shuffle(inputs)
            place[index] = builder.add(network.ops[index], *inputs)
            ready += [u for u in set(network.consumers[index]) if all(s in place for s in left[u])]
        return builder.build(place[len(network) - 1])

    return reordered


def _shared(path: str) -> Path:
    if not (SHARED / path).exists():
        pytest.skip(f"no {path} at {SHARED}")
    return SHARED / path


def _rows(path: str) -> list[dict[str, str]]:
    with _shared(path).open(newline="") as file:
        return list(csv.DictReader(file))
