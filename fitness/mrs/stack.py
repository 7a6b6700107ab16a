"""A recurrent network as a list of weight matrices, in the order and layout in which Keras keeps them.

Every layer's tensors lie one behind the other as one matrix: kernel (features, columns), recurrent kernel
(units, columns), then its bias or biases (columns,); columns are gate blocks of `units`, of an LSTM i, f, c, o, of
a GRU z, r, h. So a sample of a network's weights is one run of numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import sqrt
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from spaces.errors import UsageError
from spaces.layers import Dense, Recurrent, ReLU, Sigmoid, Tanh
from spaces.network import Network

__all__ = ["Law", "Layer", "Stack", "stack_of"]

#: What weights are drawn from: N(0, 1); U(-1, 1); Glorot's uniform law per matrix, with biases of zero.
Law = Literal["normal", "uniform", "glorot"]
LAWS: tuple[str, ...] = get_args(Law)

Activation = Literal["", "relu", "tanh", "sigmoid"]
_GATES = {"lstm": 4, "gru": 3, "rnn": 1, "dense": 1}
_ACTIVATIONS: dict[type, Activation] = {ReLU: "relu", Tanh: "tanh", Sigmoid: "sigmoid"}


@dataclass(frozen=True)
class Layer:
    """One layer with weights.

    Attributes:
        kind: The recurrent cell, or "dense".
        features: Numbers that enter, per step.
        units: Numbers that leave.
        biases: Rows of biases: two of a GRU, none of a dense layer without.
        activation: Of a dense layer.
    """

    kind: Literal["lstm", "gru", "rnn", "dense"]
    features: int
    units: int
    biases: int = 1
    activation: Activation = ""

    @property
    def columns(self) -> int:
        """Gates times units."""
        return _GATES[self.kind] * self.units

    @property
    def rows(self) -> int:
        """Rows of kernel, recurrent kernel and biases together."""
        return self.features + (0 if self.kind == "dense" else self.units) + self.biases

    @property
    def draws(self) -> int:
        """Number of weights."""
        return self.rows * self.columns

    def limits(self, law: Law, scale: float) -> NDArray[np.float64]:
        """(rows, 1): what standard draws of a law are multiplied with."""
        limits = np.full((self.rows, 1), float(scale))
        if law == "glorot":
            inner = self.rows - self.biases
            limits[: self.features] *= sqrt(6 / (self.features + self.columns))
            limits[self.features : inner] *= sqrt(6 / (self.units + self.columns))
            limits[inner:] = 0
        return limits


@dataclass(frozen=True)
class Stack:
    """Recurrent layers, then dense ones.

    Attributes:
        look_back: Steps of a window.
        features: Numbers per step.
        layers: In order.
    """

    look_back: int
    features: int
    layers: tuple[Layer, ...]

    @property
    def outputs(self) -> int:
        """Numbers that are forecast."""
        return self.layers[-1].units

    @property
    def draws(self) -> int:
        """Number of weights."""
        return sum(layer.draws for layer in self.layers)


def stack_of(network: Network) -> Stack:
    """The layers of a network Input((L, F)) -> Recurrent... -> Dense... with activations behind dense layers.

    Raises:
        UsageError: It is of another form.
    """
    shape = network.shapes[0]
    layers: list[Layer] = []
    chain = all(inputs == (index,) for index, inputs in enumerate(network.inputs[1:]))
    for op, sources in zip(network.ops[1:], network.inputs[1:], strict=True):
        features = network.shapes[sources[0]][-1]
        last = layers[-1] if layers else None
        if isinstance(op, Recurrent):
            layers.append(Layer(op.kind, features, op.units, 2 if op.kind == "gru" else 1))
        elif isinstance(op, Dense):
            layers.append(Layer("dense", features, op.units, int(op.bias)))
        elif last and last.kind == "dense" and not last.activation and type(op) in _ACTIVATIONS:
            layers[-1] = replace(last, activation=_ACTIVATIONS[type(op)])
        else:
            raise _refused(op.token)
    if not chain or len(shape) != 2 or not layers or layers[-1].kind != "dense":
        raise _refused(f"{'a chain' if chain else 'branches'} behind an input of shape {shape}")
    return Stack(shape[0], shape[1], tuple(layers))


def _refused(what: str) -> UsageError:
    return UsageError(
        f"MRS of a network with {what}; expected Input((L, F)), recurrent layers, then dense ones with ReLU, tanh, "
        "sigmoid or nothing behind them, as space rnn has them"
    )
