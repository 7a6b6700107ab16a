"""How much of the space of objectives a run's front covers, and how that grew."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.objectives import Objective, Objectives
from engine.pareto import hypervolume, non_dominated
from engine.records import Record
from engine.results.tabular import format_number

MOST_OBJECTIVES = 5  # exact volumes of long fronts over more take minutes and hours


@dataclass(frozen=True)
class Coverage:
    """Hypervolumes as shares of the box from the reference point to the best of every objective in the whole run.

    So 1 would be one network that is best at everything. The box is of one run: shares of different runs compare
    only if their references and ideals are the same.

    Attributes:
        objectives: What spans the box.
        reference: Its worst corner, the number people see of each objective.
        ideal: Its best corner, likewise.
        steps: Number of a record, and the share covered by the records up to it; the last is the whole run's.
    """

    objectives: tuple[Objective, ...]
    reference: tuple[float, ...]
    ideal: tuple[float, ...]
    steps: tuple[tuple[int, float], ...]

    @property
    def share(self) -> float:
        """Of the box, what the whole run covers."""
        return self.steps[-1][1]

    def __str__(self) -> str:
        corner = "; ".join(
            f"{objective.text} {format_number(value)}"
            for objective, value in zip(self.objectives, self.reference, strict=True)
        )
        return f"hypervolume {self.share:.3f} of the box to ({corner})"


def coverage(records: Iterable[Record], objectives: Objectives, steps: int = 50) -> Coverage | None:
    """The hypervolume of the feasible records, as it grew.

    The reference point is, for an objective to be minimised, its upper bound in the run, where it is one score and
    has a bound, else the worst of the feasible records; for one to be maximised 0 if all their values are positive,
    else the worst. A record that is as bad as the reference in one objective covers nothing.

    Args:
        records: Of a run, in order.
        objectives: Two to `MOST_OBJECTIVES`, with the run's bounds.
        steps: Into how many equal parts of the run the growth is divided; fewer if there are fewer records.

    Returns:
        None for one objective or too many of them, or without a feasible record.
    """
    count = len(objectives.objectives)
    if not 2 <= count <= MOST_OBJECTIVES:
        return None
    signs = np.array([1.0 if objective.direction == "max" else -1.0 for objective in objectives.objectives])
    numbers, rows, last = [], [], -1
    for record in records:
        last = record.number
        if record.status == "ok" and not record.cached:  # cached ones repeat a point
            numbers.append(record.number)
            rows.append([objective.value(record.scores) for objective in objectives.objectives])
    if not rows:
        return None
    points = signs * np.array(rows)
    reference = np.array([_reference(objectives, i, points[:, i]) for i in range(count)])
    ideal = points.max(axis=0)
    shares = (points - reference) / np.where(ideal > reference, ideal - reference, 1.0)
    ends = np.unique(np.linspace(0, last, min(steps, last + 1) + 1)[1:].astype(int)).tolist()
    grown, front, start = [], np.empty((0, count)), 0
    for end in ends:
        stop = int(np.searchsorted(numbers, end, side="right"))
        front = np.concatenate([front, shares[start:stop]])
        front, start = front[non_dominated(front)], stop
        grown.append((end, hypervolume(front, np.zeros(count))))
    return Coverage(
        objectives.objectives, tuple((signs * reference).tolist()), tuple((signs * ideal).tolist()), tuple(grown)
    )


def _reference(objectives: Objectives, place: int, points: NDArray[np.float64]) -> float:
    """See `coverage`; the objective's values are given larger is better."""
    objective = objectives.objectives[place]
    worst = float(points.min())
    if objective.direction == "max":
        return 0.0 if worst > 0 else worst
    limit = objectives.upper_limit(objective)
    return worst if limit is None else -limit
