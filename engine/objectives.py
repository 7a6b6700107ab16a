"""What a search is after: objectives, directions and bounds. The one place where signs turn."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from engine.records import Record
from fitness.base import Fitness
from fitness.expression import Expression
from spaces.errors import UsageError

_BOUND = re.compile(r"\s*(?P<name>.+?)\s*(?P<sign><=|>=)\s*(?P<limit>[^<>=]+?)\s*")


@dataclass(frozen=True)
class Objective:
    """An expression and which way is better."""

    expression: Expression
    direction: str

    @property
    def text(self) -> str:
        """The expression as given."""
        return self.expression.text

    def value(self, scores: Mapping[str, float]) -> float:
        """The number people see."""
        return self.expression.value(scores)

    def merit(self, scores: Mapping[str, float]) -> float:
        """The number strategies see: larger is better."""
        merit = float(self.expression.merit(scores))
        return merit if self.direction == "max" else -merit


@dataclass(frozen=True)
class Bound:
    """A hard limit on one raw score; what violates it is rejected before anything dearer is computed."""

    fitness: Fitness
    sign: str
    limit: float

    def __str__(self) -> str:
        limit = int(self.limit) if self.limit.is_integer() else self.limit
        return f"{self.fitness.name}{self.sign}{limit}"

    def holds(self, value: float) -> bool:
        """Whether a raw score keeps the bound; nan keeps none."""
        return value <= self.limit if self.sign == "<=" else value >= self.limit


@dataclass(frozen=True)
class Objectives:
    """All objectives and bounds of a run.

    Raises:
        UsageError: An objective is given twice.
    """

    objectives: tuple[Objective, ...]
    bounds: tuple[Bound, ...] = ()

    def __post_init__(self) -> None:
        texts = [objective.text for objective in self.objectives]
        for text in texts:
            if texts.count(text) > 1:
                raise UsageError(f"objective {text!r} is given twice; expected it once, with one direction")

    def upper_limit(self, objective: Objective) -> float | None:
        """The lowest upper bound on the score that an objective is; None for a combination, or without a bound."""
        expression = objective.expression
        if len(expression.scores) > 1 or expression.penalties:
            return None
        name = expression.scores[0].name
        limits = [bound.limit for bound in self.bounds if bound.sign == "<=" and bound.fitness.name == name]
        return min(limits, default=None)

    def shortfall(self, record: Record) -> tuple[int, float] | None:
        """How near an infeasible record came to keeping the bounds; larger is nearer.

        Bounds are tried in an order, and the first that is broken ends the trial: so first the number of bounds
        that are known to hold, then minus the logarithm of the ratio by which the broken one is exceeded, or minus
        the excess itself where there is no ratio. None if no bound is known to be broken.
        """
        holding, excess = 0, 0.0
        for bound in self.bounds:
            value = record.scores.get(bound.fitness.name)
            if value is None:
                continue
            if bound.holds(value):
                holding += 1
                continue
            low, high = sorted((value, bound.limit))
            excess += math.log(high / low) if low > 0 else high - low
        return (holding, -excess) if excess > 0 else None

    def merits(self, record: Record) -> tuple[float, ...] | None:
        """One number per objective, larger is better; None for a record that is not ok."""
        if record.status != "ok":
            return None
        return tuple([objective.merit(record.scores) for objective in self.objectives])


def split_direction(text: str) -> tuple[str, str | None]:
    """`name:min` -> (name, "min"); without a direction, (name, None)."""
    name, colon, direction = text.rpartition(":")
    if colon and direction in ("min", "max"):
        return name, direction
    return text, None


def read_objective(text: str, read: Callable[[str], Expression]) -> Objective:
    """`flash_bytes:min`, an expression with an optional direction.

    Args:
        text: The objective.
        read: Reads an expression; raises UsageError if it cannot.

    Raises:
        UsageError: An expression that cannot be read, or what follows one is no direction.
    """
    name, direction = split_direction(text)
    try:
        expression = read(name)
    except UsageError:
        _refuse_direction(name, read)
        raise
    return Objective(expression, direction or expression.direction)


def _refuse_direction(text: str, read: Callable[[str], object]) -> None:
    """Raise UsageError if what cannot be read as a whole can be up to its last colon: that is no name's own."""
    name, _, direction = text.rpartition(":")
    try:
        read(name)
    except UsageError:
        return
    raise UsageError(f"objective {text!r}: {direction!r} is no direction; expected {name}:min or {name}:max")


def split_bound(text: str) -> tuple[str, str, float]:
    """`peak_ram_bytes<=65536` -> its name, sign and limit.

    Raises:
        UsageError: Not of that form, or a limit that is not a finite number.
    """
    match = _BOUND.fullmatch(text)
    if not match:
        raise UsageError(f"bound {text!r}; expected NAME<=NUMBER or NAME>=NUMBER, e.g. 'peak_ram_bytes<=65536'")
    try:
        limit = float(match["limit"])
    except ValueError:
        limit = math.nan
    if not math.isfinite(limit):
        raise UsageError(f"bound {text!r}: the limit is {match['limit']!r}; expected a finite number")
    return match["name"], match["sign"], limit


def check_bounds(bounds: Sequence[Bound]) -> None:
    """Refuse bounds that contradict each other.

    Raises:
        UsageError: A lower bound above an upper bound on the same score.
    """
    for low in bounds:
        for high in bounds:
            same = low.fitness.name == high.fitness.name
            if same and low.sign == ">=" and high.sign == "<=" and low.limit > high.limit:
                raise UsageError(f"bounds {low} and {high} leave nothing; expected a lower limit below the upper")
