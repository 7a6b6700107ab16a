"""Experiments 1 and 3: rank correlations with accuracy, with size, and of the trace with NAS-WOT."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from common import METRICS, Floats, Pool, markdown

from engine.results.bootstrap import agreement_intervals
from engine.results.statistics import kendall_tau_b
from engine.setup import Setup
from fitness.figures import macs, n_relu, params
from fitness.whole_space import figure_of_all

SCORES = ("trace", "naswot", "params", "macs", "aleph", "log_capacity")
LEVEL = 0.95
# Nearest published numbers, as the dissertation's figures 12 and 13 are pictures. TSS: NAS-WOT by Mellor et al.
# 2021 (1,000 random networks, validation accuracy), aleph by VKDNW; the rest and SSS by ZiCo (all networks, test).
PUBLISHED = {
    "nats-tss": {
        "naswot": (".574", ".611"),
        "params": (".57", ".55"),
        "macs": (".54", ".51"),
        "aleph": (".63", ".65"),
    },
    "nats-sss": {"naswot": (".45", ".43"), "params": (".53", ".54"), "macs": (".19", ".21")},
}


@dataclass(frozen=True)
class Whole:
    """Every network of a space.

    Attributes:
        figures: n_relu, params and macs, by name, in the order of the space's enumeration.
        known: Accuracies by column, in the same order.
    """

    figures: Mapping[str, Floats]
    known: Mapping[str, Floats]


def whole_of(setup: Setup) -> Whole:
    """Figures of a space by numpy, accuracies from its table."""
    space, table = setup.space, setup.table
    rows = [table.index_of(space.describe(genotype)) for genotype in space.enumerate()]
    figures = {f.__name__: figure_of_all(space, f) for f in (n_relu, params, macs)}
    return Whole(figures, {name: np.array(table.column(name))[rows] for name in METRICS[space.name]})


def short(column: str) -> str:
    """Such as "C10 valid"."""
    data, part, _ = column.split("_", 2)
    return f"{data.replace('cifar', 'C')} {part}"


def tau(scores: Floats, truth: Floats, resamples: int) -> str:
    """Kendall's tau-b with its bootstrap interval."""
    interval = agreement_intervals(scores, truth, 1, level=LEVEL, resamples=resamples, seed=0)["tau"]
    return f"{kendall_tau_b(scores, truth):.3f} [{interval.low:.3f}, {interval.high:.3f}]"


def with_accuracy(pool: Pool, whole: Whole, count: int, resamples: int) -> str:
    """Experiment 1: tau of scores with accuracy on the first networks of the pool, and of all networks."""
    space = pool.setup.space.name
    columns = METRICS[space]
    lines = [["score", *map(short, columns), "published, C10", "C100"]]
    for name in SCORES:
        cells = [tau(pool.merits[name][:count], pool.known[column][:count], resamples) for column in columns]
        lines.append([name, *cells, *PUBLISHED[space].get(name, ("", ""))])
    for name, figure in (("trace", "n_relu"), ("params", "params"), ("macs", "macs")):
        cells = [f"{kendall_tau_b(whole.figures[figure], whole.known[column]):.3f}" for column in columns]
        lines.append([f"{name}, all {len(whole.figures[figure]):,} networks", *cells, "", ""])
    return markdown(lines)


def among_themselves(pool: Pool, whole: Whole, count: int, resamples: int) -> list[str]:
    """Experiment 3: a row with tau of trace and size, of NAS-WOT and size, of trace and NAS-WOT."""
    pairs = (("trace", "params"), ("naswot", "params"), ("naswot", "trace"))  # failures first
    cells = [tau(pool.merits[a][:count], pool.merits[b][:count], resamples) for a, b in pairs]
    everything = kendall_tau_b(whole.figures["n_relu"], whole.figures["params"])
    return [pool.setup.space.name, *cells, f"{everything:.3f}"]


def levels(whole: Whole) -> str:
    """What figure 7 shows, in words."""
    counts = whole.figures["n_relu"]
    found, sizes = np.unique(counts, return_counts=True)
    return (
        f"{len(found):,} different counts of ReLU activations in {len(counts):,} networks, "
        f"{found[0]:,.0f} to {found[-1]:,.0f}; the most frequent one has {sizes.max():,} networks."
    )
