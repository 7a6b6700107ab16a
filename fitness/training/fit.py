"""The training loop: weights fitted to the training images, epoch by epoch, resumable at the end of each.

Everything depends on the seed: initial weights on it alone, order and augmentation of an epoch on it and the
number of the epoch, so that a training stopped after an epoch goes on as if it had not been.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from fitness.lower import LoweredNetwork, lower
from fitness.training.images import LabelledImages, Normalisation, Splits
from fitness.training.recipe import Recipe
from spaces.network import Network

__all__ = ["Epoch", "Training", "accuracy", "predictions"]

_WARM_UP = 0.05  # of all steps
_JUDGED_AT_ONCE = 500  # images of a forward without gradients
_SEEDS = 2**63  # a seed that makes more than one for each epoch wraps around: generators take no longer ones


@dataclass(frozen=True, slots=True)
class Epoch:
    """What one epoch came to.

    Attributes:
        number: From 1.
        loss: Mean training loss.
        validation: Accuracy on the validation images, in percent.
    """

    number: int
    loss: float
    validation: float


@dataclass
class Training:
    """A network on its way.

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
        self._optimizer = _optimizer(self.module, self.recipe)

    @property
    def done(self) -> bool:
        """Whether all epochs are done, or none better has come for too long."""
        if len(self.epochs) >= self.recipe.epochs:
            return True
        patience = self.recipe.patience
        return patience is not None and bool(self.epochs) and len(self.epochs) - self.best_epoch.number >= patience

    @property
    def best_epoch(self) -> Epoch:
        """The first epoch of greatest validation accuracy."""
        return max(self.epochs, key=lambda epoch: epoch.validation)

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return _steps(len(self.splits.train), self.recipe.batch)

    def run_epoch(self, on_step: Callable[[], None] = lambda: None) -> Epoch:
        """Pass over the training images once, and judge.

        Args:
            on_step: Called after every step.
        """
        module, recipe = self.module, self.recipe
        module.train()
        steps = self.steps
        number, total = len(self.epochs), 0.0
        for step, (images, labels) in enumerate(self._batches(number)):
            rate = recipe.peak_rate * _schedule(number * steps + step, recipe.epochs * steps)
            for group in self._optimizer.param_groups:
                group["lr"] = rate
            loss = _loss(module(images), labels)
            self._optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            self._optimizer.step()
            total += loss.item()
            on_step()
        validation = accuracy(module, self.splits.validation, self.splits.normalisation, self.device)
        epoch = Epoch(number + 1, total / steps, validation)
        self.epochs.append(epoch)
        if self.best_epoch is epoch:
            self.best = {name: value.detach().clone() for name, value in module.state_dict().items()}
        return epoch

    def state(self) -> dict[str, Any]:
        """Everything that going on needs besides the arguments."""
        return {
            "module": self.module.state_dict(),
            "best": self.best,
            "optimizer": self._optimizer.state_dict(),
            "epochs": [[epoch.number, epoch.loss, epoch.validation] for epoch in self.epochs],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `state`."""
        self.module.load_state_dict(state["module"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.best = state["best"]
        self.epochs = [Epoch(*values) for values in state["epochs"]]

    def take_best(self) -> LoweredNetwork:
        """The module with the weights of its best epoch, in evaluation mode."""
        self.module.load_state_dict(self.best)
        return self.module.eval()

    def _batches(self, number: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of an epoch: shuffled, normalised, augmented; never a last one too small for batch norm."""
        recipe, train = self.recipe, self.splits.train
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + number) % _SEEDS)
        order = torch.randperm(len(train), generator=generator)
        for places in order.tensor_split(self.steps):
            chosen = places.numpy()
            pixels = torch.from_numpy(train.pixels[chosen]).to(self.device)
            images = _augmented(self.splits.normalisation(pixels), recipe, generator)
            labels = torch.from_numpy(train.labels[chosen]).to(self.device)
            yield _laid_out(images), labels


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


def _loss(outputs: Tensor, labels: Tensor) -> Tensor:
    if outputs.shape[1] == 1:
        return functional.binary_cross_entropy_with_logits(outputs[:, 0], labels.to(outputs.dtype))
    return functional.cross_entropy(outputs, labels)


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
