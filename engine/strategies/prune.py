"""Pruning a supernet by how much every operation matters (TE-NAS).

Chen, Gong, Wang: Neural Architecture Search on ImageNet in Four GPU Hours: A Theoretically Inspired Perspective,
ICLR 2021, arXiv:2102.11535, Algorithm 1: round after round every operation of every edge is taken out alone; on
each edge the one goes whose loss ranks best over all objectives together, until one is left. Published with the
objectives `te_nas_ntk` and `te_nas_regions`: what lowers the condition number most and costs the fewest regions.

Differs from the authors' code: a change is one of means over draws of images, not the mean of every draw's change.
Changes are equal if they are to three decimals, also those above one, which theirs compares to three significant
digits and then ranks by their place in a list. As in theirs, equal sums are decided by the first objective, then by
the order of the operations.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import ClassVar, NamedTuple

from engine.objectives import Objectives
from engine.records import Candidate, Record
from engine.strategies.base import Exhausted, Waiting
from spaces.errors import RunError, UsageError
from spaces.space import Genotype, Space
from spaces.supernet import SupernetSpace

Merits = tuple[float | None, ...]  # one per objective, larger is better; None where there is none

_NONE = "none"
_DECIMALS = 3  # the authors' precision


class _Loss(NamedTuple):
    """One operation that may go, and the supernet without it."""

    choice: str
    option: str
    genotype: Genotype


class Pruning:
    """See the module. Its last candidate is the architecture found; those before are supernets.

    Args:
        space: Of supernets.
        objectives: Any number; all count alike.
        seed: Not used; nothing is drawn.
        keep_none: Whether the operation `none` takes part, which TE-NAS takes out everywhere before it starts.
    """

    max_objectives: ClassVar[int | None] = None
    relaxes: ClassVar[bool] = True
    deterministic: ClassVar[bool] = True

    def __init__(self, space: Space, objectives: Objectives, seed: int, keep_none: bool = False) -> None:
        if not isinstance(space, SupernetSpace):
            raise UsageError(
                f"strategy prune searches supernets; space {space.name!r} is none, give space.relaxed()"
            )
        self._space, self._objectives = space, objectives
        self._needed = {name for each in objectives.objectives for name in each.expression.recorded}
        start = space.whole
        for choice, options in space.left(start).items():
            if not keep_none and _NONE in options and len(options) > 1:
                start = space.without(start, choice, _NONE)
        self._asked = self._first = 0  # the round's first number is that of its reference, the supernet itself
        self._told: dict[int, Merits] = {}
        self._failure: str | None = None  # why the first one of the round that failed did
        self._supernet = start
        self._losses = self._round()

    def ask(self) -> Candidate:
        """See `Strategy.ask`."""
        self._go_on()
        place = self._asked - self._first
        candidate = Candidate(self._asked, self._losses[place - 1].genotype if place else self._supernet)
        self._asked += 1
        return candidate

    def tell(self, record: Record) -> None:
        """See `Strategy.tell`."""
        self._told[record.number] = self._merits(record)
        if record.status == "failed":
            self._failure = self._failure or record.reason

    def adopt(self, candidate: Candidate) -> None:
        """See `Strategy.adopt`."""
        self._go_on()
        self._asked += 1

    def _go_on(self) -> None:
        """Prune if the next number lies behind the round.

        Raises:
            RunError: Nothing in the round has a score, so that one loss is as good as another.
        """
        if self._asked <= self._first + len(self._losses):
            return
        if not self._losses:
            raise Exhausted
        if len(self._told) <= len(self._losses):
            raise Waiting
        reference, *merits = [self._told[number] for number in range(self._first, self._asked)]
        if not any(merit is not None for each in merits for merit in each):
            why = self._failure or "every score is missing or infinite"
            raise RunError(
                f"prune: none of {len(merits)} supernets has a score to choose by: {why}; expected a score of "
                "supernets, such as te_nas_ntk"
            )
        for loss in best_losses(self._losses, relative_changes(reference, merits)):
            self._supernet = self._space.without(self._supernet, loss.choice, loss.option)
        self._first, self._told, self._losses, self._failure = self._asked, {}, self._round(), None

    def _round(self) -> list[_Loss]:
        return [
            _Loss(choice, option, self._space.without(self._supernet, choice, option))
            for choice, options in self._space.left(self._supernet).items()
            for option in options
            if len(options) > 1
        ]

    def _merits(self, record: Record) -> Merits:
        """Of supernets as well, whose status is not ok."""
        objectives = self._objectives.objectives
        if record.status == "failed" or not self._needed <= record.scores.keys():
            return (None,) * len(objectives)
        found = [objective.merit(record.scores) for objective in objectives]
        return tuple(merit if isfinite(merit) else None for merit in found)


def relative_changes(reference: Merits, merits: Sequence[Merits]) -> list[Merits]:
    """By how much of itself the reference gets better, to three decimals; None where there is no value.

    Of a reference that is zero or not known no share can be given: then the changes are absolute and not rounded.
    """
    return [tuple(map(_change, reference, each)) for each in merits]


def _change(reference: float | None, merit: float | None) -> float | None:
    if merit is None:
        return None
    return round((merit - reference) / abs(reference), _DECIMALS) if reference else merit


def best_losses(losses: Sequence[_Loss], changes: Sequence[Merits]) -> list[_Loss]:
    """The loss of every choice whose ranks sum to the least, ranks being dense and over all choices together.

    Args:
        losses: All of a round.
        changes: Of each, per objective; larger is better, None worse than anything.
    """
    ranks = list(zip(*(_dense_ranks(column) for column in zip(*changes, strict=True)), strict=True))
    best: dict[str, tuple[int, int, int]] = {}
    for place, (loss, own) in enumerate(zip(losses, ranks, strict=True)):
        order = (sum(own), own[0], place)
        best[loss.choice] = min(order, best.get(loss.choice, order))
    return [losses[place] for _, _, place in best.values()]


def _dense_ranks(values: Sequence[float | None]) -> list[int]:
    """0 for the largest, equal values sharing a rank; None ranks behind all."""
    place = {value: rank for rank, value in enumerate(sorted({v for v in values if v is not None}, reverse=True))}
    return [len(place) if value is None else place[value] for value in values]
