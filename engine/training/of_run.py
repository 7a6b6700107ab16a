"""From a run folder to its trained candidates, and to what is said of them."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.records import Record
from engine.results.front import default_objectives, front_in, recorded_names
from engine.results.pick import picked
from engine.results.tabular import aligned, format_number
from engine.run_folder import RunFolder
from engine.setup import Setup
from engine.training.kinds import plan_for
from engine.training.measured import KINDS, MEASURED, Kind
from engine.training.spectator import Spectator
from engine.training.store import trained_folder
from engine.training.task import Plan
from spaces.errors import UsageError

__all__ = ["format_trained", "plan_of", "train", "train_run"]

_QUIET = Spectator()


def train(
    run: str | Path,
    *,
    data: str | None = None,
    top: int | None = None,
    best: int | None = None,
    picks: Iterable[str | int] = (),
    objectives: Iterable[str] = (),
    workers: int = 1,
    **recipe: Any,
) -> list[Record]:
    """Train candidates of a run and measure how good they are: `engine.train("found", best=3, data="digits")`.

    Args:
        run: The run folder: what `engine.search` was given as `out`.
        data: Images with labels, one of the forms that `engine list data` shows; or a series, the run's own if not
            given.
        top: So many candidates spread along the front.
        best: The so many best by the run's fitness.
        picks: "knee", "best" or numbers of records.
        objectives: Of the front; the run's default ones if not given.
        workers: Processes that each train a candidate.
        recipe: Other fields of `engine.training.TrainingPlan`, or of `ForecastPlan` where networks read series,
            such as epochs, learning_rate, seed or device.

    Returns:
        The record of every training asked for, also of those done before: parents are the numbers of the
        candidates, scores theirs and test_accuracy, int8_test_accuracy and validation_accuracy in percent; of
        series test_mae, validation_mae and other errors, and persistence_mae on the same test windows.

    Raises:
        UsageError: Not a run, or something asked for that cannot be.
        RunError: The run is still being searched, another process trains here, or a file cannot be used.
    """
    asked = recipe if data is None else {"data": data, **recipe}
    texts = [str(pick) for pick in picks]
    path = Path(run)
    return train_run(path, plan_of(path, asked), texts, top, best, objectives=tuple(objectives), workers=workers)


def plan_of(run: Path, asked: Mapping[str, Any]) -> Plan:
    """The plan for the networks of a run; see `engine.training.kinds.plan_for`.

    Raises:
        UsageError: Not a run, or something asked for that cannot be.
    """
    return plan_for(Setup(RunFolder.read(run).config), asked)


def train_run(
    run: Path,
    plan: Plan,
    picks: Sequence[str] = (),
    top: int | None = None,
    best: int | None = None,
    *,
    objectives: Sequence[str] = (),
    workers: int = 1,
    spectator: Spectator = _QUIET,
) -> list[Record]:
    """Train candidates of a finished or interrupted run; see `engine.training.carrying_out.train_picked`.

    Args:
        run: The run folder.
        plan: How to train.
        picks: "knee", "best" or numbers of records.
        top: Also so many spread along the front.
        best: Also the so many best by the run's fitness; see `engine.results.pick.leaders`.
        objectives: Of the front, which is that of the trained if training measures one of them; the run's default
            ones if not given.
        workers: Processes that each train a candidate.
        spectator: Told of progress.

    Returns:
        The record of every training asked for.

    Raises:
        UsageError: Not a run, or a pick, plan or number of workers that cannot be.
        RunError: The run is still being searched, another process trains here, or a file cannot be used.
    """
    if not 1 <= workers <= 1024:
        raise UsageError(f"workers is {workers}; expected a whole number from 1 to 1,024")
    folder = RunFolder.read(run)
    setup = Setup(folder.config, own_scores=MEASURED)
    setup.refer(folder.reference)
    store = folder.records(write=True)  # refused while the search goes on
    store.finish()
    front = front_in(folder, setup, objectives)[1] if objectives else None
    found = picked(store, setup, picks, top, front, best)
    records = [store.read(record.number) for record in found]  # without what an earlier training has measured
    from engine.training.carrying_out import train_picked

    return train_picked(run, setup.space, records, plan, workers, spectator)


def format_trained(run: Path, trained: Sequence[Record]) -> str:
    """A table of trainings, the best first, and the front of everything trained in the run."""
    folder = RunFolder.read(run)
    setup = Setup(folder.config, own_scores=MEASURED)
    setup.refer(folder.reference)
    kind = KINDS[setup.space.reads]
    lines = _table(trained, kind, recorded_names(setup))
    lines += [f"candidate {one.parent} failed: {one.reason}" for one in trained if one.status != "ok"]
    sizes = [f"{one.text}:min" for one in default_objectives(setup) if one.direction == "min"]
    asked = [f"{kind.judged_by}:{kind.direction}", *sizes]
    _, front = front_in(folder, setup, asked)
    members = ", ".join(str(record.number) for record in front.records) or "none"
    flags = "".join(f" --objective {text}" for text in asked)
    return "\n".join(
        [
            *lines,
            f"front of the trained over {', '.join(asked)}: {members}",
            *filter(None, [front.remark]),
            f"weights in {trained_folder(run)}; show the front with: engine front {shlex.quote(str(run))}{flags}",
        ]
    )


def _table(trained: Sequence[Record], kind: Kind, names: Sequence[str]) -> list[str]:
    whole = [record for record in trained if record.status == "ok"]
    if not whole:
        return []
    measured = [name for name in (*kind.columns, kind.baseline) if any(name in record.scores for record in whole)]
    sign = 1 if kind.direction == "min" else -1
    cells = [["training", "candidate", *measured, *names]]
    for record in sorted(whole, key=lambda record: sign * record.scores[kind.judged_by]):
        scores = record.scores
        shown = [kind.form.format(scores[name]) if name in scores else "" for name in measured]
        figures = [format_number(scores[name]) if name in scores else "" for name in names]
        cells.append([str(record.number), str(record.parent), *shown, *figures])
    remarks = [said for name, said in kind.remarks.items() if name in measured]
    return aligned(cells, 0) + remarks + _against(whole, kind)


def _against(whole: Sequence[Record], kind: Kind) -> list[str]:
    """Which networks are better than what has learned nothing."""
    if not kind.baseline:
        return []
    better = [one for one in whole if one.scores[kind.judged_by] < one.scores[kind.baseline]]
    names = ", ".join(str(one.parent) for one in better)
    said = f"{len(better)} of {len(whole)} beat persistence, the forecast that every row is as the one before it"
    return [f"{said}: {names}" if names else said]
