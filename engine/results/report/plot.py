"""Plots of a report as SVG: a front over two objectives, its parallel coordinates, a course over the records."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from engine.records import Record
from engine.results.front_plot import Axis, Limit, axis_of
from engine.results.report.gather import Gathered, Series
from engine.results.report.markup import Markup, tag
from engine.results.tabular import format_number

__all__ = ["course_plot", "front_plot", "parallel_plot"]

_WIDTH, _HEIGHT = 440.0, 330.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 58.0, 12.0, 32.0, 42.0  # margins
_TICKS = 5


def front_plot(found: Gathered, across: int, up: int, knee: int | None) -> Markup:
    """The front over two of its objectives, other networks behind it, limits and knee drawn in.

    Args:
        found: What to draw.
        across: Place of the objective that goes to the right.
        up: Place of the objective that goes up.
        knee: Number of the record at the knee.
    """
    x_of, y_of = found.front.objectives[across], found.front.objectives[up]

    def place(record: Record) -> tuple[float, float]:
        return x_of.value(record.scores), y_of.value(record.scores)

    front = [place(record) for record in found.front.records]
    cloud = [(values[across], values[up]) for values in found.cloud]
    both = cloud + front
    x_axis = axis_of(x_of, [x for x, _ in both], found.setup)
    y_axis = axis_of(y_of, [y for _, y in both], found.setup)
    to_x, to_y = _scales(x_axis, y_axis)
    parts = [*_frame(x_axis, y_axis, to_x, to_y)]
    parts += [tag("path", class_="cloud", d=_dots(cloud, to_x, to_y))]
    single = {record.number for record in found.shown}
    rest = [place(record) for record in found.front.records if record.number not in single]
    parts += [tag("path", class_="rest", d=_dots(rest, to_x, to_y))] if rest else []
    for limit in x_axis.limits:
        parts += _limit(limit, to_x(limit.value), None) if limit.inside else []
    for limit in y_axis.limits:
        parts += _limit(limit, None, to_y(limit.value)) if limit.inside else []
    for record in found.shown:
        x, y = place(record)
        if math.isfinite(x) and math.isfinite(y):
            told = f"#{record.number}: {x_of.text} {format_number(x)}, {y_of.text} {format_number(y)}"
            dot = tag(
                "circle", tag("title", told), cx=to_x(x), cy=to_y(y), r=3.2, class_="dot", data_n=record.number
            )
            ring = tag("circle", cx=to_x(x), cy=to_y(y), r=7, class_="knee") if record.number == knee else ""
            parts += [dot, *([ring] if isinstance(ring, Markup) else [])]
    drawing = _svg(f"Front of {len(front)} networks: {y_of.text} over {x_of.text}", parts)
    beyond = [limit.text for axis in (x_axis, y_axis) for limit in axis.limits if not limit.inside]
    note = [tag("figcaption", "Limit not in sight: " + "; ".join(beyond))] if beyond else []
    return tag("figure", drawing, *note)


def parallel_plot(found: Gathered, knee: int | None) -> Markup:
    """The members of the front as lines over one axis for each objective, better ends up."""
    objectives = found.front.objectives
    wide = max(1180.0, 150.0 * len(objectives))
    left, top, bottom, foot = 90.0, 40.0, 30.0, _HEIGHT
    gap = (wide - 2 * left) / max(len(objectives) - 1, 1)
    axes, parts = [], []
    for at, objective in enumerate(objectives):
        values = [objective.value(record.scores) for record in found.shown]
        axis = axis_of(objective, values, found.setup)._replace(limits=())
        finite = [value for value in values if math.isfinite(value)] or [axis.low, axis.high]
        low, high = min(finite), max(finite)
        if low < high:
            axis = axis._replace(low=low, high=high)
        axes.append(axis)
        x = left + gap * at
        ends = (low, high) if objective.direction == "max" else (high, low)
        parts += [
            tag("line", x1=x, x2=x, y1=top, y2=foot - bottom, class_="axis"),
            tag("text", objective.text, x=x, y=14, class_="middle"),
            tag("text", format_number(ends[1]), x=x, y=30, class_="middle small"),
            tag("text", format_number(ends[0]), x=x, y=foot - 14, class_="middle small"),
        ]
    lines = []
    for record in found.shown:
        points = []
        for at, (objective, axis) in enumerate(zip(objectives, axes, strict=True)):
            share = axis.place(objective.value(record.scores))
            share = min(max(share, 0.0), 1.0)  # an infinite value is at its end
            down = 1 - share if objective.direction == "max" else share
            points.append(f"{left + gap * at:.0f},{top + down * (foot - bottom - top):.1f}")
        told = ", ".join(f"{item.text} {format_number(item.value(record.scores))}" for item in objectives)
        style = "line chosen" if record.number == knee else "line"
        title = tag("title", f"#{record.number}: {told}")
        lines.append(tag("polyline", title, points=" ".join(points), class_=style, data_n=record.number))
    return tag("figure", _svg("Parallel coordinates of the front", [*lines, *parts], wide, foot), class_="full")


def course_plot(name: str, series: Series, records: int, rises: bool) -> Markup:
    """A number that changes in steps while records come in.

    Args:
        name: What it is.
        series: Numbers of records and the value from there on.
        records: Of the whole run.
        rises: Whether larger is better.
    """
    values = [value for _, value in series if math.isfinite(value)] or [0.0, 1.0]
    low, high = min(values), max(values)
    margin = 0.05 * (high - low) or abs(high) * 0.05 or 1.0
    x_axis = Axis("records", 0.0, float(max(records - 1, 1)), False, ())
    y_axis = Axis(name, low - margin, high + margin, False, ())
    to_x, to_y = _scales(x_axis, y_axis)
    parts = [*_frame(x_axis, y_axis, to_x, to_y)]
    known = [(number, value) for number, value in series if math.isfinite(value)]
    steps = [f"M{to_x(known[0][0]):.1f} {to_y(known[0][1]):.1f}"] if known else []
    steps += [f"H{to_x(number):.1f}V{to_y(value):.1f}" for number, value in known[1:]]
    end = f"{name} after each record, at last {format_number(series[-1][1])}" if series else name
    parts.append(tag("path", tag("title", end), d="".join(steps), class_="course"))
    return tag("figure", _svg(f"{end}; {'larger' if rises else 'smaller'} is better", parts))


_Scale = Callable[[float], float]


def _scales(x_axis: Axis, y_axis: Axis) -> tuple[_Scale, _Scale]:
    """From values to pixels."""
    return (
        lambda x: _LEFT + x_axis.place(x) * (_WIDTH - _LEFT - _RIGHT),
        lambda y: _HEIGHT - _BOTTOM - y_axis.place(y) * (_HEIGHT - _TOP - _BOTTOM),
    )


def _frame(x_axis: Axis, y_axis: Axis, to_x: _Scale, to_y: _Scale) -> list[Markup]:
    foot, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    parts = []
    for tick, text in _ticks(x_axis):
        x = to_x(tick)
        parts.append(tag("line", x1=x, x2=x, y1=_TOP, y2=foot, class_="grid"))
        parts.append(tag("text", text, x=x, y=foot + 15, class_="middle small"))
    for tick, text in _ticks(y_axis):
        y = to_y(tick)
        parts.append(tag("line", x1=_LEFT, x2=right, y1=y, y2=y, class_="grid"))
        parts.append(tag("text", text, x=_LEFT - 5, y=y + 4, class_="end small"))
    parts.append(tag("path", d=f"M{_LEFT} {_TOP}V{foot}H{right}", class_="axis"))
    parts.append(tag("text", x_axis.label, x=(_LEFT + right) / 2, y=_HEIGHT - 8, class_="middle"))
    middle = (_TOP + foot) / 2
    turned = f"rotate(-90 12 {middle:.0f})"
    parts.append(tag("text", y_axis.label, x=12, y=middle, transform=turned, class_="middle"))
    return parts


def _ticks(axis: Axis) -> list[tuple[float, str]]:
    """Values to name on an axis, and their names."""
    from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator

    locator = LogLocator(numticks=_TICKS) if axis.logarithmic else MaxNLocator(_TICKS)
    named = EngFormatter(sep="") if axis.in_thousands else "{:g}".format
    ticks = [float(tick) for tick in locator.tick_values(axis.low, axis.high)]
    return [(tick, named(tick)) for tick in ticks if axis.low <= tick <= axis.high]


def _limit(limit: Limit, x: float | None, y: float | None) -> list[Markup]:
    """A line where a bound of the run lies, and its name."""
    foot, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    if x is not None:  # its name above the plot: networks crowd at a limit
        line = tag("line", x1=x, x2=x, y1=_TOP, y2=foot, class_="limit")
        side = "end" if x > _WIDTH / 2 else "start"
        return [line, tag("text", limit.text, x=x, y=12, class_=f"limit {side}")]
    assert y is not None, "a limit lies somewhere"
    line = tag("line", x1=_LEFT, x2=right, y1=y, y2=y, class_="limit")
    return [line, tag("text", limit.text, x=_LEFT + 4, y=y - 4, class_="limit start")]


def _dots(points: Sequence[tuple[float, float]], to_x: _Scale, to_y: _Scale) -> str:
    """Dots as one path of lines without length: ten letters for each."""
    finite = [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]
    return "".join(f"M{to_x(x):.0f} {to_y(y):.0f}h0" for x, y in finite)


def _svg(title: str, parts: Sequence[Markup], width: float = _WIDTH, height: float = _HEIGHT) -> Markup:
    return tag(
        "svg", tag("title", title), *parts, role="img", class_="plot", viewBox=f"0 0 {width:.0f} {height:.0f}"
    )
