"""The operations of a network and their shape rules, each rule once.

Shapes are batch-free: (C, H, W) for maps, (L, F) for sequences of L steps, (F,) for vectors. An operation is a
frozen value; it knows how it changes a shape and nothing about weights, memory or frameworks.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import cached_property
from hashlib import blake2b
from typing import ClassVar, Literal, get_args

from spaces.errors import UsageError

Shape = tuple[int, ...]
Pair = tuple[int, int]


class ShapeError(UsageError):
    """An operation that does not fit the shapes it is given."""


_WORDS: dict[str, tuple[object, ...]] = {
    "Pool.kind": ("max", "avg"),
    "Pool.rounding": ("floor", "ceil"),
    "Conv.bias": (True, False),
    "Dense.bias": (True, False),
    "Recurrent.kind": ("lstm", "gru", "rnn"),
    "Recurrent.sequences": (True, False),
}


def _is_whole(value: object, low: int) -> bool:
    return type(value) is int and value >= low


class Operation:
    """Common to all operations: a stable text and number, equal in every process."""

    variadic: ClassVar[bool] = False  # reads any number of nodes, not exactly one
    commutative: ClassVar[bool] = False  # variadic, and the order of its inputs does not matter
    elementwise: ClassVar[bool] = False  # one input, whose shape is the output's

    def __post_init__(self) -> None:
        for f in fields(self):  # type: ignore[arg-type]
            self._check(f.name, getattr(self, f.name))

    def _check(self, name: str, value: object) -> None:
        """Refuse a field that no operation can have; a kernel of 3 instead of (3, 3) is the usual slip."""
        low = 0 if name == "padding" else 1
        words = _WORDS.get(f"{type(self).__name__}.{name}")
        if name in ("kernel", "stride", "padding", "dilation"):
            right = isinstance(value, tuple) and len(value) == 2 and all(_is_whole(n, low) for n in value)
            wanted = f"two whole numbers of at least {low}, (along the height, along the width)"
        elif name in ("channels", "groups", "units"):
            right, wanted = _is_whole(value, low), "a whole number of at least 1"
        elif words is not None:
            right = type(value) is type(words[0]) and value in words  # 1 is no True: it has another token
            wanted = " or ".join(map(str, words))
        elif name == "shape":
            right = isinstance(value, tuple) and len(value) in (1, 2, 3) and all(_is_whole(n, low) for n in value)
            wanted = "(C, H, W), (L, F) or (F,) of whole numbers of at least 1"
        else:
            return
        if not right:
            raise ShapeError(f"{type(self).__name__}: {name} is {value!r}; expected {wanted}")

    @cached_property
    def token(self) -> str:
        """Canonical text, e.g. `Conv(16,(3, 3),(1, 1),(1, 1),1,False)`; what keys are made of."""
        values = [
            str(value)
            for f in fields(self)  # type: ignore[arg-type]
            if (value := getattr(self, f.name)) != f.metadata.get("untold")
        ]
        return f"{type(self).__name__}({','.join(values)})"

    @cached_property
    def code(self) -> int:
        """A 63-bit digest of the token, independent of PYTHONHASHSEED."""
        return int.from_bytes(blake2b(self.token.encode(), digest_size=8).digest(), "big") >> 1


@dataclass(frozen=True)
class Input(Operation):
    """The image, sequence or vector that enters."""

    shape: Shape

    def out_shape(self) -> Shape:
        return self.shape


@dataclass(frozen=True)
class Conv(Operation):
    """2-D convolution; depthwise when `groups` equals the input channels and `channels`."""

    channels: int
    kernel: Pair
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    groups: int = 1
    bias: bool = True
    dilation: Pair = field(default=(1, 1), metadata={"untold": (1, 1)})  # came after keys were written to disk

    def out_shape(self, shape: Shape) -> Shape:
        channels, height, width = _map(self, shape)
        groups = self.groups
        if groups != 1 and (channels % groups or self.channels % groups):
            raise ShapeError(f"{self.token} on {channels} channels: groups must divide both channel counts")
        out_height, out_width = _slide(self, height, width, ceil=False)
        return self.channels, out_height, out_width


@dataclass(frozen=True)
class Pool(Operation):
    """Maximum or average pooling; `rounding` says what becomes of a last, incomplete window.

    Average pooling never counts padding.
    """

    kind: Literal["max", "avg"]
    kernel: Pair
    stride: Pair
    padding: Pair = (0, 0)
    rounding: Literal["floor", "ceil"] = "floor"

    def out_shape(self, shape: Shape) -> Shape:
        channels, height, width = _map(self, shape)
        out_height, out_width = _slide(self, height, width, ceil=self.rounding == "ceil")
        return channels, out_height, out_width


@dataclass(frozen=True)
class BatchNorm(Operation):
    """Batch normalisation with a learnable scale and shift per channel."""

    elementwise: ClassVar[bool] = True

    def out_shape(self, shape: Shape) -> Shape:
        if len(shape) == 2:
            raise ShapeError(f"BatchNorm() on a sequence {shape}; expected a map (C, H, W) or a vector (F,)")
        return shape


@dataclass(frozen=True)
class ReLU(Operation):
    """max(x, 0), element by element."""

    elementwise: ClassVar[bool] = True

    def out_shape(self, shape: Shape) -> Shape:
        return shape


@dataclass(frozen=True)
class Tanh(Operation):
    """Hyperbolic tangent, element by element."""

    elementwise: ClassVar[bool] = True

    def out_shape(self, shape: Shape) -> Shape:
        return shape


@dataclass(frozen=True)
class Sigmoid(Operation):
    """1 / (1 + exp(-x)), element by element."""

    elementwise: ClassVar[bool] = True

    def out_shape(self, shape: Shape) -> Shape:
        return shape


@dataclass(frozen=True)
class Add(Operation):
    """Sum of maps with equal channels; smaller ones are zero-padded at the bottom and right.

    Sequences and vectors are added to those of their own shape.
    """

    variadic: ClassVar[bool] = True
    commutative: ClassVar[bool] = True

    def out_shape(self, *shapes: Shape) -> Shape:
        first = shapes[0]
        if len(first) < 3:
            if any(shape != first for shape in shapes):
                raise ShapeError(f"Add of {shapes}; expected vectors of equal lengths or sequences of equal shape")
            return first
        if any(len(shape) != 3 or shape[0] != first[0] for shape in shapes):
            raise ShapeError(f"Add of maps {shapes}; expected equal channels")
        return first[0], max(shape[1] for shape in shapes), max(shape[2] for shape in shapes)


@dataclass(frozen=True)
class Concat(Operation):
    """Maps of equal height and width one behind the other along the channels, in the order of the inputs."""

    variadic: ClassVar[bool] = True

    def out_shape(self, *shapes: Shape) -> Shape:
        if len(shapes) < 2:
            raise ShapeError("Concat of one map; expected at least two: read the map itself")
        if any(len(shape) != 3 or shape[1:] != shapes[0][1:] for shape in shapes):
            raise ShapeError(f"Concat of {shapes}; expected maps (C, H, W) of equal height and width")
        return sum(shape[0] for shape in shapes), *shapes[0][1:]


@dataclass(frozen=True)
class Slice(Operation):
    """The first `channels` channels of a map."""

    channels: int

    def out_shape(self, shape: Shape) -> Shape:
        channels, height, width = _map(self, shape)
        if self.channels > channels:
            raise ShapeError(f"{self.token} of a map of {channels} channels; expected at most as many as it has")
        return self.channels, height, width


@dataclass(frozen=True)
class Shift(Operation):
    """The map moved up and left by one pixel, zeros entering below and at the right: y[h, w] = x[h + 1, w + 1]."""

    def out_shape(self, shape: Shape) -> Shape:
        return _map(self, shape)


@dataclass(frozen=True)
class Zero(Operation):
    """x * 0: keeps the shape and the dependency, passes no information (NAS-Bench-201's `none`)."""

    elementwise: ClassVar[bool] = True

    def out_shape(self, shape: Shape) -> Shape:
        return shape


@dataclass(frozen=True)
class Flatten(Operation):
    """Map or sequence to vector."""

    def out_shape(self, shape: Shape) -> Shape:
        size = 1
        for length in shape:
            size *= length
        return (size,)


@dataclass(frozen=True)
class Dense(Operation):
    """Fully connected layer."""

    units: int
    bias: bool = True

    def out_shape(self, shape: Shape) -> Shape:
        if len(shape) != 1:
            raise ShapeError(f"{self.token} on a {_kind(shape)} {shape}; expected a vector: flatten first")
        return (self.units,)


@dataclass(frozen=True)
class Recurrent(Operation):
    """A recurrent layer that reads a sequence step by step from a state of zeros.

    One bias per gate where the kind is "lstm" (Hochreiter and Schmidhuber 1997, with a forget gate and without
    peepholes) or "rnn" (Elman 1990, tanh); two where it is "gru" (Cho et al. 2014, the reset gate applied to the
    recurrent product), whose two do not add up.

    Attributes:
        kind: The cell.
        units: Width of its state and output.
        sequences: Whether every step's output is handed on, (L, units), or the last one's, (units,).
    """

    kind: Literal["lstm", "gru", "rnn"]
    units: int
    sequences: bool = False

    @property
    def gates(self) -> int:
        """Vectors of `units` computed from input and state; weights have a block of rows for each."""
        return {"lstm": 4, "gru": 3, "rnn": 1}[self.kind]

    @property
    def biases(self) -> int:
        """Bias vectors of `gates * units`."""
        return 2 if self.kind == "gru" else 1

    def weights(self, features: int) -> int:
        """Numbers in both matrices of a layer that reads `features` numbers per step; each is used once a step."""
        return self.gates * self.units * (features + self.units)

    def out_shape(self, shape: Shape) -> Shape:
        if len(shape) != 2:
            raise ShapeError(f"{self.token} on a {_kind(shape)} {shape}; expected a sequence (L, F)")
        return (shape[0], self.units) if self.sequences else (self.units,)


def reach_of(op: Conv | Pool) -> Pair:
    """Height and width of the pixels that one window spans: the kernel's, unless it is dilated."""
    if type(op) is not Conv or op.dilation == (1, 1):
        return op.kernel
    (height, width), (down, right) = op.kernel, op.dilation
    return (height - 1) * down + 1, (width - 1) * right + 1


def volume(shape: Shape) -> int:
    """Number of elements of a shape."""
    if len(shape) == 3:
        return shape[0] * shape[1] * shape[2]
    return shape[0] * shape[1] if len(shape) == 2 else shape[0]


Op = (
    Input
    | Conv
    | Pool
    | BatchNorm
    | ReLU
    | Tanh
    | Sigmoid
    | Add
    | Concat
    | Slice
    | Shift
    | Zero
    | Flatten
    | Dense
    | Recurrent
)

OPS: dict[str, type[Op]] = {op.__name__: op for op in get_args(Op)}


def _map(op: Operation, shape: Shape) -> Shape:
    if len(shape) != 3:
        raise ShapeError(f"{op.token} on a {_kind(shape)} {shape}; expected a map (C, H, W)")
    return shape


def _kind(shape: Shape) -> str:
    return ("vector", "sequence", "map")[len(shape) - 1]


def _slide(op: Conv | Pool, height: int, width: int, ceil: bool) -> Pair:
    """Positions of a sliding window along both axes.

    With `ceil` a last, incomplete window counts, unless it would start beyond the map and its leading padding,
    as in PyTorch.
    """
    positions = []
    reach = reach_of(op)
    for size, kernel, stride, padding in zip((height, width), reach, op.stride, op.padding, strict=True):
        room = size + 2 * padding - kernel
        if room < 0 and not (ceil and room + stride > 0):
            raise ShapeError(f"{op.token} does not fit a map of {height}x{width}")
        count = (room + stride - 1) // stride + 1 if ceil else room // stride + 1
        if ceil and (count - 1) * stride >= size + padding:
            count -= 1
        positions.append(count)
    return positions[0], positions[1]
