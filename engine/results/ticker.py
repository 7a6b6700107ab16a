"""One line that counts what is done, on standard error."""

from __future__ import annotations

import sys
import time

from engine.results.output import tell

__all__ = ["Ticker"]

_REDRAW_SECONDS, _LINE_SECONDS = 0.2, 10.0


class Ticker:
    """Shows how much of a known number is done; redrawn on a terminal, else a line now and then.

    What takes less time than the first line would say nothing is lost.

    Args:
        what: What is counted, e.g. "scores".
        quiet: Show nothing.
    """

    def __init__(self, what: str, quiet: bool = False) -> None:
        self._what, self._quiet = what, quiet
        self._terminal = sys.stderr.isatty()
        self._shown = time.perf_counter()
        self._first: tuple[float, int] | None = None  # when how many were done: some may have been before
        self._written = False

    def __call__(self, done: int, wanted: int) -> None:
        """Take in how many are done."""
        now = time.perf_counter()
        if self._first is None:
            self._first = now, done
        if self._quiet or now - self._shown < (_REDRAW_SECONDS if self._terminal else _LINE_SECONDS):
            return
        self._shown = now
        started, before = self._first
        rate = (done - before) / max(now - started, 1e-9)
        left = f"{(wanted - done) / rate:,.0f} s" if rate else "unknown time"
        line = f"{done:,} of {wanted:,} {self._what}  {rate:.3g}/s  {left} left"
        tell(f"\r\x1b[K{line}" if self._terminal else line, end="" if self._terminal else "\n")
        self._written = True

    def close(self) -> None:
        """Clear a line that was redrawn."""
        if self._written and self._terminal:
            tell("\r\x1b[K", end="")
