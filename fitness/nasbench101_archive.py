"""Rows of the published table of NAS-Bench-101, read from its TFRecord file without TensorFlow.

Ying, Klein, Christiansen, Real, Murphy, Hutter: NAS-Bench-101: Towards Reproducible Neural Architecture Search,
ICML 2019, arXiv:1902.09635; `nasbench_only108.tfrecord` (499 MB) or `nasbench_full.tfrecord` (1.95 GB), format as
in the authors' api.py and model_metrics.proto. A record is one training; those of a cell follow each other, so that
no more than a cell is held at a time. Both checksums of every record and the hash of every cell are verified.
"""

from __future__ import annotations

import json
import math
import struct
from base64 import b64decode
from collections.abc import Callable, Iterator
from functools import cache
from itertools import groupby, islice
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from fitness.benchmark_row import Row
from spaces.errors import RunError, UsageError
from spaces.nasbench101_cells import Cell, from_matrix, module_hash, write

__all__ = ["COLUMNS", "EPOCHS", "read_records"]

EPOCHS: Final = (4, 12, 36, 108)
"""Lengths of training; the small file holds the last one only."""

_SPLITS: Final = ("train", "valid", "test")
COLUMNS: Final = (
    *(f"cifar10_{split}_{epochs}ep_pct" for epochs in EPOCHS for split in _SPLITS),
    *(f"train_{epochs}ep_cost_s" for epochs in EPOCHS),
    "params",
)
"""Accuracy in percent and seconds of training after so many epochs, mean over the three trainings; trainable
parameters. nan for the epochs that a file does not hold."""

Progress = Callable[[int, int, int], None]
"""Called with the records and bytes that are read, and the bytes of the file."""

_REPEATS: Final = 3
_LONGEST: Final = 1 << 16  # bytes of a record; the official ones have about 400
_POLYNOMIAL: Final = 0x82F63B78  # Castagnoli's, bits reversed
_MASK: Final = 0xA282EAD8
_END: Final = 2  # evaluations of a training: before it, halfway, at the end


class _Training(NamedTuple):
    """One record.

    Attributes:
        number: Of the record, from 0.
        offset: Of its first byte in the file.
        hash: The benchmark's hash of the cell.
        epochs: Length of the training.
        graph: Adjacency matrix row by row, and operations, as written.
        params: Trainable parameters.
        measured: Accuracy on training, validation and test images in percent, and seconds of training.
    """

    number: int
    offset: int
    hash: str
    epochs: int
    graph: tuple[str, str]
    params: int
    measured: tuple[float, ...]


class _Wrong(ValueError):
    """What is wrong with a record; `_damaged` adds where it lies."""


def read_records(path: Path, progress: Progress | None = None) -> Iterator[Row]:
    """One row per cell in the file's order, numbers of `COLUMNS`; names are what `NasBench101.describe` writes.

    Args:
        path: The file.
        progress: Told after every cell how far it is.

    Raises:
        UsageError: There is no such file.
        RunError: The file cannot be read, is damaged, torn or no such table; the record and its offset are named.
    """
    if not path.is_file():
        raise UsageError(f"no file {str(path)!r}; expected nasbench_only108.tfrecord or nasbench_full.tfrecord")
    seen: set[int] = set()
    kinds: tuple[int, ...] = ()
    try:
        with path.open("rb") as file:
            total = path.stat().st_size
            for _, group in groupby(_trainings(path, file), key=_hash_of):
                trainings = list(islice(group, _REPEATS * len(EPOCHS) + 1))  # more are too many, however many
                try:
                    row, epochs = _row(trainings)
                    name = int(trainings[0].hash[:15], 16)
                    if name in seen:
                        raise _Wrong("its cell occurred before; expected all trainings of a cell side by side")
                    if kinds not in ((), epochs):
                        raise _Wrong(
                            f"its cell was trained for {_listed(epochs)} epochs; others for {_listed(kinds)}"
                        )
                except _Wrong as error:
                    raise _damaged(path, trainings[0].number, trainings[0].offset, error) from error
                seen.add(name)
                kinds = epochs
                if progress is not None:
                    progress(trainings[-1].number + 1, file.tell(), total)
                yield row
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror or error}") from error
    if not seen:
        raise RunError(f"{path} is empty; expected a table of NAS-Bench-101: download it again")


def _row(trainings: list[_Training]) -> tuple[Row, tuple[int, ...]]:
    """The row of a cell and the lengths of its trainings; means over trainings of one length."""
    first = trainings[0]
    cell = _cell(*first.graph)
    if module_hash(cell) != first.hash:
        raise _Wrong(f"hash {first.hash} of a cell whose hash is {module_hash(cell)}")
    if any((each.graph, each.params) != (first.graph, first.params) for each in trainings):
        raise _Wrong("trainings of one hash with different cells or parameters")
    numbers = dict.fromkeys(COLUMNS, math.nan) | {"params": float(first.params)}
    kinds = tuple(sorted({each.epochs for each in trainings}))
    for epochs in kinds:
        repeats = [each.measured for each in trainings if each.epochs == epochs]
        if len(repeats) != _REPEATS:
            raise _Wrong(f"its cell has {len(repeats)} trainings of {epochs} epochs; expected {_REPEATS}")
        *percents, seconds = [math.fsum(values) / _REPEATS for values in zip(*repeats, strict=True)]
        for split, percent in zip(_SPLITS, percents, strict=True):
            numbers[f"cifar10_{split}_{epochs}ep_pct"] = percent
        numbers[f"train_{epochs}ep_cost_s"] = seconds
    return Row(write(cell), numbers), kinds


def _cell(adjacency: str, operations: str) -> Cell:
    count = math.isqrt(len(adjacency))
    names = operations.split(",")
    if count * count != len(adjacency) or set(adjacency) - {"0", "1"}:
        raise _Wrong(f"adjacency matrix {adjacency[:80]!r}; expected the digits 0 and 1 of a square one")
    if len(names) != count or names[:1] != ["input"] or names[-1:] != ["output"]:
        raise _Wrong(f"operations {operations[:80]!r}; expected input, ..., output for {count} vertices")
    rows = [[int(digit) for digit in adjacency[at : at + count]] for at in range(0, len(adjacency), count)]
    try:
        return from_matrix(rows, names[1:-1])
    except UsageError as error:
        raise _Wrong(str(error)) from error


def _trainings(path: Path, file: BinaryIO) -> Iterator[_Training]:
    """Every record of the file."""
    number = offset = 0
    while True:
        try:
            data = _next_record(file)
            if data is None:
                return
            training = _training(number, offset, data)
        except _Wrong as error:
            raise _damaged(path, number, offset, error) from error
        yield training
        number, offset = number + 1, offset + len(data) + 16


def _training(number: int, offset: int, data: bytes) -> _Training:
    """A record's JSON: [hash, epochs, adjacency matrix, operations, base64 of metrics]."""
    try:
        parts = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _Wrong("its text is not JSON") from error
    if not isinstance(parts, list) or list(map(type, parts)) != [str, int, str, str, str]:
        raise _Wrong("its JSON is not [hash, epochs, matrix, operations, metrics]")
    name, epochs, adjacency, operations, metrics = parts
    if len(name) != 32 or set(name) - set("0123456789abcdef"):
        raise _Wrong(f"hash {name[:40]!r}; expected 32 hexadecimal digits")
    if epochs not in EPOCHS:
        raise _Wrong(f"a training of {epochs} epochs; expected {_listed(EPOCHS)}")
    try:
        decoded = b64decode(metrics, validate=True)
    except ValueError as error:
        raise _Wrong("its metrics are not base64") from error
    params, measured = _metrics(decoded)
    return _Training(number, offset, name, epochs, (adjacency, operations), params, measured)


def _metrics(data: bytes) -> tuple[int, tuple[float, ...]]:
    """Parameters, and accuracies in percent and seconds at the end, of a `ModelMetrics` message."""
    evaluations: list[bytes] = []
    params = 0
    for field, value in _fields(data):
        if field == 1 and isinstance(value, bytes):
            evaluations.append(value)
        elif field == 2 and isinstance(value, int):
            params = value
    if len(evaluations) <= _END:
        raise _Wrong(f"metrics of {len(evaluations)} evaluations; expected {_END + 1}: before, halfway, at the end")
    numbers = {field: value for field, value in _fields(evaluations[_END]) if isinstance(value, float)}
    seconds, *accuracies = (numbers.get(field, math.nan) for field in (2, 3, 4, 5))  # 1 is the epoch
    if not all(0 <= accuracy <= 1 for accuracy in accuracies) or not 0 <= seconds < math.inf:
        raise _Wrong(f"accuracies {accuracies} after {seconds} seconds; expected 0 to 1, and a duration")
    if not 0 < params < 1 << 31:
        raise _Wrong(f"{params} trainable parameters; expected at least 1")
    return params, (*(100 * accuracy for accuracy in accuracies), seconds)


def _fields(message: bytes) -> Iterator[tuple[int, int | float | bytes]]:
    """Number and value of every field of a protocol buffer: whole numbers, doubles, and bytes."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        kind = tag & 7
        value: int | float | bytes
        if kind == 0:
            value, at = _varint(message, at)
        elif kind == 1 and at + 8 <= len(message):
            (value,), at = struct.unpack_from("<d", message, at), at + 8
        elif kind == 2:
            size, at = _varint(message, at)
            value, at = message[at : at + size], at + size
        else:
            raise _Wrong(f"metrics with a field of wire type {kind}, which is not one of theirs, or cut off")
        if at > len(message):
            raise _Wrong("metrics that are cut off")
        yield tag >> 3, value


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(message) and shift < 64:
        byte = message[at]
        value, shift, at = value | (byte & 0x7F) << shift, shift + 7, at + 1
        if byte < 0x80:
            return value, at
    raise _Wrong("metrics with a whole number that does not end")


def _next_record(file: BinaryIO) -> bytes | None:
    """The next record of a TFRecord file: length, its checksum, data, its checksum; None at the end."""
    head = file.read(12)
    if not head:
        return None
    if len(head) < 12:
        raise _Wrong("the file ends within its length")
    length, checksum = struct.unpack("<QI", head)
    if _masked_crc(head[:8]) != checksum:
        raise _Wrong("wrong checksum of its length: no TFRecord file, or damaged")
    if length > _LONGEST:
        raise _Wrong(f"it has {length:,} bytes; expected at most {_LONGEST:,}")
    data = file.read(length + 4)
    if len(data) < length + 4:
        raise _Wrong("the file ends within its data")
    if _masked_crc(data[:-4]) != int.from_bytes(data[-4:], "little"):
        raise _Wrong("wrong checksum of its data")
    return data[:-4]


def _masked_crc(data: bytes) -> int:
    """CRC-32C, turned by 15 bits and shifted by a constant, as TFRecord files keep it.

    Two bytes at a time, which takes half as long as one by one.
    """
    table = _crc_table()
    crc = 0xFFFFFFFF
    for word in struct.unpack_from(f"<{len(data) // 2}H", data):
        crc = table[(crc ^ word) & 0xFFFF] ^ (crc >> 16)
    if len(data) % 2:
        crc = table[((crc ^ data[-1]) & 0xFF) << 8] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + _MASK) & 0xFFFFFFFF


@cache
def _crc_table() -> list[int]:
    """What 16 bits leave behind after 16 steps of the shift register."""
    table = []
    for value in range(1 << 16):
        for _ in range(16):
            value = value >> 1 ^ (_POLYNOMIAL if value & 1 else 0)
        table.append(value)
    return table


def _damaged(path: Path, number: int, offset: int, why: Exception) -> RunError:
    return RunError(
        f"{path} is no whole table of NAS-Bench-101: record {number} at byte {offset:,}: {why}; download it again"
    )


def _hash_of(training: _Training) -> str:
    return training.hash


def _listed(numbers: tuple[int, ...]) -> str:
    return ", ".join(map(str, numbers))
