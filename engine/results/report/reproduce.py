"""A run's config as the TOML file and the command line that make it again."""

from __future__ import annotations

import json
import shlex
from dataclasses import fields

from engine.config import RunConfig
from fitness.series import is_series

__all__ = ["command_of", "toml_of"]

_FLAGS = {"objectives": "objective", "bounds": "bound"}
_ABSENT = ("out",)  # a run is not made twice into one folder
_OF_IMAGES = ("input_shape", "classes")  # which say nothing of a time series


def toml_of(config: RunConfig) -> str:
    """All fields that have a value, as `--config` reads them."""
    lines = []
    for name, value in _given(config).items():
        text = "[" + ", ".join(map(_quoted, value)) + "]" if isinstance(value, tuple) else _quoted(value)
        lines.append(f"{name} = {text}")
    return "\n".join(lines)


def command_of(config: RunConfig) -> str:
    """`engine run` with a flag for every field that is not what it is by default."""
    default, words = RunConfig(), ["engine", "run"]
    for name, value in _given(config).items():
        if value != getattr(default, name):
            flag = f"--{_FLAGS.get(name, name).replace('_', '-')}"
            if value is True:
                words.append(flag)
                continue
            for each in value if isinstance(value, tuple) else (value,):
                words += [f"{flag}={each}"] if str(each).startswith("-") else [flag, str(each)]
    return shlex.join([*words, "--out", "again"])


def _given(config: RunConfig) -> dict[str, object]:
    absent = (*_ABSENT, *_OF_IMAGES) if is_series(config.data) else _ABSENT
    values = {item.name: getattr(config, item.name) for item in fields(config) if item.name not in absent}
    return {name: value for name, value in values.items() if value is not None}


def _quoted(value: object) -> str:
    """A TOML value: JSON's texts and numbers are TOML's too, but for one control character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
