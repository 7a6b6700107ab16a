"""Run an int8 network as TensorFlow Lite's reference kernels do, bit for bit, on many images at once.

Sums of products are exact: they are taken in float32 where no partial sum can reach 2**24, else in float64.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from fitness.quantised import HIGHEST, LOWEST, QuantisedKernel, QuantisedNetwork, Scheme
from fitness.quantising.arithmetic import clamped, factors, rounded_quotient, scaled
from fitness.training.fit import classes_of
from fitness.training.images import LabelledImages, Normalisation
from spaces.errors import UsageError
from spaces.layers import Add, BatchNorm, Concat, Conv, Dense, Input, Pool, ReLU, Shift, Slice, Zero

__all__ = ["int8_accuracy", "run_quantised"]

_AT_ONCE = 100  # images; what they need stays near the processor
_EXACT_BELOW = 2**24  # float32 counts without gaps up to here
_ADD_SHIFT = 20  # bits by which the ADD kernel refines its inputs

Values = tuple[Tensor, Scheme]


def run_quantised(net: QuantisedNetwork, images: NDArray[np.float32]) -> NDArray[np.float32]:
    """The network's outputs.

    Args:
        net: What runs.
        images: (N, C, H, W) or (N, F) normalised; float32.

    Returns:
        (N, units) real numbers that the stored outputs stand for.

    Raises:
        UsageError: Images of another shape than the network's input.
    """
    expected = net.kernels[0].kernel.shape
    if images.shape[1:] != expected:
        raise UsageError(f"images of shape {images.shape}; the network reads (N, {', '.join(map(str, expected))})")
    last = net.kernels[-1].output
    outputs = [np.empty((0, net.kernels[-1].kernel.elements), np.float32)]
    for start in range(0, len(images), _AT_ONCE):
        stored = net.kernels[0].output.quantised(images[start : start + _AT_ONCE])
        outputs.append(last.reals(run_stored(net, torch.from_numpy(stored)).flatten(1).numpy()))
    return np.concatenate(outputs)


def run_stored(net: QuantisedNetwork, images: Tensor) -> Tensor:
    """The stored output, int8, of stored images (N, C, H, W) int8."""
    last_reader: dict[int, int] = {}
    for index, quantised in enumerate(net.kernels):
        last_reader |= dict.fromkeys(quantised.kernel.inputs, index)
    values: dict[int, Values] = {}
    for index, quantised in enumerate(net.kernels):
        sources = quantised.kernel.inputs
        inputs = [values[source] for source in sources]
        if len(quantised.kernel.shape) == 1:  # flattening is no kernel
            inputs = [(stored.flatten(1), scheme) for stored, scheme in inputs]
        values[index] = (_run(quantised, inputs) if sources else images, quantised.output)
        for source in set(sources):
            if last_reader[source] == index:
                del values[source]
    return values[len(net.kernels) - 1][0]


def int8_accuracy(net: QuantisedNetwork, images: LabelledImages, normalise: Normalisation) -> float:
    """Share of images that an int8 network gives their class, in percent."""
    right = 0
    for start in range(0, len(images), _AT_ONCE):
        pixels = torch.from_numpy(images.pixels[start : start + _AT_ONCE])
        found = classes_of(torch.from_numpy(run_quantised(net, normalise(pixels).numpy())))
        right += int((found.numpy() == images.labels[start : start + _AT_ONCE]).sum())
    return 100.0 * right / len(images)


def _run(quantised: QuantisedKernel, inputs: list[Values]) -> Tensor:
    """The stored output of one kernel."""
    kernel, output = quantised.kernel, quantised.output
    op, relu = kernel.op, kernel.relus > 0
    stored, scheme = inputs[0]
    match op:
        case Conv() | Dense() | BatchNorm():
            return _weighted(quantised, stored, scheme)
        case Add():
            return _sum(inputs, (*quantised.partial, output), kernel.shape, relu)
        case ReLU():
            return clamped(scaled(_centred(inputs[0]), factors(scheme.scale / output.scale)), output, relu)
        case Pool():
            moved = _pooled(op, stored)
        case Concat():
            moved = torch.cat([part for part, _ in inputs], dim=1)
        case Slice(channels):
            moved = stored[:, :channels]
        case Shift():
            moved = functional.pad(stored, (0, 1, 0, 1), value=output.zero_point)[:, :, 1:, 1:]
        case Zero():
            moved = torch.full_like(stored, output.zero_point)
        case Input():
            raise AssertionError("the input is no kernel to run")
    return moved.clamp(min=output.zero_point) if relu else moved


def _centred(values: Values) -> Tensor:
    """int64 stored numbers counted from their zero point."""
    stored, scheme = values
    return stored.long() - scheme.zero_point


def _weighted(quantised: QuantisedKernel, stored: Tensor, scheme: Scheme) -> Tensor:
    """CONV_2D, DEPTHWISE_CONV_2D or FULLY_CONNECTED: exact sums, then one factor per output channel, or in all.

    The factor of FULLY_CONNECTED is taken in doubles, as the interpreter of the tflite-micro wheel does; older
    releases round the product of the two scales to float32 first: a part in 2**25.
    """
    assert quantised.weights is not None
    assert quantised.biases is not None
    assert quantised.scales is not None
    op, weights = quantised.kernel.op, torch.from_numpy(quantised.weights)
    reach = max(HIGHEST - scheme.zero_point, scheme.zero_point - LOWEST)
    bound = reach * int(weights.flatten(1).abs().sum(1, dtype=torch.int64).max())
    kind = torch.float32 if bound < _EXACT_BELOW else torch.float64
    inputs, weights = stored.to(kind) - scheme.zero_point, weights.to(kind)
    match op:
        case Conv():
            sums = functional.conv2d(inputs, weights, None, op.stride, op.padding, op.dilation, op.groups)
        case Dense():
            sums = functional.linear(inputs, weights)
        case _:
            sums = inputs * weights.view(-1, *(1,) * (inputs.ndim - 2))
    whole = sums.long()
    whole += torch.from_numpy(quantised.biases).view(-1, *(1,) * (whole.ndim - 2))
    by = factors(*(scheme.scale * float(scale) / quantised.output.scale for scale in quantised.scales))
    return clamped(scaled(whole, by), quantised.output, quantised.kernel.relus > 0)


def _sum(terms: list[Values], schemes: Sequence[Scheme], shape: tuple[int, ...], relu: bool) -> Tensor:
    """ADD, pairwise: both terms refined by 20 bits and brought to twice the coarser scale, then to the output's.

    Args:
        terms: What is summed; smaller maps are padded below and at the right with zeros.
        schemes: Of the sums, in order.
        shape: Of the whole sum.
        relu: Whether the last sum is cut at zero.
    """
    total, *others = ((_padded(_centred(term), shape), term[1].scale) for term in terms)
    stored = terms[0][0].clamp(min=terms[0][1].zero_point) if relu else terms[0][0]
    for index, (term, scheme) in enumerate(zip(others, schemes, strict=False)):
        coarse = 2.0 * max(total[1], term[1])
        both = [scaled(values << _ADD_SHIFT, factors(scale / coarse)) for values, scale in (total, term)]
        whole = scaled(both[0] + both[1], factors(coarse / (2**_ADD_SHIFT * scheme.scale)))
        stored = clamped(whole, scheme, relu and index == len(others) - 1)
        total = (_centred((stored, scheme)), scheme.scale)
    return stored


def _padded(values: Tensor, shape: tuple[int, ...]) -> Tensor:
    if values.shape[1:] == shape or values.ndim != 4:
        return values
    return functional.pad(values, (0, shape[2] - values.shape[3], 0, shape[1] - values.shape[2]))


def _pooled(op: Pool, stored: Tensor) -> Tensor:
    """MAX_POOL_2D or AVERAGE_POOL_2D of stored numbers; padding is never counted."""
    inputs, ceil = stored.float(), op.rounding == "ceil"
    if op.kind == "max":
        return functional.max_pool2d(inputs, op.kernel, op.stride, op.padding, ceil_mode=ceil).to(torch.int8)

    def sums(x: Tensor) -> Tensor:
        return functional.avg_pool2d(x, op.kernel, op.stride, op.padding, ceil, divisor_override=1).long()

    return rounded_quotient(sums(inputs), sums(torch.ones_like(inputs[:1, :1]))).to(torch.int8)
