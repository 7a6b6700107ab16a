"""A front over its first two objectives as a picture: the other networks behind it, its knee, the limits."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from engine.objectives import Objective
from engine.records import Record
from engine.results.front import Front
from engine.results.pick import knee
from engine.results.tabular import format_number
from engine.setup import Setup
from spaces.errors import RunError, UsageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Axis", "Limit", "axis_of", "draw_front"]

_DECADES = 2.0  # values that span more are drawn on a logarithmic axis
_REACH = 0.5  # of the values' range: a limit further away than that is told, not drawn, or it would squeeze them


class Limit(NamedTuple):
    """A bound of the run on the score that an axis shows.

    Attributes:
        value: Where it lies.
        text: What to call it: "mcu-256k: flash_bytes <= 262,144".
        inside: Whether it lies on the axis.
    """

    value: float
    text: str
    inside: bool


class Axis(NamedTuple):
    """How one objective is drawn.

    Attributes:
        label: Its name and which way is better.
        low: Lower end.
        high: Upper end.
        logarithmic: Whether equal steps are equal factors.
        limits: The run's bounds on it.
    """

    label: str
    low: float
    high: float
    logarithmic: bool
    limits: tuple[Limit, ...]

    @property
    def in_thousands(self) -> bool:
        """Whether its numbers are told as 5k and 2M; else half a percent would be 5m."""
        return max(abs(self.low), abs(self.high)) >= 1000

    def place(self, value: float) -> float:
        """Where a value lies, 0 at the lower end and 1 at the upper."""
        low, high, value = map(self._scaled, (self.low, self.high, value))
        return (value - low) / (high - low)

    def _scaled(self, value: float) -> float:
        return math.log(value) if self.logarithmic else value


def axis_of(objective: Objective, values: Sequence[float], setup: Setup) -> Axis:
    """An axis for one objective that has room for all values and for the limits near them.

    Args:
        objective: What it shows.
        values: What is drawn on it; those that are not finite get no room.
        setup: Of the run, whose target and bounds are the limits.
    """
    finite = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
    low, high = min(finite), max(finite)
    logarithmic = low > 0 and math.log10(high / low) > _DECADES
    span = (math.log(high / low) if logarithmic else high - low) or abs(high) or 1.0
    bounds = [bound for bound in setup.bounds if bound.fitness.name == objective.text]
    near = [bound.limit for bound in bounds if _near(bound.limit, low, high, span, logarithmic)]
    low, high = min([low, *near]), max([high, *near])
    if logarithmic:
        margin = 0.04 * math.log(high / low)
        low, high = low * math.exp(-margin), high * math.exp(margin)
    else:
        margin = 0.04 * (high - low) or 0.1 * span
        low, high = low - margin, high + margin
    boards = setup.target.bounds_for(setup.space) if setup.target else ()
    limits = tuple(
        Limit(
            bound.limit,
            f"{f'{setup.target.name}: ' if setup.target and str(bound) in boards else ''}{bound.fitness.name} "
            f"{bound.sign.replace('=', '').replace('<', '≤').replace('>', '≥')} {format_number(bound.limit)}",
            bound.limit in near,
        )
        for bound in bounds
    )
    better = "smaller" if objective.direction == "min" else "larger"
    return Axis(f"{objective.text} ({better} is better)", low, high, logarithmic, limits)


def _near(limit: float, low: float, high: float, span: float, logarithmic: bool) -> bool:
    if logarithmic:
        if limit <= 0:
            return False
        low, high, limit = math.log(low), math.log(high), math.log(limit)
    return low - _REACH * span <= limit <= high + _REACH * span


def draw_front(front: Front, everything: Iterable[Record], setup: Setup, path: Path, kind: str) -> None:
    """Plot a front over its first two objectives, the other feasible records behind it.

    Args:
        front: What to draw; the first objective goes up, the second to the right.
        everything: The records that the front was found among.
        setup: Of the run, whose bounds are drawn in.
        path: The file.
        kind: "png" or "svg".

    Raises:
        UsageError: Fewer than two objectives.
        RunError: The file cannot be written.
    """
    if len(front.objectives) < 2:
        raise UsageError("a picture needs two objectives; give --objective twice")
    import matplotlib

    figure = _figure(front, everything, setup)
    try:
        # Text stays text, and equal fronts make equal files.
        with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "front"}):
            figure.savefig(path, dpi=150, format=kind, metadata={"Date": None} if kind == "svg" else None)
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror or error}") from error


def _figure(front: Front, everything: Iterable[Record], setup: Setup) -> Figure:
    from matplotlib.figure import Figure

    x, y = front.objectives[1], front.objectives[0]
    cloud = [
        (x.value(record.scores), y.value(record.scores))
        for record in everything
        if record.status == "ok" and not record.cached
    ]
    points = [(x.value(record.scores), y.value(record.scores)) for record in front.records]
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    if cloud:
        axes.scatter(
            *_columns(cloud),
            s=6,
            color="0.75",
            label=f"feasible ({len(cloud):,})",
            rasterized=True,  # as circles, a long run makes an SVG that no browser scrolls
        )
    if points:
        axes.scatter(*_columns(points), s=22, color="C0", zorder=3, label=f"front ({len(points)}{_over(front)})")
        bend = knee(front)
        place = x.value(bend.scores), y.value(bend.scores)
        axes.scatter(
            *_columns([place]),
            s=70,
            facecolor="none",
            edgecolor="C3",
            linewidth=1.6,
            zorder=4,
            label=f"knee (#{bend.number})",
        )
    drawn = cloud + points
    _dress(axes, axis_of(x, [a for a, _ in drawn], setup), across=True)
    _dress(axes, axis_of(y, [b for _, b in drawn], setup), across=False)
    axes.legend(loc="best", frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _columns(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [a for a, _ in points], [b for _, b in points]


def _over(front: Front) -> str:
    """Why members seem beaten: a picture shows two objectives."""
    count = len(front.objectives)
    return f", over {count} objectives" if count > 2 else ""


def _dress(axes: Axes, axis: Axis, across: bool) -> None:
    """Set one axis of a plot, with lines where limits lie; one that lies beyond goes into the label."""
    from matplotlib.ticker import EngFormatter

    if axis.logarithmic:
        (axes.set_xscale if across else axes.set_yscale)("log")
    (axes.set_xlim if across else axes.set_ylim)(axis.low, axis.high)
    beyond = "".join(f"\nlimit not in sight: {limit.text}" for limit in axis.limits if not limit.inside)
    (axes.set_xlabel if across else axes.set_ylabel)(axis.label + beyond)
    if axis.in_thousands:
        (axes.xaxis if across else axes.yaxis).set_major_formatter(EngFormatter())
    for limit in axis.limits:
        if limit.inside:
            draw = axes.axvline if across else axes.axhline
            draw(limit.value, color="C1", linestyle="--" if across else ":", linewidth=1.2, label=limit.text)
