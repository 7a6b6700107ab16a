"""A run on disk: `study.json`, written whole, and `records.jsonl`, appended to."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from engine.config import RunConfig
from engine.records import RecordStore
from spaces.errors import DamagedRun, RunError, UsageError

FORMAT = 1
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
            RunError: It cannot be made or written.
        """
        try:
            path.mkdir(parents=True, exist_ok=True)
            if not all(_is_stub(file) for file in path.iterdir()):
                holds = "a run" if (path / "study.json").exists() else "other files"
                raise UsageError(
                    f"{path} is not empty, it holds {holds}; expected a new folder: choose another --out"
                    + (f", or continue with `engine resume {path}`" if holds == "a run" else "")
                )
        except OSError as error:
            raise RunError(f"cannot make run folder {path}: {error.strerror or error}") from error
        store = RecordStore(path / "records.jsonl", write=True)
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
        if not file.is_file():
            what = "is not a folder" if not path.is_dir() else "holds no study.json"
            raise UsageError(f"{path} is not a run: it {what}; expected what `engine run --out` made")
        try:
            study = json.loads(file.read_text(encoding="utf-8"))
            if study["format"] != FORMAT:
                raise DamagedRun(f"{file} has format {study['format']!r}; this version reads {FORMAT}")
            config = RunConfig.from_dict(study["config"], str(file))
            return RunFolder(path, config, study["reference"], study["state"], study["versions"])
        except json.JSONDecodeError as error:
            raise DamagedRun(f"{file} line {error.lineno} column {error.colno}: not JSON") from error
        except (KeyError, TypeError, AttributeError, UnicodeDecodeError) as error:
            raise DamagedRun(f"{file} is not what a run writes: {type(error).__name__} {error}") from error
        except OSError as error:
            raise RunError(f"cannot read {file}: {error.strerror or error}") from error

    def records(self, write: bool = False) -> RecordStore:
        """The run's records; for writing, with the folder's lock taken.

        Raises:
            RunError: Another process has the lock, or the file cannot be opened.
        """
        return RecordStore(self.path / "records.jsonl", write)

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
            draft.write_text(json.dumps(study, indent=1) + "\n", encoding="utf-8")
            os.replace(draft, self.path / "study.json")
        except OSError as error:
            raise RunError(f"cannot write {self.path / 'study.json'}: {error.strerror or error}") from error


def _is_stub(file: Path) -> bool:
    """Whether a run killed before its first record left this behind."""
    return file.name == "study.json.new" or (file.name == "records.jsonl" and file.stat().st_size == 0)


def default_path(config: RunConfig, parent: Path = Path("runs")) -> Path:
    """A new folder named after the run: runs/munas-aging-0, then runs/munas-aging-0-2, ..."""
    name = f"{config.space}-{config.strategy}-{config.seed}"
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
