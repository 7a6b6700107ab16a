"""Profiles from TOML: the shipped `boards.toml`, and files of a user's own in the same form."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.targets.mlperf_tiny import DENSE_SPEED, DEPTHWISE_SLOWDOWN, FITTED, WORK, speed_of
from engine.targets.profile import FLASH_FIGURES, KB, RAM_FIGURES, Rate, Speed, Target
from spaces.errors import UnknownName, UsageError

_TEXTS = ("board", "core", "runtime", "memory_source", "runtime_source", "rate_source")
_SIZES = {
    "flash_kb": "flash_bytes",
    "ram_kb": "ram_bytes",
    "runtime_flash_kb": "runtime_flash_bytes",
    "application_ram_kb": "application_ram_bytes",
}
_KINDS = ("conv", "depthwise", "dense")
_FIGURES = {"flash_figure": FLASH_FIGURES, "ram_figure": RAM_FIGURES}
_FIELDS = (*_TEXTS, *_SIZES, *_FIGURES, "clock_mhz", "mlperf_tiny_ms", "mmacs_per_second", "measured")
_LARGEST_KB = 1 << 30
_SLOWEST, _FASTEST = 1e-6, 1e9  # of rates, latencies and clocks; what lies beyond is a slip and would overflow


def read_targets(text: str, where: str) -> dict[str, Target]:
    """The profiles of a TOML text, one table each, by name.

    Args:
        text: TOML.
        where: The file, for messages.

    Raises:
        UsageError: Not TOML, or not of profiles; says which field and what was expected.
    """
    try:
        tables = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # tomllib's own error is a ValueError
        raise UsageError(f"{where} is not TOML: {error}") from error
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise UsageError(
                f"{where}: {name} is {table!r:.80} outside of a table; expected a table that is named for the "
                "board and holds it, e.g. [my-board]"
            )
    return {name: _target(name, table, f"{where}: [{name}]") for name, table in tables.items()}


def read_own_text(path: str, where: str) -> str:
    """The text of a user's file.

    Raises:
        UsageError: It cannot be read, or is no text.
    """
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot read {where}: {error.strerror or error}") from error
    except ValueError as error:  # not UTF-8
        raise UsageError(f"{where} is not TOML: {error}") from error


def read_own_target(text: str, where: str) -> Target:
    """The one profile of the text of a user's file; `where` is named in messages.

    Raises:
        UsageError: It does not hold one profile.
    """
    found = read_targets(text, where)
    if len(found) != 1:
        names = ", ".join(found) or "none"
        raise UsageError(f"{where} holds {len(found)} boards ({names:.80}); expected one, e.g. [my-board]")
    return next(iter(found.values()))


def _target(name: str, table: Mapping[str, object], where: str) -> Target:
    for field in table:
        if field not in _FIELDS:
            raise UsageError(f"{where}: {UnknownName('field', field, _FIELDS)}")
    for field in ("board", "flash_kb", "ram_kb"):
        if field not in table:
            raise UsageError(f"{where} lacks {field}; every board has board, flash_kb and ram_kb")
    values: dict[str, Any] = {}
    for field in _TEXTS:
        if field in table:
            values[field] = _text(table[field], f"{where}: {field}")
    for field, attribute in _SIZES.items():
        if field in table:
            values[attribute] = _bytes(
                table[field], f"{where}: {field}", least=int(field in ("flash_kb", "ram_kb"))
            )
    for field, figures in _FIGURES.items():
        if field in table:
            values[field] = table[field]
            if table[field] not in figures:
                raise UsageError(f"{where}: {field} is {table[field]!r:.80}; expected {' or '.join(figures)}")
    if "clock_mhz" in table:
        values["clock_mhz"] = _positive(table["clock_mhz"], f"{where}: clock_mhz", "216")
    source = values.pop("rate_source", "not stated")
    latencies: dict[str, float] = {}
    if "mlperf_tiny_ms" in table:
        for field in ("mmacs_per_second", "measured"):
            if field in table:
                raise UsageError(f"{where}: {field} beside mlperf_tiny_ms, which it follows from; leave one out")
        latencies = _numbers(table["mlperf_tiny_ms"], f"{where}: mlperf_tiny_ms", tuple(WORK), FITTED, "62.9")
        values["speed"] = speed_of(latencies, source)
    elif "mmacs_per_second" in table:
        values["speed"] = _speed(table, source, where)
    elif "measured" in table or "rate_source" in table:
        given = "measured" if "measured" in table else "rate_source"
        raise UsageError(f"{where}: {given} without rates; add mmacs_per_second or mlperf_tiny_ms")
    target = Target(name, mlperf_tiny_ms=tuple(latencies.items()), **values)
    for memory, budget, size in (
        ("flash", target.flash_budget_bytes, target.flash_bytes),
        ("RAM", target.ram_budget_bytes, target.ram_bytes),
    ):
        if budget <= 0:
            raise UsageError(
                f"{where}: runtime and application take {(size - budget) / KB:g} of {size / KB:g} kB {memory}, "
                f"which leaves nothing for a model; expected more {memory} or a smaller runtime"
            )
    return target


def _speed(table: Mapping[str, object], source: str, where: str) -> Speed:
    """Rates that are written down; what is not, in proportion to the convolution's."""
    given = _numbers(table["mmacs_per_second"], f"{where}: mmacs_per_second", _KINDS, ("conv",), "18.6")
    measured = table.get("measured", [])
    if not isinstance(measured, list) or any(kind not in given for kind in measured):
        raise UsageError(f"{where}: measured is {measured!r:.80}; expected a list of some of {', '.join(given)}")
    conv = given["conv"]
    rules = {
        "depthwise": (conv / DEPTHWISE_SLOWDOWN, f"standard convolution / {DEPTHWISE_SLOWDOWN}"),
        "dense": (conv * DENSE_SPEED, f"standard convolution x {DENSE_SPEED}"),
    }
    rates = []
    for kind in _KINDS:
        million, told = (given[kind], source) if kind in given else rules[kind]
        rates.append(Rate(million * 1e6, kind in measured, told))
    return Speed(*rates)


def _text(value: object, what: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise UsageError(f"{what} is {value!r:.80}; expected text in quotes")
    return value


def _bytes(value: object, what: str, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= _LARGEST_KB:
        raise UsageError(f"{what} is {value!r:.80}; expected kB of 1,024 bytes, a number of at least {least}")
    return round(value * KB)


def _positive(value: object, what: str, example: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not _SLOWEST <= value <= _FASTEST:
        raise UsageError(
            f"{what} is {value!r:.80}; expected a number from {_SLOWEST:g} to {_FASTEST:g}, e.g. {example}"
        )
    return value


def _numbers(
    value: object, what: str, known: Sequence[str], needed: Sequence[str], example: str
) -> dict[str, float]:
    """A table of positive numbers."""
    if not isinstance(value, dict):
        form = ", ".join(f"{name} = {example}" for name in needed)
        raise UsageError(f"{what} is {value!r:.80}; expected a table, e.g. {{ {form} }}")
    for name in value:
        if name not in known:
            raise UsageError(f"{what}: {UnknownName('field', name, known)}")
    for name in needed:
        if name not in value:
            raise UsageError(f"{what} lacks {name}; expected {', '.join(needed)}")
    return {name: _positive(value[name], f"{what}: {name}", example) for name in known if name in value}
