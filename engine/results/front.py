"""The non-dominated records of a run over any recorded scores, as table, CSV, JSON or Parquet."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.objectives import Objective, split_bound
from engine.pareto import non_dominated
from engine.records import Record, RecordStore
from engine.results.tabular import aligned, as_csv, format_number, json_number
from engine.run_folder import RunFolder
from engine.setup import Setup
from spaces.errors import MissingExtra, RunError, UnknownName, UsageError
from spaces.space import Genotype

_CHUNK = 4096


class FrontArchive:
    """The front of the records added so far, and nothing of the others.

    Args:
        objectives: What counts.

    Attributes:
        objectives: What counts.
        considered: Number of distinct feasible records added.
    """

    def __init__(self, objectives: Sequence[Objective]) -> None:
        self.objectives = tuple(objectives)
        self.considered = 0
        self._numbers: list[int] = []
        self._merits: NDArray[np.float64] = np.empty((0, len(objectives)))
        self._new_numbers: list[int] = []
        self._new_merits: list[list[float]] = []

    def add(self, record: Record) -> None:
        """Take in one record; those that are not ok or repeat a network do not count.

        Raises:
            RunError: It lacks a score.
        """
        if record.status == "ok" and not record.cached:
            try:
                merits = [objective.merit(record.scores) for objective in self.objectives]
            except KeyError as error:
                raise RunError(
                    f"record {record.number} of the run has no {error.args[0]}, which runs like it have now: its "
                    "target, or this program, has changed since; name recorded scores with --objective "
                    "or run again"
                ) from error
            self.considered += 1
            self._new_numbers.append(record.number)
            self._new_merits.append(merits)
            if len(self._new_numbers) >= _CHUNK:
                self._reduce()

    def front(self, read: Callable[[int], Record]) -> Front:
        """The front, its members read back by number."""
        first = self.objectives[0]
        records = sorted(map(read, self.numbers), key=lambda record: (-first.merit(record.scores), record.number))
        return Front(self.objectives, records, self.considered)

    @property
    def numbers(self) -> list[int]:
        """Numbers of the records on the front, in the order they were added."""
        self._reduce()
        return self._numbers

    def _reduce(self) -> None:
        if self._new_numbers:
            merits = np.concatenate([self._merits, np.array(self._new_merits, dtype=np.float64)])
            numbers = self._numbers + self._new_numbers
            keep = np.flatnonzero(non_dominated(merits))
            self._numbers = [numbers[i] for i in keep]
            self._merits = merits[keep]
            self._new_numbers, self._new_merits = [], []


@dataclass(frozen=True)
class Front:
    """A front.

    Attributes:
        objectives: What it is a front of.
        records: Its members, best in the first objective first.
        considered: Number of distinct feasible records that were compared.
        left_out: Of a front of trainings: candidates with none that can be compared with the newest.
    """

    objectives: tuple[Objective, ...]
    records: list[Record]
    considered: int
    left_out: int = 0

    @property
    def remark(self) -> str:
        """What is to be said of those left out, if there are any."""
        candidates = "1 candidate was" if self.left_out == 1 else f"{self.left_out} candidates were"
        said = f"{candidates} trained only on other data or by another recipe than the newest, and left out"
        return said if self.left_out else ""


def default_objectives(setup: Setup) -> tuple[Objective, ...]:
    """The run's objectives if it has several; else its scores against the sizes it recorded.

    Where the file of a network is bounded, its weights alone are no size of their own unless the user bounds them:
    over two figures that are nearly one, fronts are long and say no more.
    """
    if len(setup.objectives.objectives) > 1:
        return setup.objectives.objectives
    (objective,) = setup.objectives.objectives
    expression = objective.expression
    names = texts = [score.name for score in expression.scores]
    if objective.direction != expression.direction:  # turned round, and so is all that it is made of
        texts = [f"{score.name}:{'min' if score.direction == 'max' else 'max'}" for score in expression.scores]
    sizes = [penalty.figure for penalty in expression.penalties]
    sizes += [bound.fitness.name for bound in setup.bounds if bound.sign == "<="]
    if "tflite_file_bytes" in sizes and "flash_bytes" not in (split_bound(text)[0] for text in setup.config.bounds):
        sizes = [size for size in sizes if size != "flash_bytes"]
    texts = texts + [f"{size}:min" for size in dict.fromkeys(sizes) if size not in names]
    return tuple(setup.objective(text) for text in texts)


def recorded_names(setup: Setup) -> list[str]:
    """Names of the raw scores that every feasible record of a run has."""
    names = [bound.fitness.name for bound in setup.bounds] + [score.name for score in setup.recorded]
    return list(dict.fromkeys(names))


def parse_objectives(setup: Setup, texts: Iterable[str], measured: Iterable[str] = ()) -> tuple[Objective, ...]:
    """Objectives over scores that the run, or trainings of its candidates, have recorded.

    Raises:
        UsageError: A score that was not recorded, or one that is measured joined with others.
    """
    measured = tuple(measured)
    known = [*recorded_names(setup), *measured]
    objectives = []
    for text in texts:
        objective = setup.objective(text)
        for name in objective.expression.recorded:
            if name not in known:
                raise UnknownName("recorded score", name, known)
        joined = [name for name in objective.expression.recorded if name in measured]
        if joined and objective.expression.needs_reference:
            raise UsageError(
                f"objective {text!r} joins {joined[0]}, which only training measures: such a score cannot be "
                "combined with others; expected an objective of its own for each"
            )
        if objective.expression.needs_reference and not objective.expression.quantiles:
            objective.expression.refer(_reference(setup, objective))
        objectives.append(objective)
    return tuple(objectives)


def _reference(setup: Setup, objective: Objective) -> dict[str, list[float]]:
    from engine.preparation import sample_scores

    return sample_scores(setup, objective.expression.scores)


def front_of(store: RecordStore, setup: Setup, objectives: Sequence[Objective] | None = None) -> Front:
    """The front of all records of a store."""
    archive = FrontArchive(objectives or default_objectives(setup))
    for record in store:
        archive.add(record)
    return archive.front(store.read)


def front_in(folder: RunFolder, setup: Setup, texts: Iterable[str]) -> tuple[RecordStore, Front]:
    """The records of a run folder that know the scores asked for, and their front.

    What training measures is known of the candidates that were trained: then the front is theirs, each with one
    training and all on the same data by the same recipe (`comparable`), and its records have the numbers of the
    candidates.

    Args:
        folder: Of the run.
        setup: Of the run, with its reference sample, and `MEASURED` among its scores.
        texts: Objectives, each with an optional :min or :max; the default ones if there are none.

    Raises:
        UsageError: A score that was not recorded, or one that training measures and nothing is trained.
    """
    from engine.training.measured import MEASURED
    from engine.training.store import has_trainings

    measured = {score.name: None for score in MEASURED}
    objectives = parse_objectives(setup, texts, measured)
    asked = [name for objective in objectives for name in objective.expression.recorded if name in measured]
    if not asked:
        store = folder.records()
        return store, front_of(store, setup, objectives)
    if not has_trainings(folder.path):
        raise UsageError(
            f"{asked[0]} is measured by training and {folder.path} has no trained candidates; first "
            f"`engine train {folder.path} --top 5{' --data SOURCE' if setup.space.reads == 'images' else ''}`"
        )
    from engine.training.comparable import comparable

    alike, left_out = comparable(folder.path)
    store = RecordStore(foreign=True)
    for record in alike.values():
        if record.scores.keys() >= {*asked}:  # the size of a file is not measured everywhere
            store.append(record._replace(number=len(store), scores=dict(record.scores)))
    front = front_of(store, setup, objectives)
    candidates = [record._replace(number=record.parent) for record in front.records if record.parent is not None]
    return store, replace(front, records=candidates, left_out=left_out)


def best_record(store: RecordStore, setup: Setup) -> Record:
    """The feasible record of greatest merit in the run's first objective.

    Raises:
        RunError: There is none.
    """
    objective = setup.objectives.objectives[0]
    best, best_merit = -1, -np.inf
    for record in store:
        if record.status == "ok":
            merit = objective.merit(record.scores)
            if best < 0 or merit > best_merit:
                best, best_merit = record.number, merit
    if best < 0:
        raise RunError(f"none of the {len(store)} records is feasible; loosen the bounds or raise the budget")
    return store.read(best)


def columns(front: Front, names: Sequence[str]) -> tuple[list[str], list[list[float]]]:
    """Titles and values of a front's rows: the objectives, then the other recorded scores."""
    texts = [objective.text for objective in front.objectives]
    others = [name for name in names if name not in texts]
    rows = [
        [objective.value(record.scores) for objective in front.objectives]
        + [record.scores.get(name, float("nan")) for name in others]
        for record in front.records
    ]
    return texts + others, rows


def format_front(
    front: Front, names: Sequence[str], kind: str, describe: Callable[[Genotype], str], limit: int | None = None
) -> str:
    """A front as text.

    Args:
        front: The front.
        names: Recorded scores to show besides the objectives.
        kind: "table", "csv" or "json".
        describe: Turns a genotype into the space's own notation.
        limit: Show that many rows of a table.
    """
    titles, rows = columns(front, names)
    if kind == "json":
        return json.dumps(
            {
                "objectives": [
                    {"name": objective.text, "direction": objective.direction} for objective in front.objectives
                ],
                "considered": front.considered,
                "left_out": front.left_out,
                "front": [
                    {"number": record.number, "values": dict(zip(titles, map(json_number, row), strict=True))}
                    | {"key": record.key, "genotype": record.genotype.to_dict()}
                    for record, row in zip(front.records, rows, strict=True)
                ],
            },
            indent=1,
        )
    if kind == "csv":
        listed: list[list[object]] = [["number", *titles, "architecture"]]
        listed += [[r.number, *row, describe(r.genotype)] for r, row in zip(front.records, rows, strict=True)]
        return as_csv(listed)
    if not rows:
        return "no feasible network among the records"
    shown = rows[:limit] if limit else rows
    cells = [["number", *titles]]
    cells += [
        [str(record.number), *map(format_number, row)] for record, row in zip(front.records, shown, strict=False)
    ]
    lines = aligned(cells, 0)
    if len(shown) < len(rows):
        lines.append(f"... and {len(rows) - len(shown)} more")
    lines += filter(None, [front.remark])
    return "\n".join(lines)


def write_parquet(front: Front, names: Sequence[str], path: Path, describe: Callable[[Genotype], str]) -> None:
    """Write a front as a Parquet file: number, key, objectives and scores (float64), architecture.

    Args:
        front: The front.
        names: Recorded scores to write besides the objectives.
        path: The file.
        describe: Turns a genotype into the space's own notation.

    Raises:
        MissingExtra: pyarrow is not installed.
        RunError: The file cannot be written.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ModuleNotFoundError as error:
        raise MissingExtra(
            f"--format parquet needs {error.name}, which is not installed; get it with "
            '`pip install "nas-engine[parquet]"`'
        ) from error
    titles, rows = columns(front, names)
    records = front.records
    table = {
        "number": pyarrow.array([record.number for record in records], pyarrow.int64()),
        "key": pyarrow.array([record.key for record in records], pyarrow.string()),
    }
    for place, title in enumerate(titles):
        table[title] = pyarrow.array([row[place] for row in rows], pyarrow.float64())
    table["architecture"] = pyarrow.array([describe(record.genotype) for record in records], pyarrow.string())
    try:
        parquet.write_table(pyarrow.table(table), path)
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror or error}") from error
