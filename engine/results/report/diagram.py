"""A network as a drawing of its layers: what follows an operation element by element shares its box."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from engine.results.report.layout import Layout, lay_out
from engine.results.report.markup import Markup, join, tag
from spaces.layers import (
    Add,
    Concat,
    Conv,
    Dense,
    Flatten,
    Input,
    Op,
    Pool,
    Recurrent,
    Shape,
    Slice,
    Zero,
)
from spaces.network import Network

__all__ = ["MOST_BOXES", "boxes_of", "draw_network"]

MOST_BOXES = 300  # beyond, a drawing is metres long
_LETTER, _LINE, _PAD = 6.3, 14.0, 6.0  # pixels


def boxes_of(network: Network) -> list[list[int]]:
    """The nodes of every box: one operation and the element-wise ones that alone read it, one after the other."""
    boxes: list[list[int]] = []
    box_of: dict[int, int] = {}
    for index, (op, sources, _) in enumerate(network.nodes):
        source = sources[0] if sources else -1
        joins = op.elementwise and not isinstance(op, Zero)
        if joins and network.reads[source] == 1 and not isinstance(network.ops[source], (Input, Zero)):
            box = box_of[source]
            boxes[box].append(index)
        else:
            box = len(boxes)
            boxes.append([index])
        box_of[index] = box
    return boxes


def draw_network(network: Network, name: str) -> Markup:
    """The drawing as SVG, or a note if the network has too many operations for one.

    Args:
        network: What to draw.
        name: Title of the drawing for those who cannot see it.
    """
    boxes = boxes_of(network)
    if len(boxes) > MOST_BOXES:
        return tag("p", f"{len(network)} operations: too many for a drawing.", class_="note")
    box_of = {index: box for box, nodes in enumerate(boxes) for index in nodes}
    inputs = [[box_of[source] for source in network.inputs[nodes[0]]] for nodes in boxes]
    texts = [_texts(network, nodes) for nodes in boxes]
    sizes = [(max(map(len, lines)) * _LETTER + 2 * _PAD, len(lines) * _LINE + _PAD) for lines in texts]
    layout = lay_out(sizes, inputs)
    drawn = [tag("path", d=_path(line)) for lines in layout.lines for line in lines]
    parts = [tag("g", *drawn, class_="edges")]
    for nodes, lines, size, (x, y) in zip(boxes, texts, sizes, layout.boxes, strict=True):
        parts.append(_box(network, nodes, lines, size, x, y))
    return _framed(layout, name, parts)


def _framed(layout: Layout, name: str, parts: Sequence[Markup]) -> Markup:
    width, height = layout.width + 4, layout.height + 4
    return tag(
        "svg",
        tag("title", name),
        *parts,
        class_="network",
        role="img",
        viewBox=f"-2 -2 {width:.0f} {height:.0f}",
        width=round(width),
        height=round(height),
    )


def _box(
    network: Network, nodes: list[int], lines: list[str], size: tuple[float, float], x: float, y: float
) -> Markup:
    width, height = size
    told = "\n".join(f"{index}: {network.ops[index].token}" for index in nodes)
    written = [
        tag("text", line, x=x, y=y + _LINE * (at + 1) - 1, class_="shape" if at == len(lines) - 1 else None)
        for at, line in enumerate(lines)
    ]
    frame = tag("rect", x=x - width / 2, y=y, width=width, height=height, rx=4)
    return tag("g", tag("title", told), frame, *written, class_=f"box {_kind(network, nodes[0])}")


def _texts(network: Network, nodes: list[int]) -> list[str]:
    lines = [_label(network.ops[index], _shapes(network, index)) for index in nodes]
    return [*lines, "×".join(map(str, network.shapes[nodes[-1]]))]


def _shapes(network: Network, index: int) -> Shape:
    sources = network.inputs[index]
    return network.shapes[sources[0]] if sources else ()


def _label(op: Op, shape: Shape) -> str:
    """What an operation is called; `shape` is that of its first input."""
    match op:
        case Conv():
            depthwise = op.groups > 1 and op.groups == shape[0] == op.channels
            what = "Depthwise" if depthwise else "Conv"
            more = "" if depthwise else f", {op.channels}"
            more += f", groups {op.groups}" if op.groups > 1 and not depthwise else ""
            more += f", dilation {_pair(op.dilation)}" if op.dilation != (1, 1) else ""
            return f"{what} {_pair(op.kernel)}{_stride(op.stride)}{more}"
        case Pool():
            if shape[1:] == op.kernel:
                return f"Global {op.kind} pool"
            return f"{op.kind.capitalize()} pool {_pair(op.kernel)}{_stride(op.stride)}"
        case Dense():
            return f"Dense {op.units}"
        case Recurrent():
            return f"{op.kind.upper()} {op.units}{', every step' if op.sequences else ''}"
        case Slice():
            return f"Slice {op.channels}"
    return type(op).__name__


def _pair(values: tuple[int, int]) -> str:
    return f"{values[0]}×{values[1]}"


def _stride(values: tuple[int, int]) -> str:
    if values == (1, 1):
        return ""
    return f" /{values[0]}" if values[0] == values[1] else f" /{_pair(values)}"


def _kind(network: Network, index: int) -> str:
    """The class that colours a box."""
    match op := network.ops[index]:
        case Conv():
            return "depthwise" if op.groups > 1 else "conv"
        case Dense():
            return "dense"
        case Pool():
            return "pool"
        case Recurrent():
            return "recurrent"
        case Add() | Concat():
            return "joint"
        case Input() | Flatten():
            return "ends"
        case Zero():
            return "zero"
    return "other"


def _path(points: Sequence[tuple[float, float]]) -> str:
    (x, y), steps = points[0], [f"M{points[0][0]:.0f} {points[0][1]:.0f}"]
    for at, (next_x, next_y) in enumerate(points[1:], 1):
        if at % 2 == 0 or abs(next_x - x) < 1:
            steps.append(f"L{next_x:.0f} {next_y:.0f}")
        else:
            bend = (y + next_y) / 2
            steps.append(f"C{x:.0f} {bend:.0f} {next_x:.0f} {bend:.0f} {next_x:.0f} {next_y:.0f}")
        x, y = next_x, next_y
    return "".join(steps)


LEGEND = (
    ("conv", "convolution"),
    ("depthwise", "depthwise, grouped"),
    ("dense", "dense"),
    ("recurrent", "recurrent"),
    ("pool", "pooling"),
    ("joint", "sum, concatenation"),
    ("other", "element-wise, slice"),
)


def legend(networks: Iterable[Network]) -> Markup:
    """What the colours of the boxes in drawings of some networks mean."""
    drawn = {_kind(network, nodes[0]) for network in networks for nodes in boxes_of(network)}
    return tag(
        "p",
        *(
            join(tag("span", tag("span", class_=f"swatch {kind}"), text, class_="entry"), " ")
            for kind, text in LEGEND
            if kind in drawn
        ),
        class_="legend",
    )
