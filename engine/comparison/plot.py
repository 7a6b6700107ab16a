"""Curves of the best found so far, with bands over the runs, one panel for every space and metric."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.comparison.outcome import Comparison, SpaceComparison
from engine.results.pictures import save_picture
from engine.results.statistics import band

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_comparison", "figure_of"]

_POINTS = 400  # of a curve over simulated seconds
_STYLES = ("-", "--", "-.", ":")  # after ten methods colours come round again
_SHOWN = ("optimum", "most macs")  # references drawn as lines


def draw_comparison(found: Comparison, path: Path) -> None:
    """Write the panels to a PNG or SVG file.

    Raises:
        UsageError: Neither of these endings.
        RunError: The file cannot be written.
    """
    save_picture(figure_of(found), path)


def figure_of(found: Comparison) -> Figure:
    """The panels: a row for every space, a column for every metric that it has."""
    from matplotlib.figure import Figure

    columns = max(len(space.metrics) for space in found.spaces)
    lines = len(found.spaces)
    figure = Figure(figsize=(5.2 * columns + 2.2, 3.9 * lines), layout="constrained")
    panels = figure.subplots(lines, columns, squeeze=False)
    for space, row in zip(found.spaces, panels, strict=True):
        for column, axes in zip(space.metrics, row, strict=False):
            _draw(axes, space, column)
        for axes in row[len(space.metrics) :]:
            axes.remove()
        last = row[len(space.metrics) - 1]
        last.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=8)
    return figure


def _draw(axes: Any, space: SpaceComparison, column: str) -> None:
    rows = [row for row in space.rows if row.runs]
    simulated = all(len(run.spent) for row in rows for run in row.runs)
    several = len({row.method.fitness for row in rows}) > 1
    lows = []
    for number, row in enumerate(rows):
        if simulated:
            last = max(run.simulated_seconds for run in row.runs)
            x = np.linspace(0, last, _POINTS)
            curves = [run.curve_over(column, x) for run in row.runs]
        else:
            length = max(run.evaluations for run in row.runs)
            x = np.arange(1, length + 1, dtype=np.float64)
            curves = [run.curve(column, length) for run in row.runs]
        found = band(curves)
        label = f"{row.method.strategy}, {row.method.fitness}" if several else row.method.strategy
        style = _STYLES[number // 10 % len(_STYLES)]
        axes.step(x, found.middle, style, where="post", color=f"C{number % 10}", lw=1.6, label=label)
        axes.fill_between(x, found.low, found.high, step="post", color=f"C{number % 10}", alpha=0.15, lw=0)
        lows.append(np.nanquantile(found.middle, 0.1) if np.isfinite(found.middle).any() else np.nan)
    tops = []
    for reference, style in zip(_SHOWN, ("-", ":"), strict=True):
        for item in space.references:
            if item.name == reference:
                axes.axhline(item.values[column], color="0.3", lw=0.9, ls=style, label=item.name)
                tops.append(item.values[column])
    _zoom(axes, lows, tops)
    axes.set_title(space.space, fontsize=10)
    axes.set_ylabel(column)
    axes.set_xlabel("simulated seconds of training" if simulated else "evaluations")
    if not simulated:
        axes.set_xscale("log")
    axes.spines[["top", "right"]].set_visible(False)


def _zoom(axes: Any, lows: list[float], tops: list[float]) -> None:
    """Show where the curves differ: the first few evaluations are far below, and all alike."""
    known = [value for value in lows + tops if np.isfinite(value)]
    if len(known) > 1 and max(known) > min(known):
        margin = 0.06 * (max(known) - min(known))
        axes.set_ylim(min(known) - margin, max(known) + margin)
