"""What a training needs to know of its task: a plan says how to learn from what, a material is that, read.

Telling images apart and forecasting series are the two tasks; what is not about one of them knows neither.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final, Protocol

from engine.training.measured import Kind
from spaces.errors import UsageError
from spaces.network import Network
from spaces.space import Space

if TYPE_CHECKING:
    from fitness.training.loop import EpochLoop

__all__ = ["DIGITS", "Material", "Plan"]

DIGITS: Final = 16
"""Of a fingerprint: data that are others by chance are told apart, whoever wants to be deceived is."""


class Material(Protocol):
    """The data of a plan, as networks are trained on them and judged by them."""

    def fingerprint(self) -> Mapping[str, object]:
        """What tells these data from others: how many each part has, and a digest."""

    def described(self) -> Mapping[str, object]:
        """The recipe, with what the plan leaves to the data decided, and how the data are split and scaled."""

    def begin(self, network: Network) -> EpochLoop:
        """A training of which no epoch is done."""

    def judged(self, training: EpochLoop, weights: Path) -> Mapping[str, float]:
        """Scores of the best epoch's weights, which are kept in a file.

        Raises:
            ScoreFailed: The network has diverged.
        """

    def shared(self, folder: Path) -> Callable[[], Material]:
        """What gives these data to other processes, to which it can be sent.

        Args:
            folder: Of files that processes share, removed by who knows when nobody needs them.

        Raises:
            RunError: A file cannot be written.
        """


@dataclass(frozen=True, kw_only=True)
class Plan(ABC):
    """Everything that decides what training a candidate comes to.

    Args:
        data: What is learnt from.
        epochs: Passes over it, at most.
        batch: Examples of a step.
        learning_rate: Of the optimizer.
        patience: Stop after that many epochs without a better one; None never stops early.
        seed: Of everything random; how the data are split does not depend on it.
        device: "cpu", "cuda", "cuda:N", or "auto": a GPU if there is one.
        threads: Of torch in each process; rounding depends on it.

    Raises:
        UsageError: A value that makes no training.
    """

    kind: ClassVar[Kind]

    data: str
    epochs: int
    batch: int
    learning_rate: float | None
    patience: int | None
    seed: int = 0
    device: str = "auto"
    threads: int = 1

    def __post_init__(self) -> None:
        self._check_whole("seed", 0, 2**63 - 1)
        self._check_whole("threads", 1, 1024)

    def _check_whole(self, name: str, least: int, most: int) -> None:
        value = getattr(self, name)
        if type(value) is not int or not least <= value <= most:
            raise UsageError(f"{name} is {value!r}; expected a whole number from {least} to {most:,}")

    @property
    def flags(self) -> list[str]:
        """What asks `engine train` for this plan; defaults are left out."""
        flags = []
        for item in fields(self):
            value, name = getattr(self, item.name), item.name.replace("_", "-")
            if item.default is not MISSING and value == item.default:
                continue
            flags += (
                [f"--{name}" if value else f"--no-{name}"] if isinstance(value, bool) else [f"--{name}", str(value)]
            )
        return flags

    @abstractmethod
    def check(self, space: Space) -> None:
        """Find out before a search, at little cost, that candidates could not be trained after it.

        Raises:
            UsageError: See `load`, or there is no such device.
            RunError: The data cannot be read.
        """

    @abstractmethod
    def load(self, space: Space, on_item: Callable[[int, int], None]) -> Material:
        """The data, as the networks of a space take them.

        Args:
            space: Whose networks are to be trained.
            on_item: Told how many of how many items are read, where that takes long.

        Raises:
            UsageError: The data do not suit the networks, or the plan asks for more than there is.
            RunError: The data cannot be read.
        """
