"""Make the runs of a comparison, several at a time; what is done is never done again.

Every run is an ordinary run folder. `finished.jsonl` has one line for each that is done: how long its search took,
or why it came to nothing.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from engine.api import go_on, reopen, run
from engine.comparison.plan import FILE, Plan
from engine.config import RunConfig
from engine.executors import processes
from engine.score_cache import ScoreCache
from engine.setup import Setup
from spaces.errors import EngineError, NothingFeasible, RunError

__all__ = ["Finished", "carry_out", "finished"]

_RESULTS = "finished.jsonl"
_TRIES = 2  # of a run whose process died


class Finished(NamedTuple):
    """How a run ended.

    Attributes:
        name: Of the run.
        seconds: The search took (`Result.search_seconds`); None if it failed.
        reason: Why it failed.
        final: Whether it would fail again; else it is tried again when the comparison is resumed.
    """

    name: str
    seconds: float | None
    reason: str | None = None
    final: bool = True


def carry_out(
    plan: Plan,
    *,
    workers: int = 1,
    cluster: str | None = None,
    cache: ScoreCache | None = None,
    on_finished: Callable[[int, int], None] = lambda done, wanted: None,
) -> None:
    """Make every run of a plan that is not finished.

    Args:
        plan: Its folder has been made.
        workers: Processes that each make one run at a time.
        cluster: Address of a Dask scheduler whose workers evaluate for them.
        cache: Where scores are kept between runs.
        on_finished: Called with the number of runs done and wanted, first with those that were done before.

    Raises:
        RunError: Another process is at it, or a file cannot be written.
    """
    with _locked(plan.path / FILE):
        done = {result.name for result in finished(plan) if result.final}
        wanted = plan.runs * len(plan.methods)
        count = len(done)
        on_finished(count, wanted)
        open_runs = [
            (one.name, replace(one.config, cluster=cluster)) for one in plan.planned() if one.name not in done
        ]
        ended = _serially(open_runs, cache) if workers == 1 else _side_by_side(open_runs, cache, workers)
        for result in ended:
            _append(plan.path / _RESULTS, result)
            count += 1
            on_finished(count, wanted)


def finished(plan: Plan) -> list[Finished]:
    """The runs that are done, whatever came out of them.

    Raises:
        RunError: The file cannot be read.
    """
    path = plan.path / _RESULTS
    try:
        text = path.read_text(encoding="utf-8") if path.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"cannot read {path}: {error}") from error
    results = {}
    for line in text.splitlines():
        result = _read_line(line)
        if result is None:
            continue  # torn when the machine stopped: the run is looked at again
        if result.seconds is None or (plan.path / "runs" / result.name / "study.json").exists():
            results[result.name] = result
    return list(results.values())


def _read_line(line: str) -> Finished | None:
    try:
        result = Finished(**json.loads(line))
    except (ValueError, TypeError, RecursionError):
        return None
    numbers = type(result.seconds) in (int, float) and result.reason is None
    failed = result.seconds is None and isinstance(result.reason, str)
    return result if isinstance(result.name, str) and (numbers or failed) else None


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    try:
        file = path.open("rb")
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror or error}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunError(f"another process is making the runs of {path.parent}; wait for it") from None
        yield


def _append(path: Path, result: Finished) -> None:
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write("\n" * (file.tell() > 0 and not _whole(path)) + json.dumps(result._asdict()) + "\n")
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror or error}") from error


def _whole(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read() == b"\n"


def _serially(runs: list[tuple[str, RunConfig]], cache: ScoreCache | None) -> Iterator[Finished]:
    for name, config in runs:
        yield _make(name, config, cache)


def _side_by_side(runs: list[tuple[str, RunConfig]], cache: ScoreCache | None, workers: int) -> Iterator[Finished]:
    """Run in processes; a run whose process died twice is given up."""
    waiting = deque(runs)
    tries = dict.fromkeys((name for name, _ in runs), 0)
    under_way: dict[Future[Finished], tuple[str, RunConfig]] = {}
    pool: Executor | None = None
    try:
        while waiting or under_way:
            pool = pool or processes(min(workers, len(waiting)))
            try:
                while waiting and len(under_way) < workers:
                    name, config = waiting.popleft()
                    under_way[pool.submit(_make, name, config, cache)] = name, config
                    tries[name] += 1
                for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                    result = future.result()
                    del under_way[future]
                    yield result
            except BrokenExecutor:  # whoever was under way may be the cause
                pool.shutdown(wait=False)
                pool = None
                for name, config in under_way.values():
                    if tries[name] < _TRIES:
                        waiting.appendleft((name, config))
                    else:
                        yield Finished(name, None, "its process died twice: killed, or out of memory", final=False)
                under_way = {}
    finally:
        if pool is not None:
            pool.shutdown(wait=not under_way)


def _make(name: str, config: RunConfig, cache: ScoreCache | None) -> Finished:
    """Make one run, or what is left of it."""
    path = Path(str(config.out))
    try:
        if (path / "study.json").exists():
            folder, setup = reopen(path, cluster=config.cluster)
            result = go_on(folder, replace(setup, cache=cache))
        else:
            result = run(Setup(config, cache=cache))
        return Finished(name, round(result.search_seconds, 6))
    except EngineError as error:
        return Finished(name, None, str(error), final=isinstance(error, NothingFeasible))
