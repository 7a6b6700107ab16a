"""Plots of the four experiments."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from common import SPACES, Pool
from matplotlib.figure import Figure

from engine.results.pictures import save_picture
from engine.results.statistics import kendall_tau_b
from fitness.penalties import PENALTY_NAMES, penalty
from fitness.trace import BATCH

KB = 1000  # bytes; one a parameter
TITLES = {"gdf": "Gaussian (GDF)", "hsdf": "hyperbolic secant (HSDF)", "rdf": "Rayleigh (RDF)"}


def scatter(pool: Pool, count: int, columns: Sequence[str], path: Path) -> None:
    """Trace and NAS-WOT against accuracy; the worst twentieth is cut off where it would flatten the rest."""
    figure = Figure(figsize=(8, 6.4), layout="constrained")
    panels = figure.subplots(2, 2, squeeze=False, sharex="col", sharey="row")
    for row, column in zip(panels, columns, strict=True):
        truth = pool.known[column][:count]
        low, bulk, high = np.quantile(truth, [0, 0.05, 1])
        floor = bulk if bulk - low > (high - low) / 2 else low
        for axes, (name, scale) in zip(row, (("trace", 1e6), ("naswot", 1)), strict=True):
            merits = pool.merits[name][:count]
            finite = np.isfinite(merits)
            axes.scatter(merits[finite] / scale, truth[finite], s=5, alpha=0.35, linewidths=0)
            axes.set_ylim(floor - 0.02 * (high - floor), high + 0.02 * (high - floor))
            axes.set_title(f"{name}, τ {kendall_tau_b(merits, truth):.3f}", fontsize=9)
        hidden = int((truth < floor).sum())
        row[0].set_ylabel(column + (f"\n({hidden} networks lie below)" if hidden else ""), fontsize=8)
    panels[1][0].set_xlabel("trace, million activations per batch of 128")
    panels[1][1].set_xlabel("NAS-WOT, nats")
    figure.suptitle(f"{SPACES[pool.setup.space.name]}, {count:,} random networks", fontsize=10)
    save_picture(figure, path)


def histograms(pools: Sequence[Pool], count: int, path: Path) -> None:
    """Numbers of ReLU activations of random networks."""
    figure = Figure(figsize=(4 * len(pools) + 0.5, 3.2), layout="constrained")
    for axes, pool in zip(figure.subplots(1, len(pools), squeeze=False)[0], pools, strict=True):
        axes.hist(pool.values["trace"][:count] / BATCH / 1e3, bins=40)
        axes.set_title(f"{SPACES[pool.setup.space.name]}, {count:,} random networks", fontsize=9)
        axes.set_xlabel("thousand ReLU activations $N_A$")
        axes.set_ylabel("networks")
    save_picture(figure, path)


def penalties(path: Path) -> None:
    """The three factors over the size of a network, and as printed (dashed)."""
    sizes = np.linspace(0, 1.2e6, 601)
    figure = Figure(figsize=(9.5, 3.1), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(PENALTY_NAMES)), PENALTY_NAMES, strict=True):
        for literal in (False, True):
            made = penalty(name, {"literal": True} if literal else {})
            factors = [made(size) for size in sizes]
            label = "as printed" if literal else "default"
            axes.plot(sizes / KB, factors, "--" if literal else "-", label=label, color="C1" if literal else "C0")
        parameters = str(penalty(name, {})).partition(" on ")[0].partition("(")[2].rstrip(")")
        axes.set_title(f"{TITLES[name]}\n{parameters} MB", fontsize=9)
        axes.set_xlabel("size, kB")
        axes.legend(fontsize=8)
    save_picture(figure, path)


def penalised(pool: Pool, count: int, path: Path) -> None:
    """The trace of random networks over their size, before and after each penalty (figures 15 to 20)."""
    figure = Figure(figsize=(9.5, 3.1), layout="constrained")
    trace, sizes = pool.values["trace"][:count], pool.values["params"][:count]
    for axes, name in zip(figure.subplots(1, len(PENALTY_NAMES), sharey=True), PENALTY_NAMES, strict=True):
        made = penalty(name, {})
        factors = np.array([made(size) for size in sizes])
        for values, label, colour in ((trace, "trace", "C2"), (trace * factors, f"trace+{name}", "C1")):
            axes.scatter(sizes / KB, values / 1e6, s=5, alpha=0.35, linewidths=0, label=label, color=colour)
        axes.set_xlabel("size, kB")
        axes.legend(fontsize=8, markerscale=3)
    figure.axes[0].set_ylabel("million activations")
    figure.suptitle(f"{SPACES[pool.setup.space.name]}, {count:,} random networks", fontsize=10)
    save_picture(figure, path)
