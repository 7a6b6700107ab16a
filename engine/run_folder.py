"""A run on disk: `study.json`, written whole, and `records.jsonl`, appended to."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from math import isfinite
from pathlib import Path

from engine.config import RunConfig
from engine.records import RecordStore
from spaces.errors import DamagedRun, RunError, UsageError

FORMAT = 1
STATES = ("running", "finished", "interrupted", "failed")
_PACKAGES = ("nas-engine", "deap", "optuna", "numpy", "torch")


@dataclass
class RunFolder:
    """One run folder.

    Attributes:
        path: The folder.
        config: Of the run, resolved.
        reference: Raw scores of the reference sample by name, if the fitness needs one.
        state: "running", "finished", "interrupted" or "failed".
        versions: Of Python and the packages when the run was made.
    """

    path: Path
    config: RunConfig
    reference: dict[str, list[float]]
    state: str
    versions: dict[str, str]

    @staticmethod
    def create(
        path: Path, config: RunConfig, reference: Mapping[str, Sequence[float]]
    ) -> tuple[RunFolder, RecordStore]:
        """Make the folder, take its lock and write `study.json`.

        Raises:
            UsageError: The folder holds something already.
            RunError: It cannot be made or written, or another process is about to use it.
        """
        _refuse_used(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(f"cannot make run folder {path}: {error.strerror or error}") from error
        store = RecordStore(path / "records.jsonl", write=True)
        _refuse_used(path)  # another process may have begun and ended a run here before the lock was ours
        folder = RunFolder(path, config, {k: list(v) for k, v in reference.items()}, "running", current_versions())
        folder.save()
        return folder, store

    @staticmethod
    def read(path: Path) -> RunFolder:
        """Read `study.json`.

        Raises:
            UsageError: Not a run folder.
            DamagedRun: `study.json` is not what a run writes.
        """
        file = path / "study.json"
        if not os.path.isfile(file):  # Path.is_file raises on names that cannot be looked up
            what = "holds no study.json" if os.path.isdir(path) else "is not a folder"
            raise UsageError(f"{path} is not a run: it {what}; expected what `engine run --out` made")
        try:
            study = json.loads(file.read_bytes())
        except OSError as error:
            raise RunError(f"cannot read {file}: {error.strerror or error}") from error
        except json.JSONDecodeError as error:
            raise _damaged(f"{file} line {error.lineno} column {error.colno}: not JSON ({error.msg})") from error
        except (ValueError, RecursionError) as error:  # not text, or deeper or longer than Python takes
            raise _damaged(f"{file}: not JSON that a run writes ({error})") from error
        if not isinstance(study, dict) or study.get("format") != FORMAT:
            got = study.get("format") if isinstance(study, dict) else study
            raise DamagedRun(
                f"{file} has format {got!r:.60}; expected {FORMAT}: open it with the version that wrote it"
            )
        for name, right in (
            ("state", study.get("state") in STATES),
            ("config", isinstance(study.get("config"), dict)),
            ("versions", _is_texts(study.get("versions"))),
            ("reference", _is_reference(study.get("reference"))),
        ):
            if not right:
                got = f"{name} is {study[name]!r:.60}" if name in study else f"{name} is missing"
                raise _damaged(f"{file}: {got}, which no run writes")
        try:
            config = RunConfig.from_dict(study["config"], str(file))
        except UsageError as error:
            raise _damaged(str(error)) from error
        return RunFolder(path, config, study["reference"], study["state"], study["versions"])

    def records(self, write: bool = False) -> RecordStore:
        """The run's records; for writing, with the folder's lock taken.

        Raises:
            RunError: Another process has the lock, or the file cannot be opened.
        """
        return RecordStore(self.path / "records.jsonl", write)

    def version_changes(self) -> list[str]:
        """What has another version now than when the run was made: "optuna 5.0.0 became 5.1.0"."""
        now = current_versions()
        return [
            f"{name} {version} became {now[name]}"
            for name, version in self.versions.items()
            if name in now and now[name] != version
        ]

    def save(self) -> None:
        """Write `study.json` whole or not at all.

        Raises:
            RunError: The disk is full or the folder read-only.
        """
        study = {
            "format": FORMAT,
            "state": self.state,
            "config": self.config.to_dict(),
            "versions": self.versions,
            "reference": self.reference,
        }
        draft = self.path / "study.json.new"
        try:
            with draft.open("w", encoding="utf-8") as file:
                file.write(json.dumps(study, indent=1) + "\n")
                file.flush()
                os.fsync(file.fileno())  # or a power failure might leave the new name on an empty file
            os.replace(draft, self.path / "study.json")
        except OSError as error:
            raise RunError(f"cannot write {self.path / 'study.json'}: {error.strerror or error}") from error


def _refuse_used(path: Path) -> None:
    """Let pass only a path to be made, an empty folder, or what a run killed at once has left."""
    try:
        if not os.path.lexists(path) or all(_is_stub(file) for file in path.iterdir()):
            return
    except OSError as error:
        raise RunError(f"cannot use {path} as run folder: {error.strerror or error}") from error
    holds = "a run" if os.path.exists(path / "study.json") else "other files"
    raise UsageError(
        f"{path} is not empty, it holds {holds}; expected a new folder: choose another --out"
        + (f", or continue with `engine resume {path}`" if holds == "a run" else "")
    )


def _is_stub(file: Path) -> bool:
    return file.name == "study.json.new" or (file.name == "records.jsonl" and file.stat().st_size == 0)


def _is_texts(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(text, str) for text in value.values())


def _is_reference(value: object) -> bool:
    return isinstance(value, dict) and all(
        isinstance(sample, list) and all(type(number) in (int, float) and isfinite(number) for number in sample)
        for sample in value.values()
    )


def _damaged(what: str) -> DamagedRun:
    return DamagedRun(
        f"{what}; the records are not touched: put back the study.json that the run wrote, or run again into "
        "another --out"
    )


def default_path(config: RunConfig, parent: Path = Path("runs")) -> Path:
    """A new folder named after the run: runs/munas-aging-0, then runs/munas-aging-0-2, ..."""
    name = f"{config.space.partition('(')[0]}-{config.strategy.partition('(')[0]}-{config.seed}"
    path, number = parent / name, 1
    while path.exists():
        number += 1
        path = parent / f"{name}-{number}"
    return path


def current_versions() -> dict[str, str]:
    """Versions of Python and of the packages a run depends on."""
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    return versions
