"""Networks that compute the same function with fewer nodes: dead-branch removal and simplification.

A node that no information from the image reaches is taken as zero: in training mode a convolution and batch
norm of a constant map give exactly the shift, zero at initialisation. Merging keeps weights apart: only
operations without parameters are computed once where they were computed twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from spaces.layers import Add, BatchNorm, Concat, Conv, Dense, Op, Recurrent, Zero
from spaces.network import Network, NetworkBuilder, reaches_output


def without_dead_nodes(network: Network) -> Network:
    """The nodes on a path from input to output, and nothing else."""
    used = reaches_output(network)
    if all(used):
        return network
    if not used[-1]:
        return _nothing(network)
    builder = NetworkBuilder(network.nodes[0].shape)
    place = {0: builder.input}
    for index, node in enumerate(network.nodes):
        if index and used[index]:
            if isinstance(node.op, Concat):
                place[index] = builder.add(node.op, *_parts(network, node.inputs, used, place, builder))
                continue
            sources = [place[source] for source in node.inputs if used[source]]
            keep = len(sources) > 1 or not isinstance(node.op, Add)
            place[index] = builder.add(node.op, *sources) if keep else sources[0]
    return builder.build(place[len(network.nodes) - 1])


def _parts(
    network: Network, inputs: Sequence[int], used: Sequence[bool], place: Mapping[int, int], builder: NetworkBuilder
) -> list[int]:
    """The parts of a concatenation; in the place of dead channels zeros of a live part of their shape."""
    live = {network.shapes[source]: place[source] for source in reversed(inputs) if used[source]}
    return [
        place[source] if used[source] else builder.add(Zero(), live[network.shapes[source]]) for source in inputs
    ]


def simplify(network: Network) -> Network:
    """See `Network.simplified`."""
    network = network.live
    builder = NetworkBuilder(network.nodes[0].shape)
    made: dict[tuple[Op, tuple[int, ...]], int] = {}
    sums: dict[int, Counter[int]] = {}  # terms of every sum made so far, flattened

    def add(op: Op, *sources: int) -> int:
        if isinstance(op, (Conv, Dense, BatchNorm, Recurrent)):
            return builder.add(op, *sources)
        if (op, sources) not in made:
            made[op, sources] = builder.add(op, *sources)
        return made[op, sources]

    place = {0: builder.input}
    for index, node in enumerate(network.nodes):
        if not index:
            continue
        sources = [place[source] for source in node.inputs]
        if not isinstance(node.op, Add):
            place[index] = add(node.op, *sources)
            continue
        terms: Counter[int] = Counter()
        for source in sources:
            terms.update(sums.get(source, Counter({source: 1})))
        place[index] = add(node.op, *sorted(terms.elements())) if terms.total() > 1 else sources[0]
        sums[place[index]] = terms
    return builder.build(place[len(network.nodes) - 1]).live


def _nothing(network: Network) -> Network:
    """What is left when the output does not depend on the image: the image, and a `Zero`."""
    builder = NetworkBuilder(network.nodes[0].shape)
    return builder.build(builder.add(Zero(), builder.input))
