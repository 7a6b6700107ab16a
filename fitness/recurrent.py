"""A recurrent layer as a torch module, with one bias per gate where the second adds nothing.

Torch's own modules keep two biases per gate; of an LSTM or a plain recurrent layer only their sum matters, and
Keras and the papers count one. The computation is torch's fused one.
"""

from __future__ import annotations

from math import sqrt
from typing import Literal

import torch
from torch import Tensor, nn

__all__ = ["RecurrentLayer"]

Kind = Literal["lstm", "gru", "rnn"]
_GATES = {"lstm": 4, "gru": 3, "rnn": 1}


class RecurrentLayer(nn.Module):
    """Maps (N, L, features) to (N, L, units), or to the last step's (N, units); the state starts at zero.

    Args:
        kind: "lstm" (gates in the order i, f, g, o), "gru" (r, z, n; the reset gate multiplies the recurrent
            product with its bias) or "rnn" (tanh).
        features: Numbers per step that enter.
        units: Width of the state.
        sequences: Hand on the output of every step, not of the last one alone.

    Attributes:
        weight_ih: (gates * units, features), the gates one below the other.
        weight_hh: (gates * units, units).
        bias: (gates * units,); of a GRU the one of the product with the input.
        bias_hh: (gates * units,), of a GRU alone: the one of the recurrent product.
    """

    bias_hh: nn.Parameter | None

    def __init__(self, kind: Kind, features: int, units: int, sequences: bool) -> None:
        super().__init__()
        self.kind, self.features, self.units, self.sequences = kind, features, units, sequences
        rows = _GATES[kind] * units
        self.weight_ih = nn.Parameter(torch.empty(rows, features))
        self.weight_hh = nn.Parameter(torch.empty(rows, units))
        self.bias = nn.Parameter(torch.empty(rows))
        self.register_parameter("bias_hh", nn.Parameter(torch.empty(rows)) if kind == "gru" else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw everything as torch does: U(-1 / sqrt(units), 1 / sqrt(units))."""
        bound = 1 / sqrt(self.units)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    def forward(self, steps: Tensor) -> Tensor:
        """(N, L, units) or (N, units) of (N, L, features)."""
        second = torch.zeros_like(self.bias) if self.bias_hh is None else self.bias_hh
        weights = [self.weight_ih, self.weight_hh, self.bias, second]
        state = steps.new_zeros(1, len(steps), self.units)
        # Has biases, one layer, no dropout, as in training (else no backward pass on a GPU), one way, batch first.
        if self.kind == "lstm":
            outputs = torch.lstm(steps, (state, state), weights, True, 1, 0.0, True, False, True)[0]
        else:
            step = torch.gru if self.kind == "gru" else torch.rnn_tanh
            outputs = step(steps, state, weights, True, 1, 0.0, True, False, True)[0]
        return outputs if self.sequences else outputs[:, -1]

    def extra_repr(self) -> str:
        """What torch prints of it."""
        return f"{self.kind}, {self.features}, {self.units}, sequences={self.sequences}"
