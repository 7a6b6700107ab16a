"""The progress line of a run, on standard error."""

from __future__ import annotations

import shutil
import sys
import time
from collections import deque

from engine.records import Record
from engine.results.front import FrontArchive, default_objectives
from engine.results.output import tell
from engine.results.tabular import format_number
from engine.setup import Setup

_REDRAW_SECONDS, _LINE_SECONDS = 0.2, 10.0
_WINDOW = 25  # redraws over which the rate is taken: records read back at a resume come a hundred times faster


class Progress:
    """Counts records and shows rate, best, front and time left; one line, redrawn on a terminal.

    Args:
        setup: Of the run.
        budget: Records in the end.
        quiet: Count, but show nothing.

    Attributes:
        archive: The front so far.
        best: The feasible record of greatest merit so far, the earlier one of equals.
        done: Number of records; likewise feasible, infeasible, failed and cached.
    """

    def __init__(self, setup: Setup, budget: int, quiet: bool = False) -> None:
        self._objective = setup.objectives.objectives[0]
        self.archive = FrontArchive(default_objectives(setup))
        self._budget = budget
        self._terminal = sys.stderr.isatty()
        self._quiet = quiet
        self._every = _REDRAW_SECONDS if self._terminal else _LINE_SECONDS
        self._seen = deque([(time.perf_counter(), 0)], maxlen=_WINDOW)  # when how many were done
        self.best: Record | None = None
        self._best_merit = 0.0
        self.done = self.feasible = self.infeasible = self.failed = self.cached = 0

    def start(self) -> None:
        """Take the time from here: what came before, a reference sample perhaps, was no record."""
        self._seen.clear()
        self._seen.append((time.perf_counter(), self.done))

    def __call__(self, record: Record) -> None:
        """Take in one record."""
        self.done += 1
        self.cached += record.cached
        if record.status == "ok":
            self.feasible += 1
            merit = self._objective.merit(record.scores)
            if self.best is None or merit > self._best_merit:
                self.best, self._best_merit = record, merit
            self.archive.add(record)
        elif record.status == "infeasible":
            self.infeasible += 1
        else:
            self.failed += 1
        if not self._quiet and time.perf_counter() - self._seen[-1][0] >= self._every:
            self._write(final=False)

    def close(self) -> None:
        """Show the last state and end the line, if there was anything to show."""
        if self.done and not self._quiet:
            self._write(final=True)

    def _line(self) -> str:
        now = time.perf_counter()
        since, done = self._seen[0]
        self._seen.append((now, self.done))
        rate = (self.done - done) / max(now - since, 1e-9)
        best = "none yet" if self.best is None else format_number(self._objective.value(self.best.scores))
        left = _duration((self._budget - self.done) / rate) if rate else "unknown time"
        speed = f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"
        return (
            f"#{self.done}/{self._budget}  {self._objective.text} {best}  feasible {self.feasible}  "
            f"rejected {self.infeasible}  failed {self.failed}  cached {self.cached}  "
            f"front {len(self.archive.numbers)}  {speed}/s  {left} left"
        )

    def _write(self, final: bool) -> None:
        line = self._line()
        if self._terminal:
            line = line[: shutil.get_terminal_size().columns - 1]  # a wrapped line could not be redrawn
            tell(f"\r\x1b[K{line}", end="\n" if final else "")
        else:
            tell(line)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
