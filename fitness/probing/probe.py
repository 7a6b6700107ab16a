"""What a module is scored on: a fixed batch of images, their labels, and the seed of everything random.

Also the guard that leaves a module, torch and the random generators as they were found.
"""

from __future__ import annotations

import hashlib
import random
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from fitness.lower import LoweredNetwork
from fitness.probing.memory import available_bytes, least_bytes
from spaces.errors import ScoreFailed, UsageError

if TYPE_CHECKING:
    from fitness.scores.base import Score

__all__ = ["Probe", "Probed", "exact_cuda", "guarded", "logits_of", "redraw"]


@dataclass(frozen=True, eq=False)
class Probe:
    """Images to score modules on, the same ones for every module that is compared.

    Args:
        images: (N, C, H, W) or (N, F), on the module's device and of its type.
        labels: (N,), whole numbers from 0, or None.
        classes: Number of classes of the data set; 0 means one more than the largest label.
        seed: Of initialisations that a score draws, and of dropout.
        batch: Number of images for scores that do not name their own; None is the published one of each.
        output: Which of several values returned by the module are the logits, if it is neither the only (N, K) one
            nor the only one as wide as the last dense layer.
    """

    images: Tensor
    labels: Tensor | None = None
    classes: int = 0
    seed: int = 0
    batch: int | None = None
    output: int | None = None

    def count(self, score: Score) -> int:
        """How many images a score sees.

        Raises:
            UsageError: More than there are, or none.
        """
        count = score.batch or self.batch or score.published_batch
        if not 0 < count <= len(self.images):
            raise UsageError(
                f"{score.name} needs {count} images, got {len(self.images)}; give more images or a smaller batch"
            )
        return count

    def identity(self, score: Score) -> dict[str, object]:
        """All of a probe that a score's values depend on, as JSON values: two alike give the same scores."""
        count = score.batch or self.batch or score.published_batch
        loaded = score.loaded(count)
        digest = hashlib.sha256(self.images[:loaded].cpu().contiguous().numpy().tobytes())
        if score.needs_labels and self.labels is not None:
            digest.update(self.labels[:loaded].cpu().numpy().tobytes())
        return {
            "images": digest.hexdigest(),
            "shape": [count, *self.images.shape[1:]],
            "classes": self.number_of_classes if score.needs_labels else 0,
            "seed": self.seed,
            "device": self.images.device.type,
        }

    def labels_of(self, first: int, last: int) -> Tensor:
        """Labels of a span of images.

        Raises:
            UsageError: There are none.
        """
        if self.labels is None:
            raise UsageError("the score needs class labels and the images have none; give labels, or --data digits")
        return self.labels[first:last]

    @property
    def number_of_classes(self) -> int:
        """`classes`, or one more than the largest label."""
        if self.classes or self.labels is None:
            return self.classes
        return int(self.labels.max()) + 1


class Probed(NamedTuple):
    """A module and what to score it on."""

    module: nn.Module
    probe: Probe


def logits_of(module: nn.Module, images: Tensor, output: int | None) -> Tensor:
    """The logits (N, K) of a module that returns them alone, or among other values.

    Raises:
        UsageError: It returns no tensor of logits, or several and `output` does not say which.
        ScoreFailed: They are not finite.
        MemoryError: The pass would need more memory than there is.
    """
    _refuse_too_many(module, images)
    try:
        made = module(images)
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise ScoreFailed(
            "batch norm has one value per channel, which has no variance; give more images"
        ) from error
    parts = list(made.values()) if isinstance(made, Mapping) else made
    if isinstance(parts, (tuple, list)):
        if output is None:
            made = _only_logits(module, parts)
        else:
            made = parts[output] if -len(parts) <= output < len(parts) else None
        if made is None:
            shapes = ", ".join(str(tuple(p.shape)) if isinstance(p, Tensor) else type(p).__name__ for p in parts)
            raise UsageError(
                f"the module returns {len(parts)} values: {shapes}; say which are the logits: output=0"
            )
    if not isinstance(made, Tensor) or made.ndim < 2 or len(made) != len(images):
        got = f"a tensor {tuple(made.shape)}" if isinstance(made, Tensor) else type(made).__name__
        raise UsageError(f"the module returns {got}; expected logits (N, K) for {len(images)} images")
    if not torch.isfinite(made.detach()).all():
        raise ScoreFailed("the forward pass overflows: some logits are inf or nan")
    return made.flatten(1)


def _only_logits(module: nn.Module, parts: Sequence[Any]) -> Tensor | None:
    """The one matrix among several values, or the only one as wide as the last dense layer; None if in doubt."""
    flat = [part for part in parts if isinstance(part, Tensor) and part.ndim == 2]
    if len(flat) > 1:
        widths = [child.out_features for child in module.modules() if isinstance(child, nn.Linear)]
        flat = [part for part in flat if widths and part.shape[1] == widths[-1]]
    return flat[0] if len(flat) == 1 else None


def _refuse_too_many(module: nn.Module, images: Tensor) -> None:
    if isinstance(module, LoweredNetwork) and images.device.type == "cpu":
        recorded = torch.is_grad_enabled() and (
            images.requires_grad or any(p.requires_grad for p in module.parameters())
        )
        needed, available = least_bytes(module.network, len(images), recorded=recorded), available_bytes()
        if available is not None and needed > available:
            raise MemoryError(f"a pass of {len(images)} images needs {needed:,} bytes, {available:,} are available")


@contextmanager
def guarded(module: nn.Module, seed: int, *, weights: bool = False) -> Iterator[None]:
    """Lend a module: its mode, buffers and gradients, torch's state and all generators come back as they were.

    Inside, gradients are recorded, everything random starts from `seed`, and CUDA computes in full float32.

    Args:
        module: Whose state to keep.
        seed: Of torch's, NumPy's and Python's generators inside.
        weights: Whether parameters are changed inside too and must be put back.
    """
    modes = {child: child.training for child in module.modules()}
    grads = [(p, p.grad, p.requires_grad) for p in module.parameters()]
    values = [(p, p.data) for p in module.parameters()] if weights else []
    buffers = {child: dict(child._buffers) for child in module.modules()}
    devices = sorted({p.device.index or 0 for p in module.parameters() if p.device.type == "cuda"})
    with ExitStack() as stack:
        stack.enter_context(_LOCK)
        python, numpy = random.getstate(), np.random.get_state()
        stack.enter_context(torch.random.fork_rng(devices))
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(torch.autocast("cpu", enabled=False))
        if devices:
            stack.enter_context(torch.autocast("cuda", enabled=False))
            stack.enter_context(exact_cuda())
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed % 2**32)
        # Copies are worked on and the module's own tensors put back, whatever happened to the copies: a graph that
        # the caller has still to go backward through does not see that they were gone.
        copies = {id(tensor): tensor.clone() for tensor in module.buffers()}
        for child, own in buffers.items():
            child._buffers.update({name: None if t is None else copies[id(t)] for name, t in own.items()})
        for parameter, _ in values:
            parameter.data = parameter.data.clone()
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)
            for child, mode in modes.items():
                child.training = mode
            for child, own in buffers.items():
                child._buffers.clear()
                child._buffers.update(own)
            for parameter, value in values:
                parameter.data = value
            for parameter, grad, required in grads:
                parameter.grad = grad
                parameter.requires_grad_(required)


_LOCK = threading.RLock()  # the generators belong to the process, and a module to one score at a time


@contextmanager
def exact_cuda() -> Iterator[None]:
    """No TF32, no benchmarking of algorithms: the same numbers every time, and the CPU's within rounding."""
    products: Any = torch.backends.cuda.matmul
    cudnn: Any = torch.backends.cudnn
    before = products.fp32_precision, cudnn.conv.fp32_precision, cudnn.benchmark, cudnn.deterministic
    products.fp32_precision = cudnn.conv.fp32_precision = "ieee"
    cudnn.benchmark, cudnn.deterministic = False, True
    try:
        yield
    finally:
        products.fp32_precision, cudnn.conv.fp32_precision, cudnn.benchmark, cudnn.deterministic = before


def redraw(module: nn.Module, seed: int) -> None:
    """Draw all weights anew, each layer's own default initialisation, in the order the layers were made.

    Raises:
        ScoreFailed: Some weights know no initialisation, so that another would not be one.
    """
    torch.manual_seed(seed)
    before = {name: p.detach().clone() for name, p in module.named_parameters() if p.ndim > 1}
    for child in module.modules():
        reset: Any = getattr(child, "reset_parameters", None) or getattr(child, "_reset_parameters", None)
        if callable(reset):
            with torch.no_grad():
                reset()
    for name, parameter in module.named_parameters():
        if name in before and torch.equal(parameter, before[name]):
            raise ScoreFailed(f"{name} cannot be drawn anew for a repeat: its layer has no reset_parameters")
