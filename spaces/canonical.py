"""One execution order and one key per graph, whatever order its nodes were written in.

The order is depth-first from the output. At a join the branch that needs most memory beyond what it leaves
behind runs first (Sethi and Ullman's rule, 1970), so that the canonical order is also a thrifty one; what that
does not decide, colours decide: a hash of everything a node is computed from and, where that ties, of
everything it is used for. Nodes that still tie are told apart by trying them (individualisation and
refinement, as in McKay's nauty, 1981), so equal keys mean isomorphic graphs up to a 128-bit digest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from itertools import chain, pairwise
from struct import pack

from spaces.layers import Op

Inputs = tuple[int, ...]


def canonical_order(
    ops: Sequence[Op], inputs: Sequence[Inputs], sizes: Sequence[int], reads: Sequence[int], output: int
) -> list[int]:
    """Node indices in canonical execution order, the output last.

    Args:
        ops: Operation of each node; a node comes after its inputs.
        inputs: Indices of the nodes each node reads.
        sizes: Elements of each node's output.
        reads: How often each node is read.
        output: Index of the output.
    """
    ranks, tie = _join_ranks(ops, inputs, sizes, reads, None)
    dead_ends = [node for node, count in enumerate(reads) if not count and node != output]
    if tie or dead_ends:
        labels = _labels(ops, inputs, output, dead_ends)
        ranks, _ = _join_ranks(ops, inputs, sizes, reads, labels)
        dead_ends.sort(key=labels.__getitem__)
    order: list[int] = []
    seen = [False] * len(ops)
    _visit(output, inputs, ranks, seen, order)
    if dead_ends:  # they are executed too, just before the output
        order.pop()
        for node in dead_ends:
            _visit(node, inputs, ranks, seen, order)
        order.append(output)
    return order


def digest(ops: Sequence[Op], inputs: Sequence[Inputs]) -> str:
    """32 hexadecimal digits naming the graph, given in canonical order."""
    codes = [op.code for op in ops]
    counts = list(map(len, inputs))
    written = pack(f"<{len(codes)}q{len(codes) + sum(counts)}i", *codes, *counts, *chain.from_iterable(inputs))
    return blake2b(written, digest_size=16).hexdigest()


def _visit(
    root: int, inputs: Sequence[Inputs], ranks: Mapping[int, Inputs], seen: list[bool], order: list[int]
) -> None:
    """Append `root` and everything it needs, depth first; whole chains at a time, without recursion."""
    stack: list[int | list[int]] = [root]
    while stack:
        item = stack.pop()
        if isinstance(item, list):
            order += reversed(item)
            continue
        run = []
        while not seen[item]:
            seen[item] = True
            run.append(item)
            sources = inputs[item]
            if len(sources) != 1:
                stack.append(run)
                stack += reversed(ranks.get(item, ()))
                break
            item = sources[0]
        else:
            order += reversed(run)


def _join_ranks(
    ops: Sequence[Op],
    inputs: Sequence[Inputs],
    sizes: Sequence[int],
    reads: Sequence[int],
    labels: Sequence[int] | None,
) -> tuple[dict[int, Inputs], bool]:
    """For every join, the order in which its inputs are to be computed, and whether labels are needed to decide.

    What a branch needs is counted from where it forks off: what is read elsewhere too is there anyway.
    """
    need: list[int] = []  # elements alive while a node is computed
    ranks: dict[int, Inputs] = {}
    tie = False
    for node, sources in enumerate(inputs):
        size = sizes[node]
        if len(sources) == 1:
            source = sources[0]
            both = sizes[source] + size
            if reads[source] == 1 and need[source] > both:
                need.append(need[source])
            else:
                need.append(both)
        elif not sources:
            need.append(size)
        else:
            keys = {source: sizes[source] - need[source] for source in sources}
            if len(set(keys.values())) == len(keys):
                unique = sorted(keys, key=keys.__getitem__)
            elif not ops[node].commutative:  # its inputs have a place of their own
                unique = sorted(keys, key=lambda source: (keys[source], sources.index(source)))
            elif labels is None:
                unique, undecided = _by_chain(keys, ops, inputs, reads)
                tie = tie or undecided
            else:
                unique = sorted(keys, key=lambda source: (keys[source], labels[source]))
            ranks[node] = tuple(unique)
            held = peak = 0
            for source in unique:
                peak = max(peak, held + need[source])
                held += sizes[source]
            need.append(max(peak, held + size))
    return ranks, tie


def _by_chain(
    keys: Mapping[int, int], ops: Sequence[Op], inputs: Sequence[Inputs], reads: Sequence[int]
) -> tuple[list[int], bool]:
    """The inputs of a join by key, then by the operations of the chain behind each.

    Equal chains from one node are interchangeable. Equal chains from different nodes leave it undecided.
    """
    marks: dict[int, tuple[int, list[int]]] = {}
    starts: dict[int, int] = {}
    for source, key in keys.items():
        codes, node = [], source
        while reads[node] == 1 and len(inputs[node]) == 1:
            codes.append(ops[node].code)
            node = inputs[node][0]
        marks[source], starts[source] = (key, codes), node
    order = sorted(keys, key=marks.__getitem__)
    undecided = any(marks[a] == marks[b] and starts[a] != starts[b] for a, b in pairwise(order))
    return order, undecided


def _labels(ops: Sequence[Op], inputs: Sequence[Inputs], output: int, dead_ends: Sequence[int]) -> list[int]:
    """A number for every node, different for any two, that depends on the graph alone."""
    colours: list[int] = []
    consumers: list[list[int]] = [[] for _ in ops]
    for node, sources in enumerate(inputs):
        below = [colours[source] for source in sources]
        if ops[node].commutative:
            below.sort()
        colours.append(hash((ops[node].code, tuple(below))))  # of integers only: equal in every process
        for source in sources:
            consumers[source].append(node)
    if any(colours[node] == colours[output] for node in dead_ends):  # nothing else tells it from the output
        colours[output] = hash((colours[output],))
    if len(set(colours)) == len(colours):
        return colours
    return _distinguish(ops, inputs, consumers, colours)


def _distinguish(
    ops: Sequence[Op], inputs: Sequence[Inputs], consumers: Sequence[list[int]], colours: Sequence[int]
) -> list[int]:
    """Labels that differ for every node and depend on the graph alone.

    Everything between two nodes that all others come before or after can be settled by itself.
    """
    labels = list(colours)
    for start, stop in _segments(inputs, consumers):
        segment = labels[start : stop + 1]
        if len(set(segment)) < len(segment):
            local = [tuple([s - start for s in inputs[node]]) for node in range(start, stop + 1)]
            local[0] = ()
            users = [[user - start for user in consumers[node]] for node in range(start, stop)] + [[]]
            labels[start : stop + 1] = _settle(ops[start : stop + 1], local, users, segment)
    return labels


def _segments(inputs: Sequence[Inputs], consumers: Sequence[list[int]]) -> list[tuple[int, int]]:
    """First and last node of each part of the graph that touches the rest in those two nodes only."""
    last = len(inputs) - 1
    if any(not users for users in consumers[:last]):
        return [(0, last)]  # dead ends hang loose, so nothing comes before or after everything
    cuts, reach = [0], 0
    for node in range(last + 1):
        if reach <= node:  # nothing before this node is read behind it
            cuts.append(node)
        reach = max(reach, *consumers[node], node) if consumers[node] else reach
    return list(pairwise(cuts))


def _settle(
    ops: Sequence[Op], inputs: Sequence[Inputs], consumers: Sequence[list[int]], colours: Sequence[int]
) -> list[int]:
    """Labels for one segment: refine, and tell apart what symmetry leaves equal."""
    labels = _refine(ops, inputs, consumers, colours)
    while len(set(labels)) < len(labels):
        cells: dict[int, list[int]] = {}
        for node, label in enumerate(labels):
            cells.setdefault(label, []).append(node)
        tied = [nodes for _, nodes in sorted(cells.items()) if len(nodes) > 1]
        split = list(labels)
        for nodes in tied:
            # Interchangeable chains between the same two nodes: any way to number them gives the same graph.
            if all(_parallel(nodes[0], node, inputs, consumers) for node in nodes[1:]):
                for rank, node in enumerate(nodes):
                    split[node] = hash((split[node], rank))
        if split != labels:
            labels = _refine(ops, inputs, consumers, split)
            continue
        trials = []
        for node in min(tied, key=len):
            split = list(labels)
            split[node] = hash((split[node], 0))
            trials.append(_refine(ops, inputs, consumers, split))
        if not all(_symmetric(ops, inputs, trials[0], trial) for trial in trials[1:]):
            settled = [_settle(ops, inputs, consumers, trial) for trial in trials]
            return min(settled, key=lambda trial: _certificate(ops, inputs, trial))
        labels = trials[0]
    return labels


def _symmetric(ops: Sequence[Op], inputs: Sequence[Inputs], one: Sequence[int], other: Sequence[int]) -> bool:
    """Whether mapping equal labels onto each other, and the still tied nodes onto themselves, is a symmetry."""
    where: dict[int, list[int]] = {}
    for node, label in enumerate(other):
        where.setdefault(label, []).append(node)
    image = []
    for node, label in enumerate(one):
        nodes = where.get(label, [])
        if len(nodes) == 1:
            image.append(nodes[0])
        elif node in nodes:
            image.append(node)
        else:
            return False
    for node, sources in enumerate(inputs):
        mapped, target = [image[source] for source in sources], list(inputs[image[node]])
        if ops[node].commutative:
            mapped.sort()
            target.sort()
        if mapped != target or ops[node].code != ops[image[node]].code:
            return False
    return len(set(image)) == len(image)


def _refine(
    ops: Sequence[Op], inputs: Sequence[Inputs], consumers: Sequence[list[int]], labels: Sequence[int]
) -> list[int]:
    """Spread differences down and up the graph until no further node is told apart."""
    current = list(labels)
    distinct = len(set(current))
    while True:
        for node, sources in enumerate(inputs):
            if sources:
                below = [current[source] for source in sources]
                if ops[node].commutative:
                    below.sort()
                current[node] = hash((current[node], tuple(below)))
        for node in range(len(ops) - 1, -1, -1):
            above = []
            for consumer in consumers[node]:
                if ops[consumer].commutative:
                    above.append(hash((current[consumer], inputs[consumer].count(node))))
                else:
                    above.append(hash((current[consumer], inputs[consumer].index(node))))
            current[node] = hash((current[node], tuple(sorted(above))))
        now = len(set(current))
        if now == distinct or now == len(current):
            return current
        distinct = now


def _certificate(ops: Sequence[Op], inputs: Sequence[Inputs], labels: Sequence[int]) -> list[tuple[int, Inputs]]:
    """The graph written down in the order of its labels; equal certificates mean isomorphic graphs."""
    place = {node: rank for rank, node in enumerate(sorted(range(len(ops)), key=labels.__getitem__))}
    written = []
    for node in sorted(place, key=place.__getitem__):
        sources = [place[source] for source in inputs[node]]
        if ops[node].commutative:
            sources.sort()
        written.append((ops[node].code, tuple(sources)))
    return written


def _parallel(one: int, other: int, inputs: Sequence[Inputs], consumers: Sequence[list[int]]) -> bool:
    """Whether two equally coloured nodes open separate chains between the same two nodes."""
    if len(inputs[one]) != 1 or inputs[one] != inputs[other]:
        return False
    while True:
        if len(consumers[one]) != 1 or len(consumers[other]) != 1:
            return False
        user, user_other = consumers[one][0], consumers[other][0]
        if user == user_other:
            return True
        if len(inputs[user]) != 1 or len(inputs[user_other]) != 1:
            return False
        one, other = user, user_other
