"""Benchmark pickles that nobody has to trust: checked without being run, then loaded as data alone.

A pickle is a program. Owns the proof that one only builds data of the types the official NATS-Bench files hold;
knows nothing of benchmarks.
"""

from __future__ import annotations

import bz2
import io
import os
import pickle
import pickletools
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path
from typing import Any, Final, NoReturn

from spaces.errors import RunError, UntrustedFile

__all__ = ["LARGEST_PICKLE_BYTES", "check_pickle", "damaged", "load", "quote"]

#: No file may unpack to more than this; the largest official one (the topology space's meta) is 1.4 MB.
LARGEST_PICKLE_BYTES: Final = 8 * 1024 * 1024

#: Everything that the official files name. numpy.core became numpy._core with NumPy 2.
_OFFICIAL_NAMES: Final = frozenset(
    {
        ("collections", "OrderedDict"),
        ("numpy", "dtype"),
        ("numpy.core.multiarray", "scalar"),
        ("numpy._core.multiarray", "scalar"),
    }
)
#: dtypes of plain numbers, as numpy pickles them; the digit is the item's bytes.
_NUMBER_KINDS: Final = frozenset("b1 i1 i2 i4 i8 u1 u2 u4 u8 f2 f4 f8".split())


def check_pickle(path: Path) -> None:
    """Refuse a bz2-compressed pickle that could do anything but build official benchmark data.

    Nothing is executed. The opcodes are walked with a model of the unpickler's stack and memo in which
    every string, number and flat tuple keeps its value, so that the operands of STACK_GLOBAL and REDUCE
    are known exactly however they got there. An allowlist decides: the opcodes that build plain data,
    the names `collections.OrderedDict`, `numpy.dtype` and numpy's `scalar`, and calls of these with the
    arguments that official files use. Arguments matter, because numpy trusts a dtype's pickled state
    and would read an object pointer out of a forged scalar.

    Args:
        path: a file `meta.pickle.pbz2` or `000123.pickle.pbz2`.

    Raises:
        UntrustedFile: the pickle names, calls or does something that official files do not.
        RunError: the file is missing, unreadable, no bz2 file, damaged, or unpacks to more than
            `LARGEST_PICKLE_BYTES`.
    """
    _check(_read(path), path)


def _read(path: Path) -> bytes:
    """The decompressed content of a file, of bounded size."""
    if not os.path.isfile(path):  # neither a folder nor a named pipe, and never raises, unlike Path.is_file
        raise RunError(f"{path} is not a file; expected a bz2-compressed pickle of a NATS-Bench archive")
    try:
        with bz2.open(path) as file:
            data = file.read(LARGEST_PICKLE_BYTES + 1)
    except PermissionError as error:
        raise RunError(f"{path} may not be read ({error.strerror}); allow reading it") from error
    except (OSError, EOFError, ValueError) as error:
        raise damaged(path, error) from error
    if len(data) > LARGEST_PICKLE_BYTES:
        raise RunError(
            f"{path} unpacks to more than {LARGEST_PICKLE_BYTES:,} bytes; official NATS-Bench files stay "
            f"under 1,400,000 (the '-simple' archives, without weights): download one of those"
        )
    return data


def load(path: Path) -> object:
    """The content of a checked pickle: the very bytes that were checked, not the file read twice."""
    data = _read(path)
    _check(data, path)
    try:
        return _DataUnpickler(io.BytesIO(data)).load()
    except (pickle.UnpicklingError, EOFError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise damaged(path, error) from error


class _DataUnpickler(pickle.Unpickler):
    """A second lock behind `_check`: the real unpickler, which finds official names only."""

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        if (module_name, global_name) not in _OFFICIAL_NAMES:
            raise pickle.UnpicklingError(f"the name {module_name}.{global_name} passed the check")
        import numpy

        if global_name == "scalar":  # where numpy itself keeps it, whatever its version
            return numpy.float64(0).__reduce__()[0]
        return super().find_class(module_name, global_name)


def damaged(path: Path, why: str | Exception) -> RunError:
    """The error for a file that is not what its name says."""
    reason = " ".join(str(why).split())  # nats_bench and numpy print whole dictionaries over many lines
    return RunError(
        f"{path} is damaged: {reason[:200] or 'unreadable'}; expected a bz2-compressed pickle of an official "
        "NATS-Bench archive: download it again"
    )


class _Token(Enum):
    """What the model of the stack remembers of a value whose content does not matter."""

    LIST = auto()
    DICT = auto()
    SET = auto()
    NUMBER = auto()  # a numpy scalar
    DATA = auto()  # a tuple that holds containers


@dataclass(frozen=True, slots=True)
class _Name:
    """A callable found by STACK_GLOBAL: 'OrderedDict', 'dtype' or 'scalar'."""

    name: str


@dataclass(frozen=True, slots=True)
class _Dtype:
    """A numpy dtype of plain numbers."""

    item_bytes: int


_CONSTANTS: Final = frozenset(
    "BININT BININT1 BININT2 LONG1 BINFLOAT SHORT_BINUNICODE BINUNICODE SHORT_BINBYTES BINBYTES".split()
)
_FRESH: Final[dict[str, object]] = {
    "EMPTY_LIST": _Token.LIST,
    "EMPTY_DICT": _Token.DICT,
    "EMPTY_SET": _Token.SET,
    "EMPTY_TUPLE": (),
    "NONE": None,
    "NEWTRUE": True,
    "NEWFALSE": False,
}
_TUPLE_LENGTHS: Final = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_ALLOWED: Final = frozenset((
    *_CONSTANTS, *_FRESH, *_TUPLE_LENGTHS, "TUPLE", "APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS",
    "PROTO", "FRAME", "STOP", "MARK", "MEMOIZE", "BINGET", "LONG_BINGET", "STACK_GLOBAL", "REDUCE", "BUILD",
))  # fmt: skip
_OPCODES: Final = {opcode.code.encode("latin-1"): opcode for opcode in pickletools.opcodes}


def _check(data: bytes, path: Path) -> None:
    """Walk the opcodes of a pickle; see `check_pickle`.

    As `pickletools.genops`, but the argument of a refused opcode is not even decoded: some arguments are
    Python literals in text, which warn, or take quadratic time.
    """
    walk = _Walk(path)
    file = io.BytesIO(data)
    opcode = ""
    try:
        while opcode != "STOP":
            known = _OPCODES.get(file.read(1))
            if known is None:
                raise damaged(path, f"no pickle opcode at byte {file.tell() - 1:,}")
            opcode = known.name
            if opcode == "GLOBAL" or opcode == "INST":
                name = b".".join(file.readline().strip() for _ in ("module", "name")).decode("latin-1")
                walk.refuse(f"names {quote(name)} through the pickle opcode {opcode}")
            if opcode not in _ALLOWED:
                walk.refuse(f"uses the pickle opcode {opcode}")
            walk.step(opcode, known.arg.reader(file) if known.arg else None)
    except (ValueError, IndexError) as error:  # no such argument; an empty stack or memo
        raise damaged(path, error) from error
    if file.tell() != len(data) or len(walk.stack) != 1 or walk.marks:
        raise damaged(path, "something is left over behind the pickle's end")
    walk.only_data(walk.stack)


@dataclass(slots=True)
class _Walk:
    """The unpickler's stack, marks and memo, holding constants and tokens in place of objects."""

    path: Path
    stack: list[object] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    memo: list[object] = field(default_factory=list)

    def step(self, opcode: str, argument: Any) -> None:
        """Follow one opcode of `_ALLOWED`."""
        if opcode in _CONSTANTS:
            self.stack.append(argument)
        elif opcode == "MEMOIZE":
            self.memo.append(self._top())
        elif opcode == "BINGET" or opcode == "LONG_BINGET":
            self.stack.append(self.memo[argument])
        elif opcode == "MARK":
            self.marks.append(len(self.stack))
        elif opcode in _FRESH:
            self.stack.append(_FRESH[opcode])
        elif opcode in _TUPLE_LENGTHS:
            self._push_tuple(self._pop(_TUPLE_LENGTHS[opcode]))
        elif opcode == "TUPLE":
            self._push_tuple(self._pop_to_mark())
        elif opcode == "SETITEMS" or opcode == "SETITEM":
            items = self._pop(2) if opcode == "SETITEM" else self._pop_to_mark()
            self._fill(_Token.DICT, items, keys=items[::2])
            if len(items) % 2:
                raise IndexError("a key without a value")
        elif opcode == "APPENDS" or opcode == "APPEND":
            self._fill(_Token.LIST, self._pop(1) if opcode == "APPEND" else self._pop_to_mark(), keys=[])
        elif opcode == "ADDITEMS":
            items = self._pop_to_mark()
            self._fill(_Token.SET, items, keys=items)
        elif opcode == "STACK_GLOBAL":
            self._name(*self._pop(2))
        elif opcode == "REDUCE":
            self._call(*self._pop(2))
        elif opcode == "BUILD":
            self._set_state(*self._pop(1))

    def _name(self, module: object, name: object) -> None:
        if not (isinstance(module, str) and isinstance(name, str)):
            self.refuse("names something that is not a constant string")
        if (module, name) not in _OFFICIAL_NAMES:
            self.refuse(f"names {quote(f'{module}.{name}')}")
        self.stack.append(_Name(name))

    def _call(self, function: object, arguments: object) -> None:
        match function, arguments:
            case _Name(name="OrderedDict"), ():
                self.stack.append(_Token.DICT)
            case _Name(name="dtype"), (str(kind), False | 0, True | 1) if kind in _NUMBER_KINDS:
                self.stack.append(_Dtype(int(kind[1])))
            case _Name(name="scalar"), (_Dtype(item_bytes=size), bytes(data)) if len(data) == size:
                self.stack.append(_Token.NUMBER)
            case _Name(name=name), _:
                self.refuse(f"calls {name!r} with arguments that official files do not use")
            case _:
                self.refuse("calls something that is not a name")

    def _set_state(self, state: object) -> None:
        # The one state that a dtype of plain numbers pickles: version, byte order, no fields, no flags.
        match self._top(), state:
            case _Dtype(), (3, "<" | ">" | "|" | "=", None, None, None, -1, -1, 0):
                return
        self.refuse("sets the state of an object (pickle opcode BUILD) as official files do not")

    def _fill(self, container: _Token, items: list[object], keys: list[object]) -> None:
        if self._top() is not container:
            self.refuse(f"fills something that is not a {container.name.lower()} as if it were one")
        self.only_data(items)
        for key in keys:  # nested tuples may take exponential time to hash; official keys are flat
            if not _is_flat(key) and not isinstance(key, tuple):
                self.refuse("has a dictionary key or set item that is neither a constant nor a flat tuple")

    def _push_tuple(self, items: list[object]) -> None:
        self.only_data(items)
        self.stack.append(tuple(items) if all(map(_is_flat, items)) else _Token.DATA)

    def only_data(self, items: list[object]) -> None:
        """Refuse a callable where a value belongs."""
        for item in items:
            if isinstance(item, _Name):
                self.refuse(f"stores the callable {item.name!r} as if it were data")

    def _top(self) -> object:
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise IndexError("the pickle's stack is empty where a value is needed")
        return self.stack[-1]

    def _pop(self, count: int) -> list[object]:
        start = len(self.stack) - count
        if start < (self.marks[-1] if self.marks else 0):
            raise IndexError("the pickle's stack is empty where a value is needed")
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def _pop_to_mark(self) -> list[object]:
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def refuse(self, what: str) -> NoReturn:
        """Say what the file does that official files do not."""
        raise UntrustedFile(
            f"{self.path} {what}; expected only plain data, collections.OrderedDict, numpy.dtype and "
            "numpy's scalar, as in official NATS-Bench files: do not open it, download the archive again"
        )


def _is_flat(value: object) -> bool:
    """Whether a value on the model's stack holds no other values."""
    return value is _Token.NUMBER or not isinstance(value, _Token | tuple)


def quote(text: str) -> str:
    """A foreign name on one line and of bounded length."""
    return repr(text if len(text) <= 100 else text[:100] + "…")
