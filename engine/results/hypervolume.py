"""How much of the space of objectives a run's front covers, and how that grew."""

from __future__ import annotations

import math
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
    """What a run's front covers, beyond a reference point.

    Volumes of different runs compare if their objectives and bounds are the same, the reference point coming from
    nothing else (`comparable`). The share of the box from there to the best of every objective in the run says how
    near the front comes to one network that is best at everything; that box is another one in every run.

    Attributes:
        objectives: What spans the volume.
        reference: Its worst corner, the number people see of each objective.
        ideal: The best of each in the run, likewise.
        own: Texts of the objectives whose reference is the worst of this run, for want of a bound or a zero.
        steps: Number of a record, and the volume covered by the records up to it in the product of the objectives'
            units; the last is the whole run's.
    """

    objectives: tuple[Objective, ...]
    reference: tuple[float, ...]
    ideal: tuple[float, ...]
    own: tuple[str, ...]
    steps: tuple[tuple[int, float], ...]

    @property
    def volume(self) -> float:
        """What the whole run covers."""
        return self.steps[-1][1]

    @property
    def share(self) -> float:
        """Of the box between reference and ideal, what the whole run covers; 0 for a box without volume."""
        box = math.prod(abs(best - worst) for best, worst in zip(self.ideal, self.reference, strict=True))
        return self.volume / box if self.volume else 0.0

    @property
    def comparable(self) -> bool:
        """Whether other runs of these objectives and bounds have the same reference point."""
        return not self.own

    def to_dict(self) -> dict[str, object]:
        """All of it as plain JSON values."""
        names = [objective.text for objective in self.objectives]
        return {
            "volume": self.volume,
            "comparable": self.comparable,
            "share": self.share,
            "reference": dict(zip(names, self.reference, strict=True)),
            "ideal": dict(zip(names, self.ideal, strict=True)),
            "steps": [list(step) for step in self.steps],
        }

    def __str__(self) -> str:
        if self.comparable:
            compares = "compares with runs of the same objectives and bounds"
        else:
            compares = f"of this run alone, its worst {' and '.join(self.own)} being the reference"
        return (
            f"hypervolume {self.volume:.4g} from ({self._corner(self.reference)}); {compares}\n"
            f"  {self.share:.3f} of the box from there to this run's best ({self._corner(self.ideal)}); "
            "of this run alone"
        )

    def _corner(self, values: tuple[float, ...]) -> str:
        return "; ".join(
            f"{objective.text} {format_number(value)}"
            for objective, value in zip(self.objectives, values, strict=True)
        )


def coverage(records: Iterable[Record], objectives: Objectives, steps: int = 50) -> Coverage | None:
    """The hypervolume of the feasible records, as it grew.

    The reference point is, for an objective to be minimised, its upper bound in the run, where it is one score and
    has a bound; for one to be maximised 0, if any value is positive; else the worst of the feasible records.
    A record that is no better than the reference in one objective covers nothing, nor does one that is infinite.

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
            values = [objective.value(record.scores) for objective in objectives.objectives]
            if all(map(math.isfinite, values)):
                numbers.append(record.number)
                rows.append(values)
    if not rows:
        return None
    points = signs * np.array(rows)
    stated = [_stated(objectives, place, points[:, place]) for place in range(count)]
    worst, ideal = points.min(axis=0), points.max(axis=0)
    reference = np.array([low if it is None else it for it, low in zip(stated, worst.tolist(), strict=True)])
    sides = np.where(ideal > reference, ideal - reference, 1.0)
    shares, box = (points - reference) / sides, float(np.prod(sides))  # numbers of a kind, whatever the units
    ends = np.unique(np.linspace(0, last, min(steps, last + 1) + 1)[1:].astype(int)).tolist()
    grown, front, start = [], np.empty((0, count)), 0
    for end in ends:
        stop = int(np.searchsorted(numbers, end, side="right"))
        front = np.concatenate([front, shares[start:stop]])
        front, start = front[non_dominated(front)], stop
        grown.append((end, box * hypervolume(front, np.zeros(count))))
    return Coverage(
        objectives.objectives,
        tuple((signs * reference).tolist()),
        tuple((signs * ideal).tolist()),
        tuple(item.text for item, it in zip(objectives.objectives, stated, strict=True) if it is None),
        tuple(grown),
    )


def _stated(objectives: Objectives, place: int, points: NDArray[np.float64]) -> float | None:
    """The reference by bounds and zeros, if it has one; the objective's values are given larger is better."""
    objective = objectives.objectives[place]
    if objective.direction == "max":
        return 0.0 if points.max() > 0 else None
    limit = objectives.upper_limit(objective)
    return None if limit is None else -limit
