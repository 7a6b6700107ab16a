"""How trainings get on, for who wants to know: on standard error, or not at all."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Sequence

from engine.records import Record
from engine.results.output import tell
from engine.results.ticker import Ticker
from engine.training.measured import CLASSIFICATION, Kind
from engine.training.task import Plan

__all__ = ["Shown", "Spectator"]

_REDRAW_SECONDS, _LINE_SECONDS = 0.2, 10.0


class Spectator:
    """Is told how trainings get on, and keeps it to itself."""

    def image(self, done: int, wanted: int) -> None:
        """So many images of the data are read."""

    def changed(self, candidates: int) -> None:
        """So many candidates were trained in that way on other data than the same source has now."""

    def begin(self, candidates: Sequence[int], plan: Plan) -> None:
        """These candidates are to be trained by a plan."""

    def step(self, number: int, epochs: float) -> None:
        """So much of a candidate's training is done, in epochs: 3.5 in the middle of the fourth."""

    def epoch(self, number: int, epochs: int, loss: float, validation: float) -> None:
        """So many epochs of a candidate are done, the last with this loss and validation; see `Epoch`."""

    def end(self, trained: Record) -> None:
        """A candidate is trained; the record has no number of its own yet."""


class Shown(Spectator):
    """A line on standard error: redrawn on a terminal, else one now and then, and one for each candidate."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._images = Ticker("images")
        self._written = time.perf_counter()
        self._done: dict[int, float] = {}  # epochs of every candidate
        self._last: dict[int, str] = {}  # what the last epoch of a candidate came to
        self._epochs = 0
        self._kind = CLASSIFICATION
        self._first: tuple[float, float] | None = None  # when how many were done: some may have been before

    def image(self, done: int, wanted: int) -> None:
        """See `Spectator`."""
        self._images(done, wanted)
        if done == wanted:
            self._images.close()

    def changed(self, candidates: int) -> None:
        """See `Spectator`."""
        what = "1 training does" if candidates == 1 else f"trainings of {candidates} candidates do"
        tell(f"the data have changed since: {what} not count")

    def begin(self, candidates: Sequence[int], plan: Plan) -> None:
        """See `Spectator`."""
        self._done, self._epochs, self._kind = dict.fromkeys(candidates, 0.0), plan.epochs, plan.kind

    def step(self, number: int, epochs: float) -> None:
        """See `Spectator`."""
        self._advance(number, epochs)

    def epoch(self, number: int, epochs: int, loss: float, validation: float) -> None:
        """See `Spectator`."""
        self._last[number] = f"loss {loss:.4f}  {self._kind.validation.format(validation)}"
        self._advance(number, epochs)

    def end(self, trained: Record) -> None:
        """See `Spectator`."""
        assert trained.parent is not None, "it is of a candidate"
        self._done[trained.parent] = self._epochs  # also if it ended early
        tell(("\r\x1b[K" if self._terminal else "") + f"#{trained.parent}  {_outcome(trained, self._kind)}")

    def _advance(self, number: int, epochs: float) -> None:
        now = time.perf_counter()
        self._done[number] = epochs
        total = sum(self._done.values())
        if self._first is None:
            self._first = now, total
        if now - self._written < (_REDRAW_SECONDS if self._terminal else _LINE_SECONDS):
            return
        self._written = now
        started, before = self._first
        rate = (total - before) / max(now - started, 1e-9)
        left = f"{(self._epochs * len(self._done) - total) / rate:,.0f} s" if rate else "unknown time"
        place = list(self._done).index(number) + 1
        line = f"#{number} ({place} of {len(self._done)})  epoch {int(epochs)} of {self._epochs}  " + "  ".join(
            filter(None, (self._last.get(number), f"{left} left"))
        )
        if self._terminal:
            line = line[: shutil.get_terminal_size().columns - 1]  # a wrapped line could not be redrawn
            tell(f"\r\x1b[K{line}", end="")
        else:
            tell(line)


def _outcome(trained: Record, kind: Kind) -> str:
    if trained.reason is not None:
        return f"failed: {trained.reason}"
    scores = ", ".join(form.format(trained.scores[name]) for name, form in kind.lines.items())
    return f"{scores}; {trained.scores['epochs']:.0f} epochs, {trained.seconds:,.1f} s"
