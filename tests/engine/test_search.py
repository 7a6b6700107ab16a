"""The library: searching with objects of one's own, from Python."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
import types
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any, ClassVar

import pytest

import engine as package
from engine import resume, search
from engine.records import Candidate, Record, RecordStore
from spaces.errors import RunError, UsageError
from spaces.layers import Conv, Dense, Flatten, ReLU
from spaces.network import Network, NetworkBuilder
from spaces.space import Choose, Genotype, Integer, Space


class OwnSpace(Space):
    """Two widths: forty-nine networks."""

    name, size = "own", 49

    def build(self, choose: Choose) -> Network:
        net = NetworkBuilder(self.channels_first)
        first, second = int(choose("first", Integer(1, 7))), int(choose("second", Integer(1, 7)))
        x = net.add(ReLU(), net.add(Conv(first, (3, 3)), net.input))
        x = net.add(ReLU(), net.add(Conv(second, (3, 3)), x))
        return net.build(net.add(Dense(self.num_classes), net.add(Flatten(), x)))


class Balance:
    """How far two widths are from each other; less is better."""

    name, direction, unit, needs = "balance", "min", "channels", "genotype"

    def __call__(self, genotype: Genotype) -> int:
        return abs(int(genotype["first"]) - int(genotype["second"]))


class Descending:
    """A strategy in ten lines: asks for ever smaller first widths."""

    max_objectives: ClassVar[int | None] = None

    def __init__(self, space: Space, objectives: Any, seed: int) -> None:
        self.asked, self.told = 0, 0

    def ask(self) -> Candidate:
        number, self.asked = self.asked, self.asked + 1
        return Candidate(number, Genotype({"first": 7 - number % 7, "second": 1 + number % 5}))

    def tell(self, record: Record) -> None:
        assert record.number == self.told
        self.told += 1

    def adopt(self, candidate: Candidate) -> None:
        self.asked += 1


def plain(records: Any) -> list[Record]:
    return [record._replace(seconds=0.0, scores=dict(record.scores)) for record in records]


def test_a_space_a_score_and_a_strategy_of_ones_own_are_searched(tmp_path: Path) -> None:
    result = search(OwnSpace((16, 16, 1), 4), Descending, Balance(), budget=30, out=tmp_path / "run")
    assert [record.genotype["first"] for record in result.records][:8] == [7, 6, 5, 4, 3, 2, 1, 7]
    assert result.best.scores["balance"] == 0
    assert result.best.number == next(record.number for record in result.records if record.scores["balance"] == 0)
    assert all(record.scores["balance"] == 0 for record in result.front)
    assert result.path == tmp_path / "run"
    assert not result.exhausted
    assert len(result.records) == 30
    assert result.records[-1] == result.records[29]
    assert [record.number for record in result.records[3:7]] == [3, 4, 5, 6]
    with pytest.raises(IndexError, match="record 30; the run has 30"):
        result.records[30]


def test_a_run_with_ones_own_objects_is_resumed_with_them(tmp_path: Path) -> None:
    parts = {"space": OwnSpace(), "strategy": Descending}
    search(**parts, fitness=Balance(), budget=10, out=tmp_path / "run")
    longer = resume(tmp_path / "run", 25, scores=[Balance()], **parts)
    assert plain(longer.records) == plain(search(**parts, fitness=Balance(), budget=25).records)
    with pytest.raises(UsageError, match="unknown space 'own'"):
        resume(tmp_path / "run")
    with pytest.raises(UsageError, match="unknown strategy 'Descending'"):
        resume(tmp_path / "run", space=OwnSpace(), scores=[Balance()])
    with pytest.raises(UsageError, match="unknown fitness 'balance'"):
        resume(tmp_path / "run", **parts)


def test_a_run_may_be_resumed_while_its_result_is_still_held(tmp_path: Path) -> None:
    first = search(OwnSpace(), "random", "trace", budget=10, out=tmp_path / "run")
    second = resume(tmp_path / "run", 20, space=OwnSpace())
    assert plain(second.records)[:10] == plain(first.records)
    assert len(first.records) == 10


def test_ones_own_score_joins_registered_ones_in_expressions_bounds_and_objectives() -> None:
    result = search(
        OwnSpace(),
        "random",
        "trace+balance",
        scores=[Balance()],
        bounds=["balance<=3", "balance<=3", "params>=40"],
        budget=49,
    )
    assert {record.status for record in result.records} == {"ok", "infeasible"}
    for record in result.records:
        broken = [record.scores["balance"] > 3, record.scores.get("params", 40) < 40]
        assert (record.status == "infeasible") == any(broken)
    front = result.front_over(["trace", "params:min"])
    assert len({(record.scores["trace"], record.scores["params"]) for record in front.records}) >= 5
    assert search(OwnSpace(), "random", objectives=["balance", "trace:min"], scores=[Balance()], budget=9).front


@pytest.mark.parametrize("workers", [1, 2])
def test_every_record_is_reported_as_it_is_made(workers: int) -> None:
    met: list[int] = []
    search(
        "nats-sss",
        "random",
        "trace",
        budget=12,
        workers=workers,
        on_record=lambda record: met.append(record.number),
    )
    assert met == list(range(12))


def test_an_interruption_reaches_the_caller_and_leaves_a_run_that_can_go_on(tmp_path: Path) -> None:
    def stop(record: Record) -> None:
        if record.number == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search("nats-sss", "random", "trace", budget=20, out=tmp_path / "run", on_record=stop)
    assert '"state": "interrupted"' in (tmp_path / "run" / "study.json").read_text()
    assert len(resume(tmp_path / "run").records) == 20


def test_searches_leave_no_open_files(tmp_path: Path) -> None:
    opened = Path("/proc/self/fd")
    if not opened.exists():
        pytest.skip("needs /proc to count open files")
    search("nats-sss", "random", "trace", budget=2)
    before = len(list(opened.iterdir()))
    for seed in range(5):
        search("nats-sss", "random", "trace", budget=2, seed=seed)
        search("nats-sss", "random", "trace", budget=2, seed=seed, out=tmp_path / str(seed), workers=2)
    assert len(list(opened.iterdir())) == before


def test_a_score_of_modules_is_given_the_torch_module() -> None:
    class Parameters:
        name, direction, unit, needs = "parameters", "max", "", "module"

        def __call__(self, module: Any) -> int:
            return sum(each.numel() for each in module.parameters())

    result = search(OwnSpace(), "random", objectives=["parameters", "params"], scores=[Parameters()], budget=4)
    for record in result.records:
        assert record.scores["parameters"] == record.scores["params"]


def test_a_search_may_run_in_a_thread_of_its_own() -> None:
    with ThreadPoolExecutor(1) as threads:
        result = threads.submit(search, "nats-sss", "random", "trace", budget=5, workers=2).result()
    assert len(result.records) == 5


# --- what cannot be used is said to be so ----------------------------------------------------------------


def own(**changes: Any) -> Any:
    """A score of one's own, changed or with a member missing."""
    members = {"name": "own", "direction": "max", "unit": "", "needs": "network", "__call__": lambda self, net: 1.0}
    return type("Own", (), {name: value for name, value in (members | changes).items() if value is not None})()


@pytest.mark.parametrize(
    ("score", "says"),
    [
        (lambda network: 1.0, "without name, direction, unit, needs; expected a fitness.base.Fitness"),
        (own(unit=None), "without unit"),
        (own(__call__=None), "without a call"),
        (own(direction="maximize"), "direction is 'maximize'; expected 'max' or 'min'"),
        (own(needs="layers"), "needs is 'layers'; expected 'genotype' or 'network' or 'module'"),
        (own(name="my score"), "' ' at position 3; expected '+' or the end"),
        (own(name=""), "expected a name"),
        (own(name="gdf"), "own score is named 'gdf'; expected a name that no penalty has"),
        (own(name="a+b"), "own score is named 'a+b'"),
        (own(name=None), "without name"),
    ],
)
def test_a_score_that_breaks_the_contract_is_refused(score: Any, says: str) -> None:
    with pytest.raises(UsageError) as refusal:
        search("nats-sss", "random", score, budget=3)
    assert says in str(refusal.value)


def test_two_scores_of_one_name_are_refused() -> None:
    with pytest.raises(UsageError, match="two own scores are named 'own'"):
        search("nats-sss", "random", own(), scores=[own()], budget=3)


@pytest.mark.parametrize(
    ("strategy", "says"),
    [
        (dict, "does not take 'space'|lacks ask, tell, adopt, max_objectives"),
        (type("Silent", (Descending,), {"max_objectives": property()}), "lacks max_objectives"),
        (lambda seed: None, "does not take 'space'; expected something to call with space, objectives, seed"),
        (type("Narrow", (Descending,), {"max_objectives": 2}), "pursues at most 2 objectives, got 3"),
        (5, "is 5; expected something to call"),
    ],
)
def test_a_strategy_that_breaks_the_contract_is_refused(strategy: Any, says: str) -> None:
    with pytest.raises((UsageError, RunError), match=says):
        search(OwnSpace(), strategy, objectives=["trace", "params", "depth"], budget=3)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"objectives": "trace"}, "objectives is 'trace'; expected a list of texts"),
        ({"bounds": "params<=5"}, "bounds is 'params<=5'; expected a list of texts"),
        ({"bounds": 5}, "bounds is 5; expected a list of texts"),
        ({"objectives": ["trace", 5]}, "expected a list of texts"),
        ({"budget": 10.0}, "budget is 10.0; expected a whole number"),
        ({"workers": 0}, "workers is 0; expected a whole number from 1"),
        ({"target": None}, "target is None; expected text"),
        ({"population": 0}, "population is 0; expected a whole number"),
    ],
)
def test_settings_of_the_wrong_kind_are_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError) as refusal:
        search("nats-sss", "random", **settings)
    assert says in str(refusal.value)


def test_an_option_is_passed_to_a_strategy_that_takes_anything() -> None:
    class Anything(Descending):
        def __init__(self, space: Space, objectives: Any, seed: int, **options: Any) -> None:
            super().__init__(space, objectives, seed)
            assert options == {"population": 5}

    assert len(search(OwnSpace(), Anything, "trace", population=5, budget=3).records) == 3
    with pytest.raises(UsageError, match="takes no option 'population'; its options: none"):
        search(OwnSpace(), Descending, "trace", population=5, budget=3)


def test_an_error_of_ones_own_strategy_comes_through_whole() -> None:
    class Wrong(Descending):
        def __init__(self, space: Space, objectives: Any, seed: int) -> None:
            raise TypeError("a mistake of its author")

    with pytest.raises(TypeError, match="a mistake of its author"):
        search(OwnSpace(), Wrong, "trace", budget=3)


# --- workers --------------------------------------------------------------------------------------------


def test_a_score_that_cannot_be_sent_to_workers_is_refused() -> None:
    with pytest.raises(
        UsageError, match=r"2 workers need .* that can be pickled: .*; define them at the top of an"
    ):
        search("nats-sss", "random", own(), workers=2, budget=3)


def test_a_score_that_workers_cannot_import_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    ghost = types.ModuleType("ghost")
    monkeypatch.setitem(sys.modules, "ghost", ghost)
    ghost.Ghost = type("Ghost", (type(own()),), {"__module__": "ghost"})  # type: ignore[attr-defined]
    with pytest.raises(
        UsageError, match=r"2 workers need .*: ModuleNotFoundError: No module named 'ghost'; define"
    ):
        search("nats-sss", "random", ghost.Ghost(), workers=2, budget=3)


SCRIPT = """
from engine import search

class Own:
    name, direction, unit, needs = "own", "max", "", "network"

    def __call__(self, network):
        return len(network)

{guard}
    result = search("nats-sss", "random", Own(), workers=2, budget=5)
    print(len(result.records))
"""


def test_a_script_brings_its_own_score_to_workers(program: Any, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT.format(guard='if __name__ == "__main__":'))
    answer = program(program=tmp_path / "script.py")
    assert (answer.code, answer.out, answer.err) == (0, "5\n", "")


def test_a_score_that_was_typed_in_cannot_be_sent_to_workers(tmp_path: Path) -> None:
    typed = [sys.executable, "-c", SCRIPT.format(guard="if True:")]
    root = str(Path(package.__file__).parents[1])
    end = subprocess.run(typed, cwd=tmp_path, env={"PYTHONPATH": root}, capture_output=True, text=True)
    assert end.returncode == 1
    assert "Can't get attribute 'Own'" in end.stderr.splitlines()[-1]
    assert "define them at the top of an importable module" in end.stderr.splitlines()[-1]


def test_a_script_without_its_guard_is_told_so(program: Any, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT.format(guard="if True:"))
    answer = program(program=tmp_path / "script.py")
    assert answer.code == 1
    assert "a script has to search under `if __name__ == '__main__':`" in answer.err.splitlines()[-1]


# --- records --------------------------------------------------------------------------------------------


def made(count: int, start: int = 0) -> Iterator[Record]:
    """Records as a munas run makes them, each of a network of its own."""
    rng = Random(start)
    for number in range(start, start + count):
        genotype = Genotype({f"b{i}.filters": rng.randrange(128) for i in range(8)})
        scores = {"flash_bytes": rng.randrange(10**6), "trace": rng.randrange(10**8)}
        yield Record(number, genotype, None, f"{rng.getrandbits(128):032x}", scores, "ok", None, False, 0.001)


def test_a_further_record_keeps_less_than_300_bytes() -> None:
    store = RecordStore()
    for record in made(2_000):
        store.append(record)
    tracemalloc.start()
    try:
        for record in made(20_000, start=2_000):
            store.append(record)
        del record
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept / 20_000 < 300
    assert len(store) == 22_000


def test_records_read_back_as_they_were_written(tmp_path: Path) -> None:
    store = RecordStore(tmp_path / "records.jsonl", write=True)
    records = [
        *made(3),
        Record(3, Genotype({"a": True, "b": "ä\n", "c": -1}), 2, "f" * 32, {}, "failed", "x is nan", False, 0.5),
        Record(4, Genotype({}), 0, "e" * 32, {"x": 1e-300, "y": 2**60}, "infeasible", "too much", True, 0.0),
    ]
    for record in records:
        store.append(record)
    for again in (store, RecordStore(tmp_path / "records.jsonl")):
        for read, written in zip(again, records, strict=True):
            assert read == written
            assert list(read.genotype) == list(written.genotype)
        assert again.number_of("f" * 32) == 3
        assert again.number_of("e" * 32) is None, "what was answered from the cache answers nothing"
        with pytest.raises(UsageError, match=r"has no record 5; expected one of 0\.\.4"):
            again.read(5)


def test_a_second_writer_is_refused_until_the_first_is_done(tmp_path: Path) -> None:
    first = RecordStore(tmp_path / "records.jsonl", write=True)
    with pytest.raises(RunError, match="is being written by another process"):
        RecordStore(tmp_path / "records.jsonl", write=True)
    assert len(RecordStore(tmp_path / "records.jsonl")) == 0
    first.finish()
    assert len(RecordStore(tmp_path / "records.jsonl", write=True)) == 0
    with pytest.raises(UsageError, match="has no record 0; expected one of none: it is empty"):
        first.read(0)


def test_the_package_shows_what_it_promises() -> None:
    assert {name: getattr(package, name) for name in package.__all__}
    with pytest.raises(AttributeError, match="module 'engine' has no attribute 'serch'"):
        package.serch  # noqa: B018
