"""The published table of NAS-Bench-101: files written here byte by byte, right ones and damaged ones."""

from __future__ import annotations

import errno
import json
import math
import os
import struct
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from fitness.nasbench101_archive import COLUMNS, EPOCHS, read_records
from spaces.errors import RunError, UsageError
from spaces.nasbench101 import NasBench101
from spaces.nasbench101_cells import OPERATIONS, Cell, module_hash, read, uniform_cell, write

C3, C1, MP = OPERATIONS
FIRST = f"100110-10000-1001-010-10-1:{C3}:{MP}:{C3}:{C3}:{C1}"
# The trainings of the table's first cell as printed in code of the NASGraph project: (train, valid, test, seconds).
PUBLISHED = [
    (1.0, 0.9241786599159241, 0.9211738705635071, 1769.1279296875),
    (1.0, 0.9245793223381042, 0.9190705418586731, 1768.2509765625),
    (1.0, 0.9304887652397156, 0.9215745329856873, 1768.9759521484375),
]


# --- a writer that shares nothing with the reader ---------------------------------------------------


def _crc32c(data: bytes) -> int:
    """Bit by bit, from the polynomial of Castagnoli."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def _masked(data: bytes) -> bytes:
    crc = _crc32c(data)
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)


def _frame(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + _masked(length) + data + _masked(data)


def _varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def _metrics(params: int, end: tuple[float, float, float, float], evaluations: int = 3) -> bytes:
    message = b""
    for step in range(evaluations):
        train, valid, test, seconds = end if step == 2 else (0.1 * step,) * 4
        numbers = enumerate((54.0 * step, seconds, train, valid, test), start=1)
        inner = b"".join(bytes([field << 3 | 1]) + struct.pack("<d", number) for field, number in numbers)
        inner += bytes([6 << 3 | 2]) + _varint(4) + b"path"  # checkpoint_path
        message += bytes([1 << 3 | 2]) + _varint(len(inner)) + inner
    return message + bytes([2 << 3]) + _varint(params) + bytes([3 << 3 | 1]) + struct.pack("<d", 3000.5)


def _graph(cell: Cell) -> tuple[str, str]:
    digits = "".join(
        str(int(source in cell.sources(target)))
        for source in range(cell.vertices)
        for target in range(cell.vertices)
    )
    return digits, ",".join(("input", *(OPERATIONS[label] for label in cell.labels), "output"))


def _record(cell: Cell, epochs: int = 108, end: Any = (1.0, 0.9, 0.8, 100.0), params: int = 1000) -> list[Any]:
    adjacency, operations = _graph(cell)
    return [module_hash(cell), epochs, adjacency, operations, b64encode(_metrics(params, end)).decode()]


def _write(path: Path, records: list[Any]) -> Path:
    path.write_bytes(b"".join(_frame(json.dumps(record).encode()) for record in records))
    return path


def _cells(count: int) -> list[Cell]:
    rng = Random(0)
    return [uniform_cell(rng) for _ in range(count)]


# --- right files ------------------------------------------------------------------------------------


def test_numbers_are_the_published_means(tmp_path: Path) -> None:
    """0.9264155824979147, 0.9206063151359558 and 1768.7849527994792: CTNAS's list of the table, first entry."""
    records = [_record(read(FIRST), end=end, params=8_555_530) for end in PUBLISHED]
    (row,) = read_records(_write(tmp_path / "a.tfrecord", records))
    assert row.architecture == FIRST
    assert tuple(row.numbers) == COLUMNS
    assert row.numbers["cifar10_train_108ep_pct"] == 100
    assert row.numbers["cifar10_valid_108ep_pct"] == pytest.approx(92.64155824979147, rel=1e-14)
    assert row.numbers["cifar10_test_108ep_pct"] == pytest.approx(92.06063151359558, rel=1e-14)
    assert row.numbers["train_108ep_cost_s"] == pytest.approx(1768.7849527994792, rel=1e-14)
    assert row.numbers["params"] == 8_555_530
    assert all(math.isnan(value) for name, value in row.numbers.items() if "108" not in name and name != "params")


def test_all_lengths_of_training_of_the_full_file(tmp_path: Path) -> None:
    cells = _cells(3)
    records = [
        _record(cell, epochs, (0.5, epochs / 200, 0.25 + repeat / 100, 10.0 * epochs))
        for cell in cells
        for epochs in EPOCHS
        for repeat in range(3)
    ]
    rows = list(read_records(_write(tmp_path / "full.tfrecord", records)))
    assert [row.architecture for row in rows] == list(map(write, cells))
    for row in rows:
        for epochs in EPOCHS:
            assert row.numbers[f"cifar10_valid_{epochs}ep_pct"] == pytest.approx(epochs / 2)
            assert row.numbers[f"cifar10_test_{epochs}ep_pct"] == pytest.approx(26)
            assert row.numbers[f"train_{epochs}ep_cost_s"] == 10 * epochs


def test_architectures_are_what_the_space_writes(tmp_path: Path) -> None:
    """Also of a cell that is written with another numbering than the space's."""
    space = NasBench101()
    other = Cell(4, 0b111011, (2, 0))  # 0->1, 0->2, 1->3, 2->3, 0->3 with the pooling first
    rows = list(read_records(_write(tmp_path / "a.tfrecord", [_record(other)] * 3 + [_record(read("1"))] * 3)))
    assert [row.architecture for row in rows] == [f"111-01-1:{C3}:{MP}", "1"]
    assert all(space.describe(space.parse(row.architecture)) == row.architecture for row in rows)


def test_progress_counts_records_and_bytes(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.tfrecord", [_record(cell) for cell in _cells(4) for _ in range(3)])
    told: list[tuple[int, int, int]] = []
    list(read_records(path, lambda *counts: told.append(counts)))
    size = path.stat().st_size
    assert len(told) == 4
    assert [counts[2] for counts in told] == [size] * 4
    assert told[-1] == (12, size, size)
    assert told == sorted(told)


def test_a_cell_is_read_before_the_rest_of_the_file(tmp_path: Path) -> None:
    """Damage further on is met when it is reached: no more than a cell is held."""
    path = _write(tmp_path / "a.tfrecord", [_record(cell) for cell in _cells(3) for _ in range(3)])
    path.write_bytes(path.read_bytes()[:-1])
    rows = read_records(path)
    assert [next(rows).architecture, next(rows).architecture] == list(map(write, _cells(2)))
    with pytest.raises(RunError, match="record 8"):
        next(rows)


# --- damaged, torn and hostile ones -----------------------------------------------------------------


def _refused(path: Path, *parts: str) -> None:
    with pytest.raises(RunError) as caught:
        list(read_records(path))
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    assert len(message) < 500 + len(str(path))
    for part in parts:
        assert part in message


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(UsageError, match=r"nasbench_only108\.tfrecord"):
            list(read_records(path))


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    _refused(_write(tmp_path / "a.tfrecord", []), "is empty")


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _write(tmp_path / "a.tfrecord", [_record(read("1"))] * 3)

    def refuse(
        self: Path, mode: str
    ) -> None:  # root, as whom CI may run, would be let in whatever the mode bits say
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))

    monkeypatch.setattr(Path, "open", refuse)
    _refused(path, "cannot be read")


def test_every_flipped_bit_is_noticed(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.tfrecord", [_record(read("1"))] * 3)
    whole, rng = path.read_bytes(), Random(1)
    third = len(whole) // 3
    for at in [*range(13), third - 1, third, *rng.sample(range(len(whole)), 25)]:
        damaged = bytearray(whole)
        damaged[at] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        number = at // third
        _refused(path, f"record {number} at byte {number * third:,}", "checksum")


def test_every_cut_is_noticed(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.tfrecord", [_record(read("1"))] * 3)
    whole, rng = path.read_bytes(), Random(2)
    third = len(whole) // 3
    for kept in [1, 11, 12, third - 1, third, 2 * third, *rng.sample(range(1, len(whole)), 20)]:
        path.write_bytes(whole[:kept])
        at_border = kept % third == 0
        _refused(path, "trainings of 108 epochs; expected 3" if at_border else "the file ends within its")


def test_a_record_that_claims_to_be_huge_is_not_read(tmp_path: Path) -> None:
    length = struct.pack("<Q", 1 << 50)
    path = tmp_path / "a.tfrecord"
    path.write_bytes(length + _masked(length) + b"x" * 100)
    _refused(path, "record 0 at byte 0", "1,125,899,906,842,624 bytes")


def _with(position: int, value: Any) -> Callable[[list[Any]], None]:
    def change(record: list[Any]) -> None:
        record[position] = value

    return change


def _encoded(message: bytes) -> str:
    return b64encode(message).decode()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_with(0, "f" * 32), "hash ffffffffffffffffffffffffffffffff of a cell whose hash is"),
        (_with(0, "xyz"), "32 hexadecimal digits"),
        (_with(0, 3), "is not [hash, epochs"),
        (_with(1, 200), "expected 4, 12, 36, 108"),
        (_with(1, 108.0), "is not [hash, epochs"),
        (_with(1, True), "is not [hash, epochs"),
        (_with(2, "0120"), "digits 0 and 1"),
        (_with(2, "011"), "digits 0 and 1"),
        (_with(2, ""), "for 0 vertices"),
        (_with(2, "0000"), "path from the first to the last"),
        (_with(2, "0110"), "below the diagonal"),
        (_with(3, "input,conv5x5,output"), "for 2 vertices"),
        (_with(3, "output,input"), "expected input, ..., output"),
        (_with(4, "***"), "not base64"),
        (_with(4, ""), "metrics of 0 evaluations"),
        (_with(4, _encoded(_metrics(9, (1, 1, 1, 1), evaluations=2))), "metrics of 2 evaluations"),
        (_with(4, _encoded(_metrics(9, (1, 1.01, 1, 1)))), "expected 0 to 1"),
        (_with(4, _encoded(_metrics(9, (1, math.nan, 1, 1)))), "expected 0 to 1"),
        (_with(4, _encoded(_metrics(9, (1, 1, 1, math.inf)))), "and a duration"),
        (_with(4, _encoded(_metrics(0, (1, 1, 1, 1)))), "trainable parameters"),
        (_with(4, _encoded(_metrics(1 << 40, (1, 1, 1, 1)))), "trainable parameters"),
        (_with(4, _encoded(_metrics(9, (1, 1, 1, 1))[:-1])), "wire type 1"),
        (_with(4, _encoded(b"\x0a\xff")), "does not end"),
        (_with(4, _encoded(b"\x0a" + b"\xff" * 20)), "does not end"),
        (_with(4, _encoded(b"\x0a\x7fabc")), "cut off"),
        (_with(4, _encoded(b"\x0b")), "wire type 3"),
    ],
)
def test_wrong_records_are_refused(tmp_path: Path, change: Callable[[list[Any]], None], message: str) -> None:
    record = _record(read("1"))
    change(record)
    good = [_record(read(FIRST))] * 3
    _refused(_write(tmp_path / "a.tfrecord", [*good, *[record] * 3]), "record 3 at byte", message)


@pytest.mark.parametrize("text", [b"", b"[", b"\xff\xfe", b"{}", b"[" * 60_000, b"9" * 5000, b"null"])
def test_records_that_are_not_such_json_are_refused(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "a.tfrecord"
    path.write_bytes(_frame(text))
    _refused(path, "record 0 at byte 0", "JSON")


def test_unknown_operations_are_refused(tmp_path: Path) -> None:
    record = _record(read(f"11-1:{C3}"))
    record[3] = "input,conv5x5-bn-relu,output"
    _refused(_write(tmp_path / "a.tfrecord", [record] * 3), "unknown operation 'conv5x5-bn-relu'")


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([_record(read("1"))] * 4, "4 trainings of 108 epochs; expected 3"),
        ([_record(read("1"))] * 40, "trainings of 108 epochs; expected 3"),
        ([_record(read("1"))] * 3 + [_record(read("1"), 4)] * 2, "2 trainings of 4 epochs"),
        ([_record(read("1"))] * 3 + [_record(read(FIRST), 4)] * 3, "trained for 4 epochs; others for 108"),
        ([_record(read("1"))] * 3 + [_record(read(FIRST))] * 3 + [_record(read("1"))] * 3, "side by side"),
        ([_record(read("1"))] * 2 + [_record(read("1"), params=7)], "different cells or parameters"),
    ],
)
def test_cells_with_other_trainings_than_three_of_each_length_are_refused(
    tmp_path: Path, records: list[Any], message: str
) -> None:
    _refused(_write(tmp_path / "a.tfrecord", records), message)
