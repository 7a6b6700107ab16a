"""From the text of a series to its rows, scaled and cut into parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fitness.series.csv_file import read_csv
from fitness.series.known import co2, sine, sunspots
from fitness.series.rows import Rows
from fitness.series.series import Scaling, Series
from fitness.series.text import SeriesText
from spaces.errors import RunError, UsageError

__all__ = ["load_series"]

_LARGEST = 1e30  # windows are in single precision, and errors are summed over them
_BOUNDS: Final = {"minmax": 2.0, "unit": 1.0, "standard": 100.0}


def load_series(text: str) -> Series:
    """The series that a text names (`fitness.series.SERIES`), with options in parentheses after its name.

    Options are `split` (share of the rows before the test part; 0.8), `validation` (share of those, the last ones,
    that are not trained on; 0.2), `scale` (none, minmax to [-1, 1], unit to [0, 1] or standard; none for the sine,
    else minmax) and, of csv, `column` and `target` (names or 0-based indices joined by +) and
    `digest` (of what the columns hold; runs add it). Every scaling is fitted
    on the training rows alone, so later rows may lie beyond its ends.

    Raises:
        UsageError: The text is wrong, or the series cannot be used: says what to do.
        RunError: The file cannot be read, or has changed.
        MissingExtra: The series comes with statsmodels, which is not installed.
    """
    given = SeriesText.parse(text)
    series = _made(str(replace(given, digest="")), _content(given.path) if given.path else b"")
    if given.digest not in ("", series.digest):
        raise RunError(
            f"{given.path} has changed since it was first read (digest {series.digest}, was {given.digest}); put "
            "the old file back, or begin anew with the new one"
        )
    return replace(series, source=text)


def _content(path: str) -> bytes:
    """What a file holds now."""
    try:
        return Path(path).read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise RunError(f"series {path} cannot be read: {why}; expected a text file") from error


@lru_cache(maxsize=4)  # a run asks for its series again and again; a file that has changed is other content
def _made(text: str, content: bytes) -> Series:
    """The series of a text without a digest, from the content of its file if it has one."""
    series = SeriesText.parse(text)
    rows = _read(series, content)
    parts = _parts(text, len(rows.values), series)
    scaling = _fitted(series.scale, rows, parts["train"], text)
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = scaling.apply(rows.values)
    if not np.all(np.abs(scaled) < _LARGEST):
        raise UsageError(
            f"{text} holds values up to {np.abs(rows.values).max():g}, too large for single precision; expected "
            "larger units"
        )
    inputs, targets = list(rows.inputs), list(rows.targets)
    seen, wanted = scaled[:, inputs], scaled[:, targets]
    for shared in (seen, wanted):
        shared.flags.writeable = False
    return Series(
        text,
        tuple(rows.names[column] for column in inputs),
        tuple(rows.names[column] for column in targets),
        seen,
        wanted,
        parts,
        _of(scaling, targets),
        _of(scaling, inputs),
        _error_bound(series, wanted[: parts["train"].stop]),
        rows.digest,
    )


def _read(series: SeriesText, content: bytes) -> Rows:
    if series.name == "csv":
        return read_csv(series.path, content, series.columns, series.targets)
    alone = {"sine": sine, "sunspots": sunspots, "co2": co2}[series.name]
    return Rows((series.name,), alone(**series.sine)[:, None], (0,), (0,))


def _parts(text: str, count: int, series: SeriesText) -> Mapping[str, range]:
    """The rows of the parts, in order of time."""
    learning = round(series.split * count)
    train = learning - round(series.validation * learning)
    parts = {"train": range(train), "validation": range(train, learning), "test": range(learning, count)}
    for name, rows in parts.items():
        if len(rows) < 2:
            raise UsageError(
                f"{text} has {count} rows, {len(rows)} of them for {name}; expected at least 2 in every part: a "
                "longer series, or another split or validation"
            )
    return MappingProxyType(parts)


def _fitted(kind: str, rows: Rows, train: range, text: str) -> Scaling:
    """The scaling of every column, fitted on the training rows."""
    seen = rows.values[train.start : train.stop]
    count = len(rows.names)
    if kind == "none":
        return Scaling(kind, (0.0,) * count, (1.0,) * count)
    low, high = seen.min(axis=0), seen.max(axis=0)
    for name, first, last in zip(rows.names, low, high, strict=True):
        if first == last:
            raise UsageError(
                f"column {name!r} of {text} is {first:g} in all {len(seen)} training rows and cannot be scaled; "
                "expected a column that varies: choose others (--column, --target-column) or scale=none"
            )
    if kind == "standard":
        shift, factor = seen.mean(axis=0), seen.std(axis=0)
    elif kind == "unit":
        shift, factor = low, high - low
    else:
        shift, factor = (low + high) / 2, (high - low) / 2
    return Scaling(kind, tuple(shift.tolist()), tuple(factor.tolist()))


def _of(scaling: Scaling, columns: list[int]) -> Scaling:
    return Scaling(
        scaling.kind, tuple(scaling.shift[c] for c in columns), tuple(scaling.factor[c] for c in columns)
    )


def _error_bound(series: SeriesText, learnt: NDArray[np.float64]) -> float:
    """Where errors of random networks are cut off, from the targets that are trained on; see `Series`."""
    if series.name == "sine" and series.scale == "none":
        return 2.0
    return _BOUNDS.get(series.scale) or 1.0 + float(np.abs(learnt).max())
