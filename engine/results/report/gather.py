"""What a report shows, read from a run folder in a few passes over its records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from engine.objectives import Objective, Objectives
from engine.records import STATUSES, Record, RecordStore
from engine.results.front import Front, best_record, front_in, recorded_names
from engine.results.hypervolume import Coverage, coverage
from engine.results.pick import knee, spread
from engine.run_folder import RunFolder
from engine.setup import Setup
from engine.training.measured import KINDS, MEASURED, Kind
from engine.training.store import has_trainings, newest, trained_store

__all__ = ["Counts", "Gathered", "gather"]

MOST_MEMBERS = 200  # of the front that are listed and drawn one by one
MOST_CLOUD = 4000  # other networks that are drawn; from that many on, every second one is left out again and again
MOST_DIAGRAMS = 5

Series = list[tuple[int, float]]


@dataclass(frozen=True)
class Counts:
    """How many records came to what.

    Attributes:
        statuses: Records by status.
        cached: Of all, those answered from the cache.
        reasons: Why records are not ok, by bound or message without numbers, the commonest first.
        seconds: That all evaluations took.
    """

    statuses: Mapping[str, int]
    cached: int
    reasons: list[tuple[str, int]]
    seconds: float

    @property
    def records(self) -> int:
        """All of them."""
        return sum(self.statuses.values())


@dataclass(frozen=True)
class Gathered:
    """Everything on the page that comes from records.

    Attributes:
        folder: Of the run.
        setup: Of the run.
        front: Over the objectives of the report.
        shown: Its members, or `MOST_MEMBERS` of them, best in the first objective first.
        picks: Up to `MOST_DIAGRAMS` networks with what they are picked for, the knee first.
        cloud: Values of every objective for feasible networks.
        cloud_step: Every how many-th feasible network is in the cloud.
        counts: See `Counts`.
        best: For every objective, the numbers of the records that were best so far, and their values; empty for a
            front of trained networks.
        covered: The hypervolume as it grew, if there are two objectives or a few more.
        measured: What trainings measured of candidates, by number and name.
        names: Recorded scores.
    """

    folder: RunFolder
    setup: Setup
    front: Front
    shown: list[Record]
    picks: list[tuple[Record, list[str]]]
    cloud: list[list[float]]
    cloud_step: int
    counts: Counts
    best: list[Series]
    covered: Coverage | None
    measured: dict[int, dict[str, float]]
    names: list[str]


def gather(path: Path, texts: Iterable[str]) -> Gathered:
    """Read a run.

    Args:
        path: Its folder.
        texts: Objectives, each with an optional :min or :max; the run's default ones if there are none.

    Raises:
        UsageError: Not a run folder, or a score that was not recorded.
        DamagedRun: Something that no run writes.
    """
    folder = RunFolder.read(path)
    setup = Setup(folder.config, own_scores=MEASURED)
    setup.refer(folder.reference)
    store, front = front_in(folder, setup, texts)
    searched = folder.records()
    cloud, step, best = _cloud(store, front)
    asked = {name for objective in front.objectives for name in objective.expression.recorded}
    if not asked.isdisjoint(score.name for score in MEASURED):
        best = []  # what was trained was picked, not found one after the other
    records = front.records
    if len(records) > MOST_MEMBERS:
        kept = {record.number for record in spread(front, MOST_MEMBERS)}
        records = [record for record in records if record.number in kept]
    return Gathered(
        folder,
        setup,
        front,
        records,
        _picks(searched, setup, front) if front.records else [],
        cloud,
        step,
        _count(searched),
        best,
        coverage(store, Objectives(front.objectives, setup.bounds)) if best else None,
        _measured(path, KINDS[setup.space.reads]),
        recorded_names(setup),
    )


def _count(store: RecordStore) -> Counts:
    statuses, reasons = Counter(dict.fromkeys(STATUSES, 0)), Counter[str]()
    cached, seconds = 0, 0.0
    for record in store:
        statuses[record.status] += 1
        cached += record.cached
        seconds += record.seconds
        if record.status != "ok":
            reasons[f"{record.status}: {record.cause}"] += 1
    return Counts(statuses, cached, reasons.most_common(6), seconds)


def _cloud(store: RecordStore, front: Front) -> tuple[list[list[float]], int, list[Series]]:
    """Cloud and its step, and the best so far."""
    distinct, step = 0, 1
    cloud: list[list[float]] = []
    best: list[Series] = [[] for _ in front.objectives]
    for record in store:
        if record.status != "ok" or record.cached:
            continue
        values = [objective.value(record.scores) for objective in front.objectives]
        if distinct % step == 0:
            cloud.append(values)
        distinct += 1
        if len(cloud) > MOST_CLOUD:
            cloud, step = cloud[::2], step * 2
        for series, value, objective in zip(best, values, front.objectives, strict=True):
            if not series or (value > series[-1][1] if objective.direction == "max" else value < series[-1][1]):
                series.append((record.number, value))
    for series in best:
        if series:
            series.append((len(store) - 1, series[-1][1]))
    return cloud, step, best


def _picks(store: RecordStore, setup: Setup, front: Front) -> list[tuple[Record, list[str]]]:
    """Knee, best and extremes, then what lies between, each once, with all that it is."""
    bend, best = knee(front), best_record(store, setup)
    chosen = {record.number: record for record in (bend, best, *spread(front, MOST_DIAGRAMS))}
    picks = [(record, list[str]()) for record in [*chosen.values()][:MOST_DIAGRAMS]]
    for record, roles in picks:
        if record.number == bend.number:
            roles.append("knee")
        if record.number == best.number:
            roles.append(f"best {setup.objectives.objectives[0].text}")
        for objective in front.objectives:
            first = max(front.records, key=partial(_merit, objective))
            if record.number == first.number and record.number != best.number:
                roles.append(f"{'largest' if objective.direction == 'max' else 'smallest'} {objective.text}")
        if not roles:
            roles.append("in between")
    return picks


def _merit(objective: Objective, record: Record) -> float:
    return objective.merit(record.scores)


def _measured(path: Path, kind: Kind) -> dict[int, dict[str, float]]:
    """Accuracies or errors of the trainings in a run folder by their candidates' numbers."""
    if not has_trainings(path):
        return {}
    return {
        number: {name: record.scores[name] for name in (*kind.columns, kind.baseline) if name in record.scores}
        for number, record in newest(trained_store(path)).items()
    }
