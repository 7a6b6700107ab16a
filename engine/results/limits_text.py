"""What scores know within bands, and what training the best scored loses, as cells, columns and JSON."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from engine.results.correlate import Correlation
from engine.results.limits import Banded, Estimate
from engine.results.tabular import format_number, json_number

__all__ = ["flat", "flat_titles", "named", "sections", "shown", "three", "tree"]

Floats = NDArray[np.float64]
Section = tuple[str, list[list[str]]]


def sections(found: Correlation) -> list[Section]:
    """A title and cells, titles of columns first, for whatever was asked for beside the measures."""
    return [*_bands(found), *_regrets(found)]


def _bands(found: Correlation) -> list[Section]:
    by, first = found.asked.by, found.rows[0].banded
    if by is None or first is None:
        return []
    cells = [["score", *(f"{format_number(low)} to {format_number(high)}" for low, high in by.between), "mean"]]
    cells.append(["networks", *(f"{band.networks:,}" for band in first.bands), ""])
    for row in found.rows:
        assert row.banded is not None
        taus = [shown(band.tau, "") for band in row.banded.bands]
        cells.append([row.name, *taus, shown(row.banded.mean, "")])
    return [(f"tau-b in bands of {by.figure}, the upper limit not in it", cells)]


def _regrets(found: Correlation) -> list[Section]:
    budgets, made = found.asked.budgets, []
    if budgets is None or found.random is None:
        return []
    for place, k in enumerate(found.asked.trained):
        cells = [["score", *(f"{budgets.figure}<={format_number(number)}" for number in budgets.numbers), "mean"]]
        named = [(row.name, row.regrets) for row in found.rows]
        for name, regrets in [*named, ("random", found.random)]:
            assert regrets is not None
            of = regrets[:, place]
            cells.append([name, *(_regret(value) for value in [*of.tolist(), _known_mean(of)])])
        what = "only the best scored is trained" if k == 1 else f"the {k} best scored are trained"
        made.append((f"regret in {found.metric} when {what}, mean over pools of 60 % of the networks", cells))
    return made


def flat_titles(found: Correlation) -> list[str]:
    """Names of the columns of `flat`."""
    titles = []
    if found.asked.by is not None:
        by = found.asked.by
        bands = [f"tau_{by.figure}_{low:.12g}_{high:.12g}" for low, high in by.between]
        titles += [f"{name}{part}" for name in (*bands, "tau_in_band") for part in ("", "_low", "_high")]
    if found.asked.budgets is not None:
        budgets = found.asked.budgets
        titles += [
            f"regret_{budgets.figure}_{number:.12g}_train_{k}"
            for number in budgets.numbers
            for k in found.asked.trained
        ]
    return titles


def flat(banded: Banded | None, regrets: Floats | None) -> list[float | None]:
    """One line of numbers; None where there is none."""
    numbers: list[float | None] = []
    if banded is not None:
        for estimate in (*(band.tau for band in banded.bands), banded.mean):
            numbers += three(estimate)
    if regrets is not None:
        numbers += [json_number(value) for value in regrets.reshape(-1).tolist()]
    return numbers


def tree(found: Correlation, banded: Banded | None, regrets: Floats | None) -> dict[str, object]:
    """What of it there is, for JSON."""
    made: dict[str, object] = {}
    if banded is not None and found.asked.by is not None:
        made["bands"] = {
            "figure": found.asked.by.figure,
            "tau": [
                {"from": band.low, "below": band.high, "networks": band.networks, **named(band.tau)}
                for band in banded.bands
            ],
            "mean": named(banded.mean),
        }
    if regrets is not None and found.asked.budgets is not None:
        budgets = found.asked.budgets
        made["regret"] = [
            {
                "train": k,
                "within": {
                    f"{budgets.figure}<={number:.12g}": json_number(float(value))
                    for number, value in zip(budgets.numbers, regrets[:, place], strict=True)
                },
                "mean": json_number(_known_mean(regrets[:, place])),
            }
            for place, k in enumerate(found.asked.trained)
        ]
    return made


def shown(estimate: Estimate, undefined: str = "all equal") -> str:
    """A measure and its interval for people."""
    if math.isnan(estimate.value):
        return undefined
    if estimate.interval is None:
        return f"{estimate.value:.3f}"
    low, high = estimate.interval
    return f"{estimate.value:.3f} [{low:.2f}, {high:.2f}]"


def three(estimate: Estimate) -> list[float | None]:
    """Value and interval; None where there is none."""
    ends = estimate.interval or (math.nan, math.nan)
    return [json_number(number) for number in (estimate.value, *ends)]


def named(estimate: Estimate) -> dict[str, float | None]:
    """The same by name, for JSON."""
    return dict(zip(("value", "low", "high"), three(estimate), strict=True))


def _regret(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.2f}"


def _known_mean(values: Floats) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else math.nan
