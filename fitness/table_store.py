"""The user's data folder: where imported benchmark tables lie, and what to download where there is none.

Owns the folder's place and the facts about the benchmarks' downloads; knows nothing of what the files hold.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from spaces.errors import RunError, UsageError

__all__ = [
    "BENCHMARKS",
    "Benchmark",
    "Optimum",
    "data_folder",
    "find_tables",
    "how_to_get",
    "imported_tables",
    "missing_table",
    "table_path",
    "whole_space",
]


@dataclass(frozen=True, slots=True)
class Optimum:
    """The best number of a column as its benchmark's authors published it, to tell their files from others.

    Attributes:
        column: the column.
        value: the largest number in it, in the column's unit, to two decimals as printed.
        index: the architecture that has it, or None where that is not known.
    """

    column: str
    value: float
    index: int | None = None


@dataclass(frozen=True, slots=True)
class Benchmark:
    """What a user downloads for the table of a space.

    Attributes:
        download: the file to download.
        size: of it, in words.
        page: where the authors offer it.
        imported: what `engine table import` is given, the file itself or the folder unpacked from it.
        unpack: the command that makes `imported` of `download`, or "".
        optima: published ones.
        rows: how many architectures it has, None where that depends on the file.
        options: of the space that the import is made with.
    """

    download: str
    size: str
    page: str
    imported: str
    unpack: str = ""
    optima: tuple[Optimum, ...] = ()
    rows: int | None = None
    options: Mapping[str, object] = field(default_factory=dict)


def _nats(name: str, size: str, *optima: Optimum) -> Benchmark:
    page = "https://github.com/D-X-Y/NATS-Bench"
    return Benchmark(f"{name}.tar", size, page, name, f"tar xf {name}.tar", optima)


def _nds(family: str) -> Benchmark:
    return Benchmark(
        "https://dl.fbaipublicfiles.com/nds/data.zip",
        "its authors state no size",
        "https://github.com/facebookresearch/nds",
        f"nds_data/{family}.json",
        "unzip data.zip",
        options={"width": 0, "depth": 0},  # a file holds networks of several
    )


# NATS-Bench's optima: arXiv:2009.00437, tables 4 and 5; the indexes are those of its own API. NAS-Bench-101's: the
# largest mean test accuracy, arXiv:1902.09635.
BENCHMARKS: Final = {
    "nas-bench-101": Benchmark(
        "https://storage.googleapis.com/nasbench/nasbench_only108.tfrecord",
        "499 MB",
        "https://github.com/google-research/nasbench",
        "nasbench_only108.tfrecord",
        optima=(Optimum("cifar10_test_108ep_pct", 94.32),),
        rows=423_624,
    ),
    "nds-amoeba": _nds("Amoeba"),
    "nds-darts": _nds("DARTS"),
    "nds-enas": _nds("ENAS"),
    "nds-nasnet": _nds("NASNet"),
    "nds-pnas": _nds("PNAS"),
    "nats-tss": _nats(
        "NATS-tss-v1_0-3ffb9-simple",
        "about 1.3 GB",
        Optimum("cifar10_test_200ep_pct", 94.37, 6111),
        Optimum("cifar100_test_200ep_pct", 73.51, 9930),
        Optimum("imagenet16_test_200ep_pct", 47.31),
    ),
    "nats-sss": _nats(
        "NATS-sss-v1_0-50262-simple",
        "about 1.1 GB",
        Optimum("cifar10_valid_90ep_pct", 90.71, 32_767),
        Optimum("cifar100_valid_90ep_pct", 70.92),
    ),
}


def data_folder() -> Path:
    """Where this user's data lie; the folder may not be there yet.

    On every system, macOS included: $NAS_ENGINE_DATA, else nas-engine under $XDG_DATA_HOME, else
    ~/.local/share/nas-engine.

    Raises:
        RunError: the user has no home folder.
    """
    if own := os.environ.get("NAS_ENGINE_DATA"):
        return Path(own).expanduser().absolute()
    if shared := os.environ.get("XDG_DATA_HOME"):
        return Path(shared).absolute() / "nas-engine"
    try:
        return Path.home() / ".local" / "share" / "nas-engine"
    except RuntimeError as error:
        raise RunError("there is no home folder for data; set NAS_ENGINE_DATA to a folder") from error


def table_path(space: str, part: str = "") -> Path:
    """Where an imported table lies, or would lie.

    Args:
        space: the space's name without options, such as "nats-tss".
        part: "" for the benchmark itself; a name for further columns of the same architectures.
    """
    return data_folder() / "tables" / (f"{space}.{part}.csv" if part else f"{space}.csv")


def find_tables(space: str) -> tuple[Path, ...]:
    """The imported tables of a space: the benchmark's own first, then further columns in the order of their names.

    Args:
        space: the space's name without options.

    Raises:
        RunError: the folder of tables cannot be read.
    """
    return imported_tables().get(space, ())


def imported_tables() -> dict[str, tuple[Path, ...]]:
    """All imported tables by the names of their spaces; see `find_tables`."""
    folder = data_folder() / "tables"
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise RunError(f"cannot read {folder}: {error.strerror or error}; set NAS_ENGINE_DATA") from error
    found: dict[str, tuple[Path, ...]] = {}
    for name in sorted(names, key=lambda name: (name.count("."), name)):
        if name.endswith(".csv"):
            space = name.partition(".")[0]
            found[space] = (*found.get(space, ()), folder / name)
    return found


def missing_table(space: str) -> UsageError:
    """The error where a space has no table: says what to download, how much that is and what to do with it."""
    known = BENCHMARKS.get(space)
    if known is None:
        return UsageError(
            f"there is no benchmark table of space {space!r}; name a CSV file 'index,arch_str,…' with --table FILE"
        )
    return UsageError(f"there is no benchmark table of space {space!r} in {data_folder()}; {how_to_get(space)}")


def whole_space(space: str) -> str:
    """The space of all networks of a benchmark as --space takes it, if its name alone is one of a part; else ""."""
    options = BENCHMARKS[space].options if space in BENCHMARKS else {}
    return f"{space}({','.join(f'{name}={value}' for name, value in options.items())})" if options else ""


def how_to_get(space: str) -> str:
    """What to download for a space's table, its size, and the commands that make the table of it."""
    known = BENCHMARKS[space]
    commands = [*([known.unpack] if known.unpack else []), f"engine table import {space} {known.imported}"]
    return (
        f"download {known.download} ({known.size}, {known.page}), then "
        f"{' and '.join(f'`{command}`' for command in commands)}; or name a CSV table with --table FILE"
    )
