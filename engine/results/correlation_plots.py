"""Scatter plots of a metric over each score, one panel a score."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engine.results.correlate import Correlation, Row
from engine.results.pictures import save_picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_correlation", "figure_of"]

_DECADES = 2.0  # a score that spans more is drawn on a logarithmic axis
_TAIL = 0.05  # share of the worst networks that may not take more than half of the axis
_COLOURS = {"score": "C0", "baseline": "0.4"}
_BAD = "C3"


def draw_correlation(found: Correlation, path: Path) -> None:
    """Write the panels to a PNG or SVG file.

    Raises:
        UsageError: Neither of these endings.
        RunError: The file cannot be written.
    """
    save_picture(figure_of(found), path)


def figure_of(found: Correlation) -> Figure:
    """The panels, those of greatest tau first, over one axis of the metric."""
    from matplotlib.figure import Figure

    count = len(found.rows)
    columns = {1: 1, 2: 2, 4: 2}.get(count) or min((4, 3), key=lambda width: -count % width)  # fewest gaps
    lines = -(-count // columns)
    size = max(2.9 * columns + 0.6, 5.0), max(2.5 * lines + 0.7, 3.4)
    figure = Figure(figsize=size, layout="constrained")
    panels = list(figure.subplots(lines, columns, sharey=True, squeeze=False).flat)
    low, high = _limits(found.truth, found.direction)
    margin = 0.04 * (high - low)
    for row, axes in zip(found.rows, panels, strict=False):
        axes.set_ylim(low - margin, high + margin)
        _draw(axes, row, found)
    for axes in panels[count:]:
        axes.remove()
    better = "smaller" if found.direction == "min" else "larger"
    figure.supylabel(f"{found.metric} ({better} is better)", fontsize=9)
    title = f"{found.space}, {len(found.truth):,} networks"
    outside = int(((found.truth < low) | (found.truth > high)).sum())
    if outside:
        beyond = f"below {low:.4g}" if found.direction == "max" else f"above {high:.4g}"
        title += f"; triangles: the {outside:,} {beyond}"
    figure.suptitle(title, fontsize=10)
    return figure


def _draw(axes: Axes, row: Row, found: Correlation) -> None:
    from matplotlib.ticker import EngFormatter, LogLocator

    known = ~np.isnan(row.values)
    low, high = _limits(found.truth, found.direction)
    inside = (found.truth >= low) & (found.truth <= high)
    n = len(found.truth)
    size, faint = float(np.clip(4000 / n, 3, 16)), float(np.clip(12 / math.sqrt(n), 0.1, 0.8))
    beyond = "v" if found.direction == "max" else "^"
    for chosen, marker, area in ((known & inside, "o", size), (known & ~inside, beyond, max(size, 10.0))):
        axes.scatter(
            row.values[chosen],
            np.clip(found.truth[chosen], low, high),
            s=area,
            alpha=faint,
            marker=marker,
            color=_COLOURS[row.kind],
            linewidths=0,
            rasterized=True,  # as circles, 15,625 networks make an SVG that no browser scrolls
        )
    if known.any() and _spans_decades(row.values[known]):
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(numticks=6))
    else:
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.locator_params(axis="x", nbins=5)
    if row.failed:
        worst = np.full(row.failed, 0.015 if row.direction == "max" else 0.985)  # of the axis
        heights = np.clip(found.truth[~known], low, high)
        axes.scatter(
            worst, heights, s=14, marker="x", color=_BAD, linewidths=0.8, transform=axes.get_yaxis_transform()
        )
    axes.set_title(f"{row.name}{' (baseline)' * (row.kind == 'baseline')}\n{_figures(row)}", fontsize=9)
    axes.tick_params(labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)


def _figures(row: Row) -> str:
    tau = row.measures["tau"].value
    parts = ["all equal" if math.isnan(tau) else f"τ {tau:.3f}"]
    if row.direction == "min":
        parts.append("smaller is better")
    if row.failed:
        parts.append(f"{row.failed:,} failed (×)")
    return ", ".join(parts)


def _limits(truth: NDArray[np.float64], direction: str) -> tuple[float, float]:
    """Ends of the metric's axis: a few networks that learnt nothing would press all others into a line."""
    low, high = float(truth.min()), float(truth.max())
    bulk = float(np.quantile(truth, _TAIL if direction == "max" else 1 - _TAIL))
    if direction == "max":
        return (bulk if bulk - low > (high - low) / 2 else low), high
    return low, (bulk if high - bulk > (high - low) / 2 else high)


def _spans_decades(values: NDArray[np.float64]) -> bool:
    return bool(values.min() > 0 and math.log10(values.max() / values.min()) > _DECADES)
