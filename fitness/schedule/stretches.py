"""Steps, and the stretches between cuts that can be scheduled one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

NEVER = 1 << 100  # more bytes than any network holds


class Step(NamedTuple):
    """One operation, run whole, and the tensor it produces.

    Attributes:
        inputs: Indices of earlier steps, repeats allowed; `()` marks a network input, there from the start.
        size: Bytes of the output tensor; 0 leaves a network input out of the count.
        in_place: Inputs whose buffer the output may take over once all their other consumers have run.
    """

    inputs: tuple[int, ...]
    size: int
    in_place: tuple[int, ...] = ()


class Stretch(NamedTuple):
    """The steps between two cuts."""

    peak: int  # bytes in the given order: an upper bound
    members: list[int]
    start: int  # live bytes before the first member runs
    end: int  # live bytes after the last one
    readers: dict[int, list[int]]  # members that read a tensor, for tensors that are gone after the stretch


class Bounds(NamedTuple):
    """The least peak of a stretch lies in [proven, reached]."""

    proven: int
    reached: int
    states: int  # visited to find out


def stretches_of(
    steps: Sequence[Step], last: list[int], before: list[int], during: list[int]
) -> tuple[int, list[Stretch]]:
    """Return the peak of all cuts and the stretches between them.

    In a topological order a step is a cut if the steps ahead of it are its ancestors, that is, each has a
    consumer no later than it, and the steps behind it its descendants: each has an input no earlier.
    """
    count = len(steps)
    order = [index for index, step in enumerate(steps) if step.inputs]
    first_use = [count] * (count + 1)
    horizon = [count] * (count + 1)  # over the steps behind: the least of their latest inputs
    earliest = count
    for index in reversed(order):
        horizon[index] = earliest
        latest = -1
        for tensor in steps[index].inputs:
            first_use[tensor] = index
            if tensor > latest and steps[tensor].inputs:
                latest = tensor
        if latest < earliest:
            earliest = latest
    peak = unread = 0
    stretches = []
    members: list[int] = []
    for index in [*order, count]:
        if unread <= index <= horizon[index]:
            if members:
                readers: dict[int, list[int]] = {}
                for member in members:
                    for tensor in set(steps[member].inputs):
                        if last[tensor] < index:
                            readers.setdefault(tensor, []).append(member)
                worst = max([during[member] for member in members])
                stretches.append(Stretch(worst, members, before[members[0]], before[index], readers))
                members = []
            peak = max(peak, during[index])
        else:
            members.append(index)
        unread = max(unread, first_use[index])
    return peak, stretches
