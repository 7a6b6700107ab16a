"""Where the boxes of a layered drawing go, and the lines between them.

Sugiyama, Tagawa, Toda, "Methods for visual understanding of hierarchical system structures", IEEE Transactions on
Systems, Man, and Cybernetics 11 (1981) 109-125: layers by longest path, lines that pass a layer hold a place in
it, order by barycentres. Differs from the paper in the last step: places across are a weighted isotonic regression
on the mean of the neighbours, swept up and down, which keeps order and distances exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

__all__ = ["Layout", "lay_out"]

_SWEEPS = 12
_BETWEEN, _BELOW = 14.0, 22.0  # pixels between boxes side by side, and between layers
_LINE_WIDTH, _LINE_WEIGHT = 8.0, 4.0  # of a line that passes a layer: it takes little room and likes to be straight

Point = tuple[float, float]


@dataclass(frozen=True)
class Layout:
    """A finished drawing, in pixels from its upper left corner.

    Attributes:
        width: Of the whole.
        height: Likewise.
        boxes: Centre across and upper edge of every box.
        lines: For every box, for every box it reads, the points of the line from there: those at even places
            begin a curve that the next one ends, those at odd places begin a straight line down.
    """

    width: float
    height: float
    boxes: list[Point]
    lines: list[list[list[Point]]]


@dataclass
class _Place:
    """A box, or a line passing a layer."""

    width: float
    weight: float
    above: list[int] = field(default_factory=list)
    below: list[int] = field(default_factory=list)
    x: float = 0.0


def lay_out(sizes: Sequence[Point], inputs: Sequence[Sequence[int]]) -> Layout:
    """Lay boxes out from top to bottom.

    Args:
        sizes: Width and height of every box.
        inputs: For every box, the boxes it reads, all of them before it.
    """
    layer: list[int] = []
    for sources in inputs:
        layer.append(1 + max((layer[source] for source in sources), default=-1))
    places = [_Place(width, 1.0) for width, _ in sizes]
    rows: list[list[int]] = [[] for _ in range(max(layer, default=-1) + 1)]
    for box, row in enumerate(layer):
        rows[row].append(box)
    chains: list[list[list[int]]] = []  # for every box and input, the places on the way
    for box, sources in enumerate(inputs):
        chains.append([])
        for source in sources:
            chain = [source]
            for row in range(layer[source] + 1, layer[box]):
                places.append(_Place(_LINE_WIDTH, _LINE_WEIGHT))
                rows[row].append(len(places) - 1)
                chain.append(len(places) - 1)
            chain.append(box)
            for upper, lower in pairwise(chain):
                places[upper].below.append(lower)
                places[lower].above.append(upper)
            chains[-1].append(chain)
    _order(rows, places)
    _spread(rows, places)
    tops, bottoms, end = [], [], 0.0
    for row_of in rows:
        height = max(sizes[place][1] for place in row_of if place < len(sizes))
        tops.append(end)
        bottoms.append(end + height)
        end += height + _BELOW
    left = min((place.x - place.width / 2 for place in places), default=0.0)
    right = max((place.x + place.width / 2 for place in places), default=0.0)
    middle = [((top + bottom) / 2) for top, bottom in zip(tops, bottoms, strict=True)]
    boxes = [(places[box].x - left, middle[layer[box]] - sizes[box][1] / 2) for box in range(len(sizes))]
    lines = [
        [_line(chain, places, boxes, sizes, tops, bottoms, layer, left) for chain in listed] for listed in chains
    ]
    return Layout(right - left, max(end - _BELOW, 0.0), boxes, lines)


def _line(
    chain: list[int],
    places: list[_Place],
    boxes: list[Point],
    sizes: Sequence[Point],
    tops: list[float],
    bottoms: list[float],
    layer: list[int],
    left: float,
) -> list[Point]:
    first, last = chain[0], chain[-1]
    points = [(boxes[first][0], boxes[first][1] + sizes[first][1])]
    for row, place in enumerate(chain[1:-1], layer[first] + 1):
        across = places[place].x - left
        points += [(across, tops[row]), (across, bottoms[row])]
    return [*points, boxes[last]]


def _order(rows: list[list[int]], places: list[_Place]) -> None:
    """Sort every row by the mean place of the neighbours, downwards and upwards in turn."""
    at = [0.0] * len(places)
    for row in rows:
        for number, place in enumerate(row):
            at[place] = number
    for sweep in range(_SWEEPS):
        for row in rows if sweep % 2 == 0 else rows[::-1]:

            def mean(place: int, down: bool = sweep % 2 == 0) -> float:
                near = places[place].above if down else places[place].below
                return sum(at[other] for other in near) / len(near) if near else at[place]

            row.sort(key=mean)
            for number, place in enumerate(row):
                at[place] = number - (len(row) - 1) / 2  # from the middle: rows of different lengths compare


def _spread(rows: list[list[int]], places: list[_Place]) -> None:
    """Put every row as near under and over its neighbours as order and widths allow."""
    for sweep in range(_SWEEPS):
        for row in rows if sweep % 2 == 0 else rows[::-1]:
            wanted = []
            for place in row:
                near = places[place].above if sweep % 2 == 0 else places[place].below
                wanted.append(sum(places[other].x for other in near) / len(near) if near else places[place].x)
            gaps = [(places[one].width + places[other].width) / 2 + _BETWEEN for one, other in pairwise(row)]
            for place, x in zip(row, _settle(wanted, [places[place].weight for place in row], gaps), strict=True):
                places[place].x = x


def _settle(wanted: list[float], weights: list[float], gaps: list[float]) -> list[float]:
    """The nearest places, in weighted squares, that are at least the gaps apart: pool adjacent violators."""
    offsets = [0.0]
    for gap in gaps:
        offsets.append(offsets[-1] + gap)
    blocks: list[tuple[float, float, int]] = []  # value, weight, length
    for value, weight, offset in zip(wanted, weights, offsets, strict=True):
        block = (value - offset, weight, 1)
        while blocks and blocks[-1][0] > block[0]:
            before = blocks.pop()
            total = before[1] + block[1]
            mean = (before[0] * before[1] + block[0] * block[1]) / total
            block = (mean, total, before[2] + block[2])
        blocks.append(block)
    flat = [value for value, _, length in blocks for _ in range(length)]
    return [value + offset for value, offset in zip(flat, offsets, strict=True)]
