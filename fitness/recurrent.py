"""A recurrent layer as a torch module, with one bias per gate where the second adds nothing.

Torch's own modules keep two biases per gate; of an LSTM or a plain recurrent layer only their sum matters, and
Keras and the papers count one. The computation is torch's fused one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import sqrt

import torch
from torch import Tensor, nn
from torch.backends import cudnn

from spaces.layers import Recurrent

__all__ = ["RecurrentLayer"]

_FUSED: dict[str, Callable[..., tuple[Tensor, ...]]] = {"lstm": torch.lstm, "gru": torch.gru, "rnn": torch.rnn_tanh}


class RecurrentLayer(nn.Module):
    """Maps (N, L, features) to (N, L, units), or to the last step's (N, units); the state starts at zero.

    Args:
        op: Kind, width, and whether every step's output is handed on. Gates lie in the order i, f, g, o of an LSTM
            and r, z, n of a GRU.
        features: Numbers per step that enter.

    Attributes:
        weight_ih: (gates * units, features), the gates one below the other.
        weight_hh: (gates * units, units).
        bias: (gates * units,); of a GRU the one of the product with the input.
        bias_hh: (gates * units,), of a GRU alone: the one of the recurrent product.
    """

    bias_hh: nn.Parameter | None

    def __init__(self, op: Recurrent, features: int) -> None:
        super().__init__()
        self.op, self.features = op, features
        rows = op.gates * op.units
        self.weight_ih = nn.Parameter(torch.empty(rows, features))
        self.weight_hh = nn.Parameter(torch.empty(rows, op.units))
        self.bias = nn.Parameter(torch.empty(rows))
        self.register_parameter("bias_hh", nn.Parameter(torch.empty(rows)) if op.biases == 2 else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw everything as torch does: U(-1 / sqrt(units), 1 / sqrt(units))."""
        bound = 1 / sqrt(self.op.units)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    def forward(self, steps: Tensor) -> Tensor:
        """(N, L, units) or (N, units) of (N, L, features)."""
        second = torch.zeros_like(self.bias) if self.bias_hh is None else self.bias_hh
        weights = [self.weight_ih, self.weight_hh, self.bias, second]
        state = steps.new_zeros(1, len(steps), self.op.units)
        hidden = (state, state) if self.op.kind == "lstm" else state
        with _without_cudnn(steps.is_cuda):  # biases, 1 layer, no dropout, not training, one way, batch first
            outputs = _FUSED[self.op.kind](steps, hidden, weights, True, 1, 0.0, False, False, True)[0]
        return outputs if self.op.sequences else outputs[:, -1]

    def extra_repr(self) -> str:
        """What torch prints of it."""
        return f"{self.op.token}, {self.features}"


@contextmanager
def _without_cudnn(on_gpu: bool) -> Iterator[None]:
    """Torch's own kernels on a GPU.

    CuDNN's want all weights in one block of memory, which parameters of one's own are not, cannot be differentiated
    twice, and not even once in evaluation.
    """
    if not on_gpu:
        yield
        return
    before = cudnn.enabled
    cudnn.enabled = False
    try:
        yield
    finally:
        cudnn.enabled = before
