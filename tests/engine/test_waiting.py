"""Strategies that wait: nothing is asked until an open candidate is told, whatever is open and wherever it runs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from engine.api import resume, search
from engine.objectives import Objectives
from engine.records import Candidate, Record
from engine.strategies.base import Waiting, stream
from spaces.errors import RunError
from spaces.space import Genotype, Space

GENERATION = 5


class Generations:
    """Asks five at a time: the first at random, the next ones as children of the best of the five before."""

    max_objectives: int | None = 1

    def __init__(self, space: Space, objectives: Objectives, seed: int) -> None:
        self._space, self._objectives, self._seed = space, objectives, seed
        self._asked = 0
        self._told: list[tuple[float, int, Genotype]] = []

    def ask(self) -> Candidate:
        """A child of the last generation's best."""
        self._wait()
        rng, number = stream(self._seed, self._asked), self._asked
        self._asked += 1
        last = self._told[(number // GENERATION - 1) * GENERATION :][:GENERATION] if number >= GENERATION else []
        if not last:
            return Candidate(number, self._space.sample(rng))
        _, parent, genotype = max(last, key=lambda each: each[:2])
        return Candidate(number, self._space.mutate(genotype, rng), -parent)

    def tell(self, record: Record) -> None:
        """Keep it."""
        merits = self._objectives.merits(record)
        self._told.append((merits[0] if merits else float("-inf"), -record.number, record.genotype))

    def adopt(self, candidate: Candidate) -> None:
        """Wait like an ask."""
        self._wait()
        self._asked += 1

    def _wait(self) -> None:
        if len(self._told) < self._asked // GENERATION * GENERATION:
            raise Waiting


class Sleeper(Generations):
    """Waits for what never comes."""

    def _wait(self) -> None:
        if self._asked == 7:
            raise Waiting


def _lines(**options: object) -> list[dict[str, object]]:
    found = search("nats-tss", Generations, "trace", budget=23, seed=3, **options)  # type: ignore[arg-type]
    return [record.to_dict() | {"seconds": None} for record in found.records]


def test_the_same_records_whatever_is_open() -> None:
    """It decides at the same places in any case; nothing is asked before what it waits for is told."""
    alone = _lines(open=1)
    assert len(alone) == 23
    for open_asks in (3, 5, 8, 100):
        assert _lines(open=open_asks) == alone


def test_the_same_records_for_any_number_of_workers() -> None:
    assert _lines(open=8, workers=2) == _lines(open=8)


@pytest.mark.parametrize("open_asks", [1, 8])
def test_resuming_waits_at_the_same_places(open_asks: int, tmp_path: Path) -> None:
    whole = _lines(open=open_asks, out=tmp_path / "whole")
    lines = (tmp_path / "whole" / "records.jsonl").read_bytes().splitlines(keepends=True)
    for cut in range(0, 23, 4):
        folder = tmp_path / f"cut{cut}"
        shutil.copytree(tmp_path / "whole", folder)
        (folder / "records.jsonl").write_bytes(b"".join(lines[:cut]))
        resumed = resume(folder, strategy=Generations)
        assert [record.to_dict() | {"seconds": None} for record in resumed.records] == whole


@pytest.mark.parametrize("open_asks", [1, 8])
def test_to_wait_for_nothing_is_the_strategys_mistake(open_asks: int) -> None:
    with pytest.raises(RunError, match=r"Sleeper waits with no candidate open.*mistake of the strategy"):
        search("nats-tss", Sleeper, "trace", budget=20, open=open_asks)
