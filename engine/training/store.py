"""Where the trainings of a run lie: `trained.jsonl`, and a folder for each in `trained/`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from engine.records import Record, RecordStore

__all__ = ["has_trainings", "newest", "trained_folder", "trained_store", "weights_of"]


def trained_store(run: Path, write: bool = False) -> RecordStore:
    """The records of the trainings in a run folder: parents are candidates, scores theirs and those measured.

    Args:
        run: The run folder.
        write: Whether records are to be appended; takes a lock.

    Raises:
        RunError: Another process is training there, or there is no such file.
    """
    return RecordStore(run / "trained.jsonl", write, foreign=True)


def has_trainings(run: Path) -> bool:
    """Whether anything in a run folder has been trained."""
    return (run / "trained.jsonl").is_file()


def newest(trainings: Iterable[Record]) -> dict[int, Record]:
    """The newest of the successful trainings of every candidate, by the candidate's number."""
    return {record.parent: record for record in trainings if record.status == "ok" and record.parent is not None}


def trained_folder(run: Path, name: object = "") -> Path:
    """Where the trainings are, or the one of that number."""
    return run / "trained" / str(name)


def weights_of(run: Path, number: int) -> Path:
    """The weights of a training; `fitness.training.checkpoint.load_weights` reads them."""
    return trained_folder(run, number) / "weights.npz"
