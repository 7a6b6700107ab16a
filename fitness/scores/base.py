"""What every training-free score shares: its options, its name, and how it takes part in a shared pass.

Owns the contract of the files beside this one. Knows nothing of spaces, runs or where images come from.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar

from fitness.base import Direction, Needs
from spaces.errors import ScoreFailed, UsageError
from spaces.space import Genotype, Space

if TYPE_CHECKING:
    from torch import Tensor, nn

    from fitness.probing.passes import Pass
    from fitness.probing.probe import Probe, Probed
    from fitness.probing.sign_kernel import ReluOutput

__all__ = ["GenotypeScore", "GroupScore", "Observer", "PassScore", "Score", "SoloScore", "equal_spans"]


@dataclass(frozen=True, kw_only=True)
class Score(ABC):
    """A training-free score of a module; options are the fields.

    Args:
        batch: Number of images; 0 is the score's published batch in a run, and every image given from Python.
        repeats: Number of initialisations whose values are averaged. The first is the module's own, the i-th is
            PyTorch's default one drawn with seed + i.

    Attributes:
        title: What the registry calls it.
        published_batch: Images that the authors use; 0 if none are needed.
        needs_labels: Whether images need class labels.
        ignores_dead: Whether layers that cannot reach the output leave it unchanged, so that networks which compute
            the same function are scored once.
        cost: What is run, for people.
    """

    batch: int = 0
    repeats: int = 1
    title: ClassVar[str]
    direction: ClassVar[Direction] = "max"
    unit: ClassVar[str] = ""
    needs: ClassVar[Needs] = "images"
    positive: ClassVar[bool] = False
    published_batch: ClassVar[int] = 64
    needs_labels: ClassVar[bool] = False
    ignores_dead: ClassVar[bool] = False
    cost: ClassVar[str] = "1 forward"

    def __post_init__(self) -> None:
        for name, least in (("batch", 0), ("repeats", 1)):
            value = getattr(self, name)
            if type(value) is not int or value < least:
                raise UsageError(f"{self.title}: {name} is {value!r}; expected a whole number of at least {least}")

    @property
    def name(self) -> str:
        """The title with the options that differ from their defaults."""
        chosen = [f"{f.name}={_spelled(getattr(self, f.name))}" for f in fields(self) if self._differs(f.name)]
        return self.title + (f"({','.join(chosen)})" if chosen else "")

    def _differs(self, option: str) -> bool:
        return bool(getattr(self, option) != getattr(type(self), option))

    def loaded(self, count: int) -> int:
        """How many images of a data set a run loads so that the score sees `count`."""
        return count

    def spans(self, count: int) -> tuple[tuple[int, int], ...]:
        """Which of `count` images each of its passes sees, as (first, one past the last).

        Raises:
            UsageError: Too few images for that.
        """
        return ((0, count),)

    def __call__(self, subject: Probed) -> float:
        """The score of a module, which is left as it was found, on a probe's images.

        Raises:
            ScoreFailed: There is no finite value; says why.
        """
        from fitness.probing.measure import measure

        found = measure(subject.module, [self], subject.probe)[self.name]
        if found.value is None:
            raise ScoreFailed(found.reason)
        return found.value


class Observer:
    """Watches one forward pass, and the backward pass of the loss, for one score. Every method may be left out."""

    def begin(self, module: nn.Module) -> None:
        """Called before the forward pass."""

    def watches(self, module: nn.Module) -> bool:
        """Whether `layer` wants the calls of this submodule."""
        return False

    def layer(self, module: nn.Module, inputs: Tensor, output: Tensor) -> None:
        """Called after each call of a watched submodule with its first argument and its output."""

    def before_loss(self) -> None:
        """Called after the forward and any backward pass of the logits, before that of the loss."""

    relu: Callable[[ReluOutput], None] | None = None
    """Called with every output of a ReLU, of whatever shape (N, ...), as it is computed."""


@dataclass(frozen=True, kw_only=True)
class PassScore(Score):
    """A score that reads what passes of the unchanged module show, and shares them with others.

    Attributes:
        jacobian: Whether it reads the gradient of the summed logits with respect to the images.
        gradients: Whether it reads the gradient of the mean cross-entropy with respect to the parameters.
    """

    jacobian: ClassVar[bool] = False
    gradients: ClassVar[bool] = False

    def observer(self) -> Observer | None:
        """A fresh observer for one pass."""
        return None

    @abstractmethod
    def value(self, *passes: Pass) -> float:
        """The score, from one finished pass per span."""


@dataclass(frozen=True, kw_only=True)
class GroupScore(Score):
    """A score with passes of its own, weights and inputs included, that scores of the same kind share."""

    @staticmethod
    @abstractmethod
    def prepare(module: nn.Module, probe: Probe, count: int, scores: Sequence[Any]) -> Any:
        """What all `scores` of this kind read, for `count` images.

        Raises:
            ScoreFailed: None of them has a value.
        """

    @abstractmethod
    def value(self, prepared: Any) -> float:
        """The score, from what was prepared."""


@dataclass(frozen=True, kw_only=True)
class SoloScore(Score):
    """A score with passes of its own that no other shares."""

    @abstractmethod
    def compute(self, module: nn.Module, probe: Probe) -> float:
        """The score of a module on a probe's first `probe.count(self)` images; weights may be changed.

        Raises:
            ScoreFailed: There is no finite value; says why.
        """


@dataclass(frozen=True, kw_only=True)
class GenotypeScore(SoloScore):
    """A score that a run computes on a module that is not the genotype's network, but made of the genotype.

    So it may differ between networks of one key, and is computed for each of them.

    Args:
        space: The run's, given to it by the run; without one, the score is computed on modules like any other.
    """

    space: Space | None = field(default=None, compare=False, repr=False)

    def _differs(self, option: str) -> bool:
        return option != "space" and super()._differs(option)

    @abstractmethod
    def subject(self, genotype: Genotype, probe: Probe) -> Probed:
        """The module of a genotype of the space, and what to score it on, made of the run's probe."""


def equal_spans(name: str, count: int, batches: int) -> tuple[tuple[int, int], ...]:
    """The spans of `count` images split into mini-batches of equal size; what is left over is not used.

    Raises:
        UsageError: Fewer images than mini-batches.
    """
    each = count // batches
    if not each:
        raise UsageError(f"{name} splits {count} images into {batches} mini-batches; give more images")
    return tuple((i * each, (i + 1) * each) for i in range(batches))


def _spelled(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
