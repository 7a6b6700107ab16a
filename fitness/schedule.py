"""The least peak of live activation bytes over every order in which a network's steps can run.

Owns the exact minimisation and its proofs. Knows only step indices and tensor bytes: nothing of layers,
shapes or the rule that decides which input a step may overwrite.

Three observations make it fast; each is proved where it is used.

1. A step comparable with every other step is a *cut*: the same steps have run before it in every order, so
   the bytes around it are a constant and the stretches between cuts are independent (`_stretches`).
2. A stretch of parallel chains hanging on one tensor has an almost closed form (`_Fork`).
3. In any other stretch the live bytes f are a submodular function of the set of finished steps,
   f(A | B) + f(A & B) <= f(A) + f(B), being the cut function of a directed hypergraph. Splitting a step in
   "allocate the output" and "free the inputs" makes its transient one more value of f. Hence single moves
   of a best-first search can be *committed*, with nothing else left to explore (`_Search`).

Minimising a cumulative cost: Abdel-Wahab and Kameda (1978), "Scheduling to minimize maximum cumulative cost
subject to series-parallel precedence constraints", doi:10.1287/opre.26.1.141; trees: Liu (1987), "An
application of generalized tree pebbling to sparse matrix factorization", doi:10.1137/0608031.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

NEVER = 1 << 200  # more bytes than any network holds


class Step(NamedTuple):
    """One operation, run whole, and the one tensor it produces.

    Attributes:
        inputs: Indices of earlier steps, repeats allowed; `()` marks a network input, there from the start.
        size: Bytes of the output tensor; 0 leaves a network input out of the count.
        in_place: Inputs whose buffer the output takes over once every other consumer of that input has run.
    """

    inputs: tuple[int, ...]
    size: int
    in_place: tuple[int, ...] = ()


class PeakMemory(NamedTuple):
    """Peak of the live bytes; `exact` is False when the state cap was hit and `bytes` is an upper bound."""

    bytes: int
    exact: bool


class _Stretch(NamedTuple):
    """Steps between two cuts, which have run when it starts and not when it ends."""

    peak: int  # bytes in the given order: an upper bound
    members: tuple[int, ...]
    end: int  # the cut that follows; a tensor whose last consumer is `end` or later outlives the stretch
    before: int  # live bytes when it starts
    after: int


def minimum_peak(steps: Sequence[Step], max_states: int = 200_000) -> PeakMemory:
    """Return the minimum over all topological orders of the maximum of live bytes.

    A tensor is live from its step until its last consumer has run; the tensor of the last step is kept to
    the end, one that nobody reads lives only while its step runs (as a network input: never). While a step
    runs, its inputs and its output are live, but an output that runs in place needs no bytes of its own.

    Args:
        steps: At least one step, in any topological order.
        max_states: Search states after which the rest of the search is given up; never a time limit.

    Returns:
        The peak in bytes. With `exact` False it is that of an order that exists, not of the best one.
    """
    last = [-1] * len(steps)
    for index, step in enumerate(steps):
        for tensor in step.inputs:
            last[tensor] = index
    last[-1] = len(steps)
    live = 0
    for step, use in zip(steps, last, strict=True):
        if not step.inputs and use >= 0:
            live += step.size
    peak = proven = live
    before = [0] * len(steps)
    during = [0] * len(steps)
    for index, (inputs, size, in_place) in enumerate(steps):
        if not inputs:
            continue
        before[index] = live
        running = live + size
        least = 0 if in_place else size
        for tensor in in_place:
            if last[tensor] == index:
                running = live
        if last[index] >= 0:
            live += size
        for tensor in inputs if len(inputs) == 1 else set(inputs):
            least += steps[tensor].size
            if last[tensor] == index:
                live -= steps[tensor].size
        during[index] = running = max(running, live)
        if running > peak:
            peak = running
        if least > proven:
            proven = least
    if live > proven:
        proven = live
    if peak == proven:
        return PeakMemory(peak, True)
    before.append(live)
    forced, stretches = _stretches(steps, before, during)
    proven = reached = max(proven, forced)
    left = max_states
    for stretch in sorted(stretches, reverse=True):
        if stretch.peak <= proven:
            reached = max(reached, stretch.peak)
            break
        bound, solved, used = _least_peak(steps, last, stretch, proven, left)
        left -= used
        proven = max(proven, bound)
        reached = max(reached, bound if solved else stretch.peak)
    reached = max(reached, proven)
    return PeakMemory(reached, reached == proven)


def _stretches(steps: Sequence[Step], before: list[int], during: list[int]) -> tuple[int, list[_Stretch]]:
    """Return the largest bytes during a cut and the stretches between cuts.

    In a topological order a step is a cut when all steps ahead of it are its ancestors (each has a consumer
    no later than the step) and all steps behind it its descendants (each has an input no earlier).
    """
    count = len(steps)
    first_use = [count] * count
    earliest_input = [0] * count  # over the steps behind: the least of their latest inputs
    lowest = count
    for index in range(count - 1, -1, -1):
        earliest_input[index] = lowest
        latest = -1
        for tensor in steps[index].inputs:
            first_use[tensor] = index
            if tensor > latest and steps[tensor].inputs:
                latest = tensor
        if steps[index].inputs and latest < lowest:
            lowest = latest
    forced = pending = 0
    stretches = []
    members: list[int] = []
    for index in range(count):
        if not steps[index].inputs:
            continue
        if pending <= index <= earliest_input[index]:
            forced = max(forced, during[index])
            if members:
                stretches.append(_stretch(members, index, before, during))
                members = []
        else:
            members.append(index)
        pending = max(pending, first_use[index])
    if members:
        stretches.append(_stretch(members, count, before, during))
    return forced, stretches


def _stretch(members: list[int], end: int, before: list[int], during: list[int]) -> _Stretch:
    return _Stretch(max(during[v] for v in members), tuple(members), end, before[members[0]], before[end])


def _least_peak(
    steps: Sequence[Step], last: list[int], stretch: _Stretch, proven: int, cap: int
) -> tuple[int, bool, int]:
    """Return the least peak of a stretch, or a lower bound; whether it is the former; the states visited."""
    readers: dict[int, list[int]] = {}
    for index in stretch.members:
        for tensor in set(steps[index].inputs):
            if last[tensor] < stretch.end:
                readers.setdefault(tensor, []).append(index)
    fork = _fork(steps, last, stretch, readers)
    if fork is not None:
        return fork.least_peak(proven, stretch.peak, cap)
    return _Search(steps, last, stretch, readers).least_peak(proven, cap)


@dataclass(slots=True)
class _Chain:
    """One of several parallel chains: what it holds at each place where pausing can be useful.

    Attributes:
        held: Bytes held at stop 0 (nothing has run), 1, ... (all has run).
        hill: Most bytes held on the way from stop j - 1 to stop j; hill[0] is 0.
    """

    held: list[int]
    hill: list[int] = field(default_factory=lambda: [0])

    def extend(self, hill: int, held: int, may_wait: bool) -> None:
        """Append a stop and drop the stops where nobody needs to pause.

        A pause is useless if going on is free (no higher hill, no more bytes held after it), or if waiting
        at the stop before costs nothing and the hill behind that is no higher than the one ahead. What is
        left falls towards one highest hill and rises behind it, with hills that do the opposite.
        """
        self.hill.append(hill)
        self.held.append(held)
        while len(self.held) > 2:
            go_on = self.hill[-1] <= self.hill[-2] and self.held[-1] <= self.held[-2]
            wait = self.hill[-2] <= self.hill[-1] and self.held[-3] <= self.held[-2]
            if not go_on and not (wait and (may_wait or len(self.held) > 3)):
                break
            self.hill[-2:] = [max(self.hill[-2:])]
            del self.held[-2]


def _fork(
    steps: Sequence[Step], last: list[int], stretch: _Stretch, readers: dict[int, list[int]]
) -> "_Fork | None":
    """Return the stretch as parallel chains of which all or none start from one tensor, or None."""
    shared = -1
    chains: list[_Chain] = []
    chain_of: dict[int, _Chain] = {}
    for index in stretch.members:
        inputs, size, in_place = steps[index]
        chain = None
        entry = 0
        first = False
        for tensor in inputs if len(inputs) == 1 else set(inputs):
            if tensor in chain_of:
                if chain is not None or len(readers.get(tensor, "")) != 1:
                    return None
                chain = chain_of[tensor]
            elif tensor in readers and steps[tensor].size:
                if len(readers[tensor]) == 1:
                    entry += steps[tensor].size
                elif shared in (-1, tensor):
                    shared = tensor
                    first = True
                else:
                    return None
        own = size
        for tensor in in_place:
            if tensor in readers:
                if len(readers[tensor]) > 1:
                    return None
                own = 0
        if chain is None:
            chain = _Chain([entry])
            chains.append(chain)
        elif entry or first:
            return None
        kept = size if last[index] >= 0 else 0
        chain.extend(max(chain.held[-1] + own, kept), kept, shared < 0)
        chain_of[index] = chain
    fixed = stretch.before - sum(chain.held[0] for chain in chains)
    if shared < 0:
        return _Fork(fixed, 0, chains)
    if len(readers[shared]) != len(chains) or any(chain.held[0] for chain in chains):
        return None
    return _Fork(fixed - steps[shared].size, steps[shared].size, chains)


class _Fork:
    """Parallel chains that all start from one shared tensor (or none does), solved in reversed time.

    Reversed, every chain goes from its last stop back to stop 0. Without a shared tensor f is a sum over
    chains, so its global minimum (each chain at its lowest stop) is a state that every order may be led
    through (see `_Search`), and from either side a chain comes down to it in drops. Some drop has to be the
    next one, and a drop is never regretted, so the cheapest goes first: that is `_descend`.

    A shared tensor appears when the first chain, the *opener*, goes back to stop 0. Given a bound b:

    * before that, drops that fit b are taken at once. The bytes can then only rise until the opener is
      through, so a chain with a drop that does not fit must wait for it;
    * a chain at its lowest stop may be *raised* towards stop 1, crossing hills early at the price of
      holding more. Of two raises in a row the one with the larger (hill - bytes held after it) may go
      first, so a set of raises has one order to test, and a subset of a feasible set is feasible;
    * after it every chain ends at 0 held bytes, whence the cheapest chain goes first. If chains are stuck,
      any better set of raises must raise one of the stuck ones: the first of them to move in that solution
      has at least as many bytes around it as now. And one that is stuck even alone must be raised itself.

    So the search is over sets of raises, of which only those that a stuck chain asks for are visited.
    """

    def __init__(self, fixed: int, shared: int, chains: list[_Chain]) -> None:
        """Set up chains on a tensor of `shared` bytes (0: none) beside `fixed` bytes of other tensors."""
        self.fixed = fixed
        self.shared = shared
        self.chains = chains
        first = 1 if shared else 0
        self.lowest = [chain.held.index(min(chain.held[first:]), first) for chain in chains]

    def least_peak(self, proven: int, reached: int, cap: int) -> tuple[int, bool, int]:
        """Return the least peak in [proven, reached], or a lower bound; whether exact; the states visited."""
        end = self.fixed + sum(chain.held[-1] for chain in self.chains)
        drops = []
        for name, (chain, lowest) in enumerate(zip(self.chains, self.lowest, strict=True)):
            held, hill = chain.held, chain.hill
            for stop in range(len(held) - 1, lowest, -1):
                drops.append((hill[stop] - held[stop], held[stop - 1] - held[stop], name))
        drops.sort()
        if not self.shared:
            forward = []
            for chain, lowest in zip(self.chains, self.lowest, strict=True):
                held, hill = chain.held, chain.hill
                for stop in range(lowest):
                    forward.append((hill[stop + 1] - held[stop], held[stop + 1] - held[stop], 0))
            forward.sort()
            start = self.fixed + sum(chain.held[0] for chain in self.chains)
            return max(proven, _descend(start, forward), _descend(end, drops)), True, 0
        self.drops = drops
        self.raises = sorted(
            (
                (chain.held[stop - 1] - chain.hill[stop], name, stop)
                for name, chain in enumerate(self.chains)
                for stop in range(self.lowest[name], 1, -1)
            )
        )
        self.left = cap
        probes = 0
        while proven < reached and self.left >= 0:
            bound = proven if probes < 3 else (proven + reached) // 2
            peak = self._probe(bound, end)
            if peak <= bound:
                reached = max(peak, proven)
            else:
                proven = peak
            probes += 1
        return proven, self.left >= 0, cap - max(self.left, 0)

    def _probe(self, bound: int, live: int) -> int:
        """Return the peak of an order that keeps within `bound`, else the least bound that may allow one."""
        top = [len(chain.held) - 1 for chain in self.chains]
        missing = NEVER
        peak = live
        taken = 0
        for need, change, name in self.drops:
            if live + need > bound:
                missing = live + need
                break
            peak = max(peak, live + need)
            live += change
            top[name] -= 1
            taken += 1
        for opener, chain in enumerate(self.chains):
            if self.chains.index(chain) < opener:
                continue  # as good as its twin
            least = self._open(bound, live, top, opener, self.drops[taken:])
            if least <= bound:
                return max(peak, least)
            missing = min(missing, least)
        return missing

    def _open(
        self, bound: int, live: int, top: list[int], opener: int, drops: list[tuple[int, int, int]]
    ) -> int:
        """Return what `_probe` does, for one opener and from the state after the first drops."""
        chains, lowest, base = self.chains, self.lowest, self.fixed + self.shared
        missing = NEVER
        stops = list(top)
        for name, chain in enumerate(chains):
            while name != opener and base + chain.hill[stops[name]] > bound:
                missing = min(missing, base + chain.hill[stops[name]])
                if not 1 < stops[name] <= lowest[name]:
                    return missing
                stops[name] -= 1
        todo = [tuple(stops)]
        seen = set(todo)
        while todo:
            if self.left <= 0:
                self.left = -1
                return bound + 1
            self.left -= 1
            state = todo.pop()
            needed = self._opening(bound, live, top, state, opener)
            if needed > bound:
                missing = min(missing, needed)
                continue
            rest = base
            falls = [drop for drop in drops if drop[2] != opener]
            for name, (chain, stop) in enumerate(zip(chains, state, strict=True)):
                if name != opener:
                    rest += chain.held[stop]
                    final = min(stop, lowest[name])
                    need = chain.hill[final] - chain.held[final]
                    if stop > final:  # its drops come first and may need more
                        need = max(need, chain.hill[final + 1] - chain.held[final + 1])
                    falls.append((need, -chain.held[final], name))
            falls.sort()
            peak = needed
            for place, (need, change, _) in enumerate(falls):
                if rest + need > bound:
                    missing = min(missing, rest + need)
                    break
                peak = max(peak, rest + need)
                rest += change
            else:
                return peak
            twins: list[tuple[int, _Chain]] = []
            for _, _, name in falls[place:]:
                twin = state[name], chains[name]
                if 1 < state[name] <= lowest[name] and twin not in twins:
                    twins.append(twin)
                    further = (*state[:name], state[name] - 1, *state[name + 1 :])
                    if further not in seen:
                        seen.add(further)
                        todo.append(further)
        return missing

    def _opening(self, bound: int, live: int, top: list[int], stops: tuple[int, ...], opener: int) -> int:
        """Return the bytes needed to raise the chains from `top` to `stops` and run the opener back to 0."""
        least = NEVER
        chain = self.chains[opener]
        for stop in range(top[opener], 0, -1):
            target = (*stops[:opener], stop, *stops[opener + 1 :])
            rest = live
            needed = 0
            for _, name, here in self.raises:
                if target[name] < here <= top[name]:
                    held = self.chains[name].held
                    needed = max(needed, rest - held[here] + self.chains[name].hill[here])
                    rest += held[here - 1] - held[here]
            rest -= chain.held[stop]
            needed = max(needed, rest + max(chain.hill[2 : stop + 1], default=0))
            needed = max(needed, rest + self.shared + chain.hill[1])
            least = min(least, needed)
            if least <= bound or stop > self.lowest[opener]:
                break
        return least


def _descend(live: int, drops: list[tuple[int, int, int]]) -> int:
    """Return the peak of taking drops (bytes needed on top, change, name), sorted, from `live` bytes."""
    peak = live
    for need, change, _ in drops:
        peak = max(peak, live + need)
        live += change
    return peak


@dataclass(slots=True, eq=False)
class _Item:
    """A step inside a search; sets of steps are bit masks.

    Attributes:
        bit: The mask of this step alone.
        grows: Bytes of its output less those of the inputs that only it reads.
        above: Bytes while it runs above those before it.
        shared: Readers and bytes of its inputs that others read too.
        rivals: Readers of the inputs it may overwrite, where the order decides whether it can.
        blockers: Steps that must go ahead of it, forward and reversed.
        following: The step that goes next in a row of single-input, single-reader steps, either way.
    """

    bit: int
    grows: int = 0
    above: int = 0
    shared: list[tuple[int, int]] = field(default_factory=list)
    rivals: list[int] = field(default_factory=list)
    blockers: list[int] = field(default_factory=lambda: [0, 0])
    following: "list[_Item | None]" = field(default_factory=lambda: [None, None])


FORWARD, REVERSED = 0, 1


class _Search:
    """Best-first search for the order of the lowest bottleneck through any stretch.

    A state is the set of steps that remain, in the direction of the search. That is reversed time, where a
    tensor that many steps read is paid by the first of them, so that most later moves go down; it is
    forward time if some overwriting depends on the order, as only the rules marked (*) hold then: to
    overwrite gets easier, never harder, the more steps have run.

    Below, b is the bottleneck so far (states leave the queue in the order of b); S is the set of steps that
    have gone; Q is any feasible order from S, with states Q_k; a row from S is steps of which each becomes
    available by the one before it, so that the closed sets between S and a place T on it are its places.

    * Commit (*). If a row reaches f(T) <= f(S) within b, at its first such place T, only T need be explored.
      T is a minimum of f over [S, T], so f(Q_k | T) <= f(Q_k) + f(T) - f(Q_k & T) <= f(Q_k): Q can be led
      through T.
    * Jump (*). Otherwise, if the first step of Q is the first of a row, then by the same inequality Q can go
      straight to the lowest place T of the row that is within b. So every row is one move.
    * Whole. If every change along the row up to the first f(T) <= f(S) is the same from all later states
      (no shared tensor can change it), its steps can be gathered at the moment when the rest is at its
      lowest. So the row is one move, or none if it does not fit b.
    * Way out. Without a commit, all places within such an unchanging part lie above f(S). Until some row is
      through that part the bytes only rise, hence S is dead unless a row can do so now within b.
    * Clamp. Commits from the far end give a set that any order can be led through as well (* for the near
      end); by the inequality, states can be cut down to the span between both sets.
    """

    def __init__(
        self, steps: Sequence[Step], last: list[int], stretch: _Stretch, readers: dict[int, list[int]]
    ) -> None:
        """Build the items of a stretch from the steps and the readers of what does not outlive it."""
        items = {index: _Item(1 << place) for place, index in enumerate(stretch.members)}
        masks = {tensor: sum(items[reader].bit for reader in use) for tensor, use in readers.items()}
        ancestors: dict[int, int] = {}
        for index, item in items.items():
            inputs, size, in_place = steps[index]
            item.above = size
            item.grows = size if last[index] >= 0 else 0
            older = 0
            producers = []
            for tensor in set(inputs):
                if tensor in items:
                    producers.append(items[tensor])
                    older |= ancestors[tensor] | items[tensor].bit
                    items[tensor].blockers[REVERSED] |= item.bit
                if masks.get(tensor) == item.bit:
                    item.grows -= steps[tensor].size
                elif tensor in masks:
                    item.shared.append((masks[tensor], steps[tensor].size))
            ancestors[index] = older
            item.blockers[FORWARD] = sum(producer.bit for producer in producers)
            if len(producers) == 1:
                item.following[REVERSED] = producers[0]
            for tensor in in_place:
                if tensor in masks and not masks[tensor] & ~(older | item.bit):
                    item.above = 0
                    item.rivals = []
                    break
                if tensor in masks:
                    item.rivals.append(masks[tensor])
        for item in items.values():
            readers_of_item = [other for other in items.values() if other.blockers[FORWARD] & item.bit]
            if len(readers_of_item) == 1:
                item.following[FORWARD] = readers_of_item[0]
        self.items = list(items.values())
        self.full = (1 << len(items)) - 1
        self.start, self.end = stretch.before, stretch.after
        self.direction = FORWARD if any(item.rivals for item in self.items) else REVERSED

    def least_peak(self, bound: int, cap: int) -> tuple[int, bool, int]:
        """Return the least peak of at least `bound`, or a lower bound; whether exact; the states visited."""
        here, there = self.direction, 1 - self.direction
        ends = (self.start, self.end)
        items = self.items if here == FORWARD else self.items[::-1]
        near = far = self.full, ends[here]
        far = self.full, ends[there]
        goal = 0
        clamped = -1
        queue = [(bound, self.full.bit_count(), self.full, ends[here])]
        expanded: dict[int, int] = {}
        while True:
            bound, _, state, live = heapq.heappop(queue)
            if bound > clamped:
                clamped = bound
                near = self._commit(items, here, *near, bound, goal)
                if here == REVERSED:
                    far = self._commit(self.items, there, *far, bound, self.full & ~near[0])
                    goal = self.full & ~far[0]
            if state != state & near[0] | goal:
                state = state & near[0] | goal
                live = self._live(state)
            if state == goal:
                return bound, True, len(expanded)
            if expanded.get(state, -1) >= bound:
                continue
            if len(expanded) >= cap and state not in expanded:
                return bound, False, cap
            expanded[state] = bound
            moves = []
            later = way_out = NEVER
            for item in items:
                if item.bit & state & ~goal and not item.blockers[here] & state:
                    place, lowest, more, through = self._row(item, here, state, live, bound, goal)
                    if lowest <= live:
                        moves = [(place, lowest)]
                        later, way_out = NEVER, bound
                        break
                    if lowest < NEVER:
                        moves.append((place, lowest))
                    later = min(later, more)
                    way_out = min(way_out, through)
            if way_out > bound:
                moves, later = [], way_out
            for place, lowest in moves:
                if place not in expanded:
                    heapq.heappush(queue, (bound, place.bit_count(), place, lowest))
            if later < NEVER:
                heapq.heappush(queue, (later, state.bit_count(), state, live))

    def _move(self, item: _Item, direction: int, state: int, live: int) -> tuple[int, int]:
        """Return the bytes during and after `item` goes from a state with `live` bytes."""
        if direction == REVERSED:
            after = live - item.grows
            for readers, size in item.shared:
                if readers & state == readers:
                    after += size
            return after + item.above, after
        state ^= item.bit
        after = live + item.grows
        for readers, size in item.shared:
            if not readers & state:
                after -= size
        for readers in item.rivals:
            if not readers & state:
                return max(live, after), after
        return max(live + item.above, after), after

    def _row(
        self, first: _Item, direction: int, state: int, live: int, bound: int, goal: int
    ) -> tuple[int, int, int, int]:
        """Follow the row that starts with `first`.

        Returns:
            The place to move to and its bytes (NEVER if there is none within the bound), the bound from
            which on the answer is another, and the bound that gets through the part that never changes.
        """
        item: _Item | None = first
        place, lowest = 0, NEVER
        more = NEVER
        through = -1
        after, peak = live, 0
        while item is not None and item.bit & ~goal and not item.blockers[direction] & state:
            if through < 0 and direction == REVERSED:
                unchanging = all(readers & state != readers for readers, _ in item.shared)
            else:
                unchanging = False
            during, after = self._move(item, direction, state, after)
            peak = max(peak, during)
            state ^= item.bit
            if through < 0 and not unchanging:
                through = peak
            if peak <= bound:
                if after <= live:
                    return state, after, NEVER, peak
                if after < lowest:
                    place, lowest = state, after
            else:
                more = min(more, peak)
                if through >= 0:
                    break
                if after <= live:
                    return 0, NEVER, peak, peak
            item = item.following[direction]
        return place, lowest, more, peak if through < 0 else through

    def _commit(
        self, items: list[_Item], direction: int, state: int, live: int, bound: int, goal: int
    ) -> tuple[int, int]:
        """Return the state and its bytes after all commits in one direction."""
        moved = True
        while moved:
            moved = False
            for item in items:
                if item.bit & state & ~goal and not item.blockers[direction] & state:
                    place, lowest, _, _ = self._row(item, direction, state, live, bound, goal)
                    if lowest <= live:
                        state, live, moved = place, lowest, True
        return state, live

    def _live(self, state: int) -> int:
        """Return the live bytes of a state of the search."""
        done = state if self.direction == REVERSED else self.full ^ state
        live = self.start
        remaining = self.full
        for item in self.items:
            if item.bit & done:
                live = self._move(item, FORWARD, remaining, live)[1]
                remaining ^= item.bit
        return live
