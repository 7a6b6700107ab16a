"""The least peak of a whole network: bounds first, then only the stretches that can still raise it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from fitness.schedule.fork import fork_of
from fitness.schedule.search import items_of, search
from fitness.schedule.stretches import Step, stretches_of


class PeakMemory(NamedTuple):
    """Peak of the live bytes; `exact` is False if the state cap was hit and `bytes` is an upper bound."""

    bytes: int
    exact: bool


def minimum_peak(steps: Sequence[Step], max_states: int = 200_000) -> PeakMemory:
    """Return the minimum over all topological orders of the maximum of live bytes.

    A tensor is live from its step until its last consumer has run. The last step is the network's output,
    kept to the end; the tensor of any other step without consumers is live only while that step runs (and
    never if it is a network input). A step needs the bytes live before it plus those of its output, or no
    more than those before it if it runs in place.

    Args:
        steps: The steps in any topological order, at least one.
        max_states: Search states to visit before settling for an upper bound; never a time limit.

    Returns:
        The peak in bytes, and whether it is exact or that of an order that exists but may not be the best.
    """
    last = [-1] * len(steps)
    for index, step in enumerate(steps):
        for tensor in step.inputs:
            if not 0 <= tensor < index:
                raise ValueError(f"step {index} reads {tensor}; expected an earlier step: sort topologically")
            last[tensor] = index
    last[-1] = len(steps)
    live = sum(step.size for step, use in zip(steps, last, strict=True) if use >= 0 and not step.inputs)
    peak = proven = live
    before = [live] * (len(steps) + 1)
    during = [0] * (len(steps) + 1)
    for index, (inputs, size, in_place) in enumerate(steps):
        if not inputs:
            continue
        before[index] = live
        needed = live + size
        for tensor in in_place:
            if last[tensor] == index:
                needed = live
        least = 0 if in_place else size
        if last[index] >= 0:
            live += size
        for tensor in inputs if len(inputs) == 1 else set(inputs):
            least += steps[tensor].size
            if last[tensor] == index:
                live -= steps[tensor].size
        during[index] = needed = max(needed, live)
        if needed > peak:
            peak = needed
        if least > proven:
            proven = least
    before[-1] = live
    proven = max(proven, live)
    if peak == proven:
        return PeakMemory(peak, True)
    cut_peak, stretches = stretches_of(steps, last, before, during)
    proven = reached = max(proven, cut_peak)
    for stretch in sorted(stretches, reverse=True):  # the worst first: it may settle the others
        if stretch.peak > proven:
            fork = fork_of(steps, last, stretch)
            if fork:
                bounds = fork.solve(proven, stretch.peak, max_states)
            else:
                bounds = search(items_of(steps, last, stretch), stretch, proven, max_states)
            max_states -= bounds.states
            proven = max(proven, bounds.proven)
            reached = max(reached, bounds.reached)
    reached = max(reached, proven)
    return PeakMemory(reached, reached == proven)
