"""Weights of a layer under torch's own names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spaces.layers import Op, Recurrent

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["named_weights"]


def named_weights(op: Op, layer: nn.Module) -> dict[str, Tensor]:
    """What the layer of torch that does the same holds.

    An LSTM and a plain recurrent layer have one bias; torch's have two that are added, the second of which is zero.

    Args:
        op: What the layer computes.
        layer: Its module in a lowered network.
    """
    state = layer.state_dict()
    if not isinstance(op, Recurrent):
        return state
    bias = state["bias"]
    return {
        "weight_ih_l0": state["weight_ih"],
        "weight_hh_l0": state["weight_hh"],
        "bias_ih_l0": bias,
        "bias_hh_l0": state.get("bias_hh", bias.new_zeros(bias.shape)),
    }
