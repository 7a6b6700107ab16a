"""All rows of an official NATS-Bench archive in order, read by several processes.

Unpacking and checking a result file takes 10 to 30 ms, so whole archives are shared out.
"""

from __future__ import annotations

import math
import os
import signal
import threading
from array import array
from collections import deque
from collections.abc import Generator
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from pathlib import Path
from typing import Final

from fitness.archive import Archive
from spaces.errors import RunError

__all__ = ["read_rows", "result_files"]

_AT_ONCE: Final = 16  # rows that a worker reads before it answers
_AHEAD: Final = 3  # such answers under way for every worker


def result_files(archive: Archive) -> list[int]:
    """Indexes of the architectures whose result file is there.

    Raises:
        RunError: the folder cannot be read.
    """
    try:
        names = set(os.listdir(archive.path))
    except OSError as error:
        raise RunError(f"cannot read {archive.path}: {error.strerror or error}") from error
    return [index for index in range(len(archive.architectures)) if archive.result_file(index).name in names]


def read_rows(archive: Archive, indexes: range, partial: bool, workers: int) -> Generator[array[float]]:
    """The numbers of architectures in the order of their indexes; see `Archive.read_numbers`.

    Args:
        archive: where they are.
        indexes: of the architectures.
        partial: whether result files may be missing; all numbers of such a one are nan.
        workers: processes that read.

    Raises:
        UntrustedFile: a file asks for more than data.
        RunError: a file is missing or damaged, or a process that read died.
    """
    shares = [indexes[start : start + _AT_ONCE] for start in range(0, len(indexes), _AT_ONCE)]
    if workers == 1 or len(shares) < 2:
        reader = _Reader(archive, partial)
        for index in indexes:
            yield reader(index)
        return
    # Forking after torch has used its threads deadlocks, so workers are forked from a server of their own.
    pool = ProcessPoolExecutor(workers, get_context("forkserver"), _begin, (archive.path, partial))
    try:
        waiting: deque[Future[list[array[float]]]] = deque()
        for share in shares:
            waiting.append(pool.submit(_read_share, share))
            if len(waiting) > _AHEAD * workers:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    except BrokenExecutor as error:
        raise RunError(
            "a process that read the archive died: killed, or out of memory; run the same command again with fewer "
            "--workers: it goes on where it was"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


class _Reader:
    """Reads the numbers of single architectures.

    Args:
        archive: where they are.
        partial: whether result files may be missing.
    """

    def __init__(self, archive: Archive, partial: bool) -> None:
        self._archive, self._partial = archive, partial

    def __call__(self, index: int) -> array[float]:
        """The numbers of one architecture."""
        if self._partial and not os.path.exists(self._archive.result_file(index)):
            return array("d", [math.nan] * len(self._archive.columns))
        return self._archive.read_numbers(index)


_reader: _Reader | None = None  # of this worker process


def _begin(folder: Path, partial: bool) -> None:
    """Set up a worker: deaf to Ctrl-C, which is for the process that asked, and gone with that process."""
    global _reader
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _reader = _Reader(Archive(folder), partial)


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None, "a worker was started by somebody"
    wait([parent.sentinel])
    os._exit(1)


def _read_share(indexes: range) -> list[array[float]]:
    assert _reader is not None, "workers begin with _begin"
    return [_reader(index) for index in indexes]
