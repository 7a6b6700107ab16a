"""What every training shares: epochs of steps, the best of them kept, an end, and a state to go on from.

Everything depends on the seed: initial weights on it alone, whatever is random in an epoch on it and the number of
the epoch, so that a training stopped after an epoch goes on as if it had not been.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import isfinite
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from fitness.lower import LoweredNetwork

__all__ = ["Epoch", "EpochLoop"]

_SEEDS = 2**63  # a seed that makes more than one for each epoch wraps around: generators take no longer ones


@dataclass(frozen=True, slots=True)
class Epoch:
    """What one epoch came to.

    Attributes:
        number: From 1.
        loss: Mean training loss.
        validation: What epochs are judged by: accuracy on the validation images in percent, or mean squared error
            on the validation windows.
    """

    number: int
    loss: float
    validation: float


class _Schedule(Protocol):
    """What the loop needs of a recipe."""

    @property
    def epochs(self) -> int: ...
    @property
    def patience(self) -> int | None: ...


class EpochLoop(ABC):
    """A network on its way; how it is fitted and judged is its subclasses'.

    Attributes:
        sign: 1 if a greater `Epoch.validation` is better, else -1.
        least_gain: By how much an epoch must be better than the best for `patience` to start anew.
        module: The network with its weights of now.
        recipe: How it is trained.
        seed: Of everything random.
        epochs: Those done.
        best: State of the module after its best epoch.
        optimizer: That of the module's weights.
    """

    sign: ClassVar[int]
    least_gain: float = 0.0
    module: LoweredNetwork
    recipe: _Schedule
    seed: int
    epochs: list[Epoch]
    best: dict[str, Tensor]
    optimizer: torch.optim.Optimizer

    @property
    def done(self) -> bool:
        """Whether all epochs are done, or none better has come for too long."""
        if len(self.epochs) >= self.recipe.epochs:
            return True
        patience = self.recipe.patience
        return patience is not None and bool(self.epochs) and len(self.epochs) - self._last_gain >= patience

    @property
    def diverged(self) -> bool:
        """Whether the last epoch came to something that is no number; nothing better can follow."""
        return bool(self.epochs) and not (isfinite(self.epochs[-1].loss) and isfinite(self.epochs[-1].validation))

    @property
    def best_epoch(self) -> Epoch:
        """The first epoch of best validation."""
        return max(self.epochs, key=lambda epoch: self.sign * epoch.validation)

    @property
    def _last_gain(self) -> int:
        """Number of the last epoch that was better than the best before it by more than the least gain."""
        last = self.epochs[0]
        for epoch in self.epochs:
            if self.sign * (epoch.validation - last.validation) > self.least_gain:
                last = epoch
        return last.number

    @property
    @abstractmethod
    def steps(self) -> int:
        """Steps of an epoch."""

    def run_epoch(self, on_step: Callable[[], None] = lambda: None) -> Epoch:
        """Pass over what is trained on once, and judge.

        Args:
            on_step: Called after every step.
        """
        self.module.train()
        steps = self.steps
        number, total = len(self.epochs), 0.0
        for step, (inputs, targets) in enumerate(self._batches(number)):
            rate = self._rate(number * steps + step)
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            loss = self._loss(self.module(inputs), targets)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            total += loss.item()
            on_step()
        epoch = Epoch(number + 1, total / steps, self._validated())
        self.epochs.append(epoch)
        if self.best_epoch is epoch:
            self.best = {name: value.detach().clone() for name, value in self.module.state_dict().items()}
        return epoch

    def state(self) -> dict[str, Any]:
        """Everything that going on needs besides the arguments."""
        return {
            "module": self.module.state_dict(),
            "best": self.best,
            "optimizer": self.optimizer.state_dict(),
            "epochs": [[epoch.number, epoch.loss, epoch.validation] for epoch in self.epochs],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `state`."""
        self.module.load_state_dict(state["module"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.best = state["best"]
        self.epochs = [Epoch(*values) for values in state["epochs"]]

    def take_best(self) -> LoweredNetwork:
        """The module with the weights of its best epoch, in evaluation mode."""
        self.module.load_state_dict(self.best)
        return self.module.eval()

    def _seed_of(self, number: int) -> int:
        """What everything random in an epoch is drawn from."""
        return (self.seed * 1_000_003 + number) % _SEEDS

    @abstractmethod
    def _batches(self, number: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Inputs and targets of every step of an epoch."""

    @abstractmethod
    def _rate(self, step: int) -> float:
        """The learning rate of a step, counted over all epochs."""

    @abstractmethod
    def _loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """A number to make smaller."""

    @abstractmethod
    def _validated(self) -> float:
        """How good the module is now; see `Epoch.validation`."""
