"""The progress line of a run, on standard error."""

from __future__ import annotations

import sys
import time

from engine.records import Record
from engine.results.front import FrontArchive, default_objectives, format_number
from engine.setup import Setup

_REDRAW_SECONDS, _LINE_SECONDS = 0.2, 10.0


class Progress:
    """Counts records and shows rate, best, front and time left; one line, redrawn on a terminal.

    Args:
        setup: Of the run.
        budget: Records in the end.
        quiet: Count, but show nothing.
    """

    def __init__(self, setup: Setup, budget: int, quiet: bool = False) -> None:
        self._objective = setup.objectives.objectives[0]
        self._archive = FrontArchive(default_objectives(setup))
        self._budget = budget
        self._terminal = sys.stderr.isatty()
        self._quiet = quiet
        self._every = _REDRAW_SECONDS if self._terminal else _LINE_SECONDS
        self._started = self._shown = time.perf_counter()
        self._best: Record | None = None
        self._best_merit = 0.0
        self.done = self.feasible = self.infeasible = self.failed = self.cached = 0

    def __call__(self, record: Record) -> None:
        """Take in one record."""
        self.done += 1
        self.cached += record.cached
        if record.status == "ok":
            self.feasible += 1
            merit = self._objective.merit(record.scores)
            if self._best is None or merit > self._best_merit:
                self._best, self._best_merit = record, merit
            self._archive.add(record)
        elif record.status == "infeasible":
            self.infeasible += 1
        else:
            self.failed += 1
        if not self._quiet and not self.done & 15:
            now = time.perf_counter()
            if now - self._shown >= self._every:
                self._shown = now
                self._write(self.line(now), final=False)

    def close(self) -> None:
        """Show the last state and end the line."""
        if not self._quiet:
            self._write(self.line(time.perf_counter()), final=True)

    def line(self, now: float) -> str:
        """The progress line."""
        rate = self.done / max(now - self._started, 1e-9)
        best = "none yet"
        if self._best is not None:
            best = format_number(self._objective.value(self._best.scores))
        left = (self._budget - self.done) / max(rate, 1e-9)
        return (
            f"#{self.done}/{self._budget}  {self._objective.text} {best}  feasible {self.feasible}  "
            f"rejected {self.infeasible}  failed {self.failed}  cached {self.cached}  "
            f"front {len(self._archive.numbers)}  {rate:,.0f}/s  {_duration(left)} left"
        )

    def _write(self, line: str, final: bool) -> None:
        if self._terminal:
            sys.stderr.write(f"\r\x1b[K{line}" + ("\n" if final else ""))
        else:
            sys.stderr.write(line + "\n")
        sys.stderr.flush()


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
