"""What exported networks are run on to be compared, and how rows of a series become their input."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from engine.results.export.naming import reads_series
from engine.results.export.subject import Subject
from fitness.series import SeriesText

if TYPE_CHECKING:
    from torch import Tensor

    from fitness.series import Scaling, Series

__all__ = ["Probe", "about_series", "in_words", "probe"]

_IMAGES, _WINDOWS = 4, 64
_LISTED = 6  # columns that there is room to tell of one by one


@dataclass(frozen=True)
class Probe:
    """Inputs of a network.

    Attributes:
        inputs: (N, C, H, W) images or (N, L, F) windows, float32.
        said: What they are.
    """

    inputs: Tensor
    said: str


def probe(subject: Subject) -> Probe:
    """What to run a network on: the first windows of its series' test part, or noise where it has no series.

    Raises:
        UsageError: The series is too short for the network.
        RunError: It cannot be read.
    """
    import torch

    shape = subject.network.shapes[0]
    if subject.series is None:
        noise = torch.randn(_IMAGES, *shape, generator=torch.Generator().manual_seed(0))
        return Probe(noise, f"{_IMAGES} {'windows' if reads_series(subject.network) else 'images'} of noise")
    series = subject.series.open()
    part = "test" if len(series.rows("test")) > shape[0] else "all"
    windows = series.windows(shape[0], part).inputs[:_WINDOWS]
    return Probe(torch.from_numpy(windows), f"{len(windows)} windows of {_called(series)}")


def about_series(subject: Subject) -> dict[str, object]:
    """The series that a network forecasts and how its columns are scaled; nothing for one that has no series.

    A scaled value is (value - shift) / factor, a value scaled * factor + shift.
    """
    if subject.series is None:
        return {}
    series = subject.series.open()
    return {
        "series": {
            "source": _called(series),
            "digest": series.digest,
            "scale": series.scaling.kind,
            "inputs": _columns(series.names, series.input_scaling),
            "outputs": _columns(series.target_names, series.scaling),
        }
    }


def in_words(subject: Subject) -> list[str]:
    """How to use a network that forecasts, a line for its windows, its inputs and its outputs; none for others."""
    if not reads_series(subject.network):
        return []
    look_back, features = subject.network.shapes[0]
    if subject.series is None:
        columns = f"{features} column{'' if features == 1 else 's'}"
        return [f"input: {look_back} rows of {columns}, oldest first, scaled as in training"]
    series = subject.series.open()
    names = ", ".join(series.names) if features <= _LISTED else f"{features} columns"
    lines = [f"input: {look_back} rows of {names}, oldest first; output: the row that follows"]
    if series.scaling.kind == "none":
        return [*lines, "neither is scaled"]
    if max(features, series.outputs) > _LISTED:
        return [
            *lines,
            f"both are scaled ({series.scaling.kind}); `engine export --format json` lists how",
        ]
    into = (f"({name} {_plus(-a)}) / {b:.9g}" for name, a, b in _each(series.names, series.input_scaling))
    back = (
        f"{name} = output[{place}] * {b:.9g} {_plus(a)}"
        for place, (name, a, b) in enumerate(_each(series.target_names, series.scaling))
    )
    return [*lines, f"scale inputs: {', '.join(into)}", f"undo on outputs: {', '.join(back)}"]


def _called(series: Series) -> str:
    """What it is called for people, who need no digest of it."""
    return str(replace(SeriesText.parse(series.source), digest=""))


def _columns(names: Sequence[str], scaling: Scaling) -> list[dict[str, object]]:
    return [{"name": name, "shift": shift, "factor": factor} for name, shift, factor in _each(names, scaling)]


def _each(names: Sequence[str], scaling: Scaling) -> Iterator[tuple[str, float, float]]:
    return zip(names, scaling.shift, scaling.factor, strict=True)


def _plus(number: float) -> str:
    return f"{'-' if number < 0 else '+'} {abs(number):.9g}"
