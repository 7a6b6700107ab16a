"""A comparison as text, CSV, JSON or LaTeX."""

from __future__ import annotations

import json
import math

import numpy as np
from numpy.typing import ArrayLike

from engine.comparison.outcome import Comparison, Reference, Row, SpaceComparison
from engine.results.statistics import mean_std
from engine.results.tabular import aligned, as_csv, as_latex, counted, escaped, json_number

__all__ = ["format_comparison"]


def format_comparison(found: Comparison, kind: str) -> str:
    """All of it as text.

    Args:
        found: The comparison.
        kind: One of `engine.results.tabular.FORMATS`.
    """
    if kind == "csv":
        return as_csv(_flat(found))
    if kind == "json":
        return json.dumps(_tree(found), indent=1)
    show = _latex if kind == "latex" else _text
    return "\n\n".join(show(found, space) for space in found.spaces)


def _heading(found: Comparison, space: SpaceComparison) -> str:
    base = found.plan.base
    budget = f"{base.budget:,} evaluations"
    if base.simulated_seconds is not None:
        budget = f"{base.simulated_seconds:,.0f} simulated seconds, at most {budget}"
    runs = f"{counted(found.plan.runs, 'run')} each"
    done = "" if found.done == found.wanted else f"; {found.done:,} of {found.wanted:,} runs are finished"
    where = space.space if space.listed is None else f"{space.space}, the {space.listed:,} networks of the table"
    return f"space {where}, {budget}, {runs} from seed {base.seed}{done}"


def _cells(space: SpaceComparison) -> list[list[str]]:
    """Titles, methods and references, all of one width."""
    simulated = any(run.simulated_seconds for row in space.rows for run in row.runs)
    titles = ["strategy", "fitness"]
    for column in space.metrics:
        titles += [column, "regret"]
    titles += ["params", "records", "search s", *(["trained s"] if simulated else []), "rank", "p"]
    cells = [titles]
    for row in space.rows:
        line = [row.method.strategy, row.method.fitness]
        for column in space.metrics:
            values = row.values(column)
            line += [_spread(values), _mean(space.regret(column, values))]
        line += [_mean([run.params for run in row.runs], 0), _mean([run.evaluations for run in row.runs], 0)]
        line.append(_mean([run.seconds for run in row.runs], 1))
        if simulated:
            line.append(_mean([run.simulated_seconds for run in row.runs], 0))
        cells.append([*line, _number(row.rank, 1), _probability(row)])
    for reference in space.references:
        line = [reference.name, ""]
        for column in space.metrics:
            line += [_value(reference, column), _mean(space.regret(column, np.array([reference.values[column]])))]
        cells.append([*line, *[""] * (len(titles) - len(line))])
    return cells


def _text(found: Comparison, space: SpaceComparison) -> str:
    return "\n".join([_heading(found, space), "", *aligned(_cells(space), 2), "", *_notes(found, space)])


def _latex(found: Comparison, space: SpaceComparison) -> str:
    cells = [[escaped(cell) for cell in line] for line in _cells(space)]
    lines = as_latex(cells, 2, [len(space.rows)] if space.references else [])
    return "\n".join([f"% {_heading(found, space)}", *lines, *(f"% {note}" for note in _notes(found, space))])


def _notes(found: Comparison, space: SpaceComparison) -> list[str]:
    """What a reader needs to know of the numbers."""
    main = f"{space.main}{', smaller is better' if space.metrics[space.main].direction == 'min' else ''}"
    notes = [
        "mean ± standard deviation over runs of the architecture of greatest fitness; regret to the table's best;",
        f"rank: mean over seeds in {main}, 1 is best; p: Wilcoxon signed-rank test against the first row,",
        "paired by seed, Holm's correction; search s: asking and evaluations, at what they took when first made",
    ]
    smaller = [name for name, metric in space.metrics.items() if metric.direction == "min" and name != space.main]
    if smaller:
        notes.append(f"smaller is better in {', '.join(smaller)}")
    if not space.references:
        notes.append("no best value is known of an archive that was not imported; see `engine table import`")
    if len(space.rows) > 1 and space.complete < 6:
        notes.append(
            f"{counted(space.complete, 'pair')} of runs cannot show a difference: the smallest p of 5 is 0.06; "
            "use --runs 10"
        )
    elif len(space.rows) > 1 and space.complete < found.plan.runs:
        notes.append(f"ranks and tests are over the {space.complete} seeds of which the table knows every choice")
    for row in space.rows:
        name = f"{row.method.strategy} with {row.method.fitness}"
        unknown = len(row.runs) - len(row.values(space.main))
        if unknown:
            notes.append(f"{name}: the table does not know {space.main} of {unknown} of {len(row.runs)} choices")
        if row.failures:
            notes.append(f"{name}: {counted(len(row.failures), 'run')} failed; {row.failures[0]}")
    return notes


def _probability(row: Row) -> str:
    if math.isnan(row.p):
        return ""
    return "<0.001" if row.p < 0.001 else f"{row.p:.3f}"


def _value(reference: Reference, column: str) -> str:
    spread = reference.spread[column]
    return f"{reference.values[column]:.2f}" + ("" if math.isnan(spread) else f" ± {spread:.2f}")


def _spread(values: ArrayLike) -> str:
    if not np.size(values):
        return "unknown"
    mean, std = mean_std(values)
    return _number(mean, 2) + ("" if math.isnan(std) else f" ± {std:.2f}")


def _mean(values: ArrayLike, digits: int = 2) -> str:
    return _number(mean_std(values).mean, digits) if np.size(values) else ""


def _number(value: float, digits: int) -> str:
    return "" if math.isnan(value) else f"{value:,.{digits}f}"


def _flat(found: Comparison) -> list[list[object]]:
    """One line for every run and metric, references below: for anybody's own statistics."""
    titles = ["space", "strategy", "fitness", "seed", "metric", "value", "regret", "architecture", "params"]
    rows: list[list[object]] = [[*titles, "records", "search_seconds", "simulated_seconds"]]
    for space in found.spaces:
        for row in space.rows:
            for run in row.runs:
                for column in space.metrics:
                    value = run.values[column]
                    regret = float(space.regret(column, np.array([value]))[0])
                    line = [
                        *row.method,
                        run.seed,
                        column,
                        _cell(value),
                        _cell(regret),
                        run.architecture,
                        run.params,
                    ]
                    rows.append([*line, run.evaluations, run.seconds, run.simulated_seconds])
        for reference in space.references:
            for column, value in reference.values.items():
                regret = float(space.regret(column, np.array([value]))[0])
                rows.append([space.space, reference.name, "", "", column, _cell(value), _cell(regret), *[""] * 5])
    return rows


def _cell(value: float) -> object:
    return "" if math.isnan(value) else value


def _tree(found: Comparison) -> dict[str, object]:
    return {
        "runs": found.plan.runs,
        "budget": found.plan.base.budget,
        "simulated_seconds": found.plan.base.simulated_seconds,
        "finished": found.done,
        "wanted": found.wanted,
        "spaces": [
            {
                "space": space.space,
                "networks_of_the_table": space.listed,
                "metrics": {column: metric.direction for column, metric in space.metrics.items()},
                "methods": [_method(space, row) for row in space.rows],
                "references": [
                    {"name": reference.name, "values": _finite(reference.values), "std": _finite(reference.spread)}
                    for reference in space.references
                ],
            }
            for space in found.spaces
        ],
    }


def _method(space: SpaceComparison, row: Row) -> dict[str, object]:
    metrics = {}
    for column in space.metrics:
        values = row.values(column)
        mean, std = mean_std(values) if len(values) else (math.nan, math.nan)
        regret = float(np.mean(space.regret(column, values))) if len(values) else math.nan
        metrics[column] = _finite({"mean": mean, "std": std, "regret": regret})
    return {
        "strategy": row.method.strategy,
        "fitness": row.method.fitness,
        "metrics": metrics,
        "rank": json_number(row.rank),
        "p": json_number(row.p),
        "failures": list(row.failures),
        "runs": [
            {
                "seed": run.seed,
                "architecture": run.architecture,
                "values": _finite(run.values),
                "params": run.params,
                "records": run.evaluations,
                "search_seconds": run.seconds,
                "simulated_seconds": run.simulated_seconds,
            }
            for run in row.runs
        ],
    }


def _finite(values: object) -> dict[str, float | None]:
    assert isinstance(values, dict)
    return {name: json_number(value) for name, value in values.items()}
