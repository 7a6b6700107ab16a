"""A network as a value: a typed graph of operations in its one canonical execution order.

Owns construction, identity (`key`), liveness, JSON and a text drawing. Knows nothing of weights, of frameworks
or of the space it came from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import NamedTuple

from spaces.canonical import canonical_order, digest
from spaces.errors import UsageError
from spaces.layers import OPS, Add, Concat, Input, Op, Shape, ShapeError, Zero, volume


class Node(NamedTuple):
    """One operation, the indices of the nodes it reads, and its batch-free output shape."""

    op: Op
    inputs: tuple[int, ...]
    shape: Shape


@dataclass(frozen=True, eq=False)
class Network:
    """A graph in canonical execution order; its last node is the output. Made by `NetworkBuilder`.

    Attributes:
        ops: The operation of every node.
        inputs: For every node, the indices of the nodes it reads, all of them before it.
        shapes: The batch-free output shape of every node.
        volumes: Number of elements of every shape.
        reads: How often every node is read.
        key: 32 hexadecimal digits. Equal keys mean the same graph as executed, however it was written down.
    """

    ops: tuple[Op, ...]
    inputs: tuple[tuple[int, ...], ...]
    shapes: tuple[Shape, ...]
    volumes: tuple[int, ...]
    reads: tuple[int, ...]
    key: str

    def __eq__(self, other: object) -> bool:
        return self.key == other.key if isinstance(other, Network) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.key)

    def __reduce__(self) -> tuple[object, ...]:
        # Derived values are not worth sending to another process.
        return Network, (self.ops, self.inputs, self.shapes, self.volumes, self.reads, self.key)

    def __len__(self) -> int:
        return len(self.ops)

    def __str__(self) -> str:
        lines = []
        for index, node in enumerate(self.nodes):
            sources = ", ".join(map(str, node.inputs))
            shape = "x".join(map(str, node.shape))
            lines.append(f"{index:>4}  {node.op!r}{f' <- {sources}' if sources else ''}  [{shape}]")
        return "\n".join(lines)

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """Operation, inputs and shape of every node, together."""
        return tuple(map(Node, self.ops, self.inputs, self.shapes))

    @cached_property
    def consumers(self) -> tuple[tuple[int, ...], ...]:
        """For every node, the nodes that read it, one entry per reading."""
        users: list[list[int]] = [[] for _ in self.nodes]
        for index, node in enumerate(self.nodes):
            for source in node.inputs:
                users[source].append(index)
        return tuple(map(tuple, users))

    @cached_property
    def live(self) -> Network:
        """The network without the nodes that lie on no path from input to output; `Zero` blocks a path.

        A sum loses its dead terms. If nothing of the input reaches the output, the output is a `Zero`.
        """
        from spaces.simplify import without_dead_nodes

        return without_dead_nodes(self)

    def simplified(self) -> Network:
        """A network that computes the same function; equal keys of simplified networks say two do.

        Drops what cannot reach the output, flattens sums of sums, and merges equal parameter-free operations
        on one input. Operations with weights never merge.
        """
        from spaces.simplify import simplify

        return simplify(self)

    def to_json(self) -> list[dict[str, object]]:
        """A list of plain dictionaries, one per node, that `from_json` reads back."""
        listed: list[dict[str, object]] = []
        for node in self.nodes:
            entry: dict[str, object] = {"op": type(node.op).__name__}
            for field in fields(node.op):
                value = getattr(node.op, field.name)
                entry[field.name] = list(value) if isinstance(value, tuple) else value
            listed.append(entry | {"inputs": list(node.inputs)})
        return listed

    @staticmethod
    def from_json(listed: Sequence[Mapping[str, object]]) -> Network:
        """Rebuild a network; shapes are derived again, so a damaged description cannot pass.

        Raises:
            UsageError: An unknown operation, a bad field or a shape that does not fit.
        """
        builder: NetworkBuilder | None = None
        for index, entry in enumerate(listed):
            if not isinstance(entry, Mapping):
                raise UsageError(f"node {index} is {entry!r}; expected an object with op, its fields and inputs")
            values = {k: tuple(v) if isinstance(v, list) else v for k, v in entry.items()}
            kind, inputs = values.pop("op", None), values.pop("inputs", ())
            if kind not in OPS:
                raise UsageError(f"node {index}: unknown operation {kind!r}; known: {', '.join(OPS)}")
            if not isinstance(inputs, tuple) or any(type(source) is not int for source in inputs):
                raise UsageError(f"node {index}: inputs are {inputs!r}; expected a list of earlier nodes")
            try:
                op = OPS[str(kind)](**values)  # type: ignore[arg-type]  # checked by the operation itself
            except TypeError as error:
                raise UsageError(f"node {index}: {error}") from error
            if builder is not None and not isinstance(op, Input):
                builder.add(op, *inputs)
            elif builder is None and isinstance(op, Input):
                builder = NetworkBuilder(op.shape)
            else:
                raise UsageError(f"node {index} is {kind}; expected exactly one Input, first")
        if builder is None:
            raise UsageError("no nodes; expected a list that starts with an Input")
        return builder.build(len(listed) - 1)


class Chain(NamedTuple):
    """Operations of one input each, one behind the other, on a given input shape; made by `chain`."""

    input_shape: Shape
    ops: tuple[Op, ...]
    shapes: tuple[Shape, ...]
    volumes: tuple[int, ...]
    reads: tuple[int, ...]


def chain(input_shape: Shape, *ops: Op) -> Chain:
    """The chain of one or more operations behind an input of that shape.

    Raises:
        ShapeError: An operation does not fit, or is none of one input.
    """
    shapes, shape = [], input_shape
    for op in ops:
        if isinstance(op, Input) or op.variadic:
            raise ShapeError(f"{op.token} in a chain; expected operations of one input")
        shape = op.out_shape(shape)
        shapes.append(shape)
    if not shapes:
        raise ShapeError("a chain of no operations; expected at least one")
    reads = (1,) * (len(ops) - 1) + (0,)
    return Chain(input_shape, ops, tuple(shapes), tuple(map(volume, shapes)), reads)


class NetworkBuilder:
    """Collects operations in any order that puts a node after its inputs, and builds the `Network`.

    Args:
        input_shape: (C, H, W) of the image, (L, F) of the sequence or (F,) of the vector that enters.

    Attributes:
        input: The handle of the input; `add` returns further handles.
    """

    def __init__(self, input_shape: Shape) -> None:
        op = Input(tuple(input_shape))
        self._ops: list[Op] = [op]
        self._inputs: list[tuple[int, ...]] = [()]
        self._shapes: list[Shape] = [op.out_shape()]
        self._volumes = [volume(op.shape)]
        self._reads = [0]
        self._is_chain = True
        self.input = 0

    def add(self, op: Op, *inputs: int) -> int:
        """Append `op` reading `inputs`; returns its handle.

        Raises:
            ShapeError: The operation does not fit the shapes of its inputs.
        """
        shapes, here = self._shapes, len(self._ops)
        if len(inputs) == 1:
            source = inputs[0]
            if not 0 <= source < here:
                raise self._no_handle(op, source)
            if op.elementwise and len(shapes[source]) != 2:  # of sequences some know nothing
                shapes.append(shapes[source])
                self._volumes.append(self._volumes[source])
            else:
                shape = op.out_shape(shapes[source])  # type: ignore[call-arg]
                shapes.append(shape)
                self._volumes.append(shape[0] * shape[1] * shape[2] if len(shape) == 3 else volume(shape))
            self._reads[source] += 1
            if source != here - 1:
                self._is_chain = False
        elif op.variadic and inputs:
            for source in inputs:
                if not 0 <= source < here:
                    raise self._no_handle(op, source)
            shapes.append(op.out_shape(*[shapes[source] for source in inputs]))
            self._volumes.append(volume(shapes[-1]))
            for source in inputs:
                self._reads[source] += 1
            self._is_chain = False
        else:
            raise ShapeError(f"{op.token} reads {len(inputs)} nodes; expected exactly one")
        self._ops.append(op)
        self._inputs.append(inputs)
        self._reads.append(0)
        return here

    def extend(self, source: int, chain: Chain) -> int:
        """Append a chain behind `source`; returns the handle of its last node.

        The same as `add` for each operation in turn, without its cost per node: a chain is made once and used in
        many networks.

        Raises:
            ShapeError: The chain was made for another input shape.
        """
        here = len(self._ops)
        if not 0 <= source < here:
            raise self._no_handle(chain.ops[0], source)
        if self._shapes[source] != chain.input_shape:
            raise ShapeError(f"chain for {chain.input_shape} behind {self._shapes[source]}; expected equal shapes")
        last = here + len(chain.ops) - 1
        self._ops += chain.ops
        self._shapes += chain.shapes
        self._volumes += chain.volumes
        self._reads[source] += 1
        self._reads += chain.reads
        self._inputs.append((source,))
        self._inputs += [(node,) for node in range(here, last)]
        if source != here - 1:
            self._is_chain = False
        return last

    def _no_handle(self, op: Op, source: int) -> ShapeError:
        return ShapeError(f"{op.token} reads node {source}; expected a handle in 0..{len(self._ops) - 1}")

    def shape(self, handle: int) -> Shape:
        """Output shape of a node added before."""
        return self._shapes[handle]

    def build(self, output: int) -> Network:
        """The finished network with `output` as its last node.

        Raises:
            ShapeError: `output` is no handle, or something reads it.
        """
        ops, inputs, shapes = self._ops, self._inputs, self._shapes
        volumes, reads = self._volumes, self._reads
        last = len(ops) - 1
        if not 0 <= output <= last:
            raise ShapeError(f"output {output}; expected a handle in 0..{last}")
        if reads[output]:
            raise ShapeError(f"output {output} ({ops[output].token}) is read by a later node; it must be last")
        if not self._is_chain or output != last:
            order = canonical_order(ops, inputs, volumes, reads, output)
            place = [0] * len(ops)
            for position, node in enumerate(order):
                place[node] = position
            ops = [ops[node] for node in order]
            inputs = [
                (place[sources[0]],)
                if len(sources) == 1
                else tuple(sorted([place[source] for source in sources]))
                if op.commutative
                else tuple([place[source] for source in sources])
                for op, sources in zip(ops, [inputs[node] for node in order], strict=True)
            ]
            shapes = [shapes[node] for node in order]
            volumes = [volumes[node] for node in order]
            reads = [reads[node] for node in order]
        key = digest(ops, inputs)
        return Network(tuple(ops), tuple(inputs), tuple(shapes), tuple(volumes), tuple(reads), key)


def reaches_output(network: Network) -> list[bool]:
    """Whether each node lies on a path from input to output that no `Zero` blocks."""
    nodes = network.nodes
    fed: list[bool] = []
    for node in nodes:
        fed.append(
            not isinstance(node.op, Zero)
            and (isinstance(node.op, Input) or any(fed[source] for source in node.inputs))
        )
    used = [False] * len(nodes)
    used[-1] = fed[-1]
    for index in range(len(nodes) - 1, -1, -1):
        if used[index]:
            live = [source for source in nodes[index].inputs if fed[source]]
            if isinstance(nodes[index].op, Concat):
                shapes = [nodes[source].shape for source in live]
                if any(nodes[source].shape not in shapes for source in nodes[index].inputs):
                    live = []  # dead channels have their place among the live ones, and no live part's zeros fit it
            elif fed[index] and isinstance(nodes[index].op, Add):
                shapes = [nodes[source].shape for source in live]
                if nodes[index].op.out_shape(*shapes) != nodes[index].shape:
                    live = []  # a dead term pads the live ones, so it stays
            for source in live or nodes[index].inputs:
                used[source] = True
    return used
