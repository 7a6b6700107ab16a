"""The Gram matrix of per-image gradients, in train mode, at batched speed.

Chen, Gong, Wang: Neural Architecture Search on ImageNet in Four GPU Hours: A Theoretically Inspired Perspective
(TE-NAS), ICLR 2021, arXiv:2102.11535. Batch norm couples the images, so B gradients are B backward passes
through one graph of B images. Here the autograd graph is walked with k gradients at once: by rules for the common
operations, by the graph's own backward, one by one, for any other. Hooks on tensors are not called.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from fitness.probing.probe import logits_of

Grads = tuple[Tensor | None, ...]

_CHUNK_BYTES = 4 << 20
_FEW_CHANNELS = 16  # fewer than oneDNN's gradient programs are made for
_WEIGHT = "torch::autograd::AccumulateGrad"  # the node in which a weight's gradients end
_TO_INPUT, _TO_WEIGHT = (True, False, False), (False, True, False)


def ntk_gram(module: nn.Module, images: Tensor, output: int | None = None) -> Tensor:
    """Theta = G G^T of the gradients g_i of image i's summed logits, (B, B) in float64.

    The gradients are with respect to all parameters whose name contains 'weight' (convolutions, batch norm's
    scales, linear layers), in the mode the module is in. The module is left as found. As in TE-NAS this is the
    tangent kernel of the sum of the logits, not of every logit.

    Args:
        module: Maps images to (B, ...) logits.
        images: (B, ...), all of them in one batch.
        output: Which of several values returned by the module are the logits.
    """
    with _graph(module, images, output) as (logits, weights):
        total = torch.zeros(len(images), len(images), dtype=torch.float64, device=logits.device)
        for rows in _gradients(logits, weights):
            for part in torch.split(rows, 1 << 20, 1):
                total.addmm_(part.double(), part.double().T)
    return total


@contextmanager
def _graph(module: nn.Module, images: Tensor, output: int | None) -> Iterator[tuple[Tensor, Sequence[Tensor]]]:
    """The logits with a graph to the weights alone; parameters and buffers are put back on leaving."""
    required = {parameter: parameter.requires_grad for parameter in module.parameters()}
    buffers = {buffer: buffer.clone() for buffer in module.buffers()}
    weights = [parameter for name, parameter in module.named_parameters() if "weight" in name]
    try:
        for name, parameter in module.named_parameters():
            parameter.requires_grad_("weight" in name)
        with torch.enable_grad():
            logits = logits_of(module, images.detach(), output)
        with torch.no_grad():
            yield logits, weights
    finally:
        for parameter, needed in required.items():
            parameter.requires_grad_(needed)
        with torch.no_grad():
            for buffer, before in buffers.items():
                buffer.copy_(before)


def _gradients(logits: Tensor, weights: Sequence[Tensor]) -> Iterator[Tensor]:
    """For each weight (B, elements), one row per image."""
    if logits.grad_fn is None:
        return
    count = len(logits)
    order = _order(logits.grad_fn)
    largest = max(prod(node._input_metadata[0].shape) for node in order) * logits.element_size()
    step = max(1, min(count, _chunk_bytes(logits.device) // largest))
    eye = torch.eye(count, dtype=logits.dtype, device=logits.device)
    rows = {weight: weight.new_zeros(count, weight.numel()) for weight in weights}
    for start in range(0, count, step):
        picked = eye[start : start + step].reshape(-1, count, *[1] * (logits.dim() - 1))
        for weight, gradient in _backward(order, picked.expand(-1, *logits.shape), logits.output_nr):
            rows[weight][start : start + step] += gradient.flatten(1)
    yield from rows.values()


def _chunk_bytes(device: torch.device) -> int:
    """How large the largest map of a chunk may be.

    On a CPU maps had better stay in cache, and in memory: without a large block freed before (32 MB at most),
    glibc returns every map to the system, and mapping it anew page by page took up to a third of the time.
    """
    if device.type != "cpu":
        return 64 * _CHUNK_BYTES
    torch.empty(31 << 20, dtype=torch.uint8)
    return _CHUNK_BYTES


def _order(root: Any) -> list[Any]:
    """The operations of an autograd graph, latest first: each before those that its gradients flow to."""
    found, stack = {root}, [root]
    while stack:
        fresh = {source for source, _ in stack.pop().next_functions if source is not None} - found
        found |= fresh
        stack += fresh
    return sorted((node for node in found if node.name() != _WEIGHT), key=lambda node: -node._sequence_nr())


def _backward(order: list[Any], gradient: Tensor, output: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Weights with parts of their gradients (k, *weight.shape), from k gradients (k, *logits.shape)."""
    arrived: dict[Any, dict[int, Tensor]] = {order[0]: {output: gradient}}
    for node in order:
        slots = arrived.pop(node, None)
        if slots is None:
            continue  # cut off by a product with zero
        rule = _RULES.get(node.name())
        gradients = rule(node, slots[0]) if rule else None
        if gradients is None:
            gradients = _one_by_one(node, slots)
        for (source, slot), value in zip(node.next_functions, gradients, strict=False):
            if source is None or value is None:
                continue
            shape = source._input_metadata[slot].shape
            if list(value.shape[1:]) != shape:  # it had been broadcast
                value = torch.stack([part.sum_to_size(shape) for part in value])
            if source.name() == _WEIGHT:
                yield source.variable, value
            else:
                into = arrived.setdefault(source, {})
                into[slot] = into[slot] + value if slot in into else value


def _one_by_one(node: Any, slots: dict[int, Tensor]) -> Grads:
    """Any node: its own backward on each of the k gradients."""
    backward = node if callable(node) else node.apply
    outputs, results = len(node._input_metadata), []
    for k in range(len(next(iter(slots.values())))):
        result = backward(*[slots[i][k] if i in slots else None for i in range(outputs)])
        results.append(result if isinstance(result, tuple) else (result,))
    return tuple(None if parts[0] is None else _stack(parts) for parts in zip(*results, strict=True))


def _stack(parts: tuple[Tensor, ...]) -> Tensor:
    """(k, N, ...) of k tensors (N, ...); in memory image by image, as the rules like it."""
    return torch.stack(parts, 1).transpose(0, 1) if parts[0].dim() else torch.stack(parts)


def _convolution(node: Any, gradient: Tensor) -> Grads | None:
    """(k, N, C_out, H', W') to (k, N, C_in, H, W) and (k, *weight.shape)."""
    if node._saved_transposed or gradient.dim() != 5:
        return None
    (source, _), (weight, _), _ = node.next_functions
    maps = gradient.transpose(0, 1)
    to_input = None if source is None else _to_input(node, maps).transpose(0, 1)
    return to_input, None if weight is None else _to_weight(node, maps)


def _to_input(node: Any, maps: Tensor) -> Tensor:
    """The gradient of a convolution's input, (N, k, C_out, H', W') to (N, k, C_in, H, W).

    It is a convolution too, with the kernel turned round; where channels are few, the programs for convolutions
    are up to ten times as fast as those for their gradients.
    """
    weight, groups, dilation = node._saved_weight, node._saved_groups, node._saved_dilation
    stride, padding = node._saved_stride, node._saved_padding
    images, shape = maps.flatten(0, 1), node._saved_input.shape[1:]
    margin = [d * (size - 1) - p for d, size, p in zip(dilation, weight.shape[2:], padding, strict=True)]
    if max(stride) == 1 and groups == 1 and weight[0, 0].numel() == 1 and margin == [0, 0]:
        matrix = weight.flatten(1).T.expand(len(images), -1, -1)
        result = torch.bmm(matrix, images.flatten(2))
    elif max(stride) == 1 and min(margin) >= 0:
        turned = torch.cat([part.transpose(0, 1) for part in weight.chunk(groups)]).flip(2, 3)
        result = functional.conv2d(images, turned, None, 1, margin, dilation, groups)
    elif groups == 1 and max(dilation) == 1 and shape[0] < _FEW_CHANNELS:
        result = _strided_to_input(images, weight, shape, stride, padding)
    else:
        like = images.new_empty(1).expand(len(images), *shape)
        result = _native(node, images, like, weight, _TO_INPUT)[0]
    return result.reshape(*maps.shape[:2], *shape)


def _strided_to_input(
    images: Tensor, weight: Tensor, shape: Sequence[int], stride: Sequence[int], padding: Sequence[int]
) -> Tensor:
    """The same with a stride s: s x s convolutions without one, whose outputs interleave.

    Input pixel s q + r was read at place k of the kernel by window q + offset where s offset = r + padding - k.
    """
    margin, kernel = [], functional.pad(weight, (0, 1, 0, 1))  # the place behind the last holds zero
    for axis in (1, 0):
        size, step, pad = weight.shape[2 + axis], stride[axis], padding[axis]
        offsets = range(-((size - 1 - pad) // step), (step - 1 + pad) // step + 1)
        places = [[r + pad - step * offset for offset in offsets] for r in range(step)]
        index = torch.tensor([[k if 0 <= k < size else size for k in row] for row in places]).to(weight.device)
        picked = kernel.index_select(2 + axis, index.flatten())
        kernel = picked.reshape(*kernel.shape[: 2 + axis], *index.shape, *kernel.shape[3 + axis :])
        windows = -(-shape[1 + axis] // step) + offsets[-1]
        margin += [-offsets[0], windows - images.shape[2 + axis]]
    kernel = kernel.permute(1, 2, 4, 0, 3, 5).flatten(0, 2)  # (C_in s s, C_out, places, places)
    phases = functional.conv2d(functional.pad(images, margin), kernel)
    phases = phases.reshape(len(images), shape[0], stride[0], stride[1], *phases.shape[2:])
    result = images.new_empty(len(images), *shape)
    for row, column in product(range(stride[0]), range(stride[1])):
        part = result[:, :, row :: stride[0], column :: stride[1]]
        part.copy_(phases[:, :, row, column, : part.shape[2], : part.shape[3]])
    return result


def _to_weight(node: Any, maps: Tensor) -> Tensor:
    """The gradients of a convolution's weight, (N, k, C_out, H', W') to (k, *weight.shape)."""
    entered, weight, count = node._saved_input, node._saved_weight, maps.shape[1]
    if node._saved_groups > 1:
        return torch.stack([_native(node, one, entered, weight, _TO_WEIGHT)[1] for one in maps.unbind(1)])
    together = maps.flatten(1, 2)  # k convolutions of one input are one with k times the channels
    if weight[0, 0].numel() == max(node._saved_stride) == 1 and max(node._saved_padding) == 0:
        result = torch.bmm(together.flatten(2), entered.flatten(2).transpose(1, 2)).sum(0)
    else:
        like = weight.new_empty(1).expand(together.shape[1], *weight.shape[1:])
        result = _native(node, together, entered, like, _TO_WEIGHT)[1]
    return result.reshape(count, *weight.shape)


def _native(node: Any, gradient: Tensor, entered: Tensor, weight: Tensor, mask: tuple[bool, ...]) -> list[Tensor]:
    how = (node._saved_stride, node._saved_padding, node._saved_dilation, False, node._saved_output_padding)
    backward: Callable[..., list[Tensor]] = torch.ops.aten.convolution_backward
    return backward(gradient, entered, weight, None, *how, node._saved_groups, mask)


def _batch_norm(node: Any, gradient: Tensor) -> Grads | None:
    """(k, N, C, ...) to the same and (k, C): what follows the batch's mean and deviation is taken off."""
    if not node._saved_training:
        return None
    entered, weight, scale = node._saved_input, node._saved_weight, node._saved_result2
    sides, across = [1] * (entered.dim() - 2), [1, *range(3, gradient.dim())]
    normal = (entered - node._saved_result1.view(-1, *sides)).mul_(scale.view(-1, *sides))
    result = gradient * normal
    to_weight = result.sum(across)
    if node.next_functions[0][0] is None:
        return None, to_weight
    scale = scale if weight is None else scale * weight
    share = scale * (entered.shape[1] / -entered.numel())
    torch.mul(gradient, scale.view(-1, *sides), out=result)
    result.addcmul_(normal, (to_weight * share).view(len(gradient), 1, -1, *sides))
    result.add_((gradient.sum(across) * share).view(len(gradient), 1, -1, *sides))
    return result, to_weight


def _relu(node: Any, gradient: Tensor) -> Grads:
    return (torch.ops.aten.threshold_backward(gradient, node._saved_result.expand_as(gradient), 0),)


def _add(node: Any, gradient: Tensor) -> Grads:
    return gradient, gradient if node._saved_alpha == 1 else gradient * node._saved_alpha


def _multiply(node: Any, gradient: Tensor) -> Grads | None:
    """A product with the number zero lets nothing through, so nothing behind it need be computed."""
    factor = node._saved_other
    number = node._saved_self is None and factor is not None and factor.dim() == 0
    if not number:
        return None
    return None if factor == 0 else gradient * factor, None


def _average(node: Any, gradient: Tensor) -> Grads | None:
    """(k, N, C, H', W') to (k, N, C, H, W): every window's share added to its pixels, axis by axis."""
    if gradient.dim() != 5 or node._saved_ceil_mode or node._saved_divisor_override is not None:
        return None
    kernel, padding, shape = node._saved_kernel_size, node._saved_padding, node._saved_self.shape[2:]
    stride, shares = node._saved_stride or kernel, gradient.new_ones(())
    if not node._saved_count_include_pad:
        shares = functional.avg_pool2d(gradient.new_ones(1, 1, *shape), kernel, stride, padding)
    result = gradient.transpose(0, 1) / (shares * prod(kernel))
    for axis in (0, 1):
        result = _spread(result, axis + 3, shape[axis], kernel[axis], stride[axis], padding[axis])
    return (result.transpose(0, 1),)


def _spread(values: Tensor, axis: int, length: int, kernel: int, stride: int, padding: int) -> Tensor:
    """Add value i along an axis to pixels i * stride - padding + 0, 1, ... kernel - 1 of `length`."""
    offsets = list(range(-padding, kernel - padding))
    if stride == 1 and length == values.shape[axis] and 0 in offsets:
        offsets.remove(0)  # every value's own pixel
        result = values.clone()
    else:
        result = values.new_zeros([*values.shape[:axis], length, *values.shape[axis + 1 :]])
    for offset in offsets:
        first = max(0, -(offset // stride))
        count = min(values.shape[axis], (length - 1 - offset) // stride + 1) - first
        if count > 0:
            pixels = slice(first * stride + offset, None, stride)
            result[(slice(None),) * axis + (pixels,)].narrow(axis, 0, count).add_(values.narrow(axis, first, count))
    return result


_RULES: dict[str, Callable[[Any, Tensor], Grads | None]] = {
    "ConvolutionBackward0": _convolution,
    "NativeBatchNormBackward0": _batch_norm,
    "ReluBackward0": _relu,
    "AddBackward0": _add,
    "MulBackward0": _multiply,
    "AvgPool2DBackward0": _average,
}
