"""The memory of a recurrent network that runs step by step in int8, for which there is no .tflite file.

Every step goes through all layers before the next, so that the tensor of a sequence holds one step. There all the
time: the window, and what is kept between steps, the hidden state of every recurrent layer in int8 and an LSTM's
cell state in int16. While a layer computes a step, four vectors of int16 come on top. States and scratch are those
of TensorFlow Lite Micro's UNIDIRECTIONAL_SEQUENCE_LSTM (tflite-micro @2e58922); GRU and plain layers, of which it
has none, are taken to compute likewise: a GRU's three gates with the candidate's recurrent product apart, a plain
layer's one.
"""

from __future__ import annotations

from functools import lru_cache

from fitness.deploy import Kernel, Tensor, aligned, arena_tensors, fused
from spaces.layers import Input, Recurrent
from spaces.network import Network

__all__ = ["is_recurrent", "planned_tensors", "state_sizes"]

_STATE_BYTES = {"lstm": (1, 2), "gru": (1,), "rnn": (1,)}
_SCRATCH_VECTORS = {"lstm": 4, "gru": 4, "rnn": 1}
_SCRATCH_BYTES = 2


def is_recurrent(network: Network) -> bool:
    """Whether a recurrent layer is among the operations."""
    return any(isinstance(op, Recurrent) for op in network.ops)


def state_sizes(op: Recurrent) -> list[int]:
    """Bytes of what a layer keeps between steps: its hidden state, and an LSTM's cell state."""
    return [op.units * each for each in _STATE_BYTES[op.kind]]


@lru_cache(maxsize=8)
def planned_tensors(network: Network) -> tuple[Tensor, ...]:
    """The buffers of an int8 network: those TensorFlow Lite Micro plans, or of a recurrent one those told above.

    Each is rounded up to 16 bytes. First and last are places in the list of kernels, in which a pass goes through
    them once per step.
    """
    if not is_recurrent(network):
        return arena_tensors(network)
    kernels = fused(network)
    end = len(kernels) - 1
    last = list(range(len(kernels)))
    whole = [index == end for index in range(len(kernels))]  # of a sequence: every step of it at once
    for index, (op, inputs, shape, *_) in enumerate(kernels):
        for source in inputs:
            last[source] = index
            whole[source] |= len(shape) == 1 and not isinstance(op, Recurrent)  # it reads a flattened sequence
    buffers: list[Tensor] = []
    for index, kernel in enumerate(kernels):
        if isinstance(kernel.op, Recurrent):
            buffers += [Tensor(aligned(size), 0, end) for size in state_sizes(kernel.op)]
            scratch = Tensor(aligned(_SCRATCH_BYTES * kernel.op.units), index, index)
            buffers += [scratch] * _SCRATCH_VECTORS[kernel.op.kind]
        size = _elements(kernel, whole[index])
        if size:
            filling = whole[index] and len(kernel.shape) == 2  # while the layers before it go on with the next step
            buffers.append(Tensor(aligned(size), 0 if filling else index, last[index] if index else end))
    return tuple(buffers)


def _elements(kernel: Kernel, whole: bool) -> int:
    """Elements that a kernel's output takes beside the layer's state, of which a recurrent one's is a part."""
    streams = len(kernel.shape) == 2 and not whole and not isinstance(kernel.op, Input)
    if isinstance(kernel.op, Recurrent) and (streams or len(kernel.shape) == 1):
        return 0
    return kernel.shape[1] if streams else kernel.elements
