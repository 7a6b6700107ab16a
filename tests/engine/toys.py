"""Spaces and answers at no cost, for tests of what strategies do with them."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from engine.objectives import Objective, Objectives
from engine.records import Candidate, Record, Status
from engine.strategies.base import Exhausted, Strategy, Waiting
from fitness.expression import Expression
from spaces.layers import Dense
from spaces.network import Network, NetworkBuilder
from spaces.space import Choice, Choose, Flag, Genotype, Integer, Space

Worth = Callable[[Genotype], float]


class _Score:
    """A fitness that nobody calls: the tests write its values into the records."""

    direction, unit, needs = "max", "", "genotype"

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, subject: Any) -> float:
        raise AssertionError


def make(name: str, options: Mapping[str, object]) -> Any:
    """A score of that name."""
    return _Score(name)


WORTH = Objectives((Objective(Expression("worth", make), "max"),))


class Grid(Space):
    """Independent whole numbers 0..high.

    Args:
        choices: How many.
        high: The largest.
        listed: Whether the space says that it is finite.
    """

    name = "grid"

    def __init__(self, choices: int, high: int, listed: bool = True) -> None:
        super().__init__()
        self.names, self.domain = [f"x{i}" for i in range(choices)], Integer(0, high)
        self.size = (high + 1) ** choices if listed else None
        self.built = 0

    def build(self, choose: Choose) -> Network:
        self.built += 1
        net = NetworkBuilder((3,))
        x = net.input
        for name in self.names:
            x = net.add(Dense(1 + choose(name, self.domain)), x)
        return net.build(x)


class Stack(Space):
    """One to five layers with choices of every kind; most are only there in deep networks."""

    name = "stack"

    def build(self, choose: Choose) -> Network:
        net = NetworkBuilder((3,))
        x = net.input
        for layer in range(choose("layers", Integer(1, 5))):
            units = choose(f"{layer}.units", Integer(4, 64, 4))
            units *= {"once": 1, "twice": 2, "thrice": 3}[
                choose(f"{layer}.kind", Choice("once", "twice", "thrice"))
            ]
            x = net.add(
                Dense(units + choose(f"{layer}.odd", Flag(0.3)) + choose(f"{layer}.only", Integer(5, 5))), x
            )
        return net.build(x)


def told(candidate: Candidate, worth: float = math.nan, status: Status = "ok") -> Record:
    number, genotype, parent = candidate
    scores, reason = ({"worth": worth}, None) if status == "ok" else ({}, "told so")
    return Record(number, genotype, parent, "", scores, status, reason, False, 0.0)


def drive(
    strategy: Strategy,
    asks: int,
    judge: Callable[[Candidate], Record],
    open_asks: int = 1,
    known: Sequence[Record] = (),
) -> list[Record]:
    """Keep asks open and tell them in their order until there are enough or none is left; adopt what is known.

    A strategy that waits is told the oldest before it is asked again.
    """
    pending: deque[Candidate] = deque()
    records: list[Record] = []
    asked, exhausted = 0, False
    while len(records) < asks:
        while asked < asks and len(pending) < open_asks and not exhausted:
            try:
                if asked < len(known):
                    strategy.adopt(known[asked].candidate)
                    pending.append(known[asked].candidate)
                else:
                    pending.append(strategy.ask())
            except Exhausted:
                exhausted = True
                break
            except Waiting:
                break
            asked += 1
        if not pending:
            break
        candidate = pending.popleft()
        record = known[candidate.number] if candidate.number < len(known) else judge(candidate)
        strategy.tell(record)
        records.append(record)
    return records


def judged(worth: Worth) -> Callable[[Candidate], Record]:
    """Tells what every candidate is worth."""
    return lambda candidate: told(candidate, worth(candidate.genotype))


def numbers(genotype: Genotype) -> list[int]:
    return [int(value) for value in genotype.values()]


def near(*target: int) -> Worth:
    """Minus the squared distance: one hill."""
    return lambda genotype: -float(sum((v - t) ** 2 for v, t in zip(numbers(genotype), target, strict=True)))


def best_of(records: Sequence[Record]) -> float:
    return max(record.scores["worth"] for record in records if record.status == "ok")
