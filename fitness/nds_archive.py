"""Rows of a published file of NDS: the trained networks of one family, with their errors and sizes.

Radosavovic, Johnson, Xie, Lo, Dollar: On Network Design Spaces for Visual Recognition, ICCV 2019,
arXiv:1905.13214. A file is a JSON list of records with `net` (width, depth, genotype), `params`, `flops` and the
errors in percent after every epoch. It is read record by record: the curves in it are a hundred times the rest.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final, TypeGuard

from fitness.benchmark_row import Row
from spaces.errors import RunError, UsageError
from spaces.nds import NdsSpace

__all__ = ["COLUMNS", "read_records"]

COLUMNS: Final = (
    *("cifar10_test_top1_pct", "cifar10_best_test_top1_pct", "cifar10_train_top1_pct"),
    *("params", "flops", "width", "depth"),
)
"""Accuracy on the test images after the last and the best epoch and on the training images after the last one, in
percent; parameters and operations as published (the latter count more than the multiply-accumulates of `macs`)."""

_SPACE: Final = re.compile(r"[ \t\r\n]*")


def _ignore(done: int, total: int) -> None: ...


def read_records(path: Path, space: NdsSpace, progress: Callable[[int, int], None] = _ignore) -> Iterator[Row]:
    """The rows of a file such as `DARTS.json`, in its order; their numbers are those of `COLUMNS`.

    Width and depth are part of a row's architecture. A file without `fix-w-d` in its name holds networks of
    several: read it with a space made with `width=0, depth=0`.

    Args:
        path: The file.
        space: The family that it is of.
        progress: Told after every row of the characters that are read and of all.

    Raises:
        UsageError: There is no such file, or it holds networks for ImageNet.
        RunError: It cannot be read, is damaged, or holds a network that the space does not; the record is named.
    """
    if path.stem.endswith("_in"):
        raise UsageError(
            f"{path} holds networks for ImageNet, whose stem space {space.name!r} does not build; expected a file "
            f"for CIFAR-10, such as {path.stem.removesuffix('_in')}.json"
        )
    text = _read_text(path)
    decoder = json.JSONDecoder()
    number, position, mark = 0, *_mark(text, 0)
    if mark != "[":
        raise _damaged(path, number, f"not in a list, the file begins with {text[:20]!r}")
    while mark != "]":
        position = _behind_space(text, position)
        try:
            record, position = decoder.raw_decode(text, position)
        except (ValueError, RecursionError) as error:
            raise _damaged(path, number, f"no JSON ({error})") from error
        position, mark = _mark(text, position)
        if mark not in (",", "]"):
            raise _damaged(path, number, f"{mark!r} behind it instead of a comma or the end of the list")
        yield _row(path, number, record, space)
        number += 1
        progress(position, len(text))
    if _behind_space(text, position) != len(text):
        raise _damaged(path, number, f"{text[position : position + 20]!r} behind the end of the list")


def _row(path: Path, number: int, record: object, space: NdsSpace) -> Row:
    if not isinstance(record, dict) or not isinstance(net := record.get("net"), dict) or "genotype" not in net:
        raise _damaged(path, number, "no network of cells under 'net'")
    try:
        genotype = space.genotype_of(net)
    except UsageError as error:
        raise _damaged(path, number, str(error)) from error
    test, train = (_curve(path, number, record, key) for key in ("test_ep_top1", "train_ep_top1"))
    values = (
        *(100 - test[-1], 100 - min(test), 100 - train[-1]),
        *(_number(path, number, record, "params"), _number(path, number, record, "flops")),
        *(_number(path, number, net, "width"), _number(path, number, net, "depth")),
    )
    return Row(space.describe(genotype), dict(zip(COLUMNS, values, strict=True)))


def _curve(path: Path, number: int, record: Mapping[str, object], key: str) -> list[float]:
    """Errors in percent after every epoch."""
    curve = record.get(key)
    if not isinstance(curve, list) or not curve or not all(_is_number(e) and 0 <= e <= 100 for e in curve):
        raise _damaged(path, number, f"{key} is {str(curve)[:80]}, not errors in percent")
    return curve


def _number(path: Path, number: int, record: Mapping[str, object], key: str) -> float:
    value = record.get(key)
    if not _is_number(value) or value <= 0:
        raise _damaged(path, number, f"{key} is {str(value)[:80]}, not a positive number")
    return float(value)


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e18  # nan is not


def _mark(text: str, position: int) -> tuple[int, str]:
    """The next mark that is no white space, "" at the end of the text, and the position behind it."""
    position = _behind_space(text, position)
    return position + 1, text[position : position + 1]


def _behind_space(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, IsADirectoryError) as error:
        raise UsageError(f"there is no file {str(path)!r}; expected one of NDS, such as DARTS.json") from error
    except OSError as error:
        raise RunError(f"{path} cannot be read ({error.strerror}); expected a readable JSON file") from error
    except UnicodeDecodeError as error:
        raise RunError(f"{path} is not text in UTF-8 ({error.reason}); expected a JSON file of NDS") from error


def _damaged(path: Path, number: int, what: str) -> RunError:
    return RunError(
        f"{path}, record {number}: {what}; expected a JSON list of records as its authors published them: download "
        "the file again"
    )
