"""Evaluations on a Dask cluster: an executor for `engine.executors.Pooled`.

A task costs Dask some 4 ms, more than a cheap score: calls are collected, and several become one task. They wait
for nothing but the caller: whatever is collected is sent as soon as somebody waits for an answer.

The evaluator is itself the result of a task, so Dask moves it to every worker once, to those that join later too,
and makes it anew when the workers that held it are gone.
"""

# mypy: allow-untyped-calls
# Distributed leaves most of what we call without types.

from __future__ import annotations

import asyncio
import pickle
import socket
import threading
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, ParamSpec, TypeVar
from urllib.parse import urlsplit

import cloudpickle
import dask.config

from engine.evaluation import Evaluator
from engine.executors import Pooled, hold, unsendable
from engine.run_folder import current_versions
from spaces.errors import EngineError, RunError

# Distributed sets its loggers up when it is imported. What it has to say reaches the user as our errors; a program
# that imported it before us keeps the loggers it chose.
_LOGGERS = ("distributed", "distributed.client", "distributed.gc", "tornado", "tornado.application")
with dask.config.set(logging=dict.fromkeys(_LOGGERS, "critical")):
    import distributed.versions
    from distributed import Client, KilledWorker
    from distributed.comm.core import connect

CONNECT_SECONDS = 10.0  # for the scheduler to answer
WORKER_SECONDS = 10.0  # for a first worker to come, and for another when all are gone
CHECK_SECONDS = 5.0  # between looks at whether scheduler and workers are still there, while an answer is waited for
TASK_SECONDS = 0.01  # of work in one task: less is spent on Dask, more keeps other workers waiting

_P = ParamSpec("_P")
_T = TypeVar("_T")
_Call = tuple[Callable[..., Any], tuple[Any, ...]]


def on_cluster(evaluator: Evaluator, address: str) -> Pooled:
    """Evaluation on the workers of a Dask scheduler.

    Args:
        evaluator: Sent to every worker once.
        address: tcp://HOST:PORT or tls://HOST:PORT.

    Raises:
        UsageError: Something of the evaluator cannot be sent to another process.
        RunError: No such scheduler, no workers, or one that cannot evaluate as this process would.
    """
    try:
        cargo = cloudpickle.dumps(evaluator)  # by value what a script defines, which workers cannot import
    except Exception as error:  # pickling runs the scores' own code
        raise unsendable("a cluster needs", f"{error}") from error
    return Pooled(lambda: ClusterExecutor(address, cargo))


class ClusterExecutor(Executor):
    """Calls functions on the workers of a Dask scheduler, several in one task while they are short.

    For one thread, like the loop that uses it. A task that Dask gave up on because its workers died is a
    `BrokenExecutor`, anything else that goes wrong with the cluster a `RunError`.

    Args:
        address: Of the scheduler.
        cargo: The pickled evaluator that the workers are to hold.

    Raises:
        RunError: See `on_cluster`.
    """

    def __init__(self, address: str, cargo: bytes) -> None:
        self._address = address
        self._collected: list[tuple[_Answer[Any], _Call]] = []
        self._seconds: float | None = None  # that a call takes, lately
        self._client = _connect(address)
        self._connection = self._client.scheduler_comm
        try:
            self._await_workers()
            self._tasks = self._client.get_executor(pure=False)
            self._cargo = self._sent(cargo)
            self._check_workers()
        except BaseException:
            self.shutdown(wait=False)
            raise

    def submit(self, function: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """Begin a call soon: with others, or when its result is waited for."""
        answer: _Answer[_T] = _Answer(self)
        self._collected.append((answer, (partial(function, **kwargs) if kwargs else function, args)))
        if len(self._collected) >= self._at_once:
            self.flush()
        return answer

    def flush(self) -> None:
        """Send what is collected."""
        collected, self._collected = self._collected, []
        size = self._at_once
        for first in range(0, len(collected), size):
            answers, calls = zip(*collected[first : first + size], strict=True)
            task = self._tasks.submit(_answer, self._cargo, calls)
            task.add_done_callback(partial(self._deliver, answers))

    def wait(self, task: Future[_T]) -> _T:
        """The result of a task or call, as long as there are workers to give it."""
        while True:
            with suppress(TimeoutError):
                return Future.result(task, CHECK_SECONDS)
            self._await_workers()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Leave the cluster; what its workers have not begun is taken back."""
        with suppress(Exception):  # a scheduler that is gone has nothing left to give back
            self._client.close(CONNECT_SECONDS)

    @property
    def _at_once(self) -> int:
        """Calls that make a task; one, until it is known what they take."""
        return 1 if self._seconds is None else max(1, int(TASK_SECONDS / max(self._seconds, 1e-6)))

    def _sent(self, cargo: bytes) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a table among the scores makes it large, and it is sent only once
            return self._client.submit(_Cargo, cargo, _versions(), pure=False)

    def _await_workers(self) -> None:
        if not self._connected:
            raise self._lost()
        try:
            self._client.wait_for_workers(1, timeout=WORKER_SECONDS)
        except Exception as error:
            if not self._connected:
                raise self._lost() from error
            raise RunError(
                f"scheduler {self._address} has no workers; start some with `dask worker {self._address} "
                "--nthreads 1`"
            ) from error

    @property
    def _connected(self) -> bool:
        """Whether the scheduler is the one that knows our tasks; Dask connects to another one without a word."""
        return self._client.status == "running" and self._client.scheduler_comm is self._connection

    def _check_workers(self) -> None:
        """See to it that workers can evaluate, before anything depends on them; busy ones have their turn later."""
        idle = [worker for worker, tasks in self._client.processing().items() if not tasks]
        places: list[dict[str, Any]] = [{"workers": [worker], "allow_other_workers": True} for worker in idle]
        for task in [self._tasks.submit(_answer, self._cargo, (), **place) for place in places or [{}]]:
            try:
                self.wait(task)
            except Exception as error:
                raise self._explained(error) from error

    def _deliver(self, answers: Sequence[_Answer[Any]], task: Future[tuple[list[Any], float]]) -> None:
        try:
            results, seconds = task.result()
        except Exception as error:
            explained = self._explained(error)
            for answer in answers:
                answer.set_exception(explained)
            return
        each = seconds / len(answers)
        self._seconds = each if self._seconds is None else 0.8 * self._seconds + 0.2 * each
        for answer, result in zip(answers, results, strict=True):
            answer.set_result(result)

    def _explained(self, error: Exception) -> Exception:
        """What went wrong with a task, in words for the user of a run."""
        if isinstance(error, KilledWorker):
            return BrokenExecutor(str(error))
        if isinstance(error, EngineError):
            return error
        if isinstance(error, CancelledError):
            return self._lost()
        return RunError(
            f"cluster {self._address}: {type(error).__name__}: {' '.join(str(error).split())[:300]}; expected the "
            "same packages and modules there as here"
        )

    def _lost(self) -> RunError:
        return RunError(
            f"lost scheduler {self._address}: it ended or was restarted; start it again and continue with "
            "`engine resume`"
        )


class _Answer(Future[_T]):
    """The result of a call, for which waiting is a reason to send it."""

    def __init__(self, executor: ClusterExecutor) -> None:
        super().__init__()
        self._executor = executor

    def result(self, timeout: float | None = None) -> _T:
        if not self.done():
            self._executor.flush()
        return super().result(timeout) if timeout is not None else self._executor.wait(self)


def _connect(address: str) -> Client:
    place = urlsplit(address)
    try:  # Dask tries again and again where nobody listens
        socket.create_connection((place.hostname, place.port), CONNECT_SECONDS).close()
    except OSError as error:
        raise RunError(
            f"cannot reach scheduler {address}: {error.strerror or error}; start one with `dask scheduler --port "
            f"{place.port}`, or give the address that it prints"
        ) from error
    try:
        with ThreadPoolExecutor(1) as thread:  # a notebook has a loop of its own in this one
            theirs = thread.submit(asyncio.run, _scheduler_versions(address)).result()
    except Exception as error:  # whatever answers there, or no certificate for tls://
        why = " ".join(str(error).split())[:200] or f"nothing within {CONNECT_SECONDS:g} seconds"
        raise RunError(
            f"{address} does not answer as a Dask scheduler: {why}; expected the address that `dask scheduler` "
            "prints, and for tls:// certificates in Dask's configuration"
        ) from error
    ours: dict[str, Any] = distributed.versions.get_versions()["packages"]
    for name in ("dask", "distributed"):
        if theirs[name] != ours[name]:
            raise RunError(
                f"scheduler {address} has {name} {theirs[name]}, this process {ours[name]}; install the same"
            )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of versions that make no difference here
        return Client(address, timeout=CONNECT_SECONDS, set_as_default=False, name="nas-engine")


async def _scheduler_versions(address: str) -> dict[str, Any]:
    """Versions of packages; asked for without a `Client`, which can wait for ever where something else listens."""
    tls = distributed.Security().get_connection_args("client")

    async def ask() -> dict[str, Any]:
        comm = await connect(address, timeout=CONNECT_SECONDS, **tls)
        try:
            await comm.write({"op": "versions", "reply": True, "close": True})
            answer: dict[str, Any] = await comm.read()
            return answer["packages"]  # type: ignore[no-any-return]
        finally:
            comm.abort()

    return await asyncio.wait_for(ask(), CONNECT_SECONDS)


def _versions() -> dict[str, str]:
    """Of what decides the values of scores."""
    versions = current_versions()
    python = ".".join(versions["python"].split(".")[:2])
    return {"python": python} | {name: versions[name] for name in ("nas-engine", "numpy", "torch")}


_one_at_a_time = threading.Lock()  # torch's settings and random numbers are the process's, and Dask has threads


class _Cargo:
    """The evaluator as workers hold it: unpickled where it is first used, and sent on as it came."""

    def __init__(self, pickled: bytes, versions: Mapping[str, str]) -> None:
        self._pickled, self._versions = pickled, versions
        self._evaluator: Evaluator | None = None

    def __reduce__(self) -> tuple[type[_Cargo], tuple[bytes, Mapping[str, str]]]:
        return _Cargo, (self._pickled, self._versions)

    def unpack(self) -> Evaluator:
        if self._evaluator is None:
            where = f"worker {distributed.get_worker().address}"
            for name, version in _versions().items():
                if version != self._versions[name]:
                    raise RunError(
                        f"{where} has {name} {version}, this process {self._versions[name]}; install the same, or "
                        "scores will differ"
                    )
            try:
                evaluator: Evaluator = pickle.loads(self._pickled)
                evaluator.open()
            except Exception as error:  # unpickling imports foreign code
                kind = "" if isinstance(error, EngineError) else f"{type(error).__name__}: "
                raise RunError(
                    f"{where} cannot evaluate: {kind}{error}; expected the same files and modules there as here"
                ) from error
            self._evaluator = evaluator
        return self._evaluator


def _answer(cargo: _Cargo, calls: Sequence[_Call]) -> tuple[list[Any], float]:
    """What a worker does: the results of calls, and the seconds they took."""
    with _one_at_a_time:
        hold(cargo.unpack())
        started = time.perf_counter()
        results = [function(*arguments) for function, arguments in calls]
        return results, time.perf_counter() - started
