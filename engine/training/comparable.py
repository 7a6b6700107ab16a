"""The trainings of a run whose scores can be compared: those like its newest one."""

from __future__ import annotations

from pathlib import Path

from engine.records import Record
from engine.training.candidate import described
from engine.training.store import newest, trained_folder, trained_store

__all__ = ["comparable"]


def comparable(run: Path) -> tuple[dict[int, Record], int]:
    """One training for every candidate, all on the same data and by the same recipe, whatever their seeds.

    Args:
        run: A run folder in which something was trained.

    Returns:
        The newest like the newest of all, by the candidates' numbers; and how many candidates were trained only on
        other data or by another recipe.

    Raises:
        DamagedRun: A file is not what a training writes.
    """
    trainings = [record for record in trained_store(run) if record.status == "ok"]
    if not trainings:
        return {}, 0
    descriptions = [described(trained_folder(run, record.number)) for record in trainings]
    last = descriptions[-1]
    alike = newest(
        record
        for record, found in zip(trainings, descriptions, strict=True)
        if found is last or (found is not None and last is not None and found.like(last))
    )
    return alike, len(newest(trainings)) - len(alike)
