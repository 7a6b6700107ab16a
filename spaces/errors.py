"""The errors a user can cause, shared by all three packages.

EngineError
├── UsageError (ValueError)         exit 2: the request itself is wrong
│   ├── UnknownName (LookupError)   a name no registry holds
│   └── InvalidGenotype             choices that are not a member of the space
└── RunError (RuntimeError)         exit 1: a right request that could not be carried out
    ├── NothingFeasible             a run in which every candidate was turned down
    ├── DamagedRun                  a run folder that cannot be trusted
    ├── CacheFailed                 a place for scores that cannot be read or written
    ├── UntrustedFile               a benchmark file that asks for more than data
    ├── ScoreFailed                 a score that a network has no finite value of
    ├── NoNeighbour                 a network that no move leads away from
    └── MissingExtra (ImportError)  an optional dependency that is not installed

A message is one line: what was wrong, the value got, what was expected, the remedy.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class EngineError(Exception):
    """Anything wrong that a user can cause or mend; `exit_code` is the command line's answer."""

    exit_code = 1


class UsageError(EngineError, ValueError):
    """The request is wrong as written."""

    exit_code = 2


class UnknownName(UsageError, LookupError):
    """A name that is not registered; the message offers the nearest right ones."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        plain = {each.lower(): each for each in names}
        near = difflib.get_close_matches(name.lower(), plain, n=1, cutoff=0.5)
        hint = f"did you mean {plain[near[0]]!r}? " if near else ""
        super().__init__(f"unknown {kind} {name!r}; {hint}known: {', '.join(names)}")


class InvalidGenotype(UsageError):
    """Choices that do not describe a network of the space."""


class RunError(EngineError, RuntimeError):
    """The request was right but could not be carried out."""


class NothingFeasible(RunError):
    """Every candidate of a run broke a bound or failed; it would do so again."""


class CacheFailed(RunError):
    """Scores cannot be kept where they are to be kept."""


class DamagedRun(RunError):
    """A run folder or records file that is not what a run writes."""


class UntrustedFile(RunError):
    """A file whose pickle names types that the official benchmark files do not hold."""


class ScoreFailed(RunError):
    """A network has no such score, for a reason that the message states: no ReLU, a singular kernel, overflow."""


class NoNeighbour(RunError):
    """No other network of the space is within reach of one; in a space of one network there is none."""


class MissingExtra(RunError, ImportError):
    """An optional dependency that is not installed; the message names the extra."""
