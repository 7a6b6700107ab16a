"""The space of NAS-Bench-101: cells of up to 7 vertices and 9 edges, built exactly as the benchmark's networks.

Ying, Klein, Christiansen, Real, Murphy, Hutter: NAS-Bench-101: Towards Reproducible Neural Architecture Search,
ICML 2019, arXiv:1902.09635, section 2 and supplement S1; code google-research/nasbench.

A genotype is one numbering of a cell. Every combination of answers is a cell: an edge is asked for only where
both answers leave a whole one. Isomorphic cells build one network, that of the class's representative, which is
the one that the benchmark trained; `sample`, `mutate`, `enumerate` and `parse` of the notation give the
representative's genotype, so that among them equal networks have equal genotypes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import Literal, cast

from spaces.errors import InvalidGenotype, UsageError
from spaces.layers import Add, BatchNorm, Concat, Conv, Dense, Flatten, Pool, ReLU, Shape, Slice
from spaces.nasbench101_cells import (
    COUNT,
    FORM,
    MOST_EDGES,
    MOST_VERTICES,
    OPERATIONS,
    Cell,
    all_cells,
    edge_bit,
    from_matrix,
    pruned,
    read,
    representative,
    uniform_cell,
    write,
)
from spaces.nasbench101_moves import one_step_away
from spaces.network import Chain, Network, NetworkBuilder, chain
from spaces.notation import json_object
from spaces.space import Choice, Choose, Domain, Flag, Genotype, Integer, Space, Value

Sampling = Literal["uniform", "authors"]


class _Vertices(Integer):
    """2 to 7, every further vertex twice as likely; uniformly, the one cell of two vertices would be a sixth."""

    def draw(self, uniform: float) -> int:
        """See `Domain`."""
        return self.low - 1 + int(1 + uniform * ((1 << self.count) - 1)).bit_length()


_VERTICES = _Vertices(2, MOST_VERTICES)
_EDGE = Flag(0.5)
_OPERATION = Choice(*OPERATIONS)
_LAST = MOST_VERTICES - 1
_EDGE_NAMES = {(s, t): f"{s}->{t}" for t in range(1, _LAST) for s in range(t)}
_OUT_NAMES = tuple(f"{s}->out" for s in range(_LAST))
_OPERATION_NAMES = tuple(f"op{v}" for v in range(1, _LAST))
_PLACES = MOST_VERTICES * _LAST // 2  # of the upper triangle

_NORM, _RELU, _SUM, _CONCAT, _FLATTEN = BatchNorm(), ReLU(), Add(), Concat(), Flatten()
_POOL = Pool("max", (3, 3), (1, 1), (1, 1))
_HALVE = Pool("max", (2, 2), (2, 2), rounding="ceil")  # TensorFlow's "same"
_CONVOLUTIONS: dict[tuple[Shape, int, int], Chain] = {}


class NasBench101(Space):
    """One cell, repeated: 423,624 cells up to isomorphism, and as many genotypes that are representatives.

    Args:
        input_shape: Height, width and channels of the images.
        num_classes: Number of classes.
        channels: Channels of the stem and of the first stack; they double with every further stack. 128 are the
            benchmark's; NAS-WOT's scores are of networks with 16. At least 5: up to five vertices share them.
        stacks: Groups of cells, with a max pooling between them that halves height and width.
        cells: Cells in each stack. The benchmark's networks have 3 stacks of 3 cells.
        sampling: How `sample` draws. "uniform": every cell alike. "authors": as their random search does, each of
            the 21 possible edges of seven vertices with probability 1/2 and operations uniformly, again until the
            cell is valid, then pruned; small cells are frequent then, that of two vertices 9% of all.
    """

    name = "nas-bench-101"
    size = COUNT

    def __init__(
        self,
        input_shape: tuple[int, int, int] = (32, 32, 3),
        num_classes: int = 10,
        *,
        channels: int = 128,
        stacks: int = 3,
        cells: int = 3,
        sampling: Sampling = "uniform",
    ) -> None:
        super().__init__(input_shape, num_classes)
        for what, count, least in (("channels", channels, _LAST - 1), ("stacks", stacks, 1), ("cells", cells, 1)):
            if type(count) is not int or count < least:
                raise UsageError(
                    f"space {self.name!r}: {what} is {count!r}; expected a whole number of at least {least}"
                )
        if sampling not in ("uniform", "authors"):
            raise UsageError(f"space {self.name!r}: sampling is {sampling!r}; expected 'uniform' or 'authors'")
        self.channels, self.stacks, self.cells = channels, stacks, cells
        self.sampling: Sampling = sampling

    def build(self, choose: Choose) -> Network:
        """See `Space.build`."""
        cell = representative(_ask(choose))
        sources = [cell.sources(vertex) for vertex in range(cell.vertices)]
        net = NetworkBuilder(self.channels_first)
        x = _convolve(net, net.input, self.channels, 3)
        for stack in range(self.stacks):
            if stack:
                x = net.add(_HALVE, x)
            widths = vertex_channels(sources, self.channels * 2**stack)
            for _ in range(self.cells):
                x = _build_cell(net, x, cell, sources, widths)
        _, height, width = net.shape(x)
        x = net.add(Pool("avg", (height, width), (height, width)), x)
        return net.build(net.add(Dense(self.num_classes), net.add(_FLATTEN, x)))

    def sample(self, rng: Random) -> Genotype:
        """See `Space.sample`."""
        if self.sampling == "uniform":
            return genotype_of(uniform_cell(rng))
        while True:
            labels = tuple([int(rng.random() * len(OPERATIONS)) for _ in range(_LAST - 1)])
            cell = pruned(Cell(MOST_VERTICES, rng.getrandbits(_PLACES), labels))
            if cell is not None:
                return genotype_of(cell)

    def enumerate(self) -> Iterator[Genotype]:
        """Every cell once, by number of vertices, then edge number, then operations; no network is built.

        The edge number has bit s + t (t - 1) / 2 for an edge from vertex s to vertex t. This is the order in which
        the authors' `generate_graphs.py` meets the cells, not that of the published table, which is by hash.
        """
        edges: dict[str, Value] = {}
        last = (0, 0)
        for cell in all_cells():
            if cell[:2] != last:
                last = cell[:2]
                edges = {name: value for name, value in genotype_of(cell).items() if name not in _OPERATION_NAMES}
            made = edges.copy()
            for name, label in zip(_OPERATION_NAMES, cell.labels, strict=False):
                made[name] = OPERATIONS[label]
            yield Genotype.adopt(made)

    def parse(self, text: str) -> Genotype:
        """Read `111-10-1:op:op`, the JSON `{"matrix": [[...]], "ops": [...]}` of a cell, or JSON of the choices.

        The notation lists, for every vertex but the last, whether it leads to each later one, then the operations
        of the inner vertices. Like the JSON, whose operations may include `input` and `output`, it may be any
        numbering of a cell, pruned or not.
        """
        if FORM.fullmatch(text):
            return genotype_of(read(text))
        given = json_object(text)
        return genotype_of(_published(given)) if given.keys() == {"matrix", "ops"} else self._member(given)

    def describe(self, genotype: Genotype) -> str:
        """The representative in the notation that `parse` reads: one text for all isomorphic genotypes."""
        return write(representative(cell_of(genotype)))

    def neighbours(self, genotype: Genotype) -> Iterator[Genotype]:
        """Every cell one step away, once: see `spaces.nasbench101_moves`; no network is built."""
        for cell in one_step_away(cell_of(genotype)):
            yield genotype_of(cell)

    def move(self, genotype: Genotype, rng: Random) -> Genotype:
        """A cell one step away, all alike."""
        cells = one_step_away(cell_of(genotype))
        return genotype_of(cells[int(rng.random() * len(cells))])


def cell_of(genotype: Genotype) -> Cell:
    """The cell of a genotype that is known to be right, in the genotype's own numbering."""
    return _ask(cast(Choose, lambda name, domain: genotype[name]))


def genotype_of(cell: Cell) -> Genotype:
    """The genotype of the representative of a pruned cell."""
    cell = representative(cell)
    answers = _answers(cell)
    made: dict[str, Value] = {}

    def choose(name: str, domain: Domain) -> Value:
        made[name] = answers[name]
        return answers[name]

    _ask(cast(Choose, choose))
    return Genotype.adopt(made)


def vertex_channels(sources: Sequence[Sequence[int]], channels: int) -> list[int]:
    """Channels of every inner vertex of a cell that is to end with `channels`; 0 for input and output.

    The vertices before the output share its channels, the first ones getting one more where they do not divide;
    any other vertex has as many as the widest one that it leads to (supplement S1; `compute_vertex_channels`).
    """
    last = len(sources) - 1
    widths = [0] * len(sources)
    ends = [vertex for vertex in sources[last] if vertex]
    for rank, vertex in enumerate(ends):
        widths[vertex] = channels // len(ends) + (rank < channels % len(ends))
    for vertex in range(last - 1, 0, -1):
        if vertex not in ends:
            widths[vertex] = max(widths[user] for user in range(vertex + 1, last) if vertex in sources[user])
    return [*widths[:-1], channels]


def _ask(choose: Choose) -> Cell:
    """The cell that the answers describe; every vertex is on a path, and there are at most nine edges.

    Not asked for are edges that must be, so that a vertex is reached or leads on, and edges that would be one too
    many. A vertex that leads nowhere yet has to lead somewhere anyway: an edge from it costs nothing.
    """
    count = choose("vertices", _VERTICES)
    last = count - 1
    spare = MOST_EDGES - last  # edges beyond one into every vertex
    leads_on = [False] * last
    edges = 0
    for target in range(1, count):
        reached = False
        for source in range(target):
            loose = not leads_on[source]
            name = _edge_name(source, target, last)
            must = loose and (target == last or (source == target - 1 and not reached))
            if must or ((loose or spare) and choose(name, _EDGE)):
                edges |= edge_bit(source, target)
                spare -= not loose
                leads_on[source] = reached = True
    operations = [choose(name, _OPERATION) for name in _OPERATION_NAMES[: count - 2]]
    return Cell(count, edges, tuple([OPERATIONS.index(operation) for operation in operations]))


def _edge_name(source: int, target: int, last: int) -> str:
    return _OUT_NAMES[source] if target == last else _EDGE_NAMES[source, target]


def _answers(cell: Cell) -> dict[str, Value]:
    """What every choice would be in a cell, also those that `_ask` leaves out."""
    last = cell.vertices - 1
    answers: dict[str, Value] = {"vertices": cell.vertices}
    for target in range(1, cell.vertices):
        for source in range(target):
            answers[_edge_name(source, target, last)] = bool(cell.edges & edge_bit(source, target))
    for name, label in zip(_OPERATION_NAMES, cell.labels, strict=False):
        answers[name] = OPERATIONS[label]
    return answers


def _published(given: Mapping[str, object]) -> Cell:
    """The cell of JSON with a matrix and ops.

    Raises:
        UsageError: It holds no cell.
    """
    matrix, operations = given["matrix"], given["ops"]
    if not isinstance(matrix, list) or not all(isinstance(row, list) for row in matrix):
        raise InvalidGenotype(f"matrix {matrix!r:.80}; expected a list of rows of 0 and 1")
    if not isinstance(operations, list):
        raise InvalidGenotype(f"ops {operations!r:.80}; expected a list of operations")
    if operations[:1] == ["input"] and operations[-1:] == ["output"]:
        operations = operations[1:-1]
    return from_matrix(matrix, operations)


def _build_cell(
    net: NetworkBuilder, x: int, cell: Cell, sources: Sequence[Sequence[int]], widths: Sequence[int]
) -> int:
    """Inner vertices add what they read, the output joins it; what comes from the input is projected."""
    values = [x]
    for vertex, label in enumerate(cell.labels, start=1):
        width = widths[vertex]
        terms = [
            _convolve(net, x, width, 1) if source == 0 else _truncate(net, values[source], width)
            for source in sources[vertex]
        ]
        value = net.add(_SUM, *terms) if len(terms) > 1 else terms[0]
        if OPERATIONS[label] == "maxpool3x3":
            values.append(net.add(_POOL, value))
        else:
            values.append(_convolve(net, value, width, 3 if OPERATIONS[label] == "conv3x3-bn-relu" else 1))
    parts = [values[source] for source in sources[-1] if source]
    terms = [net.add(_CONCAT, *parts)] if len(parts) > 1 else parts
    if 0 in sources[-1]:
        terms = [*terms, _convolve(net, x, widths[-1], 1)]
    return net.add(_SUM, *terms) if len(terms) > 1 else terms[0]


def _truncate(net: NetworkBuilder, value: int, width: int) -> int:
    """The first channels of a value that has one more, because an uneven share reached another vertex."""
    return value if net.shape(value)[0] == width else net.add(Slice(width), value)


def _convolve(net: NetworkBuilder, x: int, channels: int, kernel: int) -> int:
    """Convolution without bias, batch norm, ReLU; height and width stay."""
    shape = net.shape(x)
    made = _CONVOLUTIONS.get((shape, channels, kernel))
    if made is None:
        op = Conv(channels, (kernel, kernel), padding=(kernel // 2, kernel // 2), bias=False)
        made = _CONVOLUTIONS[shape, channels, kernel] = chain(shape, op, _NORM, _RELU)
    return net.extend(x, made)


__all__ = ["NasBench101", "cell_of", "genotype_of", "vertex_channels"]
