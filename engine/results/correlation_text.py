"""Correlations as a table, CSV, JSON or LaTeX."""

from __future__ import annotations

import json

from engine.results.correlate import MEASURES, Correlation, Row
from engine.results.limits_text import (
    flat,
    flat_titles,
    named,
    networks_within,
    remarks,
    sections,
    shown,
    three,
    tree,
)
from engine.results.tabular import aligned, as_csv, as_latex, escaped

__all__ = ["format_correlation"]


def format_correlation(found: Correlation, kind: str) -> str:
    """All of it as text.

    Args:
        found: The correlations.
        kind: One of `engine.results.tabular.FORMATS`.
    """
    return {"table": _table, "csv": _csv, "json": _json, "latex": _latex}[kind](found)


def _table(found: Correlation) -> str:
    cells = [["score", "", *_titles(found), "failed", "s/network"]]
    for row in found.rows:
        beside = "baseline" if row.kind == "baseline" else ""
        measures = [shown(row.measures[name]) for name in MEASURES]
        cells.append([row.name, beside, *measures, f"{row.failed:,}", f"{row.seconds:.2g}"])
    lines = [_heading(found), "", *aligned(cells, left=2)]
    for title, more in sections(found):
        lines += ["", title, "", *aligned(more)]
    return "\n".join([*lines, "", *_notes(found)])


def _csv(found: Correlation) -> str:
    parts = [f"{name}{part}" for name in MEASURES for part in ("", "_low", "_high")]
    titles = ["score", "kind", "direction", *parts, "networks", "failed", "seconds_per_network"]
    rows: list[list[object]] = [[*titles, *flat_titles(found)]]
    for row in found.rows:
        numbers = [number for name in MEASURES for number in three(row.measures[name])]
        counts = [len(found.truth), row.failed, f"{row.seconds:.6g}"]
        rows.append([row.name, row.kind, row.direction, *numbers, *counts, *flat(row.banded, row.regrets)])
    return as_csv(rows)


def _json(found: Correlation) -> str:
    return json.dumps(
        {
            "space": found.space,
            "metric": {"name": found.metric, "direction": found.direction},
            "networks": len(found.truth),
            "known": found.known,
            "missing": found.missing,
            "whole_space": found.whole,
            "seed": found.seed,
            "k": found.k,
            "level": found.asked.level,
            "resamples": found.asked.resamples,
            **({} if found.random is None else {"networks_within": networks_within(found)}),
            **({} if found.random is None else {"random": tree(found, None, found.random)}),
            "scores": [
                {
                    "name": row.name,
                    "kind": row.kind,
                    "direction": row.direction,
                    **{name: named(row.measures[name]) for name in MEASURES},
                    "failed": row.failed,
                    "reason": row.reason,
                    "seconds_per_network": row.seconds,
                    **tree(found, row.banded, row.regrets),
                }
                for row in found.rows
            ],
        },
        indent=1,
    )


def _latex(found: Correlation) -> str:
    titles = ["score", r"Kendall's $\tau_b$", r"Spearman's $\rho$", f"top-{found.k}", f"nDCG@{found.k}"]
    cells = [titles]
    for row in found.rows:
        beside = r" \emph{(baseline)}" if row.kind == "baseline" else ""
        measures = [shown(row.measures[name]).replace("-", "$-$") for name in MEASURES]
        cells.append([escaped(row.name) + beside, *measures])
    comments = [f"% {line}" for line in (_heading(found), *_notes(found))]
    lines = [*comments, *as_latex(cells)]
    for title, more in sections(found):
        rows = [[escaped(cell).replace("-", "$-$") for cell in line] for line in more]
        lines += [f"% {title}", *as_latex(rows)]
    return "\n".join(lines)


def _titles(found: Correlation) -> list[str]:
    return ["tau-b", "rho", f"top-{found.k}", f"nDCG@{found.k}"]


def _heading(found: Correlation) -> str:
    networks = f"{len(found.truth):,} of the {found.known:,} networks of the table, seed {found.seed}"
    if len(found.truth) == found.known:
        networks = f"all {found.known:,} networks of the table"
    better = "smaller" if found.direction == "min" else "larger"
    return f"space {found.space}, {networks}; {found.metric}, {better} is better"


def _notes(found: Correlation) -> list[str]:
    """What a reader needs to know of the numbers."""
    n = len(found.truth)
    notes = []
    if found.whole:
        notes.append("no intervals: these are all networks of the space, nothing was sampled")
    elif found.asked.resamples:
        level = f"{found.asked.level * 100:g} % intervals"
        notes.append(f"[{level} from {found.asked.resamples:,} bootstrap resamples of the networks]")
    notes.append(
        f"top-{found.k}: share of the {found.k} best scored that are truly among them; chance {found.k / n:.2g}"
    )
    if found.missing:
        notes.append(f"{found.missing:,} networks left out: the table does not know their {found.metric}")
    notes += remarks(found)
    notes += [_failure(row, n) for row in found.rows if row.failed]
    return notes


def _failure(row: Row, networks: int) -> str:
    reason = (row.reason or "").removeprefix(f"{row.name}: ")
    return f"{row.name}: failed for {row.failed:,} of {networks:,}, ranked last; the first: {reason}"
