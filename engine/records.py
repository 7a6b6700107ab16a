"""What a run remembers: candidates, records, and the append-only file they live in.

One line per finished candidate, in ask order, whole lines only. The file is the memory: of a record the process
keeps its offset and its network key, nothing else.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import tempfile
import weakref
from array import array
from collections.abc import Iterator, Mapping
from math import isfinite
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from spaces.errors import DamagedRun, RunError, UsageError
from spaces.space import Genotype

Status = Literal["ok", "infeasible", "failed"]
_OF_ONE = re.compile(r"""'[^']{25,}('|$)|"[^"]{25,}("|$)|(?<![\w.<>=-])-?\d[\d,.e+-]*(?!\w)""")  # networks, numbers
_LONGEST_CAUSE = 100  # characters
STATUSES = ("ok", "infeasible", "failed")
_FIELDS = ("number", "parent", "status", "reason", "cached", "key", "scores", "genotype", "seconds")
_KEY = re.compile("[0-9a-f]{32}")
_CHOICES = {int, str, bool}
_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
_decode = json.JSONDecoder().raw_decode  # of text; saves what `json.loads` spends on telling encodings apart


class Candidate(NamedTuple):
    """An architecture to be evaluated.

    Attributes:
        number: Of the ask that made it, from 0.
        genotype: The architecture.
        parent: Number of the candidate it descends from, if any.
    """

    number: int
    genotype: Genotype
    parent: int | None = None


class Record(NamedTuple):
    """A finished candidate.

    Attributes:
        number: As asked.
        genotype: The architecture.
        parent: Number of the candidate it descends from, if any.
        key: `Network.key`.
        scores: Raw scores by name; of an infeasible or failed candidate, those known when it was given up.
        status: "ok", "infeasible" (a bound rejected it) or "failed" (a score could not be computed).
        reason: Why it is not ok.
        cached: Whether the scores were taken over from an earlier record with the same key.
        seconds: Time spent evaluating.
    """

    number: int
    genotype: Genotype
    parent: int | None
    key: str
    scores: Mapping[str, float]
    status: Status
    reason: str | None
    cached: bool
    seconds: float

    @property
    def candidate(self) -> Candidate:
        """What was asked."""
        return Candidate(self.number, self.genotype, self.parent)

    @property
    def cause(self) -> str:
        """Why it is not ok, without what differs between records: "bound flash_bytes<=262144"; "" if it is ok."""
        if self.status == "ok":
            return ""
        reason = self.reason or "no reason given"
        if self.status == "infeasible":
            return reason.rpartition("; ")[2]
        text = _OF_ONE.sub("…", reason)
        return text if len(text) <= _LONGEST_CAUSE else f"{text[:_LONGEST_CAUSE]}…"

    def to_dict(self) -> dict[str, object]:
        """The record as plain JSON values, in the order of a line of the file."""
        return {
            "number": self.number,
            "parent": self.parent,
            "status": self.status,
            "reason": self.reason,
            "cached": self.cached,
            "key": self.key,
            "scores": dict(self.scores),
            "genotype": self.genotype.to_dict(),
            "seconds": self.seconds,
        }


class RecordStore:
    """The records of one run, in a file or, without a path, in an anonymous temporary file.

    Opening finds the whole lines; a torn last one, which is what a killed run leaves behind, does not count and is
    cut off by the first append. A line is checked when it is read.

    Args:
        path: The file.
        write: Whether records are to be appended. The file is then locked, and made if it is not there.
        foreign: Whether the parents of its records are those of another file.

    Raises:
        RunError: The file cannot be opened, or another process writes to it.
    """

    def __init__(self, path: Path | None = None, write: bool = False, foreign: bool = False) -> None:
        self._name = str(path) if path else "temporary records"
        self._temporary = path is None
        self._foreign = foreign
        self._offsets = array("Q")
        self._numbers: dict[bytes, int] = {}
        self._end = 0
        try:
            self._descriptor = _open(path, write)
            weakref.finalize(self, os.close, self._descriptor)
            if write and path is not None:
                self._lock()
            with os.fdopen(os.dup(self._descriptor), "rb") as file:
                file.seek(0)
                for line in file:
                    if not line.endswith(b"\n"):
                        break
                    self._offsets.append(self._end)
                    self._end += len(line)
                self._torn = os.fstat(file.fileno()).st_size > self._end
        except OSError as error:
            raise RunError(f"cannot open {self._name}: {error.strerror or error}") from error

    def _lock(self) -> None:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # gone with the process, however it ends
        except BlockingIOError:
            raise RunError(
                f"{self._name} is being written by another process; wait until it ends, or stop it first"
            ) from None

    def __len__(self) -> int:
        return len(self._offsets)

    def __iter__(self) -> Iterator[Record]:
        """All records in order.

        Raises:
            DamagedRun: A line is not a record; says which line and column.
        """
        for number in range(len(self._offsets)):
            record = self.read(number)
            self._index(record)
            yield record

    def read(self, number: int) -> Record:
        """The record of that number; see `__iter__`."""
        if not 0 <= number < len(self._offsets):
            held = f"0..{len(self._offsets) - 1}" if self._offsets else "none: it is empty"
            raise UsageError(f"{self._name} has no record {number}; expected one of {held}")
        start = self._offsets[number]
        end = self._offsets[number + 1] if number + 1 < len(self._offsets) else self._end
        return self._parse(os.pread(self._descriptor, end - start, start), number)

    def number_of(self, key: str) -> int | None:
        """The first record with this network key, among those appended or iterated over."""
        return self._numbers.get(bytes.fromhex(key))

    def append(self, record: Record) -> None:
        """Write one record, whole or not at all.

        Raises:
            RunError: The file cannot take it; what was written before stays whole.
        """
        line = (_encode(record.to_dict()) + "\n").encode()
        written = 0
        try:
            if self._torn:
                os.ftruncate(self._descriptor, self._end)
                self._torn = False
            while written < len(line):
                written += os.pwrite(self._descriptor, line[written:], self._end + written)
        except OSError as error:
            self._withdraw()
            raise RunError(
                f"cannot write record {record.number} to {self._name}: {error.strerror or error}; the "
                f"{len(self)} records before it are whole: make room, then `engine resume`"
            ) from error
        self._offsets.append(self._end)
        self._end += len(line)
        self._index(record)

    def finish(self) -> None:
        """Push everything to the disk and let other processes write; reading goes on.

        Raises:
            RunError: The disk does not take it.
        """
        if self._temporary:
            return
        try:
            os.fsync(self._descriptor)
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        except OSError as error:
            raise RunError(f"cannot finish {self._name}: {error.strerror or error}") from error

    def _index(self, record: Record) -> None:
        if not record.cached:
            self._numbers.setdefault(bytes.fromhex(record.key), record.number)

    def _withdraw(self) -> None:
        """Take back a line that was written in part, as far as the disk lets us."""
        try:
            os.ftruncate(self._descriptor, self._end)
        except OSError:
            return  # the torn line is cut off when the file is next opened

    def _parse(self, line: bytes, number: int) -> Record:
        try:
            text = line.decode()
            entry, end = _decode(text)
            if end != len(text) - 1 and text[end:].strip():
                raise json.JSONDecodeError("more than one value", text, end)
        except json.JSONDecodeError as error:
            at = min(error.pos, len(error.doc) - 1)  # what lacks its end is said to end on the next line
            raise self._damaged(number, at, f"not JSON ({error.msg})") from error
        except UnicodeDecodeError as error:
            raise self._damaged(number, error.start, "not UTF-8 text") from error
        except (RecursionError, ValueError) as error:  # deeper or longer than Python takes
            raise self._damaged(number, 0, f"not JSON that a run writes ({error})") from error
        if not isinstance(entry, dict) or entry.keys() != set(_FIELDS):
            raise self._damaged(number, 0, f"not a record; expected the fields {', '.join(_FIELDS)}")
        if wrong := _wrong_field(entry, number, self._foreign):
            field, expected = wrong
            at = text.find(f'"{field}":')
            raise self._damaged(number, at, f"{field} is {entry[field]!r:.60}; expected {expected}")
        return Record(
            number,
            Genotype.adopt(entry["genotype"]),
            entry["parent"],
            entry["key"],
            MappingProxyType(entry["scores"]),
            entry["status"],
            entry["reason"],
            entry["cached"],
            entry["seconds"],
        )

    def _damaged(self, number: int, at: int, what: str) -> DamagedRun:
        return DamagedRun(
            f"{self._name} line {number + 1} column {at + 1}: {what}; the {number} records before it are whole: "
            "mend that line, or delete it and all after it and `engine resume` makes them again"
        )


def _open(path: Path | None, write: bool) -> int:
    """A descriptor of the file, or of one that nobody else can see."""
    if path is None:
        with tempfile.TemporaryFile() as file:
            return os.dup(file.fileno())
    return os.open(path, os.O_RDWR | os.O_CREAT if write else os.O_RDONLY, 0o666)


def _wrong_field(entry: Mapping[str, Any], number: int, foreign: bool) -> tuple[str, str] | None:
    """The first field that a run would not have written so, and what was expected."""
    parent, scores = entry["parent"], entry["scores"]
    if type(entry["number"]) is not int or entry["number"] != number:
        return "number", f"{number}: a line before it is missing or out of order"
    if parent is not None and (type(parent) is not int or parent < 0 or (parent >= number and not foreign)):
        return "parent", f"null or the number of {'a' if foreign else 'an earlier'} record"
    if entry["status"] not in STATUSES:
        return "status", ", ".join(STATUSES)
    if entry["reason"] is not None and not isinstance(entry["reason"], str):
        return "reason", "null or text"
    if type(entry["cached"]) is not bool:
        return "cached", "true or false"
    if not isinstance(entry["key"], str) or not _KEY.fullmatch(entry["key"]):
        return "key", "32 hexadecimal digits"
    if not isinstance(scores, dict) or not all(map(_is_number, scores.values())):
        return "scores", "finite numbers by name"
    if not isinstance(entry["genotype"], dict) or not _CHOICES.issuperset(map(type, entry["genotype"].values())):
        return "genotype", "whole numbers, texts, true or false by name"
    if not _is_number(entry["seconds"]):
        return "seconds", "a finite number"
    return None


def _is_number(value: object) -> bool:
    return type(value) is int or (type(value) is float and isfinite(value))
