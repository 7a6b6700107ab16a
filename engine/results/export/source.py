"""A network as the text of a PyTorch module that needs torch alone.

What is written computes what `fitness.lower` computes, in the same order: layers with weights and poolings get
names, the rest is said in place. Nodes that the output does not depend on are left out. Knows no torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from string import ascii_lowercase

from engine.results.export.naming import layer_names, needed, words_of
from spaces.layers import (
    Add,
    BatchNorm,
    Concat,
    Conv,
    Dense,
    Flatten,
    Input,
    Op,
    Pair,
    Pool,
    Recurrent,
    ReLU,
    Shape,
    Shift,
    Sigmoid,
    Slice,
    Tanh,
    Zero,
)
from spaces.network import Network

__all__ = ["Module", "module_of"]

_LINE_LENGTH = 88  # what formatters keep to if nobody tells them otherwise
_NAMES = ("x", "y", "z", *ascii_lowercase[:23])
_FOLLOWS = (ReLU, Tanh, Sigmoid, BatchNorm)  # said on the line of what they follow
_FUNCTIONAL = "from torch.nn import functional"


@dataclass(frozen=True)
class Module:
    """A module as text.

    Attributes:
        text: Of the file.
        layers: For every layer that has weights, its name and the node it computes.
    """

    text: str
    layers: dict[str, int]


@dataclass
class _Step:
    """One line of the forward: what it computes, `{0}` standing for its first operand, and how it is read."""

    template: str
    operands: tuple[int, ...]
    has_main: bool  # whether it holds more than what may precede and follow a layer on its line


def module_of(network: Network, class_name: str, notes: Sequence[str]) -> Module:
    """The module of a network.

    Args:
        network: What it computes.
        class_name: Of the module.
        notes: Lines that open the file's docstring, the first of them a sentence.
    """
    names = layer_names(network)
    words = words_of(network)
    steps, output = _steps(network, names)
    lines = _forward(steps, output, words.inputs)
    built = [
        line for node, name in names.items() for line in _broken(f"self.{name} = {_constructor(network, node)}")
    ]
    into, out = _shape(network.shapes[0]), _shape(network.shapes[-1])
    imports = ["from pathlib import Path", "", "import torch", "from torch import Tensor, nn"]
    if any("functional." in line for line in lines):
        imports.append(_FUNCTIONAL)
    told = "\n".join([notes[0], "", *notes[1:], ""] if notes[1:] else notes)
    told = told.replace("\\", r"\\").replace('"""', r"\"\"\"")  # folders and columns may be called anything
    text = "\n".join(
        [
            f'"""{told}"""',
            "",
            *imports,
            "",
            'WEIGHTS = Path(__file__).with_suffix(".pt")',
            "",
            "",
            f"class {class_name}(nn.Module):",
            f'    """Map {words.inputs} {into} to {words.outputs} {out}."""',
            "",
            "    def __init__(self) -> None:",
            '        """Make the layers; their weights are random until some are loaded."""',
            "        super().__init__()",
            *(f"        {line}" for line in built),
            "",
            f"    def forward(self, {words.inputs}: Tensor) -> Tensor:",
            f'        """Return {words.returned}."""',
            *(f"        {line}" for line in lines),
            "",
            "",
            f"def load(path: Path = WEIGHTS) -> {class_name}:",
            f'    """Make the module with the weights of a file, ready to {words.task}."""',
            f"    module = {class_name}()",
            '    module.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))',
            "    return module.eval()",
            "",
        ]
    )
    return Module(text, {name: node for node, name in names.items() if not isinstance(network.ops[node], Pool)})


def _constructor(network: Network, node: int) -> str:
    op, shape = network.ops[node], network.shapes[network.inputs[node][0]]
    match op:
        case Conv(channels, kernel, stride, padding, groups, bias, dilation):
            return _call(
                "nn.Conv2d",
                (shape[0], channels, _pair(kernel)),
                stride=None if stride == (1, 1) else _pair(stride),
                padding=None if padding == (0, 0) else _pair(padding),
                dilation=None if dilation == (1, 1) else _pair(dilation),
                groups=None if groups == 1 else groups,
                bias=None if bias else False,
            )
        case Pool(kind, kernel, stride, padding, rounding):
            return _call(
                "nn.MaxPool2d" if kind == "max" else "nn.AvgPool2d",
                (_pair(kernel),),
                stride=None if stride == kernel else _pair(stride),
                padding=None if padding == (0, 0) else _pair(padding),
                ceil_mode=True if rounding == "ceil" else None,
                count_include_pad=False if kind == "avg" and padding != (0, 0) else None,
            )
        case Dense(units, bias):
            return _call("nn.Linear", (shape[0], units), bias=None if bias else False)
        case Recurrent(kind, units):
            return _call(f"nn.{kind.upper()}", (shape[1], units), batch_first=True)
        case _:
            return _call("nn.BatchNorm2d" if len(shape) == 3 else "nn.BatchNorm1d", (shape[0],))


def _call(function: str, values: tuple[object, ...], **options: object) -> str:
    """A call; options that are None keep torch's default."""
    given = [f"{name}={value}" for name, value in options.items() if value is not None]
    return f"{function}({', '.join([*map(str, values), *given])})"


def _broken(line: str) -> list[str]:
    """A line of a method's body as formatters break it where it is too long: what is called with on its own."""
    if len(line) + 8 <= _LINE_LENGTH:
        return [line]
    head, _, arguments = line[:-1].partition("(")
    return [f"{head}(", f"    {arguments}", ")"]


def _pair(pair: Pair) -> object:
    return pair[0] if pair[0] == pair[1] else pair


def _steps(network: Network, names: dict[int, str]) -> tuple[list[tuple[int, _Step]], int]:
    """The lines of the forward with the value each makes, and the value of the output; 0 is the input."""
    wanted = needed(network)
    readers = [sum(wanted[user] for user in users) for users in network.consumers]
    open_steps: dict[int, _Step] = {}  # by the value it makes
    fresh = count(len(network))
    value = list(range(len(network)))  # that holds what a node computes
    done: dict[int, _Step] = {}
    for node, op in enumerate(network.ops):
        if not wanted[node] or isinstance(op, Input):
            continue
        if isinstance(op, Add | Concat):
            operands = [value[source] for source in network.inputs[node]]
            if isinstance(op, Add):
                for place, source in enumerate(network.inputs[node]):
                    if pad := _padding(network.shapes[source], network.shapes[node]):
                        padded = next(fresh)
                        done[padded] = _Step(f"functional.pad({{0}}, {pad})", (operands[place],), True)
                        operands[place] = padded
            if len(operands) == 1:
                value[node] = operands[0]
                continue
            holes = [f"{{{place}}}" for place in range(len(operands))]
            text = " + ".join(holes) if isinstance(op, Add) else f"torch.cat([{', '.join(holes)}], dim=1)"
            step = _Step(text, tuple(operands), True)
        else:
            source = network.inputs[node][0]
            before = open_steps.get(value[source])
            main = not isinstance(op, _FOLLOWS)
            joins = before is not None and readers[source] == 1 and not isinstance(op, Flatten)
            if before is not None and joins and not (main and before.has_main):
                del done[value[source]]
                step = _Step(_said(op, names.get(node), before.template), before.operands, main or before.has_main)
            else:
                step = _Step(_said(op, names.get(node), "{0}"), (value[source],), main and type(op) is not Flatten)
        done[value[node]] = open_steps[value[node]] = step
    return list(done.items()), value[-1]


def _said(op: Op, name: str | None, operand: str) -> str:
    match op:
        case ReLU():
            return f"functional.relu({operand})"
        case Flatten():
            return f"{operand}.flatten(1)"
        case Zero():
            return f"{operand} * 0.0"
        case Slice(channels):
            return f"{operand}[:, :{channels}]"
        case Shift():
            return f"functional.pad({operand}, (0, 1, 0, 1))[:, :, 1:, 1:]"
        case Tanh() | Sigmoid():
            return f"torch.{type(op).__name__.lower()}({operand})"
        case Recurrent():
            return f"self.{name}({operand})[0]{'' if op.sequences else '[:, -1]'}"
        case _:
            return f"self.{name}({operand})"


def _padding(shape: Shape, wanted: Shape) -> str | None:
    """What `functional.pad` adds at the bottom and right of a smaller term of a sum."""
    if len(shape) < 3 or shape[1:] == wanted[1:]:
        return None
    return f"(0, {wanted[2] - shape[2]}, 0, {wanted[1] - shape[1]})"


def _forward(steps: Sequence[tuple[int, _Step]], output: int, given: str) -> list[str]:
    """The body of the forward, a variable taken again once nothing reads it any more."""
    last = {0: -1} | {value: line for line, (value, _) in enumerate(steps)}
    for line, (_, step) in enumerate(steps):
        for operand in step.operands:
            last[operand] = line
    held = {0: given}
    lines: list[str] = []
    for line, (value, step) in enumerate(steps):
        operands = [held[operand] for operand in step.operands]
        for operand in set(step.operands):
            if last[operand] == line:
                del held[operand]
        text = step.template.format(*operands)
        if value == output:
            return [*lines, f"return {text}"]
        held[value] = next(name for name in _variables() if name not in held.values())
        lines.append(f"{held[value]} = {text}")
    return [*lines, f"return {held[output]}"]


def _variables() -> Iterator[str]:
    yield from _NAMES
    yield from (f"x{number}" for number in count(1))


def _shape(shape: Shape) -> str:
    return f"(N, {', '.join(map(str, shape))})"
