"""From a run folder to its trained candidates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from engine.records import Record
from engine.results.front import parse_objectives
from engine.results.pick import picked
from engine.run_folder import RunFolder
from engine.setup import Setup
from engine.training.plan import TrainingPlan
from engine.training.spectator import Spectator
from spaces.errors import UsageError

__all__ = ["train_run"]

_QUIET = Spectator()


def train_run(
    run: Path,
    plan: TrainingPlan,
    picks: Sequence[str] = (),
    top: int | None = None,
    *,
    objectives: Sequence[str] = (),
    workers: int = 1,
    spectator: Spectator = _QUIET,
) -> tuple[Setup, list[Record]]:
    """Train candidates of a finished or interrupted run; see `engine.training.carrying_out.train_picked`.

    Args:
        run: The run folder.
        plan: How to train.
        picks: "knee", "best" or numbers of records.
        top: Also so many spread along the front.
        objectives: Of the front; the run's default ones if not given.
        workers: Processes that each train a candidate.
        spectator: Told of progress.

    Returns:
        The run's setup and the record of every training asked for.

    Raises:
        UsageError: Not a run, or a pick, plan or number of workers that cannot be.
        RunError: The run is still being searched, another process trains here, or a file cannot be used.
    """
    if not 1 <= workers <= 1024:
        raise UsageError(f"workers is {workers}; expected a whole number from 1 to 1,024")
    folder = RunFolder.read(run)
    setup = Setup(folder.config)
    setup.refer(folder.reference)
    store = folder.records(write=True)  # refused while the search goes on
    store.finish()
    wanted = parse_objectives(setup, objectives) or None
    records = picked(store, setup, picks, top, wanted)
    from engine.training.carrying_out import train_picked

    return setup, train_picked(run, setup.space, records, plan, workers, spectator)
