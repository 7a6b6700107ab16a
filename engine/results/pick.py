"""Which records somebody means: the knee of a front, the best, numbers, or some spread along the front.

The knee of two objectives is Das, "On characterizing the knee of the Pareto curve based on normal-boundary
intersection", Structural Optimization 18 (1999) 107-115: farthest from the line through the two extremes, towards
what is better. Of more it is the compromise of Zeleny, Multiple Criteria Decision Making, 1982: nearest to the
ideal, the point that has the best of every objective. Both after scaling every objective to [0, 1] over the front.
Members spread along a front are found as in Gonzalez, "Clustering to minimize the maximum intercluster distance",
Theoretical Computer Science 38 (1985) 293-306: each time the one farthest from those that are chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import nlargest

import numpy as np
from numpy.typing import NDArray

from engine.objectives import Objective
from engine.records import Record, RecordStore
from engine.results.front import Front, best_record, front_of
from engine.setup import Setup
from spaces.errors import RunError, UnknownName, UsageError

__all__ = ["knee", "leaders", "picked", "spread"]

_WORDS = ("best", "knee")


def knee(front: Front) -> Record:
    """The member of a front that gives up least; never an extreme if anything lies between them.

    Objectives in which all members are equal do not count. Of one objective it is the best; of equals the first.

    Raises:
        RunError: The front is empty.
    """
    return front.records[_knee(_scaled(front))]


def spread(front: Front, count: int) -> list[Record]:
    """Members spread evenly along a front: the knee, the best in every objective, then what is farthest from all.

    Fewer are the first of more, so that what was done for some need not be done again for more.

    Args:
        front: The front.
        count: How many; all if the front has no more.

    Returns:
        The members in the order they were chosen.

    Raises:
        UsageError: Fewer than one is asked for.
        RunError: The front is empty.
    """
    if count < 1:
        raise UsageError(f"{count} members of a front; expected a whole number of at least 1")
    points = _scaled(front)
    first = [_knee(points), *(int(points[:, objective].argmax()) for objective in range(points.shape[1]))]
    chosen: list[int] = []
    nearest = np.full(len(points), np.inf)  # distance of every member to the nearest that is chosen
    while len(chosen) < min(count, len(points)):
        place = first.pop(0) if first else int(nearest.argmax())
        if place not in chosen:
            chosen.append(place)
            nearest = np.minimum(nearest, np.linalg.norm(points - points[place], axis=1))
            nearest[place] = -np.inf  # not again, even where others lie at the same point
    return [front.records[place] for place in chosen]


def leaders(store: RecordStore, setup: Setup, count: int) -> list[Record]:
    """The networks of greatest merit in a run's only objective, best first; of equals the earliest alone.

    Equal merits are nearly always siblings that differ in what the score does not see, and would train alike.
    Of a run with several objectives there is no order: as many are spread along its front.

    Args:
        store: The records.
        setup: Of their run, `refer`red to its reference sample.
        count: How many; all feasible ones if there are no more.

    Raises:
        UsageError: Fewer than one is asked for.
        RunError: No record is feasible.
    """
    if count < 1:
        raise UsageError(f"the {count} best; expected a whole number of at least 1")
    first, *others = setup.objectives.objectives
    if others:
        return spread(front_of(store, setup), count)
    earliest: dict[float, int] = {}
    for one in store:
        if one.status == "ok":
            earliest.setdefault(first.merit(one.scores), one.number)
    found = [store.read(earliest[merit]) for merit in nlargest(count, earliest)]
    if not found:
        raise RunError("no record is feasible; loosen the bounds or raise the budget")
    return found


def picked(
    store: RecordStore,
    setup: Setup,
    texts: Sequence[str] = (),
    top: int | None = None,
    over: Sequence[Objective] | Front | None = None,
    best: int | None = None,
) -> list[Record]:
    """The records that somebody names, each once, in the order they are named.

    Args:
        store: The records.
        setup: Of their run, `refer`red to its reference sample.
        texts: Each "knee", "best" or a record's number.
        top: Also so many spread along the front.
        over: The front, or its objectives; the run's default ones if not given.
        best: Also so many of its `leaders`.

    Raises:
        UsageError: Nothing is named, or something that is no feasible record.
        RunError: No record is feasible.
    """
    if not texts and top is None and best is None:
        raise UsageError("no candidate is picked; expected knee, best, a record's number, or how many of the front")
    front = over if isinstance(over, Front) else None
    objectives = None if isinstance(over, Front) else over
    found: list[Record] = []
    for text in texts:
        if text == "best":
            found.append(best_record(store, setup))
        elif text == "knee":
            front = front or front_of(store, setup, objectives)
            found.append(knee(front))
        else:
            found.append(_numbered(store, text))
    if top is not None:
        found += spread(front or front_of(store, setup, objectives), top)
    if best is not None:
        found += leaders(store, setup, best)
    return list({record.number: record for record in found}.values())


def _numbered(store: RecordStore, text: str) -> Record:
    if not (text.isdecimal() and len(text) < 20):
        if text.lstrip("-").isdecimal():
            raise UsageError(f"pick {text[:40]!r}; expected a record's number, from 0")
        raise UnknownName("pick", text[:40], (*_WORDS, "NUMBER"))
    record = store.read(int(text))
    if record.status != "ok":
        raise UsageError(
            f"record {text} is {record.status}: {record.reason}; expected a feasible one, such as those that "
            "`engine front` shows"
        )
    return record


def _scaled(front: Front) -> NDArray[np.float64]:
    """(members, objectives) of [0, 1], 1 the best of the front; without objectives in which all are equal."""
    if not front.records:
        raise RunError("the front is empty: no record is feasible; loosen the bounds or raise the budget")
    signs = [1.0 if objective.direction == "max" else -1.0 for objective in front.objectives]
    values = np.array(
        [
            [sign * objective.value(record.scores) for sign, objective in zip(signs, front.objectives, strict=True)]
            for record in front.records
        ]
    )
    low, high = values.min(axis=0), values.max(axis=0)
    varied = high > low
    scaled: NDArray[np.float64] = (values[:, varied] - low[varied]) / (high - low)[varied]
    return scaled


def _knee(points: NDArray[np.float64]) -> int:
    """Place of the knee among (members, objectives) of `_scaled`."""
    if points.shape[1] < 2:
        return 0  # no objective: all are equal; one: a front has only its best
    if points.shape[1] == 2:
        quality = points.sum(axis=1)  # rises with the distance from the line between (1, 0) and (0, 1)
    else:
        quality = -np.linalg.norm(1 - points, axis=1)
    between = ~(points == 1).any(axis=1)
    if between.any():
        quality[~between] = -np.inf
    return int(quality.argmax())
