"""What scores know within bands, and what training the best scored loses, as cells, columns and JSON."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from engine.results.correlate import Correlation
from engine.results.limits import Banded, Estimate
from engine.results.regret import SHARE
from engine.results.tabular import counted, format_number, json_number

__all__ = ["flat", "flat_titles", "named", "networks_within", "remarks", "sections", "shown", "three", "tree"]

Floats = NDArray[np.float64]
Section = tuple[str, list[list[str]]]


def sections(found: Correlation) -> list[Section]:
    """A title and cells, titles of columns first, for whatever was asked for beside the measures."""
    return [*_bands(found), *_regrets(found)]


def _bands(found: Correlation) -> list[Section]:
    by, first = found.asked.by, found.rows[0].banded
    if by is None or first is None:
        return []
    between = [f"{format_number(low)} to {format_number(high)}" for low, high in by.between]
    many = sum(band.networks > 1 for band in first.bands)
    cells = [["score", *between, f"mean of {many}"]]
    cells.append(["networks", *(f"{band.networks:,}" for band in first.bands), ""])
    for row in found.rows:
        assert row.banded is not None
        bands = row.banded.bands
        taus = [shown(band.tau, "all equal" if band.networks > 1 else "") for band in bands]
        known = _known_taus(row.banded)
        mean = shown(row.banded.mean, "") + (f" of {known}" if 0 < known < many else "")
        cells.append([row.name, *taus, mean])
    return [(f"tau-b in bands of {by.figure}, the upper limit not in it", cells)]


def _regrets(found: Correlation) -> list[Section]:
    budgets, made = found.asked.budgets, []
    if budgets is None or found.random is None:
        return []
    counts = budgets.within(found.figures[budgets.figure])
    for place, k in enumerate(found.asked.trained):
        limits = [f"{budgets.figure}<={format_number(number)}" for number in budgets.numbers]
        cells = [["score", *limits, f"mean of {sum(map(bool, counts))}"]]
        cells.append(["networks", *(f"{count:,}" for count in counts), ""])
        named = [(row.name, row.regrets) for row in found.rows]
        for name, regrets in [*named, ("random", found.random)]:
            assert regrets is not None
            of = regrets[:, place]
            cells.append([name, *(_regret(value) for value in [*of.tolist(), _known_mean(of)])])
        what = "only the best scored is trained" if k == 1 else f"the {k} best scored are trained"
        made.append((f"regret in {found.metric} when {what}, mean over pools of 60 % of the networks", cells))
    return made


def remarks(found: Correlation) -> list[str]:
    """Which bands and limits hold no network, and within which the best scored are all that there are."""
    by, budgets = found.asked.by, found.asked.budgets
    lines = [] if by is None else by.without(found.figures[by.figure], bands=True)
    if budgets is None:
        return lines
    figure = found.figures[budgets.figure]
    lines += [line for line in budgets.without(figure, bands=False) if line not in lines]
    for number, count in zip(budgets.numbers, budgets.within(figure), strict=True):
        all_of = [str(k) for k in found.asked.trained if k >= SHARE * count]
        if count and all_of:
            lines.append(
                f"{budgets.figure}<={format_number(number)} is kept by {counted(count, 'network')}, about "
                f"{SHARE * count:.1f} in a pool: to train {' or '.join(all_of)} is to train nearly all"
            )
    return lines


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
            "mean_of": _known_taus(banded),
        }
    if regrets is not None and found.asked.budgets is not None:
        budgets = found.asked.budgets
        names = [f"{budgets.figure}<={number:.12g}" for number in budgets.numbers]
        made["regret"] = [
            {
                "train": k,
                "within": {
                    name: json_number(float(value)) for name, value in zip(names, regrets[:, place], strict=True)
                },
                "mean": json_number(_known_mean(regrets[:, place])),
                "mean_of": int((~np.isnan(regrets[:, place])).sum()),
            }
            for place, k in enumerate(found.asked.trained)
        ]
    return made


def networks_within(found: Correlation) -> dict[str, int]:
    """How many networks keep each limit of the regrets, for JSON; empty without limits."""
    budgets = found.asked.budgets
    if budgets is None:
        return {}
    counts = budgets.within(found.figures[budgets.figure])
    return {
        f"{budgets.figure}<={number:.12g}": count for number, count in zip(budgets.numbers, counts, strict=True)
    }


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


def _known_taus(banded: Banded) -> int:
    return sum(not math.isnan(band.tau.value) for band in banded.bands)


def _regret(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.2f}"


def _known_mean(values: Floats) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else math.nan
