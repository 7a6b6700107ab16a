"""Scatter plots of a metric over each score, one panel a score."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.results.correlate import Correlation, Row
from spaces.errors import RunError, UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["check_ending", "draw_correlation", "figure_of"]

_ENDINGS = ("png", "svg")
_COLUMNS = 4
_DECADES = 2.0  # a score that spans more is drawn on a logarithmic axis
_COLOURS = {"score": "C0", "baseline": "0.45"}


def draw_correlation(found: Correlation, path: Path) -> None:
    """Write the panels to a PNG or SVG file.

    Raises:
        UsageError: Neither of these endings.
        RunError: The file cannot be written.
    """
    check_ending(path)
    try:
        figure_of(found).savefig(path, dpi=150, format=path.suffix[1:].lower())
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror or error}") from error


def check_ending(path: Path) -> None:
    """Find out before an hour's work that a picture cannot be written.

    Raises:
        UsageError: Neither PNG nor SVG.
    """
    if path.suffix[1:].lower() not in _ENDINGS:
        raise UsageError(f"plot {str(path)!r}; expected a name ending in .png or .svg")


def figure_of(found: Correlation) -> Figure:
    """The panels, those of greatest tau first."""
    from matplotlib.figure import Figure

    columns = min(_COLUMNS, len(found.rows))
    lines = -(-len(found.rows) // columns)
    figure = Figure(figsize=(3.1 * columns + 0.5, 2.8 * lines + 0.6), layout="constrained")
    panels = list(figure.subplots(lines, columns, sharey=True, squeeze=False).flat)
    for row, axes in zip(found.rows, panels, strict=False):
        _draw(axes, row, found)
    for axes in panels[len(found.rows) :]:
        axes.remove()
    better = "smaller" if found.direction == "min" else "larger"
    figure.supylabel(f"{found.metric} ({better} is better)", fontsize=9)
    figure.suptitle(f"{found.space}, {len(found.truth):,} networks", fontsize=10)
    return figure


def _draw(axes: Any, row: Row, found: Correlation) -> None:
    known = ~np.isnan(row.values)
    n = len(found.truth)
    faint = min(1.0, max(0.06, 12 / math.sqrt(n) * 0.6))
    colour = _COLOURS[row.kind]
    axes.scatter(
        row.values[known],
        found.truth[known],
        s=float(np.clip(3000 / n, 2, 14)),
        alpha=faint,
        color=colour,
        linewidths=0,
        rasterized=True,  # 15,625 circles make an SVG of megabytes that no browser scrolls
    )
    if known.any() and _spans_decades(row.values[known]):
        axes.set_xscale("log")
    tau = row.measures["tau"].value
    figures = "all equal" if math.isnan(tau) else f"τ {tau:.3f}"
    failures = f", {row.failed:,} failed" if row.failed else ""
    axes.set_title(f"{row.name}\n{figures}{failures}", fontsize=9)
    axes.tick_params(labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)


def _spans_decades(values: Any) -> bool:
    return bool(values.min() > 0 and math.log10(values.max() / values.min()) > _DECADES)
