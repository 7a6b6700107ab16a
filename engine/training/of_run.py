"""From a run folder to its trained candidates, and to what is said of them."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from engine.records import Record
from engine.results.front import default_objectives, front_in, recorded_names
from engine.results.pick import picked
from engine.results.tabular import aligned, format_number
from engine.run_folder import RunFolder
from engine.setup import Setup
from engine.training.measured import ACCURACIES, MEASURED
from engine.training.plan import TrainingPlan
from engine.training.spectator import Spectator
from engine.training.store import trained_folder
from spaces.errors import UnknownName, UsageError

__all__ = ["format_trained", "train", "train_run"]

_QUIET = Spectator()
_JUDGED_BY = "int8_test_accuracy"  # what a microcontroller runs


def train(
    run: str | Path,
    *,
    data: str,
    top: int | None = None,
    best: int | None = None,
    picks: Iterable[str | int] = (),
    objectives: Iterable[str] = (),
    workers: int = 1,
    **recipe: Any,
) -> list[Record]:
    """Train candidates of a run and measure their accuracies: `engine.train("found", best=3, data="digits")`.

    Args:
        run: The run folder: what `engine.search` was given as `out`.
        data: Images with labels, one of the forms that `engine list data` shows.
        top: So many candidates spread along the front.
        best: The so many best by the run's fitness.
        picks: "knee", "best" or numbers of records.
        objectives: Of the front; the run's default ones if not given.
        workers: Processes that each train a candidate.
        recipe: Other fields of `engine.training.TrainingPlan`, such as epochs, optimizer, seed or device.

    Returns:
        The record of every training asked for, also of those done before: parents are the numbers of the
        candidates, scores theirs and test_accuracy, int8_test_accuracy and validation_accuracy in percent.

    Raises:
        UsageError: Not a run, or something asked for that cannot be.
        RunError: The run is still being searched, another process trains here, or a file cannot be used.
    """
    known = [item.name for item in fields(TrainingPlan) if item.name != "data"]
    for name in recipe:
        if name not in known:
            raise UnknownName("option of training", name, known)
    plan, texts = TrainingPlan(data=data, **recipe), [str(pick) for pick in picks]
    return train_run(Path(run), plan, texts, top, best, objectives=tuple(objectives), workers=workers)


def train_run(
    run: Path,
    plan: TrainingPlan,
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
    """A table of trainings, the most accurate first, and the front of everything trained in the run."""
    folder = RunFolder.read(run)
    setup = Setup(folder.config, own_scores=MEASURED)
    setup.refer(folder.reference)
    lines = _table(trained, recorded_names(setup))
    lines += [f"candidate {one.parent} failed: {one.reason}" for one in trained if one.status != "ok"]
    sizes = [f"{one.text}:min" for one in default_objectives(setup) if one.direction == "min"]
    asked = [f"{_JUDGED_BY}:max", *sizes]
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


def _table(trained: Sequence[Record], names: Sequence[str]) -> list[str]:
    whole = [record for record in trained if record.status == "ok"]
    cells = [["training", "candidate", *ACCURACIES, *names]]
    for record in sorted(whole, key=lambda record: -record.scores[_JUDGED_BY]):
        accuracies = [f"{record.scores[name]:.2f}" for name in ACCURACIES]
        figures = [format_number(record.scores[name]) if name in record.scores else "" for name in names]
        cells.append([str(record.number), str(record.parent), *accuracies, *figures])
    return aligned(cells, 0) if whole else []
