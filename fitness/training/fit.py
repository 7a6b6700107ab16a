"""Image classification: weights fitted to the training images, epoch by epoch, resumable at the end of each."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from fitness.lower import LoweredNetwork, lower
from fitness.training.images import LabelledImages, Normalisation, Splits
from fitness.training.loop import Epoch, EpochLoop
from fitness.training.recipe import Recipe
from spaces.network import Network

__all__ = ["Training", "accuracy", "predictions"]

_WARM_UP = 0.05  # of all steps
_JUDGED_AT_ONCE = 500  # images of a forward without gradients


@dataclass
class Training(EpochLoop):
    """A network on its way to tell images apart; see `EpochLoop`.

    Args:
        network: What is trained.
        splits: On what.
        recipe: How.
        seed: Of the weights, the order of the images and their augmentation.
        device: Where.

    Attributes:
        module: The network with its weights of now.
        epochs: Those done.
        best: State of the module after the epoch of greatest validation accuracy.
    """

    sign: ClassVar[int] = 1
    network: Network
    splits: Splits
    recipe: Recipe
    seed: int = 0
    device: str = "cpu"
    module: LoweredNetwork = field(init=False)
    epochs: list[Epoch] = field(init=False, default_factory=list)
    best: dict[str, Tensor] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.module = lower_seeded(self.network, self.seed).to(self.device)
        if len(self.network.shapes[0]) == 3:
            self.module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = _optimizer(self.module, self.recipe)

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return _steps(len(self.splits.train), self.recipe.batch)

    def _batches(self, number: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of an epoch: shuffled, normalised, augmented; never a last one too small for batch norm."""
        recipe, train = self.recipe, self.splits.train
        generator = torch.Generator().manual_seed(self._seed_of(number))
        order = torch.randperm(len(train), generator=generator)
        for places in order.tensor_split(self.steps):
            chosen = places.numpy()
            pixels = torch.from_numpy(train.pixels[chosen]).to(self.device)
            images = _augmented(self.splits.normalisation(pixels), recipe, generator)
            labels = torch.from_numpy(train.labels[chosen]).to(self.device)
            yield _laid_out(images), labels

    def _rate(self, step: int) -> float:
        return self.recipe.peak_rate * _schedule(step, self.recipe.epochs * self.steps)

    def _loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        if outputs.shape[1] == 1:
            return functional.binary_cross_entropy_with_logits(outputs[:, 0], targets.to(outputs.dtype))
        return functional.cross_entropy(outputs, targets)

    def _validated(self) -> float:
        return accuracy(self.module, self.splits.validation, self.splits.normalisation, self.device)


def lower_seeded(network: Network, seed: int) -> LoweredNetwork:
    """A module whose initial weights depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return lower(network)


@torch.no_grad()
def predictions(module: nn.Module, images: LabelledImages, normalise: Normalisation, device: str = "cpu") -> Tensor:
    """(N,) class numbers that a module, put into evaluation mode, gives images."""
    module.eval()
    found = []
    for start in range(0, len(images), _JUDGED_AT_ONCE):
        pixels = torch.from_numpy(images.pixels[start : start + _JUDGED_AT_ONCE]).to(device)
        found.append(classes_of(module(_laid_out(normalise(pixels)))).cpu())
    return torch.cat(found)


def accuracy(module: nn.Module, images: LabelledImages, normalise: Normalisation, device: str = "cpu") -> float:
    """Share of images that a module gives their class, in percent."""
    right = predictions(module, images, normalise, device) == torch.from_numpy(images.labels)
    return 100.0 * right.double().mean().item()


def classes_of(outputs: Tensor) -> Tensor:
    """(N,) class numbers of (N, units) outputs: the largest; a single output above zero says class 1."""
    return (outputs[:, 0] > 0).long() if outputs.shape[1] == 1 else outputs.argmax(1)


def _steps(images: int, batch: int) -> int:
    """As many as bring batches nearest to what was asked for, none of a single image: it has no variance."""
    return max(1, min(round(images / batch), images // 2))


def _schedule(step: int, steps: int) -> float:
    """Share of the largest learning rate: up linearly, then down a half cosine to zero."""
    warm_up = max(1, round(_WARM_UP * steps))
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 + 0.5 * math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up))


def _optimizer(module: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Weight decay applies to kernels and matrices, not to biases or batch norms."""
    decayed = [weight for weight in module.parameters() if weight.ndim > 1]
    others = [weight for weight in module.parameters() if weight.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]
    groups = [group for group in groups if group["params"]]
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=recipe.peak_rate)
    return torch.optim.SGD(groups, lr=recipe.peak_rate, momentum=0.9, nesterov=True)


def _augmented(images: Tensor, recipe: Recipe, generator: torch.Generator) -> Tensor:
    """Images of (N, C, H, W), each mirrored and moved at random."""
    count = len(images)
    if recipe.flip:
        mirrored = (torch.rand(count, generator=generator) < 0.5).to(images.device)
        images = torch.where(mirrored[:, None, None, None], images.flip(3), images)
    if recipe.shift:
        reach = recipe.shift
        height, width = images.shape[2:]
        padded = functional.pad(images, (reach, reach, reach, reach))
        top, left = torch.randint(0, 2 * reach + 1, (2, count, 1), generator=generator).to(images.device)
        rows, columns = torch.arange(height, device=images.device), torch.arange(width, device=images.device)
        image = torch.arange(count, device=images.device)[:, None, None]
        # Indexing with arrays on both sides of a slice puts the channels last.
        images = padded[image, :, (top + rows)[:, :, None], (left + columns)[:, None, :]].permute(0, 3, 1, 2)
    return images


def _laid_out(images: Tensor) -> Tensor:
    return images.contiguous(memory_format=torch.channels_last) if images.ndim == 4 else images
