"""Tables made of published files of records; where tables lie and what is said where there is none."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest

from fitness.table import Table
from fitness.table_import import import_table
from fitness.table_store import data_folder, find_tables, imported_tables, missing_table
from spaces.errors import RunError, UsageError
from spaces.nasbench101 import NasBench101
from spaces.nasbench101_cells import read
from spaces.nds import NdsDarts
from tests.fitness.test_nasbench101_archive import _record, _write


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder of the test's own."""
    monkeypatch.setenv("NAS_ENGINE_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


# --- files of records -------------------------------------------------------------------------------


def records(folder: Path, names: Sequence[str]) -> Path:
    """A file of NDS with networks of these seeds."""
    space = NdsDarts(width=0, depth=0)
    content = []
    for name in names:
        net = space.published(space.sample(Random(name)))
        curves = {"test_ep_top1": [9.0, 5.0 + len(content)], "train_ep_top1": [1.0]}
        content.append({"net": net, "params": 10, "flops": 20} | curves)
    file = folder / "DARTS.json"
    file.write_text(json.dumps(content))
    return file


def test_published_records_become_a_table(tmp_path: Path, data: Path) -> None:
    space = NdsDarts(width=0, depth=0)
    file = records(tmp_path, ["a", "b", "a", "c"])
    seen: list[tuple[int, int]] = []
    made = import_table(space, file, on_rows=lambda done, total: seen.append((done, total)))
    table = Table.open(made.path)
    assert seen[-1][1] == file.stat().st_size
    assert (made.path.name, made.rows, made.repeated) == ("nds-darts.DARTS.csv", 3, 1)
    assert [space.parse(name) for name in table.architectures] == [space.sample(Random(name)) for name in "abc"]
    assert list(table.column("cifar10_test_top1_pct")) == [95, 94, 92]  # the first training counts
    assert [file.name for file in (data / "tables").iterdir()] == ["nds-darts.DARTS.csv"]
    with pytest.raises(UsageError, match="--partial is for archive folders"):
        import_table(space, file, partial=True)
    with pytest.raises(UsageError, match=r"is a folder; download https://dl\.fbaipublicfiles\.com/nds/data\.zip"):
        import_table(space, tmp_path)


def test_records_are_gone_on_with(tmp_path: Path, data: Path) -> None:
    space, file = NdsDarts(width=0, depth=0), records(tmp_path, "abcd")
    expected = import_table(space, file).path.read_bytes()
    (data / "tables" / "nds-darts.DARTS.csv").unlink()
    seen: list[int] = []

    def stop(done: int, total: int) -> None:
        seen.append(done)
        if len(seen) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_table(space, file, on_rows=stop)
    part = data / "tables" / "nds-darts.DARTS.csv.part"
    assert part.read_bytes().count(b"\n") == 4  # a heading and three rows
    assert import_table(space, file).path.read_bytes() == expected
    assert not part.exists()


def test_a_part_of_nas_bench_101_is_not_the_benchmark(tmp_path: Path, data: Path) -> None:
    cell = read(
        "100110-10000-1001-010-10-1:conv3x3-bn-relu:maxpool3x3:conv3x3-bn-relu:conv3x3-bn-relu:conv1x1-bn-relu"
    )
    file = _write(tmp_path / "nasbench_only108.tfrecord", [_record(cell)] * 3)
    with pytest.raises(RunError, match=r"holds 1 architectures; expected the 423,624 of 'nas-bench-101': download"):
        import_table(NasBench101(), file)
    assert find_tables("nas-bench-101") == ()


# --- where tables lie -------------------------------------------------------------------------------


def test_the_data_folder_is_where_its_user_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert data_folder() == tmp_path / "data"
    monkeypatch.setenv("NAS_ENGINE_DATA", "~/own")
    assert data_folder() == tmp_path / "own"
    monkeypatch.setenv("NAS_ENGINE_DATA", "")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "xdg"))
    assert data_folder() == tmp_path / "xdg" / "nas-engine"
    monkeypatch.delenv("XDG_DATA_HOME")
    assert data_folder() == tmp_path / ".local" / "share" / "nas-engine"
    assert imported_tables() == {}


def test_what_is_missing_is_told_with_its_size_and_commands() -> None:
    assert str(missing_table("nats-sss")).endswith(
        "download NATS-sss-v1_0-50262-simple.tar (about 1.1 GB, https://github.com/D-X-Y/NATS-Bench), then `tar xf "
        "NATS-sss-v1_0-50262-simple.tar` and `engine table import nats-sss NATS-sss-v1_0-50262-simple`; or name a "
        "CSV table with --table FILE"
    )
    assert "name a CSV file" in str(missing_table("munas"))
