"""What the networks of a run read, images or a time series: which, and whether it suits them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache
from typing import Final

from engine.config import RunConfig
from engine.finding import Ends, space_factory
from fitness import FITNESS
from fitness.base import Fitness
from fitness.data import check_source
from fitness.series import SERIES, SeriesText, is_series, load_series
from spaces.errors import UsageError
from spaces.registry import takes
from spaces.space import Integer, Space

__all__ = [
    "FILE_FIGURES",
    "check_benchmark",
    "check_columns",
    "check_look_back",
    "check_thresholds",
    "data_of",
    "ends_in_words",
    "ends_of",
    "of_series",
    "pinned",
    "reads_of",
    "space_with_ends",
    "suited",
]

FILE_FIGURES: Final = ("arena_bytes", "arena_overhead_bytes", "tflite_file_bytes")
"""Figures of a .tflite file, which networks that read a series have none of here."""

_SERIES_SCORES = "mrs, mrs_mean, mrs_std or a figure such as params"


def reads_of(space: str) -> str:
    """What the networks of a space read, "images" or "series", by its text.

    Raises:
        UsageError: No such space.
    """
    return str(getattr(space_factory(space)[0], "reads", "images"))


def ends_of(config: RunConfig) -> Ends:
    """What a registered space is told of the data: shape and classes of images, or the columns of a time series.

    A text that says how many columns there are, as one of a run does, is believed: nothing is read.

    Raises:
        UsageError: No such space, or data that it does not read.
        RunError: The series cannot be read.
    """
    _, options = space_factory(config.space)
    if reads_of(config.space) == "images":
        return ("input_shape", config.image_shape), ("num_classes", config.classes)
    if config.input_shape != RunConfig.input_shape or config.classes != RunConfig.classes:
        raise UsageError(
            f"space {config.space!r} reads a time series, and input shape {config.input_shape} with "
            f"{config.classes} classes is of images; leave them out: --data says what is forecast"
        )
    if "features" in options and "outputs" in options:
        return ()
    series = load_series(data_of(config, "series", ()))
    sizes = {"features": series.features, "outputs": series.outputs}
    return tuple((name, size) for name, size in sizes.items() if name not in options)


def space_with_ends(text: str, ends: Ends) -> str:
    """The text of a space that says what it was told of a series, which then need not be read to know it."""
    told = dict(ends)
    if "features" not in told and "outputs" not in told:
        return text
    added = ",".join(f"{name}={value}" for name, value in ends)
    if "(" not in text:
        return f"{text}({added})"
    before = text.rstrip()[:-1].rstrip()
    return f"{before}{'' if before.endswith('(') else ','}{added})"


def data_of(config: RunConfig, reads: str, scores: Sequence[Fitness]) -> str:
    """The images or the series of a run; "auto" is what comes with the engine and suffices for some scores.

    Args:
        config: Of the run.
        reads: What its space reads.
        scores: What is computed on them.

    Raises:
        UsageError: No such source, or the space does not read it.
    """
    data = config.data
    if reads == "series":
        if config.batch is not None:
            raise UsageError(
                f"batch {config.batch} is a number of images, and space {config.space!r} reads a time series; "
                "leave it out: of series --batch is windows of a step, with --train-top or `engine train`"
            )
        if data == "auto":
            return "sine"
        if not is_series(data) and _is_images(data):
            raise UsageError(
                f"space {config.space!r} reads a time series, and {data!r} are images; expected "
                f"{', '.join(SERIES)} as --data"
            )
        SeriesText.parse(data)
        return data
    if is_series(data):
        raise UsageError(
            f"space {config.space!r} reads images, and {data!r} is a time series; expected images, see "
            "`engine list data`, or --space rnn"
        )
    if data == "auto":
        return "digits" if any(getattr(score, "needs_labels", False) for score in scores) else "noise"
    check_source(data)
    return data


def pinned(data: str) -> str:
    """The same data; of a time series in a file, those that it holds now and no others.

    Raises:
        RunError: The file cannot be read.
    """
    if not is_series(data):
        return data
    text = SeriesText.parse(data)
    if not text.path or text.digest:
        return data
    return str(replace(text, digest=load_series(data).digest))


def _is_images(data: str) -> bool:
    try:
        check_source(data)
    except UsageError:
        return False
    return True


def suited(fitness: Fitness, space: Space) -> Fitness:
    """The same fitness, if it says something of what the networks of a space read.

    Raises:
        UsageError: It does not.
    """
    if space.reads == "series":
        if fitness.needs == "images":
            raise UsageError(
                f"{fitness.name} is computed on images, and space {space.name!r} reads a time series; expected "
                + _SERIES_SCORES
            )
        if fitness.name.partition("(")[0] == "trace":
            raise UsageError(
                f"{fitness.name} counts ReLUs, and networks of space {space.name!r} have none; expected --fitness "
                + _SERIES_SCORES
            )
        if fitness.name in FILE_FIGURES:
            raise UsageError(
                f"{fitness.name} is of a .tflite file, and networks of space {space.name!r} have none here; "
                "expected flash_bytes or peak_ram_bytes"
            )
    return fitness


def of_series(fitness: Fitness) -> bool:
    """Whether a fitness is computed on a time series: it was made with one."""
    return _takes_series(fitness.name.partition("(")[0])


@cache
def _takes_series(name: str) -> bool:
    return name in FITNESS and takes(FITNESS.load(name), "series")


def ends_in_words(config: RunConfig, space: Space) -> str:
    """What networks read and put out, for people: "32x32x3, 10 classes", or "1 column -> 1 column"."""
    if space.reads == "images":
        return f"{config.input_shape}, {config.classes} classes"
    reads, tells = space.channels_first[0], space.num_classes
    return f"{reads} column{'s' * (reads != 1)} -> {tells}"


def check_columns(data: str, space: Space) -> None:
    """Find out before anything runs that a series has other columns than the networks of a space.

    Raises:
        UsageError: It has.
        RunError: It cannot be read.
    """
    series = load_series(data)
    for what, has, reads in (
        ("input columns", series.features, space.channels_first[0]),
        ("target columns", series.outputs, space.num_classes),
    ):
        if has != reads:
            raise UsageError(
                f"{data} has {has} {what} and the networks of space {space.name!r} {reads}; expected as many: "
                "choose them with --column and --target-column"
            )


def check_look_back(data: str, space: Space) -> None:
    """Find out before a search that the longest look-back of a space needs more rows than a part of a series has.

    Raises:
        UsageError: It does.
        RunError: The series cannot be read.
    """
    look_back = getattr(space, "look_back", None)
    if not isinstance(look_back, Integer):
        return
    series = load_series(data)
    part, rows = min(series.parts.items(), key=lambda item: len(item[1]))
    if len(rows) <= look_back.high:
        most = len(rows) - 1
        least = f"min_look_back={most}, " if most < look_back.low else ""
        raise UsageError(
            f"the {part} part of {data} has {len(rows)} rows, and networks of space {space.name!r} look back up to "
            f"{look_back.high}, which needs {look_back.high + 1}; expected a longer series, another split, or a "
            f"space with {least}max_look_back={most} or less"
        )


def check_thresholds(scores: Iterable[Fitness]) -> None:
    """Find out before a search that a threshold of mrs is beyond all errors that its series allows.

    Raises:
        UsageError: It is.
        RunError: The series cannot be read.
    """
    from fitness.mrs import Mrs

    for score in scores:
        if isinstance(score, Mrs):
            _ = score.bound


def check_benchmark(space: str, table: Sequence[str]) -> None:
    """Say what there is instead of a benchmark of networks that read series, of which there is none.

    Raises:
        UsageError: No such space; or its networks read series and no table is given.
    """
    if not table and reads_of(space) == "series":
        raise UsageError(
            f"there is no benchmark of recurrent networks here for space {space!r}; compare by `engine run` with "
            "each strategy or by experiments/rnn, or name a CSV file of your own with --table and --metric: "
            "'index,arch_str,<numbers>', genotypes as JSON"
        )
