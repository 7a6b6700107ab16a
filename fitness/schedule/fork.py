"""Parallel chains between two cuts, solved nearly by sorting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from fitness.schedule.stretches import NEVER, Bounds, Step, Stretch

_Drop = tuple[int, int, int]  # (bytes needed on top of the live ones, change of these, chain)


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


def fork_of(steps: Sequence[Step], last: list[int], stretch: Stretch) -> Fork | None:
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
        return Fork(chains, stretch.start - bytes_at_start, 0)
    if bytes_at_start or len(readers[shared]) < len(chains):
        return None
    return Fork(chains, stretch.start - steps[shared].size, steps[shared].size)


class Fork:
    """Parallel chains between two cuts, solved in reversed time: all go from their last stop to stop 0.

    Without a shared tensor the live bytes are a sum over chains. Each order may be led through the state of
    least bytes, each chain at its lowest stop (the first rule of `search`), and from both ends each chain
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

    def solve(self, proven: int, reached: int, max_states: int) -> Bounds:
        """Return bounds on the least peak: it is at most `reached`, and below `proven` it is all the same."""
        end = self.fixed + sum(chain.held[-1] for chain in self.chains)
        if not self.shared:
            forward = []
            for chain, low in zip(self.chains, self.lowest, strict=True):
                for stop in range(low):
                    before, after = chain.held[stop : stop + 2]
                    forward.append((chain.hill[stop + 1] - before, after - before, 0))
            start = self.fixed + sum(chain.held[0] for chain in self.chains)
            peaks = _fall(start, sorted(forward), NEVER)[1], _fall(end, self.drops, NEVER)[1]
            return Bounds(max(proven, *peaks), max(proven, *peaks), 0)
        self.twins = [self.chains.index(chain) for chain in self.chains]
        self.left = max_states
        probes = 0
        while proven < reached:
            bound = proven if probes < 3 else (proven + reached) // 2  # the first ones often settle it
            needed = self._probe(bound, end)
            if self.left < 0:
                break
            if needed <= bound:
                reached = max(needed, proven)
            else:
                proven = needed
            probes += 1
        return Bounds(proven, reached, max_states - self.left)

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
                for further in range(stop - 1, 0, -1):  # the least raise that could make it the first to move
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
