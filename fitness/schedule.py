"""The least peak of live activation bytes over all orders in which the steps of a network can run.

Owns the exact minimisation and its proofs. Knows step indices and bytes only: nothing of layers or shapes,
nor of the rule that says which input a step may overwrite.

Three things make it fast enough for every candidate of a search; the proofs stand where they are used.

1. A step comparable with every other one is a *cut*: what has run before it is the same in every order, so
   the bytes around it are known and the stretches between cuts are independent (`_stretches`).
2. Parallel chains, with or without one tensor that all of them start from, are nearly solved by sorting
   (`_Fork`).
3. Elsewhere a best-first search explores a single move where submodularity allows it (`_search`).

Sorting is due to H. M. Abdel-Wahab and T. Kameda (1978), "Scheduling to minimize maximum cumulative cost
subject to series-parallel precedence constraints", Operations Research 26(1), doi:10.1287/opre.26.1.141,
and J. W. H. Liu (1987), "An application of generalized tree pebbling to sparse matrix factorization", SIAM
J. Algebraic Discrete Methods 8(3), doi:10.1137/0608031. Differs from both: tensors with several readers.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

FORWARD, REVERSED = 0, 1
NEVER = 1 << 100  # more bytes than any network holds
_Drop = tuple[int, int, int]  # (bytes needed on top of the live ones, change of these, chain)


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


class PeakMemory(NamedTuple):
    """Peak of the live bytes; `exact` is False if the state cap was hit and `bytes` is an upper bound."""

    bytes: int
    exact: bool


class _Stretch(NamedTuple):
    """The steps between two cuts."""

    peak: int  # bytes in the given order: an upper bound
    members: list[int]
    start: int  # live bytes before the first member runs
    end: int  # live bytes after the last one
    readers: dict[int, list[int]]  # members that read a tensor, for tensors that are gone after the stretch


class _Bounds(NamedTuple):
    """The least peak of a stretch lies in [proven, reached]."""

    proven: int
    reached: int
    states: int  # visited to find out


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
        The peak in bytes.
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
    cut_peak, stretches = _stretches(steps, last, before, during)
    proven = reached = max(proven, cut_peak)
    for stretch in sorted(stretches, reverse=True):  # the worst first: it may settle the others
        if stretch.peak > proven:
            fork = _fork(steps, last, stretch)
            if fork:
                bounds = fork.solve(proven, stretch.peak, max_states)
            else:
                bounds = _search(_items(steps, last, stretch), stretch, proven, max_states)
            max_states -= bounds.states
            proven = max(proven, bounds.proven)
            reached = max(reached, bounds.reached)
    reached = max(reached, proven)
    return PeakMemory(reached, reached == proven)


def _stretches(
    steps: Sequence[Step], last: list[int], before: list[int], during: list[int]
) -> tuple[int, list[_Stretch]]:
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
                stretches.append(_Stretch(worst, members, before[members[0]], before[index], readers))
                members = []
            peak = max(peak, during[index])
        else:
            members.append(index)
        unread = max(unread, first_use[index])
    return peak, stretches


@dataclass(slots=True)
class _Chain:
    """One of several parallel chains, reduced to the stops where it may pay to pause it.

    Attributes:
        held: Bytes held at stop 0 (nothing has run), 1, ... (everything has run).
        hill: Most bytes held between the stop before and this one; 0 for stop 0.
    """

    held: list[int]
    hill: list[int] = field(default_factory=lambda: [0])

    def extend(self, hill: int, held: int, may_wait: bool) -> None:
        """Append a stop and drop the stops where pausing never pays.

        Going on is free if the hill ahead is no higher than the one behind and no more is held after it. If
        no less is held here than one stop before, waiting there for the hill ahead is free unless the hill
        behind is higher; from stop 0 only if that `may_wait`, leaving all inputs alive. What remains falls
        to its lowest stop over ever higher hills and then rises over ever lower ones.
        """
        self.held.append(held)
        self.hill.append(hill)
        while len(self.held) > 2:
            go_on = self.hill[-1] <= self.hill[-2] and self.held[-1] <= self.held[-2]
            wait = self.hill[-2] <= self.hill[-1] and self.held[-3] <= self.held[-2]
            if not go_on and not (wait and (may_wait or len(self.held) > 3)):
                break
            self.hill[-2:] = [max(self.hill[-2:])]
            del self.held[-2]


def _fork(steps: Sequence[Step], last: list[int], stretch: _Stretch) -> "_Fork | None":
    """Return the stretch as parallel chains if it is that and all or none start from a shared tensor."""
    readers = stretch.readers
    shared = -1
    chains: list[_Chain] = []
    chain_of: dict[int, _Chain] = {}
    for index in stretch.members:
        inputs, size, in_place = steps[index]
        chain = None
        starts = False
        private = 0
        for tensor in inputs if len(inputs) == 1 else set(inputs):
            if tensor in chain_of:
                if chain or tensor not in readers or len(readers[tensor]) > 1:
                    return None
                chain = chain_of[tensor]
            elif tensor in readers and steps[tensor].size:
                if len(readers[tensor]) == 1:
                    private += steps[tensor].size
                elif shared in (-1, tensor):
                    shared = tensor
                    starts = True
                else:
                    return None
        overwrites = [tensor for tensor in in_place if tensor in readers]
        if any(len(readers[tensor]) > 1 for tensor in overwrites) or (chain and (private or starts)):
            return None
        if not chain:
            chain = _Chain([private])
            chains.append(chain)
        chain_of[index] = chain
        kept = size if last[index] >= 0 else 0
        chain.extend(chain.held[-1] + (0 if overwrites else size), kept, shared < 0)
    bytes_at_start = sum(chain.held[0] for chain in chains)
    if shared < 0:
        return _Fork(chains, stretch.start - bytes_at_start, 0)
    if bytes_at_start or len(readers[shared]) < len(chains):
        return None
    return _Fork(chains, stretch.start - steps[shared].size, steps[shared].size)


class _Fork:
    """Parallel chains between two cuts, solved in reversed time: all go from their last stop to stop 0.

    Without a shared tensor the live bytes are a sum over chains. Each order may be led through the state of
    least bytes, each chain at its lowest stop (the first rule of `_search`), and from both ends each chain
    gets there by drops. Some drop must be the next one and a drop is never regretted, so the one that needs
    the least goes first; within a chain the needs increase, so sorting all of them is enough.

    A shared tensor comes to life when the first chain, the *opener*, goes back to stop 0. For a bound b:

    * Before that, drops that fit b are taken at once. From then on the bytes rise until the opener is
      through, so what does not fit waits for that.
    * Meanwhile a chain at its lowest stop may be *raised* towards stop 1: it holds more, having its highest
      hills behind it. Of two raises in a row, that with the larger (hill - bytes held after) may go first,
      so a set of raises has one order to try, and if that fits b so does any subset.
    * After it no chain can change what another needs and all end with nothing held: again by sorting. If
      some get stuck, every set of raises that succeeds and contains the present one raises one of these
      further: the first of them to move then has at least as many bytes around it as now. One that would be
      stuck even alone has to be raised in any case.

    So sets of raises are grown, opener by opener, only where a chain is stuck (choosing them is a knapsack
    problem, hence the cap), and b is found by bisection.
    """

    def __init__(self, chains: list[_Chain], fixed: int, shared: int) -> None:
        self.chains = chains
        self.fixed = fixed  # bytes that live through the stretch
        self.shared = shared  # bytes of the shared tensor, 0 if there is none
        self.left = 0  # states that may still be visited
        self.twins: list[int] = []  # the first chain that is equal
        self.lowest: list[int] = []
        self.drops: list[_Drop] = []
        self.raises: list[tuple[int, int, int]] = []  # (bytes held after it less hill, chain, stop)
        for name, chain in enumerate(chains):
            held, hill = chain.held, chain.hill
            low = held.index(min(held[1:] if shared else held), 1 if shared else 0)
            self.lowest.append(low)
            for stop in range(len(held) - 1, low, -1):
                self.drops.append((hill[stop] - held[stop], held[stop - 1] - held[stop], name))
            for stop in range(low, 1, -1):
                self.raises.append((held[stop - 1] - hill[stop], name, stop))
        self.drops.sort()
        self.raises.sort()

    def solve(self, proven: int, reached: int, max_states: int) -> _Bounds:
        """Return the least peak, of which it is known to lie in [proven, reached] or below."""
        end = self.fixed + sum(chain.held[-1] for chain in self.chains)
        if not self.shared:
            forward = []
            for chain, low in zip(self.chains, self.lowest, strict=True):
                for stop in range(low):
                    before, after = chain.held[stop : stop + 2]
                    forward.append((chain.hill[stop + 1] - before, after - before, 0))
            start = self.fixed + sum(chain.held[0] for chain in self.chains)
            peaks = _fall(start, sorted(forward), NEVER)[1], _fall(end, self.drops, NEVER)[1]
            return _Bounds(max(proven, *peaks), max(proven, *peaks), 0)
        self.twins = [self.chains.index(chain) for chain in self.chains]
        self.left = max_states
        probes = 0
        while proven < reached:
            bound = proven if probes < 3 else (proven + reached) // 2
            needed = self._probe(bound, end)
            if self.left < 0:
                break
            if needed <= bound:
                reached = max(needed, proven)
            else:
                proven = needed
            probes += 1
        return _Bounds(proven, reached, max_states - self.left)

    def _probe(self, bound: int, end: int) -> int:
        """Return the peak of an order within `bound`, else the least bound that lets anything more happen."""
        taken, peak, live = _fall(end, self.drops, bound)
        missing = NEVER if taken == len(self.drops) else live + self.drops[taken][0]
        top = [len(chain.held) - 1 for chain in self.chains]
        for _, _, name in self.drops[:taken]:
            top[name] -= 1
        for opener, twin in enumerate(self.twins):
            if twin == opener:  # else it would fail like its twin
                needed = self._grow(bound, live, top, self.drops[taken:], opener)
                if needed <= bound:
                    return max(peak, needed)
                missing = min(missing, needed)
        return missing

    def _grow(self, bound: int, live: int, top: list[int], waiting: list[_Drop], opener: int) -> int:
        """Return what `_probe` does, for one opener: chains stand at `top`, some drops still `waiting`."""
        chains, lowest, base = self.chains, self.lowest, self.fixed + self.shared
        missing = NEVER
        stops = list(top)
        for name, chain in enumerate(chains):
            while name != opener and base + chain.hill[stops[name]] > bound:  # stuck even alone
                missing = min(missing, base + chain.hill[stops[name]])
                if not 1 < stops[name] <= lowest[name]:
                    return missing
                stops[name] -= 1
        todo = [tuple(stops)]
        seen = set(todo)
        while todo and self.left >= 0:
            self.left -= 1
            state = todo.pop()
            opening = self._opening(bound, live, top, state, opener)
            if opening > bound:
                missing = min(missing, opening)
                continue
            rest = base
            falls = [drop for drop in waiting if drop[2] != opener]
            for name, (chain, stop) in enumerate(zip(chains, state, strict=True)):
                if name != opener:
                    rest += chain.held[stop]
                    low = min(stop, lowest[name])
                    need = chain.hill[low] - chain.held[low]
                    if stop > low:  # its drops go first and may need more
                        need = max(need, chain.hill[low + 1] - chain.held[low + 1])
                    falls.append((need, -chain.held[low], name))
            falls.sort()
            taken, peak, rest = _fall(rest, falls, bound)
            if taken == len(falls):
                return max(opening, peak)
            missing = min(missing, rest + falls[taken][0])
            tried = set()
            for _, _, name in falls[taken:]:
                stop = state[name]
                if stop > lowest[name] or (stop, self.twins[name]) in tried:
                    continue
                tried.add((stop, self.twins[name]))
                for further in range(stop - 1, 0, -1):
                    needed = rest - chains[name].held[stop] + chains[name].hill[further]
                    if needed <= bound:
                        raised = (*state[:name], further, *state[name + 1 :])
                        if raised not in seen:
                            seen.add(raised)
                            todo.append(raised)
                        break
                    missing = min(missing, needed)
        return missing

    def _opening(self, bound: int, live: int, top: list[int], state: tuple[int, ...], opener: int) -> int:
        """Return the peak of raising the chains from `top` to `state` and taking the opener to stop 0."""
        held, hill = self.chains[opener].held, self.chains[opener].hill
        least = NEVER
        for stop in range(top[opener], 0, -1):  # the opener may be raised early too
            needed = 0
            rest = live
            for _, name, here in self.raises:
                if (stop if name == opener else state[name]) < here <= top[name]:
                    chain = self.chains[name]
                    needed = max(needed, rest + chain.hill[here] - chain.held[here])
                    rest += chain.held[here - 1] - chain.held[here]
            rest -= held[stop]
            needed = max(needed, rest + max(hill[2 : stop + 1], default=0), rest + self.shared + hill[1])
            least = min(least, needed)
            if least <= bound or stop > self.lowest[opener]:
                break
        return least


def _fall(live: int, drops: list[_Drop], bound: int) -> tuple[int, int, int]:
    """Take sorted drops while they fit; return how many did, the peak and the live bytes after them."""
    peak = live
    for taken, (need, change, _) in enumerate(drops):
        if live + need > bound:
            return taken, peak, live
        peak = max(peak, live + need)
        live += change
    return len(drops), peak, live


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
    following: "list[_Item | None]" = field(default_factory=lambda: [None, None])

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


def _items(steps: Sequence[Step], last: list[int], stretch: _Stretch) -> list[_Item]:
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


def _search(items: list[_Item], stretch: _Stretch, bound: int, max_states: int) -> _Bounds:
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
            return _Bounds(bound, stretch.peak, len(expanded))
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
    return _Bounds(bound, bound, len(expanded))


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
