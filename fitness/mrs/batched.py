"""The errors of many random weight samples of a network, all samples in one batched computation.

Every cell is one batched matrix product per step, [input, state, 1] times [kernel; recurrent kernel; bias], and a
few element-wise passes in place. tanh(x) is computed as 2 sigmoid(2x) - 1, since torch's sigmoid costs a tenth of
its tanh on a CPU. The factors 2 are powers of two, so they go into the weights without rounding.

Only a wide LSTM, in float32 on a CPU, goes sample by sample through torch's own: that computes with oneDNN, twice
as fast where MKL, which is behind all other products, does not use a processor's widest vectors (AMD's).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from fitness.mrs.draws import Draws
from fitness.mrs.stack import Law, Layer, Stack
from fitness.mrs.windows import Distinct
from fitness.probing.memory import available_bytes
from fitness.probing.probe import exact_cuda

__all__ = ["errors"]

_WINDOWS = 1024  # run together at the most, whatever the memory: results must not depend on it
_WORKED_ON = {"cpu": 2**21, "cuda": 2**29}  # bytes of weights and gates of a step; of a CPU what its caches hold
_LANES = 64  # element-wise kernels treat the end of an array in another way than whole vectors

_WIDE = 2500  # windows times units from which a fused LSTM is the faster

#: How a layer is computed: as its cell, or "fused", and what its outputs are to be multiplied with.
_CARRIES = {"lstm": 2.0, "fused": 1.0, "gru": 1.0, "rnn": 2.0, "dense": 1.0}


def errors(
    stack: Stack,
    seen: Distinct,
    draws: Draws,
    samples: int,
    *,
    law: Law,
    scale: float,
    single: bool = False,
    device: str = "cpu",
    threads: int = 1,
    block: int = 0,
) -> NDArray[np.float64]:
    """Mean absolute error of every sample over all windows and outputs, (samples,).

    On a CPU each is the same number, bit for bit, for every block, number of threads and amount of memory.

    Args:
        stack: Of the network.
        seen: Windows of its look-back, and their targets.
        draws: Where weights come from; sample after sample is taken.
        samples: How often all weights are drawn.
        law: What `draws` draws.
        scale: Multiplies the weights.
        single: Compute in float32, not float64; weights and windows are float32 either way.
        device: "cpu" or "cuda[:N]".
        threads: Of the CPU.
        block: Samples that are computed together; 0 chooses by cache and memory.

    Raises:
        MemoryError: One sample needs more memory than there is.
    """
    where, kind = torch.device(device), torch.float32 if single else torch.float64
    threads = threads if where.type == "cpu" else 1
    ways = _ways(stack, min(len(seen.inputs), _WINDOWS), single and where.type == "cpu")
    keeps = draws.growth(samples * stack.draws)
    block = block or _block(stack, ways, seen, samples, where, threads, kind.itemsize, keeps)
    sizes = [min(block, samples - first) for first in range(0, samples, block)]

    with _alone(where), ThreadPoolExecutor(threads) as pool:
        steps = torch.from_numpy(seen.inputs).to(where, kind)
        factors = [torch.from_numpy(factor).to(where, kind) for factor in _factors(stack, ways, law, scale)]

        def run(weights: NDArray[np.float32]) -> NDArray[np.float64]:
            with torch.inference_mode():
                given = torch.from_numpy(weights).to(where).view(-1, stack.draws)
                forecasts = [_forecasts(stack, ways, given, factors, part) for part in torch.split(steps, _WINDOWS)]
                return seen.errors(torch.cat(forecasts, 1).cpu().numpy())

        found: list[NDArray[np.float64]] = []
        for first in range(0, len(sizes), threads):
            given = [draws.take(size * stack.draws) for size in sizes[first : first + threads]]
            found += pool.map(run, given) if threads > 1 else map(run, given)
    return np.concatenate(found)


_LOCK = threading.RLock()  # the number of threads is the process's


@contextmanager
def _alone(device: torch.device) -> Iterator[None]:
    """One thread per operation, since blocks are what is spread over threads; CUDA in full float32."""
    with _LOCK, ExitStack() as stack:
        if device.type == "cuda":
            stack.enter_context(exact_cuda())
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(before)


def _block(
    stack: Stack,
    ways: list[str],
    seen: Distinct,
    samples: int,
    device: torch.device,
    threads: int,
    itemsize: int,
    keeps: int,
) -> int:
    """How many samples to compute together; `keeps` bytes are for the draws that are kept."""
    windows, steps = min(len(seen.inputs), _WINDOWS), stack.look_back
    widest = max(4 * layer.units for layer in stack.layers)
    # A fused LSTM has the gates of all steps of a sample at once.
    inner = max(
        layer.rows + 2 * layer.units * (way == "fused") for layer, way in zip(stack.layers, ways, strict=True)
    )
    most = 3 * max(layer.draws for layer in stack.layers)
    each = itemsize * (most + windows * (2 * widest + 2 * (steps + 1) * inner))
    each += 4 * stack.draws + 8 * stack.outputs * (len(seen.inputs) + 2 * len(seen.targets))
    if device.type == "cuda":
        free: int | None = torch.cuda.mem_get_info(device)[0]
        keeps = 0  # elsewhere
    else:
        free = available_bytes()
    if free is not None and free < each * threads + keeps:
        raise MemoryError(
            f"one sample of the weights per thread and the kept draws need {each * threads + keeps:,} bytes, "
            f"{free:,} are available"
        )
    room = samples if free is None else (free - keeps) // 2 // threads // each
    step = max(layer.draws for layer in stack.layers) + windows * widest
    cached = _WORKED_ON[device.type] // (step * itemsize)
    return max(1, min(room, cached, -(-samples // threads)))


def _ways(stack: Stack, windows: int, single: bool) -> list[str]:
    """How each layer is computed, one of `_CARRIES`; the same for every block."""
    wide = [single and layer.kind == "lstm" and windows * layer.units >= _WIDE for layer in stack.layers]
    return ["fused" if fused else layer.kind for layer, fused in zip(stack.layers, wide, strict=True)]


def _factors(stack: Stack, ways: list[str], law: Law, scale: float) -> list[NDArray[np.float64]]:
    """Per layer (rows, columns): what standard draws are multiplied with, by the law and by our cells."""
    factors, carried = [], 1.0
    for layer, way in zip(stack.layers, ways, strict=True):
        factor = np.repeat(layer.limits(law, scale), layer.columns, axis=1)
        factor[: layer.features] *= carried
        carried, units = _CARRIES[way], layer.units
        if layer.kind != "dense":
            factor[layer.features : layer.features + units] *= carried
            # Our tanh: an LSTM's third gate, a GRU's third, all of a plain cell.
            tanh = slice(0, units) if layer.kind == "rnn" else slice(2 * units, 3 * units)
            factor[:, tanh] *= 1 if way == "fused" else 2
        factors.append(factor)
    return factors


def _forecasts(stack: Stack, ways: list[str], drawn: Tensor, factors: list[Tensor], windows: Tensor) -> Tensor:
    """What each sample forecasts of each window, (samples, windows, outputs).

    Args:
        stack: Of the network.
        ways: Of `_ways`.
        drawn: (samples, draws of a sample), standard.
        factors: Of `_factors`.
        windows: (windows, steps, features).
    """
    below = windows.transpose(0, 1).unsqueeze(1)  # (steps, 1, windows, features)
    at = 0
    for layer, way, factor in zip(stack.layers, ways, factors, strict=True):
        matrix = drawn[:, at : at + layer.draws].view(-1, layer.rows, layer.columns) * factor
        at += layer.draws
        compute = {"dense": _dense, "fused": _fused}.get(way, _recurrent)
        below = compute(layer, matrix, below)
    return below[0]


def _dense(layer: Layer, matrix: Tensor, below: Tensor) -> Tensor:
    """Outputs (1, samples, windows, units) for the last step of (steps, samples, windows, features)."""
    matrix, count, windows = _fours(matrix), len(matrix), below.shape[2]
    whole, out = _lanes(matrix, count, windows, matrix.shape[2])
    torch.bmm(below[-1].expand(count, -1, -1), matrix[:, : layer.features], out=out)
    if layer.biases:
        out += matrix[:, layer.features :]
    if layer.activation == "relu":
        whole.relu_()
    elif layer.activation == "tanh":
        whole.tanh_()
    elif layer.activation == "sigmoid":
        whole.sigmoid_()
    return out[..., : layer.units].unsqueeze(0)


def _fused(layer: Layer, matrix: Tensor, below: Tensor) -> Tensor:
    """What `_recurrent` gives for an LSTM, outputs not halved, by torch's own for each sample."""
    steps, _, windows, features = below.shape
    found = matrix.new_empty(steps, len(matrix), windows, layer.units)
    nothing = matrix.new_zeros(1, windows, layer.units)
    kernels, recurrents, biases = torch.split(matrix.transpose(1, 2), [features, layer.units, 1], 2)
    for sample, inputs in enumerate(below.expand(-1, len(matrix), -1, -1).unbind(1)):
        bias = biases[sample, :, 0].contiguous()
        weights = [kernels[sample].contiguous(), recurrents[sample].contiguous(), bias, torch.zeros_like(bias)]
        # True, 1, 0.0, ...: biases, one layer, no dropout, not training, one direction, steps before windows.
        found[:, sample] = torch.lstm(inputs, (nothing, nothing), weights, True, 1, 0.0, False, False, False)[0]
    return found


def _recurrent(layer: Layer, matrix: Tensor, below: Tensor) -> Tensor:
    """Outputs (steps, samples, windows, units) for inputs (steps, samples or 1, windows, features)."""
    steps, _, windows, features = below.shape
    count, units = len(matrix), layer.units
    # Per step [input, state before it, 1]; the state behind the last step has a place too.
    read = matrix.new_empty(steps + 1, count, windows, features + units + 1)
    read[:steps, ..., :features] = below
    states = read[..., features : features + units]
    states[0] = 0
    read[..., -1] = 1
    if layer.kind == "lstm":
        _lstm(matrix, read, states)
    elif layer.kind == "gru":
        _gru(_gru_matrix(matrix, features, units), read, states)
    else:
        _plain(matrix, read, states)
    return states[1:]


def _lstm(matrix: Tensor, read: Tensor, states: Tensor) -> None:
    """Fill in the states, halved: half of o * tanh(c) is o * (sigmoid(2c) - 1/2). Keeps 2c instead of c."""
    _, count, windows, units = states.shape
    whole_gates, gates = _lanes(matrix, count, windows, 4 * units)
    whole_cells, cells = _lanes(matrix, count, windows, units)
    whole, work = _lanes(matrix, count, windows, units)
    cells.zero_()
    enter, forget, candidate, leave = gates.chunk(4, 2)
    for step in range(len(states) - 1):
        torch.bmm(read[step], matrix, out=gates)
        whole_gates.sigmoid_()
        torch.sub(candidate, 0.5, out=work)
        cells.mul_(forget).addcmul_(enter, work, value=4)
        torch.sigmoid(whole_cells, out=whole)
        work.sub_(0.5)
        torch.mul(work, leave, out=states[step + 1])


def _gru(matrix: Tensor, read: Tensor, states: Tensor) -> None:
    """Fill in the states: h = z * h + (1 - z) * n, with n = tanh(input product + r * recurrent product)."""
    _, count, windows, units = states.shape
    gates = matrix.new_empty(count, windows, 4 * units)
    whole, work = _lanes(matrix, count, windows, units)
    whole_kept, kept = _lanes(matrix, count, windows, units)
    keep, reset, entering, recurrent = gates.chunk(4, 2)
    for step in range(len(states) - 1):
        torch.bmm(read[step], matrix, out=gates)
        kept.copy_(reset)
        whole_kept.sigmoid_()
        torch.addcmul(entering, kept, recurrent, out=work)
        whole.sigmoid_().mul_(2).sub_(1)
        kept.copy_(keep)
        whole_kept.sigmoid_()
        torch.sub(states[step], work, out=recurrent)
        torch.addcmul(work, kept, recurrent, out=states[step + 1])


def _gru_matrix(matrix: Tensor, features: int, units: int) -> Tensor:
    """(samples, features + units + 1, 4 * units) from Keras' (…, features + units + 2, 3 * units).

    Blocks z, r, input part of n, recurrent part of n: the reset gate stands between the last two.
    """
    kernel, recurrent, biases = torch.split(matrix, [features, units, 2], 1)
    whole = matrix.new_zeros(len(matrix), features + units + 1, 4 * units)
    whole[:, :features, : 3 * units] = kernel
    state, bias = whole[:, features:-1], whole[:, -1]
    state[..., : 2 * units] = recurrent[..., : 2 * units]
    state[..., 3 * units :] = recurrent[..., 2 * units :]
    bias[:, : 2 * units] = biases[..., : 2 * units].sum(1)
    bias[:, 2 * units :] = biases[..., 2 * units :].flatten(1)
    return whole


def _plain(matrix: Tensor, read: Tensor, states: Tensor) -> None:
    """Fill in the states of a cell h = tanh(product), halved."""
    _, count, windows, units = states.shape
    matrix = _fours(matrix)
    whole, work = _lanes(matrix, count, windows, matrix.shape[2])
    for step in range(len(states) - 1):
        torch.bmm(read[step], matrix, out=work)
        whole.sigmoid_()
        torch.sub(work[..., :units], 0.5, out=states[step + 1])


def _fours(matrix: Tensor) -> Tensor:
    """The matrix with columns of zeros behind it, up to a multiple of 4.

    MKL rounds a product by whether it is written to a multiple of 16 bytes, and a single column by whether it is
    alone in its batch.
    """
    return functional.pad(matrix, (0, -matrix.shape[2] % 4))


def _lanes(like: Tensor, *shape: int) -> tuple[Tensor, Tensor]:
    """A new buffer of whole vectors, and its beginning in that shape.

    On the buffer every element goes through the same instructions, wherever blocks of samples begin and end.
    """
    count = shape[0] * shape[1] * shape[2]
    whole = like.new_zeros(-(-count // _LANES) * _LANES)
    return whole, whole[:count].view(shape)
