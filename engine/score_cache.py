"""Scores computed once: a folder of append-only files, shared by any number of processes.

One file per score, its options, images, seed and space: a header that says what it holds, then one line per
network. Every line is written whole under a lock, so runs side by side fill the same file and read what the others
found. A line that a power failure tore is passed over.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import tempfile
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import zip_longest
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from spaces.errors import CacheFailed

if TYPE_CHECKING:
    from engine.setup import Setup
    from fitness.base import Fitness
    from spaces.space import Genotype

__all__ = ["Column", "Known", "ScoreCache", "ScoreFile", "default_folder", "scores_of"]

FORMAT = 1
_AHEAD = 4  # evaluations under way for every worker


class Known(NamedTuple):
    """What is known of one network.

    Attributes:
        value: The score; None if it failed.
        std: Over repeats, if there were any.
        reason: Why it failed.
        seconds: What computing it took.
    """

    value: float | None
    std: float | None
    reason: str | None
    seconds: float


class ScoreFile:
    """The values of one score.

    Args:
        path: Made with the first value.
        header: What the values are of; the first line of the file.
    """

    def __init__(self, path: Path, header: Mapping[str, object]) -> None:
        self._path, self._header = path, dict(header)
        self._known: dict[str, Known] = {}
        self._read = 0  # bytes

    def get(self, key: str) -> Known | None:
        """What is known of a network, other processes' findings included.

        Raises:
            CacheFailed: The file cannot be read.
        """
        if key not in self._known:
            self._catch_up()
        return self._known.get(key)

    def put(self, key: str, known: Known) -> None:
        """Keep what was found of a network.

        Raises:
            CacheFailed: The file cannot be written.
        """
        self._known[key] = known
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                end = file.seek(0, os.SEEK_END)
                lines = [] if end else [self._header]
                torn = b"\n" if end and not _ends_line(self._path, end) else b""
                lines.append({"key": key, **known._asdict()})
                file.write(torn + b"".join(json.dumps(line).encode() + b"\n" for line in lines))
        except OSError as error:
            raise _unusable("write to", self._path, error) from error

    def __len__(self) -> int:
        self._catch_up()
        return len(self._known)

    def _catch_up(self) -> None:
        try:
            if not self._path.exists() or self._path.stat().st_size <= self._read:
                return
            with self._path.open("rb") as file:
                file.seek(self._read)
                text = file.read()
        except OSError as error:
            raise _unusable("read", self._path, error) from error
        whole = text.rfind(b"\n") + 1
        for line in text[:whole].splitlines():
            if (found := _read_line(line)) is not None:  # else torn or damaged: its network is computed again
                self._known[found[0]] = found[1]
        self._read += whole


def _read_line(line: bytes) -> tuple[str, Known] | None:
    """Key and values of a line; None for the header, or what no line can be."""
    try:
        found = json.loads(line)
        key = found.pop("key")
        known = Known(**found)
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
        return None
    numbers = [number for number in known[:2] if number is not None] + [known.seconds]
    right = all(type(number) in (int, float) and isfinite(number) for number in numbers)
    failed = isinstance(known.reason, str) if known.value is None else known.reason is None
    return (key, known) if right and failed else None


def _unusable(doing: str, path: Path, error: OSError) -> CacheFailed:
    return CacheFailed(
        f"cannot {doing} the score cache {path}: {error.strerror or error}; free or allow the place, or "
        "name another with NAS_ENGINE_CACHE"
    )


def _ends_line(path: Path, size: int) -> bool:
    with path.open("rb") as file:
        file.seek(size - 1)
        return file.read(1) == b"\n"


@dataclass(frozen=True)
class ScoreCache:
    """A folder of score files.

    Args:
        folder: Made when the first value is kept.
    """

    folder: Path
    _files: dict[str, ScoreFile] = field(default_factory=dict, repr=False, compare=False)

    def file(self, header: Mapping[str, object]) -> ScoreFile:
        """The file of one score; `header` says all that its values depend on, with "space" and "score" in it."""
        text = json.dumps({"format": FORMAT, **header}, sort_keys=True)
        if text not in self._files:
            digest = hashlib.sha256(text.encode()).hexdigest()[:12]
            place, name = (re.sub(r"[^\w.=-]+", "_", str(header[part])).strip("_") for part in ("space", "score"))
            path = self.folder / place[:80] / f"{name[:80]}-{digest}.jsonl"
            self._files[text] = ScoreFile(path, json.loads(text))
        return self._files[text]

    def check(self) -> None:
        """Find out before an hour's work that nothing can be kept.

        Raises:
            CacheFailed: The folder cannot be made or written to.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.folder):
                pass
        except OSError as error:
            raise _unusable("write to", self.folder, error) from error

    def __getstate__(self) -> dict[str, object]:
        return {"folder": self.folder, "_files": {}}

    def __setstate__(self, state: Mapping[str, object]) -> None:
        for name, value in state.items():
            object.__setattr__(self, name, value)


def default_folder() -> Path:
    """Where scores are kept: $NAS_ENGINE_CACHE, or nas-engine/scores in the user's cache folder."""
    if own := os.environ.get("NAS_ENGINE_CACHE"):
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nas-engine" / "scores"


class Column(NamedTuple):
    """One score of many architectures, in their order.

    Attributes:
        values: None where it failed.
        seconds: What computing each took, now or when it was kept.
        reasons: Why it failed, None elsewhere.
    """

    values: list[float | None]
    seconds: list[float]
    reasons: list[str | None]


def scores_of(
    setup: Setup,
    scores: Sequence[Fitness],
    genotypes: Sequence[Genotype],
    *,
    workers: int = 1,
    on_scored: Callable[[int, int], None] = lambda done, wanted: None,
) -> dict[str, Column]:
    """Scores of many architectures, each score on its own so that its seconds are its own.

    Args:
        setup: Space, images, seed, and the cache if it has one.
        scores: What to compute.
        genotypes: Of the setup's space.
        workers: Processes that evaluate.
        on_scored: Called with the number of values done and wanted.

    Returns:
        One column per score, by name.

    Raises:
        UsageError: The images do not suit the scores.
        RunError: They cannot be read.
    """
    from engine.executors import evaluations

    columns = {}
    done, wanted = 0, len(scores) * len(genotypes)
    for score in scores:
        evaluator = setup.evaluator_of([score])
        outcomes = [evaluator.recall(genotype) for genotype in genotypes]
        missing = [number for number, outcome in enumerate(outcomes) if outcome is None]
        done += len(outcomes) - len(missing)
        if missing:
            with closing(evaluations(evaluator, min(workers, len(missing)))) as runner:
                waiting = deque(runner.start(genotypes[number], None) for number in missing[: _AHEAD * workers])
                for number, later in zip_longest(missing, missing[_AHEAD * workers :]):
                    outcomes[number] = runner.finish(waiting.popleft())
                    if later is not None:
                        waiting.append(runner.start(genotypes[later], None))
                    done += 1
                    on_scored(done, wanted)
        found = [outcome for outcome in outcomes if outcome is not None]
        columns[score.name] = Column(
            [outcome.scores.get(score.name) for outcome in found],
            [outcome.seconds for outcome in found],
            [outcome.reason for outcome in found],
        )
    return columns
