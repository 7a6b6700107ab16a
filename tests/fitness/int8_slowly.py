"""TensorFlow Lite's int8 reference kernels once more, one number at a time in Python's integers.

From the definitions of gemmlowp's fixed point and of the kernels' loops; shares nothing with `fitness.quantising`
but the description of the network.
"""

from __future__ import annotations

from itertools import product
from math import floor, frexp

import numpy as np
from numpy.typing import NDArray

from fitness.quantised import QuantisedKernel, QuantisedNetwork, Scheme
from spaces.layers import Add, BatchNorm, Concat, Conv, Dense, Pool, ReLU, Shift, Slice, Zero

Stored = NDArray[np.int8]
Number = int


def outputs_slowly(net: QuantisedNetwork, image: NDArray[np.float32]) -> Stored:
    """The stored output for one stored image (C, H, W)."""
    values = [image]
    for quantised in net.kernels[1:]:
        kernel = quantised.kernel
        sources = [(values[source], net.kernels[source].output) for source in kernel.inputs]
        if len(kernel.shape) == 1:
            sources = [(value.reshape(-1), scheme) for value, scheme in sources]
        out = np.zeros(kernel.shape, np.int8)
        low = quantised.output.zero_point if kernel.relus else -128
        whole = _added(quantised, sources) if isinstance(kernel.op, Add) else None
        for place in product(*map(range, kernel.shape)):
            number = whole[place] if whole is not None else _number(quantised, sources, place)
            out[place] = min(127, max(low, number))
        values.append(out)
    return values[-1]


def _number(quantised: QuantisedKernel, sources: list[tuple[Stored, Scheme]], place: tuple[Number, ...]) -> int:
    op, (value, scheme) = quantised.kernel.op, sources[0]
    zero = quantised.output.zero_point
    match op:
        case Conv():
            return zero + _rescaled(quantised, scheme, place[0], _window_sum(op, quantised, value, scheme, place))
        case Dense():
            row = quantised.weights[place[0]].tolist()
            total = sum(w * (x - scheme.zero_point) for w, x in zip(row, value.tolist(), strict=True))
            return zero + _rescaled(quantised, scheme, place[0], total)
        case BatchNorm():
            total = int(quantised.weights[place[0], 0, 0, 0]) * (int(value[place]) - scheme.zero_point)
            return zero + _rescaled(quantised, scheme, place[0], total)
        case ReLU():
            return zero + _times(int(value[place]) - scheme.zero_point, scheme.scale / quantised.output.scale)
        case Pool():
            return _pooled(op, value, place)
        case Concat():
            return int(np.concatenate([part for part, _ in sources])[place])
        case Slice():
            return int(value[place])
        case Shift():
            channel, y, x = place
            inside = y + 1 < value.shape[1] and x + 1 < value.shape[2]
            return int(value[channel, y + 1, x + 1]) if inside else scheme.zero_point
        case Zero():
            return zero
    raise AssertionError(op)


def _window_sum(op: Conv, quantised: QuantisedKernel, value: Stored, scheme: Scheme, place: tuple[int, ...]) -> int:
    channel, y, x = place
    per_group = value.shape[0] // op.groups
    first = channel // (op.channels // op.groups) * per_group
    total = 0
    for c, i, j in product(range(per_group), range(op.kernel[0]), range(op.kernel[1])):
        row = y * op.stride[0] - op.padding[0] + i * op.dilation[0]
        column = x * op.stride[1] - op.padding[1] + j * op.dilation[1]
        if 0 <= row < value.shape[1] and 0 <= column < value.shape[2]:
            weight = int(quantised.weights[channel, c, i, j])
            total += weight * (int(value[first + c, row, column]) - scheme.zero_point)
    return total


def _rescaled(quantised: QuantisedKernel, scheme: Scheme, channel: int, total: int) -> int:
    total += int(quantised.biases[channel])
    assert abs(total) < 2**31
    scale = float(quantised.scales[0 if isinstance(quantised.kernel.op, Dense) else channel])
    return _times(total, scheme.scale * scale / quantised.output.scale)


def _pooled(op: Pool, value: Stored, place: tuple[int, ...]) -> int:
    channel, y, x = place
    rows = range(y * op.stride[0] - op.padding[0], y * op.stride[0] - op.padding[0] + op.kernel[0])
    columns = range(x * op.stride[1] - op.padding[1], x * op.stride[1] - op.padding[1] + op.kernel[1])
    inside = [
        int(value[channel, row, column])
        for row, column in product(rows, columns)
        if 0 <= row < value.shape[1] and 0 <= column < value.shape[2]
    ]
    if op.kind == "max":
        return max(inside)
    total, count = sum(inside), len(inside)
    return (total + count // 2) // count if total > 0 else -((-total + count // 2) // count)


def _added(quantised: QuantisedKernel, sources: list[tuple[Stored, Scheme]]) -> NDArray[np.int64]:
    """Pairwise sums; all but the last are clamped to int8 here."""
    shape = quantised.kernel.shape
    (total, scheme), *others = [(_whole(value, term, shape), term) for value, term in sources]
    schemes = [*quantised.partial, quantised.output]
    assert len(schemes) == max(len(others), 1)
    for index, (value, other) in enumerate(others):
        out = schemes[index]
        coarse = 2 * max(scheme.scale, other.scale)
        for place in product(*map(range, shape)):
            both = sum(
                _times((int(q[place]) - s.zero_point) * 2**20, s.scale / coarse)
                for q, s in ((total, scheme), (value, other))
            )
            number = out.zero_point + _times(both, coarse / (2**20 * out.scale))
            total[place] = number if index == len(others) - 1 else min(127, max(-128, number))
        scheme = out
    return total


def _whole(value: Stored, scheme: Scheme, shape: tuple[int, ...]) -> NDArray[np.int64]:
    out = np.full(shape, scheme.zero_point, np.int64)
    out[tuple(slice(length) for length in value.shape)] = value
    return out


def _times(number: int, real: float) -> int:
    """MultiplyByQuantizedMultiplier: SaturatingRoundingDoublingHighMul, then RoundingDivideByPOT."""
    part, shift = frexp(real)
    mantissa = floor(part * 2**31 + 0.5)
    if mantissa == 2**31:
        mantissa, shift = mantissa // 2, shift + 1
    if shift < -31:
        return 0
    product_ = number * 2 ** max(shift, 0) * mantissa
    nudged = product_ + (2**30 if product_ >= 0 else 1 - 2**30)
    high = nudged // 2**31 if nudged >= 0 else -(-nudged // 2**31)
    exponent = max(-shift, 0)
    mask = 2**exponent - 1
    return (high >> exponent) + ((high & mask) > (mask >> 1) + (high < 0))
