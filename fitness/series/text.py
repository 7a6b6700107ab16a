"""What a series is called: `NAME(option=value,...):PATH` to and from its parts."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from spaces.errors import UnknownName, UsageError

__all__ = ["SERIES", "SeriesText", "is_series"]

#: Every form of a series and what it stands for, for the command line.
SERIES: Final[Mapping[str, str]] = {
    "sine": "time series: sin(2 pi x), x from 0 to 100 in steps of 0.1; 1,000 rows; frequency, start, stop, step",
    "sunspots": "time series: mean number of sunspots of each year from 1700 to 2008; 309 rows; extra 'series'",
    "co2": "time series: CO2 over Mauna Loa, weekly from 1958 to 2001, gaps filled linearly; 2,284 rows; "
    "extra 'series'",
    "csv:FILE": "time series: a text file with one row per step of time, delimited by , or ;",
}
_FORMS: Final = {form.partition(":")[0]: form for form in SERIES}
_SCALES: Final = ("none", "minmax", "unit", "standard")
_BARE = r'[^\s"+,=():]+'
_WORD = rf'(?:"(?:[^"]|"")*"|{_BARE})'
_OPTION = re.compile(rf"\s*(\w+)\s*=\s*({_WORD}(?:\s*\+\s*{_WORD})*)\s*(,|$)")
_FORM = re.compile(r'([^(:]*)(?:\(((?:[^")]|"(?:[^"]|"")*")*)\))?(?::(.*))?', re.DOTALL)


def is_series(text: str) -> bool:
    """Whether a source of data is a time series, by its name alone."""
    return re.split(r"[(:]", text, maxsplit=1)[0].strip() in _FORMS


@dataclass(frozen=True)
class SeriesText:
    """The parts of a series' text; what is left out has the defaults of `load_series`.

    Attributes:
        name: "sine", "sunspots", "co2" or "csv".
        path: Of the file, of csv only.
        columns: Names or indices of the input columns; every column if there are none.
        targets: Likewise of the target columns; the input columns if there are none.
        split: Share of the rows that come before the test part.
        validation: Share of those that come last and are not trained on.
        scale: "none", "minmax" (to [-1, 1]), "unit" (to [0, 1]) or "standard"; fitted on the training rows.
        digest: What `Series.digest` has to be, of csv only; "" for anything.
        sine: Of the sine: its frequency and the start, stop and step of x, as far as they are given.
    """

    name: str
    path: str = ""
    columns: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    split: float = 0.8
    validation: float = 0.2
    scale: str = ""
    digest: str = ""
    sine: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.scale:
            object.__setattr__(self, "scale", "none" if self.name == "sine" else "minmax")
        if self.scale not in _SCALES:
            raise UnknownName("scale", self.scale, _SCALES)
        if not 0 < self.split < 1:
            raise UsageError(f"split is {self.split:g}; expected a share of the rows between 0 and 1, e.g. 0.8")
        if not 0 < self.validation < 1:
            raise UsageError(
                f"validation is {self.validation:g}; expected a share of the rows before the test part between 0 "
                "and 1, e.g. 0.2"
            )

    @classmethod
    def parse(cls, text: str) -> SeriesText:
        """Read a text such as `csv(column=load,split=0.7):FILE`.

        Raises:
            UsageError: Not of that form, an option that the series does not have, or a wrong value.
        """
        found = _FORM.fullmatch(text.strip())
        if not found:
            raise _unreadable(text, text)
        name = found[1].strip()
        if name not in _FORMS:
            raise UnknownName("time series", name, _FORMS)
        form, path = _FORMS[name], found[3]
        if ":" in form and not path:
            raise UsageError(f"{text!r} lacks its path; expected {name}:FILE or {name}(option=value,...):FILE")
        if ":" not in form and path is not None:
            raise UsageError(f"{text!r} has a path too many; expected just {name!r}: {SERIES[form]}")
        values: dict[str, object] = {}
        sine: dict[str, float] = {}
        for option, given in _options(text, found[2] or ""):
            known = [*_COMMON, *(_FILE if name == "csv" else ()), *(_SINE if name == "sine" else ())]
            if option not in known:
                raise UnknownName(f"option of {name}", option, known)
            if option in _SINE:
                sine[option] = _number(option, given)
            else:
                field_name, read = _READ[option]
                values[field_name] = read(option, given)
        return cls(name, path or "", sine=sine, **values)  # type: ignore[arg-type]

    def __str__(self) -> str:
        plain = SeriesText(self.name, self.path)
        options = [
            f"{option}={'+'.join(map(_quoted, value)) if isinstance(value, tuple) else value}"
            for option, (name, _) in _READ.items()
            if (value := getattr(self, name)) != getattr(plain, name)
        ]
        options += [f"{option}={str(value).removesuffix('.0')}" for option, value in self.sine.items()]
        return self.name + (f"({','.join(options)})" if options else "") + (f":{self.path}" if self.path else "")

    @property
    def absolute(self) -> SeriesText:
        """The same series with a path that means the same file from every folder."""
        return replace(self, path=os.path.realpath(os.path.expanduser(self.path))) if self.path else self


def _options(text: str, inside: str) -> list[tuple[str, list[str]]]:
    """The options between the parentheses, each with its words joined by +."""
    options, place = [], 0
    while place < len(inside):
        found = _OPTION.match(inside, place)
        if not found or (found[3] and found.end() == len(inside)):
            raise _unreadable(text, inside[place:])
        options.append((found[1], [_plain(word) for word in re.findall(_WORD, found[2])]))
        place = found.end()
    names = [name for name, _ in options]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"{text[:120]!r} has the option {name!r} twice; expected it once, columns joined by +")
    return options


def _unreadable(text: str, rest: str) -> UsageError:
    return UsageError(
        f"{text[:120]!r} cannot be read at {rest[:40]!r}; expected option=value joined by commas, names with other "
        'signs in double quotes: csv(column="T (degC)"+load,split=0.8):FILE'
    )


def _plain(word: str) -> str:
    return word[1:-1].replace('""', '"') if word.startswith('"') else word


def _quoted(word: str) -> str:
    return word if re.fullmatch(_BARE, word) else '"' + word.replace('"', '""') + '"'


def _number(option: str, given: Sequence[str]) -> float:
    text = "+".join(given)  # 1e+3 has a plus of its own
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UsageError(f"{option} is {text[:40]!r}; expected a number")
    return value


def _names(option: str, given: Sequence[str]) -> tuple[str, ...]:
    return tuple(given)


def _word(option: str, given: Sequence[str]) -> str:
    return "+".join(given)


_COMMON: Final = ("split", "validation", "scale")
_FILE: Final = ("column", "target", "digest")
_SINE: Final = ("frequency", "start", "stop", "step")
_READ: Final[Mapping[str, tuple[str, Callable[[str, Sequence[str]], object]]]] = {
    "column": ("columns", _names),
    "target": ("targets", _names),
    "split": ("split", _number),
    "validation": ("validation", _number),
    "scale": ("scale", _word),
    "digest": ("digest", _word),
}
