"""What holds for every registered strategy: pure in its seed and the calls, whatever the answers."""

from __future__ import annotations

import inspect
import json
import os
import random
import shutil
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy
import pytest

from engine.api import resume, search
from engine.config import RunConfig
from engine.records import Candidate, Record
from engine.setup import Setup
from engine.strategies import STRATEGIES
from engine.strategies.base import Strategy, Waiting
from spaces.errors import RunError, UsageError
from spaces.layers import Dense
from spaces.network import Network, NetworkBuilder
from spaces.space import Choose, Integer, Space
from tests.small import deterministic, each_build, refused, relaxes, short_name, space_for

ROOT = Path(__file__).parents[2]
SMALL = {
    "population": 8,
    "tournament": 3,
    "rank": "trace",
    "predictor": "knn",
}  # so that children are made early, and soon
# Given like the above to whoever takes them, but with the name.
QUICK = {"candidates": 40, "starts": 4, "startup": 18, "trees": 2, "inner": 100, "pool": 40, "ranked": 10}
Answer = Callable[[Record], Record]

SEVERAL = ("trace", "flash_bytes:min", "peak_ram_bytes:min")

each_strategy = pytest.mark.parametrize("strategy", list(STRATEGIES))
each_pursuit = pytest.mark.parametrize(
    ("strategy", "objectives"),
    [(strategy, ()) for strategy in STRATEGIES]
    + [(name, SEVERAL) for name in STRATEGIES if getattr(STRATEGIES.load(name), "max_objectives", 1) is None],
)
each_space = pytest.mark.parametrize("space", each_build())


def _taken(strategy: str, options: Mapping[str, Any]) -> dict[str, Any]:
    factory = STRATEGIES.load(strategy)
    assert callable(factory)
    return {name: value for name, value in options.items() if name in inspect.signature(factory).parameters}


def _options(strategy: str) -> dict[str, Any]:
    """Fields of the run, for a strategy that takes them."""
    return _taken(strategy, SMALL)


def _named(strategy: str) -> str:
    """The name, with other options in parentheses."""
    options = ", ".join(f"{name}={value}" for name, value in _taken(strategy, QUICK).items())
    return f"{strategy}({options})" if options else strategy


def _setup(strategy: str, space: str | None = None, seed: int = 0, objectives: tuple[str, ...] = ()) -> Setup:
    problem = {"space": space or space_for(strategy), "fitness": "trace+gdf", "objectives": objectives}
    return Setup(RunConfig(strategy=_named(strategy), seed=seed, **problem, **_options(strategy)))


def _budget(strategy: str, enough: int = 30) -> int:
    return 1000 if relaxes(strategy) else enough


def _drive(
    setup: Setup,
    asks: int,
    open_asks: int,
    known: Sequence[Record] = (),
    answer: Answer = lambda record: record,
) -> list[Record]:
    """Keep asks open and tell in their order; of known records, adopt the candidates and tell what is known."""
    strategy, evaluate = setup.strategy(), setup.evaluator
    pending: deque[Candidate] = deque()
    told: list[Record] = []
    asked = 0
    while len(told) < asks:
        while asked < asks and len(pending) < open_asks:
            try:
                if asked < len(known):
                    candidate = known[asked].candidate
                    strategy.adopt(candidate)
                else:
                    candidate = strategy.ask()
            except Waiting:
                assert pending, "it waits for nothing"
                break
            assert candidate.number == asked
            assert candidate.parent is None or candidate.parent < len(told), "its parent has no answer yet"
            pending.append(candidate)
            asked += 1
        candidate = pending.popleft()
        if candidate.number < len(known):
            record = known[candidate.number]
        else:
            record = answer(_record(setup, evaluate, candidate))
        strategy.tell(record)
        told.append(record)
    return told


def _record(setup: Setup, evaluate: Any, candidate: Candidate) -> Record:
    outcome = evaluate(candidate.genotype)
    key = setup.space.decode(candidate.genotype).key
    number, genotype, parent = candidate
    return Record(number, genotype, parent, key, outcome.scores, outcome.status, outcome.reason, False, 0.0)


def _asked(records: list[Record]) -> list[tuple[Any, ...]]:
    return [(r.number, list(r.genotype.items()), r.parent) for r in records]


# --- the sequence -----------------------------------------------------------------------------------


@each_strategy
@each_space
def test_a_seed_names_a_sequence_of_members_or_the_space_is_refused(strategy: str, space: str) -> None:
    of = short_name(space)
    if refused(_setup(strategy, of)):
        with pytest.raises(UsageError, match=f"^[^\n]*space {space!r}[^\n]*expected[^\n]*$"):
            _setup(strategy, of).strategy()
        return
    first = _drive(_setup(strategy, of), 24, open_asks=3)
    assert _asked(_drive(_setup(strategy, of), 24, open_asks=3)) == _asked(first)
    other = _asked(_drive(_setup(strategy, of, seed=1), 24, open_asks=3))
    assert (other == _asked(first)) == deterministic(strategy)
    fresh = _setup(strategy, of).space
    for record in first:
        assert fresh.decode(record.genotype).key == record.key
        assert all(type(value) in (int, str, bool) for value in record.genotype.values())


@each_pursuit
@pytest.mark.parametrize("open_asks", [1, 3, 8])
def test_resuming_at_any_point_goes_on_as_if_nothing_had_happened(
    strategy: str, objectives: tuple[str, ...], open_asks: int
) -> None:
    setup = _setup(strategy, objectives=objectives)
    whole = _drive(setup, 24, open_asks)
    for cut in (1, 9, 20):
        resumed = _drive(setup, 24, open_asks, known=whole[:cut])
        assert _asked(resumed) == _asked(whole)
        assert [record.key for record in resumed] == [record.key for record in whole]


@each_strategy
def test_asks_depend_on_what_was_told_when_and_not_on_what_is_told_later(strategy: str) -> None:
    one, other = _setup(strategy).strategy(), _setup(strategy).strategy()
    setup = _setup(strategy)
    first = [one.ask() for _ in range(6)]
    assert [other.ask() for _ in range(6)] == first
    for candidate in first:
        one.tell(_record(setup, setup.evaluator, candidate))
    assert other.ask().number == one.ask().number == 6
    for candidate in first:
        other.tell(_record(setup, setup.evaluator, candidate))
    assert other.ask().number == one.ask().number == 7


@each_strategy
def test_many_asks_may_be_open_before_the_first_answer_or_it_waits_for_one(strategy: str) -> None:
    setup = _setup(strategy)
    made: Strategy = setup.strategy()
    candidates: list[Candidate] = []
    with suppress(Waiting):
        while len(candidates) < 20:
            candidates.append(made.ask())
    assert [candidate.number for candidate in candidates] == list(range(len(candidates)))
    assert len({candidate.genotype for candidate in candidates}) > 0.75 * len(candidates) > 5
    for candidate in candidates:
        made.tell(_record(setup, setup.evaluator, candidate))
    assert made.ask().number == len(candidates)


# --- bad answers ------------------------------------------------------------------------------------


def _failed(record: Record) -> Record:
    return record._replace(status="failed", reason="trace raised ValueError: no", scores={})


def _infeasible(record: Record) -> Record:
    return record._replace(status="infeasible", reason="flash_bytes is 9; bound flash_bytes<=8")


@each_pursuit
def test_failed_and_infeasible_records_are_survived(strategy: str, objectives: tuple[str, ...]) -> None:
    def spoil(record: Record) -> Record:
        return (record, _failed(record), _infeasible(record), record)[record.number % 4]

    setup = _setup(strategy, objectives=objectives)
    records = _drive(setup, 40, 3, answer=spoil)
    assert {record.status for record in records} >= {"failed", "infeasible"}
    for cut in (2, 30):
        assert _asked(_drive(setup, 40, 3, known=records[:cut], answer=spoil)) == _asked(records)


@each_strategy
@pytest.mark.parametrize("spoil", [_failed, _infeasible])
def test_a_run_in_which_nothing_succeeds_goes_on(strategy: str, spoil: Answer) -> None:
    """Supernets' scores count though none of them is feasible; without any there is nothing to prune by."""
    if relaxes(strategy) and spoil is _failed:
        with pytest.raises(RunError, match="has a score to choose by: trace raised ValueError: no"):
            _drive(_setup(strategy), 30, 3, answer=spoil)
    else:
        assert len(_drive(_setup(strategy), 30, 3, answer=spoil)) == 30


@each_pursuit
def test_parents_are_never_bad_records(strategy: str, objectives: tuple[str, ...]) -> None:
    setup = _setup(strategy, objectives=objectives)
    records = _drive(setup, 40, 2, answer=lambda r: _failed(r) if r.number % 2 else r)
    assert all(records[record.parent].status == "ok" for record in records if record.parent is not None)


# --- global state -----------------------------------------------------------------------------------


@each_pursuit
def test_global_generators_are_neither_read_nor_changed(strategy: str, objectives: tuple[str, ...]) -> None:
    setup = _setup(strategy, objectives=objectives)
    random.seed(1)
    numpy.random.seed(1)
    states = random.getstate(), numpy.random.get_state()[1].tolist()
    first = _drive(setup, 24, 3)
    assert (random.getstate(), numpy.random.get_state()[1].tolist()) == states
    random.seed(2)
    numpy.random.seed(2)
    assert _asked(_drive(setup, 24, 3)) == _asked(first)


# --- whole runs -------------------------------------------------------------------------------------


def _comparable(record: Record) -> dict[str, object]:
    return record.to_dict() | {"seconds": None}


def _search(strategy: str, **arguments: Any) -> list[dict[str, object]]:
    budget = _budget(strategy)
    options: dict[str, Any] = {"budget": budget, "open": 4, "seed": 5} | _options(strategy) | arguments
    result = search(space_for(strategy), _named(strategy), **options)
    assert len(result.records) == budget or result.exhausted
    return [_comparable(record) for record in result.records]


@each_pursuit
@pytest.mark.parametrize("open_asks", [1, 3, 8])
def test_a_run_cut_off_anywhere_is_resumed_to_the_same_records(
    strategy: str, objectives: tuple[str, ...], open_asks: int, tmp_path: Path
) -> None:
    whole = _search(strategy, open=open_asks, objectives=objectives, out=tmp_path / "whole")
    lines = (tmp_path / "whole" / "records.jsonl").read_bytes().splitlines(keepends=True)
    for cut in (0, 17):
        folder = tmp_path / f"cut{cut}"
        shutil.copytree(tmp_path / "whole", folder)
        torn = lines[cut][: len(lines[cut]) // 2]
        (folder / "records.jsonl").write_bytes(b"".join(lines[:cut]) + torn)
        assert [_comparable(record) for record in resume(folder).records] == whole


@each_strategy
def test_another_process_with_another_hash_seed_makes_the_same_records(strategy: str, tmp_path: Path) -> None:
    program = (
        "import sys, json\n"
        "from engine.api import search\n"
        "result = search(sys.argv[1], sys.argv[2], open=4, seed=5, **json.loads(sys.argv[3]))\n"
        "print(json.dumps([r.to_dict() | {'seconds': None} for r in result.records]))\n"
    )
    done = subprocess.run(
        [
            *(sys.executable, "-c", program),
            *(space_for(strategy), _named(strategy)),
            json.dumps(_options(strategy) | {"budget": _budget(strategy)}),
        ],
        env=os.environ | {"PYTHONHASHSEED": "31337", "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == json.loads(json.dumps(_search(strategy)))


class _Flaky:
    """A score of one's own that often has no value."""

    name, direction, unit, needs = "flaky", "max", "", "network"

    def __call__(self, network: Network) -> float:
        digit = int(network.key[3], 16)  # one by which no strategy ends with nothing that has a value
        if digit < 4:
            raise ZeroDivisionError("no value")
        return float("nan") if digit < 8 else len(network)


@each_strategy
def test_runs_with_failing_scores_and_bounds_reach_their_budget(strategy: str) -> None:
    space, name, options = space_for(strategy), _named(strategy), _options(strategy)
    budget = _budget(strategy, 40)
    options |= {"budget": budget, "open": 3, "seed": 1, "target": "none"}
    sizes = [record.scores.get("params", 0) for record in search(space, name, "params", **options).records]
    result = search(space, name, _Flaky(), bounds=[f"params<={sorted(sizes)[20]}"], **options)
    statuses = {
        status: [r for r in result.records if r.status == status] for status in ("ok", "infeasible", "failed")
    }
    assert len(result.records) == budget or result.exhausted
    assert statuses["ok"]
    assert statuses["failed"]
    assert statuses["infeasible"] or "rank" in _options(strategy)  # what is ranked highly keeps the bounds
    assert {record.reason for record in statuses["failed"]} == {
        "flaky raised ZeroDivisionError: no value",
        "flaky is nan",
    }
    assert all("flaky" not in record.scores for record in statuses["failed"])
    assert result.best.status == "ok"


class _Tiny(Space):
    """Four networks."""

    name = "tiny"
    size = 4

    def build(self, choose: Choose) -> Network:
        net = NetworkBuilder((3,))
        return net.build(net.add(Dense(int(choose("units", Integer(1, 4)))), net.input))


@each_strategy
def test_a_space_smaller_than_the_budget_comes_to_an_end(strategy: str) -> None:
    options = {"target": "none", "budget": 30, "open": 3} | _options(strategy)
    if relaxes(strategy):
        with pytest.raises(UsageError, match="'tiny' does not offer"):
            search(_Tiny(), _named(strategy), "params", **options)
        return
    result = search(_Tiny(), _named(strategy), "params", **options)
    assert len({record.key for record in result.records}) <= 4
    assert len(result.records) == 30 or (result.exhausted and len(result.records) == 4)
    assert result.best.genotype["units"] == 4


@each_strategy
def test_several_objectives_are_pursued_or_refused(strategy: str) -> None:
    objectives = ["trace", "flash_bytes:min"]
    most = _setup(strategy).strategy().max_objectives
    if most is not None and most < 2:
        with pytest.raises(UsageError, match="at most"):
            _search(strategy, objectives=objectives)
    else:
        assert len(_search(strategy, objectives=objectives)) >= 30


@each_strategy
def test_options_are_checked(strategy: str) -> None:
    with pytest.raises(UsageError):
        STRATEGIES.create(strategy, {"no_such_option": 1})
    for name in _options(strategy):
        with pytest.raises(UsageError, match=name):
            search(space_for(strategy), strategy, budget=3, **{name: 0})  # type: ignore[arg-type]
    for name in _taken(strategy, QUICK):
        with pytest.raises(UsageError, match=name):
            search(space_for(strategy), f"{strategy}({name}=0)", budget=3)
