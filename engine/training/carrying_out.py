"""Training what was picked, one after the other or side by side, and the records of it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, wait
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Final

from engine.executors import processes
from engine.records import Record, RecordStore
from engine.training.candidate import Candidate, Description, described, epochs_done, finished, train
from engine.training.spectator import Spectator
from engine.training.store import trained_folder, trained_store
from engine.training.task import Material, Plan
from spaces.errors import DamagedRun, RunError
from spaces.space import Space

__all__ = ["train_picked"]

_LOOK_SECONDS: Final = 0.5  # between two looks at what other processes have done
_SHARED: Final = "images"  # the folder that training processes share


def train_picked(
    run: Path, space: Space, picks: Sequence[Record], plan: Plan, workers: int, spectator: Spectator
) -> list[Record]:
    """Train candidates of a run and append a record of each to `trained.jsonl`, in the order they were picked.

    What was trained in that way on the same data before is not trained again, and what was stopped goes on after
    its last whole epoch; records but for their seconds are the same however often that happened and with any
    number of processes.

    Args:
        run: The run folder.
        space: Of the run.
        picks: Records of the run.
        plan: How to train them.
        workers: Processes that each train one candidate at a time.
        spectator: Told of progress.

    Returns:
        The record of every pick, also of those trained before.

    Raises:
        UsageError: The data do not suit the networks.
        RunError: Another process is training here, a file is damaged, or cannot be written.
    """
    from fitness.probing.source import usable_device

    plan = replace(plan, device=usable_device(plan.device))
    store = trained_store(run, write=True)
    try:
        material = plan.load(space, spectator.image)
        data = material.fingerprint()
        known = _known(store, run, plan, data, spectator)
        missing = [
            Candidate(_sendable(pick), space.decode(pick.genotype), plan, _draft(run, pick, plan), data)
            for pick in picks
            if pick.number not in known
        ]
        made = _made(missing, material, workers, spectator)
        with closing(made):
            return [known.get(pick.number) or _kept(store, run, next(made)) for pick in picks]
    finally:
        shutil.rmtree(trained_folder(run, _SHARED), ignore_errors=True)  # also what a killed process has left
        store.finish()


def _draft(run: Path, pick: Record, plan: Plan) -> Path:
    """Where a candidate is trained; it is numbered in the order in which trainings are recorded."""
    asked = json.dumps([pick.number, asdict(plan)], sort_keys=True)
    digest = hashlib.sha256(asked.encode()).hexdigest()[:8]
    return trained_folder(run, f"of-{pick.number}-{digest}")


def _sendable(record: Record) -> Record:
    """A record that can be pickled."""
    return record._replace(scores=dict(record.scores))


def _known(
    store: RecordStore, run: Path, plan: Plan, data: Mapping[str, object], spectator: Spectator
) -> dict[int, Record]:
    """The trainings by a plan on these data that are recorded, by the candidates' numbers."""
    left_over = trained_folder(run, len(store))
    if left_over.is_dir():  # killed between the two steps of `_kept`
        _append(store, left_over)
    asked = asdict(plan)
    alike = [
        (found, record)
        for record in store
        if (found := described(trained_folder(run, record.number))) is not None and found.plan == asked
    ]
    _tell_of_change(alike, data, spectator)
    return {record.parent: record for found, record in alike if found.on(data) and record.parent is not None}


def _tell_of_change(
    alike: Sequence[tuple[Description, Record]], data: Mapping[str, object], spectator: Spectator
) -> None:
    """Say that trainings by the same plan do not count, as they were on other data than there are now."""
    here = {record.parent for found, record in alike if found.on(data)}
    if gone := {record.parent for _, record in alike} - here:
        spectator.changed(len(gone))


def _kept(store: RecordStore, run: Path, draft: Path) -> Record:
    """Record a finished training and give its folder the record's number."""
    folder = trained_folder(run, len(store))
    try:
        os.rename(draft, folder)
    except OSError as error:
        raise RunError(f"cannot rename {draft} to {folder}: {error.strerror or error}") from error
    return _append(store, folder)


def _append(store: RecordStore, folder: Path) -> Record:
    record = finished(folder, len(store))
    if record is None:
        raise DamagedRun(f"{folder} holds no finished training; remove it to train anew")
    store.append(record)
    return record


def _made(missing: Sequence[Candidate], material: Material, workers: int, spectator: Spectator) -> Generator[Path]:
    """Train candidates in their order and say where."""
    if not missing:
        return
    spectator.begin([one.record.number for one in missing], missing[0].plan)
    serial = workers == 1 or len(missing) == 1
    with closing(
        _serially(missing, material, spectator) if serial else _side_by_side(missing, material, workers, spectator)
    ) as made:
        for one in made:
            record = finished(one.folder, 0)
            assert record is not None, "it has just been trained"
            spectator.end(record)
            yield one.folder


def _serially(missing: Sequence[Candidate], material: Material, spectator: Spectator) -> Generator[Candidate]:
    for one in missing:
        train(one, material, spectator)
        yield one


def _side_by_side(
    missing: Sequence[Candidate], material: Material, workers: int, spectator: Spectator
) -> Generator[Candidate]:
    """Train in processes, which share the data."""
    shared = material.shared(missing[0].folder.parent / _SHARED)
    pool = processes(min(workers, len(missing)))
    futures = [pool.submit(_train, one, shared) for one in missing]
    try:
        told = dict.fromkeys((one.record.number for one in missing), 0)
        for one, future in zip(missing, futures, strict=True):
            while not future.done():
                wait([future], _LOOK_SECONDS)
                _tell(missing, told, spectator)
            future.result()
            yield one
    except BrokenExecutor as error:
        raise RunError(
            "a process that trained died: killed, or out of memory; the same command goes on, perhaps with "
            "fewer workers"
        ) from error
    finally:
        pool.shutdown(wait=all(future.done() for future in futures))


def _tell(missing: Sequence[Candidate], told: dict[int, int], spectator: Spectator) -> None:
    """Tell of epochs that other processes have done since the last look."""
    for one in missing:
        candidate = one.record.number
        for number, loss, validation in epochs_done(one)[told[candidate] :]:
            told[candidate] = int(number)
            spectator.epoch(candidate, int(number), loss, validation)


def _train(candidate: Candidate, shared: Callable[[], Material]) -> None:
    """Train in a worker; the process that started it looks at the folder for progress."""
    train(candidate, shared(), Spectator())
