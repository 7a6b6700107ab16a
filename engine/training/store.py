"""Where the trainings of a run lie: `trained.jsonl`, and a folder for each in `trained/`."""

from __future__ import annotations

from pathlib import Path

from engine.records import RecordStore

__all__ = ["has_trainings", "trained_folder", "trained_store", "weights_of"]


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


def trained_folder(run: Path, name: object = "") -> Path:
    """Where the trainings are, or the one of that number."""
    return run / "trained" / str(name)


def weights_of(run: Path, number: int) -> Path:
    """The weights of a training; `fitness.training.checkpoint.load_weights` reads them."""
    return trained_folder(run, number) / "weights.npz"
