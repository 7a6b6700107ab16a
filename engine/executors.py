"""Where evaluations run: in this process, in a pool of workers or on a cluster, behind one small interface.

Workers are started by a fork server, never forked from this process: forking after torch has used its threads
deadlocks. A worker that dies takes only its own candidate with it; workers end when this process does.
"""

from __future__ import annotations

import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import forkserver, get_context, resource_tracker
from multiprocessing.connection import Connection, wait
from typing import Protocol

from engine.evaluation import Evaluator, Outcome
from spaces.errors import MissingExtra, RunError, UsageError
from spaces.space import Genotype, Value


class Evaluations(Protocol):
    """Starts evaluations and waits for them."""

    def start(self, genotype: Genotype, known: Mapping[str, float] | None) -> Ticket:
        """Begin one evaluation."""
        ...

    def finish(self, ticket: Ticket) -> Outcome:
        """Wait for the outcome."""
        ...

    def close(self) -> None:
        """Let go of whatever runs."""
        ...


@dataclass(eq=False)
class Ticket:
    """An evaluation under way."""

    genotype: Genotype
    known: Mapping[str, float] | None
    outcome: Outcome | None = None
    future: Future[Outcome] | None = None


class Serial:
    """Evaluates in this process."""

    def __init__(self, evaluator: Evaluator) -> None:
        self._evaluator = evaluator

    def start(self, genotype: Genotype, known: Mapping[str, float] | None) -> Ticket:
        """See `Evaluations`."""
        return Ticket(genotype, known, self._evaluator(genotype, known))

    def finish(self, ticket: Ticket) -> Outcome:
        """See `Evaluations`."""
        assert ticket.outcome is not None
        return ticket.outcome

    def close(self) -> None:
        """Nothing runs."""


class Pooled:
    """Evaluates on any `concurrent.futures` executor whose workers hold the evaluator.

    Args:
        make: Makes the executor, again if its workers died. Its `shutdown(wait=False)` ends what is running.
    """

    def __init__(self, make: Callable[[], Executor]) -> None:
        self._make = make
        self._executor = make()
        self._open: list[Ticket] = []

    def complaint(self) -> str | None:
        """Why the workers cannot evaluate, if they cannot.

        Raises:
            RunError: They do not even start.
        """
        try:
            with _uninterrupted():
                started = self._executor.submit(_complain)
            return started.result()
        except BrokenExecutor as error:
            raise RunError(
                "the worker processes ended while starting, see above; a script has to search under "
                "`if __name__ == '__main__':`, because every worker imports it"
            ) from error

    def start(self, genotype: Genotype, known: Mapping[str, float] | None) -> Ticket:
        """See `Evaluations`."""
        ticket = Ticket(genotype, known)
        self._open.append(ticket)
        self._submit(ticket)
        return ticket

    def finish(self, ticket: Ticket) -> Outcome:
        """See `Evaluations`.

        When workers died, the candidate that was waited for is tried once more, alone; if that kills its worker
        again, it is the one to blame.
        """
        assert ticket.future is not None
        try:
            outcome = ticket.future.result()
        except BrokenExecutor:
            outcome = self._retry(ticket)
        self._open.remove(ticket)
        return outcome

    def close(self) -> None:
        """See `Evaluations`; evaluations under way are given up."""
        self._executor.shutdown(wait=not self._open)

    def _renew(self) -> None:
        self._executor.shutdown(wait=False)
        self._executor = self._make()

    def _submit(self, ticket: Ticket) -> None:
        try:
            with _uninterrupted():
                ticket.future = self._executor.submit(_evaluate, ticket.genotype.to_dict(), ticket.known)
        except (BrokenExecutor, OSError) as error:  # found out when the ticket is finished
            # A pool that breaks at this moment closes the pipes that its next worker is about to be given.
            ticket.future = Future()
            ticket.future.set_exception(BrokenExecutor(str(error)))

    def _retry(self, ticket: Ticket) -> Outcome:
        self._renew()
        try:
            self._submit(ticket)
            assert ticket.future is not None
            outcome = ticket.future.result()
        except BrokenExecutor:
            self._renew()
            outcome = Outcome({}, "failed", "the worker process died twice: killed, or out of memory", 0.0)
        for other in self._open:
            if other is not ticket and not _succeeded(other):
                self._submit(other)
        return outcome


class _Workers(ProcessPoolExecutor):
    """A pool whose running calls can be ended, which Python's own waits for even at exit."""

    def __init__(self, count: int, cargo: bytes) -> None:
        context = get_context("forkserver")
        self._receiver, self._sender = context.Pipe(duplex=False)
        super().__init__(count, context, initializer=_receive, initargs=(cargo, self._receiver))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """As usual; without waiting for calls under way, the workers end at once."""
        if not wait:
            self._sender.close()
        super().shutdown(cancel_futures=cancel_futures)  # waiting, lest Python's own end meets half of this one
        self._sender.close()
        self._receiver.close()


def evaluations(evaluator: Evaluator, workers: int, cluster: str | None = None) -> Evaluations:
    """Evaluation here for one worker, in a pool of processes for more, or on a cluster.

    Args:
        evaluator: Computes outcomes.
        workers: Number of processes, if there is no cluster.
        cluster: Address of a Dask scheduler.

    Raises:
        UsageError: Something of the evaluator cannot be sent to another process.
        RunError: Worker processes cannot start, or the cluster cannot be used.
    """
    if cluster is not None:
        try:
            from engine.cluster import on_cluster
        except ModuleNotFoundError as error:
            raise MissingExtra(
                f"--cluster needs {error.name}, which is not installed; get it with "
                '`pip install "nas-engine[cluster]"`'
            ) from error
        return on_cluster(evaluator, cluster)
    if workers == 1:
        return Serial(evaluator)
    try:
        cargo = pickle.dumps(evaluator)
    except Exception as error:  # pickling runs the scores' own code
        raise unsendable(f"{workers} workers need", f"{error}") from error
    _start_server()
    pooled = Pooled(lambda: _Workers(workers, cargo))
    try:
        complaint = pooled.complaint()
    except BaseException:
        pooled.close()
        raise
    if complaint is not None:
        pooled.close()
        raise unsendable(f"{workers} workers need", complaint)
    return pooled


def processes(count: int) -> Executor:
    """A pool for any calls: deaf to Ctrl-C, ended with this process, at once by `shutdown(wait=False)`."""
    _start_server()
    return _Workers(count, pickle.dumps(None))


def _start_server() -> None:
    """Start the server that forks workers, deaf to Ctrl-C from the first: that is for this process alone."""
    resource_tracker.ensure_running()  # comes first because it ends by letting interrupts through
    with _uninterrupted():
        forkserver.ensure_running()


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C back until a process is started: one started by half complains about its missing parent."""
    held: list[int] = []
    before = signal.getsignal(signal.SIGINT)
    ours = callable(before) and threading.current_thread() is threading.main_thread()
    if ours:  # the mask is this thread's, and a library's thread may take the signal
        signal.signal(signal.SIGINT, lambda number, frame: held.append(number))
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])  # handed on to what is started
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if ours:
            signal.signal(signal.SIGINT, before)
    if held:
        raise KeyboardInterrupt


def unsendable(who_needs: str, why: str) -> UsageError:
    """The error of an evaluator that cannot be pickled: "4 workers need", "a cluster needs"."""
    return UsageError(
        f"{who_needs} a space and scores that can be pickled: {why}; "
        "define them at the top of an importable module, or use 1 worker"
    )


_evaluator: Evaluator | None = None  # of this worker process
_complaint: str | None = None


def hold(evaluator: Evaluator | None) -> None:
    """Set what this worker process evaluates with."""
    global _evaluator
    _evaluator = evaluator


def _receive(cargo: bytes, stop: Connection) -> None:
    """Set up a worker: the evaluator, no keyboard interrupts, and an end when told so or with the parent."""
    global _complaint
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(stop,), daemon=True).start()
    try:
        hold(pickle.loads(cargo))
    except Exception as error:  # unpickling imports foreign code
        _complaint = f"{type(error).__name__}: {error}"


def _end_with(stop: Connection) -> None:
    # Nothing is ever sent: the other end closes when the workers are to end, and when the parent is killed, which
    # cannot tell them and whom they would outlive waiting for work.
    wait([stop])
    os._exit(1)


def _complain() -> str | None:
    """Why this worker cannot evaluate, if it cannot."""
    return _complaint


def _evaluate(choices: dict[str, Value], known: Mapping[str, float] | None) -> Outcome:
    assert _evaluator is not None
    return _evaluator(Genotype.adopt(choices), known)


def _succeeded(ticket: Ticket) -> bool:
    future = ticket.future
    return future is not None and future.done() and future.exception() is None
