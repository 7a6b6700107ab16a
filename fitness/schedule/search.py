"""Any stretch at all: a best-first search over sets of steps that explores a single move where it may."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field

from fitness.schedule.stretches import NEVER, Bounds, Step, Stretch

FORWARD, REVERSED = 0, 1


@dataclass(slots=True, eq=False)
class _Item:
    """A step as the search sees it; sets of steps are bit masks.

    Attributes:
        bit: The mask of this step alone.
        grows: Bytes of its output less those of the inputs that only it reads.
        above: Bytes on top of the live ones while it runs.
        shared: Readers and bytes of those of its inputs that others read too.
        rivals: Readers of an input that it overwrites if it happens to be the last of them.
        blockers: The steps that must go before it, FORWARD and REVERSED.
        following: The step to go on with after it in a row, FORWARD and REVERSED.
    """

    bit: int
    grows: int
    above: int
    shared: list[tuple[int, int]] = field(default_factory=list)
    rivals: list[int] = field(default_factory=list)
    blockers: list[int] = field(default_factory=lambda: [0, 0])
    following: list[_Item | None] = field(default_factory=lambda: [None, None])

    def move(self, direction: int, state: int, live: int) -> tuple[int, int]:
        """Return the bytes during and after this step goes from `state`, which has `live` bytes."""
        if direction == REVERSED:
            after = live - self.grows
            for readers, size in self.shared:
                if readers & state == readers:
                    after += size
            return after + self.above, after
        state ^= self.bit
        after = live + self.grows
        for readers, size in self.shared:
            if not readers & state:
                after -= size
        overwrites = any(not readers & state for readers in self.rivals)
        return live + (0 if overwrites else self.above), after


def items_of(steps: Sequence[Step], last: list[int], stretch: Stretch) -> list[_Item]:
    """Return the items of a stretch in the given order."""
    items: dict[int, _Item] = {}
    ancestors: dict[int, int] = {}
    bits = {index: 1 << place for place, index in enumerate(stretch.members)}
    masks = {tensor: sum(bits[reader] for reader in use) for tensor, use in stretch.readers.items()}
    for index, bit in bits.items():
        inputs, size, in_place = steps[index]
        item = items[index] = _Item(bit, size if last[index] >= 0 else 0, size)
        producers = [items[tensor] for tensor in set(inputs) if tensor in items]
        if len(producers) == 1:
            item.following[REVERSED] = producers[0]
        for producer in producers:
            item.blockers[FORWARD] |= producer.bit
            producer.following[FORWARD] = None if producer.blockers[REVERSED] else item
            producer.blockers[REVERSED] |= bit
        for tensor in set(inputs) & masks.keys():
            if masks[tensor] == bit:
                item.grows -= steps[tensor].size
            else:
                item.shared.append((masks[tensor], steps[tensor].size))
        ancestors[index] = bit
        for tensor in set(inputs) & items.keys():
            ancestors[index] |= ancestors[tensor]
        item.rivals = [masks[tensor] for tensor in in_place if tensor in masks]
        if any(not readers & ~ancestors[index] for readers in item.rivals):
            item.above, item.rivals = 0, []  # it is always the last of them
    return list(items.values())


def search(items: list[_Item], stretch: Stretch, bound: int, max_states: int) -> Bounds:
    """Return the least peak of at least `bound` of any stretch, by a best-first search on the bottleneck.

    A state is the set of steps that have yet to go. They go in reversed time, where a tensor with many
    readers is paid for by the first one, so that most moves after it lower the bytes; but forward if some
    step has rivals. The live bytes f as a function of the set S of the steps that have gone are the cut
    function of a directed hypergraph (tail: producer, heads: readers), hence submodular:
    f(A | B) + f(A & B) <= f(A) + f(B). With each step split into "allocate the output" and "free the
    inputs" the bytes during a step are values of f as well.

    Let b be the bottleneck so far (states leave the queue in its order), Q a way from S to the end within b
    through sets Q_k, and a *row* a sequence of steps that each become available by the one before, so that
    the closed sets between S and a place T on the row are its places. Two rules:

    * Commit. If T is the first place of a row, reached within b, with f(T) <= f(S), only T is explored:
      T is a minimum of f on its row, so f(Q_k | T) <= f(Q_k) + f(T) - f(Q_k & T) <= f(Q_k), and Q can be
      led through T.
    * Jump. Otherwise each row is one move, to its lowest place within b: a Q whose first step is that of
      the row can be led through that place by the same inequality, for Q_k & T is a place past S for k > 0.

    Both hold with rivals in forward time: more steps have run at Q_k | T than at Q_k, so nothing that ran
    in place stops doing so. When b grows, a state without commit is expanded again.
    """
    direction = FORWARD if any(item.rivals for item in items) else REVERSED
    full = (1 << len(items)) - 1
    queue = [(bound, len(items), full, stretch.end if direction == REVERSED else stretch.start)]
    expanded: dict[int, int] = {}
    while queue:
        bound, _, state, live = heapq.heappop(queue)
        if not state:
            break
        if expanded.get(state, -1) >= bound:
            continue
        if len(expanded) >= max_states and state not in expanded:
            return Bounds(bound, stretch.peak, len(expanded))
        expanded[state] = bound
        moves = []
        later = NEVER  # the bound from which on this state has other moves
        for item in items:
            if item.bit & state and not item.blockers[direction] & state:
                place, lowest, more = _row(item, direction, state, live, bound)
                if lowest <= live:
                    moves, later = [(place, lowest)], NEVER
                    break
                if lowest < NEVER:
                    moves.append((place, lowest))
                later = min(later, more)
        for place, lowest in moves:
            if place not in expanded:
                heapq.heappush(queue, (bound, place.bit_count(), place, lowest))
        if later < NEVER:
            heapq.heappush(queue, (later, state.bit_count(), state, live))
    return Bounds(bound, bound, len(expanded))


def _row(first: _Item, direction: int, state: int, live: int, bound: int) -> tuple[int, int, int]:
    """Follow a row from `state`, which has `live` bytes, up to a commit or as far as `bound` allows.

    Returns:
        The place to move to, its bytes (NEVER if none fits), and the bound that would lead further.
    """
    item: _Item | None = first
    place, lowest, after = 0, NEVER, live
    while item and not item.blockers[direction] & state:
        during, after = item.move(direction, state, after)
        if during > bound:
            return place, lowest, during
        state ^= item.bit
        if after < lowest:
            place, lowest = state, after
        if after <= live:
            break
        item = item.following[direction]
    return place, lowest, NEVER
